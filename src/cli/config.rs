//! Flags of `kq config`.

/// Look at the configuration
#[derive(clap::Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with it.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    Show(Show),
}

/// Print every value of the connection and where it came from
///
/// These are the values that a command would connect with: from flags, KQ_* variables, the file of
/// -F, -X, and kq's own defaults. Passwords are masked. kq connects to no cluster for this.
/// Properties that only one command sets are left out. All other properties have librdkafka's
/// defaults, which `kq -X list` prints.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Show {
    /// One JSON object a line: name, value, from
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  kq config show
  kq -F client.properties config show
  KQ_BROKERS=kafka:9092 kq config show --json
";
