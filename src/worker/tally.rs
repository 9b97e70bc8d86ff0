//! What the worker did, in numbers: counted from any thread, exported as metrics, said at the end.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::policy::Ended;
use crate::named::Named;

/// What became of a record. The names are those of the metric, in the order of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordResult {
    /// Its command succeeded.
    Done,
    /// No filter let it through: resolved without a command.
    Filtered,
    /// The group's commit said that it was done before: resolved without a command.
    AlreadyDone,
    /// Given up and committed: `--on-failure skip` or `--exit-map`.
    Skipped,
    /// Its dead letter was acknowledged.
    DeadLettered,
    /// Its command still ran when the time was up: it runs again at the next start.
    Abandoned,
    /// Retention deleted it before it was read.
    Lost,
}

impl Named for RecordResult {
    const ALL: &'static [Self] = &[
        Self::Done,
        Self::Filtered,
        Self::AlreadyDone,
        Self::Skipped,
        Self::DeadLettered,
        Self::Abandoned,
        Self::Lost,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Filtered => "filtered",
            Self::AlreadyDone => "already_done",
            Self::Skipped => "skipped",
            Self::DeadLettered => "dead_lettered",
            Self::Abandoned => "abandoned",
            Self::Lost => "lost",
        }
    }
}

/// How an attempt failed. The names are those of the metric and of a dead letter's `kq.dlq.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureReason {
    Exit,
    Signal,
    Timeout,
    /// A persistent command's answer, or a command that could not be run.
    Protocol,
}

impl FailureReason {
    /// The reason of an attempt that ended like this.
    pub(super) fn of(ended: &Ended) -> Self {
        match ended {
            Ended::Exit(_) => Self::Exit,
            Ended::Signal(_) | Ended::Terminated => Self::Signal,
            Ended::Timeout => Self::Timeout,
            Ended::Protocol(_)
            | Ended::Again(_)
            | Ended::CannotRun(_)
            | Ended::BeingWritten(_)
            | Ended::NotStarted(_) => Self::Protocol,
        }
    }
}

impl Named for FailureReason {
    const ALL: &'static [Self] = &[Self::Exit, Self::Signal, Self::Timeout, Self::Protocol];

    fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
        }
    }
}

/// How the group changed this member's partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RebalanceKind {
    Assigned,
    Revoked,
    /// Taken away without a revoke: another member may have them already.
    Lost,
}

impl Named for RebalanceKind {
    const ALL: &'static [Self] = &[Self::Assigned, Self::Revoked, Self::Lost];

    fn name(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Revoked => "revoked",
            Self::Lost => "lost",
        }
    }
}

/// A count for each value of a closed list.
#[derive(Debug)]
pub(super) struct Counts<T> {
    counts: Box<[AtomicU64]>,
    of: PhantomData<T>,
}

impl<T: Named> Default for Counts<T> {
    fn default() -> Self {
        Self { counts: T::ALL.iter().map(|_| AtomicU64::default()).collect(), of: PhantomData }
    }
}

impl<T: Named + PartialEq> Counts<T> {
    /// Counts one.
    pub(super) fn count(&self, value: T) {
        self.add(value, 1);
    }

    /// Counts several.
    pub(super) fn add(&self, value: T, count: u64) {
        self.at(value).fetch_add(count, Relaxed);
    }

    /// Replaces a count by one that is kept elsewhere.
    pub(super) fn set(&self, value: T, count: u64) {
        self.at(value).store(count, Relaxed);
    }

    /// How often this value was counted.
    pub(super) fn of(&self, value: T) -> u64 {
        self.at(value).load(Relaxed)
    }

    /// Each name with its count.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        T::ALL.iter().map(|value| (value.name(), self.of(*value)))
    }

    /// The sum of all.
    pub(super) fn total(&self) -> u64 {
        self.each().map(|(_, count)| count).sum()
    }

    fn at(&self, value: T) -> &AtomicU64 {
        &self.counts[T::ALL.iter().position(|of| *of == value).unwrap_or_default()]
    }
}

/// Counts since the start.
#[derive(Debug)]
pub(super) struct Tally {
    pub records: Counts<RecordResult>,
    pub failed_attempts: Counts<FailureReason>,
    pub rebalances: Counts<RebalanceKind>,
    /// How long each attempt took, in seconds.
    pub handler_seconds: Histogram,
    /// Values that a header says are compressed, and that could not be decompressed.
    pub undecoded: AtomicU64,
    /// Times that a partition had become shorter than what was read of it.
    pub truncated: AtomicU64,
}

/// Upper bounds, in seconds: a persistent command takes microseconds, another may take minutes.
const HANDLER_SECONDS: [f64; 14] =
    [0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

impl Default for Tally {
    fn default() -> Self {
        Self {
            records: Counts::default(),
            failed_attempts: Counts::default(),
            rebalances: Counts::default(),
            handler_seconds: Histogram::new(HANDLER_SECONDS),
            undecoded: AtomicU64::default(),
            truncated: AtomicU64::default(),
        }
    }
}

impl RecordResult {
    /// What the summary calls it.
    fn words(self) -> &'static str {
        match self {
            Self::AlreadyDone => "already done",
            Self::DeadLettered => "dead-lettered",
            Self::Lost => "gone before they were read",
            Self::Done | Self::Filtered | Self::Skipped | Self::Abandoned => self.name(),
        }
    }
}

impl Tally {
    /// The line at the end: what happened, how long it took, and the rate.
    pub(super) fn sentence(&self, elapsed: Duration) -> String {
        use RecordResult::{Abandoned, AlreadyDone, DeadLettered, Done, Filtered, Lost, Skipped};
        let of = |result: RecordResult| (self.records.of(result), result.words());
        let attempts = self.failed_attempts.total();
        let truncated = self.truncated.load(Relaxed);
        let (done, words) = of(Done);
        let mut line = format!("{done} {words}");
        for (count, what) in [
            of(Filtered),
            of(AlreadyDone),
            of(Skipped),
            of(DeadLettered),
            (attempts, if attempts == 1 { "failed attempt" } else { "failed attempts" }),
            of(Abandoned),
            (self.undecoded.load(Relaxed), "not decoded"),
            of(Lost),
            (truncated, if truncated == 1 { "truncated partition" } else { "truncated partitions" }),
        ] {
            if count > 0 {
                let _ = write!(line, ", {count} {what}");
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
    pub(super) fn has_failures(&self) -> bool {
        let lost = self.records.of(RecordResult::Lost);
        self.undecoded.load(Relaxed) + lost + self.truncated.load(Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_said() {
        let tally = Tally::default();
        tally.records.add(RecordResult::Done, 20);
        assert_eq!(tally.sentence(Duration::from_secs(10)), "20 done in 10.0 s (2/s)");
        tally.records.count(RecordResult::DeadLettered);
        tally.failed_attempts.count(FailureReason::Exit);
        assert_eq!(
            tally.sentence(Duration::from_secs(10)),
            "20 done, 1 dead-lettered, 1 failed attempt in 10.0 s (2/s)"
        );
        for ended in [Ended::Signal(9), Ended::Timeout, Ended::Again(String::new())] {
            tally.failed_attempts.count(FailureReason::of(&ended));
        }
        assert_eq!(
            tally.sentence(Duration::from_secs(10)),
            "20 done, 1 dead-lettered, 4 failed attempts in 10.0 s (2/s)"
        );
        assert!(!tally.has_failures());
    }

    #[test]
    fn each_result_of_a_record_is_in_the_summary() {
        for &result in RecordResult::ALL {
            let tally = Tally::default();
            tally.records.add(result, 7);
            let sentence = tally.sentence(Duration::ZERO);
            assert!(sentence.contains(&format!("7 {}", result.words())), "{sentence}");
            assert_eq!(tally.has_failures(), result == RecordResult::Lost);
        }
    }

    #[test]
    fn the_readme_names_the_values_of_each_metric_in_their_order() {
        fn names<T: Named>() -> Vec<String> {
            T::ALL.iter().map(|value| format!("`{}`", value.name())).collect()
        }
        let readme = include_str!("../../README.md");
        for (metric, names) in [
            ("`kq_worker_records_total{result}`", names::<RecordResult>()),
            ("`kq_worker_failed_attempts_total{reason}`", names::<FailureReason>()),
            ("`kq_worker_rebalances_total{kind}`", names::<RebalanceKind>()),
        ] {
            let row = readme.lines().find(|line| line.contains(metric)).expect(metric);
            assert!(row.contains(&names.join(", ")), "{row}\n{names:?}");
        }
    }
}
