//! The worker's consumer: its properties, the topics that it reads, and the group that it joins.

use std::time::Duration;

use super::observer::Watch;
use super::settings::{Mode, Reading};
use super::subscription::Subscription;
use crate::config::{Config, Properties};
use crate::kafka::client::{ConsumerClient, TopicMetadata};
use crate::kafka::ffi::Consumer;
use crate::reading::topics::Selection;
use crate::reading::{group, membership};
use crate::shutdown::Shutdown;

/// Joins the group. Before that it sets the group's offsets where that is asked for, or notes its members.
pub fn join(
    consumer: &Consumer,
    topics: Selection,
    found: &[TopicMetadata],
    reading: &Reading,
    config: &Config,
) -> anyhow::Result<Subscription> {
    if reading.reset {
        group::seek(consumer, config, &reading.group, found, reading.start)?;
    } else {
        group::note_members(consumer, &reading.group, config.log);
    }
    Subscription::new(consumer, topics, found)
}

/// `max.poll.interval.ms` as `-X` gave it, else librdkafka's default, which the worker leaves alone.
pub fn max_poll_interval(client: &Properties) -> Duration {
    let given = client.get("max.poll.interval.ms").and_then(|ms| ms.trim().parse().ok());
    given.map_or(Duration::from_mins(5), Duration::from_millis)
}

/// The consumer's settings: what the guarantees rest on ranks as a flag, the rest can be changed.
pub fn properties(reading: &Reading, mode: Mode, config: &Config) -> anyhow::Result<Properties> {
    let role = [
        ("auto.commit.interval.ms", "1000"),
        ("isolation.level", "read_committed"),
        // The limit counts compressed bytes, and memory holds decompressed ones: JSON is twenty times as
        // large. With a megabyte a partition 1.5 million records took 240 MiB, and as much time.
        ("fetch.message.max.bytes", "65536"),
        ("queued.min.messages", if mode == Mode::OneShot { "1000" } else { "5000" }),
        ("queued.max.messages.kbytes", "16384"),
        // Its default of a second starves partitions: the limit counts the forwarded queue as a whole.
        ("fetch.queue.backoff.ms", "10"),
        ("allow.auto.create.topics", "false"),
        // As for consume: half of it is what each further connection waits for.
        ("reconnect.backoff.ms", "20"),
    ];
    let mut flags = vec![
        ("group.id", reading.group.as_str()),
        ("enable.auto.commit", "true"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        // What retention took is reported and counted, then gone past; a silent jump is a silent loss.
        ("auto.offset.reset", "error"),
    ];
    flags.extend(membership::properties(reading.sharing, config)?);
    flags.extend(reading.isolation.map(|isolation| ("isolation.level", isolation.level())));
    if let Some(id) = &reading.instance_id {
        flags.push(("group.instance.id", id));
    }
    Ok(config.client_with(&role, &flags))
}

/// Looks at the cluster once: it must be there, and so must the topics that are named. What
/// matches a pattern may come later, unless the worker is to end (`has_stop`): nothing would end it.
pub fn find_topics(
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
        if has_stop {
            return Err(topics.nothing());
        }
        config.log.note(topics.nothing_yet());
    }
    Ok(found)
}
