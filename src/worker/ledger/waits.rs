//! What waits for a time: records with a delay, and starts that a rate limits. Pure: time is passed in, no IO.

use std::time::{Duration, Instant};

use super::Ledger;
use super::partition::{Item, Partition, weight};
use crate::clock::rate::{Bucket, Rate};
use crate::record::RecordRef;
use crate::worker::lanes::Lane;

/// A partition whose next delayed record is due later is paused until then.
const FAR: Duration = Duration::from_secs(5);

impl Ledger {
    /// The same ledger, which gives out so many records in a time at most.
    pub(crate) fn at_most(self, rate: Option<Rate>) -> Self {
        Self { rate: rate.map(Bucket::new), ..self }
    }

    /// Takes a delivered record in, as [`Ledger::receive`] does; it does not run before `due`.
    pub(crate) fn receive_delayed(&mut self, record: RecordRef<'_>, due: Instant) {
        self.take_in(record, Some(due));
    }

    /// Puts a record that may not run yet among those that wait for a time. It holds its lane: those of its
    /// lane run in their order.
    pub(super) fn delay(&mut self, epoch: u64, lane: Option<Lane>, item: Item) {
        if let Some((partition, due)) = self.partitions.get_mut(&epoch).zip(item.due) {
            let bytes = weight(&item.record);
            partition.retrying += 1;
            partition.waiting.add(bytes);
            self.waiting.add(bytes);
            self.retry_number += 1;
            self.retries.insert((due, self.retry_number), (epoch, lane, item));
            self.take_turn(epoch);
        }
    }

    /// Takes note of whether anything came lately, where the worker ends when nothing does. True where it is
    /// quiet and was not.
    pub(crate) fn note_quiet(&mut self, is_quiet: bool) -> bool {
        !std::mem::replace(&mut self.is_quiet, is_quiet) && is_quiet
    }

    /// When there may be something to run that there is not now: a retry or the end of a delay is due, or the
    /// next start is free. `None` where a completion or a record must come first.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.stopped || self.are_all_busy() {
            return None;
        }
        if self.outage.pause_number().is_some() {
            let free_at = self.rate.and_then(|rate| rate.free_at());
            return self.next_retry().map(|due| free_at.map_or(due, |free_at| free_at.max(due)));
        }
        let start = match self.batches {
            Some(_) => self.next_batch_due(),
            None => self.rate.filter(|_| !self.turns.is_empty()).and_then(|rate| rate.free_at()),
        };
        start.into_iter().chain(self.next_retry()).min()
    }

    /// Whether the rate lets a command start now.
    pub(super) fn may_start_now(&self, now: Instant) -> bool {
        self.rate.is_none_or(|rate| rate.is_free(now))
    }

    /// Takes a start for what was given out before: a half of a batch. Where none is free, says when one is.
    pub(crate) fn take_start(&mut self, now: Instant) -> Result<(), Instant> {
        let Some(rate) = &mut self.rate else { return Ok(()) };
        match rate.free_at() {
            Some(free_at) if free_at > now => Err(free_at),
            _ => {
                rate.take(now);
                Ok(())
            }
        }
    }

    /// Takes note of the partitions that nothing is to be read of for now: all that is there of them is
    /// delayed, and the next is not due soon.
    pub(crate) fn look_ahead(&mut self, now: Instant) {
        for partition in self.partitions.values_mut() {
            partition.is_far = is_far(partition, now);
        }
    }
}

fn is_far(partition: &Partition, now: Instant) -> bool {
    partition.delayed.first().is_some_and(|(due, _)| *due > now + FAR)
}

#[cfg(test)]
mod tests;
