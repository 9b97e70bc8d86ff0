//! From a frame to its answer: header, version, decoding, the handler, encoding.

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest,
    AlterUserScramCredentialsRequest, ApiKey, ApiVersionsResponse, ConsumerGroupHeartbeatRequest,
    CreateAclsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteAclsRequest, DeleteGroupsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeAclsRequest, DescribeClientQuotasRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeTransactionsRequest, DescribeUserScramCredentialsRequest,
    ElectLeadersRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, ListOffsetsRequest, ListPartitionReassignmentsRequest, ListTransactionsRequest,
    MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, ProduceRequest,
    SaslHandshakeRequest, SyncGroupRequest,
    api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey},
};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::api::{
    admin, configs, fetch, groups, lacking, members, metadata, offsets, produce, producers, replicas,
    security,
};
use super::apis::{self, Api};
use super::broker::Broker;
use super::code;
use super::request::{Client, Context, Part, Reply, Share};
use super::shape;

/// The feature from which tools read the release of a cluster.
const METADATA_VERSION: &str = "metadata.version";
/// The metadata version of Apache Kafka 4.1, and the oldest one that it supports.
const METADATA: i16 = 27;
const OLDEST_METADATA: i16 = 7;

/// Answers one frame (without its length). The second result is a line for `-v`;
/// the error says why the frame is not a Kafka request.
pub(crate) async fn answer(
    broker: &Arc<Broker>,
    client: &Client,
    frame: Bytes,
    share: Share,
) -> Result<(Reply, String), String> {
    let (header, body) = header(frame)?;
    let Some(api) = apis::find(header.api_key) else {
        return Err(format!(
            "{} v{} from client {:?}, which kq dev does not have",
            apis::name(header.api_key),
            header.version,
            header.client_id
        ));
    };
    let what = format!("{:?} v{} {:?}", api.key, header.version, header.client_id);
    if api.key == ApiKey::ApiVersions {
        return Ok((api_versions(api, &header)?, what));
    }
    if !(api.min..=api.max).contains(&header.version) {
        return Err(format!("{what}: this version is not one of {} to {}", api.min, api.max));
    }
    api.check(header.version, &body).map_err(|why| format!("{what} is malformed: {why}"))?;
    let context = Context {
        broker,
        client,
        client_id: &header.client_id,
        version: header.version,
        correlation_id: header.correlation_id,
    };
    let reply = handle(&context, api, body, share).await.map_err(|e| format!("{what} is malformed: {e}"))?;
    Ok((reply, what))
}

struct Header {
    api_key: i16,
    version: i16,
    correlation_id: i32,
    client_id: String,
}

fn header(mut frame: Bytes) -> Result<(Header, Bytes), String> {
    let short = |_| "a frame that is shorter than a request's header".to_owned();
    let api_key = frame.try_get_i16().map_err(short)?;
    let version = frame.try_get_i16().map_err(short)?;
    let correlation_id = frame.try_get_i32().map_err(short)?;
    let length = usize::try_from(frame.try_get_i16().map_err(short)?).unwrap_or(0);
    if length > frame.len() {
        return Err("a client id that is longer than its frame".into());
    }
    let client_id = String::from_utf8_lossy(&frame.split_to(length)).into_owned();
    if apis::find(api_key).is_some_and(|api| api.is_flexible(version)) {
        let tags = shape::tagged_fields(&frame).map_err(|why| format!("a header is malformed: {why}"))?;
        frame.advance(tags);
    }
    Ok((Header { api_key, version, correlation_id, client_id }, frame))
}

/// The versions that the broker answers. A newer request gets the v0 form with `UNSUPPORTED_VERSION`.
fn api_versions(api: &Api, header: &Header) -> Result<Reply, String> {
    let known = (api.min..=api.max).contains(&header.version);
    let (version, error) = if known { (header.version, code::NONE) } else { (0, code::UNSUPPORTED_VERSION) };
    let keys = apis::APIS.iter().map(|api| {
        ApiVersion::default().with_api_key(api.key as i16).with_min_version(api.min).with_max_version(api.max)
    });
    let body = ApiVersionsResponse::default()
        .with_error_code(error)
        .with_api_keys(keys.collect())
        .with_supported_features(vec![
            SupportedFeatureKey::default()
                .with_name(METADATA_VERSION.into())
                .with_min_version(OLDEST_METADATA)
                .with_max_version(METADATA),
        ])
        .with_finalized_features_epoch(0)
        .with_finalized_features(vec![
            FinalizedFeatureKey::default()
                .with_name(METADATA_VERSION.into())
                .with_min_version_level(METADATA)
                .with_max_version_level(METADATA),
        ]);
    // The response header is the oldest one in every version: the client does not know the
    // broker's versions yet.
    encode(header.correlation_id, false, &body, version).map_err(|e| e.to_string())
}

fn encode(correlation_id: i32, flexible: bool, body: &impl Encodable, version: i16) -> anyhow::Result<Reply> {
    let mut out = BytesMut::with_capacity(256);
    out.put_i32(0);
    out.put_i32(correlation_id);
    if flexible {
        out.put_u8(0);
    }
    body.encode(&mut out, version)?;
    let size = i32::try_from(out.len() - 4)?;
    out[..4].copy_from_slice(&size.to_be_bytes());
    Ok(Reply::Parts(vec![Part::Bytes(out.freeze())]))
}

fn decode<T: Decodable>(mut body: Bytes, version: i16) -> anyhow::Result<T> {
    T::decode(&mut body, version)
}

/// A handler that waits keeps nothing of the frame: it takes the request and its share of memory, and
/// drops both before it waits.
async fn handle(context: &Context<'_>, api: &Api, body: Bytes, share: Share) -> anyhow::Result<Reply> {
    let version = context.version;
    macro_rules! reply {
        ($response:expr) => {
            encode(context.correlation_id, api.is_flexible(version), &$response, version)
        };
    }
    macro_rules! request {
        ($type:ty) => {
            &decode::<$type>(body, version)?
        };
    }
    match api.key {
        ApiKey::Produce => {
            let request = request!(ProduceRequest);
            let response = produce::produce(context, request);
            match request.acks {
                0 if produce::all_taken(&response) => Ok(Reply::Nothing),
                0 => Ok(Reply::Close),
                _ => reply!(response),
            }
        }
        ApiKey::Fetch => fetch::fetch(context, decode::<FetchRequest>(body, version)?, share).await,
        ApiKey::ListOffsets => reply!(offsets::list(context, request!(ListOffsetsRequest)).await?),
        ApiKey::Metadata => reply!(metadata::metadata(context, request!(MetadataRequest))),
        ApiKey::OffsetCommit => reply!(groups::commit(context, request!(OffsetCommitRequest))),
        ApiKey::OffsetFetch => reply!(groups::committed(context, request!(OffsetFetchRequest))?),
        ApiKey::FindCoordinator => {
            reply!(groups::find_coordinator(context, request!(FindCoordinatorRequest)))
        }
        ApiKey::JoinGroup => {
            reply!(members::join(context, decode::<JoinGroupRequest>(body, version)?, share).await)
        }
        ApiKey::Heartbeat => reply!(members::heartbeat(context, request!(HeartbeatRequest))),
        ApiKey::LeaveGroup => reply!(members::leave(context, request!(LeaveGroupRequest))),
        ApiKey::SyncGroup => {
            reply!(members::sync(context, decode::<SyncGroupRequest>(body, version)?, share).await)
        }
        ApiKey::DescribeGroups => reply!(groups::describe(context, request!(DescribeGroupsRequest))?),
        ApiKey::ListGroups => reply!(groups::list(context, request!(ListGroupsRequest))),
        ApiKey::CreateTopics => reply!(admin::create_topics(context, request!(CreateTopicsRequest))?),
        ApiKey::DeleteTopics => reply!(admin::delete_topics(context, request!(DeleteTopicsRequest))),
        ApiKey::DeleteRecords => reply!(offsets::delete_records(context, request!(DeleteRecordsRequest))),
        ApiKey::InitProducerId => reply!(produce::init_producer_id(context, request!(InitProducerIdRequest))),
        ApiKey::DescribeConfigs => reply!(configs::describe(context, request!(DescribeConfigsRequest))?),
        ApiKey::AlterConfigs => reply!(configs::alter(context, request!(AlterConfigsRequest))),
        ApiKey::CreatePartitions => {
            reply!(admin::create_partitions(context, request!(CreatePartitionsRequest)))
        }
        ApiKey::DeleteGroups => reply!(groups::delete(context, request!(DeleteGroupsRequest))),
        ApiKey::IncrementalAlterConfigs => {
            reply!(configs::alter_incrementally(context, request!(IncrementalAlterConfigsRequest)))
        }
        ApiKey::OffsetDelete => reply!(groups::forget(context, request!(OffsetDeleteRequest))),
        ApiKey::SaslHandshake => reply!(lacking::sasl_handshake(context, request!(SaslHandshakeRequest))),
        ApiKey::ConsumerGroupHeartbeat => {
            reply!(lacking::consumer_group_heartbeat(context, request!(ConsumerGroupHeartbeatRequest)))
        }
        ApiKey::DescribeAcls => reply!(security::describe_acls(request!(DescribeAclsRequest))),
        ApiKey::CreateAcls => reply!(security::create_acls(request!(CreateAclsRequest))),
        ApiKey::DeleteAcls => reply!(security::delete_acls(request!(DeleteAclsRequest))),
        ApiKey::DescribeClientQuotas => {
            reply!(security::describe_quotas(request!(DescribeClientQuotasRequest)))
        }
        ApiKey::AlterClientQuotas => reply!(security::alter_quotas(request!(AlterClientQuotasRequest))),
        ApiKey::DescribeUserScramCredentials => {
            reply!(security::describe_scram(request!(DescribeUserScramCredentialsRequest)))
        }
        ApiKey::AlterUserScramCredentials => {
            reply!(security::alter_scram(request!(AlterUserScramCredentialsRequest)))
        }
        ApiKey::DescribeLogDirs => reply!(replicas::log_dirs(context, request!(DescribeLogDirsRequest))),
        ApiKey::ElectLeaders => reply!(replicas::elect(context, request!(ElectLeadersRequest))?),
        ApiKey::AlterPartitionReassignments => {
            reply!(replicas::reassign(context, request!(AlterPartitionReassignmentsRequest))?)
        }
        ApiKey::ListPartitionReassignments => {
            reply!(replicas::list_reassignments(request!(ListPartitionReassignmentsRequest)))
        }
        ApiKey::DescribeProducers => {
            reply!(producers::describe(context, request!(DescribeProducersRequest))?)
        }
        ApiKey::ListTransactions => reply!(producers::list_transactions(request!(ListTransactionsRequest))),
        ApiKey::DescribeTransactions => {
            reply!(producers::describe_transactions(request!(DescribeTransactionsRequest)))
        }
        ApiKey::DescribeCluster => reply!(metadata::cluster(context, request!(DescribeClusterRequest))),
        key => anyhow::bail!("{key:?} has no handler"),
    }
}

#[cfg(test)]
mod tests;
