//! What librdkafka's words about a broker mean, and what to do about it. Pure: no clock, no IO.

use crate::kafka::code::Code;

/// Why a broker can't be used, by what librdkafka last said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing listens on the port.
    Refused,
    /// The name has no address; holds the resolver's words.
    Unresolved(String),
    /// The TCP connection took too long.
    TimedOut,
    /// The TLS handshake was not answered.
    SilentHandshake,
    /// Connected, but the first request was not answered.
    Silent,
    /// The peer does not speak TLS.
    NoTlsThere,
    /// The connection was closed during the TLS handshake.
    ClosedInHandshake,
    /// The peer expects TLS, and got plain text.
    WantsTls,
    /// The peer is no Kafka broker.
    NotKafka(&'static str),
    /// The connection was closed right after it was opened, before any answer.
    Closed,
    /// Closed at the first request: a listener that demands a login does this.
    WantsLogin,
    /// The broker's certificate can't be verified; holds why.
    Untrusted(String),
    /// The broker demands a client certificate.
    WantsCertificate,
    /// The login was refused; holds the broker's words.
    Login(String),
    /// The broker offers other ways to log in; holds them, or nothing where there is none.
    Mechanisms(String),
    /// Anything else, in librdkafka's words.
    Other(String),
}

impl Cause {
    /// Whether trying again can't help, so that it is useless to wait for the time-out.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NoTlsThere
                | Self::NotKafka(_)
                | Self::Untrusted(_)
                | Self::WantsCertificate
                | Self::Login(_)
                | Self::Mechanisms(_)
        )
    }

    /// Reads the cause out of librdkafka's words, without the broker's name before them;
    /// `protocol` is that of the connection, empty for plain text.
    pub(super) fn read(code: Option<Code>, protocol: &str, text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let has = |part: &str| lower.contains(part);
        let words = || strip_circumstances(text).to_owned();
        Some(if code == Some(Code::AllBrokersDown) {
            return None;
        } else if let Some((_, offered)) = text.split_once("supported mechanisms:") {
            Self::Mechanisms(strip_circumstances(offered).trim().to_owned())
        } else if code == Some(Code::Authentication) || has("authentication fail") {
            Self::Login(login_words(strip_circumstances(text)))
        } else if has("connection refused") {
            Self::Refused
        } else if code == Some(Code::Resolve) || has("failed to resolve") {
            let why = words();
            Self::Unresolved(why.rsplit_once("': ").map_or(why.clone(), |(_, why)| why.to_owned()))
        } else if has("timed out in state ssl_handshake") {
            Self::SilentHandshake
        } else if has("apiversionrequest failed") || has("timed out in state apiversion") {
            Self::Silent
        } else if has("setup timed out") || has("connection timed out") || has("operation timed out") {
            Self::TimedOut
        } else if has("wrong version number") || has("record layer failure") || has("packet length too long")
        {
            Self::NoTlsThere
        } else if has("connecting to a plaintext broker") {
            Self::ClosedInHandshake
        } else if [
            "certificate required",
            "alert bad certificate",
            "alert unknown ca",
            "client ssl authentication might",
        ]
        .iter()
        .any(|part| lower.contains(part))
        {
            Self::WantsCertificate
        } else if has("could not be verified") || has("failed to verify broker certificate") {
            Self::Untrusted(verify_words(text))
        } else if has("connecting to a ssl listener") {
            Self::WantsTls
        } else if let Some(size) = invalid_size(&lower) {
            // A frame's size is its first four bytes: those of a TLS alert, or of `HTTP`.
            match size.to_be_bytes() {
                [0x15, 3, ..] => Self::WantsTls,
                [b'H', b'T', b'T', b'P'] => Self::NotKafka("an HTTP server"),
                _ => Self::NotKafka("something that does not speak Kafka's protocol"),
            }
        } else if has("disconnected") || has("connection reset") || has("broken pipe") {
            // What librdkafka guesses of a close it says for some of them only; the state says it for all.
            if has("in state apiversion") && !protocol.ends_with("ssl") {
                Self::WantsTls
            } else if has("in state ssl_handshake") {
                Self::ClosedInHandshake
            } else if has("in state up") && !protocol.starts_with("sasl") && age_ms(&lower) < 2_000 {
                Self::WantsLogin
            } else {
                Self::Closed
            }
        } else {
            Self::Other(words())
        })
    }

    /// What happened, and what to do about it where that is known.
    pub(super) fn sentence(&self) -> (String, &'static str) {
        match self {
            Self::Refused => (
                "connection refused".to_owned(),
                "is a broker running there? `kq dev` starts one, -b/KQ_BROKERS names yours",
            ),
            Self::Unresolved(why) => (format!("the name does not resolve: {why}"), "check -b/KQ_BROKERS"),
            Self::TimedOut => {
                ("no answer to the connection".to_owned(), "check the address, and firewalls between")
            }
            Self::SilentHandshake => (
                "no answer to the TLS handshake".to_owned(),
                "is it a Kafka broker's TLS port? try --no-tls, or its TLS port",
            ),
            Self::Silent => (
                "connected, but no answer to the first request".to_owned(),
                "is it a Kafka broker's port? try --tls, or its plain-text port",
            ),
            Self::Mechanisms(offered) if offered.is_empty() => (
                "no login is wanted on this port".to_owned(),
                "leave the --sasl flags and KQ_SASL_* out, or take its SASL port",
            ),
            Self::Mechanisms(offered) => (
                format!("login refused: the broker offers {offered}"),
                "give one of them with --sasl-mechanism",
            ),
            Self::NoTlsThere => (
                "TLS mismatch, the broker does not speak TLS on this port".to_owned(),
                "try --no-tls, or its TLS port",
            ),
            Self::ClosedInHandshake => (
                "the broker closed the connection during the TLS handshake".to_owned(),
                "is it a plain-text port? try --no-tls, or its TLS port",
            ),
            Self::WantsTls => (
                "the connection was closed at the first request, as a TLS port does with plain text"
                    .to_owned(),
                "TLS mismatch? try --tls, or its plain-text port",
            ),
            Self::NotKafka(what) => (format!("{what} answered, no Kafka broker"), "check the port"),
            Self::Closed => (
                "the broker closed the connection".to_owned(),
                "is it a Kafka broker's port, and --tls as it wants it?",
            ),
            Self::WantsLogin => (
                "the broker closed the connection at the first request".to_owned(),
                "it may demand a login: --sasl-mechanism",
            ),
            Self::Untrusted(why) => (
                format!("the broker's certificate can't be verified: {why}"),
                "give its CA with --tls-ca, or the name that is in the certificate with -b",
            ),
            Self::WantsCertificate => (
                "the broker demands a client certificate, or does not trust the one it got".to_owned(),
                "give --tls-cert and --tls-key",
            ),
            Self::Login(why) => {
                (format!("login refused: {why}"), "check --sasl-mechanism, the user and the password")
            }
            Self::Other(why) => (why.clone(), "-vv shows librdkafka's log"),
        }
    }
}

/// How long the connection had been in its state, of `(after 3ms in state UP)`.
fn age_ms(lower: &str) -> u64 {
    let age = lower.rsplit_once("(after ").and_then(|(_, rest)| rest.split_once("ms"));
    age.and_then(|(ms, _)| ms.parse().ok()).unwrap_or(u64::MAX)
}

/// Without ` (after 3ms in state CONNECT…)` and the like at the end.
fn strip_circumstances(text: &str) -> &str {
    text.find(" (after ").map_or(text, |at| &text[..at])
}

/// The broker's own words on a refused login.
fn login_words(text: &str) -> String {
    let words =
        text.rsplit_once("failed: ").or_else(|| text.rsplit_once("failure: ")).map_or(text, |(_, w)| w);
    let words = words.rsplit_once(" due to ").map_or(words, |(_, why)| why);
    words.trim_start_matches("SASL authentication error: ").trim().to_owned()
}

/// Why a certificate was not accepted.
fn verify_words(text: &str) -> String {
    let text = strip_circumstances(text);
    if let Some((_, why)) = text.split_once("Failed to verify broker certificate: ") {
        return why.to_owned();
    }
    for (sign, words) in [
        ("hostname mismatch", "it is for another host name"),
        ("IP address mismatch", "it is for another address"),
        ("self-signed", "it is self-signed, or signed by a CA that is not trusted"),
        ("expired", "it has expired"),
    ] {
        if text.contains(sign) {
            return words.to_owned();
        }
    }
    "it is not signed by a CA that is trusted, or it is for another name".to_owned()
}

/// The size in `Invalid response size 352518912 (0..100000000)`.
fn invalid_size(lower: &str) -> Option<u32> {
    let (_, rest) = lower.split_once("invalid response size ")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(rest.len());
    rest[..end].parse::<i64>().ok().map(|size| size as u32)
}
