//! Commits of a consumer: how one is sent, and what the broker answers.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::handle::Handle;
use super::{check, code_of, millis, slice, text};
use crate::kafka::code::Code;

/// As in syslog: what librdkafka gives a failed commit that no callback hears of.
const WARNING: i32 = 4;

/// A queue of its own for the answer to one commit; destroyed when it is dropped.
pub(super) struct Answers(*mut sys::rd_kafka_queue_t);

impl Answers {
    pub(super) fn new(handle: &Handle) -> Self {
        // SAFETY: the client is live.
        Self(unsafe { sys::rd_kafka_queue_new(handle.rk) })
    }

    /// Sends a commit that is answered here.
    ///
    /// # Safety
    /// `list` is null, which means what is stored, or a live list, which is copied.
    pub(super) unsafe fn ask(
        &self,
        handle: &Handle,
        list: *const sys::rd_kafka_topic_partition_list_t,
    ) -> Result<(), Code> {
        // SAFETY: client and queue are live; the list is as this function demands.
        check(unsafe { sys::rd_kafka_commit_queue(handle.rk, list, self.0, None, ptr::null_mut()) })
    }

    /// Waits up to `timeout` for the answer. The error is the first of all partitions.
    pub(super) fn take(&self, timeout: Duration) -> Option<Result<(), Code>> {
        // SAFETY: the queue is live; the event, where there is one, is ours and is freed after its
        // errors were read.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.0, millis(timeout));
            if event.is_null() {
                return None;
            }
            // The event's own error is set only where every partition failed.
            let partitions = sys::rd_kafka_event_topic_partition_list(event);
            let all =
                if partitions.is_null() { &[][..] } else { slice((*partitions).elems, (*partitions).cnt) };
            let outcome = check(sys::rd_kafka_event_error(event))
                .and_then(|()| all.iter().try_for_each(|partition| check(partition.err)));
            sys::rd_kafka_event_destroy(event);
            Some(outcome)
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // SAFETY: ours, and destroyed once. An answer that comes later is dropped.
        unsafe { sys::rd_kafka_queue_destroy(self.0) };
    }
}

/// The commit that is under way, if one is.
#[derive(Default)]
pub(super) struct Commits(RefCell<Option<Answers>>);

impl Commits {
    /// Sends a commit; the answer to the one before is no longer waited for.
    ///
    /// # Safety
    /// `list` is a live list; it is copied.
    pub(super) unsafe fn begin(
        &self,
        handle: &Handle,
        list: *const sys::rd_kafka_topic_partition_list_t,
    ) -> Result<(), Code> {
        let answers = Answers::new(handle);
        // SAFETY: as this function demands.
        unsafe { answers.ask(handle, list) }?;
        self.0.replace(Some(answers));
        Ok(())
    }

    /// The answer, once, where it has come.
    pub(super) fn answer(&self) -> Option<Result<(), Code>> {
        let outcome = self.0.borrow().as_ref()?.take(Duration::ZERO)?;
        self.0.take();
        Some(outcome)
    }
}

/// The answer to any commit, also of those that the client makes by itself.
///
/// With this callback librdkafka does not log a commit that failed (`rd_kafka_cgrp_propagate_commit_result`).
/// So the observer gets the failure in the form of that log line.
pub(super) unsafe extern "C" fn on_commit(
    rk: *mut sys::rd_kafka_t,
    err: RDKafkaRespErr,
    offsets: *mut sys::rd_kafka_topic_partition_list_t,
    _: *mut c_void,
) {
    // SAFETY: client and list are live during the callback, which is called on the thread that polls.
    unsafe {
        let Some(polling) = Handle::polling_of(rk) else { return };
        let all = if offsets.is_null() { &[][..] } else { slice((*offsets).elems, (*offsets).cnt) };
        let (mut verdict, mut failed) = (polling.metadata.get(), Vec::new());
        for partition in all.iter().filter(|partition| partition.offset >= 0) {
            match code_of(partition.err).or(code_of(err)) {
                None => verdict.taken = verdict.taken.max(partition.metadata_size),
                Some(Code::OffsetMetadataTooLarge) => verdict.is_refused = true,
                Some(Code::NoOffset) => {}
                Some(code) => {
                    failed.push(format!("{}[{}]: {code}", text(partition.topic), partition.partition));
                }
            }
        }
        polling.metadata.set(verdict);
        if !failed.is_empty()
            && let Some(observer) = Handle::observer_of(rk)
        {
            observer.log(WARNING, "COMMITFAIL", &format!("Offset commit failed: {}", failed.join(", ")));
        }
    }
}
