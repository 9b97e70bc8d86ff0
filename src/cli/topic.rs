//! Flags of `kq topic`.

/// (being written)
#[derive(clap::Args, Debug)]
pub struct Args {}
