//! Committed offsets, and groups as an administrator sees them.

use std::collections::BTreeMap;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    BrokerId, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, ListGroupsRequest, ListGroupsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};

use super::members::optional;
use super::{Room, lacking, message, text};
use crate::dev::broker::NODE_ID;
use crate::dev::code;
use crate::dev::groups::messages::Who;
use crate::dev::groups::offsets::{Committed, GroupOffsets};
use crate::dev::request::Context;

/// This node, always; there is no coordinator for transactions.
pub(crate) fn find_coordinator(
    context: &Context<'_>,
    request: &FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let (error, why) = match request.key_type {
        0 => (code::NONE, None),
        1 => (lacking::transactions(context), message("kq dev has no transactions")),
        _ => (code::INVALID_REQUEST, message("kq dev knows coordinators of groups only")),
    };
    let (id, host, port) = if error == code::NONE {
        (NODE_ID, context.client.local.ip().to_string(), i32::from(context.client.local.port()))
    } else {
        (-1, String::new(), -1)
    };
    if context.version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(error)
            .with_error_message(why)
            .with_node_id(BrokerId(id))
            .with_host(text(host))
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.iter().map(|key| {
        Coordinator::default()
            .with_key(key.clone())
            .with_error_code(error)
            .with_error_message(why.clone())
            .with_node_id(BrokerId(id))
            .with_host(text(host.clone()))
            .with_port(port)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}

/// Commits offsets. Once this is answered they survive a kill of the broker.
pub(crate) fn commit(context: &Context<'_>, request: &OffsetCommitRequest) -> OffsetCommitResponse {
    let broker = context.broker;
    let mut set = Vec::new();
    for topic in &request.topics {
        for asked in &topic.partitions {
            if broker.topics.partition(&topic.name, asked.partition_index).is_some() {
                let committed = Committed {
                    offset: asked.committed_offset,
                    epoch: if context.version >= 6 { asked.committed_leader_epoch } else { -1 },
                    metadata: optional(asked.committed_metadata.as_ref()).unwrap_or_default(),
                };
                set.push((topic.name.as_str().to_owned(), asked.partition_index, committed));
            }
        }
    }
    let who = Who {
        member_id: request.member_id.as_str().to_owned(),
        instance_id: optional(request.group_instance_id.as_ref()),
        generation: request.generation_id_or_member_epoch,
    };
    let mut codes = broker.coordinator.commit(&request.group_id, &who, set).into_iter();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let there = broker.topics.partition(&topic.name, asked.partition_index).is_some();
            let error = if there { codes.next() } else { None };
            OffsetCommitResponsePartition::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(error.unwrap_or(code::UNKNOWN_TOPIC_OR_PARTITION))
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// Topic, and for each partition its index and what is committed.
type Answered = Vec<(TopicName, Vec<(i32, Committed)>)>;

/// The committed offsets of these partitions, or of all: -1 where there is none.
fn lookup(
    offsets: &GroupOffsets,
    asked: Option<Vec<(TopicName, Vec<i32>)>>,
    room: &mut Room,
) -> anyhow::Result<Answered> {
    let mut take = |committed: &Committed| {
        room.take(size_of::<OffsetFetchResponsePartitions>() + committed.metadata.len())
    };
    let none = || Committed { offset: -1, epoch: -1, metadata: String::new() };
    let Some(asked) = asked else {
        let mut topics: BTreeMap<&str, Vec<(i32, Committed)>> = BTreeMap::new();
        for ((topic, partition), committed) in offsets {
            take(committed)?;
            topics.entry(topic).or_default().push((*partition, committed.clone()));
        }
        return Ok(topics.into_iter().map(|(topic, found)| (TopicName(text(topic)), found)).collect());
    };
    let mut found = |topic: &TopicName, index: i32| {
        let committed = offsets.get(&(topic.as_str().to_owned(), index)).cloned().unwrap_or_else(none);
        take(&committed)?;
        Ok((index, committed))
    };
    asked
        .into_iter()
        .map(|(topic, indexes)| {
            let found =
                indexes.into_iter().map(|index| found(&topic, index)).collect::<anyhow::Result<_>>()?;
            Ok((topic, found))
        })
        .collect()
}

/// Committed offsets of one group, or from version 8 on of several.
pub(crate) fn committed(
    context: &Context<'_>,
    request: &OffsetFetchRequest,
) -> anyhow::Result<OffsetFetchResponse> {
    let mut room = Room::new();
    let coordinator = &context.broker.coordinator;
    if context.version < 8 {
        let asked = request
            .topics
            .as_ref()
            .map(|topics| topics.iter().map(|t| (t.name.clone(), t.partition_indexes.clone())).collect());
        let topics = lookup(&coordinator.committed(&request.group_id), asked, &mut room)?;
        let topics = topics.into_iter().map(|(name, found)| {
            let partitions = found.into_iter().map(|(index, committed)| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(index)
                    .with_committed_offset(committed.offset)
                    .with_committed_leader_epoch(committed.epoch)
                    .with_metadata(message(committed.metadata))
            });
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
        });
        return Ok(OffsetFetchResponse::default().with_topics(topics.collect()));
    }
    let groups = request.groups.iter().map(|group| {
        let asked = group
            .topics
            .as_ref()
            .map(|topics| topics.iter().map(|t| (t.name.clone(), t.partition_indexes.clone())).collect());
        let topics = lookup(&coordinator.committed(&group.group_id), asked, &mut room)?;
        let topics = topics.into_iter().map(|(name, found)| {
            let partitions = found.into_iter().map(|(index, committed)| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_committed_offset(committed.offset)
                    .with_committed_leader_epoch(committed.epoch)
                    .with_metadata(message(committed.metadata))
            });
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
        });
        Ok(OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id.clone())
            .with_topics(topics.collect()))
    });
    Ok(OffsetFetchResponse::default().with_groups(groups.collect::<anyhow::Result<_>>()?))
}

/// Groups with their state, members and assignments; an unknown one is `Dead`, and from version 6 on an
/// error, as in Kafka.
pub(crate) fn describe(
    context: &Context<'_>,
    request: &DescribeGroupsRequest,
) -> anyhow::Result<DescribeGroupsResponse> {
    let mut room = Room::new();
    let groups = request.groups.iter().map(|id| {
        let group = DescribedGroup::default().with_group_id(id.clone());
        let Some(described) = context.broker.coordinator.describe(id) else {
            let group = group.with_group_state(text("Dead"));
            if context.version < 6 {
                return Ok(group);
            }
            let why = format!("Group {} not found.", id.as_str());
            return Ok(group.with_error_code(code::GROUP_ID_NOT_FOUND).with_error_message(message(why)));
        };
        for member in &described.members {
            let bytes = member.metadata.len() + member.assignment.len();
            room.take(size_of::<DescribedGroupMember>() + member.id.len() + bytes)?;
        }
        let members = described.members.into_iter().map(|member| {
            DescribedGroupMember::default()
                .with_member_id(text(member.id))
                .with_group_instance_id(member.instance_id.map(text))
                .with_client_id(text(member.client_id))
                .with_client_host(text(member.client_host))
                .with_member_metadata(member.metadata)
                .with_member_assignment(member.assignment)
        });
        Ok(group
            .with_group_state(text(described.state))
            .with_protocol_type(text(described.protocol_type))
            .with_protocol_data(text(described.protocol))
            .with_members(members.collect()))
    });
    Ok(DescribeGroupsResponse::default().with_groups(groups.collect::<anyhow::Result<_>>()?))
}

/// All groups, or those in certain states or of certain types.
pub(crate) fn list(context: &Context<'_>, request: &ListGroupsRequest) -> ListGroupsResponse {
    let wanted = |filter: &[kafka_protocol::protocol::StrBytes], is: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(is))
    };
    let groups = context.broker.coordinator.list().into_iter().filter(|group| {
        wanted(&request.states_filter, group.state) && wanted(&request.types_filter, "classic")
    });
    let groups = groups.map(|group| {
        ListedGroup::default()
            .with_group_id(GroupId(text(group.id)))
            .with_protocol_type(text(group.protocol_type))
            .with_group_state(text(group.state))
            .with_group_type(text("classic"))
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

/// Deletes groups without members, with their offsets.
pub(crate) fn delete(context: &Context<'_>, request: &DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.iter().map(|id| {
        DeletableGroupResult::default()
            .with_group_id(id.clone())
            .with_error_code(context.broker.coordinator.delete(id))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

/// Forgets single offsets of a group without members.
pub(crate) fn forget(context: &Context<'_>, request: &OffsetDeleteRequest) -> OffsetDeleteResponse {
    let topics = request.topics.iter();
    let places =
        topics.flat_map(|t| t.partitions.iter().map(|p| (t.name.as_str().to_owned(), p.partition_index)));
    let error = context.broker.coordinator.forget(&request.group_id, places.collect());
    if error != code::NONE {
        return OffsetDeleteResponse::default().with_error_code(error);
    }
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetDeleteResponsePartition::default().with_partition_index(partition.partition_index)
        });
        OffsetDeleteResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
