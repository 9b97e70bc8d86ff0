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
mod transactions;
mod versions;
