//! One process after another, and the records that it is sent.

use std::io;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::answers::{Answers, how, report};
use super::backlog::{Backlog, Given};
use super::deaths::MOST;
use super::process::{Event, Phase, Pipe, Process};
use super::{Surroundings, Timing};
use crate::clock::backoff::Backoff;
use crate::clock::random;
use crate::process::Owners;
use crate::worker::completion::Completion;
use crate::worker::ledger::{Fate, Job};
use crate::worker::oneshot::not_started;
use crate::worker::policy::Ended;
use crate::worker::protocol::{self, Answer, Verdict};
use crate::worker::resolver::START_PAUSE;
use crate::worker::shared::StopReason;

/// Why an answer that names no record fails the oldest one: that record would stay open otherwise.
const STRANGE_ID: &str = "its \"id\" is none that this process was sent, so it fails the oldest record there";
/// What a process may lack that answers nothing.
const FLUSH: &str = "does it flush after each line?";

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
    /// Of the process that runs.
    timing: Timing,
    /// When that was handed its first record.
    started_at: Instant,
    /// When a record was handed over or answered last.
    moved_at: Instant,
    /// Whether the input of a process is ended once no more records come for it: not after one that ended
    /// without the answers which it owed.
    ends_input: bool,
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
            timing: around.common.timing,
            started_at: Instant::now(),
            moved_at: Instant::now(),
            ends_input: true,
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
                Ok(process) => {
                    self.around.shared.health.started();
                    self.serve(process).await;
                }
                Err(e) => {
                    let why = format!("{}: {e}", self.around.runner.launcher.program().path.display());
                    let ended = || not_started(why.clone(), &e);
                    let all = self.backlog.take_all().into_iter();
                    let all = all.map(|job| report(job, Duration::ZERO, ended(), Vec::new())).collect();
                    self.complete(all).await;
                    // Whatever is lacking, the next record lacks it too.
                    tokio::time::sleep(START_PAUSE).await;
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

    /// Gives back what may not be started any more: its partition is revoked, or the worker stops or is paused.
    async fn recall(&mut self) {
        self.recalls.mark_unchanged();
        while let Ok(given) = self.inbox.try_recv() {
            self.backlog.take(given);
        }
        let is_stopping = self.is_stopping();
        let recalled = {
            let ledger = self.around.shared.ledger();
            let may_start = |job: &Job| ledger.may_start(job.ticket) && !ledger.is_held_back(job.ticket);
            self.backlog.recall(|job| !is_stopping && may_start(job))
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
        self.timing.start = self.around.common.starts.lock().next();
        self.started_at = Instant::now();
        loop {
            self.hand_over(&mut process).await;
            if process.is_input_ended()
                && self.backlog.in_flight.is_empty()
                && process.phase == Phase::Working
            {
                process.await_end(Pipe::Stdin);
            }
            match self.turn(&mut process).await {
                Turn::Process(Event::Ended) => break,
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
        }
        let stderr = process.finish().await;
        // What it wrote before its end still counts.
        self.take_lines(&mut process).await;
        let status = process.reap().await;
        self.bury(&mut process, status, stderr).await;
    }

    /// Waits for the next thing to react to.
    async fn turn(&mut self, process: &mut Process) -> Turn {
        let wants_more = !self.is_closed && self.has_room(process);
        let due = match process.phase {
            Phase::Working => self.due(process),
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
        if process.was_signalled() {
            process.was_terminated();
        }
    }

    /// When [`Slot::press`] has something to do about a process that works.
    fn due(&self, process: &Process) -> Option<Instant> {
        let (timing, backlog) = (self.timing, &self.backlog);
        let at = [
            timing.late_at(backlog),
            timing.slow_at(backlog),
            self.unflushed_at(),
            self.end_input_at(process),
        ];
        at.into_iter().flatten().min()
    }

    /// When a process that has answered nothing is noted, once a run.
    fn unflushed_at(&self) -> Option<Instant> {
        let is_noted = self.around.common.is_unflushed_noted.load(Ordering::Relaxed);
        self.timing.unflushed_at(&self.backlog).filter(|_| !is_noted)
    }

    /// When the input of a process ends that gets no more records, unless it answers before.
    fn end_input_at(&self, process: &Process) -> Option<Instant> {
        let is_last = self.around.common.is_last.load(Ordering::Acquire) || self.around.shared.is_stopped();
        let ends = is_last && self.ends_input && !process.is_input_ended() && self.inbox.is_empty();
        if ends { Timing::end_input_at(&self.backlog, self.moved_at) } else { None }
    }

    /// Terminates a process that is late, and one that does not end; a slow one is noted.
    fn press(&mut self, process: &mut Process) {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if process.phase != Phase::Working {
            process.press();
        } else if is_due(self.timing.late_at(&self.backlog)) {
            self.note_late(process);
            process.terminate(Ended::Timeout);
        } else if is_due(self.end_input_at(process)) {
            process.end_input();
        } else if is_due(self.unflushed_at()) {
            self.note_unflushed(process);
        } else if is_due(self.timing.slow_at(&self.backlog)) {
            self.note_slow();
        }
    }

    fn note_unflushed(&self, process: &Process) {
        let is_noted = self.around.common.is_unflushed_noted.swap(true, Ordering::Relaxed);
        if let Some((_, since)) = self.backlog.in_flight.oldest().filter(|_| !is_noted) {
            let (open, time) = (self.backlog.in_flight.len(), since.elapsed().as_secs());
            self.around.shared.log.note(format_args!(
                "{}: no answer in {time} s, with {open} records in hand: {FLUSH}",
                process.name
            ));
        }
    }

    fn note_late(&self, process: &Process) {
        if let Some((job, since)) = self.backlog.in_flight.oldest() {
            let (log, place) = (self.around.shared.log, job.record.place());
            let time = since.elapsed().as_secs_f64();
            let hint = if self.backlog.has_answered() { String::new() } else { format!(" ({FLUSH})") };
            log.note(format_args!(
                "{place}: no answer after {time:.1} s: sending TERM to {}{hint}",
                process.name
            ));
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
                self.moved_at = Instant::now();
                if let Some(handover) = self.backlog.hand_over(self.moved_at) {
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
        let mut answers = Answers::default();
        let mut own: Vec<Vec<u8>> = Vec::new();
        let mut repeated = None;
        let (now, is_first) = (Instant::now(), !self.backlog.has_answered());
        let fits = process.take_lines(|line| {
            let Some(Answer { id, verdict }) = protocol::parse_answer(line) else {
                return own.push(line.to_vec());
            };
            if let Some((job, took)) = id.and_then(|id| self.backlog.answer(id, now)) {
                answers.take(job, took, verdict, line, &self.around);
            } else if !protocol::is_meant_as_answer(line) {
                own.push(line.to_vec());
            } else if id.is_some_and(|id| self.backlog.in_flight.is_answered(id)) {
                repeated = repeated.or(id);
            } else if let Some((job, took)) = self.backlog.answer_oldest(now) {
                answers.take(job, took, Verdict::Invalid(STRANGE_ID.to_owned()), line, &self.around);
            } else {
                own.push(line.to_vec());
            }
        });
        for line in own {
            process.pass_on(&line);
        }
        if let Some(id) = repeated {
            process.note_repeated(id);
        }
        if answers.is_empty() {
            return fits;
        }
        if is_first {
            self.around.common.starts.lock().answered(now.saturating_duration_since(self.started_at));
        }
        self.moved_at = now;
        self.owners.remove(answers.epochs());
        let completions = answers.complete(&self.around);
        self.complete(completions).await;
        fits
    }

    /// Whether a command whose processes end again and again is no broken one: what it needs is away, or it is
    /// being replaced.
    fn is_waited_for(&self, process: &Process, how: &Ended) -> bool {
        let Surroundings { shared, runner, .. } = &self.around;
        if runner.policy.cannot_run(how) {
            // The resolver bounds that once a record is alone with it.
            return shared.ledger().outage.has_succeeded();
        }
        let fate = shared.ledger().outage.outlives_deaths(Instant::now(), random());
        if fate == Some(Fate::Pause) {
            let name = &process.name;
            shared.log.note(format_args!(
                "paused: the command ended {MOST} times without an answer, which looks like an outage of what it \
                 needs; one record at a time is tried until one is done; the last was {name}: {how}"
            ));
            shared.recall();
        }
        fate.is_some()
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
        if process.was_signalled() || self.is_stopping() {
            // No record caused it: what may still be started is started again, the rest is given back.
            self.backlog.terminated();
            return self.recall().await;
        }
        if process.is_input_ended() && open > 0 {
            // It left what it had when its input ended: it gets it again, and its input stays open.
            self.ends_input = false;
            self.backlog.terminated();
            return self.recall().await;
        }
        let guilty = self.backlog.died(&how);
        if open > 0 && self.backlog.is_command_broken() && !self.is_waited_for(process, &how) {
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
