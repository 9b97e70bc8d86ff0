//! Puts another client in the place of one that is unusable, or whose batches are too large.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::batch::Outcome;
use super::core::{Client, Core, Factory, Retired};
use crate::kafka::client::{Persistence, ProducerClient as _};
use crate::kafka::code::Code;

/// What a client that is replaced may still take to report what it was given.
const LAST_REPORTS: Duration = Duration::from_secs(1);
/// The same for one that works, and whose batches only have another size from now on.
const PATIENT: Duration = Duration::from_secs(15);

impl<F: Factory> Core<F> {
    /// Serves what retired clients still report, and gives up what they have not reported in their time.
    pub(super) fn poll_retired(&self, now: Instant) {
        let mut retired = self.retired.lock();
        retired.retain(|Retired { client, until }| {
            self.poll(client.producer, Duration::ZERO);
            if client.producer.in_flight() == 0 {
                return false;
            }
            if now < *until {
                return true;
            }
            let outcome = Outcome::Failed { code: Code::Fatal, persistence: Persistence::Possibly };
            self.pending.give_up(client.generation, outcome);
            false
        });
    }

    /// The client says that it is unusable: a new one takes its place. What it still has is given up; what it can't
    /// say of that may be there.
    pub(super) fn replace_unusable(&self, reason: String, now: Instant) {
        if self.renewals.lock().take(now) && self.renew(None, now + LAST_REPORTS).is_ok() {
            if let Some(Retired { client, .. }) = self.retired.lock().last() {
                client.producer.purge();
            }
            // The new one asks for its producer id.
            self.nudge.give();
            return;
        }
        *self.fatal.lock() = Some(reason);
        self.is_troubled.store(true, Ordering::Release);
        let (producer, generation) = self.with_client(|client| (client.producer, client.generation));
        producer.purge();
        while producer.in_flight() > 0 && now.elapsed() < LAST_REPORTS {
            self.poll(producer, Duration::from_millis(10));
        }
        let outcome = Outcome::Failed { code: Code::Fatal, persistence: Persistence::Possibly };
        self.pending.give_up(generation, outcome);
    }

    /// Puts a new client in the place of this one, which is polled until then.
    fn renew(&self, batch_size: Option<usize>, until: Instant) -> anyhow::Result<()> {
        let mut size = self.batch_size.lock();
        let wanted = batch_size.unwrap_or(*size);
        let (producer, signals) = self.factory.make(Some(wanted))?;
        let generation = self.with_client(|client| client.generation) + 1;
        let mut client = Client::new(producer, signals, &self.topics, generation)?;
        std::mem::swap(&mut *self.current.write(), &mut client);
        *size = wanted;
        self.retired.lock().push(Retired { client, until });
        Ok(())
    }

    /// A topic takes batches of at most so many bytes: a client with larger ones is replaced.
    pub(super) fn fit(&self, limit: usize, now: Instant) {
        let holds = *self.batch_size.lock();
        if limit < holds && self.fits.lock().take(now) {
            // Where there can't be a new one, the old one goes on.
            let _ = self.renew(Some(limit.max(1)), now + PATIENT);
            self.nudge.give();
        }
    }
}
