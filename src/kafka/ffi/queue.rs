//! A consumer's queue: the events of one poll taken out of it.

use std::cell::RefCell;
use std::ptr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::bindings as sys;

use super::batch::Batch;
use super::handle::Handle;
use super::{check, millis, text};
use crate::kafka::client::Assigned;

/// Whether a consumer continues from its positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// Each partition is read from its start in one go.
    Once,
    /// Fetching may continue from the application's position: in a group, or after a pause.
    Resumed,
}

/// The queue of a consumer.
pub(super) struct Queue {
    pub(super) native: *mut sys::rd_kafka_queue_t,
    positions: Positions,
    /// The memory of the last batch, used again for the next.
    spare: RefCell<Vec<*mut sys::rd_kafka_message_t>>,
}

impl Queue {
    /// The queue of this client, into which all of its events go from now on.
    pub(super) fn new(handle: &Handle, positions: Positions) -> anyhow::Result<Self> {
        // SAFETY: the client is live; the queue is a reference of ours that is never released.
        let native = unsafe {
            check(sys::rd_kafka_poll_set_consumer(handle.rk)).context("redirect the main queue")?;
            sys::rd_kafka_queue_get_consumer(handle.rk)
        };
        if native.is_null() {
            bail!("a consumer needs a group.id");
        }
        Ok(Self { native, positions, spare: RefCell::default() })
    }

    /// Waits up to `timeout` for the first event, then takes what is there, up to `most`. `handle` is
    /// the client that this is the queue of.
    pub(super) fn take(&self, handle: &Handle, timeout: Duration, most: usize) -> Batch<'_> {
        let mut messages = std::mem::take(&mut *self.spare.borrow_mut());
        if messages.len() < most {
            messages.resize(most, ptr::null_mut());
        }
        let room = &mut messages[..most];
        let length = match self.positions {
            Positions::Once => self.take_batch(timeout, room),
            Positions::Resumed => take_singly(handle, timeout, room),
        };
        Batch { messages, length, spare: &self.spare }
    }

    /// The batch call, for partitions that are never paused nor shared with a group.
    ///
    /// It counts an end of partition as a record (`rd_kafka_q_serve_rkmessages` moves the
    /// application's position one past it), so that fetching from that position after a
    /// pause or a rebalance would skip a record, or ask for an offset that does not exist.
    fn take_batch(&self, timeout: Duration, room: &mut [*mut sys::rd_kafka_message_t]) -> usize {
        // It waits for a full batch or the whole time-out, so ask for one first.
        // SAFETY: the queue is live and the array has room for what is asked.
        let length = unsafe {
            let first = sys::rd_kafka_consume_batch_queue(self.native, millis(timeout), room.as_mut_ptr(), 1);
            if first == 1 && room.len() > 1 {
                1 + sys::rd_kafka_consume_batch_queue(
                    self.native,
                    0,
                    room.as_mut_ptr().add(1),
                    room.len() - 1,
                )
                .max(0)
            } else {
                first.max(0)
            }
        };
        length as usize
    }
}

/// One record a call, which keeps the position correct at an end of partition.
fn take_singly(handle: &Handle, timeout: Duration, room: &mut [*mut sys::rd_kafka_message_t]) -> usize {
    let revoked = &handle.polling().revoked;
    revoked.borrow_mut().clear();
    let mut length = 0;
    let mut wait = millis(timeout);
    while length < room.len() {
        // SAFETY: the client is live; the message, where there is one, is ours.
        let message = unsafe { sys::rd_kafka_consumer_poll(handle.rk, wait) };
        // A rebalance inside the call stands between what was taken before and this message,
        // which may be the first of the same partition's next assignment.
        length = drop_revoked(&mut room[..length], &std::mem::take(&mut *revoked.borrow_mut()));
        if message.is_null() {
            break;
        }
        room[length] = message;
        length += 1;
        wait = 0;
    }
    length
}

/// Frees the messages of partitions that another member has now, moves the others together, and
/// gives their number.
fn drop_revoked(messages: &mut [*mut sys::rd_kafka_message_t], revoked: &[Assigned]) -> usize {
    if revoked.is_empty() {
        return messages.len();
    }
    let mut kept = 0;
    for index in 0..messages.len() {
        let message = messages[index];
        // SAFETY: each message is live and ours, with its topic; it is either kept in the array,
        // once, or destroyed, once.
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
