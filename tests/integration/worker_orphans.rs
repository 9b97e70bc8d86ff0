//! `kq worker` and the processes that its commands leave behind: reaped, found at a time-out, ended with it.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::support::{Cluster, Kq, Running, numbers, runs, topic_with, wait_until};
use crate::threads::{copy_for_all, limits};

/// What a wait is given at most.
const LONG: Duration = Duration::from_mins(1);

/// What a command leaves behind: a process in a session of its own, one in its group, and one whose parent has ended
/// before. None of them holds the command's pipes.
const LITTER: &str =
    "exec 2>/dev/null; (setsid sleep 0.1 &) >&2; sleep 0.1 >&2 & (sh -c 'sleep 0.05 &' &) >&2; echo";

/// The command line that runs a program as the first process of a PID namespace, as a container does.
fn as_pid_1() -> Vec<&'static str> {
    let namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let user: &[&str] =
        if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    namespace.iter().chain(user).copied().collect()
}

/// `WORDS… ARGS…`, the first word being the program.
fn words(cluster: &Cluster, words: &[&str], args: &[&str]) -> Kq {
    cluster.program(words[0], &words[1..]).args(args)
}

fn children(pid: u32) -> BTreeSet<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("send a signal");
}

fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z")
}

/// Waits until so many records are done, then until none of kq's children is a zombie.
#[track_caller]
fn leaves_no_zombies(worker: &Running, kq: u32, records: usize) {
    worker.wait_until_stdout("a line of each record", |out| out.len() == records);
    let zombies = || children(kq).into_iter().filter(|child| is_zombie(*child)).count();
    wait_until("no child of kq is a zombie", LONG, || zombies() == 0);
    assert!(!is_zombie(kq) && parent(&kq.to_string()).is_some(), "kq itself runs");
}

#[test]
#[ignore = "needs root and namespaces: .ci/run examples"]
fn as_pid_1_kq_reaps_what_commands_leave_behind() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "first", 1, numbers(0, 300));
    let worker = words(&cluster, &as_pid_1(), &["kq", "worker", &topic, "-j", "4", "--", "sh", "-c", LITTER]);
    let worker = worker.limit(LONG * 2).spawn();
    worker.wait_until_stdout("the first record", |out| !out.is_empty());
    let kq = *children(worker.pid()).first().expect("unshare's child");
    leaves_no_zombies(&worker, kq, 300);
    signal(kq, Signal::TERM);
    worker.wait().success().stderr_has("300 done");
}

#[test]
fn as_a_subreaper_kq_gets_and_reaps_what_commands_leave_behind() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "sub", 1, numbers(0, 300));
    let worker = cluster.kq(["worker", &topic, "-j", "4", "--", "sh", "-c", LITTER]).limit(LONG * 2).spawn();
    leaves_no_zombies(&worker, worker.pid(), 300);
    worker.terminate();
    worker.wait().success().stderr_has("300 done");
}

#[test]
#[ignore = "needs root and namespaces: .ci/run examples"]
fn a_broker_around_a_command_reaps_as_pid_1_too() {
    let script = "for i in 1 2 3; do (sleep 0.05 >/dev/null &); done; echo begun; exec sleep 600";
    let cluster = Cluster::embedded();
    let dev = words(&cluster, &as_pid_1(), &["kq", "dev", "--port", "0", "--", "sh", "-c", script]).spawn();
    dev.wait_for_stdout("begun");
    let kq = *children(dev.pid()).first().expect("unshare's child");
    wait_until("only the command is left", LONG, || children(kq).len() == 1);
    signal(kq, Signal::TERM);
    dev.wait().status(143);
}

#[test]
#[ignore = "needs root and namespaces: .ci/run examples"]
fn a_limit_of_processes_is_not_used_up_by_what_commands_leave_behind() {
    let cluster = Cluster::get();
    let (_holder, kq) = copy_for_all();
    let topic = topic_with(&cluster, "limit", 1, numbers(0, 300));
    let flags = ["worker", &topic, "-e", "-j", "2", "--", "sh", "-c", LITTER];
    let limit = limits(128);
    let line = [&as_pid_1()[..], &limit.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    let worker = words(&cluster, &line, &[kq.to_str().expect("a path that is text")]).args(flags);
    let ended = worker.limit(LONG * 2).run().success();
    ended.stderr_has("300 done").stderr_lacks("can't be started").stderr_lacks("no more threads");
}

/// The pid that a command said on stderr in a line with this word.
#[track_caller]
fn said(worker: &Running, word: &str) -> String {
    let line = worker.wait_for_stderr(&format!(" {word}"));
    let words: Vec<&str> = line.split(' ').collect();
    let at = words.iter().position(|said| *said == word).expect("it was found");
    words[at - 1].to_owned()
}

fn parent(pid: &str) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

const DAEMON: &str = "setsid sh -c ': >up; exec sleep 600'";

/// A worker whose first command left a process in a session of its own, which kq has adopted, and that process. The
/// command for a record `orphan` leaves a short one, and that for `hang` does not end.
/// `start` starts it; it creates the file `up` once it has left the command's session.
fn with_a_daemon(cluster: &Cluster, topic: &str, start: &str) -> (Running, String) {
    let script = format!(
        "read n; case $n in \
         daemon) {start} >/dev/null 2>&1 & echo $! daemon >&2; while [ ! -e up ]; do sleep 0.01; done ;; \
         orphan) sleep 0.01 >/dev/null 2>&1 & echo $! orphan >&2 ;; \
         hang) trap '' TERM; echo $$ hang >&2; while :; do sleep 0.1; done ;; \
         esac; echo $n"
    );
    let worker = cluster.kq(["worker", topic, "-j", "1", "--shutdown-timeout", "14s"]);
    let worker =
        worker.args(["-X", "session.timeout.ms=6000", "--", "sh", "-c", &script]).limit(LONG * 2).spawn();
    give(cluster, topic, "daemon");
    let daemon = said(&worker, "daemon");
    worker.wait_for_stdout("daemon");
    let kq = worker.pid();
    wait_until("kq has adopted it", LONG, || parent(&daemon) == Some(kq));
    (worker, daemon)
}

fn give(cluster: &Cluster, topic: &str, record: &str) {
    cluster.kq(["produce", topic]).stdin(record).run().success();
}

/// The guard knows of all that kq has adopted by now: kq tells it when it looks for what is to be reaped.
fn tell_the_guard(cluster: &Cluster, topic: &str, worker: &Running) {
    give(cluster, topic, "orphan");
    let orphan = said(worker, "orphan");
    wait_until("it is reaped", LONG, || !Path::new(&format!("/proc/{orphan}")).exists());
}

/// The child of kq that ends what is left after it.
fn guard(worker: &Running) -> u32 {
    let command_line = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut children = children(worker.pid()).into_iter();
    children.find(|child| command_line(*child).contains("\0__guard\0")).expect("the guard")
}

#[test]
fn what_left_its_session_lives_as_long_as_the_worker() {
    let cluster = Cluster::get();
    let topic = cluster.create("daemon", 1);
    let (worker, daemon) = with_a_daemon(&cluster, &topic, DAEMON);
    give(&cluster, &topic, "another");
    worker.wait_for_stdout("another");
    assert!(runs(&daemon), "others may use it");
    worker.terminate();
    worker.wait().success().stderr_has("2 done");
    // kq does not wait for what the kernel makes of a KILL.
    wait_until("it has ended", LONG, || !runs(&daemon));
}

#[test]
fn a_daemon_that_ignores_term_ends_with_the_worker_too() {
    let cluster = Cluster::get();
    let topic = cluster.create("trap", 1);
    let start = "setsid sh -c 'trap \"\" TERM; : >up; while :; do sleep 0.1; done'";
    let (worker, daemon) = with_a_daemon(&cluster, &topic, start);
    worker.terminate();
    worker.wait().success();
    // kq does not wait for what the kernel makes of a KILL.
    wait_until("it has been killed", LONG, || !runs(&daemon));
}

#[test]
fn a_second_signal_ends_what_commands_left_behind() {
    let cluster = Cluster::get();
    let topic = cluster.create("second", 1);
    // Nothing in its environment says whose it is.
    let (worker, daemon) = with_a_daemon(&cluster, &topic, &format!("env -i {DAEMON}"));
    tell_the_guard(&cluster, &topic, &worker);
    give(&cluster, &topic, "hang");
    said(&worker, "hang");
    worker.terminate();
    worker.wait_for_stderr("finishing 1 running");
    // It would end the daemon after kq. It can't be stopped instead: the kernel lets a process group go on that is
    // stopped when its last parent ends.
    signal(guard(&worker), Signal::KILL);
    worker.terminate();
    worker.wait().status(143);
    wait_until("the daemon has ended", LONG, || !runs(&daemon));
}

#[test]
fn a_killed_worker_leaves_none_of_what_its_commands_left_behind() {
    let cluster = Cluster::get();
    let topic = cluster.create("killed", 1);
    let (worker, known) = with_a_daemon(&cluster, &topic, &format!("env -i {DAEMON}"));
    tell_the_guard(&cluster, &topic, &worker);
    worker.kill();
    wait_until("the guard has killed what it was told of", LONG, || !runs(&known));
    let (worker, marked) = with_a_daemon(&cluster, &cluster.create("killed", 1), DAEMON);
    worker.kill();
    wait_until("the guard has found the other by its mark", LONG, || !runs(&marked));
}

/// A time-out by which a command has started what is below it, on a slow machine too.
const STARTED: &str = "10s";

/// What a command that is late has started: a process in a session of its own, below it.
const LATE: &str = "setsid sh -c 'echo $$ below >&2; exec sleep 600' >/dev/null & wait";

#[test]
fn a_time_out_ends_what_the_command_started_in_other_sessions() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "late", 1, "a\n");
    let flags = ["--command-timeout", STARTED, "--retries", "0", "--on-failure", "skip"];
    for mode in [&[][..], &["--persistent", "--start-timeout", "0s"]] {
        let group = cluster.topic("group");
        let worker = cluster.kq(["worker", &topic, "-g", &group]).args(flags).args(mode);
        let worker = worker.args(["--", "sh", "-c", LATE]).spawn();
        let below = said(&worker, "below");
        worker.wait_for_stderr("skipped");
        // The worker goes on, so it was not its end that ended the process.
        wait_until("it has ended", LONG, || !runs(&below));
        worker.terminate();
        worker.wait();
    }
}

#[test]
fn a_time_out_kills_what_does_not_heed_term_in_another_session() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "deaf", 1, "a\n");
    let deaf = "trap '' TERM; echo $$ below >&2; while :; do sleep 0.1; done";
    let script = format!("trap '' TERM; setsid sh -c \"{}\" & wait; wait", deaf.replace('$', "\\$"));
    let flags = ["--command-timeout", STARTED, "--retries", "0", "--on-failure", "skip"];
    let worker = cluster.kq(["worker", &topic]).args(flags).args(["--", "sh", "-c", &script]).spawn();
    let below = said(&worker, "below");
    worker.wait_for_stderr("timed out");
    wait_until("it has been killed", LONG, || !runs(&below));
    worker.terminate();
    worker.wait().success();
}

#[test]
#[ignore = "needs root and namespaces: .ci/run examples"]
fn a_process_that_may_not_be_signalled_is_named() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test starts a process of another user, which only root can do: run it as root, as CI does"
    );
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "refused", 1, "a\n");
    let script =
        "setpriv --reuid=1073000000 --clear-groups setsid sleep 600 >/dev/null & echo $! below >&2; wait";
    // Two programs more than elsewhere.
    let flags = ["--command-timeout", "5s", "--retries", "0", "--on-failure", "skip"];
    // Root that may signal its own processes only.
    let kq = ["setpriv", "--bounding-set=-kill", "--inh-caps=-all", "kq"];
    let worker =
        words(&cluster, &kq, &["worker", &topic, "-e"]).args(flags).args(["--", "sh", "-c", script]).spawn();
    let below = said(&worker, "below");
    wait_until("it is another user's", LONG, || {
        let status = std::fs::read_to_string(format!("/proc/{below}/status")).unwrap_or_default();
        status.contains("Uid:\t1073000000") && status.contains("Name:\tsleep")
    });
    let ended = worker.wait().success().stderr_has("timed out");
    assert!(runs(&below));
    signal(below.parse().expect("a pid"), Signal::KILL);
    ended.stderr_has(&format!("process {below} (sleep) of a command goes on: it can't be sent a signal: "));
}
