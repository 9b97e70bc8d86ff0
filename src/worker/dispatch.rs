//! Runs the command for what may run, and decides what follows from how it ended.
//!
//! One process a record: as many threads as may run at once, each of which takes a record, waits for
//! its process, settles what becomes of it and takes the next. Nothing is handed from thread to
//! thread meanwhile, which would cost as much as kq's own part of a spawn. `--persistent`: a task a process.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::dead_letter::{self, Failure};
use super::ledger::{Job, Outcome};
use super::oneshot::{Attempt, Place, Run, Runner};
use super::persistent::{self, Pool};
use super::policy::{Breaker, Ended, Meaning, Next, OnFailure, Policy};
use super::printer::Printer;
use super::shared::{Shared, Stop, Taken};
use crate::clock::backoff::Backoff;
use crate::kafka::errors::{Code, words};
use crate::lock::{Guard, Lock};
use crate::record::{OwnedHeader, Record};
use crate::sending::outbox::{Letter, Outbox};

/// What the dispatcher needs besides the shared state.
pub struct Dispatcher {
    pub shared: Arc<Shared>,
    pub runner: Arc<Runner>,
    pub printer: Arc<Printer>,
    /// Where dead letters go.
    pub dead_letters: Option<(Outbox, Arc<str>)>,
    /// Where the commands' stdout goes instead of kq's own.
    pub output: Option<Output>,
    pub policy: Policy,
    pub breaker: Lock<Breaker>,
    /// When it was said last that a command can't be started for now.
    pub said_not_begun: Lock<Option<Instant>>,
    pub backoff: Backoff,
    pub group: String,
}

/// What comes back from persistent processes, and from their dead letters.
pub enum Done {
    /// The command answered, or ended, and its output is out (or not).
    Ran { job: Job, attempt: Attempt, is_out: bool },
    /// The dead letter was acknowledged, or can't be.
    Sent { job: Job, outcome: Result<(), String> },
    /// It was not begun, or not to its end, which is nobody's failure: its partition leaves, the worker
    /// ends, or its process was told to end.
    Left { job: Job },
}

/// A dead letter to send before its record is done.
struct Undelivered {
    job: Job,
    outbox: Outbox,
    letter: Letter,
}

/// Messages of completions taken in at once.
const BATCH: usize = 256;
/// After a command that could not be started, for its thread.
const NOT_BEGUN_PAUSE: Duration = Duration::from_millis(100);
/// It is said so often at most.
const NOT_BEGUN_NOTE: Duration = Duration::from_secs(5);
/// Of a thread that waits for a process; the default of 2 MiB is what a thousand of them need not have.
const STACK: usize = 512 << 10;

/// One process a record: the threads that run them, one more than are busy, up to the most.
pub struct Slots {
    dispatcher: Dispatcher,
    runtime: Handle,
    most: usize,
    started: AtomicUsize,
}

impl Slots {
    /// Starts the first of at most `most` threads. They end when the worker is closing.
    pub fn start(dispatcher: Dispatcher, runtime: Handle, most: usize) -> anyhow::Result<()> {
        let slots = Self { dispatcher, runtime, most, started: AtomicUsize::new(0) };
        Arc::new(slots).grow().context("start a thread for commands")
    }

    fn grow(self: &Arc<Self>) -> std::io::Result<()> {
        if self.started.fetch_add(1, Relaxed) >= self.most {
            self.started.fetch_sub(1, Relaxed);
            return Ok(());
        }
        let slots = Arc::clone(self);
        let thread = std::thread::Builder::new().name("command".into()).stack_size(STACK);
        thread.spawn(move || slots.serve()).map(drop).inspect_err(|_| _ = self.started.fetch_sub(1, Relaxed))
    }

    /// Runs one record after the other.
    fn serve(self: &Arc<Self>) {
        let Dispatcher { shared, runner, printer, output, backoff, policy, .. } = &self.dispatcher;
        while let Some(Taken { job, lacks_hands }) = shared.next_job() {
            if lacks_hands && let Err(e) = self.grow() {
                shared.log.verbose(1, format_args!("start another thread for commands: {e}"));
            }
            let Run { mut attempt, form } = runner.run(&job, shared);
            let printed = std::mem::take(&mut attempt.stdout);
            let is_out = match output {
                None => printed.is_empty() || printer.print(&printed),
                // What a failed attempt printed is no output.
                Some(output) if policy.meaning(&attempt.ended) == Meaning::Ok => {
                    let headers = form.owned_headers(&job.record.headers);
                    self.runtime.block_on(output.send(&job.record, headers, printed, *backoff, shared))
                }
                Some(_) => true,
            };
            if let Some(Undelivered { job, outbox, letter }) = self.dispatcher.ran(job, &attempt, is_out) {
                let outcome = self.runtime.block_on(deliver(&outbox, letter, *backoff, shared));
                self.dispatcher.sent(&job, outcome);
            }
            shared.settle();
            if let Ended::NotBegun(_) = attempt.ended {
                // Whatever the machine lacks, the next record lacks it too.
                std::thread::sleep(NOT_BEGUN_PAUSE);
            }
        }
    }
}

impl Dispatcher {
    /// Gives records to this many persistent processes, `window` in flight in each, until the worker is closing.
    pub async fn serve_persistent(self, processes: usize, window: usize) {
        let (completions, mut inbox) = mpsc::channel::<Vec<Done>>(BATCH);
        let mut batch = Vec::with_capacity(BATCH);
        let shared = Arc::clone(&self.shared);
        let parts = persistent::Parts {
            runner: Arc::clone(&self.runner),
            shared: Arc::clone(&shared),
            printer: Arc::clone(&self.printer),
            completions: completions.clone(),
            window,
        };
        let mut pool = Pool::start(processes, &parts);
        loop {
            // Once a stop was decided nothing more is begun.
            let next_retry = if shared.stopping().is_none() {
                let mut ledger = shared.ledger();
                pool.give(std::iter::from_fn(|| ledger.next(Instant::now())));
                ledger.next_retry()
            } else {
                None
            };
            let due = next_retry.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
            tokio::select! {
                _ = inbox.recv_many(&mut batch, BATCH) => {}
                () = shared.woken() => {}
                () = tokio::time::sleep_until(due.into()) => {}
            }
            for done in batch.drain(..).flatten() {
                match done {
                    Done::Ran { job, attempt, is_out } => {
                        // What is tried again without having asked for it ended its process.
                        if attempt.retry_after.is_none()
                            && self.policy.next(&attempt.ended, job.attempt) == Next::Retry
                        {
                            pool.suspect(job.ticket, &shared.ledger());
                        }
                        let Some(Undelivered { job, outbox, letter }) = self.ran(job, &attempt, is_out)
                        else {
                            continue;
                        };
                        let (shared, backoff) = (Arc::clone(&shared), self.backoff);
                        let completions = completions.clone();
                        tokio::spawn(async move {
                            let outcome = deliver(&outbox, letter, backoff, &shared).await;
                            let _ = completions.send(vec![Done::Sent { job, outcome }]).await;
                        });
                    }
                    Done::Sent { job, outcome } => self.sent(&job, outcome),
                    Done::Left { job } => self.left(&job),
                }
            }
            shared.settle();
            if shared.is_closing() {
                return;
            }
        }
    }

    fn finish(&self, job: &Job, outcome: Outcome) {
        self.shared.ledger().finish(job.ticket, outcome);
    }

    /// A record was not done, through no fault of its own.
    fn left(&self, job: &Job) {
        let mut ledger = self.shared.ledger();
        if ledger.is_live(job.ticket) && ledger.is_terminated(job.ticket) {
            self.shared.tally.abandoned.fetch_add(1, Relaxed);
        }
        ledger.finish(job.ticket, Outcome::Abandoned);
    }

    /// A command ended: what becomes of its record.
    fn ran(&self, job: Job, attempt: &Attempt, is_out: bool) -> Option<Undelivered> {
        let shared = Arc::clone(&self.shared);
        let (place, tally, log) = (Place(&job.record), &shared.tally, shared.log);
        if let Ended::NotBegun(why) = &attempt.ended {
            self.not_begun(&job, why);
            return None;
        }
        let next = self.policy.next(&attempt.ended, job.attempt);
        {
            let ledger = self.shared.ledger();
            if !ledger.is_live(job.ticket) {
                return None;
            }
            // Whoever was told to end and did has neither failed nor, perhaps, done its work.
            let told =
                attempt.ended == Ended::Told || (ledger.is_terminated(job.ticket) && next != Next::Resolved);
            if !is_out || told {
                drop(ledger);
                tally.abandoned.fetch_add(1, Relaxed);
                self.finish(&job, Outcome::Abandoned);
                return None;
            }
        }
        tally.handler_seconds.observe(attempt.took.as_secs_f64());
        if !matches!(next, Next::Resolved) {
            tally.failed_attempts.count(&attempt.ended);
        }
        match next {
            Next::Resolved => {
                self.breaker().success();
                tally.done.fetch_add(1, Relaxed);
                log.verbose(1, format_args!("{place}: done"));
                self.finish(&job, Outcome::Resolved);
            }
            Next::Retry => {
                let backoff = || self.backoff.delay(job.attempt - 1, random);
                let delay = attempt.retry_after.unwrap_or_else(backoff);
                log.verbose(
                    1,
                    format_args!(
                        "{place}: {} (attempt {}), again in {} ms",
                        attempt.ended,
                        job.attempt,
                        delay.as_millis()
                    ),
                );
                self.finish(&job, Outcome::Retry(Instant::now() + delay));
            }
            Next::Broken => {
                let why = self.sentence(&job, attempt);
                self.shared.stop(Stop::Broken(format!("{why}\n{}", self.policy.why_broken(&attempt.ended))));
                self.finish(&job, Outcome::Abandoned);
            }
            Next::Stop => {
                let why = self.sentence(&job, attempt);
                self.shared.stop(Stop::Policy(format!(
                    "{why}\nit is not committed: the next start tries it again; --dlq TOPIC or \
                     --on-failure skip goes past it"
                )));
                self.finish(&job, Outcome::Abandoned);
            }
            Next::Skipped | Next::DeadLetter if self.breaker_opens(&attempt.ended) => {
                let why = self.sentence(&job, attempt);
                self.shared.stop(Stop::Policy(format!(
                    "too many records failed in a row (--max-consecutive-failures): it looks like an outage; \
                     the last was {why}"
                )));
                self.finish(&job, Outcome::Abandoned);
            }
            Next::Skipped => {
                tally.skipped.fetch_add(1, Relaxed);
                log.note(format_args!("{place}: {}, skipped", attempt.ended));
                self.finish(&job, Outcome::Resolved);
            }
            Next::DeadLetter => return self.dead_letter(job, attempt),
        }
        None
    }

    /// A command could not be started for now: its record waits, and spends no attempt.
    fn not_begun(&self, job: &Job, why: &str) {
        let delay = self.backoff.delay(job.attempt - 1, random).max(NOT_BEGUN_PAUSE);
        self.finish(job, Outcome::Again(Instant::now() + delay));
        let mut said = self.said_not_begun.lock();
        if said.is_none_or(|said| said.elapsed() >= NOT_BEGUN_NOTE) {
            *said = Some(Instant::now());
            self.shared.log.error(format_args!("a command can't be started: {why}; trying again"));
        }
    }

    /// Counts a failure for good, unless `--exit-map` asked to skip that status.
    fn breaker_opens(&self, ended: &Ended) -> bool {
        let by_map = self.policy.meaning(ended) == Meaning::Skip;
        !by_map && self.breaker().failure()
    }

    fn breaker(&self) -> Guard<'_, Breaker> {
        self.breaker.lock()
    }

    fn dead_letter(&self, job: Job, attempt: &Attempt) -> Option<Undelivered> {
        let Some((outbox, topic)) = self.dead_letters.clone() else {
            self.shared.stop(Stop::Policy("no --dlq TOPIC is given".into()));
            self.finish(&job, Outcome::Abandoned);
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
        let letter = dead_letter::letter(&topic, &job.record, failure);
        self.shared.log.note(format_args!("{}: {}, to {topic}", Place(&job.record), attempt.ended));
        Some(Undelivered { job, outbox, letter })
    }

    /// A dead letter was acknowledged, or never will be.
    fn sent(&self, job: &Job, outcome: Result<(), String>) {
        if !self.shared.ledger().is_live(job.ticket) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.shared.tally.dead.fetch_add(1, Relaxed);
                self.finish(job, Outcome::Resolved);
            }
            Err(why) => {
                let place = Place(&job.record);
                self.shared.stop(Stop::Policy(format!("{place}: the dead letter can't be sent: {why}")));
                self.finish(job, Outcome::Abandoned);
            }
        }
    }

    /// What failed, where, how, and the last that it said.
    fn sentence(&self, job: &Job, attempt: &Attempt) -> String {
        let place = Place(&job.record);
        let mut sentence = format!("{place}: {}: {}", self.runner.launcher.program().shown, attempt.ended);
        if job.attempt > 1 {
            sentence = format!("{sentence} (attempt {})", job.attempt);
        }
        let said = String::from_utf8_lossy(&attempt.stderr);
        // What a persistent command answered is there already.
        let why = if let Ended::Protocol(why) = &attempt.ended { why } else { "" };
        let is_new = |line: &&str| !line.trim().is_empty() && !why.contains(line);
        let lines: Vec<&str> = said.lines().filter(is_new).collect();
        for line in &lines[lines.len().saturating_sub(5)..] {
            sentence = format!("{sentence}\n  stderr: {line}");
        }
        sentence
    }
}

/// `--output-topic`: where the commands' stdout goes, and as what.
#[derive(Clone)]
pub struct Output {
    pub outbox: Outbox,
    pub topic: Arc<str>,
    /// One record a line instead of one in all.
    pub lines: bool,
    pub copy_headers: bool,
}

impl Output {
    /// Sends what a command printed under its record's key; true once all of it is acknowledged.
    async fn send(
        &self,
        record: &Record,
        headers: impl Iterator<Item = &OwnedHeader> + Clone,
        printed: Vec<u8>,
        backoff: Backoff,
        shared: &Shared,
    ) -> bool {
        let values: Vec<Option<Vec<u8>>> = if printed.is_empty() {
            // Nothing printed is nothing sent, but what came in empty goes on: a tombstone stays one.
            let was_empty = record.value.as_ref().is_none_or(Vec::is_empty);
            if was_empty { vec![record.value.clone()] } else { vec![] }
        } else if self.lines {
            let body = printed.strip_suffix(b"\n").unwrap_or(&printed);
            body.split(|&b| b == b'\n').map(|line| Some(line.to_vec())).collect()
        } else {
            vec![Some(printed)]
        };
        for value in values {
            let letter = Letter {
                topic: Arc::clone(&self.topic),
                key: record.key.clone(),
                value,
                headers: if self.copy_headers { headers.clone().cloned().collect() } else { vec![] },
                timestamp: None,
            };
            if let Err(why) = deliver(&self.outbox, letter, backoff, shared).await {
                shared.stop(Stop::Policy(format!("{}: its output can't be sent: {why}", Place(record))));
                return false;
            }
        }
        true
    }
}

/// Sends a letter until it is acknowledged: its lane waits meanwhile, and
/// nothing is ever committed past it.
async fn deliver(
    outbox: &Outbox,
    mut letter: Letter,
    backoff: Backoff,
    shared: &Shared,
) -> Result<(), String> {
    let mut shortened = false;
    for attempt in 0.. {
        match outbox.send(letter.clone()).await {
            Ok(()) => return Ok(()),
            Err(Code::MessageSizeTooLarge) if !shortened => {
                shortened = true;
                letter = dead_letter::without_stderr(letter);
            }
            Err(Code::MessageSizeTooLarge) => {
                let topic = &letter.topic;
                return Err(format!(
                    "it is larger than {topic} takes (`kq topic alter {topic} --config max.message.bytes=N`)"
                ));
            }
            Err(code @ Code::InvalidTopic) => {
                return Err(format!("{}: {}", letter.topic, words(code)));
            }
            Err(code) => {
                shared.log.error(format_args!("send to {}: {code}; trying again", letter.topic));
                let least = Duration::from_millis(200);
                tokio::time::sleep(backoff.delay(attempt.min(32), random).max(least)).await;
            }
        }
    }
    unreachable!("the loop ends by returning")
}

/// A number from 0 up to 1, from the randomness that the standard library seeds its maps with.
fn random() -> f64 {
    let bits = std::hash::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

impl Policy {
    /// Whether `on_failure` needs a topic for dead letters.
    pub fn needs_dead_letters(&self) -> bool {
        self.on_failure == OnFailure::Dlq
    }
}
