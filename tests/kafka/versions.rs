//! The main job on an old cluster with `ZooKeeper`: topics, produce, consume, a group, the worker. Started by tests/kafka/run.

use crate::cluster;

fn lines(count: usize) -> String {
    (0..count).flat_map(|n| ["line ".to_owned(), n.to_string(), "\n".to_owned()]).collect()
}

#[test]
fn a_topic_is_created_and_listed() {
    let cluster = cluster();
    let topic = cluster.topic("old");
    cluster.kq(["topic", "create", &topic, "--partitions", "3", "--rf", "1"]).run().success();
    cluster.kq(["topic", "list"]).run().success().stdout_has(&topic);
    cluster
        .kq(["topic", "create", &topic, "--partitions", "3", "--rf", "1"])
        .run()
        .status(2)
        .stderr_has(&topic);
}

#[test]
fn records_of_every_codec_come_back() {
    let cluster = cluster();
    // zstd came with 2.1: an old broker refuses it, and kq says so.
    for codec in ["none", "gzip", "snappy", "lz4"] {
        let topic = cluster.topic("codec");
        cluster.kq(["topic", "create", &topic, "--partitions", "1", "--rf", "1"]).run().success();
        cluster.kq(["produce", &topic, "-z", codec]).stdin(lines(1000)).run().success();
        cluster.kq(["consume", &topic, "-e"]).run().success().stdout(lines(1000));
        cluster.kcat(["-C", "-t", &topic, "-e", "-q"]).run().success().stdout(lines(1000));
    }
}

#[test]
fn a_group_resumes_where_it_committed() {
    let cluster = cluster();
    let (topic, group) = (cluster.topic("old"), cluster.topic("group"));
    cluster.kq(["topic", "create", &topic, "--partitions", "1", "--rf", "1"]).run().success();
    cluster.kq(["produce", &topic]).stdin("a\nb\nc\n").run().success();
    let consume =
        |more: &[&str]| cluster.kq(["consume", &topic, "--group", &group]).args(more).run().success();
    consume(&["-n", "2"]).stdout("a\nb\n");
    consume(&["-e"]).stdout("c\n");
    consume(&["-e"]).stdout("");
}

#[test]
fn a_group_without_members_is_reset_and_one_with_members_is_not() {
    let cluster = cluster();
    let (topic, group) = (cluster.topic("old"), cluster.topic("group"));
    cluster.kq(["topic", "create", &topic, "--partitions", "1", "--rf", "1"]).run().success();
    cluster.kq(["produce", &topic]).stdin("a\nb\nc\n").run().success();
    let consume = |more: &[&str]| cluster.kq(["consume", &topic, "--group", &group]).args(more);
    consume(&["-e"]).run().success().stdout("a\nb\nc\n");
    consume(&["-e", "--reset", "--from", "beginning"]).run().success().stdout("a\nb\nc\n");
    consume(&["-e", "--reset", "-o", "-2"]).run().success().stdout("b\nc\n");
    let member = consume(&["--reset", "-o", "-1"]).spawn();
    member.wait_for_stdout("c");
    consume(&["-e", "--reset", "-o", "-1"]).run().status(2).stderr_has("has 1 member,");
    member.terminate();
    member.wait().success();
}

#[test]
fn batches_fit_a_topic_with_a_low_limit() {
    let cluster = cluster();
    let topic = cluster.topic("low");
    let limit = ["--config", "max.message.bytes=2000"];
    cluster.kq(["topic", "create", &topic, "--partitions", "1", "--rf", "1"]).args(limit).run().success();
    cluster.kq(["produce", &topic]).stdin(lines(20_000)).run().success();
    cluster.kq(["consume", &topic, "-e"]).run().success().stdout(lines(20_000));
}

#[test]
fn a_worker_runs_its_command_for_each_record() {
    let cluster = cluster();
    let topic = cluster.topic("old");
    cluster.kq(["topic", "create", &topic, "--partitions", "1", "--rf", "1"]).run().success();
    cluster.kq(["produce", &topic]).stdin("a\nb\nc\n").run().success();
    cluster
        .kq(["worker", &topic, "-n", "3", "-j", "1", "--", "sh", "-c", "cat; echo"])
        .run()
        .success()
        .stdout("a\nb\nc\n");
}

#[test]
fn what_a_worker_has_done_past_an_open_record_does_not_run_again() {
    let cluster = cluster();
    let topic = cluster.topic("old");
    cluster.kq(["topic", "create", &topic, "--partitions", "1", "--rf", "1"]).run().success();
    cluster.kq(["produce", &topic]).stdin(lines(50)).run().success();
    let flags = ["worker", &topic, "-v", "-j", "1", "--on-failure", "retry", "--backoff", "100ms"];
    let script = "[ $KQ_RECORD_OFFSET != 7 ] || exit 75; echo $KQ_RECORD_OFFSET";
    let worker = cluster.kq(flags).args(["--shell", script]).spawn();
    worker.wait_for_stdout("49");
    worker.terminate();
    worker.wait().success().stderr_has("kq: 49 done").stderr_lacks("will run again");
    let rest = ["worker", &topic, "-e", "-j", "1", "--shell", "echo $KQ_RECORD_OFFSET"];
    cluster.kq(rest).run().success().stdout("7\n").stderr_has("kq: 1 done, 42 already done");
}
