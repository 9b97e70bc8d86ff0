//! What a command reads of a record on its stdin: the value and what ends it, or the whole record as JSON. Pure: no
//! clock, no IO.

use std::borrow::Cow;

use super::protocol;
use crate::named::Named;
use crate::record::decode::Decoded;
use crate::record::{Record, RecordRef};

/// `--stdin`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stdin {
    #[default]
    Value,
    Json,
}

impl Named for Stdin {
    const ALL: &'static [Self] = &[Self::Value, Self::Json];

    fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Json => "json",
        }
    }
}

/// What a command that gets one record reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The value, then these bytes; of a tombstone nothing.
    Value { end: Vec<u8> },
    /// The record as `kq consume -J` writes it, in one line.
    Json,
}

impl Input {
    /// The bytes for a record, whose value was decoded.
    pub(super) fn of_record<'a>(&self, record: &Record, decoded: &Decoded<'a>) -> Cow<'a, [u8]> {
        match (self, decoded.value) {
            (Self::Json, value) => record.with_ref(|shown| {
                let headers = decoded.form.headers(shown.headers);
                let mut line = Vec::new();
                protocol::append_record(&RecordRef { value, headers: &headers, ..shown }, &mut line);
                line.into()
            }),
            (Self::Value { .. }, None) => Cow::default(),
            (Self::Value { end }, Some(value)) if end.is_empty() => value.into(),
            (Self::Value { end }, Some(value)) => [value, end].concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::decode::{Decode, Decoder, Scratch};
    use crate::record::json::parse_json;
    use proptest::prelude::*;

    fn bytes(input: &Input, record: &Record) -> Vec<u8> {
        let mut scratch = Scratch::default();
        let decoder = Decoder { decode: Decode::Auto, ..Decoder::default() };
        input.of_record(record, &decoder.decode_owned(record, &mut scratch)).into_owned()
    }

    fn record(value: Option<&[u8]>) -> Record {
        Record { topic: "t".into(), offset: 7, value: value.map(<[u8]>::to_vec), ..Record::default() }
    }

    #[test]
    fn a_value_is_followed_by_its_end_and_a_tombstone_stays_empty() {
        for (end, value, expected) in [
            (&b""[..], Some(&b"a"[..]), &b"a"[..]),
            (b"\n", Some(b"a"), b"a\n"),
            (b"\n", Some(b"a\n"), b"a\n\n"),
            (b"\n", Some(b""), b"\n"),
            (b"\r\n", Some(b"\xff\0"), b"\xff\0\r\n"),
            (b"\n", None, b""),
            (b"", None, b""),
        ] {
            assert_eq!(
                bytes(&Input::Value { end: end.to_vec() }, &record(value)),
                expected,
                "{value:?} {end:?}"
            );
        }
    }

    #[test]
    fn a_tombstone_is_told_from_an_empty_value_in_json() {
        let json = |value| String::from_utf8(bytes(&Input::Json, &record(value))).unwrap();
        assert!(json(None).contains("\"value\":null") && json(Some(b"")).contains("\"value\":\"\""));
        assert!(json(Some(b"\xff")).contains("\"value_base64\":\"/w==\""));
    }

    proptest! {
        #[test]
        fn json_is_one_line_with_the_whole_record(
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let record = Record { key: key.clone(), ..record(value.as_deref()) };
            let line = bytes(&Input::Json, &record);
            prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
            let read = parse_json(&line).unwrap();
            prop_assert_eq!((read.key.as_deref(), read.value.as_deref()), (key.as_deref(), value.as_deref()));
        }
    }
}
