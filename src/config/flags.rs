//! The flags of the connection, as typed. [`super::Config::resolve`] gives them their meaning.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are the help texts: a terminal shows backticks as they are"
)]

use clap::ColorChoice;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::config::secret::Secret;
use crate::named::Named as _;
use crate::stderr::LogFormat;

/// Flags that every command takes, as typed; `config` resolves them with the environment.
///
/// `config` and not clap reads the variables: an empty one must count as unset, and the rank of
/// a value depends on whether it came from a flag or a variable.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]
    #[arg(short, long, global = true, value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,
    /// The client's name in the brokers' logs [env: KQ_CLIENT_ID] [default: kq]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub client_id: Option<String>,
    /// Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub timeout: Option<String>,
    /// Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them
    #[arg(short = 'X', global = true, value_name = "NAME=VALUE", value_parser = clap::value_parser!(Secret))]
    pub properties: Vec<Secret>,
    /// A file with properties of librdkafka, kcat or Java; variables and flags rank above it
    /// [env: KQ_CONFIG_FILE]
    ///
    /// Trust stores and key stores that it names may be PKCS12, JKS or PEM; PEM text in it may stand on one
    /// line. A backslash in it is an escape, as in Java. If any property in the file is one that only librdkafka
    /// or kcat has, such as sasl.password, every backslash in the whole file is a character, except at the end
    /// of a line of sasl.jaas.config. So it is in a file named kcat.conf too
    #[arg(short = 'F', long, global = true, value_name = "FILE")]
    pub config_file: Option<String>,
    /// Encrypt the connection [env: KQ_TLS=1]
    #[arg(long, global = true, help_heading = "TLS and SASL", hide_short_help = true)]
    pub tls: bool,
    /// Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]
    #[arg(long, global = true, help_heading = "TLS and SASL", hide_short_help = true)]
    pub no_tls: bool,
    /// CA certificates to trust instead of the system's, PEM; turns TLS on [env: KQ_TLS_CA]
    ///
    /// Without it, SSL_CERT_FILE (a file) and SSL_CERT_DIR (a folder with names by hash) are trusted if they
    /// are set, and otherwise the system's
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS and SASL", hide_short_help = true)]
    pub tls_ca: Option<String>,
    /// The client's certificate, PEM [env: KQ_TLS_CERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS and SASL", hide_short_help = true)]
    pub tls_cert: Option<String>,
    /// The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS and SASL", hide_short_help = true)]
    pub tls_key: Option<String>,
    /// The password of that key. Other users of this machine can see flags, so prefer the variable
    /// [env: KQ_TLS_KEY_PASSWORD]
    #[arg(
        long, global = true, value_name = "PASSWORD", help_heading = "TLS and SASL", hide_short_help = true,
        value_parser = clap::value_parser!(Secret)
    )]
    pub tls_key_password: Option<Secret>,
    /// Trust any certificate: anyone on the network path can then read and change records
    /// [env: KQ_TLS_INSECURE=1]
    #[arg(long, global = true, help_heading = "TLS and SASL", hide_short_help = true)]
    pub tls_insecure: bool,
    /// PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on
    /// loopback [env: KQ_SASL_MECHANISM]
    #[arg(long, global = true, value_name = "NAME", help_heading = "TLS and SASL", hide_short_help = true)]
    pub sasl_mechanism: Option<String>,
    /// User to log in as [env: KQ_SASL_USERNAME]
    #[arg(long, global = true, value_name = "NAME", help_heading = "TLS and SASL", hide_short_help = true)]
    pub sasl_username: Option<String>,
    /// Password. Other users of this machine can see flags, so prefer the file or the variable
    /// [env: KQ_SASL_PASSWORD]
    #[arg(
        long, global = true, value_name = "PASSWORD", help_heading = "TLS and SASL", hide_short_help = true,
        value_parser = clap::value_parser!(Secret)
    )]
    pub sasl_password: Option<Secret>,
    /// File that contains the password [env: KQ_SASL_PASSWORD_FILE]
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS and SASL", hide_short_help = true)]
    pub sasl_password_file: Option<String>,
    /// Hide notes and summaries; errors stay
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// Print more notes; repeat it for librdkafka's own log
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]
    ///
    /// In both forms, equal notes within 10 s are counted and not repeated. What the COMMAND of `kq dev` writes to
    /// stderr is its own
    #[arg(
        long, global = true, value_name = "FORMAT", help_heading = "Output", hide_short_help = true,
        value_parser = log_format()
    )]
    pub log_format: Option<LogFormat>,
    /// Colours in help and errors; NO_COLOR is honoured [default: auto]
    #[arg(long, global = true, value_name = "WHEN", help_heading = "Output", hide_short_help = true)]
    pub color: Option<ColorChoice>,
}

/// `--log-format`
fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    let values = LogFormat::ALL.iter().map(|format| {
        PossibleValue::new(format.name()).help(match format {
            LogFormat::Text => {
                "Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC \
                 3339, UTC) where stderr is neither a terminal nor systemd's journal"
            }
            LogFormat::Json => {
                "One JSON object a line: time, level (error, info, debug, trace; command for what a worker's COMMAND \
                 wrote), message, and topic, partition, offset where it is about one; repeated where it counts"
            }
        })
    });
    PossibleValuesParser::new(values).try_map(|name| LogFormat::named(&name).ok_or("not in the list"))
}
