//! Commands that hang, fail, flood, hide, and go missing; records that are hard to hand over.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::lab::{Case, LONG, ONE_SHOT, create, running_of, sized};
use super::oracle::Sent;
use crate::support::wait_until;

/// The handler, with this done before it appends; `$v` is the value.
fn first(script: &str) -> String {
    ONE_SHOT.replacen("read -r v\n", &format!("read -r v\n{script}\n"), 1)
}

/// A handler for records that are not numbers: the offset takes the place of the sequence.
const BY_OFFSET: &str =
    r#"echo "$KQ_RECORD_PARTITION $KQ_RECORD_OFFSET $KQ_RECORD_ATTEMPT $KQ_RECORD_OFFSET -" >>"$LOG""#;

/// What lies in partition 0 as [`BY_OFFSET`] writes it.
fn by_offset(records: i64) -> Vec<Sent> {
    let sent = |offset: i64| Sent { place: (0, offset), sequence: offset as u64, key: "-".into() };
    (0..records).map(sent).collect()
}

#[test]
fn a_handler_that_hangs_or_traps_term_spends_its_attempts() {
    let mut case = Case::new("a handler that hangs, one that traps TERM", "killed; dead-lettered", 2, &[]);
    case.send(30, 30);
    let dlq = case.dlq(&[]);
    let flags = ["-j", "4", "-e", "--command-timeout", "1s", "--retries", "1", "--backoff", "10ms"];
    let script = first("case $v in 3) sleep 600;; 7) trap '' TERM; while :; do sleep 1; done;; esac");
    let worker = case.worker(&flags).args(["--dlq", &dlq, "--shell", &script]);
    worker.run().success().stderr_has("28 done, 2 dead-lettered, 4 failed attempts");
    assert_eq!(case.dead().len(), 2);
    case.pass(0, "4 attempts timed out");
}

#[test]
fn poison_records_in_batches_are_dead_lettered_alone() {
    let mut case = Case::new("poison records in batches", "found by halves; dead-lettered alone", 2, &[]);
    case.send(sized(400, 4000), 40);
    let dlq = case.dlq(&[]);
    let flags = ["-j", "2", "-e", "--batch", "100", "--retries", "1", "--backoff", "10ms", "--dlq", &dlq];
    let worker = case.batches(&flags).env("POISON", "3 77 78 399");
    worker.run().success().stderr_has("4 dead-lettered");
    assert_eq!(case.dead().len(), 4);
    case.pass(0, "each ran alone twice");
}

#[test]
fn ten_megabytes_that_are_not_read() {
    let config = ["max.message.bytes=12000000"];
    let case = Case::new("exit 0 without reading a 10 MB stdin", "done, no deadlock", 1, &config);
    let produce = ["produce", &case.topic, "-z", "none", "-X", "message.max.bytes=12000000"];
    let large = "x".repeat(10_000_000);
    case.cluster.kq(produce).stdin(large).limit(LONG).run().success();
    let worker = case.worker(&["-e"]).args(["--shell", BY_OFFSET]).limit(Duration::from_mins(1));
    worker.run().success().stderr_has("1 done");
    case.pass_with(by_offset(1), 0, "");
}

#[test]
fn five_megabytes_of_output_come_out_whole() {
    let mut case = Case::new("5 MB of output", "whole, never interleaved", 2, &[]);
    case.send(6, 6);
    let script = format!("{ONE_SHOT}yes \"$v\" | head -c 5000000");
    let output = case.worker(&["-e", "-j", "3"]).args(["--shell", &script]).run().success();
    assert_eq!(output.stdout.len(), 6 * 5_000_000);
    // Each of the six is one value from end to end; all of a chunk are one digit and newlines.
    for chunk in output.stdout.chunks(5_000_000) {
        assert!(chunk.iter().all(|byte| *byte == chunk[0] || *byte == b'\n'), "outputs are mixed");
    }
    case.pass(0, "30 MB");
}

#[test]
fn a_background_grandchild_ends_with_its_command() {
    let mut case = Case::new("a background grandchild", "ended with its command; no wait for it", 2, &[]);
    case.send(20, 20);
    let script = format!("{ONE_SHOT}sleep 600 & sleep 600 >/dev/null 2>&1 &");
    let output = case.worker(&["-e", "-j", "4"]).args(["--shell", &script]).run().success();
    case.leaves_nothing_running();
    case.pass(0, &format!("{:.1} s for 20", output.took.as_secs_f64()));
}

#[test]
fn huge_keys_and_headers_and_a_nul_are_handed_over_without_them() {
    let case = Case::new("a 200 KB key or header, a NUL in the key", "done, KQ_RECORD_TRUNCATED", 1, &[]);
    let mut config = ClientConfig::new();
    let producer: BaseProducer =
        config.set("bootstrap.servers", case.cluster.brokers()).create().expect("make a producer");
    let large: &'static str = "h".repeat(200_000).leak();
    let header = OwnedHeaders::new().insert(Header { key: "large", value: Some(large) });
    let record = |key: &'static str| BaseRecord::to(&case.topic).payload("value").key(key).partition(0);
    producer.send(record(large)).expect("send");
    producer.send(record("small").headers(header)).expect("send");
    producer.send(record("a\0b")).expect("send");
    producer.flush(LONG).expect("flush");
    let script = format!("{BY_OFFSET}; echo ${{KQ_RECORD_TRUNCATED-whole}} ${{KQ_RECORD_KEY-none}}");
    let worker = case.worker(&["-e", "-j", "1"]).args(["--shell", &script]);
    worker.run().success().stdout("1 none\n1 small\nwhole none\n");
    case.pass_with(by_offset(3), 0, "");
}

#[test]
fn tombstones_are_handled_as_empty() {
    let case = Case::new("tombstones", "empty stdin, KQ_RECORD_VALUE_NULL", 1, &[]);
    let produce = ["produce", &case.topic, "-K", ":", "--null", "NULL"];
    case.cluster.kq(produce).stdin("a:NULL\nb:\na:NULL\n").run().success();
    let script = format!("{BY_OFFSET}; wc -c; echo ${{KQ_RECORD_VALUE_NULL-value}}");
    let worker = case.worker(&["-e", "-j", "1"]).args(["--shell", &script]);
    worker.run().success().stdout("0\n1\n0\nvalue\n0\n1\n");
    case.pass_with(by_offset(3), 0, "");
}

#[test]
fn a_command_renamed_while_running_stops_the_worker() {
    for persistent in [false, true] {
        let name = if persistent { "the same, persistent" } else { "command renamed while running" };
        let mut case = Case::new(name, "status 78 after 30 s, nothing committed past", 2, &[]);
        case.send(300, 40);
        let mut worker = case.worker(&["-j", "4", "--max-span", "20"]);
        let mut flags = vec!["--"];
        let text = if persistent {
            flags = vec!["--persistent", "--window", "2", "--"];
            // Each ends after ten records: the next can't be started.
            "#!/usr/bin/env bash\nfor i in 1 2 3 4 5 6 7 8 9 10; do
            read -r line || exit 0; id=${line#*:}; id=${id%%,*}
            [[ $line =~ '\"partition\":'([0-9]+)',\"offset\":'([0-9]+) ]]; place=${BASH_REMATCH[*]:1}
            [[ $line =~ '\"attempt\":'([0-9]+) ]]; attempt=${BASH_REMATCH[1]}
            [[ $line =~ '\"value\":\"'([0-9]+) ]]; value=${BASH_REMATCH[1]}
            [[ $line =~ '\"key\":\"'([a-z0-9]+) ]]; key=${BASH_REMATCH[1]}
            sleep 0.02; echo \"$place $attempt $value $key\" >>$LOG; echo \"{\\\"id\\\":$id,\\\"ok\\\":true}\"
            done"
                .to_owned()
        } else {
            format!("#!/bin/sh\n{ONE_SHOT}")
        };
        let handler = worker.script("handler", text);
        worker = worker.args(&flags).arg("./handler").env("PAUSE", "0.02");
        let moved = handler.with_file_name("moved");
        let worker = worker.spawn();
        case.wait_for_more(10);
        std::fs::rename(&handler, &moved).expect("rename the handler");
        worker.wait_for_stderr("so it is tried again for 30 s");
        worker.wait().status(78);
        let done = case.handled();
        assert!(done < 300, "it ended before the handler was gone");
        case.one_shot(&["-e", "-j", "4"]).run().success();
        // What was done ahead of a record that was not is in the commit.
        case.pass(0, &format!("78 after {done}"));
    }
}

#[test]
fn a_poison_pill_costs_its_attempts_and_nothing_else() {
    let mut case = Case::new("a poison pill", "1 + retries attempts, one dead letter, lag 0", 2, &[]);
    case.send(100, 10);
    let dlq = case.dlq(&[]);
    let script = first("if [ $v = 17 ]; then echo $KQ_RECORD_ATTEMPT; exit 9; fi");
    let flags = ["-j", "4", "-e", "--retries", "2", "--backoff", "10ms..50ms", "--dlq", &dlq];
    let worker = case.worker(&flags).args(["--shell", &script]);
    worker.run().success().stdout("1\n2\n3\n").stderr_has("99 done, 1 dead-lettered, 3 failed attempts");
    assert_eq!(case.dead().len(), 1);
    case.pass(0, "3 attempts");
}

#[test]
fn when_everything_fails_the_circuit_opens() {
    let mut case = Case::new("everything fails", "circuit opens; not into the dead letters", 2, &[]);
    case.send(300, 300);
    let dlq = case.dlq(&[]);
    let flags = ["-j", "4", "--retries", "0", "--max-consecutive-failures", "10", "--dlq", &dlq];
    let broken = case.worker(&flags).args(["--on-outage", "stop", "--shell", "exit 1"]);
    broken.run().status(1).stderr_has("--max-consecutive-failures");
    let dead = case.dead().len();
    assert!(dead < 10, "{dead} dead letters");
    case.one_shot(&["-j", "4", "-e"]).run().success();
    case.pass(0, "status 1");
}

#[test]
fn dead_letters_whose_topic_is_gone_are_waited_for() {
    let mut case = Case::new("the DLQ is deleted", "never committed past; sent once it is there", 1, &[]);
    let dlq = case.dlq(&[]);
    case.send(20, 1);
    let flags = ["-j", "4", "--retries", "0", "--dlq", &dlq, "-X", "topic.metadata.refresh.interval.ms=1000"];
    let script = first("if [ $v = 10 ]; then while [ ! -e $LOG.go ]; do sleep 0.05; done; exit 9; fi");
    let worker = case.worker(&flags).args(["--shell", &script]).spawn();
    case.wait_for_more(10);
    case.cluster.kq(["topic", "delete", &dlq]).run().success();
    std::fs::write(case.log().with_extension("go"), "").expect("let it fail");
    worker.wait_for_stderr("trying again");
    assert_eq!(case.handled(), 10, "its lane is held");
    create(&case.cluster, &dlq, 1, &[]);
    case.wait_for_no_lag();
    case.end(worker);
    assert_eq!(case.dead(), [(0, 10)]);
    case.pass(0, "");
}

#[test]
fn two_terms_leave_no_child() {
    for persistent in [false, true] {
        let name = if persistent { "the same, persistent" } else { "two TERMs" };
        let mut case = Case::new(name, "143 within 200 ms, no child left", 2, &[]);
        case.send(20, 20);
        let script = "trap '' TERM; while :; do sleep 0.2; done";
        let flags = ["-j", "4", "-X", "session.timeout.ms=2000", "--shell", script];
        let worker = case.worker(if persistent { &["--persistent"] } else { &[] }).args(flags).spawn();
        wait_until("handlers run", LONG, || running_of(&case.group).len() >= 2);
        worker.terminate();
        worker.wait_for_stderr("finishing");
        worker.terminate();
        let told = std::time::Instant::now();
        worker.wait().status(143);
        let took = told.elapsed().as_millis();
        case.leaves_nothing_running();
        case.one_shot(&["-j", "4", "-e"]).run().success();
        case.pass(0, &format!("143 after {took} ms"));
    }
}

#[test]
fn a_killed_kq_leaves_no_command() {
    for persistent in [false, true] {
        let name = if persistent { "the same, persistent" } else { "kq killed -9: its commands" };
        let mut case = Case::new(name, "killed by the orphan guard", 2, &[]);
        case.send(20, 20);
        let script = "trap '' TERM; sleep 600 & while :; do sleep 0.2; done";
        let flags = ["-j", "4", "-X", "session.timeout.ms=2000", "--shell", script];
        let worker = case.worker(if persistent { &["--persistent"] } else { &[] }).args(flags).spawn();
        wait_until("handlers run", LONG, || running_of(&case.group).len() >= 4);
        worker.kill();
        case.leaves_nothing_running();
        case.one_shot(&["-j", "4", "-e"]).run().success();
        case.pass(0, "none left");
    }
}
