//! What the polling thread says of records that do not get done.

use super::*;
use crate::clock::backoff::Backoff;
use crate::worker::ledger::{GivenUp, OnOutage, Outage};

/// So many seconds of polling.
fn seconds(seconds: usize) -> impl Iterator<Item = Step> {
    (0..seconds * 10).map(|_| Step::Nothing)
}

/// All that may run is done, except for the first record, which fails and waits for another day.
fn fails_at_first(worker: &Worker) -> Step {
    let shared = Arc::clone(&worker.shared);
    Step::Do(Box::new(move |cluster| {
        let now = cluster.clock().now();
        let mut ledger = shared.ledger();
        while let Some(job) = ledger.next(now) {
            if job.record.offset == 0 {
                ledger.note_failure(job.ticket, "exit 1".into());
                ledger.finish(job.ticket, Outcome::Retry(now + Duration::from_hours(24)));
            } else {
                ledger.finish(job.ticket, Outcome::Resolved);
            }
        }
    }))
}

#[test]
fn what_holds_a_partition_up_is_said_each_minute_until_it_is_done() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::new();
    cluster.then([Step::Records(9), fails_at_first(&worker)].into_iter().chain(seconds(130)));
    let shared = Arc::clone(&worker.shared);
    cluster.then([Step::Do(Box::new(move |cluster| {
        let later = cluster.clock().now() + Duration::from_hours(48);
        let mut ledger = shared.ledger();
        let job = ledger.next(later).expect("its retry");
        ledger.finish(job.ticket, Outcome::Resolved);
    }))]);
    cluster.then(seconds(130).chain([worker.signal(15)]));
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Signal(15));
    let line = "kq: orders[0] held up by @0: attempt 1, exit 1; 5 records ahead are done or wait\n";
    assert_eq!(worker.said(), line.repeat(2));
}

#[test]
fn a_record_that_has_not_failed_holds_nothing_up() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::new();
    let shared = Arc::clone(&worker.shared);
    let start = Step::Do(Box::new(move |cluster: &Cluster| {
        let now = cluster.clock().now();
        assert!(shared.ledger().next(now).is_some(), "it runs, and runs");
    }));
    cluster.then([Step::Records(9), start].into_iter().chain(seconds(130)).chain([worker.signal(15)]));
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Signal(15));
    assert_eq!(worker.said(), "");
    let partitions = worker.shared.ledger().partitions();
    let held = partitions[0].held_since.expect("it is open");
    assert!(cluster.clock().now() - held > Duration::from_mins(2));
}

#[test]
fn a_pause_is_said_each_minute_and_nothing_else_is() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::new();
    let shared = Arc::clone(&worker.shared);
    let pause = Step::Do(Box::new(move |cluster: &Cluster| {
        let now = cluster.clock().now();
        let mut ledger = shared.ledger();
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        ledger.outage = Outage::new(1, backoff, OnOutage::Pause);
        let job = ledger.next(now).expect("a record");
        ledger.note_failure(job.ticket, "exit 1".into());
        ledger.outage.failed_for_good(job.ticket, GivenUp::Exhausted, now, 0.0);
        ledger.finish(job.ticket, Outcome::Again(now));
    }));
    cluster.then([Step::Records(9), pause].into_iter().chain(seconds(130)).chain([worker.signal(15)]));
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Signal(15));
    let said =
        |seconds: u32| format!("kq: paused for {seconds} s: 0 attempts have failed since, one at a time\n");
    assert_eq!(worker.said(), said(60) + &said(120));
}
