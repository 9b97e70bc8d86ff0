//! What ends a consume with an error, and what is committed then.

use super::*;

/// A consume to which this error comes after its first record.
fn failing(code: Code, reason: &'static str) -> (Cluster, Ended) {
    let cluster = orders();
    cluster.then([Step::Records(1), Step::Error("", -1, code, reason)]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    (cluster, ended)
}

#[test]
fn a_fenced_member_ends_with_76() {
    let (_, ended) = failing(Code::Fatal, "Static consumer fenced by another");
    assert_eq!((ended.status(), &*ended.error()), (76, "fenced: Static consumer fenced by another"));
}

#[test]
fn a_protocol_that_the_brokers_do_not_speak_ends_with_2() {
    let (_, ended) = failing(Code::Fatal, "ConsumerGroupHeartbeat API is not supported by the broker");
    assert_eq!((ended.status(), &*ended.error()), (2, errors::UNSUPPORTED));
    // Some brokers say so in librdkafka's log alone.
    let (cluster, run) = (orders(), Run::default());
    run.causes.log(7, "COORD", "ConsumerGroupHeartbeat is not supported");
    cluster.then([Step::Nothing]);
    let ended = run.consume(&cluster, &["orders", "-g", "g", "--group-protocol", "consumer"]);
    assert_eq!((ended.status(), &*ended.error()), (2, errors::UNSUPPORTED));
}

#[test]
fn a_broker_without_a_thread_ends_it_with_2() {
    let (cluster, run) = (orders(), Run::default());
    run.causes.error(Code::CriticalSystemResource, "Unable to create broker thread");
    cluster.then([Step::Nothing]);
    let ended = run.consume(&cluster, &["orders"]);
    assert_eq!((ended.status(), &*ended.error()), (2, threads::NO_MORE));
}

#[test]
fn what_is_not_permitted_ends_with_2_and_the_reason() {
    for code in [Code::TopicAuthorizationFailed, Code::GroupAuthorizationFailed, Code::Authentication] {
        let (_, ended) = failing(code, "authorization failed");
        assert_eq!((ended.status(), &*ended.error()), (2, "authorization failed"), "{code}");
    }
    let (_, ended) = failing(Code::InconsistentGroupProtocol, "Inconsistent group protocol");
    assert!(ended.error().contains("--assignor names theirs"), "{}", ended.error());
}

#[test]
fn questions_that_are_refused_end_it() {
    for (question, code, arguments) in [
        (Question::Watermarks, Code::TopicAuthorizationFailed, &["orders", "--end"][..]),
        (Question::Times, Code::TopicAuthorizationFailed, &["orders", "-o", "@1ms", "--end"]),
        (Question::Committed, Code::GroupAuthorizationFailed, &["orders", "-g", "g", "--end"]),
    ] {
        let cluster = orders();
        cluster.refuse(question, [code]);
        let ended = consume(&cluster, arguments);
        assert_eq!((ended.status(), &*ended.stdout), (2, ""), "{question:?}");
        assert!(ended.error().contains("not authorised"), "{}", ended.error());
        assert_eq!(cluster.clock().passed(), Duration::ZERO, "{question:?} is asked once");
    }
}

#[test]
fn other_errors_of_a_partition_are_passed_over() {
    let (cluster, ended) = failing(Code::NotLeaderForPartition, "Not leader for partition");
    assert_eq!((ended.status(), &*ended.stdout), (0, "a\nb\nc\nd\n"));
    assert_eq!(cluster.committed("orders", 0), Some(4));
}

/// The writing end of a pipe that nobody reads.
fn closed() -> File {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    File::from(std::os::fd::OwnedFd::from(writer))
}

#[test]
fn a_closed_stdout_ends_with_0_and_commits_nothing_more() {
    let cluster = orders();
    let run = Run { stdout: Some(closed()), ..Run::default() };
    let ended = run.consume(&cluster, &["orders", "-g", "g"]);
    assert_eq!((ended.status(), &*ended.stderr), (0, ""));
    assert_eq!(cluster.calls_of("store"), [""; 0]);
    assert_eq!(cluster.committed("orders", 0), None);
}

#[test]
fn a_closed_stdout_is_noticed_while_nothing_comes() {
    let cluster = Cluster::new().with_topic("orders", 1);
    let run = Run { stdout: Some(closed()), ..Run::default() };
    assert_eq!(run.consume(&cluster, &["orders"]).status(), 0);
}

#[test]
fn a_stdout_that_can_not_be_written_ends_with_an_error_and_commits_nothing() {
    let cluster = orders();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = Run { stdout: Some(full), ..Run::default() };
    let ended = run.consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert!(ended.error().starts_with("write stdout: nothing after it is committed"), "{}", ended.error());
    assert_eq!(cluster.committed("orders", 0), None);
}
