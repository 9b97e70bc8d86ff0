//! How `kq serve` starts and ends: what it refuses at the start, and that a stop loses no answer.

use std::time::{Duration, Instant};

use crate::support::serve::{Call, Connection, JSON, Serve, stored, stored_values, wait_for_status};
use crate::support::serve_load::{Load, judge};
use crate::support::{CONT, Cluster, INT, wait_until};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_stop_under_load_answers_every_request() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 3);
    let serve = Serve::start(&cluster, [&topic]);
    let load = Load::start(serve.address(), &topic, 16);
    load.wait_for(300);
    let output = serve.end();
    let sent = load.end();
    let tally = judge(&sent, &stored(&cluster, &topic));
    assert!(tally.accepted >= 300, "{tally:?}\n{output}");
    // What was refused was told that kq ends.
    assert!(tally.refused.keys().all(|status| *status == 503), "{tally:?}\n{output}");
}

#[test]
fn a_kill_under_load_loses_nothing_that_was_answered() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 3);
    let serve = Serve::start(&cluster, [&topic]);
    let load = Load::start(serve.address(), &topic, 16);
    load.wait_for(300);
    serve.kill();
    let sent = load.end();
    let tally = judge(&sent, &stored(&cluster, &topic));
    assert!(tally.accepted >= 300 && tally.refused.is_empty(), "{tally:?}");
}

#[test]
fn it_goes_on_during_the_drain_delay_and_then_closes_each_connection_after_its_answer() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let serve = Serve::start(&cluster, [&topic, "--drain-delay", "12s"]);
    let call = Call::post(&topic).of_type(JSON).body("1");
    let mut kept = serve.connect();
    kept.call(&call).demand(200);
    serve.terminate();
    wait_for_status("/readyz of one that ends", 503, || serve.get("/readyz"), |_| {});
    // Load balancers may not know yet: a new connection and one that was kept are served.
    serve.json(&topic, "2").demand(200);
    kept.call(&call).demand(200);
    serve.get("/livez").demand(200);
    let address = serve.address().to_owned();
    wait_until("it takes no more connections", LONG, || Connection::attempt(&address).is_err());
    serve.wait().success();
    assert_eq!(stored_values(&cluster, &topic), ["1", "2", "1"]);
}

#[test]
fn a_request_that_is_open_is_finished_and_an_idle_connection_holds_nothing_up() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let serve = Serve::start(&cluster, [&topic]);
    let mut idle = serve.connect();
    idle.call(&Call::post(&topic).of_type(JSON).body("0")).demand(200);
    let silent = serve.connect();
    let call = Call::post(&topic).of_type(JSON).body("123");
    let mut open = serve.connect();
    open.write(call.head());
    open.write("12");
    wait_until("its body is being read", LONG, || serve.metric("kq_serve_pending_bytes") >= 2.0);
    serve.terminate();
    assert!(idle.is_closed());
    open.write("3");
    let answer = open.answer(false).demand(200);
    assert!(answer.closes(), "{answer:?}");
    assert!(open.is_closed());
    let output = serve.wait().success();
    assert!(output.took < LONG, "{output}");
    drop(silent);
    assert_eq!(stored_values(&cluster, &topic), ["0", "123"]);
}

#[test]
fn what_a_broker_does_not_acknowledge_before_the_end_is_unknown_and_the_status_says_so() {
    let cluster = Cluster::embedded();
    let topic = cluster.create("serve", 1);
    let flags = ["--delivery-timeout", "1m", "--shutdown-timeout", "8s"];
    let serve = Serve::start(&cluster, [topic.as_str()].iter().chain(&flags));
    serve.json(&topic, "0").demand(200);
    cluster.broker().freeze();
    let mut open = serve.connect();
    open.write(Call::post(&topic).of_type(JSON).body("1").bytes());
    wait_until("its record waits", LONG, || serve.metric("kq_serve_pending_bytes") >= 1.0);
    let told = Instant::now();
    serve.terminate();
    match open.try_answer(false) {
        Ok(answer) => {
            answer.refused(504, "unknown");
        }
        Err(e) => panic!("no answer: {e}"),
    }
    let output = serve.wait().status(75);
    assert!(told.elapsed() < LONG, "{output}");
    cluster.broker().signal(CONT);
    assert!(stored(&cluster, &topic).len() <= 2);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let cluster = Cluster::embedded();
    let topic = cluster.create("serve", 1);
    let serve = Serve::start(&cluster, [topic.as_str(), "--drain-delay", "5m", "--shutdown-timeout", "10m"]);
    serve.process().signal(INT);
    wait_for_status("/readyz of one that ends", 503, || serve.get("/readyz"), |_| {});
    serve.process().signal(INT);
    let output = serve.wait().status(130);
    assert!(output.took < Duration::from_mins(2), "{output}");
}

#[test]
fn what_can_not_be_served_is_refused_at_the_start() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let missing = cluster.topic("missing");
    let serve = |args: &[&str]| cluster.kq(["serve", "--listen", "127.0.0.1:0"]).args(args).run().status(2);
    serve(&[]).stderr_has("topic");
    serve(&["--no-create", &missing]).stderr_has(&missing);
    serve(&["bad name"]).stderr_has("bad name");
    serve(&["__consumer_offsets"]).stderr_has("__consumer_offsets");
    serve(&["^x"]).stderr_has("^x");
    serve(&[&topic, "-X", "acks=1"]).stderr_has("acks");
    serve(&[&topic, "--validate", "/none.json"]).stderr_has("/none.json");
    serve(&[&topic, "--route", "/x=another"]).stderr_has("another");
    let taken = Serve::start(&cluster, [&topic]);
    cluster.kq(["serve", &topic, "--listen", taken.address()]).run().status(2).stderr_has(taken.address());
}

#[test]
fn no_cluster_at_the_start_is_an_error_in_bounded_time() {
    let kq = crate::support::Kq::new(["serve", "t", "-b", "127.0.0.1:1", "--timeout", "2s"]);
    let output = kq.args(["--listen", "127.0.0.1:0"]).run().status(2).stderr_has("127.0.0.1:1");
    assert!(output.took < LONG, "{output}");
}

#[test]
fn a_topic_that_is_not_there_is_created_at_the_start_where_it_may_be() {
    let cluster = Cluster::get();
    let topic = cluster.topic("created");
    let serve = Serve::start(&cluster, [&topic]);
    serve.json(&topic, "1").demand(200);
    assert_eq!(stored_values(&cluster, &topic), ["1"]);
}
