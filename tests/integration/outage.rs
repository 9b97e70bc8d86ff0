//! Brokers that stop and start again: kq waits where there is no limit, and ends with an error in bounded time where there is one.

use std::time::Duration;

use crate::support::{Cluster, wait_until};

/// An embedded broker that keeps its records, and the folder that it keeps them in.
fn lasting() -> (Cluster, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    (Cluster::embedded_in(dir.path()), dir)
}

#[test]
fn a_consumer_that_follows_goes_on_when_the_broker_is_back() {
    let (mut cluster, _dir) = lasting();
    let topic = cluster.create("follow", 1);
    let running = cluster.kq(["consume", &topic, "-g", "g"]).spawn();
    cluster.kq(["produce", &topic]).stdin("before\n").run().success();
    running.wait_for_stdout("before");
    cluster.kill();
    cluster.start();
    cluster.kq(["produce", &topic]).stdin("after\n").run().success();
    running.wait_for_stdout("after");
    running.terminate();
    running.wait().success().stdout("before\nafter\n");
    cluster.kq(["consume", &topic, "-g", "g", "-e"]).run().success().stdout("");
}

#[test]
fn a_consumer_with_a_stop_condition_gives_up_in_bounded_time() {
    let (mut cluster, _dir) = lasting();
    let topic = cluster.create("stall", 1);
    let running = cluster.kq(["consume", &topic, "-n", "5", "--stall-timeout", "1s"]).spawn();
    cluster.kq(["produce", &topic]).stdin("one\n").run().success();
    running.wait_for_stdout("one");
    cluster.kill();
    running.wait().status(2).stdout("one\n").stderr_has("stalled").stderr_has("--stall-timeout");
}

#[test]
fn a_worker_gives_up_with_the_words_of_a_consumer() {
    let (mut cluster, _dir) = lasting();
    let topic = cluster.create("stall", 1);
    let running = cluster
        .kq(["worker", &topic, "-n", "5", "--stall-timeout", "1s", "--shutdown-timeout", "1s"])
        .args(["--", "sh", "-c", "cat; echo"])
        .spawn();
    cluster.kq(["produce", &topic]).stdin("one\n").run().success();
    running.wait_for_stdout("one");
    let stalled = format!("stalled: no contact to {} for ", cluster.brokers());
    cluster.kill();
    running.wait().status(2).stderr_has(&stalled).stderr_has(" s (--stall-timeout): ");
}

#[test]
fn an_outage_is_told_of_in_one_wording_and_so_is_its_end() {
    let (mut cluster, _dir) = lasting();
    let topic = cluster.create("note", 1);
    let readers = [
        cluster.kq(["consume", &topic]).spawn(),
        cluster.kq(["worker", &topic, "--", "sh", "-c", "cat; echo"]).spawn(),
    ];
    cluster.kq(["produce", &topic]).stdin("before\n").run().success();
    for reader in &readers {
        reader.wait_for_stdout("before");
    }
    let waiting = format!("waiting for {} since ", cluster.brokers());
    cluster.kill();
    for reader in &readers {
        reader.wait_for_stderr(&waiting);
    }
    cluster.start();
    for reader in readers {
        reader.wait_for_stderr("the cluster answers again");
        reader.terminate();
        reader.wait().success();
    }
}

#[test]
fn a_producer_delivers_across_an_outage_each_record_once() {
    let (mut cluster, _dir) = lasting();
    let topic = cluster.create("ride", 1);
    let mut running = cluster.kq(["produce", &topic]).stdin_open().spawn();
    running.write("before\n");
    let held = |cluster: &Cluster| cluster.kq(["consume", &topic, "-e"]).run().success().stdout;
    wait_until("the first record", Duration::from_secs(20), || held(&cluster) == b"before\n");
    cluster.kill();
    running.write("during\n");
    cluster.start();
    running.write("after\n");
    running.close_stdin();
    running.wait().success().stderr_has("3 records acknowledged");
    assert_eq!(held(&cluster), b"before\nduring\nafter\n");
}

#[test]
fn a_record_that_no_broker_takes_fails_after_its_delivery_timeout() {
    let (mut cluster, _dir) = lasting();
    let topic = cluster.create("late", 1);
    let mut running = cluster.kq(["produce", &topic, "--delivery-timeout", "1s"]).stdin_open().spawn();
    running.write("before\n");
    wait_until("the first record", Duration::from_secs(20), || {
        cluster.kq(["consume", &topic, "-e"]).run().success().stdout == b"before\n"
    });
    cluster.kill();
    running.write("lost\n");
    running.close_stdin();
    running
        .wait()
        .status(1)
        .stderr_has("1 record acknowledged")
        .stderr_has("1 record failed: stdin:2: not acknowledged");
}

#[test]
fn leaving_a_group_without_brokers_takes_bounded_time_and_says_that_it_could_not_commit() {
    let (mut cluster, _dir) = lasting();
    let topic = cluster.create("leave", 1);
    let running = cluster
        .kq(["consume", &topic, "-g", "g", "--close-timeout", "1s", "-X", "auto.commit.interval.ms=60000"])
        .spawn();
    cluster.kq(["produce", &topic]).stdin("one\n").run().success();
    running.wait_for_stdout("one");
    cluster.kill();
    running.terminate();
    let out = running.wait().status(1).stderr_has("commit").stderr_has(&topic);
    assert!(out.took < Duration::from_secs(30), "{out}");
}

#[test]
fn a_second_signal_to_a_producer_says_what_it_leaves() {
    let (mut cluster, _dir) = lasting();
    let topic = cluster.create("left", 1);
    let mut running = cluster.kq(["produce", &topic, "--report", "json"]).stdin_open().spawn();
    running.write("one\n");
    running.wait_for_stdout("\"line\":1,");
    cluster.kill();
    running.write("two\nthree\n");
    running.wait_for_stderr("2 records wait for an acknowledgement");
    running.terminate();
    running.wait_for_stderr("waiting for 2 acknowledgements, a second signal ends at once");
    running.terminate();
    running.wait().status(143).stderr_has("stopped after stdin:3; records that were not acknowledged: 2");
}
