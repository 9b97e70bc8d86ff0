//! Flags of `kq topic`.

/// Create, list, describe, alter and delete topics.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kq topic create orders --partitions 4 --rf 2
  KQ_TOPIC=orders kq topic create --if-not-exists
  kq topic create logs --config retention.ms=86400000
  kq topic list --json | jq -r .topic
  kq topic describe orders")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `kq topic`.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Create topics, and wait until they can be used
    Create(Create),
    /// List topics with their partitions and replication factor
    #[command(visible_alias = "ls")]
    List(List),
    /// Show partitions, leaders, replicas, watermarks, and configuration set on the topic
    Describe(Describe),
    /// Give a topic more partitions, or change its configuration
    Alter(Alter),
    /// Delete topics and their records: only those named here, never KQ_TOPIC
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

/// Flags of `kq topic create`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kq topic create orders                            the broker's own defaults
  KQ_TOPIC=foo kq topic create --partitions 4 --rf 2
  kq topic create a b c -p 12 --if-not-exists
  kq topic create logs --config retention.ms=86400000

A topic that exists already is an error (status 2), unless --if-not-exists is given.")]
pub(crate) struct Create {
    #[command(flatten)]
    pub topics: Topics,
    /// How many partitions [default: the broker's num.partitions]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// How many replicas of each partition [default: the broker's default.replication.factor]
    #[arg(
        long = "replication-factor", visible_alias = "rf", value_name = "N",
        value_parser = clap::value_parser!(i32).range(1..=32767)
    )]
    pub replication_factor: Option<i32>,
    /// The topic's own configuration, repeatable: retention.ms=86400000, cleanup.policy=compact …
    #[arg(long = "config", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub configs: Vec<(String, String)>,
    /// Accept a topic that exists already; a message says where its partitions are not --partitions
    #[arg(long)]
    pub if_not_exists: bool,
}

/// Flags of `kq topic list`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kq topic list
  kq topic list --internal
  kq topic list --json | jq -r .topic")]
pub(crate) struct List {
    /// List Kafka's internal topics too, whose names begin with __
    #[arg(long)]
    pub internal: bool,
    /// One JSON object a line: topic, partitions, replication_factor, internal
    #[arg(long)]
    pub json: bool,
}

/// Flags of `kq topic describe`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kq topic describe orders
  kq topic describe                           all topics
  kq topic describe orders --json | jq .config")]
pub(crate) struct Describe {
    #[command(flatten)]
    pub topics: Topics,
    /// One JSON object a line: topic, replication_factor, config, partitions
    #[arg(long)]
    pub json: bool,
}

/// Flags of `kq topic alter`.
#[derive(clap::Args, Debug)]
#[command(
    group = clap::ArgGroup::new("change").args(["partitions", "configs", "deleted"]).required(true).multiple(true),
    after_help = "\
Examples:
  kq topic alter orders --partitions 12
  kq topic alter logs --config retention.ms=86400000
  kq topic alter logs --delete-config retention.ms      use the broker's value

Partitions can be added, but not removed. Existing records stay in their partitions; new records with the same \
key may go to another partition."
)]
pub(crate) struct Alter {
    #[command(flatten)]
    pub topics: Topics,
    /// The new total number of partitions
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// Set a configuration on the topic, repeatable; others do not change
    #[arg(long = "config", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub configs: Vec<(String, String)>,
    /// Remove a configuration from the topic, so that the broker's value applies again; repeatable
    #[arg(long = "delete-config", value_name = "NAME")]
    pub deleted: Vec<String>,
}

/// Flags of `kq topic delete`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kq topic delete orders
  kq topic delete -t a -t b")]
pub(crate) struct Delete {
    /// Topics to delete
    #[arg(value_name = "TOPIC", required_unless_present = "flags")]
    pub names: Vec<String>,
    /// The same as a flag, repeatable
    #[arg(short = 't', long = "topic", value_name = "TOPIC")]
    pub flags: Vec<String>,
}

/// Which topics.
#[derive(clap::Args, Debug)]
pub(crate) struct Topics {
    /// The topics (or KQ_TOPIC)
    #[arg(value_name = "TOPIC")]
    pub names: Vec<String>,
    /// The same as a flag, repeatable
    #[arg(short = 't', long = "topic", value_name = "TOPIC")]
    pub flags: Vec<String>,
}

/// Splits `name=value`.
fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write name=value, as in retention.ms=86400000".to_owned()),
    }
}
