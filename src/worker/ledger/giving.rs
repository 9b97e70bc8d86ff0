//! Which record is given out next, and when there is one. Pure: time is passed in, no IO.

use std::sync::Arc;
use std::time::Instant;

use super::batches::Batches;
use super::partition::{Item, Running, weight};
use super::{Job, Ledger, Ticket};
use crate::worker::lanes::Lane;

impl Ledger {
    /// The next record to run, if one may run now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Job> {
        if self.stopped || self.commands() >= self.limits.jobs {
            return None;
        }
        if self.outage.pause_number().is_some() {
            return if self.may_start_now(now) { self.next_probe(now) } else { None };
        }
        while let Some(due) = self.retries.first_entry().filter(|due| due.key().0 <= now) {
            let (epoch, lane, item) = due.remove();
            if let Some(partition) = self.partitions.get_mut(&epoch) {
                partition.retrying -= 1;
                let bytes = weight(&item.record);
                partition.waiting.remove(bytes);
                self.waiting.remove(bytes);
                partition.lanes.push_again(lane, item.record.offset, item);
                self.take_turn(epoch);
            }
        }
        if !self.may_start_now(now) {
            return None;
        }
        self.next_in_turn(now)
    }

    /// The next record of the next partition that has one which may run.
    pub(super) fn next_in_turn(&mut self, now: Instant) -> Option<Job> {
        while let Some(epoch) = self.turns.pop_front() {
            let Some(partition) = self.partitions.get_mut(&epoch) else { continue };
            partition.in_turn = false;
            let Some((lane, item)) = partition.lanes.pop() else { continue };
            if item.due.is_some_and(|due| due > now) {
                self.delay(epoch, lane, item);
                continue;
            }
            return Some(self.start(epoch, lane, item, now));
        }
        None
    }

    /// Gives out a record that was taken out of its queue.
    pub(super) fn start(&mut self, epoch: u64, lane: Option<Lane>, mut item: Item, now: Instant) -> Job {
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
        let bytes = weight(&item.record);
        self.queued.remove(bytes);
        self.running += 1;
        let record = Arc::clone(&item.record);
        let (offset, attempt) = (record.offset, item.attempt(self.outage.pause_number()));
        if let Some(partition) = self.partitions.get_mut(&epoch) {
            partition.queued_bytes -= bytes;
            if let Some(due) = item.due.take() {
                partition.delayed.remove(&(due, offset));
            }
            partition.running.insert(offset, Running { item, lane, since: now });
            self.take_turn(epoch);
        }
        // Room was made: what is parked may come in.
        if self.partitions.get(&epoch).is_some_and(|partition| !partition.parked.is_empty()) {
            self.admit(epoch);
        }
        Job { ticket: Ticket { epoch, offset }, record, attempt, lane }
    }

    /// Whether [`Ledger::next`] would give another one out, leaving retries aside.
    pub(crate) fn can_start(&self) -> bool {
        let is_paused = self.outage.pause_number().is_some();
        !self.stopped && !is_paused && !self.are_all_busy() && !self.turns.is_empty()
    }

    /// Whether as many commands run as may.
    pub(super) fn are_all_busy(&self) -> bool {
        self.batches.as_ref().map_or_else(|| self.commands(), Batches::running) >= self.limits.jobs
    }

    /// When the next retry is due, or the next probe of an outage. `None` while as many run as may.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        if self.are_all_busy() {
            return None;
        }
        let retry = self.retries.first_key_value().map(|((due, _), _)| *due);
        match self.probe_due() {
            None => retry,
            Some(probe) => {
                let first = |epoch| self.partitions.get(epoch)?.lanes.first();
                let ready = self.turns.iter().filter_map(first);
                // In batches, what is delayed is among what is ready.
                let delay = |item: &Item| item.due.filter(|_| self.batches.is_some());
                ready
                    .map(delay)
                    .chain(retry.map(Some))
                    .map(|due| due.map_or(probe, |due| due.max(probe)))
                    .min()
            }
        }
    }
}
