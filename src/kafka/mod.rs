//! Everything that speaks to Kafka through librdkafka.

pub mod ffi;
