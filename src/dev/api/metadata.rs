//! Metadata, `DescribeCluster`: the broker and the topics.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, MetadataRequest, MetadataResponse, TopicName,
};

use uuid::Uuid;

use super::{once, text};
use crate::dev::broker::{CLUSTER_ID, NODE_ID};
use crate::dev::code::{self, Code, UNKNOWN_TOPIC_OR_PARTITION as UNKNOWN};
use crate::dev::notes::Kind;
use crate::dev::request::Context;
use crate::dev::topics::{self, Topic};

/// Topics with their partitions; creates missing topics that are asked for by name.
pub(crate) fn metadata(context: &Context<'_>, request: &MetadataRequest) -> MetadataResponse {
    // Version 0 says "all" with an empty list, later ones with null.
    let named = request.topics.as_ref().filter(|topics| context.version > 0 || !topics.is_empty());
    let topics = match named {
        None => context.broker.topics.all().iter().map(|topic| described(topic)).collect(),
        Some(named) => {
            let asked = named.iter().filter_map(|topic| topic.name.as_ref());
            let wanted: Vec<_> = once(asked, |name| name.as_str()).collect();
            let refused = make_missing(context, &wanted, request.allow_auto_topic_creation);
            let by_name = |name: &TopicName| match context.broker.topics.find(name) {
                Some(topic) => described(&topic),
                None => missing(name, refused.get(name.as_str()).copied().unwrap_or(UNKNOWN)),
            };
            let mut topics: Vec<_> = wanted.into_iter().map(by_name).collect();
            topics.extend(described_by_id(context, named));
            topics
        }
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(text(context.client.local.ip().to_string()))
        .with_port(i32::from(context.client.local.port()));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(CLUSTER_ID)))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics)
}

/// Creates missing topics if that is allowed. Returns the codes of those that are still missing.
fn make_missing<'a>(
    context: &Context<'_>,
    names: &[&'a TopicName],
    allowed: bool,
) -> BTreeMap<&'a str, Code> {
    let broker = context.broker;
    let names = names.iter().map(|name| name.as_str());
    let missing: Vec<&str> = names.filter(|name| broker.topics.find(name).is_none()).collect();
    // Before version 4 the request has no field for it; the broker decides.
    if !broker.settings.auto_create || (context.version >= 4 && !allowed) {
        let code = |name| topics::check_name(name).map_or_else(|(error, _)| error, |()| UNKNOWN);
        return missing.into_iter().map(|name| (name, code(name))).collect();
    }
    let new = missing.iter().map(|name| (*name, broker.settings.partitions, BTreeMap::new()));
    let made = broker.topics.create_all(new);
    let refused = missing.into_iter().zip(made).filter_map(|(name, made)| match made {
        Ok(_) => {
            broker.notes.verbose(format_args!("topic {name} made on first use"));
            None
        }
        // Another client has created it meanwhile.
        Err((code::TOPIC_ALREADY_EXISTS, _)) => None,
        Err((code::INVALID_TOPIC_EXCEPTION, _)) => Some((name, code::INVALID_TOPIC_EXCEPTION)),
        Err((error, why)) => {
            broker.notes.error(Kind::Topic, format_args!("make topic {name}: {why}"));
            Some((name, error))
        }
    });
    refused.collect()
}

/// The topics that are asked for by their ids, each once.
fn described_by_id(context: &Context<'_>, asked: &[MetadataRequestTopic]) -> Vec<MetadataResponseTopic> {
    let ids = asked.iter().filter(|topic| topic.name.is_none()).map(|topic| topic.topic_id);
    let ids: Vec<Uuid> = once(ids, |id| *id).collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let by_id = context.broker.topics.by_id();
    let unknown = |id| {
        MetadataResponseTopic::default()
            .with_error_code(code::UNKNOWN_TOPIC_ID)
            .with_name(None)
            .with_topic_id(id)
    };
    ids.into_iter().map(|id| by_id.get(&id).map_or_else(|| unknown(id), |topic| described(topic))).collect()
}

fn missing(name: &TopicName, error: Code) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(error).with_name(Some(name.clone()))
}

fn described(topic: &Topic) -> MetadataResponseTopic {
    let node = vec![BrokerId(NODE_ID)];
    let partition = |index: usize| {
        MetadataResponsePartition::default()
            .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(0)
            .with_replica_nodes(node.clone())
            .with_isr_nodes(node.clone())
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(topic.name.clone()))))
        .with_topic_id(topic.id)
        .with_partitions((0..topic.partition_count()).map(partition).collect())
}

/// The one node.
pub(crate) fn cluster(context: &Context<'_>, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default();
    // Version 1 can ask for controllers; this broker has no such endpoints.
    if context.version >= 1 && request.endpoint_type != 1 {
        return response.with_error_code(code::INVALID_REQUEST);
    }
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(text(context.client.local.ip().to_string()))
        .with_port(i32::from(context.client.local.port()));
    response
        .with_endpoint_type(1)
        .with_cluster_id(text(CLUSTER_ID))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![broker])
}
