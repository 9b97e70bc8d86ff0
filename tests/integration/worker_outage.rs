//! `kq worker` while what its command needs is away, and while the command itself is replaced.

#![expect(clippy::float_cmp, reason = "the samples are whole numbers")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::worker_seeing::{address, get, scrape};
use crate::support::{Cluster, Kq, Refusing, Running, lines, numbers, once, topic_with, wait_until};

/// The limit of a wait.
const LONG: Duration = Duration::from_mins(1);

/// Five failures in a row are an outage, and a record is given up quickly.
const IMPATIENT: [&str; 6] =
    ["--max-consecutive-failures", "5", "--retries", "1", "--backoff", "20ms..500ms"];

/// A handler that appends each value to `handled`, and needs the file `up`.
const NEEDS: &str = "read -r v; [ -e up ] || exit 1; echo $v >>handled";

/// The same as a command that stays: while the file is away, it does this.
fn that_stays(away: &str) -> String {
    format!(
        r#"while IFS= read -r line; do
id=${{line#*:}}; id=${{id%%,*}}; v=${{line#*\"value\":\"}}; v=${{v%%\"*}}
if [ ! -e up ]; then {away}; else echo $v >>handled; echo "{{\"id\":$id,\"ok\":true}}"; fi
done"#
    )
}

/// A worker with this handler.
fn worker(cluster: &Cluster, topic: &str, flags: &[&str], script: &str) -> Kq {
    cluster.kq(["worker", topic]).args(flags).args(["--", "sh", "-c", script]).limit(2 * LONG)
}

/// What was handled and what lies in the dead letters: each once, and in all what was sent.
#[track_caller]
fn all_of(cluster: &Cluster, handled: &Path, dlq: &str) -> (usize, usize) {
    let dead = cluster.kq(["consume", dlq, "-e"]).run().success();
    let (handled, dead) = (lines(handled), dead.lines());
    let mut all: Vec<usize> =
        handled.iter().map(String::as_str).chain(dead.iter().copied()).map(|n| n.parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..all.len()).collect::<Vec<_>>(), "handled and dead-lettered, each once");
    (handled.len(), dead.len())
}

fn status(address: &str, path: &str) -> (u16, String) {
    let (status, _, body) = get(address, path).expect("an answer");
    (status, body)
}

/// An outage, from its first failure to its end.
fn waits_it_out(hint: &str, flags: &[&str], script: &str) {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, hint, 2, numbers(0, 60));
    let dlq = cluster.create("dead", 1);
    let flags = [&["--dlq", &dlq, "--metrics", "127.0.0.1:0"], &IMPATIENT[..], flags].concat();
    let began = Instant::now();
    let worker = worker(&cluster, &topic, &flags, script).spawn();
    let address = address(&worker);
    worker.wait_for_stderr("paused: ");
    let (ready, why) = status(&address, "/readyz");
    assert!(ready == 503 && why.starts_with("paused for "), "{ready} {why}");
    assert_eq!(status(&address, "/livez").0, 200);
    assert_eq!(scrape(&address)["kq_worker_paused"], 1.0);
    assert_eq!(lines(&worker.dir().join("handled")), [""; 0]);
    fs::write(worker.dir().join("up"), "").unwrap();
    worker.wait_for_stderr("the pause is over after ");
    wait_until("all of it is resolved", LONG, || {
        let all = scrape(&address);
        let of = |result: &str| all[&format!("kq_worker_records_total{{result=\"{result}\"}}")];
        of("done") + of("dead_lettered") == 60.0
    });
    assert_eq!(status(&address, "/readyz").0, 200);
    assert_eq!(scrape(&address)["kq_worker_paused"], 0.0);
    // Four before the pause, and one in each half second of it.
    let most = 4 + 2 * began.elapsed().as_secs() as usize + 2;
    worker.terminate();
    let output = worker.wait().success();
    let (done, dead) = all_of(&cluster, &output.dir().join("handled"), &dlq);
    assert_eq!(done + dead, 60);
    assert!(dead <= most, "{dead} dead letters, {most} at most");
}

#[test]
fn an_outage_is_waited_for_with_one_record_at_a_time() {
    waits_it_out("outage", &["-j", "4"], NEEDS);
}

#[test]
fn a_command_of_many_records_is_waited_for_with_one_record_at_a_time() {
    let flags = ["--batch", "10", "--batch-wait", "10ms", "-D", "\\n", "-j", "2"];
    for status in [1, 75] {
        let script = format!("[ -e up ] || exit {status}; cat >>handled");
        waits_it_out(&format!("batches-{status}"), &flags, &script);
    }
}

#[test]
fn a_command_that_stays_and_asks_for_its_records_again_is_waited_for() {
    let script = that_stays(r#"echo "{\"id\":$id,\"retry_ms\":10}""#);
    waits_it_out("asks", &["--persistent", "-j", "2", "--window", "4"], &script);
}

#[test]
fn a_command_that_worked_and_ends_again_and_again_is_waited_for() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "dies", 1, "0\n");
    let dlq = cluster.create("dead", 1);
    let flags = [&["--dlq", &dlq, "--persistent", "-j", "1", "--window", "4"], &IMPATIENT[..]].concat();
    let run = worker(&cluster, &topic, &flags, &that_stays("exit 1"));
    run.file("up", "");
    let began = Instant::now();
    let worker = run.spawn();
    let handled = worker.dir().join("handled");
    wait_until("it has worked", LONG, || lines(&handled).len() == 1);
    fs::remove_file(worker.dir().join("up")).unwrap();
    cluster.kq(["produce", &topic]).stdin(numbers(1, 30)).run().success();
    worker.wait_for_stderr("paused: ");
    fs::write(worker.dir().join("up"), "").unwrap();
    worker.wait_for_stderr("the pause is over after ");
    wait_until("the rest is resolved", LONG, || {
        let dead = cluster.kq(["consume", &dlq, "-e"]).run().success();
        lines(&handled).len() + dead.lines().len() == 30
    });
    let most = 4 + 2 * began.elapsed().as_secs() as usize + 2;
    worker.terminate();
    let _output = worker.wait().success();
    let (_, dead) = all_of(&cluster, &handled, &dlq);
    assert!(dead <= most, "{dead} dead letters, {most} at most");
}

#[test]
fn a_server_that_is_away_costs_its_records_nothing_and_a_signal_ends_the_pause_with_0() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "server", 1, numbers(0, 40));
    let dlq = cluster.create("dead", 1);
    let server = Refusing::bind();
    let port = server.address().port();
    let script = format!("read -r v; exec 3<>/dev/tcp/127.0.0.1/{port} || exit 1; echo $v >>handled");
    let start = || {
        let flags = [&["-j", "4", "--dlq", &dlq], &IMPATIENT[..]].concat();
        let run = cluster.kq(["worker", &topic]).args(flags).args(["--", "bash", "-c", &script]);
        run.limit(2 * LONG).spawn()
    };
    let worker = start();
    worker.wait_for_stderr("paused: ");
    worker.terminate();
    worker.wait().success();
    let before = cluster.kq(["consume", &dlq, "-e"]).run().success().lines().len();
    assert!((4..40).contains(&before), "{before} dead letters");

    let server = server.listen();
    let worker = start();
    let handled = worker.dir().join("handled");
    let resolved = || {
        // What is in the dead letters and was behind a record that is not done runs again.
        let mut all: Vec<String> = lines(&handled);
        all.extend(
            cluster.kq(["consume", &dlq, "-e"]).run().success().lines().iter().map(ToString::to_string),
        );
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    wait_until("the rest is done", LONG, || resolved() == 40);
    worker.terminate();
    let output = worker.wait().success().stderr_lacks("paused");
    drop(server);
    assert!(lines(&output.dir().join("handled")).len() >= 40 - before);
}

#[test]
fn a_topic_of_nothing_but_bad_records_drains() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "bad", 1, numbers(0, 20));
    let dlq = cluster.create("dead", 1);
    let flags = ["-j", "4", "--max-consecutive-failures", "3", "--retries", "1", "--backoff", "5ms..20ms"];
    let command = ["sh", "-c", "exit 1"];
    // It ends by itself, and yet waits where that is asked for.
    let run =
        once(&cluster, &topic, &[&flags[..], &["--dlq", &dlq, "--on-outage", "pause"]].concat(), &command);
    run.limit(2 * LONG).run().success().stderr_has("paused: ").stderr_has("20 dead-lettered");
    assert_eq!(all_of(&cluster, Path::new("none"), &dlq), (0, 20));
    // Without, and where it is told to, it stops.
    let flags = [&flags[..], &["--on-failure", "skip", "-g", "stops", "--on-outage", "stop"]].concat();
    let run = cluster.kq(["worker", &topic]).args(flags).arg("--").args(command);
    run.run().status(1).stderr_has("--max-consecutive-failures");
}

#[test]
fn data_that_is_bad_is_no_outage() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "permanent", 1, numbers(0, 50));
    let dlq = cluster.create("dead", 1);
    let flags = ["-j", "4", "--dlq", &dlq, "--max-consecutive-failures", "3"];
    let run = once(&cluster, &topic, &flags, &["sh", "-c", "exit 65"]).run().success();
    run.stderr_has("50 dead-lettered").stderr_lacks("paused");
}

#[test]
fn a_record_is_tried_for_a_time_instead_of_a_number_of_attempts() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "time", 1, "a\n");
    let script = "echo ${KQ_RECORD_MAX_ATTEMPTS-none} $KQ_RECORD_ATTEMPT; exit 1";
    let flags = ["--retry-for", "5s", "--backoff", "100ms..100ms", "--on-failure", "skip"];
    let run = once(&cluster, &topic, &flags, &["sh", "-c", script]).run().success().stderr_has("1 skipped");
    let attempts = run.lines();
    assert!(attempts.len() > 2, "{attempts:?}");
    assert!(attempts.iter().all(|line| line.starts_with("none ")), "{attempts:?}");
    assert!(run.took >= Duration::from_secs(5));
    let both = ["--retry-for", "1s", "--retries", "3"];
    once(&cluster, &topic, &both, &["true"]).run().status(2).stderr_has("cannot be used with");
}

/// A worker whose handler is about to be replaced: it has handled some, and more come.
fn deployed(cluster: &Cluster, topic: &str, flags: &[&str], handler: &str) -> Running {
    let run = cluster.kq(["worker", topic, "-j", "2", "--metrics", "127.0.0.1:0"]).args(flags);
    run.script("handler", handler);
    let worker = run.args(["--", "./handler"]).limit(2 * LONG).spawn();
    let log = worker.dir().join("handled");
    wait_until("it works", LONG, || !lines(&log).is_empty());
    // And the worker knows.
    let address = address(&worker);
    wait_until("it is done", LONG, || scrape(&address)["kq_worker_records_total{result=\"done\"}"] > 0.0);
    worker
}

/// A deploy: `take_away`, until it is noticed, then `bring_back`. Nothing is lost, and no attempt is spent.
fn survives(
    hint: &str,
    flags: &[&str],
    handler: &str,
    take_away: impl Fn(&Path),
    bring_back: impl Fn(&Path),
) {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, hint, 1, "0\n");
    let worker = deployed(&cluster, &topic, flags, handler);
    let address = address(&worker);
    take_away(worker.dir());
    cluster.kq(["produce", &topic]).stdin(numbers(1, 30)).run().success();
    worker.wait_for_stderr("so it is tried again for 30 s, as at a deploy");
    let (ready, why) = status(&address, "/readyz");
    assert!(ready == 503 && why.starts_with("no command can be started: ./handler"), "{ready} {why}");
    bring_back(worker.dir());
    let log = worker.dir().join("handled");
    wait_until("the rest is done", LONG, || lines(&log).len() == 30);
    worker.wait_for_stderr("it can be run again, after ");
    assert_eq!(status(&address, "/readyz").0, 200);
    assert_eq!(scrape(&address)["kq_worker_failed_attempts_total{reason=\"exit\"}"], 0.0);
    worker.terminate();
    let output = worker.wait().success();
    // Its folder is there as long as this is.
    let mut values: Vec<usize> =
        lines(&output.dir().join("handled")).iter().map(|line| line.parse().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, (0..30).collect::<Vec<_>>(), "{output}");
}

const APPENDS: &str = "#!/bin/sh\nread -r v; echo $v >>handled\n";

fn replace(dir: &Path, name: &str, content: &str) {
    // As deploys do it: the new file is there whole, or not at all.
    let new = dir.join("new");
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, dir.join(name)).unwrap();
}

#[test]
fn a_command_that_is_moved_away_and_back_loses_nothing() {
    let away = |dir: &Path| fs::rename(dir.join("handler"), dir.join("away")).unwrap();
    let back = |dir: &Path| fs::rename(dir.join("away"), dir.join("handler")).unwrap();
    survives("moved", &[], APPENDS, away, back);
}

#[test]
fn a_command_without_a_mode_or_of_another_kind_is_looked_at_again() {
    let mode = |dir: &Path, mode| {
        fs::set_permissions(dir.join("handler"), fs::Permissions::from_mode(mode)).unwrap();
    };
    // A script without a first line runs under sh, and the one that replaces it does not.
    let bare = APPENDS.strip_prefix("#!/bin/sh\n").unwrap();
    let away = |dir: &Path| mode(dir, 0o644);
    survives("kind", &[], bare, away, |dir| replace(dir, "handler", &format!("#!/bin/bash\n{bare}")));
    survives("bare", &[], APPENDS, away, |dir| replace(dir, "handler", bare));
}

#[test]
fn an_interpreter_that_is_replaced_loses_nothing() {
    let cluster = Cluster::get();
    let run = cluster.kq(["worker"]);
    let interpreter = run.script("interpreter", "");
    fs::remove_file(&interpreter).unwrap();
    std::os::unix::fs::symlink("/bin/sh", &interpreter).unwrap();
    let script = format!("#!{}\nread -r v; echo $v >>handled\n", interpreter.display());
    let away = |_: &Path| fs::remove_file(&interpreter).unwrap();
    let back = |_: &Path| std::os::unix::fs::symlink("/bin/bash", &interpreter).unwrap();
    survives("interpreter", &[], &script, away, back);
}

#[test]
fn a_command_that_a_deploy_breaks_for_a_moment_loses_nothing() {
    for status in [126, 127, 78] {
        let broken = format!("#!/bin/sh\nexit {status}\n");
        let away = |dir: &Path| replace(dir, "handler", &broken);
        survives("status", &[], APPENDS, away, |dir| replace(dir, "handler", APPENDS));
    }
}

#[test]
fn a_command_that_stays_is_started_from_the_file_that_is_there() {
    // Each process ends after one record.
    let script = r#"#!/bin/sh
IFS= read -r line || exit 0; id=${line#*:}; id=${id%%,*}; v=${line#*\"value\":\"}; v=${v%%\"*}
echo $v >>handled; echo "{\"id\":$id,\"ok\":true}"
"#;
    let away = |dir: &Path| fs::rename(dir.join("handler"), dir.join("away")).unwrap();
    let back = |dir: &Path| fs::rename(dir.join("away"), dir.join("handler")).unwrap();
    survives("stays", &["--persistent", "--window", "1"], script, away, back);
}

#[test]
fn a_command_that_never_worked_is_broken_at_once() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "never", 1, "a\n");
    for status in [126, 127, 78] {
        let run = cluster.kq(["worker", &topic, "--shell", &format!("exit {status}")]).run().status(78);
        run.stderr_lacks("tried again for 30 s");
    }
}
