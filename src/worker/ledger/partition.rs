//! One assigned partition: what is parked, queued and running of it. Pure: no clock, no IO.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::job::Outcome;
use super::tried::Tried;
use crate::reading::tracker::Tracker;
use crate::record::{Record, TopicPartition};
use crate::worker::deploy::Misses;
use crate::worker::lanes::{Lane, Lanes};
use crate::worker::progress::{DoneAhead, LeaderEpoch};

/// A record in the worker's hands.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) record: Arc<Record>,
    /// Its attempts, once one has failed.
    pub(super) tried: Option<Box<Tried>>,
    /// When it was taken, where that is known.
    pub(super) since: Option<Instant>,
    /// Its command failed when it was alone in a batch: it is tried again alone.
    pub(super) is_alone: bool,
    /// Its value could not be decoded for its command, which was said and counted.
    pub(super) is_undecoded: bool,
    /// It does not run before, where it was to wait when it came.
    pub(super) due: Option<Instant>,
}

impl Item {
    /// A record that has not run.
    pub(super) fn new(record: Arc<Record>, since: Option<Instant>) -> Self {
        Self { record, tried: None, since, is_alone: false, is_undecoded: false, due: None }
    }
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) item: Item,
    pub(super) lane: Option<Lane>,
    pub(super) since: Instant,
}

/// What the client delivered and was not taken yet, in the order of offsets.
#[derive(Debug)]
pub(super) enum Parked {
    Record(Arc<Record>, LeaderEpoch),
    /// A record that runs at this time at the earliest.
    Delayed(Arc<Record>, LeaderEpoch, Instant),
    /// A record that no command runs for.
    Passed(i64, LeaderEpoch, Passed),
}

/// Why no command runs for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// No filter lets it through.
    Filtered,
    /// It was done before the partition was assigned, as the group's commit says.
    AlreadyDone,
}

impl Parked {
    pub(super) fn offset(&self) -> i64 {
        match self {
            Self::Record(record, _) | Self::Delayed(record, ..) => record.offset,
            Self::Passed(offset, ..) => *offset,
        }
    }

    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        match self {
            Self::Record(_, epoch) | Self::Delayed(_, epoch, _) | Self::Passed(_, epoch, _) => *epoch,
        }
    }

    /// What holding it costs, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Record(record, _) | Self::Delayed(record, ..) => weight(record),
            Self::Passed(..) => size_of::<Self>(),
        }
    }
}

/// Records and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.records -= 1;
        self.bytes -= bytes;
    }

    /// Whether it reaches neither of these.
    pub(super) fn is_below(self, limit: Self) -> bool {
        self.records < limit.records && self.bytes < limit.bytes
    }
}

/// How much of the queue may wait for its lane or its retry. Half is for those that come first; a
/// quarter is divided among the partitions. So records that wait, of all partitions but one, leave room
/// for that one.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingRoom {
    /// There is no other partition.
    pub(super) is_all: bool,
    pub(super) first_come: Load,
    pub(super) reserve: Load,
}

impl WaitingRoom {
    /// Whether one more may wait where so much does, in all and of its partition.
    pub(super) fn admits(self, all: Load, of_partition: Load) -> bool {
        self.is_all || all.is_below(self.first_come) || of_partition.is_below(self.reserve)
    }
}

/// What was handed out last to be committed of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stored {
    pub(super) offset: Option<i64>,
    /// The tracker's changes at that time.
    pub(super) changes: u64,
    /// How many done records the metadata held, …
    pub(super) records: usize,
    /// … whether it was long, and when that was.
    pub(super) is_long: bool,
    pub(super) since: Option<Instant>,
}

/// The oldest record of a partition that is not done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front {
    pub(super) offset: i64,
    /// Since when nothing before it is open.
    pub(super) since: Instant,
    /// When it is said that it holds its partition up.
    pub(super) say_at: Instant,
}

/// One assigned partition, from assign to revoke.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: TopicPartition,
    pub(super) tracker: Tracker,
    /// Delivered by the client, and not taken: its queue is full or the span is reached.
    pub(super) parked: VecDeque<Parked>,
    pub(super) lanes: Lanes<Item>,
    pub(super) running: HashMap<i64, Running>,
    /// Of the records for which the command can't be run, by offset.
    pub(super) misses: HashMap<i64, Misses>,
    /// Queued, and not in the lanes: they wait for their retry, or for the end of their delay.
    pub(super) retrying: usize,
    pub(super) queued_bytes: usize,
    /// Of what is queued, what was delayed when it came and did not run yet: when it may, and its offset.
    pub(super) delayed: BTreeSet<(Instant, i64)>,
    /// Nothing that is delayed is due soon: see [`Ledger::look_ahead`](super::Ledger::look_ahead).
    pub(super) is_far: bool,
    /// Of what is queued, what waits for its lane or its retry.
    pub(super) waiting: Load,
    /// Exclusive end of what is asked for.
    pub(super) until: Option<i64>,
    /// Its end is before the first record of this time, in ms since the epoch.
    pub(super) until_time: Option<i64>,
    /// Records before this offset are not asked for: a start past the end was given.
    pub(super) first: Option<i64>,
    /// An end that was seen behind what is parked: it counts once that is taken.
    pub(super) end_behind: Option<i64>,
    /// Whether the broker said that nothing follows what came, and nothing came since.
    pub(super) at_end: bool,
    /// Nothing more is taken: the end was reached, and all before it is taken.
    pub(super) ended: bool,
    /// Nothing more is taken or started: it is being revoked.
    pub(super) draining: bool,
    /// Whether the client has paused it; `None` where it was not asked since the assignment:
    /// a pause survives revoke and assign on one client.
    pub(super) paused: Option<bool>,
    /// Its commands were terminated before they were done.
    pub(super) terminated: bool,
    /// A batch of it runs, and no other may run beside it.
    pub(super) busy: bool,
    /// Records whose retry came due while a batch ran that their lanes must still hold back.
    pub(super) due: Vec<(Option<Lane>, Item)>,
    /// Whether it waits in [`Ledger::turns`].
    pub(super) in_turn: bool,
    pub(super) stored: Stored,
    /// What was done beyond the commit that it was taken over at, as far as it did not come yet.
    pub(super) done_before: Option<DoneAhead>,
    /// Where it began, where that is known.
    pub(super) position: Option<i64>,
    /// The end of the partition, as it was last seen.
    pub(super) high: Option<i64>,
    /// The record that holds it up.
    pub(super) front: Option<Front>,
}

impl Partition {
    pub(super) fn queued(&self) -> usize {
        self.lanes.len() + self.retrying
    }

    /// Whether the record at this offset was given out, and is not finished.
    pub(super) fn runs(&self, offset: i64) -> bool {
        self.running.contains_key(&offset)
    }

    /// The offset after all that came, where that is known.
    pub(super) fn read_to(&self) -> Option<i64> {
        let parked = self.parked.back().map(|parked| parked.offset() + 1);
        parked.max(self.tracker.read_to()).max(self.end_behind).max(self.position)
    }

    /// Drops what is parked, and the end behind it, which would be taken for the end of what is held.
    /// Says how many records that were and their bytes.
    pub(super) fn drop_parked(&mut self) -> (usize, usize) {
        self.end_behind = None;
        let dropped = std::mem::take(&mut self.parked);
        (dropped.len(), dropped.iter().map(Parked::weight).sum())
    }

    /// Lets an end count that nothing parked is before any more.
    pub(super) fn pass_end(&mut self) {
        if let Some(end) = self.end_behind.take_if(|_| self.parked.is_empty()) {
            // An end before the start that was asked for is not committed: it would be read from next.
            if self.first.is_none_or(|first| end >= first) {
                self.tracker.reach_end(self.until.map_or(end, |until| until.min(end)));
            }
            self.ended |= self.until.is_some_and(|until| end >= until);
        }
    }
}

impl Partition {
    /// An attempt at a record is over: where it spent one, the command could be run.
    pub(super) fn note_run(&mut self, offset: i64, outcome: Outcome) {
        if !self.misses.is_empty() && !matches!(outcome, Outcome::Again(_)) {
            self.misses.remove(&offset);
        }
    }
}

/// What holding a record costs besides its bytes.
pub(super) const OVERHEAD: usize = 200;

/// What a queued record weighs: its bytes and what holding it costs.
pub(super) fn weight(record: &Record) -> usize {
    let headers: usize =
        record.headers.iter().map(|(name, value)| 64 + name.len() + value.as_ref().map_or(0, Vec::len)).sum();
    OVERHEAD + headers + record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len)
}
