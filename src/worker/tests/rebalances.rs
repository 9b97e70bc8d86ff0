//! A worker whose partitions come and go.

use super::*;

#[test]
fn records_of_a_partition_that_leaves_are_dropped_and_what_is_done_is_stored_before() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 6);
    let first = worker.shared.ledger().next(Instant::now()).unwrap();
    assert!(worker.shared.ledger().finish(first.ticket, Outcome::Resolved));
    cluster.then([Step::Revoke(vec![("orders", 0)]), Step::Nothing]);
    poller.poll(Duration::ZERO, 6);
    assert_eq!(cluster.calls_of("store"), ["store orders[0]@1"]);
    assert_eq!(cluster.committed("orders", 0), Some(1));
    assert_eq!(worker.run_all(), [0; 0], "five of them were not begun");
}

#[test]
fn of_lost_partitions_nothing_is_stored() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 6);
    assert_eq!(worker.run_all().len(), 6);
    cluster.then([Step::Lose(vec![("orders", 0)]), Step::Nothing]);
    poller.poll(Duration::ZERO, 6);
    assert_eq!((cluster.calls_of("store"), cluster.committed("orders", 0)), (vec![], None));
    assert!(worker.said().contains("partitions lost: orders[0]"), "{}", worker.said());
}

#[test]
fn a_completion_that_comes_after_its_partition_left_changes_nothing() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 1);
    let job = worker.shared.ledger().next(Instant::now()).unwrap();
    cluster.then([Step::Lose(vec![("orders", 0)]), Step::Assign(vec![("orders", 0)]), Step::Nothing]);
    poller.poll(Duration::ZERO, 6);
    assert!(!worker.shared.ledger().finish(job.ticket, Outcome::Resolved));
    poller.poll(Duration::ZERO, 6);
    assert_eq!(worker.run_all(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_partition_that_comes_and_goes_runs_each_record_once() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    let mut offsets = Vec::new();
    for records in [1, 2, 500] {
        cluster.then([Step::Assign(vec![("orders", 0)]), Step::Records(records)]);
        poller.poll(Duration::ZERO, 500);
        offsets.extend(worker.run_all());
        cluster.then([Step::Revoke(vec![("orders", 0)]), Step::Nothing]);
        poller.poll(Duration::ZERO, 500);
    }
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5]);
    assert_eq!(cluster.calls_of("store"), ["store orders[0]@1", "store orders[0]@3", "store orders[0]@6"]);
}

#[test]
fn a_start_that_was_not_committed_holds_when_the_partition_comes_back() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::End, None);
    cluster.then([
        Step::Assign(vec![("orders", 0)]),
        Step::Revoke(vec![("orders", 0)]),
        Step::Do(Box::new(|cluster| cluster.append("orders", 0, ["g"]))),
        Step::Assign(vec![("orders", 0)]),
    ]);
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [6]);
}

#[test]
fn a_member_that_gets_nothing_ends_with_a_note() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::with(Flags { until: Some(End::End), ..Flags::default() });
    cluster.then([Step::Assign(Vec::new())]);
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Complete);
    assert_eq!(worker.said(), format!("kq: {}\n", membership::LEFT_OUT));
    assert_eq!(cluster.clock().passed().as_secs(), 10);
}

#[test]
fn a_join_that_takes_long_is_noted_once() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::new();
    let mut poller = worker.poller_of(&consumer, Start::Beginning, None, &["orders"]);
    poller.subscription = Subscription::new(
        &consumer,
        Selection::new(["orders"]).unwrap(),
        &cluster.topics(),
        cluster.clock().now(),
    )
    .unwrap();
    cluster.then((0..200).map(|_| Step::Nothing).chain([worker.signal(15)]));
    assert_eq!(poller.run(), StopReason::Signal(15));
    assert_eq!(worker.said(), format!("kq: {}\n", membership::JOINING));
}

#[test]
fn what_could_not_be_started_leaves_with_its_partition() {
    for leaves in [Step::Revoke(vec![("orders", 0)]), Step::Lose(vec![("orders", 0)])] {
        let (cluster, consumer) = subscribed();
        let worker = Worker::new();
        let mut poller = worker.poller(&consumer, Start::Beginning, None);
        poller.poll(Duration::ZERO, 500);
        let now = Instant::now();
        let job = worker.jobs().remove(0);
        worker.shared.health.cannot_start("fork: no more processes", now);
        worker.shared.ledger().finish(job.ticket, Outcome::Again(now));
        cluster.then([leaves, Step::Nothing]);
        poller.rebalancer.patience = Patience::new(Duration::from_millis(4), Duration::from_millis(40));
        poller.poll(Duration::ZERO, 3);
        assert!(!worker.shared.ledger().has_partitions());
        assert_eq!(worker.shared.health.lack(), None, "nothing would be started that shows it");
    }
}
