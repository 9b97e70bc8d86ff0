//! Topics that appear and disappear while a consume reads.

use super::*;

fn create(name: &'static str, value: &'static str) -> Step {
    Step::Do(Box::new(move |cluster| {
        cluster.clone().with_topic(name, 1).append(name, 0, [value]);
    }))
}

#[test]
fn a_topic_that_appears_is_subscribed_to() {
    let cluster = Cluster::new().with_topic("orders-a", 1);
    cluster.append("orders-a", 0, ["a"]);
    cluster.then([Step::Records(9), create("orders-b", "b"), create("other", "x")]);
    let ended = consume(&cluster, &["^orders", "-g", "g", "-c", "2"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\n"));
    assert_eq!(cluster.calls_of("subscribe"), ["subscribe orders-a", "subscribe orders-a orders-b"]);
    assert_eq!(cluster.clock().passed().as_secs(), 10);
}

#[test]
fn without_a_group_a_topic_that_appears_is_read_from_its_beginning() {
    let cluster = Cluster::new().with_topic("orders-a", 1);
    cluster.append("orders-a", 0, ["a"]);
    cluster.then([Step::Records(9), create("orders-b", "b")]);
    let ended = consume(&cluster, &["^orders", "-o", "end", "-c", "1"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "b\n"));
    assert_eq!(cluster.calls(), ["assign orders-a[0]", "assign_more orders-b[0]"]);
}

#[test]
fn a_topic_that_is_left_out_is_not_read_at_the_start_and_not_later() {
    for group in [&[][..], &["-g", "g"]] {
        let cluster = Cluster::new().with_topic("orders-a", 1).with_topic("orders-a.dlq", 1);
        cluster.append("orders-a", 0, ["a"]);
        cluster.append("orders-a.dlq", 0, ["x"]);
        cluster.then([Step::Records(9), create("orders-b.dlq", "y"), create("orders-b", "b")]);
        let flags = ["^orders", "--exclude-topic", r"\.dlq$", "-c", "2"];
        let ended = consume(&cluster, &[&flags[..], group].concat());
        assert_eq!((ended.status(), &*ended.stdout, &*ended.stderr), (0, "a\nb\n", ""));
    }
}

#[test]
fn a_pattern_that_matches_nothing_yet_waits_for_a_topic() {
    let (cluster, run) = (Cluster::new(), Run::default());
    let shutdown = run.shutdown.clone();
    cluster.then([create("orders", "a")]);
    cluster.then((0..201).map(|_| Step::Nothing));
    cluster.then([Step::Records(9), Step::Do(Box::new(move |_| shutdown.request(15)))]);
    let ended = run.consume(&cluster, &["^orders", "-g", "g"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\n"));
    assert_eq!(ended.stderr, "kq: no topic matches ^orders yet: waiting for one\n");
    let ended = consume(&Cluster::new(), &["^orders", "--end"]);
    assert!(ended.error().starts_with("no topic matches ^orders;"), "{}", ended.error());
}

#[test]
fn a_topic_that_was_deleted_ends_it_once_that_is_certain() {
    for arguments in [&["orders"][..], &["orders", "-g", "g"], &["orders", "-g", "g", "-c", "9"]] {
        let (cluster, run) = (orders(), Run::default());
        let causes = Arc::clone(&run.causes);
        cluster.then([
            Step::Records(9),
            Step::Do(Box::new(move |cluster| {
                cluster.delete_topic("orders");
                causes.error(Code::UnknownTopicOrPartition, "orders: unknown topic or partition");
            })),
        ]);
        let ended = run.consume(&cluster, arguments);
        assert_eq!((ended.status(), &*ended.stdout), (2, "a\nb\nc\nd\n"), "{arguments:?}");
        assert_eq!(ended.error(), "topic orders does not exist any more");
        assert_eq!(cluster.clock().passed().as_secs(), 3, "one broker may know less for a moment");
    }
}

#[test]
fn partitions_that_are_chosen_are_read_alone() {
    let cluster = Cluster::new().with_topic("orders", 3);
    for (partition, value) in [(0, "a"), (1, "b"), (2, "c")] {
        cluster.append("orders", partition, [value]);
    }
    assert_eq!(consume(&cluster, &["orders", "-p", "0,2", "--end"]).stdout, "a\nc\n");
    let ended = consume(&cluster, &["orders", "-p", "7", "--end"]);
    assert_eq!(ended.error(), "topic orders has no partition 7; it has 3 of them");
}
