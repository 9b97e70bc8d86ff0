//! One process a record: its environment, its input, how it ended.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::environment;
use super::ledger::Job;
use super::policy::Ended;
use super::shared::Shared;
use crate::codec::{self, Decode, Decoded};
use crate::process::{self, Ending, Limits, MAX_OUTPUT, News, Program, Variables};
use crate::record::Record;

/// How commands are run: the same for every record.
pub struct Runner {
    pub program: Program,
    pub variables: Variables,
    pub limits: Limits,
    pub max_attempts: Option<u64>,
    pub decode: Decode,
}

/// How one attempt ended, and what it printed.
pub struct Attempt {
    pub ended: Ended,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// What the command asked for instead of the backoff.
    pub retry_after: Option<Duration>,
    /// From its start, or from when the record was handed over, to its end.
    pub took: Duration,
}

impl Runner {
    /// Runs the command for one record, to its end.
    pub fn run(&self, job: &Job, shared: &Shared) -> Attempt {
        let record = &*job.record;
        let mut scratch = Vec::new();
        let (value, _) = self.decoded(record, &mut scratch, shared);
        let of_record = environment::of_record(record, job.attempt, self.max_attempts);
        let place = Place(record);
        let mut line = Vec::new();
        let variables = [&self.variables, &of_record];
        let command = process::command(&self.program, &variables);
        let started = Instant::now();
        let tell = |news: News<'_>| match news {
            News::Stderr(said) => {
                line.clear();
                let _ = io::Write::write_fmt(&mut line, format_args!("{place}: "));
                line.extend_from_slice(said);
                shared.log.passed_on(&line);
            }
            News::StillRunning(time) => {
                shared.log.note(format_args!("{place}: still running after {} s", time.as_secs()));
            }
        };
        let finished = process::run(command, value, self.limits, &shared.groups, job.ticket.epoch, tell);
        match finished {
            Err(e) => Attempt {
                ended: Ended::CannotRun(format!("{}: {e}", self.program.path.display())),
                stdout: Vec::new(),
                stderr: Vec::new(),
                retry_after: None,
                took: started.elapsed(),
            },
            Ok(finished) => {
                let ended = match finished.ending {
                    Ending::Exit(code) => Ended::Exit(code),
                    Ending::Signal(signal) => Ended::Signal(signal),
                    Ending::Timeout => Ended::Timeout,
                    Ending::TooMuchOutput => Ended::Protocol(format!(
                        "killed, since it printed more than {} MiB, which is held until it ends",
                        MAX_OUTPUT >> 20
                    )),
                };
                let took = started.elapsed();
                Attempt { ended, stdout: finished.stdout, stderr: finished.stderr, retry_after: None, took }
            }
        }
    }

    /// The value as the command gets it, decoded where it says that it is compressed, and whether it was.
    pub fn decoded<'a>(
        &self,
        record: &'a Record,
        scratch: &'a mut Vec<u8>,
        shared: &Shared,
    ) -> (&'a [u8], bool) {
        let Some(value) = record.value.as_deref() else { return (&[], false) };
        let encoding = record
            .headers
            .iter()
            .find(|(name, _)| name == b"content-encoding")
            .and_then(|(_, value)| value.as_deref());
        match codec::undo(self.decode, encoding, value, codec::MAX_DECODED, scratch) {
            Decoded::AsIs => (value, false),
            Decoded::Undone(value) => (value, true),
            Decoded::Failed(why) => {
                shared.tally.undecoded.fetch_add(1, Relaxed);
                shared.log.error(format_args!("{}: {why}; passed on as it is", Place(record)));
                (value, false)
            }
        }
    }
}

/// A record's place as every message writes it: `topic[partition]@offset`.
pub struct Place<'a>(pub &'a Record);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]@{}", self.0.topic, self.0.partition, self.0.offset)
    }
}
