//! Where to start and where to stop: the grammar of --from, --until, partitions and durations. Pure: no clock (now is injected), no IO.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// The most partitions that one list may name: more than a cluster holds, less than hurts.
pub const MAX_PARTITIONS: usize = 1_000_000;

/// Where reading starts, for each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The first record that is still there.
    Beginning,
    /// After the last record.
    End,
    /// This offset.
    Offset(i64),
    /// This many offsets before the end; never negative.
    Relative(i64),
    /// The first record whose timestamp is this one or later, in milliseconds since the epoch.
    Time(i64),
    /// The group's committed offset.
    Stored,
}

/// Where reading stops, for each partition; exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The end as it was when the partition was first assigned.
    End,
    /// This offset, which is not read.
    Offset(i64),
    /// The first record whose timestamp is this one or later, in milliseconds since the epoch.
    Time(i64),
}

/// What one `-o` says, since kcat's starts (`s@`) and stops (`e@`) share the flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    From(From),
    Until(Until),
}

const FROM_FORMS: &str = "beginning, end, stored, OFFSET, -N (before the end), @TIME or -DURATION; \
    TIME is epoch milliseconds, RFC 3339, or a date in UTC; DURATION is as 90s, 1h30m, 2d";
const UNTIL_FORMS: &str = "end, OFFSET, @TIME or -DURATION; \
    TIME is epoch milliseconds, RFC 3339, or a date in UTC; DURATION is as 90s, 1h30m, 2d";

/// Where to start: `beginning` (`earliest`), `end` (`latest`), `stored`, `OFFSET`,
/// `-N` from the end, `@TIME` or kcat's `s@TIME`, or `-DURATION` before `now_ms`
/// (milliseconds since the epoch).
pub fn parse_from(s: &str, now_ms: i64) -> Result<From> {
    let wrong = || format!("bad start {s:?}: give {FROM_FORMS}");
    Ok(match s {
        "beginning" | "earliest" => From::Beginning,
        "end" | "latest" => From::End,
        "stored" => From::Stored,
        _ => {
            if s.starts_with("e@") {
                bail!("{s:?} is an end and no start: give it to --until, as {:?}", &s[1..]);
            }
            if let Some(time) = s.strip_prefix('@').or_else(|| s.strip_prefix("s@")) {
                From::Time(parse_time(time).with_context(wrong)?)
            } else if let Some(back) = s.strip_prefix('-') {
                match digits(back) {
                    Some(n) => From::Relative(n.with_context(wrong)?),
                    None => From::Time(before(now_ms, back).with_context(wrong)?),
                }
            } else {
                From::Offset(digits(s).with_context(wrong)?.with_context(wrong)?)
            }
        }
    })
}

/// Where to stop: `end` (`latest`), `OFFSET`, `@TIME` or kcat's `e@TIME`, or
/// `-DURATION` before `now_ms` (milliseconds since the epoch).
pub fn parse_until(s: &str, now_ms: i64) -> Result<Until> {
    let wrong = || format!("bad end {s:?}: give {UNTIL_FORMS}");
    if matches!(s, "end" | "latest") {
        return Ok(Until::End);
    }
    if s.starts_with("s@") {
        bail!("{s:?} is a start and no end: give it to --from, as {:?}", &s[1..]);
    }
    if let Some(time) = s.strip_prefix('@').or_else(|| s.strip_prefix("e@")) {
        return Ok(Until::Time(parse_time(time).with_context(wrong)?));
    }
    if let Some(back) = s.strip_prefix('-') {
        ensure!(digits(back).is_none(), "bad end {s:?}: an end counts from no end; give {UNTIL_FORMS}");
        return Ok(Until::Time(before(now_ms, back).with_context(wrong)?));
    }
    Ok(Until::Offset(digits(s).with_context(wrong)?.with_context(wrong)?))
}

/// What kcat's `-o` says: `e@TIME` is where to stop, all else where to start.
pub fn parse_bound(s: &str, now_ms: i64) -> Result<Bound> {
    if s.starts_with("e@") {
        parse_until(s, now_ms).map(Bound::Until)
    } else {
        parse_from(s, now_ms).map(Bound::From)
    }
}

/// A list of partitions and ranges of them, as `0,2-5`: sorted, each once, at
/// most [`MAX_PARTITIONS`].
pub fn parse_partitions(s: &str) -> Result<Vec<i32>> {
    let mut all = Vec::new();
    for part in s.split(',').map(str::trim) {
        let one = |number: &str| -> Result<i32> {
            number.trim().parse::<u32>().ok().and_then(|n| i32::try_from(n).ok()).with_context(|| {
                format!("bad partition {part:?} in {s:?}: give numbers and ranges, as in 0,2-5")
            })
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (one(first)?, one(last)?),
            None => (one(part)?, one(part)?),
        };
        ensure!(first <= last, "bad range {part:?} in {s:?}: the smaller partition comes first");
        let count = (last - first) as usize + 1;
        ensure!(
            count <= MAX_PARTITIONS - all.len(),
            "too many partitions in {s:?}: at most {MAX_PARTITIONS} can be named"
        );
        all.extend(first..=last);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// A duration as a person writes it: `10s`, `500ms`, `1h30m`, `2d`. A bare
/// number is in seconds, as with timeout(1) and sleep(1); it may have a fraction.
pub fn parse_duration(s: &str) -> Result<Duration> {
    let s = s.trim();
    let wrong = || format!("bad duration {s:?}: give one as 500ms, 10s, 1h30m, or seconds");
    if !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let seconds: f64 = s.parse().with_context(wrong)?;
        return Duration::try_from_secs_f64(seconds).with_context(wrong);
    }
    humantime::parse_duration(s).with_context(wrong)
}

/// `None` if `s` is not all digits; an error if it is more than an offset can be.
fn digits(s: &str) -> Option<Result<i64>> {
    (!s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()))
        .then(|| s.parse().with_context(|| format!("{s} is more than an offset can be")))
}

/// The time that lies this duration before now, never before the epoch.
fn before(now_ms: i64, duration: &str) -> Result<i64> {
    let back = humantime::parse_duration(duration)?;
    let back = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
    Ok(now_ms.saturating_sub(back).max(0))
}

/// A time in milliseconds since the epoch: a whole number of them, RFC 3339, or
/// a date with or without a time of day, in UTC.
pub fn parse_time(s: &str) -> Result<i64> {
    if let Some(ms) = digits(s) {
        return ms;
    }
    // Without an offset, a zone in brackets would be passed over in silence.
    if !s.contains('[') {
        if let Ok(time) = s.parse::<jiff::Timestamp>() {
            return Ok(time.as_millisecond());
        }
        // A date alone is its midnight.
        if let Ok(time) = s.parse::<jiff::civil::DateTime>() {
            return Ok(time.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond());
        }
    }
    bail!(
        "{s:?} is no time: give epoch milliseconds, or as 2024-05-01, 2024-05-01T12:30:00 (UTC) or 2024-05-01T12:30:00+02:00"
    )
}
