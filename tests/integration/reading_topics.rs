//! Topics by pattern: consume and worker read one dialect, find what comes later, leave Kafka's own out.

use std::time::{Duration, Instant};

use crate::support::{Cluster, Kq};

/// New topics are looked for every ten seconds; a rebalance follows, and a slow machine.
const FOUND: Duration = Duration::from_secs(25);

/// Both commands, each in a group of its own, printing values.
fn readers(cluster: &Cluster, pattern: &str, more: &[&str]) -> [Kq; 2] {
    let groups = [cluster.topic("consume"), cluster.topic("worker")];
    [
        cluster.kq(["consume", pattern, "-g", &groups[0]]).args(more),
        cluster.kq(["worker", pattern, "-g", &groups[1]]).args(more).args(["--", "sh", "-c", "cat; echo"]),
    ]
}

fn make(cluster: &Cluster, topic: &str, line: &str) {
    cluster.kq(["topic", "create", topic, "--partitions", "1"]).run().success();
    cluster.kq(["produce", topic]).stdin(line).run().success();
}

#[test]
fn a_pattern_is_read_in_one_dialect_by_both_commands() {
    let cluster = Cluster::get();
    let prefix = cluster.topic("dialect");
    make(&cluster, &format!("{prefix}-en1"), "one\n");
    make(&cluster, &format!("{prefix}-en-1"), "other\n");
    for reader in readers(&cluster, &format!(r"^{prefix}-en\w$"), &["-e"]) {
        reader.run().success().stdout("one\n");
    }
}

#[test]
fn a_topic_that_is_made_later_reaches_both_commands() {
    let cluster = Cluster::get();
    let prefix = cluster.topic("later");
    make(&cluster, &format!("{prefix}-1"), "one\n");
    let readers = readers(&cluster, &format!("^{prefix}-[0-9]"), &[]).map(Kq::spawn);
    for reader in &readers {
        reader.wait_for_stdout("one");
    }
    make(&cluster, &format!("{prefix}-2"), "two\n");
    let made = Instant::now();
    for reader in readers {
        reader.wait_for_stdout("two");
        assert!(made.elapsed() < FOUND, "{:?}", made.elapsed());
        reader.terminate();
        reader.wait().success();
    }
}

#[test]
fn what_a_pattern_leaves_out_is_read_neither_at_the_start_nor_later() {
    let cluster = Cluster::get();
    let prefix = cluster.topic("left-out");
    let [one, dead] = ["1", "1.dlq"].map(|name| format!("{prefix}-{name}"));
    make(&cluster, &one, "one\n");
    make(&cluster, &dead, "dead\n");
    let pattern = format!("^{prefix}-");
    let left_out = ["--exclude-topic", r"\.dlq$", "--exclude-topic", "test"];
    for reader in readers(&cluster, &pattern, &[&left_out[..], &["-e"]].concat()) {
        reader.run().success().stdout("one\n");
    }
    let followers = readers(&cluster, &pattern, &left_out).map(Kq::spawn);
    for follower in &followers {
        follower.wait_for_stdout("one");
    }
    make(&cluster, &format!("{prefix}-2.dlq"), "dead\n");
    make(&cluster, &format!("{prefix}-test-2"), "test\n");
    make(&cluster, &format!("{prefix}-2"), "two\n");
    for follower in followers {
        follower.wait_for_stdout("two");
        follower.terminate();
        follower.wait().success().stdout("one\ntwo\n");
    }
}

#[test]
fn to_leave_topics_out_there_must_be_a_pattern() {
    for reader in [&["consume"][..], &["worker", "--shell", "cat"]] {
        let kq = |more: &[&str]| Kq::new(reader).args(more).run().status(2);
        kq(&["orders", "--exclude-topic", r"\.dlq$"]).stderr_has("--exclude-topic \\.dlq$ leaves out");
        kq(&["^orders", "--exclude-topic", "["]).stderr_has("--exclude-topic <REGEX>");
        kq(&["orders-*"]).stderr_has("a pattern begins with ^, as in '^orders-.*$'\n");
    }
    let own = ["worker", "^orders", "-g", "g", "--shell", "cat", "--dlq", "orders.dlq"];
    let refused = Kq::new(own).run().status(2);
    refused.stderr_has(r"again and again; --exclude-topic '^orders\.dlq$' leaves it out");
}

#[test]
fn a_topic_that_is_made_after_a_long_silence_is_no_stall() {
    let cluster = Cluster::get();
    let prefix = cluster.topic("silence");
    let (pattern, group) = (format!("^{prefix}-"), cluster.topic("group"));
    make(&cluster, &format!("{prefix}-1"), "one\n");
    make(&cluster, &prefix, "");
    let stop = ["-n", "2", "--stall-timeout", "12s"];
    let readers = [
        cluster.kq(["consume", &pattern]).args(stop),
        cluster.kq(["worker", &pattern, "-g", &group]).args(stop).args(["--", "sh", "-c", "cat; echo"]),
    ];
    let readers = readers.map(Kq::spawn);
    let follower = cluster.kq(["consume", &pattern]).spawn();
    for reader in readers.iter().chain([&follower]) {
        reader.wait_for_stdout("one");
    }
    // A partition counts as silent after ten seconds.
    cluster.kq(["consume", &prefix, "--idle", "12s"]).run().success();
    make(&cluster, &format!("{prefix}-2"), "two\n");
    for reader in readers {
        reader.wait().success().stdout("one\ntwo\n").stderr_lacks("nothing from");
    }
    follower.wait_for_stdout("two");
    follower.terminate();
    follower.wait().success().stdout("one\ntwo\n").stderr_lacks("nothing from");
}

#[test]
fn a_pattern_for_all_topics_leaves_kafkas_own_out() {
    let cluster = Cluster::embedded();
    make(&cluster, "own", "mine\n");
    make(&cluster, "__internal", "kafka's\n");
    for reader in readers(&cluster, "^.*", &["-e"]) {
        reader.run().success().stdout("mine\n");
    }
    for reader in readers(&cluster, "^__.*", &["-e"]) {
        reader.run().success().stdout("kafka's\n");
    }
}

#[test]
fn a_pattern_may_come_from_the_environment() {
    let cluster = Cluster::get();
    let prefix = cluster.topic("env");
    make(&cluster, &format!("{prefix}-1"), "one\n");
    for command in [&["consume"][..], &["worker", "-g", &prefix]] {
        let reader = cluster.kq(command).env("KQ_TOPIC", format!("^{prefix}-")).arg("-e");
        let reader =
            if command[0] == "worker" { reader.args(["--", "sh", "-c", "cat; echo"]) } else { reader };
        reader.run().success().stdout("one\n");
    }
}

#[test]
fn a_property_that_leaves_topics_out_is_refused_with_the_reason() {
    let cluster = Cluster::get();
    for command in ["consume", "worker"] {
        let run = cluster.kq([command, "t", "-X", "topic.blacklist=^other", "-e"]);
        let run = if command == "worker" { run.args(["--", "cat"]) } else { run };
        run.run().status(2).stderr_has("topic.blacklist").stderr_has("use --exclude-topic");
    }
}
