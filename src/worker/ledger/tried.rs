//! What was tried of one record: its attempts, and those of a pause. Pure: time is passed in, no IO.

use std::time::{Duration, Instant};

use super::outage::Outage;

/// The attempts at a record that has failed.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// Attempts that are spent.
    attempts: u32,
    /// Those of a pause: spent while it lasts, and given back when it ends.
    probes: u32,
    pause: u64,
    /// When the first attempt began.
    first: Instant,
    /// How long the worker had been paused by then, in all.
    paused_before: Duration,
    /// How the last attempt ended.
    pub(super) how: String,
}

impl Tried {
    /// None is spent; the first began at `first`.
    pub(super) fn since(first: Instant, outage: &Outage) -> Self {
        let lasts = outage.standing(first).map_or(Duration::ZERO, |pause| pause.lasts);
        let paused_before = outage.paused_before() + lasts;
        Self { attempts: 0, probes: 0, pause: 0, first, paused_before, how: String::new() }
    }

    /// How many are spent; `pause` is the one that lasts.
    pub(super) fn spent(&self, pause: Option<u64>) -> u32 {
        let probes = if pause == Some(self.pause) { self.probes } else { 0 };
        self.attempts.saturating_add(probes)
    }

    /// Another one is spent.
    pub(super) fn spend(&mut self, outage: &Outage) {
        match outage.pause_number() {
            None => self.attempts = self.attempts.saturating_add(1),
            Some(pause) if pause == self.pause => self.probes = self.probes.saturating_add(1),
            Some(pause) => (self.pause, self.probes) = (pause, 1),
        }
    }

    /// How long the record has been tried. What it waited while the worker was paused does not count
    /// once that is over.
    pub(super) fn lasts(&self, outage: &Outage, now: Instant) -> Duration {
        let paused = outage.paused_before().saturating_sub(self.paused_before);
        now.saturating_duration_since(self.first).saturating_sub(paused)
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::Ticket;
    use super::super::outage::{GivenUp, OnOutage};
    use super::*;
    use crate::clock::backoff::Backoff;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_spent_in_a_pause_is_given_back_when_it_ends() {
        let mut outage = Outage::new(1, Backoff::new(SECOND, SECOND), OnOutage::Pause);
        let start = Instant::now();
        let mut tried = Tried::since(start, &outage);
        let paused = |outage: &mut Outage, now| {
            let ticket = Ticket { epoch: 1, offset: 0 };
            outage.failed_for_good(ticket, GivenUp::Exhausted, now, 0.0);
        };
        let spent = |tried: &Tried, outage: &Outage| tried.spent(outage.pause_number());
        tried.spend(&outage);
        for pause in 0..3u32 {
            let began = start + 100 * SECOND * pause + SECOND;
            paused(&mut outage, began);
            tried.spend(&outage);
            tried.spend(&outage);
            assert_eq!(spent(&tried, &outage), 3);
            let end = began + 90 * SECOND;
            assert_eq!(
                tried.lasts(&outage, end),
                end - (start + 90 * SECOND * pause),
                "it counts while it lasts"
            );
            outage.succeeded(end);
            assert_eq!(spent(&tried, &outage), 1);
            assert_eq!(tried.lasts(&outage, end), end - (start + 90 * SECOND * (pause + 1)));
        }
    }
}
