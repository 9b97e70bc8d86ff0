//! Connecting a producer to a cluster in memory.

use std::ffi::OsString;

use super::*;
use crate::cli;
use crate::kafka::fake::{Cluster, FakeProducer, Question, Serving};
use crate::kafka::properties::Librdkafka;

/// A configuration with this time-out.
fn config(timeout: &str) -> Config {
    let line = ["kq", "produce", "orders", "--timeout", timeout].map(OsString::from);
    let cli = cli::parse(line).unwrap();
    Config::resolve_with(&cli.connection, &|_| None, &Librdkafka).unwrap()
}

/// Awaits the topic `orders`; an error as text.
fn await_orders(
    cluster: &Cluster,
    timeout: &str,
    missing: Missing,
) -> Result<Connected<FakeProducer>, String> {
    let config = config(timeout);
    let client = config.client(&DEFAULTS);
    let causes = Arc::new(Causes::new(config.log, &config.brokers, Membership::None));
    await_topic(cluster.producer(), causes, &client, &config, "orders", missing)
        .map(|(connected, _)| connected)
        .map_err(|e| format!("{e:#}"))
}

fn polls(cluster: &Cluster) -> usize {
    cluster.calls_of("poll").len()
}

#[test]
fn a_partition_without_a_leader_takes_no_records_at_the_start() {
    let cluster = Cluster::new().with_topic("orders", 3);
    cluster.log("orders", 1, |log| log.is_leaderless = true);
    let connected = await_orders(&cluster, "1s", Missing::Refuse).unwrap();
    assert_eq!(connected.partitions, [0, 2]);
    assert_eq!(connected.partition_ids, [0, 1, 2]);
    assert_eq!(polls(&cluster), 0);
}

#[test]
fn a_topic_without_any_leader_is_awaited() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.log("orders", 0, |log| log.is_leaderless = true);
    let elect = |cluster: &Cluster| cluster.log("orders", 0, |log| log.is_leaderless = false);
    cluster.serve([Serving::Nothing, Serving::Do(Box::new(elect))]);
    assert_eq!(await_orders(&cluster, "1s", Missing::Refuse).unwrap().partitions, [0]);
    assert_eq!(polls(&cluster), 2);
    cluster.log("orders", 0, |log| log.is_leaderless = true);
    let e = await_orders(&cluster, "10ms", Missing::Create).err().unwrap();
    assert!(e.contains("no partition has a leader"), "{e}");
}

#[test]
fn a_topic_that_is_missing_is_awaited_only_where_the_broker_may_create_it() {
    let cluster = Cluster::new();
    let absent = config::topic::absent("orders");
    assert_eq!(await_orders(&cluster, "10s", Missing::Refuse).err(), Some(absent.clone()));
    assert_eq!(polls(&cluster), 0);
    assert_eq!(await_orders(&cluster, "10ms", Missing::Create).err(), Some(absent));
    assert!(polls(&cluster) > 0);
    let create = |cluster: &Cluster| drop(cluster.clone().with_topic("orders", 2));
    cluster.serve([Serving::Nothing, Serving::Do(Box::new(create))]);
    assert_eq!(await_orders(&cluster, "1s", Missing::Create).unwrap().partitions, [0, 1]);
}

#[test]
fn a_cluster_that_does_not_answer_is_asked_again_and_one_that_refuses_is_not() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.refuse(Question::Metadata, [Code::BrokerTransportFailure, Code::OperationTimedOut]);
    assert_eq!(await_orders(&cluster, "1s", Missing::Refuse).unwrap().partitions, [0]);
    cluster.refuse(Question::Metadata, [Code::TopicAuthorizationFailed]);
    let e = await_orders(&cluster, "1s", Missing::Refuse).err().unwrap();
    assert!(e.contains("not authorised for this topic"), "{e}");
}

#[test]
fn batches_fit_the_topic_with_the_lowest_limit() {
    let cluster = Cluster::new().with_topic("a", 1).with_topic("b", 1).with_topic("c", 1);
    let config = config("1s");
    let client = config.client(&DEFAULTS);
    let smallest = |topics: &[&str]| {
        let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
        smallest_batch(&cluster.producer(), &client, &config, &topics)
    };
    for (topic, limit) in [("a", "9000"), ("b", "10000"), ("c", "2000000")] {
        cluster.configure(topic, "max.message.bytes", limit);
    }
    assert_eq!(smallest(&["b", "a", "c"]).as_deref(), Some("9000"));
    assert_eq!(smallest(&["c"]), None);
    assert_eq!(smallest(&["missing", "b"]).as_deref(), Some("10000"));
    assert_eq!(smallest(&[]), None);
}

#[test]
fn only_a_limit_below_the_batch_size_changes_it() {
    assert_eq!(smaller("2000", Some("1000000")).as_deref(), Some("2000"));
    assert_eq!(smaller("0", Some("1000000")).as_deref(), Some("1"));
    for (limit, holds) in [
        ("1048588", Some("1000000")),
        ("2000", Some("2000")),
        ("-1", Some("5")),
        ("", Some("5")),
        ("1", None),
    ] {
        assert_eq!(smaller(limit, holds), None, "{limit} {holds:?}");
    }
}
