//! One process after another, and the records given to them: what is sent when, and who is guilty of a death.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::deaths::{Deaths, MOST};
use super::in_flight::InFlight;
use super::process::{End, Event, LONGEST_LINE, Process};
use super::{Given, Surroundings};
use crate::clock::backoff::Backoff;
use crate::process::{Owners, PIPES_AFTER_END, STDERR_TAIL};
use crate::worker::completion::{Attempt, Completion, Printed};
use crate::worker::ledger::Job;
use crate::worker::oneshot::not_started;
use crate::worker::policy::Ended;
use crate::worker::protocol::{self, Verdict};
use crate::worker::shared::Stop;

/// The place of one process.
pub struct Slot {
    around: Surroundings,
    inbox: mpsc::UnboundedReceiver<Vec<Given>>,
    /// The worker ends: nothing more comes.
    is_closed: bool,
    recalls: watch::Receiver<()>,
    in_flight: InFlight,
    /// The assignment epochs of what is in flight.
    owners: Owners,
    /// To be sent one at a time, in this order, before anything new.
    suspects: VecDeque<Job>,
    /// What is in flight is a suspect.
    is_careful: bool,
    /// The process answered something.
    has_answered: bool,
    /// Given to this process, and not yet sent: its window is full.
    waiting: VecDeque<Job>,
    deaths: Deaths,
    respawn: Backoff,
}

impl Slot {
    /// A place without a process: that starts with the first record.
    pub fn new(around: Surroundings, inbox: mpsc::UnboundedReceiver<Vec<Given>>) -> Self {
        Self {
            inbox,
            is_closed: false,
            recalls: around.shared.recalls(),
            in_flight: InFlight::new(around.window),
            owners: Owners::default(),
            suspects: VecDeque::new(),
            is_careful: false,
            has_answered: false,
            waiting: VecDeque::new(),
            deaths: Deaths::default(),
            respawn: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            around,
        }
    }

    /// Runs process after process while there are records for them.
    pub async fn run(mut self) {
        loop {
            while self.suspects.is_empty() && self.waiting.is_empty() {
                match self.inbox.recv().await {
                    Some(given) => self.take(given),
                    None => return,
                }
            }
            self.rest().await;
            self.recall().await;
            if self.suspects.is_empty() && self.waiting.is_empty() {
                continue;
            }
            match Process::spawn(&self.around, &self.owners) {
                Ok(process) => self.serve(process).await,
                Err(e) => {
                    let why = format!("{}: {e}", self.around.runner.launcher.program().path.display());
                    let all = self.suspects.drain(..).chain(self.waiting.drain(..));
                    let ended = || not_started(why.clone(), &e);
                    let all = all.map(|job| report(job, Duration::ZERO, ended(), Vec::new())).collect();
                    self.complete(all).await;
                }
            }
        }
    }

    fn take(&mut self, given: Vec<Given>) {
        for Given { job, is_suspect } in given {
            if is_suspect { &mut self.suspects } else { &mut self.waiting }.push_back(job);
        }
    }

    async fn complete(&self, done: Vec<Completion>) {
        if !done.is_empty() {
            let _ = self.around.completions.send(done).await;
        }
    }

    fn is_stopping(&self) -> bool {
        self.around.shared.stopping().is_some()
    }

    /// Gives back what may not be begun any more: its partition leaves, or the worker ends.
    async fn recall(&mut self) {
        self.recalls.mark_unchanged();
        while let Ok(given) = self.inbox.try_recv() {
            self.take(given);
        }
        let is_stopping = self.is_stopping();
        let mut left = Vec::new();
        {
            let ledger = self.around.shared.ledger();
            for queue in [&mut self.suspects, &mut self.waiting] {
                let may_begin = |job: &Job| !is_stopping && ledger.may_begin(job.ticket);
                let (kept, gone): (Vec<_>, Vec<_>) = queue.drain(..).partition(may_begin);
                queue.extend(kept);
                left.extend(gone.into_iter().map(|job| Completion::Returned { job }));
            }
        }
        self.complete(left).await;
    }

    /// Waits before a respawn, not longer than there is something to do.
    async fn rest(&mut self) {
        let deaths = u32::try_from(self.deaths.count()).unwrap_or(u32::MAX);
        let Some(earlier) = deaths.checked_sub(1) else { return };
        let pause = tokio::time::sleep(self.respawn.ceiling(earlier));
        tokio::pin!(pause);
        while !self.suspects.is_empty() || !self.waiting.is_empty() {
            tokio::select! {
                () = &mut pause => return,
                _ = self.recalls.changed() => self.recall().await,
            }
        }
    }

    /// Speaks with one process until it ends, then settles what it left open.
    async fn serve(&mut self, mut process: Process) {
        self.has_answered = false;
        let limits = self.around.runner.limits;
        // Why it was told to end, and a pipe that it closed, which is why it may be.
        let (mut reason, mut closed) = (None, "");
        let status = loop {
            self.hand_over(&mut process).await;
            let wants_more = !self.is_closed && self.has_room(&process);
            let late_at = self.oldest_since().zip(limits.timeout).map(|(since, timeout)| since + timeout);
            let due = match process.end {
                End::None => late_at.into_iter().chain(self.in_flight.slow_at(limits.slow)).min(),
                _ => process.end_due(),
            };
            let event = tokio::select! {
                event = process.turn() => event,
                given = self.inbox.recv(), if wants_more => {
                    self.is_closed = given.is_none();
                    self.take(given.unwrap_or_default());
                    if self.is_closed {
                        process.close_stdin();
                    }
                    Event::Moved
                }
                _ = self.recalls.changed() => {
                    self.recall().await;
                    if process.group.was_told() {
                        process.was_told();
                    }
                    Event::Moved
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    if process.end != End::None {
                        if matches!(process.end, End::Awaited(_)) {
                            reason = Some(Ended::Again(format!("it closed its {closed}")));
                        }
                        process.press();
                    } else if late_at.is_some_and(|late_at| late_at <= Instant::now()) {
                        self.say_late(&process);
                        reason = Some(Ended::Timeout);
                        process.tell();
                    } else {
                        self.say_slow();
                    }
                    Event::Moved
                }
            };
            match event {
                Event::Moved => {}
                Event::Ended(status) => break status,
                Event::Wrote => {
                    let before = self.in_flight.len();
                    if !self.take_lines(&mut process).await {
                        let why = format!(
                            "a line of its stdout is longer than {} MiB, which is no answer",
                            LONGEST_LINE >> 20
                        );
                        self.around
                            .shared
                            .log
                            .note(format_args!("{}: {why}: telling it to end", process.name));
                        reason = Some(Ended::Protocol(why));
                        process.tell();
                    } else if matches!(process.end, End::Awaited(_)) && self.in_flight.len() < before {
                        process.await_end(limits.grace);
                    }
                }
                Event::ClosedStdin => {
                    // What it has in hand it may still answer, each within the grace.
                    closed = "stdin";
                    process.await_end(limits.grace);
                }
                Event::ClosedStdout => {
                    // No answer can come any more; it may be about to end.
                    closed = "stdout";
                    process.await_end(PIPES_AFTER_END);
                }
            }
        };
        let stderr = process.finish().await;
        // What it wrote before its end still counts.
        self.take_lines(&mut process).await;
        self.bury(&process, status, reason, stderr).await;
    }

    fn oldest_since(&self) -> Option<Instant> {
        self.in_flight.oldest().map(|(_, since)| since)
    }

    fn say_late(&self, process: &Process) {
        if let Some((job, since)) = self.in_flight.oldest() {
            let (log, place) = (self.around.shared.log, job.record.place());
            let time = since.elapsed().as_secs_f64();
            log.note(format_args!("{place}: no answer after {time:.1} s: telling {} to end", process.name));
        }
    }

    fn say_slow(&mut self) {
        if let Some((job, since)) = self.in_flight.oldest() {
            let (log, place) = (self.around.shared.log, job.record.place());
            log.note(format_args!("{place}: still running after {} s", since.elapsed().as_secs()));
        }
        self.in_flight.tell_slow();
    }

    /// How many more may be in flight: a suspect is alone.
    fn room(&self) -> usize {
        if self.is_careful || !self.suspects.is_empty() {
            usize::from(self.in_flight.is_empty())
        } else {
            self.around.window.saturating_sub(self.in_flight.len())
        }
    }

    fn has_room(&self, process: &Process) -> bool {
        process.takes_more() && self.room() > 0
    }

    /// Hands over what waits, as far as there is room.
    async fn hand_over(&mut self, process: &mut Process) {
        while self.has_room(process) {
            let next = if self.suspects.is_empty() { &self.waiting } else { &self.suspects };
            let count = self.room().min(next.len());
            if count == 0 {
                return;
            }
            // First they are in flight, then comes the look: whoever recalls one, then tells its
            // process to end, misses nothing.
            let epochs: Vec<u64> = next.iter().take(count).map(|job| job.ticket.epoch).collect();
            self.owners.add(epochs.iter().copied());
            if self.is_stopping() || self.recalls.has_changed().unwrap_or(true) {
                self.owners.remove(epochs);
                self.recall().await;
                if process.group.was_told() {
                    process.was_told();
                }
                continue;
            }
            let mut unsent = epochs.into_iter();
            while process.takes_more() && unsent.next().is_some() {
                let suspect = self.suspects.pop_front();
                self.is_careful = suspect.is_some();
                if let Some(job) = suspect.or_else(|| self.waiting.pop_front()) {
                    let (record, attempt) = (Arc::clone(&job.record), job.attempt);
                    let id = self.in_flight.push(job, Instant::now());
                    process.send(id, attempt, &record, &self.around);
                }
            }
            self.owners.remove(unsent);
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
            let known = answer.and_then(|a| Some((self.in_flight.answer(a.id, now)?, a.verdict)));
            let Some(((job, took), verdict)) = known else {
                own.push(line.to_vec());
                return;
            };
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
            answered.push((job, Attempt { ended, stdout: Vec::new(), stderr, retry_after, took }));
        });
        for line in own {
            process.pass_on(&line);
        }
        if answered.is_empty() {
            return fits;
        }
        self.deaths.forget();
        self.has_answered = true;
        self.owners.remove(answered.iter().map(|(job, _)| job.ticket.epoch));
        self.is_careful &= !self.in_flight.is_empty();
        let printed = if printed.is_empty() {
            Printed::Delivered
        } else {
            self.around.printer.print_from_task(&printed)
        };
        let answered = answered.into_iter().map(|(job, attempt)| Completion::Ran { job, attempt, printed });
        self.complete(answered.collect()).await;
        fits
    }

    /// A process ended: who is guilty, and who is sent again.
    async fn bury(
        &mut self,
        process: &Process,
        status: io::Result<ExitStatus>,
        reason: Option<Ended>,
        stderr: Vec<u8>,
    ) {
        self.is_careful = false;
        let mut open = self.in_flight.take();
        self.owners.remove(open.iter().map(|(job, _)| job.ticket.epoch));
        let how = reason.unwrap_or_else(|| how(status));
        let log = self.around.shared.log;
        log.verbose(1, format_args!("{}: {how}, with {} records in hand", process.name, open.len()));
        if open.is_empty() {
            return;
        }
        if process.group.was_told() || self.is_stopping() {
            // Nobody's doing: what may still be begun is begun again, the rest is given back.
            open.into_iter().rev().for_each(|(job, _)| self.waiting.push_front(job));
            return self.recall().await;
        }
        // Which of several it was nobody knows, but for an answer without an end; nor whether a process that
        // had answered before ever saw the one: it may end by itself after so many records. One that has
        // failed before is taken at its word.
        let is_known = |job: &Job| !self.has_answered || job.attempt > 1 || matches!(how, Ended::Timeout);
        let is_alone = matches!(&open[..], [(job, _)] if is_known(job));
        let guilty = (is_alone || matches!(how, Ended::Protocol(_))).then(|| open.remove(0));
        open.into_iter().rev().for_each(|(job, _)| self.suspects.push_front(job));
        match &guilty {
            Some((job, _)) => self.deaths.of(job.ticket),
            None => self.deaths.unexplained(),
        }
        if self.deaths.are_too_many() {
            self.around.shared.stop(Stop::Broken(format!(
                "{}: it ended {MOST} times without an answer, at last: {how}",
                self.around.runner.launcher.program().shown
            )));
        }
        if let Some((job, since)) = guilty {
            let done = if self.is_stopping() {
                Completion::Returned { job }
            } else {
                report(job, since.elapsed(), how, stderr)
            };
            self.complete(vec![done]).await;
        }
    }
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
