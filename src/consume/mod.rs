//! `kq consume`: records to stdout; in a group, what was written and flushed is committed.

mod assignment;
mod bounds;
mod ending;
mod group;
mod outage;

mod settings;
mod sink;
mod start;
mod taking;
mod topics;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::clock::source::{Clock, System};
use crate::config::Config;
use crate::exit::{self, Exit};
use crate::kafka::client::{ConsumerClient, Events as _};
use crate::kafka::errors;
use crate::reading::client::{self, Connected};
use crate::reading::contact::Contact;
use crate::reading::membership::Joining;
use crate::reading::properties::{self, Fetching, Member};
use crate::reading::silence::Silence;
use crate::reading::start::Ends;
use crate::reading::topics::Discovery;
use crate::record::TopicPartition;
use crate::shutdown::Shutdown;
use crate::terminal::stdout::Output;
use crate::threads;
use assignment::Assignment;

pub(crate) use bounds::Bounds;
pub(crate) use settings::Settings;
pub(crate) use sink::{Look, Reader, Settings as SinkSettings, Sink};

/// Records taken from librdkafka at once.
const BATCH: usize = 1000;
/// How long to wait for records before signals and a closed stdout are looked at again.
const TICK: Duration = Duration::from_millis(50);
/// How long output is held back for more to come.
const LINGER: Duration = Duration::from_millis(1);
/// What leaving the group gets at least, whatever the last commit took.
const LEAVING: Duration = Duration::from_millis(500);

/// Consumes until a stop condition is reached, stdout is closed, or a signal comes.
pub(crate) fn run(settings: &Settings, sink: Sink, output: Output, config: &Config) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::install()?;
    shutdown.tell_ignored(|line| config.log.verbose(1, line));
    let connected = connect(settings, config)?;
    if let (Some(group), Some(from)) = (&settings.group, settings.reset) {
        crate::reading::group::seek(
            &connected.consumer,
            &connected.causes,
            config,
            group,
            &connected.topics,
            from,
        )?;
    }
    end_though_stdout_hangs(&shutdown, &output, settings, config);
    shutdown.begin();
    let printing = Printing { output, sink };
    let mut session = Session::new(settings, config, &connected, &shutdown, &System, printing);
    session.begin_reading()?;
    session.run()
}

/// A consumer with the properties that these settings ask for, and the topics that it is to read.
fn connect(settings: &Settings, config: &Config) -> anyhow::Result<Connected> {
    let (sharing, instance_id) = (settings.sharing, None);
    let member = settings.group.as_deref().map(|group| Member { group, sharing, instance_id });
    let fetching = if settings.bounds.stops() { Fetching::ToTheEnd } else { Fetching::Following };
    let properties = properties::of(member, fetching, settings.isolation, config)?;
    client::connect(config, &properties, &settings.topics)
}

/// A reader of stdout that reads nothing, such as a pager, must not keep a consume from ending.
fn end_though_stdout_hangs(shutdown: &Shutdown, output: &Output, settings: &Settings, config: &Config) {
    let (writes, log, limit) = (output.writes(), config.log.of_the_end(), settings.close_timeout);
    shutdown.on_first_signal(move |signal| {
        writes.await_hang(limit);
        log.error(format_args!(
            "stopped by signal {signal}: stdout takes nothing; what it did not take is not committed"
        ));
        // stderr may lead to the same reader.
        log.flush();
        exit::at_once(Exit::Signal(signal));
    });
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// A stop condition was reached.
    Reached,
    Signal(i32),
    /// stdout was closed by its reader.
    Closed,
}

/// One run of `kq consume`.
struct Session<'a, C> {
    settings: &'a Settings,
    config: &'a Config,
    connected: &'a Connected<C>,
    shutdown: &'a Shutdown,
    clock: &'a dyn Clock,
    assignment: Assignment,
    ends: Ends,
    /// How far partitions were read that the group took away.
    left_at: HashMap<TopicPartition, i64>,
    topics: Topics,
    printing: Printing,
    counts: Counts,
    times: Times,
    waits: Waits,
    /// What ends the run with an error: stdout can't be written, or the client is fenced.
    failure: Option<anyhow::Error>,
    stop: Option<Stop>,
    /// The group took partitions away before what was written from them was committed.
    lost: bool,
}

/// The topics that are followed.
struct Topics {
    /// Those that the group was joined for.
    subscribed: Vec<String>,
    /// When to look for new partitions and topics, and for those that are gone.
    discovery: Discovery,
}

/// From a record to stdout.
struct Printing {
    output: Output,
    sink: Sink,
}

/// What is counted.
#[derive(Default)]
struct Counts {
    written: u64,
    undecoded: u64,
    /// Records that retention took before they were read.
    gone: u64,
}

/// When something was seen or done last.
struct Times {
    /// When the batch that is being taken came.
    polled: Instant,
    /// When stdout and signals were looked at.
    looked: Instant,
    last_record: Instant,
}

/// What may keep records from coming.
struct Waits {
    /// Whether the group gave this member its share.
    joining: Joining,
    /// Whether the brokers are in reach.
    contact: Contact,
    /// Partitions that nothing comes from.
    silence: Silence<TopicPartition>,
}

impl<'a, C: ConsumerClient> Session<'a, C> {
    fn new(
        settings: &'a Settings,
        config: &'a Config,
        connected: &'a Connected<C>,
        shutdown: &'a Shutdown,
        clock: &'a dyn Clock,
        printing: Printing,
    ) -> Self {
        let stall = settings.bounds.stops().then_some(settings.stall_timeout);
        let now = clock.now();
        Self {
            settings,
            config,
            connected,
            shutdown,
            clock,
            assignment: Assignment::default(),
            ends: Ends::default(),
            left_at: HashMap::new(),
            topics: Topics { subscribed: Vec::new(), discovery: Discovery::new(now) },
            printing,
            counts: Counts::default(),
            times: Times { polled: now, looked: now, last_record: now },
            waits: Waits {
                joining: Joining::new(settings.sharing.protocol, now),
                contact: Contact::new(stall),
                silence: Silence::new(stall),
            },
            failure: None,
            stop: None,
            lost: false,
        }
    }

    /// Joins the group, or takes the partitions that are asked for.
    fn begin_reading(&mut self) -> anyhow::Result<()> {
        let begun = if self.settings.group.is_some() {
            self.join()
        } else {
            self.assign(self.settings.partitions.as_deref())
        };
        match (begun, self.shutdown.signal()) {
            // After a signal it asks no longer.
            (Err(_), Some(signal)) => self.stop = Some(Stop::Signal(signal)),
            (begun, _) => return begun,
        }
        Ok(())
    }
}

impl<C: ConsumerClient> Session<'_, C> {
    fn consumer(&self) -> &C {
        &self.connected.consumer
    }

    fn run(mut self) -> anyhow::Result<Exit> {
        let connected = self.connected;
        let with_headers = self.printing.sink.needs_headers();
        if self.settings.group.is_none() && self.assignment.all_done() && self.stop.is_none() {
            self.stop = Some(Stop::Reached);
        }
        if self.settings.bounds.count == Some(0) {
            self.stop = Some(Stop::Reached);
        }
        while self.stop.is_none() && self.failure.is_none() {
            let wait = if self.printing.output.buffer().is_empty() { TICK } else { LINGER };
            let batch = connected.consumer.poll(wait, BATCH, &mut self);
            if batch.is_empty() {
                self.write_out();
                self.look_around();
            } else {
                self.times.polled = self.clock.now();
                let taken = batch.for_each(with_headers, |event| {
                    self.take(event);
                    if self.stop.is_some() || self.failure.is_some() { Err(()) } else { Ok(()) }
                });
                if taken.is_ok()
                    && let Some(signal) = self.shutdown.signal()
                {
                    self.stop = Some(Stop::Signal(signal));
                }
                // Filters may let so little through that the output never fills by itself.
                if self.stop.is_none() && self.times.polled.duration_since(self.times.looked) >= TICK {
                    self.times.looked = self.times.polled;
                    self.write_out();
                    if self.printing.output.is_closed() {
                        self.stop = Some(Stop::Closed);
                    }
                }
            }
        }
        self.end()
    }

    fn stop_when_done(&mut self) {
        if self.stop.is_none() && self.settings.bounds.until.is_some() && self.assignment.all_done() {
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
        } else if self.printing.output.is_closed() {
            self.stop = Some(Stop::Closed);
        }
        if self.assignment.is_empty() && self.connected.causes.lacks_group_protocol() {
            self.failure = Some(anyhow!(errors::UNSUPPORTED));
        }
        if self.connected.causes.lacks_threads() {
            self.failure = Some(anyhow!(threads::NO_MORE));
        }
        let now = self.clock.now_ms();
        for progress in self.assignment.iter_mut() {
            progress.reach_time(now);
        }
        self.stop_when_done();
        self.watch_joining();
        if let Some(idle) = self.settings.bounds.idle
            && !self.assignment.is_empty()
            && self.assignment.behind().next().is_none()
            && !self.waits.contact.is_lost()
            && self.clock.now().saturating_duration_since(self.times.last_record) >= idle
        {
            self.stop = Some(Stop::Reached);
        }
        self.look_for_topics();
        self.watch_contact();
    }
}

#[cfg(test)]
mod tests;
