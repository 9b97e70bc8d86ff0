//! What the handlers need is away: a server that every one of them asks first.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::lab::{Case, LONG, ONE_SHOT};
use crate::support::{Running, wait_for};

/// How many records one process may give up in an outage of a few minutes.
const GIVEN_UP: usize = 20;
/// Commands at the same time, where the server is away for a short while.
const JOBS: usize = 4;

/// A server that accepts connections, or is away.
struct Server {
    port: u16,
    runs: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let mut server = Self { port, runs: None };
        server.accept(listener);
        server
    }

    fn accept(&mut self, listener: TcpListener) {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            for connection in listener.incoming() {
                drop(connection);
                if told.load(SeqCst) {
                    return;
                }
            }
        });
        self.runs = Some((ends, thread));
    }

    fn go_away(&mut self) {
        let Some((ends, thread)) = self.runs.take() else { return };
        ends.store(true, SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        thread.join().expect("the server");
    }

    fn come_back(&mut self) {
        let listener = wait_for("its port", LONG, || TcpListener::bind(("127.0.0.1", self.port)).ok());
        self.accept(listener);
    }

    /// The handler, which asks the server first.
    fn handler(&self) -> [String; 4] {
        let asks = format!("{{ exec 3<>/dev/tcp/127.0.0.1/{}; }} 2>/dev/null || exit 1", self.port);
        let script = ONE_SHOT.replacen("read -r v\n", &format!("read -r v\n{asks}\n"), 1);
        ["--".into(), "bash".into(), "-c".into(), script]
    }

    /// The same as a process that stays, and asks for its records again while the server is away.
    fn handler_that_stays(&self) -> [String; 4] {
        let script = format!(
            r#"
import json, os, socket, sys
log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for line in sys.stdin:
    r = json.loads(line)
    try:
        socket.create_connection(("127.0.0.1", {})).close()
    except OSError:
        print(json.dumps({{"id": r["id"], "retry_ms": 100}}), flush=True)
        continue
    os.write(log, f"{{r['partition']}} {{r['offset']}} {{r['attempt']}} {{r['value']}} {{r['key']}}\n".encode())
    print(json.dumps({{"id": r["id"], "ok": True}}), flush=True)
"#,
            self.port
        );
        ["--".into(), "python3".into(), "-c".into(), script]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.go_away();
    }
}

/// A server that is away for a quarter of a minute, in the middle of the work.
fn short(name: &'static str, flags: &[&str], command: impl Fn(&Server) -> [String; 4]) {
    let mut case = Case::new(name, "20 dead letters at most; the rest handled", 2, &[]);
    let mut server = Server::start();
    let dlq = case.dlq(&[]);
    case.send(100, 100);
    let jobs = JOBS.to_string();
    let flags = [&["-j", &jobs, "--dlq", &dlq], flags].concat();
    let worker = case.worker(&flags).args(command(&server)).spawn();
    case.wait_for_more(20);
    server.go_away();
    case.send(200, 200);
    thread::sleep(Duration::from_secs(15));
    server.come_back();
    case.wait_for_no_lag();
    case.end(worker);
    let dead = case.dead().len();
    // Of the commands that ran as it went away, some failed before the last one succeeded.
    assert!(dead <= GIVEN_UP + JOBS, "{dead} dead letters");
    case.pass(0, "15 s");
}

#[test]
fn a_server_away_for_as_long_as_the_retries_last() {
    short("a server away 15 s", &[], Server::handler);
}

#[test]
fn a_server_away_for_longer_than_the_retries_last() {
    short("the same, without retries", &["--retries", "0"], Server::handler);
}

#[test]
fn a_server_away_from_a_command_that_stays() {
    let flags = ["--persistent", "--window", "1", "--retries", "2"];
    short("the same, persistent", &flags, Server::handler_that_stays);
}

#[test]
#[ignore = "three minutes: tests/kafka/run faults"]
fn a_server_away_for_two_minutes_with_restarts() {
    let name = "a server away 2 min, the worker restarted (Restart=always)";
    let mut case = Case::new(name, "20 dead letters a process at most; the rest handled", 2, &[]);
    let mut server = Server::start();
    let dlq = case.dlq(&[]);
    case.send(200, 200);
    let start = |case: &Case, server: &Server| -> Running {
        let flags = ["-j", "8", "--retries", "2", "--dlq", &dlq];
        case.worker(&flags).args(server.handler()).limit(5 * LONG).spawn()
    };
    let mut worker = start(&case, &server);
    case.wait_for_more(20);
    server.go_away();
    let (began, mut processes, mut dead, mut allowed) = (Instant::now(), 1, 0, case.uncommitted() + 8);
    case.send(400, 400);
    while began.elapsed() < Duration::from_mins(2) {
        thread::sleep(Duration::from_secs(20 + case.random.below(20)));
        // Paused or not, it ends well, and what starts it starts it again.
        case.end(worker);
        let all = case.dead().len();
        assert!(all - dead <= GIVEN_UP, "{} dead letters of one process", all - dead);
        // What is behind a record that is not done runs again, and dead letters with it.
        allowed += all - dead;
        (dead, processes) = (all, processes + 1);
        worker = start(&case, &server);
    }
    server.come_back();
    // A probe may be due in a minute only.
    case.wait_for_no_lag_within(3 * LONG);
    case.end(worker);
    let last = case.dead().len() - dead;
    assert!(last <= GIVEN_UP, "{last} dead letters of the last process");
    case.pass(allowed + last, &format!("{processes} processes"));
}
