//! Records that wait for their time, and starts that wait for the rate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::record::{RecordRef, Timestamp, TopicPartition};
use crate::worker::lanes::Order;
use crate::worker::ledger::{Capacity, Job, Ledger, Outcome};

const SECOND: Duration = Duration::from_secs(1);

fn limits(jobs: usize) -> Capacity {
    Capacity { jobs, max_span: 500, queue_len: 400, queue_bytes: 1 << 20, count: None }
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// A ledger that has partition 0, up to this offset.
fn ledger(order: Order, until: Option<i64>) -> Ledger {
    let mut ledger = Ledger::new(order, limits(4));
    ledger.assign(&name(0), Some(0), until);
    ledger
}

/// Delivers a record of partition 0 that waits until then.
fn deliver(ledger: &mut Ledger, offset: i64, key: u8, due: impl Into<Option<Instant>>) {
    let key = [key];
    let record = RecordRef {
        topic: "t",
        partition: 0,
        offset,
        leader_epoch: None,
        timestamp: Timestamp::None,
        key: Some(&key),
        value: None,
        headers: &[],
    };
    match due.into() {
        Some(due) => ledger.receive_delayed(record, due),
        None => ledger.receive(record),
    }
}

/// Takes what may run now.
fn take(ledger: &mut Ledger, now: Instant) -> Vec<Job> {
    std::iter::from_fn(|| ledger.next(now)).collect()
}

/// Runs what may run now; gives the offsets.
fn run(ledger: &mut Ledger, now: Instant) -> Vec<i64> {
    let mut offsets = Vec::new();
    while let Some(job) = ledger.next(now) {
        offsets.push(job.ticket.offset);
        ledger.finish(job.ticket, Outcome::Resolved);
    }
    offsets
}

#[test]
fn a_delayed_record_runs_when_it_is_due_and_waits_for_no_other_key() {
    let (mut ledger, now) = (ledger(Order::Key, Some(3)), Instant::now());
    deliver(&mut ledger, 0, 1, now + 10 * SECOND);
    deliver(&mut ledger, 1, 2, now + 3 * SECOND);
    deliver(&mut ledger, 2, 3, None);
    assert_eq!(run(&mut ledger, now), [2]);
    assert_eq!((ledger.queued(), ledger.next_due()), (2, Some(now + 3 * SECOND)));
    assert!(!ledger.is_idle() && !ledger.is_complete());
    assert_eq!(run(&mut ledger, now + 2 * SECOND), [] as [i64; 0]);
    assert_eq!(run(&mut ledger, now + 3 * SECOND), [1]);
    assert_eq!(ledger.store_list(), [(name(0), 0)], "the first still waits");
    assert_eq!(run(&mut ledger, now + 10 * SECOND), [0]);
    assert_eq!((ledger.queued(), ledger.next_due(), ledger.is_complete()), (0, None, true));
    assert_eq!(ledger.store_list(), [(name(0), 3)]);
}

#[test]
fn records_of_a_lane_keep_their_order_whatever_their_times_are() {
    let (mut ledger, now) = (ledger(Order::Key, None), Instant::now());
    deliver(&mut ledger, 0, 1, now + 5 * SECOND);
    deliver(&mut ledger, 1, 1, now + SECOND);
    deliver(&mut ledger, 2, 1, now + 9 * SECOND);
    deliver(&mut ledger, 3, 1, None);
    assert_eq!(run(&mut ledger, now + 4 * SECOND), [] as [i64; 0]);
    assert_eq!(run(&mut ledger, now + 5 * SECOND), [0, 1]);
    assert_eq!(run(&mut ledger, now + 9 * SECOND), [2, 3]);
}

#[test]
fn a_retry_waits_for_its_backoff_and_for_no_delay() {
    let (mut ledger, now) = (ledger(Order::Key, None), Instant::now());
    deliver(&mut ledger, 0, 1, now + SECOND);
    let job = ledger.next(now + SECOND).unwrap();
    assert_eq!(job.attempt, 1);
    ledger.finish(job.ticket, Outcome::Retry(now + 2 * SECOND));
    assert!(ledger.next(now + SECOND).is_none());
    assert_eq!(ledger.next(now + 2 * SECOND).unwrap().attempt, 2);
}

#[test]
fn a_partition_is_paused_while_the_next_is_not_due_soon() {
    let (mut ledger, now) = (ledger(Order::Key, None), Instant::now());
    let flow = |ledger: &mut Ledger, now: Instant| {
        ledger.look_ahead(now);
        ledger.flow(false)
    };
    assert_eq!(flow(&mut ledger, now), (vec![], vec![name(0)]));
    deliver(&mut ledger, 0, 1, now + 5 * SECOND);
    assert_eq!(flow(&mut ledger, now), (vec![], vec![]), "it is due soon");
    deliver(&mut ledger, 1, 2, now + 20 * SECOND);
    assert_eq!(run(&mut ledger, now + 5 * SECOND), [0]);
    assert_eq!(flow(&mut ledger, now + 5 * SECOND), (vec![(name(0), None)], vec![]));
    assert_eq!(flow(&mut ledger, now + 14 * SECOND), (vec![], vec![]));
    assert!(ledger.behind().is_empty(), "nothing is expected of it");
    assert_eq!(flow(&mut ledger, now + 15 * SECOND), (vec![], vec![name(0)]));
    assert_eq!(run(&mut ledger, now + 20 * SECOND), [1]);
}

#[test]
fn a_queue_full_of_delayed_records_pauses_and_is_read_on_from_there() {
    let (mut ledger, now) = (ledger(Order::Key, None), Instant::now());
    ledger.flow(false);
    for offset in 0..410 {
        deliver(&mut ledger, offset, offset as u8, now + SECOND);
    }
    assert!(take(&mut ledger, now).is_empty() && ledger.is_full());
    ledger.look_ahead(now);
    assert_eq!(ledger.flow(false), (vec![(name(0), Some(400))], vec![]));
    while !run(&mut ledger, now + SECOND).is_empty() {}
    ledger.look_ahead(now + SECOND);
    assert_eq!(ledger.flow(false), (vec![], vec![name(0)]));
}

#[test]
fn what_waits_leaves_with_its_partition_and_is_not_started_after_a_stop() {
    let (mut ledger, now) = (ledger(Order::Key, None), Instant::now());
    deliver(&mut ledger, 0, 1, now + SECOND);
    deliver(&mut ledger, 1, 1, now + SECOND);
    assert!(take(&mut ledger, now).is_empty());
    ledger.drain(&name(0));
    assert_eq!((ledger.queued(), ledger.next_due()), (0, None));
    ledger.end(&name(0));
    ledger.assign(&name(0), Some(0), None);
    ledger.look_ahead(now);
    assert_eq!(ledger.flow(false), (vec![], vec![name(0)]), "nothing of it waits any more");
    deliver(&mut ledger, 0, 1, now + SECOND);
    assert!(take(&mut ledger, now).is_empty());
    ledger.stop();
    assert!(ledger.is_idle() && ledger.next_due().is_none() && ledger.next(now + SECOND).is_none());
}

#[test]
fn starts_wait_for_the_rate_and_their_records_leave_meanwhile() {
    let now = Instant::now();
    let mut ledger = ledger(Order::Key, None).at_most(Some("4/s".parse().unwrap()));
    for offset in 0..6 {
        deliver(&mut ledger, offset, offset as u8, None);
    }
    let first = take(&mut ledger, now);
    assert_eq!(first.len(), 1);
    let quarter = now + SECOND / 4;
    assert_eq!(ledger.next_due(), Some(quarter));
    // A retry is a start too.
    ledger.finish(first[0].ticket, Outcome::Retry(now));
    assert_eq!(ledger.next_due(), Some(now), "the retry is due");
    assert!(ledger.next(now).is_none());
    assert_eq!(ledger.next_due(), Some(quarter));
    let second = ledger.next(quarter).unwrap();
    assert_eq!((second.ticket.offset, second.attempt), (0, 2));
    assert!(ledger.next(quarter).is_none());
    assert_eq!(ledger.running(), 1, "what waits for the rate runs not");
    ledger.drain(&name(0));
    assert!(ledger.next(now + SECOND).is_none());
    assert_eq!((ledger.queued(), ledger.next_due()), (0, None));
}

#[test]
fn who_has_no_room_to_run_more_waits_for_a_completion_and_for_no_time() {
    let now = Instant::now();
    let mut ledger = ledger(Order::Key, None).at_most(Some("1000/s".parse().unwrap()));
    for offset in 0..9 {
        deliver(&mut ledger, offset, offset as u8, None);
    }
    assert_eq!((take(&mut ledger, now).len(), ledger.next_due()), (4, None));
}

#[test]
fn the_last_is_given_out_once_nothing_waits_for_anything() {
    let (mut ledger, now) = (ledger(Order::Key, Some(3)), Instant::now());
    let is_last = |ledger: &Ledger| ledger.is_last_given_out();
    assert!(!is_last(&ledger), "nothing runs");
    deliver(&mut ledger, 0, 1, None);
    let first = ledger.next(now).unwrap();
    assert!(!is_last(&ledger), "more is to come");
    deliver(&mut ledger, 1, 1, None);
    deliver(&mut ledger, 2, 2, None);
    assert_eq!(take(&mut ledger, now).len(), 1);
    assert!(!is_last(&ledger), "one waits for its lane");
    ledger.finish(first.ticket, Outcome::Resolved);
    let second = ledger.next(now).unwrap();
    assert!(is_last(&ledger));
    ledger.finish(second.ticket, Outcome::Retry(now + SECOND));
    assert!(!is_last(&ledger), "one waits for its retry");
    ledger.next(now + SECOND).unwrap();
    assert!(is_last(&ledger));
}

#[test]
fn the_last_of_a_count_is_given_out_with_more_behind_it_and_at_a_stop_any_is_the_last() {
    let now = Instant::now();
    let mut ledger = Ledger::new(Order::None, Capacity { count: Some(2), ..limits(4) });
    ledger.assign(&name(0), Some(0), None);
    for offset in 0..5 {
        deliver(&mut ledger, offset, 1, None);
    }
    assert_eq!(take(&mut ledger, now).len(), 2);
    assert!(ledger.is_last_given_out());
    let mut ledger = self::ledger(Order::Partition, None);
    for offset in 0..5 {
        deliver(&mut ledger, offset, 1, None);
    }
    assert_eq!(take(&mut ledger, now).len(), 1);
    assert!(!ledger.is_last_given_out());
    ledger.stop();
    assert!(ledger.is_last_given_out());
}

#[test]
fn where_nothing_came_for_long_what_runs_is_the_last() {
    let mut ledger = ledger(Order::Key, None);
    deliver(&mut ledger, 0, 1, None);
    let job = ledger.next(Instant::now()).unwrap();
    assert!(!ledger.is_last_given_out());
    assert!(ledger.note_quiet(true) && !ledger.note_quiet(true), "said once");
    assert!(ledger.is_last_given_out());
    ledger.finish(job.ticket, Outcome::Resolved);
    assert!(!ledger.is_last_given_out() && !ledger.note_quiet(false));
}

proptest! {
    #[test]
    fn each_record_runs_once_not_before_its_time_and_those_of_a_key_in_order(
        records in prop::collection::vec((0..4u8, prop::option::of(0..40u64)), 1..60),
        steps in prop::collection::vec((0..3000u64, any::<bool>()), 1..80),
        rate in prop::option::of(1..50u32),
    ) {
        let begin = Instant::now();
        let rate = rate.map(|rate| format!("{rate}/s").parse().unwrap());
        let mut ledger = ledger(Order::Key, Some(records.len() as i64)).at_most(rate);
        let mut now = begin;
        let mut to_come = records.iter().zip(0..);
        let mut due = BTreeMap::new();
        let mut ran: Vec<i64> = Vec::new();
        for (ms, comes) in steps {
            now += Duration::from_millis(ms);
            if comes && let Some(((key, delay), offset)) = to_come.next() {
                let at = delay.map(|seconds| now + SECOND * seconds as u32);
                due.insert(offset, at);
                deliver(&mut ledger, offset, *key, at);
            }
            if let Some(job) = ledger.next(now) {
                prop_assert!(due[&job.ticket.offset].is_none_or(|due| due <= now));
                ledger.finish(job.ticket, Outcome::Resolved);
                ran.push(job.ticket.offset);
            }
        }
        for ((key, delay), offset) in to_come {
            deliver(&mut ledger, offset, *key, delay.map(|seconds| now + SECOND * seconds as u32));
        }
        // Who sleeps until `next_due` misses nothing.
        while !ledger.is_complete() {
            if let Some(job) = ledger.next(now) {
                ledger.finish(job.ticket, Outcome::Resolved);
                ran.push(job.ticket.offset);
                continue;
            }
            let due = ledger.next_due();
            prop_assert!(due.is_some_and(|due| due > now), "{:?} at {:?}", due, now);
            now = due.unwrap();
        }
        for key in 0..4 {
            let of_key: Vec<_> = ran.iter().filter(|offset| records[**offset as usize].0 == key).collect();
            prop_assert!(of_key.is_sorted());
        }
        ran.sort_unstable();
        prop_assert_eq!(ran, (0..records.len() as i64).collect::<Vec<_>>());
        prop_assert_eq!(ledger.store_list(), [(name(0), records.len() as i64)]);
    }
}
