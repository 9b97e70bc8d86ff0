//! How much of what the client delivers is held: what is full, what is paused, what is read again. Pure: no
//! clock, no IO.

use super::Ledger;
use super::partition::{Load, Parked, Partition, WaitingRoom};
use crate::record::TopicPartition;

impl Ledger {
    /// How much may wait for its lane or its retry, with all limits divided by `gap`.
    pub(super) fn waiting_room(&self, gap: usize) -> WaitingRoom {
        let all = self.partitions.len();
        let parts = |n: usize| Load {
            records: self.limits.queue_len / gap / n,
            bytes: self.limits.queue_bytes / gap / n,
        };
        WaitingRoom { is_all: all == 1, first_come: parts(2), reserve: parts(4 * all.max(1)) }
    }

    /// What one partition may queue: (records, bytes). Twice its even share, so
    /// that the total is reached first when all are alike.
    pub(super) fn share(&self) -> (usize, usize) {
        let part = |total: usize, least: usize| {
            (2 * total / self.partitions.len().max(1)).clamp(least.min(total), total)
        };
        (part(self.limits.queue_len, 64), part(self.limits.queue_bytes, 256 * 1024))
    }

    /// Whether nothing should be read at all for now: the queues are full in all.
    pub(crate) fn is_full(&self) -> bool {
        self.queued.records + self.parked.records >= self.limits.queue_len
            || self.queued.bytes + self.parked.bytes >= self.limits.queue_bytes
    }

    /// Whether it is worth reading on after [`Ledger::is_full`]: an eighth is free again.
    pub(crate) fn has_room(&self) -> bool {
        let (records, bytes) = (self.limits.queue_len, self.limits.queue_bytes);
        self.queued.records + self.parked.records <= records - records / 8
            && self.queued.bytes + self.parked.bytes <= bytes - bytes / 8
    }

    /// Partitions to pause and to resume now. Each pause throws the client's prefetch away, and it
    /// takes a while to get going again: a partition that can take no more is paused only once
    /// something could run and nothing is there, or the queue has been full for long (`is_full`),
    /// and resumed at a quarter of its share. Until then what came is parked, and the whole queue,
    /// once full, slows the reading. Where it is full all the same, every one is paused until what
    /// could run is down to a quarter of what the rest leaves room for.
    ///
    /// What is parked of a partition that is paused is dropped: it is to be read again from the
    /// offset that comes with its name.
    pub(crate) fn flow(
        &mut self,
        is_full: bool,
    ) -> (Vec<(TopicPartition, Option<i64>)>, Vec<TopicPartition>) {
        let starves = self.has_free_commands() && self.turns.is_empty();
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        if starves || is_full {
            self.pause(&mut pause, |partition| !partition.parked.is_empty());
        }
        self.pause(&mut pause, |partition| partition.is_far);
        self.all_paused |= is_full && !self.has_room();
        let runnable = (self.queued.records - self.waiting.records, self.queued.bytes - self.waiting.bytes);
        if runnable.0 <= self.limits.queue_len.saturating_sub(self.waiting.records) / 4
            && runnable.1 <= self.limits.queue_bytes.saturating_sub(self.waiting.bytes) / 4
        {
            self.all_paused = false;
        }
        if self.all_paused {
            self.pause(&mut pause, |_| true);
            return (pause, resume);
        }
        let (share, room) = (self.share(), self.waiting_room(2));
        let is_low = |partition: &Partition| {
            partition.queued() <= share.0 / 4
                && partition.queued_bytes <= share.1 / 4
                && partition.tracker.span() <= self.limits.max_span / 2
                && (partition.waiting.records == 0 || room.admits(self.waiting, partition.waiting))
        };
        // What would come is not taken: it would be parked, and dropped by the next pause.
        let is_all_taken = self.limits.count.is_some_and(|count| self.resolved + self.unresolved >= count);
        let due = |(_, partition): &(&u64, &Partition)| {
            let is_paused = partition.paused == Some(true);
            let is_new = partition.paused.is_none();
            let stays = (starves || is_full) && !partition.parked.is_empty();
            !partition.draining
                && !partition.is_far
                && !stays
                && (is_new || (is_paused && !is_all_taken && is_low(partition)))
        };
        let epochs: Vec<u64> = self.partitions.iter().filter(due).map(|(epoch, _)| *epoch).collect();
        for epoch in epochs {
            let Some(partition) = self.partitions.get_mut(&epoch) else { continue };
            partition.paused = Some(false);
            resume.push(partition.name.clone());
        }
        (pause, resume)
    }

    /// Pauses the partitions that are selected and not paused, and drops what is parked of them.
    pub(super) fn pause(
        &mut self,
        pause: &mut Vec<(TopicPartition, Option<i64>)>,
        selected: impl Fn(&Partition) -> bool,
    ) {
        for partition in self.partitions.values_mut() {
            if partition.draining || partition.paused == Some(true) || !selected(partition) {
                continue;
            }
            partition.paused = Some(true);
            let next = partition.parked.front().map(Parked::offset);
            let (records, bytes) = partition.drop_parked();
            self.parked.records -= records;
            self.parked.bytes -= bytes;
            pause.push((partition.name.clone(), next));
        }
    }
}
