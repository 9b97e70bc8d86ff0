//! The embedded broker: one node that speaks Kafka's protocol, for a laptop or a test.
//!
//! - [`server`] has the connections, [`shape`] checks what comes in, [`dispatch`]
//!   decodes it and hands it to a function of [`api`].
//! - [`topics`] and [`log`] keep the records, in files as Kafka's own batches.
//! - [`groups`] is the coordinator, a pure state machine behind a clock.
//! - [`folder`] is the place on disk; [`configs`] what a topic can be told.
//!
//! Not here, and refused with the protocol's own error or not offered in
//! `ApiVersions`: transactions, ACLs, TLS and SASL, KIP-848 groups, compaction, replicas.
//!
//! Clients that `tests/dev_clients/run` and CI try. Each: topic created, produced and consumed with none,
//! gzip, snappy, lz4 and zstd, a pair of members of which one is killed and replaced within its session
//! and the rebalance, a group that commits and resumes, what is there listed. The same programs pass on
//! Apache Kafka 4.1.0.
//!
//! | client | beside that |
//! |---|---|
//! | librdkafka 2.12.1 (kq's own; `tests/integration/conformance.rs`) | range and cooperative-sticky pairs, static members, delete records, offsets by time |
//! | kcat 1.7.1, librdkafka 2.0.2 (`kcat.sh`) | no topic creation of its own: made on first use; no group listing |
//! | confluent-kafka 2.16.1, librdkafka 2.16.0 (`python.py`) | cooperative-sticky, configs, more partitions, delete records, deletions, transactions refused |
//! | kafka-python 3.0.12 (`kafka_python.py`) | no codec but gzip without other packages; batches larger than a partition's share |
//! | kafka-go 0.4.48 (`kafka_go`) | offsets fetched, topic deleted |
//! | franz-go 1.22.2, kcl's library (`franz_go`) | lag by its admin client, topic deleted |
//! | Kafka 4.1.0's console tools (`java.sh`) | lag, group and topic deleted |

pub mod api;
pub mod code;
pub mod configs;
pub mod dispatch;
pub mod folder;
pub mod groups;
pub mod log;
pub mod server;
pub mod shape;
pub mod topics;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::terminal::notes::Log;

/// The one node's id.
pub const NODE_ID: i32 = 1;
/// What clients see as the cluster's id.
pub const CLUSTER_ID: &str = "kq-dev";

/// How a broker behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Partitions of a topic that does not say.
    pub partitions: i32,
    /// Whether topics are made on first use.
    pub auto_create: bool,
    /// Whether more than one replica is refused, as one Kafka node does.
    pub strict: bool,
    pub defaults: configs::Defaults,
}

/// One broker. Handlers and connections share it.
pub struct Broker {
    pub settings: Settings,
    pub log: Log,
    pub topics: topics::Topics,
    pub coordinator: groups::Coordinator,
    /// Held by the one request that searches logs by time.
    pub searching: Arc<tokio::sync::Mutex<()>>,
    /// Of topics that can't be made on first use.
    pub cannot_make: Seldom,
    /// The next producer id to give out.
    pub next_producer_id: AtomicI64,
    /// A serial number for members.
    pub next_member: AtomicU64,
    /// Milliseconds since the epoch.
    pub started_ms: i64,
}

impl Broker {
    /// Opens the data in `folder`; says on stderr what had to be repaired.
    pub fn open(folder: &Path, settings: Settings, log: Log) -> anyhow::Result<Self> {
        let context = || format!("open the data folder {}", folder.display());
        let topics = topics::Topics::open(folder, settings.defaults, |repaired| log.note(repaired))
            .with_context(context)?;
        let coordinator = groups::Coordinator::open(folder.join("offsets")).with_context(context)?;
        let started_ms = crate::clock::now_ms();
        let partitions = topics.all().into_iter().flat_map(|topic| topic.partitions());
        let highest = partitions.map(|partition| partition.log().highest_producer_id()).max().unwrap_or(-1);
        // A thousand ids a millisecond: a restart never gives out one that was given out before.
        let first = started_ms.saturating_mul(1000).max(highest.saturating_add(1));
        Ok(Self {
            settings,
            log,
            topics,
            coordinator,
            searching: Arc::default(),
            cannot_make: Seldom::default(),
            next_producer_id: AtomicI64::new(first),
            next_member: AtomicU64::new(0),
            started_ms,
        })
    }

    /// Makes a topic, unless it is there with as many partitions.
    pub fn ensure_topic(&self, name: &str, partitions: Option<i32>) -> anyhow::Result<()> {
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

    /// Serves connections, lets time pass for groups, and deletes old records, for as long as it is polled.
    pub async fn run(self: Arc<Self>, listener: TcpListener, max_connections: usize) {
        tokio::join!(
            server::serve(Arc::clone(&self), listener, max_connections),
            self.coordinator.run(),
            server::retain(Arc::clone(&self)),
        );
    }
}

/// What is said at most once a minute, however often it happens.
#[derive(Default)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it may be said, and is then.
    pub fn is_due(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = said.is_none_or(|said| said.elapsed() >= Duration::from_mins(1));
        if due {
            *said = Some(Instant::now());
        }
        due
    }
}

/// Listens on an address; a port that is in use is an error that says what to do.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {} is in use on {}; stop what listens there, or choose another with --port (0 takes a free one)",
            address.port(),
            address.ip()
        ),
        _ => anyhow::Error::new(e).context(format!("listen on {address}")),
    })
}
