//! What becomes of a record after each way in which its command can end.

mod batches;

use std::fs::File;
use std::io::{Read as _, Seek as _};

use super::*;
use crate::process::Groups;
use crate::record::{Record, TopicPartition};
use crate::terminal::notes::Log;
use crate::worker::lanes::Order;
use crate::worker::ledger::{Capacity, Ledger, OnOutage};
use crate::worker::policy::{OnFailure, Retries};

/// A worker with one partition, whose commands a test ends by hand.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    pub resolver: Resolver,
    pub now: Instant,
    stderr: File,
}

impl Worker {
    /// One that has been given these records: their keys differ.
    pub(super) fn new(on_failure: OnFailure, records: i64) -> Self {
        Self::with(on_failure, records, |_| {})
    }

    /// The same, with other settings.
    pub(super) fn with(on_failure: OnFailure, records: i64, change: impl FnOnce(&mut Failing)) -> Self {
        let stderr = tempfile::tempfile().unwrap();
        let log = Log::default().to_file(stderr.try_clone().unwrap());
        let limits = Capacity { jobs: 8, max_span: 50, queue_len: 40, queue_bytes: 1 << 20, count: None };
        let shared = Arc::new(Shared::new(Ledger::new(Order::Key, limits), Groups::default(), log));
        let retries = Retries::Count(1);
        let mut failing = Failing {
            policy: Policy { exit_map: "3=skip".parse().unwrap(), retries, on_failure },
            backoff: "1s..1s".parse().unwrap(),
            dead_letters: (on_failure == OnFailure::Dlq).then(|| "dead".to_owned()),
            max_consecutive_failures: 3,
            on_outage: OnOutage::Pause,
        };
        change(&mut failing);
        let resolver = Resolver::new(Arc::clone(&shared), failing, "mine".into(), "./handler".into());
        let worker = Self { shared, resolver, now: Instant::now(), stderr };
        worker.assign(0..records);
        worker
    }

    /// The partition is assigned, from these records on.
    pub(super) fn assign(&self, offsets: std::ops::Range<i64>) {
        self.shared.ledger().assign(&name(), Some(offsets.start), None);
        for offset in offsets {
            let key = Some(offset.to_string().into_bytes());
            let record = Record { topic: "orders".into(), offset, key, ..Record::default() };
            record.with_ref(|record| self.shared.ledger().receive(record));
        }
    }

    /// The record ends like this, and where it needs a dead letter, that is acknowledged.
    pub(super) fn give_up(&self, job: Job, ended: Ended) {
        if let Some(letter) = self.end(job, ended) {
            self.resolver.sent(&letter.job, Ok(()));
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.shared.ledger().outage.pause_number().is_some()
    }

    /// The next record, at this attempt: those before it ended with status 1.
    pub(super) fn job(&mut self, attempt: u32) -> Job {
        let mut job = self.next().unwrap();
        while job.attempt < attempt {
            assert!(self.end(job, Ended::Exit(1)).is_none());
            self.now += Duration::from_secs(1);
            job = self.next().unwrap();
        }
        job
    }

    pub(super) fn next(&self) -> Option<Job> {
        self.shared.ledger().next(self.now)
    }

    pub(super) fn end(&self, job: Job, ended: Ended) -> Option<Undelivered> {
        self.resolver.ran(job, &attempt(ended), Printed::Delivered, self.now)
    }

    /// The offset that is committed next.
    fn committable(&self) -> Option<i64> {
        self.shared.ledger().partitions()[0].committable
    }

    pub(super) fn running(&self) -> usize {
        self.shared.ledger().running()
    }

    pub(super) fn counted(&self, result: RecordResult) -> u64 {
        self.shared.tally.records.of(result)
    }

    pub(super) fn policy_stop(&self) -> String {
        match self.shared.stopping() {
            Some(StopReason::Policy(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn said(&mut self) -> String {
        assert!(self.shared.log.flush());
        let mut said = String::new();
        self.stderr.rewind().unwrap();
        self.stderr.read_to_string(&mut said).unwrap();
        said
    }
}

pub(super) fn name() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

pub(super) fn attempt(ended: Ended) -> Attempt {
    let stderr = b"first\nsecond\n".to_vec();
    Attempt { ended, stdout: vec![], stderr, retry_after: None, took: Duration::from_millis(5) }
}

#[test]
fn a_success_is_committed() {
    let mut worker = Worker::new(OnFailure::Stop, 1);
    let job = worker.job(1);
    assert!(worker.end(job, Ended::Exit(0)).is_none());
    assert_eq!((worker.committable(), worker.counted(RecordResult::Done)), (Some(1), 1));
    assert_eq!(worker.shared.tally.failed_attempts.total(), 0);
}

#[test]
fn a_failure_runs_again_after_the_backoff_and_not_before() {
    let mut worker = Worker::new(OnFailure::Stop, 1);
    let job = worker.job(1);
    assert!(worker.end(job, Ended::Signal(9)).is_none());
    assert_eq!(worker.shared.tally.failed_attempts.total(), 1);
    let due = worker.shared.ledger().next_retry().unwrap();
    assert!(due <= worker.now + Duration::from_secs(1));
    worker.now = due;
    assert_eq!(worker.next().unwrap().attempt, 2);
}

#[test]
fn a_wait_that_the_command_asks_for_ranks_above_the_backoff() {
    let mut worker = Worker::new(OnFailure::Stop, 1);
    let job = worker.job(1);
    let minute = Duration::from_mins(1);
    let attempt = Attempt { retry_after: Some(minute), ..attempt(Ended::Again("asked for".into())) };
    assert!(worker.resolver.ran(job, &attempt, Printed::Delivered, worker.now).is_none());
    assert_eq!(worker.shared.ledger().next_retry(), Some(worker.now + minute));
}

#[test]
fn the_last_failure_stops_the_worker_and_says_what_failed() {
    let mut worker = Worker::new(OnFailure::Stop, 2);
    let job = worker.job(2);
    assert!(worker.end(job, Ended::Timeout).is_none());
    assert_eq!((worker.committable(), worker.running()), (Some(0), 0));
    let why = worker.policy_stop();
    let start = "orders[0]@0: ./handler: timed out (attempt 2)\n  stderr: first\n  stderr: second\n";
    assert!(why.starts_with(start), "{why}");
    assert!(why.contains("--dlq TOPIC"), "{why}");
}

#[test]
fn the_last_failure_is_skipped_where_that_is_asked_for() {
    let mut worker = Worker::new(OnFailure::Skip, 1);
    let job = worker.job(2);
    assert!(worker.end(job, Ended::Exit(1)).is_none());
    assert_eq!((worker.committable(), worker.counted(RecordResult::Skipped)), (Some(1), 1));
    assert!(worker.said().contains("orders[0]@0: status 1, skipped"));
}

#[test]
fn a_record_is_resolved_only_once_its_dead_letter_is_acknowledged() {
    let mut worker = Worker::new(OnFailure::Dlq, 1);
    let job = worker.job(1);
    let Undelivered { job, letter } = worker.end(job, Ended::Exit(65)).unwrap();
    assert_eq!(&*letter.topic, "dead");
    assert!(letter.headers.contains(&(b"kq.dlq.group".to_vec(), Some(b"mine".to_vec()))));
    assert_eq!((worker.committable(), worker.running()), (Some(0), 1));
    worker.resolver.sent(&job, Ok(()));
    assert_eq!((worker.committable(), worker.counted(RecordResult::DeadLettered)), (Some(1), 1));
}

#[test]
fn a_dead_letter_that_cannot_be_sent_stops_the_worker_and_leaves_its_record() {
    let mut worker = Worker::new(OnFailure::Dlq, 1);
    let job = worker.job(1);
    let Undelivered { job, .. } = worker.end(job, Ended::Exit(65)).unwrap();
    worker.resolver.sent(&job, Err("it is too large".into()));
    assert_eq!((worker.committable(), worker.running()), (Some(0), 0));
    assert_eq!(worker.policy_stop(), "orders[0]@0: the dead letter can't be sent: it is too large");
}

#[test]
fn a_dead_letter_of_a_partition_that_left_changes_nothing() {
    let mut worker = Worker::new(OnFailure::Dlq, 1);
    let job = worker.job(1);
    let Undelivered { job, .. } = worker.end(job, Ended::Exit(65)).unwrap();
    worker.shared.ledger().end(&name());
    worker.resolver.sent(&job, Err("it is too large".into()));
    assert_eq!((worker.shared.stopping(), worker.counted(RecordResult::DeadLettered)), (None, 0));
}

#[test]
fn a_broken_command_stops_the_worker_at_once_whatever_the_policy() {
    for on_failure in [OnFailure::Skip, OnFailure::Dlq, OnFailure::Retry] {
        for ended in [Ended::Exit(127), Ended::CannotRun("no such file".into())] {
            let mut worker = Worker::new(on_failure, 1);
            let job = worker.job(1);
            assert!(worker.end(job, ended).is_none());
            assert!(matches!(worker.shared.stopping(), Some(StopReason::Broken(_))));
            assert_eq!(worker.committable(), Some(0));
        }
    }
}

#[test]
fn a_command_that_was_terminated_leaves_its_record_uncounted_and_uncommitted() {
    let mut worker = Worker::new(OnFailure::Skip, 1);
    let job = worker.job(1);
    assert!(worker.end(job, Ended::Terminated).is_none());
    assert_eq!((worker.committable(), worker.running()), (Some(0), 0));
    assert_eq!(worker.counted(RecordResult::Abandoned), 1);
    assert_eq!(worker.shared.tally.failed_attempts.total(), 0);
}

#[test]
fn what_ends_in_a_terminated_partition_counts_only_where_it_succeeded() {
    let mut worker = Worker::new(OnFailure::Skip, 2);
    let (done, failed) = (worker.job(1), worker.job(1));
    worker.shared.ledger().terminate(&[name()]);
    assert!(worker.end(done, Ended::Exit(0)).is_none());
    assert!(worker.end(failed, Ended::Exit(65)).is_none());
    assert_eq!(worker.committable(), Some(1));
    assert_eq!(worker.counted(RecordResult::Done), 1);
    assert_eq!(worker.counted(RecordResult::Abandoned), 1);
    assert_eq!(worker.counted(RecordResult::Skipped), 0);
}

#[test]
fn a_success_whose_output_is_lost_is_not_committed() {
    let mut worker = Worker::new(OnFailure::Stop, 1);
    let job = worker.job(1);
    assert!(worker.resolver.ran(job, &attempt(Ended::Exit(0)), Printed::Lost, worker.now).is_none());
    assert_eq!((worker.committable(), worker.counted(RecordResult::Done)), (Some(0), 0));
    assert_eq!(worker.counted(RecordResult::Abandoned), 1);
}

#[test]
fn a_command_that_ends_after_its_partition_left_changes_nothing() {
    for ended in [Ended::Exit(0), Ended::Exit(1), Ended::Exit(127), Ended::NotStarted("full".into())] {
        let mut worker = Worker::new(OnFailure::Stop, 1);
        let job = worker.job(1);
        worker.shared.ledger().end(&name());
        assert!(worker.end(job, ended).is_none());
        let counts = [worker.counted(RecordResult::Done), worker.counted(RecordResult::Abandoned)];
        assert_eq!((worker.shared.stopping(), counts), (None, [0, 0]));
    }
}

#[test]
fn a_command_that_could_not_be_started_spends_no_attempt_and_is_noted_once() {
    let mut worker = Worker::new(OnFailure::Stop, 1);
    let lacking = || Ended::NotStarted("./handler: no descriptor is left".into());
    let notes = |worker: &mut Worker| worker.said().matches("a command can't be started").count();
    for _ in 0..3 {
        let job = worker.job(1);
        assert!(worker.end(job, lacking()).is_none());
        let due = worker.shared.ledger().next_retry().unwrap();
        assert!(due >= worker.now + START_PAUSE);
        worker.now = due;
    }
    assert_eq!((notes(&mut worker), worker.shared.tally.failed_attempts.total()), (1, 0));
    assert_eq!(worker.shared.health.lack().as_deref(), Some("./handler: no descriptor is left"));
    worker.now += START_NOTE;
    let job = worker.job(1);
    assert!(worker.end(job, lacking()).is_none());
    assert_eq!(notes(&mut worker), 2);
}

#[test]
fn a_record_that_is_returned_was_abandoned_only_where_its_command_was_terminated() {
    let mut worker = Worker::new(OnFailure::Stop, 2);
    let (waiting, broken_off) = (worker.job(1), worker.job(1));
    worker.resolver.returned(&waiting);
    assert_eq!(worker.counted(RecordResult::Abandoned), 0);
    worker.shared.ledger().terminate(&[name()]);
    worker.resolver.returned(&broken_off);
    assert_eq!(worker.counted(RecordResult::Abandoned), 1);
    assert_eq!((worker.committable(), worker.running(), worker.shared.stopping()), (Some(0), 0, None));
}

#[test]
fn failures_in_a_row_look_like_an_outage_and_stop_the_worker_before_the_next_dead_letter() {
    let mut worker = Worker::with(OnFailure::Dlq, 4, |failing| failing.on_outage = OnOutage::Stop);
    for _ in 0..2 {
        let job = worker.job(2);
        let letter = worker.end(job, Ended::Exit(1)).unwrap();
        worker.resolver.sent(&letter.job, Ok(()));
    }
    let job = worker.job(2);
    assert!(worker.end(job, Ended::Exit(1)).is_none(), "no dead letter");
    assert_eq!(worker.committable(), Some(2));
    assert!(worker.policy_stop().starts_with("too many records failed in a row"));
}

#[test]
fn a_status_that_the_map_skips_is_no_failure_in_a_row() {
    let mut worker = Worker::new(OnFailure::Skip, 6);
    for _ in 0..6 {
        let job = worker.job(1);
        assert!(worker.end(job, Ended::Exit(3)).is_none());
    }
    assert_eq!((worker.committable(), worker.shared.stopping()), (Some(6), None));
}
