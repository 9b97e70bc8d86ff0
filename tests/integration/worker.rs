//! `kq worker` from outside: the real binary, a cluster, commands that work, fail, hang and hide.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::support::{Cluster, Kq, lines, once, runs, topic_with, wait_until};

/// The limit of a wait.
const LONG: Duration = Duration::from_secs(30);

/// A topic with keyed records: `key:value` lines.
fn keyed(cluster: &Cluster, hint: &str, partitions: u32, lines: &str) -> String {
    let topic = cluster.create(hint, partitions);
    cluster.kq(["produce", &topic, "-K", ":"]).stdin(lines).run().success();
    topic
}

/// Each of these as a line.
fn text(lines: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    lines.into_iter().fold(String::new(), |text, line| text + &line.to_string() + "\n")
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_line_of_the_readme_runs_word_for_word() {
    let cluster = Cluster::get();
    cluster.kq(["topic", "create", "foo", "--partitions", "1", "--if-not-exists"]).run().success();
    cluster.kq(["produce", "foo"]).stdin("one\ntwo\n").run().success();
    let worker = cluster.program("sh", ["-c", "exec kq worker foo -- ./handler.sh"]);
    worker.script("handler.sh", "cat\necho\n");
    let worker = worker.spawn();
    worker.wait_for_stdout("two");
    worker.terminate();
    worker.wait().success().stderr_has("group kq-worker-foo").stderr_has(" done in ");
}

#[test]
fn every_record_runs_once_and_the_next_run_finds_nothing() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "once", 3, "a\nb\nc\nd\n");
    let first = once(&cluster, &topic, &[], &["sh", "-c", "cat; echo !"]).run().success();
    assert_eq!(sorted(first.text()), ["a!", "b!", "c!", "d!"]);
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("");
}

#[test]
fn the_record_is_in_the_environment() {
    let cluster = Cluster::get();
    let topic = cluster.create("environment", 1);
    cluster.kq(["produce", &topic, "-k", "key", "-H", "h=v", "-H", "n"]).stdin("value\n").run().success();
    let shown =
        once(&cluster, &topic, &["-g", "mine"], &["sh", "-c", "env | grep ^KQ_ | sort"]).run().success();
    let variables: BTreeMap<&str, &str> = shown.text().lines().filter_map(|l| l.split_once('=')).collect();
    for (name, value) in [
        ("KQ_RECORD_TOPIC", topic.as_str()),
        ("KQ_RECORD_PARTITION", "0"),
        ("KQ_RECORD_OFFSET", "0"),
        ("KQ_RECORD_KEY", "key"),
        ("KQ_RECORD_KEY_BASE64", "a2V5"),
        ("KQ_RECORD_ATTEMPT", "1"),
        ("KQ_RECORD_MAX_ATTEMPTS", "6"),
        ("KQ_RECORD_ID", &format!("{topic}/0/0")),
        ("KQ_RECORD_HEADERS", r#"[["h","v"],["n",null]]"#),
        ("KQ_RECORD_GROUP", "mine"),
        ("KQ_BROKERS", cluster.brokers()),
    ] {
        assert_eq!(variables.get(name), Some(&value), "{name} in {variables:?}");
    }
    assert!(variables["KQ_RECORD_TIMESTAMP"].parse::<u64>().is_ok());
    for name in ["KQ_RECORD_KEY_NULL", "KQ_RECORD_VALUE_NULL", "KQ_RECORD_TRUNCATED"] {
        assert!(!variables.contains_key(name), "{name}");
    }
}

#[test]
fn a_nested_kq_neither_joins_the_group_nor_writes_back() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "nested", 1, "a\n");
    let shown = cluster
        .kq([
            "worker",
            "-e",
            "--",
            "sh",
            "-c",
            "echo ${KQ_TOPIC-none} ${KQ_GROUP-none} ${KQ_X-none} ${KQ_SASL_PASSWORD-none}",
        ])
        .env("KQ_TOPIC", &topic)
        .env("KQ_GROUP", "outer")
        .env("KQ_X", "client.rack=r")
        .env("KQ_SASL_PASSWORD", "")
        .run()
        .success();
    assert_eq!(shown.text(), "none none none none\n");
}

#[test]
fn a_tombstone_is_an_empty_input_and_says_so() {
    let cluster = Cluster::get();
    let topic = cluster.create("tombstone", 1);
    cluster.kq(["produce", &topic, "--null", "NULL", "-k", "k"]).stdin("NULL\n\n").run().success();
    once(&cluster, &topic, &[], &["sh", "-c", "wc -c; echo ${KQ_RECORD_VALUE_NULL-value}"])
        .run()
        .success()
        .stdout("0\n1\n0\nvalue\n");
}

#[test]
fn a_key_runs_in_order_and_other_keys_run_beside_it() {
    let cluster = Cluster::get();
    let input = text((0..60).map(|i| format!("k{}:{i}", i % 3)));
    let topic = keyed(&cluster, "order", 2, &input);
    let script = "read v; sleep 0.0$((v % 3)); echo \"$KQ_RECORD_KEY $v\"";
    let shown = once(&cluster, &topic, &["-j", "8"], &["sh", "-c", script]).run().success();
    let mut of_key: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for line in shown.text().lines() {
        let (key, value) = line.split_once(' ').expect("key and value");
        of_key.entry(key).or_default().push(value.parse().expect("a number"));
    }
    assert_eq!(of_key.len(), 3);
    for (key, values) in of_key {
        assert_eq!(values.len(), 20, "{key}");
        assert!(values.is_sorted(), "{key}: {values:?}");
    }
}

#[test]
fn jobs_run_beside_each_other_and_no_more_than_asked_for() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "jobs", 1, "1\n2\n3\n4\n5\n6\n");
    // Each waits until three are there at once, and none may ever see a fourth.
    let script = "mkdir run.$KQ_RECORD_OFFSET
        until [ $(ls -d run.* | wc -l) -ge 3 ] || [ -e seen ]; do sleep 0.01; done
        touch seen; ls -d run.* | wc -l; rmdir run.$KQ_RECORD_OFFSET";
    let shown = once(&cluster, &topic, &["-j", "3"], &["sh", "-c", script]).run().success();
    let most = shown.text().lines().map(|n| n.trim().parse::<u32>().expect("a number")).max();
    assert_eq!(most, Some(3));
}

#[test]
fn output_comes_out_whole_however_large() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "whole", 1, "a\nb\nc\nd\n");
    let script = "read v; for i in $(seq 20000); do echo $v; done";
    let shown = once(&cluster, &topic, &["-j", "4"], &["sh", "-c", script]).run().success();
    let mut runs: Vec<&str> = shown.text().lines().collect();
    assert_eq!(runs.len(), 80_000);
    runs.dedup();
    assert_eq!(runs.len(), 4, "the outputs are mixed");
}

#[test]
fn an_unread_record_of_megabytes_is_no_problem() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "unread", 1, format!("{}\n", "x".repeat(900_000)));
    once(&cluster, &topic, &[], &["true"]).run().success();
    once(&cluster, &topic, &["-g", "other"], &["wc", "-c"]).run().success().stdout("900000\n");
}

#[test]
fn stderr_is_passed_on_after_the_records_place() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "stderr", 1, "a\n");
    once(&cluster, &topic, &[], &["sh", "-c", "echo one >&2; printf two >&2"])
        .run()
        .success()
        .stderr_has(&format!("\n{topic}[0]@0: one\n{topic}[0]@0: two\n"));
}

#[test]
fn a_failure_stops_the_worker_and_says_what_and_where() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "stop", 1, "good\nbad\nlater\n");
    let script = "read v; echo $v; if [ $v = bad ]; then echo oh no >&2; exit 3; fi";
    // In this order nothing runs while the bad one waits for its retry.
    let flags = ["-j", "1", "--retries", "1", "--backoff", "1ms", "--order", "partition"];
    once(&cluster, &topic, &flags, &["sh", "-c", script])
        .run()
        .status(1)
        .stderr_has(&format!("{topic}[0]@1: sh -c"))
        .stderr_has("status 3 (attempt 2)")
        .stderr_has("stderr: oh no");
    // It was not committed, and what came before it was.
    once(&cluster, &topic, &["-j", "1"], &["cat"]).run().success().stdout("badlater");
}

#[test]
fn a_record_gets_one_attempt_more_than_retries() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "attempts", 1, "a\n");
    let flags = ["--retries", "2", "--backoff", "1ms", "--on-failure", "skip"];
    once(&cluster, &topic, &flags, &["sh", "-c", "echo $KQ_RECORD_ATTEMPT/$KQ_RECORD_MAX_ATTEMPTS; exit 1"])
        .run()
        .success()
        .stdout("1/3\n2/3\n3/3\n")
        .stderr_has("1 skipped");
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("");
}

#[test]
fn the_exit_map_ranks_above_the_table() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "map", 1, "a\n");
    once(&cluster, &topic, &["--exit-map", "3=skip"], &["sh", "-c", "echo ran; exit 3"])
        .run()
        .success()
        .stdout("ran\n");
    once(&cluster, &topic, &["--exit-map", "3=sk"], &["true"]).run().status(2).stderr_has("\"sk\"");
}

#[test]
fn a_dead_letter_keeps_the_record_and_says_why() {
    let cluster = Cluster::get();
    let topic = cluster.create("orders", 1);
    cluster.kq(["produce", &topic, "-k", "k", "-H", "own=1"]).stdin("poison\n").run().success();
    let dlq = cluster.create("dead", 1);
    let flags = ["--dlq", &dlq, "--retries", "1", "--backoff", "1ms", "-g", "g1"];
    once(&cluster, &topic, &flags, &["sh", "-c", "echo why >&2; exit 9"])
        .run()
        .success()
        .stderr_has("1 dead-lettered");
    let letters = cluster.kq(["consume", &dlq, "-e", "-f", "%k|%s|%h\\n"]).run().success();
    for part in [
        "k|poison|own=1,",
        &format!("kq.dlq.topic={topic},kq.dlq.partition=0,kq.dlq.offset=0,"),
        "kq.dlq.group=g1,kq.dlq.attempts=2,kq.dlq.reason=exit,kq.dlq.exit-code=9,kq.dlq.stderr=why",
        "kq.dlq.failed-at=20",
    ] {
        assert!(letters.text().contains(part), "{part} in {}", letters.text());
    }
    assert_eq!(letters.text().matches("poison").count(), 1);
    once(&cluster, &topic, &["-g", "g1"], &["cat"]).run().success().stdout("");
}

#[test]
fn a_permanent_failure_goes_to_the_dead_letters_at_once() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "permanent", 1, "a\n");
    let dlq = cluster.create("dead", 1);
    once(&cluster, &topic, &["--dlq", &dlq], &["sh", "-c", "echo ran; exit 65"])
        .run()
        .success()
        .stdout("ran\n");
    cluster.kq(["consume", &dlq, "-e"]).run().success().stdout("a\n");
}

#[test]
fn an_outage_does_not_pour_the_topic_into_the_dead_letters() {
    let cluster = Cluster::get();
    let input = text(0..50);
    let topic = topic_with(&cluster, "outage", 1, &input);
    let dlq = cluster.create("dead", 1);
    let flags = ["--dlq", &dlq, "--max-consecutive-failures", "5", "-j", "1", "--retries", "0"];
    once(&cluster, &topic, &flags, &["false"]).run().status(1).stderr_has("--max-consecutive-failures");
    cluster.kq(["consume", &dlq, "-e"]).run().success().stdout("0\n1\n2\n3\n");
}

#[test]
fn dead_letters_that_would_come_back_are_refused() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "loop", 1, "a\n");
    once(&cluster, &topic, &["--dlq", &topic], &["false"])
        .run()
        .status(2)
        .stderr_has("reads that topic itself");
    once(&cluster, &topic, &["--on-failure", "dlq"], &["false"]).run().status(2).stderr_has("--dlq TOPIC");
    once(&cluster, &topic, &["--dlq", "not-there-at-all"], &["false"])
        .run()
        .status(2)
        .stderr_has("not-there-at-all does not exist");
}

#[test]
fn a_command_that_cannot_run_is_78_and_nothing_is_committed() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "broken", 1, "a\n");
    once(&cluster, &topic, &[], &["./nowhere.sh"]).run().status(78).stderr_has("./nowhere.sh");
    for code in ["78", "126", "127"] {
        once(&cluster, &topic, &[], &["sh", "-c", &format!("exit {code}")])
            .run()
            .status(78)
            .stderr_has(&format!(": status {code}\nthat status says that the command itself is broken"));
    }
    once(&cluster, &topic, &["--exit-map", "3=stop"], &["sh", "-c", "exit 3"])
        .run()
        .status(78)
        .stderr_has(": status 3\n--exit-map says stop");
    let worker = once(&cluster, &topic, &[], &["./plain"]);
    worker.file("plain", "echo no");
    worker.run().status(78).stderr_has("chmod +x ./plain");
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("a");
}

#[test]
fn a_string_with_shell_syntax_goes_to_the_shell() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "shell", 1, "a\n");
    once(&cluster, &topic, &["-g", "1"], &["cat | tr a b"]).run().success().stdout("b");
    cluster.kq(["worker", &topic, "-e", "-g", "2", "--shell", "cat"]).run().success().stdout("a");
    let worker = once(&cluster, &topic, &["-g", "3"], &["./bare", "arg"]);
    worker.script("bare", "cat; echo $1");
    worker.run().success().stdout("aarg\n");
}

#[test]
fn a_command_that_hangs_or_traps_term_is_killed_at_its_time() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "hang", 1, "a\n");
    let flags = ["--command-timeout", "100ms", "--retries", "0", "--on-failure", "skip"];
    once(&cluster, &topic, &flags, &["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        .run()
        .success()
        .stderr_has("timed out, skipped");
}

#[test]
fn a_parent_that_ignores_children_hides_no_status() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "ignored", 1, "a\n");
    let ignoring = |group: &str, flags: &[&str], command: &[&str]| {
        let kq = ["-e", r#"$SIG{CHLD} = "IGNORE"; exec @ARGV"#, env!("CARGO_BIN_EXE_kq")];
        let worker = ["worker", &topic, "-e", "-q", "-g", group];
        cluster.program("perl", [&kq[..], &worker, flags, &["--"], command].concat()).run()
    };
    ignoring("skips", &["--on-failure", "skip", "--retries", "0"], &["sh", "-c", "exit 65"]).status(0);
    ignoring("stops", &[], &["sh", "-c", "exit 65"]).status(1).stderr_has("status 65");
    // The command does not inherit it, so it gets the status of its own children.
    ignoring("inherits", &[], &["sh", "-c", "sh -c 'exit 7' & wait $!; echo $?"]).success().stdout("7\n");
}

#[test]
fn what_comes_while_a_command_hangs_runs_beside_it() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "beside", 1, "");
    let script = "cat; echo; [ $KQ_RECORD_KEY != a ] || while [ ! -e go ]; do sleep 0.01; done";
    let worker = cluster
        .kq([
            "worker",
            &topic,
            "-n",
            "3",
            "-j",
            "2",
            "--",
            "sh",
            "-c",
            &format!("echo $KQ_RECORD_KEY here >&2; {script}"),
        ])
        .spawn();
    let send = |line: &str| {
        cluster.kq(["produce", &topic, "-K", ":"]).stdin(format!("{line}\n")).run().success();
    };
    send("a:hangs");
    worker.wait_for_stderr("a here");
    for line in ["b:first", "b:second"] {
        send(line);
        worker.wait_for_stdout(&line[2..]);
    }
    fs::write(worker.dir().join("go"), "").unwrap();
    worker.wait().success().stdout("first\nsecond\nhangs\n");
}

#[test]
fn a_background_grandchild_ends_with_its_command() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "grandchild", 1, "a\n");
    let shown = once(&cluster, &topic, &[], &["sh", "-c", "sleep 600 & echo $!"]).run().success();
    let pid = shown.text().trim().to_owned();
    wait_until("the grandchild has ended", LONG, || !runs(&pid));
}

#[test]
fn a_signal_drains_what_runs_and_commits_it() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "drain", 1, "a\nb\n");
    let worker = cluster
        .kq([
            "worker",
            &topic,
            "-j",
            "1",
            "--",
            "sh",
            "-c",
            "cat; echo; echo here >&2; while [ ! -e go ]; do sleep 0.01; done",
        ])
        .spawn();
    worker.wait_for_stderr("here");
    worker.terminate();
    worker.wait_for_stderr("finishing 1 running");
    fs::write(worker.dir().join("go"), "").unwrap();
    worker.wait().success().stdout("a\n");
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("b");
}

#[test]
fn a_signal_before_the_stop_condition_is_told_in_the_status() {
    let cluster = Cluster::get();
    let topic = cluster.create("signal", 1);
    let worker = cluster.kq(["worker", &topic, "-n", "5", "-v", "--", "cat"]).spawn();
    worker.wait_for_stderr("assigned:");
    worker.signal(2);
    worker.wait().status(130).stderr_has("kq: stopped by signal 2\n");
    let topic = topic_with(&cluster, "somewhere", 1, "a\nb\n");
    let worker = cluster.kq(["worker", &topic, "-n", "5", "-j", "1", "--", "sh", "-c", "cat; echo"]).spawn();
    worker.wait_for_stdout("b");
    worker.signal(2);
    worker.wait().status(130).stderr_has(&format!("stopped by signal 2; last: {topic}[0]@1"));
}

#[test]
fn what_does_not_end_in_time_is_abandoned_and_runs_again() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "abandon", 1, "a\n");
    let script = "trap '' TERM; echo $$ here >&2; while :; do sleep 1; done";
    let worker = cluster.kq(["worker", &topic, "--shutdown-timeout", "1s", "--", "sh", "-c", script]).spawn();
    let said = worker.wait_for_stderr(" here");
    let pid = said.split("@0: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a pid").to_owned();
    worker.terminate();
    worker.wait().status(75).stderr_has("1 abandoned");
    wait_until("the command has ended", LONG, || !runs(&pid));
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("a");
}

#[test]
fn a_second_signal_ends_at_once_and_leaves_no_command() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "second", 1, "a\n");
    let script = "trap '' TERM; echo $$ here >&2; while :; do sleep 1; done";
    let worker = cluster.kq(["worker", &topic, "--", "sh", "-c", script]).spawn();
    let said = worker.wait_for_stderr(" here");
    let pid = said.split("@0: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a pid").to_owned();
    worker.terminate();
    worker.wait_for_stderr("finishing 1 running");
    worker.terminate();
    worker.wait().status(143);
    wait_until("the command has ended", LONG, || !runs(&pid));
}

#[test]
fn a_killed_worker_leaves_no_command_and_loses_no_record() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "killed", 1, "a\n");
    let script = "echo $$ here >&2; sleep 600";
    let worker =
        cluster.kq(["worker", &topic, "-X", "session.timeout.ms=6000", "--", "sh", "-c", script]).spawn();
    let said = worker.wait_for_stderr(" here");
    let pid = said.split("@0: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a pid").to_owned();
    worker.kill();
    wait_until("the guard has killed the command", LONG, || !runs(&pid));
    once(&cluster, &topic, &[], &["cat"]).limit(Duration::from_mins(1)).run().success().stdout("a");
}

#[test]
fn a_count_is_exact_and_the_rest_stays() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "count", 1, "a\nb\nc\nd\n");
    let flags =
        |n: &str| vec!["worker".to_owned(), topic.clone(), "-n".into(), n.into(), "-j".into(), "1".into()];
    cluster.kq(flags("3")).args(["--", "cat"]).run().success().stdout("abc");
    cluster.kq(flags("1")).args(["--", "cat"]).run().success().stdout("d");
}

#[test]
fn idle_ends_a_worker_that_has_nothing_to_do() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "idle", 1, "a\n");
    cluster.kq(["worker", &topic, "--idle", "200ms", "--", "cat"]).run().success().stdout("a");
}

#[test]
fn a_start_in_the_middle_holds_only_where_nothing_is_committed() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "from", 1, "a\nb\nc\nd\n");
    once(&cluster, &topic, &["--from", "2", "-n", "1"], &["cat"]).run().success().stdout("c");
    once(&cluster, &topic, &["--from", "beginning"], &["cat"]).run().success().stdout("d");
    once(&cluster, &topic, &["-g", "end", "--from", "-1"], &["cat"]).run().success().stdout("d");
}

#[test]
fn a_closed_stdout_ends_quietly_and_what_was_not_written_is_not_committed() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "closed", 1, "a\nb\n");
    let line = format!("kq worker {topic} -g piped -q -j 1 -- 'cat; echo !' | head -n 1");
    cluster.program("sh", ["-c", &line]).run().success().stdout("a!\n").stderr("");
    // What some process managers give.
    let (stdout, reader) = std::os::unix::net::UnixStream::pair().unwrap();
    let worker = cluster.kq(["worker", &topic, "-g", "socket", "--from", "end", "-v", "--", "cat"]);
    let worker = worker.stdout_to(std::os::fd::OwnedFd::from(stdout)).spawn();
    worker.wait_for_stderr("assigned:");
    drop(reader);
    worker.wait().success();
}

#[test]
fn a_working_folder_that_is_gone_holds_up_no_command_that_is_found() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "homeless", 1, "a\n");
    let line = format!("mkdir gone; cd gone; rmdir ../gone; exec kq worker {topic} -e -- cat");
    cluster.program("sh", ["-c", &line]).run().success().stdout("a");
}

#[test]
fn a_worker_says_that_its_group_has_members_and_does_not_reset_it_then() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "shared", 1, "a\nb\n");
    let first = cluster.kq(["worker", &topic, "--shell", "cat; echo"]).spawn();
    first.wait_for_stdout("b");
    let reset = || once(&cluster, &topic, &["--reset", "--from", "beginning"], &["sh", "-c", "cat; echo"]);
    reset().run().status(2).stderr_has(&format!("--reset: group kq-worker-{topic} has 1 member"));
    let second = cluster.kq(["worker", &topic, "--shell", "cat; echo"]).spawn();
    second.wait_for_stderr(&format!(
        "kq: group kq-worker-{topic} has 1 member already; records are shared with them"
    ));
    for worker in [first, second] {
        worker.terminate();
        worker.wait().success();
    }
    once(&cluster, &topic, &[], &["sh", "-c", "cat; echo"])
        .run()
        .success()
        .stdout("")
        .stderr_lacks("already");
    reset()
        .run()
        .success()
        .demand("both records", |out| sorted(out.text()) == ["a", "b"])
        .stderr_has(&format!("kq: group kq-worker-{topic} was reset in {topic}\n"));
    once(&cluster, &topic, &["--reset"], &["sh", "-c", "cat; echo"])
        .run()
        .status(2)
        .stderr_has("--from <WHERE>");
}

#[test]
fn two_workers_share_a_group_and_nothing_is_lost_when_one_leaves() {
    let cluster = Cluster::get();
    let topic = cluster.create("share", 4);
    let out = tempfile::tempdir().unwrap();
    let log = out.path().join("log");
    let script = format!("read v; echo $v >> {}; sleep 0.02", log.display());
    let start = || {
        cluster
            .kq([
                "worker",
                &topic,
                "-j",
                "2",
                "-v",
                "-X",
                "heartbeat.interval.ms=200",
                "--",
                "sh",
                "-c",
                &script,
            ])
            .spawn()
    };
    let first = start();
    first.wait_for_stderr("assigned:");
    let second = start();
    second.wait_for_stderr("assigned:");
    for partition in 0..4u32 {
        let part = text((0..200).filter(|i| i % 4 == partition));
        cluster.kq(["produce", &topic, "-p", &partition.to_string()]).stdin(part).run().success();
    }
    wait_until("some are done", LONG, || lines(&log).len() > 60);
    second.terminate();
    second.wait().success();
    wait_until("all are done", LONG, || {
        let mut done = lines(&log);
        done.sort_unstable();
        done.dedup();
        done.len() == 200
    });
    first.terminate();
    first.wait().success();
    assert_eq!(lines(&log).len(), 200, "a graceful leave repeats nothing");
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let cluster = Cluster::get();
    cluster
        .kq(["worker", "no-such-topic", "--", "cat"])
        .run()
        .status(2)
        .stderr_has("no-such-topic does not exist");
    cluster.kq(["worker", "--", "cat"]).run().status(2).stderr_has("KQ_TOPIC");
    cluster.kq(["worker", "foo"]).run().status(2);
}

/// A persistent handler in sh: `script` sees `$line` and `$id` and prints the answer.
fn persistent(script: &str) -> String {
    format!(
        "while IFS= read -r line; do id=${{line#*:}}; id=${{id%%,*}}
        {script}
        done"
    )
}

#[test]
fn a_persistent_command_stays_and_answers_by_id() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "stays", 1, text(0..500));
    // Two at a time, the later one first.
    let script = persistent(
        "if [ -n \"$held\" ]; then echo \"{\\\"id\\\":$id,\\\"ok\\\":true,\\\"out\\\":[$$]}\"; echo \"{\\\"id\\\":$held,\\\"ok\\\":true}\"; held=; else held=$id; fi",
    );
    let flags = ["--persistent", "-j", "1", "--order", "none"];
    let shown = once(&cluster, &topic, &flags, &["sh", "-c", &script]).run().success().stderr_has("500 done");
    let mut pids = shown.lines();
    assert_eq!(pids.len(), 250);
    pids.dedup();
    assert_eq!(pids.len(), 1, "one process for all");
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("");
}

#[test]
fn only_the_record_that_kills_a_persistent_command_spends_retries() {
    let cluster = Cluster::get();
    let topic = topic_with(
        &cluster,
        "guilty",
        1,
        text((0..20).map(|i| if i == 7 { "poison".into() } else { i.to_string() })),
    );
    let dlq = cluster.create("dead", 1);
    let script = persistent(
        "case $line in *poison*) exit 3;; esac; echo \"$line\" >> seen; echo \"{\\\"id\\\":$id,\\\"ok\\\":true}\"",
    );
    let flags = ["--persistent", "-j", "1", "--dlq", &dlq, "--retries", "1", "--backoff", "1ms"];
    let done = once(&cluster, &topic, &flags, &["sh", "-c", &script]).run().success();
    let done = done.stderr_has("19 done, 1 dead-lettered, 2 failed attempts");
    let seen = fs::read_to_string(done.dir().join("seen")).unwrap();
    assert!(seen.lines().all(|line| line.contains("\"attempt\":1,")), "{seen}");
    cluster
        .kq(["consume", &dlq, "-e", "-f", "%s %h\\n"])
        .run()
        .success()
        .stdout_has("poison ")
        .stdout_has("kq.dlq.attempts=2");
}

#[test]
fn a_persistent_command_can_ask_for_a_record_again_and_can_fail_it() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "again", 1, "a\nbad\n");
    let script = persistent(
        "case $line in
        *bad*) echo \"{\\\"id\\\":$id,\\\"fail\\\":\\\"no good\\\"}\";;
        *'\"attempt\":1,'*) echo \"{\\\"id\\\":$id,\\\"retry_ms\\\":1}\"; echo not an answer;;
        *) echo \"{\\\"id\\\":$id,\\\"ok\\\":true,\\\"out\\\":[\\\"second\\\"]}\";;
        esac",
    );
    let flags = ["--persistent", "-j", "1", "--on-failure", "skip"];
    once(&cluster, &topic, &flags, &["sh", "-c", &script])
        .run()
        .success()
        .stdout("second\n")
        .stderr_has("not an answer")
        .stderr_has("failed: no good, skipped");
}

#[test]
fn a_persistent_command_that_never_answers_is_78() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "never", 1, text(0..10));
    let flags = ["--persistent", "-j", "1", "--retries", "9", "--backoff", "1ms"];
    once(&cluster, &topic, &flags, &["sh", "-c", "exit 1"]).run().status(78).stderr_has("without an answer");
}

#[test]
fn a_persistent_command_that_hangs_on_a_record_is_replaced() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "replaced", 1, "a\nstuck\nb\n");
    let script =
        persistent("case $line in *stuck*) sleep 600;; *) echo \"{\\\"id\\\":$id,\\\"ok\\\":true}\";; esac");
    let flags =
        ["--persistent", "-j", "1", "--command-timeout", "300ms", "--retries", "0", "--on-failure", "skip"];
    once(&cluster, &topic, &flags, &["sh", "-c", &script])
        .run()
        .success()
        .stderr_has("2 done, 1 skipped")
        .stderr_has("timed out");
}

#[test]
fn output_goes_to_a_topic_under_the_records_key() {
    let cluster = Cluster::get();
    let topic = cluster.create("source", 1);
    cluster.kq(["produce", &topic, "-k", "k", "-H", "h=v"]).stdin("a b\n").run().success();
    let (whole, parts) = (cluster.create("whole", 1), cluster.create("parts", 1));
    let script = "tr ' ' '\\n'; echo; [ $KQ_RECORD_ATTEMPT = 2 ]";
    let flags = ["--output-topic", &whole, "--copy-headers", "--backoff", "1ms"];
    once(&cluster, &topic, &flags, &["sh", "-c", script]).run().success().stdout("");
    cluster.kq(["consume", &whole, "-e", "-f", "%k %h [%s]"]).run().success().stdout("k h=v [a\nb]");
    let flags = ["-g", "lines", "--output-topic", &parts, "--output-lines", "--backoff", "1ms"];
    once(&cluster, &topic, &flags, &["sh", "-c", script]).run().success().stdout("");
    cluster.kq(["consume", &parts, "-e", "-f", "%k [%s]"]).run().success().stdout("k [a]k [b]");
    once(&cluster, &topic, &["--output-topic", &topic], &["cat"])
        .run()
        .status(2)
        .stderr_has("again and again");
}

#[test]
fn dead_letters_are_driven_back() {
    let cluster = Cluster::get();
    let topic = cluster.create("orders", 1);
    cluster.kq(["produce", &topic, "-k", "k"]).stdin("a\n").run().success();
    let dlq = cluster.create("dead", 1);
    once(&cluster, &topic, &["--dlq", &dlq], &["sh", "-c", "exit 65"]).run().success();
    let back = ["-g", "redrive", "--output-topic", &topic, "--copy-headers"];
    once(&cluster, &dlq, &back, &["cat"]).run().success().stderr_has("1 done");
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("a");
}

/// A file of `examples/`.
fn example(name: &str) -> String {
    format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_example_for_one_process_a_record_works() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "examples", 1, "a\nbad\nb\n");
    once(&cluster, &topic, &["-j", "1", "--on-failure", "skip"], &[&example("handlers/oneshot.sh")])
        .run()
        .success()
        .stdout(format!("{topic}/0/0 a\n{topic}/0/2 b\n"))
        .stderr_has("status 65, skipped");
}

#[test]
#[ignore = "needs python3, node and go: cargo test --test integration worker:: -- --ignored"]
fn the_examples_that_stay_work() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "examples", 1, "a\nbad\nb\n");
    let go = tempfile::tempdir().unwrap();
    let binary = go.path().join("handler").display().to_string();
    let source = example("handlers/persistent.go");
    Kq::program("go", ["build", "-o", &binary, &source])
        .env("HOME", go.path())
        .limit(Duration::from_mins(3))
        .run()
        .success();
    for command in [
        vec!["python3".to_owned(), example("handlers/persistent.py")],
        vec!["node".into(), example("handlers/persistent.js")],
        vec![binary],
    ] {
        let group = cluster.topic("group");
        cluster
            .kq([
                "worker",
                &topic,
                "-e",
                "--persistent",
                "-j",
                "1",
                "--on-failure",
                "skip",
                "-g",
                &group,
                "--",
            ])
            .args(&command)
            .run()
            .success()
            .stdout("A\nB\n")
            .stderr_has("failed: ");
    }
}

#[test]
fn the_example_deployments_are_well_formed() {
    let yaml = fs::read_to_string(example("kubernetes/worker.yaml")).unwrap();
    let manifest: serde_yaml_ng::Value = serde_yaml_ng::from_str(&yaml).unwrap();
    let container = &manifest["spec"]["template"]["spec"]["containers"][0];
    let words: Vec<&str> =
        container["command"].as_sequence().unwrap().iter().filter_map(|word| word.as_str()).collect();
    let unit = fs::read_to_string(example("systemd/kq-worker.service")).unwrap();
    let started = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap();
    for line in [words, started.split(' ').collect()] {
        // kq accepts the flags: the error is about the command, which is not on this machine.
        Kq::new(&line[1..]).run().status(78).stderr_has("handler");
    }
}
