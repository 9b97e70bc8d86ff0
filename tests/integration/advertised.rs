//! An address that the cluster advertises and that can't be used: each command names it, waits no longer than it may, and says nothing else.

use std::time::Duration;

use crate::support::{Cluster, Link, Output, Proxy, Refusing, Running};

/// A host that does not resolve. With an empty label it is no name, so that no server is asked, which may
/// take its time.
const NAMELESS: &str = "kafka-0..invalid";

/// A cluster, and a proxy in front of it that advertises this address, with a topic of one partition that
/// holds a record.
fn advertising(address: &str) -> (Cluster, Proxy, String) {
    let cluster = Cluster::embedded();
    let topic = cluster.create("reach", 1);
    cluster.kq(["produce", &topic]).stdin("one\n").run().success();
    let proxy = Proxy::to(cluster.brokers());
    proxy.advertise(address);
    (cluster, proxy, topic)
}

/// Each command that needs more than a bootstrap address, with a limit of four seconds.
fn limited(proxy: &Proxy, topic: &str) -> Vec<Running> {
    let pattern = format!("^{topic}$");
    let stall = ["--stall-timeout", "4s"];
    let timeout = ["--timeout", "4s"];
    let commands: [(&[&str], &[&str], &[&str]); 12] = [
        (&["consume", topic, "--end"], &stall, &[]),
        (&["consume", topic, "-n", "5"], &stall, &[]),
        (&["consume", &pattern, "--end"], &stall, &[]),
        (&["consume", topic, "-g", "a", "--end"], &stall, &[]),
        (&["consume", &pattern, "-g", "b", "-n", "5"], &stall, &[]),
        (&["consume", topic, "-g", "c", "--reset", "--from", "beginning"], &timeout, &[]),
        (&["worker", topic, "-g", "d", "-n", "5"], &stall, &["--", "true"]),
        (&["worker", &pattern, "-g", "e", "--until", "end"], &stall, &["--", "true"]),
        (&["produce", topic], &timeout, &[]),
        (&["topic", "describe", topic], &timeout, &[]),
        (&["topic", "create", "another"], &timeout, &[]),
        (&["topic", "alter", topic, "--config", "retention.ms=3600000"], &timeout, &[]),
    ];
    let spawn = |(args, limit, rest)| proxy.kq([args, limit, rest].concat()).stdin("two\n").spawn();
    commands.into_iter().map(spawn).collect()
}

/// It ended at its limit, and said what is wrong and nothing that is not.
fn named(out: Output, fault: &str) {
    let out =
        out.status(2).stderr_has(fault).stderr_lacks("let this member in").stderr_lacks("answers again");
    let out = out.stderr_lacks("KQ_BROKERS").stderr_lacks("0 s:");
    // Twelve programs share the machine with the other tests.
    assert!(out.took < Duration::from_secs(30), "{out}");
}

#[test]
fn a_name_that_does_not_resolve_is_named_by_every_command() {
    let (_cluster, proxy, topic) = advertising(&format!("{NAMELESS}:9092"));
    let fault =
        format!("can't resolve {NAMELESS}, which the cluster advertises for broker 1 (advertised.listeners)");
    for running in limited(&proxy, &topic) {
        named(running.wait(), &fault);
    }
    proxy.kq(["topic", "list"]).run().success().stdout_has(&topic);
}

#[test]
fn an_address_that_refuses_is_named_by_every_command() {
    let refusing = Refusing::bind();
    let address = refusing.address().to_string();
    let (_cluster, proxy, topic) = advertising(&address);
    let fault = format!("{address}, which the cluster advertises for broker 1, refuses connections");
    for running in limited(&proxy, &topic) {
        named(running.wait(), &fault);
    }
}

#[test]
fn the_time_out_is_not_waited_for_again_for_each_topic() {
    let (_cluster, proxy, topic) = advertising(&format!("{NAMELESS}:9092"));
    let names: Vec<String> = (0..20).map(|n| format!("{topic}-{n}")).collect();
    let args = ["topic", "delete", "--timeout", "3s", &topic];
    let out = proxy.kq(["topic", "describe", "--timeout", "3s"]).args([&topic; 1]).args(&names).spawn();
    named(proxy.kq(args).args(&names).run(), &format!("can't resolve {NAMELESS}"));
    let out = out.wait().status(2);
    assert!(out.took < Duration::from_secs(30), "{out}");
}

#[test]
fn who_follows_waits_with_a_note_and_goes_on_once_the_broker_answers() {
    let (cluster, proxy, topic) = advertising("127.0.0.1:1");
    let broker = Proxy::to(cluster.brokers());
    broker.set(Link::Silent);
    proxy.advertise(broker.address());
    let shown = ["worker", &topic, "-g", "w", "--from", "beginning", "--", "sh", "-c", "cat; echo"];
    let followers = [
        proxy.kq(["consume", &topic, "--from", "beginning"]).spawn(),
        proxy.kq(["consume", &topic, "-g", "f", "--from", "beginning"]).spawn(),
        proxy.kq(shown).spawn(),
    ];
    let fault = format!("{}, which the cluster advertises for broker 1, does not answer", broker.address());
    for running in &followers {
        running.wait_for_stderr(&fault);
    }
    broker.set(Link::Open);
    broker.cut();
    for running in followers {
        running.wait_for_stdout("one");
        running.terminate();
        running.wait().success().stderr_lacks("let this member in");
    }
}

#[test]
fn a_broker_that_does_not_answer_is_said_to_be_just_that() {
    let (cluster, proxy, topic) = advertising("127.0.0.1:1");
    let silent = Proxy::to(cluster.brokers());
    silent.set(Link::Silent);
    proxy.advertise(silent.address());
    let fault = format!("{}, which the cluster advertises for broker 1, does not answer", silent.address());
    let readers = [
        proxy.kq(["consume", &topic, "-n", "5", "--stall-timeout", "9s"]).spawn(),
        proxy.kq(["consume", &topic, "-g", "f", "-n", "5", "--stall-timeout", "9s"]).spawn(),
        proxy.kq(["worker", &topic, "-g", "w", "-n", "5", "--stall-timeout", "9s", "--", "true"]).spawn(),
        proxy.kq(["produce", &topic]).stdin("two\n").spawn(),
        proxy.kq(["topic", "describe", &topic]).spawn(),
    ];
    for running in readers {
        named(running.wait(), &fault);
    }
}
