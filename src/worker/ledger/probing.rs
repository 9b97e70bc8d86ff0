//! What is given out while the worker is paused: one record at a time, the next lane each time. Pure: time is
//! passed in, no IO.

use std::cmp::Reverse;
use std::time::Instant;

use super::partition::weight;
use super::{Job, Ledger, Ticket};

impl Ledger {
    /// The next record to try, where one may be tried now.
    ///
    /// Every second one is of a lane that has not failed yet, where there is one: bad records must not
    /// hide that the outage is over. The others are at the one that has spent most attempts, so that
    /// it comes to its end one way or another. With no other lane left they take turns.
    pub(super) fn next_probe(&mut self, now: Instant) -> Option<Job> {
        if self.is_probing() || self.outage.next_probe().is_none_or(|due| due > now) {
            return None;
        }
        let has_fresh = self.has_ready();
        let failed = self.failed_to_probe(has_fresh, now);
        let (job, is_fresh) = match failed {
            Some(failed) if !has_fresh || !self.outage.wants_fresh() => {
                (self.start_failed(failed, now)?, false)
            }
            _ => (self.next_in_turn(now)?, true),
        };
        self.outage.probe_started(job.ticket, is_fresh);
        Some(job)
    }

    /// Whether a probe runs.
    pub(super) fn is_probing(&self) -> bool {
        self.outage.probe().is_some_and(|probe| self.is_live(probe))
    }

    /// Whether a record that was given out, and not started, is to come back: the worker is paused, and another
    /// one is the probe.
    pub(crate) fn is_held_back(&self, ticket: Ticket) -> bool {
        self.outage.pause_number().is_some() && self.outage.probe() != Some(ticket)
    }

    /// Whether a record waits for nothing but its turn.
    pub(super) fn has_ready(&self) -> bool {
        let is_ready = |epoch| self.partitions.get(epoch).is_some_and(|partition| partition.lanes.is_ready());
        self.turns.iter().any(is_ready)
    }

    /// Of the records that wait for a retry which is due, the one that has spent most attempts, or the
    /// one that waits longest.
    fn failed_to_probe(&self, by_attempts: bool, now: Instant) -> Option<(Instant, u64)> {
        let pause = self.outage.pause_number();
        let due = self.retries.range(..=(now, u64::MAX));
        let rank = |number: u64, attempt: u32| (Reverse(if by_attempts { attempt } else { 0 }), number);
        due.min_by_key(|((_, number), (_, _, item))| rank(*number, item.attempt(pause))).map(|(key, _)| *key)
    }

    fn start_failed(&mut self, key: (Instant, u64), now: Instant) -> Option<Job> {
        let (epoch, lane, item) = self.retries.remove(&key)?;
        let bytes = weight(&item.record);
        let partition = self.partitions.get_mut(&epoch)?;
        partition.retrying -= 1;
        partition.waiting.remove(bytes);
        self.waiting.remove(bytes);
        Some(self.start(epoch, lane, item, now))
    }
}
