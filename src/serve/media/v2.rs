//! The requests and answers of Confluent's REST Proxy v2 and of Strimzi's bridge. Pure: no clock, no IO.
//!
//! Sources: docs.confluent.io/platform/current/kafka-rest/api.html (v2) and strimzi.io/docs/bridge/latest.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;

use super::request::{Batch, Claim, Own, Request};
use crate::record::OwnedHeader;
use crate::record::draft::Draft;
use crate::record::json::parts::{self, Text};
use crate::record::json::short;
use crate::serve::problem::{Fate, Problem};

/// How a record's key and value are written in the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON values; their bytes in the envelope are the record's.
    Json,
    /// Strings of base64.
    Binary,
    /// Strings, which are the bytes themselves (Strimzi).
    Text,
}

/// The type of an answer.
pub(crate) const ANSWER: &str = "application/vnd.kafka.v2+json";

/// Senders leave the padding out at times, as the decoder of Confluent's proxy allows it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The format of a media type, in lower case and without parameters.
pub(super) fn format(essence: &str) -> Option<Format> {
    match essence {
        "application/vnd.kafka.json.v2+json" => Some(Format::Json),
        "application/vnd.kafka.binary.v2+json" => Some(Format::Binary),
        "application/vnd.kafka.text.v2+json" => Some(Format::Text),
        _ => None,
    }
}

/// The records of an envelope, `{"records":[{"key":…,"value":…}]}`; one at least.
///
/// A value that is null or is not there makes a tombstone. An unknown field is an error, and so is one that is
/// given twice: it would be lost.
pub(super) fn drafts(format: Format, body: &Bytes, request: &Request<'_>) -> Result<Vec<Draft>, Problem> {
    let text = parts::json(body).map_err(Problem::bad_request)?;
    let mut batch = Batch::new(request);
    let mut is_empty = true;
    for (index, record) in records(text).map_err(Problem::bad_request)?.enumerate() {
        is_empty = false;
        batch.add(format_args!("records[{index}]"), |request| {
            let own = own(format, body, record)?;
            if let (Some(one), Some(other)) = (own.partition, request.named.partition)
                && one != other
            {
                return Err(format!("its partition is {one}, and the request's is {other}"));
            }
            request.draft(own)
        })?;
    }
    if is_empty {
        return Err(Problem::bad_request("\"records\" is empty"));
    }
    batch.finish()
}

/// The records of the envelope.
fn records(text: Text<'_>) -> Result<impl Iterator<Item = Text<'_>>, String> {
    const SHAPE: &str = r#"the body must be an object such as {"records":[{"value":…}]}"#;
    let members = text.members().ok_or_else(|| format!("{SHAPE}, not {}", text.kind()))?;
    let mut records = None;
    for (name, value) in members {
        match &*name {
            "records" if records.is_some() => return Err("\"records\" is given twice".into()),
            "records" => records = Some(value),
            // These go with Avro, Protobuf and JSON Schema by a registry.
            "key_schema" | "key_schema_id" | "value_schema" | "value_schema_id" if value.is_null() => {}
            "key_schema" | "key_schema_id" | "value_schema" | "value_schema_id" => {
                return Err(format!("{name:?} goes with a type of a schema registry; leave it out"));
            }
            _ => return Err(format!("unknown field {:?}; {SHAPE}", short(&name))),
        }
    }
    let records = records.ok_or_else(|| format!("\"records\" is missing; {SHAPE}"))?;
    records.elements().ok_or_else(|| format!("\"records\" must be an array, not {}", records.kind()))
}

/// A record of the envelope; its JSON, and text without escapes, are slices of the body.
fn own(format: Format, body: &Bytes, record: Text<'_>) -> Result<Own, String> {
    const FIELDS: [&str; 5] = ["key", "value", "partition", "timestamp", "headers"];
    let members = record.members().ok_or_else(|| format!("must be an object, not {}", record.kind()))?;
    let claim = if format == Format::Json { Claim::Json } else { Claim::Bytes };
    let mut own = Own { claim, ..Own::default() };
    let mut given = [false; FIELDS.len()];
    for (name, value) in members {
        let Some(at) = FIELDS.iter().position(|field| *field == name) else {
            return Err(format!("unknown field {:?}; there are {}", short(&name), FIELDS.join(", ")));
        };
        if std::mem::replace(&mut given[at], true) {
            return Err(format!("{name:?} is given twice"));
        }
        if value.is_null() {
            continue;
        }
        match FIELDS[at] {
            "key" => own.key = Some(content(format, body, "key", value)?),
            "value" => own.value = Some(content(format, body, "value", value)?),
            "partition" => {
                let partition = value.as_str().parse().ok().filter(|number: &i32| *number >= 0);
                own.partition = Some(partition.ok_or_else(|| {
                    format!("\"partition\" must be a number from 0 on, not {}", short(value.as_str()))
                })?);
            }
            "timestamp" => {
                let ms = value.as_str().parse().map_err(|_| {
                    format!("\"timestamp\" must be whole milliseconds, not {}", short(value.as_str()))
                })?;
                own.timestamp = Some(ms);
            }
            _ => own.headers = headers(value)?,
        }
    }
    // Neither a key nor a value, even as null: more likely a mistake than a tombstone.
    if !given[0] && !given[1] {
        return Err("\"value\" is missing".into());
    }
    Ok(own)
}

/// A key or a value that is not null.
fn content(format: Format, body: &Bytes, field: &str, value: Text<'_>) -> Result<Bytes, String> {
    let string = |kind: &str| {
        value.string().ok_or_else(|| format!("{field:?} must be {kind} in this type, not {}", value.kind()))
    };
    match format {
        Format::Json => Ok(body.slice_ref(value.as_str().as_bytes())),
        Format::Binary => base64(field, &string("a string of base64")?).map(Bytes::from),
        Format::Text => Ok(match string("a string")? {
            Cow::Borrowed(text) => body.slice_ref(text.as_bytes()),
            Cow::Owned(text) => text.into(),
        }),
    }
}

fn base64(field: &str, text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text).map_err(|e| format!("{field:?} is not base64: {e}"))
}

/// Strimzi's headers: `[{"key":"name","value":"base64"}]`; null is a header without a value.
fn headers(value: Text<'_>) -> Result<Vec<OwnedHeader>, String> {
    const SHAPE: &str = r#"a header must be an object such as {"key":"name","value":"dmFsdWU="}"#;
    let elements =
        value.elements().ok_or_else(|| format!("\"headers\" must be an array, not {}", value.kind()))?;
    elements
        .map(|header| {
            let (mut name, mut content) = (None, None);
            for (field, part) in header.members().ok_or_else(|| format!("{SHAPE}, not {}", header.kind()))? {
                let slot = match &*field {
                    "key" => &mut name,
                    "value" => &mut content,
                    _ => return Err(format!("unknown field {:?}; {SHAPE}", short(&field))),
                };
                if slot.replace(part).is_some() {
                    return Err(format!("{field:?} of a header is given twice"));
                }
            }
            let name = name.and_then(Text::string).ok_or(SHAPE)?;
            if name.contains('\0') {
                return Err("a header's name holds a NUL, where many clients end a name".into());
            }
            let content = match content {
                Some(part) if !part.is_null() => Some(
                    base64("value", &part.string().ok_or(SHAPE)?)
                        .map_err(|e| format!("header {:?}: {e}", short(&name)))?,
                ),
                _ => None,
            };
            Ok((name.into_owned().into_bytes(), content))
        })
        .collect()
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report<'a> {
    Acknowledged {
        partition: i32,
        offset: i64,
    },
    /// With the status that the record alone would be answered with, and why in words.
    Failed {
        status: StatusCode,
        why: &'a str,
    },
}

#[derive(Serialize)]
struct Answer<'a> {
    offsets: Vec<Placed<'a>>,
    // Null, since they go with types of a schema registry. Clients look for them.
    key_schema_id: Option<i32>,
    value_schema_id: Option<i32>,
}

#[derive(Serialize)]
struct Placed<'a> {
    partition: Option<i32>,
    offset: Option<i64>,
    error_code: Option<u32>,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    error_code: u32,
    message: &'a str,
}

/// A retry may help, and duplicates nothing.
const RETRIABLE: u32 = 50003;
/// A retry does not help, or may duplicate.
const NOT_RETRIABLE: u32 = 50002;

/// The body of an answer after records were sent, whatever its status.
pub(crate) fn answer<'a>(reports: impl IntoIterator<Item = Report<'a>>) -> Vec<u8> {
    let offset = |report| match report {
        Report::Acknowledged { partition, offset } => {
            Placed { partition: Some(partition), offset: Some(offset), error_code: None, error: None }
        }
        Report::Failed { status, why } => {
            let code = if status == StatusCode::SERVICE_UNAVAILABLE { RETRIABLE } else { NOT_RETRIABLE };
            Placed { partition: None, offset: None, error_code: Some(code), error: Some(why) }
        }
    };
    let offsets = reports.into_iter().map(offset).collect();
    written(&Answer { offsets, key_schema_id: None, value_schema_id: None })
}

/// The body of a request's refusal.
pub(crate) fn refusal(problem: &Problem) -> Vec<u8> {
    let error_code = match problem.status.as_u16() {
        401 => 40101,
        403 => 40301,
        404 => 40401,
        408 => 40801,
        413 => 41301,
        429 => 42901,
        503 if problem.fate == Fate::NotSent => RETRIABLE,
        500.. => NOT_RETRIABLE,
        _ => 42201,
    };
    written(&Refusal { error_code, message: &problem.detail })
}

fn written(answer: &impl Serialize) -> Vec<u8> {
    // Strings and numbers can be written always.
    serde_json::to_vec(answer).unwrap_or_default()
}

#[cfg(test)]
mod tests;
