//! `kq worker` as one sees it work: metrics, probes, the live line on a terminal.

#![expect(clippy::float_cmp, reason = "the samples are whole numbers")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Cluster, Running, topic_with, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(30);

/// The address that a worker says it serves its metrics on.
pub(super) fn address(worker: &Running) -> String {
    let line = worker.wait_for_stderr("metrics on http://");
    let (_, rest) = line.split_once("http://").expect("it was found");
    rest.split_once('/').expect("a path").0.to_owned()
}

/// GET by plain TCP, as Prometheus asks: status, headers, body. `None` where nothing listens any more.
pub(super) fn get(address: &str, path: &str) -> Option<(u16, String, String)> {
    get_as(address, path, "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.4")
}

fn get_as(address: &str, path: &str, accept: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONG)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_lowercase(), body.to_owned()))
}

/// The samples of `/metrics`, each by its name and labels as written.
#[track_caller]
pub(super) fn scrape(address: &str) -> BTreeMap<String, f64> {
    let (status, head, body) = get(address, "/metrics").expect("an answer");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        (name.to_owned(), value.parse().unwrap_or_else(|e| panic!("{line:?}: {e}")))
    });
    let all: BTreeMap<String, f64> = samples.collect();
    for name in all.keys() {
        let family = name.split('{').next().expect("a name");
        let announced = ["", "_total", "_bucket", "_sum", "_count"].iter().any(|end| {
            family.strip_suffix(end).is_some_and(|family| {
                body.contains(&format!("# TYPE {family} ")) && body.contains(&format!("# HELP {family} "))
            })
        });
        assert!(announced, "{name} has no TYPE and HELP:\n{body}");
    }
    all
}

fn status(address: &str, path: &str) -> Option<u16> {
    Some(get(address, path)?.0)
}

#[test]
fn metrics_say_what_became_of_records() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "metrics", 1, "a\nbad\nb\nc\n");
    let dlq = cluster.create("dead", 1);
    let script = "read v; [ $v != bad ]";
    let flags = ["--retries", "1", "--backoff", "1ms", "-j", "1", "--dlq", &dlq];
    let worker = cluster
        .kq(["worker", &topic, "--metrics", "127.0.0.1:0"])
        .args(flags)
        .args(["--", "sh", "-c", script])
        .spawn();
    let address = address(&worker);
    wait_until("three are done and one is dead", LONG, || {
        let all = scrape(&address);
        all["kq_worker_records_total{result=\"done\"}"] == 3.0
            && all["kq_worker_records_total{result=\"dead_lettered\"}"] == 1.0
    });
    let lag = format!("kq_worker_lag_records{{topic=\"{topic}\",partition=\"0\"}}");
    wait_until("the lag is known", LONG, || scrape(&address).get(&lag) == Some(&0.0));
    let all = scrape(&address);
    for (name, value) in [
        ("kq_worker_records_total{result=\"skipped\"}", 0.0),
        ("kq_worker_failed_attempts_total{reason=\"exit\"}", 2.0),
        ("kq_worker_failed_attempts_total{reason=\"signal\"}", 0.0),
        ("kq_worker_failed_attempts_total{reason=\"timeout\"}", 0.0),
        ("kq_worker_failed_attempts_total{reason=\"protocol\"}", 0.0),
        ("kq_worker_handler_seconds_count", 5.0),
        ("kq_worker_handler_seconds_bucket{le=\"+Inf\"}", 5.0),
        ("kq_worker_rebalances_total{kind=\"assigned\"}", 1.0),
        ("kq_worker_rebalances_total{kind=\"lost\"}", 0.0),
        ("kq_worker_in_flight_records", 0.0),
        ("kq_worker_queued_records", 0.0),
        ("kq_worker_oldest_in_flight_seconds", 0.0),
        ("kq_worker_connected", 1.0),
        (&format!("kq_worker_span_records{{topic=\"{topic}\",partition=\"0\"}}"), 0.0),
    ] {
        assert_eq!(all.get(name), Some(&value), "{name} in {all:#?}");
    }
    assert!(all["kq_worker_handler_seconds_sum"] > 0.0);
    let readme = include_str!("../../README.md");
    let named = readme.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: Vec<&str> = named.filter(|word| word.starts_with("kq_worker_")).collect();
    assert!(named.len() > 8, "{named:?}");
    for name in named {
        assert!(
            all.keys().any(|sample| sample.starts_with(name)),
            "the README names {name}, which does not exist"
        );
    }
    let build = format!("kq_build_info{{version=\"{}\",librdkafka=", env!("CARGO_PKG_VERSION"));
    assert!(all.keys().any(|name| name.starts_with(&build)), "{all:#?}");
    // A client that asks for no format, such as curl, may know the older format only.
    let (_, head, body) = get_as(&address, "/metrics", "*/*").expect("an answer");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE kq_worker_records_total counter\nkq_worker_records_total{"), "{body}");
    assert!(!body.contains("# EOF") && !body.contains(" info\n"), "{body}");
    for line in body.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["#", "TYPE", family, _] = words[..] {
            assert!(readme.contains(&format!("`{family}")), "the README lacks {family}");
        }
        for label in ["{result=\"", "{reason=\"", "{kind=\""] {
            let value = line.split_once(label).and_then(|(_, rest)| rest.split_once('"'));
            let lacks = value.is_some_and(|(value, _)| !readme.contains(&format!("`{value}`")));
            assert!(!lacks, "the README lacks a value of {line}");
        }
    }
    worker.terminate();
    worker.wait().success();
}

#[test]
fn metrics_say_what_runs_and_what_waits() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "running", 1, "a\nb\nc\nd\n");
    let script = "echo here >&2; while [ ! -e go ]; do sleep 0.01; done";
    let flags = ["--metrics", "127.0.0.1:0", "-j", "1", "--max-span", "3", "--", "sh", "-c", script];
    let worker = cluster.kq(["worker", &topic]).args(flags).spawn();
    let address = address(&worker);
    worker.wait_for_stderr("here");
    let of_partition = |name: &str| format!("{name}{{topic=\"{topic}\",partition=\"0\"}}");
    wait_until("the lag is known", LONG, || {
        scrape(&address).get(&of_partition("kq_worker_lag_records")) == Some(&4.0)
    });
    let all = scrape(&address);
    assert_eq!(all["kq_worker_in_flight_records"], 1.0);
    assert_eq!(all["kq_worker_queued_records"], 3.0);
    assert_eq!(all[&of_partition("kq_worker_span_records")], 3.0);
    assert!(all["kq_worker_oldest_in_flight_seconds"] > 0.0);
    // The partition is paused by now: what comes in later is seen too.
    // Twice, since a fetch that was on its way may still return the first.
    for lag in [5.0, 6.0] {
        cluster.kq(["produce", &topic]).stdin("e\n").run().success();
        wait_until("the lag grows while nothing is fetched", Duration::from_secs(10), || {
            scrape(&address)[&of_partition("kq_worker_lag_records")] == lag
        });
    }
    worker.kill();
}

#[test]
fn a_worker_is_ready_once_it_is_assigned_and_not_while_it_drains() {
    let mut cluster = Cluster::embedded();
    let topic = cluster.create("ready", 1);
    let script = "echo here >&2; while [ ! -e go ]; do sleep 0.01; done";
    let start = || {
        let worker = cluster.kq(["worker", &topic, "--metrics", "127.0.0.1:0", "--", "sh", "-c", script]);
        let worker = worker.spawn();
        let address = address(&worker);
        (worker, address)
    };
    let (worker, address) = start();
    wait_until("it is ready", LONG, || status(&address, "/readyz") == Some(200));
    assert_eq!(status(&address, "/livez"), Some(200));
    assert_eq!(status(&address, "/"), Some(404));
    cluster.kq(["produce", &topic]).stdin("a\n").run().success();
    worker.wait_for_stderr("here");
    worker.terminate();
    worker.wait_for_stderr("finishing 1 running");
    let (ready, _, why) = get(&address, "/readyz").expect("it answers while it drains");
    assert_eq!((ready, why.as_str()), (503, "ending\n"));
    assert_eq!(status(&address, "/livez"), Some(200));
    assert_eq!(scrape(&address)["kq_worker_in_flight_records"], 1.0);
    std::fs::write(worker.dir().join("go"), "").unwrap();
    worker.wait().success();
    assert_eq!(status(&address, "/livez"), None, "it stops with the worker");

    let (worker, address) = start();
    wait_until("it is ready", LONG, || status(&address, "/readyz") == Some(200));
    cluster.kill();
    wait_until("it has seen that the broker is away", LONG, || status(&address, "/readyz") == Some(503));
    assert_eq!(status(&address, "/livez"), Some(200), "an outage is no reason for a restart");
    worker.kill();
}

#[test]
fn a_worker_without_an_assignment_is_not_ready() {
    // It accepts and never answers: a cluster that can't be reached.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let brokers = silent.local_addr().unwrap().to_string();
    let worker =
        crate::support::Kq::new(["worker", "t", "-b", &brokers, "--metrics", "127.0.0.1:0", "--", "cat"]);
    let worker = worker.spawn();
    let address = address(&worker);
    let (ready, _, why) = get(&address, "/readyz").expect("an answer");
    assert!(ready == 503 && why.contains("not assigned"), "{ready} {why}");
    assert_eq!(status(&address, "/livez"), Some(200));
    worker.kill();
}

#[test]
fn an_address_in_use_is_an_error_before_anything_is_consumed() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "in-use", 1, "a\n");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    cluster
        .kq(["worker", &topic, "-e", "--metrics", &address, "--", "cat"])
        .run()
        .status(2)
        .stdout("")
        .stderr_has(&format!("--metrics {address}: Address already in use"));
    cluster.kq(["worker", &topic, "--metrics", "9100", "--", "cat"]).run().status(2).stderr_has(":PORT");
    cluster.kq(["worker", &topic, "-e", "--", "cat"]).run().success().stdout("a");
}

#[test]
fn connections_that_ask_for_nothing_do_not_keep_a_probe_out() {
    let cluster = Cluster::get();
    let topic = cluster.create("idle", 1);
    let worker = cluster.kq(["worker", &topic, "--metrics", "127.0.0.1:0", "--", "cat"]).spawn();
    let address = address(&worker);
    // So many that it would take longer than the probe waits, were each kept for the time of a request's head.
    let mut idle: Vec<_> = (0..300).map(|_| TcpStream::connect(&address).expect("a connection")).collect();
    assert_eq!(status(&address, "/livez"), Some(200));
    for stream in &idle {
        stream.set_read_timeout(Some(LONG)).expect("a time-out");
    }
    assert_eq!(idle[0].read(&mut [0]).expect("it is closed"), 0, "the oldest gives way");
    // The newest is open, and is served.
    let newest = idle.last_mut().expect("a connection");
    write!(newest, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("send a request");
    let mut answer = String::new();
    newest.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// What a terminal shows after these bytes: its rows, from the first one ever written.
fn screen(bytes: &[u8]) -> Vec<String> {
    let mut rows = vec![Vec::new()];
    let mut column = 0;
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let row = rows.last_mut().expect("a row");
        match byte {
            b'\r' => column = 0,
            b'\n' => rows.push(Vec::new()),
            0x1b => {
                rest =
                    rest.strip_prefix(b"[2K").unwrap_or_else(|| panic!("a sequence that is not known here"));
                row.clear();
            }
            byte => {
                row.resize(row.len().max(column + 1), b' ');
                row[column] = byte;
                column += 1;
            }
        }
    }
    rows.into_iter().map(|row| String::from_utf8_lossy(&row).trim_end().to_owned()).collect()
}

#[test]
fn the_live_line_leaves_everything_else_on_the_terminal_whole() {
    let cluster = Cluster::get();
    let input: String = (0..12).map(|i| format!("{i}\n")).collect();
    let topic = topic_with(&cluster, "live", 1, &input);
    let script = "read v; echo said $v >&2; sleep 0.1; [ $v = 5 ] || echo; printf \"out $v\"; echo";
    let line = format!("kq worker {topic} -e -j 1 -- sh -c '{}'", script.replace('\'', "'\\''"));
    let run = cluster.program("script", ["-qefc", &line, "/dev/null"]).env("TERM", "xterm");
    let shown = run.run().success();
    let times = String::from_utf8_lossy(&shown.stdout).matches(" in flight").count();
    assert!(times > 2, "the live line was shown {times} times\n{shown}");
    let rows = screen(&shown.stdout);
    let mut expected = vec![format!("kq: group kq-worker-{topic} (-g GROUP or KQ_GROUP for another)")];
    for i in 0..12 {
        expected.push(format!("{topic}[0]@{i}: said {i}"));
        expected.extend((i != 5).then(String::new));
        expected.push(format!("out {i}"));
    }
    assert_eq!(rows[..expected.len()], expected, "{shown}");
    assert!(rows[expected.len()].starts_with("kq: 12 done in "), "{rows:?}");
    assert_eq!(rows[expected.len() + 1..], [""], "{rows:?}");
}

#[test]
fn output_without_a_newline_is_not_erased_by_the_live_line() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "open", 1, "a\nb\nc\n");
    let line = format!("kq worker {topic} -g g -e -j 1 -- sh -c 'sleep 0.4; cat'");
    let run = cluster.program("script", ["-qefc", &line, "/dev/null"]).env("TERM", "xterm");
    let shown = run.run().success();
    assert!(String::from_utf8_lossy(&shown.stdout).contains(" in flight"), "{shown}");
    let rows = screen(&shown.stdout);
    assert_eq!(rows[0], "abc", "{rows:?}");
    assert!(rows[1].starts_with("kq: 3 done in "), "a note is a line of its own: {rows:?}");
}

#[test]
fn no_live_line_without_a_terminal() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "quiet", 1, "a\n");
    let run = |line: &str, term: &str| {
        let line = format!("kq worker {topic} -g {term} -e {line}");
        cluster.program("script", ["-qefc", &line, "/dev/null"]).env("TERM", term).run().success()
    };
    let lacks = |shown: &crate::support::Output| {
        !shown.text().contains("in flight") && !shown.text().contains('\x1b')
    };
    run("-- sleep 1", "dumb").demand("no live line", lacks);
    run("-q -- sleep 1", "xterm").demand("no live line", lacks);
    run("-- sleep 1 2>err; cat err", "vt100").demand("no live line", lacks);
}
