//! A consumer that is connected, and the topics it reads.

use std::sync::Arc;

use crate::config::{Config, Properties};
use crate::kafka::client::TopicMetadata;
use crate::kafka::errors::{Causes, Membership};
use crate::kafka::ffi::Consumer;
use crate::reading::topics::Selection;

/// A consumer whose cluster answered and whose topics are there.
pub(crate) struct Connected<C = Consumer> {
    pub consumer: C,
    /// Each topic and its partitions, as the cluster had them at the start.
    pub topics: Vec<TopicMetadata>,
    pub causes: Arc<Causes>,
}

/// Connects to the cluster with these properties and finds the topics, within the configured time-out.
pub(crate) fn connect(
    config: &Config,
    properties: &Properties,
    selection: &Selection,
) -> anyhow::Result<Connected> {
    // A consumer commits by itself only for a group.
    let is_member = properties.get("enable.auto.commit") == Some("true");
    let membership = if is_member { Membership::Member } else { Membership::None };
    let causes = Arc::new(Causes::new(config.log, &config.brokers, membership));
    let consumer = Consumer::new(properties, Arc::clone(&causes) as _)?;
    let topics = selection.find(&consumer, &causes, config)?;
    causes.clear();
    Ok(Connected { consumer, topics, causes })
}
