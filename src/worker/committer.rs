//! How the worker's commits are sent: one at a time, of partitions that this member holds.
//!
//! All is stored too: the client commits by itself what is stored of partitions that go, and at no other time. Its own
//! timer would send one commit after the other without waiting for answers. Where the coordinator is away, those that
//! failed are sent again after later ones that did not, and the group's offsets go back
//! (`rd_kafka_cgrp_defer_offset_commit`, 2.12.1).
//!
//! What is done beyond an offset that stays is not sent while the group rebalances: a broker does not check who owns
//! what.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ledger::{Commits, Pace};
use super::shared::Shared;
use crate::kafka::client::{Commit, ConsumerClient};
use crate::kafka::errors::Code;
use crate::reading::membership::GroupProtocol;
use crate::record::TopicPartition;

/// What goes, with what can be committed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Partitions: the group waits until the client has committed them.
    Partitions,
    /// The worker: its time may be up before the client commits on its way out of the group.
    Worker,
}

/// What the polling thread knows of its commits.
#[derive(Debug)]
pub(super) struct Committer {
    interval: Duration,
    protocol: GroupProtocol,
    /// When a commit was sent last.
    sent: Option<Instant>,
    /// What was stored since then, the last of each partition.
    unsent: BTreeMap<TopicPartition, Commit>,
    /// The commit whose answer has not come, as far as its partitions are still held.
    under_way: Option<Vec<Commit>>,
    /// Partitions were revoked, and the next assignment has not come: what is sent now is of a generation
    /// that may be over.
    is_moving: bool,
    /// The length of the longest metadata that the broker took, in bytes.
    taken: usize,
}

impl Committer {
    /// Commits so often.
    pub(super) fn new(interval: Duration, protocol: GroupProtocol) -> Self {
        Self {
            interval,
            protocol,
            sent: None,
            unsent: BTreeMap::new(),
            under_way: None,
            is_moving: false,
            taken: 0,
        }
    }

    /// How often it commits.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// The group gave this member its share.
    pub(super) fn assigned(&mut self) {
        self.is_moving = false;
    }

    /// The group takes partitions, of which nothing is sent from here on. The brokers' own protocol needs no other
    /// assignment after that.
    pub(super) fn revoked(&mut self, names: &[TopicPartition]) {
        self.is_moving = self.protocol == GroupProtocol::Classic;
        self.leave_out(names);
    }

    /// Sends nothing of these partitions any more.
    fn leave_out(&mut self, names: &[TopicPartition]) {
        self.unsent.retain(|name, _| !names.contains(name));
        if let Some(commits) = &mut self.under_way {
            commits.retain(|commit| !names.contains(&commit.partition));
        }
    }

    /// Commits what is due.
    pub(super) fn step(&mut self, consumer: &impl ConsumerClient, shared: &Shared, now: Instant) {
        self.hear(consumer, shared);
        let is_due = self.sent.is_none_or(|sent| now.saturating_duration_since(sent) >= self.interval);
        let may_send = is_due && self.under_way.is_none();
        let pace = Pace::Every { interval: self.interval, now, may_commit: may_send && !self.is_moving };
        let Commits { store, .. } = shared.ledger().commits(pace);
        self::store(consumer, shared, &store);
        self.unsent.extend(store.into_iter().map(|commit| (commit.partition.clone(), commit)));
        if !may_send || self.unsent.is_empty() {
            return;
        }
        self.sent = Some(now);
        let commits: Vec<Commit> = std::mem::take(&mut self.unsent).into_values().collect();
        match consumer.begin_commit(&commits) {
            Ok(()) => self.under_way = Some(commits),
            Err(code) => self.missed(shared, commits, code),
        }
    }

    /// A commit did not arrive. The next one takes it along.
    fn missed(&mut self, shared: &Shared, commits: Vec<Commit>, code: Code) {
        shared.log.verbose(1, format_args!("commit: {code}"));
        self.send_again(commits);
        shared.ledger().send_again();
    }

    /// Sends these again, but for partitions of which something later is to be sent.
    fn send_again(&mut self, commits: Vec<Commit>) {
        for commit in commits {
            self.unsent.entry(commit.partition.clone()).or_insert(commit);
        }
    }

    /// Stores all that can be committed of these partitions: the client commits it when they go. Metadata
    /// that is longer than any that the broker took is committed here, up to `timeout`: were it refused
    /// later, the offset would be lost with it. As the worker leaves, so is metadata that alone is new, which
    /// the client commits no sooner than it leaves the group.
    ///
    /// Gives the partitions whose metadata is still left to that.
    pub(super) fn settle(
        &mut self,
        consumer: &impl ConsumerClient,
        shared: &Shared,
        names: &[TopicPartition],
        leaving: Leaving,
        timeout: Duration,
    ) -> Vec<TopicPartition> {
        self.hear(consumer, shared);
        let Commits { store, metadata_alone } = shared.ledger().commits(Pace::Last(names));
        self::store(consumer, shared, &store);
        self.leave_out(names);
        let (further, alone) = store.split_at(store.len() - metadata_alone);
        let length = |commit: &Commit| commit.metadata.as_ref().map_or(0, String::len);
        let commits_alone = leaving == Leaving::Worker && !self.is_moving;
        let is_explicit = |commit: &&Commit| length(commit) > self.taken;
        let alone_explicit = alone.iter().filter(|commit| commits_alone || is_explicit(commit));
        let explicit: Vec<Commit> =
            further.iter().filter(is_explicit).chain(alone_explicit).cloned().collect();
        let left = || alone.iter().map(|commit| commit.partition.clone()).collect();
        if explicit.is_empty() {
            return left();
        }
        match consumer.commit(&explicit, timeout) {
            Ok(()) => {
                self.taken = explicit.iter().map(length).max().max(Some(self.taken)).unwrap_or_default();
                let is_left = |name: &TopicPartition| explicit.iter().all(|commit| commit.partition != *name);
                let mut left: Vec<TopicPartition> = left();
                left.retain(is_left);
                left
            }
            Err(Code::OffsetMetadataTooLarge) => {
                refused(shared);
                let Commits { store, .. } = shared.ledger().commits(Pace::Last(names));
                self::store(consumer, shared, &store);
                Vec::new()
            }
            // The client commits once more when the partitions go.
            Err(code) => {
                shared.log.verbose(1, format_args!("commit: {code}"));
                left()
            }
        }
    }

    /// Takes note of what the broker answered.
    fn hear(&mut self, consumer: &impl ConsumerClient, shared: &Shared) {
        if self.under_way.is_some()
            && let Some(answer) = consumer.commit_answer()
        {
            let mut commits = self.under_way.take().unwrap_or_default();
            match answer {
                Ok(()) => {}
                Err(Code::OffsetMetadataTooLarge) => {
                    refused(shared);
                    commits.retain(|commit| commit.metadata.is_none());
                    self.send_again(commits);
                }
                Err(code) => self.missed(shared, commits, code),
            }
        }
        let verdict = consumer.metadata_verdict();
        self.taken = self.taken.max(verdict.taken);
        if verdict.is_refused {
            refused(shared);
        }
    }
}

/// The broker refused metadata for its length, and the offset with it.
fn refused(shared: &Shared) {
    if shared.ledger().leave_metadata_out() {
        shared.log.note(
            "the broker refuses what commits say of records that are done beyond them: its \
             offset.metadata.max.bytes is below kq's 4,000. Commits go without it, and after a stop such \
             records run again",
        );
    }
}

/// Stores offsets: the next commit commits them.
fn store(consumer: &impl ConsumerClient, shared: &Shared, offsets: &[Commit]) {
    if offsets.is_empty() {
        return;
    }
    if let Err(code) = consumer.store(offsets) {
        // A partition that was revoked: its new owner commits for it.
        shared.log.verbose(1, format_args!("store offsets: {code}"));
    }
}
