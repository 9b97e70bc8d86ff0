//! `kq worker` that stops, is killed or loses its partition while a record is open: what is done past it runs
//! no second time.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::support::{Cluster, Output, Running, lines, numbers, once, topic_with, wait_for, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_mins(1);
/// Answers each line once it has appended its offset to the file that it is called. The record at 0 is never done.
const STAYS: &str = r#"while IFS= read -r line; do
    id=${line#*:}; id=${id%%,*}; offset=${line#*'"offset":'}; offset=${offset%%,*}
    if [ "$offset" = 0 ]; then
        echo "{\"id\":$id,\"retry_ms\":300}"
    else
        echo "$offset" >>"$0"; echo "{\"id\":$id,\"ok\":true}"
    fi
done"#;
/// The same with a process a record.
const ONE_SHOT: &str = "[ $KQ_RECORD_OFFSET != 0 ] || exit 75; echo $KQ_RECORD_OFFSET >> ";

/// What the group has committed of partition 0: the offset and its metadata.
fn committed(cluster: &Cluster, topic: &str) -> (i64, String) {
    let (consumer, mut list) = (member(cluster, topic), TopicPartitionList::new());
    list.add_partition(topic, 0);
    let list = consumer.committed_offsets(list, LONG).expect("what is committed");
    let element = &list.elements()[0];
    (element.offset().to_raw().unwrap_or(-1), element.metadata().to_owned())
}

/// Another client commits for the group, which has no members.
fn commit(cluster: &Cluster, topic: &str, offset: i64, metadata: &str) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("an offset");
    list.elements()[0].set_metadata(metadata);
    wait_until("the group takes the commit", LONG, || {
        member(cluster, topic).commit(&list, CommitMode::Sync).is_ok()
    });
}

fn member(cluster: &Cluster, topic: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.brokers()).set("group.id", format!("kq-worker-{topic}"));
    config.create().expect("make a consumer")
}

/// A worker whose first record waits for its retry for ever.
fn held_up(cluster: &Cluster, topic: &str, log: &Path) -> Running {
    let log = log.to_str().expect("a path");
    cluster
        .kq(["worker", topic, "-j", "1", "--persistent", "-v", "--on-failure", "retry"])
        .args(["--", "sh", "-c", STAYS, log])
        .spawn()
}

/// A topic of so many records, of which all but the open one were done when the worker was stopped.
fn stopped_with_one_open(cluster: &Cluster, hint: &str, records: usize) -> String {
    let topic = topic_with(cluster, hint, 1, numbers(0, records));
    let folder = folder();
    let log = folder.path().join("log");
    let worker = held_up(cluster, &topic, &log);
    wait_until("all but the open one are done", LONG, || lines(&log).len() == records - 1);
    worker.terminate();
    worker.wait().success();
    topic
}

/// The same as [`held_up`], with a process a record.
fn held_up_singly(cluster: &Cluster, topic: &str, log: &Path) -> Running {
    let script = format!("{ONE_SHOT}{}", log.display());
    cluster
        .kq(["worker", topic, "-j", "2", "--on-failure", "retry", "--backoff", "100ms..1s"])
        .args(["--shell", &script])
        .spawn()
}

/// A log that holds each of these offsets once.
fn holds(log: &Path, offsets: std::ops::Range<usize>) {
    let mut seen: Vec<usize> = lines(log).iter().map(|line| line.parse().expect("a number")).collect();
    seen.sort_unstable();
    assert_eq!(seen, offsets.collect::<Vec<_>>());
}

/// Waits until the commit says that everything from 1 to before `end` is done.
fn wait_for_commit(cluster: &Cluster, topic: &str, end: i64) -> String {
    wait_for("the commit says what is done", LONG, || {
        let (offset, metadata) = committed(cluster, topic);
        (offset == 0 && done(&metadata) == end - 1).then_some(metadata)
    })
}

/// How many records metadata says are done, where they are run lengths of one run after one open record.
fn done(metadata: &str) -> i64 {
    let body = metadata.rsplit(':').next().unwrap_or_default();
    let Some(body) = body.strip_prefix('r') else { return 0 };
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(body).expect("base64");
    let length = bytes[1..].iter().rev().fold(0, |length, byte| length << 7 | i64::from(byte & 0x7f));
    if bytes[0] == 1 { length } else { 0 }
}

/// Runs what a worker would run of the topic that it held up, each once, and gives the offsets.
fn run_the_rest(cluster: &Cluster, topic: &str) -> (Vec<usize>, Output) {
    let output = once(cluster, topic, &["-j", "1"], &["sh", "-c", "echo $KQ_RECORD_OFFSET"]).run().success();
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    (text.lines().map(|line| line.parse().expect("a number")).collect(), output)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("make a temporary folder")
}

#[test]
fn what_is_done_past_an_open_record_runs_once_over_any_number_of_stops() {
    let cluster = Cluster::get();
    for (start, count) in [(held_up as fn(&Cluster, &str, &Path) -> Running, 3000), (held_up_singly, 30)] {
        let topic = topic_with(&cluster, "stops", 1, numbers(0, count));
        let (folder, mut end) = (folder(), count);
        let log = folder.path().join("log");
        for _ in 0..3 {
            let before = lines(&log).len();
            let worker = start(&cluster, &topic, &log);
            wait_until("all but the open one are done", LONG, || lines(&log).len() >= end - 1);
            // What comes last is done once all before it has come.
            cluster.kq(["produce", &topic]).stdin(numbers(end, end + 20)).run().success();
            end += 20;
            wait_until("what came is done", LONG, || lines(&log).len() >= end - 1);
            worker.terminate();
            let output = worker.wait().success().stderr_lacks("will run again");
            let already = if before == 0 { String::new() } else { format!(", {before} already done") };
            output.stderr_has(&format!("kq: {} done{already}", end - 1 - before));
        }
        holds(&log, 1..end);
        let (rest, output) = run_the_rest(&cluster, &topic);
        assert_eq!(rest, [0], "{output}");
        output.stderr_has(&format!("kq: 1 done, {} already done", end - 1));
        assert_eq!(committed(&cluster, &topic), (end as i64, String::new()));
    }
}

#[test]
fn a_kill_repeats_nothing_that_was_committed_before_it() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "killed", 1, numbers(0, 2000));
    let (folder, session) = (folder(), ["-X", "session.timeout.ms=6000"]);
    let log = folder.path().join("log");
    let mut end = 2000;
    for _ in 0..2 {
        let log = log.to_str().expect("a path");
        let worker = cluster
            .kq(["worker", &topic, "--persistent", "--on-failure", "retry"])
            .args(session)
            .args(["--", "sh", "-c", STAYS, log])
            .limit(LONG * 2)
            .spawn();
        // The offset stays: only metadata that is sent by itself says so.
        wait_for_commit(&cluster, &topic, end);
        // What comes last is done once this worker has come to all before it.
        cluster.kq(["produce", &topic]).stdin("more\n".repeat(20)).run().success();
        end += 20;
        wait_for_commit(&cluster, &topic, end);
        worker.kill();
    }
    holds(&log, 1..end as usize);
}

#[test]
fn a_partition_that_moves_takes_what_is_done_along() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "moves", 2, "");
    let fill = |partition: &str| {
        let produce = cluster.kq(["produce", &topic, "--partition", partition]);
        produce.stdin(numbers(0, 300)).run().success();
    };
    fill("0");
    fill("1");
    let folder = folder();
    let log = folder.path().join("log");
    let first = held_up(&cluster, &topic, &log);
    wait_until("all but the open ones are done", LONG, || lines(&log).len() == 598);
    let second = held_up(&cluster, &topic, &log);
    first.wait_for_stderr("kq: revoked: ");
    second.wait_for_stderr("kq: assigned: ");
    first.terminate();
    first.wait().success();
    wait_until("the second has both", LONG, || second.stderr_so_far().matches("kq: assigned: ").count() >= 2);
    second.terminate();
    second.wait().success();
    assert_eq!(lines(&log).len(), 598, "nothing ran twice");
}

#[test]
fn what_another_client_commits_is_not_taken_for_done() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "overwritten", 1, numbers(0, 500));
    let folder = folder();
    let log = folder.path().join("log");
    let worker = held_up(&cluster, &topic, &log);
    let metadata = wait_for_commit(&cluster, &topic, 500);
    worker.terminate();
    worker.wait().success();
    let epoch = metadata.split(':').nth(3).expect("an epoch");
    let all: Vec<usize> = (0..500).collect();
    let truncated = &metadata[..metadata.len() - 1];
    for (offset, metadata, runs) in [
        (0, metadata.as_str(), vec![0]),
        (0, "", all.clone()),
        (0, "something else", all.clone()),
        (0, truncated, all.clone()),
        (3, &metadata, all[3..].to_vec()),
        // 2 open, 3 done.
        (0, &format!("kq1::0:{epoch}:rAgM"), [&all[..2], &all[5..]].concat()),
        (0, &format!("kq2::0:{epoch}:rAgM"), all.clone()),
        // An epoch before the first: the log is another one by now.
        (0, "kq1::0::rAgM", all.clone()),
    ] {
        commit(&cluster, &topic, offset, metadata);
        let (ran, output) = run_the_rest(&cluster, &topic);
        assert_eq!(ran, runs, "{metadata} at {offset}: {output}");
    }
}

#[test]
fn a_group_that_is_moved_runs_what_is_there_whatever_was_done() {
    let cluster = Cluster::get();
    let topic = stopped_with_one_open(&cluster, "moved", 200);
    let flags = ["--reset", "--from", "beginning", "-j", "1"];
    once(&cluster, &topic, &flags, &["true"]).run().success().stderr_has("kq: 200 done in");
}

#[test]
fn what_retention_took_takes_what_was_done_beyond_it_along() {
    let cluster = Cluster::get();
    let topic = stopped_with_one_open(&cluster, "gone", 100);
    cluster.delete_records(&topic, 0, 40);
    let output = once(&cluster, &topic, &["-j", "1"], &["true"]).run().status(1);
    output.stderr_has("0..40 gone").stderr_has("kq: 60 done, 40 gone before");
}

#[test]
fn a_count_is_of_what_runs() {
    let cluster = Cluster::get();
    let topic = stopped_with_one_open(&cluster, "count", 100);
    cluster.kq(["produce", &topic]).stdin("a\nb\nc\n").run().success();
    let counted = cluster.kq(["worker", &topic, "-n", "3", "-j", "1"]);
    let output = counted.args(["--", "sh", "-c", "echo $KQ_RECORD_OFFSET"]).run().success();
    output.stdout("0\n100\n101\n").stderr_has("kq: 3 done, 99 already done");
}

#[test]
fn a_broker_that_takes_less_metadata_gets_the_offsets_alone() {
    let cluster = Cluster::embedded_with(&["--offset-metadata-max-bytes", "12"]);
    let topic = topic_with(&cluster, "refused", 1, numbers(0, 60));
    let folder = folder();
    let log = folder.path().join("log");
    let worker = held_up(&cluster, &topic, &log);
    worker.wait_for_stderr("offset.metadata.max.bytes");
    wait_until("the offset is committed", LONG, || committed(&cluster, &topic) == (0, String::new()));
    wait_until("all but the open one are done", LONG, || lines(&log).len() == 59);
    worker.terminate();
    let output = worker.wait().success().stderr_has("59 done records will run again");
    assert_eq!(output.stderr.matches("offset.metadata.max.bytes").count(), 1, "{output}");
    let (ran, _) = run_the_rest(&cluster, &topic);
    assert_eq!(ran.len(), 60);
    assert_eq!(committed(&cluster, &topic), (60, String::new()));
}

#[test]
fn a_worker_that_ends_before_its_metadata_was_ever_answered_still_commits_the_offset() {
    let cluster = Cluster::embedded_with(&["--offset-metadata-max-bytes", "12"]);
    let topic = topic_with(&cluster, "refused-late", 1, numbers(0, 60));
    let script = "[ $KQ_RECORD_OFFSET != 30 ] || exit 75";
    let flags = ["--commit-interval", "1m", "-j", "1", "-v", "--backoff", "1m..1m", "--on-failure", "retry"];
    let worker = cluster.kq(["worker", &topic]).args(flags).args(["--shell", script]).spawn();
    worker.wait_for_stderr(&format!("{topic}[0]@59: done"));
    worker.terminate();
    worker.wait().success().stderr_has("29 done records will run again");
    assert_eq!(committed(&cluster, &topic), (30, String::new()));
}

#[test]
fn what_is_done_is_known_after_the_broker_was_restarted_too() {
    let folder = folder();
    let (log, data) = (folder.path().join("log"), folder.path().join("data"));
    let mut cluster = Cluster::embedded_in(&data);
    let topic = topic_with(&cluster, "restarted", 1, numbers(0, 100));
    let worker = held_up(&cluster, &topic, &log);
    wait_for_commit(&cluster, &topic, 100);
    worker.terminate();
    worker.wait().success();
    cluster.stop();
    cluster.start();
    let (rest, output) = run_the_rest(&cluster, &topic);
    assert_eq!(rest, [0], "{output}");
}

#[test]
fn the_interval_of_commits_has_one_flag() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "interval", 1, "a\n");
    let worker = |flags: &[&str]| cluster.kq(["worker", &topic, "-e"]).args(flags).args(["--", "true"]);
    worker(&["--commit-interval", "0"]).run().status(2).stderr_has("with 0 the client would never commit");
    worker(&["--commit-interval", "9ms"]).run().status(2).stderr_has("give 10ms to 1m");
    worker(&["--commit-interval", "61s"]).run().status(2).stderr_has("give 10ms to 1m");
    worker(&["-X", "auto.commit.interval.ms=50"])
        .run()
        .status(2)
        .stderr_has("-X auto.commit.interval.ms: give --commit-interval instead");
    let folder = folder();
    let file = folder.path().join("client.properties");
    fs::write(&file, "auto.commit.interval.ms=50\n").expect("write a file");
    worker(&["-F", file.to_str().expect("a path"), "--commit-interval", "10ms"]).run().success();
}
