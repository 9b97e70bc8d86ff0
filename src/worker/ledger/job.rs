//! What the ledger hands out: a record to run the command for, and what becomes of it. Pure: no clock, no IO.

use std::sync::Arc;
use std::time::Instant;

use crate::record::Record;
use crate::worker::lanes::Lane;

/// Names one run of one record. A ticket of an ended epoch is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    pub epoch: u64,
    pub offset: i64,
}

/// A record to run the command for.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub ticket: Ticket,
    pub record: Arc<Record>,
    /// From 1.
    pub attempt: u32,
    /// A lane sticks to one process of a persistent command.
    pub lane: Option<Lane>,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Succeeded, skipped, or its dead letter was acknowledged.
    Resolved,
    /// To be run again, not before this.
    Retry(Instant),
    /// The same, and no attempt is spent: it could not be started.
    Again(Instant),
    /// Neither: it stays uncommitted, and its lane stays held.
    Abandoned,
}
