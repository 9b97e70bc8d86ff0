//! Everything that speaks to Kafka through librdkafka.

pub mod admin;
pub mod cluster;
pub mod connect;
pub mod consumer;
pub mod errors;
pub mod ffi;
pub mod group;
pub mod membership;
pub mod outage;
pub mod producer;
