//! What the worker did, in numbers: counted from any thread, said at the end.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::policy::Ended;

/// Counts since the start.
#[derive(Debug)]
pub struct Tally {
    /// Records whose command succeeded.
    pub done: AtomicU64,
    /// Records given up and committed: `--on-failure skip` or `--exit-map`.
    pub skipped: AtomicU64,
    /// Records that no filter let through: resolved without a command.
    pub filtered: AtomicU64,
    /// Records whose dead letter was acknowledged.
    pub dead: AtomicU64,
    /// Attempts that failed.
    pub failed_attempts: Attempts,
    /// How long each attempt took, in seconds.
    pub handler_seconds: Histogram,
    /// Records whose command was still running when its time was up.
    pub abandoned: AtomicU64,
    /// Values said to be compressed that could not be undone.
    pub undecoded: AtomicU64,
    /// Records that retention took before they were read.
    pub lost: AtomicU64,
    /// Times that a partition had become shorter than what was read of it.
    pub truncated: AtomicU64,
    /// Times that partitions were assigned, revoked, and taken away without asking.
    pub assigned: AtomicU64,
    pub revoked: AtomicU64,
    pub taken: AtomicU64,
}

/// Failed attempts by how they ended; the words are those of a dead letter's `kq.dlq.reason`.
#[derive(Debug, Default)]
pub struct Attempts {
    exit: AtomicU64,
    signal: AtomicU64,
    timeout: AtomicU64,
    protocol: AtomicU64,
}

impl Attempts {
    /// Counts one.
    pub fn count(&self, ended: &Ended) {
        let count = match ended {
            Ended::Exit(_) => &self.exit,
            Ended::Signal(_) | Ended::Terminated => &self.signal,
            Ended::Timeout => &self.timeout,
            Ended::Protocol(_) | Ended::Again(_) | Ended::CannotRun(_) | Ended::NotStarted(_) => {
                &self.protocol
            }
        };
        count.fetch_add(1, Relaxed);
    }

    /// Each count with its word.
    pub fn by_reason(&self) -> [(&'static str, &AtomicU64); 4] {
        [
            ("exit", &self.exit),
            ("signal", &self.signal),
            ("timeout", &self.timeout),
            ("protocol", &self.protocol),
        ]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count.load(Relaxed)).sum()
    }
}

/// Upper bounds, in seconds: a persistent command takes microseconds, another may take minutes.
const HANDLER_SECONDS: [f64; 14] =
    [0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

impl Default for Tally {
    fn default() -> Self {
        Self {
            done: AtomicU64::default(),
            skipped: AtomicU64::default(),
            filtered: AtomicU64::default(),
            dead: AtomicU64::default(),
            failed_attempts: Attempts::default(),
            handler_seconds: Histogram::new(HANDLER_SECONDS),
            abandoned: AtomicU64::default(),
            undecoded: AtomicU64::default(),
            lost: AtomicU64::default(),
            truncated: AtomicU64::default(),
            assigned: AtomicU64::default(),
            revoked: AtomicU64::default(),
            taken: AtomicU64::default(),
        }
    }
}

impl Tally {
    /// The line at the end, or empty where nothing happened.
    pub fn sentence(&self, elapsed: Duration) -> String {
        let done = self.done.load(Relaxed);
        let mut line = format!("{done} done");
        let attempts = self.failed_attempts.total();
        let truncated = self.truncated.load(Relaxed);
        for (count, what) in [
            (self.filtered.load(Relaxed), "filtered"),
            (self.skipped.load(Relaxed), "skipped"),
            (self.dead.load(Relaxed), "dead-lettered"),
            (attempts, if attempts == 1 { "failed attempt" } else { "failed attempts" }),
            (self.abandoned.load(Relaxed), "abandoned"),
            (self.undecoded.load(Relaxed), "not decoded"),
            (self.lost.load(Relaxed), "gone before they were read"),
            (truncated, if truncated == 1 { "truncated partition" } else { "truncated partitions" }),
        ] {
            match count {
                0 => {}
                n => _ = write!(line, ", {n} {what}"),
            }
        }
        let seconds = elapsed.as_secs_f64();
        let _ = write!(line, " in {seconds:.1} s");
        if seconds > 0.0 {
            let _ = write!(line, " ({:.0}/s)", done as f64 / seconds);
        }
        line
    }

    /// Whether some records were not handled as they should have been.
    pub fn has_failures(&self) -> bool {
        self.undecoded.load(Relaxed) + self.lost.load(Relaxed) + self.truncated.load(Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_said() {
        let tally = Tally::default();
        tally.done.store(20, Relaxed);
        assert_eq!(tally.sentence(Duration::from_secs(10)), "20 done in 10.0 s (2/s)");
        tally.dead.store(1, Relaxed);
        tally.failed_attempts.count(&Ended::Exit(1));
        assert_eq!(
            tally.sentence(Duration::from_secs(10)),
            "20 done, 1 dead-lettered, 1 failed attempt in 10.0 s (2/s)"
        );
        for ended in [Ended::Signal(9), Ended::Timeout, Ended::Again(String::new())] {
            tally.failed_attempts.count(&ended);
        }
        assert_eq!(
            tally.sentence(Duration::from_secs(10)),
            "20 done, 1 dead-lettered, 4 failed attempts in 10.0 s (2/s)"
        );
        assert!(!tally.has_failures());
    }
}
