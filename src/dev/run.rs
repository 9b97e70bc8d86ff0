//! One run of `kq dev`: the broker on its own until a signal, or around a command until that ends.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

use super::around::Running;
use super::broker::{self, Broker};
use super::files::Files;
use super::folder::Folder;
use super::server;
use crate::exit::Exit;
use crate::http::address::Address;
use crate::process::Reaper;
use crate::shutdown::Shutdown;
use crate::terminal::notes::Log;
use crate::terminal::stdout;
use crate::threads;

/// How long a request may still take when the run ends.
const STOP: Duration = Duration::from_secs(2);
/// Threads that serve connections.
const THREADS: usize = 2;

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub broker: broker::Settings,
    /// Port 0 takes a free one.
    pub listen: Address,
    /// The data folder, none for a temporary one.
    pub data: Option<PathBuf>,
    /// Topics to create at the start, and their partitions where they are given.
    pub topics: Vec<(String, Option<i32>)>,
    /// The command to run around, its program first; empty for none.
    pub command: Vec<OsString>,
}

/// Runs the broker until its command ends, or until a signal.
pub(crate) fn run(settings: &Settings, log: Log) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::install()?;
    shutdown.tell_ignored(|line| log.verbose(1, line));
    shutdown.begin();
    threads::ensure(THREADS)?;
    Reaper::start_if_first()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let folder = match &settings.data {
        Some(path) => Folder::open(path)?,
        None => Folder::temporary(&std::env::temp_dir())?,
    };
    let ended = runtime.block_on(broker(settings, log, &shutdown, &folder));
    // Nothing writes to the folder any more when it is removed.
    runtime.shutdown_timeout(STOP);
    ended
}

async fn broker(settings: &Settings, log: Log, shutdown: &Shutdown, folder: &Folder) -> anyhow::Result<Exit> {
    let files = Files::raise();
    let listener = server::listen(&settings.listen)?;
    let broker = Arc::new(Broker::open(folder.path(), settings.broker.clone(), log)?);
    for (name, partitions) in &settings.topics {
        broker.ensure_topic(name, *partitions)?;
    }
    let local = listener.local_addr().context("ask for the port")?;
    if !local.ip().is_loopback() {
        log.note(format_args!(
            "listening on {local}: anyone who can reach this address can read and write; there is no login"
        ));
    }
    let reachable = reachable(local);
    if let Some((program, rest)) = settings.command.split_first() {
        log.flush();
        let running = Running::start(program, rest, &reachable, &files)?;
        on_second_signal(shutdown, folder, running.pid);
        let serving = tokio::spawn(server::run(Arc::clone(&broker), listener, Files::connections()));
        let ended = running.wait(shutdown).await;
        serving.abort();
        broker.notes.end();
        return ended;
    }
    on_second_signal(shutdown, folder, None);
    announce(settings, log, reachable);
    tokio::select! {
        () = server::run(Arc::clone(&broker), listener, Files::connections()) => {}
        signal = shutdown.requested() => log.verbose(1, format_args!("signal {signal}: stopping")),
    }
    broker.notes.end();
    Ok(Exit::Done)
}

/// What a client on this machine connects to.
fn reachable(local: SocketAddr) -> String {
    let ip = local.ip();
    match ip {
        _ if ip.is_unspecified() => format!("127.0.0.1:{}", local.port()),
        _ => local.to_string(),
    }
}

fn announce(settings: &Settings, log: Log, reachable: String) {
    let data = match &settings.data {
        Some(path) => format!("data in {}", path.display()),
        None => "data is gone at the end (--data DIR keeps it)".to_owned(),
    };
    log.note(format_args!("a broker for development listens on {reachable}; one node, {data}"));
    let brokers = if reachable == "127.0.0.1:9092" { String::new() } else { format!(" -b {reachable}") };
    log.note(format_args!("try: seq 3 | kq produce{brokers} t && kq consume{brokers} t -e"));
    if !std::io::stdout().is_terminal() {
        // For a program that has started kq. It is no error if that program does not read it, and the broker
        // does not wait for that.
        tokio::task::spawn_blocking(move || stdout::print(format!("{reachable}\n")));
    }
}

/// The second signal ends the process at once, after the command is killed and the temporary folder
/// is removed.
fn on_second_signal(shutdown: &Shutdown, folder: &Folder, child: Option<Pid>) {
    let temporary = folder.is_temporary().then(|| folder.path().to_owned());
    shutdown.on_second_signal(move || {
        if let Some(child) = child {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        if let Some(path) = &temporary {
            let _ = std::fs::remove_dir_all(path);
        }
    });
}
