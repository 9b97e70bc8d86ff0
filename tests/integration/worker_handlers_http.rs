//! The handlers of `examples/` that send records on over HTTP: each against a server that keeps what it gets, is too
//! busy at times and refuses some, with three kill -9 of its worker in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::{HttpServer, Kq, Request};
use crate::worker_handlers::{Case, REFUSED, same};

/// What a server keeps: documents or bodies by id, and how often it was asked to keep each.
#[derive(Default)]
struct Kept {
    contents: BTreeMap<String, Vec<u8>>,
    times: BTreeMap<String, usize>,
    /// Contents that came again and were others.
    changed: Vec<String>,
}

impl Kept {
    /// The status for what comes under this id: refused for good, too busy for every tenth at its first time, or kept.
    fn take(&mut self, id: &str, content: &[u8]) -> u16 {
        let times = self.times.entry(id.to_owned()).or_default();
        *times += 1;
        if content == REFUSED.as_bytes() {
            return 400;
        }
        if *times == 1 && id.ends_with('0') {
            return 429;
        }
        match self.contents.insert(id.to_owned(), content.to_owned()) {
            Some(before) if before != content => self.changed.push(id.to_owned()),
            _ => {}
        }
        201
    }
}

/// A server whose store is shared with the test, and that answers with what `answer` makes of the store.
fn keeping(answer: fn(&mut Kept, &Request) -> (u16, String)) -> (HttpServer, Arc<Mutex<Kept>>) {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let store = Arc::clone(&kept);
    let server = HttpServer::start(move |request| {
        answer(&mut store.lock().unwrap_or_else(PoisonError::into_inner), request)
    });
    (server, kept)
}

fn count(kept: &Mutex<Kept>) -> usize {
    kept.lock().expect("the store").contents.len()
}

/// The contents by the record's id, which were the same whenever they came.
#[track_caller]
fn contents(kept: &Mutex<Kept>) -> BTreeMap<String, String> {
    let kept = kept.lock().expect("the store");
    assert!(kept.changed.is_empty(), "other contents: {:?}", kept.changed);
    let text = |content: &Vec<u8>| String::from_utf8(content.clone()).expect("text");
    kept.contents.iter().map(|(id, content)| (id.clone(), text(content))).collect()
}

/// `_bulk` of an index: an action and its document on two lines, a status for each document.
fn bulk(kept: &mut Kept, request: &Request) -> (u16, String) {
    assert!(request.target.starts_with("/search/_bulk?"), "{}", request.target);
    let body = std::str::from_utf8(&request.body).expect("text");
    let lines: Vec<_> = body.lines().collect();
    let items = lines.chunks(2).map(|pair| {
        let action: Value = serde_json::from_str(pair[0]).expect("an action");
        let (id, index) = (&action["index"]["_id"], &action["index"]["_index"]);
        assert_eq!(index, "orders");
        serde_json::from_str::<Value>(pair[1]).expect("a document in one line");
        let status = kept.take(id.as_str().expect("an id"), pair[1].as_bytes());
        let error = json!({"type": "mapper_parsing_exception", "reason": "this server is picky"});
        let item = if status < 300 {
            json!({"_id": id, "status": status})
        } else {
            json!({"_id": id, "status": status, "error": error})
        };
        json!({"index": item})
    });
    (200, json!({"items": items.collect::<Vec<_>>()}).to_string())
}

#[test]
#[ignore = "needs curl and jq: .ci/run tools examples"]
fn the_handler_for_bulk_requests_keeps_each_document_once() {
    const COUNT: usize = 2_000;
    let (server, kept) = keeping(bulk);
    let mut lines: Vec<_> = (0..COUNT)
        .map(|n| json!({"key": format!("k{}", n % 50), "value": format!("{{\"n\":{n},\n\"large\": 12345678901234567890, \"é\":\"\\u0000\\n\"}}")}))
        .collect();
    for at in [COUNT / 5, COUNT * 4 / 5] {
        lines.insert(at, json!({"key": "k2", "value": REFUSED}));
        lines.insert(at, json!({"key": "k3", "value": null}));
    }
    let lines: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
    let env = [("BULK_URL", server.url() + "/search/"), ("BULK_INDEX", "orders".to_owned())];
    // A batch is as busy as its busiest document: at each try one tenth fewer are.
    let case = Case::new(&lines, "bulk.sh", &["--batch", "100", "-j", "2"], &env);

    case.work(COUNT, || count(&kept));

    let documents = case.records(&case.topic).into_iter().filter_map(|record| {
        let value = record["value"].as_str().filter(|value| *value != REFUSED)?.replace('\n', " ");
        Some((format!("{}-{}-{}", case.topic, record["partition"], record["offset"]), value))
    });
    same(&documents.collect(), &contents(&kept));
    case.refused("this server is picky");
}

/// What a webhook keeps is the body and what the headers say of the record.
fn webhook(kept: &mut Kept, request: &Request) -> (u16, String) {
    assert_eq!(request.header("content-type"), Some("application/json"));
    let id = request.header("idempotency-key").expect("a key");
    if request.body == REFUSED.as_bytes() {
        return (kept.take(id, &request.body), "this server is picky".to_owned());
    }
    let names = ["kafka-topic", "kafka-key", "kafka-key-base64", "kafka-value-null"];
    let headers = names.map(|name| request.header(name));
    let body = String::from_utf8(request.body.clone()).expect("text");
    (kept.take(id, json!([headers, body]).to_string().as_bytes()), String::new())
}

#[test]
#[ignore = "needs curl: .ci/run tools examples"]
fn the_handler_for_a_webhook_sends_each_record() {
    const COUNT: usize = 150;
    let (server, kept) = keeping(webhook);
    let mut lines: Vec<_> =
        (0..COUNT).map(|n| json!({"key": format!("k{}", n % 50), "value": format!("{n}\0\n")})).collect();
    for at in [COUNT / 5, COUNT * 4 / 5] {
        lines.insert(at, json!({"key": "k2", "value": REFUSED}));
    }
    for key in
        [Value::Null, "".into(), " ".into(), "a\r\nEvil: 1".into(), "é".into(), "x".repeat(5000).into()]
    {
        lines.push(json!({"key": key, "value": null}));
    }
    let lines: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
    let env = [("WEBHOOK_URL", server.url() + "/orders")];
    let case = Case::new(&lines, "webhook.sh", &["-j", "4"], &env);

    case.work(COUNT, || count(&kept));

    let sent =
        case.records(&case.topic).into_iter().filter(|record| record["value"] != REFUSED).map(|record| {
            let key = record["key"].as_str().filter(|key| key.len() <= 4096);
            let plain =
                key.filter(|key| key.trim() == *key && key.chars().all(|c| c == ' ' || c.is_ascii_graphic()));
            let base64 = key.filter(|_| plain.is_none()).map(|key| BASE64.encode(key));
            let (value, tombstone) = (record["value"].as_str(), record["value"].is_null().then_some("1"));
            let id = format!("{}/{}/{}", case.topic, record["partition"], record["offset"]);
            (
                id,
                json!([
                    [Some(case.topic.as_str()), plain, base64.as_deref(), tombstone],
                    value.unwrap_or_default()
                ])
                .to_string(),
            )
        });
    same(&sent.collect(), &contents(&kept));
    case.refused("status 400: this server is picky");
}

/// Runs a handler by hand.
fn by_hand(handler: &str, input: &str, env: &[(&str, &str)]) -> Kq {
    let handler = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/handlers").join(handler);
    let kq = Kq::program(handler, [] as [&str; 0]).stdin(input);
    env.iter().fold(kq, |kq, (name, value)| kq.env(name, value))
}

const LINE: &str =
    "{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"key\":null,\"value\":\"{}\",\"headers\":[]}\n";

#[test]
#[ignore = "needs curl: .ci/run tools examples"]
fn a_webhook_s_status_becomes_the_handler_s() {
    let server = HttpServer::start(|request| (request.target[1..].parse().expect("a status"), String::new()));
    let record = [("KQ_RECORD_TOPIC", "t"), ("KQ_RECORD_ID", "t/0/0")];
    let to = |url: &str| by_hand("webhook.sh", "x", &[&record[..], &[("WEBHOOK_URL", url)]].concat()).run();
    for (status, code) in [
        ("200", 0),
        ("204", 0),
        ("301", 78),
        ("400", 65),
        ("401", 78),
        ("403", 78),
        ("404", 78),
        ("405", 78),
        ("407", 78),
        ("408", 75),
        ("409", 65),
        ("410", 78),
        ("413", 65),
        ("425", 75),
        ("429", 75),
        ("500", 75),
        ("503", 75),
    ] {
        to(&format!("{}/{status}", server.url())).status(code);
    }
    // Nobody listens at port 1.
    to("http://127.0.0.1:1/").status(75);
    to("nonsense://x/").status(78);
    to("").status(78).stderr_has("WEBHOOK_URL is not set");
}

#[test]
#[ignore = "needs curl and jq: .ci/run tools examples"]
fn a_bulk_request_s_status_becomes_the_handler_s() {
    let server = HttpServer::start(|request| {
        let status = request.target[1..4].parse().expect("a status");
        // The body of 202 to 299 has a document of that status more.
        let items = if status == 207 {
            json!([{"index": {"_id": "a", "status": 403, "error": {}}}])
        } else {
            json!([])
        };
        (status, json!({"items": items}).to_string())
    });
    let to = |input: &str, url: &str| by_hand("bulk.sh", input, &[("BULK_URL", url)]).run();
    for (status, code) in [
        ("200", 75),
        ("207", 75),
        ("301", 78),
        ("400", 65),
        ("401", 78),
        ("404", 78),
        ("413", 65),
        ("429", 75),
        ("503", 75),
    ] {
        to(LINE, &format!("{}/{status}", server.url())).status(code);
    }
    to(LINE, "http://127.0.0.1:1").status(75);
    to(LINE, "").status(78).stderr_has("BULK_URL is not set");
    for no_document in ["[1]", "{", "", "null", "{} {}"] {
        let line = json!({"topic": "t", "partition": 0, "offset": 7, "value": no_document}).to_string();
        to(&line, &server.url()).status(65).stderr_has("t-0-7: the value is no JSON object");
    }
    // Nothing to send.
    to(&LINE.replace("\"{}\"", "null"), "http://127.0.0.1:1").status(0);
}
