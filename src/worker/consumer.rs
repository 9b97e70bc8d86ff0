//! The worker's consumer: its properties, the topics that it reads, and the group that it joins.

use std::time::{Duration, Instant};

use super::observer::Watch;
use super::settings::{Mode, Reading};
use super::subscription::Subscription;
use crate::config::{Config, Properties};
use crate::kafka::client::{ConsumerClient, TopicMetadata};
use crate::kafka::ffi::Consumer;
use crate::reading::group;
use crate::reading::properties::{self, Fetching, Member};
use crate::reading::topics::Selection;
use crate::shutdown::Shutdown;

/// Joins the group. Before that it sets the group's offsets where that is asked for, or notes its members.
pub(super) fn join(
    consumer: &Consumer,
    watch: &Watch,
    topics: Selection,
    found: &[TopicMetadata],
    reading: &Reading,
    config: &Config,
) -> anyhow::Result<Subscription> {
    if reading.reset {
        group::seek(consumer, &watch.causes, config, &reading.group, found, reading.start)?;
    } else {
        group::note_members(consumer, &reading.group, config.log);
    }
    Subscription::new(consumer, topics, found, Instant::now())
}

/// `max.poll.interval.ms` as `-X` gave it, else librdkafka's default, which the worker leaves alone.
pub(super) fn max_poll_interval(client: &Properties) -> Duration {
    let given = client.get("max.poll.interval.ms").and_then(|ms| ms.trim().parse().ok());
    given.map_or(Duration::from_mins(5), Duration::from_millis)
}

/// The properties of the worker's consumer.
pub(super) fn properties(reading: &Reading, mode: Mode, config: &Config) -> anyhow::Result<Properties> {
    let (group, sharing) = (reading.group.as_str(), reading.sharing);
    let member = Member { group, sharing, instance_id: reading.instance_id.as_deref() };
    let fetching = match mode {
        Mode::OneShot => Fetching::ForOneShot,
        Mode::Persistent { .. } | Mode::Batch(_) => Fetching::ForPersistent,
    };
    let mut client = properties::of(Some(member), fetching, reading.isolation, config)?;
    // The worker sends its commits by itself; the client commits what is stored when partitions go.
    client.set("auto.commit.interval.ms", "86400000".to_owned());
    Ok(client)
}

/// Looks at the cluster once: it must be there, and so must the topics that are named. What
/// matches a pattern may come later, unless the worker is to end (`has_stop`): nothing would end it.
pub(super) fn find_topics(
    consumer: &impl ConsumerClient,
    topics: &Selection,
    watch: &Watch,
    config: &Config,
    has_stop: bool,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<TopicMetadata>> {
    let found = topics.find(consumer, &watch.causes, config)?;
    shutdown.begin();
    if found.is_empty() {
        topics.wait_for_one(has_stop, config.log)?;
    }
    Ok(found)
}
