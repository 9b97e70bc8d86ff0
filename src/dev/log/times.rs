//! The search for a record by its time. It locks a log only to find where to read next.

use std::io;
use std::ops::Deref;

use super::{PartitionLog, records};

/// Bytes that all searches of one request may read and decompress. Beyond that only the headers of
/// batches are used.
pub(crate) const BUDGET: u64 = 128 << 20;

/// Time and offset of the first record whose time is at or after `time`. `log` locks the log, for a
/// moment each time.
pub(crate) fn find<L: Deref<Target = PartitionLog>>(
    log: impl Fn() -> L,
    time: i64,
    budget: &mut u64,
) -> io::Result<Option<(i64, i64)>> {
    let (start, end) = {
        let log = log();
        (log.start(), log.end())
    };
    let mut from = start;
    while from < end {
        let ahead = log().stretch(time, from);
        let Some((stretch, next)) = ahead else { break };
        let found = stretch.look(
            |header| header.max_timestamp >= time && header.last_offset() >= start,
            |header, body| {
                *budget = budget.saturating_sub(header.size as u64);
                records::find_record(body, time, start, budget)
            },
        )?;
        if found.is_some() {
            return Ok(found);
        }
        from = next;
    }
    Ok(None)
}

/// Time and offset of the first record with the latest time.
pub(crate) fn find_latest<L: Deref<Target = PartitionLog>>(
    log: impl Fn() -> L,
    budget: &mut u64,
) -> io::Result<Option<(i64, i64)>> {
    let (start, first, mut latest) = {
        let log = log();
        (log.start(), log.stretch(i64::MIN, log.start()), log.latest_time_behind(log.start()))
    };
    // The index does not help in the run that holds the start: its latest record may be deleted.
    if let Some((stretch, _)) = first {
        let mut whole = -1;
        let mut cut = -1;
        stretch.look(
            |header| {
                if header.base_offset >= start {
                    whole = header.max_timestamp.max(whole);
                }
                header.base_offset < start && header.last_offset() >= start
            },
            |_, body| {
                cut = records::latest_time(body, start, budget).unwrap_or(-1);
                None::<()>
            },
        )?;
        latest = latest.max(whole).max(cut);
    }
    if latest < 0 { Ok(None) } else { find(log, latest, budget) }
}
