//! Waiting until a change of a topic has reached the whole cluster.

use std::time::Instant;

use anyhow::{Context as _, anyhow};
use rdkafka::Offset;

use super::Admin;
use super::connection::{Connection, await_answer};
use crate::clock::duration;
use crate::kafka::metadata::{Cluster, TopicMetadata};

impl Admin {
    /// Waits until every broker knows the topic with all its leaders, and with `partitions`
    /// where that is given, and until those leaders serve it: until any client can use it.
    pub(crate) fn await_usable(
        &self,
        name: &str,
        partitions: Option<usize>,
    ) -> anyhow::Result<TopicMetadata> {
        let usable = |cluster: &Cluster| {
            let topic = cluster.topics.iter().find(|topic| topic.name == name)?;
            (topic.is_led() && partitions.is_none_or(|n| topic.partitions.len() == n)).then(|| topic.clone())
        };
        let deadline = Instant::now() + self.connection.config.timeout;
        let (topic, brokers) = await_answer(deadline, || {
            let cluster = self.metadata(Some(name))?;
            Ok(usable(&cluster).map(|topic| (topic, cluster.brokers)))
        })?
        .ok_or_else(|| self.not_usable(name))?;
        // A broker learns of a change a little after the one that answered. A client that knows one
        // broker only asks that one first.
        for broker in brokers.iter().filter(|_| brokers.len() > 1) {
            let other = Self { connection: Connection::new(&self.connection.config, broker)? };
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
    pub(crate) fn await_gone(&self, name: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.connection.config.timeout;
        await_answer(deadline, || Ok(self.topic(name)?.is_none().then_some(())))?.ok_or_else(|| {
            let timeout = duration::format(self.connection.config.timeout);
            anyhow!("topic {name} is marked for deletion, but still there after {timeout}")
        })
    }

    fn not_usable(&self, name: &str) -> anyhow::Error {
        let timeout = duration::format(self.connection.config.timeout);
        anyhow!(
            "topic {name} was made, but not every partition has a leader after {timeout} \
             (look with `kq topic describe {name}`)"
        )
    }
}
