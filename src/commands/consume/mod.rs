//! `kq consume`: records to stdout; in a group, what was written and flushed is committed.

mod bounds;
mod group;
mod outage;
mod parts;
mod sink;
mod topics;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::cli::consume::Args;
use crate::config::{self, Config};
use crate::exit::{self, Exit};
use crate::kafka::consumer::{self, Connected};
use crate::kafka::errors::words;
use crate::kafka::ffi::{Consumer, Event};
use crate::kafka::membership::{self, GroupProtocol};
use crate::offset::{From, Until, parse_partitions};
use crate::output::Output;
use crate::record::RecordRef;
use crate::shutdown::Shutdown;
use bounds::Bounds;
use outage::Outage;
use parts::{Part, Parts};
use sink::{Fate, Sink};

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
    let sink = Sink::new(args, output.is_terminal())?;
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
    let connected = consumer::connect(config, &role, &flags, &names)?;
    if let Some((group, from)) = reset {
        crate::kafka::group::seek(&connected.consumer, config, group, &connected.topics, from)?;
    }
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
        missed: None,
        waited: None,
        outage: None,
        lost: false,
    };
    if session.group.is_some() {
        session.joined = session.joins_silently().then(Instant::now);
        session.join()?;
    } else {
        session.assign(partitions.as_deref())?;
    }
    session.run()
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

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
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
    missed: Option<Instant>,
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

    /// Asks until there is an answer, through an outage that begins just now: as long as a stop
    /// condition allows, else well within `max.poll.interval.ms`.
    fn patiently<T, E>(
        &self,
        ask: impl Fn() -> Result<T, E>,
        is_contact_lost: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let patience = if self.bounds.stops() { self.args.stall_timeout } else { Duration::from_mins(4) };
        let asked = Instant::now();
        loop {
            match ask() {
                Err(e)
                    if is_contact_lost(&e)
                        && self.shutdown.signal().is_none()
                        && asked.elapsed() < patience => {}
                outcome => return outcome,
            }
        }
    }

    fn watermarks(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        let ask = || consumer::watermarks(self.consumer(), topic, partition, self.config.timeout);
        self.patiently(ask, consumer::is_contact_lost)
    }

    /// A partition with nothing read of it. Records that are gone already are counted; of a start
    /// beyond the end, what comes before it is not asked for.
    fn begin(
        &mut self,
        topic: &str,
        partition: i32,
        from: From,
        (low, high): (i64, i64),
    ) -> anyhow::Result<Part> {
        let ask =
            || consumer::start(self.consumer(), topic, partition, from, (low, high), self.config.timeout);
        let start = self.patiently(ask, consumer::is_contact_lost)?;
        let mut part = self.part(topic, partition, Some(start.clamp(low, high.max(low))), high)?;
        part.first = (start > high).then_some(start);
        self.config.log.verbose(1, format_args!("{topic}[{partition}]: from {start}; its end is {high}"));
        if start < low {
            let gone = part.until.map_or(low, |until| until.clamp(start, low));
            self.count_gone(topic, partition, start, gone);
        }
        Ok(part)
    }

    fn count_gone(&mut self, topic: &str, partition: i32, from: i64, to: i64) {
        if from >= to {
            return;
        }
        self.gone += (to - from) as u64;
        self.config.log.error(format_args!(
            "{topic}[{partition}]: {from}..{to} gone: no longer in the topic when they were read"
        ));
    }

    /// The state of a partition that is read from `start` on.
    fn part(&mut self, topic: &str, partition: i32, start: Option<i64>, high: i64) -> anyhow::Result<Part> {
        let known = self.ends.iter().find(|(t, p, _)| *p == partition && t == topic).map(|(_, _, end)| *end);
        let end = match (known, self.bounds.until) {
            (Some(end), _) => end,
            (None, None) => None,
            (None, Some(until)) => {
                let ask =
                    || consumer::end(self.consumer(), topic, partition, until, high, self.config.timeout);
                let end = self.patiently(ask, consumer::is_contact_lost)?;
                self.ends.push((topic.to_owned(), partition, end));
                end
            }
        };
        let mut part = Part::new(topic.into(), partition, start, end);
        if let (Some(Until::Time(time)), None) = (self.bounds.until, end) {
            part.until_time = Some(time);
        }
        Ok(part)
    }

    fn run(mut self) -> anyhow::Result<Exit> {
        let connected = self.connected;
        let with_headers = self.sink.needs_headers();
        if self.group.is_none() && self.parts.all_done() {
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

    fn take(&mut self, event: Event<'_>) {
        self.last_news = self.polled;
        match event {
            Event::Record(record) => self.take_record(&record),
            Event::End { topic, partition, offset } => {
                self.outage = None;
                if let Some(part) = self.parts.find(topic, partition) {
                    part.reached_end(offset, now_ms());
                    self.stop_when_done();
                }
            }
            Event::Error { topic, partition, offset, code, reason } => {
                self.take_error(topic, partition, offset, code, reason);
            }
        }
    }

    fn take_record(&mut self, record: &RecordRef<'_>) {
        let Some(part) = self.parts.find(record.topic, record.partition) else { return };
        if !part.wants(record.offset, record.timestamp.millis()) {
            return self.stop_when_done();
        }
        let fate = self.sink.append(record, self.output.buffer());
        part.passed(record.offset + 1);
        let part_done = part.done;
        self.last_record = self.polled;
        self.outage = None;
        if fate != Fate::Filtered {
            self.written += 1;
        }
        if let Fate::Undecoded(why) = fate {
            self.undecoded += 1;
            if self.undecoded == 1 {
                self.config.log.error(format_args!(
                    "{}[{}]@{}: written as it came, since its value can't be undone: {why}",
                    record.topic, record.partition, record.offset
                ));
            }
        }
        if self.args.unbuffered {
            self.write_out();
        } else if let Err(e) = self.output.relieve().map(|flushed| {
            if flushed {
                self.store();
            }
        }) {
            self.stdout_failed(e);
        }
        if self.bounds.count.is_some_and(|count| self.written >= count) {
            self.stop = Some(Stop::Reached);
        } else if part_done {
            self.stop_when_done();
        }
    }

    fn take_error(&mut self, topic: &str, partition: i32, offset: i64, code: RDKafkaErrorCode, reason: &str) {
        use RDKafkaErrorCode as E;
        match code {
            E::AutoOffsetReset => {
                self.config.log.verbose(1, format_args!("{topic}[{partition}]@{offset}: {reason}"));
                self.take_gap(topic, partition, offset);
            }
            E::Fatal => {
                self.broken = Some(if membership::is_unsupported(reason) {
                    anyhow!(membership::UNSUPPORTED)
                } else {
                    exit::with(Exit::Fenced, anyhow!("fenced: {reason}"))
                });
            }
            E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::UnknownTopicOrPartition
            | E::UnknownTopic
            | E::UnknownPartition
            | E::InconsistentGroupProtocol
            | E::InvalidGroupId
            | E::Authentication
            | E::InvalidTopic => {
                let what = match code {
                    E::InconsistentGroupProtocol => format!(
                        "the group's members share partitions in another way; --assignor names theirs ({reason})"
                    ),
                    _ if topic.is_empty() => reason.to_owned(),
                    _ => format!("{topic}: {reason}"),
                };
                self.broken = Some(anyhow!(what));
            }
            _ => self.config.log.verbose(1, format_args!("{topic}[{partition}]: {code}: {reason}")),
        }
    }

    /// The offset to read from is not in the partition any more, or not yet.
    fn take_gap(&mut self, topic: &str, partition: i32, offset: i64) {
        let Some(part) = self.parts.find(topic, partition) else { return };
        if part.done {
            return;
        }
        let (position, until) = (part.position().unwrap_or(offset), part.until);
        if let Err(e) = self.pass_gap(topic, partition, position, until) {
            self.broken = Some(e);
        }
    }

    fn pass_gap(
        &mut self,
        topic: &str,
        partition: i32,
        position: i64,
        until: Option<i64>,
    ) -> anyhow::Result<()> {
        let (low, high) = self.watermarks(topic, partition)?;
        let mut next = position.max(low);
        if position >= 0 && position < low {
            // It was said, so the group need not come back to it.
            self.count_gone(topic, partition, position, until.map_or(low, |until| until.min(low)));
            if let Some(part) = self.parts.find(topic, partition) {
                part.pass(low);
            }
            self.stop_when_done();
        } else if position > high {
            self.tell_beyond(topic, partition, position, (low, high));
            next = low;
        }
        match self.consumer().restart(topic, partition, next) {
            // It left meanwhile, and is its next owner's to read.
            Err(RDKafkaErrorCode::InvalidArgument) | Ok(()) => Ok(()),
            Err(code) => bail!("read {topic}[{partition}] from {next} on: {code}"),
        }
    }

    /// Says that what was read before is not there any more.
    fn tell_beyond(&mut self, topic: &str, partition: i32, position: i64, (low, high): (i64, i64)) {
        self.gone += 1;
        self.config.log.error(format_args!(
            "{topic}[{partition}]: offset {position} is beyond the end {high}: the topic was truncated or made anew; reading from {low}"
        ));
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
            self.broken = Some(anyhow!(membership::UNSUPPORTED));
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

    /// Writes out what is gathered, and stores the offsets of it.
    fn write_out(&mut self) {
        match self.output.flush() {
            Ok(()) => self.store(),
            Err(e) => self.stdout_failed(e),
        }
    }

    fn stdout_failed(&mut self, e: io::Error) {
        if e.kind() == io::ErrorKind::BrokenPipe {
            self.stop = Some(Stop::Closed);
        } else if self.broken.is_none() {
            self.broken = Some(anyhow::Error::new(e).context("write stdout: nothing after it is committed"));
        }
    }

    /// Stores, for the next commit, what follows the records that were flushed.
    fn store(&mut self) {
        if self.group.is_none() || self.broken.is_some() || self.stop == Some(Stop::Closed) {
            return;
        }
        let mut list = TopicPartitionList::new();
        for part in self.parts.iter_mut() {
            if let (true, Some(next)) = (std::mem::take(&mut part.unstored), part.next) {
                let _ = list.add_partition_offset(&part.topic, part.partition, Offset::Offset(next));
            }
        }
        if list.count() > 0
            && let Err(code) = self.connected.consumer.store(&list)
        {
            self.config.log.verbose(1, format_args!("store offsets: {code}"));
        }
    }

    /// Flushes, commits, leaves the group, and says how it ended.
    fn end(mut self) -> anyhow::Result<Exit> {
        let connected = self.connected;
        if self.broken.is_none() && self.stop != Some(Stop::Closed) {
            self.write_out();
        }
        let mut uncommitted = None;
        if self.group.is_some() {
            // The close below commits too, but does not say whether it could.
            let deadline = Instant::now() + self.args.close_timeout;
            uncommitted = self.commit(deadline).err();
            let left = deadline.saturating_duration_since(Instant::now()).max(LEAVING);
            connected.consumer.close(left, &mut self);
        }
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let log = self.config.log;
        if let Some(code) = uncommitted {
            let names: Vec<String> = connected.topics.iter().map(|t| t.name.clone()).collect();
            log.error(format_args!(
                "the last commit of group {} failed ({}): records of {} may be read again",
                self.group.as_deref().unwrap_or_default(),
                words(code),
                names.join(", ")
            ));
        }
        if self.undecoded > 1 {
            log.error(format_args!(
                "{} values could not be undone and were written as they came",
                self.undecoded
            ));
        }
        if self.stop == Some(Stop::Closed) {
            return Ok(Exit::Done);
        }
        if let (Some(Stop::Signal(signal)), true) = (self.stop, self.bounds.stops()) {
            let at: Vec<String> = self
                .parts
                .iter()
                .filter_map(|p| Some(format!("{}[{}]@{}", p.topic, p.partition, p.next? - 1)))
                .collect();
            let last = if at.is_empty() { String::new() } else { format!("; last: {}", at.join(" ")) };
            log.error(format_args!("stopped by signal {signal} after {} records{last}", self.written));
            if uncommitted.is_none() && self.undecoded == 0 && self.gone == 0 {
                return Ok(Exit::Signal(signal));
            }
        }
        let failed = uncommitted.is_some() || self.undecoded > 0 || self.gone > 0;
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}
