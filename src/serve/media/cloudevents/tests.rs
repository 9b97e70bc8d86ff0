//! The scenarios of the specification's conformance suite, and the edges of the two modes.

use super::*;
use crate::serve::media::testing::{headers, records, topic};
use crate::serve::media::{Kind, kind};
use crate::serve::settings::{KeyFrom, Topic};

/// The record of an event.
fn draft(mode: Mode, body: &Bytes, headers: &HeaderMap) -> Result<Draft, Problem> {
    records(Kind::Event(mode), body, headers, &topic()).map(|mut drafts| drafts.remove(0))
}

/// The mode that a request's headers say.
fn mode_of(headers: &HeaderMap) -> Result<Option<Mode>, Problem> {
    kind(headers, &topic()).map(|kind| if let Kind::Event(mode) = kind { Some(mode) } else { None })
}

fn pairs(draft: &Draft) -> Vec<(&str, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    draft.headers.iter().map(|(name, value)| (text(name), text(value.as_deref().unwrap()))).collect()
}

const BINARY: [(&str, &str); 6] = [
    ("ce-specversion", "1.0"),
    ("ce-type", "com.example.someevent"),
    ("ce-time", "2018-04-05T03:56:24Z"),
    ("ce-id", "1234-1234-1234"),
    ("ce-source", "/mycontext/subcontext"),
    ("content-type", "application/json"),
];

fn refusal(mode: Mode, body: &str, pairs: &[(&str, &str)]) -> String {
    let problem = draft(mode, &Bytes::copy_from_slice(body.as_bytes()), &headers(pairs)).unwrap_err();
    assert_eq!((problem.status.as_u16(), problem.code), (400, "invalid_event"));
    problem.detail
}

// features/http-protocol-binding.feature in, features/kafka-protocol-binding.feature out.
#[test]
fn binary_content_mode() {
    for content_type in ["application/json", "application/json; charset=utf-8"] {
        let mut given = BINARY;
        given[5].1 = content_type;
        let headers = headers(&given);
        assert_eq!(mode_of(&headers).unwrap(), Some(Mode::Binary));
        let body = Bytes::from_static(b"{\n    \"message\": \"Hello World!\"\n}");
        let draft = draft(Mode::Binary, &body, &headers).unwrap();
        assert_eq!(draft.value, Some(body));
        let expected = [
            ("content-type", content_type),
            ("ce_specversion", "1.0"),
            ("ce_type", "com.example.someevent"),
            ("ce_time", "2018-04-05T03:56:24Z"),
            ("ce_id", "1234-1234-1234"),
            ("ce_source", "/mycontext/subcontext"),
        ];
        assert_eq!(pairs(&draft), expected);
    }
}

const STRUCTURED_BODY: &str = r#"{
    "specversion": "1.0",
    "type": "com.example.someevent",
    "time": "2018-04-05T03:56:24Z",
    "id": "1234-1234-1234",
    "source": "/mycontext/subcontext",
    "datacontenttype": "application/json",
    "data": {
        "message": "Hello World!"
    }
}"#;

#[test]
fn structured_content_mode() {
    for content_type in ["application/cloudevents+json", "application/CloudEvents+JSON; charset=utf-8"] {
        let headers = headers(&[("content-type", content_type)]);
        assert_eq!(mode_of(&headers).unwrap(), Some(Mode::Structured));
        let body = Bytes::from_static(STRUCTURED_BODY.as_bytes());
        let draft = draft(Mode::Structured, &body, &headers).unwrap();
        assert_eq!(draft.value, Some(body.clone()));
        assert_eq!(pairs(&draft), [("content-type", content_type)]);
        assert_eq!(data(&body).unwrap(), "{\n        \"message\": \"Hello World!\"\n    }");
    }
}

#[test]
fn the_type_decides_over_the_headers_and_an_unknown_format_is_refused() {
    let with = |content_type| {
        let mut given = BINARY;
        given[5].1 = content_type;
        mode_of(&headers(&given))
    };
    assert_eq!(with("application/cloudevents+json"), Ok(Some(Mode::Structured)));
    assert_eq!(with("text/plain"), Ok(Some(Mode::Binary)));
    assert_eq!(with("application/cloudevents+json; charset=latin1").unwrap_err().status, 415);
    assert_eq!(with("text/plain; charset=latin1"), Ok(Some(Mode::Binary)));
    for wrong in
        ["application/cloudevents-batch+json", "application/cloudevents", "Application/CloudEvents+Avro; a=b"]
    {
        assert_eq!(with(wrong).unwrap_err().status, 415, "{wrong}");
    }
}

#[test]
fn some_of_the_attributes_that_must_be_there_are_not_enough() {
    assert_eq!(mode_of(&headers(&[("content-type", "application/json")])), Ok(None));
    assert_eq!(mode_of(&headers(&[("ce-time", "x"), ("content-type", "application/json")])), Ok(None));
    let problem = mode_of(&headers(&BINARY[..3])).unwrap_err();
    assert_eq!((problem.status.as_u16(), &*problem.detail), (400, "a CloudEvent needs ce-id, ce-source"));
}

#[test]
fn an_event_without_data_is_a_tombstone_in_binary_mode_alone() {
    let draft_of =
        |mode, body: &'static str| draft(mode, &Bytes::from_static(body.as_bytes()), &headers(&BINARY[..5]));
    let draft = draft_of(Mode::Binary, "").unwrap();
    assert_eq!(draft.value, None);
    assert_eq!(pairs(&draft)[0].0, "ce_specversion", "no type, no header");
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
    assert_eq!(draft_of(Mode::Structured, event).unwrap().value.unwrap(), event);
    assert_eq!(data(&Bytes::from_static(event.as_bytes())), None);
}

#[test]
fn attributes_in_headers_are_decoded_and_checked() {
    let with = |name, value| {
        let given: Vec<_> =
            BINARY.into_iter().filter(|(other, _)| *other != name).chain([(name, value)]).collect();
        draft(Mode::Binary, &Bytes::new(), &headers(&given)).map_err(|problem| problem.detail)
    };
    let decoded = with("ce-subject", "Euro%20%E2%82%AC").unwrap();
    assert_eq!(pairs(&decoded).last(), Some(&("ce_subject", "Euro \u{20AC}")));
    let partition_key_of = |value| partition_key(Mode::Binary, b"", &headers(&[("ce-partitionkey", value)]));
    assert_eq!(partition_key_of("a%20b").as_deref(), Some("a b"));
    for (name, value, expected) in [
        ("ce-id", "", "ce-id: is empty"),
        ("ce-id", "%C0%A0", "ce-id: not UTF-8 after percent-decoding"),
        ("ce-specversion", "0.3", "ce-specversion: is not 1.0, which is what this endpoint takes"),
        ("ce-a", "%00", "ce-a: U+0000 is not allowed in an attribute"),
        ("ce-my_name", "1", "ce-my_name: no name of an attribute (a-z and 0-9)"),
        ("ce-data", "1", "ce-data: no name of an attribute (a-z and 0-9)"),
        ("ce-datacontenttype", "a/b", "ce-datacontenttype must not be there: Content-Type is it"),
    ] {
        assert_eq!(with(name, value).unwrap_err(), expected);
    }
    let twice = [&BINARY[..], &[("ce-id", "2")]].concat();
    assert_eq!(refusal(Mode::Binary, "", &twice), "ce-id is given twice");
}

#[test]
fn attributes_in_json_are_checked() {
    let refused = |body: &str| refusal(Mode::Structured, body, &[]);
    let event = |more: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{more}}}"#);
    for (more, expected) in [
        (r#","id":"2""#, "\"id\" is given twice"),
        (r#","subject":"""#, "\"subject\": is empty"),
        (r#","subject":1"#, "\"subject\": must be a string, not a number"),
        (r#","time":"now""#, "\"time\": is not a time by RFC 3339, such as 2018-04-05T17:31:00Z"),
        (r#","a_b":"1""#, "\"a_b\": no name of an attribute (a-z and 0-9)"),
        (r#","ext":1.5"#, "\"ext\": must be a whole number of 32 bits"),
        (r#","ext":4294967296"#, "\"ext\": must be a whole number of 32 bits"),
        (r#","ext":{}"#, "\"ext\": must be a string, a boolean or a whole number, not an object"),
        (r#","ext":"\ud800""#, "\"ext\": half of a surrogate pair in it"),
        (r#","ext":"\u0000""#, "\"ext\": U+0000 is not allowed in an attribute"),
        (r#","data":1,"data_base64":"""#, "both \"data\" and \"data_base64\" give the data: give one"),
        (r#","data_base64":"*""#, "\"data_base64\": not base64"),
        (r#","data_base64":1"#, "\"data_base64\": must be a string of base64, not a number"),
    ] {
        assert_eq!(refused(&event(more)), expected);
    }
    assert_eq!(refused("[]"), "must be an object, not an array");
    assert_eq!(refused(r#"{"specversion":"1.0","id":null}"#), "a CloudEvent needs id, source, type");
    assert!(refused(" ").contains("empty") && refused("{").contains("not JSON"));
    for more in [
        "",
        r#","ext":-1,"flag":true,"text":"","nothing":null"#,
        r#","data":{"deep":[[[]]]},"data_base64":null"#,
        r#","data_base64":"AP8=""#,
    ] {
        let body = Bytes::from(event(more));
        assert_eq!(draft(Mode::Structured, &body, &HeaderMap::new()).unwrap().value, Some(body));
    }
    assert_eq!(data(&Bytes::from(event(r#","data_base64":"AP8=""#))).unwrap(), &[0, 255][..]);
    let key = |more: &str| partition_key(Mode::Structured, event(more).as_bytes(), &HeaderMap::new());
    assert_eq!(key(r#","partitionkey":"\u00e9""#).as_deref(), Some("é"));
    assert_eq!(key(r#","partitionkey":7"#).as_deref(), Some("7"));
    assert_eq!(key(r#","partitionkey":null"#), None);
    assert_eq!(key(""), None);
}

#[test]
fn the_attribute_partitionkey_is_the_key_where_that_is_asked_for() {
    let topic = Topic { key_from: Some(KeyFrom::PartitionKey), ..topic() };
    let binary = headers(&[&BINARY[..], &[("ce-partitionkey", "a%20b")]].concat());
    let drafts = records(Kind::Event(Mode::Binary), &Bytes::new(), &binary, &topic).unwrap();
    assert_eq!(drafts[0].key.as_deref(), Some(&b"a b"[..]));
    assert!(pairs(&drafts[0]).contains(&("ce_partitionkey", "a b")), "it stays an attribute");
    let without = records(Kind::Event(Mode::Binary), &Bytes::new(), &headers(&BINARY), &topic);
    assert!(without.unwrap_err().detail.contains("partitionkey"));
}

#[test]
fn a_schema_is_for_the_data() {
    let schema = br#"{"type":"object","required":["message"]}"#;
    let topic = Topic { validator: Some(Validator::schema(schema).unwrap()), ..topic() };
    let read = |mode, body: String, headers: &HeaderMap| {
        records(Kind::Event(mode), &Bytes::from(body), headers, &topic).map_err(|problem| problem.detail)
    };
    let event = |data: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{data}}}"#);
    let structured = |data: &str| read(Mode::Structured, event(data), &HeaderMap::new());
    for data in [r#","data":{"message":1}"#, r#","data_base64":"eyJtZXNzYWdlIjoxfQ==""#, ""] {
        assert!(structured(data).is_ok(), "{data}");
    }
    for data in [r#","data":{}"#, r#","data":"{}""#, r#","data_base64":"e30=""#] {
        assert!(structured(data).unwrap_err().starts_with("data: against the schema"), "{data}");
    }
    let binary = headers(&BINARY);
    assert!(read(Mode::Binary, r#"{"message":1}"#.into(), &binary).is_ok());
    assert!(read(Mode::Binary, String::new(), &binary).is_ok(), "no data");
    assert!(read(Mode::Binary, "{}".into(), &binary).unwrap_err().starts_with("against the schema"));
}

#[test]
fn data_that_is_called_json_is_checked_and_other_data_is_not() {
    let with = |content_type| {
        let mut given = BINARY;
        given[5].1 = content_type;
        draft(Mode::Binary, &Bytes::from_static(b"{"), &headers(&given)).map_err(|problem| problem.detail)
    };
    assert!(with("text/plain").is_ok());
    for json in ["application/json", "Application/Vnd.Order+JSON; charset=utf-8", "text/json"] {
        assert!(with(json).unwrap_err().starts_with("not JSON"), "{json}");
    }
}
