//! Fetch: waits until there is enough, and answers with unchanged parts of the log files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use kafka_protocol::messages::FetchRequest;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::dev::code::{self, Code};
use crate::dev::log::Slice;
use crate::dev::notes::Kind;
use crate::dev::request::{Context, Part, Reply, Share};
use crate::dev::topics::Partition;

/// The longest wait; a client that wants to wait longer sends another request.
const MAX_WAIT: Duration = Duration::from_mins(5);
/// The largest answer.
const MAX_BYTES: u64 = 100 << 20;

/// The content of a Fetch, copied out of its frame because it may wait for minutes. Each partition
/// once, as in Kafka, so its size is bounded by the partitions of the broker.
struct Wanted {
    min_bytes: i32,
    max_bytes: i32,
    isolation_level: i8,
    topics: Vec<(String, Vec<Place>)>,
}

/// A partition, and the offset to read it from.
struct Place {
    partition: i32,
    leader_epoch: i32,
    offset: i64,
    max_bytes: i32,
}

impl From<FetchRequest> for Wanted {
    fn from(request: FetchRequest) -> Self {
        let mut seen = BTreeSet::new();
        let topics = request.topics.into_iter().map(|topic| {
            let asked = topic.partitions.into_iter();
            let asked = asked.filter(|asked| seen.insert((topic.topic.clone(), asked.partition)));
            let places = asked.map(|asked| Place {
                partition: asked.partition,
                leader_epoch: asked.current_leader_epoch,
                offset: asked.fetch_offset,
                max_bytes: asked.partition_max_bytes,
            });
            (topic.topic.as_str().to_owned(), places.collect())
        });
        Self {
            min_bytes: request.min_bytes,
            max_bytes: request.max_bytes,
            isolation_level: request.isolation_level,
            topics: topics.filter(|(_, places): &(_, Vec<_>)| !places.is_empty()).collect(),
        }
    }
}

/// The answer for one partition.
struct Found {
    partition: i32,
    error: Code,
    high_watermark: i64,
    log_start: i64,
    slice: Option<Slice>,
}

/// Answers at once if there are `min_bytes`, an error, or a full segment; otherwise as soon as there
/// are, or after `max_wait`.
pub(crate) async fn fetch(
    context: &Context<'_>,
    request: FetchRequest,
    share: Share,
) -> anyhow::Result<Reply> {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
    let deadline = Instant::now() + wait;
    let request = &Wanted::from(request);
    drop(share);
    let (mut found, enough) = look(context, request);
    if !enough && !wait.is_zero() {
        let grown = Arc::new(Notify::new());
        let _watch = Watch::new(context, request, &grown);
        loop {
            // The watch began before this read, so that no append is missed.
            let enough;
            (found, enough) = look(context, request);
            if enough || timeout_at(deadline, grown.notified()).await.is_err() {
                break;
            }
        }
        if Instant::now() >= deadline {
            found = look(context, request).0;
        }
    }
    encode(context, request, found)
}

/// Is notified of appends to the partitions of a request, until it is dropped.
struct Watch<'a> {
    partitions: Vec<Arc<Partition>>,
    grown: &'a Arc<Notify>,
}

impl<'a> Watch<'a> {
    fn new(context: &Context<'_>, request: &Wanted, grown: &'a Arc<Notify>) -> Self {
        let asked = request
            .topics
            .iter()
            .flat_map(|(topic, places)| places.iter().map(move |p| (topic, p.partition)));
        let partitions: Vec<_> = asked
            .filter_map(|(topic, index)| context.broker.topics.partition(topic, index))
            .map(|(_, partition)| partition)
            .collect();
        for partition in &partitions {
            partition.watch(grown);
        }
        Self { partitions, grown }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.forget(self.grown);
        }
    }
}

/// What the partitions have now, topic by topic, and whether it is enough to answer.
fn look(context: &Context<'_>, request: &Wanted) -> (Vec<Vec<Found>>, bool) {
    let mut left = u64::try_from(request.max_bytes).unwrap_or(0).min(MAX_BYTES);
    let mut total = 0;
    let mut answer_now = false;
    let mut topics = Vec::with_capacity(request.topics.len());
    for (topic, places) in &request.topics {
        let mut partitions = Vec::with_capacity(places.len());
        for asked in places {
            let (found, more) = look_at(context, topic, asked, left, total == 0);
            let len = found.slice.as_ref().map_or(0, |slice| slice.len);
            total += len;
            left = left.saturating_sub(len);
            answer_now |= found.error != code::NONE || more;
            partitions.push(found);
        }
        topics.push(partitions);
    }
    let enough = total >= u64::try_from(request.min_bytes).unwrap_or(0);
    (topics, enough || answer_now || request.topics.is_empty())
}

/// One partition; the second result says whether it has more than fits into this answer.
fn look_at(context: &Context<'_>, topic: &str, asked: &Place, left: u64, is_first: bool) -> (Found, bool) {
    let nothing = Found {
        partition: asked.partition,
        error: code::NONE,
        high_watermark: -1,
        log_start: -1,
        slice: None,
    };
    let refused = |error| (Found { error, ..nothing }, false);
    let Some((_, partition)) = context.broker.topics.partition(topic, asked.partition) else {
        return refused(code::UNKNOWN_TOPIC_OR_PARTITION);
    };
    if context.version >= 9 && asked.leader_epoch > 0 {
        return refused(code::UNKNOWN_LEADER_EPOCH);
    }
    let log = partition.log();
    let max = u64::try_from(asked.max_bytes).unwrap_or(0).min(left);
    // At least one whole batch, however large, or the reader could never continue (KIP-74).
    let (error, slice, more) = match log.read(asked.offset, max, is_first) {
        Ok(Some(read)) => (code::NONE, read.slice, read.more),
        Ok(None) => (code::OFFSET_OUT_OF_RANGE, None, false),
        Err(_) if log.is_deleted() => return refused(code::UNKNOWN_TOPIC_OR_PARTITION),
        Err(e) => {
            context.broker.notes.error(Kind::Storage, format_args!("read {topic}[{}]: {e}", asked.partition));
            (code::KAFKA_STORAGE_ERROR, None, false)
        }
    };
    let found = Found {
        partition: asked.partition,
        error,
        high_watermark: if error == code::NONE { log.end() } else { -1 },
        log_start: if error == code::NONE { log.start() } else { -1 },
        slice,
    };
    (found, more)
}

/// The answer, encoded here so that records go from file to socket without a copy in memory.
/// Versions 4 to 11, which are not flexible; `FetchResponse.json` of Kafka.
fn encode(context: &Context<'_>, request: &Wanted, found: Vec<Vec<Found>>) -> anyhow::Result<Reply> {
    let version = context.version;
    let mut parts = Vec::new();
    let mut total = 0_u64;
    let mut out = BytesMut::with_capacity(256);
    out.put_i32(0);
    out.put_i32(context.correlation_id);
    out.put_i32(0); // throttle time
    if version >= 7 {
        out.put_i16(code::NONE);
        out.put_i32(0); // no session: each fetch names all its partitions
    }
    out.put_i32(i32::try_from(found.len())?);
    for ((topic, _), partitions) in request.topics.iter().zip(found) {
        let name = topic.as_bytes();
        out.put_i16(i16::try_from(name.len())?);
        out.put_slice(name);
        out.put_i32(i32::try_from(partitions.len())?);
        for found in partitions {
            out.put_i32(found.partition);
            out.put_i16(found.error);
            out.put_i64(found.high_watermark);
            out.put_i64(found.high_watermark); // last stable offset: there are no transactions
            if version >= 5 {
                out.put_i64(found.log_start);
            }
            out.put_i32(if request.isolation_level == 1 { 0 } else { -1 }); // aborted transactions
            if version >= 11 {
                out.put_i32(-1); // preferred read replica
            }
            let len = found.slice.as_ref().map_or(0, |slice| slice.len);
            out.put_i32(i32::try_from(len)?);
            if let Some(slice) = found.slice {
                total += out.len() as u64 + slice.len;
                parts.push(Part::Bytes(out.split().freeze()));
                parts.push(Part::Log(slice));
            }
        }
    }
    total += out.len() as u64;
    parts.push(Part::Bytes(out.freeze()));
    let size = i32::try_from(total - 4)?.to_be_bytes();
    if let Some(Part::Bytes(first)) = parts.first_mut() {
        let mut with_size = BytesMut::from(&first[..]);
        with_size[..4].copy_from_slice(&size);
        *first = with_size.freeze();
    }
    Ok(Reply::Parts(parts))
}
