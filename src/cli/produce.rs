//! Flags of `kq produce`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ArgGroup;

use crate::cli::values;
use crate::clock::duration;
use crate::produce::{OnInvalid, Report};
use crate::record::codec::Codec;
use crate::record::pointer::Pointer;
use crate::sending::settings::{Acks, Compression, Partitioner};

/// Put records into a topic: lines of stdin or of files
///
/// Each line of stdin or of the FILEs, in order, becomes a record's value: any bytes, any
/// length up to the broker's limit. A last line without a newline is a record, too.
///
/// Status 0 means that the cluster has acknowledged every record. Status 1 means that some records
/// were not acknowledged; a message names file and line of the first. After a signal kq delivers the
/// records that it has read, and says where it stopped.
///
/// A line that is not a valid record (without the delimiter of -K, not readable by -J, refused by
/// --validate, or without the key of --key-from) is never sent: it is reported with file, line and reason,
/// and the status is 1.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("keyed").args(["key_delimiter", "key_from"]))]
pub(crate) struct Args {
    /// The topic (or KQ_TOPIC), then files to read instead of stdin; `-` is stdin
    #[arg(value_name = "TOPIC|FILE")]
    pub positionals: Vec<OsString>,

    /// The topic; then all positionals are FILEs
    #[arg(short, long, value_name = "TOPIC")]
    pub topic: Option<String>,

    /// The string that ends a record in the input; may contain \n \t \0 \xNN
    #[arg(short = 'D', long, value_name = "STR", default_value = "\\n", allow_hyphen_values = true, conflicts_with_all = ["nul", "whole"], help_heading = "Framing")]
    pub delimiter: String,

    /// A NUL byte ends a record (as find -print0 writes them)
    #[arg(short = '0', long = "null-delimited", conflicts_with = "whole", help_heading = "Framing")]
    pub nul: bool,

    /// Each FILE, or all of stdin, is one record
    #[arg(long, help_heading = "Framing")]
    pub whole: bool,

    /// Each record starts with its key, then this string (escapes as in -D)
    #[arg(short = 'K', long, value_name = "STR", allow_hyphen_values = true, conflicts_with_all = ["key", "json"], help_heading = "Framing")]
    pub key_delimiter: Option<String>,

    /// With -K or --key-from: a record without the delimiter, or without the key in its value, has no key;
    /// otherwise it is an error
    #[arg(long, requires = "keyed", help_heading = "Framing")]
    pub key_optional: bool,

    /// A value (with -K: or a key) equal to TOKEN is null: a tombstone
    #[arg(
        long,
        value_name = "TOKEN",
        allow_hyphen_values = true,
        conflicts_with = "json",
        help_heading = "Framing"
    )]
    pub null: Option<String>,

    /// An empty value (with -K: or key) is null, as in kcat
    #[arg(short = 'Z', long, conflicts_with = "json", help_heading = "Framing")]
    pub empty_is_null: bool,

    /// Skip empty records
    #[arg(long, help_heading = "Framing")]
    pub skip_empty: bool,

    /// Each line is a record in the JSON form that `kq consume -J` writes
    #[arg(short = 'J', long, help_heading = "Framing")]
    pub json: bool,

    /// With -J: send each record to the partition that it names
    #[arg(long, requires = "json", help_heading = "Framing")]
    pub keep_partition: bool,

    /// With -J: send each record to the topic that it names. TOPIC is for records that name none
    #[arg(long, requires = "json", help_heading = "Framing")]
    pub topic_from_record: bool,

    /// Send only values that are JSON (json), or that the JSON Schema in FILE accepts,
    /// formats included; tombstones are sent
    #[arg(long, value_name = "json|FILE", help_heading = "Framing")]
    pub validate: Option<String>,

    /// At a line that is not a valid record: stop (records before it are delivered, nothing after it
    /// is read), or skip (report it and continue)
    #[arg(long, value_name = "WHAT", default_value = "stop", value_parser = values::on_invalid(), help_heading = "Framing")]
    pub on_invalid: OnInvalid,

    /// The key of every record
    #[arg(short, long, allow_hyphen_values = true, conflicts_with = "json", help_heading = "Record")]
    pub key: Option<String>,

    /// The key of each record is in its value, which is JSON, at this JSON pointer: json:/order/id. A string gives
    /// its text, anything else its bytes as they stand; null is no key. With -J: for records without a key
    #[arg(long, value_name = "json:/POINTER", value_parser = key_from, conflicts_with = "key", help_heading = "Record")]
    pub key_from: Option<Pointer>,

    /// A header of every record, repeatable; NAME alone has a null value
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME=VALUE",
        allow_hyphen_values = true,
        help_heading = "Record"
    )]
    pub headers: Vec<String>,

    /// The partition of every record [default: the partitioner decides]
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "keep_partition", help_heading = "Record")]
    pub partition: Option<i32>,

    /// The timestamp of every record: epoch milliseconds, seconds as 1714564800s, RFC 3339, or a date in
    /// UTC [default: now]
    #[arg(long, value_name = "TIME", help_heading = "Record")]
    pub timestamp: Option<String>,

    /// Compress each value by itself, and add a content-encoding header
    #[arg(long, value_name = "CODEC", value_parser = values::value_codec(), help_heading = "Record")]
    pub value_codec: Option<Codec>,

    /// Compression of batches on the wire: none, gzip, snappy, lz4 or zstd; with :LEVEL if the codec
    /// has levels [default: snappy]
    #[arg(short = 'z', long, value_name = "CODEC[:LEVEL]", help_heading = "Delivery")]
    pub compression: Option<Compression>,

    /// Which partition a key goes to: murmur2 is Java's, consistent is kcat's [default: murmur2_random]
    #[arg(long, value_parser = values::one_of::<Partitioner>(), help_heading = "Delivery")]
    pub partitioner: Option<Partitioner>,

    /// How many replicas must have a record before it is acknowledged: all, 1, or 0 (turns
    /// idempotence off) [default: all]
    #[arg(long, value_parser = values::acks(), allow_hyphen_values = true, help_heading = "Delivery")]
    pub acks: Option<Acks>,

    /// Do not use the idempotent producer (for clusters that refuse IDEMPOTENT_WRITE); a retry may
    /// then write a record twice
    #[arg(long, help_heading = "Delivery")]
    pub no_idempotence: bool,

    /// How long a record may take to be acknowledged before it counts as failed [default: 120s]
    #[arg(long, value_name = "DURATION", value_parser = delivery_timeout, help_heading = "Delivery")]
    pub delivery_timeout: Option<Duration>,

    /// Stop after COUNT records
    #[arg(short = 'n', long, visible_short_alias = 'c', value_name = "COUNT", help_heading = "Delivery")]
    pub count: Option<u64>,

    /// At most this many records a second
    #[arg(long, value_name = "N", value_parser = rate, help_heading = "Delivery")]
    pub rate: Option<f64>,

    /// Refuse a topic that does not exist, even if the broker would create it
    #[arg(long, help_heading = "Delivery")]
    pub no_create: bool,

    /// Print file, line, topic, partition and offset of every acknowledged record on stdout, one JSON object in
    /// a line. If the reader of stdout closes it, the records are still sent
    #[arg(long, value_name = "FORMAT", value_parser = values::one_of::<Report>(), help_heading = "Delivery")]
    pub report: Option<Report>,
}

/// `N` or `N/s`: records a second, from one in eleven days to a thousand million a second.
fn rate(text: &str) -> Result<f64, String> {
    match text.strip_suffix("/s").unwrap_or(text).parse::<f64>() {
        Ok(n) if (1e-6..=1e9).contains(&n) => Ok(n),
        _ => Err("a number of records a second from 0.000001 to 1000000000, such as 100 or 100/s".into()),
    }
}

/// `json:/POINTER`
fn key_from(text: &str) -> anyhow::Result<Pointer> {
    text.strip_prefix("json:").context("give json:/POINTER, as in json:/order/id")?.parse()
}

/// A time-out that librdkafka accepts for a record: longer than a record waits for its batch to fill
/// (`linger.ms`, 5), and not 0, which means no time-out to it.
fn delivery_timeout(text: &str) -> anyhow::Result<Duration> {
    let timeout = duration::parse(text).map_err(anyhow::Error::msg)?;
    let most = Duration::from_millis(i32::MAX as u64);
    ensure!((Duration::from_millis(10)..=most).contains(&timeout), "give a time from 10ms to 24d");
    Ok(timeout)
}

impl Args {
    /// The topic that was named, if one was, and the files. A topic that is not UTF-8 is shown with
    /// U+FFFD, and is refused as a topic's name.
    pub(crate) fn topic_and_files(&self) -> (Option<Cow<'_, str>>, Vec<PathBuf>) {
        let files = |files: &[OsString]| files.iter().map(PathBuf::from).collect();
        match (&self.topic, self.positionals.split_first()) {
            (Some(topic), _) => (Some(topic.into()), files(&self.positionals)),
            (None, Some((topic, rest))) => (Some(topic.to_string_lossy()), files(rest)),
            (None, None) => (None, Vec::new()),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  cat data.jsonl | kq produce foo            each line is a record
  kq produce foo a.jsonl b.jsonl             files, in order
  kq produce users -K : users.txt            key:value lines
  printf 'id1:' | kq produce users -K : -Z   a tombstone for id1
  kq consume a -e -J | kq produce b -J       copy a topic, headers and all
  tail -f app.log | kq produce logs          each line is sent without delay
  kq produce orders --key-from json:/customer/id < orders.jsonl
  kq produce foo --validate schema.json --on-invalid skip < data.jsonl
";
