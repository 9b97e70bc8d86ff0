//! What a consume reads: the topics and partitions at the start, and those that come and go later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use super::Session;
use super::parts::Part;
use crate::kafka::client::{Assigned, ConsumerClient, StartAt, TopicMetadata};
use crate::kafka::errors::words;
use crate::reading::bounds::Start;
use crate::reading::client;

/// How often is looked for new topics and partitions.
const DISCOVERY: Duration = Duration::from_secs(10);
/// The same for one that is missing.
const DISAPPEARANCE: Duration = Duration::from_secs(1);

impl<C: ConsumerClient> Session<'_, C> {
    /// Joins the group for the topics that are there now; partitions come through [`Rebalance::assigned`].
    ///
    /// Patterns are kq's own: librdkafka reads them in another dialect (POSIX), would join for
    /// Kafka's own topics too, and finds a new topic after five minutes.
    pub(super) fn join(&mut self) -> anyhow::Result<()> {
        let topics: Vec<String> = self.connected.topics.iter().map(|topic| topic.name.clone()).collect();
        if topics.is_empty() {
            if self.bounds.stops() {
                bail!("no topic matches; `kq topic list` shows those that exist");
            }
            self.config.log.note("no topic matches yet: waiting for one");
        }
        self.subscribe(topics)
    }

    fn subscribe(&mut self, topics: Vec<String>) -> anyhow::Result<()> {
        if !topics.is_empty() {
            let outcome = self.consumer().subscribe(&topics);
            outcome.map_err(|code| anyhow!("subscribe to {}: {}", topics.join(", "), words(code)))?;
        }
        self.subscribed = topics;
        Ok(())
    }

    /// Takes all partitions, or the chosen ones, without a group.
    pub(super) fn assign(&mut self, chosen: Option<&[i32]>) -> anyhow::Result<()> {
        let mut assigned = Vec::new();
        let connected = self.connected;
        for topic in &connected.topics {
            for &wanted in chosen.unwrap_or_default() {
                if !topic.partitions.iter().any(|p| p.id == wanted) {
                    bail!(
                        "topic {} has no partition {wanted}; it has {} of them",
                        topic.name,
                        topic.partitions.len()
                    );
                }
            }
            for partition in &topic.partitions {
                if chosen.is_some_and(|chosen| !chosen.contains(&partition.id)) {
                    continue;
                }
                let from = self.bounds.from.unwrap_or(Start::Beginning);
                let part = self.begin(&topic.name, partition.id, from)?;
                if !part.done {
                    let start = part.start.map_or(StartAt::Beginning, StartAt::Offset);
                    assigned.push(Assigned {
                        topic: Arc::clone(&part.topic),
                        partition: partition.id,
                        start,
                    });
                }
                self.parts.add(part);
            }
        }
        if self.parts.is_empty() {
            if self.bounds.stops() {
                bail!("no topic matches; `kq topic list` shows those that exist");
            }
            self.config.log.note("no topic matches yet: waiting for one");
        }
        self.consumer().assign(&assigned).map_err(|code| anyhow!("assign partitions: {code}"))
    }

    /// Looks for what came into being since: topics that match a pattern, partitions that were added;
    /// and for what is there no more.
    pub(super) fn look_for_topics(&mut self) {
        let is_gone = self.connected.causes.take_topic_gone();
        let pause = if self.missed.is_suspected() { DISAPPEARANCE } else { DISCOVERY };
        if !is_gone && self.discovered.elapsed() < pause {
            return;
        }
        self.discovered = Instant::now();
        let has_pattern = self.names.iter().any(|name| name.starts_with('^'));
        let follows = self.bounds.until.is_none() && self.settings.partitions.is_none();
        if self.outage.is_some()
            || !(is_gone || self.missed.is_suspected() || has_pattern || (follows && self.group.is_none()))
        {
            return;
        }
        let looked = client::look(self.consumer(), &self.connected.causes, &self.names);
        match self.missed.judge(looked) {
            Ok(Some(topics)) if self.group.is_some() => self.subscribe_anew(&topics),
            Ok(Some(topics)) if follows => self.assign_new(&topics),
            Ok(_) => {}
            Err(gone) => self.broken = Some(gone),
        }
    }

    fn subscribe_anew(&mut self, topics: &[TopicMetadata]) {
        let mut topics: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        topics.sort_unstable();
        self.subscribed.sort_unstable();
        if !topics.is_empty()
            && topics != self.subscribed
            && let Err(e) = self.subscribe(topics)
        {
            self.broken = Some(e);
        }
    }

    /// Partitions that came into being are read from their beginning.
    fn assign_new(&mut self, topics: &[TopicMetadata]) {
        let mut added = Vec::new();
        for topic in topics {
            for partition in &topic.partitions {
                if self.parts.find(&topic.name, partition.id).is_none() {
                    let (topic, partition) = (Arc::<str>::from(topic.name.as_str()), partition.id);
                    self.parts.add(Part::new(Arc::clone(&topic), partition, None, None));
                    added.push(Assigned { topic, partition, start: StartAt::Beginning });
                }
            }
        }
        if !added.is_empty()
            && let Err(code) = self.consumer().assign_more(&added)
        {
            self.broken = Some(anyhow!("assign partitions: {}", words(code)));
        }
    }
}
