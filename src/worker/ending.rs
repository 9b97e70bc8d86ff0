//! The end of a worker: take nothing new, drain, TERM, KILL, store, commit, leave; all of it bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::committer::Leaving;
use super::deadline::{Deadline, Stage};
use super::ledger::PartitionStatus;
use super::poller::Poller;
use super::shared::{Shared, StopReason};
use super::tally::RecordResult;
use crate::exit::{self, Exit};
use crate::kafka::client::{ConsumerClient, Departure};
use crate::kafka::errors::{Code, words};
use crate::reading::commit::{self, Then};
use crate::reading::membership;

/// How long one poll waits while the worker ends.
const POLL: Duration = Duration::from_millis(10);
/// How many records are taken from the client at once meanwhile.
const BATCH: usize = 500;
/// How many abandoned records are named.
const NAMED: usize = 10;

/// Ends the worker and says with what status.
pub(super) fn end<C: ConsumerClient>(
    poller: &mut Poller<'_, C>,
    stop: StopReason,
    has_stop: bool,
) -> anyhow::Result<Exit> {
    let shared = Arc::clone(&poller.shared);
    if matches!(stop, StopReason::Fenced(_)) {
        give_up(&shared);
        return outcome(stop, &shared, 0, has_stop);
    }
    let deadline = poller.rebalancer.deadline();
    let deadline = deadline.unwrap_or_else(|| Deadline::new(Instant::now(), poller.rebalancer.ending));
    let before = shared.stop_of().map_or(0, |stopping| stopping.abandoned);
    shared.ledger().stop();
    shared.recall();
    note_stop(&shared, &stop);
    let is_drained = drain(poller, deadline);
    let abandoned = abandoned(&shared, is_drained) - before;
    poller.update_client();
    let assigned = shared.ledger().assigned();
    let left_to_client = poller.rebalancer.settle(&assigned, Leaving::Worker);
    let mut partitions = shared.ledger().partitions();
    close_commands(poller, deadline);
    let committed = commit(poller, deadline);
    if let Departure::Unknown { .. } = leave(poller, deadline) {
        // Nor is it known whether the client's last commit arrived.
        for status in partitions.iter_mut().filter(|status| left_to_client.contains(&status.name)) {
            status.run_again = status.ahead;
        }
    }
    // A revoke on the way out may have been a loss.
    let stop = match shared.stopping() {
        Some(fenced @ StopReason::Fenced(_)) => fenced,
        _ => stop,
    };
    if let Err(code) = committed
        && matches!(stop, StopReason::Complete | StopReason::Signal(_) | StopReason::Closed)
    {
        return Err(commit_failed(code));
    }
    if !matches!(stop, StopReason::Closed) {
        let stopped_by = match stop {
            StopReason::Signal(signal) if has_stop && abandoned == 0 => Some(signal),
            _ => None,
        };
        tell(&shared, &partitions, stopped_by);
    }
    outcome(stop, &shared, abandoned, has_stop)
}

/// Another member has the partitions: nothing is stored and nothing is finished.
fn give_up(shared: &Shared) {
    shared.groups.kill_all();
    shared.groups.kill_adopted();
    let mut ledger = shared.ledger();
    for name in &ledger.assigned() {
        ledger.end(name);
    }
}

fn note_stop(shared: &Shared, stop: &StopReason) {
    let running = shared.ledger().running();
    match stop {
        StopReason::Signal(signal) => shared
            .log
            .note(format_args!("signal {signal}: finishing {running} running, a second signal ends at once")),
        StopReason::Closed => {
            shared.log.verbose(1, format_args!("stdout is closed: finishing {running} running"));
        }
        _ => {}
    }
}

/// Waits for the commands that run, terminates them, kills them, each once its time is up. False where
/// some are left.
fn drain<C: ConsumerClient>(poller: &mut Poller<'_, C>, deadline: Deadline) -> bool {
    if wait(poller, deadline.left(Stage::Drain)) {
        return true;
    }
    let shared = Arc::clone(&poller.shared);
    let assigned = shared.ledger().assigned();
    shared.log.note("commands still run: sending TERM");
    shared.ledger().terminate(&assigned);
    shared.groups.terminate(|_| true);
    shared.recall();
    wait(poller, deadline.left(Stage::Terminate)) || {
        shared.groups.kill_all();
        wait(poller, deadline.left(Stage::Kill))
    }
}

/// Ends the input of persistent commands, which then end, and kills those that do not; then ends what commands
/// left behind.
fn close_commands<C: ConsumerClient>(poller: &mut Poller<'_, C>, deadline: Deadline) {
    poller.shared.close();
    let until = Instant::now() + deadline.parts(2).min(deadline.left(Stage::Kill));
    while !poller.shared.groups.is_empty() && Instant::now() < until {
        poller.poll(POLL, BATCH);
    }
    poller.shared.groups.kill_all();
    end_adopted(poller, deadline);
}

/// Ends the processes that commands left behind, in sessions of their own: TERM, then KILL.
fn end_adopted<C: ConsumerClient>(poller: &mut Poller<'_, C>, deadline: Deadline) {
    let groups = poller.shared.groups.clone();
    if !groups.has_adopted() {
        return;
    }
    groups.terminate_adopted();
    let until = Instant::now() + deadline.parts(2).min(deadline.left(Stage::Kill));
    while groups.has_adopted() {
        if Instant::now() >= until {
            return groups.kill_adopted();
        }
        poller.poll(POLL, BATCH);
    }
}

/// Leaves the group. Says whether it is known to have done so.
fn leave<C: ConsumerClient>(poller: &mut Poller<'_, C>, deadline: Deadline) -> Departure {
    let patience = deadline.parts(4).min(deadline.left(Stage::Close));
    let departure = poller.consumer.close(patience, &mut poller.rebalancer);
    match membership::left_behind(departure) {
        Some(note) => poller.shared.log.of_the_end().note(note),
        None => poller.shared.log.verbose(1, "left the group"),
    }
    departure
}

fn commit_failed(code: Code) -> anyhow::Error {
    let why = match code {
        Code::OperationTimedOut => "no answer in time".to_owned(),
        code => words(code),
    };
    let cause =
        anyhow::anyhow!("the last commit failed ({why}): what was done since the one before runs again");
    exit::with(Exit::Failed, cause)
}

/// Says how many done records run again, and where a signal stopped what was to be finished.
fn tell(shared: &Shared, partitions: &[PartitionStatus], stopped_by: Option<i32>) {
    let log = shared.log.of_the_end();
    let again: usize = partitions.iter().map(|status| status.run_again).sum();
    if again > 0 {
        log.note(format_args!(
            "{again} done records will run again: in their partition an earlier record is not done"
        ));
    }
    if let Some(signal) = stopped_by {
        let last = |status: &PartitionStatus| {
            let next = status.committable.filter(|next| *next > 0)?;
            Some(status.name.at(next - 1).to_string())
        };
        let last: Vec<String> = partitions.iter().filter_map(last).collect();
        let last = if last.is_empty() { String::new() } else { format!("; last: {}", last.join(" ")) };
        log.error(format_args!("stopped by signal {signal}{last}"));
    }
}

/// Commits what is stored, and tries again while the group rebalances, for the time that draining left.
fn commit<C: ConsumerClient>(poller: &mut Poller<'_, C>, deadline: Deadline) -> Result<(), Code> {
    let left = || deadline.left(Stage::Commit);
    let patience = || deadline.parts(2).min(left()).max(deadline.parts(1));
    commit::commit_stored(poller.consumer, patience, |_, patience| {
        if patience >= left() || poller.watch.away_since().is_some() {
            return Then::Fail;
        }
        poller.poll(POLL, BATCH);
        poller.update_client();
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
        poller.poll(POLL, BATCH);
        poller.update_client();
    }
}

/// Names records whose commands did not end: they run again at the next start.
fn abandoned(shared: &Shared, drained: bool) -> u64 {
    let left = shared.tally.records.of(RecordResult::Abandoned);
    if drained {
        return left;
    }
    let mut ledger = shared.ledger();
    let assigned = ledger.assigned();
    let places = ledger.abandon(&assigned);
    for (partition, offset) in places.iter().take(NAMED) {
        let place = partition.at(*offset);
        shared.log.of_the_end().error(format_args!("{place}: abandoned, it runs again at the next start"));
    }
    shared.tally.records.add(RecordResult::Abandoned, places.len() as u64);
    left + places.len() as u64
}

/// The exit status and the error that a reason to stop becomes.
pub(super) fn outcome(
    stop: StopReason,
    shared: &Shared,
    abandoned: u64,
    has_stop: bool,
) -> anyhow::Result<Exit> {
    let plain = if shared.tally.has_failures() { Exit::Failed } else { Exit::Done };
    match stop {
        StopReason::Complete => Ok(if abandoned > 0 { Exit::Abandoned } else { plain }),
        StopReason::Signal(_) if abandoned > 0 => Ok(Exit::Abandoned),
        StopReason::Signal(signal) if has_stop => Ok(Exit::Signal(signal)),
        StopReason::Signal(_) => Ok(plain),
        StopReason::Closed => Ok(Exit::Done),
        StopReason::Policy(why) => Err(exit::with(Exit::Failed, anyhow::anyhow!("{why}"))),
        StopReason::Broken(why) => Err(exit::with(Exit::CannotRun, anyhow::anyhow!("{why}"))),
        StopReason::Fenced(why) => Err(exit::with(Exit::Fenced, anyhow::anyhow!("{why}"))),
        StopReason::Failed(why) => Err(anyhow::anyhow!("{why}")),
    }
}
