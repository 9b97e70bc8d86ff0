//! The accept loop and its connections, over raw sockets: what polite clients never send.

mod certificates;
mod secure;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::runtime::Runtime;

use super::server::{Peer, Server, Settings, Times};
use super::slots::WhenFull;
use crate::terminal::notes::Log;

/// A limit on what must happen soon.
const SOON: Duration = Duration::from_secs(30);

/// A server in this process.
struct Served {
    address: SocketAddr,
    server: Server,
    runtime: Runtime,
}

fn times() -> Times {
    Times { head: Duration::from_mins(5), idle: Duration::from_mins(5), write: Duration::from_mins(5) }
}

fn settings() -> Settings {
    Settings {
        flag: "--listen",
        connections: 1000,
        when_full: WhenFull::Wait,
        times: times(),
        tls: None,
        log: Log::new(true, 0),
    }
}

/// Answers `METHOD PATH BODY`, with some paths of its own.
async fn echo(peer: Arc<Peer>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let text = match head.uri.path() {
        "/unread" => return closing("not read"),
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(2)).await;
            "slow".to_owned()
        }
        "/large" => "x".repeat(64 << 20),
        path => match body.collect().await {
            Ok(body) => format!("{} {path} {}", head.method, String::from_utf8_lossy(&body.to_bytes())),
            Err(e) => format!("broken body: {e}"),
        },
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    if let Some(name) = &peer.certificate {
        response.headers_mut().insert("certificate", name.parse().unwrap());
    }
    response
}

fn closing(text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    let close = hyper::header::HeaderValue::from_static("close");
    response.headers_mut().insert(hyper::header::CONNECTION, close);
    response
}

fn serve(settings: Settings) -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let guard = runtime.enter();
    let server = Server::start(listener, settings, echo).unwrap();
    drop(guard);
    Served { address, server, runtime }
}

impl Served {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends this and reads until the server closes.
    fn whole(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        rest(&mut stream)
    }

    fn drain(&self, limit: Duration) -> usize {
        self.runtime.block_on(self.server.drain(limit))
    }

    fn wait_for_connections(&self, count: usize) {
        let end = std::time::Instant::now() + SOON;
        while self.server.counts().open() != count {
            assert!(std::time::Instant::now() < end, "{} open", self.server.counts().open());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits until a drain takes no more connections.
fn wait_until_nothing_listens(address: SocketAddr) {
    let end = std::time::Instant::now() + SOON;
    while TcpStream::connect(address).is_ok() {
        assert!(std::time::Instant::now() < end, "it still listens");
        // A drain accepts until none has come for a moment.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What comes until the server closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with a content-length.
fn one_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return text;
            }
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
}

fn bodies(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|one| one.split_once("\r\n\r\n").unwrap().1).collect()
}

#[test]
fn a_head_that_comes_byte_by_byte_is_answered() {
    let served = serve(settings());
    let mut stream = served.connect();
    for byte in b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(one_answer(&mut stream).ends_with("POST /a abc"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let served = serve(settings());
    let many: String = (0..100).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    let last = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = served.whole((many + last).as_bytes());
    let wanted: Vec<_> = (0..100).map(|n| format!("GET /{n} ")).chain(["GET /last ".into()]).collect();
    assert_eq!(bodies(&answers), wanted);
    assert_eq!(served.server.counts().gone(), 0);
}

#[test]
fn a_client_that_closes_its_half_gets_its_answer() {
    let served = serve(settings());
    let mut stream = served.connect();
    stream.write_all(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut stream).ends_with("slow"));
    served.wait_for_connections(0);
    assert_eq!(served.server.counts().gone(), 1);
}

#[test]
fn a_body_that_ends_early_is_broken_and_the_connection_ends() {
    let served = serve(settings());
    let mut stream = served.connect();
    stream.write_all(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = rest(&mut stream);
    assert!(answer.is_empty() || answer.contains("broken body"), "{answer}");
    served.wait_for_connections(0);
}

#[test]
fn with_both_lengths_the_chunks_count_and_the_next_request_is_read_right() {
    let served = serve(settings());
    for both in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 100\r\nTransfer-Encoding: chunked",
    ] {
        let request = format!(
            "POST /a HTTP/1.1\r\nHost: x\r\n{both}\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
             GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let answers = served.whole(request.as_bytes());
        let read = bodies(&answers);
        // An end after the first answer is right too (RFC 9112, section 6.3).
        assert_eq!(read[0], "POST /a abc", "{both}: {answers}");
        assert!(read.len() == 1 || read == ["POST /a abc", "GET /b "], "{both}: {answers}");
    }
}

#[test]
fn lengths_that_can_be_read_in_two_ways_are_refused() {
    let served = serve(settings());
    for lengths in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: +3",
        "Content-Length: 0x3",
        "Content-Length: 18446744073709551616",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
    ] {
        let request = format!(
            "POST /a HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        let answer = served.whole(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lengths}: {answer}");
        assert_eq!(bodies(&answer).len(), 1, "{lengths}: {answer}");
    }
}

#[test]
fn a_bad_chunk_breaks_the_body_and_ends_the_connection() {
    let served = serve(settings());
    for chunk in ["zz\r\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc"] {
        let head = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let next = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
        let answer = served.whole(format!("{head}{chunk}{next}").as_bytes());
        assert!(!answer.contains("GET /next"), "{chunk}: {answer}");
        assert!(answer.is_empty() || answer.contains("broken body") || answer.contains(" 400 "), "{answer}");
    }
}

#[test]
fn a_head_beyond_its_bound_is_refused() {
    let served = serve(settings());
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(17 << 10));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: x\r\n".repeat(65));
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}", "x".repeat(1 << 20));
    for head in [large, many, endless] {
        let answer = served.whole(head.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let answer = served.whole(target.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn what_is_no_http_is_refused() {
    let served = serve(settings());
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"\0\0\0\x10\0\x12\0\0\r\n\r\n",
    ] {
        let answer = served.whole(bytes);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
}

#[test]
fn an_answer_to_a_body_that_is_not_read_arrives() {
    let served = serve(settings());
    // More than the buffers of both sockets hold: what is unread at the end would reset the connection.
    let body = vec![b'x'; 8 << 20];
    let mut stream = served.connect();
    let head = format!("POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    // A client that writes all before it reads.
    stream.write_all(&body).unwrap();
    let answer = rest(&mut stream);
    assert!(answer.ends_with("not read"), "{answer}");
}

#[test]
fn a_head_that_takes_too_long_ends_the_connection() {
    let times = Times { head: Duration::from_millis(300), ..times() };
    let served = serve(Settings { times, ..settings() });
    let mut idle = served.connect();
    let mut stream = served.connect();
    served.wait_for_connections(2);
    // Each byte comes soon after the last one: only the whole takes too long.
    let begin = std::time::Instant::now();
    let mut sent = 0;
    while stream.write_all(b"G").is_ok() {
        sent += 1;
        assert!(begin.elapsed() < SOON, "{sent} bytes");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() >= Duration::from_millis(300));
    // No time runs for the head of a request that has not begun.
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(one_answer(&mut idle).ends_with("GET /a "));
    // And none between two requests.
    std::thread::sleep(Duration::from_millis(600));
    idle.write_all(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(one_answer(&mut idle).ends_with("GET /b "));
    // The second head has its own time.
    idle.write_all(b"GET /c").unwrap();
    assert_eq!(rest(&mut idle), "");
}

#[test]
fn a_connection_without_a_request_is_closed_and_one_that_is_answered_is_not() {
    // Less than an answer takes, and enough for the first bytes of a request to come.
    let times = Times { idle: Duration::from_secs(1), ..times() };
    let served = serve(Settings { times, ..settings() });
    assert_eq!(rest(&mut served.connect()), "");
    let mut stream = served.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answer = rest(&mut stream);
    assert!(answer.ends_with("slow"), "{answer}");
    served.wait_for_connections(0);
}

#[test]
fn a_client_that_does_not_read_its_answer_is_closed() {
    let times = Times { write: Duration::from_millis(200), ..times() };
    let served = serve(Settings { times, ..settings() });
    let mut stream = served.connect();
    served.wait_for_connections(1);
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    served.wait_for_connections(0);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < 64 << 20);
}

#[test]
fn a_connection_above_the_bound_waits_until_another_is_closed() {
    let served = serve(Settings { connections: 2, ..settings() });
    let (mut one, mut two) = (served.connect(), served.connect());
    for stream in [&mut one, &mut two] {
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        one_answer(stream);
    }
    let mut three = served.connect();
    three.write_all(b"GET /three HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    three.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(three.read(&mut [0]).is_err(), "it is not accepted");
    assert_eq!(served.server.counts().open(), 2);
    drop(one);
    three.set_read_timeout(Some(SOON)).unwrap();
    assert!(one_answer(&mut three).ends_with("GET /three "));
}

#[test]
fn a_new_connection_closes_the_idlest_one_where_that_is_asked_for() {
    let served = serve(Settings { connections: 2, when_full: WhenFull::CloseIdlest, ..settings() });
    let (mut one, mut two) = (served.connect(), served.connect());
    for stream in [&mut two, &mut one] {
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        one_answer(stream);
    }
    let mut three = served.connect();
    for stream in [&mut three, &mut one] {
        stream.write_all(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(one_answer(stream).ends_with("GET /b "));
    }
    assert_eq!(rest(&mut two), "");
}

#[test]
fn a_drain_answers_what_is_open_and_closes_what_is_idle() {
    let served = serve(settings());
    let (mut busy, mut idle, mut late) = (served.connect(), served.connect(), served.connect());
    for stream in [&mut idle, &mut late] {
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        one_answer(stream);
    }
    // It has sent its request before the drain begins: it is answered, and not reset.
    let mut queued = served.connect();
    queued.write_all(b"GET /queued HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    busy.write_all(b"POST /busy HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n").unwrap();
    served.wait_for_connections(4);
    let address = served.address;
    let draining = std::thread::spawn(move || served.drain(SOON));
    wait_until_nothing_listens(address);
    // What is asked for in the first moment is answered too.
    late.write_all(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    busy.write_all(b"abc").unwrap();
    let answer = rest(&mut busy);
    assert!(answer.contains("connection: close") && answer.ends_with("POST /busy abc"), "{answer}");
    assert!(rest(&mut queued).ends_with("GET /queued "));
    assert!(rest(&mut late).ends_with("GET /late "));
    assert_eq!(rest(&mut idle), "");
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_drain_ends_at_its_limit_and_says_what_was_open() {
    let served = serve(settings());
    let mut stream = served.connect();
    stream.write_all(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n").unwrap();
    served.wait_for_connections(1);
    // Idle connections are closed by then.
    assert_eq!(served.drain(Duration::from_secs(6)), 1);
    assert_eq!(rest(&mut stream), "");
    assert!(TcpStream::connect(served.address).is_err(), "nothing listens");
}

#[test]
fn many_slow_heads_keep_nobody_out() {
    let served = serve(settings());
    let mut slow: Vec<_> = (0..300).map(|_| served.connect()).collect();
    for part in ["GET /slowly", " HTTP/1.1\r\n", "Host: x\r\n"] {
        for stream in &mut slow {
            stream.write_all(part.as_bytes()).unwrap();
        }
        let answer = served.whole(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(answer.ends_with("GET /a "), "{answer}");
    }
    for stream in &mut slow {
        stream.write_all(b"\r\n").unwrap();
    }
    for stream in &mut slow {
        assert!(one_answer(stream).ends_with("GET /slowly "));
    }
}

#[test]
fn the_time_of_a_head_does_not_bound_the_body_or_the_answer() {
    let times = Times { head: Duration::from_secs(1), idle: Duration::from_secs(1), ..times() };
    let served = serve(Settings { times, ..settings() });
    let mut stream = served.connect();
    stream.write_all(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n").unwrap();
    for byte in b"abc" {
        std::thread::sleep(Duration::from_millis(1200));
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(rest(&mut stream).ends_with("POST /a abc"));
}

#[test]
fn a_body_is_asked_for_where_it_is_read() {
    let served = serve(settings());
    let head = |path| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut stream = served.connect();
    stream.write_all(head("/a").as_bytes()).unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    assert!(one_answer(&mut stream).ends_with("POST /a abc"));
    let answer = served.whole(head("/unread").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("not read"), "{answer}");
}

#[test]
fn an_older_client_gets_its_answer_and_the_end() {
    let served = serve(settings());
    assert!(served.whole(b"GET /a HTTP/1.0\r\n\r\n").ends_with("GET /a "));
}
