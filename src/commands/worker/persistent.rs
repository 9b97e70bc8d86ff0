//! `--persistent`: commands that stay and answer record after record.
//!
//! Each process has a task of its own, which alone knows what is in flight there.
//! When a process dies, what it had in flight is sent again one at a time, so that
//! only the record that kills it spends retries.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use std::os::unix::process::ExitStatusExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use super::dispatch::Done;
use super::environment;
use super::ledger::Job;
use super::oneshot::{Attempt, Runner};
use super::policy::Ended;
use super::printer::Printer;
use super::protocol::{self, Verdict};
use super::shared::{Shared, Stop};
use crate::backoff::Backoff;
use crate::process::{self, Group, Lines, STDERR_TAIL};
use crate::record::{Header, RecordRef};

/// So many deaths in a row without an answer between them: the command is broken.
const DEATHS: u32 = 5;
/// A line of its output that is longer is not an answer; it is cut there.
const LONGEST_LINE: usize = 64 << 20;
/// How much may wait to be written to a process before it is given no more.
const UNWRITTEN: usize = 1 << 20;

/// The processes, and how records are given out to them.
pub struct Pool {
    slots: Vec<mpsc::UnboundedSender<Vec<Job>>>,
    turn: usize,
}

/// What every process needs.
#[derive(Clone)]
pub struct Parts {
    pub runner: Arc<Runner>,
    pub shared: Arc<Shared>,
    pub printer: Arc<Printer>,
    /// What came at once goes at once: each message wakes somebody.
    pub completions: mpsc::Sender<Vec<Done>>,
    /// Records in flight a process.
    pub window: usize,
}

impl Pool {
    /// Starts the tasks of `processes` processes; each starts with its first record.
    pub fn start(processes: usize, parts: &Parts) -> Self {
        let slot = |_| {
            // The ledger bounds what is handed out: jobs times window in all.
            let (sender, inbox) = mpsc::unbounded_channel();
            tokio::spawn(Slot::new(parts.clone(), inbox).run());
            sender
        };
        Self { slots: (0..processes).map(slot).collect(), turn: 0 }
    }

    /// Hands records to their processes: that of the lane, else the next in turn.
    pub fn give(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut shares = vec![Vec::new(); self.slots.len()];
        for job in jobs {
            let at = job.lane.map_or(self.turn, |lane| lane.0 as usize);
            self.turn = self.turn.wrapping_add(usize::from(job.lane.is_none()));
            shares[at % self.slots.len()].push(job);
        }
        for (slot, share) in self.slots.iter().zip(shares) {
            if !share.is_empty() {
                let _ = slot.send(share);
            }
        }
    }
}

/// One process after another, and the records given to them.
struct Slot {
    parts: Parts,
    inbox: mpsc::UnboundedReceiver<Vec<Job>>,
    next_id: u64,
    in_flight: BTreeMap<u64, (Job, Instant)>,
    /// To be sent again, one at a time, in this order, before anything new.
    again: VecDeque<Job>,
    /// Given to this process, and not yet sent: its window is full.
    waiting: VecDeque<Job>,
    /// Deaths since the last answer.
    deaths: u32,
    respawn: Backoff,
}

/// A process that runs.
struct Process {
    child: Child,
    group: Group,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: ChildStderr,
    unwritten: Vec<u8>,
    unread: Vec<u8>,
}

impl Slot {
    fn new(parts: Parts, inbox: mpsc::UnboundedReceiver<Vec<Job>>) -> Self {
        Self {
            parts,
            inbox,
            next_id: 0,
            in_flight: BTreeMap::new(),
            again: VecDeque::new(),
            waiting: VecDeque::new(),
            deaths: 0,
            respawn: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
        }
    }

    async fn run(mut self) {
        loop {
            if self.again.is_empty() && self.waiting.is_empty() {
                match self.inbox.recv().await {
                    Some(jobs) => self.waiting.extend(jobs),
                    None => return,
                }
            }
            if !self.rest().await {
                // The worker ends and no process lives: what it would have got was never begun.
                while let Ok(jobs) = self.inbox.try_recv() {
                    self.waiting.extend(jobs);
                }
                let left = self.again.drain(..).chain(self.waiting.drain(..));
                let left = left.map(|job| Done::Left { job }).collect();
                let _ = self.parts.completions.send(left).await;
                continue;
            }
            match self.spawn() {
                Ok(process) => self.serve(process).await,
                Err(e) => {
                    let why = format!("{}: {e}", self.parts.runner.program.path.display());
                    let all = self.again.drain(..).chain(self.waiting.drain(..));
                    let ended = || Ended::CannotRun(why.clone());
                    let all = all.map(|job| report(job, Duration::ZERO, ended(), Vec::new())).collect();
                    let _ = self.parts.completions.send(all).await;
                }
            }
        }
    }

    /// Waits before a respawn. False where the worker is to stop.
    async fn rest(&self) -> bool {
        let pause = self.deaths.checked_sub(1).map_or(Duration::ZERO, |n| self.respawn.ceiling(n));
        let until = Instant::now() + pause;
        loop {
            if self.parts.shared.stopping().is_some() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            tokio::time::sleep(left.min(Duration::from_millis(50))).await;
        }
    }

    fn spawn(&self) -> io::Result<Process> {
        let runner = &self.parts.runner;
        let command = process::command(&runner.program, &[&environment::without_record(), &runner.variables]);
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let group = self.parts.shared.groups.add(child.id().map_or(0, |pid| pid as i32), 0);
        let missing = || io::Error::other("a pipe is missing");
        Ok(Process {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().ok_or_else(missing)?,
            stderr: child.stderr.take().ok_or_else(missing)?,
            child,
            group,
            unwritten: Vec::new(),
            unread: Vec::new(),
        })
    }

    /// Speaks with one process until it ends, then settles what it left open.
    async fn serve(&mut self, mut process: Process) {
        let careful = self.deaths > 0 && !self.again.is_empty();
        let name = self.parts.runner.program.shown.clone();
        let log = self.parts.shared.log;
        let pass_on = |line: &[u8]| log.passed_on(&[name.as_bytes(), b": ", line].concat());
        let mut said = Lines::default();
        let mut stderr_open = true;
        let mut stderr = [0; 4096];
        let mut timed_out: Option<Instant> = None;
        let mut killed = false;
        let mut closed = false;
        let status = loop {
            let is_careful = careful && !self.again.is_empty();
            let window = if is_careful { 1 } else { self.parts.window };
            let takes_more = timed_out.is_none() && !closed;
            let has_room = |slot: &Self, process: &Process| {
                takes_more && slot.in_flight.len() < window && process.unwritten.len() < UNWRITTEN
            };
            while has_room(self, &process) {
                let queue = if self.again.is_empty() { &mut self.waiting } else { &mut self.again };
                let Some(job) = queue.pop_front() else { break };
                self.hand_over(job, &mut process);
            }
            let wants_more = has_room(self, &process);
            let deadline = match timed_out {
                Some(since) => (!killed).then(|| since + self.parts.runner.limits.grace),
                None => self.deadline(),
            };
            tokio::select! {
                status = process.child.wait() => break status,
                jobs = self.inbox.recv(), if wants_more => {
                    if jobs.is_none() {
                        // The worker is ending: a command ends when its input does.
                        closed = true;
                        process.stdin = None;
                    }
                    self.waiting.extend(jobs.into_iter().flatten());
                }
                written = write(process.stdin.as_mut(), &process.unwritten), if !process.unwritten.is_empty() => {
                    if let Ok(n) = written {
                        process.unwritten.drain(..n);
                    } else {
                        // It reads no more: its end says what that means.
                        process.unwritten.clear();
                        process.stdin = None;
                    }
                }
                read = process.stdout.read_buf(&mut process.unread) => {
                    if matches!(read, Ok(0) | Err(_)) {
                        // No answer can come any more.
                        process.group.terminate();
                        break process.child.wait().await;
                    }
                    self.take_lines(&mut process.unread).await;
                }
                read = process.stderr.read(&mut stderr), if stderr_open => match read {
                    Ok(n @ 1..) => said.push(&stderr[..n], pass_on),
                    _ => stderr_open = false,
                },
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {
                    if timed_out.is_some() {
                        process.group.kill();
                        killed = true;
                    } else {
                        timed_out = Some(Instant::now());
                        process.group.terminate();
                    }
                }
            }
        };
        // What it wrote before its end still counts.
        let rest =
            tokio::time::timeout(Duration::from_millis(200), process.stdout.read_to_end(&mut process.unread));
        let _ = rest.await;
        let rest = tokio::time::timeout(Duration::from_millis(200), process.stderr.read(&mut stderr));
        if let Ok(Ok(n)) = rest.await {
            said.push(&stderr[..n], pass_on);
        }
        process.group.kill();
        self.take_lines(&mut process.unread).await;
        said.finish(pass_on);
        self.bury(status, timed_out, said.tail).await;
    }

    /// When the record that has been in flight longest is due.
    fn deadline(&self) -> Option<Instant> {
        let oldest = self.in_flight.first_key_value().map(|(_, (_, since))| *since)?;
        self.parts.runner.limits.timeout.map(|timeout| oldest + timeout)
    }

    fn hand_over(&mut self, job: Job, process: &mut Process) {
        self.next_id += 1;
        let mut scratch = Vec::new();
        let record = &*job.record;
        let (value, undone) = self.parts.runner.decoded(record, &mut scratch, &self.parts.shared);
        let value = record.value.is_some().then_some(value);
        record.with_ref(|shown| {
            let mut append = |headers: &[Header<'_>]| {
                let RecordRef { topic, partition, offset, timestamp, key, .. } = shown;
                let shown = RecordRef { topic, partition, offset, timestamp, key, value, headers };
                protocol::append_request(self.next_id, job.attempt, &shown, &mut process.unwritten);
            };
            if undone {
                // The value is not encoded any more.
                let is_left = |header: &&Header<'_>| header.name != b"content-encoding";
                let left: Vec<Header<'_>> = shown.headers.iter().filter(is_left).copied().collect();
                append(&left);
            } else {
                append(shown.headers);
            }
        });
        self.in_flight.insert(self.next_id, (job, Instant::now()));
    }

    /// Takes the whole lines out of what was read: answers, or its own output.
    async fn take_lines(&mut self, unread: &mut Vec<u8>) {
        let mut answered = Vec::new();
        let mut printed = Vec::new();
        let mut start = 0;
        let now = Instant::now();
        while let Some(length) = memchr::memchr(b'\n', &unread[start..]) {
            let line = &unread[start..start + length];
            start += length + 1;
            let answer = protocol::parse_answer(line);
            let known = answer.and_then(|a| Some((self.in_flight.remove(&a.id)?, a.verdict)));
            let Some(((job, since), verdict)) = known else {
                let name = self.parts.runner.program.shown.as_bytes();
                self.parts.shared.log.passed_on(&[name, b": ", line].concat());
                continue;
            };
            self.deaths = 0;
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
            let took = now.saturating_duration_since(since);
            answered.push((job, Attempt { ended, stdout: Vec::new(), stderr, retry_after, took }));
        }
        unread.drain(..start);
        if unread.len() > LONGEST_LINE {
            unread.clear();
        }
        let is_out = printed.is_empty() || self.parts.printer.print_from_task(&printed);
        let answered = answered.into_iter().map(|(job, attempt)| Done::Ran { job, attempt, is_out });
        if answered.len() > 0 {
            let _ = self.parts.completions.send(answered.collect()).await;
        }
    }

    /// A process ended: who is guilty, and who is sent again.
    async fn bury(&mut self, status: io::Result<ExitStatus>, timed_out: Option<Instant>, stderr: Vec<u8>) {
        let open = std::mem::take(&mut self.in_flight);
        if open.is_empty() {
            return;
        }
        let how = match status.as_ref().map(|s| (s.code(), s.signal())) {
            Ok((Some(code @ 1..), _)) => Ended::Exit(code),
            Ok((_, Some(signal))) => Ended::Signal(signal),
            _ => Ended::Again("it ended without an answer".into()),
        };
        self.deaths += 1;
        if self.deaths >= DEATHS {
            self.parts.shared.stop(Stop::Broken(format!(
                "{}: it ended {DEATHS} times without an answer, at last: {how}",
                self.parts.runner.program.shown
            )));
        }
        // While the worker ends, nothing is sent again: what became of it is for the ledger.
        let ending = self.parts.shared.stopping().is_some();
        let alone = open.len() == 1;
        let (mut again, mut ended) = (VecDeque::new(), Vec::new());
        for (job, since) in open.into_values() {
            // Several at once: nobody knows which of them it was.
            if ending || alone {
                let how = if timed_out.is_some() { Ended::Timeout } else { how.clone() };
                ended.push(report(job, since.elapsed(), how, stderr.clone()));
            } else {
                again.push_back(job);
            }
        }
        let _ = self.parts.completions.send(ended).await;
        again.append(&mut self.again);
        self.again = again;
    }
}

/// A record's process ended.
fn report(job: Job, took: Duration, ended: Ended, stderr: Vec<u8>) -> Done {
    let attempt = Attempt { ended, stdout: Vec::new(), stderr, retry_after: None, took };
    Done::Ran { job, attempt, is_out: true }
}

/// Writes some of the bytes; without a pipe they are gone.
async fn write(stdin: Option<&mut ChildStdin>, bytes: &[u8]) -> io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(bytes).await,
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}
