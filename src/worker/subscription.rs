//! The topics that a worker is subscribed to: those that are there, and those that come and go later.

use std::time::Instant;

use anyhow::anyhow;

use crate::kafka::client::{ConsumerClient, TopicMetadata};
use crate::kafka::errors::{Causes, words};
use crate::reading::reach::Whom;
use crate::reading::topics::{self, Discovery, Follows, Selection};

/// What a worker is subscribed to.
#[derive(Debug)]
pub(super) struct Subscription {
    selection: Selection,
    topics: Vec<String>,
    discovery: Discovery,
}

impl Subscription {
    /// Joins the group for the topics that were found, if any.
    pub(super) fn new(
        consumer: &impl ConsumerClient,
        selection: Selection,
        found: &[TopicMetadata],
        now: Instant,
    ) -> anyhow::Result<Self> {
        let discovery = Discovery::new(now);
        let mut subscription = Self { selection, topics: Vec::new(), discovery };
        subscription.take(consumer, topics::names(found))?;
        Ok(subscription)
    }

    /// Whether it is subscribed to nothing yet.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Whom a worker without a partition waits for.
    pub(super) fn waits_for(&self) -> Whom<'_> {
        self.topics.first().map_or(Whom::Anyone, |topic| Whom::CoordinatorFor(topic))
    }

    /// Looks, where that is due, for topics that came or went. An error once one that is read by name
    /// is gone: the worker would wait without end, and without a word.
    pub(super) fn watch(
        &mut self,
        consumer: &impl ConsumerClient,
        causes: &Causes,
        now: Instant,
    ) -> anyhow::Result<()> {
        let is_missed = causes.take_topic_gone();
        let follows = if self.selection.has_pattern() { Follows::New } else { Follows::Nothing };
        if !self.discovery.is_due(now, is_missed, follows) {
            return Ok(());
        }
        let looked = self.selection.look(consumer);
        match self.discovery.judge(now, looked)? {
            Some(found) => self.take(consumer, topics::names(&found)),
            None => Ok(()),
        }
    }

    fn take(&mut self, consumer: &impl ConsumerClient, topics: Vec<String>) -> anyhow::Result<()> {
        if !topics.is_empty() && topics != self.topics {
            let outcome = consumer.subscribe(&topics);
            outcome.map_err(|code| anyhow!("subscribe to {}: {}", topics.join(", "), words(code)))?;
            self.topics = topics;
        }
        Ok(())
    }
}
