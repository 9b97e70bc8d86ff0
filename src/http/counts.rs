//! What a listener counts, and how often it says the same.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::lock::Lock;

/// A note that any client can cause is written once in this time.
const SELDOM: Duration = Duration::from_mins(1);

/// What a listener counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    open: AtomicUsize,
    gone: AtomicU64,
    without_tls: AtomicU64,
}

impl Counts {
    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Clients that had closed the connection, or their half of it, before they got their answer.
    pub(crate) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }

    /// Connections to a listener with TLS that came to no TLS.
    #[cfg(test)]
    pub(crate) fn without_tls(&self) -> u64 {
        self.without_tls.load(Ordering::Relaxed)
    }

    /// A connection is accepted.
    pub(super) fn opens(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection has ended.
    pub(super) fn closes(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A handshake failed.
    pub(super) fn count_without_tls(&self) {
        self.without_tls.fetch_add(1, Ordering::Relaxed);
    }

    /// A client is gone before its answer.
    pub(super) fn count_gone(&self) {
        self.gone.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says when a note may be written again: once a minute, for what any client can cause.
#[derive(Debug, Default)]
pub(super) struct Seldom(Lock<Option<Instant>>);

impl Seldom {
    pub(super) fn is_due(&self) -> bool {
        let mut last = self.0.lock();
        let is_due = last.is_none_or(|last| last.elapsed() >= SELDOM);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}
