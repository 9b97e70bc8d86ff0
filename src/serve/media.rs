//! From a request's body to records: what the body is, by its type, and what it makes. Pure: no clock, no IO.

pub(crate) mod cloudevents;
mod form;
mod lines;
mod raw;
mod request;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod types;
pub(crate) mod v2;

use bytes::Bytes;
use hyper::HeaderMap;

use self::request::{Claim, Own, Request};
use super::addressing::Named;
use super::problem::{Problem, Wrong};
use super::settings::{Limits, Topic};
use crate::record::draft::Draft;

pub(crate) use types::{accept_post, kind};

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One value, byte for byte.
    Json,
    /// A value in each line.
    Lines,
    /// A record in each line, in the form that `kq consume -J` writes.
    Records,
    /// An envelope of Confluent's REST Proxy.
    V2(v2::Format),
    Form,
    /// Any bytes.
    Raw,
    Event(cloudevents::Mode),
}

/// The records of a body, which is not compressed (any more). `named` is what query and headers say.
///
/// All of the body is checked: if one record is wrong, there are none.
pub(crate) fn drafts(
    kind: Kind,
    body: &Bytes,
    named: &Named,
    headers: &HeaderMap,
    topic: &Topic,
    limits: &Limits,
) -> Result<Vec<Draft>, Problem> {
    let request = Request::new(named, headers, topic, limits);
    // In CloudEvents' binary mode, no body is an event without data.
    if body.is_empty() && kind != Kind::Event(cloudevents::Mode::Binary) {
        return Err(Problem::bad_request("the body is empty"));
    }
    match kind {
        Kind::Json => json(body, &request),
        Kind::Lines => lines::values(body, &request),
        Kind::Records => lines::records(body, &request),
        Kind::V2(format) => v2::drafts(format, body, &request),
        Kind::Form => form::drafts(body, &request),
        Kind::Raw => raw::drafts(body, &request),
        Kind::Event(mode) => cloudevents::drafts(mode, body, &request),
    }
}

/// The body is the value.
fn json(body: &Bytes, request: &Request<'_>) -> Result<Vec<Draft>, Problem> {
    let own = Own { value: Some(body.clone()), claim: Claim::Json, ..Own::default() };
    let draft = request.draft(own);
    draft
        .map(|draft| vec![draft])
        .map_err(|detail| Problem::invalid_records(vec![Wrong { index: 0, detail }]))
}
