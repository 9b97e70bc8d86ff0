//! What holds a partition up: the oldest record that is not done, and since when it is that. Pure: time is
//! passed in, no IO.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::HumanCount;

use super::Ledger;
use super::partition::{Front, Item, Partition};
use crate::record::TopicPartition;
use crate::worker::lanes::Lane;

/// A record that keeps failing holds its partition up for so long before that is said, and again each time.
const HELD_UP: Duration = Duration::from_mins(1);

/// A partition that a record which keeps failing holds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldUp {
    pub name: TopicPartition,
    pub offset: i64,
    /// The attempt that failed last, from 1.
    pub attempt: u32,
    /// How that ended.
    pub how: String,
    /// Records behind it that were taken in.
    pub ahead: usize,
}

impl fmt::Display for HeldUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, offset, attempt, how, ahead } = self;
        write!(f, "{name} held up by @{offset}: attempt {attempt}, {how}; ")?;
        match ahead {
            0 => write!(f, "no record ahead was read"),
            1 => write!(f, "1 record ahead is done or waits"),
            _ => write!(f, "{} records ahead are done or wait", HumanCount(*ahead as u64)),
        }
    }
}

impl Partition {
    fn look_at_front(&mut self, now: Instant) -> Option<Front> {
        let offset = self.tracker.committable().filter(|_| self.tracker.unresolved() > 0);
        let Some(offset) = offset else {
            self.front = None;
            return None;
        };
        if self.delayed.iter().any(|(_, delayed)| *delayed == offset) {
            // It waits as it is asked to.
            self.front = None;
            return None;
        }
        if self.front.is_none_or(|front| front.offset != offset) {
            self.front = Some(Front { offset, since: now, say_at: now + HELD_UP });
        }
        let front = self.front.as_mut().filter(|front| front.say_at <= now)?;
        front.say_at = now + HELD_UP;
        Some(*front)
    }
}

impl Ledger {
    /// Looks at the oldest open record of each partition. Gives those that it is time to speak of.
    pub(crate) fn look_at_fronts(&mut self, now: Instant) -> Vec<HeldUp> {
        let mut due = Vec::new();
        for (epoch, partition) in &mut self.partitions {
            if let Some(front) = partition.look_at_front(now) {
                due.push((*epoch, front.offset));
            }
        }
        let pause = self.outage.pause_number();
        let mut held_up = Vec::new();
        for (epoch, offset) in due {
            let Some(partition) = self.partitions.get(&epoch) else { continue };
            let running = partition.running.get(&offset).map(|running| &running.item);
            let waits =
                |(of, _, item): &&(u64, Option<Lane>, Item)| *of == epoch && item.record.offset == offset;
            let item = running.or_else(|| self.retries.values().find(waits).map(|(_, _, item)| item));
            let Some((item, how)) = item.and_then(|item| Some((item, item.how()?))) else { continue };
            held_up.push(HeldUp {
                name: partition.name.clone(),
                offset,
                attempt: item.attempt(pause).saturating_sub(1).max(1),
                how: how.to_owned(),
                ahead: partition.tracker.ahead() + partition.tracker.unresolved() - 1,
            });
        }
        held_up.sort_by(|a, b| a.name.cmp(&b.name));
        held_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_partition_up_is_one_line() {
        let name = TopicPartition::new("orders", 0);
        let mut held_up = HeldUp { name, offset: 17, attempt: 67, how: "exit 1".into(), ahead: 10_000 };
        assert_eq!(
            held_up.to_string(),
            "orders[0] held up by @17: attempt 67, exit 1; 10,000 records ahead are done or wait"
        );
        held_up.ahead = 1;
        assert!(held_up.to_string().ends_with("; 1 record ahead is done or waits"));
        held_up.ahead = 0;
        assert!(held_up.to_string().ends_with("; no record ahead was read"));
    }
}
