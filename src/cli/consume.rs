//! Flags of `kq consume`.

use std::time::Duration;

use crate::cli::reading::{GroupArgs, ReadingArgs};
use crate::cli::selection::{DecodeArgs, FilterArgs};
use crate::clock::duration;
use crate::record::format;

/// Get records out of topics: to stdout
///
/// Writes each record's value and a newline to stdout. Compressed values are decompressed.
///
/// With --group, kq commits the offsets of records that were written to stdout and flushed, and no
/// others. A commit says that a record was handed on, not that it was processed: for that, use kq
/// worker. Without a group every partition is read and nothing is committed.
///
/// It waits for more records until a stop condition (-e, -n, --until, --idle) is reached, stdout is
/// closed, or a signal comes.
#[derive(clap::Args, Debug)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    #[command(flatten)]
    pub reading: ReadingArgs,

    /// Partitions to read, without a group: 0,2-5
    #[arg(short, long, value_name = "LIST", conflicts_with = "group")]
    pub partition: Option<String>,

    /// How each record is written: text with \n \t \0 \xNN and the tokens below
    #[arg(short, long, value_name = "FORMAT", allow_hyphen_values = true, conflicts_with_all = ["json", "delimiter", "nul", "key_delimiter", "with_key"], help_heading = "Output")]
    pub format: Option<String>,

    /// Write each record as one JSON object in a line, without loss; `kq produce -J` reads it
    #[arg(short = 'J', long, help_heading = "Output")]
    pub json: bool,

    /// Write this string after each record [default: \n]
    #[arg(
        short = 'D',
        long,
        value_name = "STR",
        allow_hyphen_values = true,
        conflicts_with = "json",
        help_heading = "Output"
    )]
    pub delimiter: Option<String>,

    /// Write a NUL byte after each record
    #[arg(short = '0', long = "null-delimited", conflicts_with_all = ["json", "delimiter"], help_heading = "Output")]
    pub nul: bool,

    /// Write the key, then this string, then the value
    #[arg(
        short = 'K',
        long,
        value_name = "STR",
        allow_hyphen_values = true,
        conflicts_with = "json",
        help_heading = "Output"
    )]
    pub key_delimiter: Option<String>,

    /// Write the key, a tab, the value
    #[arg(long, conflicts_with_all = ["json", "key_delimiter"], help_heading = "Output")]
    pub with_key: bool,

    /// Write null keys and values as NULL; empty ones stay empty
    #[arg(short = 'Z', long, conflicts_with = "json", help_heading = "Output")]
    pub print_null: bool,

    /// Write each record immediately, even while more are waiting
    #[arg(short, long, help_heading = "Output")]
    pub unbuffered: bool,

    #[command(flatten)]
    pub decoding: DecodeArgs,

    #[command(flatten)]
    pub filter: FilterArgs,

    #[command(flatten)]
    pub sharing: GroupArgs,

    /// With a stop condition: stop with an error after this long without contact to the brokers
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse, hide_short_help = true, help_heading = "Group and limits")]
    pub stall_timeout: Duration,

    /// How long the last commit and leaving the group may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse, hide_short_help = true, help_heading = "Group and limits")]
    pub close_timeout: Duration,
}

const EXAMPLES: &str = "\
Examples:
  kq consume foo --group g                     read as a member of group g
  kq consume foo -g g --reset -o beginning     the same, from the beginning
  kq consume foo -e                            the records up to now, then stop
  kq consume foo -o -10 -e                     the last ten of each partition
  kq consume foo -o -1h --until -5m -J         a range of time, as JSON
  kq consume foo -f '%p %o %k %s\\n' | head     partition, offset, key and value
  kq consume '^orders-.*' -p 0 -n 5            topics by a regular expression
  kq consume '^foo' --exclude-topic '\\.dlq$'   without the dead letters
";

/// The values of flags that need more than a line; `kq worker` reads them in the same way.
const VALUES: &str = "\
WHERE, of -o/--from and --until, is a position in each partition:
  beginning    the first record that the partition still has (not for --until)
  end          the end of the partition, as it is when reading begins
  stored       the offset that the group has committed (not for --until)
  OFFSET       this offset
  -N           N offsets before the end, as in -10 (not for --until)
  @TIME        the first record with this timestamp or a later one
  -DURATION    the same for a time this long before now, as in -1h
Records are read from --from on and up to --until, without the record at --until. A time is looked up in each \
partition, and reading follows the offsets from there: where timestamps are out of order, a record after that \
position may have an earlier timestamp, and one before it a later timestamp.

TIME is one of these; without an offset from UTC, it is in UTC:
  1714564800000                milliseconds since 1970 (before 2001: with ms)
  1714564800s                  seconds since 1970
  2024-05-01                   the beginning of that day
  2024-05-01T12:30:00          with a time of day; seconds may be left out
  2024-05-01T12:30:00+02:00    with the offset from UTC, or Z for UTC

DURATION is a number with a unit, ms, s, m, h or d, or a sum of these: 500ms, 90s, 1h30m, 2d. A number without \
a unit is in seconds (not after the - of WHERE, where it is a number of offsets).
";

/// Examples, the values of flags, and the tokens of a format.
fn after_help() -> String {
    format!("{EXAMPLES}\n{VALUES}\nTokens of a FORMAT (-f):\n{}", format::table())
}
