//! How a worker ends: within its time, whatever hangs, with nothing begun after it was told.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Cluster, Running, is_full, lines, once, topic_with, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(30);
/// What ending takes at most where `--shutdown-timeout` is two seconds: generous, and below its default of 28.
const SOON: Duration = Duration::from_secs(20);

/// Waits for the end of a worker that just got a signal, and demands that it comes soon.
#[track_caller]
fn ends_soon(worker: Running) -> crate::support::Output {
    let told = Instant::now();
    let ended = worker.wait();
    let took = told.elapsed();
    ended.demand(&format!("an end within {SOON:?}, not {took:?}"), |_| took < SOON)
}

#[test]
fn output_that_is_not_read_does_not_delay_the_end() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "unread", 1, vec![b'x'; 500_000]);
    let (reader, writer) = std::io::pipe().unwrap();
    let worker = cluster
        .kq(["worker", &topic, "--shutdown-timeout", "2s", "--", "sh", "-c", "cat; echo printed >&2"])
        .stdout_to(writer)
        .spawn();
    worker.wait_for_stderr("printed");
    worker.terminate();
    ends_soon(worker).status(75).stderr_has("0 done, 1 abandoned");
    drop(reader);
    let again = once(&cluster, &topic, &[], &["cat"]).run().success();
    assert_eq!(again.stdout.len(), 500_000);
}

#[test]
fn dead_letters_that_cannot_be_sent_do_not_hold_up_the_end() {
    let mut cluster = Cluster::embedded();
    let (topic, dlq) = (topic_with(&cluster, "away", 1, "a\n"), cluster.create("dlq", 1));
    let script = "echo running >&2; while [ ! -e go ]; do sleep 0.01; done; exit 65";
    let flags = ["worker", &topic, "--dlq", &dlq, "--shutdown-timeout", "2s", "--"];
    let worker = cluster.kq(flags).args(["sh", "-c", script]).spawn();
    worker.wait_for_stderr("running");
    cluster.kill();
    fs::write(worker.dir().join("go"), "").unwrap();
    worker.wait_for_stderr(&format!("to {dlq}"));
    worker.terminate();
    ends_soon(worker).stderr_has("1 abandoned in");
}

#[test]
fn a_signal_while_partitions_are_revoked_is_heeded_at_once() {
    let cluster = Cluster::get();
    let topic = cluster.create("revoke", 2);
    for partition in ["0", "1"] {
        cluster.kq(["produce", &topic, "-p", partition]).stdin("a\n").run().success();
    }
    let script = "trap '' TERM; echo hangs >&2; while :; do sleep 0.1; done";
    let flags = ["worker", &topic, "-g", "g", "-v", "-j", "2", "--shutdown-timeout", "2s"];
    // In so short a time it may not come to leaving the group while that rebalances.
    let first =
        cluster.kq(flags).args(["-X", "session.timeout.ms=6000", "--"]).args(["sh", "-c", script]).spawn();
    wait_until("both hang", LONG, || first.stderr_so_far().matches(" hangs").count() == 2);
    let second = cluster.kq(["worker", &topic, "-g", "g", "--", "cat"]).spawn();
    first.wait_for_stderr("revoked: ");
    first.terminate();
    ends_soon(first).status(75).stderr_has("2 abandoned");
    second.wait_until_stdout("both records", |out| out == b"aa");
    second.terminate();
    second.wait().success();
}

/// A worker whose stderr is not read, once that takes nothing more of what this script writes to it.
fn unheard(cluster: &Cluster, topic: &str, timeout: &str, script: &str) -> (fs::File, Running) {
    let line = format!("exec kq worker {topic} -j 1 --shutdown-timeout {timeout} -- sh -c '{script}' 2>fifo");
    let worker = cluster.program("sh", ["-c", &line]);
    let fifo = worker.dir().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let held = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let worker = worker.spawn();
    wait_until("the command runs", LONG, || worker.dir().join("begun").exists());
    wait_until("stderr is full", LONG, || is_full(&held));
    (held, worker)
}

#[test]
fn a_stderr_that_is_not_read_delays_neither_the_end_nor_the_polling() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "unheard", 1, "a\nb\n");
    let script = "touch begun; while :; do echo a line that is long enough to fill every pipe; done >&2";
    // It blocks, and so does kq's thread that passes its lines on.
    let (_held, worker) = unheard(&cluster, &topic, "2s", script);
    worker.terminate();
    ends_soon(worker).status(75);
}

#[test]
fn a_command_whose_lines_nobody_reads_can_finish_its_record_after_a_signal() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "finish", 1, "a\n");
    let (_held, worker) = unheard(&cluster, &topic, "10s", "touch begun; seq 200000 >&2");
    worker.terminate();
    ends_soon(worker).success();
}

#[test]
fn nothing_is_begun_once_the_worker_is_to_stop() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "begun", 1, "a\n".repeat(200));
    let worker = once(&cluster, &topic, &["-j", "1"], &["sh", "-c", "echo run >> runs; exit 78"]);
    let runs = worker.dir().join("runs");
    let ended = worker.run().status(78);
    assert_eq!(lines(&runs), ["run"], "{ended}");
}

#[test]
fn a_command_that_ends_with_0_when_told_to_has_not_done_its_work() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "told", 1, "a\n");
    let script = "trap 'exit 0' TERM; echo begun >&2; while :; do sleep 0.05; done";
    once(
        &cluster,
        &topic,
        &["--command-timeout", "100ms", "--retries", "1", "--backoff", "1ms..1ms"],
        &["sh", "-c", script],
    )
    .run()
    .status(1)
    .stderr_has("timed out (attempt 2)");
    let worker = cluster.kq(["worker", &topic, "--shutdown-timeout", "2s", "--", "sh", "-c", script]).spawn();
    worker.wait_for_stderr("begun");
    worker.terminate();
    ends_soon(worker).status(75).stderr_has("0 done, 1 abandoned");
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("a");
}

#[test]
fn a_revoke_keeps_to_the_poll_interval_that_was_given() {
    let cluster = Cluster::get();
    let topic = cluster.create("interval", 2);
    for partition in ["0", "1"] {
        cluster.kq(["produce", &topic, "-p", partition]).stdin("a\n").run().success();
    }
    let script = "trap '' TERM; echo hangs >&2; while :; do sleep 0.1; done";
    let limits = ["-X", "max.poll.interval.ms=6000", "-X", "session.timeout.ms=6000"];
    let flags = ["worker", &topic, "-g", "g", "-v", "-j", "2", "--shutdown-timeout", "1s"];
    let first = cluster.kq(flags).args(limits).args(["--", "sh", "-c", script]).spawn();
    wait_until("both hang", LONG, || first.stderr_so_far().matches(" hangs").count() == 2);
    let second = cluster.kq(["worker", &topic, "-g", "g", "--", "cat"]).spawn();
    first.wait_for_stderr("revoked: ");
    let revoked = Instant::now();
    second.wait_until_stdout("the record that was given up", |out| out == b"a");
    let took = revoked.elapsed();
    first.terminate();
    // Longer than the interval, and the partitions would be lost.
    let first = first.wait().stderr_lacks("partitions lost");
    let first = first.stderr_has("as long as max.poll.interval.ms lets --drain: sending TERM");
    first.demand(&format!("a revoke of 3.6 s and not of 24, as by default; it took {took:?}"), |_| {
        took < SOON
    });
    second.terminate();
    second.wait();
}

#[test]
fn a_topic_that_is_deleted_ends_its_worker() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "deleted", 1, "1\n");
    let worker = cluster.kq(["worker", &topic, "--timeout", "1s", "--", "cat"]).limit(LONG).spawn();
    worker.wait_until_stdout("the record", |printed| printed == b"1");
    cluster.kq(["topic", "delete", &topic]).run().success();
    worker.wait().status(2).stderr_has(&format!("topic {topic} does not exist any more"));
}
