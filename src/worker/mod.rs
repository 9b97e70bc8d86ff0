//! `kq worker`: runs a command for each record, at least once.
//!
//! One thread owns the consumer and polls for ever ([`poller`]); it waits for a
//! command only inside a revoke ([`rebalance`]). What was taken in is in the
//! [`ledger`], whose [`lanes`] say what may run. The [`dispatch`]er starts it on
//! the runtime and takes all completions from one channel; [`policy`] says what
//! follows from each.

mod dead_letter;
mod dispatch;
mod ending;
mod endpoint;
mod environment;
mod lanes;
mod ledger;
mod live;
mod metrics;
mod observer;
mod oneshot;
mod out_of_range;
mod persistent;
mod policy;
mod poller;
mod printer;
mod protocol;
mod pulse;
mod rebalance;
mod shared;
mod summary;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rdkafka::types::RDKafkaErrorCode;

use crate::cli::worker::Args;
use crate::config::{Config, topic};
use crate::descriptors::Own;
use crate::exit::{self, Exit};
use crate::kafka::connect;
use crate::kafka::ffi::{Consumer, Observer};
use crate::process::guard::{self, Guard};
use crate::process::{self, Groups, Launcher, Program};
use crate::reading::bounds::Until;
use crate::reading::{client, group, membership};
use crate::record::decode::Decoder;
use crate::sending::outbox::Outbox;
use crate::shutdown::Shutdown;
use crate::terminal::live::Live;
use crate::terminal::stdout;

use dispatch::{Dispatcher, Output, Slots};
use ledger::{Ledger, Limits};
use observer::Watch;
use oneshot::Runner;
use policy::{Breaker, Policy};
use poller::{Parts, Poller};
use printer::Printer;
use rebalance::{Patience, Rebalancer};
use shared::{Shared, Stop};

pub use endpoint::Address;
pub use lanes::Order;
pub use policy::{ExitMap, OnFailure};

/// Records queued, in all.
const QUEUE_LEN: usize = 8192;
/// Bytes queued, in all.
const QUEUE_BYTES: usize = 16 << 20;
/// A record that runs for so long is named, and each time again.
const SLOW: Duration = Duration::from_mins(1);
/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(4);

/// A turn of the polling thread, besides a drain and a question to the cluster, takes no longer.
const TURN: Duration = Duration::from_secs(20);

/// Runs the worker to its end.
pub fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let mut config = config.clone();
    config.log = config.log.with_live_line().with_writer();
    let outcome = work(args, &config);
    if !config.log.flush() {
        exit::unheard(&outcome);
    }
    outcome
}

fn work(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let program = find_program(args).map_err(|e| exit::with(Exit::CannotRun, e))?;
    let topics = topics(args, config)?;
    let group = group(args, config, &topics)?;
    let policy = policy(args, &topics)?;
    let until = args.until.or(args.end.then_some(Until::End));
    let has_stop = until.is_some() || args.count.is_some() || args.idle.is_some();

    if let Some(output) = &args.output_topic {
        ensure!(
            !args.persistent,
            "--output-topic takes what a command prints, and one of --persistent answers instead: leave one of \
             the two out, or have the command produce to {output} itself before it answers"
        );
        topic::check(output).context("--output-topic")?;
        ensure!(
            !reads(&topics, output),
            "--output-topic {output}: the worker reads that topic itself: its output would come back for ever"
        );
    }

    stdout::is_there()?;
    let own = Own::from_now_on();
    let listener = args.metrics.as_ref().map(Address::bind).transpose()?;
    let guard = Guard::start()?;
    let mut variables = environment::of_worker(config, &group, args.pass_credentials);
    variables.push((guard::MARK.into(), Some(guard.mark().into())));
    let groups = Groups::guarded(guard);
    let jobs = args.jobs.map_or_else(cores, std::num::NonZeroUsize::get);
    let in_flight = if args.persistent { jobs * args.window.get() } else { jobs };
    let limits = Limits {
        jobs: in_flight,
        max_span: args.max_span,
        queue_len: if args.persistent { 4 * QUEUE_LEN } else { QUEUE_LEN }.max(2 * in_flight),
        queue_bytes: QUEUE_BYTES,
        count: args.count,
    };
    let shared = Arc::new(Shared::new(Ledger::new(args.order, limits), groups.clone(), config.log));
    let shutdown = Shutdown::install()?;
    let live = config.log.live();
    shutdown.on_second_signal(move || {
        groups.kill_all();
        live.map(Live::end);
    });

    let watch = Arc::new(Watch::new(Arc::clone(&shared)));
    let observer: Arc<dyn Observer> = Arc::clone(&watch) as Arc<dyn Observer>;
    // One thread: what goes from task to task is too little to wake another for.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let client = client(args, config, &group)?;
    let interval = max_poll_interval(&client);
    let patience = Patience::new(args.drain, interval);
    if let Some(listener) = listener {
        if let Ok(address) = listener.local_addr() {
            config.log.note(format_args!("metrics on http://{address}/metrics"));
        }
        let patience = patience.in_all() + config.timeout + TURN;
        runtime.spawn(endpoint::serve(listener, Arc::clone(&shared), Arc::clone(&watch), patience));
    }
    let consumer = Consumer::new(&client, Arc::clone(&observer)).context("start a consumer")?;
    find_topics(&consumer, &topics, &watch, config, has_stop, &shutdown)?;
    for (flag, topic) in [("--dlq", &args.dlq), ("--output-topic", &args.output_topic)] {
        if let Some(topic) = topic {
            find_topic(&consumer, topic, &watch, config).context(flag)?;
        }
    }
    let sends: Vec<&str> = args.dlq.iter().chain(&args.output_topic).map(String::as_str).collect();
    let outbox = (!sends.is_empty()).then(|| Outbox::start(config, observer, &sends)).transpose()?;
    let dead_letters = outbox.clone().zip(args.dlq.as_deref().map(Arc::from));
    let output = outbox.zip(args.output_topic.as_deref()).map(|(outbox, topic)| Output {
        outbox,
        topic: topic.into(),
        lines: args.output_lines,
        copy_headers: args.copy_headers,
    });

    let dispatcher = Dispatcher {
        shared: Arc::clone(&shared),
        runner: Arc::new(Runner {
            launcher: Launcher::new(program, variables, own).context("the command's variables")?,
            limits: process::Limits { timeout: args.command_timeout, grace: GRACE, slow: SLOW },
            max_attempts: policy.max_attempts(),
            decoder: Decoder { decode: args.decode, ..Decoder::default() },
        }),
        printer: Arc::new(Printer::start(&shared)?),
        dead_letters,
        output,
        said_not_begun: Mutex::default(),
        breaker: Mutex::new(Breaker::new(args.max_consecutive_failures)),
        policy,
        backoff: args.backoff,
        group: group.clone(),
    };
    if args.persistent {
        runtime.spawn(dispatcher.serve_persistent(jobs, args.window.get()));
    } else {
        Slots::start(dispatcher, runtime.handle().clone(), jobs)?;
    }
    if let Some(live) = live {
        runtime.spawn(live::show(live, Arc::clone(&shared)));
    }

    if args.reset {
        let found = client::find(&consumer, &watch.causes, config, &topics)?;
        group::seek(&consumer, config, &group, &found, args.from)?;
    } else {
        group::note_members(&consumer, &group, config.log);
    }
    consumer
        .subscribe(&topics)
        .map_err(|code| anyhow::anyhow!("subscribe to {}: {code}", topics.join(", ")))?;
    let mut poller = Poller::new(Parts {
        consumer: &consumer,
        rebalancer: Rebalancer {
            shared: Arc::clone(&shared),
            from: args.from,
            until,
            timeout: config.timeout,
            patience,
            shutdown: shutdown.clone(),
            ending: args.shutdown_timeout,
            ride_out: args.stall_timeout.min(interval / 2),
            wanted: HashMap::new(),
            last_assigned: None,
            joining_since: Instant::now(),
            joins_silently: args.group_protocol == membership::GroupProtocol::Consumer,
        },
        watch,
        idle: args.idle,
        stall: has_stop.then_some(args.stall_timeout),
        brokers: config.brokers.clone(),
        has_end: until.is_some(),
        named: topics.iter().filter(|name| !name.starts_with('^')).cloned().collect(),
    });
    let stop = poller.run();
    let is_closed = stop == Stop::Closed;
    let outcome = ending::end(&mut poller, stop, has_stop);
    shutdown.leave_the_end_to_a_second_signal();
    config.log.flush();
    live.map(Live::end);
    let summary = shared.tally.sentence(started.elapsed());
    if is_closed {
        config.log.verbose(1, summary);
    } else {
        config.log.note(summary);
    }
    // The process ends: a thread or a task that still waits for something must not see it go.
    std::mem::forget(runtime);
    outcome
}

/// `max.poll.interval.ms` as `-X` gave it, else librdkafka's default, which the worker leaves alone.
fn max_poll_interval(client: &rdkafka::ClientConfig) -> Duration {
    let given = client.get("max.poll.interval.ms").and_then(|ms| ms.trim().parse().ok());
    given.map_or(Duration::from_mins(5), Duration::from_millis)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

fn find_program(args: &Args) -> anyhow::Result<Program> {
    if let Some(script) = &args.shell {
        ensure!(!script.to_string_lossy().trim().is_empty(), "--shell: the command is empty");
        return Ok(Program::shell(script));
    }
    // Gone, it holds no command; others run all the same.
    let cwd = std::env::current_dir().unwrap_or_default();
    Program::resolve(&args.command, std::env::var_os("PATH").as_deref(), &cwd)
}

/// The topics to read: a name that starts with `^` is a regular expression.
fn topics(args: &Args, config: &Config) -> anyhow::Result<Vec<String>> {
    let (patterns, names): (Vec<String>, Vec<String>) =
        args.topics.iter().chain(&args.topic_flags).cloned().partition(|name| name.starts_with('^'));
    for pattern in &patterns {
        topic::pattern(pattern)?;
    }
    if names.is_empty() && !patterns.is_empty() {
        return Ok(patterns);
    }
    let mut all = topic::several(&names, &[], config.env_topic.as_deref())?;
    all.extend(patterns);
    Ok(all)
}

/// `-g`, else `KQ_GROUP`, else a name made from the one topic.
fn group(args: &Args, config: &Config, topics: &[String]) -> anyhow::Result<String> {
    if let Some(group) = args.group.as_deref().or(config.group.as_deref()) {
        ensure!(!group.is_empty(), "-g/--group is empty (give a name, or leave the flag out)");
        return Ok(group.to_owned());
    }
    match topics {
        [topic] if !topic.starts_with('^') => {
            let group = format!("kq-worker-{topic}");
            config.log.note(format_args!("group {group} (-g GROUP or KQ_GROUP for another)"));
            Ok(group)
        }
        _ => bail!("several topics or a pattern: name the group with -g GROUP or KQ_GROUP"),
    }
}

fn policy(args: &Args, topics: &[String]) -> anyhow::Result<Policy> {
    let default = if args.dlq.is_some() { OnFailure::Dlq } else { OnFailure::Stop };
    let policy = Policy {
        exit_map: args.exit_map.clone().unwrap_or_default(),
        retries: args.retries,
        on_failure: args.on_failure.unwrap_or(default),
    };
    match &args.dlq {
        None => ensure!(!policy.needs_dead_letters(), "--on-failure dlq needs --dlq TOPIC"),
        Some(dlq) => {
            ensure!(
                policy.needs_dead_letters(),
                "--dlq {dlq} is of no use with this --on-failure: leave one of them out"
            );
            topic::check(dlq).context("--dlq")?;
            ensure!(
                !reads(topics, dlq),
                "--dlq {dlq}: the worker reads that topic itself: its dead letters would come back for ever"
            );
        }
    }
    Ok(policy)
}

/// Whether one of these topics or patterns is this topic.
fn reads(topics: &[String], topic_name: &str) -> bool {
    let is = |name: &String| match name.starts_with('^').then(|| topic::pattern(name)) {
        Some(Ok(pattern)) => pattern.is_match(topic_name),
        _ => name == topic_name,
    };
    topics.iter().any(is)
}

/// The consumer's settings: what the guarantees rest on ranks as a flag, the rest can be changed.
fn client(args: &Args, config: &Config, group: &str) -> anyhow::Result<rdkafka::ClientConfig> {
    let role = [
        ("auto.commit.interval.ms", "1000"),
        ("isolation.level", "read_committed"),
        // A fetch is counted as it comes, and held as it is undone: compressed JSON is twenty times as
        // large. With a megabyte a partition 1.5 million records took 240 MiB, and no less time.
        ("fetch.message.max.bytes", "65536"),
        ("queued.min.messages", if args.persistent { "5000" } else { "1000" }),
        ("queued.max.messages.kbytes", "16384"),
        // Its default of a second starves partitions: the limit counts the forwarded queue as a whole.
        ("fetch.queue.backoff.ms", "10"),
        ("allow.auto.create.topics", "false"),
        // As for consume: half of it is what each further connection waits for.
        ("reconnect.backoff.ms", "20"),
    ];
    let mut flags = vec![
        ("group.id", group),
        ("enable.auto.commit", "true"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        // What retention took is reported and counted, then gone past; a silent jump is a silent loss.
        ("auto.offset.reset", "error"),
    ];
    flags.extend(membership::properties(args.group_protocol, args.assignor.as_deref(), config)?);
    if let Some(id) = &args.instance_id {
        flags.push(("group.instance.id", id));
    }
    config.client_with(&role, &flags)
}

/// Looks at the cluster once: it must be there, and so must the topics that are named. What
/// matches a pattern may come later, unless the worker is to end (`has_stop`): nothing would end it.
fn find_topics(
    consumer: &Consumer,
    topics: &[String],
    watch: &Watch,
    config: &Config,
    has_stop: bool,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    if topics.iter().all(|name| name.starts_with('^')) {
        let found = connect::metadata(config, &watch.causes, |wait| consumer.metadata(None, wait))?;
        shutdown.begin();
        if !found.iter().any(|topic| reads(topics, &topic.name)) {
            let patterns = topics.join(", ");
            ensure!(!has_stop, "no topic matches {patterns}; `kq topic list` shows those that exist");
            config.log.note(format_args!("no topic matches {patterns} yet: waiting for one"));
        }
        return Ok(());
    }
    let mut names = topics.iter().filter(|name| !name.starts_with('^'));
    names.try_for_each(|name| find_topic(consumer, name, watch, config))?;
    shutdown.begin();
    Ok(())
}

fn find_topic(consumer: &Consumer, name: &str, watch: &Watch, config: &Config) -> anyhow::Result<()> {
    let found = connect::metadata(config, &watch.causes, |wait| consumer.metadata(Some(name), wait))?;
    let there = found.iter().find(|topic| topic.name == name);
    match there.and_then(|topic| topic.error) {
        None if there.is_some_and(|topic| !topic.partitions.is_empty()) => Ok(()),
        None | Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            bail!(
                "topic {name} does not exist (`kq topic create {name}` makes it, `kq topic list` shows those that do){}",
                topic::or_a_file(name)
            )
        }
        Some(code) => Err(watch.causes.explain_topic(code, name)),
    }
}

/// The exit status and the error that a reason to stop becomes.
fn outcome(stop: Stop, shared: &Shared, abandoned: u64, has_stop: bool) -> anyhow::Result<Exit> {
    let plain = if shared.tally.has_failures() { Exit::Failed } else { Exit::Done };
    match stop {
        Stop::Complete => Ok(if abandoned > 0 { Exit::Abandoned } else { plain }),
        Stop::Signal(_) if abandoned > 0 => Ok(Exit::Abandoned),
        Stop::Signal(signal) if has_stop => Ok(Exit::Signal(signal)),
        Stop::Signal(_) => Ok(plain),
        Stop::Closed => Ok(Exit::Done),
        Stop::Policy(why) => Err(exit::with(Exit::Failed, anyhow::anyhow!("{why}"))),
        Stop::Broken(why) => Err(exit::with(Exit::CannotRun, anyhow::anyhow!("{why}"))),
        Stop::Fenced(why) => Err(exit::with(Exit::Fenced, anyhow::anyhow!("{why}"))),
        Stop::Failed(why) => Err(anyhow::anyhow!("{why}")),
    }
}
