//! `--key-from`: where the key of a record is, if its request names none. Pure: no clock, no IO.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use hyper::header::HeaderName;

use super::settings::KeyFrom;

impl FromStr for KeyFrom {
    type Err = anyhow::Error;

    /// `header:NAME`, `json:/POINTER` or `ce:partitionkey`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once(':') {
            Some(("header", name)) => {
                let name = HeaderName::from_bytes(name.as_bytes());
                Ok(Self::Header(name.with_context(|| format!("{text:?}: give the name of a header"))?))
            }
            Some(("json", pointer)) => Ok(Self::Pointer(pointer.parse()?)),
            Some(("ce", "partitionkey")) => Ok(Self::PartitionKey),
            _ => bail!(
                "{text:?} is no place of a key: give header:NAME, json:/POINTER (as json:/order/id), or ce:partitionkey"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_from_a_header_a_place_in_the_value_or_an_event() {
        let read = |text: &str| text.parse::<KeyFrom>();
        assert_eq!(read("header:X-Tenant").unwrap(), KeyFrom::Header(HeaderName::from_static("x-tenant")));
        assert_eq!(read("json:/order/id").unwrap(), KeyFrom::Pointer("/order/id".parse().unwrap()));
        assert_eq!(read("ce:partitionkey").unwrap(), KeyFrom::PartitionKey);
        for (text, part) in [
            ("", "give header:NAME"),
            ("X-Tenant", "give header:NAME"),
            ("ce:subject", "ce:partitionkey"),
            ("header:", "the name of a header"),
            ("header:a b", "the name of a header"),
            ("json:id", "it begins with /"),
            ("json:", "it begins with /"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
