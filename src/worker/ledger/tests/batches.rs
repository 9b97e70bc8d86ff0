//! The ledger in batches, with threads that halve what fails as those of the dispatcher do.

use super::*;
use crate::worker::batch::Batching;
use crate::worker::batch::parts::Parts;

const WAIT: Duration = Duration::from_millis(100);

fn in_batches(order: Order, records: usize, limits: Capacity) -> Ledger {
    Ledger::new(order, limits).in_batches(Batching { records, bytes: 1 << 20, wait: WAIT })
}

fn offsets(batch: &[Job]) -> Vec<i64> {
    batch.iter().map(|job| job.ticket.offset).collect()
}

fn tickets(batch: &[Job]) -> Vec<Ticket> {
    batch.iter().map(|job| job.ticket).collect()
}

/// Offsets of the next batch, which is over at once, with this outcome.
fn run(ledger: &mut Ledger, now: Instant, outcome: Outcome) -> Vec<i64> {
    let batch = ledger.next_batch(now).unwrap_or_default();
    if let Some(job) = batch.first() {
        ledger.finish_all(&tickets(&batch), outcome);
        ledger.end_batch(job.ticket.epoch);
    }
    offsets(&batch)
}

#[test]
fn a_batch_waits_until_it_is_full_or_its_oldest_record_has_waited() {
    let mut ledger = in_batches(Order::Key, 3, limits(4));
    ledger.assign(&name(0), None, None);
    let start = Instant::now();
    ledger.see_time(start);
    deliver(&mut ledger, 0, 0, None);
    deliver(&mut ledger, 0, 1, None);
    assert!(run(&mut ledger, start, Outcome::Resolved).is_empty());
    assert_eq!(ledger.next_due(), Some(start + WAIT));
    ledger.see_time(start + WAIT / 2);
    deliver(&mut ledger, 0, 2, None);
    assert_eq!(run(&mut ledger, start, Outcome::Resolved), [0, 1, 2], "it is full");
    deliver(&mut ledger, 0, 3, None);
    let due = start + WAIT;
    assert_eq!(ledger.next_due(), Some(due));
    assert_eq!(run(&mut ledger, due, Outcome::Resolved), [3]);
    assert_eq!(ledger.next_due(), None);
}

#[test]
fn one_batch_of_a_partition_runs_at_a_time_unless_there_is_no_order() {
    for (order, beside) in [(Order::Key, 0), (Order::Partition, 0), (Order::None, 2)] {
        let mut ledger = in_batches(order, 2, limits(4));
        ledger.assign(&name(0), None, None);
        ledger.assign(&name(1), None, None);
        for offset in 0..4 {
            deliver(&mut ledger, 0, offset, None);
        }
        let now = Instant::now();
        let first = ledger.next_batch(now).unwrap();
        assert_eq!(offsets(&first), [0, 1]);
        assert_eq!(ledger.next_batch(now).map_or(0, |batch| batch.len()), beside);
        deliver(&mut ledger, 1, 0, None);
        deliver(&mut ledger, 1, 1, None);
        assert_eq!(ledger.next_batch(now).unwrap()[0].record.partition, 1);
    }
}

#[test]
fn a_batch_that_nothing_can_be_added_to_does_not_wait() {
    let now = Instant::now();
    let with = |capacity: Capacity, until: Option<i64>, records: i64| {
        let mut ledger = in_batches(Order::Key, 40, capacity);
        ledger.assign(&name(0), Some(0), until);
        ledger.see_time(now);
        for offset in 0..records {
            deliver(&mut ledger, 0, offset, None);
        }
        run(&mut ledger, now, Outcome::Resolved).len()
    };
    assert_eq!(with(limits(1), None, 3), 0);
    assert_eq!(with(limits(1), Some(3), 3), 3, "the end was reached");
    assert_eq!(with(Capacity { count: Some(2), ..limits(1) }, None, 3), 2, "no more are asked for");
    assert_eq!(with(Capacity { max_span: 2, ..limits(1) }, None, 3), 2, "the span is reached");
    assert_eq!(with(Capacity { queue_len: 3, ..limits(1) }, None, 5), 3, "the queue is full");
}

#[test]
fn a_guilty_record_is_retried_alone_and_later_ones_of_its_key_wait() {
    let mut ledger = in_batches(Order::Key, 10, limits(4));
    ledger.assign(&name(0), None, None);
    for (offset, key) in [(0, 1), (1, 1), (2, 2), (3, 1)] {
        deliver(&mut ledger, 0, offset, Some(key));
    }
    let now = Instant::now();
    let due = now + Duration::from_secs(1);
    let batch = ledger.next_batch(now + WAIT).unwrap();
    ledger.finish_all(&tickets(&batch[..1]), Outcome::Resolved);
    ledger.finish_all(&tickets(&batch[1..2]), Outcome::Retry(due));
    let rest = ledger.keep_startable(batch[2..].to_vec());
    assert_eq!(offsets(&rest), [2], "3 is of the same key");
    ledger.finish_all(&tickets(&rest), Outcome::Resolved);
    ledger.end_batch(batch[0].ticket.epoch);
    deliver(&mut ledger, 0, 4, Some(1));
    deliver(&mut ledger, 0, 5, Some(2));
    assert_eq!(run(&mut ledger, now + 2 * WAIT, Outcome::Resolved), [5]);
    let alone = ledger.next_batch(due).unwrap();
    assert_eq!((offsets(&alone), alone[0].attempt), (vec![1], 2));
    ledger.finish_all(&tickets(&alone), Outcome::Resolved);
    ledger.end_batch(alone[0].ticket.epoch);
    assert_eq!(run(&mut ledger, due, Outcome::Resolved), [3, 4]);
    assert_eq!((ledger.store_list(), ledger.is_idle()), (vec![(name(0), 6)], true));
}

#[test]
fn a_batch_that_is_retried_as_a_whole_goes_into_batches_again() {
    for order in [Order::Key, Order::Partition, Order::None] {
        let mut ledger = in_batches(order, 10, limits(4));
        ledger.assign(&name(0), None, None);
        for (offset, key) in [(0, 1), (1, 1), (2, 2)] {
            deliver(&mut ledger, 0, offset, Some(key));
        }
        let now = Instant::now();
        let due = now + Duration::from_secs(1);
        assert_eq!(run(&mut ledger, now, Outcome::Retry(due)), [0, 1, 2]);
        deliver(&mut ledger, 0, 3, Some(1));
        let free = if order == Order::None { vec![3] } else { vec![] };
        assert_eq!(run(&mut ledger, now + WAIT, Outcome::Resolved), free, "{order:?}");
        let batch = ledger.next_batch(due).unwrap();
        assert_eq!(batch[..3].iter().map(|job| job.attempt).collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(batch.len() + free.len(), 4);
    }
}

#[test]
fn a_partition_that_leaves_takes_what_is_left_of_its_batch_along() {
    let mut ledger = in_batches(Order::Key, 4, limits(4));
    ledger.assign(&name(0), None, None);
    for offset in 0..4 {
        deliver(&mut ledger, 0, offset, None);
    }
    let batch = ledger.next_batch(Instant::now()).unwrap();
    ledger.drain(&name(0));
    ledger.finish_all(&tickets(&batch[..2]), Outcome::Resolved);
    assert_eq!(ledger.running_of(&[name(0)]), 2);
    assert!(ledger.keep_startable(batch[2..].to_vec()).is_empty());
    assert_eq!(ledger.running_of(&[name(0)]), 0, "the drain ends");
    assert_eq!(ledger.store_list(), [(name(0), 2)]);
    ledger.end(&name(0));
    ledger.end_batch(batch[0].ticket.epoch);
    assert!(ledger.is_idle() && ledger.has_free_commands());
}

#[test]
fn a_retry_that_comes_due_lets_nothing_pass_while_its_batch_runs() {
    let mut ledger = in_batches(Order::Key, 4, limits(4));
    ledger.assign(&name(0), None, None);
    for offset in 0..4 {
        deliver(&mut ledger, 0, offset, Some(1));
    }
    let now = Instant::now();
    let batch = ledger.next_batch(now).unwrap();
    ledger.finish_all(&tickets(&batch[..2]), Outcome::Retry(now));
    assert!(ledger.next_batch(now).is_none() && ledger.next_due().is_none());
    assert!(ledger.keep_startable(batch[2..].to_vec()).is_empty(), "0 and 1 come first");
    ledger.end_batch(batch[0].ticket.epoch);
    assert_eq!(run(&mut ledger, now, Outcome::Resolved), [0, 1, 2, 3]);
}

/// A thread of the dispatcher.
struct Thread {
    epoch: u64,
    parts: Parts<Job>,
    /// What its command has.
    part: Vec<Job>,
}

/// How the ends of commands are chosen.
#[derive(Clone, Debug)]
struct World {
    order: Order,
    batch: usize,
    guilty: BTreeSet<(i32, i64)>,
    retries: u32,
    /// Of so many ends one is temporary; 0 is none.
    temporary: usize,
}

/// What the test saw of one partition.
#[derive(Default)]
struct Seen {
    keys: BTreeMap<i64, Option<u8>>,
    /// With how often each ran.
    done: BTreeSet<i64>,
    alone: BTreeMap<i64, u32>,
}

fn world() -> impl Strategy<Value = World> {
    let order = prop_oneof![3 => Just(Order::Key), 1 => Just(Order::Partition), 1 => Just(Order::None)];
    let guilty = prop::collection::btree_set((0..2i32, 0..90i64), 0..5);
    (order, 1..12usize, guilty, 0..3u32, prop_oneof![Just(0), 2..9usize]).prop_map(
        |(order, batch, guilty, retries, temporary)| World { order, batch, guilty, retries, temporary },
    )
}

proptest! {
    #[test]
    fn every_record_is_resolved_once_in_its_order_and_only_the_guilty_spend_retries(
        world in world(),
        keys in prop::collection::vec(prop::option::of(0..3u8), 1..9),
        picks in prop::collection::vec(any::<usize>(), 500),
        (max_span, queue_len) in (1..40u64, 4..40usize),
    ) {
        let capacity = Capacity { jobs: 3, max_span, queue_len, queue_bytes: 1 << 20, count: None };
        let mut ledger = in_batches(world.order, world.batch, capacity);
        let mut logs = Vec::new();
        for partition in 0..2 {
            ledger.assign(&name(partition), Some(0), Some(90));
            logs.push(Log { offsets: vec![true; 90], position: 0, told: None, paused: false });
        }
        let mut seen: Vec<Seen> = vec![Seen::default(), Seen::default()];
        let mut threads: Vec<Thread> = Vec::new();
        let mut now = Instant::now();
        let to_the_end = (0..60_000).map(|i| i * 7919 + i / 3);
        for pick in picks.into_iter().chain(to_the_end) {
            if ledger.is_complete() {
                break;
            }
            now += Duration::from_millis(1);
            let at = (pick / 8) % 2;
            match pick % 8 {
                0..3 if !logs[at].paused => {
                    ledger.see_time(now);
                    let offset = logs[at].position;
                    let key = keys[offset % keys.len()];
                    logs[at].give(&mut ledger, at as i32, key);
                    seen[at].keys.insert(offset as i64, key);
                }
                3 if threads.len() < 3 => {
                    let Some(batch) = ledger.next_batch(now) else { continue };
                    let ticket = batch[0].ticket;
                    prop_assert!(batch.len() <= world.batch && offsets(&batch).is_sorted());
                    prop_assert!(batch.iter().all(|job| job.ticket.epoch == ticket.epoch));
                    let is_beside = threads.iter().any(|thread| thread.epoch == ticket.epoch);
                    prop_assert!(!is_beside || world.order == Order::None);
                    threads.push(Thread { epoch: ticket.epoch, parts: Parts::of(batch), part: vec![] });
                }
                4..7 if !threads.is_empty() => {
                    let which = (pick / 8) % threads.len();
                    let thread = &mut threads[which];
                    if thread.part.is_empty() {
                        let Some(part) = thread.parts.next() else {
                            ledger.end_batch(threads.swap_remove(which).epoch);
                            continue;
                        };
                        thread.part = ledger.keep_startable(part);
                        continue;
                    }
                    let part = std::mem::take(&mut thread.part);
                    let at = part[0].record.partition as usize;
                    for job in &part {
                        let is_guilty = world.guilty.contains(&(at as i32, job.ticket.offset));
                        let free = world.temporary > 0 || is_guilty;
                        prop_assert!(job.attempt == 1 || free, "it has spent a retry");
                        prop_assert!(!seen[at].done.contains(&job.ticket.offset), "it runs once it is done");
                    }
                    let is_guilty = |job: &Job| world.guilty.contains(&(at as i32, job.ticket.offset));
                    let fails = part.iter().any(is_guilty);
                    let highest = part.iter().map(|job| job.attempt).max().unwrap();
                    let due = now + Duration::from_millis((pick / 64 % 40) as u64);
                    let is_temporary = world.temporary > 0 && (pick / 64) % world.temporary == 0;
                    if is_temporary && highest <= world.retries {
                        ledger.finish_all(&tickets(&part), Outcome::Retry(due));
                    } else if fails && part.len() > 1 {
                        thread.parts.halve(part);
                    } else if fails && highest <= world.retries {
                        *seen[at].alone.entry(part[0].ticket.offset).or_default() += 1;
                        ledger.finish_all(&tickets(&part), Outcome::Retry(due));
                    } else {
                        for job in &part {
                            let offset = job.ticket.offset;
                            let key = seen[at].keys[&offset];
                            let is_before = |(_, other): &(&i64, &Option<u8>)| match world.order {
                                Order::Key => key.is_some() && **other == key,
                                Order::Partition => true,
                                Order::None => false,
                            };
                            for (before, _) in seen[at].keys.range(..offset).filter(is_before) {
                                prop_assert!(seen[at].done.contains(before), "{before} comes before {offset}");
                            }
                            prop_assert!(seen[at].done.insert(offset));
                        }
                        ledger.finish_all(&tickets(&part), Outcome::Resolved);
                    }
                }
                7 => {
                    let (pause, resume) = ledger.flow(false);
                    for (TopicPartition { partition, .. }, next) in pause {
                        let log = &mut logs[partition as usize];
                        log.paused = true;
                        log.position = next.map_or(log.position, |next| next as usize);
                    }
                    for TopicPartition { partition, .. } in resume {
                        logs[partition as usize].paused = false;
                        logs[partition as usize].told = None;
                    }
                }
                _ => {}
            }
            for (TopicPartition { partition, .. }, offset) in ledger.store_list() {
                let done = &seen[partition as usize].done;
                prop_assert!((0..offset).all(|before| done.contains(&before)), "{offset} is stored");
            }
        }
        prop_assert!(ledger.is_complete(), "it hangs");
        prop_assert_eq!((ledger.running(), ledger.queued()), (0, 0));
        prop_assert_eq!((ledger.waiting.records, ledger.waiting.bytes), (0, 0));
        for (partition, seen) in (0..).zip(&seen) {
            prop_assert_eq!(seen.done.len(), 90);
            if world.temporary == 0 {
                let spent = |offset: &i64| seen.alone.get(offset).copied().unwrap_or(0);
                let of_guilty = world.guilty.iter().filter(|(of, _)| *of == partition);
                prop_assert!(of_guilty.clone().all(|(_, offset)| spent(offset) == world.retries));
            }
        }
    }
}
