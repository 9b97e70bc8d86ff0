//! Lists of partitions for librdkafka, and what it wrote into them.

use rdkafka::bindings as sys;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::client::{Assigned, StartAt};
use crate::record::TopicPartition;

/// What librdkafka calls a start.
pub(super) fn raw_start(start: StartAt) -> i64 {
    match start {
        StartAt::Committed => sys::RD_KAFKA_OFFSET_INVALID.into(),
        StartAt::Beginning => sys::RD_KAFKA_OFFSET_BEGINNING.into(),
        StartAt::Offset(offset) => offset,
    }
}

/// The start that librdkafka means.
pub(super) fn start_of(raw: i64) -> StartAt {
    match raw {
        0.. => StartAt::Offset(raw),
        raw if raw == i64::from(sys::RD_KAFKA_OFFSET_BEGINNING) => StartAt::Beginning,
        _ => StartAt::Committed,
    }
}

/// A list of partitions, each with an offset as librdkafka has it.
fn list<'a>(entries: impl ExactSizeIterator<Item = (&'a str, i32, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(entries.len());
    for (topic, partition, raw) in entries {
        // Refuses only what no `Offset` can be, which `from_raw` does not make.
        let _ = list.add_partition_offset(topic, partition, Offset::from_raw(raw));
    }
    list
}

/// A list of partitions without offsets.
pub(super) fn of_partitions(partitions: &[TopicPartition]) -> TopicPartitionList {
    let none = raw_start(StartAt::Committed);
    list(partitions.iter().map(|p| (&*p.topic, p.partition, none)))
}

/// A list of partitions, each with an offset.
pub(super) fn of_offsets(offsets: &[(TopicPartition, i64)]) -> TopicPartitionList {
    list(offsets.iter().map(|(p, offset)| (&*p.topic, p.partition, *offset)))
}

/// A list of partitions, each with its start.
pub(super) fn of_starts(partitions: &[Assigned]) -> TopicPartitionList {
    list(partitions.iter().map(|p| (&*p.topic, p.partition, raw_start(p.start))))
}

/// A list of one partition.
pub(super) fn of_one(topic: &str, partition: i32, raw: i64) -> TopicPartitionList {
    list(std::iter::once((topic, partition, raw)))
}

/// The offset that the list has for each of these partitions, in their order.
pub(super) fn offsets<'a>(
    list: &TopicPartitionList,
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> Vec<Option<i64>> {
    let elements = list.elements();
    let offset = |(index, p): (usize, &TopicPartition)| {
        let is =
            |e: &&rdkafka::topic_partition_list::TopicPartitionListElem<'_>| p.is(e.topic(), e.partition());
        // librdkafka keeps the order; where it did not, the partition is looked for.
        let element = elements.get(index).filter(is).or_else(|| elements.iter().find(is))?;
        match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    };
    partitions.enumerate().map(offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_survives_the_way_to_librdkafka_and_back() {
        for start in [StartAt::Committed, StartAt::Beginning, StartAt::Offset(0), StartAt::Offset(i64::MAX)] {
            assert_eq!(start_of(raw_start(start)), start);
        }
        assert_eq!(start_of(sys::RD_KAFKA_OFFSET_STORED.into()), StartAt::Committed);
    }

    #[test]
    fn an_answer_is_in_the_order_of_the_question() {
        let asked: Vec<TopicPartition> = [("b", 1), ("a", 0), ("b", 0)]
            .map(|(topic, partition)| TopicPartition::new(topic, partition))
            .into();
        let answer = of_offsets(&[
            (TopicPartition::new("a", 0), 7),
            (TopicPartition::new("b", 0), -1001),
            (TopicPartition::new("b", 1), 5),
        ]);
        assert_eq!(offsets(&answer, asked.iter()), [Some(5), Some(7), None]);
        assert_eq!(offsets(&of_partitions(&asked), asked.iter()), [None, None, None]);
    }
}
