//! `kq dev`.

use crate::cli::dev::Args;
use crate::exit::Exit;

/// (being written)
pub fn run(_args: &Args, _log: crate::log::Log) -> anyhow::Result<Exit> {
    anyhow::bail!("being written")
}
