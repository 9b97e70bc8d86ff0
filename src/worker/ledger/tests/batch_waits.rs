//! Batches that a rate, a delay or a pause holds back.

use super::*;
use crate::clock::backoff::Backoff;
use crate::worker::batch::Batching;
use crate::worker::ledger::{Fate, GivenUp, OnOutage, Outage};

const SECOND: Duration = Duration::from_secs(1);

/// Batches of two records, which do not wait for a second one.
fn pairs() -> Ledger {
    let batching = Batching { records: 2, bytes: 1 << 20, wait: Duration::ZERO };
    let mut ledger = Ledger::new(Order::Key, limits(4)).in_batches(batching);
    for partition in 0..2 {
        ledger.assign(&name(partition), Some(0), None);
    }
    ledger
}

fn offsets(batch: Option<&Vec<Job>>) -> Vec<i64> {
    batch.into_iter().flatten().map(|job| job.ticket.offset).collect()
}

fn end(ledger: &mut Ledger, batch: &[Job], outcome: Outcome) {
    let tickets: Vec<Ticket> = batch.iter().map(|job| job.ticket).collect();
    ledger.finish_all(&tickets, outcome);
    ledger.end_batch(tickets[0].epoch);
}

#[test]
fn a_rate_counts_batches_and_their_halves() {
    let mut ledger = pairs().at_most(Some("1/s".parse().unwrap()));
    for offset in 0..2 {
        deliver(&mut ledger, 0, offset, None);
        deliver(&mut ledger, 1, offset, None);
    }
    let now = Instant::now();
    let first = ledger.next_batch(now).unwrap();
    assert!(ledger.next_batch(now).is_none());
    assert_eq!(ledger.next_due(), Some(now + SECOND));
    assert_eq!(ledger.take_start(now), Err(now + SECOND), "a half of the first");
    assert_eq!(ledger.take_start(now + SECOND), Ok(()));
    assert!(ledger.next_batch(now + SECOND).is_none(), "the half took that start");
    end(&mut ledger, &first, Outcome::Resolved);
    assert_eq!(ledger.next_due(), Some(now + 2 * SECOND));
    assert_eq!(offsets(ledger.next_batch(now + 2 * SECOND).as_ref()), [0, 1]);
    assert_eq!(ledger.next_due(), None, "nothing is left");
}

#[test]
fn a_batch_ends_before_a_record_that_is_delayed() {
    let (mut ledger, now) = (pairs(), Instant::now());
    for (offset, seconds) in [(0, 1), (1, 2), (2, 2)] {
        let record = Record { topic: "t".into(), offset, ..Record::default() };
        record.with_ref(|record| ledger.receive_delayed(record, now + SECOND * seconds));
    }
    assert!(ledger.next_batch(now).is_none());
    assert_eq!(ledger.next_due(), Some(now + SECOND));
    let first = ledger.next_batch(now + SECOND).unwrap();
    assert_eq!(offsets(Some(&first)), [0]);
    end(&mut ledger, &first, Outcome::Resolved);
    assert!(ledger.next_batch(now + SECOND).is_none());
    assert_eq!(ledger.next_due(), Some(now + 2 * SECOND));
    let rest = ledger.next_batch(now + 2 * SECOND).unwrap();
    assert_eq!(offsets(Some(&rest)), [1, 2]);
    end(&mut ledger, &rest, Outcome::Resolved);
    assert_eq!((ledger.store_list(), ledger.is_idle()), (vec![(name(0), 3)], true));
}

#[test]
fn a_retry_that_is_due_waits_for_the_rate_and_nobody_looks_for_it_before() {
    let mut ledger = pairs().at_most(Some("1/s".parse().unwrap()));
    deliver(&mut ledger, 0, 0, None);
    let now = Instant::now();
    let first = ledger.next_batch(now).unwrap();
    end(&mut ledger, &first, Outcome::Retry(now + SECOND / 4));
    let later = now + SECOND / 2;
    assert!(ledger.next_batch(later).is_none());
    assert_eq!(ledger.next_due(), Some(now + SECOND));
    assert_eq!(offsets(ledger.next_batch(now + SECOND).as_ref()), [0]);
}

#[test]
fn every_second_record_that_is_tried_in_a_pause_has_not_failed_yet() {
    let (mut ledger, start) = (pairs(), Instant::now());
    ledger.outage = Outage::new(1, Backoff::new(SECOND, SECOND), OnOutage::Pause);
    for offset in 0..4 {
        deliver(&mut ledger, 0, offset, None);
    }
    let batch = ledger.next_batch(start).unwrap();
    ledger.outage.failed_for_good(batch[0].ticket, GivenUp::Exhausted, start, 1.0);
    end(&mut ledger, &batch, Outcome::Retry(start));
    let mut tried = Vec::new();
    for _ in 0..4 {
        let now = ledger.next_due().unwrap();
        let probe = ledger.next_batch(now).unwrap();
        tried.push(probe[0].ticket.offset);
        ledger.outage.attempt_failed(probe[0].ticket, now, 1.0);
        end(&mut ledger, &probe, Outcome::Retry(now));
    }
    assert_eq!(tried, [2, 0, 3, 0]);
}

#[test]
fn what_is_delayed_is_not_looked_for_in_a_pause_before_it_is_due() {
    let (mut ledger, now) = (pairs(), Instant::now());
    ledger.outage = Outage::new(1, Backoff::new(SECOND, SECOND), OnOutage::Pause);
    deliver(&mut ledger, 1, 0, None);
    let record = Record { topic: "t".into(), ..Record::default() };
    record.with_ref(|record| ledger.receive_delayed(record, now + 9 * SECOND));
    let batch = ledger.next_batch(now).unwrap();
    ledger.outage.failed_for_good(batch[0].ticket, GivenUp::Exhausted, now, 1.0);
    end(&mut ledger, &batch, Outcome::Retry(now + 20 * SECOND));
    assert!(ledger.next_batch(now + SECOND).is_none());
    assert_eq!(ledger.next_due(), Some(now + 9 * SECOND));
    assert_eq!(offsets(ledger.next_batch(now + 9 * SECOND).as_ref()), [0]);
}

#[test]
fn while_the_worker_is_paused_one_record_at_a_time_is_tried() {
    let (mut ledger, now) = (pairs(), Instant::now());
    ledger.outage = Outage::new(1, Backoff::new(SECOND, SECOND), OnOutage::Pause);
    for offset in 0..5 {
        deliver(&mut ledger, 0, offset, None);
        deliver(&mut ledger, 1, offset, None);
    }
    let batch = ledger.next_batch(now).unwrap();
    let fate = ledger.outage.failed_for_good(batch[0].ticket, GivenUp::Exhausted, now, 1.0);
    assert_eq!(fate, Fate::Pause);
    assert!(ledger.is_held_back(batch[1].ticket), "the other half comes back");
    end(&mut ledger, &batch, Outcome::Again(now));
    assert!(ledger.next_batch(now).is_none());
    let due = ledger.next_due().unwrap();
    assert_eq!(due, now + SECOND);
    let probe = ledger.next_batch(due).unwrap();
    assert_eq!(probe.len(), 1);
    assert!(!ledger.is_held_back(probe[0].ticket));
    assert!(ledger.next_batch(due + SECOND / 2).is_none(), "one at a time");
    ledger.outage.attempt_failed(probe[0].ticket, due, 1.0);
    end(&mut ledger, &probe, Outcome::Again(due + SECOND));
    let again = ledger.next_due().unwrap();
    let probe = ledger.next_batch(again).unwrap();
    ledger.outage.succeeded(again);
    end(&mut ledger, &probe, Outcome::Resolved);
    let mut rest = 0;
    while let Some(batch) = ledger.next_batch(again + SECOND) {
        rest += batch.len();
        end(&mut ledger, &batch, Outcome::Resolved);
    }
    assert_eq!((rest, ledger.is_idle()), (9, true));
}
