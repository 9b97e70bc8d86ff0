//! The thread beside the deliveries: asks the cluster how it is, and a new client's producer id into being.

use std::time::{Duration, Instant};

use super::batch::Outcome;
use super::contact::Contact;
use super::core::{Core, Factory};
use super::topic::{Held, Topic};
use crate::kafka::client::ProducerClient;
use crate::kafka::errors::is_contact_lost;
use crate::sending::client::{self, QUESTION};

/// How long a question about a topic may take.
const ANSWER: Duration = Duration::from_millis(500);
/// From one look at a cluster that seems well to the next.
const CALM: Duration = Duration::from_secs(5);
/// The same while something is wrong.
const DOUBTFUL: Duration = Duration::from_millis(200);
/// Records that nobody acknowledges for so long are a reason to look.
const QUIET: Duration = Duration::from_millis(500);
/// How often, and how fast, a producer id is asked for: see [`hurry`].
const HURRIES: u32 = 20;
const HURRY: Duration = Duration::from_millis(3);

/// When to look next.
#[derive(Debug)]
pub(super) struct Watch {
    looked: Instant,
    /// From that look to the next.
    pause: Duration,
    hurries: u32,
    /// Something was said of a topic since the last look.
    is_doubtful: bool,
}

impl Watch {
    /// The cluster was looked at just now.
    pub(super) fn new(now: Instant) -> Self {
        Self { looked: now, pause: CALM, hurries: 0, is_doubtful: false }
    }

    /// How long nothing is to be done, unless there is a nudge.
    pub(super) fn idle(&self, lacks_id: bool) -> Duration {
        match lacks_id {
            true if self.hurries < HURRIES => HURRY,
            true => DOUBTFUL,
            false => QUIET.min(self.pause),
        }
    }

    /// Whether it is time to look. `quiet`: how long nothing was acknowledged while records wait.
    fn is_due(&self, now: Instant, quiet: Option<Duration>, is_doubtful: bool) -> bool {
        let since = now.saturating_duration_since(self.looked);
        let is_suspicious = is_doubtful || quiet.is_some_and(|quiet| quiet >= QUIET);
        since >= if is_suspicious { self.pause.min(DOUBTFUL) } else { self.pause }
    }
}

impl<F: Factory> Core<F> {
    /// Does what is due, and gives how long to wait then.
    pub(super) fn watch(&self, watch: &mut Watch) -> Duration {
        let lacks_id = self.with_client(|client| !client.signals.has_producer_id());
        if lacks_id {
            self.hurry(watch);
        } else {
            watch.hurries = 0;
        }
        self.topics.iter().for_each(|topic| self.answer_held(topic));
        let now = Instant::now();
        let quiet = (self.open() > 0).then(|| now.saturating_duration_since(self.acknowledged()));
        // Where it is too early for a look, it is kept for the next.
        watch.is_doubtful |= self.topics.iter().fold(false, |doubt, topic| doubt | topic.take_doubt());
        let is_doubtful = watch.is_doubtful || self.contact(|contact| contact.is_doubtful());
        if watch.is_due(now, quiet, is_doubtful) {
            watch.is_doubtful = false;
            let is_well = self.look();
            watch.looked = Instant::now();
            watch.pause = if is_well { CALM } else { DOUBTFUL };
        }
        watch.idle(lacks_id)
    }

    /// Asks for metadata, which makes an idempotent producer look again for a broker that gives it an id: at the
    /// first metadata only the bootstrap connection is up, which it does not use for that, and by itself it looks
    /// after 500 ms (`rd_kafka_idemp_pid_timer_restart`).
    fn hurry(&self, watch: &mut Watch) {
        watch.hurries = watch.hurries.saturating_add(1);
        let producer = self.with_client(|client| client.producer);
        if let Some(topic) = self.topics.first() {
            let _ = producer.metadata(Some(&topic.name), Duration::from_millis(100));
        }
    }

    /// Asks for each topic, and tells whether all is well.
    pub(super) fn look(&self) -> bool {
        let producer = self.with_client(|client| client.producer);
        let mut is_well = true;
        for topic in &self.topics {
            let asked = Instant::now();
            match producer.metadata(Some(&topic.name), ANSWER) {
                Err(code) if is_contact_lost(code) => {
                    self.contact(|contact| contact.unanswered(asked));
                    return false;
                }
                answer => {
                    self.contact(Contact::heard);
                    self.with_client(|client| client.signals.causes().clear());
                    is_well &= !answer.is_ok_and(|metadata| topic.learn(&metadata, asked));
                }
            }
        }
        is_well
    }

    /// Answers records that were refused for their size, once the topic's limit is known anew.
    fn answer_held(&self, topic: &Topic) {
        let held = topic.take_held();
        if held.is_empty() {
            return;
        }
        let limit = self.ask_limit(topic);
        if limit.is_some() {
            topic.set_limit(limit);
        }
        for Held { tag, size, persistence } in held {
            let code = topic.too_large(size);
            self.pending.settle(tag, |_| Outcome::Failed { code, persistence });
        }
        if let Some(limit) = limit {
            self.fit(limit, Instant::now());
        }
    }

    /// The topic's `max.message.bytes` now; `None` where there is no answer.
    fn ask_limit(&self, topic: &Topic) -> Option<usize> {
        let producer = self.with_client(|client| client.producer);
        let metadata = producer.metadata(Some(&topic.name), QUESTION).ok()?;
        let (_, leader) = client::readiness(&metadata, &topic.name).ok()?;
        client::limit(producer, &topic.name, leader.id).ok()??.parse().ok()
    }
}

#[cfg(test)]
mod tests;
