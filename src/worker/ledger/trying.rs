//! The attempts at the records that run. Pure: time is passed in, no IO.

use std::time::{Duration, Instant};

use super::outage::Outage;
use super::partition::Item;
use super::tried::Tried;
use super::{Ledger, Ticket};
use crate::worker::deploy::Misses;

impl Item {
    /// The number of its next attempt, from 1; `pause` is the one that lasts.
    pub(super) fn attempt(&self, pause: Option<u64>) -> u32 {
        1 + self.tried.as_ref().map_or(0, |tried| tried.spent(pause))
    }

    /// An attempt, which began at `since`, is spent.
    pub(super) fn spend(&mut self, since: Instant, outage: &Outage) {
        self.tried_since(since, outage).spend(outage);
    }

    fn tried_since(&mut self, since: Instant, outage: &Outage) -> &mut Tried {
        self.tried.get_or_insert_with(|| Box::new(Tried::since(since, outage)))
    }

    /// How its last attempt ended, where that has failed.
    pub(super) fn how(&self) -> Option<&str> {
        self.tried.as_ref().map(|tried| tried.how.as_str()).filter(|how| !how.is_empty())
    }
}

impl Ledger {
    /// An attempt failed, and how.
    pub(crate) fn note_failure(&mut self, ticket: Ticket, how: String) {
        let Some(partition) = self.partitions.get_mut(&ticket.epoch) else { return };
        if let Some(running) = partition.running.get_mut(&ticket.offset) {
            let since = running.since;
            running.item.tried_since(since, &self.outage).how = how;
        }
    }

    /// The value of a record that runs could not be decoded. Says whether that is new: each attempt at it, and each
    /// batch that it is in, finds it again.
    pub(crate) fn note_undecoded(&mut self, ticket: Ticket) -> bool {
        let partition = self.partitions.get_mut(&ticket.epoch);
        let running = partition.and_then(|of| of.running.get_mut(&ticket.offset));
        running.is_some_and(|running| !std::mem::replace(&mut running.item.is_undecoded, true))
    }

    /// An attempt at a record found that the command can't be run. Gives since when each one did.
    pub(crate) fn miss(&mut self, ticket: Ticket, now: Instant) -> Instant {
        let Some(partition) = self.partitions.get_mut(&ticket.epoch) else { return now };
        let mut misses = partition.misses.remove(&ticket.offset);
        let since = Misses::count(&mut misses, now);
        partition.misses.extend(misses.map(|misses| (ticket.offset, misses)));
        since
    }

    /// How long a record that runs has been tried, from the start of its first attempt.
    pub(crate) fn tried_for(&self, ticket: Ticket, now: Instant) -> Duration {
        let running = self.partitions.get(&ticket.epoch).and_then(|of| of.running.get(&ticket.offset));
        let Some(running) = running else { return Duration::ZERO };
        match &running.item.tried {
            Some(tried) => tried.lasts(&self.outage, now),
            None => now.saturating_duration_since(running.since),
        }
    }
}
