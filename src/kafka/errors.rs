//! From librdkafka's errors and log lines to a sentence that a person can act on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use rdkafka::types::RDKafkaErrorCode;

use super::ffi::Observer;
use crate::config::duration;
use crate::log::Log;

/// Why a broker can't be used, by what librdkafka last said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
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
    /// TLS was spoken to something that does not speak it.
    NoTlsThere,
    /// The connection was closed during the TLS handshake.
    ClosedInHandshake,
    /// Plain text was spoken to something that wants TLS.
    WantsTls,
    /// Something else than a Kafka broker answered.
    NotKafka(&'static str),
    /// The connection was closed right after it was made, before any answer.
    Closed,
    /// Closed on the first request: a listener that demands a login does so.
    WantsLogin,
    /// The broker's certificate can't be verified; holds why.
    Untrusted(String),
    /// The broker wants a client certificate.
    WantsCertificate,
    /// The login was refused; holds the broker's words.
    Login(String),
    /// The broker offers other ways to log in; holds them, or nothing where there is none.
    Mechanisms(String),
    /// Whatever else, in librdkafka's words.
    Other(String),
}

impl Cause {
    /// Whether trying again can't help, so that waiting for the time-out is for nothing.
    fn is_final(&self) -> bool {
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
    fn read(code: Option<RDKafkaErrorCode>, protocol: &str, text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let has = |part: &str| lower.contains(part);
        let words = || strip_circumstances(text).to_owned();
        Some(if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            return None;
        } else if let Some((_, offered)) = text.split_once("supported mechanisms:") {
            Self::Mechanisms(strip_circumstances(offered).trim().to_owned())
        } else if code == Some(RDKafkaErrorCode::Authentication) || has("authentication fail") {
            Self::Login(login_words(strip_circumstances(text)))
        } else if has("connection refused") {
            Self::Refused
        } else if code == Some(RDKafkaErrorCode::Resolve) || has("failed to resolve") {
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
        } else if has("certificate required") || has("client ssl authentication might be") {
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
    fn sentence(&self) -> (String, &'static str) {
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
            Self::WantsCertificate => {
                ("the broker demands a client certificate".to_owned(), "give --tls-cert and --tls-key")
            }
            Self::Login(why) => {
                (format!("login refused: {why}"), "check --sasl-mechanism, the user and the password")
            }
            Self::Other(why) => (why.clone(), "-vv shows librdkafka's log"),
        }
    }
}

/// What librdkafka last said of each broker: fed by a client's callbacks, read when
/// something must be explained. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Causes {
    log: Log,
    known: Arc<Mutex<BTreeMap<String, Cause>>>,
    all_down: Arc<AtomicBool>,
}

impl Causes {
    /// Knows nothing yet; librdkafka's own lines go through `log`, at `-vv`.
    pub fn new(log: Log) -> Self {
        Self { log, known: Arc::default(), all_down: Arc::default() }
    }

    /// Takes an error event: `reason` is librdkafka's, `BROKER/ID: what happened`.
    pub fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        self.log.verbose(2, format_args!("librdkafka: {reason}"));
        if code == RDKafkaErrorCode::AllBrokersDown {
            self.all_down.store(true, Ordering::Relaxed);
        }
        self.note(Some(code), reason);
    }

    /// Whether librdkafka found every broker away since the last [`Causes::clear`]. It does
    /// not say when they are back: who sees a sign of life clears it.
    pub fn all_down(&self) -> bool {
        self.all_down.load(Ordering::Relaxed)
    }

    /// Forgets what is known: a broker has answered.
    pub fn clear(&self) {
        self.all_down.store(false, Ordering::Relaxed);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes a line of librdkafka's log; `level` as in syslog.
    pub fn log(&self, level: i32, facility: &str, message: &str) {
        let shown_from = if level >= 7 { 3 } else { 2 };
        self.log.verbose(shown_from, format_args!("librdkafka: {facility}: {message}"));
        // Closed connections are no more than information (6) to librdkafka.
        if level <= 6 && facility == "FAIL" {
            self.note(None, message);
        }
    }

    fn note(&self, code: Option<RDKafkaErrorCode>, text: &str) {
        let Some((protocol, broker, words)) = split_broker(text) else { return };
        let Some(cause) = Cause::read(code, protocol, words) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // A refused login is followed by a disconnect, which explains nothing.
        let weaker = matches!(cause, Cause::Closed | Cause::Other(_) | Cause::WantsLogin);
        if !(weaker && known.get(broker).is_some_and(Cause::is_final)) {
            known.insert(broker.to_owned(), cause);
        }
    }

    /// Whether nothing is left to hope for: each of the `brokers` (`host:port,…`) has
    /// failed in a way that trying again won't mend.
    pub fn are_final(&self, brokers: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let hopeless = known.values().filter(|cause| cause.is_final()).count();
        hopeless > 0 && hopeless == known.len() && hopeless >= brokers.split(',').count()
    }

    /// The causes so far in one clause: `a:9092: connection refused; b:9092: …`.
    pub fn last(&self) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<String> =
            by_cause(&known).map(|(brokers, cause)| format!("{brokers}: {}", cause.sentence().0)).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The error for `brokers` that could not be used: `code` is what the request ended with,
    /// after `timeout` at the most.
    pub fn explain(&self, code: RDKafkaErrorCode, brokers: &str, timeout: Duration) -> anyhow::Error {
        if !is_contact_lost(code) {
            return anyhow!("{brokers}: {}", words(code));
        }
        let timeout = duration::format(timeout);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut causes = by_cause(&known);
        match (causes.next(), causes.next()) {
            (None, _) => anyhow!(
                "can't reach {brokers}: no answer within {timeout} (check -b/KQ_BROKERS, or give --timeout more)"
            ),
            (Some((brokers, cause)), None) => {
                let (sentence, advice) = cause.sentence();
                anyhow!("can't reach {brokers}: {sentence} ({advice})")
            }
            (Some(first), Some(second)) => {
                let parts: Vec<String> = [first, second]
                    .into_iter()
                    .chain(causes)
                    .map(|(brokers, cause)| {
                        let (sentence, advice) = cause.sentence();
                        format!("{brokers}: {sentence} ({advice})")
                    })
                    .collect();
                anyhow!("can't reach any broker: {}", parts.join("; "))
            }
        }
    }
}

impl Causes {
    /// The error for a request about one topic that the cluster refused.
    pub fn explain_topic(&self, code: RDKafkaErrorCode, topic: &str) -> anyhow::Error {
        anyhow!("topic {topic}: {}", words(code))
    }
}

impl Observer for Causes {
    fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        Self::error(self, code, reason);
    }

    fn log(&self, level: i32, facility: &str, message: &str) {
        Self::log(self, level, facility, message);
    }
}

/// Whether a code says no more than that the brokers are out of reach.
pub fn is_contact_lost(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SSL
    )
}

/// Brokers that share a cause share a clause.
fn by_cause(known: &BTreeMap<String, Cause>) -> impl Iterator<Item = (String, &Cause)> {
    let mut groups: Vec<(String, &Cause)> = Vec::new();
    for (broker, cause) in known {
        match groups.iter_mut().find(|(_, c)| *c == cause) {
            Some((brokers, _)) => {
                brokers.push_str(", ");
                brokers.push_str(broker);
            }
            None => groups.push((broker.clone(), cause)),
        }
    }
    groups.into_iter()
}

/// Parts `[thrd:…]: [protocol://]host:port/ID: words` into protocol, `host:port` and the words.
fn split_broker(text: &str) -> Option<(&str, &str, &str)> {
    let text = match text.strip_prefix("[thrd:") {
        Some(rest) => rest.split_once("]: ").map_or(rest, |(_, text)| text),
        None => text,
    };
    let (name, words) = text.split_once(": ")?;
    let (protocol, name) = name.split_once("://").unwrap_or(("", name));
    let (broker, _id) = name.rsplit_once('/')?;
    (!broker.contains(' ') && broker.contains(':')).then_some((protocol, broker, words))
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
    words.split(": broker: ").next().unwrap_or(words).trim().to_owned()
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

/// An error code of a request, in a person's words: what it means where librdkafka's
/// description alone would not say.
pub fn words(code: RDKafkaErrorCode) -> String {
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            "there is no such topic".to_owned()
        }
        RDKafkaErrorCode::TopicAlreadyExists => "the topic exists already".to_owned(),
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            "not authorised for this topic (ask for the ACL, or log in as somebody else)".to_owned()
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "not authorised on this cluster (ask for the ACL, or log in as somebody else)".to_owned()
        }
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            "not authorised for this group (ask for the ACL, or log in as somebody else)".to_owned()
        }
        RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut => {
            "the cluster did not answer in time (give --timeout more)".to_owned()
        }
        // librdkafka's description begins with who speaks: "Broker: Invalid configuration".
        code => {
            let text = code.to_string();
            let text = text.split_once(" (").map_or(text.as_str(), |(_, text)| text.trim_end_matches(')'));
            text.trim_start_matches("Broker: ").trim_start_matches("Local: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(3);
    const DOWN: RDKafkaErrorCode = RDKafkaErrorCode::BrokerTransportFailure;

    fn explain(events: &[(RDKafkaErrorCode, &str)]) -> String {
        let causes = Causes::default();
        for (code, reason) in events {
            causes.error(*code, reason);
        }
        causes.explain(DOWN, "kafka:9092", TIMEOUT).to_string()
    }

    #[test]
    fn a_refused_connection_names_the_broker_and_what_to_do() {
        let e = explain(&[
            (
                RDKafkaErrorCode::BrokerTransportFailure,
                "localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)",
            ),
            (RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down"),
        ]);
        assert!(e.starts_with("can't reach localhost:9092: connection refused ("), "{e}");
        assert!(e.contains("kq dev") && e.contains("KQ_BROKERS"), "{e}");
    }

    #[test]
    fn without_a_cause_it_says_how_long_it_waited() {
        assert!(explain(&[]).contains("kafka:9092: no answer within 3s"));
    }

    #[test]
    fn a_name_that_does_not_resolve_keeps_the_resolvers_words() {
        let e = explain(&[(
            RDKafkaErrorCode::Resolve,
            "nosuch:9092/bootstrap: Failed to resolve 'nosuch:9092': Name or service not known (after 2ms in state CONNECT)",
        )]);
        assert!(e.contains("nosuch:9092: the name does not resolve: Name or service not known ("), "{e}");
    }

    #[test]
    fn two_brokers_with_one_cause_share_a_clause() {
        let refused = |broker: &str| {
            format!("{broker}/bootstrap: Connect to ipv4#1.2.3.4:1 failed: Connection refused (after 0ms)")
        };
        let code = RDKafkaErrorCode::BrokerTransportFailure;
        let e = explain(&[(code, &refused("a:1")), (code, &refused("b:2"))]);
        assert!(e.starts_with("can't reach a:1, b:2: connection refused"), "{e}");
    }

    #[test]
    fn a_login_stays_the_cause_when_the_connection_closes_after_it() {
        let causes = Causes::default();
        causes.error(
            RDKafkaErrorCode::Authentication,
            "sasl_plaintext://k:1/bootstrap: SASL authentication error: Authentication failed: Invalid username or password (after 3ms in state AUTH_REQ)",
        );
        causes.error(
            RDKafkaErrorCode::BrokerTransportFailure,
            "sasl_plaintext://k:1/bootstrap: Disconnected (after 1ms)",
        );
        let e = causes.explain(DOWN, "k:1", TIMEOUT).to_string();
        assert!(e.starts_with("can't reach k:1: login refused: Invalid username or password ("), "{e}");
        assert!(causes.are_final("k:1"));
        assert!(!causes.are_final("k:1,l:1"), "the other broker may still answer");
    }

    #[test]
    fn tls_and_http_are_told_from_a_size_that_is_none() {
        let read = |bytes: &[u8; 4]| {
            let size = i32::from_be_bytes(*bytes);
            explain(&[(
                RDKafkaErrorCode::BadMessage,
                &format!(
                    "k:1/bootstrap: Receive failed: Invalid response size {size} (0..100000000): increase receive.message.max.bytes"
                ),
            )])
        };
        assert!(read(&[0x15, 3, 3, 0]).contains("--tls"));
        assert!(read(b"HTTP").contains("HTTP server"));
        assert!(read(b"SSH-").contains("does not speak Kafka"));
    }

    #[test]
    fn a_mechanism_that_the_broker_lacks_draws_those_it_has() {
        let handshake = |offered: &str| {
            explain(&[(
                RDKafkaErrorCode::Authentication,
                &format!(
                    "sasl_plaintext://k:1/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: {offered} (after 2ms in state AUTH_HANDSHAKE)"
                ),
            )])
        };
        assert!(
            handshake("SCRAM-SHA-256,SCRAM-SHA-512")
                .contains("the broker offers SCRAM-SHA-256,SCRAM-SHA-512 (")
        );
        assert!(handshake("").contains("no login is wanted"));
    }

    #[test]
    fn a_close_is_explained_by_the_state_it_came_in() {
        let closed = |state: &str| {
            let causes = Causes::default();
            let line = format!(
                "k:1/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 3ms in state {state})"
            );
            causes.log(6, "FAIL", &line);
            causes.explain(DOWN, "k:1", TIMEOUT).to_string()
        };
        assert!(closed("APIVERSION_QUERY").contains("--tls"));
        assert!(closed("UP").contains("--sasl-mechanism"));
        assert!(closed("AUTH_REQ").contains("closed the connection"));
    }

    #[test]
    fn log_lines_feed_the_causes_too() {
        let causes = Causes::default();
        causes.log(3, "FAIL", "[thrd:localhost:1/bootstrap]: localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)");
        assert_eq!(causes.last().as_deref(), Some("localhost:1: connection refused"));
    }

    #[test]
    fn words_of_an_error_code_have_no_prefix() {
        assert_eq!(words(RDKafkaErrorCode::InvalidPartitions), "Invalid number of partitions");
    }
}
