//! The queue of a partition whose records run in batches: a lane is held only by a record that is to be tried
//! again. Pure: no clock, no IO.

use std::collections::HashSet;

use super::{Lane, Lanes};

impl<T> Lanes<T> {
    /// Queues an item in its place by offset; where its lane is held it waits there, and true is returned.
    pub(in crate::worker) fn put(&mut self, lane: Option<Lane>, offset: i64, item: T) -> bool {
        let Some(queue) = lane.and_then(|lane| self.held.get_mut(&lane)) else {
            self.ready.insert(offset, (lane, item));
            return false;
        };
        let at = queue.partition_point(|(other, _)| *other < offset);
        queue.insert(at, (offset, item));
        self.waiting += 1;
        true
    }

    /// Holds a lane until [`Lanes::free`]. Items of it that may run still do, until [`Lanes::set_back`].
    pub(in crate::worker) fn hold(&mut self, lane: Option<Lane>) {
        if let Some(lane) = lane {
            self.held.entry(lane).or_default();
        }
    }

    /// Moves what may run and is of a held lane behind that lane's holder, which `is_holder` knows; `each`
    /// gets what was moved.
    pub(in crate::worker) fn set_back(&mut self, is_holder: impl Fn(&T) -> bool, mut each: impl FnMut(&T)) {
        if self.held.is_empty() {
            return;
        }
        let held = &self.held;
        let goes = |_: &i64, (lane, item): &mut (Option<Lane>, T)| {
            lane.is_some_and(|lane| held.contains_key(&lane)) && !is_holder(item)
        };
        let moved: Vec<(i64, (Option<Lane>, T))> = self.ready.extract_if(.., goes).collect();
        for (offset, (lane, item)) in moved {
            each(&item);
            self.put(lane, offset, item);
        }
    }

    /// Lets all that waits for a lane run; `each` gets what waited.
    pub(in crate::worker) fn free(&mut self, lane: Option<Lane>, mut each: impl FnMut(&T)) {
        let Some(queue) = lane.and_then(|lane| self.held.remove(&lane)) else { return };
        self.waiting -= queue.len();
        for (offset, item) in queue {
            each(&item);
            self.ready.insert(offset, (lane, item));
        }
    }

    /// Whether any lane is held.
    pub(in crate::worker) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// The item with the smallest offset that may run.
    pub(in crate::worker) fn first(&self) -> Option<&T> {
        self.ready.first_key_value().map(|(_, (_, item))| item)
    }

    /// The offset of the first item that may run, is wanted, and has none of its lane before it.
    pub(in crate::worker) fn find(&self, wanted: impl Fn(&T) -> bool) -> Option<i64> {
        let mut seen = HashSet::new();
        let mut is_first = |lane: Option<Lane>| lane.is_none_or(|lane| seen.insert(lane));
        let found = self.ready.iter().find(|(_, (lane, item))| is_first(*lane) && wanted(item));
        found.map(|(offset, _)| *offset)
    }

    /// Takes the item with this offset out, which may run.
    pub(in crate::worker) fn take(&mut self, offset: i64) -> Option<(Option<Lane>, T)> {
        self.ready.remove(&offset)
    }

    /// How many items may run.
    pub(in crate::worker) fn ready_len(&self) -> usize {
        self.ready.len()
    }
}
