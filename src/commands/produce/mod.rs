//! `kq produce`: lines of stdin or of files into a topic, each acknowledged or named.

mod input;
mod progress;
mod sending;
mod shape;
mod tally;

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use crate::cli::produce::Args;
use crate::config::{self, Config};
use crate::exit::{self, Exit};
use crate::framing::{Framer, unescape};
use crate::kafka::ffi::{Delivery, Scratch, Topic};
use crate::kafka::producer::{self, Connected};
use crate::log::Log;
use crate::output::Output;
use crate::shutdown::Shutdown;
use crate::validate::Validator;
use input::{Chunk, Input};
use progress::Progress;
use rdkafka::types::RDKafkaErrorCode;
use sending::STICKY;
use shape::Shape;
use tally::{Place, Tally};

/// How much is read at once.
const READ: usize = 256 * 1024;
/// How long an idle input is watched before signals are looked at again.
const TICK: Duration = Duration::from_millis(50);

/// Produces all that the inputs hold and says what came of it.
pub fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let (named, files) = args.topic_and_files();
    let topic = config::topic::one(named, None, config.env_topic.as_deref())?;
    let shape = Shape::new(args, validator(args)?)?;
    let inputs = input::inputs(&files)?;
    let framer = Framer::new(&delimiter(args)?);
    let report = args.report.as_ref().map(|_| Output::stdout()).transpose()?;
    if files.is_empty() && named.is_some_and(|name| std::path::Path::new(name).is_file()) {
        config.log.note(format_args!(
            "topic {topic} is also a file here; `kq produce TOPIC {topic}` would read it"
        ));
    }
    let shutdown = Shutdown::install()?;
    let connected = producer::connect(config, &producer_settings(args), &topic, !args.no_create)?;
    let session = Session::new(args, config, &connected, shape, &shutdown, report, &topic, &inputs)?;
    session.run(framer)
}

/// What `--validate` asks for.
fn validator(args: &Args) -> anyhow::Result<Option<Validator>> {
    Ok(match args.validate.as_deref() {
        None => None,
        Some("json") => Some(Validator::Json),
        Some(file) => {
            let text = std::fs::read(file)
                .with_context(|| format!("--validate {file} (give json, or the file of a JSON Schema)"))?;
            let validator = Validator::schema(&text);
            Some(validator.with_context(|| format!("--validate {file} is no JSON Schema that can be used"))?)
        }
    })
}

fn delimiter(args: &Args) -> anyhow::Result<Vec<u8>> {
    if args.whole {
        return Ok(Vec::new());
    }
    if args.nul {
        return Ok(vec![0]);
    }
    let delimiter = unescape(&args.delimiter).context("-D")?;
    if delimiter.is_empty() {
        return Err(anyhow!("-D: an empty delimiter ends no record; --whole makes each file one"));
    }
    Ok(delimiter)
}

/// The properties that the flags ask for; what no flag says, the environment or a file may.
fn producer_settings(args: &Args) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let Some((codec, level)) = &args.compression {
        settings.push(("compression.codec", codec.clone()));
        settings.extend(level.map(|level| ("compression.level", level.to_string())));
    }
    settings.extend(args.partitioner.clone().map(|partitioner| ("partitioner", partitioner)));
    settings.extend(
        args.delivery_timeout.map(|timeout| ("message.timeout.ms", timeout.as_millis().max(1).to_string())),
    );
    settings.extend(args.acks.clone().map(|acks| ("acks", acks)));
    if args.no_idempotence {
        settings.push(("enable.idempotence", "false".to_owned()));
    }
    settings
}

/// One run of `kq produce`.
struct Session<'a> {
    args: &'a Args,
    config: &'a Config,
    connected: &'a Connected,
    topics: HashMap<String, Topic<'a>>,
    main: String,
    shape: Shape,
    shutdown: &'a Shutdown,
    report: Option<Output>,
    inputs: &'a [Input],
    progress: Progress,
    tally: Tally,
    scratch: Scratch,
    /// Index into the partitions that have a leader, of the one whose turn it is.
    turn: usize,
    sent: u64,
    since_turn: usize,
    started: Instant,
    /// When a delivery report came last, or a note about their absence was written.
    last_news: Instant,
    stop: Option<Stop>,
}

/// Why reading ended before the input did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Count,
    Signal(i32),
    Invalid,
    Hopeless,
    ReportClosed,
}

impl<'a> Session<'a> {
    #[expect(clippy::too_many_arguments, reason = "the parts of one run, named where it starts")]
    fn new(
        args: &'a Args,
        config: &'a Config,
        connected: &'a Connected,
        shape: Shape,
        shutdown: &'a Shutdown,
        report: Option<Output>,
        topic: &str,
        inputs: &'a [Input],
    ) -> anyhow::Result<Self> {
        let topics = HashMap::from([(topic.to_owned(), connected.producer.topic(topic)?)]);
        let now = Instant::now();
        if !connected.all_acks {
            config.log.note("acks 0 or 1: idempotence is off, a retry may duplicate a record");
        }
        Ok(Self {
            args,
            config,
            connected,
            topics,
            main: topic.to_owned(),
            shape,
            shutdown,
            report,
            inputs,
            progress: Progress::new(inputs, config.log),
            tally: Tally::default(),
            scratch: Scratch::default(),
            turn: first_turn(connected.partitions.len()),
            sent: 0,
            since_turn: 0,
            started: now,
            last_news: now,
            stop: None,
        })
    }

    fn run(mut self, mut framer: Framer) -> anyhow::Result<Exit> {
        let mut at = Place { input: 0, line: 0 };
        let mut unread = None;
        for (index, input) in self.inputs.iter().enumerate() {
            at = Place { input: index, line: 0 };
            let read = self.feed(&mut framer, input, &mut at);
            unread = read.err();
            if unread.is_some() || self.stop.is_some() {
                break;
            }
        }
        self.drain();
        self.progress.finish();
        self.finish(at, unread)
    }

    /// Reads one input to its end, or until something says stop.
    fn feed(&mut self, framer: &mut Framer, input: &Input, at: &mut Place) -> anyhow::Result<()> {
        let mut reader = input.open()?;
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
                    self.progress.read(n as u64);
                    while self.stop.is_none() {
                        ranges.clear();
                        if framer.take_frames(STICKY, &mut ranges) == 0 {
                            break;
                        }
                        self.send(framer.buffer(), &ranges, at);
                    }
                }
                Chunk::End => {
                    match framer.finish() {
                        Some(tail) => self.send(tail, std::slice::from_ref(&(0..tail.len())), at),
                        // An empty file is one empty record.
                        None if self.args.whole => self.send(&[], std::slice::from_ref(&(0..0)), at),
                        None => {}
                    }
                    return Ok(());
                }
            }
            self.serve(Duration::ZERO);
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
        let (tally, report) = (&mut self.tally, &mut self.report);
        let before = tally.delivered + tally.failed;
        self.connected.producer.poll(timeout, &mut |delivery: Delivery| {
            tally.report(delivery);
            if let (Some(report), None) = (report.as_mut(), delivery.error) {
                let place = Place::of(delivery.tag);
                append_report(report.buffer(), place, delivery);
            }
        });
        self.progress.delivered(self.tally.delivered);
        if self.tally.hopeless.is_some() && self.stop.is_none() {
            self.stop = Some(Stop::Hopeless);
        }
        if self.tally.delivered + self.tally.failed > before || self.connected.producer.in_flight() == 0 {
            self.last_news = Instant::now();
        } else if self.last_news.elapsed() >= Duration::from_secs(10) {
            self.last_news = Instant::now();
            let waiting = self.connected.producer.in_flight();
            let cause = self.connected.causes.last().unwrap_or_else(|| "the brokers do not answer".into());
            self.say(|log, _| {
                log.note(format_args!("{waiting} records wait for an acknowledgement: {cause}"));
            });
        }
        if let Some(report) = &mut self.report
            && report.flush().is_err()
        {
            self.report = None;
            self.stop.get_or_insert(Stop::ReportClosed);
        }
    }

    /// Waits until each queued record was acknowledged or failed. In short steps, since the
    /// client's own flush moves in steps of 100 ms.
    fn drain(&mut self) {
        let mut step = Duration::from_micros(200);
        while self.connected.producer.in_flight() > 0 {
            self.serve(step);
            step = (step * 2).min(Duration::from_millis(20));
        }
        self.serve(Duration::ZERO);
    }

    /// The summary, the failures, and the exit status.
    fn finish(self, at: Place, unread: Option<anyhow::Error>) -> anyhow::Result<Exit> {
        let tally = &self.tally;
        self.say(|log, name| {
            log.note(tally.summary(self.started.elapsed()));
            if let Some((first, why)) = &tally.first_invalid {
                let what = counted(tally.invalid, "invalid and not sent");
                log.error(format_args!("{what} {}: {why}", name(*first)));
            }
            if let Some((first, cause)) = &tally.first {
                let what = counted(tally.failed, "failed");
                log.error(format_args!("{what} {}: {cause}", name(*first)));
            }
            match self.stop {
                Some(Stop::Invalid) => log.error(format_args!(
                    "stopped at {}; nothing after it was read (--on-invalid skip goes on)",
                    name(at)
                )),
                Some(Stop::Hopeless) => {
                    log.error(format_args!("stopped after {}: no later record could succeed", name(at)));
                }
                Some(Stop::Signal(signal)) => log.note(format_args!(
                    "stopped by signal {signal} after {}; what was read before is delivered",
                    name(at)
                )),
                Some(Stop::Count | Stop::ReportClosed) | None => {}
            }
        });
        if let Some(e) = unread {
            let mut place = String::new();
            self.say(|_, name| place = name(at));
            return Err(exit::with(Exit::Failed, e.context(format!("stopped after {place}"))));
        }
        Ok(match (tally.hopeless, self.stop) {
            (Some(RDKafkaErrorCode::Fatal), _) => Exit::Fenced,
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
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(code, E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed | E::Authentication)
}

/// `{"input":"…","line":1,"partition":0,"offset":42}` and a newline.
fn append_report(out: &mut Vec<u8>, place: Place, delivery: Delivery) {
    use std::io::Write as _;
    let _ = writeln!(
        out,
        r#"{{"input":{},"line":{},"partition":{},"offset":{}}}"#,
        place.input, place.line, delivery.partition, delivery.offset
    );
}

/// A start that differs from run to run, so that many short runs fill all partitions.
fn first_turn(partitions: usize) -> usize {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) as usize % partitions.max(1)
}
