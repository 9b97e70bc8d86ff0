//! A record that is to be sent and owns its bytes. Pure: no clock, no IO.

use bytes::Bytes;

use crate::record::OwnedHeader;

/// A record for a producer. Its bytes may be slices of one body, which they keep alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    /// `None`: the partitioner decides.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    pub headers: Vec<OwnedHeader>,
    /// Milliseconds since the epoch; `None`: now. One that [`keepable`](super::shape::keepable) accepts.
    pub timestamp: Option<i64>,
}

/// About the bytes that headers take in the client's queue. Each takes `rd_kafka_header_t` too, which is more than most
/// headers contain.
pub(crate) fn weight_of(headers: &[OwnedHeader]) -> usize {
    const HEADER: usize = 64;
    headers.iter().map(|(name, value)| HEADER + name.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

impl Draft {
    /// About the bytes that the record's key, value and headers take in the client's queue.
    pub(crate) fn weight(&self) -> usize {
        let content = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        content(&self.key) + content(&self.value) + weight_of(&self.headers)
    }
}
