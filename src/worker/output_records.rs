//! The records that a command's output becomes: what it prints, and the `out` of its answers. Pure: no clock, no IO.

use serde_json::Value;

use crate::record::json::parse_json;
use crate::record::shape::keepable;
use crate::record::{OwnedHeader, Record};

/// One record for the output topic, besides its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutputRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Its own headers; `None`: those that `--copy-headers` asks for.
    pub headers: Option<Vec<OwnedHeader>>,
    /// Milliseconds since the epoch; `None`: now.
    pub timestamp: Option<i64>,
}

/// The values of the records that a printed output becomes.
pub(super) fn values(record: &Record, printed: Vec<u8>, lines: bool) -> Vec<Option<Vec<u8>>> {
    if printed.is_empty() {
        // Nothing printed is nothing sent, but an empty record goes on: a tombstone stays one.
        let was_empty = record.value.as_ref().is_none_or(Vec::is_empty);
        return if was_empty { vec![record.value.clone()] } else { vec![] };
    }
    // What programs print ends with a newline, which is not a part of it.
    let mut body = printed;
    body.truncate(body.strip_suffix(b"\n").map_or(body.len(), <[u8]>::len));
    if lines {
        body.split(|&b| b == b'\n').map(|line| Some(line.to_vec())).collect()
    } else {
        vec![Some(body)]
    }
}

/// The records that `out` of an answer for `record` becomes, for `topic`: a string is a value as it is, an
/// object a record, a list several of them, null none.
pub(super) fn of_answer(
    record: &Record,
    out: &Value,
    lines: bool,
    topic: &str,
) -> Result<Vec<OutputRecord>, String> {
    let elements = match out {
        Value::Null => return Ok(Vec::new()),
        Value::Array(elements) => elements.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut records = Vec::with_capacity(elements.len());
    for element in elements {
        match element {
            Value::String(text) if lines => {
                let body = text.strip_suffix('\n').unwrap_or(text);
                records.extend(body.split('\n').map(|line| plain(record, line)));
            }
            Value::String(text) => records.push(plain(record, text)),
            Value::Object(_) => records.push(of_object(record, element, topic)?),
            other => {
                let is_in_list = if out.is_array() { " in the list" } else { "" };
                return Err(format!(
                    "with --output-topic \"out\" is a string, an object with \"value\" or \"value_base64\", or a \
                     list of these, and{is_in_list} it is {}",
                    kind(other)
                ));
            }
        }
    }
    Ok(records)
}

/// A record with this value under the key of the one that was answered.
fn plain(record: &Record, value: &str) -> OutputRecord {
    OutputRecord {
        key: record.key.clone(),
        value: Some(value.as_bytes().to_vec()),
        headers: None,
        timestamp: None,
    }
}

/// An object of an answer, as the record that it is. What it does not say is as for a string.
fn of_object(record: &Record, object: &Value, topic: &str) -> Result<OutputRecord, String> {
    let json = object.to_string();
    let why = |e: anyhow::Error| format!("a record in \"out\": {e:#}");
    let parsed = parse_json(json.as_bytes()).map_err(why)?;
    if let Some(other) = parsed.topic.filter(|named| named != topic && **named != *record.topic) {
        return Err(format!(
            "a record in \"out\" names the topic {other}: --output-topic sends all to {topic}"
        ));
    }
    let timestamp = parsed.timestamp.map(keepable).transpose().map_err(why)?;
    let has = |names: &[&str]| names.iter().any(|name| object.get(name).is_some());
    let key = if has(&["key", "key_base64"]) { parsed.key.map(Into::into) } else { record.key.clone() };
    Ok(OutputRecord {
        key,
        value: parsed.value.map(Into::into),
        headers: has(&["headers"]).then_some(parsed.headers),
        timestamp,
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(value: Option<&str>) -> Record {
        Record {
            topic: "in".into(),
            key: Some(b"k".to_vec()),
            value: value.map(|value| value.as_bytes().to_vec()),
            ..Record::default()
        }
    }

    fn some(lines: &[&str]) -> Vec<Option<Vec<u8>>> {
        lines.iter().map(|line| Some(line.as_bytes().to_vec())).collect()
    }

    fn answered(out: &Value) -> Result<Vec<OutputRecord>, String> {
        of_answer(&record(Some("x")), out, false, "out")
    }

    fn sent(key: Option<&[u8]>, value: Option<&[u8]>) -> OutputRecord {
        let [key, value] = [key, value].map(|bytes| bytes.map(<[u8]>::to_vec));
        OutputRecord { key, value, headers: None, timestamp: None }
    }

    #[test]
    fn an_output_is_one_record_or_one_a_line_without_the_last_newline() {
        let value = record(Some("x"));
        for (printed, one, lines) in [
            ("a", &["a"][..], &["a"][..]),
            ("a\n", &["a"], &["a"]),
            ("a\nb\n", &["a\nb"], &["a", "b"]),
            ("a\n\n", &["a\n"], &["a", ""]),
            ("a\n\nb", &["a\n\nb"], &["a", "", "b"]),
            ("\n", &[""], &[""]),
            ("a\r\n", &["a\r"], &["a\r"]),
        ] {
            assert_eq!(values(&value, printed.into(), false), some(one), "{printed:?}");
            assert_eq!(values(&value, printed.into(), true), some(lines), "{printed:?}");
        }
    }

    #[test]
    fn without_an_output_only_an_empty_record_goes_on() {
        assert_eq!(values(&record(Some("x")), vec![], false), []);
        assert_eq!(values(&record(Some("")), vec![], true), some(&[""]));
        assert_eq!(values(&record(None), vec![], true), [None]);
    }

    #[test]
    fn a_string_is_a_value_under_the_records_key_as_it_is() {
        let key = Some(&b"k"[..]);
        assert_eq!(answered(&json!("a\n")), Ok(vec![sent(key, Some(b"a\n"))]));
        assert_eq!(answered(&json!("")), Ok(vec![sent(key, Some(b""))]));
        assert_eq!(answered(&json!(["a", "b"])), Ok(vec![sent(key, Some(b"a")), sent(key, Some(b"b"))]));
        for none in [json!(null), json!([])] {
            assert_eq!(answered(&none), Ok(vec![]));
        }
        let lines = of_answer(&record(None), &json!(["a\nb\n", "c"]), true, "out").unwrap();
        assert_eq!(lines, [b"a", b"b", b"c"].map(|line| sent(key, Some(line))));
    }

    #[test]
    fn an_object_is_a_record_which_says_what_is_other_than_for_a_string() {
        let key = Some(&b"k"[..]);
        assert_eq!(answered(&json!({"value": "v"})), Ok(vec![sent(key, Some(b"v"))]));
        assert_eq!(answered(&json!({"value": null})), Ok(vec![sent(key, None)]));
        assert_eq!(answered(&json!({"value_base64": "AP8="})), Ok(vec![sent(key, Some(&[0, 255]))]));
        assert_eq!(answered(&json!({"key": null, "value": "v"})), Ok(vec![sent(None, Some(b"v"))]));
        assert_eq!(
            answered(&json!({"key_base64": "/w==", "value": "v"})),
            Ok(vec![sent(Some(&[255]), Some(b"v"))])
        );
        let whole = json!([
            "a",
            {"topic": "in", "partition": 3, "offset": 7, "id": 1, "timestamp": 5, "value": "v", "headers": [["h", null]]}
        ]);
        let headers = Some(vec![(b"h".to_vec(), None)]);
        let record = OutputRecord { headers, timestamp: Some(5), ..sent(key, Some(b"v")) };
        assert_eq!(answered(&whole), Ok(vec![sent(key, Some(b"a")), record]));
    }

    #[test]
    fn what_is_no_record_says_what_is_wrong() {
        for (out, part) in [
            (json!(7), "it is a number"),
            (json!(true), "it is true or false"),
            (json!(["a", ["b"]]), "in the list it is a list"),
            (json!(["a", null]), "in the list it is null"),
            (json!({}), "value"),
            (json!({"key": "k"}), "value"),
            (json!({"value": {"a": 1}}), "string"),
            (json!({"value": "v", "value_base64": "dg=="}), "both"),
            (json!({"value_base64": "?"}), "base64"),
            (json!({"value": "v", "timestamp": 0}), "a record in \"out\": timestamp 0 can't be kept"),
            (json!({"value": "v", "timestamp": -7}), "a record in \"out\": timestamp -7: "),
            (
                json!({"topic": "other", "value": "v"}),
                "names the topic other: --output-topic sends all to out",
            ),
        ] {
            let why = answered(&out).unwrap_err();
            assert!(why.contains(part), "{out}: {why}");
        }
    }
}
