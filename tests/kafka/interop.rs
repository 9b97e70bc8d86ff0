//! A million lines through Apache Kafka, byte for byte: kq to kq, kq to kcat, kcat to kq; and copies.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster;
use crate::support::{Kq, Output, wait_until};

/// Lines in, lines out.
const LINES: usize = 1_000_000;
/// The limit of each run: long, since a slow machine is not a failure.
const LIMIT: Duration = Duration::from_mins(5);

/// A file of JSON lines, some long, some with text that is not ASCII, and the folder that holds it.
fn million(dir: &Path) -> PathBuf {
    let mut text = String::new();
    for n in 0..LINES {
        let pad = "x".repeat(if n % 10_000 == 0 { 20_000 } else { n % 50 });
        let _ = writeln!(text, r#"{{"id":{n},"user":"u{}","note":"grüße ☃","pad":"{pad}"}}"#, n % 977);
    }
    let path = dir.join("lines.jsonl");
    std::fs::write(&path, text).expect("write the lines");
    path
}

/// The lines of a file, sorted: partitions keep no order among each other.
fn sorted(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    assert!(bytes.ends_with(b"\n"), "{} does not end with a newline", path.display());
    let mut lines: Vec<_> = bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    lines.sort_unstable();
    lines
}

#[track_caller]
fn same_bytes(sent: &Path, got: &Path) {
    let (sent, got) = (std::fs::read(sent).expect("read"), std::fs::read(got).expect("read"));
    let at = sent.iter().zip(&got).position(|(a, b)| a != b);
    assert!(sent == got, "{} bytes sent, {} got; the first other byte is at {at:?}", sent.len(), got.len());
}

#[track_caller]
fn same_lines(sent: &Path, got: &Path) {
    let (sent, got) = (sorted(sent), sorted(got));
    let at = sent.iter().zip(&got).position(|(a, b)| a != b);
    assert!(sent == got, "{} lines sent, {} got; the first other one is {at:?}", sent.len(), got.len());
}

/// Runs it with stdin and stdout as files.
#[track_caller]
fn through(run: Kq, stdin: Option<&Path>, stdout: &Path) -> Output {
    let run = run.limit(LIMIT).stdout_to(File::create(stdout).expect("make a file"));
    let run = match stdin {
        Some(path) => run.stdin_from(File::open(path).expect("open a file")),
        None => run,
    };
    run.run().success()
}

fn ways(partitions: u32, same: fn(&Path, &Path)) {
    let cluster = cluster();
    let dir = tempfile::tempdir().expect("make a folder");
    let lines = million(dir.path());
    let out = |name: &str| dir.path().join(name);
    let topic = cluster.create("million", partitions);
    let other = cluster.create("million", partitions);

    through(cluster.kq(["produce", &topic]), Some(&lines), &out("nothing"));
    through(cluster.kq(["consume", &topic, "-e"]), None, &out("kq-kq"));
    same(&lines, &out("kq-kq"));
    through(cluster.kcat(["-C", "-e", "-q", "-t", &topic]), None, &out("kq-kcat"));
    same(&lines, &out("kq-kcat"));

    // kcat's own partitioner spreads records without a key; -z zstd is a codec that kq did not use.
    through(cluster.kcat(["-P", "-z", "zstd", "-t", &other]), Some(&lines), &out("nothing"));
    through(cluster.kq(["consume", &other, "-e"]), None, &out("kcat-kq"));
    same(&lines, &out("kcat-kq"));
}

#[test]
fn a_million_lines_of_one_partition_keep_bytes_and_order() {
    ways(1, same_bytes);
}

#[test]
fn a_million_lines_of_four_partitions_keep_bytes() {
    ways(4, same_lines);
}

#[test]
fn a_million_lines_by_a_group_are_all_there_once() {
    let cluster = cluster();
    let dir = tempfile::tempdir().expect("make a folder");
    let lines = million(dir.path());
    let topic = cluster.create("million", 4);
    let group = cluster.topic("group");
    through(cluster.kq(["produce", &topic]), Some(&lines), &dir.path().join("nothing"));
    let out = dir.path().join("out");
    through(cluster.kq(["consume", &topic, "--group", &group, "-e"]), None, &out);
    same_lines(&lines, &out);
    // All of it was committed: a second run has nothing to read.
    cluster.kq(["consume", &topic, "--group", &group, "-e"]).limit(LIMIT).run().success().stdout("");
}

#[test]
fn keys_go_to_the_partitions_that_kcat_reads_them_from() {
    let cluster = cluster();
    let topic = cluster.create("keys", 4);
    let mut lines = String::new();
    for n in 0..1000 {
        let _ = writeln!(lines, "key{}\tvalue{n}", n % 37);
    }
    cluster.kq(["produce", &topic, "-K", "\\t"]).stdin(&lines).run().success();
    let read = |run: Kq| {
        let output = run.run().success();
        let mut lines: Vec<_> = output.lines().into_iter().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let by_kcat = read(cluster.kcat(["-C", "-e", "-q", "-t", &topic, "-f", "%p %o %k %s\n"]));
    let by_kq = read(cluster.kq(["consume", &topic, "-e", "-f", "%p %o %k %s\n"]));
    assert_eq!(by_kq, by_kcat);
    assert_eq!(by_kq.len(), 1000);
}

#[test]
fn a_topic_with_three_copies_has_them_in_sync() {
    let cluster = cluster();
    assert_eq!(cluster.nodes(), 3, "three brokers: {}", cluster.brokers());
    let topic = cluster.topic("copies");
    cluster.kq(["topic", "create", &topic, "--partitions", "4", "--rf", "3"]).run().success();
    cluster.kq(["produce", &topic]).stdin("a\nb\n").run().success();
    let in_sync = || {
        let metadata = cluster.kcat(["-L", "-t", &topic]).run().success();
        let isrs =
            metadata.text().lines().filter_map(|line| Some(line.split_once("isrs: ")?.1.split(',').count()));
        isrs.collect::<Vec<_>>() == [3, 3, 3, 3]
    };
    wait_until("four partitions with three copies in sync", Duration::from_secs(30), in_sync);
}

#[test]
fn more_copies_than_brokers_are_refused_by_name() {
    let cluster = cluster();
    let topic = cluster.topic("copies");
    let refused = cluster.kq(["topic", "create", &topic, "--partitions", "1", "--rf", "4"]).run().status(2);
    refused.stderr_has(&topic);
}
