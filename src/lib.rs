//! kq, a single-binary Kafka toolkit: the whole program on one screen.
//!
//! A command line becomes a [`cli::Cli`]; [`config::Config`] resolves the
//! connection from it and from the environment; one of [`commands`] does the
//! work; [`exit`] alone turns what came of it into an exit status and an error
//! on stderr.
//!
//! - Border: [`record`]. Below it [`kafka`] (librdkafka), above it pure parts:
//!   [`framing`], [`format`], [`json`], [`offset`], [`codec`], [`validate`], [`commit`], [`backoff`].
//! - The process around them: [`exit`], [`log`], [`live`], [`output`], [`shutdown`], [`process`].
//! - [`dev`] is the embedded broker, used by `kq dev` and by nothing else.

pub mod backoff;
pub mod cli;
pub mod codec;
pub mod commands;
pub mod commit;
pub mod config;
pub mod dev;
pub mod exit;
pub mod format;
pub mod framing;
pub mod json;
pub mod kafka;
pub mod live;
pub mod log;
pub mod offset;
pub mod output;
pub mod process;
pub mod record;
pub mod shutdown;
pub mod validate;

use anyhow::Context as _;
use exit::Exit;

/// For librdkafka too (feature `override`): each record it hands over is allocated on one thread
/// and freed on another, which glibc's malloc pays for with a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs kq with this process's arguments and environment.
pub fn main() -> ! {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == process::guard::ARGUMENT) {
        exit::end(process::guard::main().map(|()| Exit::Done));
    }
    exit::end(cli::parse(std::env::args_os()).map_err(anyhow::Error::from).and_then(|cli| run(&cli)))
}

/// Runs one parsed command line to its end and says how it ended.
pub fn run(cli: &cli::Cli) -> anyhow::Result<Exit> {
    use cli::Command;
    let config = || config::Config::resolve(&cli.connection);
    match &cli.command {
        Command::Topic(args) => commands::topic::run(args, &config()?),
        Command::Produce(args) => commands::produce::run(args, &config()?),
        Command::Consume(args) => commands::consume::run(args, &config()?),
        Command::Worker(args) => commands::worker::run(args, &config()?),
        Command::Config(args) => commands::config::run(args, &config()?),
        Command::Properties => {
            config::properties::write_list(&mut std::io::stdout().lock()).context("write stdout")?;
            Ok(Exit::Done)
        }
        Command::Dev(args) => {
            commands::dev::run(args, log::Log::new(cli.connection.quiet, cli.connection.verbose))
        }
    }
}
