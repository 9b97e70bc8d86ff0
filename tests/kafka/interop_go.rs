//! kq beside kafka-go, a client without librdkafka: what one writes the other reads, groups are shared. Started by tests/kafka/run; without it, on the embedded broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::clients::{Record, awkward, contents, go, lines, records, same};
use crate::support::{Cluster, wait_until};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// For what must happen soon, on a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// Numbered records, keyed so that every partition gets some.
fn numbered(from: usize, to: usize) -> Vec<Record> {
    let record = |n: usize| Record::new(Some(format!("k{n}").as_bytes()), Some(n.to_string().as_bytes()));
    (from..to).map(record).collect()
}

/// Makes a topic with these records, written by Go.
#[track_caller]
fn written_by_go(cluster: &Cluster, partitions: u32, records: &[Record]) -> String {
    let topic = cluster.create("go", partitions);
    go(cluster, ["write", "--topic", &topic]).stdin(lines(records)).run().success();
    topic
}

/// kafka-go's group reader gives nil for an empty key, value or header too.
fn as_its_reader_says(mut record: Record) -> Record {
    let nil = |bytes: &mut Option<Vec<u8>>| *bytes = bytes.take().filter(|bytes| !bytes.is_empty());
    nil(&mut record.key);
    nil(&mut record.value);
    record.headers.iter_mut().for_each(|(_, value)| nil(value));
    record
}

#[test]
fn what_go_writes_with_each_codec_kq_reads() {
    let cluster = Cluster::get();
    let sent = awkward();
    for codec in CODECS {
        let topic = cluster.create("go-kq", 3);
        go(&cluster, ["write", "--topic", &topic, "--codec", codec]).stdin(lines(&sent)).run().success();
        let by_kq = records(&cluster.kq(["consume", &topic, "-e", "-J"]).run().success());
        same(codec, &contents(&sent), &contents(&by_kq));
        let by_go = records(&go(&cluster, ["fetch", "--topic", &topic]).run().success());
        same(codec, &by_go, &by_kq);
    }
}

#[test]
fn what_kq_writes_with_each_codec_go_reads() {
    let cluster = Cluster::get();
    let sent = awkward();
    for codec in CODECS {
        let topic = cluster.create("kq-go", 3);
        cluster.kq(["produce", &topic, "-J", "-z", codec]).stdin(lines(&sent)).run().success();
        let by_go = records(&go(&cluster, ["fetch", "--topic", &topic]).run().success());
        same(codec, &contents(&sent), &contents(&by_go));
        let by_kq = records(&cluster.kq(["consume", &topic, "-e", "-J"]).run().success());
        same(codec, &by_go, &by_kq);
    }
}

#[test]
fn a_copy_of_what_go_wrote_is_the_same_to_go() {
    let cluster = Cluster::get();
    let (from, to) = (written_by_go(&cluster, 3, &awkward()), cluster.create("copy", 3));
    let json = cluster.kq(["consume", &from, "-e", "-J"]).run().success();
    cluster.kq(["produce", &to, "-J", "--keep-partition"]).stdin(&json.stdout).run().success();
    let [original, copy] =
        [&from, &to].map(|topic| records(&go(&cluster, ["fetch", "--topic", topic]).run().success()));
    same("copy", &original, &copy);
}

#[test]
fn values_that_kq_read_as_lines_are_those_that_go_wrote() {
    let cluster = Cluster::get();
    let topic = written_by_go(&cluster, 1, &numbered(0, 1000));
    let expected: String = (0..1000).flat_map(|n| [n.to_string(), "\n".to_owned()]).collect();
    cluster.kq(["consume", &topic, "-e"]).run().success().stdout(expected);
}

#[test]
fn a_key_has_the_same_partition_with_both() {
    let cluster = Cluster::get();
    let mut sent = numbered(0, 500);
    sent.extend((0..200).map(|n| Record::new(Some(&super::clients::noise(n % 23, n as u64)), Some(b"v"))));
    let [by_go, by_kq] = ["go", "kq"].map(|writer| {
        let topic = cluster.create("keys", 7);
        match writer {
            "go" => go(&cluster, ["write", "--topic", &topic]).stdin(lines(&sent)).run().success(),
            _ => cluster.kq(["produce", &topic, "-J"]).stdin(lines(&sent)).run().success(),
        };
        let read = records(&cluster.kq(["consume", &topic, "-e", "-J"]).run().success());
        assert_eq!(read.len(), sent.len());
        let mut partitions = BTreeMap::<_, BTreeSet<_>>::new();
        for record in read {
            partitions.entry(record.key.expect("a key")).or_default().insert(record.partition);
        }
        partitions
    });
    assert!(by_go.contains_key(&b""[..]), "an empty key is among them");
    assert!(by_go.values().all(|partitions| partitions.len() == 1), "a key has one partition");
    assert_eq!(by_go, by_kq);
    let used: BTreeSet<_> = by_go.values().flatten().collect();
    assert_eq!(used.len(), 7, "every partition is used");
}

#[test]
fn a_group_of_go_reads_what_kq_wrote_and_kq_goes_on_after_it() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("go", 3), cluster.topic("group"));
    let mut sent = awkward();
    cluster.kq(["produce", &topic, "-J"]).stdin(lines(&sent)).run().success();
    let count = sent.len().to_string();
    let read =
        go(&cluster, ["read", "--topic", &topic, "--group", &group, "--count", &count]).run().success();
    sent = sent.into_iter().map(as_its_reader_says).collect();
    same("read by Go", &contents(&sent), &contents(&records(&read)));
    // All of it is committed, and nothing else: kq gets what comes after it.
    let consume = || cluster.kq(["consume", &topic, "--group", &group, "-e", "-J"]).run().success();
    consume().stdout("");
    let more = numbered(0, 50);
    go(&cluster, ["write", "--topic", &topic]).stdin(lines(&more)).run().success();
    same("after Go", &contents(&more), &contents(&records(&consume())));
    consume().stdout("");
}

#[test]
fn a_group_of_kq_reads_what_go_wrote_and_go_goes_on_after_it() {
    let cluster = Cluster::get();
    let sent = numbered(0, 300);
    let (topic, group) = (written_by_go(&cluster, 3, &sent), cluster.topic("group"));
    let consume = |more: &[&str]| {
        records(&cluster.kq(["consume", &topic, "--group", &group, "-J"]).args(more).run().success())
    };
    let mut read = consume(&["-n", "100"]);
    assert_eq!(read.len(), 100);
    let go_on = go(&cluster, ["read", "--topic", &topic, "--group", &group, "--count", "200"]);
    read.extend(records(&go_on.run().success()));
    same("kq, then Go", &contents(&sent), &contents(&read));
    assert_eq!(consume(&["-e"]), []);
}

#[test]
fn a_worker_runs_for_what_go_wrote_and_go_goes_on_after_it() {
    let cluster = Cluster::get();
    let sent = numbered(0, 40);
    let (topic, group) = (written_by_go(&cluster, 3, &sent), cluster.topic("group"));
    let script = r#"printf '%s\t%s\n' "$KQ_RECORD_KEY" "$(cat)""#;
    let worker = |stop: &[&str]| {
        let run = cluster.kq(["worker", &topic, "-g", &group, "-j", "1"]).args(stop);
        run.args(["--", "sh", "-c", script]).run().success()
    };
    let first = worker(&["-n", "25"]);
    let mut seen: Vec<_> = first.lines().into_iter().map(str::to_owned).collect();
    assert_eq!(seen.len(), 25);
    let go_on = go(&cluster, ["read", "--topic", &topic, "--group", &group, "--count", "15"]).run().success();
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("not null")).expect("text");
    seen.extend(records(&go_on).into_iter().map(|r| format!("{}\t{}", text(r.key), text(r.value))));
    seen.sort();
    let mut expected: Vec<_> = (0..40).map(|n| format!("k{n}\t{n}")).collect();
    expected.sort();
    assert_eq!(seen, expected);
    worker(&["-e"]).stdout("");
}

/// kafka-go sends metadata of version 1 without what version 1 has, and refuses that of others: it shares
/// partitions with no other client (segmentio/kafka-go issue 1156). With any leader, no record may be lost by it.
#[test]
fn in_a_group_with_go_no_record_is_lost_or_read_twice() {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.create("shared", 4), cluster.topic("group"));
    let produce = |from, to| {
        cluster.kq(["produce", &topic, "-J"]).stdin(lines(&numbered(from, to))).run().success();
    };
    let count = |bytes: &[u8]| bytes.iter().filter(|&&b| b == b'\n').count();
    let mut go = go(&cluster, ["read", "--topic", &topic, "--group", &group]).stdin_open().spawn();
    produce(0, 100);
    go.wait_until_stdout("what came while Go was alone", |bytes| count(bytes) == 100);
    let kq = cluster.kq(["consume", &topic, "--group", &group, "--assignor", "range", "-J", "-v"]).spawn();
    kq.wait_for_stderr("assigned: ");
    produce(100, 200);
    wait_until("both together have read what came after kq had joined", SOON, || {
        count(&kq.stdout_so_far()) + count(&go.stdout_so_far()) >= 200
    });
    kq.terminate();
    let by_kq = records(&kq.wait().success());
    produce(200, 300);
    go.wait_until_stdout("what came after kq had left", |bytes| count(bytes) + by_kq.len() >= 300);
    go.close_stdin();
    let by_go = records(&go.wait().success());
    same("each once", &contents(&numbered(0, 300)), &contents(&[by_go, by_kq].concat()));
}
