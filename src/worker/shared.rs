//! What the polling thread, the runtime and the signal thread share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::health::Health;
use super::ledger::{Job, Ledger, Ticket};
use super::pulse::Pulse;
use super::tally::{RecordResult, Tally};
use crate::kafka::errors;
use crate::lock::{Condition, Guard, Lock};
use crate::process::Groups;
use crate::terminal::notes::Log;

/// Why the worker stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The stop condition was reached.
    Complete,
    /// A signal asked for it.
    Signal(i32),
    /// A record failed for good, or too many in a row: by policy.
    Policy(String),
    /// The command can't be run.
    Broken(String),
    /// The group or the cluster threw this member out, or the client broke.
    Fenced(String),
    /// stdout was closed.
    Closed,
    /// stdout can't be written, the cluster is out of reach for too long: usage and surroundings.
    Failed(String),
}

impl StopReason {
    /// What a fatal error of the client means.
    pub(super) fn of_fatal(reason: &str) -> Self {
        if errors::is_unsupported(reason) {
            return Self::Failed(errors::UNSUPPORTED.to_owned());
        }
        Self::Fenced(reason.to_owned())
    }
}

/// A reason to stop, and how things stood when it came up.
#[derive(Clone, Debug)]
pub(super) struct Stopping {
    pub why: StopReason,
    pub since: Instant,
    /// Records abandoned before.
    pub abandoned: u64,
}

/// What to run the command for: a record, from [`Shared::next_job`], or a batch of them.
pub(super) struct Taken<T> {
    pub job: T,
    /// No thread waits for the next.
    pub needs_thread: bool,
}

/// The state of one worker.
pub(super) struct Shared {
    ledger: Lock<Ledger>,
    /// Notified whenever a completion was taken in, and who waits for that: the polling thread.
    completed: Condition,
    is_awaited: AtomicBool,
    /// Wakes what starts commands: records came in.
    work: Condition,
    /// The same for `--persistent`, whose processes are tasks.
    work_async: tokio::sync::Notify,
    /// Changes whenever persistent processes are to look at what they were given: see [`Shared::recall`].
    recalled: tokio::sync::watch::Sender<()>,
    /// Threads that wait for `work`; changes with the ledger held.
    idle: AtomicUsize,
    stop: Lock<Option<Stopping>>,
    /// Whether there is a reason to stop.
    stopped: AtomicBool,
    closing: AtomicBool,
    pub groups: Groups,
    pub tally: Tally,
    pub pulse: Pulse,
    pub health: Health,
    pub log: Log,
}

impl Shared {
    /// The state at the start: nothing assigned.
    pub(super) fn new(ledger: Ledger, groups: Groups, log: Log) -> Self {
        Self {
            ledger: Lock::new(ledger),
            completed: Condition::default(),
            is_awaited: AtomicBool::new(false),
            work: Condition::default(),
            work_async: tokio::sync::Notify::new(),
            recalled: tokio::sync::watch::Sender::new(()),
            idle: AtomicUsize::new(0),
            stop: Lock::new(None),
            stopped: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            groups,
            tally: Tally::default(),
            pulse: Pulse::default(),
            health: Health::default(),
            log,
        }
    }

    /// The ledger, for a short while: nothing waits with it held.
    pub(super) fn ledger(&self) -> Guard<'_, Ledger> {
        self.ledger.lock()
    }

    /// Takes over how many records the ledger resolved without a command.
    pub(super) fn count_passed(&self) {
        let (filtered, already_done) = {
            let ledger = self.ledger();
            (ledger.filtered(), ledger.already_done())
        };
        self.tally.records.set(RecordResult::Filtered, filtered);
        self.tally.records.set(RecordResult::AlreadyDone, already_done);
    }

    /// Says that records came in.
    pub(super) fn wake(&self) {
        self.work.notify_one();
        self.work_async.notify_one();
    }

    /// Waits until records came in, or completions, or the worker is closing.
    pub(super) async fn woken(&self) {
        self.work_async.notified().await;
    }

    /// Waits for a record that may run now; `None` where the worker is closing. A thread that gets one
    /// wakes the next while there is more, to run or to wait for.
    pub(super) fn next_job(&self) -> Option<Taken<Job>> {
        self.take(Ledger::next)
    }

    /// The same for a batch of records.
    pub(super) fn next_batch(&self) -> Option<Taken<Vec<Job>>> {
        self.take(Ledger::next_batch)
    }

    fn take<T>(&self, next: impl Fn(&mut Ledger, Instant) -> Option<T>) -> Option<Taken<T>> {
        let mut ledger = self.ledger();
        loop {
            if self.is_closing() {
                return None;
            }
            let now = Instant::now();
            // Once the worker is to stop, nothing is given out, also before the polling thread knows.
            let is_stopped = self.stopped.load(Ordering::Acquire);
            let job = if is_stopped { None } else { next(&mut ledger, now) };
            let next_due = ledger.next_due().filter(|_| !is_stopped);
            let is_idle = self.idle.load(Ordering::Relaxed) > 0;
            if let Some(job) = job {
                let has_more = ledger.can_start();
                drop(ledger);
                if is_idle && (has_more || next_due.is_some()) {
                    self.work.notify_one();
                }
                return Some(Taken { job, needs_thread: !is_idle });
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
            let nap = next_due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
            ledger = self.work.wait_for(ledger, nap);
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits until one more command may start by the rate, for the record of this ticket. It ends early where that
    /// is not to start any more, or not now.
    pub(super) fn wait_for_start(&self, ticket: Ticket) {
        loop {
            let started = {
                let mut ledger = self.ledger();
                if self.is_stopped() || !ledger.may_start(ticket) || ledger.is_held_back(ticket) {
                    return;
                }
                ledger.take_start(Instant::now())
            };
            let Err(free_at) = started else { return };
            let left = free_at.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Says that completions were taken in.
    pub(super) fn notify_completed(&self) {
        if self.is_awaited.load(Ordering::Acquire) {
            self.completed.notify_all();
        }
    }

    /// Waits until `done` holds or the time is up; says whether it holds. One thread waits at a time.
    pub(super) fn wait(&self, deadline: Instant, mut done: impl FnMut(&mut Ledger) -> bool) -> bool {
        let mut ledger = self.ledger();
        // With the ledger held: a thread that finishes a record after this check notifies.
        self.is_awaited.store(true, Ordering::Release);
        let outcome = loop {
            if done(&mut ledger) {
                break true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break false;
            }
            // A cap, so that a stop without a notification is seen in time.
            let nap = left.min(Duration::from_millis(100));
            ledger = self.completed.wait_for(ledger, nap);
        };
        self.is_awaited.store(false, Ordering::Release);
        outcome
    }

    /// Asks the worker to stop. The first reason counts, unless a later one is
    /// that the client can't be used any more.
    pub(super) fn stop(&self, why: StopReason) {
        self.stop_since(Instant::now(), why);
    }

    /// The same for a reason that came up before: a signal.
    pub(super) fn stop_since(&self, since: Instant, why: StopReason) {
        let mut stop = self.stop.lock();
        match &mut *stop {
            None => {
                let abandoned = self.tally.records.of(RecordResult::Abandoned);
                *stop = Some(Stopping { why, since, abandoned });
            }
            Some(stopping) if matches!(why, StopReason::Fenced(_)) => stopping.why = why,
            Some(_) => {}
        }
        drop(stop);
        self.stopped.store(true, Ordering::Release);
        self.completed.notify_all();
        self.recall();
    }

    /// Records that were given to persistent processes may not be started any more, or a process was
    /// terminated.
    pub(super) fn recall(&self) {
        self.recalled.send_replace(());
    }

    /// Changes with each [`Shared::recall`].
    pub(super) fn recalls(&self) -> tokio::sync::watch::Receiver<()> {
        self.recalled.subscribe()
    }

    /// No more records are handed out: persistent commands get the end of their input.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        // A thread that checked before that waits by now.
        drop(self.ledger());
        self.work.notify_all();
        self.work_async.notify_one();
    }

    /// Whether [`Shared::close`] was called.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether there is a reason to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Why the worker is to stop, if it is.
    pub(super) fn stopping(&self) -> Option<StopReason> {
        self.stop_of().map(|stopping| stopping.why)
    }

    /// The same, with how things stood when it came up.
    pub(super) fn stop_of(&self) -> Option<Stopping> {
        self.stop.lock().clone()
    }
}
