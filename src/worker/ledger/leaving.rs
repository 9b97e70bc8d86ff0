//! How partitions leave the ledger: drained, terminated, abandoned, ended. Pure: no clock, no IO.

use super::{Ledger, Ticket};
use crate::record::TopicPartition;

impl Ledger {
    /// The commands of these partitions are terminated: how they end says nothing about their records.
    pub(crate) fn terminate(&mut self, names: &[TopicPartition]) {
        for partition in self.partitions.values_mut().filter(|partition| names.contains(&partition.name)) {
            partition.terminated = true;
        }
    }

    /// Whether a ticket's command was terminated.
    pub(crate) fn is_terminated(&self, ticket: Ticket) -> bool {
        self.partitions.get(&ticket.epoch).is_some_and(|partition| partition.terminated)
    }

    /// Gives up what runs of these partitions, and says what that is: it stays unresolved, so that
    /// nothing is committed past it, and its tickets are void.
    pub(crate) fn abandon(&mut self, names: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
        let places = self.running_places(names);
        for name in names {
            self.drain(name);
        }
        for partition in self.partitions.values_mut().filter(|partition| names.contains(&partition.name)) {
            self.running -= partition.running.len();
            partition.running.clear();
        }
        places
    }

    /// Drops what is queued of a partition and starts nothing more of it: it is being revoked.
    pub(crate) fn drain(&mut self, name: &TopicPartition) {
        let Some(epoch) = self.epoch_of(name) else { return };
        self.drop_queue(epoch);
        if let Some(partition) = self.partitions.get_mut(&epoch) {
            partition.draining = true;
        }
    }

    fn drop_queue(&mut self, epoch: u64) {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        self.queued.records -= partition.queued();
        self.queued.bytes -= partition.queued_bytes;
        let (records, bytes) = partition.drop_parked();
        self.parked.records -= records;
        self.parked.bytes -= bytes;
        partition.lanes.clear();
        partition.due.clear();
        partition.delayed.clear();
        partition.retrying = 0;
        partition.queued_bytes = 0;
        let waiting = std::mem::take(&mut partition.waiting);
        self.waiting.records -= waiting.records;
        self.waiting.bytes -= waiting.bytes;
        self.retries.retain(|_, (of, ..)| *of != epoch);
    }

    /// Takes and starts nothing more, and drops what is queued.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        let epochs: Vec<u64> = self.partitions.keys().copied().collect();
        for epoch in epochs {
            self.drop_queue(epoch);
        }
    }

    /// Ends a partition's epoch: what is not resolved is forgotten, its tickets are void.
    pub(crate) fn end(&mut self, name: &TopicPartition) {
        let Some(epoch) = self.epoch_of(name) else { return };
        self.drop_queue(epoch);
        if let Some(of_topic) = self.names.get_mut(&name.topic) {
            of_topic.remove(&name.partition);
        }
        if let Some(partition) = self.partitions.remove(&epoch) {
            self.running -= partition.running.len();
            self.unresolved -= partition.tracker.unresolved() as u64;
        }
    }
}
