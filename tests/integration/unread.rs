//! A stdout or a stderr that takes nothing, a full pipe or a stopped terminal, keeps no command from ending.

use std::fs::{self, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{Action, tcflow};

use crate::produce_progress::terminal;
use crate::support::{CONT, Cluster, Kq, Output, Running, STOP, TERM, is_full, topic_with, wait_until};

/// The limit of a wait.
const LONG: Duration = Duration::from_secs(30);

/// A pipe that takes nothing more as long as nobody reads it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("its flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("do not wait");
    for size in [4096, 1] {
        while writer.write_all(&vec![b'.'; size]).is_ok() {}
    }
    assert!(is_full(&writer));
    fcntl_setfl(&writer, flags).expect("wait again");
    (reader, writer)
}

/// Starts it with a full pipe as stderr; the reader keeps the pipe open.
fn unheard(kq: Kq) -> (PipeReader, Running) {
    let (reader, writer) = full_pipe();
    (reader, kq.stderr_to(writer).spawn())
}

/// Waits until it has something to say.
#[track_caller]
fn wait_for_words(running: &Running) {
    let tasks = format!("/proc/{}/task", running.pid());
    let is_of_stderr = |task: fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "stderr")
    };
    wait_until("a thread that writes to stderr", LONG, || {
        fs::read_dir(&tasks).is_ok_and(|tasks| tasks.flatten().any(is_of_stderr))
    });
}

/// Waits until its first thread waits for something.
#[track_caller]
fn wait_for_sleep(running: &Running) {
    let stat = format!("/proc/{}/stat", running.pid());
    wait_until("it sleeps", LONG, || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S ")));
}

/// Reads its stderr to the end from now on: all that it says, once it has ended with 2.
#[track_caller]
fn said_at_last(mut reader: PipeReader, running: Running) -> String {
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    running.wait().status(2);
    read.join().expect("the reader").expect("read it")
}

/// What ends before its stdin does.
#[track_caller]
fn ended(mut running: Running) -> Output {
    wait_until("it ends", LONG, || !running.is_running());
    running.wait()
}

#[test]
fn a_signal_ends_what_waits_for_its_last_words_to_be_read() {
    let cluster = Cluster::get();
    let topic = cluster.create("words", 1);
    for kq in [
        cluster.kq(["produce", &topic]).stdin("a\n"),
        cluster.kq(["produce", &topic, "-K", ":"]).stdin("a\n"),
        cluster.kq(["consume", "absent", "-e"]),
    ] {
        let (_reader, running) = unheard(kq);
        wait_for_words(&running);
        wait_for_sleep(&running);
        running.terminate();
        running.wait().status(128 + TERM);
    }
}

#[test]
fn last_words_are_waited_for_where_no_signal_comes() {
    let cluster = Cluster::get();
    let (reader, running) = unheard(cluster.kq(["consume", "absent", "-e"]));
    wait_for_words(&running);
    // Longer than a line waits in the queue.
    std::thread::sleep(Duration::from_secs(2));
    let text = said_at_last(reader, running);
    assert!(text.trim_start_matches('.').starts_with("kq: topic absent does not exist"), "{text}");
}

/// Waits until its first thread waits for something without a limit.
#[track_caller]
fn wait_for_its_end(running: &Running) {
    let status = format!("/proc/{}/status", running.pid());
    let (mut seen, mut since) = (String::new(), Instant::now());
    wait_until("it waits for its end", LONG, || {
        let status = fs::read_to_string(&status).expect("its status");
        let switches = status.split_once("voluntary_ctxt_switches").expect("a count").1;
        if switches != seen {
            (seen, since) = (switches.to_owned(), Instant::now());
        }
        // Longer than a line waits for room.
        since.elapsed() > Duration::from_secs(2)
    });
}

#[test]
fn the_cause_of_a_failure_is_kept_where_stderr_has_no_room_for_more_lines() {
    let cluster = Cluster::get();
    let topic = cluster.create("room", 300);
    cluster.kq(["produce", &topic]).stdin("a\n").run().success();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("open it");
    let (reader, running) = unheard(cluster.kq(["consume", &topic, "-e", "-vvv"]).stdout_to(full));
    wait_for_its_end(&running);
    let text = said_at_last(reader, running);
    let cause = " lines left out: stderr was not read\nkq: write stdout: nothing after it is committed: ";
    assert!(text.contains(cause), "{text}");
}

#[test]
fn a_signal_ends_a_command_at_work_whose_stderr_is_not_read() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "work", 1, "a\n");
    let until_stdout = |running: &Running| {
        running.wait_until_stdout("something", |out| !out.is_empty());
    };
    let (_reader, running) = unheard(cluster.kq(["consume", &topic, "-v", "--until", "@2999-01-01"]));
    until_stdout(&running);
    running.terminate();
    running.wait().status(128 + TERM).stdout("a\n");

    let (_reader, running) = unheard(cluster.kq(["worker", &topic, "-v", "--until", "9", "--", "cat"]));
    until_stdout(&running);
    running.terminate();
    running.wait().status(128 + TERM).stdout("a");

    let (_reader, running) = unheard(Kq::new(["dev", "-v", "--port", "0"]));
    until_stdout(&running);
    running.terminate();
    running.wait().success();

    let report = cluster.kq(["produce", &topic, "-v", "--report", "json"]).stdin_open();
    let (_reader, mut running) = unheard(report);
    running.write("b\n");
    running.wait_for_stdout("\"offset\":1");
    running.terminate();
    ended(running).status(128 + TERM);
    cluster.kq(["consume", &topic, "-e"]).run().success().stdout("a\nb\n");
}

#[test]
fn a_second_signal_ends_every_command_whose_stderr_is_not_read() {
    let cluster = Cluster::embedded();
    let topic = topic_with(&cluster, "second", 1, "a\n");
    let deaf = "trap '' TERM; touch begun; while :; do sleep 0.05; done";
    for kq in [
        cluster.kq(["worker", &topic, "--", "sh", "-c", deaf]),
        Kq::new(["dev", "-v", "--port", "0", "--", "sh", "-c", deaf]),
    ] {
        let (_reader, mut running) = unheard(kq);
        wait_until("the command runs", LONG, || running.dir().join("begun").exists());
        running.terminate();
        std::thread::sleep(Duration::from_millis(200));
        assert!(running.is_running());
        running.terminate();
        running.wait().status(128 + TERM);
    }

    let report = cluster.kq(["produce", &topic, "-v", "--report", "json"]).stdin_open();
    let (_reader, mut running) = unheard(report);
    running.write("b\n");
    running.wait_for_stdout("\"offset\":1");
    cluster.broker().signal(STOP);
    running.write("c\n");
    running.terminate();
    std::thread::sleep(Duration::from_millis(200));
    assert!(running.is_running());
    running.terminate();
    ended(running).status(128 + TERM);
    cluster.broker().signal(CONT);
}

#[test]
fn a_broker_whose_address_is_not_read_serves_and_ends() {
    let (_reader, writer) = full_pipe();
    let running = Kq::new(["dev", "--port", "0"]).stdout_to(writer).spawn();
    let line = running.wait_for_stderr("try: seq 3");
    let address = line.split(' ').find(|word| word.starts_with("127.0.0.1:")).expect("an address");
    Kq::new(["-b", address, "topic", "create", "t"]).run().success();
    running.terminate();
    running.wait().success();
}

#[test]
fn a_stopped_terminal_keeps_a_producer_neither_from_working_nor_from_ending() {
    let cluster = Cluster::get();
    let topic = cluster.create("stopped", 1);
    let (_terminal, path) = terminal(80);
    let other = OpenOptions::new().read(true).write(true).open(path).expect("open its other end");
    // As ^S does.
    tcflow(&other, Action::OOff).expect("stop its output");
    let kq = cluster.kq(["produce", &topic, "--report", "json"]).stdin_open().env("TERM", "xterm");
    let mut running = kq.stderr_to(other).spawn();
    running.write("a\n");
    running.wait_for_stdout("\"offset\":0");
    // The bar appears.
    wait_for_words(&running);
    running.write("b\n");
    running.wait_for_stdout("\"offset\":1");
    running.terminate();
    ended(running).status(128 + TERM);
}

/// `kq produce --report json` whose report is not read, once the pipe for it is full.
fn unreported(kq: Kq) -> (PipeReader, Running) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let held = writer.try_clone().expect("its end");
    let running = kq.stdout_to(writer).spawn();
    wait_until("the pipe is full", LONG, || is_full(&held));
    (reader, running)
}

/// The number that stands before these words.
fn number(text: &str, words: &str) -> usize {
    let (before, _) = text.split_once(words).unwrap_or_else(|| panic!("no {words:?} in {text}"));
    let number = before.rsplit([' ', '\n']).next().expect("a number").replace(',', "");
    number.parse().unwrap_or_else(|e| panic!("{number:?}: {e} in {text}"))
}

#[test]
fn a_report_whose_reader_stands_still_does_not_keep_a_signal_from_ending_a_producer() {
    let cluster = Cluster::get();
    let topic = cluster.create("still", 1);
    let (mut reader, running) =
        unreported(cluster.kq(["produce", &topic, "--report", "json"]).stdin("a line\n".repeat(200_000)));
    running.terminate();
    let ended = running.wait().status(128 + TERM);
    let mut report = String::new();
    reader.read_to_string(&mut report).expect("read the report");
    let acknowledged = number(&ended.stderr, " records acknowledged");
    let lacking = number(&ended.stderr, " acknowledged records are not in the report");
    assert_eq!(report.lines().count() + lacking, acknowledged, "{ended}");
    assert!(report.ends_with("}\n"), "{report}");
    let there = cluster.kq(["consume", &topic, "-e", "-f", "x"]).run().success();
    assert_eq!(there.stdout.len(), acknowledged, "{ended}");
}

#[test]
fn a_slow_reader_of_a_report_gets_all_of_it_after_a_signal() {
    let cluster = Cluster::get();
    let topic = cluster.create("slow", 1);
    let (mut reader, running) =
        unreported(cluster.kq(["produce", &topic, "--report", "json"]).stdin("a line\n".repeat(20_000)));
    running.terminate();
    let (mut report, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        let read = reader.read(&mut piece).expect("read the report");
        if read == 0 {
            break;
        }
        report.extend_from_slice(&piece[..read]);
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = running.wait().stderr_lacks("not in the report");
    let lines = report.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(lines, number(&ended.stderr, " records acknowledged"), "{ended}");
}
