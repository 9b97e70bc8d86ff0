//! A consume as a member of a group: what it takes over, gives away and commits.

use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;

use super::assignment::Progress;
use super::{BATCH, Session, Stop, TICK};
use crate::kafka::client::{Assigned, ConsumerClient, Rebalance, StartAt};
use crate::kafka::errors::{Code, is_passing, words};
use crate::reading::bounds::Start;
use crate::reading::commit::{self, Then};
use crate::record::place::shown;

impl<C: ConsumerClient> Session<'_, C> {
    /// Commits what is stored, up to `deadline`.
    pub(super) fn commit(&mut self, deadline: Instant) -> Result<(), Code> {
        let connected = self.connected;
        let clock = self.clock;
        let left = || deadline.saturating_duration_since(clock.now());
        commit::commit_stored(&connected.consumer, left, |code, left| {
            if code == Code::OperationTimedOut {
                return Then::Fail;
            }
            match (self.assignment.is_empty(), self.lost) {
                (false, _) if left.is_zero() => Then::Fail,
                (false, _) => {
                    drop(connected.consumer.poll(TICK, BATCH, self));
                    Then::TryAgain
                }
                // What was stored was committed as the partitions left.
                (true, false) => Then::Done,
                (true, true) => Then::Fail,
            }
        })
    }

    /// Where a partition that the group gave us starts: its committed offset, unless there is none.
    fn take_over(&mut self, assigned: &mut Assigned, committed: Option<i64>) -> anyhow::Result<Progress> {
        let (topic, partition) = (Arc::clone(&assigned.topic), assigned.partition);
        let Some(committed) = committed else {
            // `--from` is for the first time in a run: a start that was not committed yet stays.
            let left_at = self.left_at.get(&assigned.topic_partition()).copied();
            let from = match (left_at, self.settings.bounds.from) {
                (Some(position), _) => Start::Offset(position),
                (None, None | Some(Start::Stored)) => Start::Beginning,
                (None, Some(from)) => from,
            };
            let progress = self.begin(&topic, partition, from)?;
            assigned.start = progress.start.map_or(StartAt::Beginning, StartAt::Offset);
            return Ok(progress);
        };
        let start = self.ask(|timeout| self.question(&topic, partition, timeout).take_over(committed))?;
        if let (Some(at), true) = (start.at, start.verdict.is_some()) {
            assigned.start = StartAt::Offset(at);
        }
        self.open(&topic, partition, start)
    }
}

impl<C: ConsumerClient> Rebalance for Session<'_, C> {
    fn assigned(&mut self, partitions: &mut [Assigned]) {
        if self.stop.is_some() || self.failure.is_some() {
            // The run ends: nothing of them will be read.
            return;
        }
        let asked: Vec<_> = partitions.iter().map(Assigned::topic_partition).collect();
        let ask = |timeout| self.consumer().committed(&asked, timeout);
        let committed = match self.patiently(ask, |code| is_passing(*code)) {
            Ok(committed) => committed,
            Err(_) if self.shutdown.signal().is_some() => return,
            Err(code) => {
                let group = self.settings.group.as_deref().unwrap_or_default();
                let why = self.connected.causes.advertised().filter(|_| is_passing(code));
                let why = why.map_or_else(|| words(code), |fault| fault.sentence);
                self.failure = Some(anyhow!("committed offsets of group {group}: {why}"));
                return;
            }
        };
        for (assigned, committed) in partitions.iter_mut().zip(committed) {
            match self.take_over(assigned, committed.map(|committed| committed.offset)) {
                Ok(progress) => self.assignment.add(progress),
                // After a signal it asks no longer.
                Err(_) if self.shutdown.signal().is_some() => {}
                Err(e) => self.failure = Some(e),
            }
            if self.failure.is_some() || self.shutdown.signal().is_some() {
                break;
            }
        }
        self.waits.joining.assigned(self.clock.now());
        self.times.last_record = self.clock.now();
        self.config.log.verbose(1, format_args!("assigned: {}", names(partitions)));
        self.stop_when_done();
    }

    fn revoked(&mut self, partitions: &[Assigned], lost: bool) {
        self.lost |= lost;
        if !lost && self.failure.is_none() && self.stop != Some(Stop::Closed) {
            self.write_out();
        }
        for p in partitions {
            if let Some(progress) = self.assignment.remove(&p.topic, p.partition)
                && let Some(position) = progress.position()
            {
                self.left_at.insert(progress.name(), position);
            }
        }
        self.waits.joining.revoked(self.clock.now());
        self.config
            .log
            .verbose(1, format_args!("{}: {}", if lost { "lost" } else { "revoked" }, names(partitions)));
    }
}

fn names(partitions: &[Assigned]) -> String {
    shown(&partitions.iter().map(Assigned::topic_partition).collect::<Vec<_>>())
}
