//! Offsets that are no longer in the topic, or not yet: reported, counted in the status, and skipped once.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{CONT, Cluster, Kq, Output, STOP, numbers, wait_until};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);

/// Commits this offset of partition 0 for a group without members.
#[track_caller]
fn commit(cluster: &Cluster, topic: &str, group: &str, offset: i64) {
    let config =
        ClientConfig::new().set("bootstrap.servers", cluster.brokers()).set("group.id", group).clone();
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("a place");
    consumer.commit(&list, CommitMode::Sync).expect("commit");
}

/// What a group has committed for partition 0, and that partition's end.
#[track_caller]
fn committed_and_end(cluster: &Cluster, topic: &str, group: &str) -> (Offset, Offset) {
    let config =
        ClientConfig::new().set("bootstrap.servers", cluster.brokers()).set("group.id", group).clone();
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let committed = consumer.committed_offsets(list, PATIENCE).expect("committed offsets");
    let (_, end) = consumer.fetch_watermarks(topic, 0, PATIENCE).expect("watermarks");
    (committed.elements()[0].offset(), Offset::Offset(end))
}

/// Demands that the group has committed the end of partition 0.
#[track_caller]
fn no_lag(cluster: &Cluster, topic: &str, group: &str) {
    let (committed, end) = committed_and_end(cluster, topic, group);
    assert_eq!(committed, end, "committed by {group}");
}

/// `kq worker` that prints each value, one record at a time.
fn worker(cluster: &Cluster, topic: &str, group: &str) -> Kq {
    cluster.kq(["worker", topic, "-g", group, "-j", "1"])
}

const PRINT: [&str; 4] = ["--", "sh", "-c", "echo $KQ_RECORD_PARTITION:$(cat)"];

#[test]
fn a_gap_before_the_first_record_is_said_once() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("gone", 1), cluster.topic("g"));
    cluster.kq(["produce", &topic]).stdin(numbers(0, 900)).run().success();
    let consume = |more: &[&str]| cluster.kq(["consume", &topic]).args(more).run();
    consume(&["-g", &group, "-n", "500"]).success().stdout(numbers(0, 500));
    cluster.delete_records(&topic, 0, 812);
    let gone = format!("{topic}[0]: 500..812 gone");
    consume(&["-g", &group, "-e"]).status(1).stderr_has(&gone).stdout(numbers(812, 900));
    consume(&["-g", &group, "-e"]).success().stderr_lacks("gone").stdout("");
    // Without a group only who asks for them misses them.
    consume(&["-e"]).success().stderr_lacks("gone").stdout(numbers(812, 900));
    let asked = consume(&["-e", "-o", "800"]).status(1).stdout(numbers(812, 900));
    asked.stderr_has(&format!("{topic}[0]: 800..812 gone"));
}

#[test]
fn a_gap_up_to_the_end_is_said_once() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("gone", 1), cluster.topic("g"));
    let workers = cluster.topic("g");
    cluster.kq(["produce", &topic]).stdin("0\n").run().success();
    let consume = || cluster.kq(["consume", &topic, "-g", &group, "-e"]).run();
    let worker = || worker(&cluster, &topic, &workers).arg("-e").args(PRINT).run();
    consume().success().stdout("0\n");
    worker().success().stdout("0:0\n");
    cluster.kq(["produce", &topic]).stdin(numbers(1, 100)).run().success();
    cluster.delete_records(&topic, 0, 100);
    let gone = format!("{topic}[0]: 1..100 gone");
    consume().status(1).stderr_has(&gone).stdout("");
    worker().status(1).stderr_has(&gone).stdout("");
    no_lag(&cluster, &topic, &group);
    no_lag(&cluster, &topic, &workers);
    consume().success().stderr_lacks("gone");
    worker().success().stderr_lacks("gone");
}

#[test]
fn a_worker_goes_on_after_a_gap_before_its_first_record() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("gone", 1), cluster.topic("g"));
    cluster.kq(["produce", &topic]).stdin(numbers(0, 60)).run().success();
    let run = |stop: &[&str]| worker(&cluster, &topic, &group).args(stop).args(PRINT).run();
    run(&["-n", "20"]).success();
    cluster.delete_records(&topic, 0, 50);
    let rest: String = (50..60).map(|n| format!("0:{n}\n")).collect();
    run(&["-e"]).status(1).stderr_has(&format!("{topic}[0]: 20..50 gone")).stdout(rest);
    run(&["-e"]).success().stderr_lacks("gone").stdout("");
    no_lag(&cluster, &topic, &group);
}

/// Reads while retention takes records from under it, and continues with both partitions.
#[track_caller]
fn overtaken(cluster: &Cluster, topic: &str, reader: Kq) -> Output {
    let produce = |partition: &str, from: usize, to: usize| {
        cluster.kq(["produce", topic, "-p", partition]).stdin(numbers(from, to)).run().success();
    };
    produce("0", 0, 20);
    let reader = reader.spawn();
    let lines = || reader.stdout_so_far().iter().filter(|&&b| b == b'\n').count();
    wait_until("the first twenty", PATIENCE, || lines() == 20);
    // Stopped: what it has asked for already may still reach it, and nothing after that.
    reader.signal(STOP);
    produce("0", 20, 40);
    produce("0", 40, 60);
    cluster.delete_records(topic, 0, 50);
    produce("1", 0, 5);
    reader.signal(CONT);
    reader.wait_for_stdout("0:59");
    reader.wait_for_stdout("1:4");
    reader.terminate();
    let output = reader.wait().status(1);
    let from = if output.stderr.contains(&format!("{topic}[0]: 20..50 gone")) { 20 } else { 40 };
    let output = output.stderr_has(&format!("{topic}[0]: {from}..50 gone"));
    let expected = (0..from).chain(50..60).map(|n| format!("0:{n}")).chain((0..5).map(|n| format!("1:{n}")));
    let read: BTreeSet<_> = output.lines().into_iter().map(str::to_owned).collect();
    assert_eq!(read, expected.collect(), "{output}");
    assert_eq!(read.len(), output.lines().len(), "each once: {output}");
    output
}

#[test]
fn a_reader_without_a_group_that_is_overtaken_goes_on() {
    let cluster = Cluster::get();
    let topic = cluster.create("gone", 2);
    overtaken(&cluster, &topic, cluster.kq(["consume", &topic, "-f", "%p:%s\\n"]));
}

#[test]
fn a_member_that_is_overtaken_goes_on() {
    let cluster = Cluster::get();
    for assignor in ["cooperative-sticky", "range"] {
        let (topic, group) = (cluster.create("gone", 2), cluster.topic("g"));
        let reader = cluster.kq(["consume", &topic, "-g", &group, "--assignor", assignor, "-f", "%p:%s\\n"]);
        overtaken(&cluster, &topic, reader);
        no_lag(&cluster, &topic, &group);
    }
}

#[test]
fn a_worker_that_is_overtaken_goes_on() {
    let cluster = Cluster::get();
    for assignor in ["cooperative-sticky", "range"] {
        let (topic, group) = (cluster.create("gone", 2), cluster.topic("g"));
        let reader = worker(&cluster, &topic, &group).args(["--assignor", assignor]).args(PRINT);
        overtaken(&cluster, &topic, reader);
        no_lag(&cluster, &topic, &group);
    }
}

/// As after a topic was recreated under its old name.
#[test]
fn an_offset_past_the_end_is_said_and_all_that_is_there_is_read() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("recreated", 1), cluster.topic("g"));
    cluster.kq(["produce", &topic]).stdin(numbers(0, 10)).run().success();
    for reader in [
        cluster.kq(["consume", &topic, "-g", &group, "-n", "10", "-f", "0:%s\n"]),
        worker(&cluster, &topic, &group).args(["-n", "10"]).args(PRINT),
    ] {
        commit(&cluster, &topic, &group, 1000);
        let all: String = (0..10).map(|n| format!("0:{n}\n")).collect();
        reader
            .run()
            .demand("that it said so", |o| o.stderr.contains("1000") && o.stderr.contains("end 10"))
            .stdout(all);
        no_lag(&cluster, &topic, &group);
    }
}

#[test]
fn a_reader_that_went_back_commits_what_it_reads_though_the_group_was_further_on() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("back", 1), cluster.topic("g"));
    cluster.kq(["produce", &topic]).stdin(numbers(0, 10)).run().success();
    for reader in [
        cluster.kq(["consume", &topic, "-g", &group, "-f", "0:%s\n"]),
        cluster.kq(["consume", &topic, "-g", &group, "--until", "20", "-f", "0:%s\n"]),
        worker(&cluster, &topic, &group).args(PRINT),
    ] {
        commit(&cluster, &topic, &group, 1000);
        let reader = reader.env("KQ_X", "session.timeout.ms=1500,heartbeat.interval.ms=300").spawn();
        reader.wait_for_stdout("0:9");
        // A clean end would settle it. Killed before, it must not leave the group past what was never read.
        wait_until("the group stands at the end", PATIENCE, || {
            let (committed, end) = committed_and_end(&cluster, &topic, &group);
            committed == end
        });
        reader.kill();
        let members =
            || cluster.kq(["consume", &topic, "-g", &group, "--reset", "--from", "end", "-e"]).run().code();
        wait_until("the group has no member", PATIENCE, || members() == 0);
    }
}

/// Both commands in a group, one record at a time, each value on a line.
fn readers(cluster: &Cluster, topic: &str, group: &str, more: &[&str]) -> [Kq; 2] {
    [
        cluster.kq(["consume", topic, "-g", group, "-f", "0:%s\n"]).args(more),
        worker(cluster, topic, group).args(more).args(PRINT),
    ]
}

/// The numbers as [`readers`] print them.
fn printed(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("0:{n}\n")).collect()
}

#[test]
fn a_log_that_is_shorter_than_what_was_read_is_a_failure_for_both() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("shorter", 1), cluster.topic("g"));
    cluster.kq(["produce", &topic]).stdin(numbers(0, 10)).run().success();
    let beyond = format!("{topic}[0]: offset 1000 is beyond the end 10: ");
    for stop in [&["-n", "10"][..], &["-e"]] {
        for reader in readers(&cluster, &topic, &group, stop) {
            commit(&cluster, &topic, &group, 1000);
            reader.run().status(1).stderr_has(&beyond).stdout(printed(0, 10));
            no_lag(&cluster, &topic, &group);
        }
    }
}

#[test]
fn what_is_gone_counts_as_far_as_it_was_asked_for() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("until", 1), cluster.topic("g"));
    cluster.kq(["produce", &topic]).stdin(numbers(0, 60)).run().success();
    cluster.delete_records(&topic, 0, 50);
    for reader in readers(&cluster, &topic, &group, &["--until", "30"]) {
        commit(&cluster, &topic, &group, 20);
        reader.run().status(1).stderr_has(&format!("{topic}[0]: 20..30 gone")).stdout("");
    }
}

#[test]
fn a_start_that_is_gone_already_is_said_by_both() {
    let cluster = Cluster::get();
    let topic = cluster.create("start", 1);
    cluster.kq(["produce", &topic]).stdin(numbers(0, 60)).run().success();
    cluster.delete_records(&topic, 0, 50);
    let said = |from: &str, status, gone: &str| {
        for which in 0..2 {
            let group = cluster.topic("g");
            let [consume, worker] = readers(&cluster, &topic, &group, &["-o", from, "-e"]);
            let reader = if which == 0 { consume } else { worker };
            let output = reader.run().status(status).stdout(printed(50, 60));
            assert_eq!(output.stderr.contains("gone"), !gone.is_empty(), "{output}");
            output.stderr_has(gone);
        }
    };
    said("7", 1, &format!("{topic}[0]: 7..50 gone"));
    said("beginning", 0, "");
}

#[test]
fn a_start_beyond_the_end_is_waited_for_by_both() {
    let cluster = Cluster::get();
    let topic = cluster.create("beyond", 1);
    cluster.kq(["produce", &topic]).stdin(numbers(0, 10)).run().success();
    let groups = [cluster.topic("a"), cluster.topic("b")];
    let more = ["-o", "13", "-n", "2", "-v"];
    let [consume, _] = readers(&cluster, &topic, &groups[0], &more);
    let [_, worker] = readers(&cluster, &topic, &groups[1], &more);
    let running = [consume.spawn(), worker.spawn()];
    for reader in &running {
        reader.wait_for_stderr("assigned: ");
    }
    for n in 10..15 {
        cluster.kq(["produce", &topic]).stdin(numbers(n, n + 1)).run().success();
    }
    for reader in running {
        reader.wait().success().stdout(printed(13, 15));
    }
}

#[test]
fn a_time_that_is_to_come_ends_both_once_it_has_passed() {
    let cluster = Cluster::get();
    let topic = cluster.create("time", 1);
    cluster.kq(["produce", &topic]).stdin(numbers(0, 5)).run().success();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let until = (now + Duration::from_secs(6)).as_millis();
    let until = format!("@{until}");
    let groups = [cluster.topic("a"), cluster.topic("b")];
    let [consume, _] = readers(&cluster, &topic, &groups[0], &["--until", &until]);
    let [_, worker] = readers(&cluster, &topic, &groups[1], &["--until", &until]);
    let running = [consume.spawn(), worker.spawn()];
    for reader in &running {
        reader.wait_for_stdout("0:4");
    }
    cluster.kq(["produce", &topic]).stdin(numbers(5, 6)).run().success();
    for reader in running {
        reader.wait().success().stdout(printed(0, 6));
    }
}
