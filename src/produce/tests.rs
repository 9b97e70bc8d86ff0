//! A produce to a cluster in memory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};

use super::*;
use crate::cli::{self, Command};
use crate::commands;
use crate::config::Properties;
use crate::kafka::code::Code;
use crate::kafka::errors::{Causes, Membership};
use crate::kafka::fake::{Cluster, Serving};
use crate::kafka::properties::Librdkafka;
use crate::sending::settings::Missing;

/// Runs `kq produce` with these arguments on a file that holds this text; gives how it ended and what
/// it said.
fn produce(cluster: &Cluster, text: &str, arguments: &[&str]) -> (anyhow::Result<Exit>, String) {
    produce_until(&Shutdown::default(), cluster, text, arguments)
}

/// The same, with a request to stop.
fn produce_until(
    shutdown: &Shutdown,
    cluster: &Cluster,
    text: &str,
    arguments: &[&str],
) -> (anyhow::Result<Exit>, String) {
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
    properties.set("compression.codec", "none");
    let causes = Arc::new(Causes::new(config.log, &config.brokers, Membership::None));
    let (connected, _) =
        client::await_topic(cluster.producer(), causes, &properties, &config, "orders", Missing::Refuse)
            .unwrap();
    connected.ask_limit("orders");
    let mut settings = commands::produce::settings(args, &config).unwrap();
    settings.inputs = Input::all(&[input.path().to_owned()]).unwrap();
    let shape = commands::produce::shape(args, None).unwrap();
    let reporter = Reporter::new(None, &settings.inputs).unwrap();
    let session = Session::new(&settings, &config, &connected, shutdown, shape, reporter).unwrap();
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

#[test]
fn a_fatal_error_ends_with_76_and_a_refused_login_with_2() {
    for (code, exit) in [
        (Code::Fatal, Exit::Fenced),
        (Code::ClusterAuthorizationFailed, Exit::Usage),
        (Code::Authentication, Exit::Usage),
        (Code::UnsupportedForMessageFormat, Exit::Failed),
    ] {
        let cluster = Cluster::new().with_topic("orders", 1);
        cluster.set_room(1);
        cluster.deliver([Ok(()), Err(code)]);
        let (outcome, said) = produce(&cluster, "a\nb\nc\nd\n", &[]);
        assert_eq!(outcome.unwrap(), exit, "{said}");
        assert!(said.contains(":2: ") && said.contains("no later record could succeed"), "{said}");
        assert_eq!(cluster.values("orders", 0), ["a"]);
    }
}

#[test]
fn a_signal_while_the_queue_is_full_ends_the_reading_and_what_is_queued_is_delivered() {
    for arguments in [&[][..], &["-K", ":"]] {
        let cluster = Cluster::new().with_topic("orders", 1);
        cluster.set_room(2);
        let shutdown = Shutdown::default();
        let stop = shutdown.clone();
        cluster.serve([Serving::Nothing, Serving::Do(Box::new(move |_| stop.request(15))), Serving::Nothing]);
        let (outcome, said) = produce_until(&shutdown, &cluster, "k:a\nk:b\nk:c\nk:d\n", arguments);
        assert_eq!(outcome.unwrap(), Exit::Signal(15), "{said}");
        assert_eq!(cluster.values("orders", 0).len(), 2);
        let expected = ["2 records acknowledged", "stopped by signal 15 after ", ":2; what was read before"];
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn a_count_ends_the_reading_in_the_middle_of_what_was_read() {
    for (arguments, expected) in [
        (&["-n", "2"][..], &["k:a", "k:b"][..]),
        (&["-n", "2", "-K", ":"], &["a", "b"]),
        (&["-n", "0"], &[]),
        (&["-n", "9"], &["k:a", "k:b", "k:c"]),
    ] {
        let cluster = Cluster::new().with_topic("orders", 1);
        cluster.set_room(1);
        let (outcome, said) = produce(&cluster, "k:a\nk:b\nk:c\n", arguments);
        assert_eq!(outcome.unwrap(), Exit::Done, "{said}");
        assert_eq!(cluster.values("orders", 0), expected, "{arguments:?}");
    }
}

#[test]
fn the_first_failure_is_named_in_whatever_order_the_reports_come() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.deliver([Err(Code::MessageSizeTooLarge), Ok(()), Err(Code::MessageTimedOut)]);
    // The first poll comes while the input is read, the next with its end.
    cluster.serve([Serving::Nothing, Serving::Backwards]);
    let (outcome, said) = produce(&cluster, "a\nb\nc\n", &[]);
    assert_eq!(outcome.unwrap(), Exit::Failed);
    assert!(
        said.contains("2 records failed, the first: ") && said.contains(":1: not acknowledged"),
        "{said}"
    );
    assert_eq!(cluster.values("orders", 0), ["b"]);
}

#[test]
fn a_topic_that_a_record_names_fails_alone() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.set_room(1);
    let text = "{\"topic\":\"missing\",\"value\":\"a\"}\n{\"value\":\"b\"}\n";
    let (outcome, said) = produce(&cluster, text, &["-J", "--topic-from-record"]);
    assert_eq!(outcome.unwrap(), Exit::Failed);
    assert!(said.contains(&crate::config::topic::absent("missing")), "{said}");
    assert_eq!(cluster.values("orders", 0), ["b"]);
}

#[test]
fn an_invalid_record_ends_the_reading_or_is_skipped() {
    let text = "{\"value\":\"a\"}\nnone\n{\"value\":\"b\"}\n";
    for (arguments, expected) in [(&["-J"][..], &["a"][..]), (&["-J", "--on-invalid", "skip"], &["a", "b"])] {
        let cluster = Cluster::new().with_topic("orders", 1);
        let (outcome, said) = produce(&cluster, text, arguments);
        assert_eq!(outcome.unwrap(), Exit::Failed);
        assert!(said.contains("1 record invalid and not sent: ") && said.contains(":2: "), "{said}");
        assert_eq!(cluster.values("orders", 0), expected);
    }
}

#[test]
fn a_record_that_the_topic_refuses_for_sure_fails_while_it_is_read_and_the_others_go() {
    let lines = |long: usize| format!("a\n{}\nb\n{}", "x".repeat(long), "y".repeat(long));
    for arguments in [&[][..], &["-K", ":", "--key-optional"], &["-D", "\\n", "--skip-empty"]] {
        let cluster = Cluster::new().with_topic("orders", 1);
        cluster.configure("orders", "max.message.bytes", "300000");
        let (outcome, said) = produce(&cluster, &lines(2 << 20), arguments);
        assert_eq!(outcome.unwrap(), Exit::Failed);
        let expected = "2 records failed, the first: ";
        assert!(said.contains(expected) && said.contains(":2: larger than the topic takes"), "{said}");
        assert_eq!(cluster.values("orders", 0), ["a", "b"]);
    }
}

#[test]
fn a_file_that_the_topic_refuses_for_sure_leaves_no_empty_record() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.configure("orders", "max.message.bytes", "300000");
    let (outcome, said) = produce(&cluster, &"x".repeat(2 << 20), &["--whole"]);
    assert_eq!(outcome.unwrap(), Exit::Failed);
    assert!(said.contains("larger than the topic takes"), "{said}");
    assert_eq!(cluster.values("orders", 0), [""; 0]);
    let (outcome, _) = produce(&cluster, "", &["--whole"]);
    assert_eq!((outcome.unwrap(), cluster.values("orders", 0)), (Exit::Done, vec![String::new()]));
}

#[test]
fn a_limit_that_was_raised_is_asked_for_again() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.configure("orders", "max.message.bytes", "300000");
    let raise = |cluster: &Cluster| cluster.configure("orders", "max.message.bytes", "3000000");
    cluster.serve([Serving::Do(Box::new(raise))]);
    let long = "x".repeat(2 << 20);
    let (outcome, said) = produce(&cluster, &long, &[]);
    assert_eq!(outcome.unwrap(), Exit::Done, "{said}");
    assert!(cluster.values("orders", 0) == [long]);
}

#[test]
fn a_line_of_json_that_no_record_needs_is_invalid() {
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.configure("orders", "max.message.bytes", "200000");
    let line = |pad: usize| format!("{{\"value\":\"v\"{}}}\n", " ".repeat(pad));
    let text = line(0) + &line(1_150_000) + &line(2_000_000) + &line(1);
    let (outcome, said) = produce(&cluster, &text, &["-J", "--on-invalid", "skip"]);
    assert_eq!(outcome.unwrap(), Exit::Failed);
    assert!(
        said.contains(":3: not sent: longer than any record that the topic takes (1200000 bytes)"),
        "{said}"
    );
    assert_eq!(cluster.values("orders", 0), ["v", "v", "v"]);
}

#[test]
fn timestamps_of_json_that_may_be_seconds_are_kept_counted_and_noted_once() {
    let text = "{\"value\":\"a\",\"timestamp\":1753140491000}\n{\"value\":\"b\",\"ts\":1753140491}\n\
                {\"value\":\"c\"}\n{\"value\":\"d\",\"timestamp\":5}\n";
    let cluster = Cluster::new().with_topic("orders", 1);
    cluster.set_room(1);
    let (outcome, said) = produce(&cluster, text, &["-J"]);
    assert_eq!(outcome.unwrap(), Exit::Done);
    let expected = ":2: 1753140491 is 1970-01-21T06:59:00.491Z; Kafka counts in milliseconds\n";
    assert!(said.contains("2 records have a timestamp before 2001, the first: ") && said.contains(expected));
    assert_eq!(said.matches("1970").count(), 1, "{said}");
    assert_eq!(cluster.values("orders", 0), ["a", "b", "c", "d"]);
    let (_, said) = produce(&cluster, text, &["-J", "--timestamp", "5ms"]);
    assert!(!said.contains("before 2001"), "{said}");
}
