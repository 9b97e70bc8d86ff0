//! The end of a worker: take nothing new, drain, TERM, KILL, store, commit, leave; all of it bounded.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::ledger::Sight;
use super::poller::Poller;
use super::shared::{Shared, Stop};
use crate::exit::{self, Exit};
use crate::kafka::client::ConsumerClient;
use crate::kafka::errors::{Code, words};
use crate::reading::commit::{self, Then};

/// How the time for ending is shared out: of 28 parts, 18 to drain, 4 of grace, 1 after KILL,
/// 2 to store and commit, and what is left to close.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    since: Instant,
    limit: Duration,
}

impl Share {
    /// When commands that still run are told to end, …
    pub const DRAINED: u32 = 18;
    /// … are killed, …
    pub const TOLD: u32 = 22;
    /// … and are given up.
    pub const KILLED: u32 = 23;
    const COMMITTED: u32 = 25;
    const ALL: u32 = 28;

    /// The time for an ending that began then.
    pub fn new(since: Instant, limit: Duration) -> Self {
        Self { since, limit }
    }

    fn of(self, parts: u32) -> Duration {
        self.limit / Self::ALL * parts
    }

    /// Whether so many parts are over.
    pub fn is_up(self, parts: u32) -> bool {
        self.left(parts).is_zero()
    }

    /// How long it is until so many parts are over.
    fn left(self, parts: u32) -> Duration {
        self.of(parts).saturating_sub(self.since.elapsed())
    }
}

/// How long one poll waits while the end is near.
const POLL: Duration = Duration::from_millis(10);

/// Ends the worker and says with what status.
pub fn end<C: ConsumerClient>(
    poller: &mut Poller<'_, C>,
    stop: Stop,
    has_stop: bool,
) -> anyhow::Result<Exit> {
    let shared = std::sync::Arc::clone(&poller.shared);
    let share = poller.rebalancer.share();
    let share = share.unwrap_or_else(|| Share::new(Instant::now(), poller.rebalancer.ending));
    if matches!(stop, Stop::Fenced(_)) {
        // Another member has the partitions: nothing is stored and nothing is finished.
        shared.groups.kill_all();
        let assigned = shared.ledger().assigned();
        let mut ledger = shared.ledger();
        for name in &assigned {
            ledger.end(name);
        }
        drop(ledger);
        return super::outcome(stop, &shared, 0, has_stop);
    }
    let before = shared.stop_of().map_or(0, |stopping| stopping.abandoned);
    shared.ledger().stop();
    shared.recall();
    let running = shared.ledger().running();
    match stop {
        Stop::Signal(signal) => shared
            .log
            .note(format_args!("signal {signal}: finishing {running} running, a second signal ends at once")),
        Stop::Closed => {
            shared.log.verbose(1, format_args!("stdout is closed: finishing {running} running"));
        }
        _ => {}
    }
    let drained = wait(poller, share.left(Share::DRAINED)) || {
        let assigned = shared.ledger().assigned();
        shared.log.note("commands still run: telling them to end");
        shared.ledger().terminate(&assigned);
        shared.groups.terminate(|_| true);
        shared.recall();
        wait(poller, share.left(Share::TOLD)) || {
            shared.groups.kill_all();
            wait(poller, share.left(Share::KILLED))
        }
    };
    let abandoned = abandoned(&shared, drained) - before;
    poller.settle();
    let sights = shared.ledger().sights();
    // Persistent commands end when their input does, or are killed.
    shared.close();
    let deadline = Instant::now() + share.of(2).min(share.left(Share::KILLED));
    while !shared.groups.is_empty() && Instant::now() < deadline {
        poller.poll(POLL, 500);
    }
    shared.groups.kill_all();
    let committed = commit(poller, share);
    let patience = share.of(4).min(share.left(Share::ALL));
    let closed = poller.consumer.close(patience, &mut poller.rebalancer);
    // A revoke on the way out may have been a loss.
    let stop = match shared.stopping() {
        Some(fenced @ Stop::Fenced(_)) => fenced,
        _ => stop,
    };
    shared.log.verbose(1, if closed { "left the group" } else { "left the group without an answer" });
    if let Err(code) = committed
        && matches!(stop, Stop::Complete | Stop::Signal(_) | Stop::Closed)
    {
        let why = match code {
            Code::OperationTimedOut => "no answer in time".to_owned(),
            code => words(code),
        };
        let cause =
            anyhow::anyhow!("the last commit failed ({why}): what was done since the one before runs again");
        return Err(exit::with(Exit::Failed, cause));
    }
    if !matches!(stop, Stop::Closed) {
        let broken_off_by = match stop {
            Stop::Signal(signal) if has_stop && abandoned == 0 => Some(signal),
            _ => None,
        };
        tell(&shared, &sights, broken_off_by);
    }
    super::outcome(stop, &shared, abandoned, has_stop)
}

/// Says what runs again though it is done, and where a signal broke off what was to be finished.
fn tell(shared: &Shared, sights: &[Sight], broken_off_by: Option<i32>) {
    let again: usize = sights.iter().map(|sight| sight.ahead).sum();
    if again > 0 {
        shared.log.note(format_args!(
            "{again} of those that are done will run again: a record before them in their partition is not"
        ));
    }
    if let Some(signal) = broken_off_by {
        let last = |sight: &Sight| {
            let (topic, partition) = &sight.name;
            sight
                .committable
                .filter(|next| *next > 0)
                .map(|next| format!("{topic}[{partition}]@{}", next - 1))
        };
        let last: Vec<String> = sights.iter().filter_map(last).collect();
        let last = if last.is_empty() { String::new() } else { format!("; last: {}", last.join(" ")) };
        shared.log.error(format_args!("stopped by signal {signal}{last}"));
    }
}

/// Commits what is stored, and tries again while the group rebalances, for the time that draining left.
fn commit<C: ConsumerClient>(poller: &mut Poller<'_, C>, share: Share) -> Result<(), Code> {
    let left = || share.left(Share::COMMITTED);
    let patience = || share.of(2).min(left()).max(share.of(1));
    commit::commit_stored(poller.consumer, patience, |_, patience| {
        if patience >= left() || poller.watch.away_since().is_some() {
            return Then::Fail;
        }
        poller.poll(POLL, 500);
        poller.settle();
        Then::TryAgain
    })
}

/// Polls on, so that the membership holds, until nothing runs or the time is up.
fn wait<C: ConsumerClient>(poller: &mut Poller<'_, C>, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if poller.shared.ledger().running() == 0 {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        poller.poll(POLL, 500);
        poller.settle();
    }
}

/// Names what did not end as itself: its records run again at the next start.
fn abandoned(shared: &Shared, drained: bool) -> u64 {
    let left = shared.tally.abandoned.load(Relaxed);
    if drained {
        return left;
    }
    let mut ledger = shared.ledger();
    let assigned = ledger.assigned();
    let places = ledger.abandon(&assigned);
    for ((topic, partition), offset) in places.iter().take(10) {
        shared
            .log
            .error(format_args!("{topic}[{partition}]@{offset}: abandoned, it runs again at the next start"));
    }
    shared.tally.abandoned.fetch_add(places.len() as u64, Relaxed);
    left + places.len() as u64
}
