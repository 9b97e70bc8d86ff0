//! When commands start: `--rate` and `--delay`. Each bound on a time is one from below.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::worker_seeing::{address, scrape};
use crate::support::{Cluster, Kq, Output, topic_with, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(45);

/// A worker that handles the records up to now and ends.
fn once(cluster: &Cluster, topic: &str, flags: &[&str], command: &[&str]) -> Kq {
    cluster.kq(["worker", topic, "-e"]).args(flags).arg("--").args(command).limit(2 * LONG)
}

/// Answers each record of a persistent command with its value.
const ECHO: &str = r#"while IFS= read -r line; do
    id=${line#*:}; id=${id%%,*}; v=${line#*'"value":"'}; v=${v%%'"'*}
    echo "{\"id\":$id,\"ok\":true,\"out\":\"$v\"}"
done"#;

#[test]
fn commands_start_no_more_often_than_the_rate_retries_included() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "rate", 1, "x\n".repeat(6));
    let again = topic_with(&cluster, "again", 1, "x\n");
    // Of six starts at one a second the last is 5 s after the first; at twice the rate, 2.5 s. The first may be
    // late to say that it has started.
    let least = Duration::from_millis(2600);
    let started = ": >started.$KQ_RECORD_OFFSET.$KQ_RECORD_ATTEMPT";
    let fails = format!("{started}; exit 1");
    let stays = ECHO.replacen("echo", ": >started.$$.$id; echo", 1);
    let retries = ["--retries", "5", "--backoff", "1ms", "--on-failure", "skip"];
    for (topic, flags, script, outcome) in [
        (&topic, &["-g", "oneshot", "-j", "4"][..], started, "6 done"),
        (&topic, &["-g", "stays", "-j", "2", "--persistent"], &stays, "6 done"),
        (&again, &retries, &fails, "1 skipped, 6 failed attempts"),
    ] {
        let worker = once(&cluster, topic, &[&["--rate", "1/s"], flags].concat(), &["sh", "-c", script]);
        let times = started_times(&worker.run().success().stderr_has(outcome));
        assert_eq!(times.len(), 6, "{flags:?}");
        let took = times[5].duration_since(times[0]).expect("sorted times");
        assert!(took >= least, "{flags:?}: {took:?}");
    }
}

/// When the files `started.…` in the worker's folder were made, the first one first.
fn started_times(ended: &Output) -> Vec<SystemTime> {
    let files = fs::read_dir(ended.dir()).expect("read the folder").map(|file| file.expect("a file"));
    let files = files.filter(|file| file.file_name().to_string_lossy().starts_with("started."));
    let mut times: Vec<_> =
        files.map(|file| file.metadata().and_then(|file| file.modified()).expect("its time")).collect();
    times.sort_unstable();
    times
}

#[test]
fn what_waits_for_the_rate_is_held_from_no_stop_and_no_other_member() {
    let cluster = Cluster::get();
    for (flags, command) in
        [(&[][..], &["sh", "-c", "cat; echo"][..]), (&["--persistent"], &["sh", "-c", ECHO])]
    {
        let topic = cluster.create("held", 2);
        for partition in ["0", "1"] {
            let lines = format!("{partition}\n").repeat(3);
            cluster.kq(["produce", &topic, "-p", partition]).stdin(lines).run().success();
        }
        let member = |rate: &[&str]| {
            let worker =
                cluster.kq(["worker", &topic, "-g", &topic, "-j", "3", "-X", "heartbeat.interval.ms=200"]);
            worker.args(rate).args(flags).arg("--").args(command).limit(2 * LONG).spawn()
        };
        let first = member(&["--rate", "1/h"]);
        first.wait_until_stdout("the one start of the hour", |out| out.len() == 2);
        let second = member(&[]);
        second.wait_until_stdout("what the first gave away", |out| out.len() >= 4);
        first.terminate();
        first.wait().success().stderr_has("kq: 1 done");
        second.wait_until_stdout("the rest", |out| out.len() == 10);
        second.terminate();
        second.wait().success().stderr_has("kq: 5 done");
    }
}

/// A record in kq's JSON form, with a timestamp so many minutes from now.
fn timed(minutes: i64, key: &str, value: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the time").as_millis();
    let timestamp = i64::try_from(now).expect("milliseconds") + minutes * 60_000;
    format!("{{\"key\":\"{key}\",\"value\":\"{value}\",\"timestamp\":{timestamp}}}\n")
}

#[test]
fn a_record_runs_so_long_after_its_own_time() {
    let cluster = Cluster::get();
    let oneshot = (&["-j", "1"][..], &["sh", "-c", "cat; echo"][..]);
    for (flags, command) in [oneshot, (&["--persistent"], &["sh", "-c", ECHO])] {
        let topic = cluster.create("delay", 1);
        let start = Instant::now();
        // A time that is still to come is the time at which the record is received.
        let records = timed(10, "a", "new") + &timed(-60, "b", "old");
        cluster.kq(["produce", &topic, "-J"]).stdin(records).run().success();
        // The second is old enough: it runs while the first waits.
        let flags = [&["--delay", "3s"], flags].concat();
        once(&cluster, &topic, &flags, command).run().success().stdout("old\nnew\n");
        assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
    }
}

#[test]
fn a_worker_with_a_delay_is_not_idle_while_a_record_waits() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "idle", 1, "a\n");
    let flags = ["--delay", "4s", "--idle", "500ms", "--", "cat"];
    cluster.kq(["worker", &topic]).args(flags).limit(LONG).run().success().stderr_has("1 done");
}

#[test]
fn what_waits_for_its_delay_is_left_to_the_next_worker() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "left", 1, "a\n");
    let flags = ["--metrics", "127.0.0.1:0", "--delay", "1h", "--", "cat"];
    let worker = cluster.kq(["worker", &topic]).args(flags).limit(LONG).spawn();
    let address = address(&worker);
    wait_until("a record that waits", LONG, || scrape(&address)["kq_worker_queued_records"] > 0.5);
    worker.terminate();
    worker.wait().success().stdout("").stderr_has("kq: 0 done");
    once(&cluster, &topic, &[], &["cat"]).run().success().stdout("a");
}

#[test]
fn a_second_worker_with_a_delay_makes_a_topic_of_retries() {
    let cluster = Cluster::get();
    let [topic, retry, dead] = ["orders", "retry", "dead"].map(|hint| cluster.create(hint, 1));
    cluster.kq(["produce", &topic, "-J"]).stdin(timed(-60, "k", "a")).run().success();
    let start = Instant::now();
    once(&cluster, &topic, &["--retries", "0", "--dlq", &retry], &["false"])
        .run()
        .success()
        .stderr_has("1 dead-lettered");
    // Its timestamp is old, its failure is not.
    let flags = ["--delay", "3s", "--retries", "0", "--dlq", &dead];
    let ended = once(&cluster, &retry, &flags, &["sh", "-c", "cat > seen; exit 1"]).run().success();
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(fs::read_to_string(ended.dir().join("seen")).expect("it ran"), "a");
    let format = "%{header:kq.dlq.origin-topic} %{header:kq.dlq.topic}\\n";
    cluster.kq(["consume", &dead, "-e", "-f", format]).run().success().stdout(format!("{topic} {retry}\n"));
}

#[test]
fn a_rate_that_is_none_is_refused_with_an_example() {
    for rate in ["0/s", "5", "5/week", "fast"] {
        Kq::new(["worker", "t", "--rate", rate, "--", "cat"]).run().status(2).stderr_has("bad rate");
    }
}
