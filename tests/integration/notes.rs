//! The lines on stderr: when a time stands before them, what they are as JSON, and that equal ones are counted.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use crate::produce_progress::terminal;
use crate::support::{Cluster, Kq, Output, Running, TERM, once, topic_with, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(30);

/// A time before a line of kq: RFC 3339, UTC, with milliseconds.
const DATED: &str = r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z kq: ";

/// The lines of kq that have a time before them, and those that have none.
fn dated(stderr: &str) -> (usize, usize) {
    let bare = stderr.lines().filter(|line| line.starts_with("kq: ")).count();
    (Regex::new(DATED).expect("a pattern").find_iter(stderr).count(), bare)
}

/// Demands that each line of kq has a time before it.
#[track_caller]
fn all_dated(stderr: &str) {
    let (dated, bare) = dated(stderr);
    assert!(dated > 0 && bare == 0, "{stderr}");
}

/// Demands that no line has a time before it.
#[track_caller]
fn none_dated(stderr: &str) {
    let (dated, bare) = dated(stderr);
    assert!(dated == 0 && bare > 0, "{stderr}");
}

/// Each line of a log as JSON: an object with a time, a level and a message.
#[track_caller]
fn objects(stderr: &str) -> Vec<Value> {
    let time = Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$").expect("a pattern");
    let object = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{stderr}"));
        assert!(object["time"].as_str().is_some_and(|text| time.is_match(text)), "{line}");
        let levels = ["error", "info", "debug", "trace", "command"];
        assert!(object["level"].as_str().is_some_and(|level| levels.contains(&level)), "{line}");
        assert!(object["message"].as_str().is_some_and(|message| !message.starts_with("kq: ")), "{line}");
        object
    };
    let objects: Vec<Value> = stderr.lines().map(object).collect();
    assert!(!objects.is_empty() && stderr.ends_with('\n'), "{stderr}");
    objects
}

/// The object whose message holds this.
#[track_caller]
fn with<'a>(objects: &'a [Value], part: &str) -> &'a Value {
    let found =
        objects.iter().find(|object| object["message"].as_str().is_some_and(|text| text.contains(part)));
    found.unwrap_or_else(|| panic!("{part:?} in {objects:#?}"))
}

/// What it wrote to a file in the place of stderr. `journal` makes the value of `JOURNAL_STREAM` from the file's
/// device and inode.
fn to_file(kq: Kq, journal: Option<fn(u64, u64) -> String>) -> String {
    let path = kq.dir().join("stderr");
    let file = File::create(&path).expect("make a file");
    let metadata = file.metadata().expect("its metadata");
    let kq = match journal {
        Some(value) => kq.env("JOURNAL_STREAM", value(metadata.dev(), metadata.ino())),
        None => kq,
    };
    let ended = kq.stderr_to(file).run().success();
    let text = std::fs::read_to_string(path).expect("read the file");
    drop(ended);
    text
}

#[test]
fn a_command_that_runs_on_writes_the_time_before_its_lines_and_not_before_those_of_a_command() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "dated", 1, "a\n");
    let script = "echo said >&2; echo 2026-01-01 kq: mine >&2";
    let ended = once(&cluster, &topic, &["-v"], &["sh", "-c", script]).run().success();
    all_dated(&ended.stderr);
    for said in ["said", "2026-01-01 kq: mine"] {
        assert!(ended.stderr.lines().any(|line| line == format!("{topic}[0]@0: {said}")), "{ended}");
    }
    all_dated(&to_file(once(&cluster, &topic, &["-v"], &["true"]), None));

    let following = cluster.kq(["consume", &topic, "-v", "-g", &cluster.topic("g")]).spawn();
    following.wait_for_stdout("a");
    following.terminate();
    all_dated(&following.wait().success().stderr);

    let dev = Kq::new(["dev", "--port", "0"]).spawn();
    dev.wait_for_stderr("try: ");
    dev.terminate();
    all_dated(&dev.wait().success().stderr);

    // The error that ends it is read in the log too.
    let absent = cluster.kq(["worker", "absent", "-g", "g", "--", "true"]).run().status(2);
    all_dated(&absent.stderr);
}

#[test]
fn a_command_that_ends_by_itself_writes_no_time() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "bare", 1, "a\n");
    none_dated(&cluster.kq(["produce", &topic]).stdin("b\n").run().success().stderr);
    none_dated(&to_file(cluster.kq(["topic", "create", &topic, "--if-not-exists"]), None));
    for end in [&["-e"][..], &["-n", "1"], &["--idle", "2s"], &["--until", "1"]] {
        let kq = cluster.kq(["consume", &topic, "-v", "-g", &cluster.topic("g")]).args(end);
        none_dated(&kq.run().success().stderr);
    }
    none_dated(&cluster.kq(["consume", "absent", "-e"]).run().status(2).stderr);
}

#[test]
fn the_journal_gets_no_time_and_another_stream_does() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "journal", 1, "a\n");
    let worker = |group: &str| once(&cluster, &topic, &["-g", group], &["cat"]);
    none_dated(&to_file(worker(&cluster.topic("g")), Some(|device, inode| format!("{device}:{inode}"))));
    // The variable is inherited where stderr was led elsewhere.
    all_dated(&to_file(worker(&cluster.topic("g")), Some(|device, inode| format!("{device}:{}", inode + 1))));
    all_dated(&to_file(worker(&cluster.topic("g")), Some(|_, _| String::new())));

    // As systemd has it: a socket.
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let theirs = File::from(std::os::fd::OwnedFd::from(theirs));
    let metadata = theirs.metadata().expect("its metadata");
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    worker(&cluster.topic("g")).env("JOURNAL_STREAM", stream).stderr_to(theirs).run().success();
    let mut text = String::new();
    ours.read_to_string(&mut text).expect("read the socket");
    none_dated(&text);
}

/// The end of a terminal that a program writes to, and what reads all that it writes.
fn read_terminal() -> (File, JoinHandle<String>) {
    let (terminal, path) = terminal(80);
    let other = OpenOptions::new().read(true).write(true).open(path).expect("open its other end");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // It ends with an error (EIO) when the other end is closed.
        let _ = File::from(terminal).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    (other, reader)
}

#[test]
fn a_terminal_gets_no_time() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "tty", 1, "a\n");
    let (other, reader) = read_terminal();
    once(&cluster, &topic, &[], &["cat"]).stderr_to(other).run().success();
    none_dated(&reader.join().expect("the reader"));
}

/// A run of which each line on stderr must be an object.
fn in_json(cluster: &Cluster, line: &[&str]) -> Kq {
    cluster.kq(["--log-format", "json"]).args(line)
}

#[test]
fn each_line_of_each_command_is_an_object_in_failures_too() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "json", 2, "a\nb\n");
    let missing = cluster.topic("missing");
    let away = ["-b", "127.0.0.1:1", "--timeout", "300ms"];
    for (status, line) in [
        (0, &["topic", "create", &topic, "--if-not-exists"][..]),
        (0, &["topic", "list", "-vvv"]),
        (2, &["topic", "describe", &missing]),
        (2, &["topic", "create", &topic]),
        (2, &["topic", "delete", &missing]),
        (2, &["consume", &missing, "-e"]),
        (0, &["consume", &topic, "-e", "-vvv"]),
        (0, &["produce", &topic, "-vvv"]),
        (2, &["produce", &topic, "no such file"]),
        (2, &["worker", &missing, "-e", "--", "true"]),
        (0, &["worker", &topic, "-e", "-vvv", "--", "true"]),
        (78, &["worker", &topic, "-e", "--", "/no/such/command"]),
        (
            1,
            &[
                "worker",
                &topic,
                "-e",
                "-g",
                &missing,
                "--",
                "sh",
                "-c",
                "echo one >&2; echo two >&2; exit 65",
            ],
        ),
        (2, &["config", "show", "-F", "/no/such/file"]),
        (2, &["dev", "--listen", "192.0.2.1:9"]),
        // The parser's own.
        (2, &["consume", "--no-such-flag"]),
        (2, &["topic", "create", &topic, "--partitions", "none"]),
        (2, &["worker", &topic]),
        (2, &["-P", "-t", &topic]),
        (2, &[]),
    ] {
        let ended = in_json(&cluster, line).run().status(status);
        objects(&ended.stderr);
    }
    for line in [
        &["topic", "list"][..],
        &["consume", &topic],
        &["produce", &topic],
        &["worker", &topic, "--", "true"],
    ] {
        let ended = in_json(&cluster, line)
            .args(&[] as &[&str])
            .env("KQ_BROKERS", away[1])
            .env("KQ_TIMEOUT", away[3]);
        let said = objects(&ended.run().status(2).stderr);
        assert_eq!(with(&said, "can't reach")["level"], "error");
    }
    let stops = in_json(&cluster, &["dev", "--port", "0", "-v"]).spawn();
    stops.wait_for_stderr("try: ");
    stops.terminate();
    objects(&stops.wait().success().stderr);
}

#[test]
fn an_object_names_the_record_that_it_is_about() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "named", 1, "a\n");
    let dlq = cluster.create("named-dlq", 1);
    let fails = ["sh", "-c", "printf 'caf\\351 \"x\"\\n' >&2; exit 65"];
    let flags = ["--dlq", &dlq, "--log-format=json"];
    let ended = once(&cluster, &topic, &flags, &fails).run().success();
    let said = objects(&ended.stderr);
    let letter = with(&said, &format!("to {dlq}"));
    assert_eq!(
        (&letter["level"], &letter["topic"], &letter["partition"], &letter["offset"]),
        (&"info".into(), &topic.as_str().into(), &0.into(), &0.into())
    );
    let line = with(&said, "caf\u{fffd} \"x\"");
    assert_eq!(
        (&line["level"], &line["message"], &line["topic"], &line["offset"]),
        (&"command".into(), &"caf\u{fffd} \"x\"".into(), &topic.as_str().into(), &0.into())
    );

    let flags = ["-g", &cluster.topic("g"), "--log-format=json"];
    let ended = once(&cluster, &topic, &flags, &fails).run().status(1);
    let said = objects(&ended.stderr);
    let cause = said.iter().find(|object| object["level"] == "error").expect("the cause");
    assert_eq!((&cause["topic"], &cause["offset"]), (&topic.as_str().into(), &0.into()), "{ended}");

    let script = "echo ready >&2; read -r line; echo '{\"id\":1,\"ok\":true}'; cat";
    let flags = ["-g", &cluster.topic("g"), "--log-format=json", "--persistent", "-j1"];
    let ended = once(&cluster, &topic, &flags, &["sh", "-c", script]).run().success();
    let said = objects(&ended.stderr);
    let ready = with(&said, "ready");
    assert!(ready["source"].as_str().is_some_and(|name| name.starts_with("sh[pid ")), "{ended}");
    assert_eq!(ready.get("topic"), None, "{ended}");
}

#[test]
fn the_form_comes_from_the_flag_else_from_the_variable() {
    let cluster = Cluster::get();
    let run = |flags: &[&str], variable: &str| {
        let kq = cluster.kq(["consume", "absent", "-e"]).args(flags).env("KQ_LOG_FORMAT", variable);
        kq.run().status(2).stderr
    };
    objects(&run(&[], "json"));
    objects(&run(&["--log-format", "json"], ""));
    none_dated(&run(&["--log-format", "text"], "json"));
    none_dated(&run(&[], ""));
    assert!(run(&[], "xml").contains("KQ_LOG_FORMAT=xml"));
    let usage = Kq::new(["consume", "--no-such-flag"]).env("KQ_LOG_FORMAT", "json").run().status(2);
    assert!(
        with(&objects(&usage.stderr), "--no-such-flag")["message"]
            .as_str()
            .is_some_and(|m| m.contains("Usage:"))
    );
    // Help is an answer and no message.
    Kq::new(["--help"]).env("KQ_LOG_FORMAT", "json").run().success().stdout_has("Usage:").stderr("");
}

#[test]
fn a_terminal_that_gets_json_gets_nothing_else() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "tty-json", 1, "a\nb\nc\n");
    let (other, reader) = read_terminal();
    let terminal_of = |kq: Kq| kq.env("TERM", "xterm").stderr_to(other.try_clone().expect("the terminal"));
    let flags = ["--log-format", "json", "-j1"];
    // Longer than the live line and the bar take to appear.
    terminal_of(once(&cluster, &topic, &flags, &["sleep", "0.5"])).run().success();
    let produce = cluster.kq(["produce", &topic, "--log-format", "json", "--rate", "3"]).stdin("1\n2\n3\n");
    terminal_of(produce).run().success();
    drop(other);
    objects(&reader.join().expect("the reader").replace("\r\n", "\n"));
}

/// Makes `kq dev` say the same thing this many times.
fn say_again(dev: &Running, times: usize) -> String {
    let line = dev.wait_for_stderr("try: ");
    let address = line.split(' ').find(|word| word.starts_with("127.0.0.1:")).expect("an address").to_owned();
    let kq = |command: &str| Kq::new(["-b", &address, "topic", command, "again"]);
    for _ in 0..times {
        kq("create").args(["--rf", "3"]).run().success();
        kq("delete").run().success();
    }
    address
}

#[test]
fn equal_notes_are_counted_and_the_count_is_not_lost_at_the_end() {
    let said = |ended: &Output, part: &str| ended.stderr.lines().filter(|line| line.contains(part)).count();
    for flags in [&[][..], &["--log-format", "json"]] {
        let dev = Kq::new(["dev", "--port", "0"]).args(flags).spawn();
        say_again(&dev, 4);
        dev.terminate();
        let ended = dev.wait().success();
        // Where the machine is slow, their time ends before the fourth.
        assert!((2..=3).contains(&said(&ended, "topic again: 3 replicas")), "{ended}");
        if flags.is_empty() {
            assert!(said(&ended, " more like this in ") >= 1, "{ended}");
        } else {
            let repeated =
                objects(&ended.stderr).iter().filter_map(|object| object["repeated"].as_u64()).sum::<u64>();
            assert!((2..=3).contains(&repeated), "{ended}");
        }
    }
}

#[test]
fn a_count_is_said_once_its_time_is_over_and_a_second_signal_does_not_lose_it() {
    let dev = Kq::new(["dev", "--port", "0"]).spawn();
    say_again(&dev, 2);
    dev.wait_for_stderr("(1 more like this in ");
    dev.terminate();
    dev.wait().success();

    let script = "trap 'touch told' TERM
        for round in 1 2; do kq topic create again --rf 3; kq topic delete again; done
        touch begun; while :; do sleep 0.05; done";
    let mut dev = Kq::new(["dev", "--port", "0", "--", "sh", "-c", script]).spawn();
    wait_until("the command runs", LONG, || dev.dir().join("begun").exists());
    dev.terminate();
    wait_until("the first signal has come", LONG, || dev.dir().join("told").exists());
    dev.terminate();
    wait_until("it ends", LONG, || !dev.is_running());
    dev.wait().status(128 + TERM).stderr_has("topic again: 3 replicas").stderr_has("(1 more like this in ");
}
