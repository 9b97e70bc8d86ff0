//! How members leave their group while it rebalances: it must not wait for one that has gone.

use std::time::Duration;

use crate::support::{CONT, Cluster, Kq, Running, STOP, topic_with, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(45);
/// A group waits 45 s for a member that is gone: what is done in this time did not wait for one.
const SOON: Duration = Duration::from_secs(20);

/// A member that looks often at its group, and says how it joins.
fn member(cluster: &Cluster, command: &str, topic: &str, more: &[&str]) -> Kq {
    let flags = ["-vvv", "-X", "debug=cgrp", "-X", "heartbeat.interval.ms=200"];
    let member = cluster.kq([command, topic, "-g", topic]).args(flags).args(more).limit(2 * LONG);
    if command == "worker" { member.args(["--", "true"]) } else { member }
}

/// Waits until a member's last step was into this state of librdkafka's.
fn wait_for_state(member: &Running, state: &str) {
    let change = format!(" -> {state} ");
    wait_until(state, LONG, || {
        let said = member.stderr_so_far();
        said.lines().rfind(|line| line.contains("changed join state")).is_some_and(|l| l.contains(&change))
    });
}

/// Three members of a topic with one or two partitions: one that has stopped with SIGSTOP, one that rejoins
/// because of the third, and the third.
fn rejoining(cluster: &Cluster, command: &str, partitions: u32, topic: &str, more: &[&str]) -> [Running; 3] {
    // What is read already is committed: no member has a commit to wait for.
    cluster.kq(["consume", topic, "-g", topic, "-e"]).run().success().stdout("a\n");
    let stopped = member(cluster, command, topic, more).spawn();
    wait_for_state(&stopped, "steady");
    let rejoins = member(cluster, command, topic, more).spawn();
    if partitions > 1 {
        rejoins.wait_for_stderr(&format!("kq: assigned: {topic}["));
    }
    wait_for_state(&rejoins, "steady");
    stopped.signal(STOP);
    let third = member(cluster, command, topic, more).spawn();
    wait_for_state(&rejoins, "wait-join");
    [stopped, rejoins, third]
}

#[test]
fn a_member_that_is_stopped_while_it_rejoins_leaves_its_group() {
    let cluster = Cluster::get();
    for (command, partitions) in [("consume", 1), ("consume", 2), ("worker", 1), ("worker", 2)] {
        let topic = topic_with(&cluster, "rejoining", partitions, "a\n");
        let [held, leaving, third] = rejoining(&cluster, command, partitions, &topic, &[]);
        leaving.terminate();
        // It leaves now, and can't: the rebalance waits for the one that has stopped.
        leaving.wait_for_stderr("received op GET_ASSIGNMENT");
        held.signal(CONT);
        leaving.wait().success().stderr_lacks("the group waits");
        for other in [held, third] {
            other.terminate();
            other.wait().success();
        }
        let next = member(&cluster, "consume", &topic, &["-e"]).run().success();
        next.demand("an end before the session of the member that left", |o| o.took < SOON);
    }
}

#[test]
fn a_member_that_cannot_leave_in_time_says_for_how_long_its_group_waits() {
    let cluster = Cluster::get();
    for (command, limit) in [("consume", "--close-timeout=1s"), ("worker", "--shutdown-timeout=7s")] {
        let topic = topic_with(&cluster, "held", 1, "a\n");
        let flags = [limit, "-X", "session.timeout.ms=30000"];
        let [_held, leaving, _third] = rejoining(&cluster, command, 1, &topic, &flags);
        leaving.terminate();
        leaving.wait().success().demand("an end within its time", |o| o.took < SOON).stderr_has(
            "kq: left the group without an answer: the group waits up to session.timeout.ms (30 s)",
        );
    }
}
