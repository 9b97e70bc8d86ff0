//! `kq config show`: each value in effect, and where it came from.

use crate::cli::config::{Args, Command};
use crate::config::Config;
use crate::exit::Exit;
use crate::kafka::properties::native;
use crate::terminal::stdout;
use crate::terminal::table::{Gap, cell, json_lines, table};

/// Prints the configuration; connects to no cluster.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let Command::Show(args) = &args.command;
    // What librdkafka refuses is an error here, as in a command that connects.
    native(&config.client(&[]))?;
    let all = config.show().into_iter();
    let text = if args.json {
        json_lines(all.map(
            |shown| serde_json::json!({ "name": shown.name, "value": shown.value, "from": shown.origin }),
        ))
    } else {
        let row =
            |shown: crate::config::Shown| format!("{}\t{}\t{}", shown.name, cell(&shown.value), shown.origin);
        table(Gap::Narrow, "NAME\tVALUE\tFROM", all.map(row))
    };
    stdout::print(&text?)?;
    Ok(Exit::Done)
}
