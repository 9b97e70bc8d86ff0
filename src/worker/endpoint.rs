//! `--metrics ADDR`: `/metrics`, `/livez` and `/readyz` over HTTP, for as long as the worker runs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

use super::ledger::Standing;
use super::metrics;
use super::observer::Watch;
use super::shared::Shared;
use crate::lock::Lock;

/// Connections that are open at the same time. One more closes the one that has asked for nothing for longest.
const CONNECTIONS: usize = 64;
/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(10);

/// What the answers are made of.
struct State {
    registry: Registry,
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    /// The polling thread may take so long for one turn.
    patience: Duration,
}

/// Serves on the runtime until that ends. `patience` bounds one turn of the polling thread:
/// after it the worker counts as dead.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, watch: Arc<Watch>, patience: Duration) {
    let log = shared.log;
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return log.error(format_args!("--metrics: {e}")),
    };
    let registry = metrics::registry(&shared, &watch);
    let state = Arc::new(State { registry, shared, watch, patience });
    let connections = Arc::new(Lock::new(Connections::default()));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Out of file descriptors, mostly: it passes.
                log.verbose(1, format_args!("--metrics: {e}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (state, connections) = (Arc::clone(&state), Arc::clone(&connections));
        let (entry, closed) = connections.lock().open(CONNECTIONS);
        tokio::spawn(async move {
            let entry = Lock::new(entry);
            let answer = service_fn(|request| {
                connections.lock().asked(&mut entry.lock());
                let response = state.answer(&request);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), answer);
            // A client may disconnect: there is nothing to do.
            tokio::select! {
                _ = connection => {}
                _ = closed => {}
            }
            connections.lock().closed(*entry.lock());
        });
    }
}

/// The open connections, in the order in which they last asked for something or were opened.
#[derive(Default)]
struct Connections {
    next: u64,
    /// By place in that order; what is dropped closes its connection.
    open: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Connections {
    /// A new connection, and what ends when it is to be closed; the first in order is closed where there are `most`.
    fn open(&mut self, most: usize) -> (u64, oneshot::Receiver<()>) {
        if self.open.len() >= most {
            self.open.pop_first();
        }
        let (sender, closed) = oneshot::channel();
        (self.enter(sender), closed)
    }

    /// A connection asks for something: it goes to the end.
    fn asked(&mut self, entry: &mut u64) {
        if let Some(sender) = self.open.remove(entry) {
            *entry = self.enter(sender);
        }
    }

    fn closed(&mut self, entry: u64) {
        self.open.remove(&entry);
    }

    fn enter(&mut self, sender: oneshot::Sender<()>) -> u64 {
        let entry = self.next;
        self.next += 1;
        self.open.insert(entry, sender);
        entry
    }
}

impl State {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let known = ["/metrics", "/livez", "/readyz"];
        let (status, kind, text) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => match metrics::text(&self.registry) {
                Ok(text) if takes_openmetrics(request) => (StatusCode::OK, metrics::CONTENT_TYPE, text),
                Ok(text) => (StatusCode::OK, metrics::PLAIN_CONTENT_TYPE, metrics::plain(&text)),
                Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{e}\n")),
            },
            (&Method::GET | &Method::HEAD, "/livez") => verdict(self.is_alive()),
            (&Method::GET | &Method::HEAD, "/readyz") => verdict(self.is_ready()),
            (_, path) if known.contains(&path) => {
                (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET or HEAD\n".to_owned())
            }
            _ => (StatusCode::NOT_FOUND, PLAIN, format!("there are {}\n", known.join(", "))),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        response
    }

    /// Whether the polling thread turns.
    fn is_alive(&self) -> Result<(), String> {
        let since = self.shared.pulse.last_turn();
        if since <= self.patience {
            return Ok(());
        }
        Err(format!("the last poll was {} s ago", since.as_secs()))
    }

    /// Whether this member of the group works.
    fn is_ready(&self) -> Result<(), String> {
        if self.shared.stopping().is_some() {
            return Err("ending".into());
        }
        if !self.shared.pulse.was_assigned() {
            return Err("the group has not assigned partitions yet".into());
        }
        if let Some(since) = self.watch.away_since() {
            return Err(format!("no contact to the cluster for {} s", since.elapsed().as_secs()));
        }
        if let Some(lack) = self.shared.health.lack() {
            return Err(format!("no command can be started: {lack}"));
        }
        let pause = self.shared.ledger().outage.standing(Instant::now());
        match pause {
            Some(Standing { lasts, failed_probes }) => Err(format!(
                "paused for {} s: records failed in a row, and {failed_probes} attempts since",
                lasts.as_secs()
            )),
            None => Ok(()),
        }
    }
}

/// Whether who asks names the format, as Prometheus does.
fn takes_openmetrics(request: &Request<Incoming>) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT);
    accepted
        .iter()
        .any(|kinds| kinds.to_str().is_ok_and(|kinds| kinds.contains("application/openmetrics-text")))
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// A probe's answer: 200, or 503 and why.
fn verdict(outcome: Result<(), String>) -> (StatusCode, &'static str, String) {
    match outcome {
        Ok(()) => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, why + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_asked_for_nothing_for_longest_is_closed_for_a_new_one() {
        let mut connections = Connections::default();
        let (mut first, mut first_closed) = connections.open(2);
        let (second, mut second_closed) = connections.open(2);
        connections.asked(&mut first);
        let (third, mut third_closed) = connections.open(2);
        assert!(second_closed.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Closed));
        for open in [&mut first_closed, &mut third_closed] {
            assert_eq!(open.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        }
        connections.closed(second);
        connections.closed(first);
        connections.closed(third);
        assert!(connections.open.is_empty());
    }
}
