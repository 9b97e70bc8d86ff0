//! What a consumer's queue held, taken in one call and given back as one.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;

use super::consumer::Consumer;
use super::{check, code_of, millis, text};
use crate::kafka::client::{Assigned, Event, Events, Rebalance};
use crate::kafka::errors::Code;
use crate::record::{Header, RecordRef, Timestamp};

/// Events of one poll; freed as one.
pub struct Batch<'a> {
    consumer: &'a Consumer,
    messages: Vec<*mut sys::rd_kafka_message_t>,
    length: usize,
}

impl Consumer {
    /// What [`poll`](crate::kafka::client::ConsumerClient::poll) does.
    pub(super) fn take(&self, timeout: Duration, most: usize, handler: &mut dyn Rebalance) -> Batch<'_> {
        self.serving(handler, || {
            let mut messages = std::mem::take(&mut *self.spare.borrow_mut());
            if messages.len() < most {
                messages.resize(most, ptr::null_mut());
            }
            let room = &mut messages[..most];
            let length =
                if self.resumes { self.take_singly(timeout, room) } else { self.take_batch(timeout, room) };
            Batch { consumer: self, messages, length }
        })
    }

    /// The batch call, for partitions that are never paused nor shared with a group.
    ///
    /// It counts an end of partition as a record (`rd_kafka_q_serve_rkmessages` moves the
    /// application's position one past it), so that whatever goes on from that position after a
    /// pause or a rebalance would skip a record, or ask for an offset that is not there.
    fn take_batch(&self, timeout: Duration, room: &mut [*mut sys::rd_kafka_message_t]) -> usize {
        // It waits for a full batch or the whole time-out, so ask for one first.
        // SAFETY: the queue is live and the array has room for what is asked.
        let length = unsafe {
            let first = sys::rd_kafka_consume_batch_queue(self.queue, millis(timeout), room.as_mut_ptr(), 1);
            if first == 1 && room.len() > 1 {
                1 + sys::rd_kafka_consume_batch_queue(self.queue, 0, room.as_mut_ptr().add(1), room.len() - 1)
                    .max(0)
            } else {
                first.max(0)
            }
        };
        length as usize
    }

    /// One record a call, which keeps the position right at an end of partition.
    fn take_singly(&self, timeout: Duration, room: &mut [*mut sys::rd_kafka_message_t]) -> usize {
        let revoked = &self.handle.polling().revoked;
        revoked.borrow_mut().clear();
        let mut length = 0;
        let mut wait = millis(timeout);
        while length < room.len() {
            // SAFETY: the client is live; the message, where there is one, is ours.
            let message = unsafe { sys::rd_kafka_consumer_poll(self.handle.rk, wait) };
            // A rebalance inside the call stands between what was taken before and this message,
            // which may be the first of the same partition's next assignment.
            length = give_back(&mut room[..length], &std::mem::take(&mut *revoked.borrow_mut()));
            if message.is_null() {
                break;
            }
            room[length] = message;
            length += 1;
            wait = 0;
        }
        length
    }
}

/// Frees the messages of partitions that are somebody else's by now, moves the others together,
/// and gives their number.
fn give_back(messages: &mut [*mut sys::rd_kafka_message_t], revoked: &[Assigned]) -> usize {
    if revoked.is_empty() {
        return messages.len();
    }
    let mut kept = 0;
    for index in 0..messages.len() {
        let message = messages[index];
        // SAFETY: each message is live and ours, with its topic; it is either kept in the array,
        // once, or given back, once.
        unsafe {
            let rkt = (*message).rkt;
            let topic = text(if rkt.is_null() { ptr::null() } else { sys::rd_kafka_topic_name(rkt) });
            if revoked.iter().any(|r| r.partition == (*message).partition && *r.topic == *topic) {
                sys::rd_kafka_message_destroy(message);
            } else {
                messages[kept] = message;
                kept += 1;
            }
        }
    }
    kept
}

impl Events for Batch<'_> {
    fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn for_each<E>(
        &self,
        with_headers: bool,
        mut each: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut last_topic, mut topic) = (ptr::null_mut(), "");
        let mut headers: Vec<Header<'_>> = Vec::new();
        for &message in &self.messages[..self.length] {
            // SAFETY: each message stays alive, with its topic, key, value and headers, until
            // this batch is dropped; nothing handed to `each` outlives the call.
            unsafe {
                let pointer = message;
                let message = &*message;
                if message.rkt != last_topic {
                    last_topic = message.rkt;
                    topic = if last_topic.is_null() {
                        ""
                    } else {
                        CStr::from_ptr(sys::rd_kafka_topic_name(last_topic)).to_str().unwrap_or("")
                    };
                }
                let (partition, offset) = (message.partition, message.offset);
                match code_of(message.err) {
                    None => {
                        headers.clear();
                        if with_headers {
                            read_headers(pointer, &mut headers);
                        }
                        each(Event::Record(RecordRef {
                            topic,
                            partition,
                            offset,
                            timestamp: timestamp_of(pointer),
                            key: bytes_of(message.key, message.key_len),
                            value: bytes_of(message.payload, message.len),
                            headers: &headers,
                        }))?;
                    }
                    Some(Code::PartitionEOF) => each(Event::End { topic, partition, offset })?,
                    Some(code) => {
                        let reason = text(sys::rd_kafka_message_errstr(pointer));
                        each(Event::Error { topic, partition, offset, code, reason: &reason })?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in &mut self.messages[..self.length] {
            // SAFETY: given to us by the batch call, given back once; the client is alive.
            unsafe { sys::rd_kafka_message_destroy(std::mem::replace(message, ptr::null_mut())) };
        }
        *self.consumer.spare.borrow_mut() = std::mem::take(&mut self.messages);
    }
}

/// # Safety
/// `data` is null or points to `len` bytes that outlive the returned slice.
unsafe fn bytes_of<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as this function demands.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// # Safety
/// `message` is a live consumed message.
unsafe fn timestamp_of(message: *const sys::rd_kafka_message_t) -> Timestamp {
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: as this function demands; the kind outlives the call.
    let ms = unsafe { sys::rd_kafka_message_timestamp(message, &raw mut kind) };
    match kind {
        sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME if ms >= 0 => Timestamp::Create(ms),
        sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME if ms >= 0 => {
            Timestamp::LogAppend(ms)
        }
        _ => Timestamp::None,
    }
}

/// # Safety
/// `message` is live and outlives what is pushed to `out`.
pub(super) unsafe fn read_headers(message: *mut sys::rd_kafka_message_t, out: &mut Vec<Header<'_>>) {
    let mut list = ptr::null_mut();
    // SAFETY: as this function demands: the list belongs to the message, and names and values to
    // the list; the loop ends at the first index that is not there.
    unsafe {
        if check(sys::rd_kafka_message_headers(message, &raw mut list)).is_err() {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0usize);
            let got = sys::rd_kafka_header_get_all(list, index, &raw mut name, &raw mut value, &raw mut size);
            if check(got).is_err() {
                return;
            }
            out.push(Header { name: CStr::from_ptr(name).to_bytes(), value: bytes_of(value, size) });
        }
    }
}
