//! `--batch`: each thread takes a batch, waits for its command, and runs what failed again in halves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Dispatcher, Threads};
use crate::worker::batch::output;
use crate::worker::batch::parts::Parts;
use crate::worker::completion::{Attempt, Printed};
use crate::worker::ledger::{Job, Outcome};
use crate::worker::policy::Ended;
use crate::worker::resolver::{After, START_PAUSE};
use crate::worker::shared::Taken;

/// What is kept of the memory of one input for the next.
const KEPT: usize = 8 << 20;

impl Threads {
    /// Runs one batch after the other.
    pub(super) fn serve_batches(self: &Arc<Self>) {
        let shared = &self.dispatcher.shared;
        let mut input = Vec::new();
        while let Some(Taken { job: batch, needs_thread }) = shared.next_batch() {
            if needs_thread && let Err(e) = self.grow() {
                shared.log.verbose(1, format_args!("start another thread for commands: {e}"));
            }
            let Some(epoch) = batch.first().map(|job| job.ticket.epoch) else { continue };
            self.run_parts(batch, &mut input);
            shared.ledger().end_batch(epoch);
            shared.notify_completed();
            input.shrink_to(KEPT);
        }
    }

    /// Runs a batch, and its halves where it fails, until each record is finished or given back.
    fn run_parts(&self, batch: Vec<Job>, input: &mut Vec<u8>) {
        let shared = &self.dispatcher.shared;
        let mut parts = Parts::of(batch);
        let mut is_first = true;
        while let Some(part) = parts.next() {
            // The start of a batch was counted when it was given out.
            if !std::mem::take(&mut is_first)
                && let Some(job) = part.first()
            {
                shared.wait_for_start(job.ticket);
            }
            // Once the worker is to stop, nothing is started; while it is paused, one record at a time is.
            let is_stopped = shared.stopping().is_some();
            if is_stopped || part.first().is_some_and(|job| shared.ledger().is_held_back(job.ticket)) {
                let tickets: Vec<_> = part.into_iter().chain(parts.rest()).map(|job| job.ticket).collect();
                let outcome = if is_stopped { Outcome::Abandoned } else { Outcome::Again(Instant::now()) };
                shared.ledger().finish_all(&tickets, outcome);
                return;
            }
            let part = shared.ledger().keep_startable(part);
            if !part.is_empty() {
                self.run_part(part, &mut parts, input);
                shared.notify_completed();
                // A retry may be due before this batch is over.
                shared.wake();
            }
        }
    }

    fn run_part(&self, mut part: Vec<Job>, parts: &mut Parts<Job>, input: &mut Vec<u8>) {
        let Dispatcher { shared, runner, .. } = &self.dispatcher;
        let mut attempt = match runner.write_batch(&part, input, shared) {
            Err(0) => {
                parts.put_back(part.split_off(1));
                no_input()
            }
            outcome => {
                if let Err(at) = outcome {
                    parts.put_back(part.split_off(at));
                }
                runner.run_batch(&part, input, shared)
            }
        };
        let printed = self.print_of_batch(&part, &mut attempt);
        self.settle(part, parts, &attempt, printed);
        if self.dispatcher.resolver.could_not_run(&attempt.ended) {
            // Whatever is lacking, the next batch lacks it too.
            std::thread::sleep(START_PAUSE);
        }
    }

    /// Decides what becomes of the records of a part whose command ended.
    fn settle(&self, mut part: Vec<Job>, parts: &mut Parts<Job>, attempt: &Attempt, printed: Printed) {
        let resolver = &self.dispatcher.resolver;
        if part.len() > 1 {
            if resolver.ran_batch(&part, attempt, printed, Instant::now()) == After::Halve {
                parts.halve(part);
            }
        } else if let Some(job) = part.pop()
            && let Some(letter) = resolver.ran(job, attempt, printed, Instant::now())
        {
            let (job, outcome) = self.runtime.block_on(self.dispatcher.send(letter));
            resolver.sent(&job, outcome);
        }
    }

    /// Delivers what the command of a batch printed. Output that is not what the output topic takes is a
    /// failure of the batch.
    fn print_of_batch(&self, batch: &[Job], attempt: &mut Attempt) -> Printed {
        let Dispatcher { shared, printer, resolver, output, backoff, .. } = &self.dispatcher;
        let printed = std::mem::take(&mut attempt.stdout);
        let Some(output) = output else {
            return if printed.is_empty() { Printed::Delivered } else { printer.print(&printed) };
        };
        // What a failed attempt printed is no output.
        if !resolver.is_success(&attempt.ended) {
            return Printed::Delivered;
        }
        match output::letters(&output.topic, &printed) {
            Ok(letters) => {
                let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
                    return Printed::Delivered;
                };
                let place = crate::worker::batch::place(&first.record, &last.record);
                self.runtime.block_on(output.send_all(letters, &place, *backoff, shared))
            }
            Err(why) => {
                attempt.ended = Ended::Protocol(why);
                Printed::Delivered
            }
        }
    }
}

/// A record that can't be handed over by itself: its command is not started.
fn no_input() -> Attempt {
    let why = "its value holds the delimiter of -D, and would be read as several: use --stdin json";
    Attempt {
        ended: Ended::Protocol(why.to_owned()),
        stdout: Vec::new(),
        stderr: Vec::new(),
        retry_after: None,
        took: Duration::ZERO,
    }
}
