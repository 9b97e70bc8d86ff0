//! The ledger under random deliveries, completions, revokes and epochs.

mod batch_waits;
mod batches;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::record::Timestamp;

fn limits(jobs: usize) -> Capacity {
    Capacity { jobs, max_span: 50, queue_len: 40, queue_bytes: 1 << 20, count: None }
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn deliver(ledger: &mut Ledger, partition: i32, offset: i64, key: Option<u8>) {
    let key = key.map(|key| [key]);
    ledger.receive(RecordRef {
        topic: "t",
        partition,
        offset,
        leader_epoch: None,
        timestamp: Timestamp::None,
        key: key.as_ref().map(|key| &key[..]),
        value: None,
        headers: &[],
    });
}

/// Delivers a record that a filter keeps from the commands.
fn pass(ledger: &mut Ledger, offset: i64) {
    let timestamp = Timestamp::None;
    let record = RecordRef {
        topic: "t",
        partition: 0,
        offset,
        leader_epoch: None,
        timestamp,
        key: None,
        value: None,
        headers: &[],
    };
    ledger.pass(&record);
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
    assert_eq!(ledger.store_list(), [(name(0), 7)]);
}

#[test]
fn a_filtered_record_runs_nothing_is_committed_past_and_does_not_count() {
    let mut ledger = Ledger::new(Order::Key, Capacity { count: Some(2), ..limits(4) });
    ledger.assign(&name(0), None, None);
    pass(&mut ledger, 0);
    deliver(&mut ledger, 0, 1, None);
    pass(&mut ledger, 2);
    assert_eq!((ledger.filtered(), ledger.store_list()), (2, vec![(name(0), 1)]));
    let first = ledger.next(Instant::now()).unwrap();
    assert_eq!(first.ticket.offset, 1);
    assert!(ledger.next(Instant::now()).is_none());
    ledger.finish(first.ticket, Outcome::Resolved);
    assert_eq!(ledger.store_list(), [(name(0), 3)]);
    assert!(!ledger.is_complete(), "one of two is done");
    deliver(&mut ledger, 0, 3, None);
    let second = ledger.next(Instant::now()).unwrap();
    ledger.finish(second.ticket, Outcome::Resolved);
    assert!(ledger.is_complete());
}

#[test]
fn a_filtered_record_waits_behind_what_is_parked_and_is_dropped_with_it() {
    let mut ledger = Ledger::new(Order::Key, Capacity { max_span: 2, ..limits(1) });
    ledger.assign(&name(0), None, None);
    for offset in 0..3 {
        deliver(&mut ledger, 0, offset, None);
    }
    pass(&mut ledger, 3);
    assert_eq!((ledger.filtered(), ledger.queued()), (0, 4));
    let first = ledger.next(Instant::now()).unwrap();
    ledger.finish(first.ticket, Outcome::Resolved);
    assert_eq!(ledger.filtered(), 0, "2 was taken, and the span is reached again");
    let (paused, _) = ledger.flow(true);
    assert_eq!(paused, [(name(0), Some(3))], "it is to be read again");
    pass(&mut ledger, 3);
    let second = ledger.next(Instant::now()).unwrap();
    ledger.finish(second.ticket, Outcome::Resolved);
    assert_eq!(ledger.filtered(), 1);
}

#[test]
fn the_last_record_before_the_end_may_be_a_filtered_one() {
    let mut ledger = Ledger::new(Order::Key, limits(1));
    ledger.assign(&name(0), Some(0), Some(2));
    pass(&mut ledger, 0);
    assert!(!ledger.is_complete());
    pass(&mut ledger, 1);
    assert!(ledger.is_complete());
    assert_eq!((ledger.filtered(), ledger.store_list()), (2, vec![(name(0), 2)]));
}

#[test]
fn what_is_given_up_runs_no_more_and_is_never_committed_past() {
    let mut ledger = Ledger::new(Order::Key, limits(4));
    ledger.assign(&name(0), None, None);
    ledger.assign(&name(1), None, None);
    for offset in 0..3 {
        deliver(&mut ledger, 0, offset, None);
    }
    deliver(&mut ledger, 1, 9, None);
    let now = Instant::now();
    let jobs: Vec<Job> = std::iter::from_fn(|| ledger.next(now)).collect();
    let of_first = |offset| jobs.iter().find(|job| job.ticket.offset == offset).unwrap().ticket;
    ledger.finish(of_first(0), Outcome::Resolved);
    assert_eq!(ledger.abandon(&[name(0)]), [(name(0), 1), (name(0), 2)]);
    assert_eq!((ledger.running_of(&[name(0)]), ledger.running()), (0, 1));
    assert!(!ledger.is_live(of_first(1)) && !ledger.finish(of_first(1), Outcome::Resolved));
    assert!(ledger.store_list().contains(&(name(0), 1)));
    ledger.finish(of_first(9), Outcome::Resolved);
    ledger.end(&name(0));
    assert_eq!(ledger.running(), 0);
    assert_eq!(ledger.store_list(), [(name(1), 10)]);
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
    let mut ledger = Ledger::new(Order::None, Capacity { count: Some(2), ..limits(9) });
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
    assert_eq!(ledger.store_list(), [(name(0), 5)]);
}

#[test]
fn an_end_behind_what_is_parked_counts_once_that_is_done_and_not_if_it_is_dropped() {
    let mut ledger = Ledger::new(Order::None, Capacity { max_span: 1, ..limits(1) });
    for round in 0..2 {
        ledger.assign(&name(0), Some(0), Some(3));
        deliver(&mut ledger, 0, 0, None);
        deliver(&mut ledger, 0, 1, None);
        // A marker has offset 2.
        ledger.reach_end("t", 0, 3);
        let first = ledger.next(Instant::now()).unwrap();
        if round == 0 {
            ledger.drain(&name(0));
            ledger.finish(first.ticket, Outcome::Resolved);
            assert_eq!(ledger.store_list(), [(name(0), 1)], "1 was dropped");
            continue;
        }
        ledger.finish(first.ticket, Outcome::Resolved);
        assert!(!ledger.is_complete());
        let second = ledger.next(Instant::now()).unwrap();
        ledger.finish(second.ticket, Outcome::Resolved);
        assert_eq!(ledger.store_list(), [(name(0), 3)]);
        assert!(ledger.is_complete());
    }
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
    let lag = |ledger: &Ledger| ledger.partitions().iter().map(|status| status.lag).collect::<Vec<_>>();
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
    assert_eq!((lag(&ledger)[0], ledger.partitions()[0].span), (Some(5), 2));
    ledger.finish(jobs[0].ticket, Outcome::Resolved);
    assert_eq!((lag(&ledger)[0], ledger.partitions()[0].span), (Some(3), 0));
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
            for (TopicPartition { partition, .. }, offset) in ledger.store_list() {
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

/// One partition of a cluster, and a client's place in it.
#[derive(Clone, Debug)]
struct Log {
    /// Whether a record has this offset: a marker or what compaction took has none.
    offsets: Vec<bool>,
    position: usize,
    /// The end that the client has told of.
    told: Option<usize>,
    paused: bool,
}

impl Log {
    /// What a client does next in a turn: hands out the next record, or tells of the end, once.
    fn give(&mut self, ledger: &mut Ledger, partition: i32, key: Option<u8>) {
        let Some(ahead) = self.offsets[self.position..].iter().position(|&is_record| is_record) else {
            self.position = self.offsets.len();
            if self.told.replace(self.position) != Some(self.position) {
                ledger.reach_end("t", partition, self.position as i64);
            }
            return;
        };
        deliver(ledger, partition, (self.position + ahead) as i64, key);
        self.position += ahead + 1;
    }
}

proptest! {
    #[test]
    fn every_record_before_the_end_is_done_however_the_client_is_paused(
        lengths in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.8), 0..80), 1..3),
        grown in prop::collection::vec(any::<bool>(), 0..40),
        keys in prop::collection::vec(prop::option::of(0..2u8), 1..9),
        picks in prop::collection::vec(any::<usize>(), 600),
        (jobs, max_span, queue_len) in (1..5usize, 1..30u64, 1..40usize),
        order in prop_oneof![Just(Order::Key), Just(Order::Partition), Just(Order::None)],
    ) {
        let limits = Capacity { jobs, max_span, queue_len, queue_bytes: 1 << 20, count: None };
        let mut ledger = Ledger::new(order, limits);
        let mut logs = vec![];
        for (partition, offsets) in lengths.iter().enumerate() {
            ledger.assign(&name(partition as i32), Some(0), Some(offsets.len() as i64));
            // More comes behind the end that was asked for.
            let offsets = [&offsets[..], &grown].concat();
            logs.push(Log { offsets, position: 0, told: None, paused: false });
        }
        let mut done: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); logs.len()];
        let mut running: Vec<Job> = vec![];
        let now = Instant::now();
        // Then on until nothing moves.
        let to_the_end = (0..20_000).map(|i| i * 7919 + i / 3);
        for pick in picks.into_iter().chain(to_the_end) {
            if ledger.is_complete() {
                break;
            }
            let partition = (pick / 8) % logs.len();
            match pick % 8 {
                0..3 if !logs[partition].paused => {
                    let key = keys[logs[partition].position % keys.len()];
                    logs[partition].give(&mut ledger, partition as i32, key);
                }
                3..5 => running.extend(ledger.next(now)),
                5 | 6 if !running.is_empty() => {
                    let job = running.remove((pick / 8) % running.len());
                    ledger.finish(job.ticket, Outcome::Resolved);
                    done[job.record.partition as usize].insert(job.ticket.offset as usize);
                }
                7 => {
                    let (pause, resume) = ledger.flow(false);
                    for (TopicPartition { partition, .. }, next) in pause {
                        let log = &mut logs[partition as usize];
                        log.paused = true;
                        log.position = next.map_or(log.position, |next| next as usize);
                    }
                    for TopicPartition { partition, .. } in resume {
                        // A client that was paused reports the end again.
                        logs[partition as usize].paused = false;
                        logs[partition as usize].told = None;
                    }
                }
                _ => {}
            }
        }
        prop_assert!(ledger.is_complete(), "it hangs");
        for (offsets, done) in lengths.iter().zip(&done) {
            let wanted: BTreeSet<usize> =
                offsets.iter().enumerate().filter_map(|(i, &is_record)| is_record.then_some(i)).collect();
            prop_assert_eq!(&wanted, done);
        }
    }
}

/// In each partition.
const RECORDS: i64 = 150;

proptest! {
    #[test]
    fn no_partitions_that_are_stuck_keep_another_from_being_read(
        partitions in 2..7i32,
        mut stuck in prop::collection::btree_set(0..7i32, 1..7),
        retries in any::<bool>(),
        // A quarter has a place for each.
        queue_len in 28..200usize,
        at_once in 1..40usize,
        order in prop_oneof![Just(Order::Key), Just(Order::Partition)],
    ) {
        stuck.retain(|partition| *partition < partitions);
        prop_assume!(stuck.len() < partitions as usize);
        let limits =
            Capacity { jobs: stuck.len() + 1, max_span: 10_000, queue_len, queue_bytes: 1 << 20, count: None };
        let mut ledger = Ledger::new(order, limits);
        for partition in 0..partitions {
            ledger.assign(&name(partition), Some(0), Some(RECORDS));
        }
        let mut position = vec![0; partitions as usize];
        let mut paused = vec![false; partitions as usize];
        let mut done = vec![0; partitions as usize];
        let now = Instant::now();
        // Where nothing is held up, each turn reads something or finishes something.
        for _ in 0..4 * RECORDS * i64::from(partitions) {
            // The queue has been full for long, wherever it is.
            let (pause, resume) = ledger.flow(ledger.is_full());
            for (TopicPartition { partition, .. }, next) in pause {
                paused[partition as usize] = true;
                position[partition as usize] = next.unwrap_or(position[partition as usize]);
            }
            for TopicPartition { partition, .. } in resume {
                paused[partition as usize] = false;
            }
            for partition in 0..partitions {
                let at = partition as usize;
                for _ in 0..at_once {
                    if !paused[at] && !ledger.is_full() && position[at] < RECORDS {
                        deliver(&mut ledger, partition, position[at], Some(0));
                        position[at] += 1;
                    }
                }
            }
            prop_assert!(ledger.queued.records <= queue_len.max(64 * partitions as usize));
            while let Some(job) = ledger.next(now) {
                let at = job.record.partition as usize;
                if !stuck.contains(&job.record.partition) {
                    ledger.finish(job.ticket, Outcome::Resolved);
                    done[at] += 1;
                } else if retries {
                    ledger.finish(job.ticket, Outcome::Retry(now + Duration::from_hours(1)));
                }
            }
            if done.iter().sum::<i64>() == RECORDS * (i64::from(partitions) - stuck.len() as i64) {
                break;
            }
        }
        for partition in (0..partitions).filter(|partition| !stuck.contains(partition)) {
            prop_assert_eq!(done[partition as usize], RECORDS, "partition {} beside {:?}", partition, stuck);
        }
    }
}

#[test]
fn records_before_a_start_past_the_end_are_not_taken_nor_committed() {
    let mut ledger = Ledger::new(Order::Key, limits(4));
    let start = Found {
        at: Some(10),
        first: Some(12),
        limit: crate::reading::position::Limit::None,
        until_time: None,
        high: Some(10),
        verdict: None,
    };
    ledger.begin(&name(0), &start);
    ledger.reach_end("t", 0, 10);
    deliver(&mut ledger, 0, 10, None);
    deliver(&mut ledger, 0, 11, None);
    assert_eq!((ledger.queued(), ledger.store_list()), (0, vec![]));
    deliver(&mut ledger, 0, 12, None);
    assert_eq!(ledger.next(Instant::now()).unwrap().ticket.offset, 12);
}

#[test]
fn a_partition_is_behind_until_its_end_came() {
    let mut ledger = Ledger::new(Order::Key, limits(4));
    ledger.assign(&name(0), Some(3), None);
    let behind = |ledger: &Ledger| ledger.behind().into_iter().map(|(_, to)| to).collect::<Vec<_>>();
    assert_eq!(behind(&ledger), [Some(3)]);
    deliver(&mut ledger, 0, 3, None);
    assert_eq!(behind(&ledger), [Some(4)]);
    ledger.reach_end("t", 0, 6);
    assert_eq!(behind(&ledger), []);
    deliver(&mut ledger, 0, 6, None);
    assert_eq!(behind(&ledger), [Some(7)]);
}

#[test]
fn a_time_that_is_to_come_ends_a_partition_once_it_has_passed_and_all_was_read() {
    let mut ledger = Ledger::new(Order::Key, limits(4));
    let start = Found {
        at: Some(0),
        first: None,
        limit: crate::reading::position::Limit::None,
        until_time: Some(100),
        high: Some(0),
        verdict: None,
    };
    ledger.begin(&name(0), &start);
    ledger.reach_time(200);
    assert!(!ledger.is_complete(), "nothing is known of it");
    ledger.reach_end("t", 0, 0);
    ledger.reach_time(99);
    assert!(!ledger.is_complete());
    ledger.reach_time(100);
    assert!(ledger.is_complete());
}
