//! Headers from JSON, in the shapes of kq, kcat, rpk and kaf. Pure: no clock, no IO.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::fields::{Base64, Once};
use crate::record::OwnedHeader;

/// Headers in any of their shapes, which may differ for each element: a pair, an
/// object, or a name whose value is the next element.
pub(super) struct Headers;

impl<'de> DeserializeSeed<'de> for Headers {
    type Value = Option<Vec<OwnedHeader>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Headers {
    type Value = Option<Vec<OwnedHeader>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"an array or null as "headers", such as [["name","value"]]"#)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut headers = Vec::new();
        while let Some(element) = seq.next_element_seed(HeaderElement)? {
            let (name, value) = match element {
                Element::Header(header) => header,
                Element::Name(name) => {
                    let Some(value) = seq.next_element_seed(Bytes("a header's value"))? else {
                        return Err(A::Error::custom("the last header has a name and no value"));
                    };
                    (name, value)
                }
            };
            if name.contains(&0) {
                return Err(A::Error::custom("a header's name holds a NUL, where many clients end a name"));
            }
            headers.push((name, value));
        }
        Ok(Some(headers))
    }
}

enum Element {
    Header(OwnedHeader),
    /// kcat's flat form: the value is the next element.
    Name(Vec<u8>),
}

struct HeaderElement;

impl<'de> DeserializeSeed<'de> for HeaderElement {
    type Value = Element;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for HeaderElement {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a header such as ["name","value"] or {"key":"name","value":"value"}"#)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Element, E> {
        Ok(Element::Name(name.as_bytes().to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
        let pair = |found| A::Error::invalid_length(found, &"a header's name and its value");
        let name = seq.next_element_seed(Bytes("a header's name"))?.ok_or_else(|| pair(0))?;
        let name = name.ok_or_else(|| A::Error::custom("a header's name is null"))?;
        let value = seq.next_element_seed(Bytes("a header's value"))?.ok_or_else(|| pair(1))?;
        if seq.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(pair(3));
        }
        Ok(Element::Header((name, value)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        let mut name = Once::new("header's name");
        let mut value = Once::new("header's value");
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "key" => name.set("key", map.next_value_seed(Bytes("a header's name"))?)?,
                "value" => value.set("value", map.next_value_seed(Bytes("a header's value"))?)?,
                other => return Err(A::Error::unknown_field(other, &["key", "value"])),
            }
        }
        let name = name.content.ok_or_else(|| A::Error::missing_field("key"))?;
        // rpk and kaf write a null value as an empty or as no value.
        Ok(Element::Header((name, value.content)))
    }
}

/// A header's name or value: a string, null, or `{"base64":"…"}`.
struct Bytes(&'static str);

impl<'de> DeserializeSeed<'de> for Bytes {
    type Value = Option<Vec<u8>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bytes {
    type Value = Option<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"a string, null or {{"base64":"…"}} as {}"#, self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.as_bytes().to_vec()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(text.into_bytes()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Once::new("bytes");
        while let Some(field) = map.next_key::<String>()? {
            if field != "base64" {
                return Err(A::Error::unknown_field(&field, &["base64"]));
            }
            bytes.set("base64", map.next_value_seed(Base64 { field: "base64" })?)?;
        }
        bytes.content.map(Some).ok_or_else(|| A::Error::missing_field("base64"))
    }
}
