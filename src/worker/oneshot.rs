//! One process a record: its environment, its input, how it ended.

mod batches;

use std::fmt;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::completion::Attempt;
use super::environment;
use super::ledger::Job;
use super::policy::{Ended, Policy};
use super::shared::Shared;
use super::stdin::Input;
use crate::process::{
    self, Ending, Finished, Launcher, MAX_OUTPUT, News, Owner, Task, TimeLimits, Variables,
};
use crate::record::Record;
use crate::record::decode::{Decoded, Decoder, Form, Scratch};

/// How commands are run: the same for every record.
pub(super) struct Runner {
    pub launcher: Launcher,
    pub limits: TimeLimits,
    pub policy: Policy,
    pub decoder: Decoder,
    pub input: Input,
}

/// One run of the command.
pub(super) struct Run {
    pub attempt: Attempt,
    /// What the command got as the value.
    pub form: Form,
}

impl Runner {
    /// Runs the command for one record, to its end.
    pub(super) fn run(&self, job: &Job, shared: &Shared) -> Run {
        let started = Instant::now();
        let mut scratch = Scratch::default();
        let decoded = self.decoded(&job.record, &mut scratch, shared);
        let (input, form) = (self.input.of_record(&job.record, &decoded), decoded.form);
        let finished = self.run_process(job, &input, form, shared);
        Run { attempt: self.attempt(finished, started.elapsed()), form }
    }

    /// How a process ended, or that it did not start, in the policy's terms.
    fn attempt(&self, finished: io::Result<Finished>, took: Duration) -> Attempt {
        match finished {
            Err(e) => Attempt {
                ended: not_started(format!("{}: {e}", self.launcher.program().path.display()), &e),
                stdout: Vec::new(),
                stderr: Vec::new(),
                retry_after: None,
                took,
            },
            Ok(Finished { ending, stdout, stderr }) => {
                Attempt { ended: ended(ending), stdout, stderr, retry_after: None, took }
            }
        }
    }

    /// Starts a process with these bytes on its stdin, and waits for its end. Where the record's variables
    /// are too much for exec, the long ones are left out.
    fn run_process(&self, job: &Job, input: &[u8], form: Form, shared: &Shared) -> io::Result<Finished> {
        let record = &*job.record;
        let headers = form.owned_headers(&record.headers);
        let mut variables = environment::of_record(record, headers, job.attempt, self.policy.max_attempts());
        let wants_it = || {
            // It has started.
            shared.health.started();
            shared.ledger().is_live(job.ticket)
        };
        let owner = Owner { id: job.ticket.epoch, wants_it: &wants_it };
        let mut hear = |news: News<'_>| pass_on(&record.place(), &news, shared);
        let mut run = |variables: &Variables| {
            let task = Task { variables, input: process::Input::Bytes(input), owner };
            process::run(&self.launcher, task, self.limits, &shared.groups, &mut hear)
        };
        match run(&variables) {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::TOOBIG) => {
                environment::shorten(&mut variables);
                run(&variables)
            }
            finished => finished,
        }
    }

    /// The value as the command gets it. One that can't be decompressed is counted.
    pub(super) fn decoded<'a>(
        &self,
        record: &'a Record,
        scratch: &'a mut Scratch,
        shared: &Shared,
    ) -> Decoded<'a> {
        let decoded = self.decoder.decode_owned(record, scratch);
        if let Some(why) = &decoded.failure {
            shared.tally.undecoded.fetch_add(1, Relaxed);
            shared.log.error(format_args!("{}: {why}; passed on as it is", record.place()));
        }
        decoded
    }
}

/// Passes on what is heard of a record's command while it runs.
fn pass_on(place: &dyn fmt::Display, news: &News<'_>, shared: &Shared) {
    match news {
        News::Stderr(said) => shared.log.passed_on(place, said),
        News::StillRunning(time) => {
            shared.log.note(format_args!("{place}: still running after {} s", time.as_secs()));
        }
    }
}

/// How a command ended, in the policy's terms.
fn ended(ending: Ending) -> Ended {
    match ending {
        Ending::Exit(code) => Ended::Exit(code),
        Ending::Signal(signal) => Ended::Signal(signal),
        Ending::Timeout => Ended::Timeout,
        Ending::Terminated => Ended::Terminated,
        Ending::TooMuchOutput => Ended::Protocol(format!(
            "killed, since it printed more than {} MiB, which is held until it ends",
            MAX_OUTPUT >> 20
        )),
    }
}

/// What it means that a command did not start: that its program can't be run, or that the machine lacks
/// something now (descriptors, processes, memory).
pub(super) fn not_started(why: String, e: &io::Error) -> Ended {
    let Some(errno) = Errno::from_io_error(e) else { return Ended::CannotRun(why) };
    let of_the_program = [
        Errno::NOENT,
        Errno::ACCESS,
        Errno::NOEXEC,
        Errno::STALE,
        Errno::NOTDIR,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::PERM,
        Errno::ISDIR,
        Errno::TOOBIG,
    ];
    match errno {
        Errno::TXTBSY => Ended::BeingWritten(why),
        // No program is looked at yet.
        Errno::AGAIN | Errno::NOMEM => Ended::NotStarted(format!("fork: {e}")),
        errno if of_the_program.contains(&errno) => Ended::CannotRun(why),
        _ => Ended::NotStarted(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_lacks_is_told_from_what_the_machine_lacks() {
        let of = |errno: Errno| not_started("./handler".into(), &errno.into());
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::NOEXEC, Errno::STALE] {
            assert_eq!(of(errno), Ended::CannotRun("./handler".into()));
        }
        assert_eq!(of(Errno::TXTBSY), Ended::BeingWritten("./handler".into()));
        assert_eq!(of(Errno::MFILE), Ended::NotStarted("./handler".into()));
        let Ended::NotStarted(why) = of(Errno::AGAIN) else { panic!("it passes") };
        assert!(why.starts_with("fork: Resource temporarily unavailable"), "{why}");
        let missing = io::Error::other("its first line names /no/such, which does not exist");
        assert!(matches!(not_started("./handler".into(), &missing), Ended::CannotRun(_)));
    }
}
