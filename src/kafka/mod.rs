//! Everything that speaks to Kafka through librdkafka, and the only place that knows it.

pub mod admin;
pub mod client;
pub mod code;
pub mod connect;
pub mod errors;
#[cfg(test)]
pub mod fake;
pub mod ffi;
pub mod metadata;
pub mod properties;
pub mod version;
