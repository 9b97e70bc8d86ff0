//! A consume as a member of a group that rebalances.

use super::*;

#[test]
fn a_partition_that_comes_and_goes_is_read_once() {
    let cluster = orders();
    let assign = || Step::Assign(vec![("orders", 0)]);
    let revoke = || Step::Revoke(vec![("orders", 0)]);
    cluster.then([assign(), Step::Records(1), revoke(), assign(), Step::Records(2), revoke(), assign()]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"));
    let stored = ["store orders[0]@1", "store orders[0]@3", "store orders[0]@4"];
    assert_eq!(cluster.calls_of("store"), stored);
}

#[test]
fn records_of_a_partition_that_left_are_read_by_its_next_owner() {
    let cluster = Cluster::new().with_topic("orders", 2);
    cluster.append("orders", 0, ["a", "b"]);
    cluster.append("orders", 1, ["c"]);
    cluster.then([
        Step::Assign(vec![("orders", 0), ("orders", 1)]),
        Step::Records(1),
        Step::Revoke(vec![("orders", 0)]),
        Step::Records(9),
    ]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nc\n"));
    assert_eq!(cluster.committed("orders", 0), Some(1));
}

#[test]
fn a_start_that_was_not_committed_holds_when_the_partition_comes_back() {
    let cluster = orders();
    cluster.then([
        Step::Assign(vec![("orders", 0)]),
        Step::Revoke(vec![("orders", 0)]),
        Step::Do(Box::new(|cluster| cluster.append("orders", 0, ["e"]))),
        Step::Assign(vec![("orders", 0)]),
    ]);
    let ended = consume(&cluster, &["orders", "-g", "g", "-o", "end", "-c", "1"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "e\n"));
}

#[test]
fn of_lost_partitions_nothing_is_stored_and_the_rest_is() {
    let cluster = Cluster::new().with_topic("orders", 2);
    cluster.append("orders", 0, ["a", "b"]);
    cluster.append("orders", 1, ["c"]);
    cluster.then([
        Step::Assign(vec![("orders", 0), ("orders", 1)]),
        Step::Records(2),
        Step::Lose(vec![("orders", 0)]),
    ]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\n"));
    assert_eq!((cluster.committed("orders", 0), cluster.committed("orders", 1)), (None, Some(1)));
}

#[test]
fn a_member_that_gets_nothing_ends_with_a_note() {
    let cluster = orders();
    cluster.then([Step::Assign(Vec::new())]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, ""));
    assert_eq!(ended.stderr, format!("kq: {}\n", crate::reading::membership::LEFT_OUT));
    assert_eq!(cluster.clock().passed().as_secs(), 10);
}

#[test]
fn a_join_that_takes_long_is_noted_once() {
    let cluster = orders();
    cluster.then((0..400).map(|_| Step::Nothing));
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"));
    assert_eq!(ended.stderr, format!("kq: {}\n", crate::reading::membership::JOINING));
}

/// Reads all four records; then polls during the last commit take these steps.
fn ends_in_a_rebalance(refusals: usize, steps: impl IntoIterator<Item = Step>) -> (Cluster, Ended) {
    let cluster = orders();
    cluster.then([Step::Records(9)]);
    cluster.then(steps);
    cluster.refuse(Question::Commit, vec![Code::IllegalGeneration; refusals]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!(ended.stdout, "a\nb\nc\nd\n");
    (cluster, ended)
}

#[test]
fn the_last_commit_is_tried_again_during_a_rebalance() {
    let (cluster, ended) = ends_in_a_rebalance(2, []);
    assert_eq!((ended.status(), &*ended.stderr), (0, ""));
    assert_eq!(cluster.calls_of("commit_stored").len(), 3);
    assert_eq!(cluster.committed("orders", 0), Some(4));
}

#[test]
fn partitions_that_leave_during_the_last_commit_are_committed_as_they_do() {
    let (cluster, ended) = ends_in_a_rebalance(2, [Step::Revoke(vec![("orders", 0)]), Step::Nothing]);
    assert_eq!((ended.status(), &*ended.stderr), (0, ""));
    assert_eq!(cluster.committed("orders", 0), Some(4));
}

#[test]
fn partitions_that_are_lost_during_the_last_commit_are_read_again() {
    let (cluster, ended) = ends_in_a_rebalance(2, [Step::Lose(vec![("orders", 0)]), Step::Nothing]);
    assert_eq!(ended.status(), 1);
    assert!(ended.stderr.contains("the last commit of group g failed"), "{}", ended.stderr);
    assert!(ended.stderr.contains("records of orders may be read again"), "{}", ended.stderr);
    assert_eq!(cluster.committed("orders", 0), None);
}

#[test]
fn a_rebalance_without_end_fails_the_last_commit_after_the_close_timeout() {
    let (cluster, ended) = ends_in_a_rebalance(1000, []);
    assert_eq!(ended.status(), 1);
    assert!(ended.stderr.contains("records of orders may be read again"), "{}", ended.stderr);
    assert_eq!(cluster.clock().passed().as_secs(), 5);
}

#[test]
fn a_signal_commits_what_was_written() {
    let (cluster, run) = (orders(), Run::default());
    let shutdown = run.shutdown.clone();
    cluster.then([Step::Records(2), Step::Do(Box::new(move |_| shutdown.request(15))), Step::Records(1)]);
    let ended = run.consume(&cluster, &["orders", "-g", "g", "-c", "9"]);
    assert_eq!((ended.status(), &*ended.stdout), (128 + 15, "a\nb\nc\n"));
    assert_eq!(ended.stderr, "kq: stopped by signal 15 after 3 records; last: orders[0]@2\n");
    assert_eq!(cluster.committed("orders", 0), Some(3));
}

#[test]
fn a_group_that_waits_for_who_has_left_is_said_and_changes_no_status() {
    for (held, note) in [
        (4, ""),
        (
            6,
            "kq: left the group without an answer: the group waits up to session.timeout.ms (45 s) for this \
             member\n",
        ),
    ] {
        let cluster = orders();
        cluster.hold_joins(Duration::from_secs(held));
        let ended = consume(&cluster, &["orders", "-g", "g", "--end", "--close-timeout", "5s"]);
        assert_eq!((ended.status(), &*ended.stdout, &*ended.stderr), (0, "a\nb\nc\nd\n", note));
        assert_eq!(cluster.committed("orders", 0), Some(4));
    }
}
