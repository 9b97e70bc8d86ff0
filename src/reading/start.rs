//! Where reading of a partition begins and ends: one answer for every reader.

use std::collections::HashMap;
use std::time::Duration;

use crate::kafka::client::ConsumerClient;
use crate::reading::bounds::{End, Start};
use crate::reading::position::{self, Limit, Log, Read, Verdict};
use crate::reading::questions;
use crate::record::TopicPartition;

/// Where a partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The offset to read from; `None`: the beginning, which the client finds itself, however long
    /// the leader is away.
    pub at: Option<i64>,
    /// Records before this offset are not asked for: a start past the end was given.
    pub first: Option<i64>,
    pub limit: Limit,
    /// Reading ends before the first record of this time, in ms since the epoch: there is none yet.
    pub until_time: Option<i64>,
    /// The end of the partition, where it was asked for.
    pub high: Option<i64>,
    /// What is to be reported, and counted, of where it begins.
    pub verdict: Option<Verdict>,
}

impl Found {
    /// Reading begins there and does not end by itself.
    fn at(at: Option<i64>) -> Self {
        Self { at, first: None, limit: Limit::None, until_time: None, high: None, verdict: None }
    }

    fn ending(at: Option<i64>, (limit, until_time): (Limit, Option<i64>)) -> Self {
        Self { limit, until_time, ..Self::at(at) }
    }

    /// Where to begin the next time in this run, if the group has committed nothing by then.
    pub(crate) fn again(&self) -> Start {
        self.first.or(self.at).map_or(Start::Beginning, Start::Offset)
    }
}

/// The end of each partition that was assigned in this run: it stays what it was at first.
#[derive(Debug, Default)]
pub(crate) struct Ends(HashMap<TopicPartition, Limit>);

impl Ends {
    /// Keeps the end of a partition for its next assignment.
    pub(crate) fn keep(&mut self, topic: &str, partition: i32, limit: Limit) {
        self.0.insert(TopicPartition::new(topic, partition), limit);
    }

    fn known(&self, topic: &str, partition: i32) -> Option<Limit> {
        self.0.get(&TopicPartition::new(topic, partition)).copied()
    }
}

/// What is asked of a partition, and of whom.
pub(crate) struct Question<'a, C> {
    pub consumer: &'a C,
    pub topic: &'a str,
    pub partition: i32,
    pub until: Option<End>,
    pub ends: &'a Ends,
    pub timeout: Duration,
}

impl<C: ConsumerClient> Question<'_, C> {
    fn log(&self) -> anyhow::Result<Log> {
        questions::watermarks(self.consumer, self.topic, self.partition, self.timeout).map(Log::new)
    }

    /// Where a partition that nothing was read of begins and ends. Of a start past the end, what comes
    /// before it is not asked for; what is deleted already is reported.
    pub(crate) fn begin(&self, from: Start) -> anyhow::Result<Found> {
        if from == Start::Beginning && self.until.is_none() {
            return Ok(Found::at(None));
        }
        let Self { consumer, topic, partition, timeout, .. } = *self;
        let log = self.log()?;
        let start = questions::start(consumer, topic, partition, from, (log.low, log.high), timeout)?;
        let (limit, until_time) = self.limit(log.high)?;
        let begin = position::begin(start, log, limit);
        let gone = |(from, to)| Verdict::Gone { from, to, next: begin.at };
        Ok(Found {
            at: Some(begin.at),
            first: begin.first,
            limit,
            until_time,
            high: Some(log.high),
            verdict: begin.gone.map(gone),
        })
    }

    /// Where a partition begins and ends that the group has committed an offset of. One past the end is
    /// reported here where there is an end, which may come before the client could notice.
    pub(crate) fn take_over(&self, committed: i64) -> anyhow::Result<Found> {
        if self.until.is_none() {
            return Ok(Found::at(Some(committed)));
        }
        let log = self.log()?;
        let ending = self.limit(log.high)?;
        if committed <= log.high
            || committed <= questions::unstable_end(self.consumer, self.topic, self.partition, self.timeout)?
        {
            return Ok(Found::ending(Some(committed), ending));
        }
        let verdict = position::judge(Read::to(committed), log, ending.0);
        Ok(Found { verdict: Some(verdict), ..Found::ending(Some(verdict.next()), ending) })
    }

    /// Where a partition ends, wherever it begins.
    pub(crate) fn end(&self) -> anyhow::Result<Found> {
        let ending = match self.until {
            None => (Limit::None, None),
            Some(_) => self.limit(self.log()?.high)?,
        };
        Ok(Found::ending(None, ending))
    }

    /// The end that is asked for, and its time where no record has reached that yet.
    fn limit(&self, high: i64) -> anyhow::Result<(Limit, Option<i64>)> {
        let Some(until) = self.until else { return Ok((Limit::None, None)) };
        let limit = if let Some(limit) = self.ends.known(self.topic, self.partition) {
            limit
        } else {
            let (consumer, timeout) = (self.consumer, self.timeout);
            let end = questions::end(consumer, self.topic, self.partition, until, high, timeout)?;
            Limit::new(self.until, end)
        };
        let time = match (until, limit) {
            (End::Time(time), Limit::None) => Some(time),
            _ => None,
        };
        Ok((limit, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_stays_what_it_was_at_the_first_assignment() {
        let mut ends = Ends::default();
        assert_eq!(ends.known("t", 0), None);
        ends.keep("t", 0, Limit::End(7));
        ends.keep("t", 1, Limit::None);
        assert_eq!((ends.known("t", 0), ends.known("t", 1)), (Some(Limit::End(7)), Some(Limit::None)));
    }

    #[test]
    fn a_start_that_was_not_committed_yet_stays() {
        assert_eq!(Found::at(None).again(), Start::Beginning);
        assert_eq!(Found::at(Some(3)).again(), Start::Offset(3));
        assert_eq!(Found { first: Some(9), ..Found::at(Some(3)) }.again(), Start::Offset(9));
    }
}
