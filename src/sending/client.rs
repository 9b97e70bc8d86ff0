//! A producer that is connected to its topic, with kq's defaults.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::config::{self, Config, Properties};
use crate::kafka::client::{ProducerClient, TopicMetadata};
use crate::kafka::code::Code;
use crate::kafka::connect;
use crate::kafka::errors::{Causes, Membership, is_contact_lost, refused_topic, words};
use crate::kafka::ffi::Producer;
use crate::sending::properties::{self, DEFAULTS};
use crate::sending::settings::{Acks, Missing, Settings};

/// How long a topic may be unknown before it counts as missing: a broker that creates it on first
/// use answers "unknown" a few times.
const CREATION: Duration = Duration::from_secs(3);

/// The topic's limit of a batch.
const LIMIT: &str = "max.message.bytes";
/// How long kq waits for the topic's [`LIMIT`]: a broker knows it at once.
pub(super) const QUESTION: Duration = Duration::from_secs(1);
/// Between two questions to a leader that does not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// A producer whose cluster answered and whose topic is there.
pub(crate) struct Connected<P = Producer> {
    pub producer: P,
    /// The topic's partitions that have a leader; never empty.
    pub partitions: Vec<i32>,
    pub causes: Arc<Causes>,
    /// Whether the partitioner puts records without a key anywhere.
    pub random: bool,
    /// All of the topic's partitions, with a leader or without.
    pub partition_ids: Vec<i32>,
    /// The client's own limit on a record, bytes.
    pub max_message_bytes: usize,
    /// The topic's `max.message.bytes` when it was asked for last; `None` where that is not known.
    pub limit: Cell<Option<usize>>,
    /// The client's `compression.codec`.
    pub codec: String,
    /// How many replicas must have a record before it counts.
    pub acks: Acks,
    /// How often, and when last, [`Connected::hurry`] asked.
    hurried: Cell<(u32, Instant)>,
}

impl<P: ProducerClient> Connected<P> {
    /// Gets the first record out without half a second's wait; call it while records are queued
    /// and none was acknowledged yet.
    ///
    /// An idempotent producer asks for its producer id when metadata arrives. At that time only
    /// the bootstrap connection is up, which librdkafka does not use for it, and it looks again
    /// after 500 ms (`rd_kafka_idemp_pid_timer_restart`) or when metadata arrives again: so ask
    /// for metadata a few times more, as long as it may help.
    pub(crate) fn hurry(&self, topic: &str) {
        const TIMES: u32 = 20;
        const PAUSE: Duration = Duration::from_millis(3);
        let (times, last) = self.hurried.get();
        if times < TIMES && last.elapsed() >= PAUSE && self.producer.in_flight() > 0 {
            let _ = self.producer.metadata(Some(topic), Duration::from_millis(100));
            self.hurried.set((times + 1, Instant::now()));
        }
    }

    /// Asks for the topic's `max.message.bytes` again: it may have been raised.
    pub(crate) fn ask_limit(&self, topic: &str) {
        let leader = self.producer.metadata(Some(topic), QUESTION).ok();
        let leader = leader.and_then(|metadata| readiness(&metadata, topic).ok());
        let answer = leader.map(|(_, leader)| limit(&self.producer, topic, leader.id));
        if let Some(Ok(Some(limit))) = answer {
            self.limit.set(limit.parse().ok());
        }
    }
}

/// Connects to the cluster and finds the topic, within the configured time-out.
pub(crate) fn connect(config: &Config, settings: &Settings, topic: &str) -> anyhow::Result<Connected> {
    let flags = settings.properties();
    let flags: Vec<(&str, &str)> = flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let client = config.client_with(&DEFAULTS, &flags);
    let began = Instant::now();
    let (connected, leader) = connect_with(&client, config, topic, settings.missing)?;
    let limit = match limit(&connected.producer, topic, leader.id) {
        // Others may take records meanwhile.
        Err(code) if is_contact_lost(code) && leader.is_only => {
            await_leader(&connected.producer, &connected.causes, config, topic, leader.id, began)?
        }
        limit => limit,
    };
    let limit = noted(limit, config, topic);
    let connected = match smaller_batch(limit.as_deref(), &client, config, topic) {
        None => connected,
        // A client's batch.size is for its lifetime, so this takes another one.
        Some(limit) => {
            let client = config.client_with(&properties::with_batch_size(&DEFAULTS, &limit), &flags);
            connect_with(&client, config, topic, settings.missing)?.0
        }
    };
    connected.limit.set(limit.and_then(|limit| limit.parse().ok()));
    Ok(connected)
}

/// The topic's [`LIMIT`], asked from the broker that leads one of its partitions.
pub(super) fn limit(
    producer: &impl ProducerClient,
    topic: &str,
    leader: i32,
) -> Result<Option<String>, Code> {
    producer.topic_config(topic, LIMIT, leader, QUESTION)
}

/// The limit where there is an answer; where it is not known, or not readable by this user, that is noted.
pub(super) fn noted(limit: Result<Option<String>, Code>, config: &Config, topic: &str) -> Option<String> {
    limit.unwrap_or_else(|code| {
        config.log.verbose(1, format_args!("{LIMIT} of {topic} is not known: {}", words(code)));
        None
    })
}

/// Asks the only leader of a topic for its limit until there is an answer, if only a refusal. An error where
/// it is known by the configured time-out why there is none; gives what the last question had otherwise.
fn await_leader(
    producer: &impl ProducerClient,
    causes: &Causes,
    config: &Config,
    topic: &str,
    leader: i32,
    began: Instant,
) -> anyhow::Result<Result<Option<String>, Code>> {
    let mut is_told = false;
    loop {
        let (fault, lasts) = (causes.advertised(), began.elapsed());
        match &fault {
            Some(fault) if lasts >= config.timeout => return Err(anyhow!(fault.sentence.clone())),
            Some(fault) if lasts >= fault.patience && !is_told => {
                is_told = true;
                connect::note_waiting(config, causes);
            }
            _ => {}
        }
        let left = config.timeout.saturating_sub(lasts);
        match producer.topic_config(topic, LIMIT, leader, QUESTION.min(left.max(PAUSE))) {
            Err(code) if is_contact_lost(code) && (!left.is_zero() || causes.advertised().is_some()) => {
                // It also takes in what keeps the answer away.
                producer.poll(PAUSE, &mut |_| {});
            }
            answer => {
                causes.forget();
                return Ok(answer);
            }
        }
    }
}

/// The `batch.size` with which no batch is above the topic's own `max.message.bytes`, where that is
/// less than `client` has. Where it is not known, the broker's default is assumed.
fn smaller_batch(limit: Option<&str>, client: &Properties, config: &Config, topic: &str) -> Option<String> {
    let limit = smaller(limit?, client.get("batch.size"))?;
    config.log.verbose(1, format_args!("batches fit the {LIMIT} of {topic}, {limit}"));
    Some(limit)
}

/// The same for a producer to several topics, which were found before.
pub(crate) fn smallest_batch(
    producer: &impl ProducerClient,
    client: &Properties,
    config: &Config,
    topics: &[String],
) -> Option<String> {
    let limits = topics.iter().filter_map(|topic| {
        let (_, leader) = readiness(&producer.metadata(Some(topic), QUESTION).ok()?, topic).ok()?;
        let limit = noted(limit(producer, topic, leader.id), config, topic);
        smaller_batch(limit.as_deref(), client, config, topic)
    });
    limits.min_by_key(|limit| limit.parse::<u64>().unwrap_or(u64::MAX))
}

/// The batch size that a limit asks for, where it is below the one that holds.
pub(super) fn smaller(limit: &str, batch_size: Option<&str>) -> Option<String> {
    let (limit, holds): (u64, u64) = (limit.parse().ok()?, batch_size?.parse().ok()?);
    (limit < holds).then(|| limit.max(1).to_string())
}

/// A broker that leads a topic's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(super) id: i32,
    /// Whether it leads all of them.
    is_only: bool,
}

/// A producer, its topic's partitions, and the broker that leads one of them.
fn connect_with(
    client: &Properties,
    config: &Config,
    topic: &str,
    missing: Missing,
) -> anyhow::Result<(Connected, Leader)> {
    let causes = Arc::new(Causes::new(config.log, &config.brokers, Membership::None));
    let producer = Producer::new(client, Arc::clone(&causes) as _)?;
    await_topic(producer, causes, client, config, topic, missing)
}

/// Waits until the topic is there and one of its partitions has a leader.
pub(crate) fn await_topic<P: ProducerClient>(
    producer: P,
    causes: Arc<Causes>,
    client: &Properties,
    config: &Config,
    topic: &str,
    missing: Missing,
) -> anyhow::Result<(Connected<P>, Leader)> {
    let deadline = Instant::now() + config.timeout;
    let missing_after = Instant::now() + CREATION.min(config.timeout);
    let mut pause = Duration::from_millis(5);
    loop {
        let metadata = connect::metadata(config, &causes, |wait| producer.metadata(Some(topic), wait))?;
        match readiness(&metadata, topic) {
            Ok((partitions, leader)) => {
                let is = |name: &str| client.get(name).unwrap_or_default();
                let connected = Connected {
                    producer,
                    partitions,
                    causes,
                    random: is("partitioner").ends_with("random"),
                    max_message_bytes: is("message.max.bytes").parse().unwrap_or(usize::MAX),
                    limit: Cell::new(None),
                    codec: is("compression.codec").to_owned(),
                    partition_ids: ids(&metadata, topic),
                    acks: Acks::of(is("acks")),
                    hurried: Cell::new((0, Instant::now())),
                };
                return Ok((connected, leader));
            }
            Err(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                if missing == Missing::Refuse || Instant::now() >= missing_after {
                    let hint = config::topic::or_a_file(topic);
                    return Err(anyhow!("{}{hint}", config::topic::absent(topic)));
                }
            }
            Err(Code::LeaderNotAvailable) if Instant::now() < deadline => {}
            Err(Code::LeaderNotAvailable) => {
                return Err(anyhow!("topic {topic}: no partition has a leader; are its brokers up?"));
            }
            Err(code) => return Err(refused_topic(code, topic)),
        }
        producer.poll(pause, &mut |_| {});
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

fn ids(metadata: &[TopicMetadata], topic: &str) -> Vec<i32> {
    metadata.iter().filter(|t| t.name == topic).flat_map(|t| &t.partitions).map(|p| p.id).collect()
}

/// The partitions that can take records and the leader of the first, or what stands in the way.
pub(super) fn readiness(metadata: &[TopicMetadata], topic: &str) -> Result<(Vec<i32>, Leader), Code> {
    let found = metadata.iter().find(|t| t.name == topic).ok_or(Code::UnknownTopicOrPartition)?;
    if let Some(code) = found.error {
        return Err(code);
    }
    let led: Vec<_> = found.partitions.iter().filter(|p| p.leader >= 0).collect();
    let id = led.first().ok_or(Code::LeaderNotAvailable)?.leader;
    let leader = Leader { id, is_only: led.iter().all(|p| p.leader == id) };
    Ok((led.into_iter().map(|p| p.id).collect(), leader))
}

#[cfg(test)]
mod tests;
