//! A stream that ends where its client takes too long: to begin a request, to finish its head, to read an answer.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::counts::Counts;
use super::settings::Times;
use super::stream::{LINGER, LINGER_BYTES, Stream};

/// Where a connection is between two requests. The stream and the service share it.
#[derive(Debug, Default)]
pub(super) struct Phase {
    is: AtomicU8,
    /// An answer is made, and none of it is written.
    has_answer: AtomicBool,
}

/// No request has begun, and no time runs for that yet.
const FRESH: u8 = 0;
/// No request has begun.
const IDLE: u8 = 1;
/// Bytes of a head have come.
const HEAD: u8 = 2;
/// The head is complete: a request is answered.
const ANSWERS: u8 = 3;

impl Phase {
    fn get(&self) -> u8 {
        self.is.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u8) {
        self.is.store(phase, Ordering::Relaxed);
    }

    /// A head is complete.
    pub(super) fn begins_answer(&self) {
        self.set(ANSWERS);
    }

    /// An answer is made, and is written next.
    pub(super) fn has_answer(&self) {
        self.has_answer.store(true, Ordering::Relaxed);
    }

    /// An answer is made in full.
    pub(super) fn ends_answer(&self) {
        self.set(FRESH);
    }

    /// Whether an answer is about to be written; true once for each.
    fn begins_to_write(&self) -> bool {
        self.has_answer.load(Ordering::Relaxed) && self.has_answer.swap(false, Ordering::Relaxed)
    }
}

/// A stream with time-outs.
pub(super) struct Timed {
    stream: Stream,
    times: Times,
    counts: Arc<Counts>,
    phase: Arc<Phase>,
    /// When the client must have begun a request, or finished its head.
    read_by: Option<Instant>,
    /// When the client must have read what is written.
    written_by: Option<Instant>,
    /// Made at the first wait. It is set to a later time only when it goes off: most waits are short.
    timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

/// What is left of the end.
struct Linger {
    until: Instant,
    bytes: usize,
}

impl Timed {
    pub(super) fn new(stream: Stream, times: Times, counts: Arc<Counts>, phase: Arc<Phase>) -> Self {
        Self { stream, times, counts, phase, read_by: None, written_by: None, timer: None, linger: None }
    }

    /// Ready when the time is over. The task is woken up then, or earlier.
    fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if timer.deadline() > until {
                timer.as_mut().reset(until);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }

    /// A read waits: ready with an error where it has waited for too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let until = match (self.phase.get(), self.read_by) {
            // The body has a limit elsewhere.
            (ANSWERS, _) => {
                self.read_by = None;
                return Poll::Pending;
            }
            (HEAD | IDLE, Some(until)) => until,
            _ => {
                self.phase.set(IDLE);
                *self.read_by.insert(Instant::now() + self.times.idle)
            }
        };
        ready!(self.poll_until(until, cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "no request in time"))
    }

    /// Bytes have come.
    fn has_read(&mut self) {
        if matches!(self.phase.get(), FRESH | IDLE) {
            self.phase.set(HEAD);
            self.read_by = Some(Instant::now() + self.times.head);
        }
    }

    /// Whether an answer begins, and whether its client has closed the connection, or its half of it, before that.
    fn look_for_client(&self, cx: &mut Context<'_>) -> (bool, bool) {
        let begins = self.phase.begins_to_write();
        (begins, begins && self.stream.has_closed(cx))
    }

    /// Counts a client that was gone before it got its answer, as far as a look or the first write shows it.
    fn count_client<T>(&self, (begins, is_gone): (bool, bool), done: &Poll<io::Result<T>>) {
        if is_gone || (begins && matches!(done, Poll::Ready(Err(_)))) {
            self.counts.count_gone();
        }
    }

    /// A write waits: ready with an error where the client has not read for too long.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let until = *self.written_by.get_or_insert_with(|| Instant::now() + self.times.write);
        ready!(self.poll_until(until, cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the answer was not read in time"))
    }

    /// The outcome of a write, or that it takes too long.
    fn in_time<T>(&mut self, done: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if done.is_pending() {
            return self.poll_unread(cx).map(Err);
        }
        done
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if done.is_pending() {
            return self.poll_late(cx).map(Err);
        }
        if buffer.filled().len() > before {
            self.has_read();
        }
        done
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let client = self.look_for_client(cx);
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count_client(client, &done);
        self.in_time(done, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let client = self.look_for_client(cx);
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.count_client(client, &done);
        self.in_time(done, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        if done.is_ready() {
            self.written_by = None;
        }
        self.in_time(done, cx)
    }

    /// Tells the client that nothing more is written, and reads what it still sends.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let done = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.in_time(done, cx))?;
            self.linger = Some(Linger { until: Instant::now() + LINGER, bytes: LINGER_BYTES });
        }
        let mut room = [0; 4096];
        while let Some(Linger { until, bytes }) = self.linger.take() {
            let mut buffer = ReadBuf::new(&mut room);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let bytes = bytes.saturating_sub(buffer.filled().len());
                    if bytes > 0 && Instant::now() < until {
                        self.linger = Some(Linger { until, bytes });
                    }
                }
                Poll::Ready(_) => {}
                Poll::Pending => {
                    if self.poll_until(until, cx).is_pending() {
                        self.linger = Some(Linger { until, bytes });
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
