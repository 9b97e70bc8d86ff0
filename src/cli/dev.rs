//! Flags of `kq dev`.

/// (being written)
#[derive(clap::Args, Debug)]
pub struct Args {}
