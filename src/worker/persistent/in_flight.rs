//! What is in flight in one process, and since when. Pure: time is passed in, no IO.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::worker::ledger::Job;

/// The records that a process was handed and has not answered, by id: in the order of handing over.
#[derive(Debug)]
pub(super) struct InFlight {
    open: BTreeMap<u64, Open>,
    last_id: u64,
    /// The last id before those of the process that runs.
    before: u64,
    answers: u64,
    /// How many are in flight at most.
    window: u64,
}

#[derive(Debug)]
struct Open {
    job: Job,
    /// When its clock began: see [`InFlight::answer`].
    since: Instant,
    /// Answers that had come when it was handed over.
    behind: u64,
    /// How many notes have said that it is slow.
    notes: u32,
}

impl InFlight {
    /// Nothing in flight, at most `window` later.
    pub(super) fn new(window: usize) -> Self {
        Self { open: BTreeMap::new(), last_id: 0, before: 0, answers: 0, window: window as u64 }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// A process starts: no id was sent to it.
    pub(super) fn process_started(&mut self) {
        self.before = self.last_id;
    }

    /// Whether a record was handed to the process that runs under this id, and is answered.
    pub(super) fn is_answered(&self, id: u64) -> bool {
        (self.before + 1..=self.last_id).contains(&id) && !self.open.contains_key(&id)
    }

    /// The id of the record that is in flight longest.
    pub(super) fn oldest_id(&self) -> Option<u64> {
        self.open.first_key_value().map(|(id, _)| *id)
    }

    /// A record is handed over, under the id that this gives.
    pub(super) fn push(&mut self, job: Job, now: Instant) -> u64 {
        self.last_id += 1;
        self.open.insert(self.last_id, Open { job, since: now, behind: self.answers, notes: 0 });
        self.last_id
    }

    /// A record was answered: gives it, and how long it took. `None` where it is not in flight.
    ///
    /// A command may take its records one after the other: the clock of the oldest starts again
    /// with each answer. That holds for as many answers as there can be records before it, in whatever
    /// order: one that a whole window went past does not wait for its turn, it hangs.
    pub(super) fn answer(&mut self, id: u64, now: Instant) -> Option<(Job, Duration)> {
        let Open { job, since, .. } = self.open.remove(&id)?;
        self.answers += 1;
        if let Some(mut oldest) = self.open.first_entry() {
            let oldest = oldest.get_mut();
            if self.answers - oldest.behind <= self.window {
                (oldest.since, oldest.notes) = (now, 0);
            }
        }
        Some((job, now.saturating_duration_since(since)))
    }

    /// The record that is in flight longest, and since when.
    pub(super) fn oldest(&self) -> Option<(&Job, Instant)> {
        self.open.first_key_value().map(|(_, open)| (&open.job, open.since))
    }

    /// When a note says that the oldest is slow: after each `slow`.
    pub(super) fn slow_at(&self, slow: Duration) -> Option<Instant> {
        self.open.first_key_value().map(|(_, open)| open.since + slow * (open.notes + 1))
    }

    /// A note has said that the oldest is slow.
    pub(super) fn slow_noted(&mut self) {
        if let Some(mut oldest) = self.open.first_entry() {
            oldest.get_mut().notes += 1;
        }
    }

    /// The assignment epochs of all that is open.
    pub(super) fn epochs(&self) -> impl Iterator<Item = u64> {
        self.open.values().map(|open| open.job.ticket.epoch)
    }

    /// Takes all that is open, each with the start of its clock.
    pub(super) fn take(&mut self) -> Vec<(Job, Instant)> {
        std::mem::take(&mut self.open).into_values().map(|open| (open.job, open.since)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::worker::ledger::Ticket;

    const SECOND: Duration = Duration::from_secs(1);

    fn job(offset: i64) -> Job {
        let record = Record::default().into();
        Job { ticket: Ticket { epoch: 1, offset }, record, attempt: 1, lane: None }
    }

    /// A window of four, all of it handed over now: the ids are 1 to 4.
    fn full() -> (InFlight, Instant) {
        let (mut in_flight, start) = (InFlight::new(4), Instant::now());
        (0..4).for_each(|offset| _ = in_flight.push(job(offset), start));
        (in_flight, start)
    }

    fn since(in_flight: &InFlight) -> Instant {
        in_flight.oldest().unwrap().1
    }

    #[test]
    fn a_record_that_waits_for_its_turn_is_not_late() {
        let (mut in_flight, start) = full();
        for id in 1..=3u32 {
            let now = start + SECOND * id;
            let (_, took) = in_flight.answer(id.into(), now).unwrap();
            assert_eq!(took, SECOND, "since the answer before");
            assert_eq!(since(&in_flight), now);
        }
    }

    #[test]
    fn a_window_may_be_taken_in_any_order() {
        let (mut in_flight, start) = full();
        for (n, id) in [4, 3, 2].into_iter().enumerate() {
            let now = start + SECOND * (n as u32 + 1);
            in_flight.answer(id, now).unwrap();
            assert_eq!(since(&in_flight), now);
        }
    }

    #[test]
    fn a_record_that_hangs_while_others_are_answered_is_late_in_the_end() {
        let (mut in_flight, start) = full();
        for n in 1..=20u32 {
            let id = in_flight.push(job(n.into()), start + SECOND * n);
            in_flight.answer(id, start + SECOND * n).unwrap();
        }
        assert_eq!(since(&in_flight), start + SECOND * 4);
    }

    #[test]
    fn an_answer_counts_once_and_only_for_what_is_in_flight() {
        let (mut in_flight, start) = full();
        assert!(in_flight.answer(1, start).is_some());
        assert!(in_flight.answer(1, start).is_none());
        assert!(in_flight.answer(9, start).is_none());
        assert_eq!(in_flight.take().len(), 3);
        assert!(in_flight.is_empty());
    }

    #[test]
    fn an_id_was_answered_if_the_process_that_runs_had_it_and_does_not_any_more() {
        let (mut in_flight, start) = full();
        in_flight.answer(2, start).unwrap();
        let answered =
            |in_flight: &InFlight| (0..7).filter(|id| in_flight.is_answered(*id)).collect::<Vec<_>>();
        assert_eq!(answered(&in_flight), [2]);
        assert_eq!(in_flight.oldest_id(), Some(1));
        in_flight.take();
        in_flight.process_started();
        assert_eq!(in_flight.push(job(9), start), 5);
        assert_eq!(answered(&in_flight), [] as [u64; 0], "those were sent to another process");
    }

    #[test]
    fn a_slow_record_is_noted_again_and_again() {
        let (mut in_flight, start) = full();
        let minute = SECOND * 60;
        assert_eq!(in_flight.slow_at(minute), Some(start + minute));
        in_flight.slow_noted();
        assert_eq!(in_flight.slow_at(minute), Some(start + minute * 2));
        in_flight.answer(1, start + minute).unwrap();
        assert_eq!(in_flight.slow_at(minute), Some(start + minute * 2), "the next one's first");
        assert_eq!(InFlight::new(1).slow_at(minute), None);
    }
}
