//! What librdkafka reports besides records: outages, and the errors that end the worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::{Shared, StopReason};
use crate::kafka::client::Observer;
use crate::kafka::errors::{Causes, Code, Fault, Membership};
use crate::lock::Lock;
use crate::reading::contact::{self, Answered, Contact, Step};

/// Listens to one client of the worker.
pub(super) struct Watch {
    pub causes: Causes,
    shared: Arc<Shared>,
    contact: Lock<Contact>,
}

impl Watch {
    /// Listens; an outage ends the worker after `limit`, where there is one.
    pub(super) fn new(shared: Arc<Shared>, brokers: &str, limit: Option<Duration>) -> Self {
        Self {
            causes: Causes::new(shared.log, brokers, Membership::Member),
            shared,
            contact: Lock::new(Contact::new(limit)),
        }
    }

    /// Since when all brokers are away, if they are.
    pub(super) fn away_since(&self) -> Option<Instant> {
        self.contact.lock().lost_since()
    }

    /// What to do about an outage now.
    pub(super) fn step(&self, now: Instant) -> Step {
        self.contact.lock().step(now)
    }

    /// The broker that counts does not answer, since then, whatever the others do.
    pub(super) fn lose(&self, since: Instant) {
        self.contact.lock().lose(since);
    }

    /// The same of a broker with this fault, which was heard of last at `heard`; the note of it comes sooner.
    pub(super) fn lose_by(&self, fault: &Fault, heard: Instant, now: Instant) {
        let mut contact = self.contact.lock();
        contact.lose_by(fault, heard, now);
        contact.hasten(fault);
    }

    /// The broker that counts answered.
    pub(super) fn hear(&self) {
        let mut contact = self.contact.lock();
        if contact.is_lost() {
            self.causes.forget();
        }
        if contact.answer() == Answered::Again {
            self.shared.log.note(contact::OVER);
        }
    }
}

impl Observer for Watch {
    fn error(&self, code: Code, reason: &str) {
        match code {
            Code::Fatal | Code::FencedInstanceId => {
                self.shared.stop(StopReason::of_fatal(reason));
            }
            Code::AllBrokersDown => {
                self.contact.lock().lose(Instant::now());
            }
            _ => {}
        }
        Observer::error(&self.causes, code, reason);
    }

    fn log(&self, level: i32, facility: &str, message: &str) {
        Observer::log(&self.causes, level, facility, message);
    }
}
