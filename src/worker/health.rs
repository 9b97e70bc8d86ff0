//! Whether commands can be started: what `/readyz` says where the machine, or the program, does not let them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::lock::Lock;

/// Why no command can be started, where none can.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Whether there is a reason: asked at each start.
    is_lacking: AtomicBool,
    reason: Lock<Option<String>>,
}

impl Health {
    /// A command could not be started.
    pub(super) fn cannot_start(&self, why: &str) {
        *self.reason.lock() = Some(why.to_owned());
        self.is_lacking.store(true, Relaxed);
    }

    /// A command was started.
    pub(super) fn started(&self) {
        if self.is_lacking.swap(false, Relaxed) {
            *self.reason.lock() = None;
        }
    }

    /// Why none can be started.
    pub(super) fn lack(&self) -> Option<String> {
        self.reason.lock().clone()
    }
}
