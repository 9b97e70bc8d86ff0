//! From a frame to a record: keys, nulls, headers, the JSON form. Pure: no clock, no IO.

use anyhow::{anyhow, bail};

use crate::record::decode::CONTENT_ENCODING;
use crate::record::framing::split_key;
use crate::record::json::parse_json;
use crate::record::pointer::Pointer;
use crate::record::validate::Validator;
use crate::record::{Header, Outgoing, OwnedHeader, codec};

/// How a frame becomes a record. By default a frame is a record's value.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// What ends the key at the start of a frame; never empty.
    pub key_delimiter: Option<Vec<u8>>,
    /// Where in its value, which is JSON, the key of a record is that has none so far.
    pub key_from: Option<Pointer>,
    /// A frame without the key's delimiter, or a value without its key, is a record without one, and no error.
    pub key_optional: bool,
    /// The key of every record.
    pub key: Option<Vec<u8>>,
    /// A key or value equal to this is null.
    pub null: Option<Vec<u8>>,
    pub empty_is_null: bool,
    /// Headers of every record, after those that it has itself.
    pub headers: Vec<OwnedHeader>,
    /// The partition of every record, unless the record names its own.
    pub partition: Option<i32>,
    /// The timestamp of every record; one that [`keepable`] accepts.
    pub timestamp: Option<i64>,
    /// Each value is compressed by itself with Snappy, and a header is added that says so.
    pub compress_value: bool,
    /// A frame is a record in JSON.
    pub json: bool,
    /// A JSON record goes to the partition that it names.
    pub keep_partition: bool,
    /// A JSON record goes to the topic that it names.
    pub topic_from_record: bool,
    pub validator: Option<Validator>,
}

impl Shape {
    /// Whether a frame is a record's value and nothing else happens to it: such frames go to
    /// librdkafka in bulk.
    pub(crate) fn is_plain(&self) -> bool {
        self.key_delimiter.is_none()
            && self.key_from.is_none()
            && self.key.is_none()
            && self.null.is_none()
            && !self.empty_is_null
            && self.headers.is_empty()
            && self.timestamp.is_none()
            && !self.compress_value
            && !self.json
            && self.validator.is_none()
    }

    /// Makes the frame's record and passes it to `send`, with its own topic if it names one
    /// and `topic_from_record` is set. The outer error says what is wrong with the frame.
    pub(crate) fn apply<T>(
        &self,
        frame: &[u8],
        tag: u64,
        send: impl FnOnce(Option<&str>, Outgoing<'_>) -> T,
    ) -> anyhow::Result<T> {
        if self.json {
            return self.apply_json(frame, tag, send);
        }
        let (key, value) = match &self.key_delimiter {
            None => (self.key.as_deref(), frame),
            Some(delimiter) => match split_key(frame, delimiter) {
                Some((key, value)) => (self.non_null(key), value),
                None if self.key_optional => (None, frame),
                None => bail!(
                    "no key delimiter {:?} in it (--key-optional lets records be without a key)",
                    String::from_utf8_lossy(delimiter)
                ),
            },
        };
        self.finish(key, self.non_null(value), &self.headers, self.timestamp, self.partition, tag, |out| {
            send(None, out)
        })
    }

    fn apply_json<T>(
        &self,
        line: &[u8],
        tag: u64,
        send: impl FnOnce(Option<&str>, Outgoing<'_>) -> T,
    ) -> anyhow::Result<T> {
        let record = parse_json(line)?;
        let timestamp = match self.timestamp {
            Some(own) => Some(own),
            None => record
                .timestamp
                .map(keepable)
                .transpose()
                .map_err(|e| anyhow!("{e} (jq -c 'del(.timestamp)' does), or give --timestamp"))?,
        };
        let topic = record.topic.as_deref().filter(|_| self.topic_from_record);
        let partition = if self.keep_partition { record.partition } else { self.partition };
        let extended;
        let headers = if self.headers.is_empty() {
            &record.headers
        } else {
            extended = [record.headers.as_slice(), &self.headers].concat();
            &extended
        };
        self.finish(
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
            timestamp,
            partition,
            tag,
            |out| send(topic, out),
        )
    }

    fn non_null<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let null = (self.empty_is_null && bytes.is_empty()) || self.null.as_deref() == Some(bytes);
        (!null).then_some(bytes)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one record, named at each call")]
    fn finish<T>(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[OwnedHeader],
        timestamp: Option<i64>,
        partition: Option<i32>,
        tag: u64,
        send: impl FnOnce(Outgoing<'_>) -> T,
    ) -> anyhow::Result<T> {
        // A tombstone has no value to check.
        if let (Some(validator), Some(value)) = (&self.validator, value) {
            validator.check(value).map_err(|why| anyhow!(why))?;
        }
        let found = match (key, &self.key_from) {
            (None, Some(pointer)) => match (pointer.key(value), self.key_optional) {
                (Ok(key), _) => Some(key),
                (Err(_), true) => None,
                (Err(why), false) => bail!("{why} (--key-optional lets records be without a key)"),
            },
            _ => None,
        };
        let key = key.or(found.as_deref());
        let compressed = if self.compress_value { value.map(codec::snappy_block) } else { None };
        // The coding that is applied last is named last.
        let coding = compressed.as_ref().map(|_| Header { name: CONTENT_ENCODING, value: Some(b"snappy") });
        let headers: Vec<Header<'_>> = headers
            .iter()
            .filter(|(name, _)| value.is_some() || name != CONTENT_ENCODING || !self.compress_value)
            .map(|(name, value)| Header { name, value: value.as_deref() })
            .chain(coding)
            .collect();
        let value = compressed.as_deref().or(value);
        Ok(send(Outgoing { partition, key, value, headers: &headers, timestamp, tag }))
    }
}

/// The timestamp, if it would arrive unchanged: librdkafka replaces 0 with the time of sending
/// (`rd_kafka_msg_new0`), and to consumers a negative one means no timestamp.
pub(crate) fn keepable(ms: i64) -> anyhow::Result<i64> {
    if ms == 0 {
        bail!(
            "timestamp 0 can't be kept, since the client replaces it with now; leave it out for the time of sending"
        );
    }
    if ms < 0 {
        bail!("timestamp {ms}: Kafka has no time before 1970; leave it out for the time of sending");
    }
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(f: impl FnOnce(&mut Shape)) -> Shape {
        let mut shape = Shape::default();
        f(&mut shape);
        shape
    }

    proptest! {
        #[test]
        fn no_frame_panics_and_bytes_stay_as_they_are(
            frame in any::<Vec<u8>>(),
            delimiter in proptest::option::of(prop::collection::vec(any::<u8>(), 1..3)),
            (key_optional, empty_is_null, json, validated) in any::<(bool, bool, bool, bool)>(),
        ) {
            let shape = shape(|s| {
                s.key_delimiter.clone_from(&delimiter);
                s.key_optional = key_optional;
                s.empty_is_null = empty_is_null;
                s.json = json;
                s.validator = validated.then_some(Validator::Json);
            });
            let made = key_and_value(&shape, &frame);
            if let (Ok((key, value)), false, false) = (made, json, empty_is_null) {
                let again = match (key, delimiter) {
                    (Some(key), Some(delimiter)) => [key, delimiter, value.unwrap_or_default()].concat(),
                    (_, _) => value.unwrap_or_default(),
                };
                prop_assert_eq!(again, frame);
            }
        }
    }

    type KeyValue = (Option<Vec<u8>>, Option<Vec<u8>>);

    fn key_and_value(shape: &Shape, frame: &[u8]) -> anyhow::Result<KeyValue> {
        shape.apply(frame, 0, |_, out| (out.key.map(<[u8]>::to_vec), out.value.map(<[u8]>::to_vec)))
    }

    #[test]
    fn a_frame_is_a_value_by_default() {
        assert_eq!(key_and_value(&Shape::default(), b"a:b").unwrap(), (None, Some(b"a:b".to_vec())));
        assert!(Shape::default().is_plain());
    }

    #[test]
    fn a_key_ends_at_the_first_delimiter() {
        let shape = shape(|s| s.key_delimiter = Some(b":".to_vec()));
        assert_eq!(key_and_value(&shape, b"a:b:c").unwrap(), (Some(b"a".to_vec()), Some(b"b:c".to_vec())));
        assert_eq!(key_and_value(&shape, b":").unwrap(), (Some(vec![]), Some(vec![])));
        assert!(key_and_value(&shape, b"none").unwrap_err().to_string().contains("--key-optional"));
    }

    #[test]
    fn a_key_is_found_in_the_value_and_one_that_is_there_stays() {
        let at = |optional: bool| {
            shape(|s| {
                (s.key_from, s.key_optional) = (Some("/id".parse().unwrap()), optional);
                s.empty_is_null = true;
            })
        };
        assert!(!at(false).is_plain());
        let (key, value) = key_and_value(&at(false), br#"{"n":1, "id": "a\u00e9"} "#).unwrap();
        assert_eq!(key.as_deref(), Some("aé".as_bytes()));
        assert_eq!(value.as_deref(), Some(br#"{"n":1, "id": "a\u00e9"} "#.as_slice()));
        for lacks in ["{}", "no json", r#"{"id":null}"#, ""] {
            let error = key_and_value(&at(false), lacks.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("no key: ") && error.contains("/id"), "{lacks}: {error}");
            assert!(error.ends_with("(--key-optional lets records be without a key)"), "{lacks}: {error}");
            assert_eq!(key_and_value(&at(true), lacks.as_bytes()).unwrap().0, None, "{lacks}");
        }
        let json = shape(|s| (s.json, s.key_from) = (true, Some("/id".parse().unwrap())));
        let key = |line: &str| key_and_value(&json, line.as_bytes()).unwrap().0.unwrap();
        assert_eq!(key(r#"{"value":"{\"id\":7}"}"#), b"7");
        assert_eq!(key(r#"{"key":"k","value":"{\"id\":7}"}"#), b"k");
    }

    #[test]
    fn what_is_not_valid_is_said_before_its_key_is_missed() {
        let shape = shape(|s| {
            (s.key_from, s.validator) = (Some("/id".parse().unwrap()), Some(Validator::Json));
        });
        let error = key_and_value(&shape, b"{").unwrap_err().to_string();
        assert!(error.starts_with("not JSON: "), "{error}");
    }

    #[test]
    fn empty_is_null_only_when_asked() {
        let shape = shape(|s| {
            s.key_delimiter = Some(b":".to_vec());
            s.empty_is_null = true;
        });
        assert_eq!(key_and_value(&shape, b"a:").unwrap(), (Some(b"a".to_vec()), None));
        assert_eq!(key_and_value(&shape, b":b").unwrap(), (None, Some(b"b".to_vec())));
        assert_eq!(key_and_value(&Shape::default(), b"").unwrap(), (None, Some(vec![])));
    }

    #[test]
    fn a_null_token_is_a_tombstone() {
        let shape = shape(|s| s.null = Some(b"NULL".to_vec()));
        assert_eq!(key_and_value(&shape, b"NULL").unwrap(), (None, None));
        assert_eq!(key_and_value(&shape, b"NULLS").unwrap().1, Some(b"NULLS".to_vec()));
    }

    #[test]
    fn the_value_is_validated_before_it_is_compressed_and_a_tombstone_is_not() {
        let shape = shape(|s| {
            s.key_delimiter = Some(b":".to_vec());
            s.empty_is_null = true;
            s.compress_value = true;
            s.validator = Some(Validator::Json);
        });
        assert!(!shape.is_plain());
        assert!(key_and_value(&shape, b"no json:{}").is_ok());
        assert_eq!(key_and_value(&shape, b"k:").unwrap(), (Some(b"k".to_vec()), None));
        assert!(key_and_value(&shape, b"k:{").unwrap_err().to_string().contains("not JSON"));
    }

    #[test]
    fn a_timestamp_that_would_become_another_is_refused() {
        let json = shape(|s| s.json = true);
        let sent = |shape: &Shape, line: &str| shape.apply(line.as_bytes(), 0, |_, out| out.timestamp);
        assert_eq!(sent(&json, r#"{"value":"v","timestamp":1}"#).unwrap(), Some(1));
        assert_eq!(sent(&json, r#"{"value":"v","timestamp":-1}"#).unwrap(), None);
        assert_eq!(sent(&json, r#"{"value":"v"}"#).unwrap(), None);
        for line in [
            r#"{"value":"v","timestamp":0}"#,
            r#"{"value":"v","ts":-2}"#,
            r#"{"value":"v","timestamp":"1970-01-01T00:00:00Z"}"#,
        ] {
            let error = sent(&json, line).unwrap_err().to_string();
            assert!(error.starts_with("timestamp ") && error.contains("leave it out"), "{error}");
        }
        let own = shape(|s| (s.json, s.timestamp) = (true, Some(7)));
        assert_eq!(sent(&own, r#"{"value":"v","timestamp":0}"#).unwrap(), Some(7));
    }

    #[test]
    fn a_coding_stands_behind_the_headers_of_the_record_and_of_all_records() {
        let header = |name: &str, value: &str| (name.as_bytes().to_vec(), Some(value.as_bytes().to_vec()));
        let shape = shape(|s| {
            (s.json, s.compress_value) = (true, true);
            s.headers = vec![header("all", "1")];
        });
        let headers = |line: &str| {
            let headers = shape.apply(line.as_bytes(), 0, |_, out| {
                let owned = |header: &Header<'_>| (header.name.to_vec(), header.value.map(<[u8]>::to_vec));
                out.headers.iter().map(owned).collect::<Vec<_>>()
            });
            headers.unwrap()
        };
        let of_record = r#""headers":[["content-encoding","gzip"],["a","1"]]"#;
        let own = [header("content-encoding", "gzip"), header("a", "1"), header("all", "1")];
        let coding = header("content-encoding", "snappy");
        assert_eq!(headers(&format!(r#"{{"value":"v",{of_record}}}"#)), [&own[..], &[coding]].concat());
        assert_eq!(headers(&format!(r#"{{"value":null,{of_record}}}"#)), own[1..]);
    }
}
