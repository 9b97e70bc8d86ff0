//! What `kq serve` is asked for. Flags become these in `commands::serve`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderName;

use crate::clock::rate::Rate;
use crate::http::address::Address;
use crate::record::OwnedHeader;
use crate::record::pointer::Pointer;
use crate::record::validate::Validator;
use crate::sending::settings::Settings as Producer;

/// The settings of the whole endpoint.
pub(crate) struct Settings {
    pub listen: Address,
    /// A listener of its own for `/metrics` and the probes.
    pub metrics: Option<Address>,
    /// The topics that are served, in the order of the command line.
    pub topics: Vec<Topic>,
    /// Paths besides `/topics/…`, and the place of their topic in `topics`.
    pub routes: Vec<(String, usize)>,
    pub limits: Limits,
    pub security: Security,
    pub producer: Producer,
    /// How long the endpoint goes on after TERM before it takes no more connections.
    pub drain_delay: Duration,
    /// How long a stop may take in all.
    pub shutdown_timeout: Duration,
}

/// What one topic accepts, and how its records are shaped.
#[derive(Default)]
pub(crate) struct Topic {
    pub name: Arc<str>,
    /// `None`: any bytes. [`Validator::Json`] is for what a request calls JSON, a schema for each value.
    pub validator: Option<Validator>,
    /// Takes `application/x-www-form-urlencoded`.
    pub form: bool,
    /// Takes any type, as raw bytes.
    pub any: bool,
    pub key_from: Option<KeyFrom>,
    /// A value that lacks its key has none, and is no error.
    pub key_optional: bool,
    /// Headers of every record, after its own.
    pub headers: Vec<OwnedHeader>,
    /// Request headers that become record headers.
    pub copy_headers: Vec<CopyHeader>,
    /// Where its signatures are (`hmac:HEADER`): never copied, besides those that [`copied`](super::copied) knows.
    pub signature_headers: Vec<HeaderName>,
}

/// Where a record's key comes from, if the request names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyFrom {
    /// A header of the request.
    Header(HeaderName),
    /// A place in the JSON value.
    Pointer(Pointer),
    /// An event's attribute `partitionkey`.
    PartitionKey,
}

/// A name of request headers, in lower case, or what they begin with (`x-github-*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyHeader {
    Name(String),
    Prefix(String),
}

/// Bounds of what clients may use. Sizes in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub body: usize,
    pub records: usize,
    /// Of bodies that are being read or are not acknowledged, all together.
    pub pending: usize,
    pub connections: usize,
    pub rate: Option<Rate>,
    pub head_timeout: Duration,
    /// For all of the body.
    pub body_timeout: Duration,
    pub idle_timeout: Duration,
}

/// Who may publish.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    pub token_file: Option<PathBuf>,
    pub https: Option<Https>,
    /// Each for one topic (its place in `topics`), or for all.
    pub webhooks: Vec<Webhook>,
    /// Topics off loopback need no token, certificate or signature.
    pub no_auth: bool,
    /// Origins that browsers may send from; `*` is any.
    pub cors_origins: Vec<String>,
    /// Names besides those of loopback that `Host` may have.
    pub allow_hosts: Vec<String>,
}

/// TLS of the listener.
#[derive(Clone, Debug)]
pub(crate) struct Https {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Demanded of every connection.
    pub client_ca: Option<PathBuf>,
}

/// `--webhook [TOPIC=]SCHEME:FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Webhook {
    pub topic: Option<usize>,
    pub scheme: Scheme,
    /// The file of secrets, one a line.
    pub secrets: PathBuf,
}

/// How a sender signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    GitHub,
    Stripe,
    Standard,
    /// A header with the HMAC-SHA256 of the body, in hex or base64.
    Hmac(HeaderName),
}
