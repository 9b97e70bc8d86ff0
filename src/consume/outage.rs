//! What a consume waits for: brokers that are away, a partition without a leader, a group's share.

use std::time::Duration;

use anyhow::anyhow;

use super::{Session, Stop};
use crate::kafka::client::ConsumerClient;
use crate::reading::contact::{self, Answered, Step};
use crate::reading::membership;
use crate::reading::reach::{self, Whom};
use crate::reading::silence::{self, Hush};

/// How long the coordinator is given to answer, where a join takes long.
const GLANCE: Duration = Duration::from_millis(500);

impl<C: ConsumerClient> Session<'_, C> {
    /// Notes what a join waits for that takes long; ends a consume that gets no partition.
    pub(super) fn watch_joining(&mut self) {
        if self.settings.group.is_none() || self.topics.subscribed.is_empty() {
            return;
        }
        let (now, log) = (self.clock.now(), self.config.log);
        if self.waits.joining.is_worth_a_note(now, !self.waits.contact.is_lost()) {
            if reach::answers(self.consumer(), &self.whom(), GLANCE) {
                log.note(membership::JOINING);
            } else {
                self.waits.contact.lose(self.waits.joining.began());
            }
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

    /// Whom this consume waits for while nothing comes.
    fn whom(&self) -> Whom<'_> {
        if let Some(progress) = self.assignment.iter().next() {
            return Whom::LeaderOf(progress.name());
        }
        let subscribed = self.topics.subscribed.first().filter(|_| self.settings.group.is_some());
        subscribed.map_or(Whom::Anyone, |topic| Whom::CoordinatorFor(topic))
    }

    /// The broker that counts answered.
    pub(super) fn note_answer(&mut self) {
        self.connected.causes.forget();
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
        let fault = causes.advertised();
        // Who waits for the group's coordinator waits for one broker, whatever the others do.
        let waits_for_one = fault.is_some() && matches!(self.whom(), Whom::CoordinatorFor(_));
        match &fault {
            Some(fault) if causes.all_down() || waits_for_one => {
                let heard = self.times.polled.max(self.waits.joining.began());
                self.waits.contact.lose_by(fault, heard, now);
                self.waits.contact.hasten(fault);
            }
            None if causes.all_down() => self.waits.contact.lose(now),
            _ => {}
        }
        let brokers = &self.config.brokers;
        match self.waits.contact.step(now) {
            Step::Wait => {}
            Step::Ask(patience) => {
                if reach::is_back(self.consumer(), causes, &self.whom(), patience) {
                    self.note_answer();
                }
            }
            Step::Note(lasts) => self.config.log.note(contact::waiting(brokers, lasts, causes)),
            Step::GiveUp(lasts) => {
                self.failure = Some(anyhow!(contact::stalled(brokers, lasts, causes)));
            }
        }
        if self.waits.contact.is_lost() {
            return self.waits.silence.forget();
        }
        let behind = self.assignment.behind().map(|progress| (progress.name(), progress.position()));
        match self.waits.silence.look(now, behind, fault.as_ref()) {
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
