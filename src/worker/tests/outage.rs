//! A worker while brokers, leaders and coordinators are away.

use super::*;

/// At which seconds these notes were said.
fn seconds_of(said: &str, before: &str) -> Vec<u64> {
    let notes = said.lines().filter_map(|line| line.strip_prefix(before));
    notes.map(|rest| rest.split_once(" s: ").unwrap().0.parse().unwrap()).collect()
}

fn ends_by_itself() -> Flags {
    Flags { idle: Some(Duration::from_secs(5)), stall: Some(Duration::from_mins(1)), ..Flags::default() }
}

#[test]
fn an_outage_is_noted_after_5_s_and_then_every_10_s_until_it_is_over() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::with(ends_by_itself());
    // The first question comes at once, then one every 2 s: 17 of them are half a minute.
    cluster.then([Step::Records(9), worker.done(), worker.outage(17)]);
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Complete);
    let said = worker.said();
    assert_eq!(seconds_of(&said, "kq: waiting for localhost:9092 since "), [5, 15, 25]);
    assert_eq!(said.matches("kq: the cluster answers again\n").count(), 1);
    assert!(cluster.clock().passed() > Duration::from_secs(30), "an outage is not idleness");
}

#[test]
fn an_outage_that_is_over_within_5_s_is_not_noted() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::with(ends_by_itself());
    cluster.then([Step::Records(9), worker.done(), worker.outage(2)]);
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Complete);
    assert_eq!(worker.said(), "");
}

#[test]
fn an_outage_ends_a_worker_that_ends_by_itself_after_the_stall_timeout() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::with(ends_by_itself());
    cluster.then([Step::Records(9), worker.done(), worker.outage(99)]);
    let why = "stalled: no contact to localhost:9092 for 60 s (--stall-timeout): no answer";
    let stop = worker.poller(&consumer, Start::Beginning, None).run();
    assert_eq!(stop, StopReason::Failed(why.to_owned()));
}

#[test]
fn an_outage_is_waited_for_by_a_worker_that_does_not_end_by_itself() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::new();
    cluster.then([Step::Records(9), worker.done(), worker.outage(999)]);
    cluster.then((0..1200).map(|_| Step::Nothing).chain([worker.signal(15)]));
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Signal(15));
    assert_eq!(seconds_of(&worker.said(), "kq: waiting for localhost:9092 since ").len(), 12);
}

#[test]
fn a_partition_without_a_leader_at_the_start_is_waited_for() {
    let (cluster, consumer) = subscribed();
    // Five questions a second.
    cluster.refuse(Question::Watermarks, [Code::LeaderNotAvailable; 30]);
    let mut worker = Worker::new();
    worker.poller(&consumer, Start::Relative(2), None).poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [4, 5]);
    let said = worker.said();
    assert!(
        said.starts_with("kq: waiting since 5 s: watermarks of orders[0]: no leader at present"),
        "{said}"
    );
}

#[test]
fn a_partition_that_never_gets_a_leader_ends_it() {
    let (cluster, consumer) = subscribed();
    cluster.log("orders", 0, |log| log.is_leaderless = true);
    let worker = Worker::new();
    worker.poller(&consumer, Start::End, None).poll(Duration::ZERO, 500);
    let Some(StopReason::Failed(why)) = worker.shared.stopping() else { panic!("it goes on") };
    assert!(
        why.starts_with("orders[0]: where to start and to end: watermarks of orders[0]: no leader"),
        "{why}"
    );
    assert_eq!(cluster.clock().passed().as_secs(), 60);
}

#[test]
fn a_partition_that_loses_its_leader_is_noted_and_read_on_from() {
    let (cluster, consumer) = subscribed();
    let flags = Flags { until: Some(End::End), stall: Some(Duration::from_mins(1)), ..Flags::default() };
    let mut worker = Worker::with(flags);
    let elect = |is_leaderless| -> Step {
        Step::Do(Box::new(move |cluster| cluster.log("orders", 0, |log| log.is_leaderless = is_leaderless)))
    };
    cluster.then([Step::Records(2), worker.done(), elect(true)]);
    cluster.then((0..250).map(|_| Step::Nothing).chain([elect(false), Step::Records(9), worker.done()]));
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Complete);
    assert_eq!(seconds_of(&worker.said(), "kq: nothing from orders[0] since "), [10, 20]);
}

#[test]
fn a_partition_without_a_leader_is_not_idle() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::with(ends_by_itself());
    let elect = |is_leaderless| -> Step {
        Step::Do(Box::new(move |cluster| cluster.log("orders", 0, |log| log.is_leaderless = is_leaderless)))
    };
    cluster.then([Step::Records(2), worker.done(), elect(true)]);
    cluster.then((0..100).map(|_| Step::Nothing).chain([elect(false), Step::Records(9), worker.done()]));
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Complete);
    assert_eq!(cluster.calls_of("store").last().map(String::as_str), Some("store orders[0]@6"));
}

#[test]
fn a_coordinator_that_moves_is_asked_again() {
    let (cluster, consumer) = subscribed();
    cluster.commit("orders", 0, 4);
    cluster.refuse(
        Question::Committed,
        [Code::NotCoordinator, Code::CoordinatorNotAvailable, Code::CoordinatorLoadInProgress],
    );
    let mut worker = Worker::new();
    worker.poller(&consumer, Start::Beginning, None).poll(Duration::ZERO, 500);
    assert_eq!((worker.run_all(), worker.said()), (vec![4, 5], String::new()));
}

#[test]
fn questions_that_are_refused_end_it() {
    for question in [Question::Watermarks, Question::Times] {
        let (cluster, consumer) = subscribed();
        cluster.refuse(question, [Code::TopicAuthorizationFailed]);
        let worker = Worker::new();
        worker.poller(&consumer, Start::Time(1), None).poll(Duration::ZERO, 500);
        let Some(StopReason::Failed(why)) = worker.shared.stopping() else { panic!("it goes on") };
        assert!(why.contains("not authorised for this topic"), "{why}");
        assert_eq!(cluster.clock().passed(), Duration::ZERO, "{question:?} is asked once");
    }
}

#[test]
fn a_topic_that_appears_is_subscribed_to() {
    let cluster = Cluster::new();
    let consumer = cluster.consumer();
    let mut worker = Worker::with(Flags { count: Some(1), ..Flags::default() });
    cluster.then([Step::Do(Box::new(|cluster| {
        cluster.clone().with_topic("orders-b", 1).append("orders-b", 0, ["b"]);
    }))]);
    // Ten seconds, and the join.
    cluster.then((0..101).map(|_| Step::Nothing).chain([Step::Records(9), worker.done()]));
    let mut poller = worker.poller_of(&consumer, Start::Beginning, None, &["^orders"]);
    assert_eq!(poller.run(), StopReason::Complete);
    assert_eq!(cluster.calls_of("subscribe"), ["subscribe orders-b"]);
    assert_eq!(worker.said(), "", "it joins only now");
}

#[test]
fn a_topic_that_was_deleted_ends_it_once_that_is_certain() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let watch = Arc::clone(&worker.watch);
    cluster.then([
        Step::Records(9),
        worker.done(),
        Step::Do(Box::new(move |cluster| {
            cluster.delete_topic("orders");
            Observer::error(&*watch, Code::UnknownTopicOrPartition, "orders: unknown topic or partition");
        })),
    ]);
    let stop = worker.poller(&consumer, Start::Beginning, None).run();
    assert_eq!(stop, StopReason::Failed("topic orders does not exist any more".to_owned()));
    assert_eq!(cluster.clock().passed().as_secs(), 3, "one broker may know less for a moment");
}

#[test]
fn what_is_known_only_later_is_silent_from_then_on_and_not_from_before() {
    let (cluster, consumer) = subscribed();
    let stall = Some(Duration::from_secs(12));
    let mut worker = Worker::with(Flags { count: Some(7), stall, ..Flags::default() });
    let quiet = |seconds: usize| (0..seconds * 10).map(|_| Step::Nothing);
    cluster.then([Step::Records(9), worker.done()].into_iter().chain(quiet(20)));
    // Nothing comes from the new partition for nine seconds.
    cluster.then([Step::Do(Box::new(|cluster| {
        cluster.add_partitions("orders", 2);
        cluster.append("orders", 1, ["g"]);
    }))]);
    cluster.then([Step::Assign(vec![("orders", 1)])].into_iter().chain(quiet(9)));
    cluster.then([Step::Records(9), worker.done()]);
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), StopReason::Complete);
    assert_eq!(worker.said(), "");
}

#[test]
fn a_coordinator_that_is_away_for_long_is_asked_only_what_leaves_nothing_behind() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    let (topics, now) = (cluster.topics(), cluster.clock().now());
    poller.subscription =
        Subscription::new(&consumer, Selection::new(["orders"]).unwrap(), &topics, now).unwrap();
    cluster.refuse(Question::Coordinator, [Code::OperationTimedOut; 60]);
    let watch = Arc::clone(&worker.watch);
    let reason = "b:1/7: Failed to resolve 'b:1': Name or service not known";
    cluster.then([Step::Do(Box::new(move |_| Observer::error(&*watch, Code::Resolve, reason)))]);
    cluster.then((0..1500).map(|_| Step::Nothing).chain([worker.signal(15)]));
    assert_eq!(poller.run(), StopReason::Signal(15));
    assert!(cluster.asked(Question::Coordinator) > 60);
    assert_eq!(cluster.asked(Question::Members), 0);
}
