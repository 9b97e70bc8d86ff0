//! `kq produce`: lines of stdin or of files into a topic, each acknowledged or named.

mod input;
mod progress;
mod sending;
mod settings;
mod tally;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::config::Config;
use crate::exit::{self, Exit};
use crate::kafka::client::{Delivery, ProducerClient};
use crate::kafka::errors::Code;
use crate::reading::contact::Notes;
use crate::record::framing::Framer;
use crate::record::json;
use crate::record::shape::Shape;
use crate::sending::client::{self, Acks, Connected};
use crate::shutdown::Shutdown;
use crate::terminal::notes::Log;
use crate::terminal::stdout::Output;
use input::{Chunk, Reader};
use progress::Progress;
use sending::STICKY;
use tally::{Place, Tally};

pub use input::Input;
pub use settings::{OnInvalid, Report, Settings};

/// How much is read at once.
const READ: usize = 256 * 1024;
/// How long an idle input is watched before signals are looked at again.
const TICK: Duration = Duration::from_millis(50);
/// How long a failure waits for the summary, which tells of the first one, before it is told of alone.
const UNTOLD: Duration = Duration::from_secs(1);

/// Produces all that the inputs hold and says what came of it.
pub fn run(settings: &Settings, shape: Shape, config: &Config) -> anyhow::Result<Exit> {
    let report = settings.report.map(|Report::Json| Output::stdout()).transpose()?;
    let shutdown = Shutdown::install()?;
    let connected = connect(settings, config)?;
    shutdown.begin();
    let framer = Framer::new(&settings.delimiter);
    Session::new(settings, config, &connected, &shutdown, shape, report)?.run(framer)
}

/// A producer whose topic is there, and has the partition that is asked for.
fn connect(settings: &Settings, config: &Config) -> anyhow::Result<Connected> {
    let topic = &settings.topic;
    let connected = client::connect(config, &settings.producer, topic)?;
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
    topics: HashMap<String, P::Topic<'a>>,
    main: String,
    shape: Shape,
    shutdown: &'a Shutdown,
    report: Option<Output>,
    report_error: Option<std::io::Error>,
    inputs: &'a [Input],
    progress: Progress,
    tally: Tally,
    /// Index into the partitions that have a leader, of the one whose turn it is.
    turn: usize,
    sent: u64,
    /// Bytes of all inputs: those read, those before what the ends of the frames at hand count from,
    /// and those up to the last record that was queued.
    read: u64,
    before: u64,
    position: u64,
    since_turn: usize,
    /// When `--rate` lets the next record go.
    due: Instant,
    /// Bytes of an input without a delimiter in them that can be no record any more.
    longest: usize,
    started: Instant,
    /// Since when there are failures that nobody was told of.
    untold: Option<Instant>,
    /// All inputs were read, or are not read on: the summary is near.
    draining: bool,
    /// When a delivery report came last.
    last_news: Instant,
    /// When to say that none comes.
    notes: Notes,
    stop: Option<Stop>,
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
        report: Option<Output>,
    ) -> anyhow::Result<Self> {
        let topic = settings.topic.as_str();
        let inputs = settings.inputs.as_slice();
        let topics = HashMap::from([(topic.to_owned(), connected.producer.topic(topic)?)]);
        let now = Instant::now();
        match connected.acks {
            Acks::All => {}
            Acks::Some => config.log.note("acks 1: idempotence is off, a retry may duplicate a record"),
            Acks::None => config.log.note("acks 0: nobody says whether a record arrived; one may be lost"),
        }
        let tally = Tally::new(settings.topic_from_record, settings.keep_partition);
        Ok(Self {
            settings,
            config,
            connected,
            topics,
            main: topic.to_owned(),
            shape,
            shutdown,
            report,
            report_error: None,
            inputs,
            progress: Progress::new(inputs, config.log),
            tally,
            turn: first_turn(connected.partitions.len()),
            sent: 0,
            read: 0,
            before: 0,
            position: 0,
            since_turn: 0,
            due: now,
            longest: longest(settings, connected),
            started: now,
            untold: None,
            draining: false,
            last_news: now,
            notes: Notes::default(),
            stop: (settings.count == Some(0)).then_some(Stop::Count),
        })
    }

    fn run(mut self, mut framer: Framer) -> anyhow::Result<Exit> {
        let mut at = Place { input: 0, line: 0 };
        let mut unread = None;
        for (index, input) in self.inputs.iter().enumerate() {
            at = Place { input: index, line: 0 };
            if self.stop.is_some() {
                break;
            }
            unread = self.feed(&mut framer, input, &mut at).err();
            if unread.is_some() {
                break;
            }
        }
        self.draining = true;
        self.drain(at);
        self.progress.finish();
        self.finish(at, unread)
    }

    /// Reads one input to its end, or until something says stop.
    fn feed(&mut self, framer: &mut Framer, input: &Input, at: &mut Place) -> anyhow::Result<()> {
        let Some(mut reader) = self.open(input)? else { return Ok(()) };
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(STICKY);
        loop {
            self.look_for_signals();
            if self.stop.is_some() {
                return Ok(());
            }
            let wait = if self.connected.producer.in_flight() > 0 { Duration::from_millis(5) } else { TICK };
            match reader.read(framer.space(READ), wait).with_context(|| format!("read {}", input.name))? {
                Chunk::Idle => {}
                Chunk::Bytes(n) => {
                    framer.advance(n);
                    self.next_turn();
                    self.read += n as u64;
                    while self.stop.is_none() {
                        ranges.clear();
                        if framer.take_frames(STICKY, &mut ranges) == 0 {
                            break;
                        }
                        // The delimiter behind the last counts as one behind each.
                        let end = ranges.last().map_or(0, |frame| frame.end);
                        self.before = self.read - (framer.buffered() + end) as u64;
                        self.send(framer.buffer(), &ranges, at);
                    }
                    if framer.buffered() > self.longest && self.stop.is_none() && framer.discard() {
                        at.line += 1;
                        let why = format!("longer than any record can be ({} bytes)", self.longest);
                        self.refuse(*at, why);
                    }
                }
                Chunk::End => {
                    self.before = self.read - framer.buffered() as u64;
                    match framer.finish() {
                        Some(tail) => self.send(tail, std::slice::from_ref(&(0..tail.len())), at),
                        // An empty file is one empty record.
                        None if self.settings.delimiter.is_empty() => {
                            self.send(&[], std::slice::from_ref(&(0..0)), at);
                        }
                        None => {}
                    }
                    return Ok(());
                }
            }
            self.serve(Duration::ZERO);
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

    /// Writes lines for people around the progress bar; they get a function that names a place.
    fn say(&self, lines: impl FnOnce(Log, &dyn Fn(Place) -> String)) {
        let name = |place: Place| match self.inputs.get(place.input) {
            Some(input) => format!("{}:{}", input.name, place.line),
            None => format!("record {}", place.line),
        };
        self.progress.aside(|| lines(self.config.log, &name));
    }

    /// Takes delivery reports in, waiting up to `timeout` for the first.
    fn serve(&mut self, timeout: Duration) {
        if self.tally.delivered + self.tally.failed == 0 {
            self.connected.hurry(&self.main);
        }
        let (tally, report, inputs) = (&mut self.tally, &mut self.report, self.inputs);
        let before = tally.delivered + tally.failed;
        self.connected.producer.poll(timeout, &mut |delivery: Delivery<'_>| {
            tally.report(delivery);
            if let (Some(report), None) = (report.as_mut(), delivery.error) {
                append_report(report.buffer(), inputs, delivery);
            }
        });
        self.progress.update(self.position, self.tally.delivered);
        self.heed_failures();
        if self.tally.delivered + self.tally.failed > before || self.connected.producer.in_flight() == 0 {
            (self.last_news, self.notes) = (Instant::now(), Notes::default());
        } else if self.notes.are_due(self.last_news.elapsed()) {
            let waiting = self.connected.producer.in_flight();
            let cause = self.connected.causes.last().unwrap_or_else(|| "the brokers do not answer".into());
            let what = if waiting == 1 { "record waits" } else { "records wait" };
            self.say(|log, _| {
                log.note(format_args!("{waiting} {what} for an acknowledgement: {cause}"));
            });
        }
        if let Some(report) = &mut self.report
            && let Err(e) = report.flush()
        {
            self.report = None;
            // Whoever read the report has seen enough; the records still go where they are to go.
            if e.kind() != std::io::ErrorKind::BrokenPipe {
                self.report_error = Some(e);
                self.stop.get_or_insert(Stop::ReportFailed);
            }
        }
    }

    /// Tells of records that failed while more is read, and stops where no other can succeed.
    fn heed_failures(&mut self) {
        if self.tally.hopeless.is_some() && self.stop.is_none() {
            self.stop = Some(Stop::Hopeless);
        }
        if !self.tally.has_fresh() || self.draining || self.stop.is_some() {
            return;
        }
        if self.untold.get_or_insert_with(Instant::now).elapsed() < UNTOLD {
            return;
        }
        self.untold = None;
        for (place, cause) in self.tally.take_fresh() {
            self.say(|log, name| log.error(format_args!("{}: {cause}", name(place))));
        }
    }

    /// Waits until each queued record was acknowledged or failed. In short steps, since the
    /// client's own flush moves in steps of 100 ms. A second signal says what it leaves.
    fn drain(&mut self, at: Place) {
        let waiting = Arc::new(AtomicUsize::new(0));
        self.say(|log, name| {
            let (place, left) = (name(at), Arc::clone(&waiting));
            self.shutdown.on_second_signal(move || {
                let left = left.load(Relaxed);
                log.error(format_args!("stopped after {place}; records that were not acknowledged: {left}"));
            });
        });
        let mut step = Duration::from_micros(200);
        let (began, mut said) = (Instant::now(), false);
        loop {
            let left = self.connected.producer.in_flight();
            if left == 0 {
                break;
            }
            waiting.store(left, Relaxed);
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
    }

    /// The summary, the failures, and the exit status.
    fn finish(mut self, at: Place, unread: Option<anyhow::Error>) -> anyhow::Result<Exit> {
        let report_error = self.report_error.take();
        let tally = &self.tally;
        let done = if self.connected.acks == Acks::None {
            "sent, not acknowledged (acks 0)"
        } else {
            "acknowledged"
        };
        self.say(|log, name| {
            log.note(tally.summary(done, self.started.elapsed()));
            if let Some((first, why)) = &tally.first_invalid {
                let what = counted(tally.invalid, "invalid and not sent");
                log.error(format_args!("{what} {}: {why}", name(*first)));
            }
            if let Some((first, cause)) = &tally.first {
                let what = counted(tally.failed, "failed");
                // Batches are made to fit the one topic that is known at the start.
                let hint = if self.settings.topic_from_record && cause.code == Code::MessageSizeTooLarge {
                    "; where a topic's limit is low, its batch was: -X batch.size=LIMIT sends them"
                } else {
                    ""
                };
                log.error(format_args!("{what} {}: {cause}{hint}", name(*first)));
            }
            match self.stop {
                Some(Stop::Invalid) => log.error(format_args!(
                    "stopped at {}; nothing after it was read (--on-invalid skip goes on)",
                    name(at)
                )),
                Some(Stop::Hopeless) => {
                    log.error(format_args!("stopped after {}: no later record could succeed", name(at)));
                }
                Some(Stop::Signal(signal)) => {
                    let rest = if tally.failed == 0 { "; what was read before is delivered" } else { "" };
                    log.error(format_args!("stopped by signal {signal} after {}{rest}", name(at)));
                }
                Some(Stop::ReportFailed) => {
                    log.error(format_args!("stopped after {}; what was read before is delivered", name(at)));
                }
                Some(Stop::Count) | None => {}
            }
        });
        if let Some(e) = unread {
            let mut place = String::new();
            self.say(|_, name| place = name(at));
            let rest = match self.inputs.len() - 1 - at.input {
                0 => String::new(),
                1 => "; the file after it was not read".to_owned(),
                n => format!("; the {n} files after it were not read"),
            };
            return Err(exit::with(Exit::Failed, e.context(format!("stopped after {place}{rest}"))));
        }
        if let Some(e) = report_error {
            return Err(exit::with(Exit::Usage, anyhow::Error::new(e).context("write the report to stdout")));
        }
        Ok(match (tally.hopeless, self.stop) {
            (Some(Code::Fatal), _) => Exit::Fenced,
            (Some(code), _) if is_refusal(code) => Exit::Usage,
            _ if tally.failed + tally.invalid > 0 => Exit::Failed,
            (_, Some(Stop::Signal(signal))) => Exit::Signal(signal),
            _ => Exit::Done,
        })
    }
}

/// `1 record failed:`, `5,000 records failed, the first:`.
fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 record {what}:"),
        _ => format!("{} records {what}, the first:", indicatif::HumanCount(count)),
    }
}

/// Whether the cluster does not let this client do it: not the records' fault.
fn is_refusal(code: Code) -> bool {
    use Code as E;
    matches!(code, E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed | E::Authentication)
}

/// `{"file":"stdin","line":1,"topic":"foo","partition":0,"offset":42}` and a newline; the offset is null where the
/// broker did not say it (acks 0).
fn append_report(out: &mut Vec<u8>, inputs: &[Input], delivery: Delivery<'_>) {
    use std::io::Write as _;
    let place = Place::of(delivery.tag);
    let file = inputs.get(place.input).map_or("", |input| &input.name);
    out.extend_from_slice(b"{\"file\":");
    json::append_string(file.as_bytes(), out);
    let _ = write!(out, r#","line":{},"topic":"#, place.line);
    json::append_string(delivery.topic.name().as_bytes(), out);
    let _ = write!(out, r#","partition":{},"offset":"#, delivery.partition);
    let _ = match delivery.offset {
        offset @ 0.. => writeln!(out, "{offset}}}"),
        _ => writeln!(out, "null}}"),
    };
}

/// What no record of these inputs can be longer than, in bytes of the input: the client's own limit;
/// a value that is compressed before or a JSON text may be longer than what becomes of it.
fn longest<P>(settings: &Settings, connected: &Connected<P>) -> usize {
    let most = connected.max_message_bytes;
    if settings.may_shrink { most.saturating_mul(4).min(u32::MAX as usize) } else { most }
}

/// A start that differs from run to run, so that many short runs fill all partitions.
fn first_turn(partitions: usize) -> usize {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) as usize % partitions.max(1)
}

#[cfg(test)]
mod tests;
