//! Which records the command runs for: filters on key, headers and decompressed value. Pure: no clock, no IO.

use crate::record::RecordRef;
use crate::record::codec::{self, CONTENT_ENCODING, Decode, Decoded};

/// What a record must have for the command to run; the default lets every record through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The value, decompressed, matches.
    pub grep: Option<regex::bytes::Regex>,
    /// The key is this.
    pub key: Option<Vec<u8>>,
    /// Each of these headers is there, with this value.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The filters, and how values are decompressed for them.
#[derive(Debug, Default)]
pub struct Selection {
    pub filter: Filter,
    pub decode: Decode,
    pub max_decoded: usize,
    pub scratch: Vec<u8>,
}

impl Selection {
    /// Whether the command runs for this record.
    pub fn lets_through(&mut self, record: &RecordRef<'_>) -> bool {
        let Filter { grep, key, headers } = &self.filter;
        let is_there = |(name, value): &(Vec<u8>, Vec<u8>)| {
            record.headers.iter().any(|header| header.name == name && header.value == Some(value))
        };
        if key.as_deref().is_some_and(|key| record.key != Some(key)) || !headers.iter().all(is_there) {
            return false;
        }
        let Some(pattern) = grep else { return true };
        let Some(value) = record.value else { return false };
        let encoding = record.headers.iter().find(|h| h.name == CONTENT_ENCODING).and_then(|h| h.value);
        match codec::undo(self.decode, encoding, value, self.max_decoded, &mut self.scratch) {
            Decoded::Undone(value) => pattern.is_match(value),
            Decoded::AsIs | Decoded::Failed(_) => pattern.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Header, Timestamp};

    fn selection(filter: Filter) -> Selection {
        Selection { filter, max_decoded: codec::MAX_DECODED, ..Selection::default() }
    }

    fn record<'a>(
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: &'a [Header<'a>],
    ) -> RecordRef<'a> {
        RecordRef { topic: "t", partition: 0, offset: 0, timestamp: Timestamp::None, key, value, headers }
    }

    #[test]
    fn without_a_filter_every_record_passes() {
        assert!(selection(Filter::default()).lets_through(&record(None, None, &[])));
    }

    #[test]
    fn a_key_is_compared_whole() {
        let mut selection = selection(Filter { key: Some(b"a".to_vec()), ..Filter::default() });
        assert!(selection.lets_through(&record(Some(b"a"), None, &[])));
        assert!(!selection.lets_through(&record(Some(b"ab"), None, &[])));
        assert!(!selection.lets_through(&record(None, None, &[])));
    }

    #[test]
    fn every_header_must_be_there_with_its_value() {
        let headers = vec![(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())];
        let mut selection = selection(Filter { headers, ..Filter::default() });
        let (a, b) = (Header { name: b"a", value: Some(b"1") }, Header { name: b"b", value: Some(b"2") });
        assert!(selection.lets_through(&record(None, None, &[b, a])));
        assert!(!selection.lets_through(&record(None, None, &[a])));
        assert!(!selection.lets_through(&record(None, None, &[a, Header { name: b"b", value: None }])));
    }

    #[test]
    fn a_pattern_sees_the_decompressed_value() {
        let grep = Some(regex::bytes::Regex::new("hello").unwrap());
        let mut selection = selection(Filter { grep, ..Filter::default() });
        let compressed = codec::snappy_block(b"hello hello hello hello hello");
        let encoding = [Header { name: CONTENT_ENCODING, value: Some(b"snappy") }];
        assert!(selection.lets_through(&record(None, Some(&compressed), &encoding)));
        assert!(selection.lets_through(&record(None, Some(b"say hello"), &[])));
        assert!(!selection.lets_through(&record(None, Some(b"bye"), &[])));
        assert!(!selection.lets_through(&record(None, None, &[])), "a tombstone has no value");
    }
}
