//! The cluster's metadata: its brokers, topics and partitions. Pure: no clock, no IO.

use rdkafka::metadata::Metadata;

use super::code::Code;

/// One partition of a topic, as the cluster's metadata has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub id: i32,
    /// The leader's broker id, -1 where there is none.
    pub leader: i32,
    /// Broker ids of all replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Broker ids of the replicas in sync.
    pub isr: Vec<i32>,
    pub error: Option<Code>,
}

/// One topic of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicMetadata {
    pub name: String,
    /// In ascending order of their ids.
    pub partitions: Vec<PartitionMetadata>,
    pub error: Option<Code>,
}

impl TopicMetadata {
    /// A topic with these partitions, which a broker lists in any order.
    pub(crate) fn new(name: String, mut partitions: Vec<PartitionMetadata>, error: Option<Code>) -> Self {
        partitions.sort_by_key(|partition| partition.id);
        Self { name, partitions, error }
    }

    /// How many replicas each partition has.
    pub(crate) fn replication_factor(&self) -> usize {
        self.partitions.iter().map(|p| p.replicas.len()).max().unwrap_or(0)
    }

    /// Whether it belongs to Kafka itself: those names begin with two underscores.
    pub(crate) fn is_internal(&self) -> bool {
        self.name.starts_with("__")
    }

    /// Whether it has partitions and each has a leader.
    pub(crate) fn is_led(&self) -> bool {
        self.error.is_none() && !self.partitions.is_empty() && self.partitions.iter().all(|p| p.leader >= 0)
    }
}

/// One answer to a metadata request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// `host:port` of each broker.
    pub brokers: Vec<String>,
    /// Those asked for; sorted by name.
    pub topics: Vec<TopicMetadata>,
}

impl From<&Metadata> for Cluster {
    fn from(metadata: &Metadata) -> Self {
        let mut topics: Vec<TopicMetadata> = metadata
            .topics()
            .iter()
            .map(|topic| {
                let partitions = topic.partitions().iter().map(|p| PartitionMetadata {
                    id: p.id(),
                    leader: p.leader(),
                    replicas: p.replicas().to_vec(),
                    isr: p.isr().to_vec(),
                    error: p.error().map(Into::into),
                });
                let error = topic.error().map(Into::into);
                TopicMetadata::new(topic.name().to_owned(), partitions.collect(), error)
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        let brokers = metadata.brokers().iter().map(|b| format!("{}:{}", b.host(), b.port())).collect();
        Self { brokers, topics }
    }
}
