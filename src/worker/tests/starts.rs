//! Where a worker starts and ends in a partition.

use super::*;

/// What a worker runs that starts and ends there, and the number of records that it found gone.
fn runs(cluster: &Cluster, from: Start, until: Option<End>) -> (Vec<i64>, u64) {
    let consumer = cluster.consumer();
    consumer.subscribe(&["orders".to_owned()]).unwrap();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, from, until);
    poller.poll(Duration::ZERO, 500);
    poller.poll(Duration::ZERO, 500);
    let offsets = worker.run_all();
    assert_eq!(worker.shared.ledger().is_complete(), until.is_some());
    (offsets, worker.shared.tally.records.of(RecordResult::Lost))
}

fn orders() -> Cluster {
    subscribed().0
}

#[test]
fn a_start_of_each_kind_is_where_it_was_asked_for() {
    for (from, first) in [
        (Start::Beginning, 0),
        (Start::Stored, 0),
        (Start::Offset(2), 2),
        (Start::Relative(1), 5),
        (Start::Relative(9), 0),
        (Start::Time(4), 4),
        (Start::Time(99), 6),
        (Start::End, 6),
        (Start::Offset(6), 6),
        (Start::Offset(7), 6),
    ] {
        let offsets: Vec<i64> = (first..6).collect();
        assert_eq!(runs(&orders(), from, Some(End::End)), (offsets, 0), "{from:?}");
    }
}

#[test]
fn a_start_holds_where_the_group_has_committed_nothing() {
    let cluster = orders();
    cluster.commit("orders", 0, 4);
    for from in [Start::Beginning, Start::Offset(1), Start::End, Start::Stored] {
        assert_eq!(runs(&cluster, from, None), (vec![4, 5], 0), "{from:?}");
    }
}

#[test]
fn a_start_past_the_end_waits_for_that_offset() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Offset(8), None);
    poller.poll(Duration::ZERO, 500);
    cluster.append("orders", 0, ["g", "h", "i"]);
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [8]);
}

#[test]
fn a_start_below_the_first_record_is_counted_up_to_where_it_was_asked_for() {
    let cluster = orders();
    cluster.expire("orders", 0, 3);
    assert_eq!(runs(&cluster, Start::Offset(1), None), (vec![3, 4, 5], 2));
    assert_eq!(runs(&cluster, Start::Offset(1), Some(End::Offset(2))), (vec![], 1));
}

#[test]
fn an_end_of_each_kind_is_exclusive() {
    for (until, end) in [
        (End::End, 6),
        (End::Offset(0), 0),
        (End::Offset(2), 2),
        (End::Time(0), 0),
        (End::Time(3), 3),
        (End::Offset(6), 6),
    ] {
        let offsets: Vec<i64> = (0..end).collect();
        assert_eq!(runs(&orders(), Start::Beginning, Some(until)), (offsets, 0), "{until:?}");
    }
}

#[test]
fn a_time_to_come_ends_when_the_clock_has_passed_it() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::with(Flags { until: Some(End::Time(3000)), ..Flags::default() });
    cluster.then([Step::Records(9), worker.done()]);
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Complete);
    let passed = cluster.clock().passed();
    assert!((Duration::from_secs(3)..Duration::from_millis(3200)).contains(&passed), "{passed:?}");
}

#[test]
fn a_count_is_exact() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::with(Flags { count: Some(4), ..Flags::default() });
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [0, 1, 2, 3]);
    assert_eq!(poller.run(), StopReason::Complete);
    assert_eq!(status(&ending::end(&mut poller, StopReason::Complete, true)), 0);
    assert_eq!(cluster.committed("orders", 0), Some(4));
}

#[test]
fn records_that_a_filter_holds_back_are_committed_and_not_run() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, Some(End::End));
    poller.filtering.filter.grep = Some(regex::bytes::Regex::new("[be]").unwrap());
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [1, 4]);
    assert_eq!(status(&ending::end(&mut poller, StopReason::Complete, true)), 0);
    assert_eq!(cluster.committed("orders", 0), Some(6));
}

#[test]
fn idleness_is_counted_from_the_last_record() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::with(Flags { idle: Some(Duration::from_secs(5)), ..Flags::default() });
    cluster.then([Step::Records(9), worker.done()].into_iter().chain((0..40).map(|_| Step::Nothing)));
    cluster.then([Step::Do(Box::new(|cluster| cluster.append("orders", 0, ["g"]))), Step::Records(9)]);
    cluster.then([worker.done()]);
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Complete);
    let passed = cluster.clock().passed();
    assert!((Duration::from_secs(9)..Duration::from_millis(9300)).contains(&passed), "{passed:?}");
}
