//! What the tests of bodies begin with: a topic without wishes, and limits. Pure: no clock, no IO.

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::{Kind, drafts};
use crate::record::draft::Draft;
use crate::record::validate::Validator;
use crate::serve::addressing::Named;
use crate::serve::problem::Problem;
use crate::serve::settings::{Limits, Topic};

/// The topic `orders`, by default: values are JSON where they claim to be.
pub(super) fn topic() -> Topic {
    Topic { name: "orders".into(), validator: Some(Validator::Json), ..Topic::default() }
}

pub(super) fn limits(records: usize) -> Limits {
    Limits {
        body: 1 << 20,
        records,
        pending: 20 << 20,
        connections: 16,
        rate: None,
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
    }
}

pub(super) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().map(header) {
        headers.append(name, value);
    }
    headers
}

/// The records of a request that says nothing in its query, at most 100.
pub(super) fn records(
    kind: Kind,
    body: &Bytes,
    headers: &HeaderMap,
    topic: &Topic,
) -> Result<Vec<Draft>, Problem> {
    drafts(kind, body, &Named::default(), headers, topic, &limits(100))
}
