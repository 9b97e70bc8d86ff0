//! A consume against a cluster in memory.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;

use super::*;
use crate::cli::{self, Command};
use crate::commands;
use crate::kafka::errors::Code;
use crate::kafka::fake::{Cluster, Question, Step};
use crate::kafka::properties::Librdkafka;

mod failures;
mod group;
mod outage;
mod starts;
mod topics;

/// What a consume printed, what it said, and how it ended.
struct Ended {
    outcome: anyhow::Result<Exit>,
    stdout: String,
    stderr: String,
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

impl Ended {
    /// The exit status.
    fn status(&self) -> u8 {
        self.outcome.as_ref().map_or_else(exit::of_error, |exit| *exit).code()
    }

    /// The error that it ended with.
    fn error(&self) -> String {
        format!("{:#}", self.outcome.as_ref().unwrap_err())
    }
}

/// What a test can have happen to a run.
#[derive(Default)]
struct Run {
    causes: Arc<errors::Causes>,
    shutdown: Shutdown,
    /// In the place of a file that takes all.
    stdout: Option<File>,
}

impl Run {
    /// Runs `kq consume` with these arguments to its end.
    fn consume(self, cluster: &Cluster, arguments: &[&str]) -> Ended {
        let line = ["kq", "consume"].iter().chain(arguments).map(Into::into);
        let cli = cli::parse(line).unwrap();
        let Command::Consume(args) = &cli.command else { unreachable!("consume is named") };
        let mut config = Config::resolve_with(&cli.connection, &|_| None, &Librdkafka).unwrap();
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        config.log = config.log.to_file(stderr.try_clone().unwrap());
        let settings = commands::consume::settings(args, &config).unwrap();
        let mut topics = cluster.topics();
        topics.retain(|topic| settings.topics.matches(&topic.name));
        let connected = Connected { consumer: cluster.consumer(), topics, causes: self.causes };
        let printing = Printing {
            output: Output::to_file(self.stdout.unwrap_or_else(|| stdout.try_clone().unwrap())),
            sink: Sink::new(commands::consume::sink(args, Reader::Program).unwrap()),
        };
        let mut session =
            Session::new(&settings, &config, &connected, &self.shutdown, cluster.clock(), printing);
        let outcome = session.begin_reading().and_then(|()| session.run());
        assert!(config.log.flush());
        Ended { outcome, stdout: text(stdout), stderr: text(stderr) }
    }

    /// Takes all brokers away, in the client's eyes, when this step is reached; this many questions
    /// are not answered from then on.
    fn outage(&self, questions: usize) -> Step {
        let causes = Arc::clone(&self.causes);
        Step::Do(Box::new(move |cluster| {
            causes.error(Code::AllBrokersDown, "1/1 brokers are down");
            cluster.refuse(Question::Metadata, vec![Code::BrokerTransportFailure; questions]);
        }))
    }
}

/// Runs `kq consume` with these arguments to its end.
fn consume(cluster: &Cluster, arguments: &[&str]) -> Ended {
    Run::default().consume(cluster, arguments)
}

/// A topic of one partition with four records, `a` to `d`.
fn orders() -> Cluster {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.append("orders", 0, ["a", "b", "c", "d"]);
    cluster
}

#[test]
fn every_partition_is_read_to_its_end() {
    let cluster = Cluster::new().with_topic("orders", 2).with_topic("other", 1);
    cluster.append("orders", 0, ["a", "b"]);
    cluster.append("orders", 1, ["c"]);
    cluster.append("other", 0, ["x"]);
    let ended = consume(&cluster, &["orders", "--end"]);
    assert_eq!((ended.outcome.unwrap(), &*ended.stdout, &*ended.stderr), (Exit::Done, "a\nb\nc\n", ""));
    assert_eq!(cluster.calls(), ["assign orders[0] orders[1]"]);
}

#[test]
fn a_group_commits_what_was_written() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.append("orders", 0, ["a", "b", "c"]);
    cluster.commit("orders", 0, 1);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.outcome.unwrap(), &*ended.stdout), (Exit::Done, "b\nc\n"));
    assert_eq!(cluster.committed("orders", 0), Some(3));
    assert_eq!(cluster.calls(), ["subscribe orders", "store orders[0]@3", "commit_stored", "close"]);
}

#[test]
fn a_partition_that_leaves_is_stored_before_it_does() {
    let cluster = Cluster::new().with_topic("orders", 2);
    cluster.append("orders", 0, ["a", "b"]);
    cluster.append("orders", 1, ["c", "d"]);
    cluster.then([
        Step::Assign(vec![("orders", 0), ("orders", 1)]),
        Step::Records(1),
        Step::Revoke(vec![("orders", 0)]),
    ]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.outcome.unwrap(), &*ended.stdout), (Exit::Done, "a\nc\nd\n"));
    assert_eq!(cluster.calls_of("store"), ["store orders[0]@1", "store orders[1]@2"]);
    assert_eq!((cluster.committed("orders", 0), cluster.committed("orders", 1)), (Some(1), Some(2)));
}

#[test]
fn a_partition_that_was_lost_is_not_stored() {
    let cluster = Cluster::new().with_topic("orders", 2);
    cluster.append("orders", 0, ["a", "b"]);
    cluster.then([
        Step::Assign(vec![("orders", 0), ("orders", 1)]),
        Step::Records(1),
        Step::Lose(vec![("orders", 0)]),
    ]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!(ended.stdout, "a\n");
    assert_eq!(cluster.committed("orders", 0), None);
}

#[test]
fn a_log_that_was_cut_is_said_and_read_again_from_the_cut() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.append("orders", 0, ["a", "b", "c", "d"]);
    cluster.commit("orders", 0, 0);
    cluster.then([
        Step::Records(3),
        // Of three records that were read, two are there and one is another.
        Step::Do(Box::new(|cluster| cluster.cut("orders", 0, 2))),
        Step::Records(1),
        Step::Do(Box::new(|cluster| cluster.append("orders", 0, ["C"]))),
    ]);
    let ended = consume(&cluster, &["orders", "-g", "g", "-c", "4"]);
    assert_eq!((ended.outcome.unwrap(), &*ended.stdout), (Exit::Failed, "a\nb\nc\nC\n"));
    assert!(
        ended.stderr.contains(
            "orders[0]: its log was cut at 2 (by an unclean election?) and offset 3 is beyond that"
        ),
        "{}",
        ended.stderr
    );
    assert_eq!(cluster.calls_of("restart"), ["restart orders[0]@2"]);
    assert_eq!(cluster.calls_of("commit"), ["commit orders[0]@2"]);
    assert_eq!(cluster.committed("orders", 0), Some(3));
}

#[test]
fn records_that_retention_took_are_counted_and_passed() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.append("orders", 0, ["a", "b", "c", "d"]);
    cluster.commit("orders", 0, 1);
    cluster.expire("orders", 0, 3);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!((ended.outcome.unwrap(), &*ended.stdout), (Exit::Failed, "d\n"));
    assert!(ended.stderr.contains("orders[0]: 1..3 gone"), "{}", ended.stderr);
    assert_eq!(cluster.calls_of("restart"), ["restart orders[0]@3"]);
}

#[test]
fn a_leader_that_is_elected_is_waited_for() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.append("orders", 0, ["a"]);
    cluster.refuse(Question::Watermarks, [Code::LeaderNotAvailable]);
    let ended = consume(&cluster, &["orders", "--end"]);
    assert_eq!((ended.outcome.unwrap(), &*ended.stdout), (Exit::Done, "a\n"));
}

#[test]
fn a_question_that_is_refused_ends_it() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.refuse(Question::Committed, [Code::GroupAuthorizationFailed]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    let error = format!("{:#}", ended.outcome.unwrap_err());
    assert!(error.starts_with("committed offsets of group g: not authorised"), "{error}");
}

#[test]
fn a_commit_that_fails_is_said() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.append("orders", 0, ["a"]);
    cluster.refuse(Question::Commit, [Code::GroupAuthorizationFailed]);
    let ended = consume(&cluster, &["orders", "-g", "g", "--end"]);
    assert_eq!(ended.outcome.unwrap(), Exit::Failed);
    assert!(ended.stderr.contains("the last commit of group g failed"), "{}", ended.stderr);
}
