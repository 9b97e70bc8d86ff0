//! A consumer of the cluster in memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{FakeBatch, Owned, out_of_range};
use super::{Cluster, Question, Step};
use crate::clock::source::{Clock as _, Manual};
use crate::kafka::client::{
    Assigned, Commit, Committed, ConsumerClient, Departure, Events as _, MetadataVerdict, Rebalance, StartAt,
    TopicMetadata,
};
use crate::kafka::code::Code;
use crate::record::{Record, TopicPartition};

/// librdkafka's number for a partition that has no offset to read from.
const NO_OFFSET: i64 = -1001;

/// `session.timeout.ms` of this consumer.
const SESSION: Duration = Duration::from_secs(45);

/// How far a partition was read.
#[derive(Clone, Debug)]
struct Position {
    next: i64,
    at_end: bool,
    is_paused: bool,
    /// The client gave it up with `AutoOffsetReset`.
    is_given_up: bool,
}

impl Position {
    fn at(next: i64) -> Self {
        Self { next, at_end: false, is_paused: false, is_given_up: false }
    }
}

/// Reads the cluster in memory. A subscription is answered with all partitions at the next poll, unless
/// steps are left that say otherwise.
pub(crate) struct FakeConsumer {
    cluster: Cluster,
    positions: RefCell<BTreeMap<TopicPartition, Position>>,
    stored: RefCell<BTreeMap<TopicPartition, Commit>>,
    answer: RefCell<Option<Result<(), Code>>>,
    verdict: Cell<MetadataVerdict>,
    /// Topics that were subscribed to and not assigned yet.
    joining: RefCell<Vec<String>>,
}

impl FakeConsumer {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            positions: RefCell::default(),
            stored: RefCell::default(),
            answer: RefCell::default(),
            verdict: Cell::default(),
            joining: RefCell::default(),
        }
    }

    /// The cluster's clock.
    pub(crate) fn clock(&self) -> &Manual {
        self.cluster.clock()
    }

    fn note(&self, call: &str, entries: impl IntoIterator<Item = String>) {
        let mut line = call.to_owned();
        for entry in entries {
            let _ = write!(line, " {entry}");
        }
        self.cluster.note(line);
    }

    fn note_offsets(&self, call: &str, offsets: &[Commit]) {
        self.note(call, offsets.iter().map(|commit| commit.partition.at(commit.offset).to_string()));
    }

    /// Commits, and takes note of what becomes of the metadata.
    fn commit_all(&self, offsets: &[Commit]) -> Result<(), Code> {
        let mut verdict = self.verdict.get();
        let mut outcome = Ok(());
        for Commit { partition: p, offset, metadata } in offsets {
            let metadata = metadata.as_deref().unwrap_or_default();
            let committed = self.cluster.commit_with(&p.topic, p.partition, *offset, metadata);
            match committed {
                Ok(()) => verdict.taken = verdict.taken.max(metadata.len()),
                Err(_) => verdict.is_refused = true,
            }
            outcome = outcome.and(committed);
        }
        self.verdict.set(verdict);
        outcome
    }

    /// Takes partitions over, each from its start.
    fn take_over(&self, partitions: &[Assigned]) {
        for assigned in partitions {
            let partition = assigned.topic_partition();
            let committed = self.cluster.committed(&partition.topic, partition.partition);
            let next = match assigned.start {
                StartAt::Offset(offset) => offset,
                StartAt::Beginning => self.cluster.log(&partition.topic, partition.partition, |log| log.low),
                StartAt::Committed => committed.unwrap_or(NO_OFFSET),
            };
            self.positions.borrow_mut().insert(partition, Position::at(next));
        }
    }

    fn assign_by_group(&self, partitions: Vec<TopicPartition>, handler: &mut dyn Rebalance) {
        let assigned = |p: TopicPartition| Assigned {
            topic: p.topic,
            partition: p.partition,
            start: StartAt::Committed,
        };
        let mut partitions: Vec<Assigned> = partitions.into_iter().map(assigned).collect();
        handler.assigned(&mut partitions);
        self.take_over(&partitions);
    }

    fn revoke(&self, partitions: Vec<TopicPartition>, lost: bool, handler: &mut dyn Rebalance) {
        let assigned = |p: &TopicPartition| Assigned {
            topic: Arc::clone(&p.topic),
            partition: p.partition,
            start: StartAt::Committed,
        };
        let gone: Vec<Assigned> = partitions.iter().map(assigned).collect();
        handler.revoked(&gone, lost);
        if !lost && !self.cluster.state.borrow().leaves_lost {
            self.commit_what_is_stored(|_| true);
        }
        for partition in partitions {
            self.positions.borrow_mut().remove(&partition);
            self.stored.borrow_mut().remove(&partition);
        }
    }

    fn commit_what_is_stored(&self, selected: impl Fn(&Commit) -> bool) {
        let stored: Vec<Commit> = std::mem::take(&mut *self.stored.borrow_mut()).into_values().collect();
        let (selected, rest): (Vec<_>, Vec<_>) = stored.into_iter().partition(selected);
        let _ = self.commit_all(&selected);
        self.stored.borrow_mut().extend(rest.into_iter().map(|commit| (commit.partition.clone(), commit)));
    }

    /// The topics that were subscribed to become partitions.
    fn join(&self, handler: &mut dyn Rebalance) {
        let names = std::mem::take(&mut *self.joining.borrow_mut());
        if names.is_empty() {
            return;
        }
        let has = |topic: &str| {
            names.iter().any(|name| {
                name == topic || (name.starts_with('^') && regex::Regex::new(name).unwrap().is_match(topic))
            })
        };
        let mut partitions = Vec::new();
        for topic in self.cluster.topics().iter().filter(|topic| has(&topic.name)) {
            partitions.extend(topic.partitions.iter().map(|p| TopicPartition::new(&*topic.name, p.id)));
        }
        partitions.retain(|partition| !self.positions.borrow().contains_key(partition));
        self.assign_by_group(partitions, handler);
    }

    /// What there is to read, up to `most` events.
    fn fetch(&self, most: usize) -> FakeBatch {
        let mut events = Vec::new();
        for (partition, position) in self.positions.borrow_mut().iter_mut() {
            if position.is_paused || position.is_given_up {
                continue;
            }
            let _ = self.cluster.led(&partition.topic, partition.partition, |log| {
                if position.next < log.low || position.next > log.high {
                    if events.len() < most {
                        position.is_given_up = true;
                        events.push(out_of_range(partition, position.next, log.cut));
                    }
                    return;
                }
                let rest = log.records.range(position.next..log.end().max(position.next));
                for (offset, record) in rest {
                    if events.len() >= most {
                        return;
                    }
                    position.at_end = false;
                    position.next = offset + 1;
                    events.push(Owned::Record(record.clone(), log.epochs[offset]));
                }
                if !position.at_end && events.len() < most {
                    position.at_end = true;
                    events.push(Owned::End(partition.clone(), log.end()));
                }
            });
        }
        FakeBatch(events)
    }

    /// Reads on from an offset.
    fn go_to(&self, partition: &TopicPartition, offset: i64, may_be_given_up: bool) -> Result<(), Code> {
        let absence = if may_be_given_up { Code::InvalidArgument } else { Code::State };
        let mut positions = self.positions.borrow_mut();
        let position = positions.get_mut(partition).ok_or(absence)?;
        if position.is_given_up && !may_be_given_up {
            return Err(Code::State);
        }
        *position = Position { is_paused: position.is_paused, ..Position::at(offset) };
        Ok(())
    }

    fn set_paused(&self, partitions: &[TopicPartition], is_paused: bool) {
        for partition in partitions {
            if let Some(position) = self.positions.borrow_mut().get_mut(partition) {
                position.is_paused = is_paused;
            }
        }
    }
}

fn named(partitions: Vec<(&str, i32)>) -> Vec<TopicPartition> {
    partitions.into_iter().map(|(topic, partition)| TopicPartition::new(topic, partition)).collect()
}

impl ConsumerClient for FakeConsumer {
    type Batch<'a> = FakeBatch;

    fn metadata(&self, topic: Option<&str>, _: Duration) -> Result<Vec<TopicMetadata>, Code> {
        self.cluster.metadata(topic)
    }

    fn watermarks(&self, topic: &str, partition: i32, _: Duration) -> Result<(i64, i64), Code> {
        self.cluster.answer(Question::Watermarks)?;
        self.cluster.led(topic, partition, |log| (log.low, log.end()))
    }

    fn unstable_end(&self, topic: &str, partition: i32, _: Duration) -> Result<i64, Code> {
        self.cluster.answer(Question::Watermarks)?;
        self.cluster.led(topic, partition, |log| log.high)
    }

    fn seen_end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.positions.borrow().get(&TopicPartition::new(topic, partition))?;
        self.cluster.led(topic, partition, super::Log::end).ok()
    }

    fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
        _: Duration,
    ) -> Result<Vec<Option<i64>>, Code> {
        self.cluster.answer(Question::Times)?;
        let first = |(p, time): &(TopicPartition, i64)| {
            self.cluster.led(&p.topic, p.partition, |log| {
                let is_later = |record: &&Record| record.timestamp.millis().is_some_and(|ms| ms >= *time);
                log.records.values().find(is_later).map(|record| record.offset)
            })
        };
        times.iter().map(first).collect()
    }

    fn committed(&self, partitions: &[TopicPartition], _: Duration) -> Result<Vec<Option<Committed>>, Code> {
        self.cluster.answer(Question::Committed)?;
        Ok(partitions.iter().map(|p| self.cluster.committed_with(&p.topic, p.partition)).collect())
    }

    fn group_members(&self, _: &str, _: Duration) -> Result<usize, Code> {
        self.cluster.answer(Question::Members)?;
        Ok(self.cluster.state.borrow().members)
    }

    fn ask_coordinator(&self, _: &str, _: Duration) -> Result<(), Code> {
        self.cluster.answer(Question::Coordinator)
    }

    fn subscribe(&self, topics: &[String]) -> Result<(), Code> {
        self.note("subscribe", topics.iter().cloned());
        *self.joining.borrow_mut() = topics.to_vec();
        Ok(())
    }

    fn assign(&self, partitions: &[Assigned]) -> Result<(), Code> {
        self.note("assign", partitions.iter().map(|p| p.topic_partition().to_string()));
        self.positions.borrow_mut().clear();
        self.take_over(partitions);
        Ok(())
    }

    fn assign_more(&self, partitions: &[Assigned]) -> Result<(), Code> {
        self.note("assign_more", partitions.iter().map(|p| p.topic_partition().to_string()));
        self.take_over(partitions);
        Ok(())
    }

    fn seek(&self, topic: &str, partition: i32, offset: i64, _: Duration) -> Result<(), Code> {
        let partition = TopicPartition::new(topic, partition);
        self.note("seek", [partition.at(offset).to_string()]);
        self.cluster.answer(Question::Seek)?;
        self.go_to(&partition, offset, false)
    }

    fn restart(&self, topic: &str, partition: i32, offset: i64) -> Result<(), Code> {
        let partition = TopicPartition::new(topic, partition);
        self.note("restart", [partition.at(offset).to_string()]);
        self.cluster.answer(Question::Restart)?;
        self.go_to(&partition, offset, true)
    }

    fn pause(&self, partitions: &[TopicPartition]) -> Result<(), Code> {
        self.note("pause", partitions.iter().map(ToString::to_string));
        self.set_paused(partitions, true);
        Ok(())
    }

    fn resume(&self, partitions: &[TopicPartition]) -> Result<(), Code> {
        self.note("resume", partitions.iter().map(ToString::to_string));
        self.set_paused(partitions, false);
        Ok(())
    }

    fn store(&self, offsets: &[Commit]) -> Result<(), Code> {
        self.note_offsets("store", offsets);
        let positions = self.positions.borrow();
        let own: Vec<_> = offsets.iter().filter(|c| positions.contains_key(&c.partition)).cloned().collect();
        if own.is_empty() {
            return Err(Code::State);
        }
        self.stored.borrow_mut().extend(own.into_iter().map(|commit| (commit.partition.clone(), commit)));
        Ok(())
    }

    fn commit_stored(&self, _: Duration) -> Result<(), Code> {
        self.note("commit_stored", []);
        self.cluster.answer(Question::Commit)?;
        // As librdkafka: what is not past the committed offset waits until the partition goes.
        self.commit_what_is_stored(|Commit { partition, offset, .. }| {
            self.cluster.committed(&partition.topic, partition.partition).is_none_or(|at| at < *offset)
        });
        Ok(())
    }

    fn commit(&self, offsets: &[Commit], _: Duration) -> Result<(), Code> {
        self.note_offsets("commit", offsets);
        self.cluster.answer(Question::Commit)?;
        self.commit_all(offsets)
    }

    fn begin_commit(&self, offsets: &[Commit]) -> Result<(), Code> {
        self.note_offsets("begin_commit", offsets);
        let outcome = self.cluster.answer(Question::Commit).and_then(|()| self.commit_all(offsets));
        self.answer.replace(Some(outcome));
        Ok(())
    }

    fn commit_answer(&self) -> Option<Result<(), Code>> {
        if self.cluster.state.borrow().answers_held { None } else { self.answer.take() }
    }

    fn metadata_verdict(&self) -> MetadataVerdict {
        self.verdict.take()
    }

    fn poll(&self, timeout: Duration, most: usize, handler: &mut dyn Rebalance) -> FakeBatch {
        loop {
            let step = self.cluster.state.borrow_mut().script.pop_front();
            match step {
                None => {
                    self.join(handler);
                    let events = self.fetch(most);
                    if events.is_empty() {
                        self.cluster.clock.sleep(timeout);
                    }
                    return events;
                }
                Some(Step::Records(count)) => {
                    self.join(handler);
                    return self.fetch(count.min(most));
                }
                Some(Step::Nothing) => {
                    self.cluster.clock.sleep(timeout);
                    return FakeBatch(Vec::new());
                }
                Some(Step::Assign(partitions)) => {
                    self.joining.borrow_mut().clear();
                    self.assign_by_group(named(partitions), handler);
                }
                Some(Step::Revoke(partitions)) => self.revoke(named(partitions), false, handler),
                Some(Step::Lose(partitions)) => self.revoke(named(partitions), true, handler),
                Some(Step::Error(topic, partition, code, reason)) => {
                    return FakeBatch(vec![Owned::Error {
                        topic: topic.into(),
                        partition,
                        offset: NO_OFFSET,
                        code,
                        reason: reason.to_owned(),
                    }]);
                }
                Some(Step::Do(change)) => change(&self.cluster),
            }
        }
    }

    fn close(&self, timeout: Duration, handler: &mut dyn Rebalance) -> Departure {
        self.note("close", []);
        let (held, is_lost) = {
            let state = self.cluster.state.borrow();
            (state.joins_held, state.leaves_lost)
        };
        let all: Vec<TopicPartition> = self.positions.borrow().keys().cloned().collect();
        if !all.is_empty() {
            self.revoke(all, false, handler);
        }
        self.cluster.clock.sleep(held.min(timeout));
        if held > timeout || is_lost {
            Departure::Unknown { session: Some(SESSION) }
        } else {
            Departure::Known
        }
    }
}
