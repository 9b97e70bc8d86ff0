//! `ListOffsets` and `DeleteRecords`: the two ends of a log, and times.

use std::sync::Arc;

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
};

use crate::dev::broker::Broker;
use crate::dev::code::{self, Code};
use crate::dev::log::times;
use crate::dev::notes::Kind;
use crate::dev::request::Context;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// A partition that is asked for: topic, index, and a time or an end of its log.
type Asked = (String, i32, i64);

/// Offsets by time, exact per record, or of an end of the log.
pub(crate) async fn list(
    context: &Context<'_>,
    request: &ListOffsetsRequest,
) -> anyhow::Result<ListOffsetsResponse> {
    let asked = request.topics.iter().flat_map(|topic| {
        let name = topic.name.as_str();
        topic.partitions.iter().map(move |p| (name.to_owned(), p.partition_index, p.timestamp))
    });
    let found = find_all(context, asked.collect()).await?;
    let mut found = found.into_iter();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(found.by_ref()).map(|(asked, found)| {
            let response =
                ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            match found {
                Ok(Some((time, offset))) => {
                    // Older versions have no field for the epoch.
                    let epoch = if context.version >= 4 { 0 } else { -1 };
                    response.with_timestamp(time).with_offset(offset).with_leader_epoch(epoch)
                }
                Ok(None) => response.with_timestamp(-1).with_offset(-1).with_leader_epoch(-1),
                Err(error) => {
                    response.with_error_code(error).with_timestamp(-1).with_offset(-1).with_leader_epoch(-1)
                }
            }
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    Ok(ListOffsetsResponse::default().with_topics(topics.collect()))
}

/// Time and offset of each. A search by time reads and decompresses records: it runs on a thread of its
/// own, beside those that serve connections, one request at a time.
async fn find_all(
    context: &Context<'_>,
    asked: Vec<Asked>,
) -> anyhow::Result<Vec<Result<Option<(i64, i64)>, Code>>> {
    let broker = Arc::clone(context.broker);
    let by_time = asked.iter().any(|(.., time)| ![LATEST, EARLIEST].contains(time));
    let all = move || {
        let mut budget = times::BUDGET;
        asked.iter().map(|asked| find(&broker, asked, &mut budget)).collect()
    };
    if !by_time {
        return Ok(all());
    }
    let alone = Arc::clone(&context.broker.searching).lock_owned().await;
    let searched = tokio::task::spawn_blocking(move || {
        let found = all();
        drop(alone);
        found
    });
    Ok(searched.await?)
}

fn find(broker: &Broker, (topic, index, time): &Asked, budget: &mut u64) -> Result<Option<(i64, i64)>, Code> {
    let found = broker.topics.partition(topic, *index);
    let (_, partition) = found.ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)?;
    let by_time = match *time {
        LATEST => return Ok(Some((-1, partition.log().end()))),
        EARLIEST => return Ok(Some((-1, partition.log().start()))),
        MAX_TIMESTAMP => times::find_latest(|| partition.log(), budget),
        time if time < 0 => return Err(code::INVALID_REQUEST),
        time => times::find(|| partition.log(), time, budget),
    };
    if partition.log().is_deleted() {
        return Err(code::UNKNOWN_TOPIC_OR_PARTITION);
    }
    by_time.map_err(|e| {
        broker.notes.error(Kind::Storage, format_args!("read {topic}[{index}]: {e}"));
        code::KAFKA_STORAGE_ERROR
    })
}

/// Moves the start of logs; -1 is the high watermark.
pub(crate) fn delete_records(context: &Context<'_>, request: &DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let response =
                DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            match delete(context, &topic.name, asked.partition_index, asked.offset) {
                Ok(low) => response.with_low_watermark(low),
                Err(error) => response.with_low_watermark(-1).with_error_code(error),
            }
        });
        DeleteRecordsTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete(context: &Context<'_>, topic: &str, index: i32, offset: i64) -> Result<i64, Code> {
    let found = context.broker.topics.partition(topic, index);
    let (owner, partition) = found.ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)?;
    if !owner.log_config().deletes {
        return Err(code::POLICY_VIOLATION);
    }
    let mut log = partition.log();
    let offset = if offset == -1 { log.end() } else { offset };
    if offset < 0 || offset > log.end() {
        return Err(code::OFFSET_OUT_OF_RANGE);
    }
    match log.delete_before(offset) {
        Ok(()) => Ok(log.start()),
        Err(_) if log.is_deleted() => Err(code::UNKNOWN_TOPIC_OR_PARTITION),
        Err(e) => {
            context
                .broker
                .notes
                .error(Kind::Storage, format_args!("delete records of {topic}[{index}]: {e}"));
            Err(code::KAFKA_STORAGE_ERROR)
        }
    }
}
