//! Partitions come and go: where to start and to end in them, and the drain before they leave.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rdkafka::{Offset, TopicPartitionList};

use super::ledger::Name;
use super::shared::{Shared, Stop};
use crate::kafka::ffi::{Assigned, Consumer, Rebalance};
use crate::offset::{From, Until};

/// How long a partition's commands get between KILL and being given up.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// What the polling thread does inside a rebalance.
pub struct Rebalancer {
    pub shared: Arc<Shared>,
    /// Where to start in a partition that the group has committed nothing for.
    pub from: From,
    pub until: Option<Until>,
    /// For a question to the cluster.
    pub timeout: Duration,
    /// How long running commands may go on when their partition is revoked.
    pub drain: Duration,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// Partitions that were started in before: `from` holds once a run.
    pub started: HashSet<Name>,
    pub last_assigned: Option<Instant>,
}

/// A list for librdkafka of these partitions, each with its offset.
pub fn list<'a>(entries: impl IntoIterator<Item = (&'a str, i32, Offset)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in entries {
        // Only an offset that no Offset can be is refused.
        let _ = list.add_partition_offset(topic, partition, offset);
    }
    list
}

/// Stores what can be committed: the next commit commits it.
pub fn store(consumer: &Consumer, shared: &Shared) {
    let offsets = shared.ledger().store_list();
    if offsets.is_empty() {
        return;
    }
    let offsets = list(
        offsets.iter().map(|(topic, partition, offset)| (&**topic, *partition, Offset::Offset(*offset))),
    );
    if let Err(code) = consumer.store(&offsets) {
        // A partition that left meanwhile: its new owner commits for it.
        shared.log.verbose(1, format_args!("store offsets: {code}"));
    }
}

fn names(partitions: &[Assigned]) -> Vec<Name> {
    partitions.iter().map(|p| (Arc::clone(&p.topic), p.partition)).collect()
}

/// Partitions as a person reads them: `orders[0] orders[1]`.
fn shown(names: &[Name]) -> String {
    let all: Vec<String> = names.iter().map(|(topic, partition)| format!("{topic}[{partition}]")).collect();
    all.join(" ")
}

impl Rebalance for Rebalancer {
    fn assigned(&mut self, consumer: &Consumer, partitions: &mut [Assigned]) {
        self.last_assigned = Some(Instant::now());
        if partitions.is_empty() {
            return;
        }
        let names = names(partitions);
        self.shared.log.verbose(1, format_args!("assigned: {}", shown(&names)));
        let committed = list(partitions.iter().map(|p| (&*p.topic, p.partition, Offset::Invalid)));
        let known = consumer.committed(&committed, self.timeout);
        if let Err(code) = known {
            self.shared.log.error(format_args!("ask for the group's committed offsets: {code}"));
        }
        for partition in partitions.iter_mut() {
            let name = (Arc::clone(&partition.topic), partition.partition);
            let stored = committed.find_partition(&partition.topic, partition.partition).map(|e| e.offset());
            if known.is_ok() && !matches!(stored, Some(Offset::Offset(_))) {
                let from = if self.started.contains(&name) { From::Beginning } else { self.from };
                partition.offset = self.start(consumer, &name, from);
            }
            let until = self.end(consumer, &name);
            self.started.insert(name.clone());
            self.shared.ledger().assign(&name, until);
        }
    }

    fn revoked(&mut self, consumer: &Consumer, partitions: &[Assigned], lost: bool) {
        let names = names(partitions);
        if names.is_empty() {
            return;
        }
        let word = if lost { "lost" } else { "revoked" };
        self.shared.log.verbose(1, format_args!("{word}: {}", shown(&names)));
        let epochs: HashSet<u64> = {
            let mut ledger = self.shared.ledger();
            for name in &names {
                ledger.drain(name);
            }
            names.iter().filter_map(|name| ledger.epoch_of(name)).collect()
        };
        let of_these = |owner: u64| epochs.contains(&owner);
        if lost || matches!(self.shared.stopping(), Some(Stop::Fenced(_))) {
            // They are somebody else's by now: nothing is stored, nothing is finished.
            self.shared
                .log
                .error(format_args!("partitions lost: {}; their records run again elsewhere", shown(&names)));
            let mut ledger = self.shared.ledger();
            ledger.terminate(&names);
            for name in &names {
                ledger.end(name);
            }
            drop(ledger);
            self.shared.groups.kill(of_these);
            return;
        }
        self.drain(&names, &of_these);
        store(consumer, &self.shared);
        let mut ledger = self.shared.ledger();
        for name in &names {
            ledger.end(name);
        }
    }
}

impl Rebalancer {
    /// Waits for what runs of these partitions; tells it to end, kills it, gives it up.
    fn drain(&self, names: &[Name], of_these: &dyn Fn(u64) -> bool) {
        let shared = &self.shared;
        let idle = |deadline: Duration| {
            shared.wait(Instant::now() + deadline, |ledger| ledger.running_of(names) == 0)
        };
        if idle(self.drain) {
            return;
        }
        shared.log.note(format_args!("commands of {} still run: telling them to end", shown(names)));
        shared.ledger().terminate(names);
        shared.groups.terminate(of_these);
        if idle(self.grace) {
            return;
        }
        shared.groups.kill(of_these);
        if !idle(AFTER_KILL) {
            let left = shared.ledger().running_places(names);
            shared.tally.abandoned.fetch_add(left.len() as u64, Relaxed);
        }
    }

    /// Where to start in a partition without a committed offset.
    pub fn start(&self, consumer: &Consumer, (topic, partition): &Name, from: From) -> Offset {
        let watermarks = || consumer.watermarks(topic, *partition, self.timeout);
        let outcome = match from {
            From::Beginning | From::Stored => return Offset::Beginning,
            From::End => watermarks().map(|(_, high)| Offset::Offset(high)),
            From::Offset(offset) => return Offset::Offset(offset),
            From::Relative(n) => watermarks().map(|(low, high)| Offset::Offset((high - n).max(low))),
            From::Time(ms) => self.at_time(consumer, topic, *partition, ms),
        };
        outcome.unwrap_or_else(|code| {
            self.shared.stop(Stop::Failed(format!("{topic}[{partition}]: where to start: {code}")));
            Offset::Beginning
        })
    }

    fn at_time(
        &self,
        consumer: &Consumer,
        topic: &str,
        partition: i32,
        ms: i64,
    ) -> Result<Offset, rdkafka::types::RDKafkaErrorCode> {
        let times = list([(topic, partition, Offset::Offset(ms))]);
        consumer.offsets_for_times(&times, self.timeout)?;
        match times.find_partition(topic, partition).map(|e| e.offset()) {
            Some(Offset::Offset(offset)) => Ok(Offset::Offset(offset)),
            // Nothing at or after it.
            _ => consumer.watermarks(topic, partition, self.timeout).map(|(_, high)| Offset::Offset(high)),
        }
    }

    /// The exclusive end of what is asked for in a partition.
    fn end(&self, consumer: &Consumer, (topic, partition): &Name) -> Option<i64> {
        let outcome = match self.until? {
            Until::End => consumer.watermarks(topic, *partition, self.timeout).map(|(_, high)| high),
            Until::Offset(offset) => return Some(offset),
            Until::Time(ms) => self.at_time(consumer, topic, *partition, ms).map(|offset| match offset {
                Offset::Offset(offset) => offset,
                _ => i64::MAX,
            }),
        };
        outcome.map_or_else(
            |code| {
                self.shared.stop(Stop::Failed(format!("{topic}[{partition}]: where to end: {code}")));
                None
            },
            Some,
        )
    }
}
