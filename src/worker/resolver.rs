//! What becomes of a record once its command has ended: resolved, tried again, sent to the dead letters, left.

mod batches;
mod trouble;

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::completion::{Attempt, Printed};
use super::dead_letter::{self, Failure};
use super::deploy::Deploy;
use super::ledger::{Job, Outage, Outcome, Ticket};
use super::policy::{Ended, Meaning, Next, Policy, Retries};
use super::settings::Failing;
use super::shared::{Shared, StopReason};
use super::tally::{FailureReason, RecordResult};
use crate::clock::backoff::Backoff;
use crate::clock::random;
use crate::lock::Lock;
use crate::sending::outbox::Letter;

/// The shortest wait after a command that could not be started.
pub(super) const START_PAUSE: Duration = Duration::from_millis(100);
/// The least time between two notes that a command can't be started.
const START_NOTE: Duration = Duration::from_secs(5);
/// How many lines of a command's stderr an error quotes.
const QUOTED_LINES: usize = 5;

pub(super) use batches::After;

/// A dead letter to send before its record is resolved.
pub(super) struct Undelivered {
    pub job: Job,
    pub letter: Letter,
}

/// Decides what becomes of each record, and tells the ledger.
pub(super) struct Resolver {
    shared: Arc<Shared>,
    policy: Policy,
    backoff: Backoff,
    deploy: Lock<Deploy>,
    dead_letter_topic: Option<Arc<str>>,
    group: String,
    /// The command as the user gave it, for errors.
    command: String,
    /// When a note last said that a command can't be started.
    start_noted: Lock<Option<Instant>>,
}

/// Whether the end of a command says anything about its record.
enum Standing {
    Counts,
    /// The partition has left, and with it the record.
    Void,
    /// The command was terminated, or its output is lost: the record runs again at the next start.
    Abandoned,
}

impl Resolver {
    /// Resolves the records of this group by these settings; `command` is shown in errors.
    pub(super) fn new(shared: Arc<Shared>, failing: Failing, group: String, command: String) -> Self {
        let limit = failing.max_consecutive_failures;
        shared.ledger().outage = Outage::new(limit, failing.backoff, failing.on_outage);
        Self {
            shared,
            policy: failing.policy,
            backoff: failing.backoff,
            deploy: Lock::default(),
            dead_letter_topic: failing.dead_letters.map(Arc::from),
            group,
            command,
            start_noted: Lock::default(),
        }
    }

    /// Whether an attempt that ended like this succeeded.
    pub(super) fn is_success(&self, ended: &Ended) -> bool {
        self.policy.meaning(ended) == Meaning::Ok
    }

    /// Whether a record is tried again after an attempt that ended like this.
    pub(super) fn is_retried(&self, job: &Job, ended: &Ended, now: Instant) -> bool {
        self.next(job, ended, now) == Next::Retry
    }

    fn next(&self, job: &Job, ended: &Ended, now: Instant) -> Next {
        self.policy.next(ended, job.attempt, self.tried_for(job, now))
    }

    /// How long a record has been tried, where that counts.
    fn tried_for(&self, job: &Job, now: Instant) -> Duration {
        match self.policy.retries {
            Retries::Count(_) => Duration::ZERO,
            Retries::For(_) => self.shared.ledger().tried_for(job.ticket, now),
        }
    }

    /// A command ended now. Gives the dead letter where its record needs one.
    pub(super) fn ran(
        &self,
        job: Job,
        attempt: &Attempt,
        printed: Printed,
        now: Instant,
    ) -> Option<Undelivered> {
        if let Ended::NotStarted(why) = &attempt.ended {
            self.not_started(&job, why, now);
            return None;
        }
        let next = self.next(&job, &attempt.ended, now);
        match self.standing(&job, attempt, next, printed) {
            Standing::Counts => {}
            Standing::Void => return None,
            Standing::Abandoned => {
                self.count(RecordResult::Abandoned);
                self.finish(&job, Outcome::Abandoned);
                return None;
            }
        }
        if self.policy.cannot_run(&attempt.ended) {
            self.cannot_run(&job, attempt, now);
            return None;
        }
        if attempt.was_started() {
            self.note_run(attempt, now);
        }
        self.count_attempt(attempt, next);
        if next != Next::Resolved {
            self.note_failure(&job, attempt, now);
        }
        match next {
            Next::Resolved => self.done(&job, now),
            Next::Retry => self.retry(&job, attempt, now),
            Next::Broken => self.stop_as_broken(&job, attempt),
            Next::Stop => {
                let why = self.describe(&job, attempt);
                let why = format!(
                    "{why}\nit is not committed: the next start tries it again; --dlq TOPIC or \
                     --on-failure skip goes past it"
                );
                self.stop(&job, StopReason::Policy(why));
            }
            Next::Skipped | Next::DeadLetter if !self.follows_policy(&job, attempt, now) => {}
            Next::Skipped => self.skip(&job, &attempt.ended),
            Next::DeadLetter => return self.dead_letter(job, attempt),
        }
        None
    }

    /// A record comes back whose command did not fail: it was not started, or did not finish.
    pub(super) fn returned(&self, job: &Job) {
        let mut ledger = self.shared.ledger();
        let is_terminated = ledger.is_terminated(job.ticket);
        if ledger.is_live(job.ticket) && is_terminated {
            self.count(RecordResult::Abandoned);
        }
        // Where its partition and the worker stay, it was given back since that is paused.
        let outcome = if is_terminated { Outcome::Abandoned } else { Outcome::Again(Instant::now()) };
        ledger.finish(job.ticket, outcome);
    }

    /// A dead letter was acknowledged, or can't be sent.
    pub(super) fn sent(&self, job: &Job, outcome: Result<(), String>) {
        if !self.shared.ledger().is_live(job.ticket) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.count(RecordResult::DeadLettered);
                self.finish(job, Outcome::Resolved);
            }
            Err(why) => {
                let place = job.record.place();
                self.stop(job, StopReason::Policy(format!("{place}: the dead letter can't be sent: {why}")));
            }
        }
    }

    fn standing(&self, job: &Job, attempt: &Attempt, next: Next, printed: Printed) -> Standing {
        let ledger = self.shared.ledger();
        if !ledger.is_live(job.ticket) {
            return Standing::Void;
        }
        // A command that was terminated did not fail, and perhaps did not do its work.
        let is_terminated = attempt.ended == Ended::Terminated
            || (ledger.is_terminated(job.ticket) && next != Next::Resolved);
        if is_terminated || printed == Printed::Lost { Standing::Abandoned } else { Standing::Counts }
    }

    fn count(&self, result: RecordResult) {
        self.shared.tally.records.count(result);
    }

    fn count_attempt(&self, attempt: &Attempt, next: Next) {
        let tally = &self.shared.tally;
        tally.handler_seconds.observe(attempt.took.as_secs_f64());
        if next != Next::Resolved {
            tally.failed_attempts.count(FailureReason::of(&attempt.ended));
        }
    }

    fn done(&self, job: &Job, now: Instant) {
        self.count(RecordResult::Done);
        self.shared.log.verbose(1, format_args!("{}: done", job.record.place()));
        let paused = {
            let mut ledger = self.shared.ledger();
            ledger.finish(job.ticket, Outcome::Resolved);
            ledger.outage.succeeded(now)
        };
        if let Some(lasted) = paused {
            self.note_end_of_pause(&job.record.place(), lasted);
        }
    }

    fn retry(&self, job: &Job, attempt: &Attempt, now: Instant) {
        let backoff = || self.backoff.delay(job.attempt - 1, random);
        let delay = attempt
            .retry_after
            .unwrap_or_else(|| self.policy.retries.wait(backoff(), self.tried_for(job, now)));
        let (place, ended, number) = (job.record.place(), &attempt.ended, job.attempt);
        let ms = delay.as_millis();
        self.shared.log.verbose(1, format_args!("{place}: {ended} (attempt {number}), again in {ms} ms"));
        self.finish(job, Outcome::Retry(now + delay));
    }

    fn skip(&self, job: &Job, ended: &Ended) {
        self.count(RecordResult::Skipped);
        self.shared.log.note(format_args!("{}: {ended}, skipped", job.record.place()));
        self.finish(job, Outcome::Resolved);
    }

    fn dead_letter(&self, job: Job, attempt: &Attempt) -> Option<Undelivered> {
        let Some(topic) = &self.dead_letter_topic else {
            self.stop(&job, StopReason::Policy("no --dlq TOPIC is given".into()));
            return None;
        };
        let failed_at = format!("{:.3}", jiff::Timestamp::now());
        let failure = Failure {
            group: &self.group,
            attempts: job.attempt,
            ended: &attempt.ended,
            stderr: &attempt.stderr,
            failed_at: &failed_at,
        };
        let letter = dead_letter::letter(topic, &job.record, failure);
        self.shared.log.note(format_args!("{}: {}, to {topic}", job.record.place(), attempt.ended));
        Some(Undelivered { job, letter })
    }

    /// A command could not be started for now: its record waits, and spends no attempt.
    fn not_started(&self, job: &Job, why: &str, now: Instant) {
        let delay = self.backoff.delay(job.attempt - 1, random).max(START_PAUSE);
        self.note_start(job.ticket, why, now);
        self.shared.ledger().outage.attempt_failed(job.ticket, now, random());
        self.finish(job, Outcome::Again(now + delay));
    }

    /// Takes note that commands can't be started, here that of this record, and says so, not too often.
    fn note_start(&self, ticket: Ticket, why: &str, now: Instant) {
        {
            let ledger = self.shared.ledger();
            // What left with its partition is not started again, and would never show that it can be.
            if ledger.is_live(ticket) {
                self.shared.health.cannot_start(why, now);
            }
        }
        let mut noted = self.start_noted.lock();
        if noted.is_none_or(|noted| now.saturating_duration_since(noted) >= START_NOTE) {
            *noted = Some(now);
            self.shared.log.error(format_args!("a command can't be started: {why}; trying again"));
        }
    }

    /// Stops the worker over a record, which stays uncommitted.
    fn stop(&self, job: &Job, why: StopReason) {
        self.shared.stop(why);
        self.finish(job, Outcome::Abandoned);
    }

    fn finish(&self, job: &Job, outcome: Outcome) {
        self.shared.ledger().finish(job.ticket, outcome);
    }

    /// What failed, where, how, and the last lines of its stderr.
    fn describe(&self, job: &Job, attempt: &Attempt) -> String {
        self.describe_at(&job.record.place(), job.attempt, attempt)
    }

    fn describe_at(&self, place: &dyn fmt::Display, number: u32, attempt: &Attempt) -> String {
        let mut text = format!("{place}: {}: {}", self.command, attempt.ended);
        if number > 1 {
            let _ = write!(text, " (attempt {number})");
        }
        let stderr = String::from_utf8_lossy(&attempt.stderr);
        // What a persistent command answered is in the text already.
        let answer = if let Ended::Protocol(why) = &attempt.ended { why } else { "" };
        let is_new = |line: &&str| !line.trim().is_empty() && !answer.contains(line);
        let lines: Vec<&str> = stderr.lines().filter(is_new).collect();
        for line in &lines[lines.len().saturating_sub(QUOTED_LINES)..] {
            let _ = write!(text, "\n  stderr: {line}");
        }
        text
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trouble_tests;
