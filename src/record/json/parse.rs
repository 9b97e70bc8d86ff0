//! JSON to a record: kq's form, and those of kcat, rpk and kaf. Pure: no clock, no IO.

use std::borrow::Cow;
use std::fmt;

use anyhow::{Result, anyhow};
use serde::de::{self, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::fields::{Base64, Once, Partition, Text, Time};
use super::headers::Headers;
use super::{JsonRecord, short};

/// Reads one record from a line of JSON.
///
/// It reads kq's own form (see [`super::append_json`]), and those of other tools:
///
/// - kcat `-J`: `payload` for the value, `ts` for the timestamp, headers in one
///   flat array, `["h","v","h2",null]`;
/// - rpk: headers as `{"key":"h","value":"v"}`;
/// - kaf `json-each-row`: the same with `payload`, and an RFC 3339 `timestamp`.
///
/// Only the value is needed: `value`, `value_base64` or `payload`, exactly one of
/// them and once, since a record whose value was forgotten is not a tombstone,
/// which is `"value":null`. The key (`key`, `key_base64`) and every other field may
/// be given once, and may be absent or null. A timestamp of -1 means no timestamp.
///
/// Fields of other names are ignored (`offset`, `tstype`, `broker`, …), except where
/// that would lose something: a known name in other letter case (`Key`) is an error,
/// and so are kcat's `key_error` and `payload_error`, which mark a null that replaces
/// bytes that kcat could not decode.
pub(crate) fn parse_json(line: &[u8]) -> Result<JsonRecord<'_>> {
    serde_json::from_slice(line).map_err(|e| {
        // The caller names the line; serde_json would call each one line 1.
        let column = e.column();
        let what = e.to_string();
        let what = short(what.split(" at line ").next().unwrap_or(&what));
        match std::str::from_utf8(line) {
            Err(e) => anyhow!(
                "not a JSON record: byte {} is not UTF-8; write such bytes as value_base64, key_base64 or {{\"base64\":\"…\"}}",
                e.valid_up_to() + 1
            ),
            Ok(text) if text.trim().is_empty() => anyhow!("not a JSON record: the line is empty"),
            Ok(text) if text.starts_with('\u{feff}') => {
                anyhow!("not a JSON record: it begins with a byte order mark")
            }
            Ok(_) if column > 0 => anyhow!("not a JSON record: {what} (column {column})"),
            Ok(_) => anyhow!("not a JSON record: {what}"),
        }
    })
}

impl<'de> de::Deserialize<'de> for JsonRecord<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

/// The meaning of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Topic,
    Partition,
    Timestamp,
    Key,
    KeyBase64,
    Value,
    ValueBase64,
    Headers,
    /// kcat's note that a null replaces bytes that it could not decode.
    Undecoded,
    Other,
}

const FIELDS: [(&str, Field); 13] = [
    ("topic", Field::Topic),
    ("partition", Field::Partition),
    ("offset", Field::Other),
    ("timestamp", Field::Timestamp),
    ("ts", Field::Timestamp),
    ("key", Field::Key),
    ("key_base64", Field::KeyBase64),
    ("value", Field::Value),
    ("payload", Field::Value),
    ("value_base64", Field::ValueBase64),
    ("headers", Field::Headers),
    ("key_error", Field::Undecoded),
    ("payload_error", Field::Undecoded),
];

/// A field's meaning, and its name.
struct FieldName;

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = (Field, &'static str);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = (Field, &'static str);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        if let Some((known, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
            return Ok((*field, known));
        }
        match FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((known, _)) => Err(E::custom(format_args!("unknown field {name:?}: write {known:?}"))),
            None => Ok((Field::Other, "")),
        }
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = JsonRecord<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"an object such as {"key":"k","value":"v"}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonRecord<'de>, A::Error> {
        let mut topic = Once::new("topic");
        let mut partition = Once::new("partition");
        let mut timestamp = Once::new("timestamp");
        let mut key = Once::new("key");
        let mut value = Once::new("value");
        let mut headers = Once::new("headers");
        while let Some((field, name)) = map.next_key_seed(FieldName)? {
            match field {
                Field::Topic => topic.set(name, map.next_value_seed(Text { field: name })?)?,
                Field::Partition => partition.set(name, map.next_value_seed(Partition)?)?,
                Field::Timestamp => timestamp.set(name, map.next_value_seed(Time { field: name })?)?,
                Field::Key => key.set(name, map.next_value_seed(Text { field: name })?)?,
                Field::KeyBase64 => {
                    key.set(name, map.next_value_seed(Base64 { field: name })?.map(Cow::Owned))?;
                }
                Field::Value => value.set(name, map.next_value_seed(Text { field: name })?)?,
                Field::ValueBase64 => {
                    value.set(name, map.next_value_seed(Base64 { field: name })?.map(Cow::Owned))?;
                }
                Field::Headers => headers.set(name, map.next_value_seed(Headers)?)?,
                Field::Undecoded => {
                    if let Some(why) = map.next_value::<Option<String>>()? {
                        return Err(A::Error::custom(format_args!(
                            "{name} says that bytes are missing: {why}"
                        )));
                    }
                }
                Field::Other => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        if !value.is_set() {
            return Err(A::Error::custom(
                "no value: give \"value\" or \"value_base64\"; a tombstone is \"value\":null",
            ));
        }
        Ok(JsonRecord {
            // The bytes come from a string, so they are UTF-8.
            topic: topic.content.and_then(|bytes| String::from_utf8(bytes.into_owned()).ok()),
            partition: partition.content,
            timestamp: timestamp.content,
            key: key.content,
            value: value.content,
            headers: headers.content.unwrap_or_default(),
        })
    }
}
