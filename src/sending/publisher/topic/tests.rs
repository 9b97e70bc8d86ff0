//! What is known of a topic.

use super::*;
use crate::kafka::metadata::PartitionMetadata;

const SECOND: Duration = Duration::from_secs(1);

fn partition(id: i32, leader: i32) -> PartitionMetadata {
    PartitionMetadata { id, leader, replicas: vec![1], isr: vec![1], error: None }
}

fn there(partitions: Vec<PartitionMetadata>) -> [TopicMetadata; 1] {
    [TopicMetadata::new("orders".to_owned(), partitions, None)]
}

fn missing() -> [TopicMetadata; 1] {
    [TopicMetadata::new("orders".to_owned(), Vec::new(), Some(Code::UnknownTopicOrPartition))]
}

fn failure(code: Code, bytes: usize, persistence: Persistence) -> Delivery<'static> {
    Delivery {
        tag: 0,
        error: Some(code),
        persistence,
        topic: &"orders",
        partition: 0,
        offset: -1,
        has_key: false,
        bytes,
        header_bytes: 0,
    }
}

#[test]
fn a_topic_is_gone_when_it_is_unknown_for_three_seconds() {
    let (topic, began) = (Topic::new("orders".into()), Instant::now());
    let timed_out = failure(Code::MessageTimedOut, 1, Persistence::Not);
    topic.set_partitions(&[0, 1], &[0, 1]);
    assert!(topic.learn(&missing(), began));
    assert!(topic.learn(&missing(), began + 2 * SECOND));
    assert!(!topic.is_gone());
    assert_eq!(topic.partitions().with_leader.len(), 2);
    assert_eq!(topic.cause(Code::MessageTimedOut, &timed_out), Code::MessageTimedOut);
    assert!(topic.learn(&missing(), began + 3 * SECOND));
    assert!(topic.is_gone());
    let known = topic.partitions();
    assert_eq!((known.all.len(), known.with_leader.len()), (2, 0));
    assert_eq!(topic.cause(Code::MessageTimedOut, &timed_out), Code::UnknownTopicOrPartition);
    // It may have been written before the topic went.
    let unsure = failure(Code::MessageTimedOut, 1, Persistence::Possibly);
    assert_eq!(topic.cause(Code::MessageTimedOut, &unsure), Code::MessageTimedOut);
    assert!(!topic.learn(&there(vec![partition(0, 1)]), began + 4 * SECOND));
    assert!(!topic.is_gone());
    topic.learn(&missing(), began + 5 * SECOND);
    topic.learn(&missing(), began + 7 * SECOND);
    assert!(!topic.is_gone(), "the time begins anew");
}

#[test]
fn a_partition_without_a_leader_gets_no_turn() {
    let topic = Topic::new("orders".into());
    assert_eq!(topic.partition(0), None);
    assert!(topic.learn(&there(vec![partition(2, 1), partition(0, 1), partition(1, -1)]), Instant::now()));
    let known = topic.partitions();
    assert_eq!((&*known.all, &*known.with_leader), (&[0, 1, 2][..], &[0, 2][..]));
    assert_eq!([0, 1, 2, 3].map(|turn| topic.partition(turn)), [Some(0), Some(2), Some(0), Some(2)]);
}

#[test]
fn an_answer_without_partitions_does_not_make_those_forgotten_that_are_known() {
    let topic = Topic::new("orders".into());
    topic.set_partitions(&[0, 1], &[0]);
    let denied = TopicMetadata::new("orders".to_owned(), Vec::new(), Some(Code::TopicAuthorizationFailed));
    assert!(topic.learn(&[denied], Instant::now()));
    assert_eq!(&*topic.partitions().all, &[0, 1]);
}

#[test]
fn of_a_batch_that_is_too_large_only_a_record_that_is_too_large_itself_is_the_reason() {
    let topic = Topic::new("orders".into());
    assert_eq!(topic.too_large(10), Code::MessageSizeTooLarge, "the limit is not known");
    topic.set_limit(Some(1000));
    assert_eq!(topic.too_large(1000), Code::MessageSizeTooLarge);
    assert_eq!(topic.too_large(900), Code::MessageSizeTooLarge, "a batch has bytes of its own");
    assert_eq!(topic.too_large(10), Code::InvalidDifferentRecord);
}

#[test]
fn what_is_held_is_given_once() {
    let topic = Topic::new("orders".into());
    let held = Held { tag: Tag::new(1, 2), size: 3, persistence: Persistence::Not };
    topic.hold(held);
    assert_eq!((topic.take_held(), topic.take_held()), (vec![held], Vec::new()));
}

#[test]
fn a_partition_that_the_client_misses_is_a_reason_to_look() {
    let topic = Topic::new("orders".into());
    assert!(!topic.take_doubt());
    let unknown = failure(Code::UnknownPartition, 1, Persistence::Not);
    assert_eq!(topic.cause(Code::UnknownPartition, &unknown), Code::UnknownPartition);
    assert!(topic.take_doubt() && !topic.take_doubt());
}
