//! The bytes that the command of a batch reads. Pure: no clock, no IO.

use memchr::memmem;

use crate::record::decode::Decoded;
use crate::record::{Record, RecordRef};
use crate::worker::protocol;
use crate::worker::stdin::Input;

/// Why a record can't be handed over: its value holds the delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) struct HoldsDelimiter;

impl Input {
    /// Appends a record, whose value is as it was decoded. With an error nothing is appended.
    pub(in crate::worker) fn append(
        &self,
        record: &Record,
        decoded: &Decoded<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), HoldsDelimiter> {
        match self {
            Self::Json => {
                record.with_ref(|shown| {
                    let headers = decoded.form.headers(shown.headers);
                    protocol::append_record(
                        &RecordRef { value: decoded.value, headers: &headers, ..shown },
                        out,
                    );
                });
            }
            Self::Value { end: delimiter } => {
                let value = decoded.value.unwrap_or_default();
                let start = out.len();
                out.extend_from_slice(value);
                out.extend_from_slice(delimiter);
                // Also one that the end of the value begins: `a\r` before `\r\n` is read as `a` and an empty line.
                if memmem::find(&out[start..], delimiter) != Some(value.len()) {
                    out.truncate(start);
                    return Err(HoldsDelimiter);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::decode::Form;
    use crate::record::json::parse_json;
    use proptest::prelude::*;

    fn appended(lines: &Input, record: &Record) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let decoded = Decoded { value: record.value.as_deref(), form: Form::AsItCame, failure: None };
        let outcome = lines.append(record, &decoded, &mut out);
        assert!(outcome.is_ok() || out == b"before");
        outcome.ok().map(|()| out.split_off(6))
    }

    fn record(value: Option<&[u8]>) -> Record {
        Record { topic: "t".into(), offset: 7, value: value.map(<[u8]>::to_vec), ..Record::default() }
    }

    #[test]
    fn a_line_is_the_record_in_json() {
        let json = |value: Option<&[u8]>| {
            String::from_utf8(appended(&Input::Json, &record(value)).unwrap()).unwrap()
        };
        let start = r#"{"topic":"t","partition":0,"offset":7,"key":null,"#;
        assert_eq!(json(Some(b"a\nb")), format!("{start}\"value\":\"a\\nb\",\"headers\":[]}}\n"));
        assert_eq!(json(None), format!("{start}\"value\":null,\"headers\":[]}}\n"));
        assert_eq!(json(Some(b"\xff")), format!("{start}\"value_base64\":\"/w==\",\"headers\":[]}}\n"));
    }

    #[test]
    fn a_value_that_holds_the_delimiter_is_refused() {
        let delimited = |delimiter: &[u8], value: &[u8]| {
            appended(&Input::Value { end: delimiter.to_vec() }, &record(Some(value)))
        };
        assert_eq!(delimited(b"\n", b"a"), Some(b"a\n".to_vec()));
        assert_eq!(delimited(b"\n", b""), Some(b"\n".to_vec()));
        assert_eq!(delimited(b"\n", b"a\nb"), None);
        assert_eq!(delimited(b"\r\n", b"a\n"), Some(b"a\n\r\n".to_vec()));
        assert_eq!(delimited(b"--", b"a-"), None, "it would be read as \"a\" and \"-\"");
        assert_eq!(appended(&Input::Value { end: b"\n".to_vec() }, &record(None)), Some(b"\n".to_vec()));
    }

    proptest! {
        #[test]
        fn values_with_delimiters_are_read_back_or_refused(
            values in prop::collection::vec("[ab]{0,4}", 0..8),
            delimiter in "[ab;]{1,3}",
        ) {
            let lines = Input::Value { end: delimiter.clone().into_bytes() };
            let (mut out, mut taken) = (String::new(), Vec::new());
            for value in &values {
                if let Some(bytes) = appended(&lines, &record(Some(value.as_bytes()))) {
                    out.push_str(std::str::from_utf8(&bytes).unwrap());
                    taken.push(value.as_str());
                }
            }
            let mut read: Vec<&str> = out.split(delimiter.as_str()).collect();
            prop_assert_eq!(read.pop(), Some(""));
            prop_assert_eq!(read, taken);
        }

        #[test]
        fn a_json_line_holds_all_of_a_record(
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..8)),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..16)),
        ) {
            let record = Record { key: key.clone(), value: value.clone(), ..record(None) };
            let line = appended(&Input::Json, &record).unwrap();
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let read = parse_json(&line).unwrap();
            prop_assert_eq!(read.key.as_deref(), key.as_deref());
            prop_assert_eq!(read.value.as_deref(), value.as_deref());
        }
    }
}
