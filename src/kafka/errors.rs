//! Why a cluster can't be reached: what librdkafka reported, as a sentence.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::anyhow;
use rdkafka::types::RDKafkaErrorCode;

use super::ffi::Observer;
use crate::log::Log;

/// The last causes that librdkafka reported.
pub struct Causes {
    log: Log,
    last: Mutex<Option<String>>,
}

impl Causes {
    pub fn new(log: Log) -> Self {
        Self { log, last: Mutex::new(None) }
    }

    pub fn last(&self) -> Option<String> {
        self.last.lock().ok()?.clone()
    }

    pub fn explain(&self, code: RDKafkaErrorCode, brokers: &str, _timeout: Duration) -> anyhow::Error {
        anyhow!("can't reach {brokers}: {}", self.last().unwrap_or_else(|| code.to_string()))
    }

    #[expect(clippy::unused_self)]
    pub fn explain_topic(&self, code: RDKafkaErrorCode, topic: &str) -> anyhow::Error {
        anyhow!("topic {topic}: {code}")
    }
}

impl Observer for Causes {
    fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        self.log.verbose(1, format_args!("{code:?}: {reason}"));
        if let Ok(mut last) = self.last.lock() {
            *last = Some(reason.to_owned());
        }
    }

    fn log(&self, level: i32, facility: &str, message: &str) {
        self.log.verbose(2, format_args!("librdkafka {level} {facility}: {message}"));
    }
}
