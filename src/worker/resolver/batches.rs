//! What becomes of a batch once its command has ended: resolved, tried again, halved, left.

use std::time::Instant;

use super::{Resolver, START_PAUSE, Standing};
use crate::clock::random;
use crate::worker::batch::place;
use crate::worker::completion::{Attempt, Printed};
use crate::worker::ledger::{Job, Outcome, Ticket};
use crate::worker::policy::{Ended, Next};
use crate::worker::tally::RecordResult;

/// What is done next with the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum After {
    /// Nothing: they are finished.
    Settled,
    /// They are run again, in two halves: one of them may be guilty. No attempt is spent.
    Halve,
}

impl Resolver {
    /// The command of a batch of several records ended now.
    pub(in crate::worker) fn ran_batch(
        &self,
        batch: &[Job],
        attempt: &Attempt,
        printed: Printed,
        now: Instant,
    ) -> After {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return After::Settled };
        let place = place(&first.record, &last.record);
        let highest = batch.iter().map(|job| job.attempt).max().unwrap_or(1);
        let finish = |outcome: Outcome| {
            let tickets: Vec<Ticket> = batch.iter().map(|job| job.ticket).collect();
            self.shared.ledger().finish_all(&tickets, outcome);
            After::Settled
        };
        if let Ended::NotStarted(why) = &attempt.ended {
            self.note_start(first.ticket, why, now);
            let delay = self.backoff.delay(highest - 1, random).max(START_PAUSE);
            return finish(Outcome::Again(now + delay));
        }
        let next = self.policy.next(&attempt.ended, highest, self.tried_for(first, now));
        match self.standing(first, attempt, next, printed) {
            Standing::Counts => {}
            Standing::Void => return After::Settled,
            Standing::Abandoned => {
                self.shared.tally.records.add(RecordResult::Abandoned, batch.len() as u64);
                return finish(Outcome::Abandoned);
            }
        }
        let describe = || self.describe_at(&place, highest, attempt);
        if self.policy.cannot_run(&attempt.ended) {
            let Some(delay) = self.wait_for_command(first.ticket, &attempt.ended, describe, now) else {
                self.shared.stop(self.broken(describe(), &attempt.ended));
                return finish(Outcome::Abandoned);
            };
            return finish(Outcome::Again(now + delay));
        }
        self.note_run(attempt, now);
        self.count_attempt(attempt, next);
        let log = self.shared.log;
        match next {
            Next::Resolved => {
                let lasted = self.shared.ledger().outage.succeeded(now);
                if let Some(lasted) = lasted {
                    self.note_end_of_pause(&place, lasted);
                }
                self.shared.tally.records.add(RecordResult::Done, batch.len() as u64);
                log.verbose(1, format_args!("{place}: {} done", batch.len()));
                finish(Outcome::Resolved)
            }
            Next::Broken => {
                self.shared.stop(self.broken(describe(), &attempt.ended));
                finish(Outcome::Abandoned)
            }
            // The records do not cause it.
            Next::Retry if self.policy.is_temporary(&attempt.ended) => {
                let delay = self.backoff.delay(highest - 1, random);
                let delay = self.policy.retries.wait(delay, self.tried_for(first, now));
                self.note_failure(first, attempt, now);
                let (ended, ms) = (&attempt.ended, delay.as_millis());
                log.verbose(1, format_args!("{place}: {ended} (attempt {highest}), again in {ms} ms"));
                finish(Outcome::Retry(now + delay))
            }
            Next::Retry | Next::Stop | Next::Skipped | Next::DeadLetter => {
                log.verbose(
                    1,
                    format_args!("{place}: {}, {} records again in halves", attempt.ended, batch.len()),
                );
                After::Halve
            }
        }
    }
}
