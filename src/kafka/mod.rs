//! Everything that speaks to Kafka through librdkafka, and the only place that knows it.

pub(crate) mod admin;
pub(crate) mod client;
pub(crate) mod code;
pub(crate) mod connect;
pub(crate) mod errors;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod ffi;
pub(crate) mod metadata;
pub(crate) mod properties;
pub(crate) mod version;
