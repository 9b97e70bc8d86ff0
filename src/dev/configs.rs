//! The topic configurations that the broker knows, their defaults and their checks. Pure: no clock, no IO.

use std::collections::BTreeMap;

use super::log::config::LogConfig;

/// What kind of value a configuration takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number from a least to a largest value.
    Number(i64, i64),
    Boolean,
    Ratio,
    /// One number, or another from a least to a largest value.
    NumberOr(i64, i64, i64),
    OneOf(&'static [&'static str]),
    /// `*`, or partition and broker of each replica, as in `0:1,1:1`; or nothing.
    Replicas,
    /// Any of these, separated by commas, or none.
    List(&'static [&'static str]),
}

impl Kind {
    /// The type's number in `DescribeConfigs`.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::OneOf(_) => 2,
            Self::Number(..) | Self::NumberOr(..) => 5,
            Self::Ratio => 6,
            Self::List(_) | Self::Replicas => 7,
        }
    }
}

/// The configuration that says what happens to old records.
const CLEANUP_POLICY: &str = "cleanup.policy";

const MAX: i64 = i64::MAX;
const INT: i64 = i32::MAX as i64;

/// Name, kind and default of each topic configuration, as in Apache Kafka 4.
/// Those that [`for_log`] reads have an effect; the others are stored and shown.
pub(crate) const TOPIC: &[(&str, Kind, &str)] = &[
    (CLEANUP_POLICY, Kind::List(&["compact", "delete"]), "delete"),
    (
        "compression.type",
        Kind::OneOf(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
        "producer",
    ),
    ("compression.gzip.level", Kind::NumberOr(-1, 1, 9), "-1"),
    ("compression.lz4.level", Kind::Number(1, 17), "9"),
    ("compression.zstd.level", Kind::Number(-131_072, 22), "3"),
    ("delete.retention.ms", Kind::Number(0, MAX), "86400000"),
    ("file.delete.delay.ms", Kind::Number(0, MAX), "60000"),
    ("flush.messages", Kind::Number(1, MAX), "9223372036854775807"),
    ("flush.ms", Kind::Number(0, MAX), "9223372036854775807"),
    ("follower.replication.throttled.replicas", Kind::Replicas, ""),
    ("index.interval.bytes", Kind::Number(0, INT), "4096"),
    ("leader.replication.throttled.replicas", Kind::Replicas, ""),
    ("local.retention.bytes", Kind::Number(-2, MAX), "-2"),
    ("local.retention.ms", Kind::Number(-2, MAX), "-2"),
    ("max.compaction.lag.ms", Kind::Number(1, MAX), "9223372036854775807"),
    ("max.message.bytes", Kind::Number(0, INT), "1048588"),
    ("message.timestamp.after.max.ms", Kind::Number(0, MAX), "3600000"),
    ("message.timestamp.before.max.ms", Kind::Number(0, MAX), "9223372036854775807"),
    ("message.timestamp.type", Kind::OneOf(&["CreateTime", "LogAppendTime"]), "CreateTime"),
    ("min.cleanable.dirty.ratio", Kind::Ratio, "0.5"),
    ("min.compaction.lag.ms", Kind::Number(0, MAX), "0"),
    ("min.insync.replicas", Kind::Number(1, INT), "1"),
    ("preallocate", Kind::Boolean, "false"),
    ("remote.log.copy.disable", Kind::Boolean, "false"),
    ("remote.log.delete.on.disable", Kind::Boolean, "false"),
    ("remote.storage.enable", Kind::Boolean, "false"),
    ("retention.bytes", Kind::Number(-1, MAX), "-1"),
    ("retention.ms", Kind::Number(-1, MAX), "-1"),
    // At least 1 MiB, as in Kafka since 4.0 (KIP-1030): each segment is an open file.
    ("segment.bytes", Kind::Number(1 << 20, INT), "134217728"),
    ("segment.index.bytes", Kind::Number(4, INT), "10485760"),
    ("segment.jitter.ms", Kind::Number(0, MAX), "0"),
    ("segment.ms", Kind::Number(1, MAX), "604800000"),
    ("unclean.leader.election.enable", Kind::Boolean, "false"),
];

/// The kind of a configuration; none if the broker does not know it.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    TOPIC.iter().find(|(known, ..)| *known == name).map(|(_, kind, _)| *kind)
}

/// The parts of a list as it was set; a list can be empty.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    let list = list.trim();
    list.split(',').map(str::trim).take(if list.is_empty() { 0 } else { usize::MAX })
}

/// A value as it is shown: a list without the spaces that were typed.
pub(crate) fn shown(kind: Kind, value: &str) -> String {
    match kind {
        Kind::List(_) | Kind::Replicas => parts(value).collect::<Vec<_>>().join(","),
        _ => value.to_owned(),
    }
}

/// How a single value of a list changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListChange {
    Append,
    Subtract,
}

/// A list after a change with the parts of another: none is there twice, and what is not there can be
/// subtracted, as in Kafka.
pub(crate) fn change_list(list: &str, change: ListChange, other: &str) -> String {
    let mut all: Vec<&str> = parts(list).filter(|part| !part.is_empty()).collect();
    for part in parts(other) {
        match change {
            ListChange::Append if all.contains(&part) => {}
            ListChange::Append => all.push(part),
            ListChange::Subtract => all.retain(|kept| *kept != part),
        }
    }
    all.join(",")
}

/// Checks one configuration; the error says which values are valid.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    let Some(kind) = kind(name) else {
        return Err(format!("Unknown topic config name: {name}"));
    };
    let wrong =
        |value: &str, why: String| Err(format!("Invalid value {value} for configuration {name}: {why}"));
    let bad = |why: String| wrong(value, why);
    let one_of = |values: &[&str]| format!("String must be one of: {}", values.join(", "));
    match kind {
        Kind::Number(least, most) => match value.trim().parse::<i64>() {
            Ok(n) if (least..=most).contains(&n) => Ok(()),
            Ok(_) => bad(format!("Value must be between {least} and {most}")),
            Err(_) => bad("Not a number".into()),
        },
        Kind::NumberOr(one, least, most) => match value.trim().parse::<i64>() {
            Ok(n) if n == one || (least..=most).contains(&n) => Ok(()),
            Ok(_) => bad(format!("Value must be {one} or between {least} and {most}")),
            Err(_) => bad("Not a number".into()),
        },
        Kind::Boolean => match value.trim() {
            "true" if name == "remote.storage.enable" => bad("kq dev has no tiered storage".into()),
            "true" | "false" => Ok(()),
            _ => bad("Expected value to be either true or false".into()),
        },
        Kind::Ratio => match value.trim().parse::<f64>() {
            Ok(n) if (0.0..=1.0).contains(&n) => Ok(()),
            _ => bad("Value must be between 0 and 1".into()),
        },
        Kind::Replicas if are_replicas(value.trim()) => Ok(()),
        Kind::Replicas => bad("must be * or a list of partition:broker, as in 0:1,1:1".into()),
        Kind::OneOf(values) if values.contains(&value) => Ok(()),
        Kind::OneOf(values) => bad(one_of(values)),
        Kind::List(values) => match parts(value).find(|part| !values.contains(part)) {
            None => Ok(()),
            Some(part) => wrong(part, one_of(values)),
        },
    }
}

fn are_replicas(value: &str) -> bool {
    let number = |n: &str| n.trim().parse::<u32>().is_ok();
    let replica = |one: &str| {
        one.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
    };
    ["", "*"].contains(&value) || value.split(',').all(replica)
}

/// What was set for the whole broker on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Defaults {
    /// `--retention-bytes`
    pub retention_bytes: Option<u64>,
    /// `--retention-ms`
    pub retention_ms: Option<i64>,
}

impl Defaults {
    /// The default of a configuration on this broker.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let given = match name {
            "retention.bytes" => self.retention_bytes.map(|n| n.to_string()),
            "retention.ms" => self.retention_ms.map(|n| n.to_string()),
            _ => None,
        };
        given.or_else(|| {
            TOPIC.iter().find(|(known, ..)| *known == name).map(|(_, _, default)| (*default).to_owned())
        })
    }
}

/// A topic's cleanup policy where it asks for compaction, as it is shown.
pub(crate) fn compaction(own: &BTreeMap<String, String>) -> Option<String> {
    let policy = own.get(CLEANUP_POLICY)?;
    parts(policy).any(|part| part == "compact").then(|| shown(Kind::List(&[]), policy))
}

/// What a topic's own configurations and the defaults say about its logs.
pub(crate) fn for_log(own: &BTreeMap<String, String>, defaults: &Defaults) -> LogConfig {
    let value = |name: &str| own.get(name).cloned().or_else(|| defaults.value(name)).unwrap_or_default();
    let number = |name: &str| value(name).trim().parse::<i64>().unwrap_or(-1);
    // Retention is of `delete`: a topic that is only to be compacted keeps its records.
    let deletes = parts(&value(CLEANUP_POLICY)).any(|part| part == "delete");
    let retention_bytes = u64::try_from(number("retention.bytes")).ok().filter(|_| deletes);
    let mut segment_bytes = u64::try_from(number("segment.bytes")).unwrap_or(1 << 27);
    if let Some(bytes) = retention_bytes
        && !own.contains_key("segment.bytes")
    {
        // Only whole segments are deleted: with small segments the size stays closer to the limit.
        segment_bytes = segment_bytes.min((bytes / 8).max(64 * 1024));
    }
    LogConfig {
        max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or(1_048_588),
        segment_bytes,
        retention_bytes,
        retention_ms: Some(number("retention.ms")).filter(|ms| deletes && *ms >= 0),
        deletes,
        needs_keys: compaction(own).is_some(),
        log_append_time: value("message.timestamp.type") == "LogAppendTime",
        timestamp_before_ms: number("message.timestamp.before.max.ms"),
        timestamp_after_ms: number("message.timestamp.after.max.ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_passes_its_own_check() {
        for (name, _, default) in TOPIC {
            assert_eq!(check(name, default), Ok(()));
        }
    }

    #[test]
    fn wrong_names_and_values_are_refused_by_name() {
        for (name, value) in [
            ("retention", "1"),
            ("retention.ms", "x"),
            ("cleanup.policy", "Compact"),
            ("cleanup.policy", "compact,"),
            ("cleanup.policy", "delete,x"),
            ("segment.bytes", "14"),
            ("compression.gzip.level", "0"),
            ("compression.zstd.level", "23"),
            ("leader.replication.throttled.replicas", "0"),
            ("remote.storage.enable", "true"),
        ] {
            assert!(check(name, value).is_err_and(|e| e.contains(name)), "{name}={value}");
        }
    }

    #[test]
    fn throttled_replicas_are_a_star_a_list_or_nothing() {
        for value in ["", "*", "0:1", "0:1, 1:1"] {
            assert_eq!(check("follower.replication.throttled.replicas", value), Ok(()), "{value:?}");
        }
    }

    #[test]
    fn a_topics_own_value_ranks_above_the_command_lines() {
        let defaults = Defaults { retention_bytes: Some(1 << 20), retention_ms: None };
        let own = BTreeMap::from([("retention.bytes".to_owned(), "-1".to_owned())]);
        assert_eq!(for_log(&BTreeMap::new(), &defaults).retention_bytes, Some(1 << 20));
        assert_eq!(for_log(&own, &defaults).retention_bytes, None);
    }

    #[test]
    fn the_cleanup_policy_is_a_list_as_in_kafka() {
        for (value, as_shown) in [
            ("compact", "compact"),
            ("compact,delete", "compact,delete"),
            ("delete , compact", "delete,compact"),
            ("", ""),
        ] {
            assert_eq!(check("cleanup.policy", value), Ok(()), "{value:?}");
            assert_eq!(shown(Kind::List(&[]), value), as_shown);
        }
        let why = "Invalid value x for configuration cleanup.policy: String must be one of: compact, delete";
        assert_eq!(check("cleanup.policy", "delete,x"), Err(why.into()));
    }

    #[test]
    fn a_list_grows_and_shrinks_by_its_parts() {
        use ListChange::{Append, Subtract};
        for (list, change, other, expected) in [
            ("delete", Append, "compact", "delete,compact"),
            ("delete,compact", Append, "compact", "delete,compact"),
            ("delete,compact", Subtract, "delete", "compact"),
            ("compact", Append, "delete,compact", "compact,delete"),
            ("compact", Subtract, "x", "compact"),
            ("compact", Subtract, "delete,compact", ""),
            ("", Append, " compact", "compact"),
        ] {
            assert_eq!(change_list(list, change, other), expected, "{list:?} {change:?} {other:?}");
        }
    }

    #[test]
    fn a_topic_that_is_only_to_be_compacted_has_no_retention() {
        let defaults = Defaults { retention_bytes: Some(1 << 20), retention_ms: Some(1000) };
        let config = |policy: &str| {
            let own = [("cleanup.policy", policy), ("retention.ms", "5")];
            for_log(&own.map(|(k, v)| (k.to_owned(), v.to_owned())).into(), &defaults)
        };
        for (policy, bytes, ms, needs_keys) in [
            ("delete", Some(1 << 20), Some(5), false),
            ("compact", None, None, true),
            ("compact,delete", Some(1 << 20), Some(5), true),
            ("delete, compact", Some(1 << 20), Some(5), true),
            ("", None, None, false),
        ] {
            let config = config(policy);
            let seen = (config.retention_bytes, config.retention_ms, config.needs_keys);
            assert_eq!(seen, (bytes, ms, needs_keys), "{policy:?}");
        }
    }
}
