//! Topics whose cleanup policy asks for compaction, as Kafka takes them; `kq dev` keeps every record.

use std::time::{Duration, SystemTime};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::support::{Cluster, Kq, wait_until, wire};

const PATIENCE: Duration = Duration::from_secs(30);
const INVALID_CONFIG: i16 = 40;
const INVALID_RECORD: i16 = 87;

fn admin(cluster: &Cluster) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", cluster.brokers()).create().expect("an admin client")
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// A new topic of one partition with this policy.
#[track_caller]
fn topic(cluster: &Cluster, policy: &str) -> String {
    let name = cluster.topic("compacted");
    let config = format!("cleanup.policy={policy}");
    cluster.kq(["topic", "create", &name, "--partitions", "1", "--config", &config]).run().success();
    name
}

/// Waits until `DescribeConfigs` shows this policy: each broker of a cluster needs a moment to learn it.
#[track_caller]
fn shows(cluster: &Cluster, topic: &str, policy: &str) {
    let admin = admin(cluster);
    wait_until(&format!("{topic} is shown with {policy:?}"), PATIENCE, || {
        let asked = [ResourceSpecifier::Topic(topic)];
        let described = wait(admin.describe_configs(&asked, &options())).expect("an answer");
        let described = described.into_iter().next().expect("a resource");
        described.is_ok_and(|all| {
            all.get("cleanup.policy").is_some_and(|entry| entry.value.as_deref() == Some(policy))
        })
    });
}

/// Sets (0), deletes (1), appends to (2) or subtracts from (3) a configuration; the error and its words.
#[track_caller]
fn alter(
    cluster: &Cluster,
    topic: &str,
    key: &str,
    operation: u8,
    value: Option<&str>,
) -> (i16, Option<String>) {
    let value = value.map_or_else(|| vec![0xff, 0xff], wire::text);
    // One resource, a topic, with one configuration; and not only to be checked.
    let resource = [&[0, 0, 0, 1, 2][..], &wire::text(topic), &[0, 0, 0, 1], &wire::text(key)].concat();
    let body = [&resource[..], &[operation], &value, &[0]].concat();
    let broker = cluster.brokers().split(',').next().expect("a broker");
    let mut answer = wire::ask(broker, 44, 0, &body);
    answer.skip(4);
    assert_eq!(answer.i32(), 1);
    (answer.i16(), answer.text().filter(|words| !words.is_empty()))
}

fn now_ms() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_millis() as i64
}

#[test]
fn a_cleanup_policy_is_created_and_shown_as_a_list() {
    let cluster = Cluster::get();
    for (given, shown) in [
        ("compact", "compact"),
        ("compact,delete", "compact,delete"),
        ("delete,compact", "delete,compact"),
        ("compact, delete", "compact,delete"),
    ] {
        shows(&cluster, &topic(&cluster, given), shown);
    }
    for policy in ["Compact", "compact,", "delete,x"] {
        let (name, config) = (cluster.topic("refused"), format!("cleanup.policy={policy}"));
        cluster.kq(["topic", "create", &name, "--partitions", "1", "--config", &config]).run().status(2);
    }
}

#[test]
fn a_cleanup_policy_is_altered_whole_and_by_its_parts() {
    let cluster = Cluster::get();
    let name = topic(&cluster, "delete");
    let whole = AlterConfig::new(ResourceSpecifier::Topic(&name)).set("cleanup.policy", "compact");
    let altered = wait(admin(&cluster).alter_configs(&[whole], &options())).expect("an answer");
    assert!(altered[0].is_ok(), "{altered:?}");
    shows(&cluster, &name, "compact");
    let (set, delete, append, subtract) = (0, 1, 2, 3);
    for (operation, value, expected) in [
        (append, Some("delete"), "compact,delete"),
        (append, Some("delete"), "compact,delete"),
        (subtract, Some("compact"), "delete"),
        (subtract, Some("compact"), "delete"),
        (set, Some("delete,compact"), "delete,compact"),
        (delete, None, "delete"),
        // The default is what a topic without a policy of its own begins with.
        (append, Some("compact"), "delete,compact"),
    ] {
        assert_eq!(alter(&cluster, &name, "cleanup.policy", operation, value), (0, None), "{value:?}");
        shows(&cluster, &name, expected);
    }
    let words = |words: &str| (INVALID_CONFIG, Some(words.to_owned()));
    assert_eq!(
        alter(&cluster, &name, "cleanup.policy", append, Some("x")),
        words("Invalid value x for configuration cleanup.policy: String must be one of: compact, delete")
    );
    for (operation, word) in [(append, "APPEND"), (subtract, "SUBTRACT")] {
        assert_eq!(
            alter(&cluster, &name, "retention.ms", operation, Some("1")),
            words(&format!("Can't {word} to key retention.ms because its type is not LIST."))
        );
    }
    shows(&cluster, &name, "delete,compact");
}

/// The words are those of Kafka 4; a Kafka of another age says less.
#[test]
fn a_record_without_a_key_is_refused_with_its_place_in_the_batch() {
    let cluster = Cluster::get();
    for policy in ["compact", "compact,delete"] {
        let name = topic(&cluster, policy);
        let send =
            |keys: &[Option<&[u8]>]| wire::produce(cluster.brokers(), &name, &wire::batch(keys, now_ms()));
        let refused = send(&[None, Some(b"k"), None]);
        let why = format!("Compacted topic cannot accept message without key in topic partition {name}-0");
        assert_eq!(
            (refused.error, refused.records),
            (INVALID_RECORD, vec![(0, Some(why.clone())), (2, Some(why.clone()))],)
        );
        let listed = [0, 2].map(|index| format!("RecordError(batchIndex={index}, message='{why}')"));
        let sentence = format!(
            "One or more records have been rejected due to 2 record errors in total, \
             and only showing the first three errors at most: [{}]",
            listed.join(", ")
        );
        assert_eq!(refused.sentence, Some(sentence));
        // A batch is stored whole or not at all. An empty key is a key.
        let taken = send(&[Some(b""), Some(b"k")]);
        assert_eq!(taken, wire::Produced { error: 0, records: vec![], sentence: None });
        cluster.kq(["consume", &name, "-e", "-f", "%o:%k=%s\n"]).run().success().stdout("0:=v\n1:k=v\n");
    }
}

#[test]
fn a_record_of_another_time_is_refused_with_its_place_in_the_batch() {
    let cluster = Cluster::get();
    let name = topic(&cluster, "delete");
    let time = now_ms() + 1_000_000_000;
    let refused = wire::produce(cluster.brokers(), &name, &wire::batch(&[None], time));
    let sentence = "One or more records have been rejected due to invalid timestamp";
    assert_eq!((refused.error, refused.sentence.as_deref()), (32, Some(sentence)));
    let [(0, Some(why))] = &refused.records[..] else { panic!("{refused:?}") };
    let start = format!("Timestamp {time} of message with offset 0 is out of range. The timestamp should be");
    assert!(why.starts_with(&start), "{why}");
}

#[test]
fn keys_are_demanded_of_every_codec_and_tombstones_are_kept() {
    let cluster = Cluster::get();
    let name = topic(&cluster, "compact");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let produce = |flags: &[&str], lines: &str| {
            cluster.kq(["produce", &name, "-z", codec]).args(flags).stdin(lines).run()
        };
        produce(&[], &"no key, and long enough to be compressed\n".repeat(50)).status(1);
        produce(&["-K", ":", "-Z"], &format!("{codec}:v\n{codec}:\n")).success();
    }
    let output = cluster.kq(["consume", &name, "-e", "-f", "%k=%s %S\n"]).run().success();
    let expected =
        ["none", "gzip", "snappy", "lz4", "zstd"].map(|codec| format!("{codec}=v 1\n{codec}= -1\n"));
    output.stdout(expected.concat());
}

#[test]
fn records_of_a_topic_that_is_only_compacted_are_not_deleted() {
    let cluster = Cluster::get();
    let delete = |topic: &str| {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(topic, 0, rdkafka::Offset::Offset(1)).expect("a place");
        let deleted = wait(admin(&cluster).delete_records(&list, &options())).expect("an answer");
        let element = &deleted.elements()[0];
        element.error().map_err(|e| e.rdkafka_error_code())
    };
    for (policy, expected) in
        [("compact", Err(Some(RDKafkaErrorCode::PolicyViolation))), ("compact,delete", Ok(()))]
    {
        let name = topic(&cluster, policy);
        cluster.kq(["produce", &name, "-K", ":"]).stdin("a:1\nb:2\n").run().success();
        assert_eq!(delete(&name), expected, "{policy}");
    }
}

#[test]
fn kq_dev_says_once_that_it_does_not_compact() {
    let script = "kq topic create a --config cleanup.policy=compact && \
        kq topic create b --config cleanup.policy=compact,delete && kq topic create c";
    let output = Kq::new(["dev", "--", "sh", "-c", script]).run().success();
    let output = output
        .stderr_has("topic a: cleanup.policy=compact is accepted; kq dev keeps every record\n")
        .stderr_has("topic b: cleanup.policy=compact,delete is accepted; kq dev does not compact\n");
    output.demand("two notes", |output| output.stderr.matches("cleanup.policy=").count() == 2);
}

#[test]
fn kq_dev_keeps_the_policy_over_a_restart_and_retention_leaves_compacted_topics_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().to_str().expect("a name that is text");
    let mut cluster = Cluster::embedded_with(&["--data", data, "--retention-ms", "1"]);
    let (kept, deleted) = (topic(&cluster, "compact"), topic(&cluster, "delete,compact"));
    for name in [&kept, &deleted] {
        cluster.kq(["produce", name, "-K", ":"]).stdin("a:1\na:2\n").run().success();
    }
    cluster.kill();
    cluster.start();
    shows(&cluster, &kept, "compact");
    cluster.kq(["produce", &kept]).stdin("no key\n").run().status(1);
    wait_until("retention has deleted what it may", PATIENCE, || {
        cluster.kq(["consume", &deleted, "-e"]).run().success().text().is_empty()
    });
    cluster.kq(["consume", &kept, "-e"]).run().success().stdout("1\n2\n");
}
