//! One module for each subcommand, with a `run(args, config)` that returns how it ended.

pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod dev;
pub(crate) mod produce;
mod selection;
pub(crate) mod serve;
pub(crate) mod topic;
pub(crate) mod worker;
