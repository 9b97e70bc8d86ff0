//! Flags of `kq serve`, and the variables that stand for some of them.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hyper::header::HeaderName;

use crate::cli::{sizes, values};
use crate::clock::duration;
use crate::clock::rate::Rate;
use crate::config::environment::Lookup;
use crate::http::address::Address;
use crate::sending::settings::{Compression, Partitioner};
use crate::serve::settings::{CopyHeader, KeyFrom, Scheme};

/// Publish what is sent over HTTP, and answer once the cluster has it
///
/// POST /topics/TOPIC publishes the request's body. The answer is 200 once all in-sync replicas have every record of
/// the request, with the partition and the offset of each. Any other status says which records are not there, and
/// whether a retry may send one twice.
///
/// The topics are those that are named here, and no other one can be reached.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The topics to publish to, by their names [env: KQ_TOPIC]
    #[arg(value_name = "TOPIC")]
    pub topics: Vec<String>,

    /// The same, repeatable
    #[arg(short, long = "topic", value_name = "TOPIC")]
    pub topic_flags: Vec<String>,

    /// Where to listen; `:8080` is all of this machine's addresses, and port 0 a free one, which stdout then shows
    /// [env: KQ_LISTEN] [default: 127.0.0.1:8080]
    #[arg(short, long, value_name = "[HOST]:PORT", help_heading = "Listening")]
    pub listen: Option<Address>,

    /// /metrics, /livez and /readyz there, in plain HTTP and without a token [default: where --listen says]
    #[arg(long, value_name = "[HOST]:PORT", help_heading = "Listening")]
    pub metrics: Option<Address>,

    /// Another path for a topic, repeatable: --route /hooks/github=orders
    #[arg(long = "route", value_name = "PATH=TOPIC", help_heading = "Listening")]
    pub routes: Vec<Route>,

    /// The certificate of this server and those above it, PEM: HTTPS instead of HTTP [env: KQ_HTTPS_CERT]
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub https_cert: Option<PathBuf>,

    /// The private key of that certificate, PEM [env: KQ_HTTPS_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub https_key: Option<PathBuf>,

    /// Refuse a client without a certificate of one of these authorities, PEM [env: KQ_HTTPS_CLIENT_CA]
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub https_client_ca: Option<PathBuf>,

    /// Who may publish: lines TOKEN, NAME TOKEN, or NAME TOKEN TOPIC,…; `#` begins a comment. A token has 16
    /// characters or more. It is sent as `Authorization: Bearer TOKEN`, or as the password of Basic. The file is read
    /// again when it changes [env: KQ_TOKEN_FILE]
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub token_file: Option<PathBuf>,

    /// Take requests that are signed with a secret, repeatable: github, stripe, standard (Standard Webhooks, Svix), or
    /// hmac:HEADER (hex or base64). FILE holds the secrets, one a line
    #[arg(long = "webhook", value_name = "[TOPIC=]SCHEME:FILE", help_heading = "Security")]
    pub webhooks: Vec<For<Webhook>>,

    /// Anyone who can reach the address may publish. Without it, kq does not listen off loopback for a topic that has
    /// no token, client certificate or signature
    #[arg(long, help_heading = "Security")]
    pub no_auth: bool,

    /// Web pages of this origin may publish, repeatable; `*` is any, together with --no-auth [env: KQ_CORS_ORIGIN]
    #[arg(long = "cors-origin", value_name = "ORIGIN", help_heading = "Security")]
    pub cors_origins: Vec<String>,

    /// On loopback: a further name that `Host` may have for topics that anyone may publish to, repeatable, such as
    /// that of a tunnel
    #[arg(long = "allow-host", value_name = "NAME", help_heading = "Security")]
    pub allow_hosts: Vec<String>,

    /// What values must be, repeatable: json; none; or FILE, a JSON Schema [env: KQ_VALIDATE] [default: json]
    #[arg(long = "validate", value_name = "[TOPIC=]json|none|FILE", help_heading = "Record")]
    pub validate: Vec<For<Validate>>,

    /// Take HTML forms too: one becomes a JSON object of strings
    #[arg(long, help_heading = "Record")]
    pub form: bool,

    /// Take any other type too: the body is the value, with a content-type header
    #[arg(long, help_heading = "Record")]
    pub any: bool,

    /// The key of a record for which the request names none, repeatable: header:NAME, json:/POINTER (RFC 6901, in the
    /// value), or ce:partitionkey (of a CloudEvent)
    #[arg(long = "key-from", value_name = "[TOPIC=]SOURCE", help_heading = "Record")]
    pub key_from: Vec<For<KeyFrom>>,

    /// With --key-from: a record that lacks it has no key; otherwise it is refused
    #[arg(long, requires = "key_from", help_heading = "Record")]
    pub key_optional: bool,

    /// A header of every record, repeatable; NAME alone has a null value
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME=VALUE",
        allow_hyphen_values = true,
        help_heading = "Record"
    )]
    pub headers: Vec<String>,

    /// Make a record header of this header of the request, repeatable; `X-GitHub-*` is all that begin so. Those that
    /// hold credentials are never copied
    #[arg(long = "copy-header", value_name = "NAME", help_heading = "Record")]
    pub copy_headers: Vec<CopyHeader>,

    /// The longest body, also after decompression [env: KQ_MAX_BODY] [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse, help_heading = "Limits")]
    pub max_body: Option<usize>,

    /// The most records of a request
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one, help_heading = "Limits")]
    pub max_records: usize,

    /// Of all bodies that are being read or not acknowledged yet; a request beyond that is answered with 503
    #[arg(long, value_name = "SIZE", default_value = "20MiB", value_parser = sizes::parse, help_heading = "Limits")]
    pub max_pending: usize,

    /// Open connections; more wait until one closes
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one, help_heading = "Limits")]
    pub max_connections: usize,

    /// Requests in a time, as in 100/s; more are answered with 429 [default: no limit]
    #[arg(long, value_name = "N/s", help_heading = "Limits")]
    pub rate: Option<Rate>,

    /// How long a request's head may take, TLS handshake included
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = positive, help_heading = "Limits")]
    pub head_timeout: Duration,

    /// How long all of a body may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = positive, help_heading = "Limits")]
    pub body_timeout: Duration,

    /// How long a connection may be open without a request; more than a load balancer in front keeps it
    #[arg(long, value_name = "DURATION", default_value = "75s", value_parser = positive, help_heading = "Limits")]
    pub idle_timeout: Duration,

    /// How long a record may take to be acknowledged; what is open then is answered with 503 or 504 [default: 9s]
    #[arg(long, value_name = "DURATION", value_parser = delivery_timeout, help_heading = "Delivery")]
    pub delivery_timeout: Option<Duration>,

    /// Compression of batches on the wire: none, gzip, snappy, lz4 or zstd; with :LEVEL if the codec
    /// has levels [default: snappy]
    #[arg(short = 'z', long, value_name = "CODEC[:LEVEL]", help_heading = "Delivery")]
    pub compression: Option<Compression>,

    /// Which partition a key goes to: murmur2 is Java's, consistent is kcat's [default: murmur2_random]
    #[arg(long, value_parser = values::one_of::<Partitioner>(), help_heading = "Delivery")]
    pub partitioner: Option<Partitioner>,

    /// Do not use the idempotent producer (for clusters that refuse IDEMPOTENT_WRITE); a retry of kq may
    /// then write a record twice
    #[arg(long, help_heading = "Delivery")]
    pub no_idempotence: bool,

    /// Refuse a topic that does not exist, even if the broker would create it
    #[arg(long, help_heading = "Delivery")]
    pub no_create: bool,

    /// On TERM, INT or HUP: go on for so long before connections are refused, while /readyz says 503 already. On
    /// Kubernetes 5s: until then its endpoints may still name this process
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse, help_heading = "Ending")]
    pub drain_delay: Duration,

    /// How long ending may take in all
    #[arg(long, value_name = "DURATION", default_value = "28s", value_parser = positive, help_heading = "Ending")]
    pub shutdown_timeout: Duration,
}

/// A value for one topic, or for all: `[TOPIC=]VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct For<T> {
    /// `None`: all of those that have no value of their own.
    pub topic: Option<String>,
    pub value: T,
}

impl<T: FromStr<Err: Display>> FromStr for For<T> {
    type Err = String;

    /// What stands before the first `=` is a topic if it could be one's name: a file `a=b` is `./a=b`.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let (topic, value) = match text.split_once('=') {
            Some((name, value)) if is_name(name) => (Some(name.to_owned()), value),
            _ => (None, text),
        };
        Ok(Self { topic, value: value.parse().map_err(|e: T::Err| e.to_string())? })
    }
}

/// `--validate`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Validate {
    Json,
    Nothing,
    Schema(PathBuf),
}

impl FromStr for Validate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("give json, none or the file of a JSON Schema".into()),
            "json" => Ok(Self::Json),
            "none" => Ok(Self::Nothing),
            file => Ok(Self::Schema(file.into())),
        }
    }
}

/// `--webhook`: how a sender signs, and the file of the secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Webhook {
    pub scheme: Scheme,
    pub secrets: PathBuf,
}

impl FromStr for Webhook {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let schemes = "give github:FILE, stripe:FILE, standard:FILE or hmac:HEADER:FILE";
        let (scheme, file) = text.split_once(':').context(schemes)?;
        let (scheme, file) = match scheme {
            "github" => (Scheme::GitHub, file),
            "stripe" => (Scheme::Stripe, file),
            "standard" => (Scheme::Standard, file),
            "hmac" => {
                let (name, file) = file.split_once(':').context(schemes)?;
                (Scheme::Hmac(header_name(name)?), file)
            }
            other => bail!("no scheme {other:?}: {schemes}"),
        };
        ensure!(!file.is_empty(), "{schemes}: the file has the secrets, one a line");
        Ok(Self { scheme, secrets: file.into() })
    }
}

fn header_name(name: &str) -> anyhow::Result<HeaderName> {
    name.parse().ok().with_context(|| format!("{name:?} is not the name of an HTTP header"))
}

/// `--route`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub path: String,
    pub topic: String,
}

impl FromStr for Route {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (path, topic) = text.rsplit_once('=').context("give PATH=TOPIC, as in /hooks/github=orders")?;
        ensure!(path.starts_with('/'), "a path begins with /, as in /hooks/github=orders");
        ensure!(
            path.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b)),
            "{path:?} is no path: it is written as in a URL, without a query"
        );
        Ok(Self { path: path.to_owned(), topic: topic.to_owned() })
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "give a number from 1 on".into())
}

fn positive(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text)?;
    if duration.is_zero() { Err("give more than 0".into()) } else { Ok(duration) }
}

fn delivery_timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration::parse(text)?;
    let range = Duration::from_millis(10)..=Duration::from_hours(1);
    if range.contains(&timeout) { Ok(timeout) } else { Err("give a time from 10ms to 1h".into()) }
}

impl Args {
    /// Fills what no flag gave from its variable, where that is set and not empty.
    pub(crate) fn or_variables(&self, env: Lookup<'_>) -> anyhow::Result<Self> {
        let mut this = self.clone();
        let file = |text: &str| Ok::<PathBuf, String>(text.into());
        fill(&mut this.listen, env, "KQ_LISTEN", str::parse::<Address>)?;
        fill(&mut this.token_file, env, "KQ_TOKEN_FILE", file)?;
        fill(&mut this.https_cert, env, "KQ_HTTPS_CERT", file)?;
        fill(&mut this.https_key, env, "KQ_HTTPS_KEY", file)?;
        fill(&mut this.https_client_ca, env, "KQ_HTTPS_CLIENT_CA", file)?;
        fill(&mut this.max_body, env, "KQ_MAX_BODY", sizes::parse)?;
        let mut origin = None;
        fill(&mut origin, env, "KQ_CORS_ORIGIN", |text| Ok::<_, String>(text.to_owned()))?;
        if this.cors_origins.is_empty() {
            this.cors_origins.extend(origin);
        }
        let mut validate = None;
        fill(&mut validate, env, "KQ_VALIDATE", str::parse::<For<Validate>>)?;
        if this.validate.is_empty() {
            this.validate.extend(validate);
        }
        Ok(this)
    }
}

/// The variable's value where the flag was not given.
fn fill<T, E: Display>(
    given: &mut Option<T>,
    env: Lookup<'_>,
    variable: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> anyhow::Result<()> {
    let value = env(variable).filter(|value| !value.is_empty());
    if let (None, Some(value)) = (&given, value) {
        let value = parse(&value).map_err(|e| anyhow::anyhow!("{variable}={value}: {e}"))?;
        *given = Some(value);
    }
    Ok(())
}

// A paragraph is one line, which the terminal's width breaks; an example has 80 columns at most.
const HELP: &str = "\
Examples:
  kq serve orders
  curl -d '{\"id\":1}' -H 'Content-Type: application/json' \\
    'localhost:8080/topics/orders?key=1'
  kq serve orders -l :8080 --token-file tokens
  curl -H 'Content-Type: application/x-ndjson' -H \"Authorization: Bearer $T\" \\
    --data-binary @orders.jsonl https://kafka.example.com/topics/orders
  kq serve hooks -l :8080 --webhook github:secret --route /github=hooks \\
    --copy-header 'X-GitHub-*'
  kq serve orders users --validate orders=order.schema.json --key-from json:/id
  kq serve orders -l :8443 --https-cert tls.crt --https-key tls.key --no-auth
  kq consume in -e -J | curl --data-binary @- localhost:8080/topics/orders \\
    -H 'Content-Type: application/vnd.kq.record+json'

A body is what its Content-Type says. application/json: one record, whose value is the body, byte for byte. application/x-ndjson: a record a line. application/vnd.kq.record+json: the JSON of `kq consume -J`, a record a line, with key, headers and timestamp. application/vnd.kafka.json.v2+json, and binary and text: what clients of Confluent's REST proxy send. application/cloudevents+json, or ce-* headers: a CloudEvent, as the Kafka binding has it. gzip and zstd are decompressed. With --form and --any other bodies are taken too.

?key=, ?key_base64=, ?partition= and ?timestamp= are those of the record or of all; so are the headers Kafka-Key and Kafka-Key-Base64. `Kafka-Header-NAME: VALUE` is a record header. Idempotency-Key, webhook-id, traceparent and tracestate become record headers of their own accord.

Statuses: 200 every record is acknowledged by all in-sync replicas; 400 the request is refused: syntax, JSON, schema, no such partition; 401 and 403 token, signature or origin; 404 no such path or topic; 405 POST publishes; 408 the body took too long; 413 too large, for kq or for the topic; 415 the type or encoding is not taken; 422 the cluster refuses the record; 429 --rate; 502 the cluster refuses kq: somebody must act; 503 nothing was sent: no broker in reach, too much at once, or ending; try again after Retry-After; 504 not acknowledged in time: it may be there. An error's body is application/problem+json: its \"outcome\" is not_sent (a retry duplicates nothing), partial (it says which records are there), or unknown (a retry may duplicate). A batch is checked whole before anything of it is sent.

Order: requests on one connection, each sent after the answer to the one before, keep their order in each partition, and so do the lines of a body. There is no order between connections. Duplicates: what kq itself sends again is written once. What a client sends again after a 504, a lost connection or a kill may be there twice; let it send an Idempotency-Key, which consumers can tell the copies by.

GET /livez, /readyz and /metrics are for probes and for Prometheus. Answers that a sender wants to be content, as Slack's url_verification does, are not given.

Exit status: 0 a signal stopped it, and every request was answered; 2 usage, the address is in use, no cluster or topic at the start; 75 records were not acknowledged when --shutdown-timeout was over; 76 fenced, or the client failed for good.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_for_the_topic_that_stands_before_it_or_for_all() {
        let read = |text: &str| text.parse::<For<Validate>>().map(|given| (given.topic, given.value)).ok();
        assert_eq!(read("json"), Some((None, Validate::Json)));
        assert_eq!(read("a.b-c=none"), Some((Some("a.b-c".into()), Validate::Nothing)));
        assert_eq!(read("a=x=y"), Some((Some("a".into()), Validate::Schema("x=y".into()))));
        assert_eq!(read("./a=b"), Some((None, Validate::Schema("./a=b".into()))));
        assert_eq!(read("a="), None);
        let key = "header:X-Id".parse::<For<KeyFrom>>().unwrap();
        assert_eq!((key.topic, key.value), (None, KeyFrom::Header(HeaderName::from_static("x-id"))));
        let key = "t=json:/a=b".parse::<For<KeyFrom>>().unwrap();
        assert_eq!((key.topic, key.value), (Some("t".into()), KeyFrom::Pointer("/a=b".parse().unwrap())));
    }

    #[test]
    fn a_webhook_is_a_scheme_and_a_file() {
        let read = |text: &str| text.parse::<For<Webhook>>().map(|given| (given.topic, given.value)).ok();
        let webhook = |scheme, file: &str| Webhook { scheme, secrets: file.into() };
        assert_eq!(read("github:/s"), Some((None, webhook(Scheme::GitHub, "/s"))));
        assert_eq!(read("t=stripe:s=1"), Some((Some("t".into()), webhook(Scheme::Stripe, "s=1"))));
        let name = HeaderName::from_static("x-sig");
        assert_eq!(read("hmac:X-Sig:a:b"), Some((None, webhook(Scheme::Hmac(name), "a:b"))));
        for wrong in ["github", "github:", "hmac:X-Sig", "hmac:a b:f", "slack:f", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_route_is_a_path_and_a_topic() {
        let read = |text: &str| text.parse::<Route>().map(|route| (route.path, route.topic)).ok();
        assert_eq!(read("/a=b=t"), Some(("/a=b".into(), "t".into())));
        assert_eq!(read("/=t"), Some(("/".into(), "t".into())));
        for wrong in ["a=t", "/a", "/a?b=t", "/a b=t"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
