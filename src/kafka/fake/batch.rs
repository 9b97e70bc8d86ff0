//! The events of one poll of the cluster in memory.

use std::sync::Arc;

use crate::kafka::client::{Event, Events};
use crate::kafka::code::Code;
use crate::record::{Header, Record, RecordRef, TopicPartition};

/// What [`Event`] borrows.
pub(super) enum Owned {
    /// With its leader epoch.
    Record(Record, i32),
    End(TopicPartition, i64),
    Error {
        topic: Arc<str>,
        partition: i32,
        offset: i64,
        code: Code,
        reason: String,
    },
}

/// The events of one poll.
pub(crate) struct FakeBatch(pub(super) Vec<Owned>);

impl Events for FakeBatch {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn for_each<E>(
        &self,
        with_headers: bool,
        mut each: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for event in &self.0 {
            match event {
                Owned::Record(record, epoch) => record.with_ref(|record| {
                    let none: &[Header<'_>] = &[];
                    let headers = if with_headers { record.headers } else { none };
                    each(Event::Record(RecordRef { headers, leader_epoch: Some(*epoch), ..record }))
                })?,
                Owned::End(p, offset) => {
                    each(Event::End { topic: &p.topic, partition: p.partition, offset: *offset })?;
                }
                Owned::Error { topic, partition, offset, code, reason } => {
                    let (partition, offset, code) = (*partition, *offset, *code);
                    each(Event::Error { topic, partition, offset, code, reason })?;
                }
            }
        }
        Ok(())
    }
}

/// What the client says of an offset that is not in the log.
pub(super) fn out_of_range(partition: &TopicPartition, offset: i64, cut: Option<i64>) -> Owned {
    let reason = match cut {
        Some(end) if offset > end => format!(
            "Partition log truncation detected at offset {offset} (leader epoch 1): broker end offset is {end} \
             (offset leader epoch 1). Reset to INVALID."
        ),
        _ => "fetch failed due to requested offset not available on the broker".to_owned(),
    };
    Owned::Error {
        topic: Arc::clone(&partition.topic),
        partition: partition.partition,
        offset,
        code: Code::AutoOffsetReset,
        reason,
    }
}
