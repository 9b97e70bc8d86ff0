//! What a run says while records are in flight: why none is acknowledged, and which failed.

use std::time::{Duration, Instant};

use super::{Session, Stop};
use crate::kafka::client::ProducerClient;
use crate::kafka::code::Code;
use crate::reading::contact::Notes;
use crate::threads;

/// How long a failure waits for the summary, which names the first one, before it is reported by itself.
pub(super) const UNTOLD: Duration = Duration::from_secs(1);

/// What was reported while records are in flight.
#[derive(Debug)]
pub(super) struct News {
    /// Since when there are failures that were not reported.
    untold: Option<Instant>,
    /// When a delivery report came last.
    last: Instant,
    /// When to note that none comes.
    notes: Notes,
    pub stage: Stage,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Reading,
    /// All inputs were read, or are not read further. The summary comes next.
    Draining,
}

impl News {
    /// Nothing was said yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { untold: None, last: now, notes: Notes::default(), stage: Stage::Reading }
    }
}

impl<P: ProducerClient> Session<'_, P> {
    /// Prints why nothing is acknowledged, once that lasts long.
    pub(super) fn note_silence(&mut self, heard: bool) {
        if heard || self.connected.producer.in_flight() == 0 {
            (self.news.last, self.news.notes) = (Instant::now(), Notes::default());
            return;
        }
        if let Some(fault) = self.connected.causes.advertised() {
            self.news.notes.hasten(&fault);
        }
        if self.news.notes.are_due(self.news.last.elapsed()) {
            let waiting = self.connected.producer.in_flight();
            let cause = self.connected.causes.last().unwrap_or_else(|| "the brokers do not answer".into());
            let what = if waiting == 1 { "record waits" } else { "records wait" };
            self.say(|log, _| {
                log.note(format_args!("{waiting} {what} for an acknowledgement: {cause}"));
            });
        }
    }

    /// Reports records that failed while more is read, and stops where no other can succeed.
    pub(super) fn report_failures(&mut self) {
        if self.connected.causes.lacks_threads() && self.tally.hopeless.is_none() {
            self.tally.hopeless = Some(Code::CriticalSystemResource);
            self.say(|log, _| log.error(threads::NO_MORE));
        }
        if self.tally.hopeless.is_some() && self.stop.is_none() {
            self.stop = Some(Stop::Hopeless);
        }
        if !self.tally.has_fresh() || self.news.stage == Stage::Draining || self.stop.is_some() {
            return;
        }
        if self.news.untold.get_or_insert_with(Instant::now).elapsed() < UNTOLD {
            return;
        }
        self.news.untold = None;
        for (place, cause) in self.tally.take_fresh() {
            self.say(|log, name| log.error(format_args!("{}: {cause}", name(place))));
        }
    }
}
