//! What needs Apache Kafka, a file a topic; tests/kafka/run starts the clusters and says which of these run on them.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod compose;
mod copy;
mod faults;
mod groups;
mod interop;
mod interop_go;
mod low_metadata;
mod stores;
mod transactions;
mod versions;

use support::Cluster;

/// The cluster that tests/kafka/run started.
#[track_caller]
fn cluster() -> Cluster {
    let cluster = Cluster::get();
    assert!(!cluster.is_embedded(), "KQ_TEST_BROKERS is not set to Apache Kafka: run tests/kafka/run");
    cluster
}
