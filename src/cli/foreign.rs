//! Long flags of Kafka's own tools that kq calls otherwise, and what they are here. Pure: no clock, no IO.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::own;

/// A flag of Kafka's tools, and what does the same here. `only` is the subcommand that it is for, empty
/// for any.
struct Foreign {
    flag: &'static str,
    only: &'static str,
    here: &'static str,
}

const fn any(flag: &'static str, here: &'static str) -> Foreign {
    Foreign { flag, only: "", here }
}

const fn of(only: &'static str, flag: &'static str, here: &'static str) -> Foreign {
    Foreign { flag, only, here }
}

/// Those of kafka-console-producer, kafka-console-consumer, kafka-topics and kafka-consumer-groups. Of
/// one flag the first entry that is for the subcommand counts.
const FOREIGN: &[Foreign] = &[
    any("bootstrap-server", "-b/--brokers HOST:PORT"),
    any("broker-list", "-b/--brokers HOST:PORT"),
    any("bootstrap-servers", "-b/--brokers HOST:PORT"),
    any("zookeeper", "-b/--brokers HOST:PORT: clients talk to the brokers"),
    any("command-config", "-F/--config-file FILE"),
    any("consumer.config", "-F/--config-file FILE"),
    any("consumer-config", "-F/--config-file FILE"),
    any("producer.config", "-F/--config-file FILE"),
    any("producer-config", "-F/--config-file FILE"),
    any("consumer-property", "-X NAME=VALUE"),
    any("producer-property", "-X NAME=VALUE"),
    any("command-property", "-X NAME=VALUE"),
    of(
        "produce",
        "property",
        "-K/--key-delimiter STR for a key before the value, or -X NAME=VALUE for a client property",
    ),
    of(
        "produce",
        "reader-property",
        "-K/--key-delimiter STR for a key before the value, -H/--header for headers",
    ),
    of(
        "produce",
        "reader-config",
        "-K/--key-delimiter STR for a key before the value, -H/--header for headers",
    ),
    of("produce", "compression-codec", "-z/--compression CODEC"),
    of("produce", "request-required-acks", "--acks"),
    of("produce", "request-timeout-ms", "--delivery-timeout DURATION"),
    of("produce", "batch-size", "-X batch.size=BYTES"),
    of("produce", "max-memory-bytes", "-X queue.buffering.max.kbytes=KIB"),
    of("produce", "message-send-max-retries", "-X retries=N, or --delivery-timeout DURATION"),
    of("produce", "retry-backoff-ms", "-X retry.backoff.ms=MS"),
    of("produce", "sync", "not needed: every record is acknowledged or named before kq ends"),
    of("produce", "line-reader", "-D/--delimiter, -K/--key-delimiter or -J/--json, by the form of the input"),
    any("from-beginning", "-o/--from beginning"),
    any("offset", "-o/--from WHERE"),
    any("max-messages", "-n/--count COUNT"),
    any("timeout-ms", "--idle DURATION"),
    any("isolation-level", "--isolation LEVEL"),
    any("include", "a TOPIC that begins with ^: a regular expression"),
    any("whitelist", "a TOPIC that begins with ^: a regular expression"),
    of(
        "consume",
        "property",
        "--with-key to write the key, -f/--format for more, or -X NAME=VALUE for a client property",
    ),
    any("property", "-X NAME=VALUE"),
    of(
        "consume",
        "key",
        "--with-key to write the key before the value, --where-key KEY for the records of one key",
    ),
    of("worker", "key", "--where-key KEY for the records of one key"),
    any("print-key", "--with-key"),
    any("formatter", "-f/--format FORMAT"),
    any("formatter-property", "-f/--format FORMAT"),
    any("formatter-config", "-f/--format FORMAT"),
    any("key-deserializer", "not needed: keys and values are bytes, and -J writes each without loss"),
    any("value-deserializer", "not needed: keys and values are bytes, and -J writes each without loss"),
    any("skip-message-on-error", "not needed: keys and values are bytes"),
    any("all-topics", "a TOPIC of '^.*', a regular expression"),
    any("reset-offsets", "`kq consume TOPIC -g GROUP --reset -o WHERE`"),
    any("to-earliest", "--reset -o beginning"),
    any("to-latest", "--reset -o end"),
    any("to-offset", "--reset -o OFFSET"),
    any("to-datetime", "--reset -o @TIME"),
    any("by-duration", "--reset -o -DURATION"),
    of("topic", "create", "`kq topic create TOPIC`"),
    of("topic", "list", "`kq topic list`"),
    of("topic", "describe", "`kq topic describe TOPIC`"),
    of("topic", "alter", "`kq topic alter TOPIC`"),
    of("topic", "delete", "`kq topic delete TOPIC`"),
    of("topic", "if-exists", "not here: `kq topic describe TOPIC` says by its status whether it exists"),
    any("replication-factor", "--rf of `kq topic create`"),
    any("partitions", "-p/--partitions of `kq topic create`"),
    of(
        "serve",
        "acks",
        "not needed: an answer waits for all in-sync replicas, so that 200 means that it is there",
    ),
    any("topic", "-t/--topic of a subcommand, such as `kq consume`"),
];

/// The error for a flag of Kafka's own tools: what it is called here.
pub(super) fn flag(e: &clap::Error, args: &[OsString], command: &mut clap::Command) -> Option<clap::Error> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(given))) =
        (e.kind(), e.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    let name = given.strip_prefix("--")?;
    let subcommand = own(args).find(|arg| command.find_subcommand(arg).is_some());
    let here = here(name, subcommand.unwrap_or_default())?;
    let command = match subcommand {
        Some(subcommand) => command.find_subcommand_mut(subcommand)?,
        None => command,
    };
    Some(command.error(ErrorKind::UnknownArgument, format!("--{name} of Kafka's own tools is here: {here}")))
}

/// What stands for a flag in a subcommand, which is empty where there is none.
fn here(name: &str, subcommand: &str) -> Option<&'static str> {
    let is_meant =
        |foreign: &&Foreign| foreign.flag == name && (foreign.only.is_empty() || foreign.only == subcommand);
    FOREIGN.iter().find(is_meant).map(|foreign| foreign.here)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::{Cli, parse};

    fn error(line: &[&str]) -> String {
        let line = std::iter::once("kq").chain(line.iter().copied()).map(OsString::from);
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn a_flag_of_kafkas_tools_is_answered_with_the_one_of_kq() {
        for (line, expected) in [
            (&["consume", "foo", "--from-beginning"][..], "-o/--from beginning"),
            (&["consume", "--bootstrap-server", "b:9092", "foo"], "-b/--brokers"),
            (&["--bootstrap-server=b:9092", "topic", "list"], "-b/--brokers"),
            (&["consume", "foo", "--max-messages", "5"], "-n/--count"),
            (&["consume", "foo", "--property", "print.key=true"], "--with-key"),
            (&["consume", "foo", "--consumer.config", "a"], "-F/--config-file"),
            (&["consume", "foo", "--key"], "--with-key"),
            (&["produce", "foo", "--property", "parse.key=true"], "-K/--key-delimiter"),
            (&["produce", "foo", "--producer-property", "acks=1"], "-X NAME=VALUE"),
            (&["worker", "foo", "--from-beginning", "--", "cat"], "-o/--from beginning"),
            (&["topic", "--create", "--topic", "foo"], "`kq topic create TOPIC`"),
            (&["topic", "--list"], "`kq topic list`"),
            (&["--topic", "foo"], "-t/--topic"),
        ] {
            let error = error(line);
            assert!(
                error.contains(&format!(" of Kafka's own tools is here: {expected}")),
                "{line:?}: {error}"
            );
            assert!(!error.contains("tip:"), "{line:?}: {error}");
        }
    }

    #[test]
    fn a_flag_of_neither_draws_claps_own_words() {
        for line in [&["consume", "foo", "--no-such"][..], &["worker", "foo", "--sync", "--", "x"]] {
            assert!(error(line).contains("unexpected argument"), "{line:?}");
        }
    }

    #[test]
    fn every_flag_that_is_named_is_there_and_none_that_stands_for_another() {
        let mut command = Cli::command();
        command.build();
        let topic = command.find_subcommand("topic").unwrap();
        let subcommands: Vec<&clap::Command> =
            command.get_subcommands().chain(topic.get_subcommands()).collect();
        let flags = |command: &clap::Command| -> Vec<String> {
            let of = |arg: &clap::Arg| {
                let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
                let shorts = arg.get_short_and_visible_aliases().unwrap_or_default();
                let longs = longs.into_iter().map(|long| format!("--{long}"));
                longs.chain(shorts.into_iter().map(|short| format!("-{short}"))).collect::<Vec<_>>()
            };
            command.get_arguments().flat_map(of).collect()
        };
        for Foreign { flag, only, here } in FOREIGN {
            let theirs = subcommands.iter().filter(|command| only.is_empty() || command.get_name() == *only);
            let there: Vec<String> = theirs.flat_map(|command| flags(command)).collect();
            let words = here.split([' ', '/', '`', ',', ':']).filter(|word| word.starts_with('-'));
            for word in words.filter(|word| *word != "-DURATION") {
                assert!(there.iter().any(|flag| flag == word), "--{flag}: {word} in {only:?}");
            }
            let own = subcommands.iter().filter(|command| !only.is_empty() && command.get_name() == *only);
            assert!(
                own.clone().all(|command| !flags(command).contains(&format!("--{flag}"))),
                "--{flag} of {only}"
            );
        }
    }
}
