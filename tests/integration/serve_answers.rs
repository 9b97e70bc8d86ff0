//! What `kq serve` answers: where each record is, what is wrong and what became of it, and what probes are told.

use std::time::Duration;

use serde_json::json;

use crate::support::serve::{Call, Connection, JSON, NDJSON, Serve, serving, stored, stored_values};
use crate::support::{Cluster, wait_until};

const LONG: Duration = Duration::from_secs(30);

/// A new topic of one partition with this property.
#[track_caller]
fn topic_with(cluster: &Cluster, property: &str) -> String {
    let topic = cluster.topic("serve");
    cluster.kq(["topic", "create", &topic, "-p", "1", "--config", property]).run().success();
    topic
}

#[test]
fn a_batch_is_answered_with_the_place_of_each_record_in_its_order() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 3);
    let serve = Serve::start(&cluster, [&topic]);
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    let answer = serve.post(&topic, NDJSON, &lines).demand(200).json();
    assert_eq!((&answer["topic"], &answer["acknowledged"]), (&json!(topic), &json!(100)));
    let records = answer["records"].as_array().expect("records");
    assert_eq!(records.len(), 100);
    let there = stored(&cluster, &topic);
    for (n, record) in records.iter().enumerate() {
        let place = |partition, offset| record == &json!({"partition": partition, "offset": offset});
        let found = there.iter().find(|stored| place(stored.partition, stored.offset));
        assert_eq!(found.map(|stored| stored.text()), Some(n.to_string().as_str()), "{record}");
    }
    let summary = serve.post(&format!("{topic}?report=summary"), NDJSON, &lines).demand(200).json();
    assert_eq!(summary, json!({"topic": topic, "acknowledged": 100}));
    serve.post(&format!("{topic}?report=no"), NDJSON, &lines).refused(400, "not_sent");
}

#[test]
fn nothing_of_a_batch_is_sent_where_a_line_is_bad() {
    let (cluster, topic, serve) = serving(&[]);
    let problem = serve.post(&topic, NDJSON, "1\n{\n2\nx\n").refused(400, "not_sent").says("line 2").json();
    let indexes: Vec<_> =
        problem["errors"].as_array().expect("errors").iter().map(|e| e["index"].clone()).collect();
    assert_eq!(indexes, [1, 3], "{problem}");
    assert_eq!(problem["code"], "invalid_record");
    let many = serve.post(&topic, NDJSON, "{\n".repeat(1000)).refused(400, "not_sent").json();
    assert_eq!(many["errors"].as_array().map(Vec::len), Some(100), "the first hundred");
    assert_eq!(stored(&cluster, &topic), []);
    serve.post(&topic, NDJSON, "1\n2\n").demand(200);
    assert_eq!(stored_values(&cluster, &topic), ["1", "2"]);
}

#[test]
fn values_against_a_schema_are_refused_with_their_place() {
    let cluster = Cluster::get();
    let (topic, free) = (cluster.create("serve", 1), cluster.create("serve", 1));
    let kq = cluster.kq(["serve", &topic, &free]);
    let schema = r#"{"type":"object","required":["id"],"properties":{"id":{"type":"integer"}}}"#;
    let schema = kq.file("order.json", schema);
    let serve = Serve::of(kq.args(["--validate", &format!("{topic}={}", schema.display())]));
    serve.json(&topic, "{\"id\":1}").demand(200);
    serve.json(&topic, "{\"id\":\"1\"}").refused(400, "not_sent").says("id");
    serve.json(&topic, "{}").refused(400, "not_sent").says("id");
    let problem = serve.post(&topic, NDJSON, "{\"id\":1}\n{\"id\":null}").refused(400, "not_sent").json();
    assert_eq!(problem["errors"][0]["index"], 1);
    serve.json(&free, "{}").demand(200);
    serve.json(&free, "{").refused(400, "not_sent");
    assert_eq!(stored_values(&cluster, &topic), ["{\"id\":1}"]);
}

#[test]
fn a_path_that_is_not_served_is_told_in_the_words_of_a_topic_that_is_not_there() {
    let (cluster, topic, serve) = serving(&[]);
    let hidden = cluster.create("hidden", 1);
    let at =
        |path: String| serve.send(&Call::new("POST", &path).of_type(JSON).body("1")).refused(404, "not_sent");
    let without_names = |path: String, name: &str| {
        let answer = at(path).json().to_string();
        answer.replace(name, "T")
    };
    let (missing, other) = (cluster.topic("missing"), "/other".to_owned());
    let of_hidden = without_names(format!("/topics/{hidden}"), &hidden);
    assert_eq!(of_hidden, without_names(format!("/topics/{missing}"), &missing));
    for path in [
        other,
        format!("/topics/{topic}/"),
        format!("/topics/{topic}/x"),
        "/topics".into(),
        "/topics/".into(),
    ] {
        at(path);
    }
    assert_eq!(stored(&cluster, &hidden), []);
    // A name is percent-decoded.
    let encoded: String = topic.bytes().map(|b| format!("%{b:02X}")).collect();
    serve.json(&encoded, "1").demand(200);
    serve.json("%ff", "1").refused(404, "not_sent");
}

#[test]
fn another_method_is_told_which_one_publishes() {
    let (_cluster, topic, serve) = serving(&[]);
    let path = format!("/topics/{topic}");
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let answer = serve.send(&Call::new(method, &path)).refused(405, "not_sent");
        assert_eq!(answer.header("allow"), Some("POST, OPTIONS"), "{method}");
    }
    let options = serve.send(&Call::new("OPTIONS", &path));
    assert!([200, 204].contains(&options.status), "{options:?}");
    assert_eq!(options.header("allow"), Some("POST, OPTIONS"));
    assert!(options.header("accept-post").is_some_and(|types| types.contains("application/x-ndjson")));
    let answer = serve.send(&Call::new("POST", "/livez").of_type(JSON).body("1"));
    assert_eq!((answer.status, answer.header("allow").is_some()), (405, true));
}

#[test]
fn a_record_that_the_cluster_refuses_is_422_and_one_above_its_limit_413() {
    let cluster = Cluster::get();
    let compacted = topic_with(&cluster, "cleanup.policy=compact");
    let small = topic_with(&cluster, "max.message.bytes=2000");
    let serve = Serve::start(&cluster, [&compacted, &small]);
    serve.json(&compacted, "1").refused(422, "not_sent");
    serve.json(&format!("{compacted}?key=k"), "1").demand(200);
    assert_eq!(stored_values(&cluster, &compacted), ["1"]);
    // Digits that no compression makes small.
    let large: String =
        (0..1000).map(|n: u64| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let large = format!("\"{large}\"");
    serve.json(&small, &large).refused(413, "not_sent").says("2000");
    serve.post(&small, NDJSON, format!("1\n{large}\n")).demand(413);
    serve.json(&small, "2").demand(200);
    assert!(!stored_values(&cluster, &small).contains(&large));
}

#[test]
fn the_request_id_is_the_caller_s_or_a_new_one() {
    let (_cluster, topic, serve) = serving(&[]);
    let with =
        |call: Call| serve.send(&call.of_type(JSON).body("1")).header("kq-request-id").map(str::to_owned);
    assert_eq!(with(Call::post(&topic).header("X-Request-Id", "abc-1/2")).as_deref(), Some("abc-1/2"));
    assert_eq!(with(Call::post("none").header("X-Request-Id", "abc-1")).as_deref(), Some("abc-1"));
    let new = [with(Call::post(&topic)), with(Call::post(&topic))];
    assert!(new.iter().all(Option::is_some) && new[0] != new[1], "{new:?}");
    for bad in [&"x".repeat(129).into_bytes()[..], b"\xfc", b""] {
        let id = with(Call::post(&topic).header("X-Request-Id", bad)).expect("an id");
        assert!(id.as_bytes() != bad && !id.is_empty(), "{id}");
    }
}

#[test]
fn probes_and_metrics_are_answered_without_a_token() {
    let (_cluster, topic, serve) = serving(&[]);
    for path in ["/livez", "/healthz", "/readyz"] {
        serve.get(path).demand(200);
        let head = serve.send(&Call::new("HEAD", path)).demand(200);
        assert!(head.body.is_empty());
    }
    serve.json(&topic, "1").demand(200);
    serve.post(&topic, NDJSON, "1\n2\n").demand(200);
    serve.json(&topic, "{").demand(400);
    serve.json("no-such-topic", "1").demand(404);
    let requests = |topic: &str, code: u16| {
        serve.metric(&format!("kq_serve_requests_total{{topic=\"{topic}\",code=\"{code}\"}}"))
    };
    let equal = |value: f64, expected: f64| (value - expected).abs() < 0.5;
    assert!(equal(requests(&topic, 200), 2.0), "{}", serve.get("/metrics").text());
    assert!(equal(requests(&topic, 400), 1.0));
    assert!(equal(requests("", 404), 1.0), "a path that is not served counts under no topic");
    let records = |result: &str| {
        serve.metric(&format!("kq_serve_records_total{{topic=\"{topic}\",result=\"{result}\"}}"))
    };
    assert!(equal(records("acknowledged"), 3.0));
    assert!(equal(serve.metric("kq_serve_connected"), 1.0));
    let page = serve.get("/metrics");
    assert!(
        page.header("content-type").is_some_and(|its| its.starts_with("text/plain")),
        "{:?}",
        page.headers
    );
    assert!(!page.text().contains("no-such-topic"), "no label comes from a client");
    let open = serve.send(&Call::new("GET", "/metrics").header("Accept", "application/openmetrics-text"));
    assert!(open.header("content-type").is_some_and(|its| its.starts_with("application/openmetrics-text")));
    assert!(open.text().ends_with("# EOF\n"));
}

#[test]
fn metrics_may_have_a_listener_of_their_own() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let kq = cluster.kq(["serve", &topic, "--metrics", "127.0.0.1:0"]);
    let serve = Serve::of(kq);
    let said = serve.process().wait_for_stderr("/metrics");
    let from = said.find("127.0.0.1:").expect("an address");
    let address: String =
        said[from..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    let get = |path: &str| {
        let mut connection = Connection::to(address.trim_end_matches(['.', ':']));
        connection.call(&Call::new("GET", path))
    };
    for path in ["/metrics", "/livez", "/readyz"] {
        get(path).demand(200);
    }
    assert_eq!(get(&format!("/topics/{topic}")).status, 404, "it publishes nothing");
    serve.get("/metrics").demand(404);
}

#[test]
fn a_line_of_the_log_names_the_request_and_nothing_that_it_held() {
    let (_cluster, topic, serve) = serving(&["-v"]);
    let call = Call::post(&format!("{topic}?key=hidden-key")).of_type(JSON).header("X-Request-Id", "id-77");
    serve.send(&call.body("{\"hidden\":\"value\"}")).demand(200);
    let line = serve.process().wait_for_stderr("id-77");
    for part in ["POST", &topic, "200", "127.0.0.1"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let output = serve.end();
    output.stderr_lacks("hidden");
}

#[test]
fn a_topic_that_is_gone_is_502_and_nothing_was_sent() {
    let (cluster, topic, serve) = serving(&["--no-create", "--delivery-timeout", "6s"]);
    serve.json(&topic, "1").demand(200);
    cluster.kq(["topic", "delete", &topic]).run().success();
    wait_until("an answer of 502", LONG * 2, || {
        let answer = serve.json(&topic, "2");
        // Until the client has noticed, the topic has no leader, or none answers for it.
        assert!([200, 502, 503, 504].contains(&answer.status), "{answer:?}");
        answer.status == 502
    });
    serve.json(&topic, "3").refused(502, "not_sent").retry_after();
    serve.get("/readyz").demand(503);
    serve.get("/livez").demand(200);
}
