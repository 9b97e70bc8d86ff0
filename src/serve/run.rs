//! One run of `kq serve`: it listens once it can publish, until a signal or until its client is unusable.

use std::io::IsTerminal as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::sync::Semaphore;

use super::budget::Budget;
use super::dispatch::Listener;
use super::endpoint::Endpoint;
use super::guard::Guard;
use super::metrics::{self, Numbers};
use super::route::Paths;
use super::settings::{Https, Settings};
use super::stage::{Stage, Stages};
use super::tally::Tally;
use crate::clock::rate::Bucket;
use crate::config::Config;
use crate::exit::{self, Exit};
use crate::http::server::{self, Server, Times};
use crate::http::slots::WhenFull;
use crate::http::tls::{Files, Tls};
use crate::lock::Lock;
use crate::memory;
use crate::sending::publisher::{Publisher, Queue, Reach};
use crate::shutdown::Shutdown;
use crate::terminal::notes::Log;
use crate::terminal::stdout;
use crate::threads;

/// Threads that serve connections, at least.
const THREADS: usize = 2;
/// How long a thread stays that had a long body: its memory is free for others only once it ends.
const KEEP_ALIVE: Duration = Duration::from_millis(50);
/// How long a client may take to read an answer.
const WRITE: Duration = Duration::from_secs(10);
/// Connections to the listener of `--metrics` at the same time.
const PROBES: usize = 64;
/// How often it is looked whether the client is still usable.
const LOOK: Duration = Duration::from_millis(200);
/// How long before the end of a stop what is still open is answered as it is.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long a client that has failed may take to report what it had.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// Serves until a signal, and returns how that ended.
pub(crate) fn run(settings: Settings, config: &Config) -> anyhow::Result<Exit> {
    memory::give_back_at_once();
    let shutdown = Shutdown::install()?;
    shutdown.tell_ignored(|line| config.log.verbose(1, line));
    let guard = Guard::open(
        &settings.security,
        &settings.topics,
        settings.listen.is_loopback("--listen")?,
        config.log,
    )?;
    let tls = settings.security.https.as_ref().map(|https| Tls::open(&files(https), "--listen", config.log));
    let tls = tls.transpose()?;
    let names: Vec<_> = settings.topics.iter().map(|topic| Arc::clone(&topic.name)).collect();
    // A little more than bodies may take: what a request gives to each of its records comes on top.
    let queue = Queue { bytes: settings.limits.pending + (4 << 20), records: settings.limits.records };
    let publisher = Publisher::start(config, &settings.producer, queue, &names)?;
    let threads = std::thread::available_parallelism().map_or(THREADS, |cores| cores.get().max(THREADS));
    threads::ensure(threads)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_keep_alive(KEEP_ALIVE)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let outcome =
        runtime.block_on(serve(settings, Parts { guard, tls, publisher, threads }, config.log, &shutdown));
    // A thread of it may hang in a read of a file.
    runtime.shutdown_background();
    outcome
}

/// What is there before it listens.
struct Parts {
    guard: Guard,
    tls: Option<Tls>,
    publisher: Publisher,
    threads: usize,
}

/// The files of a listener's TLS.
fn files(https: &Https) -> Files {
    let Https { certificate, key, client_ca } = https.clone();
    Files { certificate, key, client_ca }
}

async fn serve(settings: Settings, parts: Parts, log: Log, shutdown: &Shutdown) -> anyhow::Result<Exit> {
    let Parts { guard, tls, publisher, threads } = parts;
    let listener = settings.listen.bind("--listen")?;
    let probes = settings.metrics.as_ref().map(|address| address.bind("--metrics")).transpose()?;
    let names: Vec<_> = settings.topics.iter().map(|topic| Arc::clone(&topic.name)).collect();
    let tally = Arc::new(Tally::new(names.len()));
    let budget = Budget::new(settings.limits.pending);
    let counts = Arc::new(OnceLock::new());
    let numbers = Numbers {
        topics: names.clone(),
        tally: Arc::clone(&tally),
        budget: budget.clone(),
        counts: Arc::clone(&counts),
        is_connected: {
            let publisher = publisher.clone();
            Box::new(move || publisher.reach() == Reach::Connected)
        },
    };
    let endpoint = Arc::new(Endpoint {
        paths: Paths::new(names, settings.routes),
        rate: settings.limits.rate.map(|rate| Lock::new(Bucket::new(rate))),
        long_turns: Semaphore::new(threads),
        topics: settings.topics,
        limits: settings.limits,
        guard,
        publisher,
        budget,
        tally,
        stages: Stages::default(),
        log,
        registry: metrics::registry(numbers),
        shows_metrics: probes.is_none(),
    });
    shutdown.begin();
    let local = listener.local_addr().context("--listen: ask for the port")?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let of_probes = probes.as_ref().map(TcpListener::local_addr).transpose();
    let of_probes = of_probes.context("--metrics: ask for the port")?;
    let server = start(&endpoint, Listener::Main, listener, tls, log)?;
    let _ = counts.set(Arc::clone(server.counts()));
    let probes =
        probes.map(|listener| start(&endpoint, Listener::Metrics, listener, None, log)).transpose()?;
    if let Some(local) = of_probes {
        log.note(format_args!("/metrics, /livez and /readyz are at http://{}", reachable(local)));
    }
    announce(&endpoint, scheme, local, log);
    let fatal = tokio::select! {
        signal = shutdown.requested() => {
            log.verbose(1, format_args!("signal {signal}: stopping"));
            None
        }
        reason = unusable(&endpoint.publisher) => Some(reason),
    };
    let deadline = shutdown.since().unwrap_or_else(Instant::now) + settings.shutdown_timeout;
    endpoint.stages.set(Stage::Leaves);
    if fatal.is_none() {
        // Those who send requests learn from /readyz that they are to stop.
        tokio::time::sleep(settings.drain_delay.min(left(deadline))).await;
    }
    endpoint.stages.set(Stage::Drains);
    // A client that has failed reports what it had as soon as it can.
    let limit = if fatal.is_some() { left(deadline).min(LAST_REPORTS) } else { left(deadline) };
    let answers = LAST_ANSWERS.min(limit / 4);
    let open = tokio::select! {
        open = server.drain(limit) => open,
        () = async {
            tokio::time::sleep(limit.saturating_sub(answers)).await;
            endpoint.stages.set(Stage::Ends);
            std::future::pending::<()>().await;
        } => 0,
    };
    // Of clients that were gone before their answer.
    let unacknowledged = endpoint.publisher.drain(left(deadline).min(limit)).await;
    drop(probes);
    // Or it became so meanwhile.
    let fatal = fatal.or_else(|| match endpoint.publisher.reach() {
        Reach::Fatal(reason) => Some(reason),
        Reach::Connected | Reach::Away(_) => None,
    });
    if let Some(reason) = fatal {
        return Err(exit::with(Exit::Fenced, anyhow!("the client can't be used any more: {reason}")));
    }
    if open > 0 {
        log.note(format_args!("connections that were closed at the end of --shutdown-timeout: {open}"));
    }
    if unacknowledged > 0 {
        let cause = anyhow!("records that were not acknowledged within --shutdown-timeout: {unacknowledged}");
        return Err(exit::with(Exit::Abandoned, cause));
    }
    Ok(Exit::Done)
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Ends when the client is unusable, and says why.
async fn unusable(publisher: &Publisher) -> String {
    loop {
        if let Reach::Fatal(reason) = publisher.reach() {
            return reason;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Begins to accept connections.
fn start(
    endpoint: &Arc<Endpoint>,
    which: Listener,
    listener: TcpListener,
    tls: Option<Tls>,
    log: Log,
) -> anyhow::Result<Server> {
    let limits = &endpoint.limits;
    let (flag, connections, when_full) = match which {
        Listener::Main => ("--listen", limits.connections, WhenFull::Wait),
        Listener::Metrics => ("--metrics", PROBES, WhenFull::CloseIdlest),
    };
    let times = Times { head: limits.head_timeout, idle: limits.idle_timeout, write: WRITE };
    let settings = server::Settings { flag, connections, when_full, times, tls, log };
    let endpoint = Arc::clone(endpoint);
    Server::start(listener, settings, move |peer, request| Arc::clone(&endpoint).answer(which, peer, request))
}

/// What a client on this machine connects to.
fn reachable(local: SocketAddr) -> String {
    match local.ip() {
        ip if ip.is_unspecified() => format!("127.0.0.1:{}", local.port()),
        _ => local.to_string(),
    }
}

/// Says where it listens: to a person, and to a program that has started it.
fn announce(endpoint: &Endpoint, scheme: &str, local: SocketAddr, log: Log) {
    let reachable = reachable(local);
    let names: Vec<_> = endpoint.topics.iter().map(|topic| &*topic.name).collect();
    log.note(format_args!("listening on {scheme}://{reachable}; topics: {}", names.join(", ")));
    if !std::io::stdout().is_terminal() {
        // It is no error if that program does not read it, and requests do not wait for that.
        tokio::task::spawn_blocking(move || stdout::print(format!("{reachable}\n")));
    }
}
