//! Flags of what is read, and of the group that reads it.

use std::time::Duration;

use crate::cli::values;
use crate::clock::duration;
use crate::reading::isolation::Isolation;
use crate::reading::membership::{Assignor, GroupProtocol};

/// Which topics are read, from where to where.
#[derive(clap::Args, Debug)]
pub(crate) struct ReadingArgs {
    /// Topics (or KQ_TOPIC); `^…` is a regular expression
    #[arg(value_name = "TOPIC")]
    pub topics: Vec<String>,

    /// The same as a flag, repeatable
    #[arg(short, long = "topic", value_name = "TOPIC")]
    pub topic: Vec<String>,

    #[command(flatten)]
    pub exclusion: ExclusionArgs,

    /// Read as a member of this group and commit the offsets of written records [env: KQ_GROUP]
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,

    /// Where to start: beginning, end, stored, OFFSET, -N (before the end), @TIME or -DURATION (see
    /// below); in a group only for partitions without a committed offset
    #[arg(
        short = 'o',
        long,
        value_name = "WHERE",
        allow_hyphen_values = true,
        help_heading = "From and until"
    )]
    pub from: Vec<String>,

    /// With --from: move the whole group there, even where it has committed; refused if it has members
    #[arg(long, help_heading = "From and until")]
    pub reset: bool,

    /// Where to stop, exclusive: end, OFFSET, @TIME or -DURATION (see below)
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

    /// Stop when no record came for this long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "From and until")]
    pub idle: Option<Duration>,
}

impl ReadingArgs {
    /// Whether it reads on until it is stopped.
    pub(crate) fn follows(&self) -> bool {
        // As with kcat, -o names an end too.
        let ends = self.end || self.until.is_some() || self.from.iter().any(|from| from.starts_with("e@"));
        !ends && self.count.is_none() && self.idle.is_none()
    }
}

/// Which topics of a pattern are not read.
#[derive(clap::Args, Debug)]
pub(crate) struct ExclusionArgs {
    /// With a pattern: leave out topics whose name matches; repeatable. Without ^ and $ it matches anywhere
    /// in the name
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub exclude_topic: Vec<regex::Regex>,
}

/// How a reader takes part in its group, and which records of transactions it reads.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Group and limits")]
pub(crate) struct GroupArgs {
    /// Which records of transactions: read-committed or read-uncommitted [default: read-committed]
    #[arg(long, value_name = "LEVEL", value_parser = values::one_of::<Isolation>(), hide_short_help = true)]
    pub isolation: Option<Isolation>,

    /// How the members share the partitions; all of them must support it [default: cooperative-sticky]
    ///
    /// Group readers of kafka-go share partitions with no other client: in a group with kq they get
    /// no partition, with any value of this flag.
    #[arg(long, value_name = "NAME", value_parser = values::one_of::<Assignor>(), hide_short_help = true)]
    pub assignor: Option<Assignor>,

    /// Who assigns the partitions: the members of the group, or the brokers
    #[arg(
        long,
        value_name = "PROTOCOL",
        default_value = "classic",
        value_parser = values::group_protocol(),
        hide_short_help = true
    )]
    pub group_protocol: GroupProtocol,
}
