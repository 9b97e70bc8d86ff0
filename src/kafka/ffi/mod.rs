//! librdkafka's calls for moving records, behind safe types.
//!
//! rust-rdkafka is used for configuration, administration and error codes.
//! What it does not offer is here: the batch calls of both directions
//! (a third of the cost on the calling thread), the partition and offset of an
//! end of partition, start offsets chosen inside a rebalance, and a close that
//! has an upper bound in time.
//!
//! A client is never destroyed: `rd_kafka_destroy` waits without a bound while
//! brokers are away. [`Consumer::close`] leaves the group in bounded time, a
//! producer is drained by its caller, and the process then ends.
//!
//! [`admin`] holds the requests of the admin API that a client sends beside its records.
#![allow(unsafe_code)]
// The transmutes in here change a lifetime and nothing else; a cast would hide that.
#![allow(clippy::transmute_ptr_to_ptr)]

mod admin;
mod batch;
mod begins;
mod changes;
mod commits;
mod consumer;
mod coordinator;
mod handle;
mod leaving;
mod list;
mod metadata;
mod producer;
mod queue;
mod rebalance;
mod sockets;
mod topic;

pub(crate) use admin::alter_topic_configs;
pub(crate) use changes::{NewTopic, create_partitions, create_topics, delete_topics};
pub(crate) use consumer::Consumer;
pub(crate) use producer::Producer;

use std::ffi::{CStr, c_char, c_int};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::client::Refusal;
use crate::kafka::code::Code;

fn code_of(err: RDKafkaRespErr) -> Option<Code> {
    (err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| err.into())
}

fn check(err: RDKafkaRespErr) -> Result<(), Code> {
    code_of(err).map_or(Ok(()), Err)
}

/// A code and the words for it.
///
/// # Safety
/// `reason` is null or a NUL-terminated string.
unsafe fn check_with(error: RDKafkaRespErr, reason: *const c_char) -> Result<(), Refusal> {
    // SAFETY: as this function demands.
    check(error).map_err(|code| Refusal { code, reason: unsafe { text(reason) }.into_owned() })
}

/// Takes an error object apart and frees it; null is success.
///
/// # Safety
/// `error` is null, or an error object that is the caller's and not used after this.
unsafe fn check_object(error: *mut sys::rd_kafka_error_t) -> Result<(), Code> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and as this function demands.
    let code = unsafe {
        let code = sys::rd_kafka_error_code(error);
        sys::rd_kafka_error_destroy(error);
        code
    };
    check(code)
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// # Safety
/// `s` is null or a NUL-terminated string that outlives the returned text.
unsafe fn text<'a>(s: *const c_char) -> std::borrow::Cow<'a, str> {
    if s.is_null() {
        return "".into();
    }
    // SAFETY: as this function demands.
    unsafe { CStr::from_ptr(s) }.to_string_lossy()
}

/// # Safety
/// `data` points to `len` elements that outlive the returned slice, or `len` is 0.
unsafe fn slice<'a, T>(data: *const T, len: c_int) -> &'a [T] {
    if data.is_null() || len <= 0 {
        return &[];
    }
    // SAFETY: as this function demands.
    unsafe { std::slice::from_raw_parts(data, len as usize) }
}
