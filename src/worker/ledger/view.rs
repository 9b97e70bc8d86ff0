//! What can be seen of the ledger: what runs, waits, lags, and whether all is done. Pure: no clock, no IO.

use std::time::Instant;

use super::partition::Partition;
use super::{Ledger, Ticket};
use crate::reading::position::Read;
use crate::record::TopicPartition;

/// How one assigned partition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionStatus {
    pub name: TopicPartition,
    /// From the first record that is not done to the end of the partition; `None` where an
    /// end of either is not known yet.
    pub lag: Option<u64>,
    /// Last seen + 1 − committable.
    pub span: u64,
    /// All before it is done.
    pub committable: Option<i64>,
    /// Done and past a record that is not, and not said in the last commit either.
    pub run_again: usize,
    /// Done, and past a record that is not.
    pub ahead: usize,
    /// Since when its oldest record that is not done is that; `None` where nothing is open.
    pub held_since: Option<Instant>,
}

impl Ledger {
    /// The epoch of an assigned partition.
    pub(crate) fn epoch_of(&self, name: &TopicPartition) -> Option<u64> {
        self.epoch(&name.topic, name.partition)
    }

    /// The exclusive end of what is asked for in a partition.
    pub(crate) fn until_of(&self, name: &TopicPartition) -> Option<i64> {
        self.epoch_of(name).and_then(|epoch| self.partitions.get(&epoch)?.until)
    }

    /// Whether all that is asked for of a partition was read.
    pub(crate) fn is_ended(&self, name: &TopicPartition) -> bool {
        self.epoch_of(name).and_then(|epoch| self.partitions.get(&epoch)).is_some_and(|p| p.ended)
    }

    /// How far a partition was read and done; `None` where nothing is known of it.
    pub(crate) fn read_of(&self, name: &TopicPartition) -> Option<Read> {
        let partition = self.partitions.get(&self.epoch_of(name)?)?;
        let next = partition.read_to()?;
        Some(Read { done: partition.tracker.committable().or(partition.position).unwrap_or(next), next })
    }

    /// Whether any partition is assigned.
    pub(crate) fn has_partitions(&self) -> bool {
        !self.partitions.is_empty()
    }

    /// The partitions that are assigned.
    pub(crate) fn assigned(&self) -> Vec<TopicPartition> {
        self.partitions.values().map(|partition| partition.name.clone()).collect()
    }

    /// How many records of these partitions run.
    pub(crate) fn running_of(&self, names: &[TopicPartition]) -> usize {
        let of = |name: &TopicPartition| {
            self.epoch_of(name)
                .and_then(|epoch| self.partitions.get(&epoch))
                .map_or(0, |partition| partition.running.len())
        };
        names.iter().map(of).sum()
    }

    /// How many records run.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// How many records were resolved without a command: no filter let them through.
    pub(crate) fn filtered(&self) -> u64 {
        self.filtered
    }

    /// How many records were resolved without a command: they were done before.
    pub(crate) fn already_done(&self) -> u64 {
        self.already_done
    }

    /// How many records are queued or wait for a retry.
    pub(crate) fn queued(&self) -> usize {
        self.queued.records + self.parked.records
    }

    /// How each assigned partition stands, in order of their names.
    pub(crate) fn partitions(&self) -> Vec<PartitionStatus> {
        let status = |partition: &Partition| {
            let next = partition.tracker.committable().or(partition.position);
            PartitionStatus {
                name: partition.name.clone(),
                lag: partition.high.zip(next).map(|(high, next)| high.saturating_sub(next).max(0) as u64),
                span: partition.tracker.span(),
                committable: partition.tracker.committable(),
                run_again: partition.not_kept(),
                ahead: partition.tracker.ahead(),
                held_since: partition.front.map(|front| front.since),
            }
        };
        let mut partitions: Vec<PartitionStatus> = self.partitions.values().map(status).collect();
        partitions.sort_by(|a, b| a.name.cmp(&b.name));
        partitions
    }

    /// Partitions that are paused: nothing is fetched from them.
    pub(crate) fn paused(&self) -> Vec<TopicPartition> {
        self.partitions.values().filter(|p| p.paused == Some(true)).map(|p| p.name.clone()).collect()
    }

    /// Partitions that more is to come from that the brokers have, each with how far it was read.
    /// Nothing is expected of one that is paused, or whose records wait for room.
    pub(crate) fn behind(&self) -> Vec<(TopicPartition, Option<i64>)> {
        let is_behind = |p: &&Partition| {
            !p.ended && !p.draining && !p.at_end && p.paused != Some(true) && p.parked.is_empty()
        };
        let named = |p: &Partition| (p.name.clone(), p.read_to());
        self.partitions.values().filter(is_behind).map(named).collect()
    }

    /// When the record that runs longest began to.
    pub(crate) fn oldest_start(&self) -> Option<Instant> {
        self.partitions.values().flat_map(|partition| partition.running.values()).map(|r| r.since).min()
    }

    /// Whether a ticket still counts.
    pub(crate) fn is_live(&self, ticket: Ticket) -> bool {
        self.partitions.get(&ticket.epoch).is_some_and(|partition| partition.runs(ticket.offset))
    }

    /// Whether a record that was given out may still be started: its partition stays, and the worker does not stop.
    pub(crate) fn may_start(&self, ticket: Ticket) -> bool {
        !self.stopped && self.partitions.get(&ticket.epoch).is_some_and(|partition| !partition.draining)
    }

    /// Whether something runs, and nothing more is given out unless that is to run again.
    pub(crate) fn is_last_given_out(&self) -> bool {
        if self.running == 0 || self.queued.records > 0 {
            return false;
        }
        let is_all_taken = || {
            self.limits.count.is_some_and(|count| self.resolved + self.unresolved >= count)
                || (self.parked.records == 0
                    && (self.is_quiet || self.partitions.values().all(|p| p.ended && p.until.is_some())))
        };
        self.stopped || is_all_taken()
    }

    /// Whether nothing runs, is queued, or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.running == 0 && self.queued() == 0
    }

    /// Whether all that was asked for is done: `-n` records are resolved, or
    /// every assigned partition reached its end and has nothing left.
    pub(crate) fn is_complete(&self) -> bool {
        if self.limits.count.is_some_and(|count| self.resolved >= count) {
            return true;
        }
        self.is_idle()
            && !self.partitions.is_empty()
            && self.partitions.values().all(|partition| partition.ended && partition.until.is_some())
    }

    /// What runs of these partitions, as `(partition, offset)`: what is abandoned when it does not end.
    pub(crate) fn running_places(&self, names: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
        let mut places: Vec<(TopicPartition, i64)> = self
            .partitions
            .values()
            .filter(|partition| names.contains(&partition.name))
            .flat_map(|p| p.running.keys().map(|&offset| (p.name.clone(), offset)))
            .collect();
        places.sort();
        places
    }
}
