//! What follows when it is not a record's fault: an outage of what the command needs, or a command that is
//! being replaced.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::{Resolver, START_PAUSE};
use crate::clock::random;
use crate::worker::completion::Attempt;
use crate::worker::deploy::{DEPLOY, Verdict};
use crate::worker::ledger::{Fate, Job, Outcome, Ticket};
use crate::worker::policy::Ended;
use crate::worker::shared::StopReason;

/// The wait before a command that can't be run is tried again.
const DEPLOY_WAIT: Duration = Duration::from_secs(1);

impl Resolver {
    /// Whether the end of a command says that it could not be run, or started, and not how its record fares.
    pub(crate) fn could_not_run(&self, ended: &Ended) -> bool {
        matches!(ended, Ended::NotStarted(_)) || self.policy.cannot_run(ended)
    }

    /// The command can't be run. One that has worked before is being replaced, mostly: its record waits, and
    /// spends no attempt.
    pub(super) fn cannot_run(&self, job: &Job, attempt: &Attempt, now: Instant) {
        let describe = || self.describe(job, attempt);
        let Some(delay) = self.wait_for_command(job.ticket, &attempt.ended, describe, now) else {
            return self.stop_as_broken(job, attempt);
        };
        self.shared.ledger().outage.attempt_failed(job.ticket, now, random());
        self.finish(job, Outcome::Again(now + delay));
    }

    /// How long what the command can't be run for now waits; `None` where the command is broken, or always is for
    /// the record of this ticket. `describe` says what failed.
    pub(super) fn wait_for_command(
        &self,
        ticket: Ticket,
        ended: &Ended,
        describe: impl FnOnce() -> String,
        now: Instant,
    ) -> Option<Duration> {
        let (has_worked, own) = {
            let mut ledger = self.shared.ledger();
            (ledger.outage.has_succeeded(), ledger.miss(ticket, now))
        };
        let may_wait = has_worked || matches!(ended, Ended::BeingWritten(_));
        let verdict = self.deploy.lock().cannot_run(own, may_wait, now);
        let Verdict::Wait { is_first } = verdict else { return None };
        let why = format!("{}: {ended}", self.command);
        match ended {
            Ended::Exit(_) => self.shared.health.cannot_run(&why, now),
            _ => self.shared.health.cannot_start(&why, now),
        }
        if is_first {
            let what = describe();
            let seconds = DEPLOY.as_secs();
            let before =
                if has_worked { "; it has worked before, so" } else { "; its file is being written, so" };
            self.shared
                .log
                .note(format_args!("{what}{before} it is tried again for {seconds} s, as at a deploy"));
        }
        Some(self.backoff.delay(0, random).min(DEPLOY_WAIT).max(START_PAUSE))
    }

    /// A command ran, however it ended.
    pub(super) fn note_run(&self, attempt: &Attempt, now: Instant) {
        let began = now.checked_sub(attempt.took).unwrap_or(now);
        self.shared.health.ran(began);
        let gap = self.deploy.lock().ran(began, now);
        if let Some(gap) = gap {
            let seconds = gap.as_secs_f64();
            self.shared.log.note(format_args!("{}: it can be run again, after {seconds:.1} s", self.command));
        }
    }

    /// Stops the worker over a command that is broken.
    pub(super) fn stop_as_broken(&self, job: &Job, attempt: &Attempt) {
        self.stop(job, self.broken(self.describe(job, attempt), &attempt.ended));
    }

    /// Why the worker stops over a command that is broken; `what` says what failed.
    pub(super) fn broken(&self, mut what: String, ended: &Ended) -> StopReason {
        let why = self.policy.why_broken(ended);
        if self.shared.ledger().outage.has_succeeded() && self.policy.cannot_run(ended) {
            what = format!("{what}\nit has worked before, and was tried again for {} s", DEPLOY.as_secs());
        }
        StopReason::Broken(format!("{what}\n{why}"))
    }

    /// An attempt failed: what holds its record up, and when the next probe is due.
    pub(super) fn note_failure(&self, job: &Job, attempt: &Attempt, now: Instant) {
        let how = match &attempt.ended {
            Ended::Exit(code) => format!("exit {code}"),
            ended => ended.to_string(),
        };
        let mut ledger = self.shared.ledger();
        ledger.note_failure(job.ticket, how);
        ledger.outage.attempt_failed(job.ticket, now, random());
    }

    /// What is there is done, which ended the pause.
    pub(super) fn note_end_of_pause(&self, place: &dyn Display, lasted: Duration) {
        let seconds = lasted.as_secs();
        self.shared.log.note(format_args!("the pause is over after {seconds} s: {place} is done"));
        self.shared.wake();
    }

    /// A record failed for good. True where `--on-failure` decides; else it was kept, or the worker stops.
    pub(super) fn follows_policy(&self, job: &Job, attempt: &Attempt, now: Instant) -> bool {
        let Some(why) = self.policy.given_up(&attempt.ended) else { return true };
        let (fate, is_paused) = {
            let mut ledger = self.shared.ledger();
            let is_paused = ledger.outage.pause_number().is_some();
            (ledger.failed_for_good(job.ticket, why, now, random()), is_paused)
        };
        match fate {
            Fate::Policy => {
                if is_paused {
                    // The next probe does not wait for this one's dead letter.
                    self.shared.wake();
                }
                return true;
            }
            Fate::Keep => {
                let (place, ended) = (job.record.place(), &attempt.ended);
                self.shared.log.verbose(1, format_args!("{place}: {ended}, kept while the worker is paused"));
            }
            Fate::Pause => {
                self.shared.log.note(format_args!(
                    "paused: too many records failed in a row (--max-consecutive-failures), which looks like an \
                     outage of what the command needs; one at a time is tried until one is done; the last was {}",
                    self.describe(job, attempt)
                ));
                self.shared.recall();
            }
            Fate::Stop => {
                let why = self.describe(job, attempt);
                let why = format!(
                    "too many records failed in a row (--max-consecutive-failures): it looks like an outage; \
                     the last was {why}"
                );
                self.stop(job, StopReason::Policy(why));
                return false;
            }
        }
        self.finish(job, Outcome::Again(now));
        false
    }
}
