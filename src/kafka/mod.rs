//! Everything that speaks to Kafka through librdkafka.

pub mod admin;
pub mod connect;
pub mod errors;
pub mod ffi;
pub mod metadata;
pub mod properties;
pub mod version;
