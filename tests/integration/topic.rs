//! `kq topic` of the real binary against a cluster.

use std::time::Duration;

use crate::support::{Cluster, wait_until};
use serde_json::Value;

/// The lines of a `--json` listing.
fn objects(output: &crate::support::Output) -> Vec<Value> {
    output.lines().iter().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

/// The listed topic of this name.
fn listed(cluster: &Cluster, name: &str) -> Option<Value> {
    let output = cluster.kq(["topic", "list", "--json"]).run().success();
    objects(&output).into_iter().find(|topic| topic["topic"] == name)
}

#[test]
fn the_line_of_the_readme_creates_a_topic_or_says_what_the_cluster_can_hold() {
    let cluster = Cluster::get();
    let topic = cluster.topic("foo");
    let line = "KQ_TOPIC=foo kq topic create --partitions 4 --rf 2".replace("foo", &topic);
    let output = cluster.program("sh", ["-c", &line]).run();
    if cluster.nodes() > 1 {
        output
            .success()
            .stdout("")
            .stderr(&format!("kq: created topic {topic}: 4 partitions, replication factor 2\n"));
        let there = listed(&cluster, &topic).expect("the topic");
        assert_eq!((&there["partitions"], &there["replication_factor"]), (&4.into(), &2.into()));
    } else if output.code() != 0 {
        output.status(2).stderr_has("1 broker").stderr_has("--rf 1");
        assert_eq!(listed(&cluster, &topic), None);
    }
}

#[test]
fn without_partitions_the_broker_decides() {
    let cluster = Cluster::get();
    let topic = cluster.topic("defaults");
    cluster
        .kq(["topic", "create", "-t", &topic])
        .run()
        .success()
        .stderr_has(&format!("created topic {topic}: "));
    let there = listed(&cluster, &topic).expect("the topic");
    assert!(there["partitions"].as_u64() >= Some(1), "{there}");
    assert_eq!(there["internal"], false);
}

#[test]
fn a_created_topic_can_be_used_by_the_next_command() {
    let cluster = Cluster::get();
    let topic = cluster.topic("next");
    cluster.kq(["topic", "create", &topic, "-p", "12", "-q"]).run().success().stdout("").stderr("");
    let there = listed(&cluster, &topic).expect("the topic");
    assert_eq!(there["partitions"], 12);
    let output = cluster.kq(["topic", "describe", &topic, "--json"]).run().success();
    let described = &objects(&output)[0];
    let partitions = described["partitions"].as_array().expect("partitions");
    assert!(partitions.iter().all(|p| p["leader"].is_i64() && p["high"] == 0), "{output}");
}

#[test]
fn a_topic_that_exists_is_an_error_without_if_not_exists() {
    let cluster = Cluster::get();
    let topic = cluster.create("twice", 2);
    cluster.kq(["topic", "create", &topic]).run().status(2).stderr(&format!(
        "kq: create topic {topic}: it exists already (with --if-not-exists that is not an error)\n"
    ));
    let again = ["topic", "create", &topic, "--if-not-exists", "-p"];
    cluster.kq(again).arg("2").run().success().stderr_has("exists already\n");
    cluster.kq(again).arg("3").arg("-q").run().success().stderr_has("not with 3 partitions as asked");
    assert_eq!(listed(&cluster, &topic).expect("the topic")["partitions"], 2);
}

#[test]
fn of_several_topics_those_that_can_be_made_are_made() {
    let cluster = Cluster::get();
    let (old, one, two) = (cluster.create("old", 1), cluster.topic("one"), cluster.topic("two"));
    cluster
        .kq(["topic", "create", &one, &old, "-t", &two])
        .run()
        .status(2)
        .stderr_has(&format!("created topic {one}"))
        .stderr_has(&format!("created topic {two}"))
        .stderr_has(&format!("create topic {old}: it exists already"));
}

#[test]
fn a_configuration_is_kept_and_shown() {
    let cluster = Cluster::get();
    let topic = cluster.topic("config");
    cluster
        .kq([
            "topic",
            "create",
            &topic,
            "--config",
            "retention.ms=86400000",
            "--config",
            "segment.bytes=1048576",
        ])
        .run()
        .success();
    cluster
        .kq(["topic", "describe", &topic])
        .run()
        .success()
        .stdout_has("retention.ms=86400000\n")
        .stdout_has("segment.bytes=1048576\n")
        .stdout_has("PARTITION   LEADER   REPLICAS   ISR");
    cluster
        .kq(["topic", "create", &topic, "--config", "retention.ms"])
        .run()
        .status(2)
        .stderr_has("name=value");
}

#[test]
fn the_table_lines_up_and_hides_internal_topics() {
    let cluster = Cluster::get();
    let topic = cluster.create("listed", 3);
    let output = cluster.kq(["topic", "list"]).run().success();
    let lines = output.lines();
    let column = lines[0].find("PARTITIONS").expect("a header");
    let row = lines.iter().find(|line| line.starts_with(&topic)).expect("the topic's row");
    assert!(row[column..].starts_with("3 "), "{output}");
    assert!(!lines.iter().any(|line| line.starts_with("__")), "{output}");
}

#[test]
fn a_topic_that_is_missing_is_named() {
    let cluster = Cluster::get();
    let topic = cluster.topic("missing");
    for args in [&["describe", &topic][..], &["delete", &topic], &["alter", &topic, "-p", "2"]] {
        let output = cluster.kq(["topic"]).args(args).run().status(2);
        output
            .stdout("")
            .stderr_has(&format!("topic {topic} does not exist; `kq topic create {topic}` creates it"));
    }
    assert_eq!(listed(&cluster, &topic), None, "asking does not create");
}

#[test]
fn of_several_topics_those_that_are_there_are_described() {
    let cluster = Cluster::get();
    let (one, two, missing) = (cluster.create("one", 1), cluster.create("two", 1), cluster.topic("missing"));
    cluster
        .kq(["topic", "describe", &one, &missing, &two])
        .run()
        .status(2)
        .stdout_has(&format!("{one}: 1 partition"))
        .stdout_has(&format!("\n\n{two}: 1 partition"))
        .stderr_has(&format!("topic {missing} does not exist; `kq topic create {missing}` creates it"));
}

#[test]
fn a_missing_topic_that_is_a_file_draws_a_hint() {
    let cluster = Cluster::get();
    for line in [&["consume", "data"][..], &["worker", "data", "--", "cat"], &["topic", "describe", "data"]] {
        let kq = cluster.kq(line);
        kq.file("data", "a\n");
        kq.run().status(2).stderr_has("topic data").stderr_has("it is a file here: name the topic first");
    }
}

#[test]
fn delete_takes_names_from_the_command_line_only() {
    let cluster = Cluster::get();
    let topic = cluster.create("doomed", 1);
    cluster.kq(["topic", "delete"]).env("KQ_TOPIC", &topic).run().status(2);
    assert!(listed(&cluster, &topic).is_some());
    cluster.kq(["topic", "delete", &topic]).run().success().stderr(&format!("kq: deleted topic {topic}\n"));
    // One broker said that it is gone; another may say so a moment later.
    wait_until("the topic is gone", Duration::from_secs(10), || listed(&cluster, &topic).is_none());
}

#[test]
fn partitions_can_be_added_and_not_taken_away() {
    let cluster = Cluster::get();
    let topic = cluster.create("growing", 2);
    cluster.kq(["topic", "alter", &topic, "-p", "5"]).run().success();
    assert_eq!(listed(&cluster, &topic).expect("the topic")["partitions"], 5);
    cluster.kq(["topic", "alter", &topic, "-p", "3"]).run().status(2).stderr_has("it has 5 partitions");
}

#[test]
fn single_configurations_are_set_and_given_back_and_the_others_stay() {
    let cluster = Cluster::get();
    let topic = cluster.topic("altered");
    cluster.kq(["topic", "create", &topic, "-p", "1", "--config", "segment.bytes=1048576"]).run().success();
    let alter = |args: &[&str]| cluster.kq(["topic", "alter", &topic]).args(args).run();
    alter(&["--config", "retention.ms=86400000", "--config", "max.message.bytes=2000000"])
        .success()
        .stdout("")
        .stderr(&format!("kq: altered topic {topic}: retention.ms=86400000, max.message.bytes=2000000\n"));
    let configs = || {
        let output = cluster.kq(["topic", "describe", &topic, "--json"]).run().success();
        objects(&output)[0]["config"].to_string()
    };
    let all = r#"{"max.message.bytes":"2000000","retention.ms":"86400000","segment.bytes":"1048576"}"#;
    // Each broker hears of it by itself.
    wait_until("all three are there", Duration::from_secs(10), || configs() == all);
    alter(&["--delete-config", "retention.ms", "--delete-config", "max.message.bytes", "-p", "2"]).success();
    wait_until("two are gone", Duration::from_secs(10), || configs() == r#"{"segment.bytes":"1048576"}"#);
    assert_eq!(listed(&cluster, &topic).expect("the topic")["partitions"], 2);
    alter(&["--config", "retention.ms=soon"])
        .status(2)
        .stderr_has(&format!("alter topic {topic}: "))
        .stderr_has("soon");
    alter(&["--config", "no.such=1"]).status(2).stderr_has("no.such");
    let twice = "kq: retention.ms is named more than once: give one --config or --delete-config for it\n";
    for (flag, given) in [
        ("--config", "retention.ms=8"),
        ("--config", "retention.ms=7"),
        ("--config", " retention.ms =8"),
        ("--delete-config", "retention.ms"),
    ] {
        alter(&["--config", "retention.ms=7", flag, given]).status(2).stderr(twice);
    }
    let deleted = ["--delete-config", "retention.ms"];
    alter(&[deleted, deleted].concat()).status(2).stderr(twice);
    let create = cluster.kq(["topic", "create", &cluster.topic("twice")]);
    create.args(["--config", "retention.ms=7", "--config", "retention.ms=8"]).run().status(2).stderr(twice);
    alter(&[]).status(2).stderr_has("--partitions").stderr_has("--config").stderr_has("--delete-config");
}

#[test]
fn tls_to_the_brokers_plain_text_port_is_an_error_that_says_so() {
    let cluster = Cluster::get();
    cluster
        .kq(["topic", "list", "--tls", "--timeout", "3s", "-q"])
        .run()
        .status(2)
        .stderr_has("can't reach ")
        .stderr_has("TLS");
}

#[test]
fn a_login_where_none_is_wanted_is_an_error_that_hides_the_password() {
    let cluster = Cluster::get();
    cluster
        .kq(["topic", "list", "--sasl-mechanism", "plain", "--sasl-username", "me", "--timeout", "5s"])
        .env("KQ_SASL_PASSWORD", "hunter2")
        .run()
        .status(2)
        .stderr_has("can't reach")
        .stderr_lacks("hunter2");
}

#[test]
fn a_refusal_ends_with_the_brokers_own_words() {
    let cluster = Cluster::get();
    let topic = cluster.create("words", 2);
    let create = |name: &str, args: &[&str]| {
        let create = cluster.kq(["topic", "create", name, "-p", "1", "--rf", "1"]).args(args);
        create.run().status(2).stderr_has(&format!("create topic {name}: "))
    };
    // Kafka takes a dot and an underscore as one in the names of its metrics.
    let dotted = format!("{}.a", cluster.topic("words"));
    cluster.kq(["topic", "create", &dotted, "-p", "1", "--rf", "1"]).run().success();
    let underscored = dotted.replace(".a", "_a");
    create(&underscored, &[]).stderr_has("Invalid topic: Topic").stderr_has(&format!(": {dotted}\n"));
    // Of several configurations, the one that is refused.
    let (good, bad) = (["--config", "retention.ms=7"], ["--config", "max.message.bytes=many"]);
    let other = cluster.topic("words");
    create(&other, &[good, bad].concat()).stderr_has("max.message.bytes").stderr_lacks("retention.ms");
    create(&other, &[good, ["--config", "no.such=1"]].concat())
        .stderr_has("no.such")
        .stderr_lacks("retention.ms");
    let alter = cluster.kq(["topic", "alter", &topic]).args(good).args(bad).run().status(2);
    alter.stderr_has("max.message.bytes").stderr_lacks("retention.ms");
    // What librdkafka puts in the place of no words is not said twice.
    create(&topic, &[])
        .stderr_has("it exists already")
        .stderr_lacks("Broker:")
        .stderr_lacks("the broker says");
}
