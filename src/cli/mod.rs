//! Every flag, environment variable and help text; no logic.

pub mod consume;
pub mod dev;
pub mod produce;
pub mod topic;
pub mod worker;

/// kq: put records into Kafka, get them out, run a command for each.
#[derive(clap::Parser, Debug)]
#[command(
    name = "kq",
    version,
    about,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Create and list topics
    Topic(topic::Args),
    /// Put records into a topic: lines of stdin or of files
    Produce(produce::Args),
    /// Get records out of topics: to stdout
    Consume(consume::Args),
    /// Run a command for each record
    Worker(worker::Args),
    /// Run an embedded Kafka-compatible broker, for development
    Dev(dev::Args),
}

/// Flags that every command takes (global).
#[derive(clap::Args, Debug, Default)]
pub struct ConnectionArgs {
    /// Brokers to start from, host:port, comma-separated [default: localhost:9092]
    #[arg(short, long, env = "KQ_BROKERS", global = true, value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,
    /// Hide notes and summaries; errors stay
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; repeat for librdkafka's own log
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}
