//! Bodies with a record in each line: values (NDJSON), or kq's own records. Pure: no clock, no IO.

use bytes::Bytes;
use memchr::memchr_iter;

use super::request::{Batch, Claim, Own, Request, part};
use crate::record::draft::Draft;
use crate::record::json::{parse_json, short};
use crate::serve::problem::Problem;

/// The lines of a body, each without its newline and a carriage return before that. The last line needs no
/// newline, and a newline at the end begins no line.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let last = (!body.ends_with(b"\n")).then_some(body.len());
    memchr_iter(b'\n', body).chain(last).map(move |end| {
        let line = &body[start..end];
        start = end + 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

/// Each line is a value.
pub(super) fn values(body: &Bytes, request: &Request<'_>) -> Result<Vec<Draft>, Problem> {
    let value =
        |line: &[u8]| Ok(Own { value: Some(body.slice_ref(line)), claim: Claim::Json, ..Own::default() });
    each(body, request, value)
}

/// Each line is a record in the form of `kq consume -J`. Its partition and offset say where it was, not where
/// it goes.
pub(super) fn records(body: &Bytes, request: &Request<'_>) -> Result<Vec<Draft>, Problem> {
    each(body, request, |line| {
        let record = parse_json(line).map_err(|e| e.to_string())?;
        let own_topic = &*request.topic.name;
        if let Some(topic) = record.topic.filter(|topic| topic != own_topic) {
            return Err(format!("its topic is {:?}, and the request's is {own_topic}", short(&topic)));
        }
        Ok(Own {
            key: record.key.map(|key| part(body, key)),
            value: record.value.map(|value| part(body, value)),
            timestamp: record.timestamp,
            headers: record.headers,
            ..Own::default()
        })
    })
}

/// The records that `own` makes of the lines.
fn each(
    body: &Bytes,
    request: &Request<'_>,
    own: impl Fn(&[u8]) -> Result<Own, String>,
) -> Result<Vec<Draft>, Problem> {
    let mut batch = Batch::new(request);
    for (number, line) in (1..).zip(lines(body)) {
        batch.add(format_args!("line {number}"), |request| {
            if line.is_empty() {
                return Err("it is empty".into());
            }
            request.draft(own(line)?)
        })?;
    }
    batch.finish()
}
