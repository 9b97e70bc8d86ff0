//! What is to be committed of each partition, with what is done beyond it, and when. Pure: time is passed in,
//! no IO.

use std::time::{Duration, Instant};

use super::Ledger;
use super::partition::{Partition, Stored};
use crate::kafka::client::Commit;
use crate::record::TopicPartition;
use crate::worker::progress::{DoneAhead, LeaderEpoch};

/// Metadata longer than this, in bytes, or of so many records …
const LONG: usize = 512;
const MANY: usize = 50_000;
/// … goes at most so often, until the worker stops or the partition moves: a group's offsets are kept in a
/// topic that is replicated, and each takes a look at all of the records.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// When a partition's commit is due that says what is done beyond it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace<'a> {
    /// So often, as far as the last one is long enough ago.
    Every {
        interval: Duration,
        now: Instant,
        /// Whether a commit of metadata alone may be sent.
        may_commit: bool,
    },
    /// Now, also where nothing changed: these partitions are revoked, or the worker ends.
    Last(&'a [TopicPartition]),
}

/// What is to be committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commits {
    /// To be stored and sent. As a partition goes, the client commits what is stored of it.
    pub store: Vec<Commit>,
    /// Of how many at the end of `store` the metadata alone is new: the client's own commit passes them over while the
    /// partition stays.
    pub metadata_alone: usize,
}

/// Whether a commit with metadata is due, after what was handed out last; `is_further` where its offset is.
fn is_due(stored: &Stored, is_further: bool, pace: Pace<'_>) -> bool {
    let Pace::Every { interval, now, may_commit } = pace else { return true };
    let pause = match (stored.is_long, is_further) {
        (true, _) => interval.max(LONG_PAUSE),
        // So that what is sent is fresh when its time comes.
        (false, true) => interval / 4,
        (false, false) => interval,
    };
    (is_further || may_commit)
        && stored.since.is_none_or(|since| now.saturating_duration_since(since) >= pause)
}

impl Partition {
    /// Whether a record was done before, as the group's commit says.
    pub(super) fn is_already_done(&mut self, offset: i64, epoch: LeaderEpoch) -> bool {
        if self.done_before.as_ref().is_some_and(|done| done.is_before(epoch)) {
            // The log may have been cut: what stands there now is not what was done.
            self.done_before = None;
        }
        self.done_before.as_ref().is_some_and(|done| done.has(offset, epoch))
    }

    /// Whether anything is done beyond what can be committed. What was done before is forgotten once all
    /// of it has come.
    fn is_ahead(&mut self) -> bool {
        let read_to = self.tracker.read_to();
        self.done_before.take_if(|done| done.end() <= read_to);
        self.done_before.is_some() || self.tracker.ahead() > 0
    }

    /// What is done beyond what can be committed.
    fn done_ahead(&self) -> DoneAhead {
        let mut ahead = DoneAhead::of(self.tracker.done_ahead());
        if let (Some(done), Some(read_to)) = (&self.done_before, self.tracker.read_to()) {
            ahead.continue_with(done, read_to);
        }
        ahead
    }

    /// How many done records the last commit did not say: they run again.
    pub(super) fn not_kept(&self) -> usize {
        self.tracker.ahead().saturating_sub(self.stored.records)
    }
}

impl Ledger {
    /// Takes over what was done beyond the commit that a partition begins at.
    pub(crate) fn take_over(&mut self, name: &TopicPartition, done: DoneAhead) {
        let Some(epoch) = self.epoch_of(name) else { return };
        if let Some(partition) = self.partitions.get_mut(&epoch) {
            partition.done_before = Some(done);
        }
    }

    /// Forgets what was done before the assignment: the log is not what it was.
    pub(crate) fn forget_done(&mut self, name: &TopicPartition) {
        let Some(epoch) = self.epoch_of(name) else { return };
        if let Some(partition) = self.partitions.get_mut(&epoch) {
            partition.done_before = None;
        }
    }

    /// What is to be committed and was not handed out before, as far as it is due. Where nothing is done
    /// beyond an offset, that is always.
    pub(crate) fn commits(&mut self, pace: Pace<'_>) -> Commits {
        let (mut store, mut alone) = (Vec::new(), Vec::new());
        for partition in self.partitions.values_mut() {
            if let Pace::Last(names) = pace
                && !names.contains(&partition.name)
            {
                continue;
            }
            let Some(offset) = partition.tracker.committable() else { continue };
            let is_further = partition.stored.offset < Some(offset);
            if !self.has_metadata || !partition.is_ahead() {
                if is_further {
                    partition.stored = Stored { offset: Some(offset), ..Stored::default() };
                    store.push((partition.name.clone(), offset).into());
                }
                continue;
            }
            let changes = partition.tracker.changes();
            let is_new = is_further || partition.stored.changes != changes || matches!(pace, Pace::Last(_));
            if !is_new || !is_due(&partition.stored, is_further, pace) {
                continue;
            }
            let metadata = partition.done_ahead().encode(offset);
            partition.stored = Stored {
                offset: Some(offset),
                changes,
                records: metadata.as_ref().map_or(0, |metadata| metadata.records),
                is_long: metadata.as_ref().is_some_and(|m| m.text.len() > LONG || m.records > MANY),
                since: match pace {
                    Pace::Every { now, .. } => Some(now),
                    Pace::Last(_) => partition.stored.since,
                },
            };
            let metadata = metadata.map(|metadata| metadata.text);
            let commit = Commit { partition: partition.name.clone(), offset, metadata };
            if is_further { store.push(commit) } else { alone.push(commit) }
        }
        let metadata_alone = alone.len();
        store.append(&mut alone);
        Commits { store, metadata_alone }
    }

    /// What was sent as metadata alone did not arrive: it is due again.
    pub(crate) fn send_again(&mut self) {
        for partition in self.partitions.values_mut() {
            partition.stored.changes = u64::MAX;
        }
    }

    /// Offsets go without metadata from now on; those that went with some are due again. False where that
    /// is so already.
    pub(crate) fn leave_metadata_out(&mut self) -> bool {
        for partition in self.partitions.values_mut().filter(|partition| partition.stored.records > 0) {
            partition.stored = Stored::default();
        }
        std::mem::replace(&mut self.has_metadata, false)
    }

    #[cfg(test)]
    pub(crate) fn store_list(&mut self) -> Vec<(TopicPartition, i64)> {
        let now = Instant::now() + LONG_PAUSE;
        let pace = Pace::Every { interval: Duration::ZERO, now, may_commit: false };
        self.commits(pace).store.into_iter().map(|commit| (commit.partition, commit.offset)).collect()
    }
}
