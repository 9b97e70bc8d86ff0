//! `kq produce`: lines of stdin or of files into a topic, each acknowledged or named.

mod ending;
mod input;
mod longest;
mod news;
mod pace;
mod progress;
mod report;
mod sending;
mod settings;
mod tally;
mod turns;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::config::Config;
use crate::exit::Exit;
use crate::kafka::client::{Delivery, ProducerClient};
use crate::kafka::code::Code;
use crate::record::framing::Framer;
use crate::record::shape::Shape;
use crate::sending::client::{self, Connected};
use crate::shutdown::Shutdown;
use crate::terminal::notes::Log;
use input::{Chunk, Reader};
use longest::{Limits, Longest, Reason};
use news::{News, Stage, UNTOLD};
use pace::Pace;
use progress::Progress;
use report::Reporter;
use tally::{Own, Place, Tally};
use turns::{STICKY, Turns};

pub(crate) use input::Input;
pub(crate) use longest::{JSON, SNAPPY};
pub(crate) use settings::{OnInvalid, Report, Settings};

/// How much is read at once.
const READ: usize = 256 * 1024;
/// How long an idle input is awaited before signals are checked again.
const TICK: Duration = Duration::from_millis(50);
/// A frame of more than this is read on only while no record is in flight, so that memory has one large
/// record in it at a time.
const ALONE: usize = 16 << 20;
/// After a signal, a reader of the report that takes nothing is waited for so long.
const READER: Duration = Duration::from_secs(5);

/// Produces all records of the inputs and prints the result.
pub(crate) fn run(settings: &Settings, shape: Shape, config: &Config) -> anyhow::Result<Exit> {
    let reporter = Reporter::new(settings.report, &settings.inputs)?;
    let shutdown = Shutdown::install()?;
    shutdown.tell_ignored(|line| config.log.verbose(1, line));
    let connected = connect(settings, config)?;
    shutdown.begin();
    let framer = Framer::new(&settings.delimiter);
    Session::new(settings, config, &connected, &shutdown, shape, reporter)?.run(framer)
}

/// A producer whose topic exists, and has the partition of `-p`.
fn connect(settings: &Settings, config: &Config) -> anyhow::Result<Connected> {
    let topic = &settings.topic;
    let connected = client::connect(config, &settings.producer, topic)?;
    if let Some(note) = &settings.note {
        config.log.note(note);
    }
    if let Some(partition) = settings.partition
        && !connected.partition_ids.contains(&partition)
    {
        bail!("topic {topic} has no partition {partition}; it has {} of them", connected.partition_ids.len());
    }
    Ok(connected)
}

/// One run of `kq produce`.
struct Session<'a, P: ProducerClient> {
    settings: &'a Settings,
    config: &'a Config,
    connected: &'a Connected<P>,
    shutdown: &'a Shutdown,
    /// The topic of the command line, and those that records named.
    topics: HashMap<String, P::Topic<'a>>,
    shape: Shape,
    turns: Turns<'a>,
    /// `None`: as fast as the queue takes them.
    pace: Option<Pace>,
    /// A longer frame is dropped while it is read.
    longest: Longest,
    extent: Extent,
    sent: u64,
    tally: Tally,
    reporter: Reporter<'a>,
    progress: Progress,
    started: Instant,
    news: News,
    stop: Option<Stop>,
}

/// How far the inputs are done, in bytes of all of them together.
#[derive(Debug, Default)]
struct Extent {
    read: u64,
    /// Those before what the ends of the frames at hand count from.
    before: u64,
    /// Those up to the last record that was queued.
    queued: u64,
}

/// Why reading ended before the input did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Count,
    Signal(i32),
    Invalid,
    Hopeless,
    ReportFailed,
}

impl<'a, P: ProducerClient> Session<'a, P> {
    fn new(
        settings: &'a Settings,
        config: &'a Config,
        connected: &'a Connected<P>,
        shutdown: &'a Shutdown,
        shape: Shape,
        reporter: Reporter<'a>,
    ) -> anyhow::Result<Self> {
        let topic = settings.topic.as_str();
        let topics = HashMap::from([(topic.to_owned(), connected.producer.topic(topic)?)]);
        if let Some(doubt) = connected.acks.doubt() {
            config.log.note(doubt);
        }
        let own = Own { topics: settings.topic_from_record, partitions: settings.keep_partition };
        let now = Instant::now();
        Ok(Self {
            settings,
            config,
            connected,
            shutdown,
            topics,
            shape,
            turns: Turns::new(&connected.partitions, any_start()),
            pace: settings.rate.map(|rate| Pace::new(rate, now)),
            longest: longest(settings, config, connected),
            extent: Extent::default(),
            sent: 0,
            tally: Tally::new(own),
            reporter,
            progress: Progress::new(&settings.inputs, config.log),
            started: now,
            news: News::new(now),
            stop: (settings.count == Some(0)).then_some(Stop::Count),
        })
    }

    fn run(mut self, mut framer: Framer) -> anyhow::Result<Exit> {
        let mut at = Place { input: 0, line: 0 };
        let mut unread = None;
        for (index, input) in self.settings.inputs.iter().enumerate() {
            at = Place { input: index, line: 0 };
            if self.stop.is_some() {
                break;
            }
            unread = self.feed(&mut framer, input, &mut at).err();
            if unread.is_some() {
                break;
            }
        }
        self.news.stage = Stage::Draining;
        self.drain(at);
        self.progress.finish();
        self.finish(at, unread)
    }

    /// Reads one input to its end, or until something says stop.
    fn feed(&mut self, framer: &mut Framer, input: &Input, at: &mut Place) -> anyhow::Result<()> {
        let Some(mut reader) = self.open(input)? else { return Ok(()) };
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(STICKY);
        framer.set_longest(self.longest.bytes);
        loop {
            self.look_for_signals();
            if self.stop.is_some() {
                return Ok(());
            }
            let in_flight = self.connected.producer.in_flight();
            if framer.buffered() > ALONE && in_flight > 0 {
                self.serve(Duration::from_millis(5));
                continue;
            }
            let wait = if in_flight > 0 { Duration::from_millis(5) } else { TICK };
            match reader.read(framer.space(READ), wait).with_context(|| format!("read {}", input.name))? {
                Chunk::Idle => {}
                Chunk::Bytes(n) => {
                    framer.advance(n);
                    self.turns.advance();
                    self.extent.read += n as u64;
                    while self.stop.is_none() {
                        ranges.clear();
                        if framer.take_frames(STICKY, &mut ranges) == 0 {
                            break;
                        }
                        // The delimiter behind the last counts as one behind each.
                        let end = ranges.last().map_or(0, |frame| frame.end);
                        self.extent.before = self.extent.read - (framer.buffered() + end) as u64;
                        self.send(framer.buffer(), &ranges, at);
                    }
                    if framer.buffered() > self.longest.bytes && self.stop.is_none() {
                        if !self.is_too_long(framer.buffered()) {
                            framer.set_longest(self.longest.bytes);
                        } else if framer.discard() {
                            at.line += 1;
                            self.drop_frame(*at);
                        }
                    }
                    framer.release();
                }
                Chunk::End => {
                    self.extent.before = self.extent.read - framer.buffered() as u64;
                    match framer.finish() {
                        Some(tail) => self.send(tail, std::slice::from_ref(&(0..tail.len())), at),
                        // An empty file is one empty record; one that was dropped is none.
                        None if self.settings.delimiter.is_empty() && at.line == 0 => {
                            self.send(&[], std::slice::from_ref(&(0..0)), at);
                        }
                        None => {}
                    }
                    framer.release();
                    return Ok(());
                }
            }
            self.serve(Duration::ZERO);
        }
    }

    /// Whether a frame of so many bytes is too long by what the topic says now.
    fn is_too_long(&mut self, bytes: usize) -> bool {
        if self.longest.reason == Reason::Topic {
            self.connected.ask_limit(&self.settings.topic);
            self.longest = longest(self.settings, self.config, self.connected);
        }
        bytes > self.longest.bytes
    }

    /// Counts a frame that was too long. One that the topic would refuse fails as if it had been sent.
    fn drop_frame(&mut self, place: Place) {
        if self.longest.reason == Reason::Topic && !self.shape.json {
            self.tally.fail(place, Code::MessageSizeTooLarge, &self.settings.topic, -1);
            self.count_sent(1);
        } else {
            self.refuse(place, self.longest.to_string());
        }
    }

    /// Opens an input; a named pipe may have no writer for a long time. `None` where a signal came.
    fn open(&mut self, input: &Input) -> anyhow::Result<Option<Reader>> {
        let mut opening = input.open();
        loop {
            if let Some(opened) = opening.wait(TICK) {
                return opened.map(Some);
            }
            self.serve(Duration::ZERO);
            self.look_for_signals();
            if self.stop.is_some() {
                return Ok(None);
            }
        }
    }

    fn look_for_signals(&mut self) {
        if let (None, Some(signal)) = (self.stop, self.shutdown.signal()) {
            self.stop = Some(Stop::Signal(signal));
        }
    }

    /// Writes notes while the progress bar is hidden. They get a function that names a place.
    fn say(&self, lines: impl FnOnce(Log, &dyn Fn(Place) -> String)) {
        let name = |place: Place| match self.settings.inputs.get(place.input) {
            Some(input) => format!("{}:{}", input.name, place.line),
            None => format!("record {}", place.line),
        };
        self.progress.aside(|| lines(self.config.log, &name));
    }

    /// Receives delivery reports, waiting up to `timeout` for the first.
    fn serve(&mut self, timeout: Duration) {
        let before = self.tally.reported();
        if before == 0 {
            self.connected.hurry(&self.settings.topic);
        }
        let (tally, reporter) = (&mut self.tally, &mut self.reporter);
        self.connected.producer.poll(timeout, &mut |delivery: Delivery<'_>| {
            tally.report(delivery);
            if delivery.error.is_none() {
                reporter.acknowledged(delivery);
            }
        });
        self.progress.update(self.extent.queued, self.tally.delivered);
        self.report_failures();
        self.note_silence(self.tally.reported() > before);
        self.write_report();
        while self.reporter.is_behind() && self.news.stage == Stage::Reading && self.stop.is_none() {
            self.reporter.wait(TICK);
            self.write_report();
            self.look_for_signals();
        }
    }

    fn write_report(&mut self) {
        if !self.reporter.flush() {
            self.stop.get_or_insert(Stop::ReportFailed);
        }
    }

    /// Waits until stdout has taken the whole report; after a signal, no longer than a reader is given that takes
    /// nothing. Stores how many records the report still lacks in `lacking`.
    fn finish_report(&mut self, lacking: &AtomicU64) {
        let (mut untaken, mut since) = (self.reporter.untaken(), Instant::now());
        loop {
            self.write_report();
            let left = self.reporter.untaken();
            lacking.store(left, Relaxed);
            if left == 0 {
                return;
            }
            if left < untaken {
                (untaken, since) = (left, Instant::now());
            }
            if let (Some(signal), Some(at)) = (self.shutdown.signal(), self.shutdown.since())
                && since.max(at).elapsed() >= READER
            {
                if matches!(self.stop, None | Some(Stop::Count)) {
                    self.stop = Some(Stop::Signal(signal));
                }
                return;
            }
            self.reporter.wait(TICK);
        }
    }

    /// Waits until each queued record was acknowledged or failed. In short steps, since the
    /// client's own flush waits in steps of 100 ms. Then for the reader of the report. A second signal prints
    /// how many are left.
    fn drain(&mut self, at: Place) {
        let waiting = Arc::new(AtomicU64::new(0));
        let untaken = Arc::new(AtomicU64::new(0));
        self.say(|log, name| {
            let log = log.of_the_end();
            let (place, left, untaken) = (name(at), Arc::clone(&waiting), Arc::clone(&untaken));
            self.shutdown.on_second_signal(move || {
                let (left, untaken) = (left.load(Relaxed), untaken.load(Relaxed));
                let unreported =
                    if untaken == 0 { String::new() } else { format!("; {}", unreported(untaken)) };
                log.error(format_args!(
                    "stopped after {place}; records that were not acknowledged: {left}{unreported}"
                ));
            });
        });
        let mut step = Duration::from_micros(200);
        let (began, mut said) = (Instant::now(), false);
        loop {
            let left = self.connected.producer.in_flight();
            if left == 0 {
                break;
            }
            waiting.store(left as u64, Relaxed);
            untaken.store(self.reporter.untaken(), Relaxed);
            if let (Some(Stop::Signal(signal)), false) = (self.stop, said)
                && began.elapsed() >= UNTOLD
            {
                said = true;
                self.say(|log, _| {
                    log.note(format_args!(
                        "signal {signal}: waiting for {left} acknowledgements, a second signal ends at once"
                    ));
                });
            }
            self.serve(step);
            step = (step * 2).min(Duration::from_millis(20));
        }
        self.serve(Duration::ZERO);
        waiting.store(0, Relaxed);
        self.finish_report(&untaken);
    }
}

/// What a report lacks whose reader stands still.
fn unreported(untaken: u64) -> String {
    let records = if untaken == 1 { "record is" } else { "records are" };
    format!(
        "stdout takes nothing: {} acknowledged {records} not in the report",
        indicatif::HumanCount(untaken)
    )
}

/// What no frame of these inputs can be longer than.
fn longest<P>(settings: &Settings, config: &Config, connected: &Connected<P>) -> Longest {
    let limits = Limits {
        topic: connected.limit.get(),
        client: connected.max_message_bytes,
        is_chosen: config.is_given("message.max.bytes"),
        codec: &connected.codec,
        any_topic: settings.topic_from_record,
        factor: settings.frame_factor,
        besides: settings.frame_besides,
    };
    limits.longest()
}

/// A number that differs from run to run.
fn any_start() -> usize {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) as usize
}

#[cfg(test)]
mod tests;
