//! Other clients to compare with, each built once, and records as all of them print them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::{Cluster, Kq, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A record as bytes and numbers: what no client may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub partition: Option<i64>,
    pub offset: Option<i64>,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Record {
    /// A record with this key and value, the rest unset.
    pub(crate) fn new(key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        Self { key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), ..Self::default() }
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((name.into(), value.map(<[u8]>::to_vec)));
        self
    }

    /// The same with this timestamp, in milliseconds since the epoch.
    pub(crate) fn at(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The same for this partition.
    pub(crate) fn partition(mut self, partition: i64) -> Self {
        self.partition = Some(partition);
        self
    }

    /// What the producer chose: without place and time.
    pub(crate) fn content(&self) -> Self {
        Self { partition: None, offset: None, timestamp: None, ..self.clone() }
    }

    /// A line in kq's JSON form, all bytes in base64, so that no client's idea of text counts.
    pub(crate) fn line(&self) -> String {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| BASE64.encode(bytes));
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let value = value.as_ref().map(|value| json!({ "base64": BASE64.encode(value) }));
                json!([String::from_utf8(name.clone()).expect("a header's name is text here"), value])
            })
            .collect();
        let mut line =
            json!({ "key_base64": bytes(&self.key), "value_base64": bytes(&self.value), "headers": headers });
        if let Some(partition) = self.partition {
            line["partition"] = partition.into();
        }
        if let Some(timestamp) = self.timestamp {
            line["timestamp"] = timestamp.into();
        }
        format!("{line}\n")
    }

    /// A line in kq's JSON form.
    #[track_caller]
    fn parse(line: &str) -> Self {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:.300}"));
        let decode =
            |text: &Value| BASE64.decode(text.as_str().expect("base64 is a string")).expect("base64");
        let part = |name: &str| match &json[format!("{name}_base64")] {
            Value::Null => json[name].as_str().map(|text| text.as_bytes().to_vec()),
            encoded => Some(decode(encoded)),
        };
        let bytes = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.as_bytes().to_vec()),
            other => Some(decode(&other["base64"])),
        };
        let headers = json["headers"].as_array().expect("headers are a list");
        Self {
            partition: json["partition"].as_i64(),
            offset: json["offset"].as_i64(),
            timestamp: json["timestamp"].as_i64(),
            key: part("key"),
            value: part("value"),
            headers: headers
                .iter()
                .map(|pair| (bytes(&pair[0]).expect("a header has a name"), bytes(&pair[1])))
                .collect(),
        }
    }
}

/// The records that a client printed, by partition and offset.
#[track_caller]
pub(crate) fn records(output: &Output) -> Vec<Record> {
    let mut records: Vec<_> = output.lines().into_iter().map(Record::parse).collect();
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// These records as input of `kq produce -J` and of the other clients.
pub(crate) fn lines(records: &[Record]) -> String {
    records.iter().map(Record::line).collect()
}

/// Fails at the first record that differs, however large the rest is.
#[track_caller]
pub(crate) fn same(what: &str, expected: &[Record], got: &[Record]) {
    for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
        assert!(
            expected == got,
            "{what}: record {index} differs\nexpected {:.600}\ngot      {:.600}",
            format!("{expected:?}"),
            format!("{got:?}")
        );
    }
    assert_eq!(expected.len(), got.len(), "{what}: the number of records");
}

/// What the producer chose, in an order that does not depend on partitions.
pub(crate) fn contents(records: &[Record]) -> Vec<Record> {
    let mut contents: Vec<_> = records.iter().map(Record::content).collect();
    contents.sort();
    contents
}

/// Bytes that no codec makes smaller, the same in each run.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Records of every awkward kind, their keys spread over partitions; some of a megabyte.
pub(crate) fn awkward() -> Vec<Record> {
    let large = 1_000_000;
    let mut records = vec![
        Record::new(None, None),
        Record::new(None, Some(b"")),
        Record::new(Some(b""), Some(b"")),
        Record::new(Some(b""), None),
        Record::new(Some(b"tombstone"), None),
        Record::new(Some(b"\xff\xfe\0"), Some(b"\0\x80\xc3\x28\n\r\t\x1b[31m")),
        // A lone surrogate, as UTF-8 would encode it, and an overlong slash: neither is UTF-8.
        Record::new(Some(b"\xed\xa0\x80"), Some(b"\xc0\xaf")),
        Record::new(Some("grüße ☃ 🦀".as_bytes()), Some("\u{feff}\u{2028}\"\\ \u{7f}\u{0}".as_bytes())),
        Record::new(Some(b"{\"a\":1}"), Some(b"{\"value_base64\":\"AA==\"}\n{\"value\":null}")),
        Record::new(Some(b"headers"), Some(b"v"))
            .header("dup", Some(b"1"))
            .header("other", Some(b""))
            .header("dup", Some(b"2"))
            .header("dup", None)
            .header("dup", Some(b"1"))
            .header("binary", Some(b"\xff\0\xfe"))
            .header("", Some(b"a header without a name"))
            .header("Ünïcode \"quoted\"", Some("☃".as_bytes()))
            // It says snappy and is not: a copy must not look into it.
            .header("content-encoding", Some(b"snappy")),
        Record::new(Some(b"large"), Some(&vec![b'x'; large])),
        Record::new(Some(b"large noise"), Some(&noise(large, 7))),
        // The key's escapes make a line of JSON six times as long.
        Record::new(Some(&[1; 10_000]), Some(b"a long key")),
    ];
    // Framed and Java's Snappy by their magic, gzip by its own: what --decode would undo.
    for magic in [&b"\xff\x06\0\0sNaPpY"[..], b"\x82SNAPPY\0", b"\x1f\x8b\x08\0"] {
        records.push(Record::new(Some(b"magic"), Some(magic)));
    }
    records.extend((0..200).map(|n| {
        Record::new(Some(format!("key {n}").as_bytes()), Some(&noise(n, n as u64)))
            .header("n", Some(&[n as u8]))
    }));
    records
}

/// `kafka-go ARGS…` of tests/interop/kafka-go, a client in Go.
pub(crate) fn go<S: AsRef<OsStr>>(cluster: &Cluster, args: impl IntoIterator<Item = S>) -> Kq {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let program = Path::new(ROOT).join("target/interop/kafka-go");
        let mut go = Command::new("go");
        go.args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(Path::new(ROOT).join("tests/interop/kafka-go"));
        build(go, "golang-go");
        program
    });
    cluster.program(program.to_str().expect("a path that is text"), args)
}

/// `Interop ARGS…` of tests/interop/java: Kafka's own client, from the jars that tests/kafka/lib.sh fetched.
pub(crate) fn java<S: AsRef<OsStr>>(cluster: &Cluster, args: impl IntoIterator<Item = S>) -> Kq {
    static CLASS_PATH: OnceLock<String> = OnceLock::new();
    let class_path = CLASS_PATH.get_or_init(|| {
        let home = std::env::var_os("KQ_KAFKA_DIR")
            .map_or_else(|| Path::new(ROOT).join("target/kafka"), PathBuf::from);
        let jars = home.join("jars-4.1.0");
        assert!(
            jars.join(".whole").exists(),
            "no jars in {}: run tests/kafka/run, which fetches them",
            jars.display()
        );
        let classes = Path::new(ROOT).join("target/interop/java");
        std::fs::create_dir_all(&classes).expect("make a folder for the classes");
        let jars = format!("{}/*", jars.display());
        let mut javac = Command::new("javac");
        javac
            .args(["-cp", &jars, "-d"])
            .arg(&classes)
            .arg(Path::new(ROOT).join("tests/interop/java/Interop.java"));
        build(javac, "default-jdk-headless");
        format!("{}:{jars}", classes.display())
    });
    let log = format!("-Dlog4j2.configurationFile={ROOT}/tests/kafka/log4j2.properties");
    // Quick to start rather than quick to run.
    let options =
        ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", &log, "-cp", class_path, "Interop"];
    cluster.program("java", options).args(args)
}

/// For each partition of the topic what the group has committed, and the end; by Kafka's own client.
#[track_caller]
pub(crate) fn committed(cluster: &Cluster, topic: &str, group: &str) -> Vec<(i64, i64)> {
    let output = java(cluster, ["lag", topic, group]).run().success();
    let number = |text: &str| text.parse().expect("a number");
    let pair = |line: &str| {
        let fields: Vec<_> = line.split(' ').map(number).collect();
        (fields[1], fields[2])
    };
    output.lines().into_iter().map(pair).collect()
}

/// Demands that the group has committed the end of every partition.
#[track_caller]
pub(crate) fn no_lag(cluster: &Cluster, topic: &str, group: &str) {
    let committed = committed(cluster, topic, group);
    let behind: Vec<_> =
        committed.iter().filter(|(at, end)| at != end && !(*at == -1 && *end == 0)).collect();
    assert!(behind.is_empty(), "(committed, end) of each partition: {committed:?}");
}

/// Runs a compiler, in this process's environment: it has caches and mirrors of its own.
fn build(mut command: Command, package: &str) {
    let compiler = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)),
        Err(e) => panic!("{compiler} can't be run ({e}): install it (Debian: apt-get install {package})"),
    }
}
