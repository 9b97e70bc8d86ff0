//! Tells an outage of what the commands need from single bad records, and paces what is tried while it
//! lasts. Pure: time is passed in, no IO.
//!
//! The state is the process's: it survives rebalances.

use std::time::{Duration, Instant};

use super::job::Ticket;
use crate::clock::backoff::Backoff;
use crate::named::Named;

/// `--on-outage`: what follows when too many records failed for good in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnOutage {
    /// One record at a time is tried until one succeeds.
    Pause,
    /// The worker stops.
    Stop,
}

impl Named for OnOutage {
    const ALL: &'static [Self] = &[Self::Pause, Self::Stop];

    fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Stop => "stop",
        }
    }
}

/// Why no further attempt at a record follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// Its attempts are spent: what the command needs may be away.
    Exhausted,
    /// The command says that it can never be done: bad data is no outage.
    BadData,
}

/// What becomes of a record that failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What `--on-failure` says.
    Policy,
    /// It is kept, with the attempts that it had.
    Keep,
    /// The same, and it is the one that begins the pause.
    Pause,
    /// The worker stops over it.
    Stop,
}

/// How a pause stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub lasts: Duration,
    /// Attempts that have failed since it began, one at a time.
    pub failed_probes: u32,
}

/// Counts records that failed for good in a row, and holds the pause that follows.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    /// `--max-consecutive-failures`; 0 never pauses nor stops.
    limit: u32,
    backoff: Backoff,
    then: OnOutage,
    in_a_row: u32,
    has_succeeded: bool,
    pause: Option<Pause>,
    /// Pauses that have begun.
    pauses: u64,
    /// Of those that are over.
    paused: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    since: Instant,
    next_probe: Instant,
    failed_probes: u32,
    probe: Option<Ticket>,
    /// Whether the last probe was at a record that had not failed before.
    was_fresh: bool,
    /// When a record was given up last, at first when the pause began.
    gave_up: Instant,
}

impl Default for Outage {
    /// One that never comes.
    fn default() -> Self {
        Self::new(0, Backoff::new(Duration::ZERO, Duration::ZERO), OnOutage::Stop)
    }
}

impl Outage {
    /// An outage is `limit` records that failed for good in a row; 0 is never. `backoff` is between probes.
    pub(crate) fn new(limit: u32, backoff: Backoff, then: OnOutage) -> Self {
        Self {
            limit,
            backoff,
            then,
            in_a_row: 0,
            has_succeeded: false,
            pause: None,
            pauses: 0,
            paused: Duration::ZERO,
        }
    }

    /// A record is done. Gives how long the pause lasted that this ends.
    pub(crate) fn succeeded(&mut self, now: Instant) -> Option<Duration> {
        self.has_succeeded = true;
        self.in_a_row = 0;
        let lasted = now.saturating_duration_since(self.pause.take()?.since);
        self.paused += lasted;
        Some(lasted)
    }

    /// Whether a record was ever done by this process.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.has_succeeded
    }

    /// A record failed for good. `random` is from 0 up to 1.
    pub(crate) fn failed_for_good(
        &mut self,
        ticket: Ticket,
        why: GivenUp,
        now: Instant,
        random: f64,
    ) -> Fate {
        let longest = self.backoff.max();
        if let Some(pause) = &mut self.pause {
            let is_due = now.saturating_duration_since(pause.gave_up) >= longest;
            if pause.probe != Some(ticket) || !is_due {
                return Fate::Keep;
            }
            pause.gave_up = now;
            return Fate::Policy;
        }
        if why == GivenUp::BadData {
            return Fate::Policy;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.limit == 0 || self.in_a_row < self.limit {
            return Fate::Policy;
        }
        if self.then == OnOutage::Stop {
            return Fate::Stop;
        }
        self.begin(now, random);
        Fate::Pause
    }

    /// The processes of a persistent command end again and again. True where that is an outage, which is
    /// waited for: the command has worked before.
    pub(crate) fn outlives_deaths(&mut self, now: Instant, random: f64) -> Option<Fate> {
        if !self.has_succeeded || self.limit == 0 || self.then == OnOutage::Stop {
            return None;
        }
        if self.pause.is_some() {
            return Some(Fate::Keep);
        }
        self.begin(now, random);
        Some(Fate::Pause)
    }

    fn begin(&mut self, now: Instant, random: f64) {
        self.pauses += 1;
        self.pause = Some(Pause {
            since: now,
            next_probe: now + self.backoff.delay(0, || random),
            failed_probes: 0,
            probe: None,
            was_fresh: false,
            gave_up: now,
        });
    }

    /// The pause that lasts, as a number that no other has.
    pub(crate) fn pause_number(&self) -> Option<u64> {
        self.pause.map(|_| self.pauses)
    }

    /// How the pause stands, where there is one.
    pub(crate) fn standing(&self, now: Instant) -> Option<Standing> {
        self.pause.map(|pause| Standing {
            lasts: now.saturating_duration_since(pause.since),
            failed_probes: pause.failed_probes,
        })
    }

    /// How long it was paused in all, without the pause that lasts.
    pub(crate) fn paused_before(&self) -> Duration {
        self.paused
    }

    /// The probe that was started last, in the pause that lasts.
    pub(crate) fn probe(&self) -> Option<Ticket> {
        self.pause.and_then(|pause| pause.probe)
    }

    /// When the next probe may start, where it is paused.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        self.pause.map(|pause| pause.next_probe)
    }

    /// Whether the next probe is to be at a record that has not failed yet: every second one is, so
    /// that no bad record hides that the outage is over.
    pub(crate) fn wants_fresh(&self) -> bool {
        self.pause.is_none_or(|pause| !pause.was_fresh)
    }

    /// A probe starts.
    pub(crate) fn probe_started(&mut self, ticket: Ticket, is_fresh: bool) {
        if let Some(pause) = &mut self.pause {
            (pause.probe, pause.was_fresh) = (Some(ticket), is_fresh);
        }
    }

    /// An attempt failed: where that was the probe, the next one waits. `random` is from 0 up to 1.
    pub(crate) fn attempt_failed(&mut self, ticket: Ticket, now: Instant, random: f64) {
        if let Some(pause) = self.pause.as_mut().filter(|pause| pause.probe == Some(ticket)) {
            pause.failed_probes = pause.failed_probes.saturating_add(1);
            pause.next_probe = now + self.backoff.delay(pause.failed_probes, || random);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn ticket(offset: i64) -> Ticket {
        Ticket { epoch: 1, offset }
    }

    fn outage(limit: u32) -> Outage {
        Outage::new(limit, Backoff::new(SECOND, MINUTE), OnOutage::Pause)
    }

    fn fail(outage: &mut Outage, offset: i64, now: Instant) -> Fate {
        outage.failed_for_good(ticket(offset), GivenUp::Exhausted, now, 1.0)
    }

    #[test]
    fn so_many_failures_with_no_success_between_them_begin_a_pause() {
        let (mut outage, now) = (outage(3), Instant::now());
        assert_eq!([0, 1].map(|offset| fail(&mut outage, offset, now)), [Fate::Policy; 2]);
        assert_eq!(outage.succeeded(now), None);
        assert_eq!([2, 3].map(|offset| fail(&mut outage, offset, now)), [Fate::Policy; 2]);
        assert_eq!(fail(&mut outage, 4, now), Fate::Pause);
        assert_eq!(fail(&mut outage, 5, now + 2 * MINUTE), Fate::Keep, "it is no probe");
        assert_eq!(outage.succeeded(now + MINUTE), Some(MINUTE));
        assert_eq!((outage.pause_number(), outage.paused_before()), (None, MINUTE));
    }

    #[test]
    fn bad_data_neither_counts_nor_resets() {
        let (mut outage, now) = (outage(3), Instant::now());
        let bad = |outage: &mut Outage| outage.failed_for_good(ticket(9), GivenUp::BadData, now, 1.0);
        for _ in 0..2 {
            assert_eq!([(); 99].map(|()| bad(&mut outage)), [Fate::Policy; 99]);
            assert_eq!(fail(&mut outage, 0, now), Fate::Policy);
        }
        assert_eq!(bad(&mut outage), Fate::Policy);
        assert_eq!(fail(&mut outage, 0, now), Fate::Pause);
    }

    #[test]
    fn zero_never_pauses_and_stop_stops() {
        let now = Instant::now();
        let mut never = outage(0);
        assert!((0..1000).all(|offset| fail(&mut never, offset, now) == Fate::Policy));
        let mut stops = Outage::new(2, Backoff::new(SECOND, MINUTE), OnOutage::Stop);
        assert_eq!([0, 1].map(|offset| fail(&mut stops, offset, now)), [Fate::Policy, Fate::Stop]);
        assert_eq!(stops.standing(now), None);
    }

    #[test]
    fn probes_are_further_and_further_apart_up_to_the_longest_backoff() {
        let (mut outage, start) = (outage(1), Instant::now());
        assert_eq!(fail(&mut outage, 0, start), Fate::Pause);
        let mut now = start;
        let mut waits = Vec::new();
        for probe in 0..9 {
            let due = outage.next_probe().unwrap();
            waits.push(due.duration_since(now).as_secs());
            now = due;
            outage.probe_started(ticket(probe), true);
            outage.attempt_failed(ticket(probe + 100), now, 1.0);
            assert_eq!(outage.next_probe(), Some(due), "that was another record");
            outage.attempt_failed(ticket(probe), now, 1.0);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let standing = outage.standing(now).unwrap();
        assert_eq!(standing, Standing { lasts: now.duration_since(start), failed_probes: 9 });
    }

    #[test]
    fn every_second_probe_is_at_a_record_that_has_not_failed_yet() {
        let (mut outage, now) = (outage(1), Instant::now());
        fail(&mut outage, 0, now);
        assert!(outage.wants_fresh());
        outage.probe_started(ticket(1), true);
        assert!(!outage.wants_fresh());
        outage.probe_started(ticket(0), false);
        assert!(outage.wants_fresh());
    }

    #[test]
    fn processes_that_die_again_and_again_are_an_outage_only_once_the_command_has_worked() {
        let (mut outage, now) = (outage(20), Instant::now());
        assert_eq!(outage.outlives_deaths(now, 0.0), None);
        outage.succeeded(now);
        assert_eq!(outage.outlives_deaths(now, 0.0), Some(Fate::Pause));
        assert_eq!(outage.outlives_deaths(now, 0.0), Some(Fate::Keep));
    }

    /// What happens to the worker.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Success,
        /// A record that is no probe.
        Fails(GivenUp),
        /// The next probe.
        Probe(GivenUp),
        Later(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let why = || prop_oneof![Just(GivenUp::Exhausted), Just(GivenUp::BadData)];
        prop_oneof![
            1 => Just(Event::Success),
            8 => why().prop_map(Event::Fails),
            8 => why().prop_map(Event::Probe),
            4 => (0..90_000u64).prop_map(Event::Later),
        ]
    }

    proptest! {
        #[test]
        fn while_it_is_paused_one_record_is_given_up_in_each_longest_backoff_at_most(
            events in prop::collection::vec(event(), 0..300), limit in 1..6u32, random in 0.0..1.0f64,
        ) {
            let (mut outage, mut now) = (outage(limit), Instant::now());
            let (mut in_a_row, mut last): (u32, Option<Instant>) = (0, None);
            for (offset, event) in events.into_iter().enumerate() {
                let ticket = ticket(offset as i64);
                let was_paused = outage.pause_number();
                let (fate, why) = match event {
                    Event::Later(ms) => {
                        now += Duration::from_millis(ms);
                        continue;
                    }
                    Event::Success => {
                        prop_assert_eq!(outage.succeeded(now).is_some(), was_paused.is_some());
                        prop_assert_eq!(outage.pause_number(), None, "a success ends it");
                        (in_a_row, last) = (0, None);
                        continue;
                    }
                    Event::Fails(why) => (outage.failed_for_good(ticket, why, now, random), why),
                    Event::Probe(why) => {
                        if let Some(due) = outage.next_probe() {
                            now = now.max(due);
                        }
                        outage.probe_started(ticket, outage.wants_fresh());
                        let fate = outage.failed_for_good(ticket, why, now, random);
                        outage.attempt_failed(ticket, now, random);
                        (fate, why)
                    }
                };
                match (was_paused, fate) {
                    (Some(_), Fate::Policy) => {
                        prop_assert!(matches!(event, Event::Probe(_)));
                        prop_assert!(last.is_none_or(|last| now - last >= MINUTE), "too soon");
                        last = Some(now);
                    }
                    (Some(_), fate) => prop_assert_eq!(fate, Fate::Keep),
                    (None, fate) => {
                        in_a_row += u32::from(why == GivenUp::Exhausted);
                        let begins = why == GivenUp::Exhausted && in_a_row == limit;
                        prop_assert_eq!(fate, if begins { Fate::Pause } else { Fate::Policy });
                        if begins {
                            last = Some(now);
                        }
                    }
                }
            }
        }

        #[test]
        fn a_probe_is_due_within_the_longest_backoff_and_one_of_two_may_be_given_up(
            probes in 1..60u32, random in 0.0..1.0f64,
        ) {
            let (mut outage, mut now) = (outage(1), Instant::now());
            fail(&mut outage, 0, now);
            let mut given_up = now;
            for _ in 0..probes {
                let due = outage.next_probe().unwrap();
                prop_assert!(due >= now && due - now <= MINUTE);
                now = due;
                outage.probe_started(ticket(7), false);
                let fate = fail(&mut outage, 7, now);
                prop_assert_eq!(fate == Fate::Policy, now - given_up >= MINUTE, "it always moves");
                if fate == Fate::Policy {
                    given_up = now;
                }
                outage.attempt_failed(ticket(7), now, random);
            }
        }
    }
}
