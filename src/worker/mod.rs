//! `kq worker`: runs a command for each record, at least once.
//!
//! One thread owns the consumer and polls without end ([`poller`]); it waits for a
//! command only inside a revoke ([`rebalance`]). The records that it took in are in the
//! [`ledger`], whose [`lanes`] say which may run. The [`dispatch`]er starts commands for
//! them, and the [`resolver`] decides what becomes of each record by the [`policy`]. The [`committer`]
//! commits what is done, and with it what is done past a record that is not ([`progress`]).
//!
//! The words of ending, each for one thing:
//!
//! - **stop**: the decision that the worker ends, and why ([`shared::StopReason`]). Nothing is started after it.
//! - **drain**: let the commands that run finish, and start nothing new: of the partitions that are
//!   revoked, or of all.
//! - **terminate**: send TERM to commands that a drain did not end. How they end then says nothing about
//!   their records. **kill**: send KILL to those that TERM did not end.
//! - **abandon**: give up a record whose command did not finish. It stays uncommitted and runs again at
//!   the next start.
//! - **close**: hand out no more records, so that threads and persistent commands finish; of the
//!   consumer, leave the group.
//! - **end**: what is over. A command ended ([`policy::Ended`]), a partition's epoch ends
//!   ([`ledger::Ledger::end`]) and its tickets are void, the worker ends ([`ending`]) after a stop.

mod batch;
mod committer;
mod completion;
mod consumer;
mod dead_letter;
mod deadline;
mod delay;
mod deploy;
mod dispatch;
mod ending;
mod endpoint;
mod environment;
mod filtering;
mod health;
pub(crate) mod hint;
mod lanes;
mod ledger;
mod live;
mod metrics;
mod observer;
mod oneshot;
mod out_of_range;
mod output;
mod output_records;
mod persistent;
mod policy;
mod poller;
mod printer;
mod progress;
mod protocol;
mod pulse;
mod rebalance;
mod resolver;
pub(crate) mod settings;
mod shared;
mod stdin;
mod subscription;
mod tally;
mod trouble;

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::{Handle, Runtime};

use crate::clock;
use crate::config::Config;
use crate::descriptors::OwnDescriptors;
use crate::exit::Exit;
use crate::http::address::Address;
use crate::http::server::Server;
use crate::kafka::client::{ConsumerClient, Observer};
use crate::kafka::ffi::Consumer;
use crate::process::guard::{self, Guard};
use crate::process::{self, Groups, Launcher, Reaper, Variables};
use crate::reading::membership::Joining;
use crate::reading::start::Ends;
use crate::reading::topics::Selection;
use crate::record::decode::Scratch;
use crate::sending::outbox::Outbox;
use crate::shutdown::Shutdown;
use crate::terminal::live::Live;
use crate::terminal::stdout;
use crate::threads;

use committer::Committer;
use delay::Delay;
use dispatch::{Dispatcher, Runs, Threads};
use filtering::Filtering;
use ledger::{Capacity, Ledger};
use observer::Watch;
use oneshot::Runner;
use output::Output;
use poller::{PollLimits, Poller};
use printer::Printer;
use rebalance::{Patience, Rebalancer};
use resolver::Resolver;
use settings::{Ending, Failing, Mode, Reading, Running};
use shared::{Shared, StopReason};

pub(crate) use batch::Batching;
pub(crate) use lanes::Order;
pub(crate) use ledger::OnOutage;
pub(crate) use policy::{ExitMap, OnFailure, Policy, Retries};
pub(crate) use settings::Settings;
pub(crate) use stdin::{Input, Stdin};

/// Records queued, in all.
const QUEUE_LEN: usize = 8192;
/// Bytes queued, in all.
const QUEUE_BYTES: usize = 16 << 20;
/// A record that runs for so long is noted, and again after each such time.
const SLOW: Duration = Duration::from_mins(1);
/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(4);

/// A turn of the polling thread, besides a drain and a question to the cluster, takes no longer.
const TURN: Duration = Duration::from_secs(20);

/// Runs the worker to its end: it prepares, connects, starts the commands, joins the group, polls, ends.
pub(crate) fn run(settings: Settings, config: &Config) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let Settings { program, topics, reading, running, failing, ending, metrics } = settings;
    let ground = Ground::prepare(&reading, &running, metrics.as_ref(), config)?;
    let core = Core::new(&reading, &running, &ending, ground.groups, config)?;
    let client = consumer::properties(&reading, running.mode, config)?;
    let interval = consumer::max_poll_interval(&client);
    let patience = Patience::new(ending.drain, interval);
    let serve = |listener| core.serve_metrics(listener, patience, config);
    // Dropped at the end of the work: the probes answer until then.
    let _metrics = ground.listener.map(serve).transpose()?;
    let consumer = Consumer::new(&client, core.observer()).context("start a consumer")?;
    let found =
        consumer::find_topics(&consumer, &topics, &core.watch, config, reading.stops(), &core.shutdown)?;
    let senders = Senders::start(&consumer, &running, &failing, &core, config)?;
    let launcher = Launcher::new(program, ground.variables, ground.own).context("the command's variables")?;
    core.start_commands(launcher, senders, &reading, &running, failing)?;
    let subscription = consumer::join(&consumer, &core.watch, topics, &found, &reading, config)?;

    let stops = reading.stops();
    let rebalancer = Rebalancer {
        consumer: &consumer,
        shared: Arc::clone(&core.shared),
        from: reading.start,
        until: reading.until,
        timeout: config.timeout,
        patience,
        shutdown: core.shutdown.clone(),
        ending: ending.shutdown_timeout,
        ride_out: ending.stall_timeout.min(interval / 2),
        causes: core.watch.causes.clone(),
        ends: Ends::default(),
        clock: &clock::source::System,
        wanted: HashMap::new(),
        joining: Joining::new(reading.sharing.protocol, Instant::now()),
        committer: Committer::new(reading.commit_interval, reading.sharing.protocol),
    };
    let limits = PollLimits {
        idle: reading.idle,
        stall: stops.then_some(ending.stall_timeout),
        brokers: config.brokers.clone(),
        has_end: reading.until.is_some(),
    };
    let filtering =
        Filtering { filter: reading.filter, decoder: reading.decoder, scratch: Scratch::default() };
    let mut poller = Poller::new(rebalancer, Arc::clone(&core.watch), filtering, subscription, limits);
    poller.delay = reading.delay.map(Delay);
    core.poll_to_the_end(poller, stops, started, config)
}

/// What must be there before the cluster is asked for anything.
struct Ground {
    own: OwnDescriptors,
    listener: Option<TcpListener>,
    /// The variables that are the same for every command.
    variables: Variables,
    groups: Groups,
}

impl Ground {
    fn prepare(
        reading: &Reading,
        running: &Running,
        metrics: Option<&Address>,
        config: &Config,
    ) -> anyhow::Result<Self> {
        stdout::is_there()?;
        let own = OwnDescriptors::from_now_on();
        let listener = metrics.map(|address| address.bind("--metrics")).transpose()?;
        let guard = Arc::new(Guard::start()?);
        let reaper = Reaper::start(Arc::clone(&guard))?;
        let connection = environment::of_connection(config, running.credentials);
        if config.lacks_authorities(&connection) {
            config.log.note(
                "the CA certificates are too long for KQ_X, so the commands do not get them there; \
                 a kq within them can take -F or --tls-ca",
            );
        }
        let mut variables = environment::of_worker(connection, &reading.group);
        variables.push((guard::MARK.into(), Some(guard.mark().into())));
        let log = config.log;
        let groups = Groups::guarded(guard, reaper, move |refused| log.note(refused));
        Ok(Self { own, listener, variables, groups })
    }
}

/// What all parts of a worker share, and the runtime that they run on.
struct Core {
    shared: Arc<Shared>,
    shutdown: Shutdown,
    live: Option<&'static Live>,
    watch: Arc<Watch>,
    runtime: Runtime,
}

impl Core {
    fn new(
        reading: &Reading,
        running: &Running,
        ending: &Ending,
        groups: Groups,
        config: &Config,
    ) -> anyhow::Result<Self> {
        let mut ledger = Ledger::new(running.order, limits(reading, running)).at_most(running.rate);
        if let Mode::Batch(batching) = running.mode {
            ledger = ledger.in_batches(batching);
        }
        let shared = Arc::new(Shared::new(ledger, groups.clone(), config.log));
        let shutdown = Shutdown::install()?;
        shutdown.tell_ignored(|line| config.log.verbose(1, line));
        let live = config.log.live();
        shutdown.on_second_signal(move || {
            groups.kill_all();
            groups.kill_adopted();
            live.map(Live::end);
        });
        let stall = reading.stops().then_some(ending.stall_timeout);
        let watch = Arc::new(Watch::new(Arc::clone(&shared), &config.brokers, stall));
        threads::ensure(1)?;
        // One thread: what goes from task to task is too little to wake another for.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("start the runtime")?;
        Ok(Self { shared, shutdown, live, watch, runtime })
    }

    fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.watch) as Arc<dyn Observer>
    }

    fn serve_metrics(
        &self,
        listener: TcpListener,
        patience: Patience,
        config: &Config,
    ) -> anyhow::Result<Server> {
        if let Ok(address) = listener.local_addr() {
            config.log.note(format_args!("metrics on http://{address}/metrics"));
        }
        let patience = patience.in_all() + config.timeout + TURN;
        let (shared, watch) = (Arc::clone(&self.shared), Arc::clone(&self.watch));
        let _runtime = self.runtime.enter();
        endpoint::serve(listener, shared, watch, patience)
    }

    /// Starts what runs commands; they get their first records once the group gives this member some.
    fn start_commands(
        &self,
        launcher: Launcher,
        senders: Senders,
        reading: &Reading,
        running: &Running,
        failing: Failing,
    ) -> anyhow::Result<()> {
        let limits = process::TimeLimits { timeout: running.command_timeout, grace: GRACE, slow: SLOW };
        let command = launcher.program().shown.clone();
        let policy = failing.policy.clone();
        let (decoder, input) = (reading.decoder, running.input.clone());
        let dispatcher = Dispatcher {
            shared: Arc::clone(&self.shared),
            runner: Arc::new(Runner { launcher, limits, policy, decoder, input }),
            printer: Arc::new(Printer::start(&self.shared)?),
            dead_letters: senders.dead_letters,
            output: senders.output,
            backoff: failing.backoff,
            resolver: Resolver::new(Arc::clone(&self.shared), failing, reading.group.clone(), command),
        };
        match running.mode {
            Mode::Persistent { window, start_timeout } => {
                self.runtime.spawn(dispatcher.serve_persistent(running.jobs, window, start_timeout));
            }
            Mode::OneShot => Threads::start(dispatcher, self.handle(), running.jobs, Runs::Records)?,
            Mode::Batch(_) => Threads::start(dispatcher, self.handle(), running.jobs, Runs::Batches)?,
        }
        if let Some(live) = self.live {
            self.runtime.spawn(live::show(live, Arc::clone(&self.shared)));
        }
        Ok(())
    }

    /// Polls until there is a reason to stop, ends, and says what was done.
    fn poll_to_the_end(
        self,
        mut poller: Poller<'_, impl ConsumerClient>,
        stops: bool,
        started: Instant,
        config: &Config,
    ) -> anyhow::Result<Exit> {
        let stop = poller.run();
        let is_closed = stop == StopReason::Closed;
        let outcome = ending::end(&mut poller, stop, stops);
        self.shutdown.leave_the_end_to_a_second_signal();
        config.log.flush();
        self.live.map(Live::end);
        self.shared.count_passed();
        let summary = self.shared.tally.sentence(started.elapsed());
        let log = config.log.of_the_end();
        if is_closed {
            log.verbose(1, summary);
        } else {
            log.note(summary);
        }
        // The process ends: a thread or a task that still waits must not see the runtime shut down.
        std::mem::forget(self.runtime);
        outcome
    }
}

/// How much is held at most.
fn limits(reading: &Reading, running: &Running) -> Capacity {
    let (in_flight, queue_len) = match running.mode {
        Mode::Persistent { window, .. } => (running.jobs * window, 4 * QUEUE_LEN),
        Mode::OneShot => (running.jobs, QUEUE_LEN),
        // So that batches fill while others run.
        Mode::Batch(Batching { records, .. }) => (running.jobs, (4 * QUEUE_LEN).max(4 * records)),
    };
    Capacity {
        jobs: in_flight,
        max_span: running.max_span,
        queue_len: queue_len.max(2 * in_flight),
        queue_bytes: QUEUE_BYTES,
        count: reading.count,
    }
}

/// Where dead letters and the commands' output go.
struct Senders {
    dead_letters: Option<Outbox>,
    output: Option<Output>,
}

impl Senders {
    /// One producer to both topics, which must be there.
    fn start(
        consumer: &Consumer,
        running: &Running,
        failing: &Failing,
        core: &Core,
        config: &Config,
    ) -> anyhow::Result<Self> {
        let dlq = failing.dead_letters.as_deref();
        let output = running.output.as_ref();
        let sends = [("--dlq", dlq), ("--output-topic", output.map(|output| output.topic.as_str()))];
        for (flag, topic) in sends {
            if let Some(topic) = topic {
                Selection::new([topic])?.find(consumer, &core.watch.causes, config).context(flag)?;
            }
        }
        let topics: Vec<&str> = sends.iter().filter_map(|(_, topic)| *topic).collect();
        let outbox =
            (!topics.is_empty()).then(|| Outbox::start(config, core.observer(), &topics)).transpose()?;
        Ok(Self {
            dead_letters: outbox.clone().filter(|_| dlq.is_some()),
            output: outbox.zip(output).map(|(outbox, output)| Output {
                outbox,
                topic: output.topic.as_str().into(),
                lines: output.lines,
                copy_headers: output.copy_headers,
            }),
        })
    }
}

#[cfg(test)]
mod tests;
