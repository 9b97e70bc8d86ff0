//! `--persistent`: commands that stay and answer record after record.
//!
//! Each process has a task of its own ([`slot`]), which alone knows what is in flight there.
//! When a process dies, what it had in flight is sent again one at a time, so that
//! only the record that kills it spends retries.

mod answers;
mod backlog;
mod deaths;
mod exit;
mod in_flight;
mod process;
mod slot;
mod timing;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::completion::Completion;
use super::lanes::Lane;
use super::ledger::{Job, Ledger, Ticket};
use super::oneshot::Runner;
use super::output::Output;
use super::printer::Printer;
use super::shared::Shared;
use crate::lock::Lock;
use backlog::Given;
use slot::Slot;

use timing::Starts;
pub(super) use timing::Timing;

/// The processes, and how records are given out to them.
pub(super) struct Pool {
    slots: Vec<mpsc::UnboundedSender<Vec<Given>>>,
    turn: usize,
    /// Records that ended a process and wait for their retry.
    suspects: HashSet<Ticket>,
    common: Arc<Common>,
}

/// What every process needs.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub runner: Arc<Runner>,
    pub shared: Arc<Shared>,
    pub printer: Arc<Printer>,
    /// What came at once goes in one message: each message wakes a task.
    pub completions: mpsc::Sender<Vec<Completion>>,
    /// Records in flight a process.
    pub window: usize,
    pub common: Arc<Common>,
    /// Where the output of answers goes instead of stdout.
    pub output: Option<Output>,
}

/// What the processes of one run have in common.
pub(super) struct Common {
    timing: Timing,
    /// How long they took to start.
    starts: Lock<Starts>,
    /// All that there is was given out: see [`Pool::note_last`].
    is_last: AtomicBool,
    /// The note of a process that answers nothing is given once.
    is_unflushed_noted: AtomicBool,
}

impl Common {
    /// For processes with these limits: nothing is known of them.
    pub(super) fn new(timing: Timing) -> Self {
        let starts = Lock::new(Starts::new(timing.start));
        Self { timing, starts, is_last: AtomicBool::new(false), is_unflushed_noted: AtomicBool::new(false) }
    }
}

impl Pool {
    /// Starts the tasks of `processes` processes; each starts with its first record.
    pub(super) fn start(processes: usize, surroundings: &Surroundings) -> Self {
        let slot = |_| {
            // The ledger bounds what is handed out: jobs times window in all.
            let (sender, inbox) = mpsc::unbounded_channel();
            tokio::spawn(Slot::new(surroundings.clone(), inbox).run());
            sender
        };
        let slots = (0..processes).map(slot).collect();
        Self { slots, turn: 0, suspects: HashSet::new(), common: Arc::clone(&surroundings.common) }
    }

    /// Says whether all that there is was given out. Then the input of the processes may end: one that holds
    /// its answers in a buffer writes them then. It starts again for a record that is to run again.
    pub(super) fn note_last(&self, is_last: bool, shared: &Shared) {
        if self.common.is_last.swap(is_last, Ordering::AcqRel) != is_last && is_last {
            shared.recall();
        }
    }

    /// Hands records to their processes: that of the lane, else the next in turn.
    pub(super) fn give(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut shares: Vec<Vec<Given>> = self.slots.iter().map(|_| Vec::new()).collect();
        for job in jobs {
            // With `--order partition` each partition has the same lane.
            let place = |lane: Lane| lane.0.wrapping_add(job.record.partition as u64) as usize;
            let at = job.lane.map_or(self.turn, place);
            self.turn = self.turn.wrapping_add(usize::from(job.lane.is_none()));
            let is_suspect = !self.suspects.is_empty() && self.suspects.remove(&job.ticket);
            shares[at % self.slots.len()].push(Given { job, is_suspect });
        }
        for (slot, share) in self.slots.iter().zip(shares) {
            if !share.is_empty() {
                let _ = slot.send(share);
            }
        }
    }

    /// This record ended a process and is to be tried again: alone.
    pub(super) fn suspect(&mut self, ticket: Ticket, ledger: &Ledger) {
        self.suspects.insert(ticket);
        // Those of a partition that is revoked do not come back.
        self.suspects.retain(|ticket| ledger.may_start(*ticket));
    }
}
