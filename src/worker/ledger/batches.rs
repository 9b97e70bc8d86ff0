//! Many records to one command: which records of a partition are a batch now, and what becomes of them. Pure: no
//! clock, no IO.
//!
//! But for `--order none`, one batch of a partition runs at a time: so records of one key may be in one
//! batch, and no lane is held while they run. A lane is held by a record that is to be tried again.

use std::time::Instant;

use super::partition::{Item, OVERHEAD, Partition, Running, weight};
use super::{Job, Ledger, Outcome, Ticket};
use crate::record::Record;
use crate::worker::batch::Batching;
use crate::worker::lanes::{Lane, Order};

/// What the ledger knows of batches.
#[derive(Debug)]
pub(super) struct Batches {
    limits: Batching,
    /// Batches that run.
    running: usize,
    /// The time, as it was last seen.
    now: Option<Instant>,
}

impl Batches {
    /// Batches that run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// The time, as it was last seen.
    pub(super) fn now(&self) -> Option<Instant> {
        self.now
    }
}

impl Ledger {
    /// The same ledger, which hands out batches: [`Ledger::next_batch`] instead of [`Ledger::next`].
    pub(in crate::worker) fn in_batches(mut self, limits: Batching) -> Self {
        self.batches = Some(Batches { limits, running: 0, now: None });
        self
    }

    /// Takes note of the time, from which what is received next waits.
    pub(in crate::worker) fn see_time(&mut self, now: Instant) {
        if let Some(batches) = &mut self.batches {
            batches.now = Some(now);
        }
    }

    /// The next batch to run, if one may run now: records of one partition, in the order of their offsets.
    /// [`Ledger::end_batch`] follows, once all of them are finished.
    pub(in crate::worker) fn next_batch(&mut self, now: Instant) -> Option<Vec<Job>> {
        self.see_time(now);
        if self.stopped {
            return None;
        }
        // First: a retry that is due and stays there would have who waits for it look again at once.
        self.take_retries(now);
        if !self.may_start_now(now) {
            return None;
        }
        if self.outage.pause_number().is_some() {
            return self.next_probing_batch(now);
        }
        let is_due = |ledger: &Self, partition: &Partition| {
            ledger.batch_due(partition).is_none_or(|due| due <= now).then_some(())
        };
        let (epoch, ()) = self.turn_with(is_due)?;
        Some(self.take_batch(epoch, now))
    }

    /// The next record to try by itself, where one may be tried now: every second one, if there is one, has not
    /// failed yet, so that no bad record hides that the outage is over. The others are the first of their partition.
    fn next_probing_batch(&mut self, now: Instant) -> Option<Vec<Job>> {
        if self.probe_due().is_none_or(|due| due > now) {
            return None;
        }
        let may_run = |item: &Item| item.due.is_none_or(|due| due <= now);
        let is_fresh = |item: &Item| item.tried.is_none() && may_run(item);
        let find_fresh = |_: &Self, partition: &Partition| partition.lanes.find(is_fresh);
        let fresh = if self.outage.wants_fresh() { self.turn_with(find_fresh) } else { None };
        let (epoch, offset) =
            fresh.or_else(|| self.turn_with(|_, partition| partition.lanes.find(may_run)))?;
        let (jobs, was_tried) = self.take_probe(epoch, offset, now)?;
        if let Some(job) = jobs.first() {
            self.probe_started(job.ticket, !was_tried, now);
        }
        Some(jobs)
    }

    /// Takes the next partition that has what is wanted out of its turn, and says what that is.
    fn turn_with<T>(&mut self, wanted: impl Fn(&Self, &Partition) -> Option<T>) -> Option<(u64, T)> {
        for _ in 0..self.turns.len() {
            let epoch = self.turns.pop_front()?;
            let Some(partition) = self.partitions.get(&epoch) else { continue };
            let has_some = !partition.busy && partition.lanes.is_ready();
            let found = if has_some { wanted(self, partition) } else { None };
            if has_some && found.is_none() {
                self.turns.push_back(epoch);
                continue;
            }
            if let Some(partition) = self.partitions.get_mut(&epoch) {
                partition.in_turn = false;
            }
            if let Some(found) = found {
                return Some((epoch, found));
            }
        }
        None
    }

    /// Gives a record out by itself, and says whether it was tried before.
    fn take_probe(&mut self, epoch: u64, offset: i64, now: Instant) -> Option<(Vec<Job>, bool)> {
        let batches = self.batches.as_mut()?;
        let partition = self.partitions.get_mut(&epoch)?;
        let (lane, item) = partition.lanes.take(offset)?;
        batches.running += 1;
        partition.busy = self.order != Order::None;
        let was_tried = item.tried.is_some();
        Some((vec![self.start(epoch, lane, item, now)], was_tried))
    }

    /// When the first of the batches that wait for more records, for the end of a delay or for a free start is to
    /// start.
    pub(super) fn next_batch_due(&self) -> Option<Instant> {
        let free_at = self.rate.and_then(|rate| rate.free_at());
        let waits = self.turns.iter().filter_map(|epoch| self.partitions.get(epoch));
        // One that is due now would have been taken, unless it came up since.
        waits.filter_map(|partition| self.batch_due(partition).max(free_at)).min()
    }

    /// When the next batch of a partition is to start; `None` is now. With a delay, records wait for those before
    /// them.
    fn batch_due(&self, partition: &Partition) -> Option<Instant> {
        let limits = self.batches.as_ref()?.limits;
        let first = partition.lanes.first()?;
        let held = partition.queued_bytes - partition.waiting.bytes;
        let bytes = held.saturating_sub(OVERHEAD * partition.lanes.ready_len());
        let is_full = partition.lanes.ready_len() >= limits.records || bytes >= limits.bytes;
        let no_more_comes = partition.ended
            || !partition.parked.is_empty()
            || partition.paused == Some(true)
            || self.is_full()
            || self.limits.count.is_some_and(|count| self.resolved + self.unresolved >= count);
        let is_whole = first.is_alone || is_full || no_more_comes;
        let wait = first.since.filter(|_| !is_whole).map(|since| since + limits.wait);
        wait.max(first.due)
    }

    /// Lets what waited for its retry run.
    fn take_retries(&mut self, now: Instant) {
        while let Some(due) = self.retries.first_entry().filter(|due| due.key().0 <= now) {
            let (epoch, lane, item) = due.remove();
            let Some(partition) = self.partitions.get_mut(&epoch) else { continue };
            if partition.busy {
                // Its lane holds back what is left of the batch that runs.
                partition.due.push((lane, item));
            } else {
                self.run_again(epoch, lane, item);
            }
        }
    }

    /// Lets a record run whose retry is due.
    fn run_again(&mut self, epoch: u64, lane: Option<Lane>, item: Item) {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        partition.retrying -= 1;
        let mut freed = vec![weight(&item.record)];
        if !item.is_alone {
            // Those behind it go into the same batch, or into one after it.
            partition.lanes.free(lane, |item| freed.push(weight(&item.record)));
        }
        partition.lanes.push_again(lane, item.record.offset, item);
        for bytes in freed {
            partition.waiting.remove(bytes);
            self.waiting.remove(bytes);
        }
        self.take_turn(epoch);
    }

    fn take_batch(&mut self, epoch: u64, now: Instant) -> Vec<Job> {
        let mut jobs = Vec::new();
        let Some(batches) = &mut self.batches else { return jobs };
        let Some(partition) = self.partitions.get_mut(&epoch) else { return jobs };
        batches.running += 1;
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
        let limits = batches.limits;
        let pause = self.outage.pause_number();
        partition.busy = self.order != Order::None;
        jobs.reserve_exact(limits.records.min(partition.lanes.ready_len()));
        let mut bytes = 0;
        while let Some(first) = partition.lanes.first() {
            bytes += size(&first.record);
            let is_last = first.is_alone;
            let is_full = jobs.len() >= limits.records || bytes > limits.bytes;
            if !jobs.is_empty() && (is_last || is_full || first.due.is_some_and(|due| due > now)) {
                break;
            }
            let Some((lane, mut item)) = partition.lanes.pop() else { break };
            if let Some(due) = item.due.take() {
                partition.delayed.remove(&(due, item.record.offset));
            }
            let held = weight(&item.record);
            partition.queued_bytes -= held;
            self.queued.remove(held);
            self.running += 1;
            let (record, offset, attempt) = (item.record.clone(), item.record.offset, item.attempt(pause));
            partition.running.insert(offset, Running { item, lane, since: now });
            jobs.push(Job { ticket: Ticket { epoch, offset }, record, attempt, lane });
            if is_last {
                break;
            }
        }
        self.take_turn(epoch);
        // Room was made: what is parked may come in.
        if self.partitions.get(&epoch).is_some_and(|partition| !partition.parked.is_empty()) {
            self.admit(epoch);
        }
        jobs
    }

    /// A batch of this epoch is over: each of its records was finished or given back.
    pub(in crate::worker) fn end_batch(&mut self, epoch: u64) {
        if let Some(batches) = &mut self.batches {
            batches.running -= 1;
        }
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        partition.busy = false;
        for (lane, item) in std::mem::take(&mut partition.due) {
            self.run_again(epoch, lane, item);
        }
        self.take_turn(epoch);
    }

    /// Whether a command could be started, were there something to run.
    pub(super) fn has_free_commands(&self) -> bool {
        match &self.batches {
            None => self.commands() < self.limits.jobs,
            // A partition whose batch runs has nothing to give, however much is there: then nothing starves.
            Some(batches) => batches.running == 0,
        }
    }

    /// Takes note of how these records of one epoch ended, all in the same way. False where none of
    /// their tickets counts any more.
    ///
    /// With [`Outcome::Retry`], one record by itself is tried again alone; several go into batches again.
    pub(in crate::worker) fn finish_all(&mut self, tickets: &[Ticket], outcome: Outcome) -> bool {
        let Some(epoch) = tickets.first().map(|ticket| ticket.epoch) else { return false };
        let Some(partition) = self.partitions.get_mut(&epoch) else { return false };
        let goes_on = !self.stopped && !partition.draining;
        let mut counts = false;
        for ticket in tickets {
            let Some(Running { mut item, lane, since }) = partition.running.remove(&ticket.offset) else {
                continue;
            };
            counts = true;
            self.running -= 1;
            partition.note_run(ticket.offset, outcome);
            match outcome {
                Outcome::Resolved => {
                    partition.tracker.resolve(ticket.offset);
                    if item.is_alone {
                        partition.lanes.free(lane, |item| {
                            let bytes = weight(&item.record);
                            partition.waiting.remove(bytes);
                            self.waiting.remove(bytes);
                        });
                    }
                    self.resolved += 1;
                    self.unresolved -= 1;
                }
                Outcome::Retry(due) | Outcome::Again(due) if goes_on => {
                    let spends = matches!(outcome, Outcome::Retry(_));
                    if spends {
                        item.spend(since, &self.outage);
                    }
                    let waits = !item.is_alone && partition.lanes.is_held(lane);
                    item.is_alone |= spends && tickets.len() == 1;
                    let bytes = weight(&item.record);
                    partition.waiting.add(bytes);
                    self.waiting.add(bytes);
                    partition.queued_bytes += bytes;
                    self.queued.add(bytes);
                    if waits {
                        partition.lanes.put(lane, ticket.offset, item);
                    } else {
                        partition.lanes.hold(lane);
                        partition.retrying += 1;
                        self.retry_number += 1;
                        self.retries.insert((due, self.retry_number), (epoch, lane, item));
                    }
                }
                Outcome::Retry(_) | Outcome::Again(_) | Outcome::Abandoned => {}
            }
        }
        if matches!(outcome, Outcome::Retry(_) | Outcome::Again(_)) {
            partition.lanes.set_back(is_alone, |item| {
                let bytes = weight(&item.record);
                partition.waiting.add(bytes);
                self.waiting.add(bytes);
            });
        }
        self.admit(epoch);
        counts
    }

    /// Of a part of a batch, what may still run. What waits for a record before it that is tried again is
    /// given back; where the partition leaves or the worker stops, all of it is given up.
    pub(in crate::worker) fn keep_startable(&mut self, mut part: Vec<Job>) -> Vec<Job> {
        let Some(first) = part.first().map(|job| job.ticket) else { return part };
        if !self.may_start(first) {
            let tickets: Vec<Ticket> = part.iter().map(|job| job.ticket).collect();
            self.finish_all(&tickets, Outcome::Abandoned);
            return Vec::new();
        }
        let Some(partition) = self.partitions.get_mut(&first.epoch) else { return Vec::new() };
        if !partition.lanes.holds_any() {
            return part;
        }
        part.retain(|job| {
            let Some(running) = partition.running.get(&job.ticket.offset) else { return false };
            if running.item.is_alone || !partition.lanes.is_held(job.lane) {
                return true;
            }
            if let Some(Running { item, lane, since: _ }) = partition.running.remove(&job.ticket.offset) {
                self.running -= 1;
                let bytes = weight(&item.record);
                partition.waiting.add(bytes);
                self.waiting.add(bytes);
                partition.queued_bytes += bytes;
                self.queued.add(bytes);
                partition.lanes.put(lane, job.ticket.offset, item);
            }
            false
        });
        part
    }
}

fn is_alone(item: &Item) -> bool {
    item.is_alone
}

/// What a record counts for in a batch: its key, value and headers, in bytes.
fn size(record: &Record) -> usize {
    let of = |bytes: Option<&Vec<u8>>| bytes.map_or(0, Vec::len);
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + of(value.as_ref())).sum();
    headers + of(record.key.as_ref()) + of(record.value.as_ref())
}
