//! Flags of `kq consume`.

use std::time::Duration;

use crate::cli::reading::{GroupArgs, ReadingArgs};
use crate::cli::selection::{DecodeArgs, FilterArgs};
use crate::clock::duration;
use crate::record::format;

/// Get records out of topics: to stdout
///
/// Each record's value and a newline on stdout, compressed values undone by themselves.
///
/// With --group, what was written to stdout and flushed is committed, and nothing else; that
/// promises that records were handed on, not that they were processed: for that, use kq worker.
/// Without a group every partition is read and nothing is committed.
///
/// It follows the topic until a stop condition (-e, -n, --until, --idle) is reached, stdout is
/// closed, or a signal comes.
#[derive(clap::Args, Debug)]
#[command(after_help = after_help())]
pub struct Args {
    #[command(flatten)]
    pub reading: ReadingArgs,

    /// Partitions to read, without a group: 0,2-5
    #[arg(short, long, value_name = "LIST", conflicts_with = "group")]
    pub partition: Option<String>,

    /// How each record looks: text with \n \t \0 \xNN and the tokens below
    #[arg(short, long, value_name = "FORMAT", allow_hyphen_values = true, conflicts_with_all = ["json", "delimiter", "nul", "key_delimiter", "with_key"], help_heading = "Output")]
    pub format: Option<String>,

    /// Each record as one JSON object a line, without loss; `kq produce -J` reads it
    #[arg(short = 'J', long, help_heading = "Output")]
    pub json: bool,

    /// What follows each record [default: \n]
    #[arg(
        short = 'D',
        long,
        value_name = "STR",
        allow_hyphen_values = true,
        conflicts_with = "json",
        help_heading = "Output"
    )]
    pub delimiter: Option<String>,

    /// A NUL byte follows each record
    #[arg(short = '0', long = "null-delimited", conflicts_with_all = ["json", "delimiter"], help_heading = "Output")]
    pub nul: bool,

    /// The key before the value, then this string
    #[arg(
        short = 'K',
        long,
        value_name = "STR",
        allow_hyphen_values = true,
        conflicts_with = "json",
        help_heading = "Output"
    )]
    pub key_delimiter: Option<String>,

    /// The key, a tab, the value
    #[arg(long, conflicts_with_all = ["json", "key_delimiter"], help_heading = "Output")]
    pub with_key: bool,

    /// Null keys and values are written as NULL; empty ones stay empty
    #[arg(short = 'Z', long, conflicts_with = "json", help_heading = "Output")]
    pub print_null: bool,

    /// Write each record at once, even while more are waiting
    #[arg(short, long, help_heading = "Output")]
    pub unbuffered: bool,

    #[command(flatten)]
    pub decoding: DecodeArgs,

    #[command(flatten)]
    pub filter: FilterArgs,

    #[command(flatten)]
    pub sharing: GroupArgs,

    /// With a stop condition: give up after so long without contact to the brokers
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse, hide_short_help = true, help_heading = "Group and limits")]
    pub stall_timeout: Duration,

    /// How long leaving may take: the last commit, and the group
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse, hide_short_help = true, help_heading = "Group and limits")]
    pub close_timeout: Duration,
}

const EXAMPLES: &str = "\
Examples:
  kq consume foo --group g                     follow as a member of group g
  kq consume foo -g g --reset -o beginning     the same, all over again
  kq consume foo -e                            all that is there, then stop
  kq consume foo -o -10 -e                     the last ten of each partition
  kq consume foo -o -1h --until -5m -J         a stretch of time, as JSON
  kq consume foo -f '%p %o %k %s\\n' | head     partition, offset, key and value
  kq consume '^orders-.*' -p 0 -n 5            topics by a regular expression
";

/// Examples, and what a format may hold.
fn after_help() -> String {
    format!("{EXAMPLES}\nTokens of a FORMAT (-f):\n{}", format::table())
}
