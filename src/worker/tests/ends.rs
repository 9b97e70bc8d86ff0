//! How a worker ends: the last commit, the exit status, and what it names.

use super::*;

/// A time for ending that is over in milliseconds.
const SHORT: Duration = Duration::from_millis(56);

/// A worker that has run all six records, and the outcome of its end.
fn end(
    stop: StopReason,
    flags: Flags,
    prepare: impl FnOnce(&Cluster),
) -> (Cluster, anyhow::Result<Exit>, String) {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::with(flags);
    let mut poller = worker.poller(&consumer, Start::Beginning, Some(End::End));
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all().len(), 6);
    prepare(&cluster);
    let outcome = ending::end(&mut poller, stop, true);
    drop(poller);
    let said = worker.said();
    (cluster, outcome, said)
}

#[test]
fn the_last_commit_is_tried_again_during_a_rebalance() {
    let (cluster, outcome, _) = end(StopReason::Complete, Flags::default(), |cluster| {
        // The first is that of a commit which is not waited for.
        cluster.refuse(Question::Commit, [Code::IllegalGeneration; 3]);
    });
    assert_eq!(status(&outcome), 0);
    assert_eq!(cluster.calls_of("commit_stored").len(), 3);
    assert_eq!(cluster.committed("orders", 0), Some(6));
}

#[test]
fn partitions_that_leave_during_the_last_commit_are_committed_as_they_do() {
    let (cluster, outcome, _) = end(StopReason::Complete, Flags::default(), |cluster| {
        cluster.refuse(Question::Commit, [Code::IllegalGeneration; 2]);
        cluster.then([Step::Revoke(vec![("orders", 0)])]);
    });
    assert_eq!((status(&outcome), cluster.committed("orders", 0)), (0, Some(6)));
}

#[test]
fn a_last_commit_that_fails_ends_with_1_and_says_what_runs_again() {
    for (code, why) in [
        (Code::GroupAuthorizationFailed, "not authorised for this group"),
        (Code::OperationTimedOut, "no answer in time"),
    ] {
        let flags = Flags { ending: Some(SHORT), ..Flags::default() };
        let (cluster, outcome, _) = end(StopReason::Complete, flags, |cluster| {
            cluster.refuse(Question::Commit, vec![code; 1_000_000]);
        });
        let error = format!("{:#}", outcome.as_ref().unwrap_err());
        assert_eq!(status(&outcome), 1);
        assert!(error.starts_with("the last commit failed (") && error.contains(why), "{error}");
        assert!(error.ends_with("what was done since the one before runs again"), "{error}");
        assert_eq!(cluster.calls_of("close"), ["close"], "it leaves the group all the same");
    }
}

#[test]
fn a_fenced_worker_ends_with_76_and_stores_nothing() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 500);
    assert_eq!(worker.run_all().len(), 6);
    let stored = cluster.calls_of("store");
    cluster.then([Step::Error("", -1, Code::Fatal, "Static consumer fenced by another")]);
    poller.poll(Duration::ZERO, 500);
    let stop = worker.shared.stopping().unwrap();
    assert_eq!(stop, StopReason::Fenced("Static consumer fenced by another".to_owned()));
    assert_eq!(status(&ending::end(&mut poller, stop, false)), 76);
    assert_eq!((cluster.calls_of("store"), cluster.committed("orders", 0)), (stored, None));
}

#[test]
fn a_broker_without_a_thread_stops_it() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    cluster.then([Step::Nothing]);
    Observer::error(&*worker.watch, Code::CriticalSystemResource, "Unable to create broker thread");
    let lacking = StopReason::Failed(crate::threads::NO_MORE.to_owned());
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), lacking);
}

#[test]
fn a_protocol_that_the_brokers_do_not_speak_ends_with_2() {
    let unsupported = StopReason::Failed(crate::kafka::errors::UNSUPPORTED.to_owned());
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let reason = "ConsumerGroupHeartbeat API is not supported by the broker";
    cluster.then([Step::Nothing, Step::Error("", -1, Code::Fatal, reason)]);
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    let stop = poller.run();
    assert_eq!(stop, unsupported);
    assert_eq!(status(&ending::end(&mut poller, stop, false)), 2);
    // Some brokers say so in librdkafka's log alone.
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    cluster.then([Step::Nothing]);
    Observer::log(&*worker.watch, 7, "COORD", "ConsumerGroupHeartbeat is not supported");
    assert_eq!(worker.poller(&consumer, Start::Beginning, None).run(), unsupported);
}

#[test]
fn a_record_that_does_not_end_is_abandoned_and_named() {
    let (cluster, consumer) = subscribed();
    let mut worker = Worker::with(Flags { ending: Some(SHORT), ..Flags::default() });
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 3);
    let jobs: Vec<Job> = worker.jobs();
    assert!(worker.shared.ledger().finish(jobs[0].ticket, Outcome::Resolved));
    let outcome = ending::end(&mut poller, StopReason::Signal(15), false);
    drop(poller);
    assert_eq!(status(&outcome), 75);
    assert_eq!(cluster.committed("orders", 0), Some(1));
    let said = worker.said();
    for offset in &jobs[1..] {
        let offset = offset.record.offset;
        assert!(said.contains(&format!("orders[0]@{offset}: abandoned, it runs again")), "{said}");
    }
}

#[test]
fn a_signal_ends_with_its_number_where_there_was_an_end_and_with_0_where_there_was_none() {
    for (has_end, code) in [(true, 128 + 15), (false, 0)] {
        let (cluster, consumer) = subscribed();
        let mut worker = Worker::new();
        let mut poller = worker.poller(&consumer, Start::Beginning, None);
        poller.poll(Duration::ZERO, 500);
        assert_eq!(worker.run_all().len(), 6);
        let outcome = ending::end(&mut poller, StopReason::Signal(15), has_end);
        drop(poller);
        assert_eq!((status(&outcome), cluster.committed("orders", 0)), (code, Some(6)));
        assert_eq!(worker.said().contains("stopped by signal 15; last: orders[0]@5"), has_end);
    }
}

#[test]
fn a_closed_stdout_ends_with_0_and_starts_nothing_more() {
    let (cluster, consumer) = subscribed();
    let worker = Worker::new();
    let mut poller = worker.poller(&consumer, Start::Beginning, None);
    poller.poll(Duration::ZERO, 2);
    assert_eq!(status(&ending::end(&mut poller, StopReason::Closed, true)), 0);
    assert_eq!((worker.run_all(), cluster.committed("orders", 0)), (vec![], Some(0)));
}

#[test]
fn a_group_that_waits_for_who_has_left_is_said_and_changes_no_status() {
    for (held, is_said) in [(3, false), (5, true)] {
        let (cluster, consumer) = subscribed();
        cluster.hold_joins(Duration::from_secs(held));
        let mut worker = Worker::with(Flags { ending: Some(Duration::from_secs(28)), ..Flags::default() });
        let mut poller = worker.poller(&consumer, Start::Beginning, Some(End::Offset(4)));
        poller.poll(Duration::ZERO, 500);
        assert_eq!(worker.run_all(), [0, 1, 2, 3]);
        let exit = ending::end(&mut poller, StopReason::Complete, true).unwrap();
        assert_eq!((exit, cluster.committed("orders", 0)), (Exit::Done, Some(4)));
        let note = "the group waits up to session.timeout.ms (45 s) for this member";
        let said = worker.said();
        assert_eq!(said.contains(note), is_said, "{said}");
    }
}
