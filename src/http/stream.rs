//! A client's bytes: plain, or in TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::anyhow;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::settings::{Peer, Times};
use super::tls::{Tls, owner};

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;
/// What a browser shows of the answer to plain HTTP.
const USE_HTTPS: &str = "this address speaks HTTPS: use https:// in the place of http://\n";

/// After the last byte of kq, what the client still sends is read and dropped for so long, and so many bytes of it:
/// an end with unread bytes resets the connection, and the client may lose the answer.
pub(super) const LINGER: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 16 << 20;

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

/// Why a connection speaks no TLS.
pub(super) enum Unsafe {
    /// It said nothing, or what it said is no HTTP.
    Nothing(anyhow::Error),
    /// It speaks plain HTTP, and was told.
    Plain,
}

impl Stream {
    /// A connection in TLS, once it is safe. A client has `times.head` for the handshake, from its first byte.
    pub(super) async fn in_tls(mut stream: TcpStream, tls: &Tls, times: Times) -> Result<Self, Unsafe> {
        let mut first = [0; 1];
        match timeout(times.idle, stream.peek(&mut first)).await {
            Ok(Ok(1)) if first[0].is_ascii_alphabetic() => {
                tell_plain(&mut stream).await;
                return Err(Unsafe::Plain);
            }
            Ok(Ok(1)) if first[0] == HANDSHAKE => {}
            Ok(Ok(1)) => {
                linger(&mut stream).await;
                return Err(Unsafe::Nothing(anyhow!("what was sent is no TLS handshake")));
            }
            _ => return Err(Unsafe::Nothing(anyhow!("the client sent nothing"))),
        }
        match timeout(times.head, tls.accept(stream)).await {
            Ok((Some(stream), Ok(()))) => Ok(Self::Tls(stream)),
            Ok((stream, done)) => {
                if let Some(mut stream) = stream {
                    // The client gets the alert that says why.
                    linger(stream.get_mut()).await;
                }
                Err(Unsafe::Nothing(done.err().unwrap_or_else(|| anyhow!("no TLS"))))
            }
            Err(_) => Err(Unsafe::Nothing(anyhow!("the handshake took longer than {:?}", times.head))),
        }
    }

    /// Adds to a peer whose certificate it has shown.
    pub(super) fn introduces(&self, mut peer: Peer) -> Arc<Peer> {
        if let Self::Tls(stream) = self {
            peer.is_tls = true;
            peer.certificate = stream.ssl().peer_certificate().map(|certificate| owner(&certificate));
        }
        Arc::new(peer)
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        }
    }

    /// Whether the client has closed its half, or all, of the connection.
    pub(super) fn has_closed(&self, cx: &mut Context<'_>) -> bool {
        // Without a call of the system where nothing has come.
        if self.tcp().poll_read_ready(cx).is_pending() {
            return false;
        }
        let mut asked = [PollFd::new(self.tcp(), PollFlags::RDHUP)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut asked, Some(&at_once)).is_ok_and(|found| found > 0)
    }
}

/// Answers plain HTTP where TLS is spoken.
async fn tell_plain(stream: &mut TcpStream) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{USE_HTTPS}",
        USE_HTTPS.len()
    );
    if timeout(LINGER, stream.write_all(answer.as_bytes())).await.is_ok_and(|written| written.is_ok()) {
        linger(stream).await;
    }
}

/// Writes nothing more, and reads what the client still sends: it would lose what was written otherwise.
async fn linger(stream: &mut TcpStream) {
    let rest = async {
        stream.shutdown().await?;
        let (mut room, mut bytes) = ([0; 1024], 0);
        while bytes < LINGER_BYTES {
            match stream.read(&mut room).await? {
                0 => break,
                more => bytes += more,
            }
        }
        Ok::<_, io::Error>(())
    };
    let _ = timeout(LINGER, rest).await;
}

/// Calls a method of whichever stream it is.
macro_rules! of_stream {
    ($this:ident, $stream:ident => $call:expr) => {
        match &mut *$this {
            Self::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Self::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_stream!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        of_stream!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_stream!(self, stream => stream.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_stream!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_stream!(self, stream => stream.poll_shutdown(cx))
    }
}
