//! The code of an error, of Kafka's protocol or of the client itself. Pure: no clock, no IO.

use rdkafka::types::RDKafkaErrorCode;

/// An error code, of the protocol or of the client itself.
pub(crate) type Code = RDKafkaErrorCode;
