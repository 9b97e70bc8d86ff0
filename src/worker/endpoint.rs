//! `--metrics ADDR`: `/metrics`, `/livez` and `/readyz` over HTTP, for as long as the worker runs.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;

use super::ledger::Standing;
use super::metrics;
use super::observer::Watch;
use super::shared::Shared;
use crate::http::probes::{self, Probes};
use crate::http::server::{Server, Settings, Times};
use crate::http::slots::WhenFull;

/// Connections that are open at the same time. One more closes the one that has asked for nothing for longest.
const CONNECTIONS: usize = 64;
/// How long a client may take to begin a request, to send its head, and to read the answer.
const TIMES: Times =
    Times { head: Duration::from_secs(10), idle: Duration::from_secs(75), write: Duration::from_secs(30) };

/// What the answers are made of.
struct State {
    registry: Registry,
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    /// The polling thread may take so long for one turn.
    patience: Duration,
}

/// Serves on the runtime that calls until the server is dropped. `patience` bounds one turn of the polling thread: after it the
/// worker counts as dead.
pub(super) fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    patience: Duration,
) -> anyhow::Result<Server> {
    let settings = Settings {
        flag: "--metrics",
        connections: CONNECTIONS,
        when_full: WhenFull::CloseIdlest,
        times: TIMES,
        tls: None,
        log: shared.log,
    };
    let registry = metrics::registry(&shared, &watch);
    let state = Arc::new(State { registry, shared, watch, patience });
    Server::start(listener, settings, move |_, request| {
        let response = probes::answer_all(&*state, request.method(), request.uri().path(), request.headers());
        async { response }
    })
}

impl Probes for State {
    /// Whether the polling thread turns.
    fn alive(&self) -> Result<(), String> {
        let since = self.shared.pulse.last_turn();
        if since <= self.patience {
            return Ok(());
        }
        Err(format!("the last poll was {} s ago", since.as_secs()))
    }

    /// Whether this member of the group works.
    fn ready(&self) -> Result<(), String> {
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

    fn registry(&self) -> &Registry {
        &self.registry
    }
}
