//! What a consume reads: the topics and partitions at the start, and those that come and go later.

use std::sync::Arc;

use anyhow::{anyhow, bail};

use super::Session;
use super::assignment::Progress;
use crate::kafka::client::{Assigned, ConsumerClient, StartAt, TopicMetadata};
use crate::kafka::errors::words;
use crate::reading::bounds::Start;
use crate::reading::topics::{self, Follows};

impl<C: ConsumerClient> Session<'_, C> {
    /// Joins the group for the topics that are there now; partitions come through [`Rebalance::assigned`].
    pub(super) fn join(&mut self) -> anyhow::Result<()> {
        let topics = topics::names(&self.connected.topics);
        if topics.is_empty() {
            self.settings.topics.wait_for_one(self.settings.bounds.stops(), self.config.log)?;
        }
        self.subscribe(topics)
    }

    fn subscribe(&mut self, topics: Vec<String>) -> anyhow::Result<()> {
        if !topics.is_empty() {
            let outcome = self.consumer().subscribe(&topics);
            outcome.map_err(|code| anyhow!("subscribe to {}: {}", topics.join(", "), words(code)))?;
        }
        if self.topics.subscribed.is_empty() {
            self.waits.joining.begin(self.clock.now());
        }
        self.topics.subscribed = topics;
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
                let from = self.settings.bounds.from.unwrap_or(Start::Beginning);
                let progress = self.begin(&topic.name, partition.id, from)?;
                if !progress.done {
                    let start = progress.start.map_or(StartAt::Beginning, StartAt::Offset);
                    assigned.push(Assigned {
                        topic: Arc::clone(&progress.topic),
                        partition: partition.id,
                        start,
                    });
                }
                self.assignment.add(progress);
            }
        }
        if self.assignment.is_empty() {
            self.settings.topics.wait_for_one(self.settings.bounds.stops(), self.config.log)?;
        }
        self.consumer().assign(&assigned).map_err(|code| anyhow!("assign partitions: {code}"))
    }

    /// Looks for what came into being since: topics that match a pattern, partitions that were added;
    /// and for what is there no more.
    pub(super) fn look_for_topics(&mut self) {
        if self.waits.contact.is_lost() {
            return;
        }
        let is_missed = self.connected.causes.take_topic_gone();
        let follows = self.settings.bounds.until.is_none() && self.settings.partitions.is_none();
        let news = if self.settings.topics.has_pattern() || (follows && self.settings.group.is_none()) {
            Follows::New
        } else {
            Follows::Nothing
        };
        if !self.topics.discovery.is_due(self.clock.now(), is_missed, news) {
            return;
        }
        let looked = self.settings.topics.look(self.consumer());
        match self.topics.discovery.judge(self.clock.now(), looked) {
            Ok(Some(topics)) if self.settings.group.is_some() => self.subscribe_again(&topics),
            Ok(Some(topics)) if follows => self.assign_new(&topics),
            Ok(_) => {}
            Err(gone) => self.failure = Some(gone),
        }
    }

    fn subscribe_again(&mut self, found: &[TopicMetadata]) {
        let topics = topics::names(found);
        if !topics.is_empty()
            && topics != self.topics.subscribed
            && let Err(e) = self.subscribe(topics)
        {
            self.failure = Some(e);
        }
    }

    /// Partitions that came into being are read from their beginning.
    fn assign_new(&mut self, topics: &[TopicMetadata]) {
        let mut added = Vec::new();
        for topic in topics {
            for partition in &topic.partitions {
                if self.assignment.find(&topic.name, partition.id).is_none() {
                    let (topic, partition) = (Arc::<str>::from(topic.name.as_str()), partition.id);
                    self.assignment.add(Progress::new(Arc::clone(&topic), partition, None, None));
                    added.push(Assigned { topic, partition, start: StartAt::Beginning });
                }
            }
        }
        if !added.is_empty()
            && let Err(code) = self.consumer().assign_more(&added)
        {
            self.failure = Some(anyhow!("assign partitions: {}", words(code)));
        }
    }
}
