//! `kq worker --persistent`: who is guilty of a death, what a process is told, and what becomes of a bad answer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Cluster, Kq, Running, runs, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(45);

fn topic_with(cluster: &Cluster, hint: &str, lines: &str) -> String {
    crate::support::topic_with(cluster, hint, 1, lines)
}

/// A worker of one process that stays (or of `-j`), which runs this script.
fn worker(cluster: &Cluster, topic: &str, flags: &[&str], script: &str) -> Kq {
    let jobs: &[&str] = if flags.contains(&"-j") { &[] } else { &["-j", "1"] };
    let kq = cluster.kq(["worker", topic, "--persistent", "--backoff", "1ms"]).args(jobs);
    kq.args(flags).args(["--", "sh", "-c", script]).limit(LONG)
}

/// The same, which handles the records up to now and ends.
fn once(cluster: &Cluster, topic: &str, flags: &[&str], script: &str) -> Kq {
    worker(cluster, topic, &[&["-e"], flags].concat(), script)
}

/// What is left of a topic for the next worker.
fn rest(cluster: &Cluster, topic: &str) -> String {
    let rest = cluster.kq(["worker", topic, "-e", "-j", "1", "--", "sh", "-c", "cat; echo"]).limit(LONG);
    rest.run().success().text().to_owned()
}

/// A handler that runs `script` for each record, which sees `$line` and `$id`.
fn each(script: &str) -> String {
    format!("while IFS= read -r line; do id=${{line#*:}}; id=${{id%%,*}}\n{script}\ndone")
}

/// Answers that a record is done.
const OK: &str = r#"echo "{\"id\":$id,\"ok\":true}""#;

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// The pid of a process that said ` here`.
fn hanging(worker: &Running) -> String {
    let said = worker.wait_for_stderr(" here");
    said.split_once("[pid ").and_then(|(_, rest)| rest.split_once(']')).expect("a pid").0.to_owned()
}

#[test]
fn a_process_that_dies_while_the_worker_ends_costs_its_records_nothing() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "dies", "a\nb\nc\n");
    let dlq = cluster.create("dead", 1);
    let script =
        "read -r a; read -r b; read -r c; echo here >&2; while [ ! -e go ]; do sleep 0.01; done; exit 3";
    let worker = worker(&cluster, &topic, &["--dlq", &dlq, "--retries", "0"], script).spawn();
    worker.wait_for_stderr("here");
    worker.terminate();
    worker.wait_for_stderr("signal 15: ");
    fs::write(worker.dir().join("go"), "").unwrap();
    worker.wait().success().stderr_has("kq: 0 done").stderr_lacks("dead-lettered");
    assert_eq!(rest(&cluster, &topic), "a\nb\nc\n");
}

#[test]
fn what_was_not_sent_yet_is_dropped_at_the_first_signal() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "unsent", "a\nb\nc\n");
    // All three are in flight at the first death; then the first is alone, and two wait.
    let script = format!(
        "[ -e died ] || {{ read -r a; read -r b; read -r c; touch died; exit 3; }}
        {}",
        each(&format!("echo here >&2; echo >> seen; while [ ! -e go ]; do sleep 0.01; done; {OK}"))
    );
    let worker = worker(&cluster, &topic, &[], &script).spawn();
    worker.wait_for_stderr("here");
    worker.terminate();
    worker.wait_for_stderr("signal 15: ");
    fs::write(worker.dir().join("go"), "").unwrap();
    let ended = worker.wait().success().stderr_has("kq: 1 done");
    assert_eq!(lines(&ended.dir().join("seen")), 1);
    assert_eq!(rest(&cluster, &topic), "b\nc\n");
}

#[test]
fn what_is_in_hand_when_the_time_is_up_is_abandoned() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "hangs", "a\nb\n");
    let script = "read -r a; read -r b; echo here >&2; exec sleep 600";
    let worker = worker(&cluster, &topic, &["--shutdown-timeout", "3s"], script).spawn();
    worker.wait_for_stderr("here");
    worker.terminate();
    worker.wait().status(75).stderr_has("0 done").stderr_has("2 abandoned").stderr_lacks("failed attempt");
    assert_eq!(rest(&cluster, &topic), "a\nb\n");
}

#[test]
fn nothing_more_is_handed_over_once_a_stop_was_decided() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "stopped", "a\nb\nc\nd\n");
    let script = each(r#"echo >> seen; echo "{\"id\":$id,\"fail\":\"no good\"}""#);
    let ended = once(&cluster, &topic, &["--window", "1", "--on-failure", "stop"], &script).run().status(1);
    let ended = ended.stderr_has("failed: no good").stderr_lacks("stderr: no good");
    assert_eq!(lines(&ended.dir().join("seen")), 1, "{ended}");
}

#[test]
fn a_revoked_partition_is_taken_from_its_process_which_is_told_to_end() {
    let cluster = Cluster::get();
    let topic = cluster.create("revoked", 2);
    for partition in ["0", "1"] {
        cluster.kq(["produce", &topic, "-p", partition]).stdin(partition).run().success();
    }
    let answer = each(
        "v=${line#*'\"value\":\"'}; v=${v%%'\"'*}; echo \"{\\\"id\\\":$id,\\\"ok\\\":true,\\\"out\\\":[\\\"$v\\\"]}\"",
    );
    let script = format!(
        "[ -e held ] || {{ touch held; read -r a; read -r b; echo here >&2; exec sleep 600; }}
        {answer}"
    );
    let flags = ["--drain", "300ms", "-X", "heartbeat.interval.ms=200"];
    let first = worker(&cluster, &topic, &flags, &script).spawn();
    let pid = hanging(&first);
    let second = worker(&cluster, &topic, &flags, &answer).spawn();
    // Each of the two partitions goes on: one there, one in a new process here.
    wait_until("both are answered", LONG, || {
        !first.stdout_so_far().is_empty() && !second.stdout_so_far().is_empty()
    });
    assert!(!runs(&pid));
    let ended = [first, second].map(|worker| {
        worker.terminate();
        worker.wait().success().stderr_has("kq: 1 done").stderr_lacks("failed attempt")
    });
    let mut out: Vec<&str> = ended.iter().flat_map(|ended| ended.lines()).collect();
    out.sort_unstable();
    assert_eq!(out, ["0", "1"]);
}

#[test]
fn a_process_dies_with_the_partitions_that_are_lost() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "lost", "a\n");
    let flags = ["-X", "session.timeout.ms=2000", "-X", "heartbeat.interval.ms=200"];
    let script = "read -r line; echo here >&2; exec sleep 600";
    let first = worker(&cluster, &topic, &flags, script).limit(2 * LONG).spawn();
    let pid = hanging(&first);
    // It is silent for longer than its session.
    first.signal(19);
    let second =
        worker(&cluster, &topic, &flags, &each(&format!("echo again >&2; {OK}"))).limit(2 * LONG).spawn();
    second.wait_for_stderr("again");
    first.signal(18);
    first.wait_for_stderr("partitions lost:");
    wait_until("its process has ended", LONG, || !runs(&pid));
    for worker in [first, second] {
        worker.terminate();
        worker.wait().success().stderr_lacks("failed attempt");
    }
}

#[test]
fn records_that_kill_cost_their_attempts_and_a_dead_letter_each() {
    let cluster = Cluster::get();
    let script = each(&format!("case $line in *poison*) exit 3;; esac; {OK}"));
    let all =
        [("1", "a\nb\npoison\n"), ("1", "a\nb\npoison 1\npoison 2\n"), ("2", "a\npoison 1\npoison 2\nb\n")];
    for (jobs, records) in all {
        let topic = topic_with(&cluster, "deadly", records);
        let dlq = cluster.create("dead", 1);
        let count = records.matches("poison").count();
        once(&cluster, &topic, &["-j", jobs, "--dlq", &dlq, "--retries", "4"], &script)
            .run()
            .success()
            .stderr_has(&format!("2 done, {count} dead-lettered, {} failed attempts", 5 * count));
    }
}

#[test]
fn a_command_that_always_ends_at_once_is_78_and_dead_letters_nothing() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "broken", "a\nb\nc\nd\ne\nf\n");
    let dlq = cluster.create("dead", 1);
    once(&cluster, &topic, &["--dlq", &dlq], "exit 1")
        .run()
        .status(78)
        .stderr_has("5 times without an answer")
        .stderr_lacks("dead-lettered");
}

#[test]
fn the_last_suspect_is_alone_too() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "suspects", "a\nb\npoison\nd\ne\nf\n");
    // The first process dies with three in flight. Whatever joined the poison would die with it.
    let script = format!(
        "echo >> starts; [ -e died ] || {{ read -r a; read -r b; read -r c; touch died; exit 3; }}
        {}",
        each(&format!("case $line in *poison*) sleep 0.5; exit 3;; esac; {OK}"))
    );
    let flags = ["--window", "3", "--retries", "0", "--on-failure", "skip"];
    let ended = once(&cluster, &topic, &flags, &script).run().success().stderr_has("5 done, 1 skipped");
    // The second answers what came before the poison, the third has it alone from the start.
    assert_eq!(lines(&ended.dir().join("starts")), 4, "{ended}");
}

#[test]
fn a_command_that_takes_one_after_the_other_has_the_time_out_for_each() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "serial", "a\nb\nc\nd\ne\nf\ng\nh\n");
    let script = format!("echo >> starts; {}", each(&format!("sleep 0.4; {OK}")));
    let ended = once(&cluster, &topic, &["--command-timeout", "2s"], &script).run().success();
    let ended = ended.stderr_has("8 done").stderr_lacks("no answer after");
    assert_eq!(lines(&ended.dir().join("starts")), 1, "{ended}");
}

#[test]
fn a_time_out_is_said() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "late", "a\nstuck\nb\n");
    let script = each(&format!("case $line in *stuck*) sleep 600;; esac; {OK}"));
    let flags = ["--command-timeout", "500ms", "--retries", "0", "--on-failure", "skip"];
    once(&cluster, &topic, &flags, &script)
        .run()
        .success()
        .stderr_has(&format!("kq: {topic}[0]@1: no answer after 0.5 s: sending TERM to sh[pid "))
        .stderr_has("timed out, skipped")
        .stderr_has("2 done, 1 skipped");
}

#[test]
fn a_process_that_closes_a_pipe_and_outlives_term_is_killed() {
    let cluster = Cluster::get();
    let says_much =
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo 0123456789012345678901234567890123456789 >&2; done";
    let stays = format!("{says_much}; echo all said >&2; while :; do sleep 0.1; done");
    // What it may still answer counts. The next record is handed to another.
    let answers = format!("IFS= read -r line; exec <&-; id=${{line#*:}}; id=${{id%%,*}}; {OK}");
    for (records, script, outcome) in [
        ("a\n", "read -r line; exec >&-".to_owned(), "it closed its stdout, skipped"),
        ("a\nb\n", answers, "kq: 2 done"),
    ] {
        let topic = topic_with(&cluster, "closes", records);
        let flags = ["--window", "1", "--retries", "0", "--on-failure", "skip"];
        once(&cluster, &topic, &flags, &format!("trap '' TERM; {script}; {stays}"))
            .run()
            .success()
            .stderr_has(outcome)
            .stderr_has("all said");
    }
}

#[test]
fn all_that_a_process_said_before_its_end_is_passed_on() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "said", "a\n");
    let script =
        "read -r line; head -c 60000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 65";
    once(&cluster, &topic, &[], script)
        .run()
        .status(1)
        .stderr_has("]: the end\n")
        .stderr_has("stderr: the end");
}

#[test]
fn a_last_answer_without_a_newline_counts() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "last", "a\n");
    let script = format!("IFS= read -r line; id=${{line#*:}}; id=${{id%%,*}}; printf %s \"$({OK})\"");
    once(&cluster, &topic, &[], &script).run().success().stderr_has("1 done").stderr_lacks("failed attempt");
}

#[test]
fn a_line_without_an_end_fails_its_record() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "long-line", "endless\nb\n");
    let script =
        each(&format!("case $line in *endless*) head -c 80000000 /dev/zero; sleep 600;; esac; {OK}"));
    once(&cluster, &topic, &["--on-failure", "skip"], &script)
        .run()
        .success()
        .stderr_has("longer than 64 MiB")
        .stderr_has("1 done, 1 skipped");
}

#[test]
fn a_command_that_stays_inherits_no_record_of_an_outer_worker() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "inner", "a\n");
    let script = each(
        r#"names=$(env | sed -n 's/^\(KQ_RECORD_[A-Z_0-9]*\)=.*/\1/p' | tr '\n' ' ')
        echo "{\"id\":$id,\"ok\":true,\"out\":[\"$names\"]}""#,
    );
    once(&cluster, &topic, &[], &script)
        .env("KQ_RECORD_KEY", "outer")
        .env("KQ_RECORD_OFFSET", "7")
        .env("KQ_RECORD_TRUNCATED", "1")
        .run()
        .success()
        .stdout("KQ_RECORD_GROUP \n");
}

#[test]
fn a_value_that_was_decompressed_has_no_content_encoding() {
    let cluster = Cluster::get();
    let topic = cluster.create("decompressed", 1);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, b"some text").unwrap();
    let gzip = gzip.finish().unwrap();
    let produce = ["produce", &topic, "--whole", "-H", "a=1", "-H", "content-encoding=gzip", "-H", "b=2"];
    cluster.kq(produce).stdin(gzip).run().success();
    let script = each(&format!("echo \"$line\" >&2; {OK}"));
    once(&cluster, &topic, &[], &script)
        .run()
        .success()
        .stderr_has(r#""value":"some text""#)
        .stderr_has(r#"[["a","1"],["b","2"]]"#);
    once(&cluster, &topic, &["-g", "raw", "--decode", "none"], &script)
        .run()
        .success()
        .stderr_has("content-encoding");
}

#[test]
fn an_answer_that_is_not_understood_fails_its_record() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "bad-answer", "a\nb\n");
    let script = each(
        r#"case $line in
        *'"offset":0,'*) echo "{\"id\":$id,\"retry_ms\":1.5}";;
        *) echo "{\"id\":$id,\"ok\":true,\"out\":\"one line\"}";;
        esac"#,
    );
    once(&cluster, &topic, &["--on-failure", "skip"], &script)
        .run()
        .success()
        .stdout("one line\n")
        .stderr_has("not understood: ")
        .stderr_has("1.5")
        .stderr_has("1 done, 1 skipped");
}

#[test]
fn a_dead_letter_says_why_its_command_failed_it() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "why", "a\n");
    let dlq = cluster.create("dead", 1);
    let script = each(r#"echo "{\"id\":$id,\"fail\":\"no such customer\"}""#);
    once(&cluster, &topic, &["--dlq", &dlq], &script).run().success();
    cluster
        .kq(["consume", &dlq, "-e", "-f", "%h\\n"])
        .run()
        .success()
        .stdout_has("kq.dlq.reason=protocol")
        .stdout_has("kq.dlq.stderr=no such customer");
}

#[test]
fn what_a_command_says_comes_under_its_short_name() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "says", "a\n");
    let ended =
        once(&cluster, &topic, &[], &each(&format!("echo hello >&2; echo no answer; {OK}"))).run().success();
    for said in ["hello", "no answer"] {
        let line = ended.stderr.lines().find(|line| line.ends_with(said)).expect("it is passed on");
        let pid = line.strip_prefix("sh[pid ").and_then(|rest| rest.strip_suffix(&format!("]: {said}")));
        assert!(pid.is_some_and(|pid| pid.bytes().all(|b| b.is_ascii_digit())), "{line}");
    }
}

#[test]
fn a_command_that_ends_by_itself_after_some_records_fails_none() {
    let cluster = Cluster::get();
    let all: String = (0..40).map(|n| format!("{n}\n")).collect();
    // After each, after each with a failure, and after three.
    for (most, status, window) in [(1, 0, "64"), (1, 9, "1"), (3, 0, "64")] {
        let topic = topic_with(&cluster, "recycles", &all);
        let dlq = cluster.create("dead", 1);
        let script = format!(
            "seen=0; {}",
            each(&format!("seen=$((seen + 1)); {OK}; [ $seen -lt {most} ] || exit {status}"))
        );
        once(&cluster, &topic, &["--window", window, "--dlq", &dlq, "--retries", "0"], &script)
            .run()
            .success()
            .stderr_has("kq: 40 done")
            .stderr_lacks("failed attempt")
            .stderr_lacks("dead-lettered");
    }
}

#[test]
fn a_process_that_closes_its_stdin_with_records_in_hand_is_replaced() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "deaf", "a\nb\nc\nd\ne\n");
    // All five are in the pipe: nothing more is written, so no write finds the reader closed.
    let first = format!("touch deaf; read -r line; id=${{line#*:}}; id=${{id%%,*}}; {OK}");
    let script = format!("[ -e deaf ] || {{ {first}; exec <&-; exec sleep 600; }}\n{}", each(OK));
    once(&cluster, &topic, &["--retries", "0"], &script).run().success().stderr_has("kq: 5 done");
}
