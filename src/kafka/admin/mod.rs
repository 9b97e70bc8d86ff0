//! The cluster as an administrator sees it: its topics and their watermarks, or why it can't be reached.

mod connection;
mod topics;
mod usable;

pub(crate) use topics::{CreateError, Creation};

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::code::Code;
use super::errors::{is_contact_lost, words};
use super::metadata::{Cluster, TopicMetadata};
use crate::config::Config;
use connection::{Connection, await_answer};

/// For so long librdkafka waits for the cluster's id at once.
const LOOK: Duration = Duration::from_millis(50);

/// A connection to a cluster that has answered. It is for the length of a command: its clients are
/// never dropped.
pub(crate) struct Admin {
    connection: Connection,
}

impl Admin {
    /// Connects, and proves that a broker answers; else says within the time-out which
    /// broker did not and why.
    pub(crate) fn connect(config: &Config) -> anyhow::Result<Self> {
        let connection = Connection::new(config, &config.brokers)?;
        let start = Instant::now();
        connection.ask(move |client, timeout| {
            // The lightest question: a client asks it by itself as soon as it is connected. In steps, since librdkafka
            // misses an answer that comes just before it waits for one (`rd_kafka_metadata_cache_wait_change`).
            loop {
                let left = timeout.saturating_sub(start.elapsed());
                if left.is_zero() {
                    return Err(KafkaError::MetadataFetch(Code::OperationTimedOut));
                }
                let (began, wait) = (Instant::now(), left.min(LOOK));
                if client.client().fetch_cluster_id(wait).is_some() {
                    return Ok(());
                }
                // At once: a broker older than 0.10.1 has no id, and answers this.
                if began.elapsed() < wait / 2 {
                    return client.fetch_metadata(None, left).map(|_| ());
                }
            }
        })?;
        config.log.verbose(1, format_args!("reached {} in {:.0?}", config.brokers, start.elapsed()));
        Ok(Self { connection })
    }

    /// The cluster's view of one topic (which is not created by asking), or of all topics.
    pub(crate) fn metadata(&self, topic: Option<&str>) -> anyhow::Result<Cluster> {
        let topic = topic.map(str::to_owned);
        self.connection.ask(move |client, timeout| {
            client.fetch_metadata(topic.as_deref(), timeout).map(|m| Cluster::from(&m))
        })
    }

    /// One topic, where it is there.
    pub(crate) fn topic(&self, name: &str) -> anyhow::Result<Option<TopicMetadata>> {
        let topic = self.metadata(Some(name))?.topics.into_iter().find(|topic| topic.name == name);
        match topic {
            Some(TopicMetadata { error: Some(code), .. }) if is_absence(code) => Ok(None),
            Some(TopicMetadata { error: Some(code), .. }) if code != Code::LeaderNotAvailable => {
                bail!("topic {name}: {}", words(code))
            }
            topic => Ok(topic),
        }
    }

    /// The low and the high watermark of each of a topic's partitions, in their order, as
    /// their leaders have them. Waits for leaders that have only just been elected.
    pub(crate) fn watermarks(&self, topic: &str, partitions: &[i32]) -> anyhow::Result<Vec<(i64, i64)>> {
        let deadline = Instant::now() + self.connection.config.timeout;
        let marks = |at: Offset| -> anyhow::Result<Vec<i64>> {
            let mut refusal = None;
            let offsets = await_answer(deadline, || match self.list_offsets(topic, partitions, at)? {
                Ok(offsets) => Ok(Some(offsets)),
                Err((partition, code)) => {
                    refusal = Some((partition, code));
                    Ok(None)
                }
            })?;
            offsets.ok_or_else(|| match refusal {
                Some((partition, code)) => anyhow!("watermarks of {topic}[{partition}]: {}", words(code)),
                None => anyhow!("watermarks of {topic}: no answer in time"),
            })
        };
        let low = marks(Offset::Beginning)?;
        let high = marks(Offset::End)?;
        Ok(low.into_iter().zip(high).collect())
    }

    /// One `ListOffsets` request to each leader; the first partition whose leader refused, where one did.
    fn list_offsets(
        &self,
        topic: &str,
        partitions: &[i32],
        at: Offset,
    ) -> anyhow::Result<Result<Vec<i64>, (i32, Code)>> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            list.add_partition_offset(topic, partition, at)?;
        }
        // The beginning and the end are timestamps too, -2 and -1, on the wire and to librdkafka.
        let answer =
            self.connection.ask(move |client, timeout| match client.offsets_for_times(list, timeout) {
                Ok(answer) => Ok(Ok(answer)),
                Err(e) => match e.rdkafka_error_code() {
                    Some(code) if !is_contact_lost(code) => Ok(Err(code)),
                    _ => Err(e),
                },
            })?;
        let answer = match answer {
            Ok(answer) => answer,
            // Of which partition it does not say.
            Err(code) => return Ok(Err((partitions.first().copied().unwrap_or(0), code))),
        };
        let elements = answer.elements_for_topic(topic);
        Ok(elements
            .iter()
            .map(|e| match (e.error(), e.offset()) {
                (Ok(()), Offset::Offset(offset)) => Ok(offset),
                (Ok(()), _) => Err((e.partition(), Code::LeaderNotAvailable)),
                (Err(error), _) => {
                    let code = error.rdkafka_error_code().unwrap_or(Code::LeaderNotAvailable);
                    Err((e.partition(), code))
                }
            })
            .collect())
    }
}

fn is_absence(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic)
}
