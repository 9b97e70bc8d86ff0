//! The brokers of the lab's cluster, one by one: who leads, who coordinates; kill, start, stop, continue.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};

use super::lab::LONG;
use super::watch::client;
use crate::support::{Cluster, wait_for, wait_until};

/// Partitions of the topic that groups commit to, as lib.sh configures it.
const GROUP_PARTITIONS: i32 = 6;

/// The cluster that tests/kafka/run started, whose brokers a case kills or stops. When it is dropped, all of them run again.
pub(super) struct Brokers {
    client: BaseConsumer,
    dir: PathBuf,
    killed: Vec<i32>,
    stopped: Vec<i32>,
}

impl Brokers {
    /// The cluster in the folder that `KQ_TEST_CLUSTER` names.
    pub(super) fn get() -> Self {
        let dir =
            std::env::var_os("KQ_TEST_CLUSTER").expect("KQ_TEST_CLUSTER is set: run tests/kafka/run faults");
        let client = client(Cluster::get().brokers(), "lab");
        let brokers = Self { client, dir: dir.into(), killed: Vec::new(), stopped: Vec::new() };
        brokers.wait_until_whole();
        brokers
    }

    /// The leader of a topic's partition.
    #[track_caller]
    pub(super) fn leader(&self, topic: &str, partition: i32) -> i32 {
        wait_for(&format!("a leader of {topic}[{partition}]"), LONG, || {
            let metadata = self.client.fetch_metadata(Some(topic), Duration::from_secs(2)).ok()?;
            let partitions = metadata.topics().first()?.partitions();
            partitions
                .iter()
                .find(|p| p.id() == partition)
                .map(MetadataPartition::leader)
                .filter(|id| *id > 0)
        })
    }

    /// How many copies of a topic's first partition are in sync, where a broker tells it.
    pub(super) fn in_sync(&self, topic: &str) -> Option<usize> {
        let metadata = self.client.fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
        metadata.topics().first()?.partitions().first().map(|partition| partition.isr().len())
    }

    /// The coordinator of a group: the leader of its partition of `__consumer_offsets`.
    #[track_caller]
    pub(super) fn coordinator(&self, group: &str) -> i32 {
        let hash =
            group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
        self.leader("__consumer_offsets", (hash & i32::MAX) % GROUP_PARTITIONS)
    }

    /// KILL.
    pub(super) fn kill(&mut self, broker: i32) {
        self.script(&["kill"], broker);
        self.killed.push(broker);
    }

    /// Starts one that was killed; what others lack is not waited for.
    pub(super) fn start(&mut self, broker: i32) {
        self.killed.retain(|killed| *killed != broker);
        self.script(&["start", "4.1.0"], broker);
    }

    /// SIGSTOP: its connections stay, and nothing answers.
    pub(super) fn stop(&mut self, broker: i32) {
        self.script(&["stop"], broker);
        self.stopped.push(broker);
    }

    /// Starts what was killed, continues what was stopped, and waits until all copies are in sync.
    pub(super) fn heal(&mut self) {
        for broker in std::mem::take(&mut self.stopped) {
            self.script(&["continue"], broker);
        }
        for broker in std::mem::take(&mut self.killed) {
            self.script(&["start", "4.1.0"], broker);
        }
        self.wait_until_whole();
    }

    /// Waits until three brokers are there and no partition lacks a copy.
    #[track_caller]
    pub(super) fn wait_until_whole(&self) {
        wait_until("three brokers with all copies in sync", LONG, || {
            let Ok(metadata) = self.client.fetch_metadata(None, Duration::from_secs(5)) else { return false };
            let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            metadata.brokers().len() == 3
                && partitions.all(|p| p.leader() > 0 && p.isr().len() == p.replicas().len())
        });
    }

    fn script(&self, command: &[&str], broker: i32) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/cluster.sh");
        let status = Command::new(script).args(command).arg(&self.dir).arg(broker.to_string()).status();
        assert!(status.expect("run cluster.sh").success(), "cluster.sh {command:?} {broker}");
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        // After a failure, so that the next case finds a cluster; it waits for it itself.
        for broker in &self.stopped {
            self.script(&["continue"], *broker);
        }
        for broker in &self.killed {
            self.script(&["start", "4.1.0"], *broker);
        }
    }
}
