//! The cluster's metadata, asked through any client.

use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;

use super::handle::Handle;
use super::topic::NativeTopic;
use super::{check, code_of, millis, slice, text};
use crate::kafka::code::Code;
use crate::kafka::metadata::{PartitionMetadata, TopicMetadata};

/// The cluster's view of one topic, or of all, asked through this client.
pub(super) fn metadata(
    handle: &Handle,
    topic: Option<&str>,
    timeout: Duration,
) -> Result<Vec<TopicMetadata>, Code> {
    let topic =
        topic.map(|name| NativeTopic::new(handle, name)).transpose().map_err(|_| Code::InvalidTopic)?;
    let mut metadata: *const sys::rd_kafka_metadata = ptr::null();
    // SAFETY: the topic handle lives until the end of this function; the result is freed
    // below, after everything was copied out of its arrays, whose lengths it states.
    unsafe {
        check(sys::rd_kafka_metadata(
            handle.rk,
            c_int::from(topic.is_none()),
            topic.as_ref().map_or(ptr::null_mut(), |topic| topic.rkt),
            &raw mut metadata,
            millis(timeout),
        ))?;
        let topics = slice((*metadata).topics, (*metadata).topic_cnt)
            .iter()
            .map(|topic| {
                let partitions = slice(topic.partitions, topic.partition_cnt).iter().map(|p| {
                    let (replicas, isr) = (slice(p.replicas, p.replica_cnt), slice(p.isrs, p.isr_cnt));
                    PartitionMetadata {
                        id: p.id,
                        leader: p.leader,
                        replicas: replicas.to_vec(),
                        isr: isr.to_vec(),
                        error: code_of(p.err),
                    }
                });
                TopicMetadata::new(text(topic.topic).into_owned(), partitions.collect(), code_of(topic.err))
            })
            .collect();
        sys::rd_kafka_metadata_destroy(metadata);
        Ok(topics)
    }
}
