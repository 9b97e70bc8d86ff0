//! `DescribeConfigs`, `AlterConfigs`, `IncrementalAlterConfigs`.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Altered;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::{Room, message, text};
use crate::dev::broker::{Broker, NODE_ID};
use crate::dev::code;
use crate::dev::configs::{self, Kind, ListChange, TOPIC};
use crate::dev::request::Context;
use crate::dev::topics::Refused;

const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

/// One configuration as it is shown.
pub(crate) struct Entry {
    pub name: String,
    pub value: String,
    /// Where it comes from, as a number of the protocol.
    pub source: i8,
    pub kind: i8,
    pub read_only: bool,
}

impl Entry {
    /// Bytes that an answer needs for it, with its synonym.
    pub(crate) fn size(&self) -> usize {
        size_of::<DescribeConfigsResourceResult>()
            + size_of::<DescribeConfigsSynonym>()
            + 2 * (self.name.len() + self.value.len())
    }
}

/// The whole configuration of a topic, in which `own` was set.
pub(crate) fn entries(broker: &Broker, own: &BTreeMap<String, String>) -> Vec<Entry> {
    let entry = |(name, kind, default): &(&str, Kind, &str)| {
        let fallback = broker.topics.defaults.value(name).unwrap_or_default();
        let (value, source) = match own.get(*name) {
            Some(value) => (configs::shown(*kind, value), SOURCE_TOPIC),
            None if fallback == *default => (fallback, SOURCE_DEFAULT),
            None => (fallback, SOURCE_BROKER),
        };
        Entry { name: (*name).to_owned(), value, source, kind: kind.code(), read_only: false }
    };
    TOPIC.iter().map(entry).collect()
}

fn broker_entries(broker: &Broker) -> Vec<Entry> {
    let settings = &broker.settings;
    let given = [
        ("auto.create.topics.enable", settings.auto_create.to_string(), 1),
        ("broker.id", NODE_ID.to_string(), 3),
        ("default.replication.factor", "1".to_owned(), 3),
        ("group.initial.rebalance.delay.ms", "0".to_owned(), 3),
        ("message.max.bytes", "1048588".to_owned(), 3),
        ("num.partitions", settings.partitions.to_string(), 3),
        ("offsets.topic.replication.factor", "1".to_owned(), 3),
    ];
    let entry = |(name, value, kind): (&str, String, i8)| Entry {
        name: name.to_owned(),
        value,
        source: SOURCE_BROKER,
        kind,
        read_only: true,
    };
    given.into_iter().map(entry).collect()
}

fn resource(broker: &Broker, kind: i8, name: &str) -> Result<Vec<Entry>, Refused> {
    match kind {
        RESOURCE_TOPIC => match broker.topics.find(name) {
            Some(topic) => Ok(entries(broker, &topic.configs())),
            None => Err((code::UNKNOWN_TOPIC_OR_PARTITION, format!("There is no topic {name}."))),
        },
        RESOURCE_BROKER if name.is_empty() => Ok(Vec::new()),
        RESOURCE_BROKER if name == NODE_ID.to_string() => Ok(broker_entries(broker)),
        RESOURCE_BROKER => {
            Err((code::INVALID_REQUEST, format!("There is no broker {name}, only broker {NODE_ID}.")))
        }
        _ => Err((code::INVALID_REQUEST, format!("kq dev has no configuration of resource type {kind}."))),
    }
}

/// Configurations of topics and of the broker, all or those that are named.
pub(crate) fn describe(
    context: &Context<'_>,
    request: &DescribeConfigsRequest,
) -> anyhow::Result<DescribeConfigsResponse> {
    let mut room = Room::new();
    let results = request.resources.iter().map(|asked| {
        let result = DescribeConfigsResult::default()
            .with_error_message(None)
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        let found = match resource(context.broker, asked.resource_type, &asked.resource_name) {
            Ok(found) => found.into_iter(),
            Err((error, why)) => return Ok(result.with_error_code(error).with_error_message(message(why))),
        };
        let keys = asked.configuration_keys.as_ref();
        let wanted =
            |entry: &Entry| keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == entry.name));
        let configs = found.filter(wanted).map(|entry| {
            room.take(entry.size())?;
            let synonym = DescribeConfigsSynonym::default()
                .with_name(text(entry.name.clone()))
                .with_value(message(entry.value.clone()))
                .with_source(entry.source);
            let described = DescribeConfigsResourceResult::default()
                .with_name(text(entry.name))
                .with_value(message(entry.value))
                .with_read_only(entry.read_only)
                .with_config_source(entry.source)
                .with_config_type(entry.kind)
                .with_synonyms(if request.include_synonyms { vec![synonym] } else { Vec::new() });
            Ok(described)
        });
        Ok(result.with_configs(configs.collect::<anyhow::Result<_>>()?))
    });
    Ok(DescribeConfigsResponse::default().with_results(results.collect::<anyhow::Result<_>>()?))
}

fn own(context: &Context<'_>, kind: i8, name: &str) -> Result<BTreeMap<String, String>, Refused> {
    if kind != RESOURCE_TOPIC {
        return Err((code::INVALID_REQUEST, "kq dev alters the configuration of topics only.".into()));
    }
    let topic = context.broker.topics.find(name);
    let missing = || (code::UNKNOWN_TOPIC_OR_PARTITION, format!("There is no topic {name}."));
    topic.map(|topic| topic.configs()).ok_or_else(missing)
}

/// Sets the whole configuration of a topic, or only checks it.
fn configure(
    context: &Context<'_>,
    name: &str,
    own: BTreeMap<String, String>,
    only_check: bool,
) -> Result<(), Refused> {
    let before = context.broker.topics.find(name).map(|topic| topic.configs()).unwrap_or_default();
    let policy = configs::compaction(&own).filter(|_| configs::compaction(&before).is_none());
    context.broker.topics.configure(name, own, only_check)?;
    if let Some(policy) = policy.filter(|_| !only_check) {
        context.broker.note_compaction(name, &policy);
    }
    Ok(())
}

/// Appends to a list, or subtracts from it.
fn change_list(
    context: &Context<'_>,
    own: &mut BTreeMap<String, String>,
    key: String,
    change: ListChange,
    value: &str,
) -> Result<(), Refused> {
    if !matches!(configs::kind(&key), Some(Kind::List(_) | Kind::Replicas)) {
        let operation = match change {
            ListChange::Append => "APPEND",
            ListChange::Subtract => "SUBTRACT",
        };
        let why = format!("Can't {operation} to key {key} because its type is not LIST.");
        return Err((code::INVALID_CONFIG, why));
    }
    let now = own.get(&key).cloned().or_else(|| context.broker.topics.defaults.value(&key));
    let changed = configs::change_list(&now.unwrap_or_default(), change, value);
    own.insert(key, changed);
    Ok(())
}

/// Sets the whole configuration: what is not named goes back to its default.
pub(crate) fn alter(context: &Context<'_>, request: &AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|asked| {
        let name = asked.resource_name.as_str();
        let altered = own(context, asked.resource_type, name).and_then(|_| {
            let configs = asked.configs.iter();
            let new = configs
                .filter_map(|c| Some((c.name.as_str().to_owned(), c.value.as_ref()?.as_str().to_owned())));
            configure(context, name, new.collect(), request.validate_only)
        });
        let response = AlterConfigsResourceResponse::default()
            .with_error_message(None)
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        match altered {
            Ok(()) => response,
            Err((error, why)) => response.with_error_code(error).with_error_message(message(why)),
        }
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// Sets (0), deletes (1), appends to (2) or subtracts from (3) single configurations.
pub(crate) fn alter_incrementally(
    context: &Context<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|asked| {
        let name = asked.resource_name.as_str();
        let altered = own(context, asked.resource_type, name).and_then(|mut own| {
            for config in &asked.configs {
                let key = config.name.as_str().to_owned();
                match (config.config_operation, &config.value) {
                    (0, Some(value)) => {
                        own.insert(key, value.as_str().to_owned());
                    }
                    (1, _) => {
                        if !TOPIC.iter().any(|(known, ..)| *known == key) {
                            return Err((code::INVALID_CONFIG, format!("Unknown topic config name: {key}")));
                        }
                        own.remove(&key);
                    }
                    (2, Some(value)) => change_list(context, &mut own, key, ListChange::Append, value)?,
                    (3, Some(value)) => change_list(context, &mut own, key, ListChange::Subtract, value)?,
                    (0 | 2 | 3, None) => {
                        return Err((code::INVALID_CONFIG, format!("Null value not supported for: {key}")));
                    }
                    (other, _) => {
                        let why = format!("Unknown operation {other} for {key}");
                        return Err((code::INVALID_REQUEST, why));
                    }
                }
            }
            configure(context, name, own, request.validate_only)
        });
        let response = Altered::default()
            .with_error_message(None)
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        match altered {
            Ok(()) => response,
            Err((error, why)) => response.with_error_code(error).with_error_message(message(why)),
        }
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}
