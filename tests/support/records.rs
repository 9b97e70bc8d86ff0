//! Records into a topic and out of it, and the lines that stand for them.

use std::path::Path;

use super::{Cluster, Kq};

/// A new topic with a record for each of these lines.
#[track_caller]
pub fn topic_with(cluster: &Cluster, hint: &str, partitions: u32, lines: impl AsRef<[u8]>) -> String {
    let topic = cluster.create(hint, partitions);
    cluster.kq(["produce", &topic]).stdin(lines).run().success();
    topic
}

/// A worker that handles the records up to now and ends.
pub fn once(cluster: &Cluster, topic: &str, flags: &[&str], command: &[&str]) -> Kq {
    cluster.kq(["worker", topic, "-e"]).args(flags).arg("--").args(command)
}

/// The values of a topic with one partition, a line each, as kcat reads them.
#[track_caller]
pub fn values(cluster: &Cluster, topic: &str) -> String {
    let args = ["-C", "-e", "-q", "-o", "beginning", "-t", topic, "-f", "%s\n"];
    String::from_utf8(cluster.kcat(args).run().success().stdout).expect("text")
}

/// The numbers from `from` until before `to`, a line each.
pub fn numbers(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("{n}\n")).collect()
}

/// The lines of a file that commands append to; none where it is not there yet.
pub fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
