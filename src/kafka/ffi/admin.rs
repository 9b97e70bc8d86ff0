//! Single requests to a cluster through an existing client: one request, one answer, in bounded time.

use std::ffi::{CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as sys;

use super::handle::Handle;
use super::{check, check_object, check_with, millis, slice, text};
use crate::kafka::client::Refusal;
use crate::kafka::code::Code;

/// An answer; what is read from it lives as long as it.
pub(super) struct Answer(*mut sys::rd_kafka_event_t);

impl Answer {
    /// The event that the answer is.
    pub(super) fn event(&self) -> *mut sys::rd_kafka_event_t {
        self.0
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: returned by the queue, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0) };
    }
}

impl Handle {
    /// [`ask`] through this client.
    fn ask(
        &self,
        kind: sys::rd_kafka_admin_op_t,
        broker: Option<i32>,
        timeout: Duration,
        send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Answer, Code> {
        // SAFETY: a handle's client is never destroyed.
        unsafe { ask(self.rk, kind, broker, timeout, send) }
    }
}

/// Sends one request and waits for its answer up to `timeout`; one that comes later is dropped.
/// `broker`: the one to ask, where it does not follow from the request.
///
/// # Safety
/// `rk` is a live client.
pub(super) unsafe fn ask(
    rk: *mut sys::rd_kafka_t,
    kind: sys::rd_kafka_admin_op_t,
    broker: Option<i32>,
    timeout: Duration,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Answer, Code> {
    let mut reason = [0 as c_char; 128];
    // SAFETY: the client is live; options and queue are created and destroyed here (the request
    // holds references of its own); the event becomes the answer's.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(rk, kind);
        let queue = sys::rd_kafka_queue_new(rk);
        let (out, size) = (reason.as_mut_ptr(), reason.len());
        // A question to a coordinator must not time out inside of librdkafka: if the coordinator is
        // found after that, `rd_kafka_admin_coord_request` frees what `rd_kafka_coord_req_fail`
        // then uses, and an assertion ends the process. It is only waited for as long.
        let most = if broker.is_some() { timeout } else { timeout.max(Duration::from_hours(1)) };
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(most).clamp(1, 3_600_000), out, size);
        if let Some(broker) = broker {
            sys::rd_kafka_AdminOptions_set_broker(options, broker, out, size);
        }
        send(options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        if event.is_null() {
            return Err(Code::OperationTimedOut);
        }
        let answer = Answer(event);
        check(sys::rd_kafka_event_error(event))?;
        Ok(answer)
    }
}

/// Sets single configurations of a topic, or gives them their default back (`None`).
pub(crate) fn alter_topic_configs<C: ClientContext>(
    client: &AdminClient<C>,
    topic: &str,
    changes: &[(&str, Option<&str>)],
    timeout: Duration,
) -> Result<(), Refusal> {
    let c_topic = CString::new(topic).map_err(|_| Code::InvalidTopic)?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let rk = client.inner().native_ptr();
    // SAFETY: the client is borrowed, and so live; the resource is created and destroyed here, with texts
    // that outlive their use, which copies them, as the request copies the resource. What is read
    // belongs to the answer, which lives to the end.
    unsafe {
        let resource = sys::rd_kafka_ConfigResource_new(
            sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
            c_topic.as_ptr(),
        );
        if resource.is_null() {
            return Err(Code::InvalidTopic.into());
        }
        let added = changes.iter().try_for_each(|&(name, value)| {
            use sys::rd_kafka_AlterConfigOpType_t as Op;
            let op = match value {
                Some(_) => Op::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                None => Op::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE,
            };
            let c_string = |text: &str| CString::new(text).map_err(|_| Code::InvalidConfig);
            let (name, value) = (c_string(name)?, value.map(c_string).transpose()?);
            let value = value.as_ref().map_or(ptr::null(), |value| value.as_ptr());
            check_object(sys::rd_kafka_ConfigResource_add_incremental_config(
                resource,
                name.as_ptr(),
                op,
                value,
            ))
        });
        let answer = added.and_then(|()| {
            ask(rk, kind, None, timeout, |options, queue| {
                let mut resources = [resource];
                sys::rd_kafka_IncrementalAlterConfigs(rk, resources.as_mut_ptr(), 1, options, queue);
            })
        });
        sys::rd_kafka_ConfigResource_destroy(resource);
        let answer = answer?;
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(answer.0);
        if result.is_null() {
            return Err(Code::Fail.into());
        }
        let mut count = 0;
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        slice(resources, count as i32).iter().try_for_each(|&resource| {
            let error = sys::rd_kafka_ConfigResource_error(resource);
            check_with(error, sys::rd_kafka_ConfigResource_error_string(resource))
        })
    }
}

/// What [`ProducerClient::topic_config`](crate::kafka::client::ProducerClient::topic_config) does.
pub(super) fn describe_topic(
    handle: &Handle,
    topic: &str,
    name: &str,
    broker: i32,
    timeout: Duration,
) -> Result<Option<String>, Code> {
    let c_topic = CString::new(topic).map_err(|_| Code::InvalidTopic)?;
    let c_name = CString::new(name).map_err(|_| Code::InvalidArgument)?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
    // SAFETY: the resource is created and destroyed here, with names that outlive its creation; the
    // request copies it. What is read belongs to the answer, which lives to the end.
    unsafe {
        let resource = sys::rd_kafka_ConfigResource_new(
            sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
            c_topic.as_ptr(),
        );
        if resource.is_null() {
            return Err(Code::InvalidTopic);
        }
        // In a question, the entry's name says what is asked for.
        sys::rd_kafka_ConfigResource_set_config(resource, c_name.as_ptr(), c"".as_ptr());
        let answer = handle.ask(kind, Some(broker), timeout, |options, queue| {
            let mut resources = [resource];
            sys::rd_kafka_DescribeConfigs(handle.rk, resources.as_mut_ptr(), 1, options, queue);
        });
        sys::rd_kafka_ConfigResource_destroy(resource);
        let answer = answer?;
        let result = sys::rd_kafka_event_DescribeConfigs_result(answer.0);
        if result.is_null() {
            return Err(Code::Fail);
        }
        let mut count = 0;
        let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        for &resource in slice(resources, count as i32) {
            check(sys::rd_kafka_ConfigResource_error(resource))?;
            let mut count = 0;
            let entries = sys::rd_kafka_ConfigResource_configs(resource, &raw mut count);
            for &entry in slice(entries, count as i32) {
                if text(sys::rd_kafka_ConfigEntry_name(entry)) == name {
                    let value = sys::rd_kafka_ConfigEntry_value(entry);
                    return Ok((!value.is_null()).then(|| text(value).into_owned()));
                }
            }
        }
        Ok(None)
    }
}

/// What [`ConsumerClient::group_members`](crate::kafka::client::ConsumerClient::group_members) does.
pub(super) fn count_members(handle: &Handle, group: &str, timeout: Duration) -> Result<usize, Code> {
    let c_group = CString::new(group).map_err(|_| Code::InvalidGroupId)?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: the name outlives the call, which copies it; what is read belongs to the answer,
    // which lives to the end.
    unsafe {
        let answer = handle.ask(kind, None, timeout, |options, queue| {
            let mut groups = [c_group.as_ptr()];
            sys::rd_kafka_DescribeConsumerGroups(handle.rk, groups.as_mut_ptr(), 1, options, queue);
        })?;
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(answer.0);
        if result.is_null() {
            return Err(Code::Fail);
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let Some(&group) = slice(groups, count as i32).first() else { return Ok(0) };
        let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
        if !error.is_null() {
            match check(sys::rd_kafka_error_code(error)) {
                Ok(()) | Err(Code::GroupIdNotFound) => {}
                Err(code) => return Err(code),
            }
        }
        Ok(sys::rd_kafka_ConsumerGroupDescription_member_count(group))
    }
}
