//! `kq consume a -J | kq produce b -J` on Apache Kafka, judged by other clients, and kcat's records. Started by tests/kafka/run.

use super::clients::{Record, awkward, java, records, same};
use crate::cluster;
use crate::support::{Cluster, Kq};
use serde_json::json;

/// A topic that takes any timestamp.
#[track_caller]
fn any_time(cluster: &Cluster, partitions: &str) -> String {
    let topic = cluster.topic("copy");
    let config = "message.timestamp.after.max.ms=9223372036854775807";
    cluster.kq(["topic", "create", &topic, "--partitions", partitions, "--config", config]).run().success();
    topic
}

/// Writes these records by Kafka's own client.
#[track_caller]
fn written_by_java(cluster: &Cluster, topic: &str, records: &[Record]) {
    let lines: String = records
        .iter()
        .map(|record| {
            let mut line: serde_json::Value = serde_json::from_str(&record.line()).expect("JSON");
            line["topic"] = json!(topic);
            format!("{line}\n")
        })
        .collect();
    java(cluster, ["write"]).stdin(lines).run().success();
}

#[track_caller]
fn read_by_java(cluster: &Cluster, topic: &str) -> Vec<Record> {
    records(&java(cluster, ["read", topic]).run().success())
}

/// Awkward records with awkward times: the first millisecond, now, 9999, and the last that there is.
fn timed() -> Vec<Record> {
    let times = [1, 999, 1_700_000_000_000, 253_402_300_799_999, i64::MAX];
    awkward().into_iter().zip(times.into_iter().cycle()).map(|(record, time)| record.at(time)).collect()
}

#[test]
fn a_copy_by_json_lines_is_the_topic_again() {
    let cluster = cluster();
    let [from, to, free] = [(); 3].map(|()| any_time(&cluster, "3"));
    written_by_java(&cluster, &from, &timed());
    let original = read_by_java(&cluster, &from);
    let sorted = |records: &[Record]| {
        let mut all: Vec<_> =
            records.iter().map(|r| Record { offset: None, partition: None, ..r.clone() }).collect();
        all.sort();
        all
    };
    same("written by Java", &sorted(&timed()), &sorted(&original));
    let json = cluster.kq(["consume", &from, "-e", "-J"]).run().success();
    same("read by kq", &original, &records(&json));

    // Each record to its partition, in its order: the same offsets, even.
    cluster.kq(["produce", &to, "-J", "--keep-partition"]).stdin(&json.stdout).run().success();
    same("partitions kept", &original, &read_by_java(&cluster, &to));

    // By kq's partitioner, which is Java's: keys where they were.
    cluster.kq(["produce", &free, "-J"]).stdin(&json.stdout).run().success();
    let copied = read_by_java(&cluster, &free);
    same("partitions free", &sorted(&original), &sorted(&copied));
    let keyed = |records: &[Record]| {
        let mut all: Vec<_> = records
            .iter()
            .filter(|record| record.key.is_some())
            .map(|record| (record.partition, record.key.clone()))
            .collect();
        all.sort();
        all
    };
    assert!(keyed(&original) == keyed(&copied), "a key went to another partition than with Java");
}

#[test]
fn a_timestamp_of_zero_is_refused_and_not_changed() {
    let cluster = cluster();
    let [from, to] = [(); 2].map(|()| cluster.create("copy", 1));
    let zero = Record::new(Some(b"k"), Some(b"v")).at(0);
    written_by_java(&cluster, &from, &[zero.clone().at(5), zero]);
    let json = cluster.kq(["consume", &from, "-e", "-J"]).run().success().stdout_has("\"timestamp\":0,");
    let refused = cluster.kq(["produce", &to, "-J"]).stdin(&json.stdout).run().status(1);
    refused.stderr_has("stdin:2").stderr_has("timestamp 0").stderr_has("del(.timestamp)");
    let sent = read_by_java(&cluster, &to);
    assert_eq!(sent.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [Some(5)]);
}

#[test]
fn a_timestamp_that_the_topic_refuses_fails_its_batch_and_can_fail_alone() {
    let cluster = cluster();
    let topic = cluster.create("copy", 1);
    let lines = "{\"value\":\"now\"}\n{\"value\":\"far\",\"timestamp\":253402300799999}\n";
    let alone = "batch.num.messages=1";
    let refused = cluster.kq(["produce", &topic, "-J"]).stdin(lines).run().status(1);
    refused.stderr_has("refuses a timestamp of its batch").stderr_has(alone);
    let refused = cluster.kq(["produce", &topic, "-J", "-X", alone]).stdin(lines).run().status(1);
    refused.stderr_has("1 record failed: stdin:2: ");
    cluster.kq(["consume", &topic, "-e"]).run().success().stdout("now\n");
}

#[test]
fn names_of_headers_that_are_no_text_come_back() {
    let cluster = cluster();
    let topic = cluster.create("copy", 1);
    let line = "{\"key\":null,\"value\":\"v\",\"headers\":[[{\"base64\":\"/w==\"},\"1\"],[\"\",null]]}\n";
    cluster.kq(["produce", &topic, "-J"]).stdin(line).run().success();
    let output = cluster.kq(["consume", &topic, "-e", "-J"]).run().success();
    output.stdout_has(r#""headers":[[{"base64":"/w=="},"1"],["",null]]"#);
}

#[test]
fn kcats_json_is_produced_and_kqs_json_is_read_by_others() {
    let cluster = cluster();
    let [from, to] = [(); 2].map(|()| cluster.create("kcat", 3));
    // What kcat can say: text, null, and headers in order.
    let sent: Vec<_> = [
        Record::new(Some(b"a"), Some("grüße \"☃\"\n\t".as_bytes()))
            .header("h", Some(b"1"))
            .header("h", None)
            .header("h", Some(b"")),
        Record::new(None, Some(b"no key")),
        Record::new(Some(b"tombstone"), None),
        Record::new(Some(b""), Some(b"")),
    ]
    .into_iter()
    .map(|record| record.at(1_700_000_000_123))
    .collect();
    written_by_java(&cluster, &from, &sent);
    let original = read_by_java(&cluster, &from);
    // By count: with -e this pipe came out empty once, and it is not known at which of its ends.
    let kcat = cluster.kcat(["-C", "-J", "-c", "4", "-q", "-t", &from]).run().success();
    assert_eq!(kcat.stdout.iter().filter(|&&byte| byte == b'\n').count(), 4, "{kcat}");
    cluster.kq(["produce", &to, "-J", "--keep-partition"]).stdin(&kcat.stdout).run().success();
    same("through kcat -J", &original, &read_by_java(&cluster, &to));

    // Any reader of JSON lines takes kq's: one object a line, text as text.
    let kq = cluster.kq(["consume", &to, "-e", "-J"]).run().success();
    let script = "import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    \
        print(r['partition'], r['offset'], r['timestamp'], repr(r['key']), repr(r['value']), r['headers'])\n";
    let python = Kq::program("python3", ["-c", script]).stdin(&kq.stdout).run().success();
    python.stdout_has("1700000000123 'a' 'grüße \"☃\"\\n\\t' [['h', '1'], ['h', None], ['h', '']]");
}

#[test]
fn a_record_that_a_compacted_topic_refuses_is_named_and_not_one_beside_it() {
    let cluster = cluster();
    let topic = cluster.topic("compacted");
    let create = ["topic", "create", &topic, "-p", "1", "--rf", "1", "--config", "cleanup.policy=compact"];
    cluster.kq(create).run().success();
    // One batch.
    let produce = ["produce", &topic, "-K", ":", "--key-optional", "-X", "linger.ms=500"];
    let refused = cluster.kq(produce).stdin("k:a\nb\nk:c\n").run().status(1);
    refused
        .stderr_has("3 records failed, the first: stdin:2: the broker refuses a record of its batch")
        .stderr_has("one without a key in a compacted topic (cleanup.policy)");
}
