//! `JoinGroup`, `SyncGroup`, Heartbeat, `LeaveGroup`: the life of a group's member.

use std::sync::atomic::Ordering;

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::text;
use crate::dev::code;
use crate::dev::groups::MAX_ID;
use crate::dev::groups::messages::{Join, Sync, Who};
use crate::dev::request::{Context, Share};

/// The shortest and longest session of a member, in milliseconds; a rebalance does not wait longer
/// either. Kafka's default for the shortest is 6 s; with less a test can replace a killed member sooner.
const SESSION: std::ops::RangeInclusive<i32> = 100..=1_800_000;
/// Bytes of metadata that one member may have for all its assignors.
const MAX_METADATA: usize = 1 << 20;

pub(super) fn optional(s: Option<&StrBytes>) -> Option<String> {
    s.map(|s| s.as_str().to_owned())
}

/// Joins a group; answered when all members have joined the rebalance.
pub(crate) async fn join(
    context: &Context<'_>,
    request: JoinGroupRequest,
    share: Share,
) -> JoinGroupResponse {
    let refused = |error| {
        JoinGroupResponse::default()
            .with_error_code(error)
            .with_generation_id(-1)
            .with_member_id(request.member_id.clone())
            .with_protocol_name(Some(StrBytes::new()))
    };
    // The first check, as in Kafka.
    if request.group_id.is_empty() {
        return refused(code::INVALID_GROUP_ID);
    }
    let names = [request.member_id.len(), request.protocol_type.len(), context.client_id.len()];
    if names.into_iter().chain(request.group_instance_id.as_ref().map(|id| id.len())).any(|n| n > MAX_ID) {
        return refused(code::INVALID_REQUEST);
    }
    if !SESSION.contains(&request.session_timeout_ms) {
        return refused(code::INVALID_SESSION_TIMEOUT);
    }
    let size: usize = request.protocols.iter().map(|p| p.metadata.len() + p.name.len()).sum();
    if size > MAX_METADATA {
        return refused(code::INVALID_REQUEST);
    }
    // Version 0 has no rebalance time-out: the session time-out is used for both.
    let rebalance =
        if context.version >= 1 { request.rebalance_timeout_ms } else { request.session_timeout_ms };
    let serial = context.broker.next_member.fetch_add(1, Ordering::Relaxed);
    let instance_id = optional(request.group_instance_id.as_ref());
    let prefix = instance_id.as_deref().unwrap_or(context.client_id);
    let join = Join {
        member_id: request.member_id.as_str().to_owned(),
        new_id: format!("{prefix}-{:x}-{serial:08x}", context.broker.started_ms),
        instance_id,
        client_id: context.client_id.to_owned(),
        client_host: format!("/{}", context.client.peer.ip()),
        session_timeout: u64::try_from(request.session_timeout_ms).unwrap_or(0),
        rebalance_timeout: u64::try_from(rebalance.min(*SESSION.end())).unwrap_or(0),
        protocol_type: request.protocol_type.as_str().to_owned(),
        // Copied, because the frame may be large and must not be kept as long as the group.
        protocols: request
            .protocols
            .iter()
            .map(|p| (p.name.as_str().to_owned(), bytes::Bytes::copy_from_slice(&p.metadata)))
            .collect(),
        id_required: context.version >= 4,
        can_skip_assignment: context.version >= 9,
    };
    let group = request.group_id.as_str().to_owned();
    drop((request, share));
    let joined = context.broker.coordinator.join(&group, join).await;
    let members = joined.members.into_iter().map(|(id, instance, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance.map(text))
            .with_metadata(metadata)
    });
    // Before version 7 the name can't be null.
    let optional = |s: String| if s.is_empty() && context.version >= 7 { None } else { Some(text(s)) };
    JoinGroupResponse::default()
        .with_error_code(joined.error)
        .with_generation_id(joined.generation)
        .with_protocol_type(optional(joined.protocol_type))
        .with_protocol_name(optional(joined.protocol))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(joined.member_id))
        .with_members(members.collect())
}

/// Sends the assignment or asks for it; answered when the leader has sent it.
pub(crate) async fn sync(
    context: &Context<'_>,
    request: SyncGroupRequest,
    share: Share,
) -> SyncGroupResponse {
    let assignments = request.assignments.iter();
    let sync = Sync {
        who: Who {
            member_id: request.member_id.as_str().to_owned(),
            instance_id: optional(request.group_instance_id.as_ref()),
            generation: request.generation_id,
        },
        protocol_type: optional(request.protocol_type.as_ref()),
        protocol: optional(request.protocol_name.as_ref()),
        assignments: assignments
            .map(|a| (a.member_id.as_str().to_owned(), bytes::Bytes::copy_from_slice(&a.assignment)))
            .collect(),
    };
    let group = request.group_id.as_str().to_owned();
    drop((request, share));
    let synced = context.broker.coordinator.sync(&group, sync).await;
    let optional = |s: String| if s.is_empty() { None } else { Some(text(s)) };
    SyncGroupResponse::default()
        .with_error_code(synced.error)
        .with_protocol_type(optional(synced.protocol_type))
        .with_protocol_name(optional(synced.protocol))
        .with_assignment(synced.assignment)
}

/// A heartbeat.
pub(crate) fn heartbeat(context: &Context<'_>, request: &HeartbeatRequest) -> HeartbeatResponse {
    let who = Who {
        member_id: request.member_id.as_str().to_owned(),
        instance_id: optional(request.group_instance_id.as_ref()),
        generation: request.generation_id,
    };
    let error = context.broker.coordinator.heartbeat(&request.group_id, &who);
    HeartbeatResponse::default().with_error_code(error)
}

/// One member leaves, or, from version 3 on, several are removed.
pub(crate) fn leave(context: &Context<'_>, request: &LeaveGroupRequest) -> LeaveGroupResponse {
    let coordinator = &context.broker.coordinator;
    if request.group_id.is_empty() {
        return LeaveGroupResponse::default().with_error_code(code::INVALID_GROUP_ID);
    }
    if context.version < 3 {
        let error = coordinator.leave(&request.group_id, &request.member_id, None);
        return LeaveGroupResponse::default().with_error_code(error);
    }
    let members = request.members.iter().map(|member| {
        let instance = optional(member.group_instance_id.as_ref());
        let error = coordinator.leave(&request.group_id, &member.member_id, instance.as_deref());
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(error)
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
