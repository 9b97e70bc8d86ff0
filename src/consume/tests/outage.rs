//! A consume while brokers, leaders and coordinators are away.

use super::*;

/// So many seconds of polls without an event.
fn quiet(seconds: usize) -> impl Iterator<Item = Step> {
    (0..seconds * 20).map(|_| Step::Nothing)
}

/// At which seconds these notes were said.
fn seconds_of(stderr: &str, before: &str) -> Vec<u64> {
    let notes = stderr.lines().filter_map(|line| line.strip_prefix(before));
    notes.map(|rest| rest.split_once(" s: ").unwrap().0.parse().unwrap()).collect()
}

#[test]
fn an_outage_is_noted_after_5_s_and_then_every_10_s_until_it_is_over() {
    let (cluster, run) = (orders(), Run::default());
    // The first question comes at once, then one every 2 s: 17 of them are half a minute.
    cluster.then([Step::Records(9), run.outage(17)]);
    let ended = run.consume(&cluster, &["orders", "--idle", "5s"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"), "{}", ended.stderr);
    assert_eq!(seconds_of(&ended.stderr, "kq: waiting for localhost:9092 since "), [5, 15, 25]);
    assert_eq!(ended.stderr.matches("kq: the cluster answers again\n").count(), 1);
    let passed = cluster.clock().passed();
    assert!(passed > Duration::from_secs(35), "idleness counts from the end of the outage: {passed:?}");
}

#[test]
fn an_outage_that_is_over_within_5_s_is_not_noted() {
    let (cluster, run) = (orders(), Run::default());
    cluster.then([Step::Records(9), run.outage(2)]);
    let ended = run.consume(&cluster, &["orders", "--idle", "10s"]);
    assert_eq!((ended.status(), &*ended.stderr), (0, ""));
}

#[test]
fn with_a_stop_condition_an_outage_ends_it_after_the_stall_timeout() {
    let (cluster, run) = (orders(), Run::default());
    cluster.then([Step::Records(9), run.outage(99)]);
    let ended = run.consume(&cluster, &["orders", "-c", "9", "--stall-timeout", "20s"]);
    assert_eq!((ended.status(), &*ended.stdout), (2, "a\nb\nc\nd\n"));
    assert_eq!(ended.error(), "stalled: no contact to localhost:9092 for 20 s (--stall-timeout): no answer");
}

#[test]
fn without_a_stop_condition_an_outage_is_waited_for_until_a_signal() {
    let (cluster, run) = (orders(), Run::default());
    let shutdown = run.shutdown.clone();
    cluster.then([Step::Records(9), run.outage(999)].into_iter().chain(quiet(120)));
    cluster.then([Step::Do(Box::new(move |_| shutdown.request(15)))]);
    let ended = run.consume(&cluster, &["orders"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"));
    assert_eq!(seconds_of(&ended.stderr, "kq: waiting for localhost:9092 since ").len(), 12);
}

#[test]
fn a_partition_without_a_leader_at_the_start_is_waited_for() {
    for arguments in [&["orders", "--end"][..], &["orders", "-g", "g", "--end"]] {
        let cluster = orders();
        // Five questions a second.
        cluster.refuse(Question::Watermarks, [Code::LeaderNotAvailable; 30]);
        let ended = consume(&cluster, arguments);
        assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"));
        let note = "kq: waiting since 5 s: watermarks of orders[0]: no leader at present";
        assert!(ended.stderr.starts_with(note), "{}", ended.stderr);
    }
}

#[test]
fn a_partition_that_never_gets_a_leader_ends_it_after_the_stall_timeout() {
    let cluster = orders();
    cluster.log("orders", 0, |log| log.is_leaderless = true);
    let ended = consume(&cluster, &["orders", "--end"]);
    assert_eq!(ended.status(), 2);
    assert!(ended.error().contains("watermarks of orders[0]: no leader at present"), "{}", ended.error());
    assert_eq!(seconds_of(&ended.stderr, "kq: waiting since "), [5, 15, 25, 35, 45, 55]);
    assert_eq!(cluster.clock().passed().as_secs(), 60);
}

#[test]
fn a_partition_that_loses_its_leader_is_noted_and_read_on_from() {
    let cluster = orders();
    let elect = |is_leaderless| -> Step {
        Step::Do(Box::new(move |cluster| cluster.log("orders", 0, |log| log.is_leaderless = is_leaderless)))
    };
    cluster.then([Step::Records(2), elect(true)].into_iter().chain(quiet(25)).chain([elect(false)]));
    let ended = consume(&cluster, &["orders", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"));
    assert_eq!(seconds_of(&ended.stderr, "kq: nothing from orders[0] since "), [10, 20]);
}

#[test]
fn a_partition_that_stays_silent_ends_it_after_the_stall_timeout() {
    let cluster = orders();
    cluster.then([
        Step::Records(2),
        Step::Do(Box::new(|cluster| cluster.log("orders", 0, |log| log.is_leaderless = true))),
    ]);
    let ended = consume(&cluster, &["orders", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (2, "a\nb\n"));
    let error = "stalled: nothing from orders[0] for 60 s (--stall-timeout): its leader does not answer";
    assert_eq!(ended.error(), error);
}

#[test]
fn a_coordinator_that_moves_is_asked_again() {
    let cluster = orders();
    cluster.commit("orders", 0, 2);
    cluster.refuse(
        Question::Committed,
        [Code::NotCoordinator, Code::CoordinatorNotAvailable, Code::CoordinatorLoadInProgress],
    );
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout, &*ended.stderr), (0, "c\nd\n", ""));
}

#[test]
fn questions_that_fail_for_a_while_are_asked_again() {
    let cluster = orders();
    cluster.expire("orders", 0, 1);
    cluster.commit("orders", 0, 0);
    cluster.refuse(Question::Watermarks, [Code::OperationTimedOut, Code::NotLeaderForPartition]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (1, "b\nc\nd\n"), "one is gone");
    let cluster = orders();
    cluster.refuse(Question::Times, [Code::BrokerTransportFailure, Code::LeaderNotAvailable]);
    assert_eq!(consume(&cluster, &["orders", "-o", "@2ms", "--end"]).stdout, "c\nd\n");
}

#[test]
fn a_question_is_not_asked_again_after_a_signal() {
    let (cluster, run) = (orders(), Run::default());
    cluster.log("orders", 0, |log| log.is_leaderless = true);
    run.shutdown.request(2);
    let ended = run.consume(&cluster, &["orders", "-o", "end"]);
    assert_eq!((ended.status(), cluster.clock().passed()), (0, Duration::ZERO));
}

#[test]
fn what_is_known_only_later_is_silent_from_then_on_and_not_from_before() {
    type Change = fn(&Cluster);
    let changes: [(&str, Change); 2] = [
        ("^orders", |cluster| cluster.clone().with_topic("orders-b", 1).append("orders-b", 0, ["e"])),
        ("orders", |cluster| {
            cluster.add_partitions("orders", 2);
            cluster.append("orders", 1, ["e"]);
        }),
    ];
    for (topic, change) in changes {
        for flags in [&["-c", "5", "--stall-timeout", "12s"][..], &["-c", "5", "-g", "g"], &[]] {
            if topic == "orders" && flags.contains(&"-g") {
                // Partitions that are added are the client's to find.
                continue;
            }
            let (cluster, run) = (orders(), Run::default());
            let shutdown = run.shutdown.clone();
            // It is found after ten seconds, and nothing comes from it for nine more.
            cluster.then([Step::Records(9)].into_iter().chain(quiet(9)).chain([Step::Do(Box::new(change))]));
            cluster.then(quiet(10).chain([Step::Records(9), Step::Records(9)]));
            cluster.then([Step::Do(Box::new(move |_| shutdown.request(15)))]);
            let ended = run.consume(&cluster, &[&[topic][..], flags].concat());
            let outcome = (ended.status(), &*ended.stdout, &*ended.stderr);
            assert_eq!(outcome, (0, "a\nb\nc\nd\ne\n", ""), "{topic} {flags:?}");
        }
    }
}

#[test]
fn a_coordinator_that_is_away_for_long_is_asked_only_what_leaves_nothing_behind() {
    let (cluster, run) = (orders(), Run::default());
    let causes = Arc::clone(&run.causes);
    cluster.refuse(Question::Coordinator, [Code::OperationTimedOut; 60]);
    cluster.then([Step::Do(Box::new(move |_| {
        causes.error(Code::Resolve, "b:1/7: Failed to resolve 'b:1': Name or service not known");
    }))]);
    cluster.then((0..4000).map(|_| Step::Nothing));
    let ended = run.consume(&cluster, &["orders", "-g", "g", "-n", "4", "--stall-timeout", "10m"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"), "{}", ended.stderr);
    assert!(cluster.asked(Question::Coordinator) > 60);
    assert!(cluster.asked(Question::Members) <= 1, "at the start");
}
