//! `kq config show`: what holds, and where it came from.

use std::io::Write as _;

use anyhow::Context as _;

use crate::cli::config::{Args, Command};
use crate::config::Config;
use crate::exit::Exit;
use crate::kafka::properties::native;
use crate::terminal::stdout;

/// Prints the configuration; asks no cluster.
pub fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let Command::Show(args) = &args.command;
    let mut table = tabwriter::TabWriter::new(Vec::new()).padding(2);
    let mut lines = Vec::new();
    if !args.json {
        writeln!(table, "NAME\tVALUE\tFROM")?;
    }
    // What librdkafka refuses is said here as it is where a command connects.
    native(&config.client(&[]))?;
    for shown in config.show() {
        if args.json {
            let line = serde_json::json!({
                "name": shown.name, "value": shown.value, "from": shown.origin,
            });
            writeln!(lines, "{line}")?;
        } else {
            writeln!(table, "{}\t{}\t{}", shown.name, on_one_line(&shown.value), shown.origin)?;
        }
    }
    lines.extend(table.into_inner().context("make a table")?);
    stdout::print(&lines)?;
    Ok(Exit::Done)
}

/// A value that keeps to its cell: a certificate has lines.
fn on_one_line(value: &str) -> String {
    value
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}
