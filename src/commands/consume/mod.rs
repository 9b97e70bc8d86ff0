//! `kq consume`: records to stdout; in a group, what was written and flushed is committed.

mod bounds;
mod group;
mod parts;
mod sink;

use std::io;
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
use crate::kafka::membership;
use crate::offset::{From, Until, parse_partitions};
use crate::output::Output;
use crate::record::RecordRef;
use crate::shutdown::Shutdown;
use bounds::Bounds;
use parts::{Part, Parts};
use sink::{Fate, Sink};

/// Records taken from librdkafka at once.
const BATCH: usize = 1000;
/// How long to wait for records before signals and a closed stdout are looked at again.
const TICK: Duration = Duration::from_millis(50);
/// How long output is held back for more to come.
const LINGER: Duration = Duration::from_millis(1);
/// A member that gets no partition for so long has nothing to read.
const PATIENCE: Duration = Duration::from_secs(10);

/// Consumes until a stop condition is reached, stdout is closed, or a signal comes.
pub fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let bounds = Bounds::new(args, now_ms())?;
    let group = args.group.clone().or_else(|| config.group.clone().filter(|_| args.partition.is_none()));
    if group.as_deref() == Some("") {
        bail!("-g/--group is empty: give the group's name, or leave the flag out to read without a group");
    }
    let mut names: Vec<String> = args.topics.iter().chain(&args.topic).cloned().collect();
    if names.is_empty() {
        names.push(config::topic::one(None, None, config.env_topic.as_deref())?);
    }
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
        (
            "isolation.level",
            if args.isolation == "read-uncommitted" { "read_uncommitted" } else { "read_committed" },
        ),
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
    let connected = consumer::connect(config, &flags, &names)?;
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
        output,
        sink,
        shutdown: &shutdown,
        written: 0,
        undecoded: 0,
        gone: 0,
        broken: None,
        stop: None,
        joined: Instant::now(),
        polled: Instant::now(),
        last_record: Instant::now(),
        outage: None,
        lost: false,
    };
    if session.group.is_some() {
        session.join(&names)?;
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
    joined: Instant,
    /// When the batch that is being taken came.
    polled: Instant,
    last_record: Instant,
    outage: Option<Outage>,
    /// The group took partitions away before what was written from them was committed.
    lost: bool,
}

/// Brokers that are away since a while.
#[derive(Clone, Copy)]
struct Outage {
    since: Instant,
    noted: Instant,
}

impl Session<'_> {
    fn consumer(&self) -> &Consumer {
        &self.connected.consumer
    }

    /// Joins the group; partitions come through [`Rebalance::assigned`].
    fn join(&mut self, names: &[String]) -> anyhow::Result<()> {
        self.consumer().subscribe(names).map_err(|code| anyhow!("subscribe to {}: {code}", names.join(", ")))
    }

    /// Takes all partitions, or the chosen ones, without a group.
    fn assign(&mut self, chosen: Option<&[i32]>) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        let connected = self.connected;
        for topic in &connected.topics {
            for &wanted in chosen.unwrap_or_default() {
                if !topic.partitions.iter().any(|p| p.id == wanted) {
                    bail!(
                        "topic {} has no partition {wanted}; it has {} of them",
                        topic.name,
                        topic.partitions.len()
                    );
                }
            }
            for partition in &topic.partitions {
                if chosen.is_some_and(|chosen| !chosen.contains(&partition.id)) {
                    continue;
                }
                let watermarks =
                    consumer::watermarks(self.consumer(), &topic.name, partition.id, self.config.timeout)?;
                let from = self.bounds.from.unwrap_or(From::Beginning);
                let start = self.start(&topic.name, partition.id, from, watermarks)?;
                let part = self.part(&topic.name, partition.id, Some(start), watermarks.1)?;
                if !part.done {
                    list.add_partition_offset(&topic.name, partition.id, Offset::Offset(start))?;
                }
                self.parts.add(part);
            }
        }
        if self.parts.is_empty() {
            bail!("no topic matches; `kq topic list` shows those that exist");
        }
        self.consumer().assign(&list).map_err(|code| anyhow!("assign partitions: {code}"))
    }

    /// Where to start in a partition; records that are gone already are counted.
    fn start(
        &mut self,
        topic: &str,
        partition: i32,
        from: From,
        (low, high): (i64, i64),
    ) -> anyhow::Result<i64> {
        let start =
            consumer::start(self.consumer(), topic, partition, from, (low, high), self.config.timeout)?;
        if start < low {
            self.count_gone(topic, partition, start, low);
        }
        Ok(start.max(low))
    }

    fn count_gone(&mut self, topic: &str, partition: i32, from: i64, to: i64) {
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
                let end = consumer::end(self.consumer(), topic, partition, until, high, self.config.timeout)?;
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
            }
        }
        self.end()
    }

    fn take(&mut self, event: Event<'_>) {
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
        let (low, high) = consumer::watermarks(self.consumer(), topic, partition, self.config.timeout)?;
        let mut next = position.max(low);
        if position >= 0 && position < low {
            // It was said, so the group need not come back to it.
            self.count_gone(topic, partition, position, until.map_or(low, |until| until.min(low)));
            if let Some(part) = self.parts.find(topic, partition) {
                part.pass(low);
            }
            self.stop_when_done();
        } else if position > high {
            self.gone += 1;
            self.config.log.error(format_args!(
                "{topic}[{partition}]: offset {position} is beyond the end {high}: the topic was truncated or made anew; reading from {low}"
            ));
            next = low;
        }
        match self.consumer().restart(topic, partition, next) {
            // It left meanwhile, and is its next owner's to read.
            Err(RDKafkaErrorCode::InvalidArgument) | Ok(()) => Ok(()),
            Err(code) => bail!("read {topic}[{partition}] from {next} on: {code}"),
        }
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
            if part.answered && part.until_time.is_some_and(|time| now >= time) {
                part.done = true;
            }
        }
        self.stop_when_done();
        if self.parts.is_empty()
            && self.bounds.stops()
            && self.joined.elapsed() >= PATIENCE
            && self.outage.is_none()
        {
            self.config
                .log
                .note("this member got no partition to read: the group has enough members without it");
            self.stop = Some(Stop::Reached);
        }
        if let Some(idle) = self.bounds.idle
            && !self.parts.is_empty()
            && self.parts.all_answered()
            && self.outage.is_none()
            && self.last_record.elapsed() >= idle
        {
            self.stop = Some(Stop::Reached);
        }
        self.watch_outage();
    }

    /// Says every 10 s that brokers are away; with a stop condition, gives up in the end.
    fn watch_outage(&mut self) {
        let now = Instant::now();
        if self.outage.is_none() && self.connected.causes.all_down() {
            self.outage = Some(Outage { since: now, noted: now });
        }
        let Some(outage) = &mut self.outage else { return };
        if now.duration_since(outage.noted) < Duration::from_secs(5) {
            return;
        }
        outage.noted = now;
        let since = outage.since;
        // An idle topic gives no sign that brokers are back, so ask.
        if self.consumer().metadata(None, Duration::from_secs(1)).is_ok() {
            self.connected.causes.clear();
            self.outage = None;
            self.last_record = Instant::now();
            return;
        }
        let cause = self.connected.causes.last().unwrap_or_else(|| "no answer".into());
        if self.bounds.stops() && since.elapsed() >= self.args.stall_timeout {
            self.broken = Some(anyhow!(
                "stalled: no contact to {} for {} s (--stall-timeout): {cause}",
                self.config.brokers,
                since.elapsed().as_secs()
            ));
        } else {
            self.config.log.note(format_args!(
                "waiting for {} since {} s: {cause}",
                self.config.brokers,
                since.elapsed().as_secs()
            ));
        }
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
            uncommitted = self.commit().err();
            connected.consumer.close(self.args.close_timeout, &mut self);
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
            log.note(format_args!(
                "stopped by signal {signal} after {} records; last: {}",
                self.written,
                at.join(" ")
            ));
            if uncommitted.is_none() && self.undecoded == 0 && self.gone == 0 {
                return Ok(Exit::Signal(signal));
            }
        }
        let failed = uncommitted.is_some() || self.undecoded > 0 || self.gone > 0;
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}
