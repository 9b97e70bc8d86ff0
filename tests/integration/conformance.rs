//! What a Kafka broker must do, by our own client, against the embedded broker.
//!
//! With `KQ_TEST_BROKERS` set to a bootstrap list the same tests run against that
//! cluster: topics and groups have names of their own, so that it may be shared.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::support::wait_until;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The cluster, and the embedded broker that stands for it, if it does.
/// The broker lives for as long as the tests: its standard input is ours to close.
pub(crate) struct Cluster {
    pub(crate) brokers: String,
    _child: Option<Child>,
}

pub(crate) static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    if let Some(brokers) = std::env::var("KQ_TEST_BROKERS").ok().filter(|brokers| !brokers.is_empty()) {
        return Cluster { brokers, _child: None };
    }
    // `cat` ends when this process does and its pipe is closed, and the broker with it.
    let mut child = Command::new(env!("CARGO_BIN_EXE_kq"))
        .args(["dev", "--", "sh", "-c", "echo $KQ_BROKERS; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start kq dev");
    let mut brokers = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut brokers).expect("its address");
    Cluster { brokers: brokers.trim().to_owned(), _child: Some(child) }
});

pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::UNIX_EPOCH.elapsed().expect("a clock");
    format!("{what}-{:x}-{}", since.as_nanos(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &CLUSTER.brokers);
    config
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    config().create().expect("admin")
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(future)
}

pub(crate) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// A new topic of so many partitions that can be used.
pub(crate) fn topic(what: &str, partitions: i32) -> String {
    let name = unique(what);
    let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    let made = wait(admin().create_topics([&new], &options())).expect("create");
    assert_eq!(made, [Ok(name.clone())]);
    let consumer: BaseConsumer = config().create().expect("consumer");
    wait_until("the topic is known", PATIENCE, || {
        let metadata = consumer.fetch_metadata(Some(&name), PATIENCE).expect("metadata");
        let partitions_there = metadata.topics()[0].partitions();
        partitions_there.len() == partitions as usize && partitions_there.iter().all(|p| p.leader() >= 0)
    });
    name
}

fn producer(settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = config();
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().expect("producer")
}

pub(crate) fn produce(topic: &str, partition: i32, values: &[&str], settings: &[(&str, &str)]) {
    let producer = producer(settings);
    for value in values {
        let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(*value);
        producer.send(record).map_err(|(e, _)| e).expect("send");
    }
    producer.flush(PATIENCE).expect("acknowledged");
}

fn assigned(topic: &str, partition: i32, offset: Offset) -> BaseConsumer {
    let consumer: BaseConsumer = config().set("group.id", unique("none")).create().expect("consumer");
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, partition, offset).expect("place");
    consumer.assign(&places).expect("assign");
    consumer
}

/// Offset and value of the next so many records.
fn take(consumer: &BaseConsumer, count: usize) -> Vec<(i64, String)> {
    let deadline = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    while found.len() < count {
        assert!(Instant::now() < deadline, "only {} of {count}", found.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.expect("a record");
            let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
            found.push((message.offset(), value));
        }
    }
    found
}

fn member(group: &str, topic: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config();
    config.set("group.id", group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    config.set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "500");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    let consumer: BaseConsumer = config.create().expect("consumer");
    consumer.subscribe(&[topic]).expect("subscribe");
    consumer
}

fn assignment(consumer: &BaseConsumer) -> BTreeSet<i32> {
    consumer
        .assignment()
        .expect("assignment")
        .elements()
        .iter()
        .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
        .collect()
}

#[test]
fn a_topic_lives_from_creation_to_deletion() {
    let name = topic("life", 2);
    let twice =
        wait(admin().create_topics([&NewTopic::new(&name, 2, TopicReplication::Fixed(1))], &options()));
    assert_eq!(twice.expect("answer"), [Err((name.clone(), RDKafkaErrorCode::TopicAlreadyExists))]);
    let more = wait(admin().create_partitions([&NewPartitions::new(&name, 5)], &options()));
    assert_eq!(more.expect("answer"), [Ok(name.clone())]);
    let fewer = wait(admin().create_partitions([&NewPartitions::new(&name, 1)], &options()));
    assert_eq!(fewer.expect("answer"), [Err((name.clone(), RDKafkaErrorCode::InvalidPartitions))]);
    assert_eq!(wait(admin().delete_topics(&[&name], &options())).expect("answer"), [Ok(name.clone())]);
    let gone = wait(admin().delete_topics(&[&name], &options())).expect("answer");
    assert_eq!(gone, [Err((name, RDKafkaErrorCode::UnknownTopicOrPartition))]);
}

#[test]
fn wrong_topics_are_refused_by_their_own_codes() {
    let refused = |name: &str, partitions, configs: &[(&str, &str)]| {
        let mut new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in configs {
            new = new.set(key, value);
        }
        let answer = wait(admin().create_topics([&new], &options())).expect("answer");
        answer.into_iter().next().expect("one").map_err(|(_, code)| code)
    };
    assert_eq!(refused("no spaces", 1, &[]), Err(RDKafkaErrorCode::InvalidTopic));
    let dots = unique("with.dots");
    assert_eq!(refused(&dots, 1, &[]), Ok(dots.clone()));
    assert_eq!(refused(&dots.replace('.', "_"), 1, &[]), Err(RDKafkaErrorCode::InvalidTopic));
    assert_eq!(refused(&unique("t"), 1, &[("no.such", "1")]), Err(RDKafkaErrorCode::InvalidConfig));
    assert_eq!(refused(&unique("t"), 1, &[("retention.ms", "x")]), Err(RDKafkaErrorCode::InvalidConfig));
    assert_eq!(refused(&unique("t"), 1, &[("segment.bytes", "14")]), Err(RDKafkaErrorCode::InvalidConfig));
}

#[test]
fn every_codec_is_stored_and_read_back_with_watermarks_in_step() {
    let name = topic("codecs", 1);
    for (i, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        produce(&name, 0, &[codec; 50], &[("compression.type", codec), ("enable.idempotence", "true")]);
        let marks = assigned(&name, 0, Offset::Beginning).fetch_watermarks(&name, 0, PATIENCE);
        assert_eq!(marks.expect("watermarks"), (0, 50 * (i as i64 + 1)));
    }
    let found = take(&assigned(&name, 0, Offset::Beginning), 250);
    assert!(found.iter().enumerate().all(|(i, (offset, _))| *offset == i as i64));
    assert_eq!((found[0].1.as_str(), found[249].1.as_str()), ("none", "zstd"));
    assert_eq!(take(&assigned(&name, 0, Offset::Offset(77)), 1)[0], (77, "gzip".into()));
}

#[test]
fn keys_headers_nulls_and_times_come_back_as_they_were() {
    let name = topic("fields", 1);
    let producer = producer(&[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "h", value: Some(b"1".as_slice()) })
        .insert(Header { key: "h", value: None::<&[u8]> })
        .insert(Header { key: "", value: Some(b"".as_slice()) });
    let record = BaseRecord::<[u8], [u8]>::to(&name).key(b"\0\xff").timestamp(1234).headers(headers);
    producer.send(record).map_err(|(e, _)| e).expect("send");
    producer.flush(PATIENCE).expect("acknowledged");
    let consumer = assigned(&name, 0, Offset::Beginning);
    let message = consumer.poll(PATIENCE).expect("in time").expect("a record");
    assert_eq!((message.key(), message.payload()), (Some(&b"\0\xff"[..]), None));
    assert_eq!(message.timestamp().to_millis(), Some(1234));
    let headers = message.headers().expect("headers");
    let all: Vec<_> = headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
    assert_eq!(all, [("h".into(), Some(b"1".to_vec())), ("h".into(), None), (String::new(), Some(vec![]))]);
}

#[test]
fn offsets_by_time_are_exact_per_record() {
    let name = topic("times", 1);
    let producer = producer(&[("compression.type", "snappy"), ("linger.ms", "50")]);
    for time in [1000, 2000, 3000] {
        let record = BaseRecord::<(), _>::to(&name).payload("v").timestamp(time).partition(0);
        producer.send(record).map_err(|(e, _)| e).expect("send");
    }
    producer.flush(PATIENCE).expect("acknowledged");
    let consumer = assigned(&name, 0, Offset::Beginning);
    for (time, expected) in [
        (1, Offset::Offset(0)),
        (1000, Offset::Offset(0)),
        (1001, Offset::Offset(1)),
        (3000, Offset::Offset(2)),
        (3001, Offset::End),
    ] {
        let mut places = TopicPartitionList::new();
        places.add_partition_offset(&name, 0, Offset::Offset(time)).expect("place");
        let found = consumer.offsets_for_times(places, PATIENCE).expect("offsets");
        assert_eq!(found.elements()[0].offset(), expected, "time {time}");
    }
}

#[test]
fn deleted_records_are_out_of_range_and_the_rest_is_there() {
    let name = topic("delete", 1);
    produce(&name, 0, &["v"; 10], &[]);
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(&name, 0, Offset::Offset(4)).expect("place");
    wait(admin().delete_records(&places, &options())).expect("delete");
    let consumer = assigned(&name, 0, Offset::Beginning);
    assert_eq!(consumer.fetch_watermarks(&name, 0, PATIENCE).expect("watermarks"), (4, 10));
    assert_eq!(take(&consumer, 6)[0].0, 4);
}

#[test]
fn a_record_of_the_far_future_is_refused() {
    let name = topic("future", 1);
    let producer = producer(&[("message.timeout.ms", "20000")]);
    let record = BaseRecord::<(), _>::to(&name).payload("far").timestamp(253_402_300_799_999).partition(0);
    producer.send(record).map_err(|(e, _)| e).expect("queued");
    producer.flush(PATIENCE).expect("reported");
    produce(&name, 0, &["now"], &[]);
    assert_eq!(take(&assigned(&name, 0, Offset::Beginning), 1)[0], (0, "now".into()));
}

#[test]
fn a_record_above_the_topics_limit_is_refused_alone() {
    let name = unique("large");
    let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "2000");
    wait(admin().create_topics([&new], &options())).expect("answer")[0].as_ref().expect("made");
    let large = "x".repeat(5000);
    let producer = producer(&[("message.timeout.ms", "20000")]);
    let record = BaseRecord::<(), _>::to(&name).payload(&large).partition(0);
    producer.send(record).map_err(|(e, _)| e).expect("queued");
    producer.flush(PATIENCE).expect("reported");
    produce(&name, 0, &["small"], &[]);
    assert_eq!(take(&assigned(&name, 0, Offset::Beginning), 1)[0], (0, "small".into()));
}

#[test]
fn partitions_whose_batches_exceed_the_fetch_size_are_all_read() {
    // Each answer has one batch whole and of the other partition none: part of one would stop a reader.
    let name = topic("wide", 2);
    let value = "x".repeat(30_000);
    for partition in 0..2 {
        for _ in 0..5 {
            produce(&name, partition, &[&value], &[]);
        }
    }
    let consumer: BaseConsumer = config()
        .set("group.id", unique("none"))
        .set("max.partition.fetch.bytes", "1000")
        .set("fetch.max.bytes", "40000")
        .set("message.max.bytes", "40000")
        .create()
        .expect("consumer");
    let mut places = TopicPartitionList::new();
    for partition in 0..2 {
        places.add_partition_offset(&name, partition, Offset::Beginning).expect("place");
    }
    consumer.assign(&places).expect("assign");
    assert!(take(&consumer, 10).iter().all(|(_, found)| *found == value));
}

#[test]
fn a_fetch_wakes_up_when_a_record_comes() {
    let name = topic("wake", 1);
    let consumer: BaseConsumer = config()
        .set("group.id", unique("none"))
        // Longer than it is waited for: an answer at the end of this time would come too late.
        .set("fetch.wait.max.ms", "50000")
        .create()
        .expect("consumer");
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(&name, 0, Offset::Beginning).expect("place");
    consumer.assign(&places).expect("assign");
    assert!(consumer.poll(Duration::from_millis(500)).is_none());
    produce(&name, 0, &["now"], &[]);
    assert_eq!(take(&consumer, 1)[0].1, "now");
}

#[test]
fn a_group_resumes_where_it_committed_without_duplicates() {
    let (name, group) = (topic("resume", 1), unique("g"));
    let values: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    produce(&name, 0, &values.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    let first = member(&group, &name, &[]);
    assert_eq!(take(&first, 60).last().expect("records").0, 59);
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(&name, 0, Offset::Offset(60)).expect("place");
    first.commit(&places, CommitMode::Sync).expect("commit");
    drop(first);
    let found = take(&member(&group, &name, &[]), 40);
    assert_eq!((found[0].0, found[39].0), (60, 99));
}

fn two_members_share(assignor: &str) {
    let (name, group) = (topic("share", 4), unique("g"));
    let settings = [("partition.assignment.strategy", assignor)];
    let first = member(&group, &name, &settings);
    wait_until("the first has all", PATIENCE, || {
        let _ = first.poll(Duration::from_millis(50));
        assignment(&first).len() == 4
    });
    let second = member(&group, &name, &settings);
    wait_until("they share", PATIENCE, || {
        let _ = first.poll(Duration::from_millis(20));
        let _ = second.poll(Duration::from_millis(20));
        let (a, b) = (assignment(&first), assignment(&second));
        a.len() == 2 && b.len() == 2 && a.is_disjoint(&b)
    });
    wait_until("it is described", PATIENCE, || {
        let _ = first.poll(Duration::from_millis(20));
        let _ = second.poll(Duration::from_millis(20));
        let list = first.fetch_group_list(Some(&group), PATIENCE).expect("describe");
        let described = &list.groups()[0];
        described.state() == "Stable"
            && described.members().len() == 2
            && described.members().iter().all(|m| m.assignment().is_some_and(|a| !a.is_empty()))
    });
    drop(second);
    wait_until("the first has all again", PATIENCE, || {
        let _ = first.poll(Duration::from_millis(50));
        assignment(&first).len() == 4
    });
}

#[test]
fn two_members_share_by_range_and_one_takes_over_when_the_other_leaves() {
    two_members_share("range");
}

#[test]
fn two_members_share_by_cooperative_sticky_and_one_takes_over_when_the_other_leaves() {
    two_members_share("cooperative-sticky");
}

#[test]
fn a_static_member_keeps_its_partitions_over_a_restart() {
    let (name, group) = (topic("static", 2), unique("g"));
    let a = member(&group, &name, &[("group.instance.id", "a")]);
    let b = member(&group, &name, &[("group.instance.id", "b")]);
    wait_until("they share", PATIENCE, || {
        let _ = a.poll(Duration::from_millis(20));
        let _ = b.poll(Duration::from_millis(20));
        assignment(&a).len() == 1 && assignment(&b).len() == 1
    });
    let (of_a, of_b) = (assignment(&a), assignment(&b));
    drop(b);
    let b = member(&group, &name, &[("group.instance.id", "b")]);
    wait_until("the second is back", PATIENCE, || {
        let _ = a.poll(Duration::from_millis(20));
        let _ = b.poll(Duration::from_millis(20));
        assert_eq!(assignment(&a), of_a, "the other member did not notice");
        assignment(&b) == of_b
    });
}

#[test]
fn a_member_that_dies_without_leaving_is_replaced_when_its_session_ends() {
    let (name, group) = (topic("dies", 4), unique("g"));
    let survivor = member(&group, &name, &[]);
    // A static member says nothing when it goes: to the broker it is as one that was killed.
    let victim = member(&group, &name, &[("group.instance.id", "victim")]);
    wait_until("they share", PATIENCE, || {
        let _ = survivor.poll(Duration::from_millis(20));
        let _ = victim.poll(Duration::from_millis(20));
        assignment(&survivor).len() == 2 && assignment(&victim).len() == 2
    });
    drop(victim);
    wait_until("the survivor has all", PATIENCE, || {
        let _ = survivor.poll(Duration::from_millis(50));
        assignment(&survivor).len() == 4
    });
}

#[test]
fn a_commit_for_a_group_with_members_is_refused_to_strangers() {
    let (name, group) = (topic("stranger", 1), unique("g"));
    let first = member(&group, &name, &[]);
    wait_until("the first has it", PATIENCE, || {
        let _ = first.poll(Duration::from_millis(50));
        assignment(&first).len() == 1
    });
    let stranger: BaseConsumer = config().set("group.id", &group).create().expect("consumer");
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(&name, 0, Offset::Offset(0)).expect("place");
    let refused = stranger.commit(&places, CommitMode::Sync);
    assert!(
        matches!(refused, Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownMemberId))),
        "{refused:?}"
    );
}

#[test]
fn the_metadata_of_a_commit_comes_back_and_too_much_of_it_is_refused() {
    let (name, group) = (topic("metadata", 2), unique("g"));
    let client = || config().set("group.id", &group).create::<BaseConsumer>().expect("consumer");
    let commit = |metadata: [&str; 2]| {
        let mut places = TopicPartitionList::new();
        for partition in [0, 1] {
            places.add_partition_offset(&name, partition, Offset::Offset(7)).expect("place");
        }
        places.elements().iter_mut().zip(metadata).for_each(|(place, text)| place.set_metadata(text));
        client().commit(&places, CommitMode::Sync)
    };
    let committed = || {
        let mut places = TopicPartitionList::new();
        places.add_partition_range(&name, 0, 1);
        let places = client().committed_offsets(places, PATIENCE).expect("committed offsets");
        let places = places.elements();
        let shown = places.iter().map(|place| (place.offset().to_raw(), place.metadata().to_owned()));
        shown.collect::<Vec<_>>()
    };
    let most = "m".repeat(4096);
    wait_until("the group takes commits", PATIENCE, || commit(["über", &most]).is_ok());
    assert_eq!(committed(), [(Some(7), "über".to_owned()), (Some(7), most.clone())]);
    // Of a request, the partitions that fit are committed.
    let _ = commit(["", &format!("{most}m")]);
    assert_eq!(committed(), [(Some(7), String::new()), (Some(7), most)]);
}
