//! `CreateTopics`, `DeleteTopics`, `CreatePartitions`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};

use uuid::Uuid;

use super::{Room, configs, message, once, text};
use crate::dev::code;
use crate::dev::configs::compaction;
use crate::dev::notes::Kind;
use crate::dev::request::Context;
use crate::dev::topics::Refused;

/// Creates topics. They can be used when this is answered.
pub(crate) fn create_topics(
    context: &Context<'_>,
    request: &CreateTopicsRequest,
) -> anyhow::Result<CreateTopicsResponse> {
    let mut room = Room::new();
    let mut names = BTreeSet::new();
    let twice: BTreeSet<&str> =
        request.topics.iter().map(|t| t.name.as_str()).filter(|name| !names.insert(*name)).collect();
    let planned = once(&request.topics, |topic| topic.name.as_str()).map(|topic| {
        let plan = if twice.contains(topic.name.as_str()) {
            Err((code::INVALID_REQUEST, "The topic is named twice in one request.".to_owned()))
        } else {
            plan(context, topic)
        };
        (topic, plan)
    });
    let created = create(context, planned.collect(), request.validate_only);
    let id = |name: &str| match context.broker.topics.find(name) {
        Some(topic) if !request.validate_only => topic.id,
        _ => Uuid::nil(),
    };
    let topics = created.into_iter().map(|(topic, created)| {
        let result = CreatableTopicResult::default().with_name(topic.name.clone()).with_error_message(None);
        Ok(match created {
            Ok(Plan { partitions, own, .. }) => result
                .with_topic_id(id(&topic.name))
                .with_num_partitions(partitions)
                .with_replication_factor(1)
                .with_configs(Some(shown(context, &own, &mut room)?)),
            Err((error, why)) => {
                result.with_error_code(error).with_error_message(message(why)).with_configs(None)
            }
        })
    });
    Ok(CreateTopicsResponse::default().with_topics(topics.collect::<anyhow::Result<_>>()?))
}

fn shown(
    context: &Context<'_>,
    own: &BTreeMap<String, String>,
    room: &mut Room,
) -> anyhow::Result<Vec<CreatableTopicConfigs>> {
    let entries = configs::entries(context.broker, own).into_iter();
    entries
        .map(|entry| {
            room.take(entry.size())?;
            let shown = CreatableTopicConfigs::default()
                .with_name(text(entry.name))
                .with_value(message(entry.value))
                .with_config_source(entry.source);
            Ok(shown)
        })
        .collect()
}

/// A topic to create.
struct Plan {
    partitions: i32,
    replicas: i16,
    own: BTreeMap<String, String>,
}

/// A topic as the request names it, and the result.
type Planned<'a> = (&'a CreatableTopic, Result<Plan, Refused>);

fn plan(context: &Context<'_>, topic: &CreatableTopic) -> Result<Plan, Refused> {
    let broker = context.broker;
    let partitions = if topic.assignments.is_empty() {
        if topic.num_partitions == -1 { broker.settings.partitions } else { topic.num_partitions }
    } else {
        let indexes: BTreeSet<i32> = topic.assignments.iter().map(|a| a.partition_index).collect();
        let count = i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX);
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let why = "Both an assignment and a number of partitions or replicas are given.";
            return Err((code::INVALID_REQUEST, why.into()));
        }
        if indexes != (0..count).collect() || topic.assignments.iter().any(|a| a.broker_ids.is_empty()) {
            let why = "Partitions must be numbered from 0 without a gap, each with a broker.";
            return Err((code::INVALID_REPLICA_ASSIGNMENT, why.into()));
        }
        count
    };
    let assigned = topic.assignments.iter().map(|a| a.broker_ids.len()).max();
    let replicas = assigned.map_or(topic.replication_factor, |n| i16::try_from(n).unwrap_or(i16::MAX));
    if replicas == 0 || replicas < -1 {
        let why = "Replication factor must be larger than 0, or -1 to use the default.";
        return Err((code::INVALID_REPLICATION_FACTOR, why.into()));
    }
    if replicas > 1 && broker.settings.strict {
        let why =
            format!("Unable to replicate the partition {replicas} time(s): only 1 broker is registered.");
        return Err((code::INVALID_REPLICATION_FACTOR, why));
    }
    let mut own = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let why = format!("Null value not supported for topic configs: {}", config.name.as_str());
            return Err((code::INVALID_CONFIG, why));
        };
        own.insert(config.name.as_str().to_owned(), value.as_str().to_owned());
    }
    Ok(Plan { partitions, replicas, own })
}

/// Creates all topics that have a plan at once, or only checks them.
fn create<'a>(context: &Context<'_>, planned: Vec<Planned<'a>>, only_check: bool) -> Vec<Planned<'a>> {
    let broker = context.broker;
    let new = planned.iter().filter_map(|(topic, plan)| Some((topic.name.as_str(), plan.as_ref().ok()?)));
    let made: Vec<Result<(), Refused>> = if only_check {
        new.map(|(name, plan)| broker.topics.check_new(name, plan.partitions, &plan.own)).collect()
    } else {
        let new = new.map(|(name, plan)| (name, plan.partitions, plan.own.clone()));
        broker.topics.create_all(new).into_iter().map(|made| made.map(|_| ())).collect()
    };
    let mut made = made.into_iter();
    let created = planned.into_iter().map(|(topic, plan)| {
        let created = plan.and_then(|plan| made.next().unwrap_or(Ok(())).map(|()| plan));
        if let Ok(plan) = &created
            && !only_check
        {
            note_differences(context, topic.name.as_str(), plan);
        }
        (topic, created)
    });
    created.collect()
}

/// Says what a topic that was created does not have, though it was asked for.
fn note_differences(context: &Context<'_>, name: &str, plan: &Plan) {
    let replicas = plan.replicas;
    if replicas > 1 {
        context.broker.notes.note(Kind::Replicas, format_args!(
            "topic {name}: {replicas} replicas were asked for; kq dev is one node and keeps 1 (--strict refuses)"
        ));
    }
    if let Some(policy) = compaction(&plan.own) {
        context.broker.note_compaction(name, &policy);
    }
}

/// Deletes topics, their records, and the offsets that groups committed for them.
pub(crate) fn delete_topics(context: &Context<'_>, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
    let named = request.topic_names.iter().map(|name| delete_named(context, name));
    let by_id = if request.topics.is_empty() { HashMap::new() } else { context.broker.topics.by_id() };
    let listed = request.topics.iter().map(|asked| match (&asked.name, by_id.get(&asked.topic_id)) {
        (Some(name), _) => delete_named(context, name),
        (None, Some(topic)) => delete_named(context, &TopicName(text(topic.name.clone()))),
        (None, None) => DeletableTopicResult::default()
            .with_name(None)
            .with_topic_id(asked.topic_id)
            .with_error_code(code::UNKNOWN_TOPIC_ID)
            .with_error_message(message("This server does not host this topic ID.")),
    });
    DeleteTopicsResponse::default().with_responses(named.chain(listed).collect())
}

fn delete_named(context: &Context<'_>, name: &TopicName) -> DeletableTopicResult {
    let broker = context.broker;
    let id = broker.topics.find(name).map_or(Uuid::nil(), |topic| topic.id);
    let deleted = broker.topics.delete(name).and_then(|()| {
        let forgotten = broker.coordinator.forget_topic(name);
        forgotten.map_err(|e| (code::KAFKA_STORAGE_ERROR, e.to_string()))
    });
    let result = DeletableTopicResult::default().with_name(Some(name.clone())).with_topic_id(id);
    match deleted {
        Ok(()) => result.with_error_message(None),
        Err((error, why)) => result.with_error_code(error).with_error_message(message(why)),
    }
}

/// Adds partitions to topics.
pub(crate) fn create_partitions(
    context: &Context<'_>,
    request: &CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        match context.broker.topics.grow(&topic.name, topic.count, request.validate_only) {
            Ok(()) => result,
            Err((error, why)) => result.with_error_code(error).with_error_message(message(why)),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}
