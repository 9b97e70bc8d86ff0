//! A consumer that is connected, and the topics it reads.

use std::sync::Arc;

use crate::config::Config;
use crate::kafka::client::TopicMetadata;
use crate::kafka::errors::Causes;
use crate::kafka::ffi::Consumer;
use crate::reading::topics::Selection;

/// What kq wants of every consumer: nothing skipped silently, ends of partitions known, memory
/// bounded.
///
/// - `auto.offset.reset=error`: records gone by retention are counted and said, then passed over
///   by a seek of kq's; librdkafka's own reset jumps in silence.
/// - `fetch.queue.backoff.ms`: its default of a second starves partitions, since the limit
///   counts the queue of all of them.
/// - `reconnect.backoff.ms`: as for a producer, for a quick start.
pub const DEFAULTS: [(&str, &str); 7] = [
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "10"),
    ("reconnect.backoff.ms", "20"),
];

/// A consumer whose cluster answered and whose topics are there.
pub struct Connected<C = Consumer> {
    pub consumer: C,
    /// Each topic and its partitions, as the cluster had them at the start.
    pub topics: Vec<TopicMetadata>,
    pub causes: Arc<Causes>,
}

/// Connects to the cluster and finds the topics, within the configured time-out. `role` and `flags`
/// are the command's properties, as in [`Config::client_with`].
pub fn connect(
    config: &Config,
    role: &[(&str, &str)],
    flags: &[(&str, &str)],
    selection: &Selection,
) -> anyhow::Result<Connected> {
    let causes = Arc::new(Causes::new(config.log));
    let client = config.client_with(&[&DEFAULTS, role].concat(), flags);
    let consumer = Consumer::new(&client, Arc::clone(&causes) as _)?;
    let topics = selection.find(&consumer, &causes, config)?;
    causes.clear();
    Ok(Connected { consumer, topics, causes })
}
