//! One process a record: its environment, its input, how it ended.

mod batches;

use std::fmt;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::completion::Attempt;
use super::environment;
use super::ledger::{Job, Ticket};
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
        let decoded = self.decoded(job.ticket, &job.record, &mut scratch, shared);
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

    /// The value as the command gets it. One that can't be decompressed is counted, once for its record.
    pub(super) fn decoded<'a>(
        &self,
        ticket: Ticket,
        record: &'a Record,
        scratch: &'a mut Scratch,
        shared: &Shared,
    ) -> Decoded<'a> {
        let decoded = self.decoder.decode_owned(record, scratch);
        if let Some(why) = &decoded.failure
            && shared.ledger().note_undecoded(ticket)
        {
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
    use std::ffi::OsStr;

    use super::*;
    use crate::descriptors::OwnDescriptors;
    use crate::process::{Groups, Program};
    use crate::record::TopicPartition;
    use crate::record::decode::CONTENT_ENCODING;
    use crate::terminal::notes::Log;
    use crate::worker::batch::Batching;
    use crate::worker::lanes::Order;
    use crate::worker::ledger::{Capacity, Ledger, Outcome};
    use crate::worker::policy::{OnFailure, Retries};

    const BATCHING: Batching = Batching { records: 9, bytes: 1 << 20, wait: Duration::ZERO };

    #[test]
    fn a_value_that_cannot_be_decoded_is_counted_once_however_often_its_record_runs() {
        let limits = Capacity { jobs: 4, max_span: 9, queue_len: 9, queue_bytes: 1 << 20, count: None };
        let mut ledger = Ledger::new(Order::Key, limits).in_batches(BATCHING);
        ledger.assign(&TopicPartition::new("orders", 0), Some(0), None);
        for offset in 0..2 {
            let headers = vec![(CONTENT_ENCODING.to_vec(), Some(b"snappy".to_vec()))];
            let value = Some(b"no block of snappy".to_vec());
            let record = Record { topic: "orders".into(), offset, value, headers, ..Record::default() };
            record.with_ref(|record| ledger.receive(record));
        }
        let shared =
            Shared::new(ledger, Groups::default(), Log::default().to_file(tempfile::tempfile().unwrap()));
        let program = Program::shell(OsStr::new("true"));
        let runner = Runner {
            launcher: Launcher::new(program, Variables::new(), OwnDescriptors::from_now_on()).unwrap(),
            limits: TimeLimits { timeout: None, grace: Duration::ZERO, slow: Duration::MAX },
            policy: Policy {
                exit_map: "3=skip".parse().unwrap(),
                retries: Retries::Count(1),
                on_failure: OnFailure::Stop,
            },
            decoder: Decoder::default(),
            input: Input::Json,
        };
        let (start, mut input) = (Instant::now(), Vec::new());
        for attempt in 0..3 {
            let now = start + Duration::from_secs(attempt);
            let batch = shared.ledger().next_batch(now).unwrap();
            for part in [&batch[..], &batch[..1], &batch[1..]] {
                runner.write_batch(part, &mut input, &shared).unwrap_or_else(|at| panic!("{at}"));
            }
            assert_eq!(shared.tally.undecoded.load(Relaxed), 2);
            let tickets: Vec<Ticket> = batch.iter().map(|job| job.ticket).collect();
            shared.ledger().finish_all(&tickets, Outcome::Again(now));
            shared.ledger().end_batch(tickets[0].epoch);
        }
    }

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
