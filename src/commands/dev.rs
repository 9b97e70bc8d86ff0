//! `kq dev`: from flags to the settings of a run.

use crate::cli::dev::Args;
use crate::dev::run::{self, Settings};
use crate::dev::{broker, configs};
use crate::exit::Exit;
use crate::http::address::Address;
use crate::terminal::notes::Log;

/// Runs the broker until its command ends, or until a signal.
pub(crate) fn run(args: &Args, log: Log) -> anyhow::Result<Exit> {
    let settings = Settings {
        broker: broker::Settings {
            partitions: args.partitions,
            auto_create: !args.no_auto_create,
            strict: args.strict,
            max_metadata: args.offset_metadata_max_bytes,
            defaults: configs::Defaults {
                retention_bytes: args.retention_bytes.map(|size| size as u64),
                retention_ms: args.retention_ms,
            },
        },
        listen: address(args)?,
        data: args.data.clone(),
        topics: args.topics.iter().map(|topic| (topic.name.clone(), topic.partitions)).collect(),
        command: args.command.clone(),
    };
    run::run(&settings, log)
}

/// Where to listen: `--port` and `--listen` name at most one port.
fn address(args: &Args) -> anyhow::Result<Address> {
    let usual = if args.command.is_empty() { 9092 } else { 0 };
    let address = args.listen.with(args.port.unwrap_or(usual));
    match args.port {
        Some(port) if port != address.port() => {
            anyhow::bail!("--port {port} and --listen {address} name two ports; leave one out")
        }
        _ => Ok(address),
    }
}
