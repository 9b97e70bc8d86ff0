//! `kq worker`: from its flags to the engine's settings.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::cli::worker::Args;
use crate::commands::selection::{decoder, filter};
use crate::config::{Config, topic};
use crate::exit::{self, Exit};
use crate::process::Program;
use crate::reading::bounds::End;
use crate::reading::membership::Sharing;
use crate::reading::topics::Selection;
use crate::record::decode::Decode;
use crate::record::escape::unescape;
use crate::stderr;
use crate::worker::settings::{Credentials, Ending, Failing, Mode, OutputTopic, Reading, Running};
use crate::worker::{self, Batching, Input, OnFailure, OnOutage, Policy, Retries, Settings, Stdin, hint};

/// Runs the worker to its end, which does not wait for a stderr that is not read.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let mut config = config.clone();
    config.log = config.log.with_live_line();
    let outcome = settings(args, &config).and_then(|settings| worker::run(settings, &config));
    stderr::hurry();
    outcome
}

/// The settings that the flags ask for. What needs the cluster is checked later.
fn settings(args: &Args, config: &Config) -> anyhow::Result<Settings> {
    let program = program(args).map_err(|e| exit::with(Exit::CannotRun, e))?;
    let named: Vec<&String> = args.topics.iter().chain(&args.topic_flags).collect();
    let topics =
        Selection::given_or(&named, config.env_topic.as_deref())?.without(&args.exclusion.exclude_topic)?;
    let group = group(args, config, &topics)?;
    let policy = policy(args, &topics)?;
    let output = output(args, &topics)?;
    let input = input(args)?;
    let needs_newline = args.delimiter.is_none() && !args.persistent && input != Input::Json;
    if let Some(note) = needs_newline.then(|| hint::of(&program)).flatten() {
        config.log.note(note);
    }
    Ok(Settings {
        program,
        topics,
        reading: Reading {
            group,
            sharing: Sharing { protocol: args.sharing.group_protocol, assignor: args.sharing.assignor },
            isolation: args.sharing.isolation,
            instance_id: args.instance_id.clone(),
            start: args.from,
            reset: args.reset,
            until: args.until.or(args.end.then_some(End::End)),
            count: args.count,
            idle: args.idle,
            delay: args.delay,
            decoder: decoder(&args.decoding, Decode::Auto),
            commit_interval: commit_interval(args, config)?,
            filter: filter(&args.filter)?,
        },
        running: Running {
            jobs: args.jobs.map_or_else(cores, NonZeroUsize::get),
            mode: mode(args)?,
            order: args.order,
            command_timeout: args.command_timeout,
            rate: args.rate,
            input,
            max_span: args.max_span,
            output,
            credentials: if args.pass_credentials { Credentials::Pass } else { Credentials::Withhold },
        },
        failing: Failing {
            on_outage: on_outage(args, &policy),
            policy,
            backoff: args.backoff,
            dead_letters: args.dlq.clone(),
            max_consecutive_failures: args.max_consecutive_failures,
        },
        ending: Ending {
            drain: args.drain,
            shutdown_timeout: args.shutdown_timeout,
            stall_timeout: args.stall_timeout,
        },
        metrics: args.metrics.clone(),
    })
}

/// What an outage is answered with. A worker that stops at the first record that fails is never paused.
fn on_outage(args: &Args, policy: &Policy) -> OnOutage {
    let ends = args.end || args.until.is_some() || args.count.is_some() || args.idle.is_some();
    let default = if ends { OnOutage::Stop } else { OnOutage::Pause };
    if policy.on_failure == OnFailure::Stop { OnOutage::Stop } else { args.on_outage.unwrap_or(default) }
}

/// How often what is done is committed.
fn commit_interval(args: &Args, config: &Config) -> anyhow::Result<Duration> {
    // In a file it may be for other clients: the flag ranks above that.
    let name = "auto.commit.interval.ms";
    if let Some(origin) = config.origin_of_x(name) {
        bail!("{origin} {name}: give --commit-interval instead, which says how often a worker commits");
    }
    Ok(args.commit_interval)
}

/// How many records a process gets.
fn mode(args: &Args) -> anyhow::Result<Mode> {
    let Some(records) = args.batch else {
        return Ok(if args.persistent {
            Mode::Persistent { window: args.window.get(), start_timeout: args.start_timeout }
        } else {
            Mode::OneShot
        });
    };
    ensure!(
        !args.persistent,
        "--batch starts a command for each batch, and with --persistent commands stay and get record after record: \
         leave one of the two out"
    );
    ensure!(
        !args.output_lines && !args.copy_headers,
        "with --batch each line that a command prints is a whole record with its own headers: leave --output-lines \
         and --copy-headers out"
    );
    Ok(Mode::Batch(Batching { records: records.get(), bytes: args.batch_bytes, wait: args.batch_wait }))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The command to run.
fn program(args: &Args) -> anyhow::Result<Program> {
    if let Some(script) = &args.shell {
        ensure!(!script.to_string_lossy().trim().is_empty(), "--shell: the command is empty");
        return Ok(Program::shell(script));
    }
    // Without a working directory, commands are still found through PATH.
    let cwd = std::env::current_dir().unwrap_or_default();
    Program::resolve(&args.command, std::env::var_os("PATH").as_deref(), &cwd)
}

/// `-g`, else `KQ_GROUP`, else a name made from the one topic.
fn group(args: &Args, config: &Config, topics: &Selection) -> anyhow::Result<String> {
    if let Some(group) = args.group.as_deref().or(config.group.as_deref()) {
        ensure!(!group.is_empty(), "-g/--group is empty (give a name, or leave the flag out)");
        return Ok(group.to_owned());
    }
    match topics.only_name() {
        Some(topic) => {
            let group = format!("kq-worker-{topic}");
            config.log.note(format_args!("group {group} (-g GROUP or KQ_GROUP for another)"));
            Ok(group)
        }
        None => bail!("several topics or a pattern: name the group with -g GROUP or KQ_GROUP"),
    }
}

/// What happens to records whose command failed.
fn policy(args: &Args, topics: &Selection) -> anyhow::Result<Policy> {
    let default = if args.dlq.is_some() { OnFailure::Dlq } else { OnFailure::Stop };
    let policy = Policy {
        exit_map: args.exit_map.clone().unwrap_or_default(),
        retries: args.retry_for.map_or(Retries::Count(args.retries), Retries::For),
        on_failure: args.on_failure.unwrap_or(default),
    };
    match &args.dlq {
        None => ensure!(!policy.needs_dead_letters(), "--on-failure dlq needs --dlq TOPIC"),
        Some(dlq) => {
            ensure!(
                policy.needs_dead_letters(),
                "--dlq {dlq} is not used with this --on-failure: leave one of them out"
            );
            topic::check(dlq).context("--dlq")?;
            check_unread("--dlq", dlq, topics, "dead letters")?;
        }
    }
    Ok(policy)
}

/// Refuses a topic to send to that the worker reads.
fn check_unread(flag: &str, topic: &str, topics: &Selection, what: &str) -> anyhow::Result<()> {
    if !topics.matches(topic) {
        return Ok(());
    }
    let other = if topics.has_name(topic) {
        String::new()
    } else {
        format!("; --exclude-topic '^{}$' leaves it out", regex::escape(topic))
    };
    bail!(
        "{flag} {topic}: the worker reads that topic itself: it would read its own {what} again and again{other}"
    )
}

/// What a command that gets one record reads.
fn input(args: &Args) -> anyhow::Result<Input> {
    let end = args.delimiter.as_deref().map(unescape).transpose().context("-D")?;
    let default = if args.batch.is_some() && end.is_none() { Stdin::Json } else { Stdin::Value };
    let form = args.stdin.unwrap_or(default);
    if form == Stdin::Value {
        let end = end.unwrap_or_default();
        ensure!(
            args.batch.is_none() || !end.is_empty(),
            "with --batch nothing would tell where a value ends: give what follows each, as in -D '\\n', or \
             --stdin json"
        );
        return Ok(Input::Value { end });
    }
    ensure!(
        end.is_none(),
        "--stdin json ends each record with a newline, so -D has no use: leave one of them out"
    );
    Ok(Input::Json)
}

/// Where the commands' output goes.
fn output(args: &Args, topics: &Selection) -> anyhow::Result<Option<OutputTopic>> {
    let Some(output) = &args.output_topic else { return Ok(None) };
    topic::check(output).context("--output-topic")?;
    check_unread("--output-topic", output, topics, "output")?;
    Ok(Some(OutputTopic { topic: output.clone(), lines: args.output_lines, copy_headers: args.copy_headers }))
}
