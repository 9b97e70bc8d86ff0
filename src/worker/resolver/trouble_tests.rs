//! What the worker does while what its command needs is away, and while its command is being replaced.

use proptest::prelude::*;

use super::tests::{Worker, name};
use super::*;
use crate::worker::deploy::DEPLOY;
use crate::worker::ledger::Ticket;
use crate::worker::policy::{OnFailure, Retries};

const SECOND: Duration = Duration::from_secs(1);

/// A worker that is paused at its third failure: 0 and 1 are in the dead letters, 2 is kept.
fn paused(on_failure: OnFailure, records: i64, change: impl FnOnce(&mut Failing)) -> Worker {
    let mut worker = Worker::with(on_failure, records, change);
    for _ in 0..3 {
        let job = worker.job(2);
        worker.give_up(job, Ended::Exit(1));
    }
    assert!(worker.is_paused());
    worker
}

/// The next probe, once it is due: none other is given out.
fn probe(worker: &mut Worker) -> Job {
    let due = worker.shared.ledger().next_retry().expect("something is to be tried");
    if due > worker.now {
        assert!(worker.next().is_none(), "not before it is due");
        worker.now = due;
    }
    let job = worker.next().expect("a probe");
    assert!(worker.next().is_none(), "one at a time");
    let next = worker.shared.ledger().next_retry();
    assert!(next.is_none_or(|next| next >= worker.now + SECOND), "not before the longest backoff");
    job
}

#[test]
fn while_paused_one_record_at_a_time_is_tried_and_the_next_lane_each_time() {
    let mut worker = paused(OnFailure::Dlq, 9, |failing| failing.backoff = "1s..1h".parse().unwrap());
    let mut tried = Vec::new();
    for _ in 0..4 {
        let job = probe(&mut worker);
        tried.push((job.ticket.offset, job.attempt));
        assert!(worker.end(job, Ended::Exit(75)).is_none());
    }
    // Every second one is at one that has failed most, of which the one that waits longest.
    assert_eq!(tried, [(3, 1), (2, 2), (4, 1), (3, 2)]);
    assert_eq!(worker.shared.stopping(), None);
}

#[test]
fn a_success_ends_the_pause_and_what_failed_in_it_goes_on_with_the_attempts_that_it_had() {
    let mut worker = paused(OnFailure::Dlq, 9, |failing| failing.backoff = "1s..1h".parse().unwrap());
    let dead = worker.counted(RecordResult::DeadLettered);
    let failed = probe(&mut worker);
    assert_eq!((failed.ticket.offset, failed.attempt), (3, 1));
    worker.end(failed, Ended::Exit(1));
    let kept = probe(&mut worker);
    assert_eq!((kept.ticket.offset, kept.attempt), (2, 2), "it is spent, and is not given up yet");
    worker.end(kept, Ended::Exit(1));
    let done = probe(&mut worker);
    worker.end(done, Ended::Exit(0));
    assert!(!worker.is_paused());
    assert_eq!(worker.counted(RecordResult::DeadLettered), dead);
    worker.now += Duration::from_hours(2);
    let next: Vec<(i64, u32)> =
        std::iter::from_fn(|| worker.next()).map(|job| (job.ticket.offset, job.attempt)).collect();
    assert_eq!(next[..3], [(2, 2), (3, 1), (5, 1)]);
    let said = worker.said();
    assert_eq!(said.matches("kq: paused: too many records failed in a row").count(), 1, "{said}");
    assert_eq!(said.matches("kq: the pause is over after ").count(), 1, "{said}");
}

#[test]
fn what_runs_when_the_pause_begins_is_kept_and_spends_nothing() {
    let mut worker = Worker::new(OnFailure::Dlq, 9);
    let jobs: Vec<Job> = (0..4).map(|_| worker.job(1)).collect();
    for job in jobs {
        worker.end(job, Ended::Exit(1));
    }
    worker.now += SECOND;
    let jobs: Vec<Job> = (0..4).map(|_| worker.next().unwrap()).collect();
    assert_eq!(jobs.iter().map(|job| job.attempt).collect::<Vec<_>>(), [2; 4]);
    for job in jobs {
        worker.give_up(job, Ended::Exit(1));
    }
    assert_eq!(worker.counted(RecordResult::DeadLettered), 2);
    assert_eq!(worker.shared.ledger().partitions()[0].committable, Some(2));
}

#[test]
fn what_a_process_gives_back_since_the_worker_is_paused_comes_again_in_its_turn() {
    let mut worker = Worker::new(OnFailure::Dlq, 9);
    let waiting = worker.job(1);
    assert!(!worker.shared.ledger().is_held_back(waiting.ticket));
    for _ in 0..3 {
        let job = worker.job(2);
        worker.give_up(job, Ended::Exit(1));
    }
    assert!(worker.shared.ledger().is_held_back(waiting.ticket));
    worker.resolver.returned(&waiting);
    let job = probe(&mut worker);
    assert!(!worker.shared.ledger().is_held_back(job.ticket));
    worker.end(job, Ended::Exit(0));
    worker.now += SECOND;
    assert_eq!(worker.next().map(|job| (job.ticket, job.attempt)), Some((waiting.ticket, 1)));
}

#[test]
fn the_state_survives_that_all_partitions_leave_and_come_again() {
    let mut worker = paused(OnFailure::Skip, 5, |_| {});
    let lost = probe(&mut worker);
    worker.shared.ledger().end(&name());
    assert!(worker.is_paused());
    worker.assign(2..5);
    worker.end(lost, Ended::Exit(0));
    assert!(worker.is_paused(), "it says nothing any more");
    let job = probe(&mut worker);
    assert_eq!(job.ticket, Ticket { epoch: 2, offset: 2 });
    worker.end(job, Ended::Exit(0));
    assert!(!worker.is_paused());
}

#[test]
fn a_topic_of_nothing_but_bad_records_drains_at_one_in_each_longest_backoff() {
    for on_failure in [OnFailure::Dlq, OnFailure::Skip] {
        let mut worker = Worker::new(on_failure, 30);
        let (start, mut given_up) = (worker.now, 0);
        for _ in 0..1000 {
            if worker.shared.ledger().partitions()[0].committable == Some(30) {
                break;
            }
            let due = worker.shared.ledger().next_retry();
            let Some(job) = worker.next() else {
                worker.now = due.expect("it always moves");
                continue;
            };
            let was_paused = worker.is_paused();
            let before = worker.counted(RecordResult::DeadLettered) + worker.counted(RecordResult::Skipped);
            worker.give_up(job, Ended::Exit(1));
            let after = worker.counted(RecordResult::DeadLettered) + worker.counted(RecordResult::Skipped);
            given_up += u32::from(was_paused && after > before);
        }
        assert_eq!(worker.shared.ledger().partitions()[0].committable, Some(30), "all of it is resolved");
        assert!(worker.now - start >= SECOND * given_up, "{given_up} within {:?}", worker.now - start);
        assert_eq!(given_up, 28, "but for the two before the pause");
    }
}

#[test]
fn bad_data_is_no_outage_and_a_pause_gives_up_no_more_of_it_at_once() {
    let mut worker = Worker::new(OnFailure::Dlq, 12);
    for _ in 0..8 {
        let job = worker.job(1);
        worker.give_up(job, Ended::Protocol("failed: no name".into()));
    }
    assert!(!worker.is_paused());
    assert_eq!(worker.counted(RecordResult::DeadLettered), 8);
    for _ in 0..3 {
        let job = worker.job(2);
        worker.give_up(job, Ended::Exit(1));
    }
    assert!(worker.is_paused());
    let job = probe(&mut worker);
    worker.give_up(job, Ended::Exit(65));
    assert!(worker.is_paused(), "it does not reset either");
    assert_eq!(worker.counted(RecordResult::DeadLettered), 10);
}

#[test]
fn a_dead_letter_that_does_not_leave_keeps_no_probe_from_being_tried() {
    let mut worker = paused(OnFailure::Dlq, 9, |_| {});
    worker.now += SECOND;
    let given_up = loop {
        let job = probe(&mut worker);
        if let Some(letter) = worker.end(job, Ended::Exit(1)) {
            break letter;
        }
    };
    // The dead letters' topic can't be written: it is not resolved.
    for _ in 0..4 {
        let job = probe(&mut worker);
        assert!(worker.end(job, Ended::Exit(65)).is_none(), "one dead letter at a time");
    }
    let job = probe(&mut worker);
    worker.end(job, Ended::Exit(0));
    assert!(!worker.is_paused(), "what the command needs is back");
    assert_eq!(worker.running(), 1);
    worker.resolver.sent(&given_up.job, Ok(()));
    assert_eq!(worker.counted(RecordResult::DeadLettered), 3);
}

#[test]
fn a_dead_letter_that_a_pause_lets_leave_takes_no_place_of_a_command() {
    let mut worker = Worker::new(OnFailure::Dlq, 20);
    let hang: Vec<Job> = (0..7).map(|_| worker.job(1)).collect(); // One command is left.
    for _ in 0..3 {
        let job = worker.job(2);
        worker.give_up(job, Ended::Exit(1));
    }
    worker.now += SECOND;
    let letter = loop {
        let job = probe(&mut worker);
        if let Some(letter) = worker.end(job, Ended::Exit(1)) {
            break letter;
        }
    };
    let job = probe(&mut worker);
    worker.end(job, Ended::Exit(0));
    assert!(!worker.is_paused());
    assert!(worker.next().is_some() && worker.next().is_none(), "nor does it once the pause is over");
    worker.resolver.sent(&letter.job, Ok(()));
    assert_eq!((worker.running(), hang.len()), (8, 7));
}

#[test]
fn a_probe_that_hangs_holds_the_next_one_back_for_the_longest_backoff() {
    let mut worker = paused(OnFailure::Dlq, 9, |failing| failing.backoff = "1s..20s".parse().unwrap());
    let hangs = probe(&mut worker);
    let since = worker.now;
    assert_eq!(worker.shared.ledger().next_retry(), Some(since + 20 * SECOND));
    let job = probe(&mut worker);
    assert_eq!((worker.now - since, worker.running()), (20 * SECOND, 2));
    assert_ne!(job.lane, hangs.lane);
    assert!(!worker.shared.ledger().is_held_back(hangs.ticket), "it is a probe all the same");
    worker.end(job, Ended::Exit(0));
    assert!(!worker.is_paused());
}

#[test]
fn on_failure_stop_never_pauses() {
    let mut worker = Worker::new(OnFailure::Stop, 5);
    let job = worker.job(2);
    worker.end(job, Ended::Exit(1));
    assert!(!worker.is_paused());
    assert!(worker.policy_stop().contains("it is not committed"));
}

#[test]
fn a_record_is_tried_for_so_long_and_a_pause_does_not_count_once_it_is_over() {
    let retries = |failing: &mut Failing| failing.policy.retries = Retries::For(3 * SECOND);
    let mut worker = Worker::with(OnFailure::Dlq, 1, retries);
    let start = worker.now;
    loop {
        let Some(job) = worker.next() else {
            worker.now = worker.shared.ledger().next_retry().unwrap();
            continue;
        };
        if let Some(letter) = worker.end(job, Ended::Exit(1)) {
            worker.resolver.sent(&letter.job, Ok(()));
            break;
        }
    }
    assert_eq!(worker.now - start, 3 * SECOND, "the last attempt is when the time is up");
}

#[test]
fn a_command_that_has_worked_and_cannot_be_run_is_waited_for_without_an_attempt() {
    let mut worker = Worker::new(OnFailure::Dlq, 3);
    let job = worker.job(1);
    worker.end(job, Ended::Exit(0));
    for ended in [Ended::Exit(127), Ended::Exit(126), Ended::Exit(78), Ended::CannotRun("gone".into())] {
        let job = worker.job(1);
        assert!(worker.end(job, ended).is_none());
        assert!(worker.shared.health.lack().is_some());
        worker.now += SECOND;
    }
    let job = worker.job(1);
    worker.end(job, Ended::Exit(0));
    assert_eq!(worker.shared.health.lack(), None);
    assert_eq!(worker.shared.tally.failed_attempts.total(), 0);
    let said = worker.said();
    assert_eq!(said.matches("it is tried again for 30 s, as at a deploy").count(), 1, "{said}");
    assert!(said.contains("./handler: it can be run again, after 4.0 s"), "{said}");
}

#[test]
fn a_start_says_nothing_of_a_command_whose_status_was_that_it_cannot_be_run() {
    for (ended, is_over) in [
        (Ended::Exit(127), false),
        (Ended::CannotRun("gone".into()), true),
        (Ended::BeingWritten("Text file busy".into()), true),
        (Ended::NotStarted("fork".into()), true),
    ] {
        let mut worker = Worker::new(OnFailure::Dlq, 4);
        let job = worker.job(1);
        worker.end(job, Ended::Exit(0));
        let (older, job) = (worker.job(1), worker.job(1));
        worker.now += SECOND;
        worker.end(job, ended);
        assert!(worker.shared.health.lack().is_some());
        // It was started while nothing was lacking.
        let done = Attempt { took: 2 * SECOND, ..super::tests::attempt(Ended::Exit(0)) };
        worker.resolver.ran(older, &done, Printed::Delivered, worker.now);
        assert!(worker.shared.health.lack().is_some());
        worker.shared.health.started();
        assert_eq!(worker.shared.health.lack().is_none(), is_over);
        worker.now += 2 * SECOND;
        let job = worker.job(1);
        worker.end(job, Ended::Exit(1));
        assert_eq!(worker.shared.health.lack(), None, "it ran");
    }
}

#[test]
fn a_record_that_no_command_had_says_nothing_of_the_command() {
    let mut worker = Worker::new(OnFailure::Skip, 3);
    let job = worker.job(1);
    worker.end(job, Ended::Exit(0));
    let job = worker.job(1);
    assert!(worker.end(job, Ended::Exit(127)).is_none());
    worker.now += SECOND;
    // As where its value holds the delimiter of -D.
    let unread =
        Attempt { took: Duration::ZERO, ..super::tests::attempt(Ended::Protocol("a delimiter".into())) };
    let job = worker.job(1);
    worker.resolver.ran(job, &unread, Printed::Delivered, worker.now);
    assert!(worker.shared.health.lack().is_some(), "the command is still away");
    assert!(!worker.said().contains("it can be run again"));
    worker.now += SECOND;
    let job = worker.job(1);
    worker.end(job, Ended::Exit(0));
    assert_eq!(worker.shared.health.lack(), None);
    assert!(worker.said().contains("./handler: it can be run again, after 2.0 s"));
}

#[test]
fn after_half_a_minute_for_the_whole_worker_it_is_broken() {
    let mut worker = Worker::new(OnFailure::Dlq, 9);
    let job = worker.job(1);
    worker.end(job, Ended::Exit(0));
    let start = worker.now;
    while worker.shared.stopping().is_none() {
        let job = worker.job(1);
        worker.end(job, Ended::CannotRun("no such file".into()));
        worker.now += SECOND;
    }
    assert_eq!(worker.now - start, DEPLOY + SECOND);
    let Some(StopReason::Broken(why)) = worker.shared.stopping() else { panic!("it is broken") };
    assert!(why.contains("it has worked before, and was tried again for 30 s"), "{why}");
    assert_eq!(worker.shared.ledger().partitions()[0].committable, Some(1));
}

#[test]
fn a_record_that_the_command_always_says_it_cannot_run_for_is_no_deploy_though_others_are_done() {
    let mut worker = Worker::new(OnFailure::Dlq, 99);
    let job = worker.job(1);
    worker.end(job, Ended::Exit(0));
    let start = worker.now;
    while worker.shared.stopping().is_none() && worker.now < start + 2 * DEPLOY {
        let (bad, good) = (worker.next().unwrap(), worker.next().unwrap());
        assert_eq!(bad.ticket.offset, 1);
        worker.end(bad, Ended::Exit(127));
        worker.end(good, Ended::Exit(0));
        worker.now += SECOND;
    }
    assert!(matches!(worker.shared.stopping(), Some(StopReason::Broken(_))));
    assert_eq!(worker.now - start, DEPLOY + SECOND);
}

#[test]
fn misses_that_are_far_apart_are_not_of_one_deploy() {
    let mut worker = Worker::new(OnFailure::Dlq, 9);
    let job = worker.job(1);
    worker.end(job, Ended::Exit(0));
    for _ in 0..3 {
        let job = worker.job(1);
        worker.end(job, Ended::Exit(127));
        worker.now += 10 * DEPLOY;
    }
    assert_eq!(worker.shared.stopping(), None);
}

#[test]
fn a_status_that_the_map_calls_broken_is_no_deploy() {
    let map = |failing: &mut Failing| failing.policy.exit_map = "9=stop,127=retry".parse().unwrap();
    let mut worker = Worker::with(OnFailure::Dlq, 3, map);
    let job = worker.job(1);
    worker.end(job, Ended::Exit(0));
    let job = worker.job(1);
    worker.end(job, Ended::Exit(127));
    assert_eq!(worker.shared.tally.failed_attempts.total(), 1, "an attempt as any other");
    let job = worker.job(1);
    worker.end(job, Ended::Exit(9));
    assert!(matches!(worker.shared.stopping(), Some(StopReason::Broken(_))));
}

#[test]
fn a_file_that_is_being_written_is_waited_for_from_the_start() {
    let mut worker = Worker::new(OnFailure::Dlq, 1);
    let job = worker.job(1);
    worker.end(job, Ended::BeingWritten("Text file busy".into()));
    assert_eq!(worker.shared.stopping(), None);
    worker.now += DEPLOY;
    let job = worker.job(1);
    worker.end(job, Ended::BeingWritten("Text file busy".into()));
    assert!(matches!(worker.shared.stopping(), Some(StopReason::Broken(_))));
}

proptest! {
    #[test]
    fn whatever_fails_the_worker_moves_and_a_pause_gives_up_one_in_each_longest_backoff(
        ends in prop::collection::vec(0..100u8, 0..150),
        limit in 1..5u32,
        retries in 0..3u32,
        records in 1..25i64,
    ) {
        let mut worker = Worker::with(OnFailure::Dlq, records, |failing| {
            failing.max_consecutive_failures = limit;
            failing.policy.retries = Retries::Count(retries);
        });
        let mut running: Vec<Job> = Vec::new();
        let mut gave_up: Option<Instant> = None;
        // In the end each attempt fails.
        for end in ends.into_iter().chain(std::iter::repeat_n(99, 4000)) {
            if worker.shared.ledger().partitions()[0].committable == Some(records) {
                break;
            }
            let before = running.len();
            running.extend(std::iter::from_fn(|| worker.next()).take(1 + usize::from(end % 8)));
            let was_paused = worker.is_paused();
            prop_assert!(!was_paused || running.len() <= before + 1, "one probe at a time");
            let Some(job) = (!running.is_empty()).then(|| running.remove(usize::from(end) % running.len())) else {
                worker.now = worker.shared.ledger().next_retry().expect("it always moves").max(worker.now);
                continue;
            };
            let dead = worker.counted(RecordResult::DeadLettered);
            let ended = match end {
                0..5 => Ended::Exit(0),
                5..15 => Ended::Exit(65),
                15..25 => Ended::NotStarted("fork".into()),
                _ => Ended::Exit(1),
            };
            worker.give_up(job, ended);
            if !worker.is_paused() {
                gave_up = None;
            } else if !was_paused {
                gave_up = Some(worker.now);
            } else if worker.counted(RecordResult::DeadLettered) > dead {
                prop_assert!(gave_up.is_some_and(|last| worker.now >= last + SECOND), "too soon");
                gave_up = Some(worker.now);
            }
        }
        prop_assert_eq!(worker.shared.ledger().partitions()[0].committable, Some(records));
        let resolved = worker.counted(RecordResult::DeadLettered) + worker.counted(RecordResult::Done);
        prop_assert_eq!(resolved, records as u64);
    }
}
