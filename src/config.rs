//! The one connection and configuration module.

use std::time::Duration;

use crate::cli::ConnectionArgs;
use crate::log::Log;

/// The resolved connection: the only builder of librdkafka configurations.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port,…`
    pub brokers: String,
    /// To find a cluster at the start, and to finish one request.
    pub timeout: Duration,
    pub client_id: String,
    /// `KQ_TOPIC`, where set and not empty.
    pub env_topic: Option<String>,
    /// `-g`, else `KQ_GROUP`, where set and not empty.
    pub group: Option<String>,
    pub log: Log,
}

impl Config {
    /// Resolves flags and environment: default < file < env < flag < `-X`.
    pub fn resolve(_args: &ConnectionArgs) -> anyhow::Result<Self> {
        anyhow::bail!("being written")
    }

    /// A librdkafka configuration with the connection, TLS, SASL and `-X` settings in it.
    /// The caller adds what its role needs before the `-X` settings rank above it:
    /// `role` lists properties that the command sets as its defaults.
    pub fn client(&self, _role: &[(&str, &str)]) -> anyhow::Result<rdkafka::ClientConfig> {
        anyhow::bail!("being written")
    }
}
