//! What is given out while the worker is paused: one record at a time, the next lane each time. Pure: time is
//! passed in, no IO.

use std::cmp::Reverse;
use std::time::Instant;

use super::partition::weight;
use super::{Fate, GivenUp, Job, Ledger, Ticket};

impl Ledger {
    /// The next record to try, where one may be tried now.
    ///
    /// Every second one is of a lane that has not failed yet, where there is one: bad records must not
    /// hide that the outage is over. The others are at the one that has spent most attempts, so that
    /// it comes to its end one way or another. With no other lane left they take turns.
    pub(super) fn next_probe(&mut self, now: Instant) -> Option<Job> {
        if self.probe_due().is_none_or(|due| due > now) {
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
        self.probe_started(job.ticket, is_fresh, now);
        Some(job)
    }

    /// When the next probe may start, where the worker is paused.
    pub(super) fn probe_due(&self) -> Option<Instant> {
        self.outage.next_probe(|probe| self.is_live(probe))
    }

    /// A record was given out as a probe.
    pub(super) fn probe_started(&mut self, ticket: Ticket, is_fresh: bool, now: Instant) {
        let partitions = &self.partitions;
        let runs = |probe: Ticket| partitions.get(&probe.epoch).is_some_and(|of| of.runs(probe.offset));
        self.outage.probe_started(ticket, is_fresh, now, runs);
    }

    /// Whether the dead letter of a record that was given up in a pause is under way.
    fn is_giving_up(&self) -> bool {
        self.outage.given_up().is_some_and(|last| self.is_live(last))
    }

    /// How many records have a command, where each has one of its own. That of a dead letter of a pause is free:
    /// with one command in all, none would be left to find out that the outage is over.
    pub(super) fn commands(&self) -> usize {
        self.running - usize::from(self.is_giving_up())
    }

    /// A record failed for good. `random` is from 0 up to 1.
    ///
    /// While it is paused, no other is given up before the dead letter of the last one has left: what holds
    /// that up would take one command after the other out of the search for the end of the outage.
    pub(crate) fn failed_for_good(
        &mut self,
        ticket: Ticket,
        why: GivenUp,
        now: Instant,
        random: f64,
    ) -> Fate {
        if self.outage.pause_number().is_some() && self.is_giving_up() {
            return Fate::Keep;
        }
        self.outage.failed_for_good(ticket, why, now, random)
    }

    /// Whether a record that was given out, and not started, is to come back: the worker is paused, and it is no
    /// probe.
    pub(crate) fn is_held_back(&self, ticket: Ticket) -> bool {
        self.outage.pause_number().is_some() && !self.outage.is_probe(ticket)
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
