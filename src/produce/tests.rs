//! A produce to a cluster in memory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};

use super::*;
use crate::cli::{self, Command};
use crate::commands;
use crate::config::Properties;
use crate::kafka::code::Code;
use crate::kafka::errors::Causes;
use crate::kafka::fake::Cluster;
use crate::kafka::properties::Librdkafka;
use crate::sending::settings::Missing;

/// Runs `kq produce` with these arguments on a file that holds this text; gives how it ended and what
/// it said.
fn produce(cluster: &Cluster, text: &str, arguments: &[&str]) -> (anyhow::Result<Exit>, String) {
    let mut input = tempfile::NamedTempFile::new().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    let line: Vec<OsString> = ["kq", "produce", "orders"].iter().chain(arguments).map(Into::into).collect();
    let cli = cli::parse(line).unwrap();
    let Command::Produce(args) = &cli.command else { unreachable!("produce is named") };
    let mut config = Config::resolve_with(&cli.connection, &|_| None, &Librdkafka).unwrap();
    let mut stderr = tempfile::tempfile().unwrap();
    config.log = config.log.to_file(File::try_clone(&stderr).unwrap());
    let mut properties = Properties::default();
    properties.set("acks", "all");
    properties.set("partitioner", "murmur2_random");
    let causes = Arc::new(Causes::new(config.log));
    let (connected, _) =
        client::await_topic(cluster.producer(), causes, &properties, &config, "orders", Missing::Refuse)
            .unwrap();
    let mut settings = commands::produce::settings(args, &config).unwrap();
    settings.inputs = Input::all(&[input.path().to_owned()]).unwrap();
    let shape = commands::produce::shape(args, None).unwrap();
    let shutdown = Shutdown::default();
    let reporter = Reporter::new(None, &settings.inputs).unwrap();
    let session = Session::new(&settings, &config, &connected, &shutdown, shape, reporter).unwrap();
    let outcome = session.run(Framer::new(&settings.delimiter));
    assert!(config.log.flush());
    let mut said = String::new();
    stderr.rewind().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    (outcome, said)
}

#[test]
fn a_full_queue_is_waited_for_and_nothing_is_lost() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.set_room(2);
    let (outcome, said) = produce(&cluster, "a\nb\nc\nd\ne\n", &[]);
    assert_eq!(outcome.unwrap(), Exit::Done, "{said}");
    assert_eq!(cluster.values("orders", 0), ["a", "b", "c", "d", "e"]);
    assert_eq!(cluster.calls_of("full").len(), 2);
}

#[test]
fn a_full_queue_holds_records_with_a_key_back_too() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.set_room(1);
    let (outcome, said) = produce(&cluster, "k:a\nk:b\nk:c\n", &["-K", ":"]);
    assert_eq!(outcome.unwrap(), Exit::Done, "{said}");
    assert_eq!(cluster.values("orders", 0), ["a", "b", "c"]);
}

#[test]
fn a_record_that_the_broker_refuses_is_named_and_the_others_go() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.deliver([Ok(()), Err(Code::MessageSizeTooLarge)]);
    let (outcome, said) = produce(&cluster, "a\nb\nc\n", &[]);
    assert_eq!(outcome.unwrap(), Exit::Failed);
    assert!(said.contains("1 record failed:") && said.contains(":2: larger than the topic takes"), "{said}");
    assert_eq!(cluster.values("orders", 0), ["a", "c"]);
}

#[test]
fn a_refusal_of_the_topic_stops_the_reading() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.set_room(1);
    cluster.deliver([Err(Code::TopicAuthorizationFailed)]);
    let (outcome, said) = produce(&cluster, "a\nb\nc\n", &[]);
    assert_eq!(outcome.unwrap(), Exit::Usage, "{said}");
    assert!(said.contains("no later record could succeed"), "{said}");
    assert_eq!(cluster.values("orders", 0), Vec::<String>::new());
}
