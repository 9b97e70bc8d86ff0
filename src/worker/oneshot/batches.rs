//! One process a batch: its environment, its input, how it ended.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Instant;

use super::{Runner, pass_on};
use crate::process::{self, Finished, Input, News, Owner, Task};
use crate::record::decode::Scratch;
use crate::worker::batch::input::HoldsDelimiter;
use crate::worker::batch::place;
use crate::worker::completion::Attempt;
use crate::worker::environment;
use crate::worker::ledger::Job;
use crate::worker::shared::Shared;

impl Runner {
    /// Writes the input of a batch. An error is the place of the first record that can't be in one: those
    /// before it are written.
    pub(in crate::worker) fn write_batch(
        &self,
        batch: &[Job],
        input: &mut Vec<u8>,
        shared: &Shared,
    ) -> Result<(), usize> {
        input.clear();
        let mut scratch = Scratch::default();
        for (at, job) in batch.iter().enumerate() {
            let decoded = self.decoded(job.ticket, &job.record, &mut scratch, shared);
            if let Err(HoldsDelimiter) = self.input.append(&job.record, &decoded, input) {
                return Err(at);
            }
        }
        Ok(())
    }

    /// Runs the command for a batch, to its end.
    pub(in crate::worker) fn run_batch(&self, batch: &[Job], input: &[u8], shared: &Shared) -> Attempt {
        let started = Instant::now();
        let finished = self.run_batch_process(batch, input, shared);
        self.attempt(finished, started.elapsed())
    }

    fn run_batch_process(&self, batch: &[Job], input: &[u8], shared: &Shared) -> io::Result<Finished> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Err(io::Error::other("a batch without records"));
        };
        let attempt = batch.iter().map(|job| job.attempt).max().unwrap_or(1);
        let variables = environment::of_batch(&first.record, &last.record, batch.len(), attempt);
        // Whole before the command starts: were this process killed, no part would be taken for the whole.
        let file = process::input::whole(input)?;
        let wants_it = || {
            // It has started.
            shared.health.started();
            shared.ledger().is_live(first.ticket)
        };
        let owner = Owner { id: first.ticket.epoch, wants_it: &wants_it };
        let place = place(&first.record, &last.record);
        let mut hear = |news: News<'_>| pass_on(&place, &news, shared);
        let task = Task { variables: &variables, input: Input::File(file.as_fd()), owner };
        process::run(&self.launcher, task, self.limits, &shared.groups, &mut hear)
    }
}
