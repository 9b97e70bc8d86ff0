//! From a frame to a record: keys, nulls, headers, the JSON form. Pure: no clock, no IO.

use anyhow::{Context as _, anyhow, bail};

use crate::cli::produce::Args;
use crate::clock::time;
use crate::kafka::ffi::Outgoing;
use crate::record::codec;
use crate::record::decode::CONTENT_ENCODING;
use crate::record::escape::unescape;
use crate::record::framing::split_key;
use crate::record::json::parse_json;
use crate::record::validate::Validator;
use crate::record::{Header, OwnedHeader};

/// What the flags make of each frame.
#[derive(Debug, Default)]
pub struct Shape {
    key_delimiter: Option<Vec<u8>>,
    key_optional: bool,
    key: Option<Vec<u8>>,
    null: Option<Vec<u8>>,
    empty_is_null: bool,
    headers: Vec<OwnedHeader>,
    partition: Option<i32>,
    timestamp: Option<i64>,
    compress_value: bool,
    json: bool,
    keep_partition: bool,
    topic_from_record: bool,
    validator: Option<Validator>,
}

impl Shape {
    /// The shape that the flags ask for; an error names the flag.
    pub fn new(args: &Args, validator: Option<Validator>) -> anyhow::Result<Self> {
        let key_delimiter = match &args.key_delimiter {
            Some(text) => Some(unescape(text).context("-K")?),
            None => None,
        };
        if key_delimiter.as_ref().is_some_and(Vec::is_empty) {
            bail!("-K: an empty key delimiter can't tell a key from a value");
        }
        let mut headers: Vec<OwnedHeader> =
            args.headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?;
        if args.value_codec.is_some() {
            headers.push((CONTENT_ENCODING.to_vec(), Some(b"snappy".to_vec())));
        }
        Ok(Self {
            key_delimiter,
            key_optional: args.key_optional,
            key: args.key.as_ref().map(|key| key.as_bytes().to_vec()),
            null: args.null.as_ref().map(|token| token.as_bytes().to_vec()),
            empty_is_null: args.empty_is_null,
            headers,
            partition: args.partition,
            timestamp: args
                .timestamp
                .as_deref()
                .map(|text| time::parse(text).and_then(keepable))
                .transpose()
                .context("--timestamp")?,
            compress_value: args.value_codec.is_some(),
            json: args.json,
            keep_partition: args.keep_partition,
            topic_from_record: args.topic_from_record,
            validator,
        })
    }

    /// Whether a frame is a record's value and nothing else happens to it: such frames go to
    /// librdkafka in bulk.
    pub fn is_plain(&self) -> bool {
        self.key_delimiter.is_none()
            && self.key.is_none()
            && self.null.is_none()
            && !self.empty_is_null
            && self.headers.is_empty()
            && self.timestamp.is_none()
            && !self.compress_value
            && !self.json
            && self.validator.is_none()
    }

    /// Makes the frame's record and hands it to `send`, with its own topic where it has one
    /// that counts. The outer error says what is wrong with the frame.
    pub fn apply<T>(
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
        // A tombstone has no value that could be wrong.
        if let (Some(validator), Some(value)) = (&self.validator, value) {
            validator.check(value).map_err(|why| anyhow!(why))?;
        }
        let compressed = if self.compress_value { value.map(codec::snappy_block) } else { None };
        let headers: Vec<Header<'_>> = headers
            .iter()
            .filter(|(name, _)| value.is_some() || name != CONTENT_ENCODING || !self.compress_value)
            .map(|(name, value)| Header { name, value: value.as_deref() })
            .collect();
        let value = compressed.as_deref().or(value);
        Ok(send(Outgoing { partition, key, value, headers: &headers, timestamp, tag }))
    }
}

/// The timestamp, where it would arrive as it is: librdkafka takes 0 for "now"
/// (`rd_kafka_msg_new0`), and a negative one is none to whoever reads it.
fn keepable(ms: i64) -> anyhow::Result<i64> {
    if ms == 0 {
        bail!(
            "timestamp 0 can't be kept, since the client takes it for now; leave it out for the time of sending"
        );
    }
    if ms < 0 {
        bail!("timestamp {ms}: Kafka has no time before 1970; leave it out for the time of sending");
    }
    Ok(ms)
}

/// `NAME=VALUE`, or `NAME` alone for a null value.
fn header(text: &str) -> anyhow::Result<OwnedHeader> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.as_bytes().to_vec())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(anyhow!("-H {text}: a header needs a name; write NAME=VALUE"));
    }
    Ok((name.as_bytes().to_vec(), value))
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

        #[test]
        fn no_header_panics(text in any::<String>()) {
            if let Ok((name, value)) = header(&text) {
                let again = value.map_or(name.clone(), |value| [name, b"=".to_vec(), value].concat());
                prop_assert_eq!(again, text.into_bytes());
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
    fn a_header_without_a_value_is_null_and_with_an_empty_one_is_empty() {
        assert_eq!(header("a").unwrap(), (b"a".to_vec(), None));
        assert_eq!(header("a=").unwrap(), (b"a".to_vec(), Some(vec![])));
        assert_eq!(header("a=b=c").unwrap(), (b"a".to_vec(), Some(b"b=c".to_vec())));
        assert!(header("=x").is_err());
    }
}
