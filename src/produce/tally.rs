//! What came of the records: counts, the first failure, the summary. Pure: no clock, no IO.

use std::fmt;
use std::time::Duration;

use crate::config::topic;
use crate::kafka::client::Delivery;
use crate::kafka::code::Code;
use crate::kafka::errors::words;
use crate::record::json::short;

/// Where in the input a record stood, packed into the number that librdkafka hands back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Index of the input, below 2^24.
    pub input: usize,
    /// 1-based number of the record in it, below 2^40.
    pub line: u64,
}

impl Place {
    const LINE_BITS: u32 = 40;

    /// The place as one number.
    pub(super) fn tag(self) -> u64 {
        ((self.input as u64) << Self::LINE_BITS) | (self.line & ((1 << Self::LINE_BITS) - 1))
    }

    /// The place of a number that [`Place::tag`] gave.
    pub(super) fn of(tag: u64) -> Self {
        Self { input: (tag >> Self::LINE_BITS) as usize, line: tag & ((1 << Self::LINE_BITS) - 1) }
    }
}

/// Why a record was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub code: Code,
    /// Where the record, and not the command line, said where it goes.
    topic: Option<String>,
    partition: i32,
    rank: u8,
}

/// Of the records of a batch that is refused, the one that is the reason comes first: not one beside it, and one
/// without a key, if a topic is compacted, before one that has a key.
fn rank(code: Code, has_key: Option<bool>) -> u8 {
    match (code, has_key) {
        (Code::InvalidDifferentRecord, _) => 2,
        (Code::InvalidRecord, Some(true)) => 1,
        _ => 0,
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topic) = &self.topic {
            // It may be too long for a line.
            let name = short(topic);
            match self.code {
                // Of an illegal name librdkafka says the first where the record waited for the broker's
                // answer, and the second where it came after that.
                Code::InvalidTopic | Code::UnknownTopic | Code::UnknownTopicOrPartition
                    if let Some(flaw) = topic::flaw(topic) =>
                {
                    return f.write_str(&short(&flaw));
                }
                Code::UnknownTopicOrPartition | Code::UnknownTopic => {
                    return f.write_str(&topic::absent(&name));
                }
                Code::UnknownPartition if self.partition >= 0 => {
                    let partition = self.partition;
                    return write!(
                        f,
                        "topic {name} has no partition {partition} (`kq topic describe {name}` shows those it has)"
                    );
                }
                Code::InvalidTopic => return write!(f, "topic {name}: not accepted"),
                _ => write!(f, "topic {name}: ")?,
            }
        }
        match self.code {
            Code::MessageSizeTooLarge => {
                f.write_str("larger than the topic takes (its max.message.bytes)")?;
            }
            Code::MessageTimedOut => {
                f.write_str("not acknowledged within --delivery-timeout")?;
            }
            Code::PurgeQueue | Code::PurgeInflight => {
                f.write_str("given up before it was acknowledged")?;
            }
            // The batch fails whole, and librdkafka does not say for which of its records.
            code @ (Code::InvalidTimestamp | Code::InvalidRecord | Code::InvalidDifferentRecord) => {
                write!(f, "{}; -X batch.num.messages=1 sends the others", words(code))?;
            }
            code => f.write_str(&words(code))?,
        }
        if self.partition >= 0 {
            write!(f, " (partition {})", self.partition)?;
        }
        Ok(())
    }
}

/// What records name themselves: what is wrong with it says nothing about the other records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    pub topics: bool,
    pub partitions: bool,
}

/// Counts of one run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Acknowledged records, and the bytes of their keys and values.
    pub delivered: u64,
    pub bytes: u64,
    /// Records that were not acknowledged, and the one that stands first in the input. One that failed for
    /// another's sake is the first only where all did ([`rank`]).
    pub failed: u64,
    pub first: Option<(Place, Cause)>,
    /// Frames that are no valid record and were not sent, and the first of them, with the reason.
    pub invalid: u64,
    pub first_invalid: Option<(Place, String)>,
    /// Records whose own timestamp is before 2001, and the first of them with it, in milliseconds.
    pub early: u64,
    pub first_early: Option<(Place, i64)>,
    /// An error after which no other record can succeed.
    pub hopeless: Option<Code>,
    own: Own,
    /// Those of the first [`REPORTED`] failures that were not taken yet.
    fresh: Vec<(Place, Cause)>,
}

/// So many failed records are reported one by one while there is more to read.
const REPORTED: u64 = 10;

impl Tally {
    /// Nothing yet, of records that name this themselves.
    pub(super) fn new(own: Own) -> Self {
        Self { own, ..Self::default() }
    }

    /// Records of which a delivery report, or a refusal, is known.
    pub(super) fn reported(&self) -> u64 {
        self.delivered + self.failed
    }

    /// Takes a delivery report in.
    pub(super) fn report(&mut self, delivery: Delivery<'_>) {
        match delivery.error {
            None => {
                self.delivered += 1;
                self.bytes += delivery.bytes as u64;
            }
            Some(code) => {
                let (place, topic) = (Place::of(delivery.tag), delivery.topic.name());
                self.fail_with(place, code, &topic, delivery.partition, Some(delivery.has_key));
            }
        }
    }

    /// Whether the error concerns the client or the topic of all, and so every record to come.
    fn is_hopeless(&self, code: Code) -> bool {
        use Code as E;
        match code {
            E::UnknownPartition | E::UnknownTopicOrPartition => !self.own.partitions && !self.own.topics,
            E::UnknownTopic | E::InvalidTopic | E::TopicAuthorizationFailed | E::PolicyViolation => {
                !self.own.topics
            }
            code => matches!(
                code,
                E::Fatal
                    | E::ClusterAuthorizationFailed
                    | E::TransactionalIdAuthorizationFailed
                    | E::InvalidRequiredAcks
                    | E::Authentication
                    | E::UnsupportedForMessageFormat
            ),
        }
    }

    /// Counts a record that was sent with a timestamp of its own that is before 2001; records come in
    /// their order.
    pub(super) fn count_early(&mut self, place: Place, ms: i64) {
        self.early += 1;
        self.first_early.get_or_insert((place, ms));
    }

    /// Counts a frame that is no valid record; frames come in their order.
    pub(super) fn refuse(&mut self, place: Place, why: String) {
        self.invalid += 1;
        self.first_invalid.get_or_insert((place, why));
    }

    /// Counts a record that failed on its way to this partition, which is negative where none was chosen.
    pub(super) fn fail(&mut self, place: Place, code: Code, topic: &str, partition: i32) {
        self.fail_with(place, code, topic, partition, None);
    }

    fn fail_with(&mut self, place: Place, code: Code, topic: &str, partition: i32, has_key: Option<bool>) {
        self.failed += 1;
        if self.is_hopeless(code) {
            self.hopeless = Some(code);
        }
        let is_fresh = self.failed <= REPORTED;
        let rank = rank(code, has_key);
        let is_first = self.first.as_ref().is_none_or(|(first, cause)| (rank, place) < (cause.rank, *first));
        if !is_fresh && !is_first {
            return;
        }
        let topic = (self.own.topics || self.own.partitions).then(|| topic.to_owned());
        let cause = Cause { code, topic, partition, rank };
        if is_fresh {
            self.fresh.push((place, cause.clone()));
        }
        if is_first {
            self.first = Some((place, cause));
        }
    }

    /// Whether there are failures that [`Tally::take_fresh`] would give.
    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Those of the first few failures that were not reported yet.
    pub(super) fn take_fresh(&mut self) -> Vec<(Place, Cause)> {
        std::mem::take(&mut self.fresh)
    }

    /// `1,000 records acknowledged, 136.0 kB in 0.52 s (1,923 records/s, 261.5 kB/s)`, with `done`
    /// as the word for what they are.
    pub(super) fn summary(&self, done: &str, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(1e-6);
        let plural = if self.delivered == 1 { "" } else { "s" };
        format!(
            "{} record{plural} {done}, {} in {} ({} records/s, {}/s)",
            indicatif::HumanCount(self.delivered),
            indicatif::DecimalBytes(self.bytes),
            human_seconds(elapsed),
            indicatif::HumanCount((self.delivered as f64 / seconds) as u64),
            indicatif::DecimalBytes((self.bytes as f64 / seconds) as u64),
        )
    }
}

fn human_seconds(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(1) {
        format!("{} ms", elapsed.as_millis())
    } else {
        format!("{:.2} s", elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::client::Persistence;

    proptest! {
        #[test]
        fn a_place_survives_its_number(input in 0usize..1 << 24, line in 0u64..1 << 40) {
            let place = Place { input, line };
            prop_assert_eq!(Place::of(place.tag()), place);
        }

        #[test]
        fn places_sort_as_the_input_stands(a in (0usize..9, 1u64..9), b in (0usize..9, 1u64..9)) {
            let (a, b) = (Place { input: a.0, line: a.1 }, Place { input: b.0, line: b.1 });
            prop_assert_eq!(a.cmp(&b), a.tag().cmp(&b.tag()));
        }
    }

    #[test]
    fn a_failure_names_the_topic_and_partition_that_the_record_named() {
        use Code as E;
        let why = |tally: &mut Tally, code, topic: &str, partition| {
            tally.fail(Place { input: 0, line: 1 }, code, topic, partition);
            tally.take_fresh().pop().unwrap().1.to_string()
        };
        let mut own = Tally::new(Own { topics: true, partitions: true });
        let absent = topic::absent("foo");
        for (code, topic, partition, expected) in [
            (E::UnknownTopic, "foo", -1, absent.as_str()),
            (E::UnknownTopicOrPartition, "foo", 0, absent.as_str()),
            (
                E::UnknownPartition,
                "foo",
                7,
                "topic foo has no partition 7 (`kq topic describe foo` shows those it has)",
            ),
            (E::InvalidTopic, "", -1, "a topic's name can't be empty"),
            (E::InvalidTopic, "foo", -1, "topic foo: not accepted"),
            (
                E::MessageTimedOut,
                "foo",
                7,
                "topic foo: not acknowledged within --delivery-timeout (partition 7)",
            ),
        ] {
            assert_eq!(why(&mut own, code, topic, partition), expected);
        }
        for code in [E::InvalidTopic, E::UnknownTopic, E::UnknownTopicOrPartition] {
            let illegal = why(&mut Tally::new(Own { topics: true, partitions: true }), code, "bad name", -1);
            assert!(illegal.starts_with("`bad name` can't be a topic's name: it holds ' '"), "{illegal}");
        }
        assert!(
            why(&mut own, E::InvalidTopic, &"x".repeat(100_000), -1).contains("100000 bytes is too long")
        );
        assert!(why(&mut own, E::UnknownTopic, &"x".repeat(100_000), -1).len() < 1000);
        // The one topic of all needs no naming.
        let of_one = why(&mut Tally::default(), E::MessageTimedOut, "foo", 7);
        assert_eq!(of_one, "not acknowledged within --delivery-timeout (partition 7)");
    }

    #[test]
    fn of_a_refused_batch_the_record_that_is_the_reason_is_named() {
        let mut tally = Tally::default();
        for (line, code, has_key) in [
            (1, Code::InvalidDifferentRecord, true),
            (3, Code::InvalidRecord, false),
            (2, Code::InvalidRecord, true),
            (4, Code::InvalidDifferentRecord, false),
        ] {
            tally.report(Delivery {
                tag: Place { input: 0, line }.tag(),
                error: Some(code),
                persistence: Persistence::Not,
                topic: &"",
                partition: -1,
                offset: -1,
                has_key,
                bytes: 1,
                header_bytes: 0,
            });
        }
        let causes: Vec<_> =
            tally.take_fresh().into_iter().map(|(place, cause)| (place.line, cause.to_string())).collect();
        assert!(causes[0].1.contains("another record of its batch"), "{causes:?}");
        assert!(causes[1].1.contains("one without a key in a compacted topic"), "{causes:?}");
        assert_eq!(tally.first.unwrap().0.line, 3);
    }

    #[test]
    fn the_first_failure_is_the_one_that_stands_first_in_the_input() {
        let mut tally = Tally::default();
        for line in [7, 3, 5] {
            tally.report(Delivery {
                tag: Place { input: 0, line }.tag(),
                error: Some(Code::MessageSizeTooLarge),
                persistence: Persistence::Not,
                topic: &"",
                partition: 2,
                offset: -1,
                has_key: false,
                bytes: 1,
                header_bytes: 0,
            });
        }
        assert_eq!((tally.failed, tally.bytes), (3, 0));
        let (place, cause) = tally.first.unwrap();
        assert_eq!(place.line, 3);
        assert_eq!(cause.to_string(), "larger than the topic takes (its max.message.bytes) (partition 2)");
    }
}
