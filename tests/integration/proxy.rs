//! The proxy of the tests does what its tests rely on.

use std::time::{Duration, Instant};

use crate::support::{Cluster, Link, Proxy};

#[test]
fn a_client_that_connects_to_the_proxy_stays_with_it() {
    let cluster = Cluster::embedded();
    let proxy = Proxy::to(cluster.brokers());
    let topic = cluster.create("through", 2);
    proxy.kq(["produce", &topic]).stdin("a\nb\n").run().success();
    let direct = proxy.accepted();
    proxy.kq(["consume", &topic, "-g", "g", "--end"]).run().success().stdout_has("a\n").stdout_has("b\n");
    assert!(proxy.accepted() >= direct + 3, "bootstrap, broker and coordinator: {}", proxy.accepted());
}

#[test]
fn the_proxy_holds_responses_up_and_loses_and_refuses_connections() {
    let cluster = Cluster::embedded();
    let proxy = Proxy::to(cluster.brokers());
    let within = |timeout: &str| proxy.kq(["topic", "list", "--timeout", timeout]).run();
    let list = || within("20s");
    proxy.set(Link::Late(Duration::from_millis(300)));
    let began = Instant::now();
    list().success();
    assert!(began.elapsed() >= Duration::from_millis(600), "two responses at least");
    proxy.set(Link::Silent);
    within("3s").status(2);
    proxy.set(Link::Refusing);
    within("3s").status(2).stderr_has("closed");
    proxy.set(Link::Open);
    list().success();
}

#[test]
fn connections_that_the_proxy_cuts_are_made_again() {
    let cluster = Cluster::embedded();
    let proxy = Proxy::to(cluster.brokers());
    let topic = cluster.create("cut", 1);
    let running = proxy.kq(["consume", &topic]).spawn();
    cluster.kq(["produce", &topic]).stdin("a\n").run().success();
    running.wait_for_stdout("a");
    let before = proxy.accepted();
    proxy.cut();
    cluster.kq(["produce", &topic]).stdin("b\n").run().success();
    running.wait_for_stdout("b");
    assert!(proxy.accepted() > before);
}
