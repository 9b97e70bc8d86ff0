//! What comes back from a command: one attempt at a record, and how it is reported.

use std::time::Duration;

use super::ledger::Job;
use super::policy::Ended;
use crate::sending::outbox::Letter;

/// How one attempt ended, and what it printed.
pub(super) struct Attempt {
    pub ended: Ended,
    pub stdout: Vec<u8>,
    /// The end of it.
    pub stderr: Vec<u8>,
    /// What the command asked for instead of the backoff.
    pub retry_after: Option<Duration>,
    /// From its start, or from when the record was handed over, to its end.
    pub took: Duration,
}

impl Attempt {
    /// Whether a command had the record: one that was never started took no time.
    pub(super) fn was_started(&self) -> bool {
        !self.took.is_zero()
    }
}

/// Whether what a command printed has arrived: on stdout, or in the output topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Printed {
    Delivered,
    /// It could not be written, and the worker stops.
    Lost,
}

/// What comes back from persistent processes, from their output, and from their dead letters.
pub(super) enum Completion {
    /// The command answered, or ended.
    Ran { job: Job, attempt: Attempt, printed: Printed },
    /// The command answered, and its record is done once these are acknowledged.
    Answered { job: Job, attempt: Attempt, letters: Vec<Letter> },
    /// The dead letter was acknowledged, or can't be sent.
    Sent { job: Job, outcome: Result<(), String> },
    /// It was not started, or did not finish, and did not fail: its partition is revoked, the worker
    /// stops, or its process was terminated.
    Returned { job: Job },
}
