//! Everything that speaks to Kafka through librdkafka.

pub mod errors;
pub mod ffi;
pub mod producer;
