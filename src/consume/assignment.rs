//! How far each partition was read, and whether all that was asked for is there. Pure: no clock, no IO.

use std::sync::Arc;

use crate::record::TopicPartition;

/// How far one assigned partition was read.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Where reading started.
    pub start: Option<i64>,
    /// Records before this offset are not asked for: a start beyond the end was given.
    pub first: Option<i64>,
    /// The offset that follows the last record dealt with, or passed; `None` before the first.
    pub next: Option<i64>,
    /// Exclusive: reading stops before this offset. `None`: it does not stop by offset.
    pub until: Option<i64>,
    /// Reading stops before the first record of this time, in ms since the epoch.
    pub until_time: Option<i64>,
    /// Whether the position is another than what was stored last.
    pub unstored: bool,
    /// Whether the broker said that nothing follows what was taken, and nothing came since.
    pub at_end: bool,
    pub done: bool,
}

impl Progress {
    /// A partition that is read from `start` on.
    pub(super) fn new(topic: Arc<str>, partition: i32, start: Option<i64>, until: Option<i64>) -> Self {
        let done = matches!((start, until), (Some(start), Some(until)) if start >= until);
        Self {
            topic,
            partition,
            start,
            first: None,
            next: None,
            until,
            until_time: None,
            // A start where nothing is left to read holds from now on.
            unstored: done,
            at_end: false,
            done,
        }
    }

    /// Its topic and its number.
    pub(super) fn name(&self) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.topic), self.partition)
    }

    /// The offset that is read next, or none that is known.
    pub(super) fn position(&self) -> Option<i64> {
        self.next.or(self.start)
    }

    /// Whether a record at this offset and time is asked for; one that is not ends the partition.
    pub(super) fn wants(&mut self, offset: i64, time: Option<i64>) -> bool {
        self.at_end = false;
        if self.done {
            return false;
        }
        if self.first.is_some_and(|first| offset < first) {
            self.skip_to(offset + 1);
            return false;
        }
        if self.until.is_some_and(|until| offset >= until)
            || matches!((self.until_time, time), (Some(until), Some(time)) if time >= until)
        {
            // What lies between holds no record: markers, or what compaction took.
            self.skip_to(self.until.map_or(offset, |until| until.min(offset)));
            self.done = true;
        }
        !self.done
    }

    /// Nothing is left before this offset, if that is news.
    pub(super) fn skip_to(&mut self, next: i64) {
        if self.position().is_none_or(|position| position < next) {
            self.advance_to(next);
        }
    }

    /// What was read from `next` on is not what is there now: it is read again from there, up to `end`
    /// where reading ends with the partition.
    pub(super) fn go_back(&mut self, next: i64, end: Option<i64>) {
        self.next = Some(next);
        self.unstored = false;
        self.at_end = false;
        if end.is_some() {
            self.until = self.until.min(end);
        }
        self.done |= self.until.is_some_and(|until| next >= until);
    }

    /// Everything before `next` was dealt with: written, filtered out, or is not there.
    pub(super) fn advance_to(&mut self, next: i64) {
        self.next = Some(next);
        self.unstored = true;
        if self.until.is_some_and(|until| next >= until) {
            self.done = true;
        }
    }

    /// The partition's end was reached: nothing is left before `end`.
    pub(super) fn reached_end(&mut self, end: i64, now_ms: i64) {
        self.at_end = true;
        if self.done {
            return;
        }
        // Markers, aborted and compacted records at the tail are never delivered: they are passed here.
        self.skip_to(end);
        // A start at the end holds from now on: the next run reads what comes between.
        self.unstored |= self.next.is_none() && self.first.is_none();
        self.done |= self.until.is_some_and(|until| end >= until);
        self.reach_time(now_ms);
    }

    /// Ends a partition whose time has come: what is written from now on is of a later one.
    pub(super) fn reach_time(&mut self, now_ms: i64) {
        self.done |= self.at_end && self.until_time.is_some_and(|time| now_ms >= time);
    }

    /// Whether something is still to come that the brokers have.
    pub(super) fn is_behind(&self) -> bool {
        !self.done && !self.at_end
    }
}

/// The partitions that are assigned now.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    all: Vec<Progress>,
    /// Index of the one that was looked up last: records come in runs.
    last: usize,
}

impl Assignment {
    /// Adds a partition, or restarts it.
    pub(super) fn add(&mut self, progress: Progress) {
        self.remove(&progress.topic, progress.partition);
        self.all.push(progress);
    }

    /// Takes a partition out.
    pub(super) fn remove(&mut self, topic: &str, partition: i32) -> Option<Progress> {
        let index = self.all.iter().position(|p| p.partition == partition && &*p.topic == topic)?;
        Some(self.all.swap_remove(index))
    }

    /// The partition, if it is assigned.
    pub(super) fn find(&mut self, topic: &str, partition: i32) -> Option<&mut Progress> {
        let is = |p: &Progress| p.partition == partition && &*p.topic == topic;
        if !self.all.get(self.last).is_some_and(is) {
            self.last = self.all.iter().position(is)?;
        }
        self.all.get_mut(self.last)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Progress> {
        self.all.iter()
    }

    /// All of them, to change.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Progress> {
        self.all.iter_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether each assigned partition has all that was asked of it; not where there is none.
    pub(super) fn all_done(&self) -> bool {
        !self.all.is_empty() && self.all.iter().all(|p| p.done)
    }

    /// The partitions from which more is to come that the brokers have.
    pub(super) fn behind(&self) -> impl Iterator<Item = &Progress> {
        self.all.iter().filter(|progress| progress.is_behind())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn progress_of(start: i64, until: i64) -> Progress {
        Progress::new("t".into(), 0, Some(start), Some(until))
    }

    #[test]
    fn an_empty_stretch_is_done_at_once() {
        assert!(progress_of(5, 5).done);
        assert!(progress_of(9, 5).done);
        assert!(!progress_of(4, 5).done);
    }

    #[test]
    fn a_hole_at_the_tail_does_not_hang_it() {
        let mut p = progress_of(0, 10);
        assert!(p.wants(7, None));
        p.advance_to(8);
        assert!(!p.done);
        p.reached_end(10, 0);
        assert!(p.done);
        assert_eq!(p.next, Some(10));
    }

    #[test]
    fn an_end_where_reading_started_is_committed() {
        let mut p = Progress::new("t".into(), 0, Some(10), None);
        assert!(!p.unstored);
        p.reached_end(10, 0);
        assert_eq!((p.next, p.position(), p.unstored, p.done), (None, Some(10), true, false));
    }

    #[test]
    fn a_start_beyond_the_end_is_not_given_up_for_the_end() {
        let mut p = Progress::new("t".into(), 0, Some(10), None);
        p.first = Some(15);
        p.reached_end(10, 0);
        assert!(!p.unstored);
    }

    #[test]
    fn who_goes_back_past_the_end_is_done_at_the_new_one() {
        let mut p = progress_of(10, 100);
        p.advance_to(95);
        p.go_back(90, Some(92));
        assert_eq!((p.position(), p.until, p.unstored, p.done), (Some(90), Some(92), false, false));
        p.go_back(92, Some(92));
        assert!(p.done);
        let mut follows = Progress::new("t".into(), 0, Some(10), None);
        follows.go_back(5, None);
        assert!(!follows.done);
    }

    #[test]
    fn the_end_of_what_has_no_start_yet_is_passed() {
        let mut p = Progress::new("t".into(), 0, None, None);
        p.reached_end(3, 0);
        assert_eq!((p.next, p.unstored), (Some(3), true));
    }

    #[test]
    fn an_end_after_markers_alone_is_passed() {
        let mut p = progress_of(10, 12);
        p.reached_end(12, 0);
        assert_eq!((p.next, p.unstored, p.done), (Some(12), true, true));
    }

    #[test]
    fn a_record_beyond_the_end_passes_the_hole_before_it() {
        let mut p = progress_of(0, 10);
        assert!(p.wants(3, None));
        p.advance_to(4);
        assert!(!p.wants(15, None));
        assert_eq!((p.next, p.done), (Some(10), true));
        assert!(!p.wants(16, None), "once is enough");
        assert_eq!(p.next, Some(10));
    }

    #[test]
    fn records_beyond_the_end_are_never_passed_themselves() {
        let mut p = Progress::new("t".into(), 0, Some(0), None);
        p.until_time = Some(100);
        assert!(p.wants(0, Some(99)));
        p.advance_to(1);
        for offset in [5, 6, 7] {
            assert!(!p.wants(offset, Some(100)));
            assert_eq!(p.next, Some(5));
        }
    }

    #[test]
    fn a_time_that_has_passed_ends_nothing_in_the_middle_of_a_backlog() {
        let mut p = Progress::new("t".into(), 0, Some(0), None);
        p.until_time = Some(100);
        p.reach_time(100);
        assert!(!p.done, "nothing is known of it");
        assert!(p.wants(0, Some(10)));
        p.advance_to(1);
        p.reach_time(100);
        assert!(!p.done, "more may follow");
        p.reached_end(1, 99);
        assert!(!p.done);
        p.reach_time(100);
        assert!(p.done);
    }

    #[test]
    fn records_before_a_start_beyond_the_end_are_not_wanted() {
        let mut p = Progress::new("t".into(), 0, Some(10), None);
        p.first = Some(12);
        assert!(!p.wants(10, None));
        assert!(!p.wants(11, None));
        assert_eq!(p.next, Some(12));
        assert!(p.wants(12, None));
    }

    #[test]
    fn a_future_time_ends_when_the_clock_has_passed_it() {
        let mut p = Progress::new("t".into(), 0, Some(0), None);
        p.until_time = Some(100);
        p.reached_end(0, 99);
        assert!(!p.done);
        p.reached_end(0, 100);
        assert!(p.done);
    }

    proptest! {
        #[test]
        fn exactly_the_offsets_before_the_end_are_wanted(start in 0i64..50, until in 0i64..50, gaps in prop::collection::vec(1i64..4, 0..60)) {
            let mut p = progress_of(start, until);
            let mut offset = start;
            for gap in gaps {
                if p.done {
                    break;
                }
                let wanted = p.wants(offset, None);
                prop_assert_eq!(wanted, offset < until);
                if wanted {
                    p.advance_to(offset + 1);
                    prop_assert_eq!(p.done, offset + 1 >= until);
                }
                offset += gap;
            }
        }
    }
}
