//! Topics made, changed, described and removed.

use anyhow::anyhow;
use rdkafka::admin::{ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};

use super::connection::code_of;
use super::{Admin, is_absence};
use crate::config::topic;
use crate::kafka::code::Code;
use crate::kafka::errors::words;
use crate::kafka::ffi;

/// What to make: `None` leaves it to the broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Creation<'a> {
    pub partitions: Option<i32>,
    pub replication_factor: Option<i32>,
    /// The topic's own configuration, `(name, value)`.
    pub configs: Vec<(&'a str, &'a str)>,
}

/// Why a topic could not be made.
#[derive(Debug)]
pub(crate) enum CreateError {
    /// There is one of this name.
    Exists,
    /// Anything else, in words.
    Other(anyhow::Error),
}

impl Admin {
    /// Makes topics; gives each name's outcome in the order of `names`.
    pub(crate) fn create(
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
        let outcomes = self.connection.change(|client, options| client.create_topics(&topics, options));
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
    pub(crate) fn delete(&self, names: &[String]) -> anyhow::Result<Vec<(String, anyhow::Result<()>)>> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let outcomes = self.connection.change(|client, options| client.delete_topics(&names, options));
        Ok(outcomes
            .map_err(|code| self.connection.change_words(code))?
            .into_iter()
            .map(|outcome| match outcome {
                Ok(name) => (name, Ok(())),
                Err((name, code)) if is_absence(code) => {
                    let e = anyhow!(topic::absent(&name));
                    (name, Err(e))
                }
                Err((name, code)) => (name, Err(self.connection.change_words(code))),
            })
            .collect())
    }

    /// Gives a topic more partitions, `count` in all.
    pub(crate) fn grow(&self, name: &str, count: usize) -> anyhow::Result<()> {
        let partitions = [NewPartitions::new(name, count)];
        let outcomes =
            self.connection.change(|client, options| client.create_partitions(&partitions, options));
        match outcomes.map_err(|code| self.connection.change_words(code))?.into_iter().next() {
            Some(Err((_, code))) => Err(self.connection.change_words(code)),
            _ => Ok(()),
        }
    }

    /// Sets single configurations of a topic, or gives them their default back (`None`).
    pub(crate) fn configure(&self, name: &str, changes: &[(&str, Option<&str>)]) -> anyhow::Result<()> {
        let connection = &self.connection;
        let client = connection.changer().map_err(|e| connection.request_words(code_of(&e)))?;
        let outcome = ffi::alter_topic_configs(client, name, changes, connection.config.timeout);
        outcome.map_err(|(code, why)| match code {
            Code::UnsupportedFeature => anyhow!(
                "the broker does not understand it: to change single configurations takes Apache Kafka 2.3 or later"
            ),
            Code::InvalidConfig if !why.is_empty() => anyhow!("the broker refuses it: {why}"),
            code => connection.change_words(code),
        })
    }

    /// A topic's configuration as far as it was set on the topic: `(name, value)`, sorted.
    pub(crate) fn configs(&self, name: &str) -> anyhow::Result<Vec<(String, String)>> {
        let topics = [ResourceSpecifier::Topic(name)];
        let outcomes = self.connection.change(|client, options| client.describe_configs(&topics, options));
        let resource = outcomes.map_err(|code| self.connection.request_words(code))?.into_iter().next();
        let resource = resource.transpose().map_err(|code| self.connection.request_words(code))?;
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
            code => self.connection.change_words(code),
        }
    }
}
