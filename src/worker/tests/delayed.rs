//! `--delay` as the polling thread does it, by a clock that the test moves.

use super::*;
use crate::worker::delay::Delay;

/// A worker whose records wait for so long.
fn delayed<'a>(
    worker: &Worker,
    consumer: &'a FakeConsumer,
    seconds: u64,
    until: Option<End>,
) -> Poller<'a, FakeConsumer> {
    let mut poller = worker.poller(consumer, Start::Beginning, until);
    poller.delay = Some(Delay(Duration::from_secs(seconds)));
    poller
}

/// Brings all that may run by this clock to its end; gives the offsets.
fn run_due(worker: &Worker, consumer: &FakeConsumer) -> Vec<i64> {
    let now = consumer.clock().now();
    let mut offsets = Vec::new();
    let mut ledger = worker.shared.ledger();
    while let Some(job) = ledger.next(now) {
        offsets.push(job.record.offset);
        ledger.finish(job.ticket, Outcome::Resolved);
    }
    offsets
}

#[test]
fn a_partition_whose_records_are_due_later_is_paused_until_shortly_before() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = delayed(&worker, &consumer, 60, None);
    let turn = |poller: &mut Poller<'_, FakeConsumer>| {
        poller.poll(Duration::ZERO, 500);
        poller.update_client();
    };
    turn(&mut poller);
    assert_eq!(run_due(&worker, &consumer), [] as [i64; 0]);
    assert_eq!(cluster.calls_of("pause"), ["pause orders[0]"]);
    consumer.clock().sleep(Duration::from_secs(54));
    turn(&mut poller);
    assert_eq!(cluster.calls_of("resume").len(), 0);
    consumer.clock().sleep(Duration::from_secs(2));
    turn(&mut poller);
    assert_eq!(cluster.calls_of("resume"), ["resume orders[0]"]);
    consumer.clock().sleep(Duration::from_secs(4));
    assert_eq!(run_due(&worker, &consumer), [0, 1, 2, 3, 4, 5]);
    assert_eq!(cluster.calls_of("pause").len(), 1);
}

#[test]
fn a_record_of_the_past_has_waited_already() {
    let (_, consumer) = subscribed();
    // The records are of the first milliseconds.
    consumer.clock().sleep(Duration::from_mins(1));
    let worker = Worker::new();
    delayed(&worker, &consumer, 60, None).poll(Duration::ZERO, 500);
    assert_eq!(run_due(&worker, &consumer), [0]);
    consumer.clock().sleep(Duration::from_millis(2));
    assert_eq!(run_due(&worker, &consumer), [1, 2]);
}

#[test]
fn an_end_and_an_idle_worker_wait_for_what_is_delayed() {
    let ends = Flags { until: Some(End::End), ..Flags::default() };
    let idles = Flags { idle: Some(Duration::from_secs(2)), ..Flags::default() };
    for flags in [ends, idles] {
        let (cluster, consumer) = subscribed();
        let worker = Worker::with(flags);
        let mut poller = delayed(&worker, &consumer, 30, None);
        // The commands run long after an idle worker would have ended.
        let shared = Arc::clone(&worker.shared);
        let now = consumer.clock().now();
        let step = Step::Do(Box::new(move |_| {
            let mut ledger = shared.ledger();
            assert!(ledger.next(now + Duration::from_secs(29)).is_none());
            while let Some(job) = ledger.next(now + Duration::from_secs(31)) {
                ledger.finish(job.ticket, Outcome::Resolved);
            }
        }));
        let waits = std::iter::repeat_with(|| Step::Nothing).take(300);
        cluster.then(
            [Step::Assign(vec![("orders", 0)]), Step::Records(500)].into_iter().chain(waits).chain([step]),
        );
        assert_eq!(poller.run(), StopReason::Complete);
        assert_eq!(cluster.calls_of("store"), ["store orders[0]@0", "store orders[0]@6"]);
    }
}
