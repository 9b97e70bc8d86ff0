//! Who may publish through `kq serve`: tokens, signatures, origins and hosts, TLS; and that no secret gets out.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslStream};

use crate::support::serve::{Answer, Call, JSON, Serve, stored, stored_values};
use crate::support::{Cluster, Kq, wait_until};

const LONG: Duration = Duration::from_secs(30);
const ALL: &str = "all-topics-token-0123456789";
const ONE: &str = "one-topic-token-0123456789";
const NEW: &str = "rotated-token-0123456789";

/// A request of one JSON record, with these headers.
fn call(topic: &str, headers: &[(&str, &str)]) -> Call {
    headers
        .iter()
        .fold(Call::post(topic).of_type(JSON).body("1"), |call, (name, value)| call.header(name, value))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {pair}")
}

/// The HMAC-SHA256 of the bytes, in hex.
fn hmac(secret: &str, bytes: &[u8]) -> String {
    let key = PKey::hmac(secret.as_bytes()).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
    let digest = signer.sign_oneshot_to_vec(bytes).expect("sign");
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Demands 401 that asks for a token, and says nothing of the one that was sent.
#[track_caller]
fn asks_for_a_token(answer: Answer) {
    let answer = answer.refused(401, "not_sent");
    assert!(answer.header("www-authenticate").is_some_and(|its| its.starts_with("Bearer")), "{answer:?}");
    assert!(!answer.text().contains("0123456789"), "{}", answer.text());
}

#[test]
fn a_token_opens_the_topics_that_it_is_for() {
    let cluster = Cluster::get();
    let (first, second) = (cluster.create("serve", 1), cluster.create("serve", 1));
    let kq = cluster.kq(["serve", &first, &second, "-v"]);
    let tokens = kq.file("tokens", format!("# a comment\n{ALL}\n\nlimited {ONE} {first}\n"));
    let serve = Serve::of(kq.args(["--token-file".as_ref(), tokens.as_os_str()]));
    let with = |topic: &str, value: &str| serve.send(&call(topic, &[("Authorization", value)]));
    for value in [bearer(ALL), format!("bearer {ALL}"), basic("anyone", ALL), bearer(ONE), basic("", ONE)] {
        with(&first, &value).demand(200);
    }
    with(&second, &bearer(ALL)).demand(200);
    with(&second, &bearer(ONE)).refused(403, "not_sent");
    asks_for_a_token(serve.send(&call(&first, &[])));
    for wrong in [
        bearer("wrong-token-0123456789"),
        bearer(&ALL[..ALL.len() - 1]),
        bearer(""),
        basic(ALL, "x"),
        "Bearer".to_owned(),
        ALL.to_owned(),
        format!("Digest {ALL}"),
    ] {
        asks_for_a_token(with(&first, &wrong));
    }
    asks_for_a_token(serve.send(&call(&format!("{first}?access_token={ALL}"), &[])));
    // Before the body is sent, and before its type and the topic are looked at.
    let mut connection = serve.connect();
    connection.write(Call::post(&first).header("Expect", "100-continue").body("12").head());
    asks_for_a_token(connection.answer(false));
    let by_name = serve.process().wait_for_stderr("limited");
    assert!(!by_name.contains(ONE));
    assert_eq!(stored(&cluster, &first).len(), 5);
    assert_eq!(stored(&cluster, &second).len(), 1);
}

#[test]
fn a_token_file_that_changes_is_read_anew_and_a_bad_one_is_not() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let kq = cluster.kq(["serve", &topic]);
    let tokens = kq.file("tokens", format!("{ALL}\n"));
    let serve = Serve::of(kq.args(["--token-file".as_ref(), tokens.as_os_str()]));
    let status = |token: &str| serve.send(&call(&topic, &[("Authorization", &bearer(token))])).status;
    assert_eq!([status(ALL), status(NEW)], [200, 401]);
    // As Kubernetes does it: another file takes the name.
    let next = tokens.with_extension("next");
    std::fs::write(&next, format!("{NEW}\n")).expect("write");
    std::fs::rename(&next, &tokens).expect("rename");
    wait_until("the new token is taken", LONG, || status(NEW) == 200);
    assert_eq!(status(ALL), 401, "the old one is gone with it");
    std::fs::write(&tokens, "xyzzy\n").expect("write");
    wait_until("the bad file is noted", LONG, || {
        status(NEW);
        serve.process().stderr_so_far().contains("what it said before still counts")
    });
    assert_eq!([status(NEW), status(ALL)], [200, 401], "what was there stays");
    std::fs::write(&tokens, format!("{ALL}\n{NEW}\n")).expect("write");
    wait_until("both are taken", LONG, || [status(ALL), status(NEW)] == [200, 200]);
    serve.end().stderr_lacks(ALL).stderr_lacks(NEW).stderr_lacks("xyzzy");
}

#[test]
fn no_secret_gets_out() {
    let cluster = Cluster::get();
    let (topic, signed) = (cluster.create("serve", 1), cluster.create("serve", 1));
    let kq = cluster.kq(["serve", &topic, &signed, "-vv"]);
    let tokens = kq.file("tokens", format!("someone {ALL}\n"));
    let secrets = kq.file("secrets", "signing-secret-0123456789\n");
    let webhook = format!("{signed}=github:{}", secrets.display());
    let serve =
        Serve::of(kq.args(["--token-file".as_ref(), tokens.as_os_str()]).args(["--webhook", &webhook]));
    let authorized = ("Authorization", bearer(ALL));
    let headers = [(authorized.0, authorized.1.as_str()), ("Cookie", "cookie-0123456789")];
    serve.send(&call(&topic, &headers)).demand(200);
    serve.send(&call(&format!("{topic}?key=query-0123456789"), &headers)).demand(200);
    serve.send(&call(&topic, &headers).body("{\"body-0123456789")).demand(400);
    serve.send(&call(&topic, &[("Authorization", &bearer("wrong-0123456789"))])).demand(401);
    serve.send(&call(&signed, &[("X-Hub-Signature-256", "sha256=0123456789")])).demand(403);
    let page = serve.send(&Call::new("GET", "/metrics").header("Authorization", &authorized.1)).demand(200);
    assert!(!page.text().contains("0123456789"), "{}", page.text());
    // On loopback it needs none, and what it shows does not depend on one.
    assert!(!serve.get("/metrics").demand(200).text().contains("0123456789"));
    let output = serve.end();
    assert!(!output.text().contains("0123456789"), "{output}");
    let said = output.stderr.replace("topics", "");
    for secret in [
        ALL,
        "signing-secret",
        "cookie-",
        "query-0123456789",
        "body-0123456789",
        "wrong-0123456789",
        "sha256=",
    ] {
        assert!(!said.contains(secret), "{secret}\n{output}");
    }
}

#[test]
fn off_loopback_nothing_is_open_by_accident() {
    let cluster = Cluster::get();
    let (topic, other) = (cluster.create("serve", 1), cluster.create("serve", 1));
    let serve = |args: &[&str]| cluster.kq(["serve", "--listen", "0.0.0.0:0"]).args(args);
    serve(&[&topic]).run().status(2).stderr_has("--no-auth").stderr_has("--token-file");
    let tokens = |kq: Kq, content: &str| {
        let file = kq.file("tokens", content);
        kq.args(["--token-file".as_ref(), file.as_os_str()])
    };
    let of_one = format!("limited {ONE} {topic}\n");
    tokens(serve(&[&topic, &other]), &of_one).run().status(2).stderr_has(&other);
    tokens(serve(&[&topic]), "xyzzy\n").run().status(2).stderr_has("tokens").stderr_lacks("xyzzy");
    tokens(serve(&[&topic]), "# none\n").run().status(2).stderr_has("tokens");
    serve(&[&topic, "--token-file", "/none/tokens"]).run().status(2).stderr_has("/none/tokens");
    Serve::at(cluster.kq(["serve", &topic, "--no-auth"]), "0.0.0.0:0").end();
    let guarded = Serve::at(tokens(cluster.kq(["serve", &topic]), &of_one), "0.0.0.0:0");
    // On loopback it needs none.
    asks_for_a_token(guarded.get("/metrics"));
    guarded.send(&Call::new("GET", "/metrics").header("Authorization", bearer(ONE))).demand(200);
    guarded.end();
    serve(&[&topic, "--cors-origin", "*"]).run().status(2).stderr_has("--no-auth");
}

#[test]
fn a_web_page_and_a_rebound_name_reach_no_open_topic() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let serve = Serve::start(&cluster, [&topic, "--allow-host", "tunnel.example.com"]);
    let with_host = |host: &str| call(&topic, &[("Host", host)]).without_host();
    for host in [
        "localhost",
        "localhost:8080",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]:80",
        "LOCALHOST",
        "tunnel.example.com",
    ] {
        assert_eq!(serve.send(&with_host(host)).status, 200, "{host}");
    }
    for host in ["evil.example.com", "localhost.example.com", "192.0.2.1", "x.tunnel.example.com"] {
        serve.send(&with_host(host)).refused(403, "not_sent");
    }
    for origin in ["https://evil.example.com", "null", "http://localhost.evil.example.com"] {
        serve.send(&call(&topic, &[("Origin", origin)])).refused(403, "not_sent");
        let preflight = Call::new("OPTIONS", &format!("/topics/{topic}"))
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST");
        assert_eq!(serve.send(&preflight).header("access-control-allow-origin"), None);
    }
    assert_eq!(stored(&cluster, &topic).len(), 7);
}

#[test]
fn pages_of_an_origin_that_is_allowed_may_publish() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let origin = "https://app.example.com";
    let serve = Serve::start(&cluster, [&topic, "--cors-origin", origin]);
    let preflight = Call::new("OPTIONS", &format!("/topics/{topic}"))
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type, kafka-key");
    let answer = serve.send(&preflight);
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    let has = |answer: &Answer, name: &str, part: &str| {
        let value = answer.header(name).unwrap_or_default().to_ascii_lowercase();
        assert!(value.contains(part), "{name}: {answer:?}");
    };
    has(&answer, "access-control-allow-origin", origin);
    has(&answer, "access-control-allow-methods", "post");
    has(&answer, "access-control-allow-headers", "content-type");
    has(&answer, "access-control-allow-headers", "kafka-key");
    // Errors too: a page could not read them otherwise.
    for body in ["1", "{"] {
        let answer = serve.send(&call(&topic, &[("Origin", origin)]).body(body));
        has(&answer, "access-control-allow-origin", origin);
        has(&answer, "vary", "origin");
    }
    serve.send(&call(&topic, &[("Origin", "https://other.example.com")])).refused(403, "not_sent");
    assert_eq!(stored_values(&cluster, &topic), ["1"]);
}

#[test]
fn a_signature_opens_a_topic_and_a_wrong_one_closes_it() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let kq = cluster.kq(["serve", &topic]);
    let secrets = kq.file("secrets", "old-secret\nnew-secret\n");
    let tokens = kq.file("tokens", format!("{ALL}\n"));
    let webhook = format!("github:{}", secrets.display());
    let serve =
        Serve::of(kq.args(["--webhook", &webhook]).args(["--token-file".as_ref(), tokens.as_os_str()]));
    let body = "{\"action\" : \"opened\"}";
    let signed = |secret: &str, over: &str| {
        let signature = format!("sha256={}", hmac(secret, over.as_bytes()));
        call(&topic, &[("X-Hub-Signature-256", &signature)]).body(body)
    };
    serve.send(&signed("new-secret", body)).demand(200);
    serve.send(&signed("old-secret", body)).demand(200);
    for wrong in [signed("another", body), signed("new-secret", "{}")] {
        assert_eq!(serve.send(&wrong).refused(403, "not_sent").code(), "bad_signature");
        // Even with a token.
        let answer = serve.send(&wrong.header("Authorization", bearer(ALL)));
        assert_eq!(answer.refused(403, "not_sent").code(), "bad_signature");
    }
    serve.send(&call(&topic, &[("Authorization", &bearer(ALL))])).demand(200);
    asks_for_a_token(serve.send(&call(&topic, &[])));
    serve.send(&signed("new-secret", body).header("Content-Encoding", "gzip")).refused(415, "not_sent");
    assert_eq!(stored_values(&cluster, &topic), [body, body, "1"]);
}

/// A file of tests/fixtures/tls.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A TLS connection to the address, as the client with this certificate or without one.
fn tls(address: &str, client: Option<&str>) -> Result<SslStream<TcpStream>, String> {
    let mut connector = SslConnector::builder(SslMethod::tls()).expect("a connector");
    connector.set_ca_file(fixture("ca.pem")).expect("the CA");
    if let Some(client) = client {
        connector.set_certificate_chain_file(fixture(&format!("{client}.pem"))).expect("the certificate");
        connector.set_private_key_file(fixture(&format!("{client}.key")), SslFiletype::PEM).expect("the key");
    }
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(LONG)).expect("set a time-out");
    connector.build().connect("127.0.0.1", stream).map_err(|e| e.to_string())
}

/// The first line of the answer to this request.
fn first_line(mut stream: SslStream<TcpStream>, call: &Call) -> Result<String, String> {
    use std::io::{BufRead as _, BufReader, Write as _};
    stream.write_all(&call.bytes()).map_err(|e| e.to_string())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(|e| e.to_string())?;
    Ok(line.trim_end().to_owned())
}

#[test]
fn https_is_served_and_a_client_certificate_can_be_demanded() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let (cert, key, ca) = (fixture("server.pem"), fixture("server.key"), fixture("ca.pem"));
    let https = || {
        let kq = cluster.kq(["serve".as_ref(), topic.as_ref(), "--https-cert".as_ref(), cert.as_os_str()]);
        kq.args(["--https-key".as_ref(), key.as_os_str()])
    };
    let serve = Serve::of(https());
    let line = tls(serve.address(), None).and_then(|stream| first_line(stream, &call(&topic, &[])));
    assert_eq!(line.as_deref(), Ok("HTTP/1.1 200 OK"));
    // Plain HTTP on this port has no answer of 200, and stops nobody else.
    let mut plain = serve.connect();
    plain.write(call(&topic, &[]).bytes());
    if let Ok(answer) = plain.try_answer(false) {
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let line = tls(serve.address(), None).and_then(|stream| first_line(stream, &call(&topic, &[])));
    assert_eq!(line.as_deref(), Ok("HTTP/1.1 200 OK"));
    serve.end();
    let serve = Serve::of(https().args(["--https-client-ca".as_ref(), ca.as_os_str()]));
    let line =
        |client| tls(serve.address(), client).and_then(|stream| first_line(stream, &call(&topic, &[])));
    assert_eq!(line(Some("client")).as_deref(), Ok("HTTP/1.1 200 OK"));
    assert_ne!(line(None).as_deref(), Ok("HTTP/1.1 200 OK"));
    assert_eq!(stored(&cluster, &topic).len(), 3);
    serve.end();
    https().args(["--https-client-ca", "/none/ca.pem"]).run().status(2).stderr_has("/none/ca.pem");
}
