//! A cluster in memory for tests of the engines: topics, committed offsets, and what a test has it do.
//!
//! ```ignore
//! let cluster = Cluster::new().with_topic("orders", 2);
//! cluster.append("orders", 0, ["a", "b"]);
//! cluster.refuse(Question::Watermarks, [Code::LeaderNotAvailable]);
//! cluster.then([Step::Records(1), Step::Revoke(vec![("orders", 1)])]);
//! // … an engine with `cluster.consumer()` or `cluster.producer()` …
//! assert_eq!(cluster.calls_of("store"), ["store orders[0]@2"]);
//! ```
//!
//! Nothing waits: a poll without an event returns at once, and the cluster's clock moves by its time-out.

mod batch;
mod consumer;
mod producer;

pub(crate) use consumer::FakeConsumer;
pub(crate) use producer::FakeProducer;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::clock::source::Manual;
use crate::kafka::client::{Committed, Persistence};
use crate::kafka::code::Code;
use crate::kafka::metadata::{PartitionMetadata, TopicMetadata};
use crate::record::{Record, Timestamp, TopicPartition};

/// One partition's log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The first offset that is still there.
    pub low: i64,
    /// The offset of the next record.
    pub high: i64,
    /// Where a read-committed reader stops: `None` is at `high`.
    pub stable: Option<i64>,
    /// Whether it has no leader.
    pub is_leaderless: bool,
    /// Where an unclean election cut it last.
    cut: Option<i64>,
    /// The leader epoch of what is appended now, and of each record.
    epoch: i32,
    epochs: BTreeMap<i64, i32>,
    records: BTreeMap<i64, Record>,
}

impl Log {
    /// The end for a read-committed reader.
    fn end(&self) -> i64 {
        self.stable.unwrap_or(self.high)
    }

    fn append(&mut self, record: Record) -> i64 {
        let offset = self.high;
        self.records.insert(offset, Record { offset, ..record });
        self.epochs.insert(offset, self.epoch);
        self.high += 1;
        offset
    }
}

/// A question that a test can have refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    Metadata,
    Watermarks,
    Times,
    Committed,
    Members,
    Coordinator,
    Commit,
    Seek,
    Restart,
}

/// What a poll does; one that yields an event, or [`Step::Nothing`], ends it. With no step left, a poll
/// gives what there is.
pub(crate) enum Step {
    /// Up to so many events of what was assigned.
    Records(usize),
    /// No event: the time has passed.
    Nothing,
    /// The group gives these partitions.
    Assign(Vec<(&'static str, i32)>),
    /// The group asks for these partitions.
    Revoke(Vec<(&'static str, i32)>),
    /// The group has taken these partitions.
    Lose(Vec<(&'static str, i32)>),
    /// An error of a partition, or of the consumer for the topic "".
    Error(&'static str, i32, Code, &'static str),
    /// Something happens to the cluster.
    Do(Box<dyn FnOnce(&Cluster)>),
}

/// What a poll of a producer does. With none left, it delivers what is queued, in its order.
pub(crate) enum Serving {
    /// Nothing is delivered.
    Nothing,
    /// The reports come in the opposite order.
    Backwards,
    /// Something happens, and nothing is delivered.
    Do(Box<dyn FnOnce(&Cluster)>),
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Vec<Log>>,
    committed: BTreeMap<TopicPartition, Committed>,
    /// `offset.metadata.max.bytes`, where it is not the default.
    metadata_limit: Option<usize>,
    /// Answers to commits that a consumer does not wait for do not come.
    answers_held: bool,
    members: usize,
    /// How long another member holds up the rebalance in which a consumer leaves.
    joins_held: Duration,
    /// What a consumer commits as it leaves does not arrive, and its close is not answered.
    leaves_lost: bool,
    script: VecDeque<Step>,
    refusals: BTreeMap<Question, VecDeque<Code>>,
    /// How often each question was asked.
    asked: BTreeMap<Question, usize>,
    calls: Vec<String>,
    /// Records that a producer holds at most.
    room: Option<usize>,
    /// What becomes of the next records that are produced; then all are acknowledged.
    outcomes: VecDeque<Result<(), Code>>,
    /// Whether records that fail may be in the topic.
    persistence: Persistence,
    configs: BTreeMap<(String, String), String>,
    serving: VecDeque<Serving>,
}

/// The cluster; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Cluster {
    state: Rc<RefCell<State>>,
    clock: Manual,
}

impl Cluster {
    /// A cluster without a topic.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The same with an empty topic of so many partitions.
    #[must_use]
    pub(crate) fn with_topic(self, name: &str, partitions: usize) -> Self {
        self.state.borrow_mut().topics.insert(name.to_owned(), vec![Log::default(); partitions]);
        self
    }

    /// The clock, which polls move.
    pub(crate) fn clock(&self) -> &Manual {
        &self.clock
    }

    /// Gives a topic more partitions: so many in all.
    pub(crate) fn add_partitions(&self, name: &str, partitions: usize) {
        let mut state = self.state.borrow_mut();
        let logs = state.topics.get_mut(name).unwrap_or_else(|| panic!("there is no topic {name}"));
        logs.resize(partitions, Log::default());
    }

    /// Removes a topic.
    pub(crate) fn delete_topic(&self, name: &str) {
        self.state.borrow_mut().topics.remove(name);
    }

    /// Changes a partition, or reads of it.
    pub(crate) fn log<T>(&self, topic: &str, partition: i32, f: impl FnOnce(&mut Log) -> T) -> T {
        let mut state = self.state.borrow_mut();
        let logs = state.topics.get_mut(topic).unwrap_or_else(|| panic!("there is no topic {topic}"));
        f(&mut logs[partition as usize])
    }

    /// Appends records with these values; the timestamp of each is its offset.
    pub(crate) fn append<'v>(&self, topic: &str, partition: i32, values: impl IntoIterator<Item = &'v str>) {
        for value in values {
            self.log(topic, partition, |log| {
                log.append(Record {
                    topic: topic.into(),
                    partition,
                    timestamp: Timestamp::Create(log.high),
                    value: Some(value.into()),
                    ..Record::default()
                })
            });
        }
    }

    /// The values in a partition.
    pub(crate) fn values(&self, topic: &str, partition: i32) -> Vec<String> {
        let text =
            |record: &Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into();
        self.log(topic, partition, |log| log.records.values().map(text).collect())
    }

    /// Retention takes what stands before `low`.
    pub(crate) fn expire(&self, topic: &str, partition: i32, low: i64) {
        self.log(topic, partition, |log| {
            log.low = low;
            log.high = log.high.max(low);
            log.records.retain(|offset, _| *offset >= low);
        });
    }

    /// An unclean election cuts a log: what stands at `end` and after it is lost.
    pub(crate) fn cut(&self, topic: &str, partition: i32, end: i64) {
        self.log(topic, partition, |log| {
            log.high = end;
            log.cut = Some(end);
            log.records.retain(|offset, _| *offset < end);
        });
    }

    /// Has the group commit an offset.
    pub(crate) fn commit(&self, topic: &str, partition: i32, offset: i64) {
        self.commit_with(topic, partition, offset, "").expect("empty metadata is not too long");
    }

    /// Has the group commit an offset with metadata.
    pub(crate) fn commit_with(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        metadata: &str,
    ) -> Result<(), Code> {
        let mut state = self.state.borrow_mut();
        if metadata.len() > state.metadata_limit.unwrap_or(4096) {
            return Err(Code::OffsetMetadataTooLarge);
        }
        let committed = Committed { offset, metadata: metadata.into() };
        state.committed.insert(TopicPartition::new(topic, partition), committed);
        Ok(())
    }

    /// What the group has committed.
    pub(crate) fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        self.committed_with(topic, partition).map(|committed| committed.offset)
    }

    /// The same with the metadata.
    pub(crate) fn committed_with(&self, topic: &str, partition: i32) -> Option<Committed> {
        self.state.borrow().committed.get(&TopicPartition::new(topic, partition)).cloned()
    }

    /// The metadata of what the group has committed.
    pub(crate) fn metadata_of(&self, topic: &str, partition: i32) -> String {
        let metadata = self.committed_with(topic, partition).unwrap_or_default().metadata;
        String::from_utf8(metadata).unwrap()
    }

    /// A commit with longer metadata is refused.
    pub(crate) fn limit_metadata(&self, bytes: usize) {
        self.state.borrow_mut().metadata_limit = Some(bytes);
    }

    /// Whether the answers to commits that a consumer does not wait for come.
    pub(crate) fn hold_answers(&self, are_held: bool) {
        self.state.borrow_mut().answers_held = are_held;
    }

    /// A new leader: what is appended from now on has the next leader epoch.
    pub(crate) fn elect(&self, topic: &str, partition: i32) {
        self.log(topic, partition, |log| log.epoch += 1);
    }

    /// Has another member of the group hold up its rebalances for so long.
    pub(crate) fn hold_joins(&self, lasts: Duration) {
        self.state.borrow_mut().joins_held = lasts;
    }

    /// Has the coordinator be away when a consumer leaves: what it commits then is lost.
    pub(crate) fn lose_leaves(&self) {
        self.state.borrow_mut().leaves_lost = true;
    }

    /// Gives a topic a configuration.
    pub(crate) fn configure(&self, topic: &str, name: &str, value: &str) {
        self.state.borrow_mut().configs.insert((topic.to_owned(), name.to_owned()), value.to_owned());
    }

    /// A producer holds at most so many records.
    pub(crate) fn set_room(&self, records: usize) {
        self.state.borrow_mut().room = Some(records);
    }

    /// What the next polls of a producer do.
    pub(crate) fn serve(&self, steps: impl IntoIterator<Item = Serving>) {
        self.state.borrow_mut().serving.extend(steps);
    }

    /// What becomes of the next records that are produced.
    pub(crate) fn deliver(&self, outcomes: impl IntoIterator<Item = Result<(), Code>>) {
        self.state.borrow_mut().outcomes.extend(outcomes);
    }

    /// Whether the records that fail from now on may be in the topic: not, where nothing is said.
    pub(crate) fn fail_with(&self, persistence: Persistence) {
        self.state.borrow_mut().persistence = persistence;
    }

    /// What the next polls of a consumer do.
    pub(crate) fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.state.borrow_mut().script.extend(steps);
    }

    /// Refuses the next questions of a kind, each with one of these codes.
    pub(crate) fn refuse(&self, question: Question, codes: impl IntoIterator<Item = Code>) {
        self.state.borrow_mut().refusals.entry(question).or_default().extend(codes);
    }

    /// How often a question of this kind was asked.
    pub(crate) fn asked(&self, question: Question) -> usize {
        self.state.borrow().asked.get(&question).copied().unwrap_or_default()
    }

    /// The calls that changed something, in their order: `store orders[0]@3`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.borrow().calls.clone()
    }

    /// Those of them that begin with this word.
    pub(crate) fn calls_of(&self, word: &str) -> Vec<String> {
        self.calls().into_iter().filter(|call| call.split(' ').next() == Some(word)).collect()
    }

    /// A consumer of this cluster.
    pub(crate) fn consumer(&self) -> FakeConsumer {
        FakeConsumer::new(self.clone())
    }

    /// A producer to this cluster.
    pub(crate) fn producer(&self) -> FakeProducer {
        FakeProducer::new(self.clone())
    }

    /// All topics.
    pub(crate) fn topics(&self) -> Vec<TopicMetadata> {
        self.state.borrow().topics.iter().map(|(name, logs)| described(name, logs)).collect()
    }

    /// One topic as a broker describes it, though it is not there, or all.
    fn metadata(&self, topic: Option<&str>) -> Result<Vec<TopicMetadata>, Code> {
        self.answer(Question::Metadata)?;
        let Some(name) = topic else { return Ok(self.topics()) };
        let state = self.state.borrow();
        Ok(vec![state.topics.get(name).map_or_else(
            || TopicMetadata {
                name: name.to_owned(),
                partitions: Vec::new(),
                error: Some(Code::UnknownTopicOrPartition),
            },
            |logs| described(name, logs),
        )])
    }

    /// Whether a question is answered.
    fn answer(&self, question: Question) -> Result<(), Code> {
        let mut state = self.state.borrow_mut();
        *state.asked.entry(question).or_default() += 1;
        let code = state.refusals.get_mut(&question).and_then(VecDeque::pop_front);
        code.map_or(Ok(()), Err)
    }

    /// Reads a partition that is there and has a leader.
    fn led<T>(&self, topic: &str, partition: i32, f: impl FnOnce(&Log) -> T) -> Result<T, Code> {
        let state = self.state.borrow();
        let log = state.topics.get(topic).and_then(|logs| logs.get(partition as usize));
        // The client says the same of both.
        log.filter(|log| !log.is_leaderless).map(f).ok_or(Code::UnknownPartition)
    }

    fn note(&self, call: String) {
        self.state.borrow_mut().calls.push(call);
    }
}

fn described(name: &str, logs: &[Log]) -> TopicMetadata {
    let partition = |(id, log): (usize, &Log)| PartitionMetadata {
        id: id as i32,
        leader: if log.is_leaderless { -1 } else { 1 },
        replicas: vec![1],
        isr: if log.is_leaderless { Vec::new() } else { vec![1] },
        error: log.is_leaderless.then_some(Code::LeaderNotAvailable),
    };
    TopicMetadata {
        name: name.to_owned(),
        partitions: logs.iter().enumerate().map(partition).collect(),
        error: None,
    }
}
