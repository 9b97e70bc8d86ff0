//! The consumer group protocol of KIP-848, which `kq dev` does not speak. Started by tests/kafka/run.

use std::path::Path;
use std::time::Duration;

use crate::cluster;
use crate::support::{Cluster, Running, lines, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_mins(1);

/// A worker of the group that appends each value to `log`, and is assigned.
fn worker(cluster: &Cluster, topic: &str, group: &str, log: &Path) -> Running {
    let script = format!("read v; echo $v >> {}; sleep 0.05", log.display());
    let worker = cluster
        .kq(["worker", topic, "-g", group, "--group-protocol", "consumer", "-j", "2", "-v"])
        .args(["--", "sh", "-c", &script])
        .limit(Duration::from_mins(3))
        .spawn();
    worker.wait_for_stderr("assigned:");
    worker
}

fn fill(cluster: &Cluster, topic: &str, numbers: std::ops::Range<u32>) {
    for partition in 0..4 {
        let part: String = numbers
            .clone()
            .filter(|n| n % 4 == partition)
            .flat_map(|n| [n.to_string(), "\n".into()])
            .collect();
        cluster.kq(["produce", topic, "-p", &partition.to_string()]).stdin(part).run().success();
    }
}

fn handled(log: &Path) -> usize {
    let mut all = lines(log);
    all.sort_unstable();
    all.dedup();
    all.len()
}

#[test]
fn members_leave_and_die_and_no_record_is_lost() {
    let cluster = cluster();
    let (topic, group) = (cluster.topic("brokers-assign"), cluster.topic("group"));
    cluster.kq(["topic", "create", &topic, "--partitions", "4"]).run().success();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let first = worker(&cluster, &topic, &group, &log);
    let second = worker(&cluster, &topic, &group, &log);
    first.wait_for_stderr("revoked:");
    fill(&cluster, &topic, 0..200);
    wait_until("some are done", LONG, || handled(&log) > 50);
    second.terminate();
    second.wait().success();
    wait_until("all are done", LONG, || handled(&log) == 200);
    assert_eq!(lines(&log).len(), 200, "a graceful leave repeats nothing");

    let third = worker(&cluster, &topic, &group, &log);
    fill(&cluster, &topic, 200..400);
    wait_until("some more are done", LONG, || handled(&log) > 250);
    third.kill();
    // The brokers give a member that is silent 45 s.
    wait_until("all are done", 2 * LONG, || handled(&log) == 400);
    first.terminate();
    first.wait().success();
    // All of it was committed: nothing is left for the next.
    cluster
        .kq(["worker", &topic, "-g", &group, "--group-protocol", "consumer", "-e", "--", "cat"])
        .limit(LONG)
        .run()
        .success()
        .stdout("");
}

#[test]
fn consume_commits_what_was_written() {
    let cluster = cluster();
    let (topic, group) = (cluster.topic("brokers-assign"), cluster.topic("group"));
    cluster.kq(["topic", "create", &topic, "--partitions", "1"]).run().success();
    cluster.kq(["produce", &topic]).stdin("a\nb\nc\n").run().success();
    let consume = |more: &[&str]| {
        cluster
            .kq(["consume", &topic, "-g", &group, "--group-protocol", "consumer"])
            .args(more)
            .run()
            .success()
    };
    consume(&["-n", "2"]).stdout("a\nb\n");
    consume(&["-e"]).stdout("c\n");
    consume(&["-e"]).stdout("");
}

#[test]
fn a_member_for_whom_nothing_is_left_ends_where_it_is_to_end() {
    let cluster = cluster();
    let (topic, group) = (cluster.topic("one"), cluster.topic("group"));
    cluster.kq(["topic", "create", &topic, "--partitions", "1"]).run().success();
    let folder = tempfile::tempdir().unwrap();
    let first = worker(&cluster, &topic, &group, &folder.path().join("log"));
    first.wait_for_stderr("assigned:");
    let protocol = ["-g", &group, "--group-protocol", "consumer", "-e"];
    let of = |command: &str| cluster.kq([command, &topic]).args(protocol).limit(2 * LONG);
    let (worker, consume) = (of("worker").args(["--", "cat"]).spawn(), of("consume").spawn());
    worker.wait().success().stderr_has("the group's other members have all partitions");
    consume.wait().success().stderr_has("the group's other members have all partitions");
    first.terminate();
    first.wait().success();
}
