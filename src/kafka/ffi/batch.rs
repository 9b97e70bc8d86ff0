//! The events of one poll, freed together.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::ptr;

use rdkafka::bindings as sys;

use super::{check, code_of, text};
use crate::kafka::client::{Event, Events};
use crate::kafka::code::Code;
use crate::record::{Header, RecordRef, Timestamp};

/// Events of one poll; freed as one.
pub(crate) struct Batch<'a> {
    /// Each of the first `length` is live and this batch's own.
    pub(super) messages: Vec<*mut sys::rd_kafka_message_t>,
    pub(super) length: usize,
    /// Where the memory goes when this is dropped.
    pub(super) spare: &'a RefCell<Vec<*mut sys::rd_kafka_message_t>>,
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
                            leader_epoch: leader_epoch_of(pointer),
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
            // SAFETY: returned by a poll, destroyed once; the client is live.
            unsafe { sys::rd_kafka_message_destroy(std::mem::replace(message, ptr::null_mut())) };
        }
        *self.spare.borrow_mut() = std::mem::take(&mut self.messages);
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
unsafe fn leader_epoch_of(message: *const sys::rd_kafka_message_t) -> Option<i32> {
    // SAFETY: as this function demands.
    Some(unsafe { sys::rd_kafka_message_leader_epoch(message) }).filter(|epoch| *epoch >= 0)
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
