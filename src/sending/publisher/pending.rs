//! The batches whose records are under way, by the number that librdkafka carries with each. Pure: no clock, no IO.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::batch::{Batch, Change, Outcome};
use crate::lock::Lock;

/// Which record of which batch: a producer's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    slot: u32,
    index: u32,
}

impl Tag {
    /// The record at this place of the batch of `slot`.
    pub(super) fn new(slot: u32, index: usize) -> Self {
        Self { slot, index: index as u32 }
    }

    pub(super) fn number(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.index)
    }

    pub(super) fn of(number: u64) -> Self {
        Self { slot: (number >> 32) as u32, index: number as u32 }
    }
}

/// The batches that are under way.
#[derive(Debug, Default)]
pub(super) struct Pending {
    slots: Lock<Slots>,
    /// Records without a result.
    records: AtomicUsize,
}

#[derive(Debug, Default)]
struct Slots {
    /// With the generation of the client that each was given to.
    batches: Vec<Option<(u32, Arc<Batch>)>>,
    free: Vec<u32>,
}

impl Pending {
    /// How many records have no result yet.
    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Acquire)
    }

    /// Takes a batch of so many records in, which a client of this generation is about to get, and gives its slot.
    pub(super) fn insert(&self, generation: u32, batch: &Arc<Batch>, records: usize) -> u32 {
        self.records.fetch_add(records, Ordering::AcqRel);
        let mut slots = self.slots.lock();
        let entry = Some((generation, Arc::clone(batch)));
        if let Some(slot) = slots.free.pop() {
            slots.batches[slot as usize] = entry;
            return slot;
        }
        slots.batches.push(entry);
        (slots.batches.len() - 1) as u32
    }

    /// The topic of a record that has no result yet.
    pub(super) fn topic(&self, tag: Tag) -> Option<usize> {
        let slots = self.slots.lock();
        let (_, batch) = slots.batches.get(tag.slot as usize)?.as_ref()?;
        Some(batch.topic)
    }

    /// The result of one record, which `outcome` makes for the topic of its batch.
    pub(super) fn settle(&self, tag: Tag, outcome: impl FnOnce(usize) -> Outcome) {
        let change = {
            let mut slots = self.slots.lock();
            let Some(Some((_, batch))) = slots.batches.get(tag.slot as usize) else { return };
            let Some(change) = batch.settle(tag.index as usize, outcome(batch.topic)) else { return };
            if matches!(change, Change::Complete(_)) {
                slots.remove(tag.slot);
            }
            change
        };
        self.records.fetch_sub(1, Ordering::AcqRel);
        wake(change);
    }

    /// All records of a batch are queued.
    pub(super) fn queued(&self, slot: u32, batch: &Batch) {
        let change = batch.queued();
        if matches!(change, Change::Complete(_)) {
            self.slots.lock().remove(slot);
        }
        wake(change);
    }

    /// Gives up what was handed to a client of this generation: no result of it comes any more.
    pub(super) fn give_up(&self, generation: u32, outcome: Outcome) {
        let mut changes = Vec::new();
        {
            let mut slots = self.slots.lock();
            for slot in 0..slots.batches.len() {
                let Some((of, batch)) = &slots.batches[slot] else { continue };
                if *of != generation {
                    continue;
                }
                let (settled, change) = batch.settle_rest(outcome);
                self.records.fetch_sub(settled, Ordering::AcqRel);
                if matches!(change, Change::Complete(_)) {
                    slots.remove(slot as u32);
                }
                changes.push(change);
            }
        }
        changes.into_iter().for_each(wake);
    }
}

impl Slots {
    fn remove(&mut self, slot: u32) {
        if let Some(entry @ Some(_)) = self.batches.get_mut(slot as usize) {
            *entry = None;
            self.free.push(slot);
        }
    }
}

/// Wakes who waits for a batch that is complete.
fn wake(change: Change) {
    if let Change::Complete(Some(waker)) = change {
        waker.wake();
    }
}
