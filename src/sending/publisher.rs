//! One producer for the records of many requests: any thread queues them, and each request gets the result of each.
//!
//! A request's own thread queues its records: librdkafka's queue is made for many threads, and a thread between
//! would cost a wake-up more for each request. One thread takes the reports, and wakes a request once, when it
//! has all of them. Another one watches the cluster.

mod batch;
mod contact;
mod core;
mod pending;
mod replacing;
mod signals;
mod topic;
mod watch;

use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use self::core::{Client, Core, Factory};
use self::signals::Signals;
use self::topic::Topic;
use self::watch::Watch;
use crate::config::{Config, Properties};
use crate::kafka::errors::{Causes, Membership};
use crate::kafka::ffi::Producer;
use crate::record::draft::Draft;
use crate::sending::settings::{Acks, Missing, Settings};
use crate::sending::{client, properties};
use crate::{clock, threads};

pub(crate) use self::batch::{Outcome, Published};
pub(crate) use self::core::Reach;
pub(crate) use self::topic::Partitions;

/// A turn of the delivery thread takes no longer while nothing is delivered.
const TURN: Duration = Duration::from_millis(100);
/// How long the start waits for the producer id.
const ID: Duration = Duration::from_secs(2);

/// Publishes to the topics that it was started with. Clones share the producer, whose threads end with the last.
#[derive(Clone)]
pub(crate) struct Publisher {
    core: Arc<Core<Librdkafka>>,
}

/// How the publisher is, for probes and metrics.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub reach: Reach,
    /// What keeps brokers from being reached, in one clause; `None`: nothing is known.
    pub cause: Option<String>,
    /// Whether an idempotent producer can send: it has its id.
    pub has_producer_id: bool,
    /// Of each topic, in their order: how many of its partitions have a leader.
    pub led: Vec<usize>,
    /// When the delivery thread turned last; it does ten times a second.
    pub turned: Instant,
}

impl Publisher {
    /// Connects. Each topic must be there, or be made where the settings allow that, within the configured
    /// time-out.
    pub(crate) fn start(
        config: &Config,
        settings: &Settings,
        queue: Queue,
        topics: &[Arc<str>],
    ) -> anyhow::Result<Self> {
        let mut factory = Librdkafka { config: config.clone(), settings: settings.clone(), queue };
        let properties = factory.properties(None);
        if properties.get("acks").is_some_and(|acks| Acks::of(acks) != Acks::All) {
            bail!("acks: each record is acknowledged by all replicas in sync here; leave acks out");
        }
        let (mut producer, mut signals) = factory.make(None)?;
        let mut known = Vec::with_capacity(topics.len());
        let mut smallest = usize::MAX;
        for name in topics {
            let causes = Arc::new(signals.causes().clone());
            let found = client::await_topic(producer, causes, &properties, config, name, settings.missing)?;
            let (connected, leader) = found;
            producer = connected.producer;
            let limit = client::noted(client::limit(&producer, name, leader.id), config, name);
            let topic = Topic::new(Arc::clone(name));
            topic.set_partitions(&connected.partition_ids, &connected.partitions);
            topic.set_limit(limit.and_then(|limit| limit.parse().ok()));
            smallest = smallest.min(topic.limit().unwrap_or(usize::MAX));
            known.push(topic);
        }
        let mut batch_size =
            properties.get("batch.size").and_then(|size| size.parse().ok()).unwrap_or(usize::MAX);
        // A client's properties are for its lifetime, so other ones take another client. A topic that is deleted
        // later is not made again by who sends to it.
        let made_some = std::mem::replace(&mut factory.settings.missing, Missing::Refuse) == Missing::Create;
        if smallest < batch_size {
            batch_size = smallest;
            (producer, signals) = factory.make(Some(batch_size))?;
        } else if made_some {
            (producer, signals) = factory.make(None)?;
        }
        let random = properties.get("partitioner").is_some_and(|name| name.ends_with("random"));
        let client = Client::new(producer, Arc::clone(&signals), &known, 0)?;
        let seed = clock::now_ms() as u32;
        let core = Arc::new(Core::new(factory, known, client, batch_size, random, seed));
        let has_id = spawn(&core)?;
        // Without it records wait in the queue: a cluster may be slow to give it.
        let _ = has_id.recv_timeout(ID.min(config.timeout));
        if let Some(reason) = signals.fatal() {
            bail!("start a producer: {reason}");
        }
        Ok(Self { core })
    }

    /// Queues all records of a request, in order, to the topic of this place; their bytes are copied.
    pub(crate) fn publish(&self, topic: usize, drafts: &[Draft]) -> Published {
        self.core.publish(topic, drafts)
    }

    /// Whether records can be sent now. It costs next to nothing while they can.
    pub(crate) fn reach(&self) -> Reach {
        self.core.reach(Instant::now())
    }

    /// How it is.
    pub(crate) fn state(&self) -> State {
        let (cause, has_producer_id) = self
            .core
            .with_client(|client| (client.signals.causes().last(), client.signals.has_producer_id()));
        State {
            reach: self.reach(),
            cause,
            has_producer_id,
            led: self.core.topics.iter().map(|topic| topic.partitions().with_leader.len()).collect(),
            turned: self.core.turned(),
        }
    }

    /// The partitions of the topic of this place, as the cluster had them last.
    pub(crate) fn partitions(&self, topic: usize) -> Partitions {
        self.core.topics[topic].partitions()
    }

    /// The topic's `max.message.bytes` when it was asked for last; `None`: not known. It holds for a batch after
    /// compression: the broker decides.
    pub(crate) fn max_message_bytes(&self, topic: usize) -> Option<usize> {
        self.core.topics[topic].limit()
    }

    /// Waits until each record has a result or the time is over; gives how many have none.
    pub(crate) async fn drain(&self, limit: Duration) -> usize {
        self.core.drain(limit).await
    }
}

/// Starts the two threads of a publisher. They end when it is dropped. What is returned hears that the client has
/// its producer id, or that it is unusable.
fn spawn(core: &Arc<Core<Librdkafka>>) -> anyhow::Result<mpsc::Receiver<()>> {
    let deliveries = Arc::downgrade(core);
    threads::start("deliveries", move || {
        while let Some(core) = Weak::upgrade(&deliveries) {
            core.turn(TURN);
        }
    })?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let watched = Arc::downgrade(core);
    threads::start("publisher", move || {
        let mut watch = Watch::new(Instant::now());
        while let Some(core) = Weak::upgrade(&watched) {
            let pause = core.watch(&mut watch);
            let is_ready = core
                .with_client(|client| client.signals.has_producer_id() || client.signals.fatal().is_some());
            if is_ready {
                let _ = sender.try_send(());
            }
            core.nudge.await_for(pause);
        }
    })?;
    Ok(receiver)
}

/// What may wait for its acknowledgement, all together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    pub bytes: usize,
    /// Of one request.
    pub records: usize,
}

/// Makes clients of librdkafka.
struct Librdkafka {
    config: Config,
    settings: Settings,
    queue: Queue,
}

impl Librdkafka {
    fn properties(&self, batch_size: Option<usize>) -> Properties {
        let delivery_timeout = self.settings.delivery_timeout.map(properties::client_timeout);
        let flags = Settings { delivery_timeout, ..self.settings.clone() }.properties();
        let flags: Vec<(&str, &str)> = flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let batch_size = batch_size.map(|size| size.to_string());
        let (kbytes, records) = ((self.queue.bytes >> 10).to_string(), self.queue.records.to_string());
        let defaults = properties::with_queue(&properties::published(), &kbytes, &records);
        let role = batch_size
            .as_deref()
            .map_or_else(|| defaults.clone(), |size| properties::with_batch_size(&defaults, size));
        self.config.client_with(&role, &flags)
    }
}

impl Factory for Librdkafka {
    type Client = Producer;

    fn make(&self, batch_size: Option<usize>) -> anyhow::Result<(Producer, Arc<Signals>)> {
        let mut properties = self.properties(batch_size);
        let is_debugging = properties.is_debugging();
        if !is_debugging {
            // A few lines in a client's life: that it has its producer id is said nowhere else.
            properties.set("debug", "eos");
        }
        let needs_id = properties.get("enable.idempotence") == Some("true");
        let causes = Causes::new(self.config.log, &self.config.brokers, Membership::None);
        let signals = Arc::new(Signals::new(Arc::new(causes), is_debugging, needs_id));
        let producer = Producer::new(&properties, Arc::clone(&signals) as _).context("start a producer")?;
        Ok((producer, signals))
    }
}

#[cfg(test)]
mod tests;
