//! The start that each partition of a consumer was last given.

use std::cell::RefCell;
use std::collections::HashMap;

use rdkafka::bindings as sys;

use super::{check, list, text};

/// The start that each partition was last given, as librdkafka writes it, and the position at that
/// time. The position is that of the last delivered record: it stays until a record arrives from the
/// start that was given.
#[derive(Debug, Default)]
pub(super) struct Begins(RefCell<HashMap<(String, i32), (i64, i64)>>);

impl Begins {
    /// Notes the start that a partition was given.
    ///
    /// # Safety
    /// `rk` is a live consumer.
    pub(super) unsafe fn note(&self, rk: *mut sys::rd_kafka_t, topic: &str, partition: i32, raw: i64) {
        let list = list::of_one(topic, partition, sys::RD_KAFKA_OFFSET_INVALID.into());
        // SAFETY: client and list are live; the one element is read while the list is.
        let position = unsafe {
            match check(sys::rd_kafka_position(rk, list.ptr())) {
                Ok(()) => (*(*list.ptr()).elems).offset,
                Err(_) => sys::RD_KAFKA_OFFSET_INVALID.into(),
            }
        };
        self.0.borrow_mut().insert((topic.to_owned(), partition), (raw, position));
    }

    /// Lets one partition of an assignment start at `offset`. The others keep their position, or, where
    /// no record came since, the start that they were given. False where the partition is not in the
    /// assignment.
    ///
    /// # Safety
    /// The elements are those of a live list.
    pub(super) unsafe fn restart(
        &self,
        assignment: &mut [sys::rd_kafka_topic_partition_t],
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> bool {
        let mut begins = self.0.borrow_mut();
        let mut is_there = false;
        for element in assignment {
            // SAFETY: the name belongs to the element, which is live; it is copied.
            let name = (unsafe { text(element.topic) }.into_owned(), element.partition);
            if name.0 == topic && name.1 == partition {
                is_there = true;
                begins.insert(name, (offset, element.offset));
                element.offset = offset;
            } else if let Some(&(begin, position)) = begins.get(&name)
                && position == element.offset
            {
                element.offset = begin;
            }
        }
        is_there
    }
}
