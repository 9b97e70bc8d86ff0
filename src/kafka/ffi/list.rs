//! Lists of partitions for librdkafka, and what it wrote into them.

use rdkafka::bindings as sys;
use rdkafka::{Offset, TopicPartitionList};

use super::{slice, text};
use crate::kafka::client::{Assigned, Commit, Committed, StartAt};
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

/// A list of partitions, each with an offset and its metadata.
pub(super) fn of_commits(commits: &[Commit]) -> TopicPartitionList {
    let list = list(commits.iter().map(|c| (&*c.partition.topic, c.partition.partition, c.offset)));
    for (commit, element) in commits.iter().zip(list.elements()) {
        if let (Some(metadata), mut element) = (&commit.metadata, element) {
            element.set_metadata(metadata);
        }
    }
    list
}

/// What a group has committed of each of these partitions, in their order.
///
/// # Safety
/// The list is one that librdkafka wrote an answer into.
pub(super) unsafe fn committed(
    list: &TopicPartitionList,
    partitions: &[TopicPartition],
) -> Vec<Option<Committed>> {
    // SAFETY: the list is live; an element's metadata is null or has the length that stands beside it.
    let elements = unsafe { slice((*list.ptr()).elems, (*list.ptr()).cnt) };
    let metadata = |p: &TopicPartition| {
        // SAFETY: as above; what is read is copied.
        let element =
            elements.iter().find(|e| e.partition == p.partition && *unsafe { text(e.topic) } == *p.topic)?;
        let (data, length) = (element.metadata.cast::<u8>(), element.metadata_size);
        // SAFETY: as above.
        (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data, length) }.to_vec())
    };
    let offsets = offsets(list, partitions.iter());
    let committed = |(offset, p): (Option<i64>, &TopicPartition)| {
        Some(Committed { offset: offset?, metadata: metadata(p).unwrap_or_default() })
    };
    offsets.into_iter().zip(partitions).map(committed).collect()
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
    fn metadata_survives_the_way_to_librdkafka_and_back_also_where_it_is_no_text() {
        let (with, without) = (TopicPartition::new("a", 0), TopicPartition::new("b", 3));
        let commit = Commit { metadata: Some("kq1:é".to_owned()), ..Commit::from((with.clone(), 7)) };
        let list = of_commits(&[commit, Commit::from((without.clone(), 8))]);
        let asked = [without, TopicPartition::new("c", 0), with];
        // SAFETY: the list is of the form of an answer.
        let read = || unsafe { committed(&list, &asked) };
        let of = |offset, metadata: &[u8]| Some(Committed { offset, metadata: metadata.to_vec() });
        assert_eq!(read(), [of(8, b""), None, of(7, "kq1:é".as_bytes())]);
        // SAFETY: the first element's metadata has this length.
        unsafe { *(*(*list.ptr()).elems).metadata.cast::<u8>() = 0xff };
        assert_eq!(read()[2], of(7, b"\xffq1:\xc3\xa9"));
    }

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
