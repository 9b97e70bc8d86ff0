//! The values of a JSON record's fields: text, base64, a partition, a time; each may be given once. Pure: no clock, no IO.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

/// A value that may be given once, under any of its names.
pub(super) struct Once<T> {
    what: &'static str,
    name: Option<&'static str>,
    pub(super) content: Option<T>,
}

impl<T> Once<T> {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, name: None, content: None }
    }

    /// Whether it was given, even as null.
    pub(super) fn is_set(&self) -> bool {
        self.name.is_some()
    }

    pub(super) fn set<E: de::Error>(&mut self, name: &'static str, content: Option<T>) -> Result<(), E> {
        match self.name.replace(name) {
            None => {
                self.content = content;
                Ok(())
            }
            Some(first) if first == name => Err(E::custom(format_args!("{name:?} is given twice"))),
            Some(first) => {
                let what = self.what;
                Err(E::custom(format_args!("both {first:?} and {name:?} give the {what}: give one")))
            }
        }
    }
}

/// A string or null, as bytes. They are copied only where the text has escapes.
pub(super) struct Text {
    pub(super) field: &'static str,
}

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, [u8]>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, [u8]>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string or null as {:?}", self.field)?;
        match self.field {
            "value" | "payload" | "key" => f.write_str(" (JSON within it is written as a string)"),
            _ => Ok(()),
        }
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text.as_bytes())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.as_bytes().to_vec())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A string of base64 or null, as the bytes that it stands for.
pub(super) struct Base64 {
    pub(super) field: &'static str,
}

impl<'de> DeserializeSeed<'de> for Base64 {
    type Value = Option<Vec<u8>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Base64 {
    type Value = Option<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string of base64 or null as {:?}", self.field)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match BASE64.decode(text) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) => Err(E::custom(format_args!(
                "{:?} is not base64 (standard alphabet, padded): {e}",
                self.field
            ))),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A partition, or null.
pub(super) struct Partition;

impl<'de> DeserializeSeed<'de> for Partition {
    type Value = Option<i32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Partition {
    type Value = Option<i32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 on or null as \"partition\"")
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
        i32::try_from(n).map(Some).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A timestamp in milliseconds or in RFC 3339, or null.
pub(super) struct Time {
    pub(super) field: &'static str,
}

impl<'de> DeserializeSeed<'de> for Time {
    type Value = Option<i64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Time {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whole milliseconds since the epoch, RFC 3339, or null as {:?}", self.field)
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
        i64::try_from(n).map(Some).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
        // -1 is Kafka's value for no timestamp.
        Ok((n != -1).then_some(n))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Some(time.as_millisecond())),
            Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
