//! What an answer, and the end of a process, say of a record: as an attempt at it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use super::Surroundings;
use crate::process::STDERR_TAIL;
use crate::record::decode::{Form, Scratch};
use crate::sending::outbox::Letter;
use crate::worker::completion::{Attempt, Completion, Printed};
use crate::worker::ledger::Job;
use crate::worker::policy::Ended;
use crate::worker::protocol::{Verdict, append_printed};

/// How much of a line that is not understood is shown.
const SHOWN: usize = 200;

/// What a process's answers come to.
#[derive(Default)]
pub(super) struct Answers {
    /// Each record with the attempt at it, and what goes to the output topic.
    answered: Vec<(Job, Attempt, Vec<Letter>)>,
    /// What goes to stdout.
    printed: Vec<u8>,
}

impl Answers {
    /// A record was answered with this line.
    pub(super) fn take(
        &mut self,
        job: Job,
        took: Duration,
        verdict: Verdict,
        line: &[u8],
        around: &Surroundings,
    ) {
        let (mut retry_after, mut stderr, mut letters) = (None, Vec::new(), Vec::new());
        let verdict = match (verdict, &around.output) {
            (Verdict::Ok(out), Some(output)) => {
                let headers =
                    output.copy_headers.then(|| form(&job, around).owned_headers(&job.record.headers));
                match output.letters_of_answer(&job.record, &headers.into_iter().flatten(), &out) {
                    Ok(records) => {
                        letters = records;
                        Verdict::Ok(out)
                    }
                    Err(why) => Verdict::Invalid(why),
                }
            }
            (Verdict::Ok(out), None) => {
                append_printed(&out, &mut self.printed);
                Verdict::Ok(out)
            }
            (verdict, _) => verdict,
        };
        let ended = match verdict {
            Verdict::Ok(_) => Ended::Exit(0),
            Verdict::Retry(after) => {
                retry_after = Some(after);
                Ended::Again("asked for again".into())
            }
            Verdict::Fail(why) => {
                stderr = why.as_bytes()[why.len().saturating_sub(STDERR_TAIL)..].to_vec();
                Ended::Protocol(format!("failed: {why}"))
            }
            Verdict::Invalid(why) => {
                let start = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned();
                Ended::Protocol(format!("not understood: {why}: {start}"))
            }
        };
        let attempt = Attempt { ended, stdout: Vec::new(), stderr, retry_after, took };
        self.answered.push((job, attempt, letters));
    }

    /// The assignment epochs of the records.
    pub(super) fn epochs(&self) -> impl Iterator<Item = u64> {
        self.answered.iter().map(|(job, ..)| job.ticket.epoch)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.answered.is_empty()
    }

    /// Prints what is to be printed, all in one piece. Gives what the dispatcher is told.
    pub(super) fn complete(self, around: &Surroundings) -> Vec<Completion> {
        let printed = if self.printed.is_empty() {
            Printed::Delivered
        } else {
            around.printer.print_from_task(&self.printed)
        };
        let completion = |(job, attempt, letters): (Job, Attempt, Vec<Letter>)| {
            if letters.is_empty() {
                Completion::Ran { job, attempt, printed }
            } else {
                Completion::Answered { job, attempt, letters }
            }
        };
        self.answered.into_iter().map(completion).collect()
    }
}

/// The form in which a process got a value.
fn form(job: &Job, around: &Surroundings) -> Form {
    around.runner.decoder.decode_owned(&job.record, &mut Scratch::default()).form
}

/// How a process ended by itself, as its record's failure.
pub(super) fn how(status: io::Result<ExitStatus>) -> Ended {
    match status.map(|status| (status.code(), status.signal())) {
        Ok((Some(code @ 1..), _)) => Ended::Exit(code),
        Ok((_, Some(signal))) => Ended::Signal(signal),
        _ => Ended::Again("it ended without an answer".into()),
    }
}

/// A record's process ended.
pub(super) fn report(job: Job, took: Duration, ended: Ended, stderr: Vec<u8>) -> Completion {
    let attempt = Attempt { ended, stdout: Vec::new(), stderr, retry_after: None, took };
    Completion::Ran { job, attempt, printed: Printed::Delivered }
}
