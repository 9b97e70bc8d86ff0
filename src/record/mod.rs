//! A record between Kafka and the formats: bytes and numbers, no rdkafka type. Pure: no clock, no IO.

pub(crate) mod bytes;
pub(crate) mod codec;
pub(crate) mod decode;
pub(crate) mod draft;
pub(crate) mod escape;
pub(crate) mod filter;
pub(crate) mod format;
pub(crate) mod framing;
pub(crate) mod json;
pub(crate) mod place;
pub(crate) mod pointer;
pub(crate) mod shape;
pub(crate) mod validate;

pub(crate) use place::{Place, TopicPartition};

/// A header: a name and a value that may be null. Order and duplicates count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    /// The name: UTF-8 by Kafka's rules, kept as bytes, since neither brokers nor clients enforce that.
    pub name: &'a [u8],
    /// The value; `None` is null, which is not empty.
    pub value: Option<&'a [u8]>,
}

/// A record's timestamp, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Timestamp {
    /// The broker stores none (message format before 0.10), or none was given.
    #[default]
    None,
    /// Set by the producer.
    Create(i64),
    /// Set by the broker when it appended the record.
    LogAppend(i64),
}

impl Timestamp {
    /// Milliseconds since the epoch, set by the producer or the broker.
    pub(crate) fn millis(self) -> Option<i64> {
        match self {
            Self::None => None,
            Self::Create(ms) | Self::LogAppend(ms) => Some(ms),
        }
    }
}

/// A consumed record, borrowed from the client's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordRef<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// The leader epoch that it was appended in; `None` where that is not known.
    pub leader_epoch: Option<i32>,
    pub timestamp: Timestamp,
    /// `None` is null, which is not empty.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone, which is not empty.
    pub value: Option<&'a [u8]>,
    /// In the record's order. Also empty where headers were not asked for.
    pub headers: &'a [Header<'a>],
}

/// A record for a producer: where it goes and what it contains.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outgoing<'a> {
    /// `None`: the partitioner decides.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
    /// Milliseconds since the epoch; `None`: now.
    pub timestamp: Option<i64>,
    /// Returned when the record was delivered or failed.
    pub tag: u64,
}

/// A header that owns its bytes: name and value.
pub(crate) type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

/// A consumed record that owns its bytes: a worker passes it from thread to thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub topic: std::sync::Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Timestamp,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<OwnedHeader>,
}

impl RecordRef<'_> {
    /// Its topic, partition and offset.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { topic: self.topic, partition: self.partition, offset: self.offset }
    }
}

impl Record {
    /// Its topic, partition and offset.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { topic: &self.topic, partition: self.partition, offset: self.offset }
    }

    /// Runs `f` on the borrowed form of this record.
    pub(crate) fn with_ref<T>(&self, f: impl FnOnce(RecordRef<'_>) -> T) -> T {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
        f(RecordRef {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            leader_epoch: None,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        })
    }
}
