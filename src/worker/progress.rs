//! What is done beyond a committed offset, as the text of the commit's metadata. Pure: no clock, no IO.
//!
//! `kq1:TRANSACTION:OFFSET:EPOCH:KIND…`: the number of the transaction that the commit belongs to (empty
//! outside of one), the committed offset, the highest leader epoch of the done records (empty where none is
//! known), and their offsets in base64, counted from the committed one. KIND `r` is run lengths (numbers in
//! LEB128: so many that are not done, so many that are, and so on), `b` is a bitmap, its first bit the
//! lowest of the first byte.

use std::fmt::Write as _;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// How long the text may be, in bytes: a broker takes 4,096 by default (`offset.metadata.max.bytes`).
pub(super) const LIMIT: usize = 4000;
/// What the text begins with: another version gets another one.
const TAG: &str = "kq1:";

/// The leader epoch of a record; `None` where the broker stores none, which is before every other.
pub(super) type LeaderEpoch = Option<i32>;

/// Offsets that are done beyond a committed one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DoneAhead {
    /// The highest leader epoch of the done records.
    epoch: LeaderEpoch,
    /// Ascending, apart from each other, none empty.
    runs: Vec<Range<i64>>,
}

/// The metadata of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub text: String,
    /// How many of the done records it holds: those at the far end may not fit.
    pub records: usize,
}

impl DoneAhead {
    /// Collects offsets, which must be ascending, with the leader epoch of each record.
    pub(super) fn of(done: impl IntoIterator<Item = (i64, LeaderEpoch)>) -> Self {
        let mut ahead = Self::default();
        for (offset, epoch) in done {
            ahead.push(offset..offset.saturating_add(1), epoch);
        }
        ahead
    }

    /// Adds offsets after those that are in it.
    fn push(&mut self, run: Range<i64>, epoch: LeaderEpoch) {
        self.epoch = self.epoch.max(epoch);
        match self.runs.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            Some(last) if last.end > run.start => {}
            _ if run.is_empty() => {}
            _ => self.runs.push(run),
        }
    }

    /// Adds what another set has from `from` on; all that is in this one must be before that.
    pub(super) fn continue_with(&mut self, other: &Self, from: i64) {
        let first = other.runs.partition_point(|run| run.end <= from);
        for run in &other.runs[first..] {
            self.push(run.start.max(from)..run.end, other.epoch);
        }
    }

    /// Whether nothing is done.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The offset after the last that is done.
    pub(super) fn end(&self) -> Option<i64> {
        self.runs.last().map(|run| run.end)
    }

    /// Whether a record with a leader epoch like this came after what this was made of. In one log, epochs
    /// only rise: then nothing that is after that record was seen either.
    pub(super) fn is_before(&self, epoch: LeaderEpoch) -> bool {
        epoch > self.epoch
    }

    /// Whether the record at this offset is done.
    pub(super) fn has(&self, offset: i64, epoch: LeaderEpoch) -> bool {
        let after = self.runs.partition_point(|run| run.end <= offset);
        !self.is_before(epoch) && self.runs.get(after).is_some_and(|run| run.contains(&offset))
    }

    /// The metadata of a commit of `committed`, at most [`LIMIT`] bytes long. `None` where it would say
    /// nothing.
    pub(super) fn encode(&self, committed: i64) -> Option<Metadata> {
        let mut text = format!("{TAG}:{committed}:");
        if let Some(epoch) = self.epoch {
            let _ = write!(text, "{epoch}");
        }
        text.push(':');
        // The letter of the kind comes before what is in base64.
        let room = LIMIT.saturating_sub(text.len() + 1) / 4 * 3;
        let first = self.runs.partition_point(|run| run.end <= committed);
        let runs = || self.runs[first..].iter().map(|run| run.start.max(committed)..run.end);
        let (lengths, bitmap) = (run_lengths(runs(), committed, room), bitmap(runs(), committed, room));
        let is_shorter = lengths.bytes.len() <= bitmap.bytes.len();
        let (kind, body) = match lengths.records.cmp(&bitmap.records) {
            std::cmp::Ordering::Greater => ('r', lengths),
            std::cmp::Ordering::Equal if is_shorter => ('r', lengths),
            _ => ('b', bitmap),
        };
        text.push(kind);
        STANDARD_NO_PAD.encode_string(&body.bytes, &mut text);
        let records = usize::try_from(body.records).unwrap_or(usize::MAX);
        (records > 0).then_some(Metadata { text, records })
    }

    /// What metadata says that came with a commit of `committed`; `None` where it says nothing of it: it is
    /// another client's, of another version, or belongs to another offset.
    pub(super) fn decode(metadata: &[u8], committed: i64) -> Option<Self> {
        let text = std::str::from_utf8(metadata).ok()?.strip_prefix(TAG)?;
        let mut fields = text.splitn(4, ':');
        let (transaction, offset, epoch, body) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        if !transaction.bytes().all(|byte| byte.is_ascii_alphanumeric()) || offset.parse() != Ok(committed) {
            return None;
        }
        let epoch = if epoch.is_empty() { None } else { Some(epoch.parse().ok()?) };
        let kind = body.chars().next()?;
        let bytes = STANDARD_NO_PAD.decode(body.strip_prefix(kind)?).ok()?;
        let runs = match kind {
            'r' => of_run_lengths(&bytes, committed)?,
            'b' => of_bitmap(&bytes, committed)?,
            _ => return None,
        };
        let mut ahead = Self::default();
        for run in runs {
            ahead.push(run, epoch);
        }
        Some(ahead).filter(|ahead| !ahead.is_empty())
    }
}

/// Offsets as bytes, and how many they are.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    records: u64,
}

fn run_lengths(runs: impl Iterator<Item = Range<i64>>, from: i64, room: usize) -> Body {
    let mut body = Body::default();
    let mut at = from;
    for run in runs {
        let before = body.bytes.len();
        let length = run.start.abs_diff(run.end);
        push_number(&mut body.bytes, at.abs_diff(run.start));
        push_number(&mut body.bytes, length);
        if body.bytes.len() > room {
            body.bytes.truncate(before);
            break;
        }
        body.records = body.records.saturating_add(length);
        at = run.end;
    }
    body
}

fn of_run_lengths(bytes: &[u8], from: i64) -> Option<Vec<Range<i64>>> {
    let (mut rest, mut at, mut runs) = (bytes, from, Vec::new());
    while !rest.is_empty() {
        let start = at.checked_add_unsigned(take_number(&mut rest)?)?;
        // What was cut off here would have said how many are done.
        if rest.is_empty() {
            break;
        }
        at = start.checked_add_unsigned(take_number(&mut rest)?)?;
        runs.push(start..at);
    }
    Some(runs)
}

fn bitmap(runs: impl Iterator<Item = Range<i64>>, from: i64, room: usize) -> Body {
    let mut body = Body::default();
    let bits = room as u64 * 8;
    for run in runs {
        let (start, end) = (from.abs_diff(run.start).min(bits), from.abs_diff(run.end).min(bits));
        body.bytes.resize(body.bytes.len().max(end.div_ceil(8) as usize), 0);
        for bit in start..end {
            if let Some(byte) = body.bytes.get_mut((bit / 8) as usize) {
                *byte |= 1 << (bit % 8);
            }
        }
        body.records += end - start;
        if end == bits {
            break;
        }
    }
    body
}

fn of_bitmap(bytes: &[u8], from: i64) -> Option<Vec<Range<i64>>> {
    let mut runs: Vec<Range<i64>> = Vec::new();
    for (index, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
            let offset = from.checked_add_unsigned(index as u64 * 8 + bit)?;
            let end = offset.checked_add(1)?;
            match runs.last_mut() {
                Some(last) if last.end == offset => last.end = end,
                _ => runs.push(offset..end),
            }
        }
    }
    Some(runs)
}

/// Seven bits a byte, the lowest first; all but the last byte have their eighth bit set.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(offsets: impl IntoIterator<Item = i64>) -> DoneAhead {
        DoneAhead::of(offsets.into_iter().map(|offset| (offset, Some(3))))
    }

    fn text(ahead: &DoneAhead, committed: i64) -> String {
        ahead.encode(committed).unwrap().text
    }

    #[test]
    fn a_few_runs_are_lengths_and_many_are_a_bitmap() {
        // 1 open, 9,999 done: 0x8f 0x4e.
        assert_eq!(text(&of(43..10_042), 42), "kq1::42:3:rAY9O");
        let every_other = of((0..8000).map(|i| 100 + 2 * i));
        let metadata = every_other.encode(99).unwrap();
        assert!(metadata.text.starts_with("kq1::99:3:b"), "{}", metadata.text);
        assert_eq!((metadata.text.len(), metadata.records), (11 + 2667, 8000));
    }

    #[test]
    fn nothing_done_says_nothing() {
        assert_eq!(DoneAhead::default().encode(5), None);
        assert_eq!(of([3, 4]).encode(5), None, "all of it is before the commit");
        assert_eq!(DoneAhead::decode(b"kq1::5:3:r", 5), None);
    }

    #[test]
    fn the_number_of_a_transaction_has_its_place() {
        let ahead = DoneAhead::decode(b"kq1:9f3a:42::rAY9O", 42).unwrap();
        assert_eq!(ahead, DoneAhead::of((43..10_042).map(|offset| (offset, None))));
    }

    #[test]
    fn what_is_not_of_this_commit_says_nothing() {
        let ahead = of([11, 12]);
        let good = text(&ahead, 10);
        assert_eq!(DoneAhead::decode(good.as_bytes(), 10), Some(ahead));
        for (metadata, committed) in [
            (good.clone(), 11),
            (good.clone(), 9),
            (good.replace("kq1:", "kq2:"), 10),
            (good.replace(":b", ":x"), 10),
            (good.replace(":3:", ":three:"), 10),
            (good.replace("::", ":?:"), 10),
            (format!(" {good}"), 10),
            (String::new(), 10),
            ("some words of another client".to_owned(), 10),
        ] {
            assert_eq!(DoneAhead::decode(metadata.as_bytes(), committed), None, "{metadata}");
        }
        assert_eq!(DoneAhead::decode(b"kq1:\xff:10:3:rAQI", 10), None);
    }

    #[test]
    fn an_earlier_epoch_is_older_than_a_later_one_and_none_is_the_oldest() {
        let ahead = DoneAhead::of([(11, Some(2)), (12, Some(3))]);
        for (epoch, is_done) in [(None, true), (Some(2), true), (Some(3), true), (Some(4), false)] {
            assert_eq!(ahead.has(12, epoch), is_done, "{epoch:?}");
        }
        let unknown = DoneAhead::of([(11, None)]);
        assert!(unknown.has(11, None) && !unknown.has(11, Some(0)));
    }

    #[test]
    fn what_a_former_run_did_is_kept_behind_what_this_one_did() {
        let mut ahead = of([12, 13]);
        ahead.continue_with(&of([11, 13, 14, 15, 20]), 14);
        assert_eq!(ahead, of([12, 13, 14, 15, 20]));
    }

    /// A commit, and offsets from it on, in runs and holes of all lengths.
    fn sets() -> impl Strategy<Value = (i64, BTreeSet<i64>)> {
        let run =
            prop_oneof![4 => (0..4i64, 1..4i64), 2 => (0..200i64, 1..200i64), 1 => (0..9000i64, 1..9000i64)];
        let start = prop_oneof![0..100_000i64, Just(i64::MAX - 2_000_000)];
        (start, prop::collection::vec(run, 0..40)).prop_map(|(start, runs)| {
            let (mut at, mut set) = (start, BTreeSet::new());
            for (gap, length) in runs {
                set.extend(at + gap..at + gap + length);
                at += gap + length;
            }
            (start, set)
        })
    }

    fn offsets(ahead: &DoneAhead) -> BTreeSet<i64> {
        ahead.runs.iter().cloned().flatten().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_fits_comes_back_and_what_does_not_is_left_out_from_the_far_end(
            (committed, set) in sets(),
            epoch in prop::option::of(0..9i32),
        ) {
            let ahead = DoneAhead::of(set.iter().map(|&offset| (offset, epoch)));
            let Some(metadata) = ahead.encode(committed) else {
                prop_assert!(set.is_empty());
                return Ok(());
            };
            prop_assert!(metadata.text.len() <= LIMIT);
            let back = DoneAhead::decode(metadata.text.as_bytes(), committed).unwrap();
            let kept: BTreeSet<i64> = set.iter().copied().take(metadata.records).collect();
            prop_assert_eq!(offsets(&back), kept);
            prop_assert_eq!(back.epoch, epoch);
            let span = set.last().unwrap() - committed;
            prop_assert!(metadata.records == set.len() || span > 20_000, "{} of {}", metadata.records, set.len());
        }

        #[test]
        fn an_open_record_and_one_of_a_later_epoch_are_never_marked((committed, set) in sets(), epoch in 0..9i32) {
            let ahead = DoneAhead::of(set.iter().map(|&offset| (offset, Some(epoch))));
            let Some(metadata) = ahead.encode(committed) else { return Ok(()) };
            let back = DoneAhead::decode(metadata.text.as_bytes(), committed).unwrap();
            let last = *set.last().unwrap();
            for offset in (committed - 2..last + 3).step_by(1 + (last - committed) as usize / 5000) {
                prop_assert!(!back.has(offset, Some(epoch)) || set.contains(&offset), "{offset}");
                prop_assert!(!back.has(offset, Some(epoch + 1)));
            }
        }

        #[test]
        fn text_that_was_cut_marks_nothing_that_is_not_done((committed, set) in sets(), cut in any::<prop::sample::Index>()) {
            let ahead = DoneAhead::of(set.iter().map(|&offset| (offset, None)));
            let Some(metadata) = ahead.encode(committed) else { return Ok(()) };
            let cut = &metadata.text[..cut.index(metadata.text.len())];
            if let Some(back) = DoneAhead::decode(cut.as_bytes(), committed) {
                prop_assert!(offsets(&back).is_subset(&set));
            }
        }

        #[test]
        fn bytes_of_any_kind_are_no_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            kind in prop_oneof![Just('r'), Just('b')],
            committed in prop_oneof![0..100i64, Just(i64::MAX), Just(i64::MIN)],
        ) {
            let _ = DoneAhead::decode(&bytes, committed);
            let text = format!("kq1::{committed}:3:{kind}{}", STANDARD_NO_PAD.encode(&bytes));
            if let Some(ahead) = DoneAhead::decode(text.as_bytes(), committed) {
                prop_assert!(ahead.runs.windows(2).all(|two| two[0].end < two[1].start));
                prop_assert!(ahead.runs.iter().all(|run| run.start >= committed && run.start < run.end));
                let _ = ahead.has(committed, None);
                let again = ahead.encode(committed).unwrap();
                let back = DoneAhead::decode(again.text.as_bytes(), committed).unwrap();
                prop_assert!(back == ahead || again.text.len() > LIMIT - 8);
            }
        }
    }
}
