//! Asking a cluster for its metadata, honestly: an answer, or why there is none, in bounded time.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use crate::config::Config;
use crate::kafka::errors::{Causes, is_contact_lost};
use crate::kafka::ffi::TopicMetadata;

/// How long the first attempt may take; each further one takes twice as long. In between is
/// looked at what librdkafka reported: a refused login needs no waiting for the time-out.
const FIRST: Duration = Duration::from_millis(400);

/// Metadata by `ask`, a client's call with its time-out, tried until the configured time-out.
pub fn metadata(
    config: &Config,
    causes: &Causes,
    ask: impl Fn(Duration) -> Result<Vec<TopicMetadata>, RDKafkaErrorCode>,
) -> anyhow::Result<Vec<TopicMetadata>> {
    let deadline = Instant::now() + config.timeout;
    let mut patience = FIRST;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ask(patience.min(left).max(Duration::from_millis(1))) {
            Ok(topics) => return Ok(topics),
            Err(code)
                if is_contact_lost(code)
                    && Instant::now() < deadline
                    && !causes.are_final(&config.brokers) =>
            {
                patience *= 2;
            }
            Err(code) => return Err(causes.explain(code, &config.brokers, config.timeout)),
        }
    }
}
