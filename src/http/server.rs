//! The accept loop: a bound on connections, and an end that lets open requests finish.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::connection::{self, Common, Stage};
pub(crate) use super::counts::Counts;
use super::counts::Seldom;
pub(crate) use super::settings::{Peer, Settings, Times};
use super::slots::{Slot, Slots};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;
/// How long the loop waits where a connection can't be accepted: out of file descriptors, mostly.
const PAUSE: Duration = Duration::from_millis(100);
/// A drain accepts connections until none has waited for so long.
const QUEUED: Duration = Duration::from_millis(10);
/// An idle connection is closed so long after the drain began: a request that is on its way gets its answer.
/// A test may be slow to ask.
const LAST_REQUESTS: Duration = if cfg!(test) { Duration::from_secs(5) } else { Duration::from_millis(500) };

/// A listener and its connections, each a task of the runtime. They are closed when this is dropped.
pub(crate) struct Server {
    stage: watch::Sender<Stage>,
    draining: Box<dyn Fn() + Send + Sync>,
    counts: Arc<Counts>,
}

impl Server {
    /// Begins to accept connections on the runtime that calls. `answer` makes the answer to each request; an answer
    /// with `Connection: close` closes its connection.
    pub(crate) fn start<A, F, B>(listener: TcpListener, settings: Settings, answer: A) -> anyhow::Result<Self>
    where
        A: Fn(Arc<Peer>, Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let flag = settings.flag;
        listener.set_nonblocking(true).context(flag)?;
        // std has asked for 128: what is above the bound on connections waits there.
        rustix::net::listen(&listener, BACKLOG).context(flag)?;
        let listener = tokio::net::TcpListener::from_std(listener).context(flag)?;
        let slots = Slots::new(settings.connections, settings.when_full);
        let counts = Arc::new(Counts::default());
        let common = Arc::new(Common {
            settings,
            answer,
            draining: AtomicBool::new(false),
            seldom: Seldom::default(),
            counts: Arc::clone(&counts),
        });
        let (stage, seen) = watch::channel(Stage::Serves);
        let shared = Arc::clone(&common);
        let draining = Box::new(move || shared.draining.store(true, Ordering::SeqCst));
        tokio::spawn(accept(listener, slots, common, seen));
        Ok(Self { stage, draining, counts })
    }

    /// What it counts, for metrics.
    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Takes no more connections, and closes each after the answer to its request, or when it is idle. Returns how
    /// many were still open, and are closed without an answer, at the end of `limit`.
    pub(crate) async fn drain(&self, limit: Duration) -> usize {
        (self.draining)();
        self.stage.send_replace(Stage::Drains);
        let drained = async {
            if tokio::time::timeout(LAST_REQUESTS, self.stage.closed()).await.is_err() {
                self.stage.send_replace(Stage::Closes);
                self.stage.closed().await;
            }
        };
        if tokio::time::timeout(limit, drained).await.is_ok() {
            return 0;
        }
        let left = self.counts.open();
        self.stage.send_replace(Stage::Ends);
        left
    }
}

/// Accepts connections until the listener drains.
async fn accept<A, F, B>(
    listener: tokio::net::TcpListener,
    slots: Slots,
    common: Arc<Common<A>>,
    mut stage: watch::Receiver<Stage>,
) where
    A: Fn(Arc<Peer>, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let seldom = Seldom::default();
    // A drain takes what the kernel has accepted by then: it would be reset.
    let mut drains = None;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stage.changed(), if drains.is_none() => {
                drains = Some(Instant::now());
                continue;
            }
            accepted = next(&listener, &slots) => accepted,
            () = tokio::time::sleep(QUEUED), if drains.is_some() => return,
        };
        let Settings { flag, log, .. } = &common.settings;
        match accepted {
            Ok((stream, address, slot)) => {
                let peer = Peer { address: canonical(address), is_tls: false, certificate: None };
                let (common, stage) = (Arc::clone(&common), stage.clone());
                common.counts.opens();
                tokio::spawn(async move {
                    connection::serve(&common, stream, peer, slot, stage).await;
                    common.counts.closes();
                });
            }
            Err(e) => {
                let open = common.counts.open();
                if seldom.is_due() {
                    log.note(format_args!(
                        "{flag}: no connection can be accepted: {e}; {open} are open; tried again until it goes"
                    ));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        if drains.is_some_and(|since| since.elapsed() > LAST_REQUESTS) {
            return;
        }
    }
}

/// The next connection, once there may be one more.
async fn next(
    listener: &tokio::net::TcpListener,
    slots: &Slots,
) -> io::Result<(TcpStream, SocketAddr, Slot)> {
    let free = slots.free().await;
    let (stream, address) = listener.accept().await?;
    // An answer is one write, or some that follow each other at once.
    let _ = stream.set_nodelay(true);
    Ok((stream, address, slots.take(free)))
}

/// An IPv4 address is shown as one on a listener for both.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
