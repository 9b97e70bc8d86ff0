//! One endpoint: what its requests share, and whether it is alive and ready.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::budget::Budget;
use super::guard::Guard;
use super::route::Paths;
use super::settings::{Limits, Topic};
use super::stage::{Stage, Stages};
use super::tally::Tally;
use crate::clock::rate::Bucket;
use crate::http::probes::Probes;
use crate::lock::Lock;
use crate::sending::publisher::{Publisher, Reach};
use crate::terminal::notes::Log;

/// The delivery thread turns every half second; after so long without a turn it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the requests of an endpoint share.
pub(super) struct Endpoint {
    pub topics: Vec<Topic>,
    pub paths: Paths,
    pub limits: Limits,
    pub guard: Guard,
    pub publisher: Publisher,
    pub budget: Budget,
    pub tally: Arc<Tally>,
    pub stages: Stages,
    pub rate: Option<Lock<Bucket>>,
    /// How many long bodies are worked on at the same time.
    pub long_turns: Semaphore,
    pub log: Log,
    pub registry: Registry,
    /// Whether `/metrics` is on the listener of the topics.
    pub shows_metrics: bool,
}

impl Endpoint {
    /// Says why requests of a topic are answered with 5xx. The words are the same for equal reasons, so that they are
    /// counted.
    pub(super) fn note(&self, topic: Option<usize>, status: StatusCode, reason: &str) {
        if !status.is_server_error() {
            return;
        }
        let name = topic.map_or("-", |topic| &*self.topics[topic].name);
        self.log.note(format_args!("topic {name}: answered with {}: {reason}", status.as_u16()));
    }
}

impl Probes for Endpoint {
    /// Whether the process works: the deliveries of its client are taken.
    fn alive(&self) -> Result<(), String> {
        let since = self.publisher.state().turned.elapsed();
        if since <= PATIENCE {
            return Ok(());
        }
        Err(format!("the last turn of the delivery thread was {} s ago", since.as_secs()))
    }

    /// Whether requests may be sent here.
    fn ready(&self) -> Result<(), String> {
        if self.stages.get() > Stage::Serves {
            return Err("ending".into());
        }
        let state = self.publisher.state();
        match state.reach {
            Reach::Connected => {}
            Reach::Away(since) => {
                let cause = state.cause.map_or(String::new(), |cause| format!(": {cause}"));
                return Err(format!("no contact to the cluster for {} s{cause}", since.elapsed().as_secs()));
            }
            Reach::Fatal(_) => return Err("the client can't be used any more".into()),
        }
        if !state.has_producer_id {
            return Err("the cluster has not given a producer id yet".into());
        }
        let led = self.topics.iter().zip(&state.led);
        match led.into_iter().find(|(_, led)| **led == 0) {
            Some((topic, _)) => Err(format!("topic {}: no partition has a leader", topic.name)),
            None => Ok(()),
        }
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}
