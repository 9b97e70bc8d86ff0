//! What a consume waits for: brokers that are away, a partition without a leader, a group's share.

use anyhow::anyhow;

use super::{Session, Stop};
use crate::kafka::client::ConsumerClient;
use crate::reading::contact::{self, Answered, Step};
use crate::reading::membership;
use crate::reading::silence::{self, Hush};

impl<C: ConsumerClient> Session<'_, C> {
    /// Notes what a join waits for that takes long; ends a consume that gets no partition.
    pub(super) fn watch_joining(&mut self) {
        if self.settings.group.is_none() || self.topics.subscribed.is_empty() {
            return;
        }
        let (now, log) = (self.clock.now(), self.config.log);
        if self.waits.joining.is_worth_a_note(now, !self.connected.causes.all_down()) {
            log.note(membership::JOINING);
        }
        if self.assignment.is_empty()
            && self.settings.bounds.stops()
            && self.waits.joining.is_left_out(now)
            && !self.waits.contact.is_lost()
        {
            log.note(membership::LEFT_OUT);
            self.stop = Some(Stop::Reached);
        }
    }

    /// A broker answered.
    pub(super) fn note_answer(&mut self) {
        self.connected.causes.clear();
        match self.waits.contact.answer() {
            Answered::AsBefore => return,
            Answered::Soon => {}
            Answered::Again => self.config.log.note(contact::OVER),
        }
        self.times.last_record = self.clock.now();
    }

    /// Notes that brokers are away, or that a partition is silent; with a stop condition, gives up in the end.
    pub(super) fn watch_contact(&mut self) {
        let now = self.clock.now();
        let causes = &self.connected.causes;
        if causes.all_down() {
            self.waits.contact.lose(now);
        }
        let brokers = &self.config.brokers;
        match self.waits.contact.step(now) {
            Step::Wait => {}
            Step::Ask(patience) => {
                if self.consumer().metadata(None, patience).is_ok() {
                    self.note_answer();
                }
            }
            Step::Note(lasts) => {
                self.config.log.note(contact::waiting(brokers, lasts, causes.last().as_deref()));
            }
            Step::GiveUp(lasts) => {
                self.failure = Some(anyhow!(contact::stalled(brokers, lasts, causes.last().as_deref())));
            }
        }
        if self.waits.contact.is_lost() {
            return self.waits.silence.forget();
        }
        let behind = self.assignment.behind().map(|progress| (progress.name(), progress.position()));
        match self.waits.silence.look(now, behind) {
            Hush::Wait => {}
            Hush::Note(partitions, lasts) => {
                self.config.log.note(silence::silent(&partitions, lasts, causes.last().as_deref()));
            }
            Hush::GiveUp(partitions, lasts) => {
                let cause = causes.last();
                self.failure = Some(anyhow!(silence::stalled_at(&partitions, lasts, cause.as_deref())));
            }
        }
    }
}
