//! `kq consume`: records to stdout; in a group, what was written and flushed is committed.

mod bounds;
mod ending;
mod group;
mod outage;
mod parts;
mod sink;
mod start;
mod taking;
mod topics;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use crate::cli::consume::Args;
use crate::clock::now_ms;
use crate::config::{self, Config};
use crate::exit::{self, Exit};
use crate::kafka::errors;
use crate::kafka::ffi::Consumer;
use crate::reading::bounds::{From, parse_partitions};
use crate::reading::client::{self, Connected};
use crate::reading::membership::{self, GroupProtocol};
use crate::record::decode::{Decode, Decoder};
use crate::record::escape::unescape;
use crate::record::filter::Filter;
use crate::record::format::Template;
use crate::shutdown::Shutdown;
use crate::terminal::stdout::Output;
use bounds::Bounds;
use outage::Outage;
use parts::Parts;
use sink::{Look, Reader, Sink};

/// Records taken from librdkafka at once.
const BATCH: usize = 1000;
/// How long to wait for records before signals and a closed stdout are looked at again.
const TICK: Duration = Duration::from_millis(50);
/// How long output is held back for more to come.
const LINGER: Duration = Duration::from_millis(1);
/// What leaving the group gets at least, whatever the last commit took.
const LEAVING: Duration = Duration::from_millis(500);

/// Consumes until a stop condition is reached, stdout is closed, or a signal comes.
pub fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let bounds = Bounds::new(args, now_ms())?;
    let group = args.group.clone().or_else(|| config.group.clone().filter(|_| args.partition.is_none()));
    if group.as_deref() == Some("") {
        bail!("-g/--group is empty: give the group's name, or leave the flag out to read without a group");
    }
    let names = names(args, config)?;
    let reset = args.reset.then(|| reset(group.as_deref(), &bounds)).transpose()?;
    let output = Output::stdout()?;
    let reader = if output.is_terminal() { Reader::Terminal } else { Reader::Program };
    let sink = Sink::new(sink_settings(args, reader)?);
    let partitions = args.partition.as_deref().map(parse_partitions).transpose().context("-p")?;
    let shutdown = Shutdown::install()?;

    let anonymous = format!("kq-{}", std::process::id());
    let mut flags = vec![
        ("group.id", group.as_deref().unwrap_or(&anonymous)),
        ("enable.auto.commit", if group.is_some() { "true" } else { "false" }),
        ("auto.commit.interval.ms", "1000"),
    ];
    match args.isolation.as_deref() {
        Some("read-uncommitted") => flags.push(("isolation.level", "read_uncommitted")),
        Some(_) => flags.push(("isolation.level", "read_committed")),
        None => {}
    }
    let role = [
        // Fetched ahead of a partition: enough to hide the way to the broker, little enough to stay
        // in the processor's caches, which saves a fifth of the CPU, and in 64 MiB.
        ("queued.min.messages", "20000"),
        ("fetch.message.max.bytes", "524288"),
        // A broker answers an idle fetch after this long: what stands at the end of a topic waits for it.
        ("fetch.wait.max.ms", if bounds.stops() { "20" } else { "500" }),
    ];
    if group.is_some() {
        flags.extend(membership::properties(args.group_protocol, args.assignor.as_deref(), config)?);
    }
    let connected = client::connect(config, &role, &flags, &names)?;
    if let Some((group, from)) = reset {
        crate::reading::group::seek(&connected.consumer, config, group, &connected.topics, from)?;
    }
    end_though_stdout_hangs(&shutdown, &output, args, config);
    shutdown.begin();
    let mut session = Session {
        args,
        config,
        connected: &connected,
        bounds,
        group,
        parts: Parts::default(),
        ends: Vec::new(),
        known: Vec::new(),
        names,
        subscribed: Vec::new(),
        output,
        sink,
        shutdown: &shutdown,
        written: 0,
        undecoded: 0,
        gone: 0,
        broken: None,
        stop: None,
        began: Instant::now(),
        joined: None,
        said_joining: false,
        polled: Instant::now(),
        looked: Instant::now(),
        last_record: Instant::now(),
        last_news: Instant::now(),
        discovered: Instant::now(),
        missed: client::Absence::default(),
        waited: None,
        outage: None,
        lost: false,
    };
    let begun = if session.group.is_some() {
        session.joined = session.joins_silently().then(Instant::now);
        session.join()
    } else {
        session.assign(partitions.as_deref())
    };
    match (begun, shutdown.signal()) {
        (Ok(()), _) => {}
        // Told to end, it asks no longer.
        (Err(_), Some(signal)) => session.stop = Some(Stop::Signal(signal)),
        (Err(e), None) => return Err(e),
    }
    session.run()
}

/// What a stderr that takes nothing is given for it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A reader that stands still, such as a pager, must not keep a consume from ending.
fn end_though_stdout_hangs(shutdown: &Shutdown, output: &Output, args: &Args, config: &Config) {
    let (writes, log, limit) = (output.writes(), config.log, args.close_timeout);
    shutdown.on_first_signal(move |signal| {
        writes.await_hang(limit);
        // stderr may lead to the same reader.
        let (said, is_said) = mpsc::channel();
        std::thread::spawn(move || {
            log.error(format_args!(
                "stopped by signal {signal}: stdout takes nothing; what it did not take is not committed"
            ));
            let _ = said.send(());
        });
        let _ = is_said.recv_timeout(LAST_WORDS);
        exit::at_once(Exit::Signal(signal));
    });
}

/// What `--reset` is to do: it needs a group and a start.
fn reset<'a>(group: Option<&'a str>, bounds: &Bounds) -> anyhow::Result<(&'a str, From)> {
    match (group, bounds.from) {
        (None, _) => bail!("--reset: name the group that is to start anew with -g or KQ_GROUP"),
        (_, None) => {
            bail!(
                "--reset: say where the group is to start: --from beginning, end, OFFSET, -N, @TIME or -DURATION"
            )
        }
        (Some(group), Some(from)) => Ok((group, from)),
    }
}

/// The topics to read, each once: those that are named, else `KQ_TOPIC`.
fn names(args: &Args, config: &Config) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in args.topics.iter().chain(&args.topic) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if names.is_empty() {
        names.push(match config.env_topic.as_deref() {
            Some(pattern) if pattern.starts_with('^') => pattern.to_owned(),
            env => config::topic::one(None, None, env)?,
        });
    }
    Ok(names)
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// A stop condition was reached.
    Reached,
    Signal(i32),
    /// Nobody reads stdout any more.
    Closed,
}

/// One run of `kq consume`.
struct Session<'a> {
    args: &'a Args,
    config: &'a Config,
    connected: &'a Connected,
    bounds: Bounds,
    group: Option<String>,
    parts: Parts,
    /// The end of each partition that was assigned before: it stays what it was at first.
    ends: Vec<(String, i32, Option<i64>)>,
    /// How far partitions were read that the group took away.
    known: Vec<Known>,
    /// What was asked for: names and patterns.
    names: Vec<String>,
    /// The topics that the group was joined for.
    subscribed: Vec<String>,
    output: Output,
    sink: Sink,
    shutdown: &'a Shutdown,
    written: u64,
    undecoded: u64,
    /// Records that retention took before they were read.
    gone: u64,
    /// What ends the run with an error: stdout can't be written, or the client is fenced.
    broken: Option<anyhow::Error>,
    stop: Option<Stop>,
    /// When joining the group, or a rebalance of it, began.
    began: Instant,
    /// When the group gave this member its share, which may be nothing.
    joined: Option<Instant>,
    said_joining: bool,
    /// When the batch that is being taken came.
    polled: Instant,
    /// When stdout and signals were looked at last.
    looked: Instant,
    last_record: Instant,
    /// When anything came from the brokers.
    last_news: Instant,
    /// When new partitions and topics were looked for.
    discovered: Instant,
    /// Since when a topic is missing that was there.
    missed: client::Absence,
    /// When was said what is waited for.
    waited: Option<Instant>,
    outage: Option<Outage>,
    /// The group took partitions away before what was written from them was committed.
    lost: bool,
}

/// How far a partition was read.
struct Known {
    topic: Arc<str>,
    partition: i32,
    position: i64,
}

impl Known {
    fn is(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && &*self.topic == topic
    }
}

impl Session<'_> {
    fn consumer(&self) -> &Consumer {
        &self.connected.consumer
    }

    /// Whether the group may leave this member without a word that it has nothing for it.
    fn joins_silently(&self) -> bool {
        self.args.group_protocol == GroupProtocol::Consumer
    }

    fn run(mut self) -> anyhow::Result<Exit> {
        let connected = self.connected;
        let with_headers = self.sink.needs_headers();
        if self.group.is_none() && self.parts.all_done() && self.stop.is_none() {
            self.stop = Some(Stop::Reached);
        }
        if self.bounds.count == Some(0) {
            self.stop = Some(Stop::Reached);
        }
        while self.stop.is_none() && self.broken.is_none() {
            let wait = if self.output.buffer().is_empty() { TICK } else { LINGER };
            let batch = connected.consumer.poll(wait, BATCH, &mut self);
            if batch.is_empty() {
                self.write_out();
                self.look_around();
            } else {
                self.polled = Instant::now();
                let taken = batch.for_each(with_headers, |event| {
                    self.take(event);
                    if self.stop.is_some() || self.broken.is_some() { Err(()) } else { Ok(()) }
                });
                if taken.is_ok()
                    && let Some(signal) = self.shutdown.signal()
                {
                    self.stop = Some(Stop::Signal(signal));
                }
                // Filters may let so little through that the output never fills by itself.
                if self.stop.is_none() && self.polled.duration_since(self.looked) >= TICK {
                    self.looked = self.polled;
                    self.write_out();
                    if self.output.is_closed() {
                        self.stop = Some(Stop::Closed);
                    }
                }
            }
        }
        self.end()
    }

    fn stop_when_done(&mut self) {
        if self.stop.is_none() && self.bounds.until.is_some() && self.parts.all_done() {
            self.stop = Some(Stop::Reached);
        }
    }

    /// Looked at while nothing comes: signals, a closed stdout, idleness, outages.
    fn look_around(&mut self) {
        if self.stop.is_some() {
            return;
        }
        if let Some(signal) = self.shutdown.signal() {
            self.stop = Some(Stop::Signal(signal));
        } else if self.output.is_closed() {
            self.stop = Some(Stop::Closed);
        }
        if self.parts.is_empty() && self.connected.causes.lacks_group_protocol() {
            self.broken = Some(anyhow!(errors::UNSUPPORTED));
        }
        let now = now_ms();
        for part in self.parts.iter_mut() {
            part.reach_time(now);
        }
        self.stop_when_done();
        if self.group.is_some() && self.joined.is_none() && !self.subscribed.is_empty() {
            self.tell_joining();
        }
        if self.parts.is_empty()
            && self.bounds.stops()
            && self
                .joined
                .is_some_and(|joined| joined.elapsed() >= membership::patience(self.joins_silently()))
            && self.outage.is_none()
        {
            self.config
                .log
                .note("this member got no partition to read: the group has enough members without it");
            self.stop = Some(Stop::Reached);
        }
        if let Some(idle) = self.bounds.idle
            && !self.parts.is_empty()
            && self.parts.behind().next().is_none()
            && self.outage.is_none()
            && self.last_record.elapsed() >= idle
        {
            self.stop = Some(Stop::Reached);
        }
        self.look_for_topics();
        self.watch_outage();
    }
}

/// What the flags make of each record; an error names the flag.
fn sink_settings(args: &Args, reader: Reader) -> anyhow::Result<sink::Settings> {
    let null = args.print_null.then_some(&b"NULL"[..]);
    let look = if args.json {
        Look::Json
    } else if let Some(format) = &args.format {
        let template = Template::parse(format).context("-f")?;
        Look::Template(if let Some(null) = null { template.with_null(null) } else { template })
    } else {
        let delimiter = match &args.delimiter {
            Some(text) => unescape(text).context("-D")?,
            None if args.nul => vec![0],
            None => vec![b'\n'],
        };
        let key = match &args.key_delimiter {
            Some(text) => Some(unescape(text).context("-K")?),
            None => args.with_key.then(|| vec![b'\t']),
        };
        Look::Template(Template::plain(key.as_deref(), &delimiter, null))
    };
    let header = |text: &String| text.parse().map_err(|e| anyhow!("--where-header {e}"));
    let filter = Filter {
        grep: args.grep.clone(),
        key: args.where_key.as_ref().map(|key| key.as_bytes().to_vec()),
        headers: args.where_header.iter().map(header).collect::<anyhow::Result<_>>()?,
    };
    // A copy is to be a copy.
    let decode = args.decode.unwrap_or(if args.json { Decode::None } else { Decode::Auto });
    Ok(sink::Settings { look, decoder: Decoder { decode, max: args.max_decoded }, filter, reader })
}
