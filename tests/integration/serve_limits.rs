//! What a client of `kq serve` can't use up: memory, connections, time.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::serve::{Answer, Call, JSON, NDJSON, Serve, serving, stored, stored_values};
use crate::support::wait_until;

const LONG: Duration = Duration::from_secs(30);
/// The most memory that `kq serve` may ever have had, in KiB.
const MEMORY: u64 = 64 * 1024;

#[track_caller]
fn used_little(serve: &Serve) {
    let peak = serve.process().peak_memory_kib();
    assert!(peak < MEMORY, "{peak} KiB at its highest");
}

#[test]
fn a_length_above_the_limit_is_refused_before_the_body_is_sent() {
    let (cluster, topic, serve) = serving(&[]);
    let call = Call::post(&topic).of_type(JSON).without_length();
    let mut connection = serve.connect();
    connection.write(call.clone().header("Content-Length", "1073741824").head());
    let answer = connection.answer(false).refused(413, "not_sent");
    assert!(answer.closes(), "what follows would be read as a request: {answer:?}");
    assert!(connection.is_closed());
    let exactly = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    assert_eq!(exactly.len(), 1 << 20);
    // The largest body fits, and is above the topic's own limit of records, or is not.
    let answer = serve.json(&topic, &exactly);
    assert!([200, 413].contains(&answer.status), "{answer:?}");
    serve.json(&topic, exactly + " ").refused(413, "not_sent").says("max-body");
    assert_eq!(stored(&cluster, &topic).len(), usize::from(answer.status == 200));
}

#[test]
fn chunks_above_the_limit_are_refused_while_they_come() {
    let (cluster, topic, serve) = serving(&["--max-body", "100KiB"]);
    let mut connection = serve.connect();
    let call = Call::post(&topic).of_type(JSON).without_length().header("Transfer-Encoding", "chunked");
    connection.write(call.head());
    let chunk = [b"1000\r\n", &[b' '; 0x1000][..], b"\r\n"].concat();
    // It may stop reading, and close, before all of them are there.
    let _ = (0..30).try_for_each(|_| connection.try_write(&chunk));
    connection.answer(false).refused(413, "not_sent");
    assert_eq!(stored(&cluster, &topic), []);
}

#[test]
fn a_small_body_that_becomes_a_large_one_is_refused_and_uses_little_memory() {
    let (cluster, topic, serve) = serving(&[]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let blank = vec![b' '; 1 << 20];
    for _ in 0..128 {
        encoder.write_all(&blank).expect("compress");
    }
    // Twice the memory that is allowed, in an eighth of a megabyte.
    let bomb = encoder.finish().expect("compress");
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let zstd_bomb =
        zstd::encode_all(std::io::Read::take(std::io::repeat(b' '), 128 << 20), 3).expect("compress");
    for _ in 0..2 {
        for (coding, bomb) in [("gzip", &bomb), ("zstd", &zstd_bomb)] {
            let call = Call::post(&topic).of_type(JSON).header("Content-Encoding", coding).body(bomb);
            serve.send(&call).refused(413, "not_sent");
        }
    }
    used_little(&serve);
    assert_eq!(stored(&cluster, &topic), []);
}

#[test]
fn many_large_bodies_at_once_use_little_memory() {
    let (cluster, topic, serve) = serving(&[]);
    let body = format!("\"{}\"", "0123456789abcdef".repeat(50_000));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let send = |_| scope.spawn(|| (0..5).map(|_| serve.json(&topic, &body)).collect::<Vec<_>>());
        let threads: Vec<_> = (0..40).map(send).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    });
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.refused(503, "not_sent").retry_after();
    }
    assert!(accepted > 0);
    used_little(&serve);
    assert_eq!(stored(&cluster, &topic).len(), accepted);
}

#[test]
fn a_body_that_comes_too_slowly_is_408() {
    let (cluster, topic, serve) = serving(&["--body-timeout", "1s"]);
    let mut connection = serve.connect();
    let call = Call::post(&topic).of_type(JSON).body("12345678901234567890");
    connection.write(call.head());
    let started = Instant::now();
    // A byte now and then does not put it off: it is a deadline for all of the body.
    let answer = std::iter::from_fn(|| {
        std::thread::sleep(Duration::from_millis(200));
        connection.try_write("1").ok()
    });
    let sent = answer.take(15).take_while(|()| started.elapsed() < Duration::from_secs(3)).count();
    assert!(sent > 0);
    let answer = connection.answer(false).refused(408, "not_sent");
    assert!(answer.closes(), "{answer:?}");
    assert_eq!(stored(&cluster, &topic), []);
}

#[test]
fn a_head_that_comes_too_slowly_and_an_idle_connection_are_closed() {
    let (_cluster, topic, serve) = serving(&["--head-timeout", "1s", "--idle-timeout", "2s"]);
    let mut slow = serve.connect();
    slow.write(format!("POST /topics/{topic} HTTP/1.1\r\nHost: l"));
    // It may be told of it with 408 first.
    while let Ok(answer) = slow.try_answer(false) {
        assert_eq!(answer.status, 408);
    }
    let mut idle = serve.connect();
    idle.call(&Call::post(&topic).of_type(JSON).body("1")).demand(200);
    assert!(idle.is_closed());
    let mut silent = serve.connect();
    assert!(silent.is_closed());
    serve.json(&topic, "1").demand(200);
}

#[test]
fn heads_that_are_too_long_are_refused() {
    let (cluster, topic, serve) = serving(&[]);
    let long = Call::post(&topic).of_type(JSON).header("X-Long", "x".repeat(32 * 1024)).body("1");
    let many = (0..200).fold(Call::post(&topic).of_type(JSON), |call, n| call.header(&format!("x-{n}"), "1"));
    let target = Call::post(&format!("{topic}?key={}", "k".repeat(70_000))).of_type(JSON).body("1");
    for (call, statuses) in [(long, [431, 431]), (many.body("1"), [431, 431]), (target, [414, 431])] {
        let mut connection = serve.connect();
        // It may be refused before all of it is there.
        let _ = connection.try_write(call.bytes());
        if let Ok(answer) = connection.try_answer(false) {
            assert!(statuses.contains(&answer.status), "{answer:?}");
        }
    }
    let mut connection = serve.connect();
    connection.write("not HTTP at all\r\n\r\n");
    assert_eq!(connection.answer(false).status, 400);
    assert_eq!(stored(&cluster, &topic), []);
}

#[test]
fn a_request_of_too_many_records_is_refused() {
    let (cluster, topic, serve) = serving(&["--max-records", "3"]);
    serve.post(&topic, NDJSON, "1\n2\n3\n").demand(200);
    serve.post(&topic, NDJSON, "1\n2\n3\n4\n").refused(400, "not_sent").says("3");
    let v2 = r#"{"records":[{"value":1},{"value":2},{"value":3},{"value":4}]}"#;
    serve.post(&topic, "application/vnd.kafka.json.v2+json", v2).demand(400);
    assert_eq!(stored_values(&cluster, &topic), ["1", "2", "3"]);
}

#[test]
fn requests_beyond_the_rate_are_429_with_a_time_to_try_again() {
    let (cluster, topic, serve) = serving(&["--rate", "5/m"]);
    let answers: Vec<_> = (0..20).map(|_| serve.json(&topic, "1")).collect();
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((1..20).contains(&accepted), "{accepted}");
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        assert!(answer.refused(429, "not_sent").retry_after() > 0);
    }
    assert_eq!(stored(&cluster, &topic).len(), accepted);
    serve.get("/livez").demand(200);
}

#[test]
fn bodies_beyond_the_budget_are_503_and_those_within_it_go_on() {
    let (cluster, topic, serve) = serving(&["--max-pending", "100KiB", "--max-body", "80KiB"]);
    let body = format!("\"{}\"", "x".repeat(60_000));
    let call = Call::post(&topic).of_type(JSON).body(&body);
    let mut first = serve.connect();
    first.write(call.head());
    first.write(&body[..50_000]);
    wait_until("the first body is in the budget", LONG, || {
        serve.metric("kq_serve_pending_bytes") >= 50_000.0
    });
    let answer = serve.json(&topic, &body).refused(503, "not_sent");
    assert!(answer.retry_after() >= 1);
    // What is small still fits.
    serve.json(&topic, "1").demand(200);
    first.write(&body[50_000..]);
    first.answer(false).demand(200);
    serve.json(&topic, &body).demand(200);
    let lengths: Vec<_> = stored_values(&cluster, &topic).iter().map(String::len).collect();
    assert_eq!(lengths, [1, body.len(), body.len()]);
    wait_until("the budget is whole again", LONG, || serve.metric("kq_serve_pending_bytes") < 1.0);
}

#[test]
fn a_client_that_goes_in_the_middle_of_its_body_gives_the_budget_back() {
    let (cluster, topic, serve) = serving(&["--max-pending", "100KiB", "--max-body", "80KiB"]);
    let body = "x".repeat(60_000);
    let mut gone = serve.connect();
    gone.write(Call::post(&topic).of_type(JSON).body(&body).head());
    gone.write(&body[..50_000]);
    wait_until("the body is in the budget", LONG, || serve.metric("kq_serve_pending_bytes") >= 50_000.0);
    gone.reset();
    wait_until("the budget is whole again", LONG, || serve.metric("kq_serve_pending_bytes") < 1.0);
    assert_eq!(stored(&cluster, &topic), []);
}

#[test]
fn a_connection_beyond_the_most_waits_until_one_closes() {
    let (_cluster, topic, serve) = serving(&["--max-connections", "2"]);
    let call = Call::post(&topic).of_type(JSON).body("1");
    let mut open = [serve.connect(), serve.connect()];
    for connection in &mut open {
        connection.call(&call).demand(200);
    }
    let mut third = serve.connect();
    third.write(call.bytes());
    third.is_quiet();
    let [first, mut second] = open;
    drop(first);
    third.answer(false).demand(200);
    second.call(&call).demand(200);
}

#[test]
fn slow_clients_do_not_hold_the_others_up_nor_use_much_memory() {
    let (_cluster, topic, serve) = serving(&["--body-timeout", "1m"]);
    let call = Call::post(&topic).of_type(JSON).body("\"0123456789\"");
    let mut slow: Vec<_> = (0..500).map(|_| serve.connect()).collect();
    for (n, connection) in slow.iter_mut().enumerate() {
        // Half of them stay in their head, the others in their body.
        let bytes = call.bytes();
        connection.write(&bytes[..if n % 2 == 0 { 10 } else { bytes.len() - 3 }]);
    }
    let started = Instant::now();
    for _ in 0..100 {
        serve.json(&topic, "1").demand(200);
    }
    assert!(started.elapsed() < LONG, "{:?} for a hundred requests", started.elapsed());
    used_little(&serve);
    // They are served, too, once they have sent all of it.
    let bytes = call.bytes();
    for connection in slow.iter_mut().skip(1).step_by(50) {
        connection.write(&bytes[bytes.len() - 3..]);
        connection.answer(false).demand(200);
    }
}
