//! What a worker that stops leaves behind in its commits, and what the next one makes of it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::progress::DoneAhead;
use super::*;
use crate::kafka::client::Commit;
use crate::record::{Record, TopicPartition};

/// All of six records are done but the first.
const METADATA: &str = "kq1::0:0:bPg";

/// Finishes what may run, but for these offsets.
fn finish_but(worker: &Worker, open: &[i64]) -> Vec<Job> {
    let mut stay = Vec::new();
    loop {
        let jobs = worker.jobs();
        if jobs.is_empty() {
            return stay;
        }
        for job in jobs {
            if open.contains(&job.ticket.offset) {
                stay.push(job);
            } else {
                worker.shared.ledger().finish(job.ticket, Outcome::Resolved);
            }
        }
    }
}

/// A cluster whose group has done all of six records but the first.
fn held_up() -> (Cluster, FakeConsumer) {
    let (cluster, consumer) = subscribed();
    cluster.commit_with("orders", 0, 0, METADATA).unwrap();
    (cluster, consumer)
}

/// What a worker runs of what is there.
fn runs(consumer: &FakeConsumer) -> (Worker, Vec<i64>) {
    let worker = Worker::new();
    worker.poller(consumer, Start::Beginning, None).poll(Duration::ZERO, 500);
    let offsets = worker.run_all();
    (worker, offsets)
}

fn already_done(worker: &Worker) -> u64 {
    worker.shared.count_passed();
    worker.shared.tally.records.of(RecordResult::AlreadyDone)
}

#[test]
fn what_is_done_past_an_open_record_does_not_run_again_after_a_stop() {
    let (cluster, consumer) = subscribed();
    let (mut worker, open) = {
        let worker = Worker::new();
        let mut poller = worker.poller(&consumer, Start::Beginning, None);
        poller.rebalancer.ending = Duration::from_millis(56);
        poller.poll(Duration::ZERO, 500);
        let open = finish_but(&worker, &[0, 3]);
        worker.shared.stop(StopReason::Signal(15));
        ending::end(&mut poller, StopReason::Signal(15), false).unwrap();
        (worker, open)
    };
    assert_eq!((open.len(), cluster.committed("orders", 0)), (2, Some(0)));
    assert!(!worker.said().contains("will run again"), "{}", worker.said());
    let consumer = cluster.consumer();
    consumer.subscribe(&["orders".to_owned()]).unwrap();
    let (next, offsets) = runs(&consumer);
    assert_eq!((offsets, already_done(&next)), (vec![0, 3], 4));
    assert_eq!(next.shared.ledger().store_list().last().map(|(_, offset)| *offset), Some(6));
}

#[test]
fn commits_are_sent_by_interval_and_one_at_a_time() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 500);
    let jobs = worker.jobs();
    let finish = |job: &Job| worker.shared.ledger().finish(job.ticket, Outcome::Resolved);
    finish(&jobs[1]);
    poller.update_client();
    assert_eq!(cluster.calls_of("begin_commit"), ["begin_commit orders[0]@0"]);
    assert_eq!(cluster.metadata_of("orders", 0), "kq1::0:0:bAg");
    for (after, sent) in [(150, 1), (49, 1), (1, 2)] {
        finish(&jobs[2]);
        cluster.clock().sleep(Duration::from_millis(after));
        poller.update_client();
        assert_eq!(cluster.calls_of("begin_commit").len(), sent, "after {after} ms more");
    }
    assert_eq!(cluster.metadata_of("orders", 0), "kq1::0:0:bBg");
    finish(&jobs[3]);
    cluster.clock().sleep(Duration::from_millis(199));
    poller.update_client();
    cluster.clock().sleep(Duration::from_millis(1));
    cluster.refuse(Question::Commit, [Code::RebalanceInProgress]);
    poller.update_client();
    assert_eq!(cluster.calls_of("begin_commit").len(), 3);
    assert_eq!(cluster.metadata_of("orders", 0), "kq1::0:0:bBg");
    cluster.clock().sleep(Duration::from_millis(200));
    poller.update_client();
    assert_eq!(cluster.metadata_of("orders", 0), "kq1::0:0:bDg", "what did not arrive is sent again");
    finish(&worker.jobs()[0]);
    for (is_held, sent) in [(true, 4), (true, 4), (false, 5)] {
        cluster.hold_answers(is_held);
        cluster.clock().sleep(Duration::from_secs(1));
        poller.update_client();
        assert_eq!(cluster.calls_of("begin_commit").len(), sent, "the answer is held: {is_held}");
    }
}

#[test]
fn no_offset_is_sent_while_the_answer_to_one_before_is_waited_for() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 500);
    let jobs = worker.jobs();
    let finish = |poller: &mut Poller<'_, _>, at: usize| {
        worker.shared.ledger().finish(jobs[at].ticket, Outcome::Resolved);
        cluster.clock().sleep(Duration::from_secs(1));
        poller.update_client();
        cluster.calls_of("begin_commit").last().cloned()
    };
    cluster.refuse(Question::Commit, [Code::CoordinatorNotAvailable]);
    cluster.hold_answers(true);
    let first = Some("begin_commit orders[0]@1".to_owned());
    assert_eq!(finish(&mut poller, 0), first);
    // The client may still send it: after a later one it would take the group back.
    assert_eq!(finish(&mut poller, 1), first);
    cluster.hold_answers(false);
    assert_eq!(
        finish(&mut poller, 2),
        Some("begin_commit orders[0]@3".to_owned()),
        "and not the one that failed"
    );
    assert_eq!(cluster.calls_of("begin_commit").len(), 2);
    assert_eq!(cluster.committed("orders", 0), Some(3));
}

#[test]
fn nothing_is_sent_of_a_partition_that_went_nor_metadata_alone_before_the_next_assignment() {
    let cluster = Cluster::new().with_topic("orders", 2);
    for partition in [0, 1] {
        cluster.append("orders", partition, ["a", "b", "c"]);
    }
    let consumer = cluster.consumer();
    consumer.subscribe(&["orders".to_owned()]).unwrap();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 500);
    let jobs = worker.jobs();
    poller.update_client();
    assert_eq!(cluster.calls_of("begin_commit"), ["begin_commit orders[0]@0 orders[1]@0"]);
    let finish = |job: &Job| worker.shared.ledger().finish(job.ticket, Outcome::Resolved);
    let of = |partition: i32| jobs.iter().filter(move |job| job.record.partition == partition);
    // Stored, and not sent yet.
    finish(of(1).next().unwrap());
    poller.update_client();
    cluster.then([Step::Revoke(vec![("orders", 1)]), Step::Nothing]);
    poller.poll(Duration::from_secs(1), 500);
    finish(of(0).next_back().unwrap());
    cluster.clock().sleep(Duration::from_secs(1));
    poller.update_client();
    assert_eq!(cluster.calls_of("begin_commit").len(), 1);
    cluster.then([Step::Assign(vec![]), Step::Nothing]);
    poller.poll(Duration::ZERO, 500);
    poller.update_client();
    assert_eq!(cluster.calls_of("begin_commit")[1..], ["begin_commit orders[0]@0"]);
}

#[test]
fn a_broker_that_takes_no_metadata_gets_the_offset_alone_also_when_a_partition_goes() {
    for is_told_before in [true, false] {
        let (cluster, consumer) = subscribed();
        cluster.limit_metadata(5);
        let mut worker = Worker::new();
        let mut poller = worker.poller(&consumer, Start::Beginning, None);
        poller.poll(Duration::ZERO, 500);
        finish_but(&worker, &[2]);
        if is_told_before {
            poller.update_client();
            consumer.commit_stored(Duration::ZERO).unwrap();
            assert_eq!(cluster.committed("orders", 0), None);
            poller.update_client();
            consumer.commit_stored(Duration::ZERO).unwrap();
            assert_eq!(cluster.committed("orders", 0), Some(2));
        }
        cluster.then([Step::Revoke(vec![("orders", 0)]), Step::Nothing]);
        poller.poll(Duration::ZERO, 500);
        assert_eq!((cluster.committed("orders", 0), &*cluster.metadata_of("orders", 0)), (Some(2), ""));
        let said = worker.said();
        assert_eq!(said.matches("offset.metadata.max.bytes").count(), 1, "{said}");
    }
}

#[test]
fn what_the_last_commit_could_not_say_is_counted_at_the_end() {
    let (cluster, consumer) = subscribed();
    cluster.limit_metadata(5);
    let mut worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.rebalancer.ending = Duration::from_millis(56);
    poller.poll(Duration::ZERO, 500);
    finish_but(&worker, &[2]);
    worker.shared.stop(StopReason::Signal(15));
    ending::end(&mut poller, StopReason::Signal(15), false).unwrap();
    assert_eq!(cluster.committed("orders", 0), Some(2));
    assert!(worker.said().contains("3 done records will run again"), "{}", worker.said());
}

/// A worker that has committed that the second of six records is done, does the third, and ends while the
/// coordinator is away as it leaves, and refuses so many commits before. The first is the one that is not waited for.
fn cut_short(cluster: &Cluster, consumer: &FakeConsumer, refused: usize) -> Worker {
    let worker = Worker::with(Flags { ending: Some(Duration::from_millis(56)), ..Flags::default() });
    let mut poller = worker.poller(consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 500);
    let jobs = worker.jobs();
    worker.shared.ledger().finish(jobs[1].ticket, Outcome::Resolved);
    poller.update_client();
    assert_eq!(cluster.metadata_of("orders", 0), "kq1::0:0:bAg");
    // It hears of it.
    poller.update_client();
    worker.shared.ledger().finish(jobs[2].ticket, Outcome::Resolved);
    cluster.lose_leaves();
    cluster.hold_answers(true);
    cluster.refuse(Question::Commit, vec![Code::RebalanceInProgress; refused]);
    worker.shared.stop(StopReason::Signal(15));
    ending::end(&mut poller, StopReason::Signal(15), false).unwrap();
    worker
}

#[test]
fn what_is_done_beyond_an_offset_that_stays_is_committed_before_the_group_is_left() {
    let (cluster, consumer) = subscribed();
    let mut worker = cut_short(&cluster, &consumer, 1);
    assert_eq!(
        (cluster.committed("orders", 0), &*cluster.metadata_of("orders", 0)),
        (Some(0), "kq1::0:0:bBg")
    );
    assert!(!worker.said().contains("will run again"), "{}", worker.said());
}

#[test]
fn what_was_left_to_a_departure_that_is_not_answered_is_counted_at_the_end() {
    let (cluster, consumer) = subscribed();
    let mut worker = cut_short(&cluster, &consumer, 2);
    assert_eq!(cluster.metadata_of("orders", 0), "kq1::0:0:bAg");
    assert!(worker.said().contains("2 done records will run again"), "{}", worker.said());
}

#[test]
fn what_is_not_of_this_commit_is_not_taken_for_done() {
    let all: Vec<i64> = (0..6).collect();
    for (offset, metadata, offsets) in [
        (0, METADATA, &[0][..]),
        (1, METADATA, &all[1..]),
        (0, "", &all),
        (0, "of another client", &all),
        (0, "kq1::0:0:", &all),
        (0, "kq1::0:0:rAQ", &all),
        (0, "kq2::0:0:rAQU", &all),
        (0, "kq1:71:0:0:rAQI", &[0, 3, 4, 5]),
    ] {
        let (cluster, consumer) = subscribed();
        cluster.commit_with("orders", 0, offset, metadata).unwrap();
        assert_eq!(runs(&consumer).1, offsets, "{metadata} at {offset}");
    }
}

#[test]
fn a_record_of_a_later_epoch_stands_in_the_place_of_one_that_was_done_and_so_do_those_after_it() {
    let (cluster, consumer) = held_up();
    cluster.cut("orders", 0, 3);
    cluster.elect("orders", 0);
    cluster.append("orders", 0, ["D", "E", "F"]);
    let (worker, offsets) = runs(&consumer);
    assert_eq!((offsets, already_done(&worker)), (vec![0, 3, 4, 5], 2));
}

#[test]
fn a_position_that_is_gone_takes_what_was_done_beyond_it_along() {
    let (cluster, consumer) = held_up();
    cluster.expire("orders", 0, 2);
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    for _ in 0..2 {
        poller.poll(Duration::ZERO, 500);
    }
    assert_eq!(worker.run_all(), [2, 3, 4, 5]);
}

#[test]
fn what_was_done_before_and_has_not_come_yet_is_said_in_the_next_commit_too() {
    let (cluster, consumer) = held_up();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    cluster.then([Step::Records(3), Step::Revoke(vec![("orders", 0)]), Step::Nothing]);
    poller.poll(Duration::ZERO, 500);
    poller.poll(Duration::ZERO, 500);
    assert_eq!((cluster.committed("orders", 0), &*cluster.metadata_of("orders", 0)), (Some(0), METADATA));
}

#[test]
fn what_was_done_before_counts_neither_for_a_count_nor_as_done() {
    let (cluster, consumer) = held_up();
    cluster.append("orders", 0, ["g", "h"]);
    let worker = Worker::with(Flags { count: Some(2), ..Flags::default() });
    worker.poller(&consumer, Start::Beginning, None).poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [0, 6]);
    assert!(worker.shared.ledger().is_complete());
    assert_eq!(already_done(&worker), 5);
}

#[test]
fn an_offset_that_is_committed_without_anything_beyond_it_has_no_metadata() {
    let (cluster, consumer) = held_up();
    let (worker, offsets) = runs(&consumer);
    assert_eq!(offsets, [0]);
    worker.poller(&consumer, Start::Beginning, None).update_client();
    consumer.commit_stored(Duration::ZERO).unwrap();
    assert_eq!((cluster.committed("orders", 0), &*cluster.metadata_of("orders", 0)), (Some(6), ""));
}

#[test]
fn long_metadata_is_sent_once_a_second_and_when_the_partition_goes() {
    let limits =
        Capacity { jobs: 12_000, max_span: 12_000, queue_len: 24_000, queue_bytes: 1 << 30, count: None };
    let mut ledger = Ledger::new(Order::None, limits);
    let name = TopicPartition::new("orders", 0);
    ledger.assign(&name, Some(0), None);
    for offset in 0..12_000 {
        let record = Record { topic: "orders".into(), offset, ..Default::default() };
        record.with_ref(|record| ledger.receive(record));
    }
    let start = Instant::now();
    let jobs: Vec<Job> = std::iter::from_fn(|| ledger.next(start)).collect();
    let sizes = |commits: &ledger::Commits| -> Vec<usize> {
        commits.store.iter().map(|Commit { metadata, .. }| metadata.as_ref().map_or(0, String::len)).collect()
    };
    for job in jobs.iter().skip(1).step_by(2).take(5_000) {
        ledger.finish(job.ticket, Outcome::Resolved);
    }
    let at = |ledger: &mut Ledger, ms: u64, job: &Job| {
        ledger.finish(job.ticket, Outcome::Resolved);
        let (interval, now) = (Duration::from_millis(200), start + Duration::from_millis(ms));
        ledger.commits(ledger::Pace::Every { interval, now, may_commit: true })
    };
    let first = at(&mut ledger, 0, &jobs[2]);
    assert!(sizes(&first)[0] > 1600, "{first:?}");
    assert!(sizes(&at(&mut ledger, 999, &jobs[4])).is_empty());
    let last = ledger.commits(ledger::Pace::Last(&[name]));
    assert_eq!(sizes(&last).len(), 1);
    assert_eq!(at(&mut ledger, 1000, &jobs[6]).metadata_alone, 1);
}

/// One life of a worker: how far it reads, and which of the records that may run it does.
#[derive(Clone, Debug)]
struct Life {
    reads: usize,
    does: Vec<prop::sample::Index>,
    /// It is killed after its last commit: what it did since is lost.
    does_after_the_last_commit: usize,
}

fn life() -> impl Strategy<Value = Life> {
    (0..120usize, prop::collection::vec(any::<prop::sample::Index>(), 0..80), 0..3usize).prop_map(
        |(reads, does, does_after_the_last_commit)| Life { reads, does, does_after_the_last_commit },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn over_any_number_of_lives_an_open_record_runs_and_a_committed_one_does_not(
        holes in prop::collection::btree_set(0..100i64, 0..30),
        elections in prop::collection::vec(1..100i64, 0..3),
        lives in prop::collection::vec(life(), 1..6),
        max_span in 1..120u64,
    ) {
        let name = TopicPartition::new("orders", 0);
        let offsets: Vec<i64> = (0..100).filter(|offset| !holes.contains(offset)).collect();
        let epoch = |offset: i64| elections.iter().filter(|at| **at <= offset).count() as i32;
        let (mut committed, mut metadata) = (0, String::new());
        // What the commits say is done, and the records that were done since.
        let mut known: BTreeSet<i64> = BTreeSet::new();
        for life in lives {
            let limits = Capacity { jobs: 500, max_span, queue_len: 500, queue_bytes: 1 << 20, count: None };
            let mut ledger = Ledger::new(Order::None, limits);
            ledger.assign(&name, Some(committed), None);
            if let Some(done) = DoneAhead::decode(metadata.as_bytes(), committed) {
                ledger.take_over(&name, done);
            }
            for &offset in offsets.iter().filter(|offset| **offset >= committed).take(life.reads) {
                let record = Record { topic: "orders".into(), offset, ..Record::default() };
                record.with_ref(|record| {
                    ledger.receive(crate::record::RecordRef { leader_epoch: Some(epoch(offset)), ..record });
                });
            }
            let now = Instant::now();
            let (mut jobs, mut does) = (Vec::new(), life.does.into_iter().peekable());
            while does.peek().is_some() {
                jobs.extend(std::iter::from_fn(|| ledger.next(now)));
                for job in &jobs {
                    prop_assert!(!known.contains(&job.ticket.offset), "{} runs again", job.ticket.offset);
                }
                let Some(index) = does.next().filter(|_| !jobs.is_empty()) else { break };
                let job = jobs.swap_remove(index.index(jobs.len()));
                let is_lost = does.len() < life.does_after_the_last_commit;
                ledger.finish(job.ticket, Outcome::Resolved);
                if is_lost {
                    continue;
                }
                known.insert(job.ticket.offset);
                let last = ledger.commits(ledger::Pace::Last(std::slice::from_ref(&name)));
                for commit in last.store {
                    prop_assert!(commit.offset >= committed);
                    (committed, metadata) = (commit.offset, commit.metadata.unwrap_or_default());
                }
                let open = offsets.iter().find(|offset| !known.contains(offset));
                prop_assert!(open.is_none_or(|open| committed <= *open), "{committed} is past {open:?}");
                let done = DoneAhead::decode(metadata.as_bytes(), committed).unwrap_or_default();
                let said = |offset: i64| offset < committed || done.has(offset, Some(epoch(offset)));
                for &offset in &offsets {
                    prop_assert_eq!(said(offset), known.contains(&offset), "{}", offset);
                }
            }
        }
    }
}
