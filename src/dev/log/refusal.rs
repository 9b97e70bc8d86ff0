//! Why a batch was refused, also for single records of it, in Kafka's words (KIP-467). Pure: no clock, no IO.

use crate::dev::code::Code;

/// Why a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: Code,
    pub why: String,
    /// The single records that are the reason, if they are.
    pub faults: Faults,
}

/// How many records of a batch are listed, and of all batches of a request.
pub(crate) const LISTED: usize = 10_000;
/// How many of them the sentence about the batch repeats.
pub(super) const REPEATED: usize = 3;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has no key, and its topic is to be compacted.
    NoKey,
    /// Its time is not within the topic's limits, in milliseconds since the epoch.
    Time { time: i64, first: i64, last: i64 },
}

/// Single records for which a batch is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    count: usize,
    has_times: bool,
    /// The first [`LISTED`], by their place in the batch.
    pub listed: Vec<(i32, Fault)>,
}

impl Faults {
    /// Adds the record at `index` of the batch.
    pub(super) fn add(&mut self, index: i32, fault: Fault) {
        self.count += 1;
        self.has_times |= matches!(fault, Fault::Time { .. });
        if self.listed.len() < LISTED {
            self.listed.push((index, fault));
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether one of them has a time that is out of range.
    pub(super) fn has_times(&self) -> bool {
        self.has_times
    }

    /// What Kafka says about the batch; none if it is not refused for single records.
    pub(crate) fn sentence(&self, place: &str) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        if self.has_times {
            return Some("One or more records have been rejected due to invalid timestamp".into());
        }
        let first = self.listed.iter().take(REPEATED).map(|(index, fault)| {
            format!("RecordError(batchIndex={index}, message='{}')", fault.sentence(*index, place))
        });
        Some(format!(
            "One or more records have been rejected due to {} record errors in total, \
             and only showing the first three errors at most: [{}]",
            self.count,
            first.collect::<Vec<_>>().join(", ")
        ))
    }
}

impl Fault {
    /// What Kafka says about the record at `index` of its batch; `place` is `topic-partition`.
    pub(crate) fn sentence(self, index: i32, place: &str) -> String {
        match self {
            Self::NoKey => {
                format!("Compacted topic cannot accept message without key in topic partition {place}")
            }
            Self::Time { time, first, last } => format!(
                "Timestamp {time} of message with offset {index} is out of range. \
                 The timestamp should be within [{first}, {last}]"
            ),
        }
    }
}
