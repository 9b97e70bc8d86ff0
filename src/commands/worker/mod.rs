//! `kq worker`.

use crate::cli::worker::Args;
use crate::exit::Exit;

/// (being written)
pub fn run(_args: &Args, _config: &crate::config::Config) -> anyhow::Result<Exit> {
    anyhow::bail!("being written")
}

mod lanes;
mod ledger;
mod policy;
