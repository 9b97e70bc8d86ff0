//! Where a consume begins and ends in a partition, asked through an outage.

use std::fmt::Display;
use std::time::Duration;

use super::Session;
use super::assignment::Progress;
use crate::kafka::client::ConsumerClient;
use crate::reading::bounds::Start;
use crate::reading::contact::{self, Riding};
use crate::reading::position::Verdict;
use crate::reading::questions;
use crate::reading::start::{Found, Question};

impl<C: ConsumerClient> Session<'_, C> {
    /// Asks until there is an answer, through an outage that begins just now: as long as a stop
    /// condition allows, else without a limit, or well within the group's `max.poll.interval.ms`.
    ///
    /// `ask` gets the time that one question may take.
    pub(super) fn patiently<T, E: Display>(
        &self,
        ask: impl Fn(Duration) -> Result<T, E>,
        is_passing: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let patience = match &self.settings.group {
            _ if self.settings.bounds.stops() => self.settings.stall_timeout,
            Some(_) => Duration::from_mins(4),
            None => Duration::MAX,
        };
        let is_over = || self.shutdown.signal().is_some();
        let riding = Riding {
            log: self.config.log,
            clock: self.clock,
            causes: &self.connected.causes,
            timeout: self.config.timeout,
            limit: patience,
        };
        contact::ride_out(&riding, is_over, is_passing, ask)
    }

    /// Asks about a partition, as [`Session::patiently`] does. The error says what kept the answer away.
    pub(super) fn ask<T>(&self, ask: impl Fn(Duration) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.patiently(ask, questions::is_passing)
            .map_err(|e| questions::explained(e, self.connected.causes.advertised()))
    }

    pub(super) fn watermarks(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        self.ask(|timeout| questions::watermarks(self.consumer(), topic, partition, timeout))
    }

    /// Asks one of these about a partition, with the time that it may take.
    pub(super) fn question<'q>(
        &'q self,
        topic: &'q str,
        partition: i32,
        timeout: Duration,
    ) -> Question<'q, C> {
        Question {
            consumer: self.consumer(),
            topic,
            partition,
            until: self.settings.bounds.until,
            ends: &self.ends,
            timeout,
        }
    }

    /// A partition with nothing read of it.
    pub(super) fn begin(&mut self, topic: &str, partition: i32, from: Start) -> anyhow::Result<Progress> {
        let start = self.ask(|timeout| self.question(topic, partition, timeout).begin(from))?;
        self.open(topic, partition, start)
    }

    /// The state of a partition that begins there.
    pub(super) fn open(&mut self, topic: &str, partition: i32, start: Found) -> anyhow::Result<Progress> {
        if let Some(verdict) = start.verdict {
            self.report(topic, partition, verdict);
            if let Verdict::Back { next, .. } = verdict {
                self.commit_back(topic, partition, next)?;
            }
        }
        if self.settings.bounds.until.is_some() {
            self.ends.keep(topic, partition, start.limit);
        }
        let mut progress = Progress::new(topic.into(), partition, start.at, start.limit.offset());
        progress.first = start.first;
        progress.until_time = start.until_time;
        progress.unstored &= progress.first.is_none();
        if let (Some(at), Some(high)) = (start.first.or(start.at), start.high) {
            self.config.log.verbose(1, format_args!("{}: from {at}; its end is {high}", progress.name()));
        }
        Ok(progress)
    }

    /// Reports, and counts, what was to be read and is not there.
    pub(super) fn report(&mut self, topic: &str, partition: i32, verdict: Verdict) {
        self.counts.gone += match verdict {
            Verdict::GoOn { .. } => return,
            Verdict::Gone { .. } => verdict.gone(),
            // It is not known how many there were.
            Verdict::Back { .. } => 1,
        };
        self.config.log.error(format_args!("{topic}[{partition}]: {verdict}"));
    }
}
