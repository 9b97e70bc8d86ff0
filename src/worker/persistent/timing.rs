//! When a record of a process is late or slow, and how long its first answer may take. Pure: time is passed in, no IO.

use std::time::{Duration, Instant};

use super::backlog::Backlog;

/// A process that has answered nothing for so long beyond its start perhaps does not flush what it writes.
const UNFLUSHED: Duration = Duration::from_secs(5);
/// A process whose input can be ended gets so long after its last answer: most need no end to answer.
const QUIET: Duration = Duration::from_secs(1);

/// The least time that a process has for its start, once one has answered.
const LEAST_START: Duration = Duration::from_secs(5);
/// Once a process has answered, another may take so many times as long.
const SLOWER: u32 = 3;

/// How long the processes of a command may take for their start.
///
/// Nobody knows how long that is before one has answered. Then it is known about, and a record that hangs in
/// one process after the other is not given the whole of a long `--start-timeout` each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starts {
    /// `--start-timeout`.
    limit: Duration,
    /// The longest that one took to its first answer.
    slowest: Option<Duration>,
}

impl Starts {
    /// No process has answered.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, slowest: None }
    }

    /// A process gave its first answer after so long.
    pub(super) fn answered(&mut self, took: Duration) {
        self.slowest = self.slowest.max(Some(took));
    }

    /// What the next process may take.
    pub(super) fn next(&self) -> Duration {
        let known = self.slowest.map(|slowest| slowest.saturating_mul(SLOWER).max(LEAST_START));
        known.map_or(self.limit, |known| known.min(self.limit))
    }
}

/// The limits of a process's answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// `--command-timeout`.
    pub timeout: Option<Duration>,
    /// After so long a record is noted as slow, and again after each such time.
    pub slow: Duration,
    /// What the first answer of the process gets besides.
    pub start: Duration,
}

impl Timing {
    /// When the record that is in flight longest is late.
    pub(super) fn late_at(&self, backlog: &Backlog) -> Option<Instant> {
        let (_, since) = backlog.in_flight.oldest()?;
        Some(since + self.timeout? + self.start(backlog))
    }

    /// When that record is to be noted as slow.
    pub(super) fn slow_at(&self, backlog: &Backlog) -> Option<Instant> {
        Some(backlog.in_flight.slow_at(self.slow)? + self.start(backlog))
    }

    /// When a process that has answered nothing is to be asked after.
    pub(super) fn unflushed_at(&self, backlog: &Backlog) -> Option<Instant> {
        let (_, since) = backlog.in_flight.oldest()?;
        (!backlog.has_answered()).then(|| since + self.start + UNFLUSHED)
    }

    /// When the input of a process is ended that heard or said something last at `last`, where it gets no
    /// more records.
    pub(super) fn end_input_at(backlog: &Backlog, last: Instant) -> Option<Instant> {
        (backlog.is_empty() && !backlog.in_flight.is_empty()).then(|| last + QUIET)
    }

    /// What is added for a process that has not answered yet.
    fn start(&self, backlog: &Backlog) -> Duration {
        if backlog.has_answered() { Duration::ZERO } else { self.start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::worker::ledger::{Job, Ticket};
    use crate::worker::persistent::backlog::{Given, Handover};

    const SECOND: Duration = Duration::from_secs(1);
    const TIMING: Timing =
        Timing { timeout: Some(SECOND), slow: Duration::from_mins(1), start: Duration::from_secs(30) };

    /// A process that has so many records from `start` on.
    fn process(records: i64, start: Instant) -> Backlog {
        let mut backlog = Backlog::new(8);
        let given = |offset| {
            let (ticket, record) = (Ticket { epoch: 1, offset }, Record::default().into());
            Given { job: Job { ticket, record, attempt: 1, lane: None }, is_suspect: false }
        };
        backlog.take((0..records).map(given).collect());
        backlog.process_started();
        while backlog.hand_over(start).is_some() {}
        backlog
    }

    #[test]
    fn the_first_answer_of_a_process_has_the_time_of_its_start_and_no_other_has() {
        let start = Instant::now();
        let mut backlog = process(2, start);
        assert_eq!(TIMING.late_at(&backlog), Some(start + 31 * SECOND));
        assert_eq!(TIMING.slow_at(&backlog), Some(start + 90 * SECOND));
        let answered = start + 20 * SECOND;
        backlog.answer(1, answered).unwrap();
        assert_eq!(TIMING.late_at(&backlog), Some(answered + SECOND));
        assert_eq!(TIMING.slow_at(&backlog), Some(answered + 60 * SECOND));
        backlog.answer(2, answered).unwrap();
        assert_eq!((TIMING.late_at(&backlog), TIMING.slow_at(&backlog)), (None, None));
    }

    #[test]
    fn each_process_has_the_time_of_its_start() {
        let start = Instant::now();
        let mut backlog = process(2, start);
        backlog.answer(1, start).unwrap();
        backlog.terminated();
        backlog.process_started();
        let Some(Handover { id: 3, .. }) = backlog.hand_over(start) else {
            panic!("the one that was not answered")
        };
        assert_eq!(TIMING.late_at(&backlog), Some(start + 31 * SECOND));
    }

    #[test]
    fn a_start_has_all_its_time_until_one_has_answered_and_then_what_is_known_of_it() {
        let minute = 60 * SECOND;
        let mut starts = Starts::new(minute);
        assert_eq!(starts.next(), minute);
        starts.answered(SECOND / 10);
        assert_eq!(starts.next(), 5 * SECOND);
        starts.answered(10 * SECOND);
        starts.answered(SECOND);
        assert_eq!(starts.next(), 30 * SECOND);
        starts.answered(minute);
        assert_eq!(starts.next(), minute, "what was asked for is the most");
        let mut short = Starts::new(SECOND);
        short.answered(SECOND / 10);
        assert_eq!(short.next(), SECOND);
    }

    #[test]
    fn without_a_time_out_no_record_is_late() {
        assert_eq!(Timing { timeout: None, ..TIMING }.late_at(&process(1, Instant::now())), None);
    }

    #[test]
    fn a_process_that_never_answers_is_asked_after_beyond_its_start() {
        let start = Instant::now();
        let mut backlog = process(2, start);
        assert_eq!(TIMING.unflushed_at(&backlog), Some(start + 35 * SECOND));
        backlog.answer(2, start).unwrap();
        assert_eq!(TIMING.unflushed_at(&backlog), None);
        assert_eq!(TIMING.unflushed_at(&process(0, start)), None, "it has nothing to answer");
    }

    #[test]
    fn the_input_of_a_process_that_waits_for_more_records_is_not_ended() {
        let start = Instant::now();
        let mut backlog = process(2, start);
        assert_eq!(Timing::end_input_at(&backlog, start), Some(start + SECOND));
        backlog.terminated();
        assert_eq!(Timing::end_input_at(&backlog, start), None, "both are to be sent");
        assert_eq!(Timing::end_input_at(&process(0, start), start), None, "it has nothing in hand");
    }
}
