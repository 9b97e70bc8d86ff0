//! What to do where the offset to read from is not in the log: deleted, past the end, or cut off. Pure: no clock, no IO.

use std::fmt;

use crate::reading::bounds::End;

/// The log of a partition, as its leader has it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// The first offset that is still there.
    pub low: i64,
    /// The offset after the last record.
    pub high: i64,
    /// Where the log was cut (KIP-320); -1 where nothing that is there was there before.
    pub cut: Option<i64>,
}

impl Log {
    /// A log that was not cut.
    pub(crate) fn new((low, high): (i64, i64)) -> Self {
        Self { low, high, cut: None }
    }
}

/// How far a partition was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Every record before it is done.
    pub done: i64,
    /// Every record before it was read; what lies between the two is still being worked on.
    pub next: i64,
}

impl Read {
    /// Read and done up to there.
    pub(crate) fn to(next: i64) -> Self {
        Self { done: next, next }
    }
}

/// Where reading of a partition ends; exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// It does not end by offset.
    None,
    /// At an offset that was asked for, or that a time stood for.
    Offset(i64),
    /// At what was the partition's end when it was first assigned.
    End(i64),
}

impl Limit {
    /// The limit that is asked for, with the offset that it was found to be.
    pub(crate) fn new(until: Option<End>, offset: Option<i64>) -> Self {
        match (until, offset) {
            (_, None) => Self::None,
            (Some(End::End), Some(end)) => Self::End(end),
            (_, Some(offset)) => Self::Offset(offset),
        }
    }

    /// The offset that is not read any more.
    pub(crate) fn offset(self) -> Option<i64> {
        match self {
            Self::None => None,
            Self::Offset(offset) | Self::End(offset) => Some(offset),
        }
    }

    /// The same in a log that ends at `high` now. An end that was there may never come again; an
    /// offset that was asked for is waited for.
    fn within(self, high: i64) -> Self {
        match self {
            Self::End(end) => Self::End(end.min(high)),
            other => other,
        }
    }

    /// Of what lies from `from` to `to`, up to where it is asked for.
    fn clip(self, to: i64) -> i64 {
        self.offset().map_or(to, |offset| offset.min(to))
    }
}

/// What an offset that is not in the log means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing that was read or asked for is concerned: reading goes on at `next`.
    GoOn { next: i64 },
    /// Records that were asked for were deleted before they were read. Reading goes on at `next`.
    Gone { from: i64, to: i64, next: i64 },
    /// What was read is not what is there now. Reading goes back to `next`, and ends at `limit`.
    Back { position: i64, end: i64, reason: Shorter, next: i64, limit: Limit },
}

/// Why a log is shorter than what was read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shorter {
    /// Records before this offset are those that were read.
    Cut,
    /// Nothing is known of it: it may be another topic of the same name.
    Unknown,
}

/// Judges an offset that could not be read from. Where the log was cut behind all that was read,
/// nothing of it is concerned; else what was read is given up from the cut on, or all of it where
/// it is not known since when it is another log.
pub(crate) fn judge(read: Read, log: Log, limit: Limit) -> Verdict {
    let Log { low, high, cut } = log;
    let end = cut.map_or(high, |cut| cut.clamp(low, high.max(low)));
    if read.next > end {
        let (reason, next) = match cut {
            Some(_) => (Shorter::Cut, read.done.min(end).max(low)),
            None => (Shorter::Unknown, low),
        };
        return Verdict::Back { position: read.next, end, reason, next, limit: limit.within(high) };
    }
    let gone_to = limit.clip(low);
    if (0..gone_to).contains(&read.next) {
        return Verdict::Gone { from: read.next, to: gone_to, next: low };
    }
    Verdict::GoOn { next: read.next.max(low) }
}

/// Where a partition that nothing was read of begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    /// The offset to read from, which is in the log or its end.
    pub at: i64,
    /// Records before this offset are not asked for: a start past the end was given.
    pub first: Option<i64>,
    /// What was asked for and is deleted already, if anything is: from there, up to there.
    pub gone: Option<(i64, i64)>,
}

/// Brings a start that was asked for into the log.
pub(crate) fn begin(start: i64, log: Log, limit: Limit) -> Begin {
    let Log { low, high, .. } = log;
    let gone_to = limit.clip(low);
    Begin {
        at: start.clamp(low, high.max(low)),
        first: (start > high.max(low)).then_some(start),
        gone: (start < gone_to).then_some((start, gone_to)),
    }
}

impl Verdict {
    /// Where reading goes on.
    pub(crate) fn next(self) -> i64 {
        match self {
            Self::GoOn { next } | Self::Gone { next, .. } | Self::Back { next, .. } => next,
        }
    }

    /// How many records are known to be gone.
    pub(crate) fn gone(self) -> u64 {
        match self {
            Self::Gone { from, to, .. } => from.abs_diff(to),
            Self::GoOn { .. } | Self::Back { .. } => 0,
        }
    }
}

/// The message of a verdict, after the partition's name; a `GoOn` is not worth one.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoOn { next } => write!(f, "reading on from {next}"),
            Self::Gone { from, to, .. } => write!(f, "{from}..{to} gone: deleted before they were read"),
            Self::Back { position, end, reason: Shorter::Cut, next, .. } => write!(
                f,
                "its log was cut at {end} (by an unclean election?) and offset {position} is beyond that; reading from {next}"
            ),
            Self::Back { position, end, reason: Shorter::Unknown, next, .. } => write!(
                f,
                "offset {position} is beyond the end {end}: the topic was truncated or recreated; reading from {next}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Limit = Limit::None;

    fn log(low: i64, high: i64, cut: Option<i64>) -> Log {
        Log { low, high, cut }
    }

    #[test]
    fn what_was_deleted_before_it_was_read_is_counted_up_to_where_it_was_asked_for() {
        let log = log(50, 60, None);
        assert_eq!(judge(Read::to(20), log, LIMIT), Verdict::Gone { from: 20, to: 50, next: 50 });
        let verdict = judge(Read::to(20), log, Limit::Offset(30));
        assert_eq!((verdict.gone(), verdict.next()), (10, 50));
        assert_eq!(verdict.to_string(), "20..30 gone: deleted before they were read");
        assert_eq!(judge(Read::to(20), log, Limit::Offset(20)), Verdict::GoOn { next: 50 });
    }

    #[test]
    fn a_position_that_is_unknown_or_in_the_log_loses_nothing() {
        for (next, on) in [(-1001, 5), (-2, 5), (5, 5), (7, 7), (10, 10)] {
            assert_eq!(judge(Read::to(next), log(5, 10, None), LIMIT), Verdict::GoOn { next: on });
        }
    }

    #[test]
    fn past_the_end_all_that_is_there_is_read() {
        let verdict = judge(Read::to(1000), log(3, 10, None), LIMIT);
        assert_eq!(verdict.next(), 3);
        assert!(verdict.to_string().contains("offset 1000 is beyond the end 10"), "{verdict}");
    }

    #[test]
    fn a_cut_behind_what_was_read_concerns_nothing() {
        assert_eq!(judge(Read::to(80), log(0, 120, Some(90)), LIMIT), Verdict::GoOn { next: 80 });
        assert_eq!(judge(Read::to(90), log(0, 120, Some(90)), LIMIT), Verdict::GoOn { next: 90 });
    }

    #[test]
    fn after_a_cut_reading_goes_back_to_it_or_to_what_is_not_done() {
        let cut = log(0, 120, Some(90));
        let verdict = judge(Read::to(100), cut, LIMIT);
        assert_eq!(verdict.next(), 90);
        assert!(verdict.to_string().contains("its log was cut at 90"), "{verdict}");
        assert_eq!(judge(Read { done: 70, next: 100 }, cut, LIMIT).next(), 70);
        assert_eq!(judge(Read::to(100), log(5, 7, Some(-1)), LIMIT).next(), 5, "nothing of it was there");
        assert_eq!(judge(Read::to(100), log(5, 50, Some(90)), LIMIT).next(), 50, "it was cut again since");
    }

    #[test]
    fn the_end_as_it_was_comes_nearer_and_an_offset_that_was_asked_for_stays() {
        let limit_of = |limit| match judge(Read::to(95), log(0, 80, None), limit) {
            Verdict::Back { limit, .. } => limit,
            other => panic!("{other:?}"),
        };
        assert_eq!(limit_of(Limit::new(Some(End::End), Some(100))), Limit::End(80));
        assert_eq!(limit_of(Limit::new(Some(End::Offset(100)), Some(100))), Limit::Offset(100));
        assert_eq!(limit_of(Limit::new(None, None)), Limit::None);
    }

    #[test]
    fn a_start_is_brought_into_the_log_and_what_is_outside_is_known() {
        let of = |start, limit| begin(start, log(10, 20, None), limit);
        assert_eq!(of(15, LIMIT), Begin { at: 15, first: None, gone: None });
        assert_eq!(of(20, LIMIT), Begin { at: 20, first: None, gone: None });
        assert_eq!(of(4, LIMIT), Begin { at: 10, first: None, gone: Some((4, 10)) });
        assert_eq!(of(4, Limit::Offset(6)).gone, Some((4, 6)));
        assert_eq!(of(4, Limit::Offset(3)).gone, None);
        assert_eq!(of(25, LIMIT), Begin { at: 20, first: Some(25), gone: None });
    }

    /// What consume decided by itself before: where to go on, whether it went back, what it counted as
    /// gone, and the end from then on.
    fn of_consume(position: i64, log: Log, limit: Limit) -> (i64, bool, u64, Option<i64>) {
        let Log { low, high, cut } = log;
        let until = limit.offset();
        let mut next = position.max(low);
        let mut gone = 0;
        let end = cut.map_or(high, |cut| cut.clamp(low, high));
        let back = (position > end).then_some(if cut.is_some() { end } else { low });
        if let Some(back) = back {
            next = back;
        } else if position >= 0 && position < low {
            let to = until.map_or(low, |until| until.min(low));
            gone = (to - position).max(0) as u64;
        }
        let until = match limit {
            Limit::End(_) if back.is_some() => until.min(Some(high)),
            _ => until,
        };
        (next, back.is_some(), gone, until)
    }

    /// What the worker decided by itself before, for a known position.
    fn of_worker(read: Read, log: Log, limit: Limit) -> (i64, bool, u64, Option<i64>) {
        let Log { low, high, cut } = log;
        let is_back = cut.is_some() || read.next > high;
        let (goal, gone) = match (cut, read.next) {
            (Some(cut), _) => (read.done.min(cut).clamp(low, high), 0),
            (None, wanted) if wanted < low => (low, (low - wanted) as u64),
            (None, wanted) if wanted > high => (low, 0),
            (None, wanted) => (wanted, 0),
        };
        let until = match limit {
            Limit::End(_) if is_back => limit.offset().min(Some(high)),
            _ => limit.offset(),
        };
        (goal, is_back, gone, until)
    }

    fn of_both(read: Read, log: Log, limit: Limit) -> (i64, bool, u64, Option<i64>) {
        let verdict = judge(read, log, limit);
        match verdict {
            Verdict::Back { next, limit, .. } => (next, true, 0, limit.offset()),
            _ => (verdict.next(), false, verdict.gone(), limit.offset()),
        }
    }

    fn logs() -> impl Strategy<Value = Log> {
        (0..40i64, 0..40i64, prop::option::of(-1..90i64))
            .prop_map(|(low, more, cut)| log(low, low + more, cut))
    }

    fn limits() -> impl Strategy<Value = Limit> {
        prop_oneof![Just(Limit::None), (0..100i64).prop_map(Limit::Offset), (0..100i64).prop_map(Limit::End)]
    }

    proptest! {
        #[test]
        fn what_consume_decided_is_decided(position in -2..100i64, log in logs(), limit in limits()) {
            // A partition that has all that was asked for is not judged.
            prop_assume!(limit.offset().is_none_or(|until| position < until));
            prop_assert_eq!(of_both(Read::to(position), log, limit), of_consume(position, log, limit));
        }

        /// The worker differed on purpose in three things: what is gone was counted past its end too, a
        /// cut behind all that was read was taken for one that concerns it, and what was deleted
        /// before it was read was not counted where the log had been cut too.
        #[test]
        fn what_the_worker_decided_is_decided_but_for_its_three_differences(
            done in 0..100i64, ahead in 0..20i64, log in logs(), limit in limits()
        ) {
            let read = Read { done, next: done + ahead };
            prop_assume!(limit.offset().is_none_or(|until| read.next < until));
            let (new, old) = (of_both(read, log, limit), of_worker(read, log, limit));
            let end = log.cut.map_or(log.high, |cut| cut.clamp(log.low, log.high));
            if log.cut.is_some() && read.next <= end {
                prop_assert!(!new.1 && old.1);
                prop_assert!(new.0 == read.next.max(log.low));
            } else if read.next < log.low {
                prop_assert!(new.2 <= old.2);
                prop_assert_eq!((new.0, new.1, new.3), (old.0, old.1, old.3));
                prop_assert!(limit.offset().is_some_and(|until| until < log.low) || new.2 == old.2);
            } else {
                prop_assert_eq!(new, old);
            }
        }

        #[test]
        fn reading_goes_on_inside_the_log_and_never_past_what_was_not_read(
            done in -2..100i64, ahead in 0..20i64, log in logs(), limit in limits()
        ) {
            let read = Read { done, next: done + ahead };
            let next = judge(read, log, limit).next();
            prop_assert!((log.low..=log.high.max(log.low)).contains(&next));
            prop_assert!(next <= read.next.max(log.low));
        }

        #[test]
        fn a_start_is_where_consume_began(start in 0..100i64, log in logs(), limit in limits()) {
            let begin = begin(start, log, limit);
            let Log { low, high, .. } = log;
            prop_assert_eq!(begin.at, start.clamp(low, high.max(low)));
            prop_assert_eq!(begin.first, (start > high).then_some(start));
            let to = limit.offset().map_or(low, |until| if start < low { until.clamp(start, low) } else { low });
            prop_assert_eq!(begin.gone, (start < low && start < to).then_some((start, to)));
        }
    }
}
