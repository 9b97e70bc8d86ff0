//! `kq worker` as a member of a group: topics by pattern, static members, range, partitions lost, records gone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Cluster, Running, once, runs, topic_with, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(45);

fn lines(path: &Path) -> Vec<String> {
    let mut lines = crate::support::lines(path);
    lines.sort_unstable();
    lines
}

/// A handler that says its pid and never ends.
const HANGS: &str = "echo $$ here >&2; sleep 600";

/// The pid that [`HANGS`] said.
fn hanging(worker: &Running) -> String {
    let said = worker.wait_for_stderr(" here");
    let pid = said.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
    pid.expect("a pid").to_owned()
}

#[test]
fn a_member_without_a_partition_leaves_its_group_when_it_ends() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "idle-member", 1, "a\n");
    let first = cluster.kq(["worker", &topic, "--", "sh", "-c", "cat; echo"]).spawn();
    first.wait_for_stdout("a");
    let group = format!("kq-worker-{topic}");
    cluster
        .kq(["consume", &topic, "-g", &group, "-e"])
        .limit(LONG)
        .run()
        .success()
        .stderr_has("the group's other members have all partitions");
    let others = [["-e", "--timeout=10s"], ["--idle", "1s"]]
        .map(|stop| cluster.kq(["worker", &topic]).args(stop).args(["--", "true"]).limit(LONG).spawn());
    for other in others {
        other.wait().success().stderr_has("have all partitions");
    }
    once(&cluster, &topic, &["--reset", "--from", "end"], &["true"])
        .run()
        .status(2)
        .stderr_has("has 1 member,");
    first.terminate();
    first.wait().success();
}

#[test]
fn a_worker_told_to_end_while_its_group_rebalances_still_commits_what_is_done() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "mid-rebalance", 4, "a\nb\nc\nd\ne\nf\n");
    // Nothing but the last commit commits what partitions that stay had done.
    let first = cluster.kq(["worker", &topic, "-v", "--commit-interval", "1m", "--", "true"]).spawn();
    wait_until("all done", LONG, || first.stderr_so_far().matches(": done").count() == 6);
    let second = cluster.kq(["worker", &topic, "--", "true"]).spawn();
    // It has given the second its share, and the group is to rebalance once more.
    first.wait_for_stderr("kq: revoked: ");
    first.terminate();
    first.wait().success();
    second.terminate();
    second.wait().success().stderr_has("kq: 0 done");
    once(&cluster, &topic, &[], &["true"]).run().success().stderr_has("kq: 0 done");
}

#[test]
fn a_join_that_waits_for_a_dead_member_says_so() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "dead-member", 1, "a\n");
    let flags = ["worker", &topic, "-v", "-X", "session.timeout.ms=20000", "--", "true"];
    let first = cluster.kq(flags).spawn();
    first.wait_for_stderr("kq: assigned: ");
    first.kill();
    let second = cluster.kq(flags).spawn();
    second.wait_for_stderr("the group has not let this member in yet");
    second.terminate();
    second.wait().success();
}

#[test]
fn a_pattern_that_matches_nothing_holds_up_no_worker_that_is_to_end() {
    let cluster = Cluster::get();
    let pattern = format!("^{}-.*", cluster.topic("nothing"));
    for stop in [&["-e"][..], &["-n", "1"], &["--idle", "1s"]] {
        let worker = cluster.kq(["worker", &pattern, "-g", "g"]).args(stop).args(["--", "true"]);
        worker.run().status(2).stderr_has(&format!("no topic matches {pattern}; `kq topic list`"));
    }
    let worker = cluster.kq(["worker", &pattern, "-g", "g", "--", "true"]).spawn();
    worker.wait_for_stderr("yet: waiting for one");
    worker.terminate();
    worker.wait().success();
}

#[test]
fn a_pattern_reads_its_topics_and_those_that_come_later() {
    let cluster = Cluster::get();
    let prefix = cluster.topic("pattern");
    let make = |name: &str, line: &str| {
        let topic = format!("{prefix}-{name}");
        cluster.kq(["topic", "create", &topic, "--partitions", "1"]).run().success();
        cluster.kq(["produce", &topic]).stdin(line).run().success();
    };
    make("a", "1\n");
    make("b", "2\n");
    cluster.kq(["topic", "create", &format!("other-{prefix}"), "--partitions", "1"]).run().success();
    let pattern = format!("^{prefix}-.*");
    cluster.kq(["worker", &pattern, "-e", "--", "cat"]).run().status(2).stderr_has("-g GROUP");
    let worker = cluster
        .kq(["worker", &pattern, "-g", &prefix, "-v", "-X", "topic.metadata.refresh.interval.ms=500"])
        .args(["--", "sh", "-c", "echo $KQ_RECORD_TOPIC $(cat)"])
        .spawn();
    worker.wait_for_stdout(&format!("{prefix}-a 1"));
    worker.wait_for_stdout(&format!("{prefix}-b 2"));
    make("c", "3\n");
    worker.wait_for_stdout(&format!("{prefix}-c 3"));
    worker.terminate();
    worker.wait().success().stderr_lacks("other-");
    once(&cluster, &pattern, &["-g", &prefix], &["cat"]).run().success().stdout("");
    once(&cluster, "^[", &["-g", &prefix], &["cat"]).run().status(2).stderr_has("topic ^[");
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let cluster = Cluster::get();
    let topic = cluster.create("static", 2);
    let start = |name: &str| {
        let worker = cluster
            .kq(["worker", &topic, "--instance-id", name, "-v", "-X", "heartbeat.interval.ms=200"])
            .args(["--", "cat"])
            .spawn();
        worker.wait_for_stderr("assigned:");
        worker
    };
    let first = start("one");
    let second = start("two");
    first.wait_for_stderr("revoked:");
    second.terminate();
    let said = second.wait().success().stderr;
    let line = |text: &str| {
        let found = text.lines().rfind(|line| line.contains("assigned:"));
        let line = found.unwrap_or_else(|| panic!("no assignment in {text}"));
        // Without its time.
        line.split_once("kq: ").map(|(_, said)| said.to_owned())
    };
    let second = start("two");
    for partition in ["0", "1"] {
        cluster.kq(["produce", &topic, "-p", partition]).stdin("x").run().success();
    }
    second.wait_for_stderr("done");
    second.terminate();
    let again = second.wait().success().stdout("x").stderr;
    assert_eq!(line(&said), line(&again), "it has its own partition again");
    first.wait_for_stderr("done");
    first.terminate();
    let first = first.wait().success().stdout("x");
    let turns = |word: &str| first.stderr.matches(word).count();
    assert_eq!((turns("kq: assigned:"), turns("kq: revoked:")), (1, 2), "{first}");
}

#[test]
fn a_fenced_static_member_ends_with_76_and_stores_nothing() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "fenced", 1, "a\n");
    let flags = ["--instance-id", "same", "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=200"];
    let start = |script: &str| {
        cluster.kq(["worker", &topic, "-v"]).args(flags).args(["--", "sh", "-c", script]).limit(LONG).spawn()
    };
    let first = start(HANGS);
    let pid = hanging(&first);
    let second = start("cat; echo again");
    let ended = first.wait().status(76);
    assert!(ended.took < LONG, "{ended}");
    wait_until("its command has ended", LONG, || !runs(&pid));
    // Nothing of it was committed: the one that took over runs the record.
    second.wait_for_stdout("again");
    second.terminate();
    second.wait().success();
}

#[test]
fn members_under_range_share_and_leave_and_repeat_nothing() {
    let cluster = Cluster::get();
    let topic = cluster.create("range", 4);
    let out = tempfile::tempdir().unwrap();
    let log = out.path().join("log");
    let script = format!("read v; echo $v >> {}; sleep 0.02", log.display());
    let start = || {
        let worker = cluster
            .kq(["worker", &topic, "--assignor", "range", "-j", "2", "-v", "-X", "heartbeat.interval.ms=200"])
            .args(["--", "sh", "-c", &script])
            .spawn();
        worker.wait_for_stderr("assigned:");
        worker
    };
    let first = start();
    let second = start();
    for partition in 0..4u32 {
        let part: String =
            (0..200).filter(|i| i % 4 == partition).flat_map(|i| [i.to_string(), "\n".into()]).collect();
        cluster.kq(["produce", &topic, "-p", &partition.to_string()]).stdin(part).run().success();
    }
    wait_until("some are done", LONG, || lines(&log).len() > 60);
    second.terminate();
    second.wait().success().demand("its share of the work", |o| !o.stderr.contains("kq: 0 done"));
    wait_until("all are done", LONG, || lines(&log).len() >= 200);
    // A member that speaks another way is told so.
    let flags = ["-X", "heartbeat.interval.ms=200"];
    once(&cluster, &topic, &flags, &["cat"]).run().status(2).stderr_has("try --assignor range");
    first.terminate();
    first.wait().success();
    let done = lines(&log);
    let mut distinct = done.clone();
    distinct.dedup();
    assert_eq!((done.len(), distinct.len()), (200, 200), "a graceful leave repeats nothing");
}

#[test]
fn partitions_that_are_lost_are_left_to_their_new_owner() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "lost", 1, "a\n");
    let flags = ["-v", "-X", "session.timeout.ms=2000", "-X", "heartbeat.interval.ms=200"];
    let start = |script: &str| {
        cluster.kq(["worker", &topic]).args(flags).args(["--", "sh", "-c", script]).limit(2 * LONG).spawn()
    };
    let first = start("echo $$ here >&2; while [ ! -e go ]; do sleep 0.01; done");
    let pid = hanging(&first);
    // It is silent for longer than its session.
    first.signal(19);
    let second = start("cat; echo again");
    second.wait_for_stdout("again");
    first.signal(18);
    first.wait_for_stderr("partitions lost:");
    wait_until("its command has ended", LONG, || !runs(&pid));
    second.terminate();
    second.wait().success();
    first.terminate();
    first.wait().demand("nothing done", |o| o.stderr.contains("kq: 0 done"));
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("");
}

#[test]
fn records_that_retention_took_are_said_and_counted() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "gap", 1, "0\n1\n2\n3\n4\n5\n");
    cluster.kq(["worker", &topic, "-n", "2", "-j", "1", "--", "cat"]).run().success().stdout("01");
    cluster.delete_records(&topic, 0, 4);
    once(&cluster, &topic, &["-j", "1"], &["cat"])
        .run()
        .status(1)
        .stdout("45")
        .stderr_has(&format!("{topic}[0]: 2..4 gone"))
        .stderr_has("2 gone before they were read");
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("");
}

#[test]
fn records_that_retention_takes_while_others_are_read_are_said_too() {
    let cluster = Cluster::get();
    for assignor in ["cooperative-sticky", "range"] {
        let topic = topic_with(&cluster, "gap", 2, "");
        let fill = |partition: &str, numbers: std::ops::Range<u32>| {
            let numbers: String = numbers.flat_map(|n| [n.to_string(), "\n".into()]).collect();
            cluster.kq(["produce", &topic, "-p", partition]).stdin(numbers).run().success();
        };
        fill("0", 0..20);
        fill("1", 0..40);
        // Ten of partition 0 are taken; it is paused once the other one is done and a job is free.
        let script = "cat >>$KQ_RECORD_PARTITION; echo >>$KQ_RECORD_PARTITION
            [ $KQ_RECORD_PARTITION = 1 ] || { echo here >&2; while [ ! -e go ]; do sleep 0.01; done; }";
        let worker = cluster
            .kq(["worker", &topic, "-vvv", "-j", "2", "--max-span", "10", "--assignor", assignor])
            .args(["-n", "52", "--order", "partition"])
            .args(["--", "sh", "-c", script])
            .limit(LONG)
            .spawn();
        worker.wait_for_stderr("Application pausing");
        let of = |partition: &str| {
            let text = fs::read_to_string(worker.dir().join(partition)).unwrap_or_default();
            text.lines().map(|n| n.parse().expect("a number")).collect::<Vec<u32>>()
        };
        wait_until("the other partition is done", LONG, || of("1").len() == 40);
        fill("0", 20..40);
        cluster.delete_records(&topic, 0, 38);
        fs::write(worker.dir().join("go"), "").unwrap();
        let dir = worker.dir().to_owned();
        let ended = worker.wait().status(1).stderr_has(&format!("{topic}[0]: 10..38 gone"));
        let text = fs::read_to_string(dir.join("0")).unwrap();
        let numbers: Vec<u32> = text.lines().map(|n| n.parse().expect("a number")).collect();
        assert_eq!(numbers, (0..10).chain(38..40).collect::<Vec<_>>(), "{ended}");
        assert_eq!(fs::read_to_string(dir.join("1")).unwrap().lines().count(), 40, "nothing is repeated");
    }
}

#[test]
fn a_partition_that_was_held_back_is_read_on_from_where_it_was_left() {
    let cluster = Cluster::get();
    let topic = cluster.create("held", 2);
    let numbers: String = (0..200).flat_map(|n| [n.to_string(), "\n".into()]).collect();
    for partition in ["0", "1"] {
        cluster.kq(["produce", &topic, "-p", partition]).stdin(&numbers).run().success();
    }
    let script = "cat; echo; [ $KQ_RECORD_ID != $HELD ] || while [ ! -e go ]; do sleep 0.01; done";
    let worker = cluster
        .kq(["worker", &topic, "-e", "-vvv", "-j", "2", "--max-span", "10", "--", "sh", "-c", script])
        .env("HELD", format!("{topic}/0/5"))
        .limit(LONG)
        .spawn();
    worker.wait_for_stderr("Application pausing");
    fs::write(worker.dir().join("go"), "").unwrap();
    let done = worker.wait().success();
    let mut seen: Vec<u32> = done.lines().iter().map(|n| n.parse().expect("a number")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..200).flat_map(|n| [n, n]).collect::<Vec<u32>>());
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("");
}

#[test]
fn a_consume_goes_past_records_that_retention_took() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "gap", 1, "0\n1\n2\n3\n4\n5\n");
    let group = cluster.topic("group");
    let consume = |more: &[&str]| cluster.kq(["consume", &topic, "-g", &group]).args(more).run();
    consume(&["-n", "2"]).success().stdout("0\n1\n");
    cluster.delete_records(&topic, 0, 4);
    consume(&["-e"]).status(1).stdout("4\n5\n").stderr_has("2..4 gone");
    consume(&["-e"]).success().stdout("");
}

#[test]
fn what_is_sent_on_at_the_same_time_fits_a_topic_with_a_low_limit() {
    let cluster = Cluster::get();
    // Hexadecimal digits of a hash: Snappy makes nothing of them.
    let value = |i: u64| -> String {
        let digits =
            (0..60u64).map(|j| format!("{:016x}", (i * 60 + j + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        digits.collect()
    };
    let all: Vec<String> = (0..300).map(value).collect();
    let topic = topic_with(&cluster, "many", 1, &(all.join("\n") + "\n"));
    let limited = |hint: &str| {
        let name = cluster.topic(hint);
        let limit = ["--partitions", "1", "--config", "max.message.bytes=2000"];
        cluster.kq(["topic", "create", &name]).args(limit).run().success();
        name
    };
    let sorted = |name: &str| {
        let read = cluster.kq(["consume", name, "-e"]).run().success();
        let mut lines: Vec<String> = read.lines().into_iter().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let mut expected = all.clone();
    expected.sort_unstable();
    let answer =
        r#"while IFS= read -r line; do id=${line#*:}; echo "{\"id\":${id%%,*},\"fail\":\"no\"}"; done"#;
    let (dead, out) = (limited("dead"), limited("out"));
    // Persistent: sixty-four fail at once. One process a record: as many as run.
    let flags =
        ["-g", "dead", "--dlq", &dead, "--persistent", "-j", "1", "--max-consecutive-failures", "1000"];
    once(&cluster, &topic, &flags, &["sh", "-c", answer]).run().success().stderr_has("300 dead-lettered");
    assert_eq!(sorted(&dead), expected);
    once(&cluster, &topic, &["-g", "out", "--output-topic", &out, "-j", "16"], &["cat"]).run().success();
    assert_eq!(sorted(&out), expected);
}

#[test]
fn a_dead_letter_that_is_too_large_goes_without_stderr_or_stops_the_worker() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "large", 1, "small\n");
    let dlq = cluster.topic("dead");
    cluster
        .kq(["topic", "create", &dlq, "--partitions", "1", "--config", "max.message.bytes=2000"])
        .run()
        .success();
    let flags = ["--dlq", &dlq, "-j", "1", "-g", "g"];
    let script = "head -c 100000 /dev/urandom | base64 -w 0 | tail -c 4000 >&2; exit 65";
    once(&cluster, &topic, &flags, &["sh", "-c", script]).run().success().stderr_has("1 dead-lettered");
    cluster
        .kq(["consume", &dlq, "-e", "-f", "%s %h\\n"])
        .run()
        .success()
        .stdout_has("small kq.dlq.topic=")
        .demand("no stderr in it", |o| !o.text().contains("kq.dlq.stderr"));

    let large: String = (0..1000).map(|i| format!("{i:x}.{}", i * 7919 % 1000)).collect();
    cluster.kq(["produce", &topic]).stdin(format!("{large}\n")).run().success();
    once(&cluster, &topic, &flags, &["sh", "-c", "exit 65"])
        .run()
        .status(1)
        .stderr_has(&format!("{topic}[0]@1: the dead letter can't be sent: it is larger than {dlq} takes"));
    once(&cluster, &topic, &["-g", "g"], &["cat"]).run().success().stdout(large);
}
