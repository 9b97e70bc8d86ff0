//! One module for each subcommand, with a `run(args, config)` that returns how it ended.

pub mod config;
pub mod consume;
pub mod dev;
pub mod produce;
mod selection;
pub mod topic;
pub mod worker;
