//! Flags of `kq topic`.

/// (being written)
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `kq topic`.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// List topics
    List,
}
