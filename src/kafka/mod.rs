//! Everything that speaks to Kafka through librdkafka.
