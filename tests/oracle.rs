//! The fault lab's oracle can fail: its own tests, which need no cluster.

#[path = "kafka/faults/oracle.rs"]
mod oracle;
