//! What a worker's command reads on its stdin, and what ends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Cluster, Kq, once};

/// Prints in hexadecimal what it reads, in one line.
const HEX: &str = "od -An -v -tx1 | tr -d ' \n'; echo";

/// A topic of one partition with these records, in kq's JSON form.
fn topic_of(cluster: &Cluster, records: &[Value]) -> String {
    let topic = cluster.create("stdin", 1);
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    cluster.kq(["produce", &topic, "-J"]).stdin(lines).run().success();
    topic
}

/// A worker of one job in a group of its own.
fn worker(cluster: &Cluster, topic: &str, flags: &[&str], script: &str) -> Kq {
    let group = cluster.topic("g");
    once(cluster, topic, &[&["-j1", "-g", &group], flags].concat(), &["sh", "-c", script])
}

#[test]
fn a_delimiter_ends_each_value_and_a_tombstone_stays_empty() {
    let cluster = Cluster::get();
    let records = [
        json!({"value": "a"}),
        json!({"value": "b\n"}),
        json!({"value": ""}),
        json!({"value": null, "key": "k"}),
    ];
    let topic = topic_of(&cluster, &records);
    for (flags, expected) in [
        (&[][..], "61\n620a\n\n\n"),
        (&["-D", "\\n"], "610a\n620a0a\n0a\n\n"),
        (&["-D\\0"], "6100\n620a00\n00\n\n"),
        (&["--delimiter=-\\x2d"], "612d2d\n620a2d2d\n2d2d\n\n"),
        (&["-D", ""], "61\n620a\n\n\n"),
        (&["--stdin", "value", "-D", "\n"], "610a\n620a0a\n0a\n\n"),
    ] {
        worker(&cluster, &topic, flags, HEX).run().success().stdout(expected);
    }
    let null = "cat; echo \"$KQ_RECORD_VALUE_NULL\"";
    worker(&cluster, &topic, &["-D", ";"], null).run().success().stdout("a;\nb\n;\n;\n1\n");
}

#[test]
fn the_delimiter_comes_after_the_decompressed_value_and_after_a_long_one() {
    let cluster = Cluster::get();
    let topic = cluster.create("long", 1);
    let long = "x".repeat(3 << 20);
    for value in ["hello", &long] {
        cluster.kq(["produce", &topic, "--value-codec", "snappy", "--whole"]).stdin(value).run().success();
    }
    let ends = worker(&cluster, &topic, &["-D", "!\\n"], "tee copy | tail -c 3 | tr -d '\\n'; wc -c < copy");
    ends.run().success().stdout(format!("o!7\nx!{}\n", long.len() + 2));
}

#[test]
fn a_command_reads_the_whole_record_as_json() {
    let cluster = Cluster::get();
    let records = [
        json!({"key": "k", "value": "a\nb", "headers": [["h", "v"], ["h", null]], "timestamp": 1_700_000_000_000_i64}),
        json!({"key": null, "value_base64": STANDARD.encode(b"\xff\0")}),
        json!({"key": "gone", "value": null}),
    ];
    let topic = topic_of(&cluster, &records);
    cluster.kq(["produce", &topic, "--value-codec", "snappy"]).stdin("packed\n").run().success();
    let ended = worker(&cluster, &topic, &["--stdin", "json"], "tee copy; wc -l < copy").run().success();
    let printed: Vec<&str> = ended.text().lines().collect();
    assert_eq!(printed.len(), 8, "each is one line: {ended}");
    assert!(printed.iter().skip(1).step_by(2).all(|count| count.trim() == "1"), "{ended}");
    let read: Vec<Value> =
        printed.iter().step_by(2).map(|line| serde_json::from_str(line).expect("an object")).collect();
    for (offset, (read, sent)) in read.iter().zip(&records).enumerate() {
        assert_eq!((&read["topic"], &read["offset"]), (&json!(topic), &json!(offset)), "{read}");
        for (name, value) in sent.as_object().expect("an object") {
            assert_eq!(&read[name], value, "{read}");
        }
    }
    // Decompressed, and without the header that said how: as with --persistent.
    assert_eq!((&read[3]["value"], &read[3]["headers"]), (&json!("packed"), &json!([])));
    assert_eq!(read[0].get("id"), None);
    // What it reads can be produced again.
    let copy = cluster.create("copy", 1);
    let produce = format!("kq produce {copy} -J -q");
    worker(&cluster, &topic, &["--stdin", "json"], &produce).run().success();
    let both = [&copy, &topic].map(|topic| {
        let format = "%k %s %T\n";
        cluster.kq(["consume", topic, "-e", "-o", "0", "-n", "3", "-f", format]).run().success().stdout
    });
    assert_eq!(both[0], both[1]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let cluster = Cluster::get();
    for (flags, part) in [
        (&["--stdin", "json", "-D", "\\n"][..], "--stdin json ends each record with a newline"),
        (&["--persistent", "-D", "\\n"], "cannot be used with"),
        (&["--persistent", "--stdin", "json"], "cannot be used with"),
        (&["-D", "\\q"], "-D: unknown escape \\q"),
        (&["--stdin", "xml"], "[possible values: value, json]"),
    ] {
        let kq = cluster.kq(["worker", "stdin"]).args(flags).args(["--", "cat"]);
        kq.run().status(2).stderr_has(part);
    }
}
