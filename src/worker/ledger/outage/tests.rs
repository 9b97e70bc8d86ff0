//! What begins a pause, what is tried while it lasts, what is given up.

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

fn nothing_runs(_: Ticket) -> bool {
    false
}

fn start_probe(outage: &mut Outage, ticket: Ticket, is_fresh: bool, now: Instant) {
    outage.probe_started(ticket, is_fresh, now, nothing_runs);
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
        let due = outage.next_probe(nothing_runs).unwrap();
        waits.push(due.duration_since(now).as_secs());
        now = due;
        start_probe(&mut outage, ticket(probe), true, now);
        outage.attempt_failed(ticket(probe + 100), now, 1.0);
        assert_eq!(outage.next_probe(nothing_runs), Some(due), "that was another record");
        outage.attempt_failed(ticket(probe), now, 1.0);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let standing = outage.standing(now).unwrap();
    assert_eq!(standing, Standing { lasts: now.duration_since(start), failed_probes: 9 });
}

#[test]
fn a_probe_that_runs_holds_the_next_one_back_no_longer_than_the_longest_backoff() {
    let (mut outage, start) = (outage(1), Instant::now());
    fail(&mut outage, 0, start);
    let runs = |probe: Ticket| probe.offset < 3;
    for probe in 1..3 {
        let now = start + MINUTE * probe;
        outage.probe_started(ticket(probe.into()), true, now, runs);
        assert_eq!(outage.next_probe(runs), Some(now + MINUTE));
    }
    // The older one is a probe all the same.
    let now = start + 3 * MINUTE;
    outage.attempt_failed(ticket(1), now, 1.0);
    assert_eq!(outage.standing(now).unwrap().failed_probes, 1);
    assert_eq!(fail(&mut outage, 1, now), Fate::Policy);
    assert_eq!(outage.given_up(), Some(ticket(1)));
    assert_eq!(outage.next_probe(nothing_runs), Some(now + 2 * SECOND));
}

#[test]
fn every_second_probe_is_at_a_record_that_has_not_failed_yet() {
    let (mut outage, now) = (outage(1), Instant::now());
    fail(&mut outage, 0, now);
    assert!(outage.wants_fresh());
    start_probe(&mut outage, ticket(1), true, now);
    assert!(!outage.wants_fresh());
    start_probe(&mut outage, ticket(0), false, now);
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
                    if let Some(due) = outage.next_probe(nothing_runs) {
                        now = now.max(due);
                    }
                    let is_fresh = outage.wants_fresh();
                    start_probe(&mut outage, ticket, is_fresh, now);
                    outage.attempt_failed(ticket, now, random);
                    (outage.failed_for_good(ticket, why, now, random), why)
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
            let due = outage.next_probe(nothing_runs).unwrap();
            prop_assert!(due >= now && due - now <= MINUTE);
            now = due;
            start_probe(&mut outage, ticket(7), false, now);
            outage.attempt_failed(ticket(7), now, random);
            let fate = fail(&mut outage, 7, now);
            prop_assert_eq!(fate == Fate::Policy, now - given_up >= MINUTE, "it always moves");
            if fate == Fate::Policy {
                given_up = now;
            }
        }
    }
}
