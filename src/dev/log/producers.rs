//! The idempotence window: which batches of a producer a partition has already. Pure: no clock, no IO.
//!
//! As `ProducerStateManager` and `ProducerAppendInfo` of Apache Kafka do it: the last five batches of a
//! producer are remembered; a repeated one is acknowledged with its old offset; any other sequence
//! number than the next one is refused.

use std::collections::{HashMap, VecDeque};

use crate::dev::code::{self, Code};

/// Batches that a producer may have in flight, and so may retry.
const KEPT: usize = 5;
/// Producers that are remembered per partition; the one that was silent for longest is dropped first.
const MAX_PRODUCERS: usize = 4096;
/// Producer ids from here on were invented by a client, not assigned by a broker.
const INVENTED: i64 = 1 << 62;

#[derive(Clone, Copy, Debug)]
struct Kept {
    first: i32,
    last: i32,
    base_offset: i64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    batches: VecDeque<Kept>,
    /// When it last wrote, as a count of appends.
    touched: u64,
    last_timestamp: i64,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Append it.
    New,
    /// Stored already, at this base offset.
    Duplicate(i64),
    /// Refused with this code.
    Refused(Code),
}

/// The idempotent producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
    appends: u64,
}

/// A batch as the window sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub producer_id: i64,
    pub epoch: i16,
    /// Sequence number of the first record.
    pub first: i32,
    /// Records, less one.
    pub last_offset_delta: i32,
    /// The latest time in it, milliseconds since the epoch.
    pub timestamp: i64,
}

/// A producer as an administrator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Active {
    pub id: i64,
    pub epoch: i16,
    pub last_sequence: i32,
    /// Of its last batch, milliseconds since the epoch.
    pub last_timestamp: i64,
}

impl Sequence {
    /// Sequence number of the last record: they wrap from `i32::MAX` to 0.
    fn last(self) -> i32 {
        advance(self.first, self.last_offset_delta)
    }
}

fn advance(from: i32, by: i32) -> i32 {
    let sum = i64::from(from) + i64::from(by);
    (if sum > i64::from(i32::MAX) { sum - i64::from(i32::MAX) - 1 } else { sum }) as i32
}

impl Producers {
    /// Judges a batch before it is appended.
    pub(crate) fn judge(&self, batch: Sequence) -> Verdict {
        if batch.producer_id < 0 {
            return Verdict::New;
        }
        if batch.first < 0 || batch.epoch < 0 {
            return Verdict::Refused(code::INVALID_RECORD);
        }
        let Some(producer) = self.by_id.get(&batch.producer_id) else {
            // An unknown producer (its records may be deleted): any sequence number is a valid start.
            return Verdict::New;
        };
        if batch.epoch < producer.epoch {
            return Verdict::Refused(code::INVALID_PRODUCER_EPOCH);
        }
        if batch.epoch > producer.epoch {
            return if batch.first == 0 {
                Verdict::New
            } else {
                Verdict::Refused(code::OUT_OF_ORDER_SEQUENCE_NUMBER)
            };
        }
        let again =
            producer.batches.iter().find(|kept| kept.first == batch.first && kept.last == batch.last());
        if let Some(kept) = again {
            return Verdict::Duplicate(kept.base_offset);
        }
        match producer.batches.back() {
            Some(newest) if advance(newest.last, 1) != batch.first => {
                Verdict::Refused(code::OUT_OF_ORDER_SEQUENCE_NUMBER)
            }
            _ => Verdict::New,
        }
    }

    /// Records a batch that was appended at `base_offset`.
    pub(crate) fn appended(&mut self, batch: Sequence, base_offset: i64) {
        if batch.producer_id < 0 {
            return;
        }
        self.appends += 1;
        if self.by_id.len() >= MAX_PRODUCERS && !self.by_id.contains_key(&batch.producer_id) {
            let oldest = self.by_id.iter().min_by_key(|(_, p)| p.touched).map(|(id, _)| *id);
            oldest.map(|id| self.by_id.remove(&id));
        }
        let producer = self.by_id.entry(batch.producer_id).or_insert_with(|| Producer {
            epoch: batch.epoch,
            batches: VecDeque::with_capacity(KEPT),
            touched: 0,
            last_timestamp: -1,
        });
        if producer.epoch != batch.epoch {
            producer.epoch = batch.epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == KEPT {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Kept { first: batch.first, last: batch.last(), base_offset });
        producer.touched = self.appends;
        producer.last_timestamp = batch.timestamp;
    }

    /// All producers, by id.
    pub(crate) fn active(&self) -> Vec<Active> {
        let active = |(id, producer): (&i64, &Producer)| Active {
            id: *id,
            epoch: producer.epoch,
            last_sequence: producer.batches.back().map_or(-1, |kept| kept.last),
            last_timestamp: producer.last_timestamp,
        };
        let mut all: Vec<_> = self.by_id.iter().map(active).collect();
        all.sort_by_key(|producer| producer.id);
        all
    }

    /// The highest producer id that wrote here, -1 for none. Ids that no broker assigned are ignored:
    /// after the largest of them no other id would be left.
    pub(crate) fn highest_id(&self) -> i64 {
        self.by_id.keys().copied().filter(|id| *id < INVENTED).max().unwrap_or(-1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: i32, count: i32) -> Sequence {
        Sequence { producer_id: 7, epoch: 0, first, last_offset_delta: count - 1, timestamp: 5 }
    }

    #[test]
    fn a_retried_batch_is_known_and_a_gap_is_refused() {
        let mut window = Producers::default();
        for (i, first) in (0..60).step_by(10).enumerate() {
            assert_eq!(window.judge(batch(first, 10)), Verdict::New);
            window.appended(batch(first, 10), i as i64 * 10);
        }
        assert_eq!(window.judge(batch(50, 10)), Verdict::Duplicate(50));
        assert_eq!(window.judge(batch(10, 10)), Verdict::Duplicate(10));
        // The sixth from the end has left the window.
        assert_eq!(window.judge(batch(0, 10)), Verdict::Refused(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(window.judge(batch(61, 1)), Verdict::Refused(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(window.judge(batch(50, 9)), Verdict::Refused(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(window.judge(batch(60, 1)), Verdict::New);
    }

    #[test]
    fn an_older_epoch_is_fenced_and_a_newer_one_starts_at_zero() {
        let mut window = Producers::default();
        window.appended(Sequence { epoch: 3, ..batch(5, 1) }, 0);
        assert_eq!(window.judge(batch(6, 1)), Verdict::Refused(code::INVALID_PRODUCER_EPOCH));
        let newer = |first| Sequence { epoch: 4, ..batch(first, 1) };
        assert_eq!(window.judge(newer(6)), Verdict::Refused(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(window.judge(newer(0)), Verdict::New);
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        let mut window = Producers::default();
        window.appended(batch(i32::MAX - 1, 2), 0);
        assert_eq!(window.judge(batch(0, 1)), Verdict::New);
        window.appended(batch(i32::MAX, 2), 2);
        assert_eq!(window.judge(batch(1, 1)), Verdict::New);
    }

    #[test]
    fn an_invented_id_is_not_the_highest_id() {
        let mut window = Producers::default();
        for producer_id in [5, i64::MAX, INVENTED, 3] {
            window.appended(Sequence { producer_id, ..batch(0, 1) }, 0);
        }
        assert_eq!(window.highest_id(), 5);
    }

    #[test]
    fn a_producer_is_shown_with_its_last_batch() {
        let mut window = Producers::default();
        window.appended(batch(0, 10), 0);
        window.appended(Sequence { timestamp: 6, ..batch(10, 2) }, 10);
        let active = Active { id: 7, epoch: 0, last_sequence: 11, last_timestamp: 6 };
        assert_eq!(window.active(), [active]);
    }

    #[test]
    fn producers_are_forgotten_oldest_first() {
        let mut window = Producers::default();
        for id in 0..=MAX_PRODUCERS as i64 {
            window.appended(Sequence { producer_id: id, ..batch(0, 1) }, id);
        }
        assert_eq!(window.by_id.len(), MAX_PRODUCERS);
        assert!(!window.by_id.contains_key(&0) && window.by_id.contains_key(&1));
    }
}
