//! What becomes of a batch after each way in which its command can end.

use super::*;
use crate::worker::batch::Batching;

/// A worker that has been given records, and the batch of all of them.
fn batch(on_failure: OnFailure, records: i64) -> (Worker, Vec<Job>) {
    let worker = Worker::new(on_failure, 0);
    let limits = Capacity { jobs: 8, max_span: 50, queue_len: 40, queue_bytes: 1 << 20, count: None };
    let batching = Batching { records: 40, bytes: 1 << 20, wait: Duration::ZERO };
    *worker.shared.ledger() = Ledger::new(Order::Key, limits).in_batches(batching);
    worker.shared.ledger().assign(&name(), Some(0), None);
    for offset in 0..records {
        let record = Record { topic: "orders".into(), offset, ..Record::default() };
        record.with_ref(|record| worker.shared.ledger().receive(record));
    }
    let batch = worker.shared.ledger().next_batch(worker.now).unwrap();
    assert_eq!(batch.len() as i64, records);
    (worker, batch)
}

fn end(worker: &Worker, batch: &[Job], ended: Ended) -> After {
    worker.resolver.ran_batch(batch, &attempt(ended), Printed::Delivered, worker.now)
}

#[test]
fn a_batch_that_succeeds_is_done_and_counts_as_one_attempt() {
    let (worker, batch) = batch(OnFailure::Stop, 5);
    assert_eq!(end(&worker, &batch, Ended::Exit(0)), After::Settled);
    assert_eq!((worker.committable(), worker.counted(RecordResult::Done)), (Some(5), 5));
    assert_eq!(worker.shared.tally.failed_attempts.total(), 0);
}

#[test]
fn a_failure_that_a_record_may_cause_halves_the_batch_and_decides_nothing() {
    for ended in [Ended::Exit(1), Ended::Exit(65), Ended::Exit(3), Ended::Signal(9), Ended::Timeout] {
        let (worker, batch) = batch(OnFailure::Dlq, 5);
        assert_eq!(end(&worker, &batch, ended), After::Halve);
        assert_eq!((worker.committable(), worker.running()), (Some(0), 5));
        assert_eq!(worker.shared.tally.failed_attempts.total(), 1);
        assert!(worker.shared.stopping().is_none());
    }
}

#[test]
fn a_temporary_failure_retries_all_until_the_attempts_are_spent() {
    for ended in [Ended::Exit(75), Ended::Exit(111)] {
        let (mut worker, batch) = batch(OnFailure::Dlq, 5);
        assert_eq!(end(&worker, &batch, ended.clone()), After::Settled);
        worker.shared.ledger().end_batch(batch[0].ticket.epoch);
        worker.now += Duration::from_secs(1);
        let again = worker.shared.ledger().next_batch(worker.now).unwrap();
        assert_eq!((again.len(), again[0].attempt), (5, 2));
        assert_eq!(end(&worker, &again, ended), After::Halve, "one retry is all there is");
        assert_eq!(worker.running(), 5);
    }
}

#[test]
fn a_command_that_can_not_be_started_spends_no_attempt_and_one_that_can_not_run_stops_the_worker() {
    let (mut worker, batch) = batch(OnFailure::Dlq, 5);
    let lacks = Ended::NotStarted("no memory".into());
    assert_eq!(end(&worker, &batch, lacks), After::Settled);
    worker.shared.ledger().end_batch(batch[0].ticket.epoch);
    worker.now += Duration::from_secs(1);
    let again = worker.shared.ledger().next_batch(worker.now).unwrap();
    assert_eq!((again.len(), again[0].attempt), (5, 1));
    assert_eq!(end(&worker, &again, Ended::Exit(127)), After::Settled);
    let Some(StopReason::Broken(why)) = worker.shared.stopping() else { panic!("it goes on") };
    assert!(why.starts_with("orders[0]@0..4: ./handler: status 127\n  stderr: first"), "{why}");
    assert_eq!((worker.committable(), worker.running()), (Some(0), 0));
    assert!(worker.said().contains("can't be started: no memory"));
}

#[test]
fn a_batch_that_was_terminated_or_whose_output_is_lost_is_abandoned() {
    let (worker, batch1) = batch(OnFailure::Dlq, 5);
    assert_eq!(end(&worker, &batch1, Ended::Terminated), After::Settled);
    assert_eq!((worker.committable(), worker.counted(RecordResult::Abandoned)), (Some(0), 5));
    let (worker, batch2) = batch(OnFailure::Dlq, 5);
    let success = attempt(Ended::Exit(0));
    assert_eq!(worker.resolver.ran_batch(&batch2, &success, Printed::Lost, worker.now), After::Settled);
    assert_eq!((worker.committable(), worker.counted(RecordResult::Done)), (Some(0), 0));
}

#[test]
fn a_batch_of_a_partition_that_has_left_counts_for_nothing() {
    let (worker, batch) = batch(OnFailure::Dlq, 5);
    worker.shared.ledger().end(&name());
    assert_eq!(end(&worker, &batch, Ended::Exit(0)), After::Settled);
    assert_eq!(worker.counted(RecordResult::Done), 0);
}
