//! What the worker did, in numbers: counted from any thread, said at the end.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Records whose command succeeded.
    pub done: AtomicU64,
    /// Records given up and committed: `--on-failure skip` or `--exit-map`.
    pub skipped: AtomicU64,
    /// Records whose dead letter was acknowledged.
    pub dead: AtomicU64,
    /// Attempts that failed.
    pub failed_attempts: AtomicU64,
    /// Records whose command was still running when its time was up.
    pub abandoned: AtomicU64,
    /// Values said to be compressed that could not be undone.
    pub undecoded: AtomicU64,
    /// Records that retention took before they were read.
    pub lost: AtomicU64,
}

impl Tally {
    /// The line at the end, or empty where nothing happened.
    pub fn sentence(&self, elapsed: Duration) -> String {
        let done = self.done.load(Relaxed);
        let mut line = format!("{done} done");
        for (count, what) in [
            (&self.skipped, "skipped"),
            (&self.dead, "dead-lettered"),
            (&self.failed_attempts, "failed attempts"),
            (&self.abandoned, "abandoned"),
            (&self.undecoded, "not decoded"),
            (&self.lost, "gone before they were read"),
        ] {
            match count.load(Relaxed) {
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
        self.undecoded.load(Relaxed) + self.lost.load(Relaxed) > 0
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
        tally.failed_attempts.store(4, Relaxed);
        assert_eq!(
            tally.sentence(Duration::from_secs(10)),
            "20 done, 1 dead-lettered, 4 failed attempts in 10.0 s (2/s)"
        );
        assert!(!tally.has_failures());
    }
}
