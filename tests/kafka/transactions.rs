//! Transactions and compaction on Apache Kafka: offsets that hold no record neither hang nor hold back. Started by tests/kafka/run.

use std::collections::BTreeSet;
use std::time::Duration;

use super::clients::{Record, committed, java, no_lag};
use crate::cluster;
use crate::support::{Cluster, Output, Running, wait_until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::json;

/// A line for `Interop write`: this value to a partition.
fn send(topic: &str, partition: i64, value: &str) -> String {
    let record = Record::new(None, Some(value.as_bytes())).partition(partition);
    let mut line: serde_json::Value = serde_json::from_str(&record.line()).expect("JSON");
    line["topic"] = json!(topic);
    format!("{line}\n")
}

/// Values `from..to`, as lines for `Interop write`.
fn send_all(topic: &str, partition: i64, name: &str, count: usize) -> String {
    (0..count).map(|n| send(topic, partition, &format!("{name}{n}"))).collect()
}

const BEGIN: &str = "{\"do\":\"begin\"}\n";
const COMMIT: &str = "{\"do\":\"commit\"}\n";
const ABORT: &str = "{\"do\":\"abort\"}\n";

/// Writes this to the topic by Kafka's own transactional producer.
#[track_caller]
fn write(cluster: &Cluster, topic: &str, script: &str) {
    java(cluster, ["write", &cluster.topic("tx")]).stdin(script).run().success();
    settle(cluster, topic);
}

/// Waits until the markers of all that was committed or aborted are written: a broker answers before,
/// and until then the stable offset stands before the transaction.
#[track_caller]
fn settle(cluster: &Cluster, topic: &str) {
    let reader = |isolation: &str| -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.brokers()).set("group.id", "none");
        config.set("isolation.level", isolation).create().expect("make a consumer")
    };
    let (stable, all) = (reader("read_committed"), reader("read_uncommitted"));
    let wait = Duration::from_secs(10);
    let metadata = all.fetch_metadata(Some(topic), wait).expect("metadata");
    let partitions: Vec<i32> =
        metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    let end = |reader: &BaseConsumer, partition| {
        reader.fetch_watermarks(topic, partition, wait).expect("watermarks").1
    };
    wait_until("the markers to be written", Duration::from_secs(30), || {
        partitions.iter().all(|&partition| end(&stable, partition) == end(&all, partition))
    });
}

/// The same, with its last transaction left open until the value is dropped (and its process killed).
#[track_caller]
fn write_and_stay(cluster: &Cluster, script: &str) -> Running {
    let mut writer = java(cluster, ["write", &cluster.topic("tx")]).stdin_open().spawn();
    writer.write(script);
    writer.write("{\"do\":\"flush\"}\n");
    writer.wait_for_stdout("flush");
    writer
}

/// A topic of four partitions, and the values in it that were committed:
/// 0 committed, aborted and committed records, a marker last; 1 an aborted transaction alone;
/// 2 nothing; 3 a record of no transaction, and an aborted transaction after it.
fn mixed(cluster: &Cluster) -> (String, BTreeSet<String>) {
    let topic = cluster.create("tx", 4);
    cluster.kq(["produce", &topic, "-p", "3"]).stdin("plain\n").run().success();
    let mut script = String::from(BEGIN);
    script += &send_all(&topic, 0, "first", 5);
    script += COMMIT;
    script += BEGIN;
    script += &send_all(&topic, 0, "aborted", 4);
    script += &send_all(&topic, 1, "aborted", 3);
    script += &send_all(&topic, 3, "aborted", 2);
    script += ABORT;
    script += BEGIN;
    script += &send_all(&topic, 0, "last", 3);
    script += COMMIT;
    write(cluster, &topic, &script);
    let named = |name: &str, count: usize| (0..count).map(|n| format!("{name}{n}")).collect::<Vec<_>>();
    let committed = [named("first", 5), named("last", 3), vec!["plain".to_owned()]].concat();
    (topic, committed.into_iter().collect())
}

/// A persistent command that succeeds at once: sed's script.
const OK: &str = r#"s/^{"id":\([0-9]*\),.*/{"id":\1,"ok":true}/"#;

/// The lines of a run, each of which must be there once.
#[track_caller]
fn once(output: &Output) -> BTreeSet<String> {
    let lines: BTreeSet<_> = output.lines().into_iter().map(str::to_owned).collect();
    assert_eq!(lines.len(), output.lines().len(), "a line came twice\n{output}");
    lines
}

#[test]
fn exactly_what_was_committed_is_read_to_the_end() {
    let cluster = cluster();
    let (topic, committed) = mixed(&cluster);
    assert_eq!(once(&cluster.kq(["consume", &topic, "-e"]).run().success()), committed);
    // A partition whose offsets hold aborted records only, and one that holds nothing.
    cluster.kq(["consume", &topic, "-e", "-p", "1,2"]).run().success().stdout("");
    let all = cluster.kq(["consume", &topic, "-e", "--isolation", "read-uncommitted"]).run().success();
    assert_eq!(all.lines().len(), 5 + 4 + 3 + 3 + 3, "{all}");
}

#[test]
fn offsets_and_counts_hold_among_markers() {
    let cluster = cluster();
    let (topic, _) = mixed(&cluster);
    // Partition 0: first0…first4, a marker at 5, aborted 6…9 and a marker at 10, last0…last2 at 11, a marker at 14.
    let read = |more: &[&str]| {
        let output = cluster.kq(["consume", &topic, "-p", "0", "-f", "%o:%s "]).args(more).run().success();
        output.text().to_owned()
    };
    assert_eq!(read(&["-n", "6"]), "0:first0 1:first1 2:first2 3:first3 4:first4 11:last0 ");
    assert_eq!(read(&["-o", "4", "--until", "12"]), "4:first4 11:last0 ");
    // An end on a marker, among aborted records, and on the last marker.
    assert_eq!(read(&["-o", "4", "--until", "5"]), "4:first4 ");
    assert_eq!(read(&["-o", "4", "--until", "6"]), "4:first4 ");
    assert_eq!(read(&["-o", "4", "--until", "8"]), "4:first4 ");
    assert_eq!(read(&["-o", "13", "--until", "14"]), "13:last2 ");
    assert_eq!(read(&["-o", "13", "--until", "15"]), "13:last2 ");
    // A start on a marker, on aborted records, on the last marker, and counted from the end.
    assert_eq!(read(&["-o", "5", "-e"]), "11:last0 12:last1 13:last2 ");
    assert_eq!(read(&["-o", "7", "-e"]), "11:last0 12:last1 13:last2 ");
    assert_eq!(read(&["-o", "14", "-e"]), "");
    assert_eq!(read(&["-o", "-3", "-e"]), "12:last1 13:last2 ");
    assert_eq!(read(&["--idle", "500ms", "-o", "12"]), "12:last1 13:last2 ");
}

#[test]
fn a_group_commits_past_markers_and_aborted_records() {
    let cluster = cluster();
    let (topic, all) = mixed(&cluster);
    let group = cluster.topic("group");
    let consume = |more: &[&str]| {
        let run = cluster.kq(["consume", &topic, "--group", &group]).args(more);
        once(&run.run().success())
    };
    let mut read = consume(&["-n", "4"]);
    assert_eq!(read.len(), 4);
    read.append(&mut consume(&["-e"]));
    assert_eq!(read, all);
    no_lag(&cluster, &topic, &group);
    assert_eq!(consume(&["-e"]), BTreeSet::new());
    no_lag(&cluster, &topic, &group);
    // Nothing but an aborted transaction came since then.
    let aborted: String = (0..4).map(|p| send(&topic, p, "aborted")).collect();
    write(&cluster, &topic, &[BEGIN, &aborted, ABORT].concat());
    assert_eq!(consume(&["--idle", "500ms"]), BTreeSet::new());
    no_lag(&cluster, &topic, &group);
}

#[test]
fn an_open_transaction_ends_the_reading_before_it() {
    let cluster = cluster();
    let (topic, group) = (cluster.create("tx", 1), cluster.topic("group"));
    let before = [BEGIN, &send_all(&topic, 0, "before", 3), COMMIT].concat();
    let open = [BEGIN, &send_all(&topic, 0, "open", 2)].concat();
    let mut writer = write_and_stay(&cluster, &[before, open].concat());
    cluster.kq(["produce", &topic]).stdin("after\n").run().success();
    let lines = |run: &[&str]| once(&cluster.kq(["consume", &topic]).args(run).run().success());
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    let before = set(&["before0", "before1", "before2"]);
    assert_eq!(lines(&["-e"]), before);
    assert_eq!(lines(&["-e", "--group", &group]), before);
    assert_eq!(lines(&["-e", "--group", &group]), set(&[]));
    let all = set(&["before0", "before1", "before2", "open0", "open1", "after"]);
    assert_eq!(lines(&["-e", "--isolation", "read-uncommitted"]), all);
    // Offsets: before 0…2, a marker at 3, open 4 and 5, after 6. The group stands before what is open.
    assert_eq!(committed(&cluster, &topic, &group), [(4, 7)]);
    writer.write(COMMIT);
    writer.wait_for_stdout("commit");
    settle(&cluster, &topic);
    assert_eq!(lines(&["-e", "--group", &group]), set(&["open0", "open1", "after"]));
    no_lag(&cluster, &topic, &group);
}

#[test]
fn a_worker_runs_for_what_was_committed_and_leaves_no_lag() {
    let cluster = cluster();
    let (topic, all) = mixed(&cluster);
    let group = cluster.topic("group");
    let worker = || {
        let run = cluster.kq(["worker", &topic, "-g", &group, "-e"]);
        once(&run.args(["--", "sh", "-c", "cat; echo"]).run().success())
    };
    assert_eq!(worker(), all);
    no_lag(&cluster, &topic, &group);
    assert_eq!(worker(), BTreeSet::new());
}

#[test]
fn a_worker_whose_queue_was_full_at_the_end_passes_the_last_marker() {
    let cluster = cluster();
    let (topic, group) = (cluster.create("tx", 1), cluster.topic("group"));
    write(&cluster, &topic, &[BEGIN, &send_all(&topic, 0, "v", 3000), COMMIT].concat());
    let run = cluster.kq(["worker", &topic, "-g", &group, "-e", "--persistent", "--max-span", "100"]);
    run.args(["--", "sed", "-u", OK]).run().success();
    no_lag(&cluster, &topic, &group);
}

/// A compacted topic of one partition, cleaned: `first` at 0, then a hole, then one record for each of
/// ten keys at 91…100, and `end` at 101.
fn compacted(cluster: &Cluster) -> String {
    let topic = cluster.topic("compacted");
    let configs =
        ["cleanup.policy=compact", "segment.ms=1", "min.cleanable.dirty.ratio=0.01", "delete.retention.ms=1"];
    let configs = configs.iter().flat_map(|config| ["--config", config]);
    cluster.kq(["topic", "create", &topic, "--partitions", "1"]).args(configs).run().success();
    let produce = |lines: String| cluster.kq(["produce", &topic, "-K", ":"]).stdin(lines).run().success();
    let versions: String =
        (0..10).flat_map(|version| (0..10).map(move |key| format!("k{key}:v{version}\n"))).collect();
    produce(format!("first:first\n{versions}"));
    // A segment is closed by the next record, and only closed ones are cleaned.
    produce("end:end\n".to_owned());
    wait_until("the log cleaner has been there", Duration::from_mins(1), || {
        cluster.kq(["consume", &topic, "-e"]).run().success().lines().len() == 12
    });
    topic
}

#[test]
fn holes_of_compaction_are_passed() {
    let cluster = cluster();
    let topic = compacted(&cluster);
    let read = |more: &[&str]| {
        let output = cluster.kq(["consume", &topic, "-f", "%o "]).args(more).run().success();
        output.text().to_owned()
    };
    let latest = "91 92 93 94 95 96 97 98 99 100 101 ";
    assert_eq!(read(&["-e"]), format!("0 {latest}"));
    assert_eq!(read(&["-o", "50", "-e"]), latest);
    assert_eq!(read(&["-o", "50", "-n", "2"]), "91 92 ");
    assert_eq!(read(&["--until", "50"]), "0 ");
    assert_eq!(read(&["-o", "1", "--until", "91"]), "");
    assert_eq!(read(&["-o", "1", "--until", "92"]), "91 ");
    assert_eq!(read(&["-o", "-5", "-e"]), "97 98 99 100 101 ");
    assert_eq!(read(&["-o", "-50", "-e"]), latest);
    // In a group: what is committed first lies before the hole, then in it.
    let group = cluster.topic("group");
    assert_eq!(read(&["--group", &group, "-n", "1"]), "0 ");
    assert_eq!(committed(&cluster, &topic, &group), [(1, 102)]);
    assert_eq!(read(&["--group", &group, "--until", "50"]), "");
    assert_eq!(committed(&cluster, &topic, &group), [(50, 102)], "what is not there was passed");
    assert_eq!(read(&["--group", &group, "-e"]), latest);
    no_lag(&cluster, &topic, &group);
    assert_eq!(read(&["--group", &group, "-e"]), "");
    let group = cluster.topic("group");
    let worker = |stop: &[&str]| {
        let run = cluster.kq(["worker", &topic, "-g", &group, "-j", "1"]).args(stop);
        let output = run.args(["--", "sh", "-c", "printf '%s ' $KQ_RECORD_OFFSET"]).run().success();
        output.text().to_owned()
    };
    assert_eq!(worker(&["-n", "1"]), "0 ");
    assert_eq!(worker(&["-e"]), latest);
    no_lag(&cluster, &topic, &group);
}

/// A rebalance is noticed by a heartbeat.
const QUICK: [&str; 2] = ["-X", "heartbeat.interval.ms=200"];

/// A member of Kafka's own client, by its default assignor and by the one that kq has by default.
#[test]
fn kq_shares_a_group_with_the_java_client() {
    let cluster = cluster();
    for (assignor, class) in [("range", "RangeAssignor"), ("cooperative-sticky", "CooperativeStickyAssignor")]
    {
        let (topic, group) = (cluster.create("shared", 4), cluster.topic("group"));
        let kq = cluster
            .kq(["consume", &topic, "--group", &group, "--assignor", assignor, "-J"])
            .args(QUICK)
            .spawn();
        let mut java = java(&cluster, ["member", &topic, &group, class]).stdin_open().spawn();
        let read = |member: &Running| member.stdout_so_far().iter().filter(|&&b| b == b'\n').count();
        let mut sent = Vec::new();
        let mut produce = |count: usize| {
            let from = sent.len();
            let record =
                |n: usize| Record::new(Some(format!("k{n}").as_bytes()), Some(n.to_string().as_bytes()));
            let more: Vec<_> = (from..from + count).map(record).collect();
            cluster.kq(["produce", &topic, "-J"]).stdin(super::clients::lines(&more)).run().success();
            sent.extend(more);
            sent.clone()
        };
        // Records come all the while; at some time both have partitions.
        wait_until("both read", Duration::from_secs(30), || {
            produce(20);
            read(&kq) > 0 && read(&java) > 0
        });
        let sent = produce(200);
        wait_until("both together have read all", Duration::from_secs(30), || {
            read(&kq) + read(&java) >= sent.len()
        });
        java.close_stdin();
        let by_java = super::clients::records(&java.wait().success());
        kq.terminate();
        let by_kq = super::clients::records(&kq.wait().success());
        let both = [by_java, by_kq].concat();
        super::clients::same(assignor, &super::clients::contents(&sent), &super::clients::contents(&both));
        no_lag(&cluster, &topic, &group);
    }
}
