//! One connection: hyper, and what it must not forget.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::counts::{Counts, Seldom};
use super::settings::{Peer, Settings};
use super::slots::Slot;
use super::stream::{Stream, Unsafe};
use super::timed::{Phase, Timed};

/// The largest head of a request, and the most header lines in it.
const HEAD: usize = 16 << 10;
const HEADERS: usize = 64;
/// hyper's buffer of one connection, at most: what is read of a body before anyone asks for it.
/// A connection keeps it, and a step from 8 KiB to another size than twice that would double it again.
const BUFFER: usize = 16 << 10;

/// How far the end of a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Stage {
    Serves,
    /// No new connections; an answer closes its connection.
    Drains,
    /// Idle connections are closed.
    Closes,
    /// All connections are closed.
    Ends,
}

/// What the connections of a listener share.
pub(super) struct Common<A> {
    pub settings: Settings,
    pub answer: A,
    pub draining: AtomicBool,
    pub counts: Arc<Counts>,
    /// The notes of plain HTTP where TLS is spoken.
    pub seldom: Seldom,
}

/// Serves a connection until it ends.
pub(super) async fn serve<A, F, B>(
    common: &Arc<Common<A>>,
    stream: TcpStream,
    peer: Peer,
    mut slot: Slot,
    mut stage: watch::Receiver<Stage>,
) where
    A: Fn(Arc<Peer>, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut taken_away = pin!(slot.taken_away());
    let stream = match &common.settings.tls {
        None => Stream::Plain(stream),
        Some(tls) => {
            let made = tokio::select! {
                made = Stream::in_tls(stream, tls, common.settings.times) => made,
                () = taken_away.as_mut() => return,
                _ = stage.wait_for(|stage| *stage >= Stage::Closes) => return,
            };
            match made {
                Ok(stream) => stream,
                Err(e) => return tell(common, &peer, e),
            }
        }
    };
    let peer = stream.introduces(peer);
    let phase = Arc::new(Phase::default());
    let answer = service_fn(|request| {
        slot.asked();
        phase.begins_answer();
        let response = (common.answer)(Arc::clone(&peer), request);
        let (phase, common) = (Arc::clone(&phase), Arc::clone(common));
        async move {
            let mut response = response.await;
            if common.draining.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            phase.has_answer();
            Ok::<_, Infallible>(response.map(|body| Answer { body: Box::pin(body), phase }))
        }
    });
    let stream = Timed::new(stream, common.settings.times, Arc::clone(&common.counts), Arc::clone(&phase));
    let connection = http1::Builder::new()
        // A client that has sent all that it has to say still reads the answer.
        .half_close(true)
        .max_header_size(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        // The stream has them: one timer for a connection, from the first byte of a head.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            // An error is one of the client or of the network: there is nothing to do.
            _ = connection.as_mut() => break,
            () = taken_away.as_mut() => break,
            changed = stage.changed() => {
                let stage = if changed.is_ok() { *stage.borrow_and_update() } else { Stage::Ends };
                if stage >= Stage::Ends {
                    break;
                }
                if stage >= Stage::Closes {
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Says why a connection came to no TLS.
fn tell<A>(common: &Common<A>, peer: &Peer, why: Unsafe) {
    common.counts.count_without_tls();
    let Settings { flag, log, .. } = &common.settings;
    let ip = peer.address.ip();
    match why {
        Unsafe::Plain if common.seldom.is_due() => {
            log.note(format_args!(
                "{flag}: {ip} sent plain HTTP, and this listener speaks HTTPS: use https://"
            ));
        }
        Unsafe::Plain => log.verbose(1, format_args!("{flag}: {ip}: plain HTTP on a listener of HTTPS")),
        Unsafe::Nothing(e) => log.verbose(1, format_args!("{flag}: {ip}: no TLS: {e}")),
    }
}

/// The body of an answer, which knows when it is over.
struct Answer<B> {
    body: Pin<Box<B>>,
    phase: Arc<Phase>,
}

impl<B: Body<Data = Bytes>> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.phase.ends_answer();
    }
}
