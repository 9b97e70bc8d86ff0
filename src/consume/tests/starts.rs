//! Where a consume starts and stops in a partition.

use super::*;

#[test]
fn a_start_of_each_kind_is_where_it_was_asked_for() {
    for (from, stdout) in [
        ("beginning", "a\nb\nc\nd\n"),
        ("end", ""),
        ("0", "a\nb\nc\nd\n"),
        ("2", "c\nd\n"),
        ("4", ""),
        ("-1", "d\n"),
        ("-9", "a\nb\nc\nd\n"),
        ("@3ms", "d\n"),
        ("@0", "a\nb\nc\nd\n"),
        ("@99ms", ""),
    ] {
        let ended = consume(&orders(), &["orders", "-o", from, "--end"]);
        assert_eq!((ended.status(), &*ended.stdout, &*ended.stderr), (0, stdout, ""), "{from}");
        let ended = consume(&orders(), &["orders", "-g", "g", "-o", from, "--end"]);
        assert_eq!((ended.status(), &*ended.stdout, &*ended.stderr), (0, stdout, ""), "{from} in a group");
    }
}

#[test]
fn a_start_holds_where_the_group_has_committed_nothing() {
    let cluster = orders();
    cluster.commit("orders", 0, 3);
    for from in ["beginning", "stored", "1"] {
        let ended = consume(&cluster, &["orders", "-g", "g", "-o", from, "--end"]);
        assert_eq!((ended.status(), &*ended.stdout), (0, "d\n"), "{from}");
        cluster.commit("orders", 0, 3);
    }
    let ended = consume(&orders(), &["orders", "-g", "g", "-o", "stored", "--end"]);
    assert_eq!(&*ended.stdout, "a\nb\nc\nd\n");
}

#[test]
fn a_start_past_the_end_waits_for_that_offset() {
    let cluster = orders();
    cluster
        .then([Step::Records(1), Step::Do(Box::new(|cluster| cluster.append("orders", 0, ["e", "f", "g"])))]);
    let ended = consume(&cluster, &["orders", "-o", "6", "-c", "1"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "g\n"));
}

#[test]
fn a_start_below_the_first_record_is_counted_up_to_where_it_was_asked_for() {
    for (until, stdout, said) in [("end", "d\n", "orders[0]: 1..3 gone"), ("2", "", "orders[0]: 1..2 gone")] {
        let cluster = orders();
        cluster.expire("orders", 0, 3);
        let ended = consume(&cluster, &["orders", "-o", "1", "--until", until]);
        assert_eq!((ended.status(), &*ended.stdout), (1, stdout), "{until}");
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

#[test]
fn a_committed_offset_past_the_end_is_reported_and_read_from_the_first_record() {
    let cluster = orders();
    cluster.commit("orders", 0, 9);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.status(), &*ended.stdout), (1, "a\nb\nc\nd\n"));
    assert!(ended.stderr.contains("offset 9 is beyond the end 4"), "{}", ended.stderr);
    assert_eq!(cluster.calls_of("commit"), ["commit orders[0]@0"]);
    assert_eq!(cluster.committed("orders", 0), Some(4));
}

#[test]
fn an_end_of_each_kind_is_exclusive() {
    for (until, stdout) in [
        ("end", "a\nb\nc\nd\n"),
        ("0", ""),
        ("2", "a\nb\n"),
        ("@1ms", "a\n"),
        ("@0", ""),
        ("4", "a\nb\nc\nd\n"),
    ] {
        let ended = consume(&orders(), &["orders", "--until", until]);
        assert_eq!((ended.status(), &*ended.stdout), (0, stdout), "{until}");
        let cluster = orders();
        let ended = consume(&cluster, &["orders", "-g", "g", "--until", until]);
        assert_eq!((ended.status(), &*ended.stdout), (0, stdout), "{until} in a group");
        assert_eq!(cluster.committed("orders", 0), Some(stdout.len() as i64 / 2), "{until}");
    }
}

#[test]
fn an_end_stays_what_it_was_when_reading_began() {
    let cluster = orders();
    cluster.then([Step::Records(1), Step::Do(Box::new(|cluster| cluster.append("orders", 0, ["e"])))]);
    assert_eq!(consume(&cluster, &["orders", "--end"]).stdout, "a\nb\nc\nd\n");
}

#[test]
fn an_offset_that_is_not_there_yet_is_waited_for() {
    let cluster = orders();
    cluster.then([
        Step::Records(9),
        Step::Nothing,
        Step::Do(Box::new(|cluster| cluster.append("orders", 0, ["e", "f"]))),
    ]);
    assert_eq!(consume(&cluster, &["orders", "--until", "5"]).stdout, "a\nb\nc\nd\ne\n");
}

#[test]
fn a_time_to_come_ends_when_the_clock_has_passed_it_or_with_the_first_record_after_it() {
    let cluster = orders();
    let ended = consume(&cluster, &["orders", "--until", "@3s"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"));
    let passed = cluster.clock().passed();
    assert!((Duration::from_secs(3)..Duration::from_millis(3100)).contains(&passed), "{passed:?}");
    let cluster = orders();
    cluster.then([
        Step::Records(9),
        Step::Do(Box::new(|cluster| {
            cluster.log("orders", 0, |log| log.high = 3000);
            cluster.append("orders", 0, ["later"]);
        })),
    ]);
    let ended = consume(&cluster, &["orders", "--until", "@3s"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"));
    assert!(cluster.clock().passed() < Duration::from_secs(1), "the record ended it");
}

#[test]
fn a_count_is_exact_over_all_partitions_and_counts_what_is_written() {
    let cluster = Cluster::new().with_topic("orders", 2);
    cluster.append("orders", 0, ["a", "x", "c"]);
    cluster.append("orders", 1, ["d", "e"]);
    assert_eq!(consume(&cluster, &["orders", "-c", "4"]).stdout, "a\nx\nc\nd\n");
    assert_eq!(consume(&cluster, &["orders", "-c", "0"]).stdout, "");
    let ended = consume(&cluster, &["orders", "-g", "g", "-c", "2", "--grep", "[a-e]"]);
    assert_eq!(ended.stdout, "a\nc\n");
    assert_eq!((cluster.committed("orders", 0), cluster.committed("orders", 1)), (Some(3), None));
}

#[test]
fn records_that_a_filter_holds_back_are_committed() {
    let cluster = orders();
    let ended = consume(&cluster, &["orders", "-g", "g", "--end", "--grep", "b"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "b\n"));
    assert_eq!(cluster.committed("orders", 0), Some(4));
}

#[test]
fn idleness_is_counted_from_the_last_record() {
    let cluster = orders();
    cluster.then(
        [Step::Records(9)]
            .into_iter()
            .chain((0..80).map(|_| Step::Nothing))
            .chain([Step::Do(Box::new(|cluster| cluster.append("orders", 0, ["e"])))]),
    );
    let ended = consume(&cluster, &["orders", "--idle", "5s"]);
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\ne\n"));
    let passed = cluster.clock().passed();
    assert!((Duration::from_millis(8900)..Duration::from_millis(9200)).contains(&passed), "{passed:?}");
}
