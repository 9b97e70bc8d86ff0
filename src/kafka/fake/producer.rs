//! A producer to the cluster in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Cluster, Serving};
use crate::kafka::client::{Delivery, ProducerClient, TopicClient, TopicMetadata};
use crate::kafka::code::Code;
use crate::record::{Outgoing, Record, Timestamp};

/// Writes to the cluster in memory: a poll acknowledges all that is queued.
pub(crate) struct FakeProducer {
    cluster: Cluster,
    queue: RefCell<VecDeque<(u64, Record)>>,
    /// The next poll gives up what is queued.
    is_purged: Cell<bool>,
}

/// A topic of a [`FakeProducer`].
pub(crate) struct FakeTopic<'a> {
    producer: &'a FakeProducer,
    name: Arc<str>,
}

impl FakeProducer {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster, queue: RefCell::default(), is_purged: Cell::new(false) }
    }

    /// Queues a record, unless the queue is full.
    fn queue(&self, tag: u64, record: Record) -> Result<(), Code> {
        let room = self.cluster.state.borrow().room;
        if room.is_some_and(|room| self.queue.borrow().len() >= room) {
            self.cluster.note("full".to_owned());
            return Err(Code::QueueFull);
        }
        self.queue.borrow_mut().push_back((tag, record));
        Ok(())
    }

    /// What becomes of a record, and its offset.
    fn settle(&self, record: &Record) -> Result<i64, Code> {
        let outcome = self.cluster.state.borrow_mut().outcomes.pop_front();
        outcome.unwrap_or(Ok(()))?;
        let mut state = self.cluster.state.borrow_mut();
        let logs = state.topics.get_mut(&*record.topic).ok_or(Code::UnknownTopicOrPartition)?;
        let log = logs.get_mut(record.partition as usize).ok_or(Code::UnknownPartition)?;
        Ok(log.append(record.clone()))
    }
}

impl ProducerClient for FakeProducer {
    type Topic<'a> = FakeTopic<'a>;

    fn metadata(&self, topic: Option<&str>, _: Duration) -> Result<Vec<TopicMetadata>, Code> {
        self.cluster.metadata(topic)
    }

    fn topic_config(&self, topic: &str, name: &str, _: i32, _: Duration) -> Result<Option<String>, Code> {
        Ok(self.cluster.state.borrow().configs.get(&(topic.to_owned(), name.to_owned())).cloned())
    }

    fn topic(&self, name: &str) -> anyhow::Result<FakeTopic<'_>> {
        // As librdkafka: no C string holds it.
        anyhow::ensure!(!name.contains('\0'), "topic {name:?}");
        Ok(FakeTopic { producer: self, name: name.into() })
    }

    fn poll(&self, _: Duration, deliveries: &mut dyn FnMut(Delivery<'_>)) {
        self.cluster.note("poll".to_owned());
        let step = self.cluster.state.borrow_mut().serving.pop_front();
        let is_backwards = matches!(step, Some(Serving::Backwards));
        match step {
            Some(Serving::Nothing) => return,
            Some(Serving::Do(act)) => return act(&self.cluster),
            Some(Serving::Backwards) | None => {}
        }
        let is_purged = self.is_purged.take();
        let mut queued = self.queue.take();
        if is_backwards {
            queued = queued.into_iter().rev().collect();
        }
        for (tag, record) in queued {
            let outcome = if is_purged { Err(Code::PurgeQueue) } else { self.settle(&record) };
            let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
            let of_header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| name.len() + size(value);
            deliveries(Delivery {
                tag,
                error: outcome.err(),
                persistence: self.cluster.state.borrow().persistence,
                topic: &&*record.topic,
                partition: record.partition,
                offset: outcome.unwrap_or(-1),
                has_key: record.key.is_some(),
                bytes: size(&record.key) + size(&record.value),
                header_bytes: record.headers.iter().map(of_header).sum(),
            });
        }
    }

    fn in_flight(&self) -> usize {
        self.queue.borrow().len()
    }

    fn purge(&self) {
        self.cluster.note("purge".to_owned());
        self.is_purged.set(true);
    }

    fn has_room(&self, records: usize, _: usize) -> bool {
        let room = self.cluster.state.borrow().room;
        room.is_none_or(|room| records <= room)
    }
}

impl TopicClient for FakeTopic<'_> {
    fn send(&self, record: &Outgoing<'_>) -> Result<(), Code> {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = record.headers.iter().map(|header| (header.name.to_vec(), owned(header.value)));
        let record_of = Record {
            topic: Arc::clone(&self.name),
            partition: record.partition.unwrap_or(0),
            offset: -1,
            timestamp: record.timestamp.map_or(Timestamp::None, Timestamp::Create),
            key: owned(record.key),
            value: owned(record.value),
            headers: headers.collect(),
        };
        self.producer.queue(record.tag, record_of)
    }

    fn send_values<'v>(
        &self,
        partition: i32,
        values: impl Iterator<Item = (&'v [u8], u64)>,
        refused: &mut dyn FnMut(u64, Code),
    ) -> usize {
        let mut dealt_with = 0;
        for (value, tag) in values {
            let record =
                Outgoing { partition: Some(partition), value: Some(value), tag, ..Outgoing::default() };
            match self.send(&record) {
                Err(Code::QueueFull) => break,
                Err(code) => refused(tag, code),
                Ok(()) => {}
            }
            dealt_with += 1;
        }
        dealt_with
    }
}
