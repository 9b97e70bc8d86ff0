//! The cluster as an administrator sees it: reached within the time-out or explained; topics made,
//! changed, described and removed.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::code::Code;
use super::connect::{PATIENCE, note_waiting};
use super::errors::{Causes, is_contact_lost, words};
use super::ffi;
use super::properties::native;
use crate::clock::duration;
use crate::config::{Config, topic};
use crate::kafka::metadata::{Cluster, TopicMetadata};

/// Between two looks at something that is awaited.
const STEP: Duration = Duration::from_millis(20);

/// What to make: `None` leaves it to the broker.
#[derive(Clone, Debug, Default)]
pub struct Creation<'a> {
    pub partitions: Option<i32>,
    pub replication_factor: Option<i32>,
    /// The topic's own configuration, `(name, value)`.
    pub configs: Vec<(&'a str, &'a str)>,
}

/// Why a topic could not be made.
#[derive(Debug)]
pub enum CreateError {
    /// There is one of this name.
    Exists,
    /// Anything else, in words.
    Other(anyhow::Error),
}

/// Hears what librdkafka reports to its application.
struct Ear(Causes);

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level as i32, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error.rdkafka_error_code().unwrap_or(Code::Unknown), reason);
    }
}

impl ConsumerContext for Ear {}

/// An admin client is silent: what keeps it from its brokers is heard by the [`Admin`]'s other client.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

/// A connection to a cluster that has answered.
///
/// Its clients are never dropped: librdkafka's destructor has no upper bound while
/// brokers are away. An `Admin` is for the length of a command.
pub struct Admin {
    config: Config,
    causes: Causes,
    /// Asks, and hears of errors. A consumer, since a producer's questions create topics.
    asker: Arc<ManuallyDrop<BaseConsumer<Ear>>>,
    changer: OnceLock<ManuallyDrop<AdminClient<Silent>>>,
}

impl Admin {
    /// Connects, and proves that a broker answers; else says within the time-out which
    /// broker did not and why.
    pub fn connect(config: &Config) -> anyhow::Result<Self> {
        let this = Self::unproven(config, &config.brokers)?;
        let start = Instant::now();
        this.ask(move |client, timeout| {
            // The lightest question: a client asks it by itself as soon as it is connected.
            if client.client().fetch_cluster_id(timeout).is_some() {
                return Ok(());
            }
            // No id in time; or none at all, from a broker older than 0.10.1, which answers this.
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(KafkaError::MetadataFetch(Code::OperationTimedOut));
            }
            client.fetch_metadata(None, left).map(|_| ())
        })?;
        config.log.verbose(1, format_args!("reached {} in {:.0?}", config.brokers, start.elapsed()));
        Ok(this)
    }

    fn unproven(config: &Config, brokers: &str) -> anyhow::Result<Self> {
        let causes = Causes::new(config.log);
        let mut client = client_config(config)?;
        client.set("metadata.broker.list", brokers);
        let asker: BaseConsumer<Ear> =
            client.create_with_context(Ear(causes.clone())).map_err(|e| creation_error(&e))?;
        Ok(Self {
            config: config.clone(),
            causes,
            asker: Arc::new(ManuallyDrop::new(asker)),
            changer: OnceLock::new(),
        })
    }

    /// The cluster's view of one topic (which is not created by asking), or of all topics.
    pub fn metadata(&self, topic: Option<&str>) -> anyhow::Result<Cluster> {
        let topic = topic.map(str::to_owned);
        self.ask(move |client, timeout| {
            client.fetch_metadata(topic.as_deref(), timeout).map(|m| Cluster::from(&m))
        })
    }

    /// One topic, where it is there.
    pub fn topic(&self, name: &str) -> anyhow::Result<Option<TopicMetadata>> {
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
    pub fn watermarks(&self, topic: &str, partitions: &[i32]) -> anyhow::Result<Vec<(i64, i64)>> {
        let deadline = Instant::now() + self.config.timeout;
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
        let answer = self.ask(move |client, timeout| match client.offsets_for_times(list, timeout) {
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

    /// Makes topics; gives each name's outcome in the order of `names`.
    pub fn create(
        &self,
        names: &[String],
        creation: &Creation<'_>,
    ) -> anyhow::Result<Vec<(String, Result<(), CreateError>)>> {
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| {
                let factor = TopicReplication::Fixed(creation.replication_factor.unwrap_or(-1));
                let mut topic = NewTopic::new(name, creation.partitions.unwrap_or(-1), factor);
                for (key, value) in &creation.configs {
                    topic = topic.set(key, value);
                }
                topic
            })
            .collect();
        let outcomes = self.change(|client, options| client.create_topics(&topics, options));
        let outcomes = outcomes.map_err(|e| self.creation_words(e, creation))?;
        Ok(outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Ok(name) => (name, Ok(())),
                Err((name, Code::TopicAlreadyExists)) => (name, Err(CreateError::Exists)),
                Err((name, code)) => {
                    let e = self.creation_words(code, creation);
                    (name, Err(CreateError::Other(e)))
                }
            })
            .collect())
    }

    /// Removes topics; gives each name's outcome.
    pub fn delete(&self, names: &[String]) -> anyhow::Result<Vec<(String, anyhow::Result<()>)>> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let outcomes = self.change(|client, options| client.delete_topics(&names, options));
        Ok(outcomes
            .map_err(|code| self.change_words(code))?
            .into_iter()
            .map(|outcome| match outcome {
                Ok(name) => (name, Ok(())),
                Err((name, code)) if is_absence(code) => {
                    let e = anyhow!(topic::absent(&name));
                    (name, Err(e))
                }
                Err((name, code)) => (name, Err(self.change_words(code))),
            })
            .collect())
    }

    /// Gives a topic more partitions, `count` in all.
    pub fn grow(&self, name: &str, count: usize) -> anyhow::Result<()> {
        let partitions = [NewPartitions::new(name, count)];
        let outcomes = self.change(|client, options| client.create_partitions(&partitions, options));
        match outcomes.map_err(|code| self.change_words(code))?.into_iter().next() {
            Some(Err((_, code))) => Err(self.change_words(code)),
            _ => Ok(()),
        }
    }

    /// Sets single configurations of a topic, or gives them their default back (`None`).
    pub fn configure(&self, name: &str, changes: &[(&str, Option<&str>)]) -> anyhow::Result<()> {
        let client = self.changer().map_err(|e| self.request_words(code_of(&e)))?;
        ffi::alter_topic_configs(client, name, changes, self.config.timeout).map_err(|(code, why)| match code {
            Code::UnsupportedFeature => anyhow!(
                "the broker does not understand it: to change single configurations takes Apache Kafka 2.3 or later"
            ),
            Code::InvalidConfig if !why.is_empty() => anyhow!("the broker refuses it: {why}"),
            code => self.change_words(code),
        })
    }

    /// A topic's configuration as far as it was set on the topic: `(name, value)`, sorted.
    pub fn configs(&self, name: &str) -> anyhow::Result<Vec<(String, String)>> {
        let topics = [ResourceSpecifier::Topic(name)];
        let outcomes = self.change(|client, options| client.describe_configs(&topics, options));
        let resource = outcomes.map_err(|code| self.request_words(code))?.into_iter().next();
        let resource = resource.transpose().map_err(|code| self.request_words(code))?;
        let mut configs: Vec<(String, String)> = resource
            .map(|resource| resource.entries)
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic)
            .map(|entry| (entry.name, entry.value.unwrap_or_default()))
            .collect();
        configs.sort();
        Ok(configs)
    }

    /// Waits until every broker knows the topic with all its leaders, and with `partitions`
    /// where that is given, and until those leaders serve it: until any client can use it.
    pub fn await_usable(&self, name: &str, partitions: Option<usize>) -> anyhow::Result<TopicMetadata> {
        let usable = |cluster: &Cluster| {
            let topic = cluster.topics.iter().find(|topic| topic.name == name)?;
            (topic.is_led() && partitions.is_none_or(|n| topic.partitions.len() == n)).then(|| topic.clone())
        };
        let deadline = Instant::now() + self.config.timeout;
        let (topic, brokers) = await_answer(deadline, || {
            let cluster = self.metadata(Some(name))?;
            Ok(usable(&cluster).map(|topic| (topic, cluster.brokers)))
        })?
        .ok_or_else(|| self.not_usable(name))?;
        // A broker hears of a change a little after the one that answered. A client that knows one
        // broker only asks that one first.
        for broker in brokers.iter().filter(|_| brokers.len() > 1) {
            let other = Self::unproven(&self.config, broker)?;
            await_answer(deadline, || Ok(usable(&other.metadata(Some(name))?)))
                .with_context(|| format!("ask {broker} for topic {name}"))?
                .ok_or_else(|| self.not_usable(name))?;
        }
        // A leader may be known before it knows itself.
        let partitions: Vec<i32> = topic.partitions.iter().map(|p| p.id).collect();
        await_answer(deadline, || Ok(self.list_offsets(name, &partitions, Offset::End)?.ok()))?
            .ok_or_else(|| self.not_usable(name))?;
        Ok(topic)
    }

    /// Waits until the topic is gone.
    pub fn await_gone(&self, name: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.config.timeout;
        await_answer(deadline, || Ok(self.topic(name)?.is_none().then_some(())))?.ok_or_else(|| {
            let timeout = duration::format(self.config.timeout);
            anyhow!("topic {name} is marked for deletion, but still there after {timeout}")
        })
    }

    fn not_usable(&self, name: &str) -> anyhow::Error {
        let timeout = duration::format(self.config.timeout);
        anyhow!(
            "topic {name} was made, but not every partition has a leader after {timeout} \
             (look with `kq topic describe {name}`)"
        )
    }

    /// Puts a question to the cluster on a thread of its own, and serves the client's events
    /// meanwhile, so that an answer that does not come can be explained.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer<Ear>, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let timeout = self.config.timeout;
        let start = Instant::now();
        let (answer, answered) = mpsc::sync_channel(1);
        let asker = Arc::clone(&self.asker);
        // Not waited for where the cluster stays silent: it ends by itself at the time-out.
        std::thread::Builder::new()
            .name("question".into())
            .spawn(move || {
                let _ = answer.send(question(&asker, timeout));
            })
            .context("start a thread")?;
        let mut patient = true;
        loop {
            match answered.recv_timeout(STEP) {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(e)) => {
                    self.serve();
                    let code = e.rdkafka_error_code().unwrap_or(Code::OperationTimedOut);
                    return Err(self.causes.explain(code, &self.config.brokers, timeout));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => self.serve(),
                Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the question to the cluster was lost"),
            }
            if self.causes.are_final(&self.config.brokers) || start.elapsed() > timeout {
                let code = Code::OperationTimedOut;
                return Err(self.causes.explain(code, &self.config.brokers, timeout));
            }
            if patient && start.elapsed() > PATIENCE {
                patient = false;
                note_waiting(&self.config, &self.causes);
            }
        }
    }

    /// Serves the client's callbacks.
    fn serve(&self) {
        while self.asker.poll(Duration::ZERO).is_some() {}
    }

    /// Sends a request that changes something (or that only admin clients can send), and
    /// waits for the outcome within the time-out.
    fn change<T, F>(&self, request: impl FnOnce(&AdminClient<Silent>, &AdminOptions) -> F) -> Result<T, Code>
    where
        F: Future<Output = KafkaResult<T>>,
    {
        let timeout = Some(self.config.timeout);
        let options = AdminOptions::new().request_timeout(timeout).operation_timeout(timeout);
        let code = |e: KafkaError| code_of(&e);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|_| Code::CriticalSystemResource)?;
        let client = self.changer().map_err(code)?;
        runtime.block_on(request(client, &options)).map_err(code)
    }

    fn changer(&self) -> KafkaResult<&AdminClient<Silent>> {
        if let Some(client) = self.changer.get() {
            return Ok(client);
        }
        let config = client_config(&self.config).map_err(|e| KafkaError::ClientCreation(e.to_string()))?;
        let client = config.create_with_context(Silent)?;
        Ok(self.changer.get_or_init(|| ManuallyDrop::new(client)))
    }

    /// Why a request failed: lost contact is explained by what was heard of the brokers.
    fn request_words(&self, code: Code) -> anyhow::Error {
        if !is_contact_lost(code) {
            return anyhow!(words(code));
        }
        self.serve();
        // Of a connection that was up librdkafka says no more than that it is not any longer.
        if code == Code::BrokerTransportFailure && self.causes.last().is_none() {
            return anyhow!("{}: the connection was closed before an answer came", self.config.brokers);
        }
        self.causes.explain(code, &self.config.brokers, self.config.timeout)
    }

    /// Why a request to change something failed: it may have been carried out though no answer came.
    fn change_words(&self, code: Code) -> anyhow::Error {
        use crate::kafka::code::Code as E;
        let e = self.request_words(code);
        if matches!(code, E::OperationTimedOut | E::RequestTimedOut | E::BrokerTransportFailure) {
            return anyhow!(
                "{e:#}; it may have been done all the same (`kq topic list` and `describe` show)"
            );
        }
        e
    }

    /// Why a topic could not be made, with what to do.
    fn creation_words(&self, code: Code, creation: &Creation<'_>) -> anyhow::Error {
        match code {
            Code::InvalidReplicationFactor => {
                let brokers = self.metadata(None).map_or(0, |cluster| cluster.brokers.len());
                let asked = creation.replication_factor.map_or_else(String::new, |n| format!("{n} "));
                let are = if brokers == 1 { "1 broker" } else { &format!("{brokers} brokers") };
                anyhow!(
                    "a replication factor of {asked}is more than the cluster can hold: it has {are} \
                     (give --rf {brokers} or less)"
                )
            }
            Code::UnsupportedFeature | Code::UnsupportedVersion
                if creation.partitions.is_none() || creation.replication_factor.is_none() =>
            {
                anyhow!(
                    "the broker does not understand it: those older than 2.4 have no defaults for new topics \
                     (give --partitions and --rf)"
                )
            }
            Code::InvalidPartitions => anyhow!("{} (give --partitions 1 or more)", words(code)),
            Code::InvalidConfig => {
                let configs: Vec<String> =
                    creation.configs.iter().map(|(name, value)| format!("{name}={value}")).collect();
                anyhow!(
                    "the broker refuses --config {}: an unknown name, or a value that it can't take",
                    configs.join(" --config ")
                )
            }
            Code::PolicyViolation => {
                anyhow!("a policy of the cluster forbids it (create.topic.policy.class.name)")
            }
            code => self.change_words(code),
        }
    }
}

/// The code of an error; where a request failed as a whole, the admin client keeps it apart.
fn code_of(e: &KafkaError) -> Code {
    match e {
        KafkaError::AdminOp(code) => *code,
        e => e.rdkafka_error_code().unwrap_or(Code::Fail),
    }
}

/// A client that asks and creates nothing by asking.
fn client_config(config: &Config) -> anyhow::Result<ClientConfig> {
    // The backoff: as for a producer, half of it passes before the second connection.
    native(&config.client(&[("allow.auto.create.topics", "false"), ("reconnect.backoff.ms", "20")]))
}

/// librdkafka's refusal to start a client, which is about its configuration: a file that is no certificate …
fn creation_error(e: &KafkaError) -> anyhow::Error {
    match e {
        KafkaError::ClientCreation(why) => anyhow!("the connection can't be set up: {why}"),
        e => anyhow!("the connection can't be set up: {e}"),
    }
}

fn is_absence(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic)
}

/// Looks again and again until there is an answer or the deadline is past.
fn await_answer<T>(
    deadline: Instant,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    loop {
        if let Some(answer) = look()? {
            return Ok(Some(answer));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::sleep(STEP);
    }
}
