//! A request of any kind: where it goes, and what is counted, logged and added to its answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::endpoint::Endpoint;
use super::identity;
use super::media::accept_post;
use super::problem::Problem;
use super::publish::Asked;
use super::reply::{Form, Reply};
use super::route::Target;
use crate::http::probes;
use crate::http::server::Peer;

/// What a topic is asked with.
const METHODS: &str = "POST, OPTIONS";
/// The longest path in a line of the log.
const LONGEST_PATH: usize = 200;

/// Which listener a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// That of the topics.
    Main,
    /// That of `--metrics`.
    Metrics,
}

/// What is known of a request once it is answered.
struct Answered {
    reply: Reply,
    who: Option<Arc<str>>,
    bytes: usize,
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self { reply, who: None, bytes: 0 }
    }
}

impl Endpoint {
    /// The answer to a request.
    pub(super) async fn answer(
        self: Arc<Self>,
        listener: Listener,
        peer: Arc<Peer>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let target = match self.paths.target(path) {
            Target::Topic { .. } if listener == Listener::Metrics => Target::Nothing,
            Target::Metrics if listener == Listener::Main && !self.shows_metrics => Target::Nothing,
            target => target,
        };
        let (topic, partition) = match target {
            Target::Topic { topic, partition } => (topic, partition),
            Target::Nothing => {
                let reply = Reply::refusal(&not_found(), Form::of(&parts.headers));
                return self.finish(None, &peer, &parts, began, reply.into()).into_response();
            }
            Target::Live | Target::Ready | Target::Metrics => {
                if let Some(response) = self.probe(target, listener, &peer, &parts) {
                    return response;
                }
                let reply = Reply::refusal(&not_found(), Form::Own);
                return self.finish(None, &peer, &parts, began, reply.into()).into_response();
            }
        };
        let _in_flight = self.tally.begins();
        let answered = match parts.method {
            Method::POST => {
                let certified = peer.certificate.is_some();
                let mut asked = Asked { topic, partition, parts: &parts, certified, who: None, bytes: 0 };
                let reply = self.publish(&mut asked, body).await;
                Answered { reply, who: asked.who, bytes: asked.bytes }
            }
            Method::OPTIONS => self.options(topic, &parts).into(),
            _ => Reply::refusal(&not_allowed(), Form::of(&parts.headers)).into(),
        };
        let mut reply = self.finish(Some(topic), &peer, &parts, began, answered);
        reply.headers.extend(self.guard.cors(&parts.headers));
        reply.into_response()
    }

    /// `OPTIONS` of a topic: what may be sent to it, and CORS.
    fn options(&self, topic: usize, parts: &Parts) -> Reply {
        let mut reply = match self.guard.preflight(topic, &parts.headers) {
            Ok(Some(headers)) => Reply { headers, ..Reply::empty(StatusCode::NO_CONTENT) },
            Ok(None) => Reply::empty(StatusCode::NO_CONTENT),
            Err(problem) => return Reply::refusal(&problem, Form::Own),
        };
        reply.headers.push((ALLOW, HeaderValue::from_static(METHODS)));
        if let Ok(types) = HeaderValue::from_str(&accept_post(&self.topics[topic])) {
            reply.headers.push((HeaderName::from_static("accept-post"), types));
        }
        reply
    }

    /// The answer to a probe, which is neither counted nor logged.
    fn probe(
        &self,
        target: Target,
        listener: Listener,
        peer: &Peer,
        parts: &Parts,
    ) -> Option<Response<Full<Bytes>>> {
        if (target, listener) == (Target::Metrics, Listener::Main)
            && let Err(problem) = self.guard.metrics(&parts.headers, peer.certificate.is_some())
        {
            let reply = Reply::refusal(&problem, Form::Own);
            return Some(self.finish(None, peer, parts, Instant::now(), reply.into()).into_response());
        }
        probes::answer(self, &parts.method, parts.uri.path(), &parts.headers)
    }

    /// Counts and logs a request, and names it to its sender.
    fn finish(
        &self,
        topic: Option<usize>,
        peer: &Peer,
        parts: &Parts,
        began: Instant,
        answered: Answered,
    ) -> Reply {
        let Answered { reply, who, bytes } = answered;
        let id = identity::of(&parts.headers);
        let lasted = began.elapsed();
        self.tally.answered(topic, reply.status, lasted);
        if self.log.shows(1) {
            let path: String =
                parts.uri.path().chars().filter(|c| !c.is_control()).take(LONGEST_PATH).collect();
            self.log.verbose(
                1,
                format_args!(
                    "{} {} {} {} {path} {} {bytes} B {:.1} ms",
                    peer.address,
                    who.as_deref().unwrap_or("-"),
                    id.to_str().unwrap_or("-"),
                    parts.method,
                    reply.status.as_u16(),
                    lasted.as_secs_f64() * 1000.0,
                ),
            );
        }
        reply.with(HeaderName::from_static(identity::ANSWERS), id)
    }
}

/// 404, for a path that is not there and for a topic that is not served.
fn not_found() -> Problem {
    let detail = "there is no such path, or no such topic is served: POST /topics/TOPIC publishes";
    Problem::new(StatusCode::NOT_FOUND, "not_found", "not found", detail)
}

/// 405, for what is not sent by POST.
fn not_allowed() -> Problem {
    Problem {
        header: Some((ALLOW, METHODS.to_owned())),
        ..Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "method not allowed",
            "POST publishes",
        )
    }
}
