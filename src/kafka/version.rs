//! Which librdkafka is linked in, and what was built into it.

/// The version of librdkafka, as `2.12.1`.
pub(crate) fn librdkafka() -> String {
    rdkafka::util::get_rdkafka_version().1
}

/// What was built into librdkafka, comma-separated.
pub(crate) fn features() -> String {
    rdkafka::ClientConfig::new()
        .create_native_config()
        .and_then(|config| config.get("builtin.features"))
        .unwrap_or_default()
}
