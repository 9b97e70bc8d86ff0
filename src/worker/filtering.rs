//! Which records the command runs for. Pure: no clock, no IO.

use crate::record::RecordRef;
use crate::record::decode::{Decoder, Scratch};
use crate::record::filter::Filter;

/// A filter, and how values are decompressed for it; the default lets every record through.
#[derive(Debug, Default)]
pub(super) struct Filtering {
    pub filter: Filter,
    pub decoder: Decoder,
    pub scratch: Scratch,
}

impl Filtering {
    /// Whether values are looked at, which takes long enough for others to wait for: each is decompressed, and
    /// searched.
    pub(super) fn looks_at_values(&self) -> bool {
        self.filter.grep.is_some()
    }

    /// Whether the command runs for this record.
    pub(super) fn lets_through(&mut self, record: &RecordRef<'_>) -> bool {
        if !self.filter.takes_record(record) {
            return false;
        }
        self.filter.grep.is_none()
            || self.filter.takes_value(self.decoder.decode(record, &mut self.scratch).value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::decode::CONTENT_ENCODING;
    use crate::record::{Header, Timestamp, codec};

    #[test]
    fn a_pattern_sees_the_decompressed_value() {
        let grep = Some(regex::bytes::Regex::new("hello").unwrap());
        let mut filtering =
            Filtering { filter: Filter { grep, ..Filter::default() }, ..Filtering::default() };
        let compressed = codec::snappy_block(b"hello hello hello hello hello");
        let encoding = [Header { name: CONTENT_ENCODING, value: Some(b"snappy") }];
        let mut lets_through = |value: Option<&[u8]>, headers: &[Header<'_>]| {
            let record = RecordRef {
                topic: "t",
                partition: 0,
                offset: 0,
                leader_epoch: None,
                timestamp: Timestamp::None,
                key: None,
                value,
                headers,
            };
            filtering.lets_through(&record)
        };
        assert!(lets_through(Some(&compressed), &encoding));
        assert!(lets_through(Some(b"say hello"), &[]));
        assert!(!lets_through(Some(b"bye"), &[]));
        assert!(!lets_through(None, &[]), "a tombstone has no value");
    }

    #[test]
    fn without_a_filter_every_record_passes() {
        let record = RecordRef {
            topic: "t",
            partition: 0,
            offset: 0,
            leader_epoch: None,
            timestamp: Timestamp::None,
            key: None,
            value: None,
            headers: &[],
        };
        assert!(Filtering::default().lets_through(&record));
    }
}
