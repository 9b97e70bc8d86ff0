//! What a client says of itself: that it is unusable, that it has its producer id, that no broker is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kafka::client::Observer;
use crate::kafka::code::Code;
use crate::kafka::errors::Causes;
use crate::lock::Lock;

/// The signals of one client. Its callbacks write them.
#[derive(Debug)]
pub(crate) struct Signals {
    causes: Arc<Causes>,
    /// Whether the user asked for the client's debug lines.
    is_debugging: bool,
    /// Why the client is unusable.
    fatal: Lock<Option<String>>,
    is_fatal: AtomicBool,
    has_producer_id: AtomicBool,
    all_down: AtomicBool,
}

impl Signals {
    /// Nothing was heard yet of a client, which passes the rest on to `causes`. `needs_id`: it is idempotent.
    pub(super) fn new(causes: Arc<Causes>, is_debugging: bool, needs_id: bool) -> Self {
        Self {
            causes,
            is_debugging,
            fatal: Lock::default(),
            is_fatal: AtomicBool::new(false),
            has_producer_id: AtomicBool::new(!needs_id),
            all_down: AtomicBool::new(false),
        }
    }

    /// Why the client is unusable, if it is.
    pub(super) fn fatal(&self) -> Option<String> {
        if self.is_fatal.load(Ordering::Acquire) { self.fatal.lock().clone() } else { None }
    }

    /// Whether it can send: an idempotent producer needs an id.
    pub(super) fn has_producer_id(&self) -> bool {
        self.has_producer_id.load(Ordering::Acquire)
    }

    /// Whether it found every broker down since this was asked last.
    pub(super) fn take_all_down(&self) -> bool {
        self.all_down.swap(false, Ordering::AcqRel)
    }

    /// What is known of each broker.
    pub(super) fn causes(&self) -> &Causes {
        &self.causes
    }

    /// A record was acknowledged, so the id is there.
    pub(super) fn acknowledged(&self) {
        if !self.has_producer_id() {
            self.has_producer_id.store(true, Ordering::Release);
        }
    }
}

impl Observer for Signals {
    fn error(&self, code: Code, reason: &str) {
        match code {
            Code::Fatal => {
                self.fatal.lock().get_or_insert_with(|| reason.to_owned());
                self.is_fatal.store(true, Ordering::Release);
            }
            Code::AllBrokersDown => self.all_down.store(true, Ordering::Release),
            _ => {}
        }
        self.causes.error(code, reason);
    }

    fn log(&self, level: i32, facility: &str, message: &str) {
        const DEBUG: i32 = 7;
        if level < DEBUG || self.is_debugging {
            self.causes.log(level, facility, message);
        }
        // `rd_kafka_idemp_pid_update` of librdkafka 2.12.1: there is no other sign of it.
        if facility == "GETPID" && message.contains("Acquired ") {
            self.has_producer_id.store(true, Ordering::Release);
        }
    }
}
