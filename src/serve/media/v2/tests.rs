//! Envelopes as v2's clients send them, and the answers that they read.

use hyper::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::validate::Validator;
use crate::serve::addressing::Named;
use crate::serve::media::{self, Kind, testing};
use crate::serve::settings::Topic;

fn drafts(format: Format, body: &Bytes) -> Result<Vec<Draft>, Problem> {
    testing::records(Kind::V2(format), body, &HeaderMap::new(), &testing::topic())
}

fn read(format: Format, body: &str) -> Result<Vec<Draft>, Problem> {
    drafts(format, &Bytes::copy_from_slice(body.as_bytes()))
}

const FORMATS: [Format; 3] = [Format::Json, Format::Binary, Format::Text];

fn one(format: Format, record: &str) -> Draft {
    let mut drafts = read(format, &format!(r#"{{"records":[{record}]}}"#)).unwrap();
    assert_eq!(drafts.len(), 1);
    drafts.remove(0)
}

fn refused(format: Format, body: &str) -> String {
    let problem = read(format, body).unwrap_err();
    assert_eq!(problem.status, 400, "{body}");
    problem.detail
}

fn key_and_value(draft: Draft) -> (Option<Bytes>, Option<Bytes>) {
    (draft.key, draft.value)
}

#[test]
fn json_arrives_as_it_was_written() {
    let body = Bytes::from_static(
        b" {\"records\" : [ {\"key\": \"k\", \"value\" : { \"a\":1.00 , \"a\":\"\\u00e9\" } } , {\"value\":0},{\"value\":\"\"}, {\"value\":false} ]}\n",
    );
    let drafts = drafts(Format::Json, &body).unwrap();
    let found: Vec<_> = drafts.iter().map(|draft| (draft.key.as_deref(), draft.value.as_deref())).collect();
    assert_eq!(
        found,
        [
            (Some(&b"\"k\""[..]), Some(&br#"{ "a":1.00 , "a":"\u00e9" }"#[..])),
            (None, Some(b"0")),
            (None, Some(b"\"\"")),
            (None, Some(b"false")),
        ]
    );
    let value = drafts[0].value.as_ref().unwrap();
    assert!(body.as_ptr_range().contains(&value.as_ptr()), "a slice of the body, no copy");
}

#[test]
fn binary_is_base64_and_text_is_the_bytes() {
    let bytes = |text: &'static [u8]| Some(Bytes::from_static(text));
    let binary = one(Format::Binary, r#"{"key":"AP8=","value":"Zm9vCg"}"#);
    assert_eq!(key_and_value(binary), (bytes(b"\x00\xff"), bytes(b"foo\n")));
    let text = one(Format::Text, r#"{"key":"k","value":"a\n\u20ac"}"#);
    assert_eq!(key_and_value(text), (bytes(b"k"), bytes("a\n\u{20AC}".as_bytes())));
    assert_eq!(key_and_value(one(Format::Text, r#"{"value":""}"#)), (None, bytes(b"")));
    assert_eq!(key_and_value(one(Format::Binary, r#"{"value":""}"#)), (None, bytes(b"")));
}

#[test]
fn null_is_a_tombstone_in_each_format() {
    for format in FORMATS {
        let key = Some(Bytes::from_static(if format == Format::Json { b"\"YQ==\"" } else { b"YQ==" }));
        let key = if format == Format::Binary { Some(Bytes::from_static(b"a")) } else { key };
        assert_eq!(key_and_value(one(format, r#"{"key":"YQ==","value":null}"#)), (key.clone(), None));
        assert_eq!(key_and_value(one(format, r#"{"key":"YQ=="}"#)), (key, None));
        assert_eq!(key_and_value(one(format, r#"{"key":null,"value":null}"#)), (None, None));
    }
}

#[test]
fn a_record_says_its_partition_time_and_headers() {
    let draft = one(
        Format::Json,
        r#"{"value":1,"partition":3,"timestamp":1600000000000,
            "headers":[{"key":"a","value":"AP8="},{"value":null,"key":"b"},{"key":"a","value":""},{"key":"c"}]}"#,
    );
    assert_eq!((draft.partition, draft.timestamp), (Some(3), Some(1_600_000_000_000)));
    let header = |name: &str, value: Option<&[u8]>| (name.as_bytes().to_vec(), value.map(<[u8]>::to_vec));
    let expected =
        [header("a", Some(b"\x00\xff")), header("b", None), header("a", Some(b"")), header("c", None)];
    assert_eq!(draft.headers, expected);
    let nulls = one(Format::Json, r#"{"value":1,"partition":null,"timestamp":null,"headers":null}"#);
    assert_eq!((nulls.partition, nulls.timestamp, nulls.headers), (None, None, vec![]));
}

#[test]
fn what_is_unknown_or_twice_is_refused() {
    for (body, expected) in [
        (r#"{"records":[]}"#, "\"records\" is empty"),
        (r#"{"foo":"bar"}"#, "unknown field \"foo\""),
        ("{}", "\"records\" is missing"),
        (r#"{"records":"should be an array"}"#, "\"records\" must be an array, not a string"),
        (r#"{"records":["object with value"]}"#, "records[0]: must be an object, not a string"),
        (r#"{"records":[{"valur":{"foo":"bar"}}]}"#, "records[0]: unknown field \"valur\""),
        (r#"{"records":[{"value":1},{}]}"#, "records[1]: \"value\" is missing"),
        (r#"{"records":[{"value":1,"value":2}]}"#, "records[0]: \"value\" is given twice"),
        (r#"{"records":[{"value":1}],"records":[]}"#, "\"records\" is given twice"),
        (r#"{"records":[{"value":1}],"value_schema_id":1}"#, "\"value_schema_id\" goes with"),
        (
            r#"{"records":[{"value":1,"partition":-1}]}"#,
            "records[0]: \"partition\" must be a number from 0 on, not -1",
        ),
        (r#"{"records":[{"value":1,"partition":"0"}]}"#, "records[0]: \"partition\" must be a number"),
        (r#"{"records":[{"value":1,"timestamp":0}]}"#, "records[0]: timestamp 0 can't be kept"),
        (
            r#"{"records":[{"value":1,"timestamp":1.5}]}"#,
            "records[0]: \"timestamp\" must be whole milliseconds",
        ),
        (
            r#"{"records":[{"value":1,"headers":{}}]}"#,
            "records[0]: \"headers\" must be an array, not an object",
        ),
        (r#"{"records":[{"value":1,"headers":[["a","b"]]}]}"#, "records[0]: a header must be an object"),
        (r#"{"records":[{"value":1,"headers":[{"value":""}]}]}"#, "records[0]: a header must be an object"),
        (
            r#"{"records":[{"value":1,"headers":[{"key":"a","value":"*"}]}]}"#,
            "records[0]: header \"a\": \"value\" is not base64",
        ),
        (r#"{"records":[{"value":1}]"#, "not JSON: EOF"),
        ("", "the body is empty"),
        (" ", "not JSON: it is empty"),
        ("[]", "the body must be an object such as"),
    ] {
        let detail = refused(Format::Json, body);
        assert!(detail.starts_with(expected), "{body}: {detail}");
    }
    assert!(read(Format::Json, r#"{"records":[{"value":1}],"value_schema_id":null}"#).is_ok());
    for record in [r#"{"value":"not base64"}"#, r#"{"value":{"a":1}}"#, r#"{"value":1}"#] {
        let detail = refused(Format::Binary, &format!(r#"{{"records":[{record}]}}"#));
        assert!(detail.starts_with("records[0]: \"value\" ") && detail.contains("base64"), "{detail}");
    }
    assert_eq!(
        refused(Format::Text, r#"{"records":[{"value":{"a":1}}]}"#),
        "records[0]: \"value\" must be a string in this type, not an object"
    );
    assert!(refused(Format::Text, r#"{"records":[{"value":"\ud800"}]}"#).contains("must be a string"));
}

#[test]
fn all_wrong_records_are_named_and_too_many_are_refused() {
    let problem = read(Format::Json, r#"{"records":[{"a":1},{"value":1},{"b":1}]}"#).unwrap_err();
    assert_eq!(problem.errors.iter().map(|wrong| wrong.index).collect::<Vec<_>>(), [0, 2]);
    let body = |count: usize| format!(r#"{{"records":[{}]}}"#, vec![r#"{"value":1}"#; count].join(","));
    assert_eq!(read(Format::Json, &body(100)).unwrap().len(), 100);
    assert!(refused(Format::Json, &body(101)).starts_with("the body has more than 100 records"));
}

#[test]
fn a_partition_of_the_path_is_for_all_records_and_one_that_differs_is_refused() {
    let named = Named { partition: Some(1), ..Named::default() };
    let read = |record: &str| {
        let body = Bytes::from(format!(r#"{{"records":[{record}]}}"#));
        let topic = testing::topic();
        media::drafts(Kind::V2(Format::Json), &body, &named, &HeaderMap::new(), &topic, &testing::limits(1))
    };
    assert_eq!(read(r#"{"value":1}"#).unwrap()[0].partition, Some(1));
    assert_eq!(read(r#"{"value":1,"partition":1}"#).unwrap()[0].partition, Some(1));
    let problem = read(r#"{"value":1,"partition":2}"#).unwrap_err();
    assert_eq!(problem.detail, "records[0]: its partition is 2, and the request's is 1");
}

#[test]
fn a_schema_is_for_each_value_and_json_alone_for_those_that_are_json() {
    let schema =
        |text: &[u8]| Topic { validator: Some(Validator::schema(text).unwrap()), ..testing::topic() };
    let topic = schema(br#"{"type":"object"}"#);
    let read = |format, body: &'static str, topic: &Topic| {
        testing::records(Kind::V2(format), &Bytes::from_static(body.as_bytes()), &HeaderMap::new(), topic)
    };
    assert!(read(Format::Json, r#"{"records":[{"value":{}}]}"#, &topic).is_ok());
    for (format, body) in [
        (Format::Json, r#"{"records":[{"value":1}]}"#),
        (Format::Text, r#"{"records":[{"value":"1"}]}"#),
        (Format::Binary, r#"{"records":[{"value":"MQ=="}]}"#),
    ] {
        assert!(read(format, body, &topic).unwrap_err().detail.contains("against the schema"), "{body}");
    }
    assert!(read(Format::Text, r#"{"records":[{"value":"no JSON"}]}"#, &testing::topic()).is_ok());
    let beyond = r#"{"records":[{"value":1e999}]}"#;
    assert!(read(Format::Json, beyond, &testing::topic()).unwrap_err().detail.contains("out of range"));
    let any = Topic { validator: None, ..testing::topic() };
    assert_eq!(read(Format::Json, beyond, &any).unwrap()[0].value.as_deref(), Some(&b"1e999"[..]));
}

#[test]
fn an_answer_has_the_shape_of_v2() {
    let reports = [
        Report::Acknowledged { partition: 0, offset: 42 },
        Report::Failed { status: StatusCode::SERVICE_UNAVAILABLE, why: "no broker" },
        Report::Failed { status: StatusCode::GATEWAY_TIMEOUT, why: "timed out" },
    ];
    let expected = json!({
        "offsets": [
            {"partition": 0, "offset": 42, "error_code": null, "error": null},
            {"partition": null, "offset": null, "error_code": 50003, "error": "no broker"},
            {"partition": null, "offset": null, "error_code": 50002, "error": "timed out"},
        ],
        "key_schema_id": null,
        "value_schema_id": null,
    });
    assert_eq!(serde_json::from_slice::<Value>(&answer(reports)).unwrap(), expected);
}

#[test]
fn a_refusal_has_a_code_of_v2() {
    let code = |status: u16, fate| {
        let status = StatusCode::from_u16(status).unwrap();
        let problem = Problem { fate, ..Problem::new(status, "code", "title", "why \"it\" is") };
        let body: Value = serde_json::from_slice(&refusal(&problem)).unwrap();
        assert_eq!(body["message"], "why \"it\" is");
        body["error_code"].as_u64().unwrap()
    };
    for (status, expected) in [
        (400, 42201),
        (401, 40101),
        (403, 40301),
        (404, 40401),
        (408, 40801),
        (413, 41301),
        (415, 42201),
        (422, 42201),
        (429, 42901),
        (502, 50002),
        (503, 50003),
        (504, 50002),
    ] {
        assert_eq!(code(status, Fate::NotSent), expected, "{status}");
    }
    assert_eq!(code(503, Fate::Unknown), 50002);
}

proptest! {
    #[test]
    fn a_json_value_is_sliced_byte_for_byte(
        values in prop::collection::vec("[ -~\u{80}-\u{2FFFF}]{0,20}", 1..5),
        space in "[ \t\r\n]{0,3}",
    ) {
        let texts: Vec<String> = values
            .iter()
            .map(|text| format!("{{{space}\"a\"{space}:[{},{space}1e5{space}]}}", serde_json::to_string(text).unwrap()))
            .collect();
        let records: Vec<String> = texts.iter().map(|text| format!("{{\"value\"{space}:{space}{text}{space}}}")).collect();
        let body = format!("{space}{{\"records\":[{}]{space}}}{space}", records.join(&format!("{space},{space}")));
        let drafts = read(Format::Json, &body).unwrap();
        let found: Vec<_> = drafts.iter().map(|draft| draft.value.as_deref().unwrap()).collect();
        prop_assert_eq!(found, texts.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn no_envelope_panics(body in any::<Vec<u8>>(), record in "[\\[\\]{}\",:\\\\ a0]{0,12}") {
        let near = format!(r#"{{"records":[{{"value":{record}}}]}}"#);
        for format in FORMATS {
            let _ = drafts(format, &Bytes::from(body.clone()));
            let _ = drafts(format, &Bytes::from(near.clone()));
        }
    }
}
