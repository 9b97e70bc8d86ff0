//! What librdkafka reports besides records: outages, and the errors that end the worker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::shared::{Shared, Stop};
use crate::kafka::client::Observer;
use crate::kafka::errors::{Causes, Code};

/// Listens to one client of the worker.
pub struct Watch {
    pub causes: Causes,
    shared: Arc<Shared>,
    /// Since when all brokers are away.
    away: Mutex<Option<Instant>>,
}

impl Watch {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { causes: Causes::new(shared.log), shared, away: Mutex::new(None) }
    }

    /// Since when all brokers are away, if they are.
    pub fn away_since(&self) -> Option<Instant> {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker answered. Says whether all had been away.
    pub fn answered(&self) -> bool {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

impl Observer for Watch {
    fn error(&self, code: Code, reason: &str) {
        match code {
            Code::Fatal | Code::FencedInstanceId => {
                self.shared.stop(Stop::of_fatal(reason));
            }
            Code::AllBrokersDown => {
                self.away.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
            }
            _ => {}
        }
        Observer::error(&self.causes, code, reason);
    }

    fn log(&self, level: i32, facility: &str, message: &str) {
        Observer::log(&self.causes, level, facility, message);
    }
}
