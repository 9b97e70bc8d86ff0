//! `kq worker --batch`: what a command gets and prints, which record of a failed batch is guilty, and the ends.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use crate::support::{Cluster, Kq, lines, numbers, once, topic_with, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(45);

/// A worker that handles the records up to now in batches, and ends; `log` is where its commands append.
fn batches(cluster: &Cluster, topic: &str, log: &Path, flags: &[&str], script: &str) -> Kq {
    let worker = cluster.kq(["worker", topic, "--backoff", "1ms..1ms"]).args(flags).env("LOG", log);
    worker.args(["--shell", script])
}

/// Says how many records each batch has, and whether that many lines came.
const SIZES: &str = r#"echo "$KQ_BATCH_RECORDS $(wc -l)" >>"$LOG""#;

/// The numbers that [`SIZES`] said.
fn sizes(log: &Path) -> Vec<usize> {
    let size = |line: &String| {
        let (records, read) = line.split_once(' ').expect("two numbers");
        assert_eq!(records, read.trim());
        records.parse().expect("a number")
    };
    lines(log).iter().map(size).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_batch_is_the_records_as_consume_writes_them_in_json() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "shapes", 1, "text\n\n");
    let records = "{\"key\":\"k\",\"value\":null,\"headers\":[[\"h\",\"v\"],[\"h\",null]]}\n\
                   {\"key_base64\":\"/w==\",\"value_base64\":\"AP8=\"}\n{\"value\":\"two\\nlines\"}\n";
    cluster.kq(["produce", &topic, "-J"]).stdin(records).run().success();
    let expected = cluster.kq(["consume", &topic, "-e", "-J"]).run().success().stdout;
    assert_eq!(expected.iter().filter(|byte| **byte == b'\n').count(), 5);
    let worker = once(&cluster, &topic, &["--batch", "10", "--batch-wait", "1h"], &["cat"]);
    worker.run().success().stdout(expected);
}

#[test]
fn compressed_values_are_decompressed_in_a_batch() {
    let cluster = Cluster::get();
    let topic = cluster.create("packed", 1);
    cluster.kq(["produce", &topic, "--value-codec", "snappy"]).stdin("a\n").run().success();
    let worker = once(&cluster, &topic, &["--batch", "2"], &["grep", "-o", "\"value.*"]);
    worker.run().success().stdout("\"value\":\"a\",\"headers\":[]}\n");
}

#[test]
fn with_a_delimiter_a_batch_is_values_and_one_that_holds_it_fails_for_good() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "delimited", 1, "a\nb\n");
    let dead = cluster.create("dead", 1);
    let records = "{\"value\":\"two\\nlines\"}\n{\"value\":null}\n{\"value\":\"c\"}\n";
    cluster.kq(["produce", &topic, "-J"]).stdin(records).run().success();
    let flags = ["--batch", "10", "-D", "\\n", "--dlq", &dead];
    let output = once(&cluster, &topic, &flags, &["cat"]).run().success();
    output
        .stdout("a\nb\n\nc\n")
        .stderr_has("@2: ")
        .stderr_has("use --stdin json")
        .stderr_has("4 done, 1 dead-");
    let letter = cluster.kq(["consume", &dead, "-e", "-f", "%h\\n"]).run().success().text().to_owned();
    assert!(letter.contains("kq.dlq.reason=protocol"), "{letter}");
    assert!(letter.contains("kq.dlq.attempts=1"), "{letter}");
    once(&cluster, &topic, &["-g", "semicolon", "--batch", "3", "-D", ";"], &["cat"])
        .run()
        .success()
        .stdout("a;b;two\nlines;;c;");
}

#[test]
fn the_environment_describes_the_batch_and_none_of_its_records() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "environment", 1, numbers(0, 5));
    let script = "env | grep -E '^KQ_(BATCH|RECORD)_' | sort";
    let flags = ["-g", "mine", "--batch", "3"];
    // As in a command of a worker around this one.
    let around = once(&cluster, &topic, &flags, &["sh", "-c", script])
        .env("KQ_RECORD_KEY", "other")
        .env("KQ_BATCH_RECORDS", "77");
    let described = |records, first, last| {
        format!(
            "KQ_BATCH_FIRST_OFFSET={first}\nKQ_BATCH_LAST_OFFSET={last}\nKQ_BATCH_PARTITION=0\n\
             KQ_BATCH_RECORDS={records}\nKQ_BATCH_TOPIC={topic}\nKQ_RECORD_ATTEMPT=1\nKQ_RECORD_GROUP=mine\n"
        )
    };
    around.run().success().stdout(described(3, 0, 2) + &described(2, 3, 4));
    // A command for each record does not inherit what describes a batch.
    let one_shot = once(&cluster, &topic, &["-g", "other", "-n", "1"], &["sh", "-c", script]);
    let output = one_shot.env("KQ_BATCH_RECORDS", "77").run().success().text().to_owned();
    assert!(!output.contains("KQ_BATCH_RECORDS"), "{output}");
}

#[test]
fn a_poison_record_among_a_hundred_is_found_and_dead_lettered_alone() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "poison", 1, numbers(0, 100));
    let (dead, dir) = (cluster.create("dead", 1), folder());
    let log = dir.path().join("log");
    // All or nothing.
    let script = r#"cat >"$LOG.$$"; ! grep -q '^42$' "$LOG.$$" && cat "$LOG.$$" >>"$LOG""#;
    let flags = ["-e", "--batch", "100", "--batch-wait", "1h", "-D", "\\n", "--retries", "2", "--dlq", &dead];
    let output = batches(&cluster, &topic, &log, &flags, script).run().success();
    output.stderr_has("99 done, 1 dead-lettered");
    let done = lines(&log);
    let expected: Vec<String> = (0..100).filter(|n| *n != 42).map(|n| n.to_string()).collect();
    assert_eq!(done, expected, "each once, in their order");
    let letters = cluster.kq(["consume", &dead, "-e", "-f", "%s %h\\n"]).run().success().text().to_owned();
    assert_eq!(letters.lines().count(), 1, "{letters}");
    assert!(letters.starts_with("42 ") && letters.contains("kq.dlq.attempts=3"), "{letters}");
    cluster.kq(["worker", &topic, "-e", "--", "cat"]).run().success().stderr_has("0 done");
}

#[test]
fn a_batch_that_takes_too_long_is_halved() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "slow", 1, numbers(0, 4));
    let dead = cluster.create("dead", 1);
    let flags =
        ["--batch", "4", "--batch-wait", "1h", "--command-timeout", "6s", "--retries", "0", "--dlq", &dead];
    let script = "cat >$$; ! grep -q '\"value\":\"1\"' $$ || exec sleep 600";
    once(&cluster, &topic, &flags, &["sh", "-c", script])
        .run()
        .success()
        .stderr_has("3 done, 1 dead-lettered");
    let letters = cluster.kq(["consume", &dead, "-e", "-f", "%s %h\\n"]).run().success().text().to_owned();
    assert!(letters.starts_with("1 ") && letters.contains("kq.dlq.reason=timeout"), "{letters}");
}

#[test]
fn a_temporary_failure_retries_the_whole_batch_and_spends_its_attempt() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "temporary", 1, numbers(0, 10));
    let dir = folder();
    let log = dir.path().join("log");
    let script =
        r#"echo "$KQ_BATCH_RECORDS $KQ_RECORD_ATTEMPT" >>"$LOG"; [ "$KQ_RECORD_ATTEMPT" = 3 ] || exit 75"#;
    let flags = ["-e", "--batch", "10", "--batch-wait", "1h", "--retries", "2"];
    batches(&cluster, &topic, &log, &flags, script).run().success().stderr_has("10 done, 2 failed attempts");
    assert_eq!(lines(&log), ["10 1", "10 2", "10 3"]);
    // Once the attempts are spent, the records are tried alone: none is given up unseen.
    fs::remove_file(&log).expect("remove the log");
    let flags = [
        "-g",
        "spent",
        "-e",
        "--batch",
        "10",
        "--batch-wait",
        "1h",
        "--retries",
        "1",
        "--on-failure",
        "skip",
    ];
    let script = r#"echo "$KQ_BATCH_RECORDS" >>"$LOG"; ! grep -q '"value":"7"' || exit 75"#;
    batches(&cluster, &topic, &log, &flags, script).run().success().stderr_has("9 done, 1 skipped");
    assert_eq!(lines(&log), ["10", "10", "5", "5", "3", "2", "1", "2"]);
}

#[test]
fn later_records_of_a_guilty_key_wait_and_others_go_on() {
    let cluster = Cluster::get();
    let topic = cluster.create("keys", 1);
    cluster.kq(["produce", &topic, "-K", ":"]).stdin("a:0\na:bad\nb:2\na:3\nb:4\n").run().success();
    let dir = folder();
    let log = dir.path().join("log");
    let script =
        r#"cat >"$LOG.$$"; [ -e "$LOG.go" ] || ! grep -q bad "$LOG.$$" || exit 1; cat "$LOG.$$" >>"$LOG""#;
    let flags = ["--batch", "5", "-D", "\\n", "--on-failure", "retry"];
    let worker = batches(&cluster, &topic, &log, &flags, script).spawn();
    wait_until("all but the guilty key", LONG, || lines(&log).len() == 3);
    cluster.kq(["produce", &topic, "-K", ":"]).stdin("a:5\nb:6\n").run().success();
    wait_until("a later record of another key", LONG, || lines(&log).len() == 4);
    assert_eq!(lines(&log), ["0", "2", "4", "6"]);
    fs::write(dir.path().join("log.go"), "").expect("let it succeed");
    wait_until("the records of the key", LONG, || lines(&log).len() == 7);
    assert_eq!(lines(&log)[4..], ["bad", "3", "5"]);
    worker.terminate();
    worker.wait().success();
}

#[test]
fn order_partition_waits_behind_the_guilty_record_and_order_none_does_not() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "orders", 1, "0\nbad\n2\n3\n");
    let script = r#"cat >"$LOG.$$"; ! grep -q bad "$LOG.$$" || [ "$KQ_RECORD_ATTEMPT" = 3 ] || exit 1; cat "$LOG.$$" >>"$LOG""#;
    for (order, expected) in [("partition", ["0", "bad", "2", "3"]), ("none", ["0", "2", "3", "bad"])] {
        let dir = folder();
        let log = dir.path().join("log");
        let flags = ["-g", order, "-e", "-j", "1", "--order", order, "--batch", "4", "-D", "\\n"];
        batches(&cluster, &topic, &log, &flags, script).run().success();
        assert_eq!(lines(&log), expected, "{order}");
    }
}

#[test]
fn a_killed_worker_leaves_no_part_of_an_input() {
    let cluster = Cluster::get();
    let dir = folder();
    let log = dir.path().join("log");
    // More than a pipe holds.
    let topic = topic_with(&cluster, "whole", 1, format!("{}\n", "x".repeat(100_000)).repeat(30));
    let flags = ["--batch", "30", "--batch-wait", "1h"];
    let worker = batches(&cluster, &topic, &log, &flags, r#"echo $$ >>"$LOG"; exec sleep 600"#).spawn();
    wait_until("the command", LONG, || !lines(&log).is_empty());
    // The command ends with the worker. What it could have read is looked at in its place.
    let mut input = fs::File::open(format!("/proc/{}/fd/0", lines(&log)[0])).expect("the command's stdin");
    worker.kill();
    let mut read = String::new();
    input.read_to_string(&mut read).expect("read the input");
    assert_eq!(read.lines().count(), 30);
    assert!(read.ends_with('\n'));
}

#[test]
fn batches_are_full_but_for_the_last_at_the_end() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "ends", 1, numbers(0, 25));
    let dir = folder();
    let log = |name: &str| dir.path().join(name);
    for (name, flags, expected) in [
        ("end", &["-e", "--batch-wait", "1h"][..], &[10, 10, 5][..]),
        ("until", &["--until", "13", "--batch-wait", "1h"], &[10, 3]),
        ("count", &["-n", "17", "--batch-wait", "1h"], &[10, 7]),
        ("span", &["-e", "--batch-wait", "1h", "--max-span", "8"], &[8, 8, 8, 1]),
        ("idle", &["--idle", "2s", "--batch-wait", "1s"], &[10, 10, 5]),
    ] {
        let log = log(name);
        let flags = [&["-g", name, "-j", "1", "--batch", "10"], flags].concat();
        batches(&cluster, &topic, &log, &flags, SIZES).run().success();
        assert_eq!(sizes(&log), expected, "{name}");
    }
}

#[test]
fn a_batch_that_is_not_full_starts_when_its_oldest_record_has_waited() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "waits", 1, numbers(0, 3));
    let worker =
        cluster.kq(["worker", &topic, "--batch", "1000", "--batch-wait", "200ms", "--", "wc", "-l"]).spawn();
    worker.wait_for_stdout("3");
    cluster.kq(["produce", &topic]).stdin(numbers(0, 1)).run().success();
    worker.wait_for_stdout("1");
    worker.terminate();
    worker.wait().success().stderr_has("4 done");
}

#[test]
fn a_record_that_is_larger_than_a_batch_may_be_goes_alone() {
    let cluster = Cluster::get();
    let dir = folder();
    let log = dir.path().join("log");
    let big = "x".repeat(5000);
    let topic = topic_with(&cluster, "large", 1, format!("a\nb\n{big}\nc\n{0}\n{0}\nd\n", "y".repeat(400)));
    let flags = ["-e", "-j", "1", "--batch", "10", "--batch-wait", "1h", "--batch-bytes", "600"];
    batches(&cluster, &topic, &log, &flags, SIZES).run().success();
    assert_eq!(sizes(&log), [2, 1, 2, 2]);
}

#[test]
fn output_is_records_with_their_keys_and_headers() {
    let cluster = Cluster::get();
    let (topic, output) = (cluster.create("map", 1), cluster.create("output", 1));
    let records = "{\"key\":\"k\",\"value\":\"v\",\"headers\":[[\"h\",\"v\"]]}\n{\"key\":\"k\",\"value\":null}\n\
                   {\"value_base64\":\"AP8=\"}\n";
    cluster.kq(["produce", &topic, "-J"]).stdin(records).run().success();
    let worker = |group: &str, script: &str| {
        let flags = ["-g", group, "--batch", "10", "--output-topic", &output, "--retries", "0"];
        once(&cluster, &topic, &flags, &["sh", "-c", script])
    };
    // What a failed command printed is no output.
    worker("fails", "cat; exit 1").run().status(1);
    let bad = worker("bad", "cat; echo hello").run().status(1);
    bad.stderr_has("line 2 of its output is no record").stderr_has("@0");
    let read = || cluster.kq(["consume", &output, "-e", "-f", "%k %s %h\\n", "--print-null"]).run().success();
    read().stdout("");
    worker("good", "cat").run().success();
    let read = read().stdout;
    assert_eq!(read, b"k v h=v\nk NULL \nNULL \0\xff \n", "{}", String::from_utf8_lossy(&read));
}

#[test]
fn each_partition_that_moves_lets_its_batch_finish() {
    let cluster = Cluster::get();
    let topic = cluster.create("moves", 2);
    let dir = folder();
    let log = dir.path().join("log");
    for partition in ["0", "1"] {
        cluster.kq(["produce", &topic, "-p", partition]).stdin(numbers(0, 30)).run().success();
    }
    let script = r#": >"$LOG.started"; until [ -e "$LOG.go" ]; do sleep 0.05; done; grep -c . >>"$LOG""#;
    let flags = ["-g", "moving", "-v", "-j", "2", "--batch", "10"];
    let first = batches(&cluster, &topic, &log, &flags, script).spawn();
    wait_until("a command", LONG, || dir.path().join("log.started").exists());
    let second = batches(&cluster, &topic, &log, &flags, script).spawn();
    first.wait_for_stderr("revoked: ");
    fs::write(dir.path().join("log.go"), "").expect("let them finish");
    second.wait_for_stderr("assigned: ");
    wait_until("all records", LONG, || sum(&log) >= 60);
    for worker in [first, second] {
        worker.terminate();
        worker.wait().success();
    }
    assert_eq!(sum(&log), 60, "nothing ran twice");
}

fn sum(log: &Path) -> usize {
    lines(log).iter().map(|line| line.parse::<usize>().expect("a number")).sum()
}

#[test]
fn a_batch_that_is_terminated_at_the_end_is_abandoned_and_runs_again() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "terminated", 1, numbers(0, 10));
    let dir = folder();
    let log = dir.path().join("log");
    let flags = ["--batch", "10", "--batch-wait", "1h", "-v", "--shutdown-timeout", "6s", "--retries", "0"];
    let script = r#"[ -e "$LOG.go" ] || { : >"$LOG.started"; exec sleep 600; }; grep -c . >>"$LOG""#;
    let first = batches(&cluster, &topic, &log, &flags, script).spawn();
    wait_until("a command", LONG, || dir.path().join("log.started").exists());
    first.terminate();
    first.wait().status(75).stderr_has("10 abandoned");
    fs::write(dir.path().join("log.go"), "").expect("let it succeed");
    batches(&cluster, &topic, &log, &["-e", "--batch", "10"], script).run().success().stderr_has("10 done");
    assert_eq!(lines(&log), ["10"]);
}

#[test]
fn a_batch_that_a_rebalance_terminates_runs_elsewhere_and_spends_nothing() {
    let cluster = Cluster::get();
    let topic = cluster.create("torn", 2);
    let dir = folder();
    let log = dir.path().join("log");
    for partition in ["0", "1"] {
        cluster.kq(["produce", &topic, "-p", partition]).stdin(numbers(0, 10)).run().success();
    }
    // A member that is late to leave is waited for until its session ends.
    let session = ["-X", "session.timeout.ms=6000"];
    let flags = ["-g", "torn", "-v", "-j", "2", "--batch", "10", "--drain", "200ms", "--retries", "0"];
    let flags = [&flags[..], &session].concat();
    // The first worker's commands hang.
    let hangs = r#": >"$LOG.$KQ_BATCH_PARTITION"; exec sleep 600"#;
    let first = batches(&cluster, &topic, &log, &flags, hangs).args(["--shutdown-timeout", "6s"]).spawn();
    wait_until("both commands", LONG, || {
        ["0", "1"].map(|n| dir.path().join(format!("log.{n}")).exists()) == [true; 2]
    });
    let works = r#"echo "$KQ_RECORD_ATTEMPT $(grep -c .)" >>"$LOG""#;
    let second = batches(&cluster, &topic, &log, &flags, works).spawn();
    first.wait_for_stderr("lets them: sending TERM");
    wait_until("the batch that moved", LONG, || !lines(&log).is_empty());
    first.terminate();
    first.wait().status(75).stderr_lacks("failed attempt");
    wait_until("the other batch", LONG, || lines(&log).len() == 2);
    assert_eq!(lines(&log), ["1 10", "1 10"]);
    second.terminate();
    second.wait().success();
}

#[test]
fn flags_that_do_not_go_together_say_so() {
    let cluster = Cluster::get();
    let topic = cluster.create("flags", 1);
    let refused = |flags: &[&str]| once(&cluster, &topic, flags, &["cat"]).run().status(2).stderr;
    assert!(refused(&["--batch", "3", "--persistent"]).contains("leave one of the two out"));
    assert!(refused(&["--batch", "3", "-D", ""]).contains("nothing would tell where a value ends"));
    let lines = refused(&["--batch", "3", "--output-topic", "other", "--output-lines"]);
    assert!(lines.contains("leave --output-lines"), "{lines}");
    assert!(refused(&["--batch", "0"]).contains("from 1 on"));
    assert!(refused(&["--batch", "3", "--batch-bytes", "many"]).contains("4MiB"));
}
