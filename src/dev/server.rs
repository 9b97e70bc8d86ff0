//! Connections: accept, read frames, answer them in order, write the answers.
//!
//! The cost of a connection is bounded, so that thousands of them are cheap: an idle connection has no
//! buffer, and records go from the file of a log to the socket by `sendfile`, without a copy in memory.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::BytesMut;
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::apis;
use super::broker::Broker;
use super::dispatch;
use super::log::Slice;
use super::notes::Kind;
use super::request::{Client, Part, Reply};
use crate::http::address::Address;

/// The largest frame, as Kafka's `socket.request.max.bytes`.
const MAX_FRAME: usize = 100 << 20;
/// The largest frame of anything but Produce.
const MAX_OTHER_FRAME: usize = 8 << 20;
/// Frames above this size share [`FRAME_MEMORY`].
const SMALL_FRAME: usize = 16 << 10;
/// Bytes that all large frames may take together; a later one waits.
const FRAME_MEMORY: usize = 256 << 20;
/// Answers above this size, records not counted, share [`ANSWER_MEMORY`].
const SMALL_ANSWER: usize = 64 << 10;
/// Bytes that all large answers may take together until they are read. The size of an answer is known
/// only when it exists, so a connection that would exceed this is closed.
const ANSWER_MEMORY: usize = 256 << 20;
/// A connection without a request for this long is closed, as with Kafka's `connections.max.idle.ms`.
const IDLE: Duration = Duration::from_mins(10);
/// A frame must arrive completely within this time after its first byte, or its connection is closed.
/// The time starts again after a wait for [`FRAME_MEMORY`].
const WHOLE: Duration = Duration::from_secs(30);
/// A client that has closed its half of the connection gets an answer only within this time: the
/// broker can't know whether the client still reads.
const HALF_CLOSED: Duration = Duration::from_secs(5);

/// The memory that all connections share, in KiB.
struct Memory {
    frames: Arc<Semaphore>,
    answers: Semaphore,
}

/// Why a connection is closed by the broker.
enum Closed {
    /// Closed by the peer, or timed out: no note.
    Quietly,
    /// A person should know why, mostly: the peer sent something that is not a Kafka request.
    Noted(String),
}

impl From<io::Error> for Closed {
    fn from(_: io::Error) -> Self {
        Self::Quietly
    }
}

/// Listens on an address; a port that is in use is an error that says what to do.
pub(crate) fn listen(address: &Address) -> anyhow::Result<TcpListener> {
    let listener = address.bind("--listen").map_err(|e| match e.downcast_ref::<io::Error>() {
        Some(cause) if cause.kind() == io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {} is in use on {}; stop what listens there, or choose another with --port (0 takes a free one)",
            address.port(),
            address.host()
        ),
        _ => e,
    })?;
    TcpListener::from_std(listener).context("listen")
}

/// Serves connections, lets time pass for groups, and deletes old records, for as long as it is polled.
pub(crate) async fn run(broker: Arc<Broker>, listener: TcpListener, max_connections: usize) {
    tokio::join!(
        serve(Arc::clone(&broker), listener, max_connections),
        broker.coordinator.run(),
        every_second(Arc::clone(&broker)),
    );
}

/// Accepts connections for as long as it is polled.
async fn serve(broker: Arc<Broker>, listener: TcpListener, max_connections: usize) {
    let open = Arc::new(AtomicUsize::new(0));
    let memory = Arc::new(Memory {
        frames: Arc::new(Semaphore::new(FRAME_MEMORY / 1024)),
        answers: Semaphore::new(ANSWER_MEMORY / 1024),
    });
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                // No file descriptor is free: the peer waits in the queue until one is.
                let again = "tried again until it goes";
                broker.notes.error(Kind::Connection, format!("accept a connection: {e}; {again}"));
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if open.load(Ordering::Relaxed) >= max_connections {
            let why = format!("{max_connections} connections are open");
            broker.notes.error(Kind::Connection, format!("{peer}: refused, {why}"));
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (broker, memory, open) = (Arc::clone(&broker), Arc::clone(&memory), Arc::clone(&open));
        // The task owns its connection and ends with it; all tasks end with the runtime.
        tokio::spawn(async move {
            if let Err(Closed::Noted(why)) = converse(&broker, stream, peer, &memory).await {
                broker.notes.error(Kind::Malformed, format_args!("{peer}: {why}; connection closed"));
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn converse(
    broker: &Arc<Broker>,
    mut stream: TcpStream,
    peer: SocketAddr,
    memory: &Memory,
) -> Result<(), Closed> {
    stream.set_nodelay(true)?;
    // A client that came by IPv4 is told an IPv4 address, on a listener for both too.
    let local = stream.local_addr()?;
    let client = Client { peer, local: SocketAddr::new(local.ip().to_canonical(), local.port()) };
    let mut buffer = BytesMut::new();
    loop {
        if buffer.is_empty() {
            // Many connections are idle most of the time: they hold no memory.
            buffer = BytesMut::new();
            timeout(IDLE, stream.readable()).await.map_err(|_| Closed::Quietly)??;
        }
        // The first byte may take up to IDLE, the rest of the frame up to WHOLE.
        if buffer.is_empty() && !fill(&mut stream, &mut buffer, 1, Deadline::now() + IDLE).await? {
            return Ok(());
        }
        let deadline = Deadline::now() + WHOLE;
        need(&mut stream, &mut buffer, 4, deadline).await?;
        let size = usize::try_from(i32::from_be_bytes(first(&buffer)?)).unwrap_or(usize::MAX);
        if !(8..=MAX_FRAME).contains(&size) {
            return Err(Closed::Noted(not_kafka(&buffer)));
        }
        need(&mut stream, &mut buffer, 12, deadline).await?;
        let api_key = i16::from_be_bytes(first(&buffer[4..])?);
        if api_key != ApiKey::Produce as i16 && size > MAX_OTHER_FRAME {
            return Err(Closed::Noted(format!("{} of {size} bytes", apis::name(api_key))));
        }
        let (share, deadline) = if size > SMALL_FRAME {
            let kib = u32::try_from(size / 1024).unwrap_or(u32::MAX);
            let frames = Arc::clone(&memory.frames);
            let share = frames.acquire_many_owned(kib).await.map_err(|_| Closed::Quietly)?;
            (Some(share), Deadline::now() + WHOLE)
        } else {
            (None, deadline)
        };
        need(&mut stream, &mut buffer, 4 + size, deadline).await?;
        let frame = buffer.split_to(4 + size).freeze().slice(4..);
        if share.is_some() {
            // The first bytes of the next frame must not keep the memory of this one.
            buffer = BytesMut::from(&buffer[..]);
        }
        let asked = Instant::now();
        let (reply, what) = {
            let mut answer = pin!(dispatch::answer(broker, &client, frame, share));
            tokio::select! {
                biased;
                answered = &mut answer => answered,
                end = end_of_peer(&mut stream, &mut buffer) => {
                    end?;
                    timeout(HALF_CLOSED, answer).await.map_err(|_| Closed::Quietly)?
                }
            }
        }
        .map_err(Closed::Noted)?;
        if broker.notes.is_verbose() {
            let took = asked.elapsed();
            broker.notes.verbose(format_args!("{peer} {what} {size} B {:.1} ms", took.as_secs_f64() * 1e3));
        }
        match reply {
            Reply::Nothing => {}
            Reply::Close => return Ok(()),
            Reply::Parts(parts) => {
                // Held until the peer has read the answer.
                let _share = share_of_answers(&memory.answers, &parts)?;
                write(&mut stream, parts).await?;
            }
        }
    }
}

fn share_of_answers<'a>(
    answers: &'a Semaphore,
    parts: &[Part],
) -> Result<Option<SemaphorePermit<'a>>, Closed> {
    let bytes = |part: &Part| match part {
        Part::Bytes(bytes) => bytes.len(),
        Part::Log(_) => 0,
    };
    let size: usize = parts.iter().map(bytes).sum();
    if size <= SMALL_ANSWER {
        return Ok(None);
    }
    let share = answers.try_acquire_many(u32::try_from(size / 1024).unwrap_or(u32::MAX));
    share.map(Some).map_err(|_| Closed::Noted("too many large answers are not read yet".into()))
}

fn first<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Closed> {
    bytes.get(..N).and_then(|bytes| bytes.try_into().ok()).ok_or(Closed::Quietly)
}

/// Names what somebody may have sent to the port by mistake.
fn not_kafka(bytes: &[u8]) -> String {
    let head = bytes.get(..4).unwrap_or_default();
    match head {
        [0x16, 0x03, ..] => "a TLS handshake, and kq dev has no TLS".to_owned(),
        b"GET " | b"POST" | b"HEAD" | b"PUT " => "an HTTP request, and this is a Kafka port".to_owned(),
        _ => format!(
            "a frame of {} bytes is no Kafka request",
            i32::from_be_bytes(first(head).unwrap_or_default())
        ),
    }
}

/// Waits until the peer closes its half, while one of its requests waits for an answer. What the peer
/// sends meanwhile is kept, up to a bound; above it nothing more is read.
async fn end_of_peer(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<(), Closed> {
    while buffer.len() < SMALL_FRAME {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(());
        }
    }
    std::future::pending().await
}

/// Reads until `buffer` has `n` bytes. False if the peer closed before the first of them.
async fn fill(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    n: usize,
    deadline: Deadline,
) -> Result<bool, Closed> {
    while buffer.len() < n {
        let missing = n - buffer.len();
        if buffer.capacity() - buffer.len() < missing.min(SMALL_FRAME) {
            buffer.reserve(missing.max(16 << 10));
        }
        let read = timeout_at(deadline, stream.read_buf(buffer)).await.map_err(|_| Closed::Quietly)??;
        if read == 0 {
            return if buffer.is_empty() { Ok(false) } else { Err(Closed::Quietly) };
        }
    }
    Ok(true)
}

async fn need(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    n: usize,
    deadline: Deadline,
) -> Result<(), Closed> {
    // Reserve the whole frame at once: the kernel provides the pages only as bytes arrive.
    if buffer.capacity() < n {
        buffer.reserve(n - buffer.len());
    }
    if fill(stream, buffer, n, deadline).await? { Ok(()) } else { Err(Closed::Quietly) }
}

/// Writes a reply.
async fn write(stream: &mut TcpStream, parts: Vec<Part>) -> Result<(), Closed> {
    for part in parts {
        match part {
            Part::Bytes(bytes) => send(stream, &bytes).await?,
            Part::Log(slice) => send_log(stream, &slice).await?,
        }
    }
    Ok(())
}

/// The kernel copies from the file to the socket: a client that never reads costs no memory here.
async fn send_log(stream: &TcpStream, slice: &Slice) -> Result<(), Closed> {
    let file = slice.file.open().map_err(|e| Closed::Noted(format!("read a log: {e}")))?;
    let mut position = slice.position;
    let end = slice.position + slice.len;
    while position < end {
        let sent = stream.async_io(Interest::WRITABLE, || {
            let most = usize::try_from(end - position).unwrap_or(usize::MAX);
            Ok(rustix::fs::sendfile(stream, &file, Some(&mut position), most)?)
        });
        if timeout(IDLE, sent).await.map_err(|_| Closed::Quietly)?? == 0 {
            // The file is shorter than its index says: there is nothing correct to send.
            return Err(Closed::Quietly);
        }
    }
    Ok(())
}

async fn send(stream: &mut TcpStream, mut bytes: &[u8]) -> Result<(), Closed> {
    while !bytes.is_empty() {
        let n = timeout(IDLE, stream.write(bytes)).await.map_err(|_| Closed::Quietly)??;
        if n == 0 {
            return Err(Closed::Quietly);
        }
        bytes = &bytes[n..];
    }
    Ok(())
}

/// Once a second, for as long as it is polled: deletes what retention no longer keeps, and says which
/// notes were left out.
async fn every_second(broker: Arc<Broker>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        for failed in broker.topics.retain(crate::clock::now_ms()) {
            broker.notes.error(Kind::Storage, failed);
        }
        broker.notes.tick();
    }
}
