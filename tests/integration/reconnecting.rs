//! Connections that fail are made again: at once for the first, and then ever more slowly.

use crate::support::{Cluster, Link, Proxy};

#[test]
fn a_port_that_fails_the_handshake_is_not_stormed() {
    let proxy = Proxy::to("127.0.0.1:1");
    proxy.set(Link::Refusing);
    for args in [
        &["consume", "t"][..],
        &["consume", "t", "-g", "g", "--end"],
        &["produce", "t"],
        &["worker", "t", "-g", "g", "--", "true"],
        &["topic", "list"],
    ] {
        let before = proxy.accepted();
        let options = ["--tls", "--timeout", "4s", "-b", proxy.address()];
        proxy.kq([&args[..1], &options, &args[1..]].concat()).run().status(2);
        let count = proxy.accepted() - before;
        assert!((4..=30).contains(&count), "{args:?}: {count} connections in 4 s");
    }
}

#[test]
fn an_outage_of_a_reader_that_runs_is_not_stormed_either_and_its_end_is_noticed() {
    let cluster = Cluster::embedded();
    let proxy = Proxy::to(cluster.brokers());
    let topic = cluster.create("ridden", 1);
    let running = proxy.kq(["consume", &topic, "-g", "g"]).spawn();
    cluster.kq(["produce", &topic]).stdin("before\n").run().success();
    running.wait_for_stdout("before");
    proxy.set(Link::Refusing);
    let before = proxy.accepted();
    proxy.cut();
    running.wait_for_stderr("since 5 s");
    // Bootstrap, leader and coordinator have an address each, which is the same here.
    let count = proxy.accepted() - before;
    assert!((4..=100).contains(&count), "{count} connections in 5 s");
    proxy.set(Link::Open);
    cluster.kq(["produce", &topic]).stdin("after\n").run().success();
    running.wait_for_stdout("after");
    running.terminate();
    running.wait().success();
}
