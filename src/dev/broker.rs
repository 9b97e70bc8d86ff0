//! The one node: its settings, its data, and what all its connections share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use anyhow::Context as _;

use super::configs::Defaults;
use super::groups::Coordinator;
use super::notes::{Kind, Notes};
use super::topics::Topics;
use crate::terminal::notes::Log;

/// The one node's id.
pub(crate) const NODE_ID: i32 = 1;
/// What clients see as the cluster's id.
pub(crate) const CLUSTER_ID: &str = "kq-dev";

/// How a broker behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Partitions of a topic that is created without a number.
    pub partitions: i32,
    /// Whether topics are created on first use.
    pub auto_create: bool,
    /// Whether more than one replica is refused, as a single Kafka node does.
    pub strict: bool,
    /// Bytes of metadata that a commit may carry, where it is not Kafka's default.
    pub max_metadata: Option<usize>,
    pub defaults: Defaults,
}

/// One broker. Handlers and connections share it.
pub(crate) struct Broker {
    pub settings: Settings,
    pub notes: Notes,
    pub topics: Topics,
    pub coordinator: Coordinator,
    /// Held by the one request that searches logs by time.
    pub searching: Arc<tokio::sync::Mutex<()>>,
    /// The next producer id to give out.
    pub next_producer_id: AtomicI64,
    /// A serial number for members.
    pub next_member: AtomicU64,
    /// Milliseconds since the epoch.
    pub started_ms: i64,
}

impl Broker {
    /// Opens the data in `folder`; writes a note for each repair.
    pub(crate) fn open(folder: &Path, settings: Settings, log: Log) -> anyhow::Result<Self> {
        let context = || format!("open the data folder {}", folder.display());
        let topics =
            Topics::open(folder, settings.defaults, |repaired| log.note(repaired)).with_context(context)?;
        let mut coordinator = Coordinator::open(folder.join("offsets")).with_context(context)?;
        if let Some(bytes) = settings.max_metadata {
            coordinator = coordinator.with_max_metadata(bytes);
        }
        let started_ms = crate::clock::now_ms();
        let partitions = topics.all().into_iter().flat_map(|topic| topic.partitions());
        let highest = partitions.map(|partition| partition.log().highest_producer_id()).max().unwrap_or(-1);
        // A thousand ids per millisecond: a restarted broker never repeats an id.
        let first = started_ms.saturating_mul(1000).max(highest.saturating_add(1));
        Ok(Self {
            settings,
            notes: Notes::new(log),
            topics,
            coordinator,
            searching: Arc::default(),
            next_producer_id: AtomicI64::new(first),
            next_member: AtomicU64::new(0),
            started_ms,
        })
    }

    /// Says that a topic whose policy asks for compaction is not compacted.
    pub(crate) fn note_compaction(&self, topic: &str, policy: &str) {
        let instead = if policy == "compact" { "keeps every record" } else { "does not compact" };
        let line = format_args!("topic {topic}: cleanup.policy={policy} is accepted; kq dev {instead}");
        self.notes.note(Kind::Compaction, line);
    }

    /// Creates a topic, unless it exists with that number of partitions.
    pub(crate) fn ensure_topic(&self, name: &str, partitions: Option<i32>) -> anyhow::Result<()> {
        if let Some(topic) = self.topics.find(name) {
            let there = topic.partition_count();
            match partitions {
                Some(wanted) if usize::try_from(wanted) != Ok(there) => anyhow::bail!(
                    "topic {name} is there with {there} partitions, not {wanted}; leave out :{wanted}, or delete the topic"
                ),
                _ => return Ok(()),
            }
        }
        let partitions = partitions.unwrap_or(self.settings.partitions);
        match self.topics.create(name, partitions, BTreeMap::new()) {
            Ok(_) => Ok(()),
            Err((_, why)) => anyhow::bail!("make topic {name}: {why}"),
        }
    }
}
