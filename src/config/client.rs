//! The properties of one client: names and values, before any client library reads them. Pure: no clock, no IO.

use std::collections::BTreeMap;

use super::properties::canonical;

/// The properties of one client under their canonical names, so that no property is there twice.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Sets a property; of one name the last counts.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(canonical(name).to_owned(), value.into());
    }

    /// Removes a property.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(canonical(name));
    }

    /// The value of a property, by any of its names.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(canonical(name)).map(String::as_str)
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the client is to log what it does in detail.
    pub(crate) fn is_debugging(&self) -> bool {
        self.get("debug").is_some()
    }
}

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |(name, value)| (name, if super::properties::is_secret(name) { "***" } else { value });
        f.debug_map().entries(self.iter().map(shown)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_the_same_property() {
        let mut properties = Properties::default();
        properties.set("linger.ms", "1");
        properties.set("queue.buffering.max.ms", "2");
        assert_eq!(properties.get("linger.ms"), Some("2"));
        assert_eq!(properties.iter().collect::<Vec<_>>(), [("queue.buffering.max.ms", "2")]);
        properties.remove("linger.ms");
        assert_eq!(properties, Properties::default());
    }

    #[test]
    fn debug_output_masks_secrets() {
        let mut properties = Properties::default();
        properties.set("sasl.password", "hunter2");
        properties.set("debug", "all");
        assert_eq!(format!("{properties:?}"), r#"{"debug": "all", "sasl.password": "***"}"#);
        assert!(properties.is_debugging());
    }
}
