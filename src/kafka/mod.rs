//! Everything that speaks to Kafka through librdkafka, and the only place that knows it.

pub mod admin;
pub mod client;
pub mod connect;
pub mod errors;
#[cfg(test)]
pub mod fake;
pub mod ffi;
pub mod metadata;

/// A client's properties, by name.
pub type Properties = rdkafka::ClientConfig;

/// The version of the linked librdkafka.
pub fn version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

/// What the linked librdkafka was built with, separated by commas.
pub fn features() -> String {
    let config = Properties::new().create_native_config();
    config.and_then(|config| config.get("builtin.features")).unwrap_or_default()
}
