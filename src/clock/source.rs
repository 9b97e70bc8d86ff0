//! The clock that an engine reads and sleeps by: the system's, or one that a test moves.

use std::thread;
use std::time::{Duration, Instant};

/// Tells the time, and lets time pass.
pub(crate) trait Clock {
    fn now(&self) -> Instant;
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> i64;
    fn sleep(&self, time: Duration);
}

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl Clock for System {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn now_ms(&self) -> i64 {
        super::now_ms()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// A clock that stands still until somebody sleeps by it, which takes no time. Clones are one clock.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct Manual {
    began: Instant,
    passed: std::rc::Rc<std::cell::Cell<Duration>>,
}

#[cfg(test)]
impl Default for Manual {
    fn default() -> Self {
        Self { began: Instant::now(), passed: std::rc::Rc::default() }
    }
}

#[cfg(test)]
impl Manual {
    /// How much time has passed.
    pub(crate) fn passed(&self) -> Duration {
        self.passed.get()
    }
}

#[cfg(test)]
impl Clock for Manual {
    fn now(&self) -> Instant {
        self.began + self.passed.get()
    }

    /// It began at the epoch.
    fn now_ms(&self) -> i64 {
        self.passed.get().as_millis() as i64
    }

    fn sleep(&self, time: Duration) {
        self.passed.set(self.passed.get() + time);
    }
}
