//! One process after another, and the records that it is sent.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::Surroundings;
use super::backlog::{Backlog, Given};
use super::deaths::MOST;
use super::process::{Event, Phase, Process};
use crate::clock::backoff::Backoff;
use crate::process::{Owners, STDERR_TAIL};
use crate::worker::completion::{Attempt, Completion, Printed};
use crate::worker::ledger::Job;
use crate::worker::oneshot::not_started;
use crate::worker::policy::Ended;
use crate::worker::protocol::{self, Answer, Verdict};
use crate::worker::shared::StopReason;

/// The place of one process.
pub(super) struct Slot {
    around: Surroundings,
    inbox: mpsc::UnboundedReceiver<Vec<Given>>,
    /// The worker ends: no more records come.
    is_closed: bool,
    recalls: watch::Receiver<()>,
    /// The assignment epochs of what is in flight.
    owners: Owners,
    backlog: Backlog,
    respawn: Backoff,
}

/// What a slot that has a process reacts to.
enum Turn {
    Process(Event),
    /// `None`: the worker ends.
    Given(Option<Vec<Given>>),
    Recalled,
    /// A record is late or slow, or the process has not ended in time.
    Due,
}

impl Slot {
    /// A place without a process: that starts with the first record.
    pub(super) fn new(around: Surroundings, inbox: mpsc::UnboundedReceiver<Vec<Given>>) -> Self {
        Self {
            inbox,
            is_closed: false,
            recalls: around.shared.recalls(),
            owners: Owners::default(),
            backlog: Backlog::new(around.window),
            respawn: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            around,
        }
    }

    /// Runs process after process while there are records for them.
    pub(super) async fn run(mut self) {
        loop {
            while self.backlog.is_empty() {
                match self.inbox.recv().await {
                    Some(given) => self.backlog.take(given),
                    None => return,
                }
            }
            self.pause().await;
            self.recall().await;
            if self.backlog.is_empty() {
                continue;
            }
            match Process::spawn(&self.around, &self.owners) {
                Ok(process) => self.serve(process).await,
                Err(e) => {
                    let why = format!("{}: {e}", self.around.runner.launcher.program().path.display());
                    let ended = || not_started(why.clone(), &e);
                    let all = self.backlog.take_all().into_iter();
                    let all = all.map(|job| report(job, Duration::ZERO, ended(), Vec::new())).collect();
                    self.complete(all).await;
                }
            }
        }
    }

    async fn complete(&self, completions: Vec<Completion>) {
        if !completions.is_empty() {
            let _ = self.around.completions.send(completions).await;
        }
    }

    fn is_stopping(&self) -> bool {
        self.around.shared.stopping().is_some()
    }

    /// Gives back what may not be started any more: its partition is revoked, or the worker stops.
    async fn recall(&mut self) {
        self.recalls.mark_unchanged();
        while let Ok(given) = self.inbox.try_recv() {
            self.backlog.take(given);
        }
        let is_stopping = self.is_stopping();
        let recalled = {
            let ledger = self.around.shared.ledger();
            self.backlog.recall(|job| !is_stopping && ledger.may_start(job.ticket))
        };
        self.complete(recalled.into_iter().map(|job| Completion::Returned { job }).collect()).await;
    }

    /// Waits before a process replaces one that died, and not longer than there is something to do.
    async fn pause(&mut self) {
        let deaths = u32::try_from(self.backlog.deaths()).unwrap_or(u32::MAX);
        let Some(earlier) = deaths.checked_sub(1) else { return };
        let pause = tokio::time::sleep(self.respawn.ceiling(earlier));
        tokio::pin!(pause);
        while !self.backlog.is_empty() {
            tokio::select! {
                () = &mut pause => return,
                _ = self.recalls.changed() => self.recall().await,
            }
        }
    }

    /// Speaks with one process until it ends, then decides on what it left open.
    async fn serve(&mut self, mut process: Process) {
        self.backlog.process_started();
        let status = loop {
            self.hand_over(&mut process).await;
            match self.turn(&mut process).await {
                Turn::Process(Event::Ended(status)) => break status,
                Turn::Process(Event::Moved) => {}
                Turn::Process(Event::Wrote) => self.read_answers(&mut process).await,
                Turn::Process(Event::Closed(pipe)) => process.await_end(pipe),
                Turn::Given(Some(given)) => self.backlog.take(given),
                Turn::Given(None) => {
                    self.is_closed = true;
                    process.close_stdin();
                }
                Turn::Recalled => self.recall_from(&mut process).await,
                Turn::Due => self.press(&mut process),
            }
        };
        let stderr = process.finish().await;
        // What it wrote before its end still counts.
        self.take_lines(&mut process).await;
        self.bury(&mut process, status, stderr).await;
    }

    /// Waits for the next thing to react to.
    async fn turn(&mut self, process: &mut Process) -> Turn {
        let wants_more = !self.is_closed && self.has_room(process);
        let due = match process.phase {
            Phase::Working => {
                let slow_at = self.backlog.in_flight.slow_at(self.around.runner.limits.slow);
                self.late_at().into_iter().chain(slow_at).min()
            }
            _ => process.end_due(),
        };
        tokio::select! {
            event = process.turn() => Turn::Process(event),
            given = self.inbox.recv(), if wants_more => Turn::Given(given),
            _ = self.recalls.changed() => Turn::Recalled,
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => Turn::Due,
        }
    }

    /// Gives back what may not be started any more; the process itself may have been terminated.
    async fn recall_from(&mut self, process: &mut Process) {
        self.recall().await;
        if process.group.was_signalled() {
            process.was_terminated();
        }
    }

    /// When the record that is in flight longest is late.
    fn late_at(&self) -> Option<Instant> {
        let since = self.backlog.in_flight.oldest().map(|(_, since)| since);
        since.zip(self.around.runner.limits.timeout).map(|(since, timeout)| since + timeout)
    }

    /// Terminates a process that is late, and one that does not end; a slow one is noted.
    fn press(&mut self, process: &mut Process) {
        if process.phase != Phase::Working {
            process.press();
        } else if self.late_at().is_some_and(|late_at| late_at <= Instant::now()) {
            self.note_late(process);
            process.terminate(Ended::Timeout);
        } else {
            self.note_slow();
        }
    }

    fn note_late(&self, process: &Process) {
        if let Some((job, since)) = self.backlog.in_flight.oldest() {
            let (log, place) = (self.around.shared.log, job.record.place());
            let time = since.elapsed().as_secs_f64();
            log.note(format_args!("{place}: no answer after {time:.1} s: sending TERM to {}", process.name));
        }
    }

    fn note_slow(&mut self) {
        if let Some((job, since)) = self.backlog.in_flight.oldest() {
            let (log, place) = (self.around.shared.log, job.record.place());
            log.note(format_args!("{place}: still running after {} s", since.elapsed().as_secs()));
        }
        self.backlog.in_flight.slow_noted();
    }

    fn has_room(&self, process: &Process) -> bool {
        process.takes_more() && self.backlog.room() > 0
    }

    /// Hands over what waits, as far as there is room.
    async fn hand_over(&mut self, process: &mut Process) {
        while self.has_room(process) {
            // First they count as in flight, then their recall is looked for: who recalls a record, then
            // terminates the process that has it, misses none.
            let epochs = self.backlog.next_epochs();
            if epochs.is_empty() {
                return;
            }
            self.owners.add(epochs.iter().copied());
            if self.is_stopping() || self.recalls.has_changed().unwrap_or(true) {
                self.owners.remove(epochs);
                self.recall_from(process).await;
                continue;
            }
            let mut unsent = epochs.into_iter();
            while process.takes_more() && unsent.next().is_some() {
                if let Some(handover) = self.backlog.hand_over(Instant::now()) {
                    process.send(&handover, &self.around);
                }
            }
            self.owners.remove(unsent);
        }
    }

    /// It wrote to stdout: takes its answers. A line that is too long terminates it.
    async fn read_answers(&mut self, process: &mut Process) {
        let before = self.backlog.in_flight.len();
        if !self.take_lines(process).await {
            let why = format!(
                "a line of its stdout is longer than {} MiB, which is no answer",
                super::process::LONGEST_LINE >> 20
            );
            self.around.shared.log.note(format_args!("{}: {why}: sending TERM", process.name));
            process.terminate(Ended::Protocol(why));
        } else if self.backlog.in_flight.len() < before {
            process.answered();
        }
    }

    /// Takes the whole lines out of what was read: answers, or its own output. False where one is too long.
    async fn take_lines(&mut self, process: &mut Process) -> bool {
        let mut answered = Vec::new();
        let mut printed = Vec::new();
        let mut own: Vec<Vec<u8>> = Vec::new();
        let now = Instant::now();
        let fits = process.take_lines(|line| {
            let answer = protocol::parse_answer(line);
            let known =
                answer.and_then(|Answer { id, verdict }| Some((self.backlog.answer(id, now)?, verdict)));
            match known {
                Some(((job, took), verdict)) => {
                    answered.push((job, attempt(verdict, took, line, &mut printed)));
                }
                None => own.push(line.to_vec()),
            }
        });
        for line in own {
            process.pass_on(&line);
        }
        if answered.is_empty() {
            return fits;
        }
        self.owners.remove(answered.iter().map(|(job, _)| job.ticket.epoch));
        let printed = if printed.is_empty() {
            Printed::Delivered
        } else {
            self.around.printer.print_from_task(&printed)
        };
        let answered = answered.into_iter().map(|(job, attempt)| Completion::Ran { job, attempt, printed });
        self.complete(answered.collect()).await;
        fits
    }

    /// A process ended: which record is guilty, and which are sent again.
    async fn bury(&mut self, process: &mut Process, status: io::Result<ExitStatus>, stderr: Vec<u8>) {
        self.owners.remove(self.backlog.in_flight.epochs());
        let open = self.backlog.in_flight.len();
        let how = process.reason.take().unwrap_or_else(|| how(status));
        self.around
            .shared
            .log
            .verbose(1, format_args!("{}: {how}, with {open} records in flight", process.name));
        if process.group.was_signalled() || self.is_stopping() {
            // No record caused it: what may still be started is started again, the rest is given back.
            self.backlog.terminated();
            return self.recall().await;
        }
        let guilty = self.backlog.died(&how);
        if open > 0 && self.backlog.is_command_broken() {
            self.around.shared.stop(StopReason::Broken(format!(
                "{}: it ended {MOST} times without an answer, at last: {how}",
                self.around.runner.launcher.program().shown
            )));
        }
        if let Some((job, since)) = guilty {
            let completion = if self.is_stopping() {
                Completion::Returned { job }
            } else {
                report(job, since.elapsed(), how, stderr)
            };
            self.complete(vec![completion]).await;
        }
    }
}

/// What an answer says of a record, as an attempt at it; what it prints goes onto the end of `printed`.
fn attempt(verdict: Verdict, took: Duration, line: &[u8], printed: &mut Vec<u8>) -> Attempt {
    let (mut retry_after, mut stderr) = (None, Vec::new());
    let ended = match verdict {
        Verdict::Ok(out) => {
            printed.extend_from_slice(&out);
            Ended::Exit(0)
        }
        Verdict::Retry(after) => {
            retry_after = Some(after);
            Ended::Again("asked for again".into())
        }
        Verdict::Fail(why) => {
            stderr = why.as_bytes()[why.len().saturating_sub(STDERR_TAIL)..].to_vec();
            Ended::Protocol(format!("failed: {why}"))
        }
        Verdict::Invalid(why) => {
            let start = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
            Ended::Protocol(format!("not understood: {why}: {start}"))
        }
    };
    Attempt { ended, stdout: Vec::new(), stderr, retry_after, took }
}

/// How a process ended by itself, as its record's failure.
fn how(status: io::Result<ExitStatus>) -> Ended {
    match status.map(|status| (status.code(), status.signal())) {
        Ok((Some(code @ 1..), _)) => Ended::Exit(code),
        Ok((_, Some(signal))) => Ended::Signal(signal),
        _ => Ended::Again("it ended without an answer".into()),
    }
}

/// A record's process ended.
fn report(job: Job, took: Duration, ended: Ended, stderr: Vec<u8>) -> Completion {
    let attempt = Attempt { ended, stdout: Vec::new(), stderr, retry_after: None, took };
    Completion::Ran { job, attempt, printed: Printed::Delivered }
}
