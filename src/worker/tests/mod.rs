//! The polling thread against a cluster in memory.

use std::fs::File;
use std::io::{Read as _, Seek as _};

use super::ledger::{Job, Outcome};
use super::subscription::Subscription;
use super::tally::RecordResult;
use super::*;
use crate::clock::source::Clock as _;
use crate::kafka::errors::Code;
use crate::kafka::fake::{Cluster, FakeConsumer, Question, Step};
use crate::reading::bounds::{End, Start};
use crate::reading::membership::{self, GroupProtocol};
use crate::terminal::notes::Log;

mod delayed;
mod ends;
mod held_up;
mod outage;
mod rebalances;
mod starts;
mod stops;

/// What a test asks of a worker, besides what the flags' defaults are.
#[derive(Clone, Copy, Default)]
struct Flags {
    until: Option<End>,
    count: Option<u64>,
    idle: Option<Duration>,
    /// It ends by itself, and an outage may last for so long.
    stall: Option<Duration>,
    /// How long ending may take; a second by default.
    ending: Option<Duration>,
}

/// What a worker's polling thread shares with the commands, which a test runs by hand.
struct Worker {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    shutdown: Shutdown,
    flags: Flags,
    stderr: File,
}

impl Worker {
    fn new() -> Self {
        Self::with(Flags::default())
    }

    fn with(flags: Flags) -> Self {
        let stderr = tempfile::tempfile().unwrap();
        let log = Log::default().to_file(stderr.try_clone().unwrap());
        let limits =
            Capacity { jobs: 4, max_span: 50, queue_len: 40, queue_bytes: 1 << 20, count: flags.count };
        let ledger = Ledger::new(Order::Key, limits);
        let shared = Arc::new(Shared::new(ledger, Groups::default(), log));
        let watch = Arc::new(Watch::new(Arc::clone(&shared), "localhost:9092", flags.stall));
        Self { shared, watch, shutdown: Shutdown::default(), flags, stderr }
    }

    /// The polling thread's part.
    fn poller<'a>(
        &self,
        consumer: &'a FakeConsumer,
        from: Start,
        until: Option<End>,
    ) -> Poller<'a, FakeConsumer> {
        self.poller_of(consumer, from, until, &["orders"])
    }

    fn poller_of<'a>(
        &self,
        consumer: &'a FakeConsumer,
        from: Start,
        until: Option<End>,
        topics: &[&str],
    ) -> Poller<'a, FakeConsumer> {
        let second = Duration::from_secs(1);
        let now = consumer.clock().now();
        let until = until.or(self.flags.until);
        let rebalancer = Rebalancer {
            consumer,
            shared: Arc::clone(&self.shared),
            from,
            until,
            timeout: second,
            patience: Patience::new(second, Duration::from_mins(5)),
            shutdown: self.shutdown.clone(),
            ending: self.flags.ending.unwrap_or(second),
            ride_out: Duration::from_mins(1),
            causes: self.watch.causes.clone(),
            ends: Ends::default(),
            clock: consumer.clock(),
            wanted: HashMap::new(),
            joining: Joining::new(GroupProtocol::Classic, now),
            committer: Committer::new(Duration::from_millis(200), GroupProtocol::Classic),
        };
        let brokers = "localhost:9092".to_owned();
        let Flags { idle, stall, .. } = self.flags;
        let limits = PollLimits { idle, stall, brokers, has_end: until.is_some() };
        let subscription = Subscription::new(consumer, Selection::new(topics).unwrap(), &[], now).unwrap();
        Poller::new(rebalancer, Arc::clone(&self.watch), Filtering::default(), subscription, limits)
    }

    /// Takes the records that may run now, as a command would.
    fn jobs(&self) -> Vec<Job> {
        let mut ledger = self.shared.ledger();
        std::iter::from_fn(|| ledger.next(Instant::now())).collect()
    }

    /// Brings all that may run to its end; gives the offsets.
    fn run_all(&self) -> Vec<i64> {
        let mut offsets = Vec::new();
        loop {
            let jobs = self.jobs();
            if jobs.is_empty() {
                return offsets;
            }
            for job in jobs {
                offsets.push(job.record.offset);
                self.shared.ledger().finish(job.ticket, Outcome::Resolved);
            }
        }
    }

    /// Has all brokers be away, in the client's eyes, when this step is reached; this many questions are
    /// not answered from then on.
    fn outage(&self, questions: usize) -> Step {
        let watch = Arc::clone(&self.watch);
        Step::Do(Box::new(move |cluster| {
            Observer::error(&*watch, Code::AllBrokersDown, "1/1 brokers are down");
            cluster.refuse(Question::Metadata, vec![Code::BrokerTransportFailure; questions]);
        }))
    }

    /// Has a signal come when this step is reached.
    fn signal(&self, signal: i32) -> Step {
        let shutdown = self.shutdown.clone();
        Step::Do(Box::new(move |_| shutdown.request(signal)))
    }

    /// What follows after so many records were done: a command runs each of them.
    fn done(&self) -> Step {
        let shared = Arc::clone(&self.shared);
        Step::Do(Box::new(move |_| {
            loop {
                let Some(job) = shared.ledger().next(Instant::now()) else { return };
                shared.ledger().finish(job.ticket, Outcome::Resolved);
            }
        }))
    }

    fn said(&mut self) -> String {
        assert!(self.shared.log.flush());
        let mut said = String::new();
        self.stderr.rewind().unwrap();
        self.stderr.read_to_string(&mut said).unwrap();
        said
    }
}

/// The exit status of an outcome.
fn status(outcome: &anyhow::Result<Exit>) -> u8 {
    outcome.as_ref().map_or_else(crate::exit::of_error, |exit| *exit).code()
}

/// A topic of one partition with six records, and a consumer that has subscribed to it.
fn subscribed() -> (Cluster, FakeConsumer) {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.append("orders", 0, ["a", "b", "c", "d", "e", "f"]);
    let consumer = cluster.consumer();
    consumer.subscribe(&["orders".to_owned()]).unwrap();
    (cluster, consumer)
}

#[test]
fn what_is_done_is_stored_and_committed_as_the_partition_leaves() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 3);
    assert_eq!(worker.run_all(), [0, 1, 2]);
    cluster.then([Step::Revoke(vec![("orders", 0)]), Step::Nothing]);
    poller.poll(Duration::ZERO, 3);
    assert_eq!(cluster.calls_of("store"), ["store orders[0]@3"]);
    assert_eq!(cluster.committed("orders", 0), Some(3));
    assert!(!worker.shared.ledger().has_partitions());
}

#[test]
fn a_start_before_the_first_record_is_counted_and_passed() {
    let (cluster, consumer) = subscribed();
    cluster.commit("orders", 0, 1);
    cluster.expire("orders", 0, 4);
    let mut worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 500);
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [4, 5]);
    assert_eq!(worker.shared.tally.records.of(RecordResult::Lost), 3);
    assert_eq!(cluster.calls_of("restart"), ["restart orders[0]@4"]);
    assert!(worker.said().contains("orders[0]: 1..4 gone"), "{}", worker.said());
}

#[test]
fn a_start_past_the_end_goes_back_to_the_first_record_for_the_group_too() {
    let (cluster, consumer) = subscribed();
    cluster.commit("orders", 0, 99);
    let mut worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 500);
    assert_eq!(cluster.committed("orders", 0), Some(0));
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [0, 1, 2, 3, 4, 5]);
    assert!(worker.said().contains("orders[0]: offset 99 is beyond the end 6"), "{}", worker.said());
}

#[test]
fn a_log_that_was_cut_is_read_on_from_the_cut() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 5);
    assert_eq!(worker.run_all(), [0, 1, 2, 3, 4]);
    poller.update_client();
    cluster.cut("orders", 0, 3);
    poller.poll(Duration::ZERO, 500);
    cluster.append("orders", 0, ["D"]);
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [3]);
    assert!(worker.said().contains("its log was cut at 3"), "{}", worker.said());
    assert_eq!(cluster.calls_of("commit"), ["commit orders[0]@3"]);
}

#[test]
fn a_first_start_is_where_it_was_asked_for() {
    for (from, offsets) in [
        (Start::Beginning, &[0, 1, 2, 3, 4, 5][..]),
        (Start::Relative(2), &[4, 5]),
        (Start::Time(3), &[3, 4, 5]),
        (Start::End, &[]),
    ] {
        let (_, consumer) = subscribed();
        let worker = Worker::new();
        worker.poller(&consumer, from, None).poll(Duration::ZERO, 500);
        assert_eq!(worker.run_all(), offsets, "{from:?}");
    }
}

#[test]
fn a_leader_that_is_away_is_asked_again() {
    let (cluster, consumer) = subscribed();
    cluster.refuse(Question::Watermarks, [Code::LeaderNotAvailable]);
    let worker = Worker::new();
    worker.poller(&consumer, Start::Relative(1), None).poll(Duration::ZERO, 500);
    assert_eq!((worker.run_all(), worker.shared.stopping()), (vec![5], None));
}

#[test]
fn a_group_that_is_not_permitted_ends_the_worker() {
    let (cluster, consumer) = subscribed();
    cluster.then([Step::Error("", -1, Code::GroupAuthorizationFailed, "Group authorization failed")]);
    let worker = Worker::new();
    worker.poller(&consumer, Start::Beginning, None).poll(Duration::ZERO, 500);
    assert_eq!(worker.shared.stopping(), Some(StopReason::Failed("Group authorization failed".to_owned())));
}

#[test]
fn an_end_that_is_reached_commits_and_leaves() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, Some(End::Offset(4)));
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all(), [0, 1, 2, 3]);
    assert!(worker.shared.ledger().is_complete());
    let exit = ending::end(&mut poller, StopReason::Complete, true).unwrap();
    assert_eq!((exit, cluster.committed("orders", 0)), (Exit::Done, Some(4)));
    let calls = cluster.calls();
    assert_eq!(calls[1], "store orders[0]@4");
    assert!(calls.ends_with(&["commit_stored".to_owned(), "close".to_owned()]), "{calls:?}");
}

/// A worker that has read all six records and works on the first four; its end takes milliseconds.
fn busy(consumer: &FakeConsumer) -> (Worker, Poller<'_, FakeConsumer>, Vec<Job>) {
    let worker = Worker::new();
    let mut poller = worker.poller(consumer, Start::Beginning, None);
    poller.rebalancer.ending = Duration::from_millis(56);
    poller.rebalancer.patience = Patience::new(Duration::from_millis(4), Duration::from_millis(40));
    poller.poll(Duration::ZERO, 500);
    let jobs = worker.jobs();
    assert_eq!(jobs.len(), 4);
    (worker, poller, jobs)
}

#[test]
fn a_record_that_still_runs_when_the_time_is_up_is_abandoned_and_not_committed() {
    let (cluster, consumer) = subscribed();
    let (mut worker, mut poller, jobs) = busy(&consumer);
    for job in [&jobs[0], &jobs[2]] {
        worker.shared.ledger().finish(job.ticket, Outcome::Resolved);
    }
    worker.shared.stop(StopReason::Signal(15));
    let exit = ending::end(&mut poller, StopReason::Signal(15), false).unwrap();
    assert_eq!((exit, cluster.committed("orders", 0)), (Exit::Abandoned, Some(1)));
    assert_eq!(worker.shared.tally.records.of(RecordResult::Abandoned), 2);
    let said = worker.said();
    for part in [
        "signal 15: finishing 2 running",
        "commands still run: sending TERM",
        "orders[0]@1: abandoned",
        "orders[0]@3: abandoned",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(cluster.metadata_of("orders", 0), "kq1::1:0:bAg", "2 is done");
}

#[test]
fn a_fenced_worker_stores_and_commits_nothing() {
    let (cluster, consumer) = subscribed();
    let (worker, mut poller, jobs) = busy(&consumer);
    worker.shared.ledger().finish(jobs[0].ticket, Outcome::Resolved);
    let error = ending::end(&mut poller, StopReason::Fenced("another member".to_owned()), false).unwrap_err();
    assert_eq!(error.to_string(), "another member");
    assert_eq!((cluster.committed("orders", 0), cluster.calls_of("store").len()), (None, 0));
    assert!(!worker.shared.ledger().has_partitions());
    assert!(worker.shared.groups.is_empty());
}

#[test]
fn a_command_that_outlives_the_drain_of_its_partition_is_abandoned_and_its_end_changes_nothing() {
    let (cluster, consumer) = subscribed();
    let (worker, mut poller, jobs) = busy(&consumer);
    worker.shared.ledger().finish(jobs[0].ticket, Outcome::Resolved);
    cluster.then([Step::Revoke(vec![("orders", 0)]), Step::Nothing]);
    poller.poll(Duration::ZERO, 3);
    assert_eq!(cluster.committed("orders", 0), Some(1));
    assert_eq!(worker.shared.tally.records.of(RecordResult::Abandoned), 3);
    assert!(!worker.shared.ledger().finish(jobs[1].ticket, Outcome::Resolved), "its ticket is void");
    poller.update_client();
    assert_eq!(cluster.committed("orders", 0), Some(1));
}

#[test]
fn partitions_that_are_lost_are_neither_stored_nor_drained() {
    let (cluster, consumer) = subscribed();
    let (mut worker, mut poller, jobs) = busy(&consumer);
    worker.shared.ledger().finish(jobs[0].ticket, Outcome::Resolved);
    cluster.then([Step::Lose(vec![("orders", 0)]), Step::Nothing]);
    poller.poll(Duration::ZERO, 3);
    assert_eq!((cluster.committed("orders", 0), cluster.calls_of("store").len()), (None, 0));
    assert_eq!(worker.shared.tally.rebalances.of(tally::RebalanceKind::Lost), 1);
    assert!(worker.said().contains("partitions lost: orders[0]"), "{}", worker.said());
}

#[test]
fn each_reason_to_stop_has_its_status() {
    let worker = Worker::new();
    let status = |stop: StopReason, abandoned: u64, has_stop: bool| {
        ending::outcome(stop, &worker.shared, abandoned, has_stop).ok()
    };
    assert_eq!(status(StopReason::Complete, 0, true), Some(Exit::Done));
    assert_eq!(status(StopReason::Complete, 1, true), Some(Exit::Abandoned));
    assert_eq!(status(StopReason::Signal(15), 0, false), Some(Exit::Done));
    assert_eq!(status(StopReason::Signal(15), 0, true), Some(Exit::Signal(15)));
    assert_eq!(status(StopReason::Signal(15), 1, true), Some(Exit::Abandoned));
    assert_eq!(status(StopReason::Closed, 1, true), Some(Exit::Done));
    for stop in [StopReason::Policy, StopReason::Broken, StopReason::Fenced, StopReason::Failed] {
        assert_eq!(status(stop("why".to_owned()), 0, false), None);
    }
    worker.shared.tally.records.count(RecordResult::Lost);
    assert_eq!(status(StopReason::Complete, 0, true), Some(Exit::Failed));
}
