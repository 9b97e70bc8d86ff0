//! Requests that change topics, with the broker's own words where it refuses one.

use std::ffi::{CString, c_char};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as sys;

use super::admin::ask;
use super::{check, check_with, millis, slice, text};
use crate::kafka::client::Refusal;
use crate::kafka::code::Code;

/// A topic to make; -1 leaves a number to the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewTopic<'a> {
    pub name: &'a str,
    pub partitions: i32,
    pub replication_factor: i32,
    /// `(name, value)`
    pub configs: &'a [(&'a str, &'a str)],
}

/// What became of each topic, in the order of the answer.
pub(crate) type Outcomes = Vec<(String, Result<(), Refusal>)>;

/// Makes topics. An error is that of the request as a whole.
pub(crate) fn create_topics<C: ClientContext>(
    client: &AdminClient<C>,
    topics: &[NewTopic<'_>],
    timeout: Duration,
) -> Result<Outcomes, Refusal> {
    let rk = client.inner().native_ptr();
    let mut new = List { items: Vec::new(), destroy: sys::rd_kafka_NewTopic_destroy };
    for topic in topics {
        let name = c_string(topic.name, Code::InvalidTopic)?;
        // SAFETY: the name outlives the call, which copies it; the list destroys what is made.
        let made = new.push(|out, size| unsafe {
            sys::rd_kafka_NewTopic_new(name.as_ptr(), topic.partitions, topic.replication_factor, out, size)
        })?;
        for (name, value) in topic.configs {
            let (name, value) = (c_string(name, Code::InvalidConfig)?, c_string(value, Code::InvalidConfig)?);
            // SAFETY: the new topic lives in the list; the texts outlive the call, which copies them.
            check(unsafe { sys::rd_kafka_NewTopic_set_config(made, name.as_ptr(), value.as_ptr()) })?;
        }
    }
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
    // SAFETY: the client is borrowed, and so live; the request copies the list; what is read belongs to the
    // answer, which lives to the end.
    unsafe {
        let answer = ask(rk, kind, None, timeout, |options, queue| {
            set_operation_timeout(options, timeout);
            sys::rd_kafka_CreateTopics(rk, new.items.as_mut_ptr(), new.items.len(), options, queue);
        })?;
        let result = sys::rd_kafka_event_CreateTopics_result(answer.event());
        outcomes(result, sys::rd_kafka_CreateTopics_result_topics)
    }
}

/// Removes topics. An error is that of the request as a whole.
pub(crate) fn delete_topics<C: ClientContext>(
    client: &AdminClient<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Outcomes, Refusal> {
    let rk = client.inner().native_ptr();
    let mut doomed = List { items: Vec::new(), destroy: sys::rd_kafka_DeleteTopic_destroy };
    for name in names {
        let name = c_string(name, Code::InvalidTopic)?;
        // SAFETY: the name outlives the call, which copies it; the list destroys what is made.
        doomed.push(|_, _| unsafe { sys::rd_kafka_DeleteTopic_new(name.as_ptr()) })?;
    }
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS;
    // SAFETY: as in `create_topics`.
    unsafe {
        let answer = ask(rk, kind, None, timeout, |options, queue| {
            set_operation_timeout(options, timeout);
            sys::rd_kafka_DeleteTopics(rk, doomed.items.as_mut_ptr(), doomed.items.len(), options, queue);
        })?;
        let result = sys::rd_kafka_event_DeleteTopics_result(answer.event());
        outcomes(result, sys::rd_kafka_DeleteTopics_result_topics)
    }
}

/// Gives a topic more partitions, `count` in all.
pub(crate) fn create_partitions<C: ClientContext>(
    client: &AdminClient<C>,
    topic: &str,
    count: usize,
    timeout: Duration,
) -> Result<(), Refusal> {
    let rk = client.inner().native_ptr();
    let mut new = List { items: Vec::new(), destroy: sys::rd_kafka_NewPartitions_destroy };
    let name = c_string(topic, Code::InvalidTopic)?;
    // SAFETY: the name outlives the call, which copies it; the list destroys what is made.
    new.push(|out, size| unsafe { sys::rd_kafka_NewPartitions_new(name.as_ptr(), count, out, size) })?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS;
    // SAFETY: as in `create_topics`.
    let outcomes = unsafe {
        let answer = ask(rk, kind, None, timeout, |options, queue| {
            set_operation_timeout(options, timeout);
            sys::rd_kafka_CreatePartitions(rk, new.items.as_mut_ptr(), new.items.len(), options, queue);
        })?;
        let result = sys::rd_kafka_event_CreatePartitions_result(answer.event());
        outcomes(result, sys::rd_kafka_CreatePartitions_result_topics)?
    };
    outcomes.into_iter().try_for_each(|(_, outcome)| outcome)
}

/// Objects for a request, which are destroyed after it.
struct List<T> {
    items: Vec<*mut T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> List<T> {
    /// Takes a new object in: `make` gets a buffer for the reason why there is none, and its length.
    fn push(&mut self, make: impl FnOnce(*mut c_char, usize) -> *mut T) -> Result<*mut T, Refusal> {
        let mut reason = [0 as c_char; 512];
        let item = make(reason.as_mut_ptr(), reason.len());
        if item.is_null() {
            // SAFETY: what librdkafka wrote into the buffer, which began as zeros, ends with a zero.
            let reason = unsafe { text(reason.as_ptr()) }.into_owned();
            return Err(Refusal { code: Code::InvalidArgument, reason });
        }
        self.items.push(item);
        Ok(item)
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        for &item in &self.items {
            // SAFETY: made for this list, and destroyed once.
            unsafe { (self.destroy)(item) };
        }
    }
}

fn c_string(text: &str, code: Code) -> Result<CString, Code> {
    CString::new(text).map_err(|_| code)
}

/// How long the broker may take until a change holds everywhere.
///
/// # Safety
/// `options` are live.
unsafe fn set_operation_timeout(options: *const sys::rd_kafka_AdminOptions_t, timeout: Duration) {
    let mut reason = [0 as c_char; 128];
    let most = millis(timeout).min(3_600_000);
    // SAFETY: as this function demands; the buffer has the length that is stated.
    unsafe {
        let (out, size) = (reason.as_mut_ptr(), reason.len());
        sys::rd_kafka_AdminOptions_set_operation_timeout(options.cast_mut(), most, out, size);
    }
}

/// The outcomes in a result, read by its own function; a null result is an answer of another kind.
///
/// # Safety
/// `result` is null, or belongs to an answer that lives as long as the call; `topics` reads such a result.
unsafe fn outcomes<R>(
    result: *const R,
    topics: unsafe extern "C" fn(*const R, *mut usize) -> *mut *const sys::rd_kafka_topic_result_t,
) -> Result<Outcomes, Refusal> {
    if result.is_null() {
        return Err(Code::Fail.into());
    }
    let mut count = 0;
    // SAFETY: as this function demands; each element belongs to the result.
    unsafe {
        let topics = topics(result, &raw mut count);
        let outcome = |&topic: &*const sys::rd_kafka_topic_result_t| {
            let name = text(sys::rd_kafka_topic_result_name(topic)).into_owned();
            let error = sys::rd_kafka_topic_result_error(topic);
            (name, check_with(error, sys::rd_kafka_topic_result_error_string(topic)))
        };
        Ok(slice(topics, count as i32).iter().map(outcome).collect())
    }
}
