//! What is known of one topic: its partitions, its limit, whether it is still there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::pending::Tag;
use crate::kafka::client::{Delivery, Persistence};
use crate::kafka::code::Code;
use crate::kafka::metadata::TopicMetadata;
use crate::lock::{Lock, SharedLock};

/// A topic that the cluster does not know for so long is gone: a broker that starts answers so, too.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// What a record takes in its batch besides its bytes, and the batch itself: at most about so much.
const OVERHEAD: usize = 200;

/// A topic of a publisher.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    partitions: SharedLock<Partitions>,
    /// Its `max.message.bytes`; 0: not known.
    limit: AtomicUsize,
    /// Since when the cluster does not know it.
    unknown: Lock<Option<Instant>>,
    is_gone: AtomicBool,
    /// Records that were refused for their size: the limit may be another one by now, and is asked first.
    held: Lock<Vec<Held>>,
    /// Something speaks against what is known.
    is_doubtful: AtomicBool,
}

/// A record that was refused for its size, or for that of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) tag: Tag,
    /// Bytes of its key, value and headers.
    pub(super) size: usize,
    pub(super) persistence: Persistence,
}

/// The partitions of a topic, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partitions {
    pub all: Arc<[i32]>,
    pub with_leader: Arc<[i32]>,
}

impl Topic {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            partitions: SharedLock::default(),
            limit: AtomicUsize::new(0),
            unknown: Lock::default(),
            is_gone: AtomicBool::new(false),
            held: Lock::default(),
            is_doubtful: AtomicBool::new(false),
        }
    }

    /// Its partitions, and those of them that have a leader.
    pub(super) fn set_partitions(&self, all: &[i32], with_leader: &[i32]) {
        *self.partitions.write() = Partitions { all: all.into(), with_leader: with_leader.into() };
    }

    pub(super) fn partitions(&self) -> Partitions {
        self.partitions.read().clone()
    }

    /// The partition of this turn, of those that have a leader.
    pub(super) fn partition(&self, turn: u32) -> Option<i32> {
        let partitions = self.partitions.read();
        let led = &partitions.with_leader;
        (!led.is_empty()).then(|| led[turn as usize % led.len()])
    }

    pub(super) fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Ordering::Acquire)).filter(|&limit| limit > 0)
    }

    pub(super) fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(0), Ordering::Release);
    }

    /// Whether the cluster has it no more.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Whether there is a reason to ask for it now.
    pub(super) fn wants_look(&self) -> bool {
        self.is_doubtful.load(Ordering::Acquire)
    }

    /// Keeps the report of a record that is too large until the limit was asked for.
    pub(super) fn hold(&self, held: Held) {
        self.held.lock().push(held);
    }

    /// What is kept, once.
    pub(super) fn take_held(&self) -> Vec<Held> {
        std::mem::take(&mut self.held.lock())
    }

    /// Why a record of this size was refused for its size.
    pub(super) fn too_large(&self, size: usize) -> Code {
        // Either its batch had one that is too large, or the batch of several was.
        let fits = self.limit().is_some_and(|limit| size + OVERHEAD < limit);
        if fits { Code::InvalidDifferentRecord } else { Code::MessageSizeTooLarge }
    }

    /// Whether something speaks against what is known, once.
    pub(super) fn take_doubt(&self) -> bool {
        self.is_doubtful.swap(false, Ordering::AcqRel)
    }

    /// The cluster's answer about it. Tells whether it is to be asked again soon.
    pub(super) fn learn(&self, metadata: &[TopicMetadata], now: Instant) -> bool {
        let found = metadata.iter().find(|topic| *topic.name == *self.name);
        let error = found.map_or(Some(Code::UnknownTopicOrPartition), |topic| topic.error);
        let mut unknown = self.unknown.lock();
        if matches!(error, Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)) {
            let since = *unknown.get_or_insert(now);
            let is_gone = now.saturating_duration_since(since) >= GONE_AFTER;
            self.is_gone.store(is_gone, Ordering::Release);
            if is_gone {
                self.partitions.write().with_leader = Arc::default();
            }
            return true;
        }
        *unknown = None;
        self.is_gone.store(false, Ordering::Release);
        if error.is_some() {
            return true;
        }
        let partitions = || found.into_iter().flat_map(|topic| &topic.partitions);
        let known = Partitions {
            all: partitions().map(|partition| partition.id).collect(),
            with_leader: partitions().filter(|p| p.leader >= 0).map(|partition| partition.id).collect(),
        };
        let lacks_leader = known.with_leader.len() < known.all.len();
        *self.partitions.write() = known;
        lacks_leader
    }

    /// Why a record failed, as well as it is known: the client's code, or what explains it.
    pub(super) fn cause(&self, code: Code, delivery: &Delivery<'_>) -> Code {
        match code {
            Code::MessageTimedOut => {
                self.is_doubtful.store(true, Ordering::Release);
                let is_gone = self.is_gone() && delivery.persistence == Persistence::Not;
                if is_gone { Code::UnknownTopicOrPartition } else { code }
            }
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                self.is_doubtful.store(true, Ordering::Release);
                code
            }
            _ => code,
        }
    }
}

#[cfg(test)]
mod tests;
