//! A consumer that is connected, the topics it reads, and where their partitions start and end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;

use crate::config::Config;
use crate::kafka::client::{ConsumerClient, TopicMetadata};
use crate::kafka::errors::{self, Causes, Code, words};
use crate::kafka::ffi::Consumer;
use crate::reading::bounds::{End, Start};
use crate::reading::topics::Selection;
use crate::record::TopicPartition;

/// What kq wants of every consumer: nothing skipped silently, ends of partitions known, memory
/// bounded.
///
/// - `auto.offset.reset=error`: records gone by retention are counted and said, then passed over
///   by a seek of kq's; librdkafka's own reset jumps in silence.
/// - `fetch.queue.backoff.ms`: its default of a second starves partitions, since the limit
///   counts the queue of all of them.
/// - `reconnect.backoff.ms`: as for a producer, for a quick start.
pub const DEFAULTS: [(&str, &str); 7] = [
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "10"),
    ("reconnect.backoff.ms", "20"),
];

/// A consumer whose cluster answered and whose topics are there.
pub struct Connected<C = Consumer> {
    pub consumer: C,
    /// Each topic and its partitions, as the cluster had them at the start.
    pub topics: Vec<TopicMetadata>,
    pub causes: Arc<Causes>,
}

/// Connects to the cluster and finds the topics, within the configured time-out. `role` and `flags`
/// are the command's properties, as in [`Config::client_with`].
pub fn connect(
    config: &Config,
    role: &[(&str, &str)],
    flags: &[(&str, &str)],
    selection: &Selection,
) -> anyhow::Result<Connected> {
    let causes = Arc::new(Causes::new(config.log));
    let client = config.client_with(&[&DEFAULTS, role].concat(), flags);
    let consumer = Consumer::new(&client, Arc::clone(&causes) as _)?;
    let topics = selection.find(&consumer, &causes, config)?;
    causes.clear();
    Ok(Connected { consumer, topics, causes })
}

/// Low and high watermark of a partition; the error names it.
pub fn watermarks(
    consumer: &impl ConsumerClient,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> anyhow::Result<(i64, i64)> {
    consumer
        .watermarks(topic, partition, timeout)
        .map_err(|code| leaderless(code, consumer, topic, partition, timeout))
        .map_err(Unanswered::of("watermarks", topic, partition))
}

/// The client says of a partition without a leader what it says of one that does not exist.
fn leaderless(
    code: Code,
    consumer: &impl ConsumerClient,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> Code {
    if code != Code::UnknownPartition {
        return code;
    }
    let topics = consumer.metadata(Some(topic), timeout).unwrap_or_default();
    let exists = topics.iter().flat_map(|topic| &topic.partitions).any(|known| known.id == partition);
    if exists { Code::LeaderNotAvailable } else { code }
}

/// Commits a position before the one that the group has committed, which the client never does by
/// itself: it commits only what is further on. In the middle of a rebalance it is left to the next
/// owner, who finds what this one found.
pub fn commit_back(
    consumer: &impl ConsumerClient,
    topic: &str,
    partition: i32,
    position: i64,
    timeout: Duration,
) -> anyhow::Result<()> {
    use Code as E;
    match consumer.commit(&[(TopicPartition::new(topic, partition), position)], timeout) {
        Ok(()) | Err(E::RebalanceInProgress | E::IllegalGeneration | E::UnknownMemberId) => Ok(()),
        Err(code) => Err(Unanswered::of("commit", topic, partition)(code)),
    }
}

/// Where the log was cut, by the client's words for a truncation (KIP-320); `Some(-1)` where nothing
/// that is there was there before. Records from there on are others than those that were read.
pub fn truncated_at(reason: &str) -> Option<i64> {
    let (before, after) = reason.split_once("broker end offset is ")?;
    if !before.contains("truncation detected") && !before.contains("No epoch found") {
        return None;
    }
    let end = after.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(after.len());
    after[..end].parse().ok()
}

/// The end of a partition for a reader of what is not committed yet, whatever this consumer reads.
pub fn unstable_end(
    consumer: &impl ConsumerClient,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> anyhow::Result<i64> {
    consumer
        .unstable_end(topic, partition, timeout)
        .map_err(|code| leaderless(code, consumer, topic, partition, timeout))
        .map_err(Unanswered::of("watermarks", topic, partition))
}

/// A question about a partition to which there was no good answer.
#[derive(Debug)]
pub struct Unanswered {
    what: String,
    pub code: Code,
}

impl Unanswered {
    fn of(what: &str, topic: &str, partition: i32) -> impl FnOnce(Code) -> anyhow::Error {
        let what = format!("{what} of {topic}[{partition}]");
        |code| anyhow::Error::new(Self { what, code })
    }
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, words(self.code))
    }
}

impl std::error::Error for Unanswered {}

/// [`errors::is_passing`] of what a question failed with.
pub fn is_passing(e: &anyhow::Error) -> bool {
    let code = e.downcast_ref::<Unanswered>().map(|unanswered| &unanswered.code);
    code.or_else(|| e.downcast_ref()).is_some_and(|code| errors::is_passing(*code))
}

/// The first offset whose record has this timestamp (ms) or a later one; `None` where there is
/// no such record yet.
pub fn offset_at(
    consumer: &impl ConsumerClient,
    topic: &str,
    partition: i32,
    time: i64,
    timeout: Duration,
) -> anyhow::Result<Option<i64>> {
    let offsets = consumer
        .offsets_for_times(&[(TopicPartition::new(topic, partition), time.max(0))], timeout)
        .map_err(|code| leaderless(code, consumer, topic, partition, timeout))
        .map_err(Unanswered::of("the offset at a time", topic, partition))?;
    Ok(offsets.first().copied().flatten())
}

/// The offset to start from in a partition with these watermarks.
pub fn start(
    consumer: &impl ConsumerClient,
    topic: &str,
    partition: i32,
    from: Start,
    (low, high): (i64, i64),
    timeout: Duration,
) -> anyhow::Result<i64> {
    Ok(match from {
        Start::Beginning => low,
        Start::End => high,
        Start::Offset(offset) => offset,
        Start::Relative(back) => (high - back).max(low),
        Start::Time(time) => offset_at(consumer, topic, partition, time, timeout)?.unwrap_or(high),
        Start::Stored => bail!("`stored` is the group's committed offset: name the group with -g"),
    })
}

/// The offset to stop before in a partition with this high watermark; `None` where that is not
/// known yet: a time that no record has reached.
pub fn end(
    consumer: &impl ConsumerClient,
    topic: &str,
    partition: i32,
    until: End,
    high: i64,
    timeout: Duration,
) -> anyhow::Result<Option<i64>> {
    Ok(match until {
        End::End => Some(high),
        End::Offset(offset) => Some(offset),
        End::Time(time) => offset_at(consumer, topic, partition, time, timeout)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_known_under_what_was_asked() {
        let unanswered = |code| Unanswered::of("the watermarks", "t", 0)(code);
        assert!(is_passing(&unanswered(Code::BrokerTransportFailure)));
        assert!(is_passing(&unanswered(Code::OperationTimedOut).context("where to start")));
        assert!(is_passing(&unanswered(Code::LeaderNotAvailable)));
        assert!(is_passing(&anyhow::Error::new(Code::NotCoordinator)));
        assert!(!is_passing(&unanswered(Code::TopicAuthorizationFailed)));
    }

    #[test]
    fn where_a_log_was_cut_is_read_from_the_clients_words() {
        let cut = "Local: Partition log truncation detected by consumer: Partition log truncation detected at \
                   offset 100 (leader epoch 3): broker end offset is 90 (offset leader epoch 2). Reset to INVALID.";
        assert_eq!(truncated_at(cut), Some(90));
        let other = "No epoch found less or equal to offset 7 (leader epoch 1): broker end offset is -1 \
                     (offset leader epoch -1). Reset using configured policy.";
        assert_eq!(truncated_at(other), Some(-1));
        assert_eq!(truncated_at("fetch failed due to requested offset not available on the broker"), None);
    }
}
