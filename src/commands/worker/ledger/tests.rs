//! The ledger under random deliveries, completions, revokes and epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::record::Timestamp;

fn limits(jobs: usize) -> Limits {
    Limits { jobs, max_span: 50, queue_len: 40, queue_bytes: 1 << 20, count: None }
}

fn name(partition: i32) -> Name {
    ("t".into(), partition)
}

fn deliver(ledger: &mut Ledger, partition: i32, offset: i64, key: Option<u8>) {
    let key = key.map(|key| [key]);
    ledger.receive(RecordRef {
        topic: "t",
        partition,
        offset,
        timestamp: Timestamp::None,
        key: key.as_ref().map(|key| &key[..]),
        value: None,
        headers: &[],
    });
}

#[test]
fn a_ticket_of_an_ended_epoch_is_void() {
    let mut ledger = Ledger::new(Order::Key, limits(4));
    ledger.assign(&name(0), None, None);
    deliver(&mut ledger, 0, 7, None);
    let job = ledger.next(Instant::now()).unwrap();
    ledger.end(&name(0));
    ledger.assign(&name(0), None, None);
    deliver(&mut ledger, 0, 7, None);
    assert!(!ledger.finish(job.ticket, Outcome::Resolved));
    assert_eq!(ledger.store_list(), [("t".into(), 0, 7)]);
}

#[test]
fn a_retry_waits_for_its_time_and_holds_its_lane_only() {
    let mut ledger = Ledger::new(Order::Key, limits(4));
    ledger.assign(&name(0), None, None);
    for (offset, key) in [(0, 1), (1, 1), (2, 2)] {
        deliver(&mut ledger, 0, offset, Some(key));
    }
    let now = Instant::now();
    let first = ledger.next(now).unwrap();
    assert_eq!((first.ticket.offset, first.attempt), (0, 1));
    let due = now + Duration::from_secs(5);
    ledger.finish(first.ticket, Outcome::Retry(due));
    assert_eq!(ledger.next(now).unwrap().ticket.offset, 2);
    assert!(ledger.next(now).is_none());
    assert_eq!(ledger.next_retry(), Some(due));
    let again = ledger.next(due).unwrap();
    assert_eq!((again.ticket.offset, again.attempt), (0, 2));
}

#[test]
fn the_count_is_never_overshot_and_what_left_is_taken_again() {
    let mut ledger = Ledger::new(Order::None, Limits { count: Some(2), ..limits(9) });
    ledger.assign(&name(0), None, None);
    for offset in 0..5 {
        deliver(&mut ledger, 0, offset, None);
    }
    let now = Instant::now();
    let first = ledger.next(now).unwrap();
    let _second = ledger.next(now).unwrap();
    assert!(ledger.next(now).is_none());
    ledger.finish(first.ticket, Outcome::Resolved);
    assert!(ledger.next(now).is_none() && !ledger.is_complete());
    ledger.end(&name(0));
    ledger.assign(&name(0), None, None);
    deliver(&mut ledger, 0, 1, None);
    deliver(&mut ledger, 0, 2, None);
    let last = ledger.next(now).unwrap();
    assert!(ledger.next(now).is_none());
    ledger.finish(last.ticket, Outcome::Resolved);
    assert!(ledger.is_complete());
}

#[test]
fn an_end_is_exclusive_and_reached_without_its_last_record() {
    let mut ledger = Ledger::new(Order::Key, limits(4));
    ledger.assign(&name(0), Some(0), Some(5));
    ledger.assign(&name(1), Some(9), Some(9));
    deliver(&mut ledger, 0, 3, None);
    let job = ledger.next(Instant::now()).unwrap();
    assert!(!ledger.is_complete());
    // 4 is a transaction marker: it is never delivered, the end of the partition is.
    ledger.reach_end("t", 0, 5);
    deliver(&mut ledger, 0, 5, None);
    assert!(ledger.next(Instant::now()).is_none());
    ledger.finish(job.ticket, Outcome::Resolved);
    assert!(ledger.is_complete());
    assert_eq!(ledger.store_list(), [("t".into(), 0, 5)]);
}

#[test]
fn a_partition_that_can_take_no_more_is_paused_once_something_could_run_instead() {
    let mut ledger = Ledger::new(Order::None, limits(40));
    ledger.assign(&name(0), None, None);
    ledger.assign(&name(1), None, None);
    let (pause, resume) = ledger.flow(false);
    assert_eq!((pause.len(), resume.len()), (0, 2), "what was just assigned is resumed");
    for offset in 0..55 {
        deliver(&mut ledger, 0, offset, None);
    }
    assert!(ledger.is_full());
    assert_eq!(ledger.flow(false), (vec![], vec![]), "there is enough to run");
    let now = Instant::now();
    let jobs: Vec<Job> = std::iter::from_fn(|| ledger.next(now)).collect();
    assert_eq!(jobs.len(), 40);
    for job in &jobs[1..] {
        ledger.finish(job.ticket, Outcome::Resolved);
    }
    assert_eq!(ledger.flow(false), (vec![], vec![]), "there is something to run");
    while let Some(job) = ledger.next(now) {
        ledger.finish(job.ticket, Outcome::Resolved);
    }
    // All but the first are done: its span is as wide as it may be, and nothing else is there.
    assert_eq!(ledger.queued(), 5, "parked");
    assert_eq!(ledger.flow(false), (vec![(name(0), Some(50))], vec![]), "to be read again from there");
    assert_eq!(ledger.queued(), 0);
    assert_eq!(ledger.flow(false), (vec![], vec![]), "its span is still wide");
    ledger.finish(jobs[0].ticket, Outcome::Resolved);
    assert_eq!(ledger.flow(false), (vec![], vec![name(0)]));
    for offset in 50..55 {
        deliver(&mut ledger, 0, offset, None);
        assert_eq!(ledger.next(now).map(|job| job.ticket.offset), Some(offset));
    }
}

#[test]
fn all_are_paused_where_the_queue_stays_full() {
    let mut ledger = Ledger::new(Order::None, limits(40));
    ledger.assign(&name(0), None, None);
    for offset in 0..41 {
        deliver(&mut ledger, 0, offset, None);
    }
    assert_eq!(ledger.flow(true), (vec![(name(0), Some(40))], vec![]));
    assert_eq!(ledger.flow(false), (vec![], vec![]), "until it is down to a quarter");
}

#[test]
fn lag_is_counted_from_the_first_record_that_is_not_done() {
    let mut ledger = Ledger::new(Order::None, limits(40));
    let lag = |ledger: &Ledger| ledger.sights().iter().map(|sight| sight.lag).collect::<Vec<_>>();
    ledger.assign(&name(0), Some(10), None);
    ledger.assign(&name(1), None, None);
    assert_eq!(lag(&ledger), [None, None], "no end is known");
    ledger.see_end(&name(0), 15);
    ledger.see_end(&name(1), 3);
    assert_eq!(lag(&ledger), [Some(5), None], "the other's beginning is not known");
    deliver(&mut ledger, 0, 10, None);
    deliver(&mut ledger, 0, 11, None);
    let now = Instant::now();
    let jobs = [ledger.next(now).unwrap(), ledger.next(now).unwrap()];
    assert_eq!(ledger.oldest_start(), Some(now));
    ledger.finish(jobs[1].ticket, Outcome::Resolved);
    assert_eq!((lag(&ledger)[0], ledger.sights()[0].span), (Some(5), 2));
    ledger.finish(jobs[0].ticket, Outcome::Resolved);
    assert_eq!((lag(&ledger)[0], ledger.sights()[0].span), (Some(3), 0));
    assert_eq!(ledger.oldest_start(), None);
}

/// What can happen to a worker.
#[derive(Clone, Debug)]
enum Step {
    /// The next record of a partition, this far after the last, with a key.
    Deliver(i32, i64, Option<u8>),
    Start,
    /// The running job at this place ends so.
    Finish(usize, Ending),
    Revoke(i32),
    Assign(i32),
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Resolve,
    Retry(u64),
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    let ending = prop_oneof![
        6 => Just(Ending::Resolve),
        2 => (0..50u64).prop_map(Ending::Retry),
        1 => Just(Ending::Abandon),
    ];
    prop_oneof![
        20 => (0..3i32, 1..4i64, prop::option::of(0..3u8)).prop_map(|(p, jump, key)| Step::Deliver(p, jump, key)),
        15 => Just(Step::Start),
        15 => (any::<usize>(), ending).prop_map(|(at, ending)| Step::Finish(at, ending)),
        1 => (0..3i32).prop_map(Step::Revoke),
        2 => (0..3i32).prop_map(Step::Assign),
        3 => (0..60u64).prop_map(Step::Pass),
    ]
}

/// What is known of an assigned partition from outside.
#[derive(Default)]
struct Known {
    delivered: BTreeMap<i64, Option<u8>>,
    resolved: BTreeSet<i64>,
    stored: Option<i64>,
}

proptest! {
    #[test]
    fn what_is_stored_is_done_and_keys_stay_in_order(
        jobs in 1..6usize,
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut ledger = Ledger::new(Order::Key, limits(jobs));
        let mut known: BTreeMap<i32, Known> = BTreeMap::new();
        let mut next_offset = [0i64; 3];
        let mut running: Vec<Job> = Vec::new();
        let mut now = Instant::now();
        for step in steps {
            match step {
                Step::Deliver(partition, jump, key) => {
                    let offset = next_offset[partition as usize] + jump - 1;
                    next_offset[partition as usize] = offset + 1;
                    deliver(&mut ledger, partition, offset, key);
                    if let Some(known) = known.get_mut(&partition) {
                        known.delivered.insert(offset, key);
                    }
                }
                Step::Start => {
                    let Some(job) = ledger.next(now) else { continue };
                    let (partition, offset) = (job.record.partition, job.ticket.offset);
                    let known = &known[&partition];
                    prop_assert!(!known.resolved.contains(&offset), "it runs once it is done");
                    if let Some(key) = known.delivered[&offset] {
                        let earlier = known.delivered.range(..offset).filter(|(_, k)| **k == Some(key));
                        for (before, _) in earlier {
                            prop_assert!(known.resolved.contains(before), "{before} of the key comes first");
                        }
                    }
                    running.push(job);
                    prop_assert!(ledger.running() <= jobs);
                }
                Step::Finish(at, ending) if !running.is_empty() => {
                    let job = running.remove(at % running.len());
                    let outcome = match ending {
                        Ending::Resolve => Outcome::Resolved,
                        Ending::Retry(ms) => Outcome::Retry(now + Duration::from_millis(ms)),
                        Ending::Abandon => Outcome::Abandoned,
                    };
                    let live = ledger.is_live(job.ticket);
                    prop_assert_eq!(ledger.finish(job.ticket, outcome), live);
                    if live && matches!(ending, Ending::Resolve) {
                        known.get_mut(&job.record.partition).unwrap().resolved.insert(job.ticket.offset);
                    }
                }
                Step::Finish(..) => {}
                Step::Revoke(partition) => {
                    ledger.drain(&name(partition));
                    ledger.end(&name(partition));
                    known.remove(&partition);
                }
                Step::Assign(partition) => {
                    if let std::collections::btree_map::Entry::Vacant(slot) = known.entry(partition) {
                        ledger.assign(&name(partition), None, None);
                        slot.insert(Known::default());
                    }
                }
                Step::Pass(ms) => now += Duration::from_millis(ms),
            }
            for (_, partition, offset) in ledger.store_list() {
                let known = known.get_mut(&partition);
                prop_assert!(known.is_some(), "stored for an epoch that ended");
                let known = known.unwrap();
                prop_assert!(Some(offset) > known.stored, "went back");
                for unresolved in known.delivered.keys().filter(|offset| !known.resolved.contains(offset)) {
                    prop_assert!(offset <= *unresolved, "{offset} is past {unresolved}, which is not done");
                }
                known.stored = Some(offset);
            }
        }
        // Whatever is left can be brought to its end: nothing is forgotten, no lane hangs.
        ledger.limits.jobs = usize::MAX;
        now += Duration::from_hours(1);
        loop {
            running.extend(std::iter::from_fn(|| ledger.next(now)));
            let Some(job) = running.pop() else { break };
            ledger.finish(job.ticket, Outcome::Resolved);
        }
        prop_assert_eq!(ledger.running(), 0);
    }
}
