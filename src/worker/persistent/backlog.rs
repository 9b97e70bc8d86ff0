//! The records of one process: what is sent when, and which record is guilty of a death. Pure: time is
//! passed in, no IO.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deaths::Deaths;
use super::in_flight::InFlight;
use crate::record::Record;
use crate::worker::ledger::{Job, Ticket};
use crate::worker::policy::Ended;

/// A record for a process.
pub(super) struct Given {
    pub job: Job,
    /// It ended a process before: it is sent with no other in flight.
    pub is_suspect: bool,
}

/// What is handed over to a process.
pub(super) struct Handover {
    pub id: u64,
    pub ticket: Ticket,
    pub attempt: u32,
    pub record: Arc<Record>,
}

/// What was given to one process after another, and has not been answered.
pub(super) struct Backlog {
    /// Records in flight at most.
    window: usize,
    pub in_flight: InFlight,
    /// To be sent one at a time, in this order, before anything new.
    suspects: VecDeque<Job>,
    /// What is in flight is a suspect.
    is_suspect_in_flight: bool,
    /// Given, and not sent: the window is full.
    waiting: VecDeque<Job>,
    /// The process that runs has answered something.
    has_answered: bool,
    deaths: Deaths,
}

impl Backlog {
    /// Nothing to send, at most `window` in flight later.
    pub(super) fn new(window: usize) -> Self {
        Self {
            window,
            in_flight: InFlight::new(window),
            suspects: VecDeque::new(),
            is_suspect_in_flight: false,
            waiting: VecDeque::new(),
            has_answered: false,
            deaths: Deaths::default(),
        }
    }

    /// Takes records to send.
    pub(super) fn take(&mut self, given: Vec<Given>) {
        for Given { job, is_suspect } in given {
            if is_suspect { &mut self.suspects } else { &mut self.waiting }.push_back(job);
        }
    }

    /// Whether nothing is to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.suspects.is_empty() && self.waiting.is_empty()
    }

    /// Takes out what is to be sent and may not be started any more.
    pub(super) fn recall(&mut self, may_start: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut recalled = Vec::new();
        for queue in [&mut self.suspects, &mut self.waiting] {
            let (kept, gone): (Vec<_>, Vec<_>) = queue.drain(..).partition(&may_start);
            queue.extend(kept);
            recalled.extend(gone);
        }
        recalled
    }

    /// Takes out all that is to be sent.
    pub(super) fn take_all(&mut self) -> Vec<Job> {
        self.recall(|_| false)
    }

    /// A process starts.
    pub(super) fn process_started(&mut self) {
        self.has_answered = false;
        self.in_flight.process_started();
    }

    /// Whether the process that runs has answered anything.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// How many more may be in flight: a suspect is alone.
    pub(super) fn room(&self) -> usize {
        if self.is_suspect_in_flight || !self.suspects.is_empty() {
            usize::from(self.in_flight.is_empty())
        } else {
            self.window.saturating_sub(self.in_flight.len())
        }
    }

    /// The assignment epochs of the records that there is room for, in the order in which they are sent.
    pub(super) fn next_epochs(&self) -> Vec<u64> {
        let next = if self.suspects.is_empty() { &self.waiting } else { &self.suspects };
        next.iter().take(self.room()).map(|job| job.ticket.epoch).collect()
    }

    /// The next record goes out now.
    pub(super) fn hand_over(&mut self, now: Instant) -> Option<Handover> {
        let suspect = self.suspects.pop_front();
        let is_suspect = suspect.is_some();
        let job = suspect.or_else(|| self.waiting.pop_front())?;
        self.is_suspect_in_flight = is_suspect;
        let (record, ticket, attempt) = (Arc::clone(&job.record), job.ticket, job.attempt);
        Some(Handover { id: self.in_flight.push(job, now), ticket, attempt, record })
    }

    /// A record was answered: gives it, and how long it took. `None` where it is not in flight.
    pub(super) fn answer(&mut self, id: u64, now: Instant) -> Option<(Job, Duration)> {
        let answered = self.in_flight.answer(id, now)?;
        self.deaths.forget();
        self.has_answered = true;
        self.is_suspect_in_flight &= !self.in_flight.is_empty();
        Some(answered)
    }

    /// The record that is in flight longest is answered by a line that names none. `None` where none is.
    pub(super) fn answer_oldest(&mut self, now: Instant) -> Option<(Job, Duration)> {
        let id = self.in_flight.oldest_id()?;
        self.answer(id, now)
    }

    /// A process ended because kq terminated it or closed its stdin, which no record caused: what it had is
    /// sent again.
    pub(super) fn terminated(&mut self) {
        self.is_suspect_in_flight = false;
        let open = self.in_flight.take();
        open.into_iter().rev().for_each(|(job, _)| self.waiting.push_front(job));
    }

    /// A process died. Gives the record that is guilty of it, with the start of its clock; what else it
    /// had is sent again one at a time.
    ///
    /// With several in flight nobody knows which one it was, except where it answered wrongly. With one
    /// in flight that one is guilty, unless the process had answered before: it may end by itself after
    /// so many records. A record that has failed before, or took too long, is guilty all the same.
    pub(super) fn died(&mut self, how: &Ended) -> Option<(Job, Instant)> {
        self.is_suspect_in_flight = false;
        let mut open = self.in_flight.take();
        if open.is_empty() {
            return None;
        }
        let is_known = |job: &Job| !self.has_answered || job.attempt > 1 || matches!(how, Ended::Timeout);
        let is_alone = matches!(&open[..], [(job, _)] if is_known(job));
        let guilty = (is_alone || matches!(how, Ended::Protocol(_))).then(|| open.remove(0));
        open.into_iter().rev().for_each(|(job, _)| self.suspects.push_front(job));
        match &guilty {
            Some((job, _)) => self.deaths.of(job.ticket),
            None => self.deaths.unexplained(),
        }
        guilty
    }

    /// How many deaths count since the last answer.
    pub(super) fn deaths(&self) -> usize {
        self.deaths.count()
    }

    /// Whether there were so many that the command is broken.
    pub(super) fn is_command_broken(&self) -> bool {
        self.deaths.are_too_many()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::persistent::deaths::MOST;
    use proptest::prelude::*;

    fn given(offset: i64) -> Given {
        let ticket = Ticket { epoch: offset as u64 / 10, offset };
        let record = Record { offset, ..Record::default() }.into();
        Given { job: Job { ticket, record, attempt: 1, lane: None }, is_suspect: false }
    }

    fn with(window: usize, offsets: std::ops::Range<i64>) -> Backlog {
        let mut backlog = Backlog::new(window);
        backlog.take(offsets.map(given).collect());
        backlog
    }

    /// Sends all that there is room for: ids and offsets.
    fn send(backlog: &mut Backlog) -> Vec<(u64, i64)> {
        let mut sent = Vec::new();
        while backlog.room() > 0
            && let Some(Handover { id, record, .. }) = backlog.hand_over(Instant::now())
        {
            sent.push((id, record.offset));
        }
        sent
    }

    fn offsets(sent: &[(u64, i64)]) -> Vec<i64> {
        sent.iter().map(|(_, offset)| *offset).collect()
    }

    fn killed() -> Ended {
        Ended::Signal(9)
    }

    #[test]
    fn as_many_as_the_window_holds_are_in_flight() {
        let mut backlog = with(3, 0..5);
        assert_eq!(backlog.next_epochs().len(), 3);
        let sent = send(&mut backlog);
        assert_eq!(offsets(&sent), [0, 1, 2]);
        assert!(backlog.answer(sent[1].0, Instant::now()).is_some());
        assert_eq!(offsets(&send(&mut backlog)), [3]);
    }

    #[test]
    fn what_a_process_that_dies_had_is_sent_again_one_at_a_time_before_anything_new() {
        let mut backlog = with(3, 0..5);
        send(&mut backlog);
        assert!(backlog.died(&killed()).is_none(), "one of three, nobody knows which");
        for offset in 0..3 {
            assert_eq!(backlog.next_epochs().len(), 1);
            let sent = send(&mut backlog);
            assert_eq!(offsets(&sent), [offset]);
            backlog.answer(sent[0].0, Instant::now()).unwrap();
        }
        assert_eq!(offsets(&send(&mut backlog)), [3, 4]);
    }

    #[test]
    fn only_the_record_that_kills_is_guilty() {
        let mut backlog = with(4, 0..4);
        send(&mut backlog);
        let mut guilty = Vec::new();
        loop {
            guilty.extend(backlog.died(&killed()).map(|(job, _)| job.ticket.offset));
            backlog.process_started();
            // Of these, only the record at offset 2 is not answered.
            let mut sent = send(&mut backlog);
            while let [(id, offset)] = sent[..]
                && offset != 2
            {
                backlog.answer(id, Instant::now()).unwrap();
                sent = send(&mut backlog);
            }
            if sent.is_empty() {
                break;
            }
        }
        assert_eq!(guilty, [2]);
        assert!(!backlog.is_command_broken());
    }

    #[test]
    fn a_process_that_ends_after_some_answers_may_have_done_so_by_itself() {
        let mut backlog = with(1, 0..2);
        let sent = send(&mut backlog);
        backlog.answer(sent[0].0, Instant::now()).unwrap();
        assert_eq!(offsets(&send(&mut backlog)), [1]);
        assert!(backlog.died(&killed()).is_none());
        backlog.process_started();
        assert_eq!(offsets(&send(&mut backlog)), [1]);
        assert_eq!(backlog.died(&killed()).unwrap().0.ticket.offset, 1);
    }

    #[test]
    fn a_wrong_answer_and_a_time_out_name_their_record() {
        for (how, in_flight) in [(Ended::Protocol("no answer".into()), 3), (Ended::Timeout, 1)] {
            let mut backlog = with(in_flight, 0..4);
            let first = send(&mut backlog);
            backlog.answer(first[0].0, Instant::now()).unwrap();
            send(&mut backlog);
            assert_eq!(backlog.died(&how).unwrap().0.ticket.offset, 1, "{how}");
        }
    }

    #[test]
    fn five_records_that_each_end_a_process_mean_a_broken_command() {
        let mut backlog = with(1, 0..9);
        for death in 1..=MOST {
            assert!(!backlog.is_command_broken());
            assert_eq!(send(&mut backlog).len(), 1);
            assert!(backlog.died(&killed()).is_some());
            backlog.process_started();
            assert_eq!(backlog.deaths(), death);
        }
        assert!(backlog.is_command_broken());
    }

    #[test]
    fn an_idle_process_that_ends_is_no_death() {
        let mut backlog = Backlog::new(4);
        assert!(backlog.died(&killed()).is_none());
        assert_eq!(backlog.deaths(), 0);
    }

    #[test]
    fn what_a_terminated_process_had_is_sent_again_as_before_and_may_be_recalled() {
        let mut backlog = with(2, 9..12);
        send(&mut backlog);
        backlog.terminated();
        assert_eq!(backlog.deaths(), 0);
        let recalled = backlog.recall(|job| job.ticket.epoch == 1);
        assert_eq!(recalled.iter().map(|job| job.ticket.offset).collect::<Vec<_>>(), [9]);
        assert_eq!(offsets(&send(&mut backlog)), [10, 11]);
    }

    #[test]
    fn a_suspect_is_sent_alone_even_while_others_wait() {
        let mut backlog = with(4, 0..2);
        backlog.take(vec![Given { is_suspect: true, ..given(7) }]);
        let sent = send(&mut backlog);
        assert_eq!(offsets(&sent), [7]);
        backlog.answer(sent[0].0, Instant::now()).unwrap();
        assert_eq!(offsets(&send(&mut backlog)), [0, 1]);
    }

    proptest! {
        #[test]
        fn a_record_that_kills_takes_no_other_with_it(count in 1..12i64, killer in 0..12i64, window in 1..5usize) {
            let mut backlog = with(window, 0..count);
            let (mut answered, mut guilty) = (Vec::new(), Vec::new());
            for _ in 0..100 {
                backlog.process_started();
                let mut in_hand = VecDeque::from(send(&mut backlog));
                while let Some((id, offset)) = in_hand.pop_front().filter(|(_, offset)| *offset != killer) {
                    backlog.answer(id, Instant::now()).unwrap();
                    answered.push(offset);
                    in_hand.extend(send(&mut backlog));
                }
                guilty.extend(backlog.died(&killed()).map(|(job, _)| job.ticket.offset));
                if backlog.is_empty() {
                    break;
                }
            }
            answered.sort_unstable();
            prop_assert_eq!(answered, (0..count).filter(|&offset| offset != killer).collect::<Vec<_>>());
            prop_assert_eq!(guilty, if killer < count { vec![killer] } else { vec![] });
        }
    }
}
