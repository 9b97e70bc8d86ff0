//! Gives records to commands and takes their completions, with one process a record or with persistent ones.
//!
//! One process a record: as many threads as may run at once, each of which takes a record, waits for
//! its process, resolves the record and takes the next. Nothing passes from thread to thread, which
//! would cost as much as kq's own part of a spawn. `--batch`: the same with many records ([`batches`]).
//! `--persistent`: one task for each process.

mod batches;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::completion::{Attempt, Completion, Printed};
use super::ledger::Job;
use super::oneshot::{Run, Runner};
use super::output::{Output, deliver};
use super::persistent::{Common, Pool, Surroundings, Timing};
use super::policy::Ended;
use super::printer::Printer;
use super::resolver::{Resolver, START_PAUSE, Undelivered};
use super::shared::{Shared, Taken};
use crate::clock::backoff::Backoff;
use crate::record::Record;
use crate::sending::outbox::{Letter, Outbox};
use crate::threads;

/// Where records go and what they print goes, besides the shared state.
pub(super) struct Dispatcher {
    pub shared: Arc<Shared>,
    pub runner: Arc<Runner>,
    pub printer: Arc<Printer>,
    pub resolver: Resolver,
    /// What sends dead letters.
    pub dead_letters: Option<Outbox>,
    /// Where the commands' stdout goes instead of kq's own.
    pub output: Option<Output>,
    pub backoff: Backoff,
}

/// What is sent before a record of a persistent command is resolved.
enum Sending {
    DeadLetter(Undelivered),
    Output { job: Job, attempt: Attempt, letters: Vec<Letter> },
}

/// Messages of completions taken in at once.
const BATCH: usize = 256;
/// How long persistent commands wait at most while nothing wakes them.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Of a thread that waits for a process. A thousand threads do not need the default of 2 MiB each.
const STACK: usize = 512 << 10;

/// What a thread takes for one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    Records,
    Batches,
}

/// One process a record: the threads that run them, one more than are busy, up to the most.
pub(super) struct Threads {
    dispatcher: Dispatcher,
    runtime: Handle,
    most: usize,
    runs: Runs,
    started: AtomicUsize,
}

impl Threads {
    /// Starts the first of at most `most` threads. They end when the worker is closing.
    pub(super) fn start(
        dispatcher: Dispatcher,
        runtime: Handle,
        most: usize,
        runs: Runs,
    ) -> anyhow::Result<()> {
        let first = Self { dispatcher, runtime, most, runs, started: AtomicUsize::new(0) };
        Arc::new(first).grow().map_err(|e| threads::refused(&e).context("start a thread for commands"))
    }

    fn grow(self: &Arc<Self>) -> std::io::Result<()> {
        if self.started.fetch_add(1, Relaxed) >= self.most {
            self.started.fetch_sub(1, Relaxed);
            return Ok(());
        }
        let threads = Arc::clone(self);
        let thread = std::thread::Builder::new().name("command".into()).stack_size(STACK);
        thread
            .spawn(move || match threads.runs {
                Runs::Records => threads.serve(),
                Runs::Batches => threads.serve_batches(),
            })
            .map(drop)
            .inspect_err(|_| _ = self.started.fetch_sub(1, Relaxed))
    }

    /// Runs one record after the other.
    fn serve(self: &Arc<Self>) {
        let Dispatcher { shared, runner, resolver, .. } = &self.dispatcher;
        while let Some(Taken { job, needs_thread }) = shared.next_job() {
            if needs_thread && let Err(e) = self.grow() {
                shared.log.verbose(1, format_args!("start another thread for commands: {e}"));
            }
            let mut run = runner.run(&job, shared);
            let printed = self.print(&job.record, &mut run);
            if let Some(letter) = resolver.ran(job, &run.attempt, printed, Instant::now()) {
                self.send(letter);
            }
            shared.notify_completed();
            if resolver.could_not_run(&run.attempt.ended) {
                // Whatever is lacking, the next record lacks it too.
                std::thread::sleep(START_PAUSE);
            }
        }
    }

    /// Sends a dead letter, and waits until it is acknowledged; one of a pause leaves this thread to the next probe.
    fn send(self: &Arc<Self>, letter: Undelivered) {
        let is_of_a_pause = self.dispatcher.shared.ledger().outage.given_up() == Some(letter.job.ticket);
        let threads = Arc::clone(self);
        let send = async move {
            let Dispatcher { shared, resolver, .. } = &threads.dispatcher;
            let (job, outcome) = threads.dispatcher.send(letter).await;
            resolver.sent(&job, outcome);
            shared.notify_completed();
            // Its lane may go on.
            shared.wake();
        };
        if is_of_a_pause {
            self.runtime.spawn(send);
        } else {
            self.runtime.block_on(send);
        }
    }

    /// Delivers what a command printed: to the output topic or to stdout.
    fn print(&self, record: &Record, run: &mut Run) -> Printed {
        let Dispatcher { shared, printer, resolver, output, backoff, .. } = &self.dispatcher;
        let printed = std::mem::take(&mut run.attempt.stdout);
        match output {
            None if printed.is_empty() => Printed::Delivered,
            None => printer.print(&printed),
            // What a failed attempt printed is no output.
            Some(output) if resolver.is_success(&run.attempt.ended) => {
                let headers = run.form.owned_headers(&record.headers);
                self.runtime.block_on(output.send(record, headers, printed, *backoff, shared))
            }
            Some(_) => Printed::Delivered,
        }
    }
}

impl Dispatcher {
    /// Gives records to this many persistent processes, `window` in flight in each, until the worker is closing.
    pub(super) async fn serve_persistent(self, processes: usize, window: usize, start_timeout: Duration) {
        let (completions, mut inbox) = mpsc::channel::<Vec<Completion>>(BATCH);
        let mut batch = Vec::with_capacity(BATCH);
        let dispatcher = Arc::new(self);
        let shared = &dispatcher.shared;
        let surroundings = Surroundings {
            runner: Arc::clone(&dispatcher.runner),
            shared: Arc::clone(shared),
            printer: Arc::clone(&dispatcher.printer),
            completions: completions.clone(),
            window,
            common: Arc::new(Common::new(Timing {
                timeout: dispatcher.runner.limits.timeout,
                slow: dispatcher.runner.limits.slow,
                start: start_timeout,
            })),
            output: dispatcher.output.clone(),
        };
        let mut pool = Pool::start(processes, &surroundings);
        loop {
            let next_due = dispatcher.give(&mut pool);
            let due = next_due.unwrap_or_else(|| Instant::now() + LONGEST_WAIT);
            tokio::select! {
                _ = inbox.recv_many(&mut batch, BATCH) => {}
                () = shared.woken() => {}
                () = tokio::time::sleep_until(due.into()) => {}
            }
            for completion in batch.drain(..).flatten() {
                let Some(sending) = dispatcher.take(completion, &mut pool) else { continue };
                let (dispatcher, completions) = (Arc::clone(&dispatcher), completions.clone());
                tokio::spawn(async move {
                    let completion = dispatcher.deliver(sending).await;
                    let _ = completions.send(vec![completion]).await;
                });
            }
            shared.notify_completed();
            if shared.is_closing() {
                return;
            }
        }
    }

    /// Gives out what may run now. Says when there may be more by itself.
    fn give(&self, pool: &mut Pool) -> Option<Instant> {
        // After the decision to stop nothing is started.
        if self.shared.stopping().is_some() {
            return None;
        }
        let mut ledger = self.shared.ledger();
        pool.give(std::iter::from_fn(|| ledger.next(Instant::now())));
        let (next_due, is_last) = (ledger.next_due(), ledger.is_last_given_out());
        drop(ledger);
        pool.note_last(is_last, &self.shared);
        next_due
    }

    /// Takes a completion in. Gives what is to be sent before the record is resolved.
    fn take(&self, completion: Completion, pool: &mut Pool) -> Option<Sending> {
        match completion {
            Completion::Answered { job, attempt, letters } if self.resolver.is_success(&attempt.ended) => {
                return Some(Sending::Output { job, attempt, letters });
            }
            // What a failed attempt gives out is no output.
            Completion::Answered { job, attempt, .. } => {
                let letter = self.resolver.ran(job, &attempt, Printed::Delivered, Instant::now());
                return letter.map(Sending::DeadLetter);
            }
            Completion::Ran { job, attempt, printed } => {
                // A record that is tried again, and did not ask for it, ended its process.
                let now = Instant::now();
                let has_started =
                    attempt.retry_after.is_none() && !matches!(attempt.ended, Ended::NotStarted(_));
                if has_started && self.resolver.is_retried(&job, &attempt.ended, now) {
                    pool.suspect(job.ticket, &self.shared.ledger());
                }
                let letter = self.resolver.ran(job, &attempt, printed, now);
                return letter.map(Sending::DeadLetter);
            }
            Completion::Sent { job, outcome } => self.resolver.sent(&job, outcome),
            Completion::Returned { job } => self.resolver.returned(&job),
        }
        None
    }

    /// Sends what an answer made necessary. Gives what follows for its record.
    async fn deliver(&self, sending: Sending) -> Completion {
        match sending {
            Sending::DeadLetter(letter) => {
                let (job, outcome) = self.send(letter).await;
                Completion::Sent { job, outcome }
            }
            Sending::Output { job, attempt, letters } => {
                let printed = match &self.output {
                    Some(output) => output.deliver(&job.record, letters, self.backoff, &self.shared).await,
                    None => Printed::Lost,
                };
                Completion::Ran { job, attempt, printed }
            }
        }
    }

    /// Sends a dead letter until it is acknowledged, or can't be sent.
    async fn send(&self, Undelivered { job, letter }: Undelivered) -> (Job, Result<(), String>) {
        match &self.dead_letters {
            Some(outbox) => {
                let outcome = deliver(outbox, letter, self.backoff, &self.shared).await;
                (job, outcome)
            }
            None => (job, Err("nothing sends dead letters".to_owned())),
        }
    }
}
