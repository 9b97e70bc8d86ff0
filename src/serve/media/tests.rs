//! Bodies of JSON, of lines and of kq's records, and what a request gives to each of its records.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::record::OwnedHeader;
use crate::record::validate::Validator;
use crate::serve::settings::KeyFrom;

/// A request under test.
struct Sent {
    kind: Kind,
    topic: Topic,
    named: Named,
    headers: HeaderMap,
    limits: Limits,
}

fn sent(kind: Kind) -> Sent {
    let second = Duration::from_secs(1);
    Sent {
        kind,
        topic: Topic { name: Arc::from("orders"), validator: Some(Validator::Json), ..Topic::default() },
        named: Named::default(),
        headers: HeaderMap::new(),
        limits: Limits {
            body: 1 << 20,
            records: 10_000,
            pending: 20 << 20,
            connections: 1,
            rate: None,
            head_timeout: second,
            body_timeout: second,
            idle_timeout: second,
        },
    }
}

impl Sent {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn drafts(&self, body: impl AsRef<[u8]>) -> Result<Vec<Draft>, Problem> {
        let body = Bytes::copy_from_slice(body.as_ref());
        drafts(self.kind, &body, &self.named, &self.headers, &self.topic, &self.limits)
    }

    fn values(&self, body: impl AsRef<[u8]>) -> Vec<Option<Bytes>> {
        self.drafts(body).unwrap().into_iter().map(|draft| draft.value).collect()
    }

    fn keys(&self, body: &str) -> Vec<Option<Bytes>> {
        self.drafts(body).unwrap().into_iter().map(|draft| draft.key).collect()
    }

    /// What is wrong, by record; of a request that is 400.
    fn wrong(&self, body: impl AsRef<[u8]>) -> Vec<(usize, String)> {
        let problem = self.drafts(body).unwrap_err();
        assert_eq!((problem.status, problem.code), (StatusCode::BAD_REQUEST, "invalid_record"));
        assert_eq!(problem.detail, problem.errors[0].detail);
        problem.errors.into_iter().map(|wrong| (wrong.index, wrong.detail)).collect()
    }
}

fn header(name: &str, value: &str) -> OwnedHeader {
    (name.as_bytes().to_vec(), Some(value.as_bytes().to_vec()))
}

#[test]
fn a_json_body_is_one_value_byte_for_byte() {
    for body in ["{\"a\":1}", " [1,\r\n2] \n", "null", "{\"a\":1,\"a\":2}", "\"\\ud834\\udd1e\"", "1e308"] {
        assert_eq!(sent(Kind::Json).values(body), [Some(Bytes::from(body))]);
    }
    let own = Draft { value: Some("{}".into()), ..Draft::default() };
    assert_eq!(sent(Kind::Json).drafts("{}"), Ok(vec![own]));
}

#[test]
fn a_json_body_that_is_none_is_refused_with_its_reason() {
    for (body, reason) in [
        (b"{\"a\":}" as &[u8], "not JSON: expected value (column 6)"),
        (b"{}\n{}", "not JSON: trailing characters (line 2, column 1)"),
        (b" ", "not JSON: it is empty"),
        (b"\xef\xbb\xbf{}", "not JSON: it begins with a byte order mark"),
        (b"\"\xff\"", "not JSON: byte 2 is not UTF-8"),
        (b"1e999", "not JSON that every parser reads: a number out of range (byte 1)"),
        (b"\"\\ud800\"", "not JSON that every parser reads: half of a surrogate pair (byte 2)"),
    ] {
        assert_eq!(sent(Kind::Json).wrong(body), [(0, reason.to_owned())]);
    }
    let unchecked = sent(Kind::Json).with(|s| s.topic.validator = None);
    assert_eq!(unchecked.values(b"\xff{"), [Some(Bytes::from_static(b"\xff{"))]);
}

#[test]
fn no_body_is_no_record() {
    for kind in [Kind::Json, Kind::Lines, Kind::Records] {
        let problem = sent(kind).with(|s| s.topic.validator = None).drafts("").unwrap_err();
        assert_eq!(problem, Problem::bad_request("the body is empty"));
    }
}

#[test]
fn each_line_is_a_value_however_it_ends() {
    let values = |body: &str| {
        let values = sent(Kind::Lines).values(body).into_iter().flatten();
        values.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(values("1\n{\"a\": 2}\n"), ["1", "{\"a\": 2}"]);
    assert_eq!(values("1\n2"), ["1", "2"]);
    assert_eq!(values("1\r\n2\r\n"), ["1", "2"]);
    assert_eq!(values("1\r\n2\r"), ["1", "2"]);
    // One carriage return is a part of the end; white space stays.
    assert_eq!(values(" 1 \r\r\n2"), [" 1 \r", "2"]);
    assert_eq!(values("7"), ["7"]);
}

#[test]
fn one_bad_line_is_no_record_at_all_and_each_bad_line_is_named() {
    assert_eq!(
        sent(Kind::Lines).wrong("{}\n{\"a\":}\n\n1\n\r\n\u{feff}1\nNaN"),
        [
            (1, "line 2: not JSON: expected value (column 6)".to_owned()),
            (2, "line 3: it is empty".to_owned()),
            (4, "line 5: it is empty".to_owned()),
            (5, "line 6: not JSON: it begins with a byte order mark".to_owned()),
            (6, "line 7: not JSON: expected value (column 1)".to_owned()),
        ]
    );
    // No JSON is empty, checked or not.
    let unchecked = sent(Kind::Lines).with(|s| s.topic.validator = None);
    assert_eq!(unchecked.wrong("a\n\n"), [(1, "line 2: it is empty".to_owned())]);
    assert_eq!(unchecked.values("a\n \n").len(), 2);
}

#[test]
fn at_most_a_hundred_wrong_records_are_named_and_shortly() {
    let body = format!("1\n{}", "{\n".repeat(500));
    let wrong = sent(Kind::Lines).wrong(&body);
    assert_eq!((wrong.len(), wrong[0].0, wrong[99].0), (100, 1, 100));
    let schema = sent(Kind::Lines)
        .with(|s| s.topic.validator = Some(Validator::linear_schema(br#"{"type":"integer"}"#).unwrap()));
    let wrong = schema.wrong(format!("1\n\"{}\"\n", "x".repeat(100_000)));
    assert!(wrong[0].1.starts_with("line 2: against the schema: ") && wrong[0].1.len() < 1000);
}

#[test]
fn more_records_than_allowed_are_refused() {
    for (kind, line) in [(Kind::Lines, "1\n"), (Kind::Records, "{\"value\":\"v\"}\n")] {
        let few = sent(kind).with(|s| s.limits.records = 3);
        assert_eq!(few.drafts(line.repeat(3)).unwrap().len(), 3);
        let problem = few.drafts(line.repeat(4)).unwrap_err();
        assert_eq!((problem.status, problem.code), (StatusCode::BAD_REQUEST, "too_many_records"));
        assert!(problem.detail.contains("more than 3 records"), "{}", problem.detail);
    }
}

#[test]
fn a_record_line_says_all_of_its_record() {
    let lines = concat!(
        r#"{"key":"k","value":"no json","headers":[["a","1"],["a",null]],"timestamp":1714559400000}"#,
        "\r\n",
        r#"{"topic":"orders","partition":7,"offset":3,"value":null,"key":"gone"}"#,
        "\n",
        r#"{"value_base64":"/w==","key_base64":"AA=="}"#,
        "\n",
        r#"{"value":"a\nb","ts":-1}"#,
    );
    let draft = |key: Option<&'static [u8]>, value: Option<&'static [u8]>| Draft {
        key: key.map(Bytes::from_static),
        value: value.map(Bytes::from_static),
        ..Draft::default()
    };
    let first = Draft {
        headers: vec![header("a", "1"), (b"a".to_vec(), None)],
        timestamp: Some(1_714_559_400_000),
        ..draft(Some(b"k"), Some(b"no json"))
    };
    let expected =
        [first, draft(Some(b"gone"), None), draft(Some(b"\0"), Some(b"\xff")), draft(None, Some(b"a\nb"))];
    assert_eq!(sent(Kind::Records).drafts(lines).unwrap(), expected);
}

#[test]
fn a_record_line_that_is_wrong_says_why() {
    let wrong = sent(Kind::Records).wrong(concat!(
        "{\"value\":\"v\",\"topic\":\"other\"}\n",
        "{\"key\":\"k\"}\n",
        "{\"value\":\"v\",\"timestamp\":0}\n",
        "{\"value\":\"v\",\"timestamp\":-5}\n",
        "{\"value\":{\"a\":1}}\n",
        "\n",
        "{\"value\":\"v\"} {}\n",
    ));
    let parts = [
        "line 1: its topic is \"other\", and the request's is orders",
        "line 2: not a JSON record: no value",
        "line 3: timestamp 0 can't be kept",
        "line 4: timestamp -5: Kafka has no time before 1970",
        "line 5: not a JSON record: invalid type",
        "line 6: it is empty",
        "line 7: not a JSON record: trailing characters",
    ];
    assert_eq!(wrong.len(), parts.len());
    for ((_, detail), part) in wrong.iter().zip(parts) {
        assert!(detail.starts_with(part), "{detail}");
    }
}

#[test]
fn a_schema_is_for_each_value_and_json_for_what_is_called_json() {
    let line = "{\"value\":\"text\"}";
    assert_eq!(sent(Kind::Records).values(line).len(), 1);
    let schema = sent(Kind::Records)
        .with(|s| s.topic.validator = Some(Validator::linear_schema(br#"{"type":"object"}"#).unwrap()));
    assert_eq!(schema.wrong(line)[0].1, "line 1: not JSON: expected ident (column 2)");
    // A tombstone has no value to check.
    assert_eq!(schema.values("{\"value\":null}\n{\"value\":\"{}\"}").len(), 2);
}

#[test]
fn what_the_request_names_is_for_each_record_that_does_not_say_it_itself() {
    let request = sent(Kind::Records).with(|s| {
        s.named = Named {
            key: Some("all".into()),
            partition: Some(2),
            timestamp: Some(5),
            headers: vec![header("named", "1")],
            ..Named::default()
        };
        s.headers.insert("traceparent", HeaderValue::from_static("t"));
        s.topic.headers = vec![header("fixed", "1")];
    });
    let drafts = request.drafts(
        "{\"value\":\"a\"}\n{\"value\":\"b\",\"key\":\"own\",\"ts\":7,\"headers\":[[\"own\",\"1\"]]}",
    );
    let added = [header("named", "1"), header("traceparent", "t"), header("fixed", "1")];
    let expected = [
        Draft {
            partition: Some(2),
            key: Some("all".into()),
            value: Some("a".into()),
            headers: added.to_vec(),
            timestamp: Some(5),
        },
        Draft {
            partition: Some(2),
            key: Some("own".into()),
            value: Some("b".into()),
            headers: [&[header("own", "1")][..], &added].concat(),
            timestamp: Some(7),
        },
    ];
    assert_eq!(drafts.unwrap(), expected);
}

#[test]
fn a_key_comes_from_the_request_before_it_comes_from_a_place() {
    let at = |key_from: KeyFrom| sent(Kind::Lines).with(|s| s.topic.key_from = Some(key_from));
    let pointer = || KeyFrom::Pointer("/id".parse().unwrap());
    let found = at(pointer()).keys("{\"id\":\"a\\u0062\"}\n{\"id\": 1.0}\n{\"id\":[ 1]}");
    assert_eq!(found, [Some("ab".into()), Some("1.0".into()), Some("[ 1]".into())]);
    let named = at(pointer()).with(|s| s.named.key = Some("named".into()));
    assert_eq!(named.keys("{\"id\":1}\n{}"), [Some("named".into()), Some("named".into())]);
    let of_header = || at(KeyFrom::Header(HeaderName::from_static("x-tenant")));
    let tenant = of_header().with(|s| _ = s.headers.insert("x-tenant", HeaderValue::from_static("t")));
    assert_eq!(tenant.keys("1\n2"), [Some("t".into()), Some("t".into())]);
    for (request, reason) in [
        (at(pointer()), "line 2: no key: the value has nothing at /id, or null"),
        (of_header(), "line 1: no key: the request has no header x-tenant"),
        (
            of_header().with(|s| {
                for tenant in ["t", "u"] {
                    s.headers.append("x-tenant", HeaderValue::from_static(tenant));
                }
            }),
            "line 1: no key: header x-tenant comes more than once",
        ),
        (at(KeyFrom::PartitionKey), "line 1: no key: there is no attribute partitionkey"),
    ] {
        let body = "{\"id\":1}\n{\"id\":null}";
        assert_eq!(request.wrong(body)[0].1, reason);
        let optional = request.with(|s| s.topic.key_optional = true);
        assert_eq!(optional.keys(body).last(), Some(&None));
    }
}

#[test]
fn the_key_of_a_record_line_is_its_own_before_it_is_in_its_value() {
    let request =
        sent(Kind::Records).with(|s| s.topic.key_from = Some(KeyFrom::Pointer("/id".parse().unwrap())));
    let keys = request.keys("{\"key\":\"k\",\"value\":\"x\"}\n{\"value\":\"{\\\"id\\\":7}\"}");
    assert_eq!(keys, [Some("k".into()), Some("7".into())]);
    assert_eq!(request.wrong("{\"value\":null}")[0].1, "line 1: no key: a null value has nothing at /id");
}

#[test]
fn headers_that_would_take_too_much_memory_in_many_records_are_refused() {
    let request = sent(Kind::Lines).with(|s| {
        s.named.headers = vec![header("a", &"x".repeat(10_000))];
        s.limits.body = 100_000;
    });
    assert_eq!(request.drafts("1\n".repeat(79)).unwrap().len(), 79);
    let problem = request.drafts("1\n".repeat(80)).unwrap_err();
    assert_eq!((problem.status, problem.code), (StatusCode::PAYLOAD_TOO_LARGE, "headers_too_large"));
    assert!(problem.detail.contains("10065 bytes"), "{}", problem.detail);
    // One record may have them in any case.
    let small = request.with(|s| s.limits.body = 10);
    assert_eq!(small.drafts("1\n").unwrap().len(), 1);
}

#[test]
fn values_and_keys_are_parts_of_the_body_and_no_copies() {
    let body = Bytes::from_static(b"{\"value\":\"v\",\"key\":\"k\"}\n");
    let Sent { kind, named, headers, topic, limits } = sent(Kind::Records);
    let drafts = drafts(kind, &body, &named, &headers, &topic, &limits).unwrap();
    for part in [drafts[0].key.as_ref().unwrap(), drafts[0].value.as_ref().unwrap()] {
        assert!(body.as_ptr_range().contains(&part.as_ptr()));
    }
}

proptest! {
    #[test]
    fn lines_arrive_as_they_are(
        values in prop::collection::vec("[1-9]|\\{\"a\": ?\"[a-zé]{0,9}\"\\}|\\[ \\]", 1..40),
        end in "\n|\r\n",
        is_ended in any::<bool>(),
    ) {
        let mut body = values.join(&end);
        if is_ended {
            body += &end;
        }
        let arrived: Vec<_> = sent(Kind::Lines).values(&body).into_iter().flatten().collect();
        prop_assert_eq!(arrived, values);
    }

    #[test]
    fn no_body_panics_and_bytes_that_are_not_checked_stay(body in any::<Vec<u8>>()) {
        for kind in [Kind::Json, Kind::Lines, Kind::Records] {
            if let Err(problem) = sent(kind).drafts(&body) {
                prop_assert!(problem.errors.iter().all(|wrong| wrong.detail.len() < 1200));
            }
            let keyed = sent(kind).with(|s| s.topic.key_from = Some(KeyFrom::Pointer("/0".parse().unwrap())));
            let _ = keyed.drafts(&body);
        }
        let unchecked = sent(Kind::Json).with(|s| s.topic.validator = None);
        if !body.is_empty() {
            prop_assert_eq!(unchecked.values(&body), [Some(Bytes::from(body))]);
        }
    }
}
