//! What a command finds in its environment: the record, and the connection. Pure: no clock, no IO.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::settings::Credentials;
use crate::config::Config;
use crate::process::Variables;
use crate::record::{OwnedHeader, Record};

/// A variable is absent beyond this: 128 KiB in one make exec fail, and metadata
/// must not become a poison pill.
const LONGEST: usize = 32 << 10;
const LONGEST_HEADERS: usize = 64 << 10;

/// Variables that a nested kq must not inherit: the topic and the group of this
/// worker would be its defaults, and `-X` may hold secrets.
const TAKEN_OUT: [&str; 3] = ["KQ_TOPIC", "KQ_GROUP", "KQ_X"];
/// What describes a batch.
const BATCH: [&str; 5] = [
    "KQ_BATCH_RECORDS",
    "KQ_BATCH_TOPIC",
    "KQ_BATCH_PARTITION",
    "KQ_BATCH_FIRST_OFFSET",
    "KQ_BATCH_LAST_OFFSET",
];
const SECRETS: [&str; 3] = ["KQ_SASL_PASSWORD", "KQ_SASL_PASSWORD_FILE", "KQ_TLS_KEY_PASSWORD"];

/// The effective connection, with secrets only where they are asked for.
pub(super) fn of_connection(config: &Config, credentials: Credentials) -> Vec<(String, String)> {
    match credentials {
        Credentials::Pass => config.environment_with_credentials(),
        Credentials::Withhold => config.environment(),
    }
}

/// The variables that are the same for every record: the connection ([`of_connection`]) and the group.
/// What a worker around this one says of its record is taken out.
pub(super) fn of_worker(connection: Vec<(String, String)>, group: &str) -> Variables {
    let mut variables = without_record();
    variables.extend(BATCH.map(|name| (OsString::from(name), None)));
    variables.extend(TAKEN_OUT.iter().chain(&SECRETS).map(|name| (OsString::from(name), None)));
    variables.extend(connection.into_iter().map(|(name, value)| (name.into(), Some(value.into()))));
    variables.push(("KQ_RECORD_GROUP".into(), Some(group.into())));
    variables
}

/// The variables of one attempt at a record. Each name is there, with a value or without.
pub(super) fn of_record<'a>(
    record: &Record,
    headers: impl Iterator<Item = &'a OwnedHeader>,
    attempt: u32,
    max_attempts: Option<u64>,
) -> Variables {
    let mut truncated = false;
    let mut variables = Variables::with_capacity(14);
    let mut set = |name: &str, value: Option<OsString>, longest: usize| {
        let fits = value.as_ref().is_none_or(|value| value.len() <= longest);
        truncated |= !fits;
        variables.push((name.into(), value.filter(|_| fits)));
    };
    let text = |value: String| Some(OsString::from(value));
    let flag = |yes: bool| yes.then(|| OsString::from("1"));
    let key = record.key.as_deref();
    let readable = key.filter(|key| !key.contains(&0) && std::str::from_utf8(key).is_ok());
    set("KQ_RECORD_TOPIC", text(record.topic.to_string()), LONGEST);
    set("KQ_RECORD_PARTITION", text(record.partition.to_string()), LONGEST);
    set("KQ_RECORD_OFFSET", text(record.offset.to_string()), LONGEST);
    set("KQ_RECORD_TIMESTAMP", record.timestamp.millis().and_then(|ms| text(ms.to_string())), LONGEST);
    set("KQ_RECORD_KEY", readable.map(|key| OsStr::from_bytes(key).to_owned()), LONGEST);
    // Encoding a huge key only to leave it out would be a waste.
    let encoded = key
        .map(|key| if key.len() > LONGEST { "=".repeat(LONGEST + 1) } else { STANDARD.encode(key) }.into());
    set("KQ_RECORD_KEY_BASE64", encoded, LONGEST);
    set("KQ_RECORD_KEY_NULL", flag(key.is_none()), LONGEST);
    set("KQ_RECORD_VALUE_NULL", flag(record.value.is_none()), LONGEST);
    set("KQ_RECORD_ATTEMPT", text(attempt.to_string()), LONGEST);
    set("KQ_RECORD_MAX_ATTEMPTS", max_attempts.and_then(|n| text(n.to_string())), LONGEST);
    set("KQ_RECORD_ID", text(format!("{}/{}/{}", record.topic, record.partition, record.offset)), LONGEST);
    set("KQ_RECORD_HEADERS", text(json_of(headers).to_string()), LONGEST_HEADERS);
    variables.push(("KQ_RECORD_TRUNCATED".into(), flag(truncated)));
    variables
}

/// The variables of one attempt at a batch of so many records, `attempt` the highest of them.
pub(super) fn of_batch(first: &Record, last: &Record, records: usize, attempt: u32) -> Variables {
    let [n, topic, partition, from, to] = BATCH;
    let pairs = [
        (n, records.to_string()),
        (topic, first.topic.to_string()),
        (partition, first.partition.to_string()),
        (from, first.offset.to_string()),
        (to, last.offset.to_string()),
        ("KQ_RECORD_ATTEMPT", attempt.to_string()),
    ];
    pairs.map(|(name, value)| (name.into(), Some(value.into()))).into()
}

/// The names of [`of_record`] taken out.
fn without_record() -> Variables {
    let names = of_record(&Record::default(), std::iter::empty(), 0, None).into_iter();
    names.map(|(name, _)| (name, None)).collect()
}

/// Leaves out what may be long, where the variables are too much for exec in all.
pub(super) fn shorten(of_record: &mut Variables) {
    for (name, value) in of_record {
        match name.to_str() {
            Some("KQ_RECORD_KEY" | "KQ_RECORD_KEY_BASE64" | "KQ_RECORD_HEADERS") => *value = None,
            Some("KQ_RECORD_TRUNCATED") => *value = Some("1".into()),
            _ => {}
        }
    }
}

/// Headers as in kq's JSON record: pairs in order, null is null, bytes that are
/// not UTF-8 as `{"base64":…}`.
fn json_of<'a>(headers: impl Iterator<Item = &'a OwnedHeader>) -> Value {
    let pair = |(name, value): &OwnedHeader| {
        let value = value.as_ref().map(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
        });
        json!([String::from_utf8_lossy(name), value])
    };
    headers.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp;
    use proptest::prelude::*;

    fn record() -> Record {
        Record {
            topic: "orders".into(),
            partition: 3,
            offset: 1042,
            timestamp: Timestamp::Create(1_700_000_000_000),
            key: Some(b"k".to_vec()),
            value: Some(b"v".to_vec()),
            headers: vec![(b"h".to_vec(), Some(b"v".to_vec())), (b"h".to_vec(), None)],
        }
    }

    fn described(record: &Record, attempt: u32, max_attempts: Option<u64>) -> Variables {
        of_record(record, record.headers.iter(), attempt, max_attempts)
    }

    fn value(variables: &Variables, name: &str) -> Option<String> {
        let (_, value) = variables.iter().find(|(n, _)| n == name).expect("every name is there");
        value.as_ref().map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_record_is_described_by_fixed_names() {
        let variables = described(&record(), 2, Some(4));
        let value = |name: &str| value(&variables, &format!("KQ_RECORD_{name}"));
        assert_eq!(value("TOPIC").as_deref(), Some("orders"));
        assert_eq!(value("PARTITION").as_deref(), Some("3"));
        assert_eq!(value("OFFSET").as_deref(), Some("1042"));
        assert_eq!(value("TIMESTAMP").as_deref(), Some("1700000000000"));
        assert_eq!(value("KEY").as_deref(), Some("k"));
        assert_eq!(value("KEY_BASE64").as_deref(), Some("aw=="));
        assert_eq!(value("ID").as_deref(), Some("orders/3/1042"));
        assert_eq!((value("ATTEMPT").as_deref(), value("MAX_ATTEMPTS").as_deref()), (Some("2"), Some("4")));
        assert_eq!(value("HEADERS").as_deref(), Some(r#"[["h","v"],["h",null]]"#));
        assert_eq!((value("KEY_NULL"), value("VALUE_NULL"), value("TRUNCATED")), (None, None, None));
    }

    #[test]
    fn null_is_told_from_empty() {
        let variables = described(&Record { key: None, value: None, ..record() }, 1, None);
        assert_eq!(value(&variables, "KQ_RECORD_KEY"), None);
        assert_eq!(value(&variables, "KQ_RECORD_KEY_BASE64"), None);
        assert_eq!(value(&variables, "KQ_RECORD_KEY_NULL").as_deref(), Some("1"));
        assert_eq!(value(&variables, "KQ_RECORD_VALUE_NULL").as_deref(), Some("1"));
        let variables = described(&Record { key: Some(vec![]), ..record() }, 1, None);
        assert_eq!(value(&variables, "KQ_RECORD_KEY").as_deref(), Some(""));
        assert_eq!(value(&variables, "KQ_RECORD_KEY_NULL"), None);
    }

    #[test]
    fn a_key_with_a_nul_or_no_text_comes_in_base64_only() {
        for key in [&b"a\0b"[..], b"\xff"] {
            let variables = described(&Record { key: Some(key.to_vec()), ..record() }, 1, None);
            assert_eq!(value(&variables, "KQ_RECORD_KEY"), None);
            assert_eq!(value(&variables, "KQ_RECORD_KEY_BASE64"), Some(STANDARD.encode(key)));
            assert_eq!(value(&variables, "KQ_RECORD_TRUNCATED"), None);
        }
    }

    #[test]
    fn a_batch_is_described_by_its_first_and_last_record() {
        let last = Record { offset: 1050, ..record() };
        let variables = of_batch(&record(), &last, 5, 2);
        let batch = |name: &str| value(&variables, &format!("KQ_BATCH_{name}")).unwrap();
        assert_eq!([batch("RECORDS"), batch("TOPIC"), batch("PARTITION")], ["5", "orders", "3"]);
        assert_eq!([batch("FIRST_OFFSET"), batch("LAST_OFFSET")], ["1042", "1050"]);
        assert_eq!(value(&variables, "KQ_RECORD_ATTEMPT").as_deref(), Some("2"));
        let of_worker = of_worker(vec![], "g");
        for (name, _) in variables {
            assert!(of_worker.contains(&(name.clone(), None)), "{}", name.display());
        }
    }

    #[test]
    fn a_command_that_stays_inherits_nothing_of_a_record() {
        let names: Vec<_> =
            without_record().into_iter().map(|(name, value)| (name, value.is_none())).collect();
        let expected: Vec<_> = of_record(&record(), std::iter::empty(), 1, None)
            .into_iter()
            .map(|(name, _)| (name, true))
            .collect();
        assert_eq!(names, expected);
    }

    proptest! {
        #[test]
        fn no_variable_can_make_exec_fail(
            key in prop_oneof![0..100usize, 20_000..40_000usize, Just(200_000)],
            header in prop_oneof![0..100usize, 60_000..70_000usize, Just(300_000)],
            byte in any::<u8>(),
        ) {
            let record = Record {
                key: Some(vec![byte; key]),
                headers: vec![(b"h".to_vec(), Some(vec![byte; header]))],
                ..record()
            };
            let variables = described(&record, 1, None);
            for (name, value) in &variables {
                let Some(value) = value else { continue };
                prop_assert!(name.len() + value.len() < 100 << 10);
                prop_assert!(!value.as_bytes().contains(&0));
            }
            let cut = key > LONGEST || header > LONGEST_HEADERS;
            prop_assert!(!cut || value(&variables, "KQ_RECORD_TRUNCATED").is_some());
        }
    }
}
