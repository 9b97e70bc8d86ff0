//! What a listener is asked for, and who its clients are.

use std::net::SocketAddr;
use std::time::Duration;

use super::slots::WhenFull;
use super::tls::Tls;
use crate::terminal::notes::Log;

/// What a listener allows its clients.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Which flag it is, for notes: `--listen`.
    pub flag: &'static str,
    /// Connections that are open at the same time.
    pub connections: usize,
    pub when_full: WhenFull,
    pub times: Times,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    pub log: Log,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// For the head of a request, from its first byte.
    pub head: Duration,
    /// Until the first byte of a request.
    pub idle: Duration,
    /// To read an answer.
    pub write: Duration,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub address: SocketAddr,
    pub is_tls: bool,
    /// The name in the certificate that the client has shown, where one is asked for: it is of an authority of
    /// [`super::tls::Files::client_ca`].
    pub certificate: Option<String>,
}
