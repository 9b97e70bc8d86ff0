//! What a consume waits for: brokers that are away, a partition without a leader, a group's share.

use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::Session;
use crate::kafka::client::ConsumerClient;
use crate::reading::contact::{FIRST_NOTE, NOTES};
use crate::reading::membership;

/// How often is asked whether the brokers are back.
const ASK: Duration = Duration::from_secs(2);

/// Brokers that are away since a while.
#[derive(Clone, Copy)]
pub(super) struct Outage {
    since: Instant,
    asked: Instant,
    noted: Option<Instant>,
}

impl<C: ConsumerClient> Session<'_, C> {
    /// Says once what a join waits for that takes long.
    pub(super) fn tell_joining(&mut self) {
        if !self.said_joining
            && self.began.elapsed() >= membership::LONG_JOIN
            && !self.connected.causes.all_down()
        {
            self.said_joining = true;
            self.config.log.note(membership::JOINING);
        }
    }

    /// Says every 10 s that brokers are away; with a stop condition, gives up in the end.
    pub(super) fn watch_outage(&mut self) {
        let now = Instant::now();
        if self.outage.is_none() && self.connected.causes.all_down() {
            // It may be said of the time before: brokers are never said to be back.
            if self.consumer().metadata(None, Duration::from_millis(200)).is_ok() {
                return self.connected.causes.clear();
            }
            self.outage = Some(Outage { since: now, asked: now, noted: None });
        }
        let Some(outage) = &mut self.outage else { return self.watch_partitions() };
        if now.duration_since(outage.asked) < ASK {
            return;
        }
        outage.asked = now;
        let since = outage.since;
        let is_due = outage.noted.map_or(since.elapsed() >= FIRST_NOTE, |noted| noted.elapsed() >= NOTES);
        if is_due {
            outage.noted = Some(now);
        }
        // An idle topic gives no sign that brokers are back, so ask.
        if self.consumer().metadata(None, Duration::from_secs(1)).is_ok() {
            self.connected.causes.clear();
            self.outage = None;
            self.last_record = Instant::now();
            return;
        }
        let cause = self.connected.causes.last().unwrap_or_else(|| "no answer".into());
        if self.bounds.stops() && since.elapsed() >= self.settings.stall_timeout {
            self.broken = Some(anyhow!(
                "stalled: no contact to {} for {} s (--stall-timeout): {cause}",
                self.config.brokers,
                since.elapsed().as_secs()
            ));
        } else if is_due {
            self.config.log.note(format_args!(
                "waiting for {} since {} s: {cause}",
                self.config.brokers,
                since.elapsed().as_secs()
            ));
        }
    }

    /// Says where nothing comes from though there is something: a partition without a leader is no
    /// outage of all brokers. With a stop condition, gives up in the end.
    fn watch_partitions(&mut self) {
        let silence = self.last_news.elapsed();
        if silence < NOTES || self.parts.behind().next().is_none() {
            self.waited = None;
            return;
        }
        if self.waited.is_some_and(|waited| waited.elapsed() < NOTES) {
            return;
        }
        self.waited = Some(Instant::now());
        let names: Vec<String> =
            self.parts.behind().take(5).map(|part| format!("{}[{}]", part.topic, part.partition)).collect();
        let cause = self.connected.causes.last().unwrap_or_else(|| "its leader does not answer".into());
        let (names, seconds) = (names.join(" "), silence.as_secs());
        if self.bounds.stops() && silence >= self.settings.stall_timeout {
            self.broken =
                Some(anyhow!("stalled: nothing from {names} for {seconds} s (--stall-timeout): {cause}"));
        } else {
            self.config.log.note(format_args!("nothing from {names} since {seconds} s: {cause}"));
        }
    }
}
