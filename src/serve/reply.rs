//! An answer before it is HTTP. Pure: no clock, no IO.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};

use super::answer::{self, Report};
use super::media::v2;
use super::problem::Problem;
use crate::sending::publisher::Outcome;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// What a client reads answers as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// kq's own, and RFC 9457.
    Own,
    /// Those of Confluent's REST Proxy, version 2: for a client that sends its types.
    V2,
}

impl Form {
    /// By the type of what the client sends: its answer has this form whatever is wrong with the request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let family = b"application/vnd.kafka.";
        let is_v2 = given.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family));
        if is_v2 { Self::V2 } else { Self::Own }
    }
}

/// A status, a body and headers.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

impl Reply {
    /// An answer with a body of this type.
    pub(super) fn new(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(kind))];
        Self { status, headers, body: body.into() }
    }

    /// An answer without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// The answer to a request that is refused, in the client's form.
    pub(super) fn refusal(problem: &Problem, form: Form) -> Self {
        Self::failure(problem, form, &[], Report::One)
    }

    /// The answer to a request of which some records are not acknowledged: `outcomes` has one for each. Without any,
    /// nothing was sent.
    pub(super) fn failure(problem: &Problem, form: Form, outcomes: &[Outcome], report: Report) -> Self {
        let (content_type, body) = match form {
            Form::V2 if outcomes.is_empty() => (v2::ANSWER, v2::refusal(problem)),
            Form::V2 => (v2::ANSWER, answer::of_v2(outcomes)),
            Form::Own => (PROBLEM, answer::refused(problem, outcomes, report)),
        };
        let mut reply = Self::new(problem.status, content_type, body);
        reply.headers.extend(problem.retry_after.map(|seconds| (RETRY_AFTER, seconds.into())));
        if let Some((name, value)) = &problem.header {
            // What kq writes into headers is ASCII.
            reply.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name.clone(), value)));
        }
        if problem.closes {
            reply.headers.push((CONNECTION, HeaderValue::from_static("close")));
        }
        reply
    }

    /// The answer to a request whose records are all acknowledged.
    pub(super) fn acknowledged(topic: &str, form: Form, outcomes: &[Outcome], report: Report) -> Self {
        match form {
            Form::V2 => Self::new(StatusCode::OK, v2::ANSWER, answer::of_v2(outcomes)),
            Form::Own => Self::new(StatusCode::OK, JSON, answer::acknowledged(topic, outcomes, report)),
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same as HTTP.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}
