//! `kq dev`: the embedded broker, on its own or around a command.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::cli::dev::Args;
use crate::dev::broker::{Broker, Settings};
use crate::dev::folder::Folder;
use crate::dev::{configs, server};
use crate::exit::{self, Exit};
use crate::shutdown::Shutdown;
use crate::terminal::notes::Log;
use crate::terminal::stdout;

/// How long a request that is being answered may still take at the end.
const STOP: Duration = Duration::from_secs(2);
/// Threads that serve connections.
const THREADS: usize = 2;
/// File descriptors that are kept for log files.
const FILES: usize = 256;

/// Runs the broker until its command ends, or until it is told to stop.
pub fn run(args: &Args, log: Log) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::install()?;
    shutdown.begin();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let folder = match &args.data {
        Some(path) => Folder::open(path)?,
        None => Folder::temporary(&std::env::temp_dir())?,
    };
    let ended = runtime.block_on(broker(args, log, &shutdown, &folder));
    // Nobody writes any more when the folder goes.
    runtime.shutdown_timeout(STOP);
    ended
}

async fn broker(args: &Args, log: Log, shutdown: &Shutdown, folder: &Folder) -> anyhow::Result<Exit> {
    let settings = Settings {
        partitions: args.partitions,
        auto_create: !args.no_auto_create,
        strict: args.strict,
        defaults: configs::Defaults {
            retention_bytes: args.retention_bytes,
            retention_ms: args.retention_ms,
        },
    };
    let files = Files::raise();
    let listener = server::listen(address(args)?).await?;
    let broker = Arc::new(Broker::open(folder.path(), settings, log)?);
    for topic in &args.topics {
        broker.ensure_topic(&topic.name, topic.partitions)?;
    }
    let local = listener.local_addr().context("ask for the port")?;
    if !local.ip().is_loopback() {
        log.note(format_args!(
            "listening on {local}: whoever reaches it can read and write; there is no login"
        ));
    }
    let reachable = reachable(local);
    if let Some(command) = args.command.split_first() {
        return around(broker, listener, &files, command, shutdown, folder).await;
    }
    announce(args, log, &reachable);
    on_second_signal(shutdown, folder, None);
    tokio::select! {
        () = server::run(broker, listener, files.connections()) => {}
        signal = shutdown.requested() => log.verbose(1, format_args!("signal {signal}: stopping")),
    }
    Ok(Exit::Done)
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

/// What a client on this machine connects to.
fn reachable(local: SocketAddr) -> String {
    let ip = local.ip();
    match ip {
        _ if ip.is_unspecified() => format!("127.0.0.1:{}", local.port()),
        _ => local.to_string(),
    }
}

fn announce(args: &Args, log: Log, reachable: &str) {
    let data = match &args.data {
        Some(path) => format!("data in {}", path.display()),
        None => "data is gone at the end (--data DIR keeps it)".to_owned(),
    };
    log.note(format_args!("a broker for development listens on {reachable}; one node, {data}"));
    let brokers = if reachable == "127.0.0.1:9092" { String::new() } else { format!(" -b {reachable}") };
    log.note(format_args!("try: seq 3 | kq produce{brokers} t && kq consume{brokers} t -e"));
    if !std::io::stdout().is_terminal() {
        // For a program that has started it. One that does not read it is no error.
        let _ = stdout::print(format!("{reachable}\n"));
    }
}

/// Runs the command beside the broker and ends with its status.
async fn around(
    broker: Arc<Broker>,
    listener: TcpListener,
    files: &Files,
    (program, rest): (&OsString, &[OsString]),
    shutdown: &Shutdown,
    folder: &Folder,
) -> anyhow::Result<Exit> {
    let local = listener.local_addr().context("ask for the port")?;
    let mut command = Command::new(program);
    command.args(rest).env("KQ_BROKERS", reachable(local));
    if let Some(path) = path_with_kq() {
        command.env("PATH", path);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_another_cluster(name)) {
        command.env_remove(name);
    }
    // Nothing is served before: no file is opened while the limit is low.
    let mut child = files.as_found(|| command.spawn()).map_err(|e| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
        let cause = anyhow::Error::new(e).context(format!("run {}", program.display()));
        exit::with(Exit::Command(code), cause)
    })?;
    let serving = tokio::spawn(server::run(broker, listener, files.connections()));
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    on_second_signal(shutdown, folder, pid);
    let status = tokio::select! {
        status = child.wait() => status,
        signal = shutdown.requested() => {
            forward(signal, shutdown, pid);
            child.wait().await
        }
    };
    serving.abort();
    let status = status.with_context(|| format!("wait for {}", program.display()))?;
    Ok(Exit::Command(code(status)))
}

/// Whether a variable says how another cluster is reached: it would lead the command there, or keep
/// it from this one.
fn is_of_another_cluster(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    [&b"KQ_X"[..], b"KQ_CONFIG_FILE"].contains(&name)
        || [&b"KQ_TLS"[..], b"KQ_SASL_"].iter().any(|begin| name.starts_with(begin))
}

/// Passes a signal on, unless it was Ctrl-C, which the terminal has sent to the command already.
fn forward(signal: i32, shutdown: &Shutdown, pid: Option<Pid>) {
    let from_terminal = signal == signal_hook::consts::SIGINT && shutdown.came_from_the_kernel();
    if let (Some(pid), Some(signal), false) = (pid, Signal::from_named_raw(signal), from_terminal) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The second signal ends at once, and still leaves nothing behind.
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

/// The command's status as a shell would give it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// A PATH with this program's folder in front, where no `kq` is on it.
fn path_with_kq() -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("kq").is_file()) {
        return None;
    }
    let here = std::env::current_exe().ok()?.parent().map(Path::to_owned)?;
    let folders: Vec<PathBuf> = std::iter::once(here).chain(std::env::split_paths(&path)).collect();
    std::env::join_paths(folders).ok()
}

/// The limit of open files: each connection and log file is one.
struct Files {
    found: Rlimit,
    /// As high as is allowed.
    raised: Rlimit,
}

impl Files {
    /// Raises the limit. Where that fails, it stays as it was found.
    fn raise() -> Self {
        let found = rustix::process::getrlimit(Resource::Nofile);
        let most = found.maximum.map_or(65_536, |most| most.min(65_536));
        let current = found.current.map(|now| now.max(most));
        let raised = Rlimit { current, maximum: found.maximum };
        let is_raised = rustix::process::setrlimit(Resource::Nofile, raised).is_ok();
        Self { raised: if is_raised { raised } else { found }, found }
    }

    /// Connections that there are files for.
    fn connections(&self) -> usize {
        let most = self.raised.current.and_then(|now| usize::try_from(now).ok()).unwrap_or(65_536);
        most.min(65_536).saturating_sub(FILES).max(64)
    }

    /// Does something under the limit as it was found: what is started inherits it, and programs
    /// that use `select` can't have more than 1024.
    fn as_found<T>(&self, act: impl FnOnce() -> T) -> T {
        let set = |limit: &Rlimit| {
            // Only ever between the two: neither can be refused.
            let _ = rustix::process::setrlimit(Resource::Nofile, *limit);
        };
        set(&self.found);
        let done = act();
        set(&self.raised);
        done
    }
}
