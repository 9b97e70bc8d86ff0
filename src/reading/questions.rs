//! Questions to the cluster about one partition: where it begins and ends, and the offset at a time.

use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::kafka::client::ConsumerClient;
use crate::kafka::errors::{self, Code, Fault, words};
use crate::reading::bounds::{End, Start};
use crate::record::TopicPartition;

/// Low and high watermark of a partition; the error names it.
pub(crate) fn watermarks(
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

/// The end of a partition for a reader of what is not committed yet, whatever this consumer reads.
pub(crate) fn unstable_end(
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
pub(crate) struct Unanswered {
    what: String,
    pub code: Code,
}

impl Unanswered {
    pub(super) fn of(what: &str, topic: &str, partition: i32) -> impl FnOnce(Code) -> anyhow::Error {
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
pub(crate) fn is_passing(e: &anyhow::Error) -> bool {
    let code = e.downcast_ref::<Unanswered>().map(|unanswered| &unanswered.code);
    code.or_else(|| e.downcast_ref()).is_some_and(|code| errors::is_passing(*code))
}

/// The error of a question that was not answered in the end, with the reason where an address that the
/// cluster advertises is the reason.
pub(crate) fn explained(e: anyhow::Error, fault: Option<Fault>) -> anyhow::Error {
    match fault {
        Some(Fault { sentence, .. }) if is_passing(&e) => match e.downcast_ref::<Unanswered>() {
            Some(Unanswered { what, .. }) => anyhow!("{what}: {sentence}"),
            None => anyhow!(sentence),
        },
        _ => e,
    }
}

/// The first offset whose record has this timestamp (ms) or a later one; `None` where there is
/// no such record yet.
pub(crate) fn offset_at(
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
pub(crate) fn start(
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
pub(crate) fn end(
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
    fn the_reason_takes_the_place_of_what_the_client_said_of_a_question() {
        let fault = || {
            Some(Fault {
                sentence: "can't resolve b".to_owned(),
                patience: Duration::ZERO,
                hidden: Duration::ZERO,
            })
        };
        let unanswered = |code| Unanswered::of("watermarks", "t", 0)(code);
        let e = explained(unanswered(Code::Resolve), fault());
        assert_eq!(e.to_string(), "watermarks of t[0]: can't resolve b");
        let e = explained(unanswered(Code::TopicAuthorizationFailed), fault());
        assert!(e.to_string().contains("not authorised"), "{e}");
    }

    #[test]
    fn what_passes_is_known_under_what_was_asked() {
        let unanswered = |code| Unanswered::of("the watermarks", "t", 0)(code);
        assert!(is_passing(&unanswered(Code::BrokerTransportFailure)));
        assert!(is_passing(&unanswered(Code::OperationTimedOut).context("where to start")));
        assert!(is_passing(&unanswered(Code::LeaderNotAvailable)));
        assert!(is_passing(&anyhow::Error::new(Code::NotCoordinator)));
        assert!(!is_passing(&unanswered(Code::TopicAuthorizationFailed)));
    }
}
