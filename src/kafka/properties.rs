//! What librdkafka says of properties, and its own configuration made from kq's.

use anyhow::anyhow;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::config::Properties;
use crate::config::properties::{Catalogue, Refusal};

/// The properties that the linked librdkafka has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Librdkafka;

impl Catalogue for Librdkafka {
    fn refusal(&self, name: &str, value: &str) -> Option<Refusal> {
        match ClientConfig::new().set(name, value).create_native_config() {
            Ok(_) => None,
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                Some(Refusal::Unknown)
            }
            Err(KafkaError::ClientConfig(_, why, _, _)) => Some(Refusal::Value(why)),
            Err(e) => Some(Refusal::Value(e.to_string())),
        }
    }

    fn default_of(&self, name: &str) -> Option<String> {
        ClientConfig::new().create_native_config().ok()?.get(name).ok()
    }

    fn version(&self) -> String {
        super::version::librdkafka()
    }
}

/// librdkafka's configuration with these properties, each of which it takes.
pub(crate) fn native(properties: &Properties) -> anyhow::Result<ClientConfig> {
    let mut config = ClientConfig::new();
    for (name, value) in properties.iter() {
        config.set(name, value);
    }
    config.set_log_level(if properties.is_debugging() {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    });
    config.create_native_config().map_err(|e| anyhow!("librdkafka refuses its configuration: {e}"))?;
    Ok(config)
}

/// How many threads a client with this configuration starts: one for each broker that it is given, its own,
/// those of the group's coordinator and of requests without a broker, and one that is to spare. Where the second
/// is missing, librdkafka waits for it without end, and without the others an assertion ends the process.
pub(crate) fn threads_of(config: &ClientConfig) -> usize {
    config.get("metadata.broker.list").map_or(1, |brokers| brokers.split(',').count()) + 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::properties::names;

    #[test]
    fn every_listed_property_is_known_to_the_linked_library() {
        let config = ClientConfig::new().create_native_config().unwrap();
        assert!(names().count() > 150);
        for name in names() {
            // A property without a default answers so too; one that is unknown is so when it is set.
            if config.get(name).is_err() {
                assert_ne!(Librdkafka.refusal(name, ""), Some(Refusal::Unknown), "{name}");
            }
        }
    }

    #[test]
    fn a_property_that_librdkafka_refuses_makes_no_configuration() {
        let mut properties = Properties::default();
        properties.set("linger.ms", "soon");
        assert!(native(&properties).unwrap_err().to_string().contains("refuses"));
        properties.set("linger.ms", "7");
        assert_eq!(native(&properties).unwrap().get("queue.buffering.max.ms"), Some("7"));
    }
}
