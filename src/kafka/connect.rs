//! Asks a cluster for its metadata: gives an answer, or the reason why there is none, in bounded time.

use std::time::{Duration, Instant};

use crate::clock::duration;
use crate::config::Config;
use crate::kafka::code::Code;
use crate::kafka::errors::{Causes, is_contact_lost};
use crate::kafka::metadata::TopicMetadata;

/// How long the first attempt may take; each further one takes twice as long. Between attempts, the
/// errors that librdkafka reported are checked: a refused login does not wait for the time-out.
const FIRST: Duration = Duration::from_millis(400);

/// How long a cluster may stay silent before the user is told why.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

/// Writes why there is no answer yet, and how long kq keeps trying.
pub(crate) fn note_waiting(config: &Config, causes: &Causes) {
    let unknown = || format!("no answer yet from {}, or from a broker that it names", config.brokers);
    let cause = causes.last().unwrap_or_else(unknown);
    config.log.note(format_args!("{cause}; trying for {}", duration::format(config.timeout)));
}

/// Metadata by `ask`, a client's call with its time-out, tried until the configured time-out.
pub(crate) fn metadata(
    config: &Config,
    causes: &Causes,
    ask: impl Fn(Duration) -> Result<Vec<TopicMetadata>, Code>,
) -> anyhow::Result<Vec<TopicMetadata>> {
    let start = Instant::now();
    let deadline = start + config.timeout;
    let mut patience = FIRST;
    let mut patient = true;
    loop {
        let until = if patient { deadline.min(start + PATIENCE) } else { deadline };
        let left = until.saturating_duration_since(Instant::now());
        match ask(patience.min(left).max(Duration::from_millis(1))) {
            Ok(topics) => return Ok(topics),
            Err(code)
                if is_contact_lost(code)
                    && Instant::now() < deadline
                    && !causes.are_final(&config.brokers) =>
            {
                patience *= 2;
                if patient && start.elapsed() >= PATIENCE {
                    patient = false;
                    // The attempt was cut short for the note.
                    patience = FIRST * 2;
                    note_waiting(config, causes);
                }
            }
            Err(code) => return Err(causes.explain(code, &config.brokers, config.timeout)),
        }
    }
}
