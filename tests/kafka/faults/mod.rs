//! The fault lab of `kq worker`: what it must survive, on three Apache Kafka brokers. Started by tests/kafka/run faults.
//!
//! Each case sends keyed sequence numbers, lets handlers append what they did to one
//! file, causes a fault, and lets the [`oracle`] compare the two. `outages` and
//! `serve` kill or stop the brokers themselves and run alone; all others share the cluster.

mod brokers;
mod groups;
mod handlers;
mod kills;
mod lab;
mod logs;
mod needs;
mod oracle;
mod outages;
mod serve;
mod stops;
mod watch;
