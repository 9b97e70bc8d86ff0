//! Single questions to a cluster through a client that is there anyway: one request, one answer, a bound in time.

use std::ffi::{CString, c_char};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode;

use super::{Consumer, Handle, Producer, check, millis, slice, text};

/// An answer; what is read from it lives as long as it.
struct Answer(*mut sys::rd_kafka_event_t);

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: given to us by the queue, given back once.
        unsafe { sys::rd_kafka_event_destroy(self.0) };
    }
}

impl Handle {
    /// Sends one request and waits for its answer up to `timeout`; one that comes later is dropped.
    /// `broker`: the one to ask, where it does not follow from the request.
    fn ask(
        &self,
        kind: sys::rd_kafka_admin_op_t,
        broker: Option<i32>,
        timeout: Duration,
        send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Answer, RDKafkaErrorCode> {
        let mut reason = [0 as c_char; 128];
        // SAFETY: the client is live; options and queue are made and given up here (the request
        // holds references of its own); the event becomes the answer's.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(self.rk, kind);
            let queue = sys::rd_kafka_queue_new(self.rk);
            let (out, size) = (reason.as_mut_ptr(), reason.len());
            // A question to a coordinator must not time out inside of librdkafka: if the coordinator is
            // found after that, `rd_kafka_admin_coord_request` frees what `rd_kafka_coord_req_fail`
            // then uses, and an assertion ends the process. It is only waited for as long.
            let most = if broker.is_some() { timeout } else { timeout.max(Duration::from_hours(1)) };
            sys::rd_kafka_AdminOptions_set_request_timeout(
                options,
                millis(most).clamp(1, 3_600_000),
                out,
                size,
            );
            if let Some(broker) = broker {
                sys::rd_kafka_AdminOptions_set_broker(options, broker, out, size);
            }
            send(options, queue);
            let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            if event.is_null() {
                return Err(RDKafkaErrorCode::OperationTimedOut);
            }
            let answer = Answer(event);
            check(sys::rd_kafka_event_error(event))?;
            Ok(answer)
        }
    }
}

impl Producer {
    /// The effective value of one configuration of a topic, asked from this broker; `None` where
    /// it has none of that name.
    pub fn topic_config(
        &self,
        topic: &str,
        name: &str,
        broker: i32,
        timeout: Duration,
    ) -> Result<Option<String>, RDKafkaErrorCode> {
        let c_topic = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        let c_name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        // SAFETY: the resource is made and given up here, with names that outlive its making; the
        // request copies it. What is read belongs to the answer, which lives to the end.
        unsafe {
            let resource = sys::rd_kafka_ConfigResource_new(
                sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                c_topic.as_ptr(),
            );
            if resource.is_null() {
                return Err(RDKafkaErrorCode::InvalidTopic);
            }
            // In a question, the entry's name says what is asked for.
            sys::rd_kafka_ConfigResource_set_config(resource, c_name.as_ptr(), c"".as_ptr());
            let answer = self.handle.ask(kind, Some(broker), timeout, |options, queue| {
                let mut resources = [resource];
                sys::rd_kafka_DescribeConfigs(self.handle.rk, resources.as_mut_ptr(), 1, options, queue);
            });
            sys::rd_kafka_ConfigResource_destroy(resource);
            let answer = answer?;
            let result = sys::rd_kafka_event_DescribeConfigs_result(answer.0);
            if result.is_null() {
                return Err(RDKafkaErrorCode::Fail);
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
}

impl Consumer {
    /// How many members the group has now; 0 where there is no such group.
    pub fn group_members(&self, group: &str, timeout: Duration) -> Result<usize, RDKafkaErrorCode> {
        let c_group = CString::new(group).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        // SAFETY: the name outlives the call, which copies it; what is read belongs to the answer,
        // which lives to the end.
        unsafe {
            let answer = self.handle.ask(kind, None, timeout, |options, queue| {
                let mut groups = [c_group.as_ptr()];
                sys::rd_kafka_DescribeConsumerGroups(self.handle.rk, groups.as_mut_ptr(), 1, options, queue);
            })?;
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(answer.0);
            if result.is_null() {
                return Err(RDKafkaErrorCode::Fail);
            }
            let mut count = 0;
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            let Some(&group) = slice(groups, count as i32).first() else { return Ok(0) };
            let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
            if !error.is_null() {
                match check(sys::rd_kafka_error_code(error)) {
                    Ok(()) | Err(RDKafkaErrorCode::GroupIdNotFound) => {}
                    Err(code) => return Err(code),
                }
            }
            Ok(sys::rd_kafka_ConsumerGroupDescription_member_count(group))
        }
    }
}
