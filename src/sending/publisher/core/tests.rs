//! A publisher to a cluster in memory.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use anyhow::bail;
use bytes::Bytes;

use super::super::watch::Watch;
use super::*;
use crate::kafka::client::{Observer as _, Persistence};
use crate::kafka::errors::Causes;
use crate::kafka::fake::{Cluster, FakeProducer, Question, Serving};

const SECOND: Duration = Duration::from_secs(1);

/// Makes producers to a cluster, and keeps what each was made with.
struct Fakes {
    cluster: Cluster,
    made: RefCell<Vec<(Option<usize>, Arc<Signals>)>>,
    refuses: Cell<bool>,
}

impl Factory for Fakes {
    type Client = FakeProducer;

    fn make(&self, batch_size: Option<usize>) -> anyhow::Result<(FakeProducer, Arc<Signals>)> {
        if self.refuses.get() {
            bail!("no more threads");
        }
        let signals = Arc::new(Signals::new(Arc::new(Causes::default()), false, true));
        self.made.borrow_mut().push((batch_size, Arc::clone(&signals)));
        Ok((self.cluster.producer(), signals))
    }
}

/// A publisher to the topics `orders`, of two partitions, and `hooks`, of one.
fn core(cluster: &Cluster) -> Core<Fakes> {
    let cluster = cluster.clone().with_topic("orders", 2).with_topic("hooks", 1);
    let factory = Fakes { cluster, made: RefCell::default(), refuses: Cell::new(false) };
    let topics = vec![Topic::new("orders".into()), Topic::new("hooks".into())];
    topics[0].set_partitions(&[0, 1], &[0, 1]);
    topics[1].set_partitions(&[0], &[0]);
    let (producer, signals) = factory.make(None).unwrap();
    let client = Client::new(producer, signals, &topics, 0).unwrap();
    Core::new(factory, topics, client, 1_000_000, true, 0)
}

fn draft(value: &str) -> Draft {
    Draft { value: Some(Bytes::copy_from_slice(value.as_bytes())), ..Draft::default() }
}

fn drafts<const N: usize>(values: [&str; N]) -> [Draft; N] {
    values.map(draft)
}

fn results(published: &mut Published) -> Option<Vec<Outcome>> {
    match Pin::new(published).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcomes) => Some(outcomes),
        Poll::Pending => None,
    }
}

fn at(partition: i32, offset: i64) -> Outcome {
    Outcome::Acknowledged { partition, offset }
}

/// The client that takes records now says that it is unusable.
fn break_client(core: &Core<Fakes>) {
    core.with_client(|client| client.signals.error(Code::Fatal, "fenced"));
}

#[test]
fn each_request_has_the_results_of_its_own_records_in_their_order() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    let keyed = |value| Draft { key: Some(Bytes::from_static(b"k")), ..draft(value) };
    let mut first = core.publish(1, &[keyed("a"), keyed("b"), keyed("c")]);
    let mut second = core.publish(1, &[keyed("d")]);
    assert_eq!((results(&mut first), core.open()), (None, 4));
    cluster.serve([Serving::Backwards]);
    core.turn(Duration::ZERO);
    assert_eq!(results(&mut second), Some(vec![at(0, 0)]));
    assert_eq!(results(&mut first), Some(vec![at(0, 3), at(0, 2), at(0, 1)]));
    assert_eq!(core.open(), 0);
}

#[test]
fn records_of_a_request_without_a_key_go_to_one_partition_and_keep_their_order() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    let headed = Draft { headers: vec![(b"h".to_vec(), None)], ..draft("c") };
    let [a, b] = drafts(["a", "b"]);
    let mut first = core.publish(0, &[a, b, headed, draft("d")]);
    let mut second = core.publish(0, &drafts(["e", "f"]));
    core.turn(Duration::ZERO);
    assert_eq!(results(&mut first), Some(vec![at(0, 0), at(0, 1), at(0, 2), at(0, 3)]));
    assert_eq!(results(&mut second), Some(vec![at(1, 0), at(1, 1)]));
    assert_eq!(cluster.values("orders", 0), ["a", "b", "c", "d"]);
}

#[test]
fn a_partition_that_a_request_names_is_kept() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    let named = |partition, value| Draft { partition: Some(partition), ..draft(value) };
    let mut published = core.publish(0, &[named(1, "a"), draft("b"), named(1, "c"), named(9, "d")]);
    core.turn(Duration::ZERO);
    let missing = Outcome::not_sent(Code::UnknownPartition);
    assert_eq!(results(&mut published), Some(vec![at(1, 0), at(0, 0), at(1, 1), missing]));
}

#[test]
fn a_failure_says_whether_the_record_may_be_there() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    for persistence in [Persistence::Not, Persistence::Possibly] {
        cluster.fail_with(persistence);
        cluster.deliver([Ok(()), Err(Code::MessageTimedOut)]);
        let mut published = core.publish(1, &drafts(["a", "b"]));
        core.turn(Duration::ZERO);
        let failed = Outcome::Failed { code: Code::MessageTimedOut, persistence };
        assert_eq!(results(&mut published).unwrap()[1], failed);
    }
}

#[test]
fn a_request_that_does_not_fit_into_the_queue_is_not_sent_at_all() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    cluster.set_room(2);
    let full = Outcome::not_sent(Code::QueueFull);
    assert_eq!(results(&mut core.publish(1, &drafts(["a", "b", "c"]))), Some(vec![full; 3]));
    let mut fits = core.publish(1, &drafts(["d", "e"]));
    assert_eq!(results(&mut core.publish(1, &drafts(["f"]))), Some(vec![full]));
    core.turn(Duration::ZERO);
    assert_eq!(results(&mut fits), Some(vec![at(0, 0), at(0, 1)]));
    assert_eq!((cluster.values("hooks", 0), core.open()), (vec!["d".to_owned(), "e".to_owned()], 0));
}

#[test]
fn a_request_without_records_or_to_no_topic_is_answered_at_once() {
    let core = core(&Cluster::new());
    assert_eq!(results(&mut core.publish(0, &[])), Some(Vec::new()));
    let unknown = Outcome::not_sent(Code::UnknownTopic);
    assert_eq!(results(&mut core.publish(7, &drafts(["a"]))), Some(vec![unknown]));
}

#[test]
fn a_request_that_nobody_waits_for_leaves_nothing_behind() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    drop(core.publish(1, &drafts(["a", "b"])));
    assert_eq!(core.open(), 2);
    core.turn(Duration::ZERO);
    assert_eq!(core.open(), 0);
    let mut next = core.publish(1, &drafts(["c"]));
    core.turn(Duration::ZERO);
    assert_eq!(results(&mut next), Some(vec![at(0, 2)]));
}

#[test]
fn an_unusable_client_is_replaced_and_what_it_had_is_failed() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    cluster.fail_with(Persistence::Possibly);
    let mut open = core.publish(1, &drafts(["a", "b"]));
    cluster.serve([Serving::Nothing]);
    break_client(&core);
    core.turn(Duration::ZERO);
    assert_eq!(results(&mut open), None);
    let mut next = core.publish(1, &drafts(["c"]));
    core.turn(Duration::ZERO);
    let failed = Outcome::Failed { code: Code::Fatal, persistence: Persistence::Possibly };
    assert_eq!(results(&mut open), Some(vec![failed; 2]));
    assert_eq!(results(&mut next), Some(vec![at(0, 0)]));
    assert_eq!(core.reach(Instant::now()), Reach::Connected);
    assert_eq!(core.factory.made.borrow().len(), 2);
}

#[test]
fn what_an_unusable_client_never_reports_may_be_there() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    let mut open = core.publish(1, &drafts(["a"]));
    break_client(&core);
    let now = Instant::now();
    core.after(false, now);
    cluster.serve([Serving::Nothing, Serving::Nothing]);
    core.after(false, now + SECOND / 2);
    assert_eq!(results(&mut open), None);
    core.after(false, now + SECOND);
    let failed = Outcome::Failed { code: Code::Fatal, persistence: Persistence::Possibly };
    assert_eq!((results(&mut open), core.open()), (Some(vec![failed]), 0));
}

#[test]
fn the_fourth_unusable_client_in_a_minute_is_the_last() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    for _ in 0..3 {
        break_client(&core);
        core.turn(Duration::ZERO);
        assert_eq!(core.reach(Instant::now()), Reach::Connected);
    }
    let mut open = core.publish(1, &drafts(["a"]));
    cluster.serve([Serving::Nothing]);
    break_client(&core);
    core.turn(Duration::ZERO);
    assert_eq!(core.reach(Instant::now()), Reach::Fatal("fenced".to_owned()));
    let failed = Outcome::not_sent(Code::Fatal);
    assert_eq!(results(&mut open), Some(vec![failed]));
    assert_eq!(results(&mut core.publish(1, &drafts(["b"]))), Some(vec![failed]));
    assert_eq!(core.factory.made.borrow().len(), 4);
}

#[test]
fn where_no_new_client_can_be_had_the_first_unusable_one_is_the_last() {
    let core = core(&Cluster::new());
    core.factory.refuses.set(true);
    break_client(&core);
    core.turn(Duration::ZERO);
    assert_eq!(core.reach(Instant::now()), Reach::Fatal("fenced".to_owned()));
}

#[test]
fn a_record_that_is_too_large_makes_a_client_whose_batches_fit() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    core.topics[1].set_limit(Some(1_048_588));
    cluster.configure("hooks", "max.message.bytes", "2000");
    cluster.deliver([Err(Code::MessageSizeTooLarge); 2]);
    let mut published =
        core.publish(1, &[Draft { value: Some(vec![b'x'; 3000].into()), ..Draft::default() }]);
    let mut innocent = core.publish(1, &drafts(["a"]));
    core.turn(Duration::ZERO);
    // The limit is asked for first: the answer names it.
    assert_eq!((results(&mut published), results(&mut innocent)), (None, None));
    let mut open = core.publish(1, &drafts(["b"]));
    core.watch(&mut Watch::new(Instant::now()));
    assert_eq!(core.topics[1].limit(), Some(2000));
    assert_eq!(results(&mut published), Some(vec![Outcome::not_sent(Code::MessageSizeTooLarge)]));
    assert_eq!(results(&mut innocent), Some(vec![Outcome::not_sent(Code::InvalidDifferentRecord)]));
    let sizes: Vec<_> = core.factory.made.borrow().iter().map(|(size, _)| *size).collect();
    assert_eq!(sizes, [None, Some(2000)]);
    // The one before works, and reports what it has.
    core.turn(Duration::ZERO);
    assert_eq!(results(&mut open), Some(vec![at(0, 0)]));
}

#[test]
fn a_cluster_that_does_not_answer_is_away_until_it_does() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    core.with_client(|client| client.signals.error(Code::AllBrokersDown, "1/1 brokers are down"));
    let before = Instant::now();
    core.turn(Duration::ZERO);
    assert_eq!(core.reach(before), Reach::Connected, "a second must pass");
    assert!(matches!(core.reach(Instant::now() + SECOND), Reach::Away(_)));
    let mut published = core.publish(1, &drafts(["a"]));
    core.turn(Duration::ZERO);
    assert!(results(&mut published).is_some());
    assert_eq!(core.reach(Instant::now() + SECOND), Reach::Connected, "an acknowledgement is an answer");
}

#[test]
fn a_question_without_an_answer_is_asked_again_and_two_of_them_mean_away() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    cluster.refuse(Question::Metadata, [Code::BrokerTransportFailure, Code::OperationTimedOut]);
    let asked = Instant::now();
    assert!(!core.look());
    assert_eq!(core.reach(asked + 2 * SECOND), Reach::Connected);
    assert!(!core.look());
    assert!(matches!(core.reach(asked + 2 * SECOND), Reach::Away(since) if since >= asked));
    assert!(core.look());
    assert_eq!(core.reach(asked + 2 * SECOND), Reach::Connected);
}

#[test]
fn the_watch_sees_partitions_that_are_new_and_topics_that_are_gone() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    cluster.add_partitions("orders", 3);
    cluster.log("orders", 0, |log| log.is_leaderless = true);
    assert!(!core.look());
    let partitions = core.topics[0].partitions();
    assert_eq!((&*partitions.all, &*partitions.with_leader), (&[0, 1, 2][..], &[1, 2][..]));
    cluster.delete_topic("orders");
    core.topics[0].learn(&[], Instant::now().checked_sub(3 * SECOND).unwrap());
    assert!(!core.look());
    let gone = Outcome::not_sent(Code::UnknownTopicOrPartition);
    assert_eq!(results(&mut core.publish(0, &drafts(["a"]))), Some(vec![gone]));
    let mut other = core.publish(1, &drafts(["b"]));
    core.turn(Duration::ZERO);
    assert_eq!(results(&mut other), Some(vec![at(0, 0)]));
}

#[test]
fn a_producer_id_is_asked_for_until_it_is_there() {
    let cluster = Cluster::new();
    let core = core(&cluster);
    let mut watch = Watch::new(Instant::now());
    let first = core.watch(&mut watch);
    assert!(first < Duration::from_millis(10), "{first:?}");
    assert_eq!(cluster.asked(Question::Metadata), 1);
    core.with_client(|client| client.signals.log(7, "GETPID", "[thrd:main]: Acquired PID{Id:1,Epoch:0}"));
    core.watch(&mut watch);
    assert!(core.watch(&mut watch) > first);
    assert_eq!(cluster.asked(Question::Metadata), 1);
}

#[test]
fn a_drain_ends_with_the_last_report_or_with_its_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cluster = Cluster::new();
    let core = core(&cluster);
    assert_eq!(runtime.block_on(core.drain(Duration::ZERO)), 0);
    drop(core.publish(1, &drafts(["a", "b"])));
    assert_eq!(runtime.block_on(core.drain(Duration::from_millis(1))), 2);
    let open = runtime
        .block_on(async { tokio::join!(core.drain(600 * SECOND), async { core.turn(Duration::ZERO) }).0 });
    assert_eq!(open, 0);
}
