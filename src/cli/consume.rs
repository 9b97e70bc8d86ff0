//! Flags of `kq consume`.

/// (being written)
#[derive(clap::Args, Debug)]
pub struct Args {}
