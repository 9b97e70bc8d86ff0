//! Flags of `kq produce`.

/// (being written)
#[derive(clap::Args, Debug)]
pub struct Args {}
