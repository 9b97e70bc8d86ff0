//! Partitions are assigned and revoked: where to start and to end in them, and the drain before a revoke.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::committer::{Committer, Leaving};
use super::deadline::{Deadline, Stage};
use super::ledger::Ledger;
use super::progress::DoneAhead;
use super::shared::{Shared, StopReason};
use super::tally::{RebalanceKind, RecordResult};
use crate::clock::duration;
use crate::clock::source::Clock;
use crate::kafka::client::{Assigned, Committed, ConsumerClient, Rebalance, StartAt};
use crate::kafka::errors::Causes;
use crate::named::Named as _;
use crate::reading::bounds::{End, Start};
use crate::reading::contact::{self, Riding};
use crate::reading::membership::Joining;
use crate::reading::position::Verdict;
use crate::reading::start::{Ends, Found, Question};
use crate::reading::{commit, questions};
use crate::record::TopicPartition;
use crate::record::place::shown;
use crate::shutdown::Shutdown;

/// How long commands of partitions that are revoked get until TERM, then until KILL, then until
/// their records are abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    drain: Duration,
    grace: Duration,
    after_kill: Duration,
    /// `drain` is shorter than it was asked for.
    is_cut: bool,
}

impl Patience {
    /// `drain`, as far as all of it fits into 0.6 of `max.poll.interval.ms`: a member that does not
    /// poll for longer than that is thrown out of its group.
    pub(super) fn new(drain: Duration, max_poll_interval: Duration) -> Self {
        let all = max_poll_interval.mul_f64(0.6);
        let grace = super::GRACE.min(all / 4);
        let after_kill = Duration::from_secs(1).min(all / 8);
        let most = all.saturating_sub(grace + after_kill);
        Self { drain: drain.min(most), grace, after_kill, is_cut: drain > most }
    }

    /// After how long commands get TERM, and what sets that, for a note.
    fn limit(self) -> String {
        let after = duration::format(self.drain);
        let setting = if self.is_cut { "max.poll.interval.ms lets --drain" } else { "--drain lets them" };
        format!(" after {after}, as long as {setting}")
    }

    /// What a revoke may take.
    pub(super) fn in_all(self) -> Duration {
        self.drain + self.grace + self.after_kill
    }
}

/// How long a commit may take within a revoke.
const SETTLING: Duration = Duration::from_secs(2);

/// What the polling thread does inside a rebalance.
pub(super) struct Rebalancer<'a, C> {
    pub consumer: &'a C,
    pub shared: Arc<Shared>,
    /// Where to start in a partition that the group has committed nothing for.
    pub from: Start,
    pub until: Option<End>,
    pub ends: Ends,
    pub clock: &'a dyn Clock,
    /// For a question to the cluster.
    pub timeout: Duration,
    pub patience: Patience,
    pub shutdown: Shutdown,
    /// How long the end of the worker may take in all.
    pub ending: Duration,
    /// How long an outage may last while it is asked where to start and to end: some of
    /// `max.poll.interval.ms`, since nothing is polled meanwhile.
    pub ride_out: Duration,
    /// What keeps the cluster from answering.
    pub causes: Causes,
    /// Where to start in a partition that the group has committed nothing for, once `from` held: it
    /// holds once a run.
    pub wanted: HashMap<TopicPartition, Start>,
    /// Whether the group gave this member its share.
    pub joining: Joining,
    pub committer: Committer,
}

fn names(partitions: &[Assigned]) -> Vec<TopicPartition> {
    partitions.iter().map(Assigned::topic_partition).collect()
}

impl<C: ConsumerClient> Rebalance for Rebalancer<'_, C> {
    fn assigned(&mut self, partitions: &mut [Assigned]) {
        self.joining.assigned(self.clock.now());
        self.committer.assigned();
        self.shared.pulse.assign();
        // A worker that stops reads nothing of them.
        if partitions.is_empty() || self.shared.stopping().is_some() {
            return;
        }
        let names = names(partitions);
        self.shared.tally.rebalances.count(RebalanceKind::Assigned);
        self.shared.log.verbose(1, format_args!("assigned: {}", shown(&names)));
        let known = self.ask(|timeout| Ok(self.consumer.committed(&names, timeout)?));
        if let Err(e) = &known {
            self.shared.log.error(format_args!("ask for the group's committed offsets: {e:#}"));
        }
        let is_known = known.is_ok();
        let mut committed = known.unwrap_or_default().into_iter();
        for partition in partitions.iter_mut() {
            let name = partition.topic_partition();
            let stored: Option<Committed> = committed.next().flatten();
            let start = match &stored {
                _ if !is_known => self.question(&name, |question| question.end()),
                Some(committed) => self.question(&name, |question| question.take_over(committed.offset)),
                None => self.begin(&name),
            };
            match start {
                Ok(start) => {
                    // Of a log that is not what it was, nothing is done.
                    let done = stored
                        .as_ref()
                        .filter(|_| start.verdict.is_none())
                        .and_then(|committed| DoneAhead::decode(&committed.metadata, committed.offset));
                    // What is done counts from the offset that it came with: the client does not ask again.
                    if is_known && (stored.is_none() || start.verdict.is_some() || done.is_some()) {
                        partition.start = start.at.map_or(StartAt::Beginning, StartAt::Offset);
                    }
                    if is_known {
                        self.wanted.insert(name.clone(), start.again());
                    }
                    self.open(&name, start);
                    if let Some(done) = done {
                        self.shared.ledger().take_over(&name, done);
                    }
                }
                Err(e) => {
                    self.shared.stop(StopReason::Failed(format!("{name}: where to start and to end: {e:#}")));
                    self.shared.ledger().assign(&name, None, None);
                }
            }
        }
    }

    fn revoked(&mut self, partitions: &[Assigned], lost: bool) {
        self.joining.revoked(self.clock.now());
        let names = names(partitions);
        self.committer.revoked(&names);
        if names.is_empty() {
            return;
        }
        let kind = if lost { RebalanceKind::Lost } else { RebalanceKind::Revoked };
        self.shared.tally.rebalances.count(kind);
        self.shared.log.verbose(1, format_args!("{}: {}", kind.name(), shown(&names)));
        let epochs = self.begin_drain(&names);
        let of_these = |owner: u64| epochs.contains(&owner);
        if lost || matches!(self.shared.stopping(), Some(StopReason::Fenced(_))) {
            // Another member has them already: nothing is stored, nothing is finished.
            self.shared.log.error(format_args!(
                "partitions lost: {}; their records that are not committed run again",
                shown(&names)
            ));
            self.shared.ledger().terminate(&names);
            self.end(&names);
            self.shared.groups.kill(of_these);
            return;
        }
        self.drain(&names, &of_these);
        self.settle(&names, Leaving::Partitions);
        self.end(&names);
    }
}

impl<C: ConsumerClient> Rebalancer<'_, C> {
    /// Drops what is queued of these partitions. Gives their epochs.
    fn begin_drain(&self, names: &[TopicPartition]) -> HashSet<u64> {
        let epochs = {
            let mut ledger = self.shared.ledger();
            for name in names {
                ledger.drain(name);
            }
            names.iter().filter_map(|name| ledger.epoch_of(name)).collect()
        };
        self.shared.recall();
        epochs
    }

    /// Ends the epochs of these partitions.
    fn end(&self, names: &[TopicPartition]) {
        let mut ledger = self.shared.ledger();
        for name in names {
            ledger.end(name);
        }
        if ledger.is_idle() {
            // What could not be started has left.
            self.shared.health.forget();
        }
    }

    /// Stores what can be committed of these partitions, for when they go. Gives those of which what is done
    /// beyond their offsets is committed no sooner than that.
    pub(super) fn settle(&mut self, names: &[TopicPartition], leaving: Leaving) -> Vec<TopicPartition> {
        let left = self.deadline().map_or(SETTLING, |deadline| deadline.left(Stage::Commit));
        let timeout = SETTLING.min(left).min(self.timeout);
        self.committer.settle(self.consumer, &self.shared, names, leaving, timeout)
    }

    /// Finishes the records of a partition that run, and no others: its offsets have other records now.
    pub(super) fn finish(&self, name: &TopicPartition) {
        let names = std::slice::from_ref(name);
        let epochs = self.begin_drain(names);
        self.drain(names, &|owner| epochs.contains(&owner));
    }

    /// Waits for the commands of these partitions, terminates them, kills them, abandons their records.
    fn drain(&self, names: &[TopicPartition], of_these: &dyn Fn(u64) -> bool) {
        let shared = &self.shared;
        let idle =
            |limit: Duration, stage: Stage| self.wait(limit, stage, |ledger| ledger.running_of(names) == 0);
        if idle(self.patience.drain, Stage::Drain) {
            return;
        }
        // Where the worker ends meanwhile, --shutdown-timeout is what bounds it.
        let limit = if shared.stopping().is_some() { String::new() } else { self.patience.limit() };
        shared.log.note(format_args!("commands of {} still run{limit}: sending TERM", shown(names)));
        shared.ledger().terminate(names);
        shared.groups.terminate(of_these);
        shared.recall();
        if idle(self.patience.grace, Stage::Terminate) {
            return;
        }
        shared.groups.kill(of_these);
        if !idle(self.patience.after_kill, Stage::Kill) {
            let left = shared.ledger().abandon(names);
            shared.tally.records.add(RecordResult::Abandoned, left.len() as u64);
        }
    }

    /// Waits until `done` holds, up to `limit`, and where the worker is to end, which may come up
    /// meanwhile, not beyond this stage of its end.
    fn wait(&self, limit: Duration, stage: Stage, mut done: impl FnMut(&mut Ledger) -> bool) -> bool {
        let mut is_done = false;
        self.shared.wait(Instant::now() + limit, |ledger| {
            is_done = done(ledger);
            self.look_for_a_signal();
            is_done || self.deadline().is_some_and(|deadline| deadline.is_up(stage))
        });
        is_done
    }

    /// Asks the worker to stop where a signal came.
    pub(super) fn look_for_a_signal(&self) {
        if let Some((signal, since)) = self.shutdown.signal().zip(self.shutdown.since()) {
            self.shared.stop_since(since, StopReason::Signal(signal));
        }
    }

    /// The time for ending, where the worker is to end.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.shared.stop_of().map(|stopping| Deadline::new(stopping.since, self.ending))
    }

    /// Asks the cluster, and again while it is out of reach, for a while.
    pub(super) fn ask<T>(&self, question: impl Fn(Duration) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let is_over = || {
            self.shared.pulse.turn();
            self.look_for_a_signal();
            self.shared.stopping().is_some()
        };
        let riding = Riding {
            log: self.shared.log,
            clock: self.clock,
            causes: &self.causes,
            timeout: self.timeout,
            limit: self.ride_out,
        };
        contact::ride_out(&riding, is_over, questions::is_passing, question)
            .map_err(|e| questions::explained(e, self.causes.advertised()))
    }

    /// Asks one of these about a partition, and again while the cluster is out of reach.
    fn question(
        &self,
        name: &TopicPartition,
        ask: impl Fn(Question<'_, C>) -> anyhow::Result<Found>,
    ) -> anyhow::Result<Found> {
        self.ask(|timeout| {
            let (consumer, until, ends) = (self.consumer, self.until, &self.ends);
            ask(Question { consumer, topic: &name.topic, partition: name.partition, until, ends, timeout })
        })
    }

    /// Where a partition begins and ends that the group has committed nothing for.
    pub(super) fn begin(&self, name: &TopicPartition) -> anyhow::Result<Found> {
        let from = match self.wanted.get(name).copied().unwrap_or(self.from) {
            Start::Stored => Start::Beginning,
            from => from,
        };
        self.question(name, |question| question.begin(from))
    }

    /// Takes a partition in that begins there.
    fn open(&mut self, name: &TopicPartition, start: Found) {
        let (topic, partition) = (&name.topic, name.partition);
        if self.until.is_some() {
            self.ends.keep(topic, partition, start.limit);
        }
        self.shared.ledger().begin(name, &start);
        let Some(verdict) = start.verdict else { return };
        self.tell(name, verdict);
        if let Verdict::Back { next, .. } = verdict {
            let ask = |timeout| commit::commit_back(self.consumer, topic, partition, next, timeout);
            if let Err(e) = self.ask(ask) {
                self.shared.stop(StopReason::Failed(format!("{e:#}")));
            }
        }
    }

    /// Says, and counts, what was to be read and is not there.
    pub(super) fn tell(&self, name: &TopicPartition, verdict: Verdict) {
        let tally = &self.shared.tally;
        match verdict {
            Verdict::GoOn { .. } => return,
            Verdict::Gone { .. } => tally.records.add(RecordResult::Lost, verdict.gone()),
            Verdict::Back { .. } => _ = tally.truncated.fetch_add(1, Relaxed),
        }
        self.shared.log.error(format_args!("{name}: {verdict}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_drain_is_as_long_as_asked_for_where_the_poll_interval_lets_it() {
        let patience = Patience::new(Duration::from_secs(18), Duration::from_mins(5));
        assert_eq!(patience.in_all(), Duration::from_secs(18 + 4 + 1));
        assert_eq!(patience.limit(), " after 18s, as long as --drain lets them");
    }

    #[test]
    fn a_drain_that_the_poll_interval_cuts_short_says_so() {
        let patience = Patience::new(Duration::from_secs(18), Duration::from_secs(10));
        assert_eq!(patience.limit(), " after 3750ms, as long as max.poll.interval.ms lets --drain");
    }

    proptest! {
        #[test]
        fn a_revoke_fits_into_the_poll_interval(drain in 0..1_000_000u64, interval in 1..1_000_000u64) {
            let patience = Patience::new(Duration::from_millis(drain), Duration::from_millis(interval));
            prop_assert!(patience.in_all() <= Duration::from_millis(interval).mul_f64(0.6));
        }
    }
}
