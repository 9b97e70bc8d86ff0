//! What the worker holds: per partition and assignment epoch, what is queued, running, resolved.
//! Pure: time is passed in, no IO.

mod batches;
mod commits;
mod flow;
mod front;
mod giving;
mod job;
mod leaving;
mod outage;
mod partition;
mod probing;
mod tried;
mod trying;
mod view;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::lanes::{Lane, Lanes, Order};
use crate::clock::rate::Bucket;
use crate::reading::start::Found;
use crate::reading::tracker::Tracker;
use crate::record::{Record, RecordRef, TopicPartition};
use batches::Batches;
use partition::{Item, Load, Parked, Partition, Passed, Running, Stored, weight};

pub(super) use commits::{Commits, Pace};
pub(super) use job::{Job, Outcome, Ticket};
pub(crate) use outage::OnOutage;
pub(super) use outage::{Fate, GivenUp, Outage, Standing};
pub(super) use view::PartitionStatus;

/// How much is held at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Records that run at the same time.
    pub jobs: usize,
    /// Last seen + 1 − committable, a partition.
    pub max_span: u64,
    /// Records queued, in all.
    pub queue_len: usize,
    /// Bytes queued, in all.
    pub queue_bytes: usize,
    /// `-n`: records resolved before the worker ends.
    pub count: Option<u64>,
}

/// Everything the worker holds.
#[derive(Debug)]
pub(super) struct Ledger {
    order: Order,
    limits: Capacity,
    names: HashMap<Arc<str>, HashMap<i32, u64>>,
    partitions: HashMap<u64, Partition>,
    last_epoch: u64,
    /// Partitions that have something to run, in turn.
    turns: VecDeque<u64>,
    /// Records that wait for their next attempt, or for the end of their delay, by when; the number tells
    /// equal times apart.
    retries: BTreeMap<(Instant, u64), (u64, Option<Lane>, Item)>,
    retry_number: u64,
    /// The starts that are left, where they are limited.
    rate: Option<Bucket>,
    /// What is queued, in all.
    queued: Load,
    /// The same as of each partition, in all.
    waiting: Load,
    /// What is parked, in all.
    parked: Load,
    running: usize,
    resolved: u64,
    /// Resolved without a command: no filter let them through.
    filtered: u64,
    /// The same: they were done before, as the group's commits say.
    already_done: u64,
    /// Whether commits say what is done beyond them.
    has_metadata: bool,
    /// Taken and not resolved.
    unresolved: u64,
    /// Nothing new is taken or started.
    stopped: bool,
    /// Nothing came for so long that the worker would end if nothing ran.
    is_quiet: bool,
    all_paused: bool,
    /// Where commands take many records at once.
    batches: Option<Batches>,
    /// While it lasts, one record at a time is given out.
    pub(super) outage: Outage,
}

impl Ledger {
    /// An empty ledger: nothing assigned.
    pub(super) fn new(order: Order, limits: Capacity) -> Self {
        Self {
            order,
            limits,
            names: HashMap::new(),
            partitions: HashMap::new(),
            last_epoch: 0,
            turns: VecDeque::new(),
            retries: BTreeMap::new(),
            retry_number: 0,
            rate: None,
            queued: Load::default(),
            waiting: Load::default(),
            parked: Load::default(),
            running: 0,
            resolved: 0,
            filtered: 0,
            already_done: 0,
            has_metadata: true,
            unresolved: 0,
            stopped: false,
            is_quiet: false,
            all_paused: false,
            batches: None,
            outage: Outage::default(),
        }
    }

    fn epoch(&self, topic: &str, partition: i32) -> Option<u64> {
        self.names.get(topic)?.get(&partition).copied()
    }

    /// Begins a new epoch of a partition, at `position` where that is known; `until`
    /// is the exclusive end of what is asked for.
    pub(super) fn assign(&mut self, name: &TopicPartition, position: Option<i64>, until: Option<i64>) {
        self.end(name);
        self.last_epoch += 1;
        self.names.entry(Arc::clone(&name.topic)).or_default().insert(name.partition, self.last_epoch);
        let partition = Partition {
            name: name.clone(),
            tracker: Tracker::default(),
            parked: VecDeque::new(),
            lanes: Lanes::default(),
            running: HashMap::new(),
            misses: HashMap::new(),
            retrying: 0,
            queued_bytes: 0,
            delayed: BTreeSet::new(),
            is_far: false,
            waiting: Load::default(),
            until,
            until_time: None,
            first: None,
            end_behind: None,
            at_end: false,
            ended: until.zip(position).is_some_and(|(until, position)| position >= until),
            draining: false,
            paused: None,
            terminated: false,
            busy: false,
            due: Vec::new(),
            in_turn: false,
            stored: Stored::default(),
            done_before: None,
            position,
            high: None,
            front: None,
        };
        self.partitions.insert(self.last_epoch, partition);
    }

    /// The same, with all that is known of where it begins and ends.
    pub(super) fn begin(&mut self, name: &TopicPartition, start: &Found) {
        self.assign(name, start.at, start.limit.offset());
        if let Some(partition) = self.partitions.get_mut(&self.last_epoch) {
            (partition.first, partition.until_time) = (start.first, start.until_time);
        }
    }

    /// Goes back to `next` in a partition, as a new epoch: what was read of it is not what is there now.
    pub(super) fn go_back(&mut self, name: &TopicPartition, next: i64, until: Option<i64>) {
        let kept = self.epoch_of(name).and_then(|epoch| self.partitions.get(&epoch)?.until_time);
        self.assign(name, Some(next), until);
        if let Some(partition) = self.partitions.get_mut(&self.last_epoch) {
            partition.until_time = kept;
        }
    }

    /// Ends the partitions whose time has come and of which all was read: what is written from now on is
    /// of a later one.
    /// Says whether there was one.
    pub(super) fn reach_time(&mut self, now_ms: i64) -> bool {
        let mut has_ended = false;
        for partition in self.partitions.values_mut() {
            let is_over = partition.until_time.is_some_and(|time| now_ms >= time);
            if is_over && partition.at_end && !partition.ended && partition.parked.is_empty() {
                (partition.until, partition.ended) = (partition.read_to(), true);
                has_ended = true;
            }
        }
        has_ended
    }

    /// Takes a delivered record in. Records of a partition that is not assigned,
    /// that ended, or that drains are refused: nothing of them is committed.
    pub(super) fn receive(&mut self, record: RecordRef<'_>) {
        self.take_in(record, None);
    }

    fn take_in(&mut self, record: RecordRef<'_>, due: Option<Instant>) {
        let Some(epoch) =
            self.accepts(record.topic, record.partition, record.offset, record.timestamp.millis())
        else {
            return;
        };
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        let leader_epoch = record.leader_epoch;
        if partition.is_already_done(record.offset, leader_epoch) {
            return self.park(epoch, Parked::Passed(record.offset, leader_epoch, Passed::AlreadyDone));
        }
        let record = Arc::new(Record {
            topic: Arc::clone(&partition.name.topic),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|h| (h.name.to_vec(), h.value.map(<[u8]>::to_vec))).collect(),
        });
        let parked = match due {
            None => Parked::Record(record, leader_epoch),
            Some(due) => Parked::Delayed(record, leader_epoch, due),
        };
        self.park(epoch, parked);
    }

    /// Takes in that a record was delivered which no command runs for: it is resolved in its turn.
    pub(super) fn pass(&mut self, record: &RecordRef<'_>) {
        let RecordRef { topic, partition, offset, leader_epoch, timestamp, .. } = *record;
        if let Some(epoch) = self.accepts(topic, partition, offset, timestamp.millis()) {
            self.park(epoch, Parked::Passed(offset, leader_epoch, Passed::Filtered));
        }
    }

    /// The epoch that a delivered record belongs to, where it is taken; `time` is the record's, in ms
    /// since the epoch.
    fn accepts(&mut self, topic: &str, partition: i32, offset: i64, time: Option<i64>) -> Option<u64> {
        let epoch = self.epoch(topic, partition)?;
        let partition = self.partitions.get_mut(&epoch)?;
        if self.stopped || partition.draining || partition.ended {
            return None;
        }
        partition.at_end = false;
        if partition.first.is_some_and(|first| offset < first) {
            return None;
        }
        if partition.until_time.zip(time).is_some_and(|(until, time)| time >= until) {
            partition.until = partition.until.min(Some(offset)).or(Some(offset));
        }
        if partition.until.is_some_and(|until| offset >= until) {
            self.take_end(epoch, offset);
            return None;
        }
        Some(epoch)
    }

    fn park(&mut self, epoch: u64, parked: Parked) {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        self.parked.add(parked.weight());
        partition.parked.push_back(parked);
        self.admit(epoch);
    }

    /// Takes note of the end of a partition, as the client reports it.
    pub(super) fn reach_end(&mut self, topic: &str, partition: i32, offset: i64) {
        if let Some(epoch) = self.epoch(topic, partition) {
            if let Some(partition) = self.partitions.get_mut(&epoch) {
                partition.at_end = true;
            }
            self.take_end(epoch, offset);
        }
    }

    /// Every record before `offset` was delivered.
    fn take_end(&mut self, epoch: u64, offset: i64) {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        if !self.stopped && !partition.draining {
            partition.end_behind = Some(offset);
            partition.pass_end();
        }
    }

    /// Moves parked records of a partition into its lanes, as far as the limits let it.
    fn admit(&mut self, epoch: u64) {
        let share = self.share();
        let room = self.waiting_room(1);
        let since = self.batches.as_ref().and_then(Batches::now);
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        while let Some(parked) = partition.parked.front() {
            let offset = parked.offset();
            let full = partition.queued() >= share.0 || partition.queued_bytes >= share.1;
            let done = self.limits.count.is_some_and(|count| self.resolved + self.unresolved >= count);
            if full || done || !partition.tracker.admits(offset, self.limits.max_span) {
                break;
            }
            let lane = match parked {
                Parked::Record(record, _) | Parked::Delayed(record, ..) => {
                    self.order.lane(record.key.as_deref())
                }
                Parked::Passed(..) => None,
            };
            if !room.admits(self.waiting, partition.waiting) && partition.lanes.is_held(lane) {
                break;
            }
            let Some(parked) = partition.parked.pop_front() else { break };
            let bytes = parked.weight();
            self.parked.remove(bytes);
            if !partition.tracker.receive(offset, parked.leader_epoch()) {
                continue;
            }
            partition.ended |= partition.until.is_some_and(|until| offset + 1 >= until);
            let (record, due) = match parked {
                Parked::Record(record, _) => (record, None),
                Parked::Delayed(record, _, due) => (record, Some(due)),
                Parked::Passed(.., why) => {
                    partition.tracker.resolve(offset);
                    match why {
                        Passed::Filtered => self.filtered += 1,
                        Passed::AlreadyDone => self.already_done += 1,
                    }
                    continue;
                }
            };
            partition.delayed.extend(due.map(|due| (due, offset)));
            partition.queued_bytes += bytes;
            self.queued.add(bytes);
            self.unresolved += 1;
            let item = Item { due, ..Item::new(record, since) };
            let waits = match self.batches {
                None => partition.lanes.push(lane, offset, item),
                Some(_) => partition.lanes.put(lane, offset, item),
            };
            if waits {
                partition.waiting.add(bytes);
                self.waiting.add(bytes);
            }
        }
        partition.pass_end();
        self.take_turn(epoch);
    }

    /// Queues a partition for its turn if it has something to run.
    fn take_turn(&mut self, epoch: u64) {
        if let Some(partition) = self.partitions.get_mut(&epoch)
            && !partition.in_turn
            && !partition.busy
            && partition.lanes.is_ready()
        {
            partition.in_turn = true;
            self.turns.push_back(epoch);
        }
    }

    /// Takes note of how a job ended. False for a ticket of an ended epoch: nothing follows from it.
    pub(super) fn finish(&mut self, ticket: Ticket, outcome: Outcome) -> bool {
        if self.batches.is_some() {
            return self.finish_all(&[ticket], outcome);
        }
        let Some(partition) = self.partitions.get_mut(&ticket.epoch) else { return false };
        let Some(Running { mut item, lane, since }) = partition.running.remove(&ticket.offset) else {
            return false;
        };
        self.running -= 1;
        partition.note_run(ticket.offset, outcome);
        match outcome {
            Outcome::Resolved => {
                partition.tracker.resolve(ticket.offset);
                if let Some(next) = partition.lanes.release(lane) {
                    let bytes = weight(&next.record);
                    partition.waiting.remove(bytes);
                    self.waiting.remove(bytes);
                }
                self.resolved += 1;
                self.unresolved -= 1;
            }
            Outcome::Retry(due) | Outcome::Again(due) if !self.stopped && !partition.draining => {
                if matches!(outcome, Outcome::Retry(_)) {
                    item.spend(since, &self.outage);
                }
                let bytes = weight(&item.record);
                partition.retrying += 1;
                partition.waiting.add(bytes);
                self.waiting.add(bytes);
                partition.queued_bytes += bytes;
                self.queued.add(bytes);
                self.retry_number += 1;
                self.retries.insert((due, self.retry_number), (ticket.epoch, lane, item));
            }
            Outcome::Retry(_) | Outcome::Again(_) | Outcome::Abandoned => {}
        }
        self.admit(ticket.epoch);
        true
    }

    /// Takes note of where a partition ends by now.
    pub(super) fn see_end(&mut self, name: &TopicPartition, high: i64) {
        let Some(epoch) = self.epoch_of(name) else { return };
        if let Some(partition) = self.partitions.get_mut(&epoch) {
            partition.high = partition.high.max(Some(high));
        }
    }
}

#[cfg(test)]
mod tests;
