//! What librdkafka reports besides records: outages, and the errors that end the worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::shared::{Shared, Stop};
use crate::kafka::errors::Causes;
use crate::kafka::ffi::Observer;
use crate::reading::contact::{self, Answered, Contact, Step};

/// Listens to one client of the worker.
pub struct Watch {
    pub causes: Causes,
    shared: Arc<Shared>,
    contact: Mutex<Contact>,
}

impl Watch {
    /// Listens; an outage ends the worker after `limit`, where there is one.
    pub fn new(shared: Arc<Shared>, limit: Option<Duration>) -> Self {
        Self { causes: Causes::new(shared.log), shared, contact: Mutex::new(Contact::new(limit)) }
    }

    fn contact(&self) -> MutexGuard<'_, Contact> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when all brokers are away, if they are.
    pub fn away_since(&self) -> Option<Instant> {
        self.contact().lost_since()
    }

    /// What to do about an outage now.
    pub fn step(&self, now: Instant) -> Step {
        self.contact().step(now)
    }

    /// A broker answered.
    pub fn hear(&self) {
        if self.contact().answer() == Answered::Again {
            self.shared.log.note(contact::OVER);
        }
    }
}

impl Observer for Watch {
    fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        match code {
            RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId => {
                self.shared.stop(Stop::of_fatal(reason));
            }
            RDKafkaErrorCode::AllBrokersDown => {
                self.contact().lose(Instant::now());
            }
            _ => {}
        }
        Observer::error(&self.causes, code, reason);
    }

    fn log(&self, level: i32, facility: &str, message: &str) {
        Observer::log(&self.causes, level, facility, message);
    }
}
