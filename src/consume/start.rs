//! Where a consume begins and ends in a partition, asked through an outage.

use std::fmt::Display;
use std::time::Duration;

use super::Session;
use super::parts::Part;
use crate::kafka::client::ConsumerClient;
use crate::reading::bounds::{End, Start};
use crate::reading::{client, contact};

impl<C: ConsumerClient> Session<'_, C> {
    /// Asks until there is an answer, through an outage that begins just now: as long as a stop
    /// condition allows, else for ever, or well within the group's `max.poll.interval.ms`.
    pub(super) fn patiently<T, E: Display>(
        &self,
        ask: impl Fn() -> Result<T, E>,
        is_passing: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let patience = match &self.group {
            _ if self.bounds.stops() => self.settings.stall_timeout,
            Some(_) => Duration::from_mins(4),
            None => Duration::MAX,
        };
        let is_over = || self.shutdown.signal().is_some();
        contact::ride_out(self.config.log, patience, is_over, is_passing, ask)
    }

    pub(super) fn watermarks(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        let ask = || client::watermarks(self.consumer(), topic, partition, self.config.timeout);
        self.patiently(ask, client::is_passing)
    }

    /// A partition with nothing read of it. Records that are gone already are counted; of a start
    /// beyond the end, what comes before it is not asked for. Without a start it is read from its
    /// beginning, which the client finds itself, however long the leader is away.
    pub(super) fn begin(&mut self, topic: &str, partition: i32, from: Start) -> anyhow::Result<Part> {
        if from == Start::Beginning && self.bounds.until.is_none() {
            return Ok(Part::new(topic.into(), partition, None, None));
        }
        let (low, high) = self.watermarks(topic, partition)?;
        let ask = || client::start(self.consumer(), topic, partition, from, (low, high), self.config.timeout);
        let start = self.patiently(ask, client::is_passing)?;
        let mut part = self.part(topic, partition, Some(start.clamp(low, high.max(low))), high)?;
        part.first = (start > high).then_some(start);
        part.unstored &= part.first.is_none();
        self.config.log.verbose(1, format_args!("{topic}[{partition}]: from {start}; its end is {high}"));
        if start < low {
            let gone = part.until.map_or(low, |until| until.clamp(start, low));
            self.count_gone(topic, partition, start, gone);
        }
        Ok(part)
    }

    pub(super) fn count_gone(&mut self, topic: &str, partition: i32, from: i64, to: i64) {
        if from >= to {
            return;
        }
        self.gone += (to - from) as u64;
        self.config.log.error(format_args!(
            "{topic}[{partition}]: {from}..{to} gone: no longer in the topic when they were read"
        ));
    }

    /// The state of a partition that is read from `start` on.
    pub(super) fn part(
        &mut self,
        topic: &str,
        partition: i32,
        start: Option<i64>,
        high: i64,
    ) -> anyhow::Result<Part> {
        let known = self.ends.iter().find(|(t, p, _)| *p == partition && t == topic).map(|(_, _, end)| *end);
        let end = match (known, self.bounds.until) {
            (Some(end), _) => end,
            (None, None) => None,
            (None, Some(until)) => {
                let ask = || client::end(self.consumer(), topic, partition, until, high, self.config.timeout);
                let end = self.patiently(ask, client::is_passing)?;
                self.ends.push((topic.to_owned(), partition, end));
                end
            }
        };
        let mut part = Part::new(topic.into(), partition, start, end);
        if let (Some(End::Time(time)), None) = (self.bounds.until, end) {
            part.until_time = Some(time);
        }
        Ok(part)
    }
}
