//! `CloudEvents` 1.0 over HTTP, as records of its Kafka binding. Pure: no clock, no IO.
//!
//! Sources: the HTTP, Kafka and JSON documents of github.com/cloudevents/spec. Batches are not taken.

mod attribute;

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use super::request::{Claim, Own, Request};
use crate::record::draft::Draft;
use crate::record::json::parts::{self, Text};
use crate::record::json::short;
use crate::record::validate::Validator;
use crate::serve::problem::{Problem, Wrong};
use attribute::{NAMES_THAT_MUST_BE, checked, decoded, is_name};

/// How an event is in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The body is the data, the attributes are headers `ce-…`.
    Binary,
    /// The body is the event in JSON.
    Structured,
}

/// The mode of a request with this media type (in lower case, without parameters) and these headers; `None`: it is no
/// event. Some but not all of the headers that an event needs are a problem.
///
/// Other types that begin with `application/cloudevents` are batches and formats that are not known, so they are none.
pub(super) fn mode(essence: &str, headers: &HeaderMap) -> Result<Option<Mode>, Problem> {
    if essence.starts_with("application/cloudevents") {
        return Ok((essence == "application/cloudevents+json").then_some(Mode::Structured));
    }
    let is_there = |name: &&&str| headers.contains_key(format!("ce-{name}"));
    let missing: Vec<_> =
        NAMES_THAT_MUST_BE.iter().filter(|name| !is_there(name)).map(|name| format!("ce-{name}")).collect();
    match missing.len() {
        0 => Ok(Some(Mode::Binary)),
        count if count == NAMES_THAT_MUST_BE.len() => Ok(None),
        _ => Err(invalid(format!("a CloudEvent needs {}", missing.join(", ")))),
    }
}

/// The record of an event: its bytes as they came. Without data, one in binary mode is a tombstone, by the binding.
pub(super) fn drafts(mode: Mode, body: &Bytes, request: &Request<'_>) -> Result<Vec<Draft>, Problem> {
    let wrong = |detail| Problem::invalid_records(vec![Wrong { index: 0, detail }]);
    let content_type = request.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let mut own = Own::default();
    own.headers.extend(content_type.map(|value| (b"content-type".to_vec(), Some(value.to_vec()))));
    match mode {
        Mode::Binary => {
            for (name, value) in attributes(request.headers).map_err(invalid)? {
                own.headers.push((format!("ce_{name}").into_bytes(), Some(value.into_bytes())));
            }
            own.value = Some(body.clone()).filter(|body| !body.is_empty());
            own.claim = if content_type.is_some_and(is_json) { Claim::Json } else { Claim::Bytes };
        }
        Mode::Structured => {
            structured(body).map_err(invalid)?;
            // The event is JSON; a schema is for its data.
            match (&request.topic.validator, data(body)) {
                (Some(validator @ Validator::Schema(_)), Some(data)) => {
                    validator.check(&data).map_err(|why| wrong(format!("data: {why}")))?;
                    own.claim = Claim::Checked;
                }
                (Some(Validator::Schema(_)), None) => own.claim = Claim::Checked,
                _ => own.claim = Claim::Json,
            }
            own.value = Some(body.clone());
        }
    }
    own.partition_key = partition_key(mode, body, request.headers).map(Bytes::from);
    request.draft(own).map(|draft| vec![draft]).map_err(wrong)
}

/// Whether data of this type is JSON, by its subtype.
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    essence.ends_with(b"/json") || essence.ends_with(b"+json")
}

/// The attribute `partitionkey` (an extension of the specification) of an event that was checked.
fn partition_key(mode: Mode, body: &[u8], headers: &HeaderMap) -> Option<String> {
    const NAME: &str = "partitionkey";
    match mode {
        Mode::Binary => headers.get(format!("ce-{NAME}")).and_then(|value| decoded(value.as_bytes()).ok()),
        Mode::Structured => {
            let (_, value) =
                parts::json(body).ok()?.members()?.find(|(name, value)| name == NAME && !value.is_null())?;
            // Numbers and booleans are written in headers as they are in JSON.
            Some(value.string().map_or_else(|| value.as_str().into(), Into::into))
        }
    }
}

/// The data of a structured event that was checked, for a schema: JSON as it stands, or what base64 stands for.
/// `None`: the event has no data.
fn data(body: &Bytes) -> Option<Bytes> {
    let mut members = parts::json(body).ok()?.members()?;
    let (name, value) =
        members.find(|(name, value)| (name == "data" || name == "data_base64") && !value.is_null())?;
    if name == "data" {
        Some(body.slice_ref(value.as_str().as_bytes()))
    } else {
        attribute::base64(&value.string()?).map(Bytes::from)
    }
}

/// The attributes in headers, in their order: names in lower case, values decoded.
fn attributes(headers: &HeaderMap) -> Result<Vec<(&str, String)>, String> {
    let mut attributes = Vec::new();
    for header in headers.keys() {
        let Some(name) = header.as_str().strip_prefix("ce-") else { continue };
        if name == "datacontenttype" {
            return Err("ce-datacontenttype must not be there: Content-Type is it".into());
        }
        if name == "data" || !is_name(name) {
            return Err(format!("ce-{}: no name of an attribute (a-z and 0-9)", short(name)));
        }
        let mut values = headers.get_all(header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(format!("ce-{} is given twice", short(name)));
        };
        let value = decoded(value.as_bytes())
            .and_then(|value| checked(name, value))
            .map_err(|why| format!("ce-{}: {why}", short(name)))?;
        attributes.push((name, value));
    }
    Ok(attributes)
}

/// Checks an event in JSON.
fn structured(body: &[u8]) -> Result<(), String> {
    let text = parts::json(body)?;
    let members = text.members().ok_or_else(|| format!("must be an object, not {}", text.kind()))?;
    // A set, since a body may have thousands of names.
    let mut names: HashSet<Cow<'_, str>> = HashSet::new();
    for (name, value) in members {
        if names.contains(&name) {
            return Err(format!("{:?} is given twice", short(&name)));
        }
        member(&name, value).map_err(|why| format!("{:?}: {why}", short(&name)))?;
        if !value.is_null() {
            names.insert(name);
        }
    }
    let is_there = |name: &str| names.contains(name);
    let missing: Vec<_> = NAMES_THAT_MUST_BE.into_iter().filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        return Err(format!("a CloudEvent needs {}", missing.join(", ")));
    }
    if is_there("data") && is_there("data_base64") {
        return Err("both \"data\" and \"data_base64\" give the data: give one".into());
    }
    Ok(())
}

/// Checks one member of an event in JSON; null is as good as not there.
fn member(name: &str, value: Text<'_>) -> Result<(), String> {
    if value.is_null() || name == "data" {
        return Ok(());
    }
    if name == "data_base64" {
        let text =
            value.string().ok_or_else(|| format!("must be a string of base64, not {}", value.kind()))?;
        return attribute::base64(&text).map(drop).ok_or_else(|| "not base64".into());
    }
    if !is_name(name) {
        return Err("no name of an attribute (a-z and 0-9)".into());
    }
    match value.kind() {
        "a string" => {
            let text = value.string().ok_or("half of a surrogate pair in it")?;
            checked(name, text.into_owned()).map(drop)
        }
        kind if attribute::is_text(name) => Err(format!("must be a string, not {kind}")),
        "a number" => {
            let is_integer = value.as_str().parse::<i32>().is_ok();
            is_integer.then_some(()).ok_or_else(|| "must be a whole number of 32 bits".into())
        }
        "a boolean" => Ok(()),
        kind => Err(format!("must be a string, a boolean or a whole number, not {kind}")),
    }
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_event", "invalid CloudEvent", detail)
}

#[cfg(test)]
mod tests;
