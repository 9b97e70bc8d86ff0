//! Where partitions are: their folder and size, reassignments and elections, with one replica of each.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId,
    DescribeLogDirsRequest, DescribeLogDirsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, TopicName,
};

use super::{Room, message, text};
use crate::dev::broker::NODE_ID;
use crate::dev::code;
use crate::dev::request::Context;
use crate::dev::topics::{Refused, Topic};

/// The one folder, and the bytes of each partition in it: all of them, or those that are named.
pub(crate) fn log_dirs(context: &Context<'_>, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let topics = &context.broker.topics;
    let wanted = request.topics.as_ref().map(|asked| {
        let mut wanted: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
        for topic in asked {
            wanted.entry(topic.topic.as_str()).or_default().extend(&topic.partitions);
        }
        wanted
    });
    let found = topics.all().into_iter().filter_map(|topic| {
        let only = wanted.as_ref().map(|wanted| wanted.get(topic.name.as_str()));
        let partitions: Vec<_> = match only {
            Some(None) => return None,
            Some(Some(only)) => sizes(&topic, |index| only.contains(&index)),
            None => sizes(&topic, |_| true),
        };
        let name = TopicName(text(topic.name.clone()));
        (!partitions.is_empty())
            .then(|| DescribeLogDirsTopic::default().with_name(name).with_partitions(partitions))
    });
    let folder = topics.folder();
    let (total, usable) = rustix::fs::statvfs(folder).map_or((-1, -1), |disk| {
        let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(disk.f_frsize)).unwrap_or(i64::MAX);
        (bytes(disk.f_blocks), bytes(disk.f_bavail))
    });
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let result = DescribeLogDirsResult::default()
        .with_log_dir(text(folder.to_string_lossy()))
        .with_topics(found.collect())
        .with_total_bytes(total)
        .with_usable_bytes(usable);
    DescribeLogDirsResponse::default().with_results(vec![result])
}

fn sizes(topic: &Topic, wanted: impl Fn(i32) -> bool) -> Vec<DescribeLogDirsPartition> {
    let partitions = (0..).zip(topic.partitions()).filter(|(index, _)| wanted(*index));
    let size = |(index, partition): (i32, std::sync::Arc<crate::dev::topics::Partition>)| {
        DescribeLogDirsPartition::default()
            .with_partition_index(index)
            .with_partition_size(i64::try_from(partition.log().size()).unwrap_or(i64::MAX))
    };
    partitions.map(size).collect()
}

/// None is under way: a replica that can move nowhere is there at once.
pub(crate) fn list_reassignments(
    _: &ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default().with_error_message(None)
}

/// Moves partitions to this node, where they are; any other place is refused.
pub(crate) fn reassign(
    context: &Context<'_>,
    request: &AlterPartitionReassignmentsRequest,
) -> anyhow::Result<AlterPartitionReassignmentsResponse> {
    let mut room = Room::new();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let response =
                ReassignablePartitionResponse::default().with_partition_index(asked.partition_index);
            room.take(size_of::<ReassignablePartitionResponse>())?;
            Ok(match check_reassignment(context, &topic.name, asked) {
                Ok(()) => response.with_error_message(None),
                Err((error, why)) => {
                    room.take(why.len())?;
                    response.with_error_code(error).with_error_message((!why.is_empty()).then(|| text(why)))
                }
            })
        });
        Ok(ReassignableTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect::<anyhow::Result<_>>()?))
    });
    Ok(AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_error_message(None)
        .with_responses(topics.collect::<anyhow::Result<_>>()?))
}

fn check_reassignment(
    context: &Context<'_>,
    name: &str,
    asked: &ReassignablePartition,
) -> Result<(), Refused> {
    let index = asked.partition_index;
    let Some(topic) = context.broker.topics.find(name) else {
        let why = format!("Unable to find a topic named {name}.");
        return Err((code::UNKNOWN_TOPIC_OR_PARTITION, why));
    };
    if !usize::try_from(index).is_ok_and(|index| index < topic.partition_count()) {
        let why = format!("Unable to find partition {name}:{index}.");
        return Err((code::UNKNOWN_TOPIC_OR_PARTITION, why));
    }
    // Null cancels a reassignment.
    let Some(replicas) = &asked.replicas else {
        return Err((code::NO_REASSIGNMENT_IN_PROGRESS, String::new()));
    };
    let refused = |why: String| Err((code::INVALID_REPLICA_ASSIGNMENT, why));
    if let Some(BrokerId(other)) = replicas.iter().find(|BrokerId(id)| *id != NODE_ID) {
        return refused(format!(
            "The manual partition assignment includes broker {other}, but no such broker is registered."
        ));
    }
    match replicas.len() {
        0 => refused("The manual partition assignment includes an empty replica list.".into()),
        1 => Ok(()),
        _ => {
            refused(format!("The manual partition assignment includes the broker {NODE_ID} more than once."))
        }
    }
}

/// This node leads each partition: an election is never needed.
pub(crate) fn elect(
    context: &Context<'_>,
    request: &ElectLeadersRequest,
) -> anyhow::Result<ElectLeadersResponse> {
    let mut room = Room::new();
    let unknown = !(0..=1).contains(&request.election_type);
    let response = ElectLeadersResponse::default().with_error_code(if unknown {
        code::INVALID_REQUEST
    } else {
        code::NONE
    });
    let result = |name: TopicName| ReplicaElectionResult::default().with_topic(name);
    let Some(asked) = &request.topic_partitions else {
        // Where all are asked for, those that need no election are left out.
        let all = context.broker.topics.all().into_iter();
        let all = all.map(|topic| result(TopicName(text(topic.name.clone()))));
        return Ok(response.with_replica_election_results(all.collect()));
    };
    let topics = asked.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|index| {
            let (error, why) = if unknown {
                (code::INVALID_REQUEST, format!("Unknown election type {}", request.election_type))
            } else {
                not_elected(context, &topic.topic, *index)
            };
            room.take(size_of::<PartitionResult>() + why.len())?;
            Ok(PartitionResult::default()
                .with_partition_id(*index)
                .with_error_code(error)
                .with_error_message(message(why)))
        });
        Ok(result(topic.topic.clone()).with_partition_result(partitions.collect::<anyhow::Result<_>>()?))
    });
    Ok(response.with_replica_election_results(topics.collect::<anyhow::Result<_>>()?))
}

fn not_elected(context: &Context<'_>, topic: &str, index: i32) -> Refused {
    let topics = &context.broker.topics;
    if topics.find(topic).is_none() {
        return (code::UNKNOWN_TOPIC_OR_PARTITION, format!("No such topic as {topic}"));
    }
    if topics.partition(topic, index).is_none() {
        return (code::UNKNOWN_TOPIC_OR_PARTITION, format!("No such partition as {topic}-{index}"));
    }
    (code::ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.".into())
}
