//! The JSON record: shapes that are read, errors, and that nothing is lost.

use super::*;
use crate::record::{Header, RecordRef, Timestamp};
use proptest::prelude::*;

fn written(record: &RecordRef<'_>) -> String {
    let mut out = b"[".to_vec();
    append_json(record, &mut out);
    String::from_utf8(out.split_off(1)).unwrap()
}

fn read(line: &str) -> JsonRecord<'_> {
    parse_json(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e:#}"))
}

fn error(line: impl AsRef<[u8]>) -> String {
    format!("{:#}", parse_json(line.as_ref()).unwrap_err())
}

fn header(name: &[u8], value: Option<&[u8]>) -> OwnedHeader {
    (name.to_vec(), value.map(<[u8]>::to_vec))
}

const RECORD: RecordRef<'_> = RecordRef {
    topic: "foo",
    partition: 0,
    offset: 42,
    leader_epoch: None,
    timestamp: Timestamp::Create(1_700_000_000_000),
    key: Some(b"a"),
    value: Some(b"b"),
    headers: &[Header { name: b"h", value: Some(b"v") }, Header { name: b"h", value: None }],
};

#[test]
fn a_record_is_written_as_documented() {
    assert_eq!(
        written(&RECORD),
        r#"{"topic":"foo","partition":0,"offset":42,"timestamp":1700000000000,"key":"a","value":"b","headers":[["h","v"],["h",null]]}"#
    );
}

#[test]
fn null_is_null_and_empty_is_empty() {
    let record =
        RecordRef { key: None, value: Some(b""), timestamp: Timestamp::None, headers: &[], ..RECORD };
    assert_eq!(
        written(&record),
        r#"{"topic":"foo","partition":0,"offset":42,"key":null,"value":"","headers":[]}"#
    );
}

#[test]
fn bytes_that_are_not_utf8_go_in_base64() {
    let headers = [Header { name: b"\xff", value: Some(b"v") }, Header { name: b"n", value: Some(b"\xfe") }];
    let record = RecordRef { key: Some(b"\xff"), value: Some(b"\x00\x80"), headers: &headers, ..RECORD };
    let line = written(&record);
    assert!(line.contains(r#""key_base64":"/w==","value_base64":"AIA=""#), "{line}");
    assert!(line.ends_with(r#""headers":[[{"base64":"/w=="},"v"],["n",{"base64":"/g=="}]]}"#), "{line}");
}

#[test]
fn only_a_value_is_needed() {
    assert_eq!(read(r#"{"value":"v"}"#), JsonRecord { value: Some(b"v".into()), ..JsonRecord::default() });
    assert_eq!(read(r#"{"value":null}"#), JsonRecord::default());
    assert_eq!(read(r#" {"value_base64":"AP8="} "#).value.as_deref(), Some(&[0, 255][..]));
    let nulls = r#"{"topic":null,"partition":null,"timestamp":null,"key":null,"value":null,"headers":null}"#;
    assert_eq!(read(nulls), JsonRecord::default());
}

#[test]
fn kcats_record_is_understood() {
    let record = read(
        r#"{"topic":"t","partition":3,"offset":7,"tstype":"create","ts":1700000000000,"broker":1,"headers":["h","v","n",null],"key":"k","payload":"p"}"#,
    );
    assert_eq!(
        record,
        JsonRecord {
            topic: Some("t".into()),
            partition: Some(3),
            timestamp: Some(1_700_000_000_000),
            key: Some(b"k".into()),
            value: Some(b"p".into()),
            headers: vec![header(b"h", Some(b"v")), header(b"n", None)],
        }
    );
}

#[test]
fn a_null_that_kcat_could_not_decode_is_no_tombstone() {
    let line = r#"{"topic":"t","key":null,"payload":null,"payload_error":"schema 7 unknown"}"#;
    assert!(error(line).contains("schema 7 unknown"));
}

#[test]
fn the_records_of_rpk_and_kaf_are_understood() {
    let rpk = read(
        r#"{"topic":"t","key":"k","value":"v","headers":[{"key":"h","value":"v"},{"key":"e","value":""}],"timestamp":1700000000000,"partition":0,"offset":1}"#,
    );
    assert_eq!(rpk.headers, [header(b"h", Some(b"v")), header(b"e", Some(b""))]);
    let kaf = read(
        r#"{"topic":"t","partition":0,"offset":0,"timestamp":"2023-11-14T23:13:20.5+01:00","headers":[{"key":"h1","value":"hv1"}],"key":"1","payload":"{data:1}"}"#,
    );
    assert_eq!(kaf.timestamp, Some(1_700_000_000_500));
    assert_eq!(kaf.value.as_deref(), Some(&b"{data:1}"[..]));
    assert_eq!(kaf.headers, [header(b"h1", Some(b"hv1"))]);
}

#[test]
fn escapes_of_json_are_replaced() {
    let record = read(r#"{"v\u0061lue":"\u00e9\ud83e\udd80\"\\\/\b\f\n\r\t\u0000"}"#);
    assert_eq!(record.value.unwrap(), "é🦀\"\\/\u{8}\u{c}\n\r\t\0".as_bytes());
}

#[test]
fn a_timestamp_of_minus_one_is_none() {
    assert_eq!(read(r#"{"value":"","timestamp":-1}"#).timestamp, None);
    assert_eq!(read(r#"{"value":"","timestamp":-2}"#).timestamp, Some(-2));
}

#[test]
fn what_is_no_record_is_an_error_that_says_why() {
    let cases = [
        ("", "the line is empty"),
        ("hello", "expected value"),
        ("{}", "no value"),
        (r#"{"key":"k"}"#, r#"a tombstone is "value":null"#),
        ("[1]", r#"expected an object such as {"key":"k","value":"v"}"#),
        (r#""text""#, "expected an object"),
        (r#"{"value":"v"} x"#, "trailing characters"),
        (r#"{"value":"v""#, "EOF"),
        (r#"{"value":5}"#, r#"integer `5`, expected a string or null as "value""#),
        (r#"{"value":{"a":1}}"#, "JSON within it is written as a string"),
        (r#"{"value":"v","key":["k"]}"#, r#"expected a string or null as "key""#),
        (r#"{"value":"v","value_base64":"dg=="}"#, r#"both "value" and "value_base64" give the value"#),
        (r#"{"payload":"v","value":"v"}"#, r#"both "payload" and "value""#),
        (r#"{"value":"v","value":"w"}"#, r#""value" is given twice"#),
        (r#"{"value":null,"value":"w"}"#, r#""value" is given twice"#),
        (r#"{"value":"v","ts":1,"timestamp":1}"#, r#"both "ts" and "timestamp""#),
        (r#"{"value":"v","Key":"k"}"#, r#"unknown field "Key": write "key""#),
        (r#"{"value_base64":"?"}"#, r#""value_base64" is not base64"#),
        (r#"{"value_base64":"dg"}"#, "padded"),
        (r#"{"value":"v","partition":-1}"#, "expected a number from 0 on"),
        (r#"{"value":"v","partition":2147483648}"#, "expected a number from 0 on"),
        (r#"{"value":"v","partition":"0"}"#, "expected a number from 0 on"),
        (r#"{"value":"v","timestamp":1.5}"#, "expected whole milliseconds"),
        (r#"{"value":"v","timestamp":"noon"}"#, "RFC 3339"),
        (r#"{"value":"v","timestamp":9223372036854775808}"#, "expected whole milliseconds"),
        (r#"{"value":"v","topic":1}"#, r#"as "topic""#),
        (r#"{"value":"v","headers":{"h":"v"}}"#, r#"expected an array or null as "headers""#),
        (r#"{"value":"v","headers":["h"]}"#, "a name and no value"),
        (r#"{"value":"v","headers":[["h"]]}"#, "a header's name and its value"),
        (r#"{"value":"v","headers":[["h","v","w"]]}"#, "a header's name and its value"),
        (r#"{"value":"v","headers":[[null,"v"]]}"#, "name is null"),
        (
            r#"{"value":"v","headers":[["h",1]]}"#,
            r#"expected a string, null or {"base64":"…"} as a header's value"#,
        ),
        (r#"{"value":"v","headers":[["a\u0000b","v"]]}"#, "a header's name holds a NUL"),
        (r#"{"value":"v","headers":["a\u0000b","v"]}"#, "a header's name holds a NUL"),
        (r#"{"value":"v","headers":[null]}"#, "expected a header such as"),
        (r#"{"value":"v","headers":["h",["x","y"]]}"#, "as a header's value"),
        (r#"{"value":"v","headers":[{"value":"v"}]}"#, "missing field `key`"),
        (r#"{"value":"v","headers":[{"key":"h","valeu":"v"}]}"#, "unknown field `valeu`"),
        (r#"{"value":"v","headers":[["h",{"base64":"?"}]]}"#, "not base64"),
        (r#"{"value":"v","headers":[["h",{}]]}"#, "missing field `base64`"),
        (r#"{"value":"\ud800"}"#, "not a JSON record"),
    ];
    for (line, why) in cases {
        let error = error(line);
        assert!(error.starts_with("not a JSON record") && error.contains(why), "{line}: {error}");
        assert!(!error.contains("line 1"), "the line's number is the caller's to say: {error}");
    }
}

#[test]
fn a_line_that_is_not_utf8_is_told_of_base64() {
    let error = error(b"{\"value\":\"\xff\"}");
    assert!(error.contains("byte 11 is not UTF-8") && error.contains("value_base64"), "{error}");
}

#[test]
fn fields_that_kq_does_not_know_are_passed_over() {
    let record = read(r#"{"leader_epoch":{"deep":[1,2,{"x":null}]},"value":"v","offset":"whatever"}"#);
    assert_eq!(record.value.as_deref(), Some(&b"v"[..]));
}

/// Bytes that are often text full of what needs escapes, and often no text at all.
#[test]
fn no_depth_overflows_the_stack() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let line = format!(r#"{{"value":"v","other":{}}}"#, deep(1_000_000));
    let record = parse_json(line.as_bytes()).unwrap();
    assert_eq!(record.value.as_deref(), Some(b"v".as_slice()));
    for field in ["value", "key", "headers", "timestamp"] {
        let line = format!(r#"{{"value":"v","{field}":{}}}"#, deep(1_000_000));
        assert!(parse_json(line.as_bytes()).is_err(), "{field}");
    }
    assert!(parse_json(deep(1_000_000).as_bytes()).is_err());
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
        "[\"\\\\a-d\u{0}-\u{21}\u{7f}-\u{82}é🦀]{0,40}".prop_map(String::into_bytes),
    ]
}

/// A header's name, which holds no NUL.
fn name() -> impl Strategy<Value = Vec<u8>> {
    bytes().prop_map(|bytes| bytes.into_iter().filter(|&byte| byte != 0).collect())
}

fn maybe_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(bytes())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_is_json(
        topic in any::<String>(), partition in 0..=i32::MAX, offset: i64, millis in prop::option::of(any::<i64>()),
        key in maybe_bytes(), value in maybe_bytes(), headers in prop::collection::vec((name(), maybe_bytes()), 0..4),
    ) {
        let millis = millis.filter(|ms| *ms != -1);
        let borrowed: Vec<_> = headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
        let line = written(&RecordRef {
            topic: &topic,
            partition,
            offset,
            leader_epoch: None,
            timestamp: millis.map_or(Timestamp::None, Timestamp::Create),
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &borrowed,
        });
        prop_assert!(!line.bytes().any(|b| b < 0x20), "one record, one line: {}", line);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(json["topic"].as_str(), Some(topic.as_str()));
        prop_assert_eq!(json["offset"].as_i64(), Some(offset));
        if let Some(text) = value.as_deref().and_then(|value| std::str::from_utf8(value).ok()) {
            prop_assert_eq!(json["value"].as_str(), Some(text));
        }
        let (key, value) = (key.map(Cow::Owned), value.map(Cow::Owned));
        let expected = JsonRecord { topic: Some(topic), partition: Some(partition), timestamp: millis, key, value, headers };
        prop_assert_eq!(parse_json(line.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn no_line_panics(line in any::<Vec<u8>>(), likely in r#"(\{|\}|\[|\]|:|,|null|"(value|key|headers|base64|ts)"|1|-1|"\\u00)*"#) {
        let _ = parse_json(&line);
        let _ = parse_json(likely.as_bytes());
    }

    #[test]
    fn a_damaged_line_is_an_error_or_another_record_but_no_panic(at in 0usize..120, byte: u8) {
        let mut line = written(&RECORD).into_bytes();
        line[at] = byte;
        let _ = parse_json(&line);
        line.truncate(at);
        prop_assert!(parse_json(&line).is_err());
    }
}
