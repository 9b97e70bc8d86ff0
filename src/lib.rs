//! kq, a single-binary Kafka toolkit: the whole program on one screen.
//!
//! A command line becomes a [`cli::Cli`]; [`config::Config`] resolves the
//! connection from it and from the environment; one of [`commands`] does the
//! work; only [`exit`] turns the outcome into an exit status and an error on
//! stderr.
//!
//! A module uses the modules below it, and none above it: `tests/integration/layout.rs` checks that.
//! CONTRIBUTING.md says where a change goes.
//!
//! ```text
//! cli, commands                     flags and help; from flags to an engine's settings
//! produce consume worker serve dev  the engines: settings in, an exit status out
//! reading  sending                  what two engines need: positions, groups, topics; one producer
//! http                              what listens: addresses, connections, TLS, probes
//! kafka                             librdkafka, and its errors in words
//! config                            the connection: flags, variables, files
//! record  terminal  process         pure: bytes and records; stdout, notes on stderr; commands
//! clock  named  lock  memory  watched  descriptors  threads  stderr  exit  shutdown
//! ```

mod cli;
mod clock;
mod commands;
mod config;
mod consume;
mod descriptors;
mod dev;
mod exit;
mod http;
mod kafka;
mod lock;
mod memory;
mod named;
mod process;
mod produce;
mod reading;
mod record;
mod sending;
mod serve;
mod shutdown;
mod stderr;
mod terminal;
mod threads;
mod watched;
mod worker;

pub use cli::command_line;

use std::ffi::OsString;

use anyhow::Context as _;
use config::environment;
use exit::Exit;
use kafka::properties::Librdkafka;
use stderr::{LogFormat, Runs};

/// For librdkafka too (feature `override`): each record is allocated on one thread and freed on
/// another, for which glibc's malloc takes a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs kq with this process's arguments and environment.
pub fn main() -> ! {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == process::guard::ARGUMENT) {
        exit::end(process::guard::main().map(|()| Exit::Done));
    }
    let args: Vec<OsString> = std::env::args_os().collect();
    exit::end(match cli::parse(args.iter().cloned()) {
        Ok(cli) => set_log(cli.connection.log_format, cli.command.runs()).and_then(|()| run(&cli)),
        Err(e) => set_log(cli::log_format(&args), Runs::Once).and_then(|()| cli::answer(&e)),
    })
}

/// Settles the form of notes and errors, before the first of them.
fn set_log(flag: Option<LogFormat>, runs: Runs) -> anyhow::Result<()> {
    stderr::set_form(environment::log_format(flag, &environment::process)?, runs);
    Ok(())
}

/// Runs one parsed command line to its end and returns how it ended.
fn run(cli: &cli::Cli) -> anyhow::Result<Exit> {
    use cli::Command;
    let config = || config::Config::resolve(&cli.connection, &Librdkafka);
    match &cli.command {
        Command::Topic(args) => commands::topic::run(args, &config()?),
        Command::Produce(args) => commands::produce::run(args, &config()?),
        Command::Consume(args) => commands::consume::run(args, &config()?),
        Command::Worker(args) => commands::worker::run(args, &config()?),
        Command::Serve(args) => commands::serve::run(args, &config()?),
        Command::Config(args) => commands::config::run(args, &config()?),
        Command::Properties => {
            config::properties::write_list(&Librdkafka, &mut std::io::stdout().lock())
                .context("write stdout")?;
            Ok(Exit::Done)
        }
        Command::Dev(args) => {
            commands::dev::run(args, terminal::notes::Log::new(cli.connection.quiet, cli.connection.verbose))
        }
    }
}
