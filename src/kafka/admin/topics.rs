//! Topics made, changed, described and removed.

use std::time::Duration;

use anyhow::anyhow;
use rdkafka::admin::{AdminClient, ConfigSource, ResourceSpecifier};

use super::connection::{Overheard, code_of};
use super::{Admin, is_absence};
use crate::config::topic;
use crate::kafka::client::Refusal;
use crate::kafka::code::Code;
use crate::kafka::errors::{broker_words, with_broker_words, words};
use crate::kafka::ffi::{self, NewTopic};

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
        let topic = |name| NewTopic {
            name,
            partitions: creation.partitions.unwrap_or(-1),
            replication_factor: creation.replication_factor.unwrap_or(-1),
            configs: &creation.configs,
        };
        let topics: Vec<_> = names.iter().map(|name| topic(name)).collect();
        let outcomes = self.change(|client, wait| ffi::create_topics(client, &topics, wait));
        let outcomes = outcomes.map_err(|refusal| self.creation_words(&refusal, creation))?;
        let outcome = |(name, outcome): (String, Result<(), Refusal>)| {
            let outcome = outcome.map_err(|refusal| match refusal.code {
                Code::TopicAlreadyExists => CreateError::Exists,
                _ => CreateError::Other(self.creation_words(&refusal, creation)),
            });
            (name, outcome)
        };
        Ok(outcomes.into_iter().map(outcome).collect())
    }

    /// Sends a request that changes something, with the time that it may take, and notes why if it takes long.
    fn change<T>(
        &self,
        request: impl FnOnce(&AdminClient<Overheard>, Duration) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let connection = &self.connection;
        let client = connection.changer().map_err(|e| Refusal::from(code_of(&e)))?;
        connection.noting(|| request(client, connection.timeout()))
    }

    /// Removes topics; gives each name's outcome.
    pub(crate) fn delete(&self, names: &[String]) -> anyhow::Result<Vec<(String, anyhow::Result<()>)>> {
        let doomed: Vec<&str> = names.iter().map(String::as_str).collect();
        let outcomes = self.change(|client, wait| ffi::delete_topics(client, &doomed, wait));
        let outcomes = outcomes.map_err(|refusal| self.connection.change_words(&refusal))?;
        let outcome = |(name, outcome): (String, Result<(), Refusal>)| {
            let outcome = outcome.map_err(|refusal| match refusal.code {
                code if is_absence(code) => anyhow!(topic::absent(&name)),
                _ => self.connection.change_words(&refusal),
            });
            (name, outcome)
        };
        Ok(outcomes.into_iter().map(outcome).collect())
    }

    /// Gives a topic more partitions, `count` in all.
    pub(crate) fn grow(&self, name: &str, count: usize) -> anyhow::Result<()> {
        let outcome = self.change(|client, wait| ffi::create_partitions(client, name, count, wait));
        outcome.map_err(|refusal| self.connection.change_words(&refusal))
    }

    /// Sets single configurations of a topic, or gives them their default back (`None`).
    pub(crate) fn configure(&self, name: &str, changes: &[(&str, Option<&str>)]) -> anyhow::Result<()> {
        let outcome = self.change(|client, wait| ffi::alter_topic_configs(client, name, changes, wait));
        outcome.map_err(|refusal| match (refusal.code, broker_words(&refusal)) {
            (Code::UnsupportedFeature, _) => anyhow!(
                "the broker does not understand it: to change single configurations takes Apache Kafka 2.3 or later"
            ),
            (Code::InvalidConfig, Some(why)) => anyhow!("the broker refuses it: {why}"),
            _ => self.connection.change_words(&refusal),
        })
    }

    /// A topic's configuration as far as it was set on the topic: `(name, value)`, sorted.
    pub(crate) fn configs(&self, name: &str) -> anyhow::Result<Vec<(String, String)>> {
        let topics = [ResourceSpecifier::Topic(name)];
        let outcomes = self.connection.change(|client, options| client.describe_configs(&topics, options));
        let resource =
            outcomes.map_err(|code| self.connection.request_words(&code.into()))?.into_iter().next();
        let resource = resource.transpose().map_err(|code| self.connection.request_words(&code.into()))?;
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
    fn creation_words(&self, refusal: &Refusal, creation: &Creation<'_>) -> anyhow::Error {
        match refusal.code {
            Code::InvalidReplicationFactor => {
                let brokers = self.metadata(None).map_or(0, |cluster| cluster.brokers.len());
                let asked = creation.replication_factor.map_or_else(String::new, |n| format!("{n} "));
                let are = if brokers == 1 { "1 broker" } else { &format!("{brokers} brokers") };
                let own = format!(
                    "a replication factor of {asked}is more than the cluster can hold: it has {are} \
                     (give --rf {brokers} or less)"
                );
                anyhow!(with_broker_words(&own, refusal))
            }
            Code::UnsupportedFeature | Code::UnsupportedVersion
                if creation.partitions.is_none() || creation.replication_factor.is_none() =>
            {
                anyhow!(
                    "the broker does not understand it: those older than 2.4 have no defaults for new topics \
                     (give --partitions and --rf)"
                )
            }
            Code::InvalidPartitions => {
                let own = format!("{} (give --partitions 1 or more)", words(refusal.code));
                anyhow!(with_broker_words(&own, refusal))
            }
            Code::InvalidConfig => {
                if let Some(why) = broker_words(refusal) {
                    return anyhow!("the broker refuses it: {why}");
                }
                let configs: Vec<String> =
                    creation.configs.iter().map(|(name, value)| format!("{name}={value}")).collect();
                anyhow!(
                    "the broker refuses --config {}: an unknown name, or a value that it can't take",
                    configs.join(" --config ")
                )
            }
            Code::PolicyViolation => {
                let own = "a policy of the cluster forbids it (create.topic.policy.class.name)";
                anyhow!(with_broker_words(own, refusal))
            }
            _ => self.connection.change_words(refusal),
        }
    }
}
