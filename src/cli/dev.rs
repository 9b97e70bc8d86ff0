//! Flags of `kq dev`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use super::sizes;
use crate::http::address::Listen;

const LONG_ABOUT: &str = "\
Run an embedded Kafka-compatible broker, for development

One node in this process, ready in milliseconds, for a laptop or a test: any Kafka client can \
use it. No replication, no transactions, no ACLs, no TLS; for more, use Apache Kafka.

With COMMAND: listens on a free port, runs COMMAND with KQ_BROKERS set, and ends with its exit \
status; the data is in a temporary folder that is removed. INT and TERM are passed to the command. \
KQ_X, KQ_CONFIG_FILE, KQ_TLS* and KQ_SASL_* belong to another cluster, so COMMAND does not get them. \
If there is no kq on PATH, the folder of this program is added to the front of COMMAND's PATH.

Without COMMAND: prints the address that it listens on, runs until INT or TERM, then ends with 0. A \
program that has started it reads the address as one line from its stdout.";

const EXAMPLES: &str = "\
Examples:
  kq dev                                         on localhost:9092, until Ctrl-C
  kq dev --data ./.kq --topic foo:4 --port 9093  keeps topics, records, offsets
  kq dev -- sh -c 'seq 10 | kq produce t; kq consume t -e'
  kq dev --no-auto-create --topic in -- pytest   with KQ_BROKERS set

The session time-out of a group member may be as short as 100 ms here (Kafka: 6 s), so that tests need not wait.";

/// The most partitions of the broker, in all topics together.
const MAX_PARTITIONS: i32 = 10_000;

/// Run an embedded Kafka-compatible broker, for development
#[derive(clap::Args, Debug)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Port to listen on, 0 for a free one [default: 9092, with COMMAND a free one]
    #[arg(long)]
    pub port: Option<u16>,
    /// Address to listen on, `:9092` for all of this machine's; anyone who can reach it can read and write
    #[arg(long, value_name = "[HOST][:PORT]", default_value = "127.0.0.1")]
    pub listen: Listen,
    /// Keep topics, records and offsets in this folder across restarts [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Create this topic at the start; repeatable
    #[arg(long = "topic", value_name = "NAME[:PARTITIONS]")]
    pub topics: Vec<NewTopic>,
    /// Partitions of a new topic whose number of partitions is not given
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=i64::from(MAX_PARTITIONS)))]
    pub partitions: i32,
    /// Do not create topics on first use
    #[arg(long)]
    pub no_auto_create: bool,
    /// Refuse what a single Kafka node refuses: a replication factor above 1
    #[arg(long)]
    pub strict: bool,
    /// Delete the oldest records of a partition above this size, as in 100MiB
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub retention_bytes: Option<usize>,
    /// Delete records older than this many milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(0..))]
    pub retention_ms: Option<i64>,
    /// Refuse commits with longer metadata [default: 4096]: for tests of what clients make of that
    #[arg(long, value_name = "BYTES", hide = true)]
    pub offset_metadata_max_bytes: Option<usize>,
    /// Run this command with `KQ_BROKERS` set, and end with its status
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// A topic to create, and perhaps its number of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewTopic {
    pub name: String,
    pub partitions: Option<i32>,
}

impl FromStr for NewTopic {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (name, count) = s.split_once(':').map_or((s, None), |(name, count)| (name, Some(count)));
        if name.is_empty() {
            return Err("a topic needs a name; expected NAME or NAME:PARTITIONS, as in orders:4".into());
        }
        let Some(count) = count else {
            return Ok(Self { name: name.to_owned(), partitions: None });
        };
        match count.parse() {
            Ok(n) if n > MAX_PARTITIONS => {
                Err(format!("{n} partitions are too many: kq dev holds {MAX_PARTITIONS} in all"))
            }
            Ok(n) if n > 0 => Ok(Self { name: name.to_owned(), partitions: Some(n) }),
            _ => Err(format!(
                "{count:?} is not a number of partitions; expected NAME or NAME:PARTITIONS, as in orders:4"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_taken_with_and_without_partitions() {
        let topic = |s: &str| s.parse::<NewTopic>().map(|t| (t.name, t.partitions)).ok();
        assert_eq!(topic("a"), Some(("a".into(), None)));
        assert_eq!(topic("a:3"), Some(("a".into(), Some(3))));
        assert_eq!(topic("a:0"), None);
        assert_eq!(topic("a:x"), None);
        assert_eq!(topic(":3"), None);
        let refused = "a:20000".parse::<NewTopic>();
        assert!(refused.is_err_and(|e| e.contains("10000 in all")));
    }
}
