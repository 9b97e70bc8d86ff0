//! Kafka as kq sees it: kafka's own types, and the traits that the engines are written against.
//!
//! [`super::ffi`] implements the traits with librdkafka, `super::fake` in memory for tests. No rdkafka
//! type is in a signature here, but [`Code`] under its own name.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::kafka::code::Code;
pub(crate) use crate::kafka::metadata::TopicMetadata;
use crate::record::{Outgoing, RecordRef, TopicPartition};

/// Receives what a client reports besides records. Called from several threads.
pub(crate) trait Observer: Send + Sync {
    /// A broker can't be reached, a login was refused, the client is fenced …
    fn error(&self, code: Code, reason: &str);
    /// A line of the client's own log; `level` as in syslog, 0 (emergency) to 7 (debug).
    fn log(&self, level: i32, facility: &str, message: &str);
}

/// Why a request was refused: a code, and the broker's own words, empty where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: Code,
    pub reason: String,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, reason: String::new() }
    }
}

/// Where reading starts in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StartAt {
    /// At the group's committed offset.
    #[default]
    Committed,
    /// At the first record that is still there, which the client finds by itself.
    Beginning,
    Offset(i64),
}

/// What a group is to commit of a partition: the next offset to read, and a text of the client's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub partition: TopicPartition,
    pub offset: i64,
    /// `None` and an empty text are the same to a broker.
    pub metadata: Option<String>,
}

impl From<(TopicPartition, i64)> for Commit {
    fn from((partition, offset): (TopicPartition, i64)) -> Self {
        Self { partition, offset, metadata: None }
    }
}

/// What a group has committed of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    pub offset: i64,
    /// As it came: another client may have written anything, also what is no UTF-8. Empty where there is none.
    pub metadata: Vec<u8>,
}

/// What the broker answered to commits of offsets with metadata, also to those that the client made by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetadataVerdict {
    /// The length of the longest metadata that it took, in bytes.
    pub taken: usize,
    /// It refused some for their length (`OffsetMetadataTooLarge`), and with it the offset.
    pub is_refused: bool,
}

/// A partition that a consumer is given, or chooses, and where it starts in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub topic: Arc<str>,
    pub partition: i32,
    pub start: StartAt,
}

impl Assigned {
    /// The partition without its start.
    pub(crate) fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.topic), self.partition)
    }
}

/// How a consumer left its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// The group waits for it no longer, or never did so: it had not joined. A static member and one
    /// that was fenced do not leave either, and count as this.
    Known,
    /// The group may not know it: it waits for this member until its session ends.
    Unknown {
        /// `session.timeout.ms`; `None` where the brokers decide it.
        session: Option<Duration>,
    },
}

/// What the thread inside [`ConsumerClient::poll`] does when the group's assignment changes.
pub(crate) trait Rebalance {
    /// Partitions arrive. `start` says where reading starts: left as it is, at the committed offset.
    fn assigned(&mut self, partitions: &mut [Assigned]);
    /// Partitions go. What is stored before this returns is committed, unless `lost`: then another
    /// member has them already and nothing may be stored.
    fn revoked(&mut self, partitions: &[Assigned], lost: bool);
}

/// Something that a consumer's queue held.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    Record(RecordRef<'a>),
    /// The partition has nothing more now; the next record there gets an offset ≥ `offset`.
    End {
        topic: &'a str,
        partition: i32,
        offset: i64,
    },
    /// An error of a partition, or of the consumer where `topic` is empty and `partition` -1.
    Error {
        topic: &'a str,
        partition: i32,
        offset: i64,
        code: Code,
        reason: &'a str,
    },
}

/// The events of one [`ConsumerClient::poll`].
pub(crate) trait Events {
    /// Whether the time passed without an event.
    fn is_empty(&self) -> bool;

    /// Hands each event over, in order. Headers are read only `with_headers`: they cost a
    /// parse of each record.
    fn for_each<E>(&self, with_headers: bool, each: impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E>;
}

/// A consumer, of a group or of partitions that it chose itself.
///
/// Every question takes no longer than its `timeout`.
pub(crate) trait ConsumerClient {
    /// What one poll gave; freed as one.
    type Batch<'a>: Events
    where
        Self: 'a;

    /// The cluster's view of one topic, or of all.
    fn metadata(&self, topic: Option<&str>, timeout: Duration) -> Result<Vec<TopicMetadata>, Code>;

    /// The partition's low watermark, and its high watermark (the last stable offset for a
    /// read-committed client), asked from the broker.
    fn watermarks(&self, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), Code>;

    /// The partition's end for a reader of what is not committed yet, whatever this consumer reads.
    fn unstable_end(&self, topic: &str, partition: i32, timeout: Duration) -> Result<i64, Code>;

    /// The partition's high watermark as the last fetch had it, without asking; `None` before one.
    fn seen_end(&self, topic: &str, partition: i32) -> Option<i64>;

    /// For each partition and time (ms since the epoch), in their order: the offset of the first
    /// record at or after that time, `None` where there is none.
    fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
        timeout: Duration,
    ) -> Result<Vec<Option<i64>>, Code>;

    /// What the group has committed of each of these partitions, in their order; `None` where that is nothing.
    fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, Code>;

    /// How many members the group has now; 0 where there is no such group.
    ///
    /// Not to be repeated while the group's coordinator is away ([`ConsumerClient::ask_coordinator`] is): a
    /// question without an answer stays in the client and asks on (`rd_kafka_coord_req` of librdkafka 2.12.1
    /// has no time-out).
    fn group_members(&self, group: &str, timeout: Duration) -> Result<usize, Code>;

    /// Asks the coordinator of this consumer's group something about this topic. It may be repeated: what
    /// has no answer leaves nothing behind. The connection is one of its own: that of a member may wait
    /// for the group's other members.
    fn ask_coordinator(&self, topic: &str, timeout: Duration) -> Result<(), Code>;

    /// Joins the group for these topics; `^…` is a regular expression.
    fn subscribe(&self, topics: &[String]) -> Result<(), Code>;

    /// Reads these partitions, without a group.
    fn assign(&self, partitions: &[Assigned]) -> Result<(), Code>;

    /// Reads these partitions besides those that are assigned, without a group.
    fn assign_more(&self, partitions: &[Assigned]) -> Result<(), Code>;

    /// Continues from `offset` in an assigned partition; records that are queued are dropped.
    /// `State`: it is not assigned (any more), or the client gave it up with `AutoOffsetReset`
    /// ([`ConsumerClient::restart`]).
    fn seek(&self, topic: &str, partition: i32, offset: i64, timeout: Duration) -> Result<(), Code>;

    /// Starts an assigned partition again, at `offset`, after the client gave it up with
    /// `AutoOffsetReset`. A partition that is no longer assigned is `InvalidArgument`.
    fn restart(&self, topic: &str, partition: i32, offset: i64) -> Result<(), Code>;

    /// Stops fetching these partitions and drops what was fetched ahead.
    fn pause(&self, partitions: &[TopicPartition]) -> Result<(), Code>;

    /// Fetches these partitions again, from where they were paused.
    fn resume(&self, partitions: &[TopicPartition]) -> Result<(), Code>;

    /// Stores, for the next commit, the next offset to read of each partition and its metadata. Partitions
    /// that this member does not own are left out; `State` where it owns none of them.
    ///
    /// The client commits by itself what is stored where the offset is past the committed one, whatever
    /// the metadata is, and in a revoke and on its way out of the group in any case.
    fn store(&self, offsets: &[Commit]) -> Result<(), Code>;

    /// Commits what is stored and waits for the broker's answer. It serves no rebalance: in the
    /// middle of one it fails, and the caller polls and tries again. `OperationTimedOut` where no
    /// answer came.
    fn commit_stored(&self, timeout: Duration) -> Result<(), Code>;

    /// Commits these offsets and waits for the broker's answer. A consumer that has not joined its
    /// group may do so while the group has no members.
    fn commit(&self, offsets: &[Commit], timeout: Duration) -> Result<(), Code>;

    /// Sends a commit of these offsets, whose answer comes by [`ConsumerClient::commit_answer`]: one is
    /// under way at a time. The broker checks that this is a member, not that it owns the partitions: the
    /// caller names none but its own.
    fn begin_commit(&self, offsets: &[Commit]) -> Result<(), Code>;

    /// The answer to [`ConsumerClient::begin_commit`], once, where it has come.
    fn commit_answer(&self) -> Option<Result<(), Code>>;

    /// What the broker answered to metadata since this was asked last, as far as polls have served it.
    fn metadata_verdict(&self) -> MetadataVerdict;

    /// Waits up to `timeout` for the first event, then takes what is there, up to `most`.
    /// `handler` serves rebalances during the call. It must be called at least every
    /// `max.poll.interval.ms`.
    fn poll(&self, timeout: Duration, most: usize, handler: &mut dyn Rebalance) -> Self::Batch<'_>;

    /// Leaves the group, serving rebalances, and waits until that is done or `timeout` has passed. A
    /// group that rebalances answers once every other member has come. Offsets that were stored are
    /// committed on the way.
    fn close(&self, timeout: Duration, handler: &mut dyn Rebalance) -> Departure;
}

/// The topic that a record was sent to. Its name is read on demand, not for each record.
pub(crate) trait DeliveredTopic: Debug {
    fn name(&self) -> Cow<'_, str>;
}

impl DeliveredTopic for &str {
    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

/// Whether a record that failed may be in the topic all the same: librdkafka's `rd_kafka_message_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It never was sent, or the broker refused it: sending it again duplicates nothing.
    #[default]
    Not,
    /// It was sent, and no answer came: it may be there.
    Possibly,
}

/// The result of one record that was given to a [`ProducerClient`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery<'a> {
    /// The number that the record was sent with.
    pub tag: u64,
    /// `None`: acknowledged. The broker's own words are not to be had: `rd_kafka_message_produce_errstr` reads
    /// memory that librdkafka leaves uninitialised where the broker sends none (`rd_kafka_msg_new00`, 2.12.1).
    pub error: Option<Code>,
    /// Whether it may be in the topic, where there is an error.
    pub persistence: Persistence,
    pub topic: &'a dyn DeliveredTopic,
    pub partition: i32,
    /// The record's offset; negative where it is not known (`acks=0`, or an error).
    pub offset: i64,
    /// Whether the record has a key.
    pub has_key: bool,
    /// Bytes of its key and its value.
    pub bytes: usize,
    /// Bytes of its headers' names and values.
    pub header_bytes: usize,
}

/// A producer: queues records, and reports the result of each in [`ProducerClient::poll`].
pub(crate) trait ProducerClient {
    /// A topic to produce to with this producer.
    type Topic<'a>: TopicClient
    where
        Self: 'a;

    /// The cluster's view of one topic, or of all.
    fn metadata(&self, topic: Option<&str>, timeout: Duration) -> Result<Vec<TopicMetadata>, Code>;

    /// The effective value of one configuration of a topic, asked from this broker; `None` where
    /// it has none of that name.
    fn topic_config(
        &self,
        topic: &str,
        name: &str,
        broker: i32,
        timeout: Duration,
    ) -> Result<Option<String>, Code>;

    /// A handle to produce to `name` with.
    fn topic(&self, name: &str) -> anyhow::Result<Self::Topic<'_>>;

    /// Serves delivery reports for up to `timeout` (returns after the first round of them). One thread at a
    /// time: while another is inside, it returns at once.
    fn poll(&self, timeout: Duration, deliveries: &mut dyn FnMut(Delivery<'_>));

    /// Records that were queued and of which nothing is reported yet.
    fn in_flight(&self) -> usize;

    /// Gives up every record that is queued or under way; the next polls report them.
    fn purge(&self);

    /// Whether there is room for so many records, with those that are queued, and for so many more bytes.
    /// Others may take it before.
    fn has_room(&self, records: usize, bytes: usize) -> bool;
}

/// A topic of a producer: spares a look-up by name for each record.
pub(crate) trait TopicClient {
    /// Queues one record; its bytes are copied. `QueueFull` means poll and try again.
    fn send(&self, record: &Outgoing<'_>) -> Result<(), Code>;

    /// Queues many values without key or header for one partition, in order: half the cost of
    /// [`TopicClient::send`]. Gives how many of them are done: what did not fit into a full
    /// queue, and all after it, still belongs to the caller, who polls and tries again. A value that
    /// can't be queued for another reason is done, and is handed to `refused` with its tag.
    fn send_values<'v>(
        &self,
        partition: i32,
        values: impl Iterator<Item = (&'v [u8], u64)>,
        refused: &mut dyn FnMut(u64, Code),
    ) -> usize;
}
