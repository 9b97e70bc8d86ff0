//! Brokers that stop, freeze and come back: what `kq serve` answers meanwhile, and what is in the topic then.

use std::time::{Duration, Instant};

use crate::support::serve::{Call, JSON, NDJSON, Serve, stored, stored_values, wait_for_status};
use crate::support::serve_load::{Load, judge};
use crate::support::{CONT, Cluster, wait_until};

const LONG: Duration = Duration::from_secs(30);

/// An embedded broker that keeps its records, the folder that it keeps them in, and a topic of one partition.
fn lasting() -> (Cluster, tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let cluster = Cluster::embedded_in(dir.path());
    let topic = cluster.create("serve", 1);
    (cluster, dir, topic)
}

#[test]
fn while_no_broker_is_there_nothing_is_sent_and_then_all_is_well_again() {
    let (mut cluster, _dir, topic) = lasting();
    let serve = Serve::start(&cluster, [topic.as_str(), "--delivery-timeout", "8s"]);
    serve.json(&topic, "\"before\"").demand(200);
    serve.get("/readyz").demand(200);
    cluster.stop();
    wait_for_status("/readyz of an outage", 503, || serve.get("/readyz"), |_| {});
    // Nothing was sent, so a retry is safe; and the answer does not take the whole time-out.
    for _ in 0..10 {
        let started = Instant::now();
        let answer = serve.json(&topic, "\"during\"").refused(503, "not_sent");
        assert!((1..=30).contains(&answer.retry_after()), "{answer:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
    serve.post(&topic, NDJSON, "1\n2\n").refused(503, "not_sent");
    serve.get("/livez").demand(200);
    cluster.start();
    wait_for_status(
        "a record after the outage",
        200,
        || serve.json(&topic, "\"after\""),
        |answer| assert!(answer.status == 200 || answer.json()["outcome"] == "not_sent", "{answer:?}"),
    );
    wait_for_status("/readyz after the outage", 200, || serve.get("/readyz"), |_| {});
    assert_eq!(stored_values(&cluster, &topic), ["\"before\"", "\"after\""]);
    let output = serve.end();
    output.stderr_has("503");
}

#[test]
fn a_broker_that_froze_may_have_the_record_and_the_answer_says_so() {
    let (cluster, _dir, topic) = lasting();
    let serve = Serve::start(&cluster, [topic.as_str(), "--delivery-timeout", "6s"]);
    serve.json(&topic, "0").demand(200);
    cluster.broker().freeze();
    // The request of the first is under way; later ones may never have been sent.
    serve.json(&topic, "1").refused(504, "unknown");
    let batch = serve.post(&topic, NDJSON, "2\n3\n");
    assert!([503, 504].contains(&batch.status), "{batch:?}");
    cluster.broker().signal(CONT);
    wait_for_status(
        "a record once it goes on",
        200,
        || serve.json(&topic, "4"),
        |answer| assert!([200, 503, 504].contains(&answer.status), "{answer:?}"),
    );
    let values = stored_values(&cluster, &topic);
    assert_eq!(values.first().map(String::as_str), Some("0"));
    for value in ["1", "2", "3"] {
        let times = values.iter().filter(|its| *its == value).count();
        let not_sent = value != "1" && batch.json()["outcome"] == "not_sent";
        assert!(times <= usize::from(!not_sent), "{value}: {values:?}");
    }
    serve.end();
}

#[test]
fn an_outage_under_load_loses_no_200_and_repeats_nothing() {
    let (mut cluster, _dir, topic) = lasting();
    let serve = Serve::start(&cluster, [topic.as_str(), "--delivery-timeout", "2s"]);
    let load = Load::start(serve.address(), &topic, 8);
    load.wait_for(200);
    cluster.kill();
    std::thread::sleep(Duration::from_secs(3));
    cluster.start();
    load.wait_for(200);
    cluster.broker().freeze();
    std::thread::sleep(Duration::from_secs(4));
    cluster.broker().signal(CONT);
    load.wait_for(200);
    let tally = judge(&load.end(), &stored(&cluster, &topic));
    assert!(tally.refused.values().sum::<usize>() > 0, "nothing was refused in an outage: {tally:?}");
    assert_eq!(tally.unanswered, 0, "{tally:?}");
    assert!(tally.refused.keys().all(|status| [503, 504].contains(status)), "{tally:?}");
    serve.end();
}

#[test]
fn a_short_outage_is_ridden_out() {
    let (mut cluster, _dir, topic) = lasting();
    let serve = Serve::start(&cluster, [topic.as_str(), "--delivery-timeout", "1m"]);
    serve.json(&topic, "0").demand(200);
    cluster.broker().freeze();
    let mut connection = serve.connect();
    connection.write(Call::post(&topic).of_type(JSON).body("1").bytes());
    connection.is_quiet();
    cluster.broker().signal(CONT);
    connection.answer(false).demand(200);
    assert_eq!(stored_values(&cluster, &topic), ["0", "1"]);
    // And one in which its connection ends: it is sent again, and written once.
    cluster.broker().freeze();
    connection.write(Call::post(&topic).of_type(JSON).body("2").bytes());
    connection.is_quiet();
    cluster.kill();
    cluster.start();
    let answer = connection.answer(false);
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    let there = stored_values(&cluster, &topic).len();
    assert_eq!(there, if answer.status == 200 { 3 } else { 2 });
}

#[test]
fn a_client_that_goes_before_its_answer_does_not_undo_the_record() {
    let (cluster, _dir, topic) = lasting();
    let serve = Serve::start(&cluster, [topic.as_str(), "--delivery-timeout", "1m"]);
    serve.json(&topic, "0").demand(200);
    cluster.broker().freeze();
    let mut gone = serve.connect();
    gone.write(Call::post(&topic).of_type(JSON).body("1").bytes());
    wait_until("its record waits for the acknowledgement", LONG, || {
        serve.metric("kq_serve_pending_bytes") >= 1.0
    });
    let mut other = serve.connect();
    other.call(&Call::new("GET", "/livez")).demand(200);
    gone.reset();
    // It learns of this request after the reset: once it has answered, it knows of both.
    other.call(&Call::new("GET", "/livez")).demand(200);
    cluster.broker().signal(CONT);
    wait_until("the client is known to be gone", LONG, || serve.metric("kq_serve_clients_gone_total") >= 1.0);
    wait_until("its record is counted", LONG, || serve.metric("kq_serve_pending_bytes") < 1.0);
    serve.json(&topic, "2").demand(200);
    assert_eq!(stored_values(&cluster, &topic), ["0", "1", "2"]);
    serve.end();
}

#[test]
fn what_waits_for_a_frozen_broker_is_bounded() {
    let (cluster, _dir, topic) = lasting();
    let serve = Serve::start(&cluster, [topic.as_str(), "--delivery-timeout", "5s"]);
    serve.json(&topic, "0").demand(200);
    cluster.broker().freeze();
    let body = format!("\"{}\"", "0123456789abcdef".repeat(50_000));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..60).map(|_| scope.spawn(|| serve.json(&topic, &body))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client")).collect()
    });
    let unknown = answers.iter().filter(|answer| answer.status == 504).count();
    for answer in &answers {
        let outcome = if answer.status == 504 { "unknown" } else { "not_sent" };
        answer.clone().refused(if answer.status == 504 { 504 } else { 503 }, outcome);
    }
    assert!(unknown < answers.len(), "all of 48 MB were taken");
    let peak = serve.process().peak_memory_kib();
    assert!(peak < 64 * 1024, "{peak} KiB at its highest");
    cluster.broker().signal(CONT);
    wait_for_status("a record once it goes on", 200, || serve.json(&topic, "1"), |_| {});
    serve.end();
}
