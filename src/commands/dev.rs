//! `kq dev`: from flags to the settings of a run.

use std::net::SocketAddr;

use crate::cli::dev::Args;
use crate::dev::run::{self, Settings};
use crate::dev::{broker, configs};
use crate::exit::Exit;
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
                retention_bytes: args.retention_bytes,
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

fn address(args: &Args) -> anyhow::Result<SocketAddr> {
    let usual = if args.command.is_empty() { 9092 } else { 0 };
    if let (Some(port), Some(other)) = (args.port, args.listen.port)
        && port != other
    {
        anyhow::bail!(
            "--port {port} and --listen {} name two ports; leave one out",
            SocketAddr::new(args.listen.address, other)
        );
    }
    Ok(SocketAddr::new(args.listen.address, args.port.or(args.listen.port).unwrap_or(usual)))
}
