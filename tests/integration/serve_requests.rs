//! What a request of `kq serve` becomes: its body by its type, its key and headers, and the framing of HTTP around it.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::Cluster;
use crate::support::serve::{
    Answer, Call, JSON, NDJSON, RECORDS, Serve, Stored, serving, stored, stored_values,
};

/// The only record of a topic.
#[track_caller]
fn only(cluster: &Cluster, topic: &str) -> Stored {
    let mut records = stored(cluster, topic);
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("compress");
    encoder.finish().expect("compress")
}

/// JSON that is not the same in every parser: as in `kq produce`, `--validate json` refuses it, and `none` takes it.
const ODDER: [&str; 2] = ["{\"big\":1e999}", r#"{"lone":"\ud800"}"#];

/// JSON that a parser and a writer would change.
const ODD: [&str; 15] = [
    " { \"a\" : 1 } ",
    "{\"a\":1,\"a\":2}",
    r#"{"small":-0.0,"long":123456789012345678901234567890.10,"pair":"\ud83d\ude00","escaped":"A\/"}"#,
    "{\"a\":1}\r\n",
    "{\"a\":1}\n\n",
    "[1,2,3]",
    "[{\"a\":1},{\"b\":2}]",
    "\"text\"",
    "0",
    "false",
    "null",
    "{}",
    "\"\"",
    "\t{\"ü\":\"✓\"}",
    "{\"a\":\r\n\"b\"}",
];

#[test]
fn a_json_body_is_one_record_byte_for_byte() {
    let (cluster, topic, serve) = serving(&[]);
    let mut connection = serve.connect();
    for (offset, body) in ODD.iter().enumerate() {
        let answer = connection.call(&Call::post(&topic).of_type(JSON).body(body)).demand(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let expected = serde_json::json!({"topic": topic, "partition": 0, "offset": offset});
        assert_eq!(answer.json(), expected, "{body}");
    }
    for body in ODDER {
        serve.json(&topic, body).refused(400, "not_sent").says("every parser");
    }
    assert_eq!(stored_values(&cluster, &topic), ODD);
    let (cluster, topic, serve) = serving(&["--validate", "none"]);
    for body in ODDER {
        serve.json(&topic, body).demand(200);
    }
    assert_eq!(stored_values(&cluster, &topic), ODDER);
}

#[test]
fn a_body_that_is_not_json_is_refused_and_nothing_of_it_is_sent() {
    let (cluster, topic, serve) = serving(&[]);
    for body in [
        "",
        " ",
        "{",
        "{\"a\":}",
        "{\"a\":1}{\"b\":2}",
        "nul",
        "'a'",
        "{\"a\":1,}",
        "\u{feff}{}",
        "\"\u{1}\"",
    ] {
        serve.json(&topic, body).refused(400, "not_sent");
    }
    serve.json(&topic, b"{\"a\":\"\xff\"}").refused(400, "not_sent");
    serve.json(&topic, "[".repeat(100_000)).refused(400, "not_sent");
    assert_eq!(stored(&cluster, &topic), []);
}

#[test]
fn any_json_type_will_do_with_a_charset_of_utf_8_in_any_letter_case() {
    let (cluster, topic, serve) = serving(&[]);
    let types = [
        "application/json",
        "APPLICATION/Json",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; profile=\"x\"",
        "application/merge-patch+json",
        "application/vnd.example.order.v1+json; charset=utf-8",
    ];
    for content_type in types {
        serve.post(&topic, content_type, "{\"a\":1}").demand(200);
    }
    assert_eq!(stored(&cluster, &topic).len(), types.len());
    for content_type in
        ["application/json; charset=iso-8859-1", "text/plain", "application/xml", "json", "a/b/c"]
    {
        let answer = serve.post(&topic, content_type, "{\"a\":1}").refused(415, "not_sent");
        let accepted = answer.header("accept-post").unwrap_or_default();
        assert!(accepted.contains("application/json"), "{content_type}: {answer:?}");
    }
    serve.send(&Call::post(&topic).body("{\"a\":1}")).refused(415, "not_sent");
    assert_eq!(stored(&cluster, &topic).len(), types.len());
}

#[test]
fn lines_of_json_are_a_record_each() {
    let (cluster, topic, serve) = serving(&[]);
    let mut all: Vec<String> = Vec::new();
    for content_type in ["application/x-ndjson", "application/ndjson", "application/jsonl"] {
        for (body, values) in [
            ("{\"a\":1}\n{\"b\":2}\n", vec!["{\"a\":1}", "{\"b\":2}"]),
            ("{\"a\":1}\n{\"b\":2}", vec!["{\"a\":1}", "{\"b\":2}"]),
            ("{\"a\":1}\r\n {\"b\": 2} \r\n", vec!["{\"a\":1}", " {\"b\": 2} "]),
            ("1", vec!["1"]),
        ] {
            let answer = serve.post(&topic, content_type, body).demand(200).json();
            let records = answer["records"].as_array().expect("records");
            let offsets: Vec<_> =
                records.iter().map(|record| record["offset"].as_u64().expect("an offset") as usize).collect();
            // A body of one record may have the answer of one.
            let expected: Vec<_> = (all.len()..all.len() + values.len()).collect();
            assert_eq!(offsets, expected, "{body:?}: {answer}");
            assert_eq!(answer["acknowledged"], values.len());
            assert_eq!(answer["topic"], topic);
            all.extend(values.into_iter().map(str::to_owned));
        }
    }
    assert_eq!(stored_values(&cluster, &topic), all);
    serve.post(&topic, NDJSON, "").refused(400, "not_sent");
}

#[test]
fn kq_s_own_records_have_key_headers_timestamp_and_null_values() {
    let (cluster, topic, serve) = serving(&[]);
    let body = concat!(
        "{\"key\":\"k\",\"value\":\"{\\\"a\\\":1}\",\"timestamp\":1700000000000,\"headers\":[[\"h\",\"1\"],[\"h\",\"2\"],[\"n\",null]]}\n",
        "{\"key\":\"gone\",\"value\":null}\n",
        "{\"key_base64\":\"/wA=\",\"value\":\"{}\",\"partition\":0}\n",
    );
    serve.post(&topic, RECORDS, body).demand(200);
    let records = stored(&cluster, &topic);
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(records[0].text(), "{\"a\":1}");
    assert_eq!(records[0].timestamp, 1_700_000_000_000);
    let header = |name: &str, value: Option<&str>| (name.to_owned(), value.map(|v| v.as_bytes().to_vec()));
    assert_eq!(records[0].headers, [header("h", Some("1")), header("h", Some("2")), header("n", None)]);
    assert_eq!((records[1].key.as_deref(), &records[1].value), (Some(&b"gone"[..]), &None));
    assert_eq!(records[2].key.as_deref(), Some(&b"\xff\x00"[..]));
    // What was read from this topic can be sent again; what another topic had can't.
    let own = format!("{{\"topic\":\"{topic}\",\"value\":\"1\"}}");
    serve.post(&topic, RECORDS, own).demand(200);
    serve.post(&topic, RECORDS, "{\"topic\":\"another\",\"value\":\"1\"}").refused(400, "not_sent");
    assert_eq!(stored(&cluster, &topic).len(), 4);
}

#[test]
fn clients_of_confluent_s_rest_proxy_are_understood() {
    let (cluster, topic, serve) = serving(&[]);
    let v2 = "application/vnd.kafka.v2+json";
    let send = |format: &str, body: &str| {
        let answer = serve.post(&topic, &format!("application/vnd.kafka.{format}.v2+json"), body).demand(200);
        assert_eq!(answer.header("content-type"), Some(v2));
        let answer = answer.json();
        let offsets = answer["offsets"].as_array().expect("offsets").clone();
        assert!(
            offsets.iter().all(|offset| offset["partition"] == 0 && offset["error"].is_null()),
            "{answer}"
        );
        offsets.iter().map(|offset| offset["offset"].as_i64().expect("an offset")).collect::<Vec<_>>()
    };
    let json =
        r#"{"records":[{"key":"k","value":{"a": 1.10}},{"value":[1 ,2]},{"value":null,"partition":0}]}"#;
    assert_eq!(send("json", json), [0, 1, 2]);
    assert_eq!(send("binary", r#"{"records":[{"key":"aw==","value":"eyJhIjoxfQ=="}]}"#), [3]);
    assert_eq!(
        send("text", r#"{"records":[{"value":"\"text\"","headers":[{"key":"h","value":"MQ=="}]}]}"#),
        [4]
    );
    let records = stored(&cluster, &topic);
    assert_eq!(records[0].text(), "{\"a\": 1.10}");
    assert_eq!(records[0].key.as_deref(), Some(&b"\"k\""[..]), "a JSON key is JSON");
    assert_eq!(records[1].text(), "[1 ,2]");
    assert_eq!(records[2].value, None);
    assert_eq!((records[3].key.as_deref(), records[3].text()), (Some(&b"k"[..]), "{\"a\":1}"));
    assert_eq!((records[4].text(), records[4].header("h")), ("\"text\"", Some("1")));
    let bad = |body: &str| serve.post(&topic, "application/vnd.kafka.json.v2+json", body).demand(400).json();
    for body in ["{\"records\":[{\"value\":1,\"other\":2}]}", "{}", "{\"records\":[]}", "[]", "{"] {
        assert!(bad(body)["error_code"].is_u64(), "{body}");
    }
    for unknown in [
        "application/vnd.kafka.avro.v2+json",
        "application/vnd.kafka.v2+json",
        "application/vnd.kafka.json.v1+json",
    ] {
        serve.post(&topic, unknown, json).demand(415);
    }
    let with_a_partition = Call::new("POST", &format!("/topics/{topic}/partitions/0"))
        .of_type("application/vnd.kafka.json.v2+json")
        .body("{\"records\":[{\"value\":7}]}");
    serve.send(&with_a_partition).demand(200);
    assert_eq!(stored(&cluster, &topic).len(), 6);
}

#[test]
fn cloud_events_become_what_the_kafka_binding_says() {
    let (cluster, topic, serve) = serving(&[]);
    let binary = |call: Call| {
        call.header("ce-specversion", "1.0")
            .header("ce-id", "1")
            .header("ce-source", "/s%20x")
            .header("ce-type", "t")
    };
    let event = binary(Call::post(&topic)).of_type(JSON).header("CE-Subject", "a").body("{\"a\":1}");
    serve.send(&event).demand(200);
    let record = only(&cluster, &topic);
    assert_eq!(record.text(), "{\"a\":1}");
    for (name, value) in [
        ("content-type", JSON),
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "/s x"),
        ("ce_type", "t"),
        ("ce_subject", "a"),
    ] {
        assert_eq!(record.header(name), Some(value), "{name}: {:?}", record.headers);
    }
    let structured = r#"{"specversion":"1.0","id":"2","source":"/s","type":"t","data":{"a": 1}}"#;
    let content_type = "application/cloudevents+json; charset=UTF-8";
    serve.post(&topic, content_type, structured).demand(200);
    let record = stored(&cluster, &topic).remove(1);
    assert_eq!((record.text(), record.header("content-type")), (structured, Some(content_type)));
    // No data is a null value, by the binding.
    serve.send(&binary(Call::post(&topic))).demand(200);
    assert_eq!(stored(&cluster, &topic)[2].value, None);
    let half = Call::post(&topic).of_type(JSON).header("ce-id", "1").body("{}");
    serve.send(&half).refused(400, "not_sent");
    serve.post(&topic, "application/cloudevents+json", "{\"specversion\":\"1.0\"}").refused(400, "not_sent");
    serve.post(&topic, "application/cloudevents+avro", "x").refused(415, "not_sent");
    serve.post(&topic, "application/cloudevents-batch+json", "[]").refused(415, "not_sent");
    assert_eq!(stored(&cluster, &topic).len(), 3);
}

#[test]
fn forms_and_other_bodies_are_taken_where_a_flag_allows_them() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let (cluster, topic, strict) = serving(&[]);
    strict.post(&topic, FORM, "a=1").refused(415, "not_sent");
    strict.post(&topic, "application/octet-stream", "a").refused(415, "not_sent");
    strict.end();
    let serve = Serve::start(&cluster, [topic.as_str(), "--form", "--any", "--validate", "none"]);
    serve.post(&topic, FORM, "a=1&b=x+%C3%BC&a=2").demand(200);
    let raw = b"\x00\xff\r\n".as_slice();
    serve.post(&topic, "application/octet-stream", raw).demand(200);
    serve.send(&Call::post(&topic).body(raw)).demand(200);
    let records = stored(&cluster, &topic);
    let form: serde_json::Value = serde_json::from_str(records[0].text()).expect("JSON");
    assert_eq!(form, serde_json::json!({"a": ["1", "2"], "b": "x ü"}));
    assert_eq!(records[1].value.as_deref(), Some(raw));
    assert_eq!(records[1].header("content-type"), Some("application/octet-stream"));
    assert_eq!((records[2].value.as_deref(), records[2].header("content-type")), (Some(raw), None));
}

#[test]
fn each_request_of_a_connection_has_its_own_type() {
    let (cluster, topic, serve) = serving(&["--any", "--validate", "none"]);
    let mut connection = serve.connect();
    let mut send = |content_type: Option<&str>, body: &str| {
        let call = Call::post(&topic).body(body);
        connection.call(&content_type.into_iter().fold(call, Call::of_type)).demand(200);
    };
    send(Some(NDJSON), "1\n2\n");
    send(Some("text/plain"), "1\n2\n");
    send(None, "1\n2\n");
    send(Some(JSON), "[1,\n2]");
    send(Some("application/vnd.kafka.json.v2+json"), "{\"records\":[{\"value\":3}]}");
    send(Some(JSON), "{\"records\":[{\"value\":3}]}");
    send(Some(RECORDS), "{\"value\":\"4\"}");
    let expected = ["1", "2", "1\n2\n", "1\n2\n", "[1,\n2]", "3", "{\"records\":[{\"value\":3}]}", "4"]
        .map(str::to_owned);
    assert_eq!(stored_values(&cluster, &topic), expected);
}

#[test]
fn key_timestamp_and_headers_come_from_the_query_and_from_headers() {
    let (cluster, topic, serve) = serving(&["-H", "fixed=1", "--copy-header", "X-Git*"]);
    let with = |query: &str| Call::post(&format!("{topic}{query}")).of_type(JSON).body("{}");
    let sent = |call: Call| {
        let offset = serve.send(&call).demand(200).json()["offset"].as_u64().expect("an offset");
        stored(&cluster, &topic).remove(offset as usize)
    };
    assert_eq!(sent(with("?key=a%20b%2Bc+d%C3%BC%26")).key.as_deref(), Some("a b+c dü&".as_bytes()));
    assert_eq!(sent(with("?key=")).key.as_deref(), Some(&b""[..]));
    assert_eq!(sent(with("?key_base64=/wA%3D")).key.as_deref(), Some(&b"\xff\x00"[..]));
    assert_eq!(sent(with("").header("Kafka-Key", "k")).key.as_deref(), Some(&b"k"[..]));
    assert_eq!(sent(with("").header("Kafka-Key-Base64", "/wA=")).key.as_deref(), Some(&b"\xff\x00"[..]));
    assert_eq!(sent(with("")).key, None);
    assert_eq!(sent(with("?timestamp=1700000000123")).timestamp, 1_700_000_000_123);
    assert_eq!(sent(with("?timestamp=2023-11-14T22:13:20.123Z")).timestamp, 1_700_000_000_123);
    let record = sent(
        with("?partition=0")
            .header("Kafka-Header-Trace", "1")
            .header("kafka-header-trace", "2")
            .header("Kafka-Header-X", b"\xfc")
            .header("Idempotency-Key", "idem")
            .header("traceparent", "00-a-b-01")
            .header("X-GitHub-Event", "push")
            .header("X-Other", "no")
            .header("Authorization", "Bearer 0123456789abcdef-secret"),
    );
    let values = |name: &str| {
        let named = record.headers.iter().filter(|(its, _)| its.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.clone().expect("a value")).collect::<Vec<_>>()
    };
    assert_eq!(values("trace"), [b"1", b"2"]);
    assert_eq!(values("x"), [b"\xfc"]);
    assert_eq!(values("idempotency-key"), [b"idem"]);
    assert_eq!(values("traceparent"), [b"00-a-b-01"]);
    assert_eq!(values("x-github-event"), [b"push"]);
    assert_eq!(values("fixed"), [b"1"]);
    assert_eq!(record.headers.len(), 7, "{:?}", record.headers);
    let before = stored(&cluster, &topic).len();
    for wrong in [
        with("?key=a&key_base64=YQ=="),
        with("?key=a").header("Kafka-Key", "a"),
        with("?key_base64=%3D%3D%3D"),
        with("?partition=99"),
        with("?partition=-1"),
        with("?partition=x"),
        with("?timestamp=yesterday"),
        with("?key=a&key=b"),
        with("?kee=a"),
    ] {
        serve.send(&wrong).refused(400, "not_sent");
    }
    assert_eq!(stored(&cluster, &topic).len(), before);
}

#[test]
fn a_partition_in_the_path_or_the_query_is_that_of_the_record() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 3);
    let serve = Serve::start(&cluster, [&topic]);
    for partition in [2, 0, 1] {
        let answer = serve.json(&format!("{topic}?partition={partition}"), "1").demand(200).json();
        assert_eq!(answer["partition"], partition);
        let answer = serve.json(&format!("{topic}/partitions/{partition}"), "1").demand(200).json();
        assert_eq!(answer["partition"], partition);
    }
    serve.json(&format!("{topic}/partitions/3"), "1").refused(400, "not_sent");
    // One key, one partition.
    let send = || serve.json(&format!("{topic}?key=k"), "1").demand(200).json()["partition"].clone();
    assert_eq!([send(), send()], [send(), send()]);
}

#[test]
fn the_key_comes_from_the_value_or_from_a_header_where_the_request_names_none() {
    let (cluster, topic, serve) = serving(&["--key-from", "json:/order/id"]);
    serve.json(&topic, "{\"order\":{\"id\":\"o1\"}}").demand(200);
    serve.json(&format!("{topic}?key=own"), "{\"order\":{\"id\":\"o2\"}}").demand(200);
    serve.post(&topic, NDJSON, "{\"order\":{\"id\":\"o3\"}}\n{\"order\":{\"id\":\"o4\"}}").demand(200);
    serve.json(&topic, "{\"order\":{}}").refused(400, "not_sent");
    serve.post(&topic, NDJSON, "{\"order\":{\"id\":\"o5\"}}\n{}\n").refused(400, "not_sent");
    let keys: Vec<_> = stored(&cluster, &topic).into_iter().map(|record| record.key).collect();
    assert_eq!(keys, ["o1", "own", "o3", "o4"].map(|key| Some(key.as_bytes().to_vec())));
    let (cluster, topic, serve) = serving(&["--key-from", "header:X-Id", "--key-optional"]);
    serve.send(&Call::post(&topic).of_type(JSON).header("x-id", "h").body("1")).demand(200);
    serve.json(&topic, "2").demand(200);
    let keys: Vec<_> = stored(&cluster, &topic).into_iter().map(|record| record.key).collect();
    assert_eq!(keys, [Some(b"h".to_vec()), None]);
}

#[test]
fn a_route_is_another_path_of_a_topic() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let (route, root) = (format!("/api/v1/data={topic}"), format!("/={topic}"));
    let serve = Serve::start(&cluster, [topic.as_str(), "--route", &route, "--route", &root]);
    for path in ["/api/v1/data", "/", "/api/v1/data?key=k"] {
        serve.send(&Call::new("POST", path).of_type(JSON).body("1")).demand(200);
    }
    for path in ["/api/v1", "/api/v1/data/", "/api/v1/datas"] {
        serve.send(&Call::new("POST", path).of_type(JSON).body("1")).refused(404, "not_sent");
    }
    assert_eq!(stored(&cluster, &topic).len(), 3);
}

#[test]
fn heads_and_bodies_may_come_a_byte_at_a_time() {
    let (cluster, topic, serve) = serving(&[]);
    let mut connection = serve.connect();
    let with_length = Call::post(&format!("{topic}?key=k")).of_type(JSON).body("{\"a\":1}");
    connection.write_by_byte(with_length.bytes());
    connection.answer(false).demand(200);
    let chunked = Call::post(&topic).of_type(JSON).body("{\"a\": 2}");
    let trailers = ["Trailing: 1", "Kafka-Key: trailers-are-not-headers"];
    connection.write_by_byte(chunked.clone().chunked(1, &trailers).bytes());
    connection.answer(false).demand(200);
    connection.call(&chunked.chunked(3, &[])).demand(200);
    let records = stored(&cluster, &topic);
    assert_eq!(stored_values(&cluster, &topic), ["{\"a\":1}", "{\"a\": 2}", "{\"a\": 2}"]);
    assert_eq!(records.iter().map(|record| record.key.is_some()).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn of_two_lengths_chunks_count_and_the_next_request_is_read_right() {
    let (cluster, topic, serve) = serving(&[]);
    let both =
        Call::post(&topic).of_type(JSON).body("{\"a\":1}").chunked(4, &[]).header("Content-Length", "3");
    let next = Call::post(&topic).of_type(JSON).body("{\"b\":2}");
    let mut connection = serve.connect();
    connection.write([both.bytes(), next.bytes()].concat());
    let first = connection.answer(false);
    if first.status == 200 {
        assert_eq!(stored_values(&cluster, &topic).first().map(String::as_str), Some("{\"a\":1}"));
        // The connection may be closed after it (RFC 9112, 6.1); what follows is one request, or none.
        if !first.closes() {
            connection.answer(false).demand(200);
            assert_eq!(stored_values(&cluster, &topic), ["{\"a\":1}", "{\"b\":2}"]);
        }
    } else {
        assert_eq!(first.status, 400);
        assert!(connection.is_closed());
    }
}

#[test]
fn two_different_lengths_are_refused() {
    let (cluster, topic, serve) = serving(&[]);
    let head = Call::post(&topic).of_type(JSON).without_length();
    let two = head.header("Content-Length", "2").header("Content-Length", "3").body("123");
    let mut connection = serve.connect();
    connection.write(two.bytes());
    assert_eq!(connection.answer(false).status, 400);
    assert!(connection.is_closed());
    let lie = Call::post(&topic)
        .of_type(JSON)
        .without_length()
        .header("Transfer-Encoding", "chunked")
        .body("xyz\r\n1");
    let mut connection = serve.connect();
    connection.write(lie.bytes());
    assert_eq!(connection.answer(false).status, 400);
    assert_eq!(stored(&cluster, &topic), []);
}

#[test]
fn a_request_without_a_length_has_an_empty_body() {
    let (cluster, topic, serve) = serving(&[]);
    let mut connection = serve.connect();
    connection.call(&Call::post(&topic).of_type(JSON).without_length()).refused(400, "not_sent");
    connection.call(&Call::post(&topic).of_type(JSON).body("1")).demand(200);
    assert_eq!(stored_values(&cluster, &topic), ["1"]);
}

#[test]
fn a_body_that_ends_early_is_not_sent() {
    let (cluster, topic, serve) = serving(&[]);
    for cut in [
        Call::post(&topic).of_type(JSON).without_length().header("Content-Length", "7").body("12"),
        Call::post(&topic)
            .of_type(NDJSON)
            .without_length()
            .header("Transfer-Encoding", "chunked")
            .body("2\r\n1\n\r\n"),
    ] {
        let mut connection = serve.connect();
        connection.write(cut.bytes());
        connection.finish();
        if let Ok(answer) = connection.try_answer(false) {
            assert_eq!(answer.status, 400, "{answer:?}");
        }
    }
    serve.json(&topic, "1").demand(200);
    assert_eq!(stored_values(&cluster, &topic), ["1"]);
}

#[test]
fn requests_may_be_sent_before_the_answer_to_the_one_before() {
    let (cluster, topic, serve) = serving(&[]);
    let mut connection = serve.connect();
    let call = |n: usize| Call::post(&topic).of_type(JSON).body(n.to_string()).bytes();
    connection.write((0..50).flat_map(call).collect::<Vec<u8>>());
    for n in 0..50 {
        assert_eq!(connection.answer(false).demand(200).json()["offset"], n);
    }
    assert_eq!(stored_values(&cluster, &topic), (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_next_request_of_a_connection_is_read_after_one_that_was_refused() {
    let (cluster, topic, serve) = serving(&[]);
    let mut connection = serve.connect();
    for refused in [
        Call::post(&topic).of_type("text/plain").body("POST / HTTP/1.1\r\n\r\n"),
        Call::post("none").of_type(JSON).body("1"),
        Call::post(&topic).of_type(JSON).body("{"),
        Call::post(&format!("{topic}?partition=99")).of_type(JSON).body("1"),
    ] {
        let answer = connection.call(&refused);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        if answer.closes() {
            connection = serve.connect();
        }
        connection.call(&Call::post(&topic).of_type(JSON).body("1")).demand(200);
    }
    assert_eq!(stored(&cluster, &topic).len(), 4);
}

#[test]
fn compressed_bodies_are_taken_apart() {
    let (cluster, topic, serve) = serving(&[]);
    let encoded = |coding: &str, body: &[u8]| {
        serve.send(&Call::post(&topic).of_type(JSON).header("Content-Encoding", coding).body(body))
    };
    encoded("gzip", &gzip(b"{\"a\": 1}")).demand(200);
    encoded("GZIP", &[gzip(b"{\"a\":"), gzip(b" 2}")].concat()).demand(200);
    encoded("x-gzip", &gzip(b"3")).demand(200);
    encoded("zstd", &zstd::encode_all(&b"4"[..], 3).expect("compress")).demand(200);
    encoded("identity", b"5").demand(200);
    assert_eq!(stored_values(&cluster, &topic), ["{\"a\": 1}", "{\"a\": 2}", "3", "4", "5"]);
    let whole = gzip(b"{\"a\": 1}");
    encoded("gzip", &whole[..whole.len() - 4]).refused(400, "not_sent");
    encoded("gzip", &[&whole[..], b"more"].concat()).refused(400, "not_sent");
    encoded("gzip", b"{\"a\": 1}").refused(400, "not_sent");
    encoded("gzip", b"").refused(400, "not_sent");
    encoded("zstd", b"{}").refused(400, "not_sent");
    for coding in ["br", "deflate", "gzip, gzip", "gzip, br"] {
        let answer = encoded(coding, &whole).refused(415, "not_sent");
        let accepted = answer.header("accept-encoding").unwrap_or_default();
        assert!(accepted.contains("gzip") && accepted.contains("zstd"), "{coding}: {answer:?}");
    }
    assert_eq!(stored(&cluster, &topic).len(), 5);
}

#[test]
fn a_client_that_expects_100_is_told_to_go_on_once_all_else_is_right() {
    let (cluster, topic, serve) = serving(&["--max-body", "1KiB"]);
    let expects = |call: Call| call.header("Expect", "100-continue");
    let call = expects(Call::post(&topic).of_type(JSON).body("{\"a\":1}"));
    let mut connection = serve.connect();
    connection.write(call.head());
    assert_eq!(connection.answer(false).status, 100);
    connection.write("{\"a\":1}");
    connection.answer(false).demand(200);
    let final_answer = |call: Call| -> Answer {
        let mut connection = serve.connect();
        connection.write(expects(call).head());
        connection.answer(false)
    };
    final_answer(Call::post("none").of_type(JSON).body("1")).refused(404, "not_sent");
    final_answer(Call::post(&topic).of_type("text/plain").body("1")).refused(415, "not_sent");
    final_answer(Call::post(&topic).of_type(JSON).body("1".repeat(1025))).refused(413, "not_sent");
    assert_eq!(stored_values(&cluster, &topic), ["{\"a\":1}"]);
}

#[test]
fn an_old_client_is_answered_and_its_connection_closed() {
    let (cluster, topic, serve) = serving(&[]);
    let mut connection = serve.connect();
    connection.write(format!(
        "POST /topics/{topic} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1"
    ));
    connection.answer(false).demand(200);
    assert!(connection.is_closed());
    assert_eq!(stored_values(&cluster, &topic), ["1"]);
}

#[test]
fn every_byte_of_a_value_comes_back() {
    let (cluster, topic, serve) = serving(&["--any", "--validate", "none"]);
    let all: Vec<u8> = (0..=255).collect();
    serve.post(&topic, "application/octet-stream", &all).demand(200);
    let v2 = format!(r#"{{"records":[{{"value":"{}"}}]}}"#, STANDARD.encode(&all));
    serve.post(&topic, "application/vnd.kafka.binary.v2+json", v2).demand(200);
    for record in stored(&cluster, &topic) {
        assert_eq!(record.value.as_deref(), Some(&all[..]));
    }
}
