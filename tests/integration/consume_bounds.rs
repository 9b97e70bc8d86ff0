//! `kq consume` where it starts, where it ends, and what it waits for: backlogs, times, rebalances, topics that come and go.

use std::time::Duration;

use crate::support::{CONT, Cluster, Kq, Running, STOP, is_full, numbers, wait_until};

/// The limit of a wait.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_time_that_has_passed_ends_nothing_in_the_middle_of_a_backlog() {
    let cluster = Cluster::get();
    let topic = cluster.create("backlog", 4);
    let lines: String = (0..150_000).map(|n| format!("{n:0120}\n")).collect();
    cluster.kq(["produce", &topic]).stdin(&lines).run().success();
    // Until a moment ago, when nothing was written any more.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    let until = format!("@{}", now.as_millis() + 1);
    for more in [&[][..], &["-g", &cluster.topic("group")]] {
        let out = cluster.kq(["consume", &topic, "--until", &until]).args(more).run().success();
        assert_eq!(out.lines().len(), 150_000);
    }
}

#[test]
fn a_broker_that_stalls_is_no_end_of_the_records() {
    let cluster = Cluster::embedded();
    let topic = cluster.create("idle", 1);
    let lines: String = (0..300_000).map(|n| format!("{n:0120}\n")).collect();
    cluster.kq(["produce", &topic]).stdin(&lines).run().success();
    let running = cluster.kq(["consume", &topic, "--idle", "1s", "--stall-timeout", "4s"]).spawn();
    running.wait_until_stdout("a beginning", |bytes| !bytes.is_empty());
    cluster.broker().signal(STOP);
    let out = running.wait();
    cluster.broker().signal(CONT);
    if out.stdout.len() == lines.len() {
        // All of it was fetched before the broker was stopped.
        return drop(out.success());
    }
    out.status(2).stderr_has("stalled");
}

#[test]
fn a_member_waits_for_its_share_while_one_that_died_is_missed() {
    let cluster = Cluster::get();
    let topic = cluster.create("died", 1);
    let group = cluster.topic("group");
    cluster.kq(["produce", &topic]).stdin(numbers(0, 5)).run().success();
    // Longer than a member without a partition waits for one.
    let session = ["-X", "session.timeout.ms=14000"];
    let first = cluster.kq(["consume", &topic, "-g", &group]).args(session).spawn();
    first.wait_for_stdout("4");
    first.kill();
    let second = cluster.kq(["consume", &topic, "-g", &group, "-n", "5"]).args(session).run().success();
    second.stdout(numbers(0, 5)).stderr_has("has not let this member in yet");
}

#[test]
fn a_start_beyond_the_end_waits_for_its_offset() {
    let cluster = Cluster::get();
    let topic = cluster.create("beyond", 1);
    cluster.kq(["produce", &topic]).stdin(numbers(0, 10)).run().success();
    cluster.kq(["consume", &topic, "-o", "12", "-e"]).run().success().stdout("").stderr("");
    let running = cluster.kq(["consume", &topic, "-o", "12", "-n", "2", "-v"]).spawn();
    running.wait_for_stderr("from 12; its end is 10");
    cluster.kq(["produce", &topic]).stdin(numbers(10, 15)).run().success();
    running.wait().success().stdout("12\n13\n");
}

#[test]
fn a_start_at_the_end_is_the_end_of_the_first_time() {
    let cluster = Cluster::get();
    let topic = cluster.create("once", 1);
    let group = cluster.topic("group");
    cluster.kq(["produce", &topic]).stdin(numbers(0, 10)).run().success();
    let running = cluster
        .kq(["consume", &topic, "-g", &group, "-o", "end", "-v", "-X", "session.timeout.ms=6000"])
        .spawn();
    running.wait_for_stderr("assigned: ");
    running.signal(STOP);
    // Another one gets the partition once the group has thrown it out, and commits nothing.
    cluster.kq(["consume", &topic, "-g", &group, "-o", "end", "--idle", "1s"]).run().success().stdout("");
    cluster.kq(["produce", &topic]).stdin("while away\n").run().success();
    running.signal(CONT);
    running.wait_for_stdout("while away");
    running.terminate();
    running.wait().success();
}

#[test]
fn an_offset_of_the_group_beyond_the_end_is_said_with_an_end_too() {
    let cluster = Cluster::get();
    let topic = cluster.create("recreated", 1);
    let group = cluster.topic("group");
    cluster.kq(["produce", &topic]).stdin(numbers(0, 20)).run().success();
    cluster.kq(["consume", &topic, "-g", &group, "-e"]).run().success();
    cluster.kq(["topic", "delete", &topic]).run().success();
    cluster.kq(["topic", "create", &topic, "-p", "1"]).run().success();
    cluster.kq(["produce", &topic]).stdin(numbers(0, 5)).run().success();
    // Apache Kafka forgets a group's offsets with the topic, the embedded broker may keep them.
    let out = cluster.kq(["consume", &topic, "-g", &group, "-e"]).run();
    assert_eq!(out.text(), numbers(0, 5), "{out}");
    assert_eq!(out.code() == 1, out.stderr.contains("beyond the end"), "{out}");
}

#[test]
fn a_topic_that_is_deleted_while_it_is_read_is_an_error() {
    let cluster = Cluster::get();
    let topic = cluster.create("deleted", 1);
    cluster.kq(["produce", &topic]).stdin("1\n").run().success();
    let running = cluster.kq(["consume", &topic, "-n", "2", "--timeout", "1s"]).spawn();
    running.wait_for_stdout("1");
    cluster.kq(["topic", "delete", &topic]).run().success();
    running.wait().status(2).stderr_has(&format!("topic {topic} does not exist any more"));
}

#[test]
fn a_pattern_means_the_same_with_and_without_a_group() {
    let cluster = Cluster::get();
    let one = cluster.create("orders-1", 1);
    let other = one.replace("orders-1", "misc");
    cluster.kq(["topic", "create", &other, "-p", "1"]).run().success();
    cluster.kq(["produce", &one]).stdin("order\n").run().success();
    cluster.kq(["produce", &other]).stdin("misc\n").run().success();
    let rest = &one["orders-1".len()..];
    let pattern = format!(r"^(?:misc|orders-\d){rest}$");
    for more in [&[][..], &["-g", &cluster.topic("group")]] {
        let out = cluster.kq(["consume", &pattern, "-e"]).args(more).run().success();
        let mut lines = out.lines();
        lines.sort_unstable();
        assert_eq!(lines, ["misc", "order"]);
    }
    let none = cluster.kq(["consume", "^nope-.*", "-g", &cluster.topic("group"), "-n", "1"]).run();
    none.status(2).stderr_has("no topic matches");
    cluster.kq(["consume", "-e"]).env("KQ_TOPIC", &pattern).run().success();
    cluster
        .kq(["consume", &one, &one, "-e", "-g", &cluster.topic("group")])
        .run()
        .success()
        .stdout("order\n");
}

#[test]
fn topics_and_partitions_that_come_later_are_read_too() {
    let cluster = Cluster::get();
    let topic = cluster.create("grows", 1);
    let pattern = format!("^{topic}.*");
    let group = cluster.topic("group");
    let plain = cluster.kq(["consume", &pattern]).limit(Duration::from_secs(90)).spawn();
    let member = cluster.kq(["consume", &pattern, "-g", &group]).limit(Duration::from_secs(90)).spawn();
    cluster.kq(["produce", &topic]).stdin("first\n").run().success();
    for running in [&plain, &member] {
        running.wait_for_stdout("first");
    }
    let later = format!("{topic}-later");
    cluster.kq(["topic", "create", &later, "-p", "1"]).run().success();
    cluster.kq(["produce", &later]).stdin("later\n").run().success();
    cluster.kq(["topic", "alter", &topic, "--partitions", "2"]).run().success();
    cluster.kq(["produce", &topic, "-p", "1"]).stdin("second\n").run().success();
    plain.wait_for_stdout("second");
    for running in [plain, member] {
        running.wait_for_stdout("later");
        running.terminate();
        running.wait().success();
    }
}

#[test]
fn a_filter_that_lets_little_through_holds_nothing_back() {
    let cluster = Cluster::get();
    let topic = cluster.create("rare", 1);
    let lines = format!("FIRST\n{}", "x\n".repeat(2_000_000));
    cluster.kq(["produce", &topic]).stdin(lines).limit(Duration::from_secs(90)).run().success();
    let line = format!("kq consume {topic} --grep FIRST | head -n 1");
    // The reader has gone long before all of it is read.
    cluster.program("sh", ["-c", &line]).run().success().stdout("FIRST\n");
    let running =
        cluster.kq(["consume", &topic, "--grep", "FIRST", "-e"]).limit(Duration::from_secs(90)).spawn();
    running.wait_for_stdout("FIRST");
    running.wait().success().stdout("FIRST\n");
}

#[test]
fn a_signal_while_it_connects_ends_it() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = silent.local_addr().expect("an address").to_string();
    for command in [&["consume", "t"][..], &["worker", "t", "--", "cat"]] {
        let running = Kq::new(["-b", &address, "--timeout", "60s"]).args(command).spawn();
        running.wait_for_stderr("trying for");
        running.terminate();
        running.wait().status(143).stderr_has("stopped by signal 15 before anything was done");
    }
}

/// `kq consume` into a full pipe that is not read.
#[track_caller]
fn standing_still(kq: Kq) -> (std::io::PipeReader, Running) {
    let (reader, writer) = std::io::pipe().unwrap();
    let held = writer.try_clone().unwrap();
    let running = kq.stdout_to(writer).spawn();
    wait_until("the pipe is full", LONG, || is_full(&held));
    (reader, running)
}

#[test]
fn a_reader_that_stands_still_does_not_keep_a_signal_from_ending_it() {
    let cluster = Cluster::get();
    let topic = cluster.create("still", 1);
    let group = cluster.topic("group");
    cluster.kq(["produce", &topic]).stdin(numbers(0, 100_000)).run().success();
    let (reader, running) =
        standing_still(cluster.kq(["consume", &topic, "-g", &group, "--close-timeout", "500ms"]));
    running.terminate();
    running.wait().status(143).stderr_has("stdout takes nothing");
    drop(reader);
}

#[test]
fn a_reader_that_is_slow_gets_all_of_it_after_a_signal() {
    let cluster = Cluster::get();
    let topic = cluster.create("slow", 1);
    cluster.kq(["produce", &topic]).stdin(numbers(0, 60_000)).run().success();
    let (mut reader, running) = standing_still(cluster.kq(["consume", &topic, "--close-timeout", "300ms"]));
    running.terminate();
    // What is taken is written, however long that takes in all: longer than the time-out, at this pace.
    let mut piece = [0; 16 << 10];
    while std::io::Read::read(&mut reader, &mut piece).unwrap() > 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    running.wait().success().stderr_lacks("takes nothing");
}

#[test]
fn a_start_beyond_the_end_is_waited_for_in_the_next_run_too() {
    let cluster = Cluster::get();
    let topic = cluster.create("beyond", 1);
    let group = cluster.topic("group");
    let run = || cluster.kq(["consume", &topic, "-g", &group, "--from", "3", "-e"]).run().success();
    cluster.kq(["produce", &topic]).stdin(numbers(0, 1)).run().success();
    run().stdout("");
    cluster.kq(["produce", &topic]).stdin(numbers(1, 5)).run().success();
    run().stdout(numbers(3, 5));
}
