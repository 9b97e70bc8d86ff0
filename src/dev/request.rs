//! One request: who asks, what a handler sees, what is written back. Dispatch and the handlers share it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::broker::Broker;
use super::log::Slice;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub peer: SocketAddr,
    /// The broker's own address as this client sees it: Metadata returns it.
    pub local: SocketAddr,
}

/// One request as a handler sees it, beside its decoded body.
pub(crate) struct Context<'a> {
    pub broker: &'a Arc<Broker>,
    pub client: &'a Client,
    pub client_id: &'a str,
    pub version: i16,
    pub correlation_id: i32,
}

/// A request's share of the memory for large frames; none for a small frame. It is released when it
/// is dropped: as soon as nothing of the frame is kept, and always before a wait.
pub(crate) type Share = Option<OwnedSemaphorePermit>;

/// What is written back for one request.
pub(crate) enum Reply {
    /// Nothing: a Produce with acks=0.
    Nothing,
    /// Nothing, and the connection is closed: how a producer with acks=0 learns of a failure.
    Close,
    /// A whole frame, its length first, with runs of log files in it.
    Parts(Vec<Part>),
}

/// A piece of a reply.
pub(crate) enum Part {
    Bytes(Bytes),
    Log(Slice),
}
