//! One module a subcommand, each with a `run(args, config)` that says how it ended.

pub mod config;
pub mod consume;
pub mod dev;
pub mod produce;
mod selection;
pub mod topic;
pub mod worker;
