//! Every flag, environment variable and help text; no other logic than reading them.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are the help texts: a terminal shows backticks as they are"
)]

pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod dev;
mod foreign;
pub(crate) mod produce;
pub(crate) mod reading;
pub(crate) mod selection;
pub(crate) mod serve;
mod sizes;
pub(crate) mod topic;
mod values;
pub(crate) mod worker;

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};

use crate::config::flags::ConnectionArgs;
use crate::config::secret::Secret;
use crate::exit::{self, Exit};
use crate::kafka::version;
use crate::lock::Lock;
use crate::named::Named as _;
use crate::stderr::{self, LogFormat, Runs};

/// kq: put records into Kafka, get them out, run a command for each.
#[derive(clap::Parser, Debug)]
#[command(
    name = "kq",
    version,
    long_version = long_version(),
    about,
    after_help = after_help(),
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  KQ_TOPIC=foo kq topic create --partitions 4 --rf 2
  cat data.jsonl | kq produce foo
  kq consume foo --group g
  kq worker foo -- ./handler.sh
  kq serve foo

No cluster to connect to? `kq dev` starts one for development. A flag ranks above its KQ_* variable, a variable \
above the file of -F, and -X above all. An empty variable counts as unset. `kq config show` prints each value in \
effect and where it came from.";

/// Examples, and what each exit status means.
fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", exit::sentence())
}

/// The subcommands.
#[derive(clap::Subcommand, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one in a process")]
// A comment on a variant would be its short help, and hide the long help of its Args.
pub(crate) enum Command {
    Topic(topic::Args),
    Produce(produce::Args),
    Consume(consume::Args),
    Worker(worker::Args),
    Serve(serve::Args),
    Config(config::Args),
    Dev(dev::Args),
    /// `-X list`: print librdkafka's properties
    #[command(skip)]
    Properties,
}

impl Command {
    /// Whether it runs until it is stopped.
    pub(crate) fn runs(&self) -> Runs {
        match self {
            Self::Worker(_) | Self::Serve(_) | Self::Dev(_) => Runs::On,
            Self::Consume(args) if args.reading.follows() => Runs::On,
            _ => Runs::Once,
        }
    }
}

/// kq's command line and its help, from which completions and manual pages are made.
pub fn command_line() -> clap::Command {
    Cli::command()
}

/// Reads a whole command line, the program's name first.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    if asks_for_properties(&args) {
        let connection = ConnectionArgs { log_format: log_format(&args), ..ConnectionArgs::default() };
        return Ok(Cli { connection, command: Command::Properties });
    }
    // Where a global flag stands before and after the subcommand, clap keeps only the values
    // after it. Of `-X` every value counts, so each is noted when it is read.
    let properties = Arc::new(Lock::new(Vec::new()));
    let noted = Arc::clone(&properties);
    let note = move |text: &str| {
        let secret = Secret::from(text);
        noted.lock().push(secret.clone());
        Ok::<Secret, Infallible>(secret)
    };
    let mut command =
        Cli::command().color(color(&args)).mut_arg("properties", |arg| arg.value_parser(note.clone()));
    let parsed = command.try_get_matches_from_mut(&args).and_then(|matches| Cli::from_arg_matches(&matches));
    let mut cli = parsed.map_err(|e| {
        let better = kcat_mode(&e, &args, &mut command)
            .or_else(|| without_dashes(&e, &args, &mut command))
            .or_else(|| foreign::flag(&e, &args, &mut command));
        better.unwrap_or(e)
    })?;
    let mut properties = std::mem::take(&mut *properties.lock());
    // clap reads the innermost command first; what counts is the order on the command line.
    properties.sort_by_key(|given: &Secret| position_of_x(&args, given.reveal()));
    cli.connection.properties = properties;
    Ok(cli)
}

/// Prints what the parser says instead of a command line: help and the version are answers, anything
/// else is a usage error.
pub(crate) fn answer(e: &clap::Error) -> anyhow::Result<Exit> {
    if e.use_stderr() && stderr::is_json() {
        let text = e.render().to_string();
        stderr::last_error(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned());
        return Ok(Exit::Usage);
    }
    let printed = e.print().and_then(|()| std::io::stdout().flush());
    if e.use_stderr() {
        return Ok(Exit::Usage);
    }
    printed.context("write stdout")?;
    Ok(Exit::Done)
}

/// The arguments that are kq's own: what follows `--` is a worker's command.
fn own(args: &[OsString]) -> impl Iterator<Item = &str> {
    args.iter().skip(1).take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str())
}

/// Where `-X` gives this value for the last time: beside it, or after it.
fn position_of_x(args: &[OsString], value: &str) -> Option<usize> {
    let is_x = |flag: &str| flag.starts_with('-') && !flag.starts_with("--") && flag.ends_with('X');
    let mut before = "";
    let given = own(args).map(|arg| {
        let beside = arg.strip_suffix(value).map(|flag| flag.strip_suffix('=').unwrap_or(flag));
        let gives = (arg == value && is_x(before)) || beside.is_some_and(is_x);
        before = arg;
        gives
    });
    given.enumerate().filter(|(_, gives)| *gives).map(|(at, _)| at).last()
}

/// `-X list`, as in kcat: with any command, or with none.
fn asks_for_properties(args: &[OsString]) -> bool {
    let mut before = "";
    own(args).any(|arg| {
        let asks = arg == "-Xlist" || (before == "-X" && arg == "list");
        before = arg;
        asks
    })
}

/// `--color`, read before anything is parsed: it decides the colours of the parser's own errors too.
fn color(args: &[OsString]) -> ColorChoice {
    unparsed(args, "--color", |given| given.parse().ok()).unwrap_or(ColorChoice::Auto)
}

/// `--log-format` of a command line that can't be parsed: it decides how that is said.
pub(crate) fn log_format(args: &[OsString]) -> Option<LogFormat> {
    unparsed(args, "--log-format", LogFormat::named)
}

/// The last value of this flag that is one.
fn unparsed<T>(args: &[OsString], flag: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    let (mut before, mut last) = ("", None);
    for arg in own(args) {
        let beside = arg.strip_prefix(flag).and_then(|rest| rest.strip_prefix('='));
        let given = if before == flag { Some(arg) } else { beside };
        last = given.and_then(&parse).or(last);
        before = arg;
    }
    last
}

/// The error for one of kcat's mode flags: which subcommand it is here.
fn kcat_mode(e: &clap::Error, args: &[OsString], command: &mut clap::Command) -> Option<clap::Error> {
    let mode = |flag: &str| match flag.get(..2)? {
        "-P" => Some(("-P", "produce", "kq produce TOPIC")),
        "-C" => Some(("-C", "consume", "kq consume TOPIC")),
        "-G" => Some(("-G", "consume in a group", "kq consume TOPIC --group GROUP")),
        "-L" => Some(("-L", "list", "kq topic list")),
        "-Q" => Some(("-Q", "query offsets by time", "kq consume TOPIC --from @TIME")),
        _ => None,
    };
    let wrong = match e.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if e.kind() == ErrorKind::UnknownArgument => mode(flag),
        _ => None,
    };
    // kcat's flags come in any order, the mode often last: the flag that clap does not know may stand before it.
    let kinds = [ErrorKind::UnknownArgument, ErrorKind::InvalidSubcommand];
    let has_subcommand = own(args).any(|arg| command.find_subcommand(arg).is_some());
    let scanned = (kinds.contains(&e.kind()) && !has_subcommand).then(|| own(args).find_map(mode));
    let (flag, what, instead) = wrong.or(scanned.flatten())?;
    Some(command.error(
        ErrorKind::UnknownArgument,
        format!("kcat's {flag} ({what}) is a subcommand here: `{instead}` (see `kq help`)"),
    ))
}

/// The error for a command that stands in the place of the topics, as with xargs.
fn without_dashes(e: &clap::Error, args: &[OsString], command: &mut clap::Command) -> Option<clap::Error> {
    if args.iter().any(|arg| arg == "--") {
        return None;
    }
    let is_of = |name: &str| own(args).find(|arg| !arg.starts_with('-')) == Some(name);
    let (subcommand, message) = match (e.kind(), e.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing)))
            if is_of("worker") && missing.iter().any(|name| name.contains("COMMAND")) =>
        {
            ("worker", "no command to run: it stands after `--`, as in `kq worker TOPIC -- ./handler.sh`")
        }
        (ErrorKind::UnknownArgument, Some(ContextValue::String(word)))
            if is_of("dev") && !word.starts_with('-') =>
        {
            ("dev", "the command stands after `--`, as in `kq dev -- ./test.sh`")
        }
        _ => return None,
    };
    Some(command.find_subcommand_mut(subcommand)?.error(e.kind(), message))
}

/// kq's version, and the version and features of the linked librdkafka.
fn long_version() -> String {
    let (librdkafka, features) = (version::librdkafka(), version::features());
    format!("{}\nlibrdkafka {librdkafka} ({})", env!("CARGO_PKG_VERSION"), features.replace(',', ", "))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{self, Config};
    use crate::kafka::properties::Librdkafka;
    use crate::record::codec::Codec;

    fn read(line: &[&str]) -> Result<Cli, clap::Error> {
        parse(std::iter::once("kq").chain(line.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_example_fits_a_terminal_and_a_paragraph_breaks_where_it_ends() {
        fn check(command: &clap::Command) {
            let texts = [command.get_long_about(), command.get_after_help()];
            let help = texts.map(|text| text.map(ToString::to_string).unwrap_or_default()).join("\n\n");
            for paragraph in help.split("\n\n") {
                let lines: Vec<&str> = paragraph.lines().collect();
                for line in lines.iter().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
                let plain = |pair: &&[&str]| pair.iter().all(|line| !line.starts_with("  "));
                let broken = lines.windows(2).find(plain);
                assert_eq!(broken, None, "{}: the terminal breaks these lines", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn the_help_of_a_codec_names_every_one_of_them() {
        let mut command = Cli::command();
        command.build();
        let mut help = |subcommand: &str, flag: &str| {
            let command = command.find_subcommand_mut(subcommand).expect("a subcommand");
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag)).expect("a flag");
            let values = arg.get_possible_values().into_iter().map(|value| value.get_name().to_owned());
            values.chain(arg.get_help().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
        };
        for (subcommand, flag) in [("produce", "compression"), ("consume", "decode"), ("worker", "decode")] {
            let help = help(subcommand, flag);
            for codec in Codec::ALL {
                assert!(help.contains(codec.name()), "{subcommand} --{flag}: {codec}: {help}");
            }
        }
        assert!(help("produce", "value-codec").starts_with("snappy "));
    }

    /// All `KQ_*` names in the help of this command's flags and of those below it.
    fn variables_in_help(command: &clap::Command, found: &mut BTreeSet<String>) {
        for arg in command.get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let words = help.split(|c: char| !c.is_ascii_uppercase() && c != '_');
            found.extend(words.filter(|word| word.starts_with("KQ_")).map(str::to_owned));
        }
        command.get_subcommands().for_each(|below| variables_in_help(below, found));
    }

    #[test]
    fn the_help_of_the_flags_names_every_variable_that_is_read_and_no_other() {
        let mut named = BTreeSet::new();
        variables_in_help(&Cli::command(), &mut named);
        let read = RefCell::new(BTreeSet::new());
        let environment = |name: &str| {
            read.borrow_mut().insert(name.to_owned());
            None
        };
        Config::resolve_with(&ConnectionArgs::default(), &environment, &Librdkafka).unwrap();
        config::environment::log_format(None, &environment).unwrap();
        let Command::Serve(args) = self::read(&["serve", "t"]).unwrap().command else { unreachable!() };
        args.or_variables(&environment).unwrap();
        assert_eq!(named, read.into_inner());
    }

    #[test]
    fn the_help_of_worker_says_what_each_exit_status_means() {
        let command = Cli::command();
        let worker = command.find_subcommand("worker").expect("a subcommand");
        let help = worker.get_after_help().map(ToString::to_string).unwrap_or_default();
        let (_, statuses) = help.split_once("Exit status: ").expect("the exit statuses");
        let codes = statuses.split("; ").filter_map(|status| status.split(' ').next());
        assert!(codes.eq(exit::STATUSES.iter().map(|status| status.code)), "{statuses}");
    }

    #[test]
    fn a_command_without_dashes_is_told_where_they_go() {
        for (line, part) in [
            (&["worker", "foo", "./handler.sh"][..], "kq worker TOPIC -- ./handler.sh"),
            (&["worker", "foo"], "kq worker TOPIC -- ./handler.sh"),
            (&["dev", "./test.sh"], "kq dev -- ./test.sh"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line:?}: {error}");
        }
        assert!(!read(&["dev", "--no-such"]).unwrap_err().to_string().contains("-- ./test.sh"));
    }

    #[test]
    fn properties_before_and_after_the_subcommand_both_count() {
        let cli = read(&["-X", "client.id=a", "topic", "-Xacks=1", "list", "-X", "linger.ms=1"]).unwrap();
        let given: Vec<&str> = cli.connection.properties.iter().map(Secret::reveal).collect();
        assert_eq!(given, ["client.id=a", "acks=1", "linger.ms=1"]);
        let cli = read(&["-X", "acks=1", "-X", "acks=2", "topic", "list", "-X", "acks=1"]).unwrap();
        assert_eq!(cli.connection.properties.last().map(Secret::reveal), Some("acks=1"));
    }

    #[test]
    fn another_argument_that_ends_like_a_property_does_not_count_as_its_place() {
        for line in [
            &["-X", "acks=1", "-X", "acks=all", "produce", "-H", "x=acks=1", "foo"][..],
            &["-Xacks=1", "produce", "-qX", "acks=all", "-k", "acks=1", "foo"],
            &["-X", "acks=1", "worker", "foo", "-X=acks=all", "--", "kcat", "-X", "acks=1"],
        ] {
            let cli = read(line).unwrap();
            let given: Vec<&str> = cli.connection.properties.iter().map(Secret::reveal).collect();
            assert_eq!(given, ["acks=1", "acks=all"], "{line:?}");
        }
    }

    #[test]
    fn x_list_needs_no_subcommand_and_stops_at_the_worker_command() {
        for line in [&["-X", "list"][..], &["-Xlist"], &["topic", "list", "-X", "list"]] {
            assert!(matches!(read(line).unwrap().command, Command::Properties), "{line:?}");
        }
        let args = ["kq", "worker", "foo", "--", "cmd", "-X", "list"].map(OsString::from);
        assert!(!asks_for_properties(&args));
    }

    #[test]
    fn kcat_mode_flags_name_the_subcommand() {
        for (flag, subcommand) in [
            ("-P", "kq produce"),
            ("-C", "kq consume"),
            ("-G", "--group"),
            ("-L", "kq topic list"),
            ("-Q", "--from @TIME"),
        ] {
            let e = read(&[flag, "-t", "foo"]).unwrap_err();
            assert!(e.to_string().contains(subcommand), "{e}");
        }
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let cli = read(&["topic", "list", "--sasl-password", "hunter2", "-X", "sasl.password=hunter2"]);
        assert!(!format!("{:?}", cli.unwrap()).contains("hunter2"));
    }
}
