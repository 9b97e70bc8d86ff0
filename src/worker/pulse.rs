//! Signs of life of the polling thread, for other threads that ask.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// When the polling thread turned last, and whether it ever got partitions.
#[derive(Debug)]
pub(super) struct Pulse {
    started: Instant,
    /// Milliseconds from the start.
    turned: AtomicU64,
    assigned: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { started: Instant::now(), turned: AtomicU64::new(0), assigned: AtomicBool::new(false) }
    }
}

impl Pulse {
    /// The polling thread turned.
    pub(super) fn turn(&self) {
        self.turned.store(self.started.elapsed().as_millis() as u64, Relaxed);
    }

    /// How long ago it turned; from the start, where it did not yet.
    pub(super) fn last_turn(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.turned.load(Relaxed)))
    }

    /// The group answered with an assignment, which may be empty.
    pub(super) fn assign(&self) {
        self.assigned.store(true, Relaxed);
    }

    /// Whether it ever did.
    pub(super) fn was_assigned(&self) -> bool {
        self.assigned.load(Relaxed)
    }
}
