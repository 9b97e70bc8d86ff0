//! Flags of `kq worker`.

/// (being written)
#[derive(clap::Args, Debug)]
pub struct Args {}
