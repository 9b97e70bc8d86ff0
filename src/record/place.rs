//! The place of a record: a partition of a topic, and an offset in it. Pure: no clock, no IO.

use std::fmt;
use std::sync::Arc;

/// A partition of a topic; shown as `orders[3]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of this number in the topic of this name.
    pub(crate) fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// Whether it is the partition of this number in the topic of this name.
    pub(crate) fn is(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && &*self.topic == topic
    }

    /// An offset in it.
    pub(crate) fn at(&self, offset: i64) -> Place<'_> {
        Place { topic: &self.topic, partition: self.partition, offset }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// An offset in a partition of a topic, as every message writes it: `orders[3]@1042`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// Several partitions in a message: `orders[0] orders[1]`.
pub(crate) fn shown<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> String {
    partitions.into_iter().map(TopicPartition::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_as_topic_partition_and_offset() {
        let partition = TopicPartition::new("orders", 3);
        assert_eq!(partition.at(1042).to_string(), "orders[3]@1042");
        assert_eq!(shown([&partition, &TopicPartition::new("a", 0)]), "orders[3] a[0]");
        assert!(partition.is("orders", 3) && !partition.is("orders", 2) && !partition.is("order", 3));
    }
}
