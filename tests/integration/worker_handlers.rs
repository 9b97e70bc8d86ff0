//! The handlers of `examples/` that write elsewhere: each against the real thing, with three kill -9 of its worker in
//! between. What is there at the end is what was produced: every record once, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::{Cluster, Kq, Output, Postgres, wait_until};

/// What a wait is given at most, and a run.
const LONG: Duration = Duration::from_mins(2);
/// How often each worker is killed.
const KILLS: usize = 3;
/// A value that the database or the server refuses for good.
pub(crate) const REFUSED: &str = r#"{"refused":true}"#;

/// Where a record is: its partition and offset.
type Place = (i64, i64);

/// A topic of three partitions, a topic for its dead letters, and the handler that is tried.
pub(crate) struct Case {
    cluster: Cluster,
    pub(crate) topic: String,
    dlq: String,
    flags: Vec<String>,
    handler: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl Case {
    /// The records of these JSON lines, and a handler of `examples/handlers` with these flags and variables.
    pub(crate) fn new(lines: &str, handler: &str, flags: &[&str], env: &[(&'static str, String)]) -> Self {
        let cluster = Cluster::embedded();
        let topic = cluster.create("orders", 3);
        cluster.kq(["produce", &topic, "-J"]).stdin(lines).run().success();
        let dlq = cluster.create("dead", 1);
        let handler = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/handlers").join(handler);
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Self { cluster, topic, dlq, flags, handler, env: env.to_vec() }
    }

    /// A worker of the case's group. The group soon notices that a member was killed.
    fn worker(&self, more: &[&str]) -> Kq {
        let session = ["-X", "session.timeout.ms=3000", "-X", "heartbeat.interval.ms=500"];
        let kq = self.cluster.kq(["worker", &self.topic, "--dlq", &self.dlq, "--backoff", "10ms"]);
        let kq = kq.args(session).args(&self.flags).args(more).arg("--").arg(&self.handler).limit(LONG);
        self.env.iter().fold(kq, |kq, (name, value)| kq.env(name, value))
    }

    /// Works off the topic with workers that are killed when a quarter, a half and three quarters are `kept`,
    /// and with a last one to the end.
    pub(crate) fn work(&self, total: usize, kept: impl Fn() -> usize) -> Output {
        for kill in 1..=KILLS {
            let worker = self.worker(&[]).spawn();
            wait_until("more is kept", LONG, || kept() >= total * kill / (KILLS + 1));
            worker.kill();
        }
        self.worker(&["-e"]).run().success()
    }

    /// The records of a topic as `kq consume -J` writes them.
    pub(crate) fn records(&self, topic: &str) -> Vec<Value> {
        let consumed = self.cluster.kq(["consume", topic, "-e", "-J"]).run().success();
        consumed.lines().into_iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// What a table must have: a row for each record that is not refused, in order.
    fn rows(&self) -> BTreeMap<Place, Value> {
        let records = self.records(&self.topic).into_iter().filter(|record| record["value"] != REFUSED);
        records.map(|record| row(&record)).collect()
    }

    /// The dead letters are the refused records, once or, after a kill, more often; each says why.
    #[track_caller]
    pub(crate) fn refused(&self, reason: &str) {
        let (refused, dead) = (self.records(&self.topic), self.records(&self.dlq));
        let refused: BTreeSet<_> =
            refused.iter().filter(|record| record["value"] == REFUSED).map(|record| row(record).0).collect();
        assert_eq!(refused.len(), 2, "two were produced");
        let header = |letter: &Value, name: &str| {
            let headers = letter["headers"].as_array().expect("headers").iter();
            let found = headers.rev().find(|header| header[0] == format!("kq.dlq.{name}"));
            found.unwrap_or_else(|| panic!("no {name} in {letter}"))[1].as_str().expect("text").to_owned()
        };
        let number = |letter: &Value, name| header(letter, name).parse::<i64>().expect("a number");
        for letter in &dead {
            assert_eq!(header(letter, "exit-code"), "65", "{letter}");
            assert!(header(letter, "stderr").contains(reason), "{letter}");
        }
        let dead: BTreeSet<_> =
            dead.iter().map(|letter| (number(letter, "partition"), number(letter, "offset"))).collect();
        assert_eq!(dead, refused);
    }
}

/// A record of `kq consume -J` as the tables are read: timestamp, key and value in base64, headers.
fn row(record: &Value) -> (Place, Value) {
    let bytes = |field: &str| match (&record[field], &record[format!("{field}_base64")]) {
        (Value::String(text), _) => json!(BASE64.encode(text)),
        (_, base64) => base64.clone(),
    };
    let place =
        (record["partition"].as_i64().expect("a number"), record["offset"].as_i64().expect("a number"));
    (place, json!([record["timestamp"], bytes("key"), bytes("value"), record["headers"]]))
}

/// A table's rows, which are printed as JSON arrays: partition, offset, then what [`row`] has, in hexadecimal.
#[track_caller]
fn table(printed: &Output) -> BTreeMap<Place, Value> {
    let bytes = |hex: &Value| hex.as_str().map(|hex| BASE64.encode(from_hex(hex)));
    let rows = printed.lines().into_iter().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let place = (row[0].as_i64().expect("a partition"), row[1].as_i64().expect("an offset"));
        (place, json!([row[2], bytes(&row[3]), bytes(&row[4]), row[5]]))
    });
    let rows: Vec<_> = rows.collect();
    let count = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(rows.len(), count, "a record has two rows");
    rows
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|c| c.to_digit(16).expect("a digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Demands that these are the same; shows some of what differs.
#[track_caller]
pub(crate) fn same<K: Ord + Debug, V: PartialEq + Debug>(expected: &BTreeMap<K, V>, found: &BTreeMap<K, V>) {
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differ = names.into_iter().filter(|name| expected.get(name) != found.get(name));
    let shown: Vec<_> = differ
        .map(|name| format!("{name:?}: {:.300?} is not {:.300?}", found.get(name), expected.get(name)))
        .collect();
    assert!(shown.is_empty(), "{} differ:\n{}", shown.len(), shown[..shown.len().min(5)].join("\n"));
}

/// JSON lines of `count` records: documents, two that are refused, and what a table finds hard to keep.
fn hard_records(count: usize) -> String {
    let mut lines: Vec<_> = (0..count)
        .map(|n| json!({"key": format!("k{}", n % 50), "value": format!(r#"{{"n":{n}}}"#)}))
        .collect();
    let hard: [&[u8]; 13] = [
        b"",
        b"\0",
        b"\0a\0\0b\\\0",
        b"\\",
        br"\u0000 \000 \\000 \u005c000 \n",
        "é \u{1}\u{2}\u{7f}\n\r\t\"' \u{ffff} O\u{1f600}O".as_bytes(),
        br"\.",
        b"NULL",
        b"\xff\xfe\0",
        b"\x80",
        b"a\xff",
        &(0..=255).collect::<Vec<u8>>(),
        &b"x".repeat(200_000),
    ];
    for (n, bytes) in hard.iter().enumerate() {
        let field = |name: &str| match std::str::from_utf8(bytes) {
            Ok(text) => (name.to_owned(), json!(text)),
            Err(_) => (format!("{name}_base64"), json!(BASE64.encode(bytes))),
        };
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]);
        let headers = json!([["a", text], ["a", null], ["binary", {"base64": "/w=="}]]);
        let record = [field("key"), field("value"), ("headers".to_owned(), headers)];
        lines.insert(count * n / hard.len(), record.into_iter().collect::<serde_json::Map<_, _>>().into());
    }
    lines.insert(count / 3, json!({"key": "k1", "value": null}));
    lines.insert(count / 2, json!({"key": null, "value": "no key", "timestamp": 1}));
    for at in [count / 5, count * 4 / 5] {
        lines.insert(at, json!({"key": "k2", "value": REFUSED}));
    }
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

/// The table that the handler's first comment shows.
fn schema(handler: &Path) -> String {
    let text = std::fs::read_to_string(handler).expect("read the handler");
    let comment = text
        .lines()
        .map_while(|line| line.strip_prefix('#'))
        .skip_while(|line| !line.contains("create table"));
    let mut lines: Vec<_> = comment.collect();
    lines.truncate(lines.iter().position(|line| line.trim() == ");").expect("its end") + 1);
    lines.join("\n")
}

#[test]
#[ignore = "needs a PostgreSQL server: .ci/run tools examples"]
fn the_handler_for_postgresql_keeps_each_record_once() {
    const COUNT: usize = 6_000;
    let server = Postgres::start();
    let host = server.host().display().to_string();
    let env = [("PGHOST", host), ("PGUSER", "postgres".to_owned())];
    let case = Case::new(&hard_records(COUNT), "postgres.sh", &["--batch", "200", "-j", "2"], &env);
    let check = format!("alter table kq_records add constraint picky check (value <> '{REFUSED}'::bytea)");
    server.psql(&(schema(&case.handler) + &check)).run().success();

    case.work(COUNT, || {
        server.psql("select count(*) from kq_records").run().text().trim().parse().expect("a number")
    });

    let all = r#"select json_build_array(partition, "offset", (extract(epoch from timestamp) * 1000)::bigint,
        encode(key, 'hex'), encode(value, 'hex'), headers)::text from kq_records"#;
    same(&case.rows(), &table(&server.psql(all).run().success()));
    case.refused("23514: new row for relation \"kq_records\" violates check constraint \"picky\"");
}

#[test]
#[ignore = "needs sqlite3: .ci/run tools examples"]
fn the_handler_for_sqlite_keeps_each_record_once() {
    const COUNT: usize = 6_000;
    let home = tempfile::tempdir().expect("make a folder");
    let database = home.path().join("orders.db").display().to_string();
    let sqlite =
        |sql: &str| Kq::program("sqlite3", ["-bail", "-cmd", ".timeout 30000", &database, sql]).run();
    let env = [("DATABASE", database.clone())];
    let case = Case::new(&hard_records(COUNT), "sqlite.sh", &["--batch", "200", "-j", "2"], &env);
    // The handler makes the table, here of no record.
    let made = Kq::program(&case.handler, [] as [&str; 0]).env("DATABASE", &database).run().success();
    assert!(made.stderr.is_empty(), "{made}");
    let picky = format!(
        "create trigger picky before insert on kq_records when new.value = '{REFUSED}'
        begin select raise(abort, 'no such values'); end"
    );
    sqlite(&picky).success();

    case.work(COUNT, || sqlite("select count(*) from kq_records").text().trim().parse().expect("a number"));

    let all = "select json_array(partition, offset, timestamp, iif(key is null, null, hex(key)),
        iif(value is null, null, hex(value)), json(headers)) from kq_records";
    same(&case.rows(), &table(&sqlite(all).success()));
    case.refused("no such values (19)");
}

#[test]
#[ignore = "needs psql and sqlite3: .ci/run tools examples"]
fn a_handler_says_whether_the_data_or_the_database_is_at_fault() {
    let record = |offset: i64| {
        format!(
            "{{\"topic\":\"t\",\"partition\":0,\"offset\":{offset},\"key\":null,\"value\":\"v\",\"headers\":[]}}\n"
        )
    };
    let run = |handler: &str, input: &str, env: &[(&str, &str)]| {
        let handler = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/handlers").join(handler);
        let kq = Kq::program(handler, [] as [&str; 0]).stdin(input);
        env.iter().fold(kq, |kq, (name, value)| kq.env(name, value)).run()
    };
    let server = Postgres::start();
    let here = [("PGHOST", server.host().to_str().expect("text")), ("PGUSER", "postgres")];
    run("postgres.sh", &record(0), &here)
        .status(78)
        .stderr_has("42P01: relation \"kq_records\" does not exist");
    server
        .psql(&schema(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/handlers/postgres.sh")))
        .run()
        .success();
    // After the year 294276, the last one that PostgreSQL has.
    let late = record(1).replace("\"key\"", "\"timestamp\":9223372036854775807,\"key\"");
    run("postgres.sh", &(record(0) + &late), &here).status(65).stderr_has("22008: timestamp out of range");
    server.psql("select count(*) from kq_records").run().success().stdout("0\n");
    run("postgres.sh", &record(0), &[("PGHOST", "/nowhere")]).status(75);
    server.psql("create database latin encoding 'LATIN1' template template0").run().success();
    let latin = [here[0], here[1], ("PGDATABASE", "latin")];
    run("postgres.sh", &record(0), &latin).status(78).stderr_has("the database is not in UTF8");

    let home = tempfile::tempdir().expect("make a folder");
    let database = home.path().join("orders.db");
    let here = ("DATABASE", database.to_str().expect("text"));
    run("sqlite.sh", &record(0), &[here, ("KQ_BATCH_RECORDS", "2")]).status(75).stderr_has("lines = 2");
    run("sqlite.sh", &record(0), &[here, ("KQ_BATCH_RECORDS", "1")]).success();
    run("sqlite.sh", &record(0), &[("DATABASE", "/nowhere/orders.db")]).status(78);
    std::fs::write(&database, [b'x'; 4096]).expect("write what is no database");
    run("sqlite.sh", &record(0), &[here]).status(78).stderr_has("not a database");
}
