//! One module a subcommand, each with a `run(args, config)` that says how it ended.

pub mod config;
pub mod dev;
pub mod topic;
