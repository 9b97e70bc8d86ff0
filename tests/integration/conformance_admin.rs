//! What a Kafka broker answers to administrators' tools: where partitions are, security, producers, ids.
//!
//! With `KQ_TEST_BROKERS` set the same tests run against that cluster, as those of `conformance`.

use std::collections::BTreeMap;

use rdkafka::admin::{NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;

use crate::conformance::{CLUSTER, PATIENCE, admin, config, options, produce, topic, unique, wait};
use crate::support::wait_until;
use crate::wire::{Answer, Request};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_REQUEST: i16 = 42;
const SECURITY_DISABLED: i16 = 54;
const GROUP_ID_NOT_FOUND: i16 = 69;
const ELECTION_NOT_NEEDED: i16 = 84;
const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;
const RESOURCE_NOT_FOUND: i16 = 91;
const UNKNOWN_TOPIC_ID: i16 = 100;

fn brokers() -> impl Iterator<Item = &'static str> {
    CLUSTER.brokers.split(',')
}

fn first_broker() -> &'static str {
    brokers().next().expect("one")
}

/// The broker that leads the first partition.
fn leader(topic: &str) -> i32 {
    let consumer: BaseConsumer = config().create().expect("consumer");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    metadata.topics()[0].partitions()[0].leader()
}

#[test]
fn acls_are_refused_where_there_is_no_authorizer() {
    let any = |request: Request| request.i8(1).null().i8(1).null().null().i8(1).i8(1).end();
    let mut described = any(Request::new(29, 3)).ask(first_broker());
    assert_eq!((described.i32(), described.i16()), (0, SECURITY_DISABLED));
    let mut created = Request::new(30, 3)
        .count(1)
        .i8(2)
        .text("t")
        .i8(3)
        .text("User:u")
        .text("*")
        .i8(3)
        .i8(3)
        .end()
        .end()
        .ask(first_broker());
    assert_eq!((created.i32(), created.count(), created.i16()), (0, 1, SECURITY_DISABLED));
    let mut deleted = any(Request::new(31, 3).count(1)).end().ask(first_broker());
    assert_eq!((deleted.i32(), deleted.count(), deleted.i16()), (0, 1, SECURITY_DISABLED));
}

/// Partitions of a topic, and their sizes together, in the folders of all brokers.
fn sizes(topic: &str) -> (usize, i64) {
    let (mut partitions, mut bytes) = (0, 0);
    for broker in brokers() {
        let mut answer =
            Request::new(35, 4).count(1).text(topic).count(2).i32(0).i32(1).end().end().ask(broker);
        assert_eq!((answer.i32(), answer.i16()), (0, 0), "throttle time and error");
        for _ in 0..answer.count() {
            assert_eq!(answer.i16(), 0, "error of a folder");
            assert!(answer.text().expect("a folder").starts_with('/'));
            for _ in 0..answer.count() {
                assert_eq!(answer.text().as_deref(), Some(topic));
                for _ in 0..answer.count() {
                    let (_index, size, lag) = (answer.i32(), answer.i64(), answer.i64());
                    assert_eq!((lag, answer.bool()), (0, false));
                    (partitions, bytes) = (partitions + 1, bytes + size);
                    answer.end();
                }
                answer.end();
            }
            let (total, usable) = (answer.i64(), answer.i64());
            assert!(total > 0 && (0..=total).contains(&usable));
            answer.end();
        }
    }
    (partitions, bytes)
}

#[test]
fn the_folders_of_the_brokers_have_the_sizes_of_partitions() {
    let name = topic("sizes", 2);
    wait_until("the folders are made", PATIENCE, || sizes(&name) == (2, 0));
    produce(&name, 1, &["x".repeat(10_000).as_str()], &[("compression.type", "none")]);
    let (partitions, bytes) = sizes(&name);
    assert_eq!(partitions, 2);
    assert!((10_000..11_000).contains(&bytes), "{bytes}");
    assert_eq!(sizes(&unique("none")), (0, 0));
}

fn reassign(topic: &str, partition: i32, replicas: Option<&[i32]>) -> i16 {
    let request = Request::new(45, 0).i32(30_000).count(1).text(topic).count(1).i32(partition);
    let request = match replicas {
        None => request.null(),
        Some(replicas) => replicas.iter().fold(request.count(replicas.len()), |request, id| request.i32(*id)),
    };
    let mut answer = request.end().end().end().ask(first_broker());
    assert_eq!((answer.i32(), answer.i16(), answer.text()), (0, 0, None));
    assert_eq!((answer.count(), answer.text().as_deref()), (1, Some(topic)));
    assert_eq!((answer.count(), answer.i32()), (1, partition));
    let (error, why) = (answer.i16(), answer.text());
    assert!(error != 0 || why.is_none(), "a success has no error message: {why:?}");
    error
}

#[test]
fn a_partition_moves_to_where_it_is_and_to_no_unknown_broker() {
    let name = topic("moves", 1);
    let here = leader(&name);
    assert_eq!(reassign(&name, 0, Some(&[here])), 0);
    for elsewhere in [&[][..], &[99], &[here, 99], &[here, here]] {
        assert_eq!(reassign(&name, 0, Some(elsewhere)), INVALID_REPLICA_ASSIGNMENT, "{elsewhere:?}");
    }
    assert_eq!(reassign(&name, 0, None), NO_REASSIGNMENT_IN_PROGRESS);
    assert_eq!(reassign(&name, 9, Some(&[here])), UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(reassign(&unique("none"), 0, Some(&[here])), UNKNOWN_TOPIC_OR_PARTITION);
    let mut listed =
        Request::new(46, 0).i32(30_000).count(1).text(&name).count(1).i32(0).end().end().ask(first_broker());
    assert_eq!((listed.i32(), listed.i16(), listed.text(), listed.count()), (0, 0, None, 0));
}

#[test]
fn an_election_is_not_needed_where_a_leader_is_there() {
    let name = topic("elects", 1);
    let elect = |kind, topic: &str, partition| {
        let request = Request::new(43, 2).i8(kind).count(1).text(topic).count(1).i32(partition).end();
        let mut answer = request.i32(30_000).end().ask(first_broker());
        let (_throttle, error) = (answer.i32(), answer.i16());
        assert_eq!((answer.count(), answer.text().as_deref()), (1, Some(topic)));
        assert_eq!((answer.count(), answer.i32()), (1, partition));
        (error, answer.i16())
    };
    assert_eq!(elect(0, &name, 0), (0, ELECTION_NOT_NEEDED));
    assert_eq!(elect(1, &name, 0), (0, ELECTION_NOT_NEEDED));
    assert_eq!(elect(0, &name, 9), (0, UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(elect(0, &unique("none"), 0), (0, UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(elect(5, &name, 0), (INVALID_REQUEST, INVALID_REQUEST));
}

#[test]
fn quotas_and_scram_users_that_are_not_there_are_answered() {
    let user = unique("user");
    let quotas = |kind: &str| {
        let request = Request::new(48, 1).count(1).text(kind).i8(0).text(&user).end().i8(1).end();
        let mut answer = request.ask(first_broker());
        let (_throttle, error, _why) = (answer.i32(), answer.i16(), answer.text());
        (error, answer.count())
    };
    assert_eq!(quotas("user"), (0, 0));
    assert_eq!(quotas("no-such-kind"), (UNSUPPORTED_VERSION, 0));
    let removed = Request::new(49, 1).count(1).count(1).text("user").text(&user).end();
    let removed = removed.count(1).text("producer_byte_rate").raw(&0_f64.to_be_bytes()).i8(1).end().end();
    let mut removed = removed.i8(0).end().ask(first_broker());
    assert_eq!((removed.i32(), removed.count(), removed.i16(), removed.text()), (0, 1, 0, None));
    let mut described = Request::new(50, 0).count(1).text(&user).end().end().ask(first_broker());
    let (_throttle, error, _why) = (described.i32(), described.i16(), described.text());
    assert_eq!((error, described.count(), described.text()), (0, 1, Some(user.clone())));
    assert_eq!(described.i16(), RESOURCE_NOT_FOUND);
    let mut deleted = Request::new(51, 0).count(1).text(&user).i8(1).end().count(0).end().ask(first_broker());
    assert_eq!((deleted.i32(), deleted.count(), deleted.text()), (0, 1, Some(user)));
    assert_eq!(deleted.i16(), RESOURCE_NOT_FOUND);
}

/// Sequence number and time of each producer of a partition, or the error of the partition.
fn producers(broker: &str, topic: &str, partition: i32) -> Result<Vec<(i32, i64)>, i16> {
    let request = Request::new(61, 0).count(1).text(topic).count(1).i32(partition).end().end();
    let mut answer = request.ask(broker);
    assert_eq!((answer.i32(), answer.count(), answer.text().as_deref()), (0, 1, Some(topic)));
    assert_eq!((answer.count(), answer.i32()), (1, partition));
    let (error, _why) = (answer.i16(), answer.text());
    if error != 0 {
        return Err(error);
    }
    let producer = |answer: &mut Answer| {
        let (_id, epoch, sequence, time) = (answer.i64(), answer.i32(), answer.i32(), answer.i64());
        assert_eq!((epoch, answer.i32(), answer.i64()), (0, -1, -1), "no transaction");
        answer.end();
        (sequence, time)
    };
    Ok((0..answer.count()).map(|_| producer(&mut answer)).collect())
}

#[test]
fn the_idempotent_producers_of_a_partition_are_described() {
    let name = topic("producers", 1);
    produce(&name, 0, &["a", "b", "c"], &[("enable.idempotence", "true")]);
    produce(&name, 0, &["d"], &[("enable.idempotence", "false")]);
    let found: Vec<_> = brokers().filter_map(|broker| producers(broker, &name, 0).ok()).collect();
    let [found] = &found[..] else { panic!("one broker leads the partition: {found:?}") };
    assert!(matches!(found[..], [(2, time)] if time > 1_500_000_000_000), "{found:?}");
    assert_eq!(producers(first_broker(), &name, 9), Err(UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(producers(first_broker(), &unique("none"), 0), Err(UNKNOWN_TOPIC_OR_PARTITION));
}

#[test]
fn transactions_are_listed_by_states_that_there_are() {
    let request = Request::new(66, 0).count(2).text("Ongoing").text("Bogus").count(0).end();
    let mut listed = request.ask(first_broker());
    assert_eq!((listed.i32(), listed.i16()), (0, 0));
    assert_eq!((listed.count(), listed.text().as_deref()), (1, Some("Bogus")));
    let mut described = Request::new(65, 0).count(1).text("").end().ask(first_broker());
    assert_eq!((described.i32(), described.count(), described.i16()), (0, 1, INVALID_REQUEST));
}

/// Error, name and id of one topic, by its id.
fn by_id(id: [u8; 16]) -> (i16, Option<String>, [u8; 16]) {
    let request = Request::new(3, 12).count(1).raw(&id).null().end().i8(0).i8(0).end();
    let mut answer = request.ask(first_broker());
    let _throttle = answer.i32();
    for _ in 0..answer.count() {
        let (_id, _host, _port, _rack) = (answer.i32(), answer.text(), answer.i32(), answer.text());
        answer.end();
    }
    let (_cluster, _controller) = (answer.text(), answer.i32());
    assert_eq!(answer.count(), 1);
    (answer.i16(), answer.text(), answer.raw())
}

/// Creates a topic, and gives its id.
fn create(name: &str) -> [u8; 16] {
    let request = Request::new(19, 7).count(1).text(name).i32(1).i16(1).count(0).count(0).end();
    let mut answer = request.i32(30_000).i8(0).end().ask(first_broker());
    assert_eq!((answer.i32(), answer.count(), answer.text().as_deref()), (0, 1, Some(name)));
    let id = answer.raw();
    assert_eq!((answer.i16(), answer.text()), (0, None), "no error, and no message");
    id
}

fn delete(id: [u8; 16]) -> (Option<String>, [u8; 16], i16) {
    let request = Request::new(20, 6).count(1).null().raw(&id).end().i32(30_000).end();
    let mut answer = request.ask(first_broker());
    assert_eq!((answer.i32(), answer.count()), (0, 1));
    (answer.text(), answer.raw(), answer.i16())
}

#[test]
fn a_topic_is_found_and_deleted_by_its_id_and_the_next_of_its_name_has_another() {
    let name = unique("ids");
    let id = create(&name);
    assert_ne!(id, [0; 16]);
    wait_until("the id is known", PATIENCE, || by_id(id) == (0, Some(name.clone()), id));
    assert_eq!(delete(id), (Some(name.clone()), id, 0));
    wait_until("the id is gone", PATIENCE, || by_id(id) == (UNKNOWN_TOPIC_ID, None, id));
    assert_eq!(delete(id), (None, id, UNKNOWN_TOPIC_ID));
    let next = create(&name);
    assert!(next != id && next != [0; 16]);
}

#[test]
fn a_group_that_does_not_exist_is_described_as_not_found() {
    let group = unique("none");
    // A cluster makes its coordinator with the first group that is looked for.
    let consumer: BaseConsumer = config().set("group.id", &group).create().expect("consumer");
    wait_until("its coordinator says so", PATIENCE, || {
        let mut places = rdkafka::TopicPartitionList::new();
        places.add_partition("none", 0);
        let _ = consumer.committed_offsets(places, PATIENCE);
        brokers().any(|broker| {
            let mut answer = Request::new(15, 6).count(1).text(&group).i8(0).end().ask(broker);
            assert_eq!((answer.i32(), answer.count()), (0, 1));
            let (error, why, name, state) = (answer.i16(), answer.text(), answer.text(), answer.text());
            assert_eq!(name.as_ref(), Some(&group));
            error == GROUP_ID_NOT_FOUND && why.is_some() && state.as_deref() == Some("Dead")
        })
    });
}

#[test]
fn the_metadata_version_is_a_feature_of_the_cluster() {
    let mut answer = Request::new(18, 4).text("tests").text("1").end().ask(first_broker());
    assert_eq!(answer.i16(), 0);
    for _ in 0..answer.count() {
        let (_key, _least, _most) = (answer.i16(), answer.i16(), answer.i16());
        answer.end();
    }
    let _throttle = answer.i32();
    let mut levels = BTreeMap::new();
    for _ in 0..answer.varint() {
        let (tag, size) = (answer.varint(), answer.varint());
        match tag {
            // Features that are supported (0), and that are in effect (2).
            0 | 2 => {
                for _ in 0..answer.count() {
                    let name = answer.text().expect("a name");
                    levels.insert((tag, name), (answer.i16(), answer.i16()));
                    answer.end();
                }
            }
            _ => (0..size).for_each(|_| _ = answer.raw::<1>()),
        }
    }
    let of = |tag| levels[&(tag, "metadata.version".to_owned())];
    let ((least, most), (level, same)) = (of(0), of(2));
    assert!(level == same && (least..=most).contains(&level), "{levels:?}");
}

#[test]
fn the_topic_configurations_of_kafka_4_1_are_kept_and_shown() {
    let name = unique("configs");
    let given = [
        ("compression.gzip.level", "9"),
        ("compression.lz4.level", "17"),
        ("compression.zstd.level", "-5"),
        ("leader.replication.throttled.replicas", "0:1"),
        ("follower.replication.throttled.replicas", "*"),
        ("local.retention.ms", "1000"),
        ("local.retention.bytes", "-2"),
        ("remote.storage.enable", "false"),
    ];
    let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    let new = given.iter().fold(new, |new, (key, value)| new.set(key, value));
    assert_eq!(wait(admin().create_topics([&new], &options())).expect("answer"), [Ok(name.clone())]);
    wait_until("they are shown", PATIENCE, || {
        let described = wait(admin().describe_configs([&ResourceSpecifier::Topic(&name)], &options()));
        let Ok(described) = &described.expect("answer")[0] else { return false };
        let shown = described.entry_map();
        given.iter().all(|(key, value)| shown.get(key).is_some_and(|e| e.value.as_deref() == Some(*value)))
            && ["remote.log.copy.disable", "remote.log.delete.on.disable"]
                .iter()
                .all(|key| shown.contains_key(key))
    });
    for (key, value) in [
        ("compression.gzip.level", "0"),
        ("compression.gzip.level", "10"),
        ("compression.lz4.level", "0"),
        ("compression.zstd.level", "23"),
        ("leader.replication.throttled.replicas", "x"),
        ("local.retention.ms", "-3"),
        ("remote.storage.enable", "true"),
    ] {
        let name = unique("refused");
        let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set(key, value);
        let refused = [Err((name.clone(), RDKafkaErrorCode::InvalidConfig))];
        assert_eq!(
            wait(admin().create_topics([&new], &options())).expect("answer"),
            refused,
            "{key}={value}"
        );
    }
}
