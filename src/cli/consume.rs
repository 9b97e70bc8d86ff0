//! Flags of `kq consume`.

use std::time::Duration;

use crate::clock::duration;
use crate::reading::membership::GroupProtocol;
use crate::record::decode::Decode;
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
    /// Topics (or KQ_TOPIC); `^…` is a regular expression
    #[arg(value_name = "TOPIC")]
    pub topics: Vec<String>,

    /// A topic, as the positional
    #[arg(short, long = "topic", value_name = "TOPIC")]
    pub topic: Vec<String>,

    /// Read as a member of this group and commit what was written [env: KQ_GROUP]
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,

    /// Partitions to read, without a group: 0,2-5
    #[arg(short, long, value_name = "LIST", conflicts_with = "group")]
    pub partition: Option<String>,

    /// Where to start: beginning, end, OFFSET, -N before the end, @TIME, -DURATION; in a group
    /// only where nothing is committed
    #[arg(
        short = 'o',
        long,
        value_name = "WHERE",
        allow_hyphen_values = true,
        help_heading = "From and until"
    )]
    pub from: Vec<String>,

    /// With --from: the whole group starts there, whatever it has committed; refused where it has members
    #[arg(long, help_heading = "From and until")]
    pub reset: bool,

    /// Where to stop, exclusive: end, OFFSET, @TIME, -DURATION (so long ago)
    #[arg(
        long,
        value_name = "WHERE",
        allow_hyphen_values = true,
        conflicts_with = "end",
        help_heading = "From and until"
    )]
    pub until: Option<String>,

    /// Stop at the end, as it is when a partition is first assigned
    #[arg(short, long, help_heading = "From and until")]
    pub end: bool,

    /// Stop after COUNT records were written
    #[arg(
        short = 'n',
        visible_short_alias = 'c',
        long,
        value_name = "COUNT",
        help_heading = "From and until"
    )]
    pub count: Option<u64>,

    /// Stop when no record came for so long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "From and until")]
    pub idle: Option<Duration>,

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

    /// Values that were compressed by themselves: auto goes by content-encoding and by the magic of
    /// framed and Java's Snappy [default: auto; with -J none]
    #[arg(long, value_name = "CODEC", value_parser = super::decode(), help_heading = "Decoding and filters")]
    pub decode: Option<Decode>,

    /// The largest size that a value may decode to, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = crate::record::decode::MAX_DECODED, hide_short_help = true, help_heading = "Decoding and filters")]
    pub max_decoded: usize,

    /// Only records whose value matches
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true, help_heading = "Decoding and filters")]
    pub grep: Option<regex::bytes::Regex>,

    /// Only records whose key is this
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, help_heading = "Decoding and filters")]
    pub where_key: Option<String>,

    /// Only records with this header, repeatable (all must be there)
    #[arg(
        long,
        value_name = "NAME=VALUE",
        allow_hyphen_values = true,
        help_heading = "Decoding and filters"
    )]
    pub where_header: Vec<String>,

    /// Which records of transactions: read-committed or read-uncommitted [default: read-committed]
    #[arg(long, value_name = "LEVEL", value_parser = ["read-committed", "read-uncommitted"], hide_short_help = true, help_heading = "Group and limits")]
    pub isolation: Option<String>,

    /// How the group shares partitions: all its members must speak it [default: cooperative-sticky]
    ///
    /// kafka-go's group readers share with no other client: beside a member of kq they get no
    /// partition, whatever is chosen here.
    #[arg(long, value_name = "NAME", value_parser = ["cooperative-sticky", "range", "roundrobin"], hide_short_help = true, help_heading = "Group and limits")]
    pub assignor: Option<String>,

    /// Who assigns the partitions: the members of the group, or the brokers
    #[arg(
        long,
        value_name = "PROTOCOL",
        default_value = "classic",
        value_enum,
        hide_short_help = true,
        help_heading = "Group and limits"
    )]
    pub group_protocol: GroupProtocol,

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
