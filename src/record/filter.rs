//! Which records are used: by key, by header, by a pattern on the value. Pure: no clock, no IO.

use std::str::FromStr;

use anyhow::bail;

use crate::record::RecordRef;

/// The conditions on a record; without any condition, every record is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// The decompressed value matches this; a tombstone never does.
    pub grep: Option<regex::bytes::Regex>,
    /// The key is this.
    pub key: Option<Vec<u8>>,
    /// The record has each of these headers; it may have others.
    pub headers: Vec<NameValue>,
}

/// A header's name and value, as `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameValue {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

impl FromStr for NameValue {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.into(), value: value.into() }),
            _ => bail!("{text}: write NAME=VALUE"),
        }
    }
}

impl Filter {
    /// Whether the headers of records are needed.
    pub(crate) fn needs_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Whether the record's key and its original headers match. The caller checks this before it decompresses
    /// the value, which costs more.
    pub(crate) fn takes_record(&self, record: &RecordRef<'_>) -> bool {
        self.key.as_ref().is_none_or(|key| record.key == Some(key))
            && self.headers.iter().all(|NameValue { name, value }| {
                record.headers.iter().any(|header| header.name == name && header.value == Some(value))
            })
    }

    /// Whether the decompressed value matches.
    pub(crate) fn takes_value(&self, value: Option<&[u8]>) -> bool {
        self.grep.as_ref().is_none_or(|pattern| value.is_some_and(|value| pattern.is_match(value)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Header, Timestamp};

    const RECORD: RecordRef<'_> = RecordRef {
        topic: "t",
        partition: 0,
        offset: 0,
        leader_epoch: None,
        timestamp: Timestamp::None,
        key: Some(b"k"),
        value: Some(b"a\xffvalue"),
        headers: &[
            Header { name: b"h", value: Some(b"1") },
            Header { name: b"h", value: Some(b"2") },
            Header { name: b"n", value: None },
            Header { name: b"e", value: Some(b"") },
        ],
    };
    const BARE: RecordRef<'_> = RecordRef { key: None, value: None, headers: &[], ..RECORD };

    fn headers(given: &[&str]) -> Filter {
        Filter { headers: given.iter().map(|text| text.parse().unwrap()).collect(), ..Filter::default() }
    }

    #[test]
    fn without_any_part_every_record_passes() {
        let filter = Filter::default();
        for record in [RECORD, BARE] {
            assert!(filter.takes_record(&record) && filter.takes_value(record.value));
        }
        assert!(!filter.needs_headers());
    }

    #[test]
    fn a_key_is_compared_whole_and_null_is_not_empty() {
        let key = |key: &[u8]| Filter { key: Some(key.to_vec()), ..Filter::default() };
        assert!(key(b"k").takes_record(&RECORD));
        assert!(!key(b"").takes_record(&RECORD));
        assert!(!key(b"").takes_record(&BARE));
        assert!(key(b"").takes_record(&RecordRef { key: Some(b""), ..BARE }));
    }

    #[test]
    fn every_header_must_be_there_and_any_of_its_name_will_do() {
        for (given, takes) in [
            (&["h=1"][..], true),
            (&["h=2", "h=1"], true),
            (&["h=1", "h=3"], false),
            (&["H=1"], false),
            (&["e="], true),
            (&["n="], false),
        ] {
            assert_eq!(headers(given).takes_record(&RECORD), takes, "{given:?}");
        }
        assert!(!headers(&["h=1"]).takes_record(&BARE));
        assert!(headers(&["h=1"]).needs_headers());
    }

    #[test]
    fn a_value_matches_as_bytes_and_no_value_matches_nothing() {
        let grep = |pattern: &str| Filter { grep: Some(pattern.parse().unwrap()), ..Filter::default() };
        assert!(grep("value$").takes_value(RECORD.value));
        assert!(grep(r"(?-u)\xff").takes_value(RECORD.value));
        assert!(!grep("^value").takes_value(RECORD.value));
        assert!(grep("^$").takes_value(Some(b"")));
        assert!(!grep("").takes_value(None));
    }

    #[test]
    fn a_header_is_given_as_name_and_value() {
        let read = |text: &str| text.parse::<NameValue>();
        assert_eq!(read("a=b=c").unwrap(), NameValue { name: b"a".to_vec(), value: b"b=c".to_vec() });
        assert_eq!(read("a=").unwrap(), NameValue { name: b"a".to_vec(), value: Vec::new() });
        for text in ["a", "", "=b"] {
            assert_eq!(read(text).unwrap_err().to_string(), format!("{text}: write NAME=VALUE"));
        }
    }

    proptest! {
        #[test]
        fn a_record_passes_by_a_header_exactly_where_it_has_it(
            has in prop::collection::vec(("[ab]{1,2}", "[ab=]{0,2}"), 0..4),
            (name, value) in ("[ab]{1,2}", "[ab=]{0,2}"),
        ) {
            let held: Vec<Header<'_>> = has
                .iter()
                .map(|(name, value)| Header { name: name.as_bytes(), value: Some(value.as_bytes()) })
                .collect();
            let filter = headers(&[&format!("{name}={value}")]);
            let record = RecordRef { headers: &held, ..BARE };
            prop_assert_eq!(filter.takes_record(&record), has.contains(&(name, value)));
        }
    }
}
