//! The committable offset of one partition while records finish out of order. Pure: no clock, no IO.

use std::collections::VecDeque;

/// The offsets of one partition in one assignment epoch: received, resolved, committable.
///
/// A set and not a range: compaction and transaction markers leave holes, and a
/// hole needs no action. All offsets are Kafka offsets; a committable offset is
/// the next one to read, as Kafka commits it.
///
/// What always holds: the committable offset is at most every unresolved one, it
/// never goes back, and the span (last seen + 1 − committable) stays within the
/// limit as long as [`Tracker::admits`] is asked before [`Tracker::receive`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracker {
    /// Received and not yet passed, ascending; the front is unresolved.
    open: VecDeque<Entry>,
    last_seen: Option<i64>,
    /// The highest end-of-partition offset that was reported.
    end: Option<i64>,
    unresolved: usize,
    /// How often an offset was resolved.
    changes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    /// The leader epoch of its record; -1 where that is not known.
    leader_epoch: i32,
    resolved: bool,
}

impl Tracker {
    /// Whether a record at `offset` may be received without the span growing over `max_span`.
    pub(crate) fn admits(&self, offset: i64, max_span: u64) -> bool {
        self.open.front().is_none_or(|first| offset.saturating_add(1).abs_diff(first.offset) <= max_span)
    }

    /// Takes note of a record, and of the leader epoch that it was appended in. False where this epoch has seen its offset
    /// already: the client delivered it twice, and it must not run again.
    pub(crate) fn receive(&mut self, offset: i64, leader_epoch: Option<i32>) -> bool {
        if self.last_seen.is_some_and(|last| offset <= last) {
            return false;
        }
        self.last_seen = Some(offset);
        let leader_epoch = leader_epoch.unwrap_or(-1);
        self.open.push_back(Entry { offset, leader_epoch, resolved: false });
        self.unresolved += 1;
        true
    }

    /// Takes note of the end of the partition: the offset of the next record to
    /// come, past any transaction marker that is never delivered.
    pub(crate) fn reach_end(&mut self, offset: i64) {
        self.end = self.end.max(Some(offset));
    }

    /// Resolves a received offset. False where it is not open (any more).
    pub(crate) fn resolve(&mut self, offset: i64) -> bool {
        let Ok(at) = self.open.binary_search_by_key(&offset, |entry| entry.offset) else { return false };
        if std::mem::replace(&mut self.open[at].resolved, true) {
            return false;
        }
        self.unresolved -= 1;
        self.changes += 1;
        while self.open.front().is_some_and(|first| first.resolved) {
            self.open.pop_front();
        }
        true
    }

    /// The offset to commit: the smallest unresolved one; with nothing open, the
    /// partition's end where it was reached, else last seen + 1. `None` before
    /// anything was seen.
    pub(crate) fn committable(&self) -> Option<i64> {
        match self.open.front() {
            Some(first) => Some(first.offset),
            None => self.read_to(),
        }
    }

    /// The offset after all that was received or passed. `None` before anything was seen.
    pub(crate) fn read_to(&self) -> Option<i64> {
        self.end.max(self.last_seen.map(|last| last + 1))
    }

    /// The number of received offsets that are not resolved.
    pub(crate) fn unresolved(&self) -> usize {
        self.unresolved
    }

    /// The number of resolved offsets past the committable one: done, and to be delivered again.
    pub(crate) fn ahead(&self) -> usize {
        self.open.len() - self.unresolved
    }

    /// The resolved offsets past the committable one, ascending, each with its record's leader epoch.
    pub(crate) fn done_ahead(&self) -> impl Iterator<Item = (i64, Option<i32>)> {
        let done = self.open.iter().filter(|entry| entry.resolved);
        done.map(|entry| (entry.offset, (entry.leader_epoch >= 0).then_some(entry.leader_epoch)))
    }

    /// Changes whenever an offset is resolved.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Last seen + 1 − committable: what a crash would deliver again, at most.
    pub(crate) fn span(&self) -> u64 {
        match (self.open.front(), self.last_seen) {
            (Some(first), Some(last)) => (last + 1).abs_diff(first.offset),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn received(offsets: &[i64]) -> Tracker {
        let mut tracker = Tracker::default();
        for &offset in offsets {
            assert!(tracker.receive(offset, None));
        }
        tracker
    }

    #[test]
    fn nothing_seen_is_nothing_to_commit() {
        assert_eq!(Tracker::default().committable(), None);
    }

    #[test]
    fn what_is_resolved_past_an_open_record_is_counted() {
        let mut tracker = received(&[1, 2, 5]);
        assert_eq!(tracker.ahead(), 0);
        assert!(tracker.receive(6, Some(4)));
        assert!(tracker.resolve(2) && tracker.resolve(6));
        assert_eq!((tracker.ahead(), tracker.changes()), (2, 2));
        assert_eq!(tracker.done_ahead().collect::<Vec<_>>(), [(2, None), (6, Some(4))]);
        assert!(tracker.resolve(1));
        assert_eq!(tracker.ahead(), 1, "6 waits for 5");
        assert!(tracker.resolve(5));
        assert_eq!(tracker.ahead(), 0);
    }

    #[test]
    fn an_open_record_holds_the_commit_back() {
        let mut tracker = received(&[10, 11, 12]);
        assert!(tracker.resolve(11));
        assert!(tracker.resolve(12));
        assert_eq!(tracker.committable(), Some(10));
        assert!(tracker.resolve(10));
        assert_eq!(tracker.committable(), Some(13));
    }

    #[test]
    fn a_hole_needs_no_action() {
        let mut tracker = received(&[3, 900, 901]);
        tracker.resolve(3);
        assert_eq!(tracker.committable(), Some(900));
        tracker.resolve(900);
        tracker.resolve(901);
        assert_eq!(tracker.committable(), Some(902));
    }

    #[test]
    fn the_end_of_the_partition_passes_a_trailing_marker() {
        let mut tracker = received(&[4]);
        tracker.reach_end(6);
        assert_eq!(tracker.committable(), Some(4));
        tracker.resolve(4);
        assert_eq!(tracker.committable(), Some(6));
    }

    #[test]
    fn an_empty_partition_commits_its_end() {
        let mut tracker = Tracker::default();
        tracker.reach_end(0);
        assert_eq!(tracker.committable(), Some(0));
    }

    #[test]
    fn an_offset_is_resolved_once_and_received_once() {
        let mut tracker = received(&[1, 2]);
        assert!(tracker.resolve(2));
        assert!(!tracker.resolve(2));
        assert!(!tracker.resolve(7));
        assert!(!tracker.receive(2, None));
        assert_eq!(tracker.unresolved(), 1);
    }

    #[test]
    fn a_jump_over_a_hole_wider_than_the_span_passes_only_with_nothing_open() {
        let mut tracker = received(&[1]);
        assert!(!tracker.admits(50_000, 100));
        tracker.resolve(1);
        assert!(tracker.admits(50_000, 100));
    }

    /// One thing that happens to a partition.
    #[derive(Clone, Debug)]
    enum Step {
        /// The next record, this far after the last one.
        Receive(i64),
        /// Resolve the open record at this fraction of the open ones.
        Resolve(usize),
        /// The end of the partition, this far after the last record.
        End(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (1..5i64).prop_map(Step::Receive),
            1 => (1..60i64).prop_map(Step::Receive),
            5 => any::<usize>().prop_map(Step::Resolve),
            1 => (1..4i64).prop_map(Step::End),
        ]
    }

    proptest! {
        #[test]
        fn the_commit_never_passes_an_open_record_and_never_goes_back(
            start in 0..1_000_000i64,
            max_span in 1..40u64,
            steps in prop::collection::vec(step(), 1..300),
        ) {
            let mut tracker = Tracker::default();
            let (mut next, mut open, mut committed) = (start, Vec::new(), None::<i64>);
            for step in steps {
                match step {
                    Step::Receive(jump) => {
                        let offset = next + jump - 1;
                        if tracker.admits(offset, max_span) {
                            prop_assert!(tracker.receive(offset, None));
                            open.push(offset);
                            next = offset + 1;
                        } else {
                            prop_assert!(!open.is_empty(), "with nothing open everything is admitted");
                        }
                    }
                    Step::Resolve(at) if !open.is_empty() => {
                        let offset = open.remove(at % open.len());
                        prop_assert!(tracker.resolve(offset));
                    }
                    Step::Resolve(_) => {}
                    Step::End(markers) => {
                        next += markers - 1;
                        tracker.reach_end(next);
                    }
                }
                let committable = tracker.committable();
                prop_assert!(committable >= committed, "{committable:?} after {committed:?}");
                prop_assert!(open.iter().all(|&offset| committable.is_some_and(|c| c <= offset)));
                prop_assert!(tracker.span() <= max_span);
                prop_assert_eq!(tracker.unresolved(), open.len());
                if open.is_empty() && tracker.last_seen.is_some() {
                    prop_assert!(committable > tracker.last_seen, "lag can reach 0");
                }
                committed = committable;
            }
        }
    }
}
