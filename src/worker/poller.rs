//! The polling thread: owns the consumer, polls for ever, never waits for a command.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::filtering::Filtering;
use super::observer::Watch;
use super::rebalance::{self, Rebalancer, partitions};
use super::shared::{Shared, Stop};
use super::subscription::Subscription;
use crate::kafka::client::{ConsumerClient, Event, Events as _};
use crate::kafka::errors::{self, Code};
use crate::reading::contact::{self, Step};
use crate::reading::membership;
use crate::reading::silence::{self, Hush, Silence};
use crate::record::TopicPartition;
use crate::terminal::stdout;

/// How long one poll waits: what bounds how late anything is noticed here.
const POLL: Duration = Duration::from_millis(100);
/// Records taken from the client at once.
const BATCH: usize = 500;
/// While the queues are full, the client is asked only so often …
const FULL: Duration = Duration::from_millis(50);
/// … and after so long everything is paused: a pause throws the prefetch away.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// Where partitions end is looked at so often …
const LOOK: Duration = Duration::from_secs(1);
/// … and takes so long at most.
const LOOKING: Duration = Duration::from_millis(100);

/// The polling thread's own state.
pub struct Poller<'a, C> {
    pub consumer: &'a C,
    pub rebalancer: Rebalancer<'a, C>,
    pub shared: Arc<Shared>,
    pub watch: Arc<Watch>,
    /// Which records the command runs for.
    pub filtering: Filtering,
    pub idle: Option<Duration>,
    pub brokers: String,
    /// Whether an end of all partitions ends the worker.
    pub has_end: bool,
    pub subscription: Subscription,
    busy_at: Instant,
    full_since: Option<Instant>,
    silence: Silence<TopicPartition>,
    /// Whether the last poll brought anything.
    came: bool,
    looked: Instant,
    /// How many paused partitions were asked about: each has its turn.
    asked_paused: usize,
}

/// What the poller is made of.
pub struct Parts<'a, C> {
    pub consumer: &'a C,
    pub rebalancer: Rebalancer<'a, C>,
    pub watch: Arc<Watch>,
    /// Which records the command runs for.
    pub filtering: Filtering,
    pub idle: Option<Duration>,
    /// Gives up after so long without anything from a partition.
    pub stall: Option<Duration>,
    pub brokers: String,
    pub has_end: bool,
    pub subscription: Subscription,
}

impl<'a, C: ConsumerClient> Poller<'a, C> {
    pub fn new(parts: Parts<'a, C>) -> Self {
        let now = parts.rebalancer.clock.now();
        Self {
            shared: Arc::clone(&parts.rebalancer.shared),
            consumer: parts.consumer,
            rebalancer: parts.rebalancer,
            watch: parts.watch,
            filtering: parts.filtering,
            idle: parts.idle,
            silence: Silence::new(parts.stall),
            came: false,
            brokers: parts.brokers,
            has_end: parts.has_end,
            subscription: parts.subscription,
            busy_at: now,
            full_since: None,
            looked: now,
            asked_paused: 0,
        }
    }

    /// Polls until there is a reason to stop.
    pub fn run(&mut self) -> Stop {
        loop {
            self.rebalancer.look_for_a_signal();
            if let Some(stop) = self.shared.stopping() {
                return stop;
            }
            let most = self.room();
            self.poll(if most == BATCH { POLL } else { Duration::ZERO }, most);
            self.settle();
            self.check_end();
            self.check_contact();
            self.check_topics();
            self.look_at_ends();
            // No write would tell while nothing is written.
            if stdout::is_closed(&io::stdout()) {
                self.shared.stop(Stop::Closed);
            }
        }
    }

    /// How much to ask the client for: a full queue first slows the asking, then pauses.
    fn room(&mut self) -> usize {
        if !self.shared.ledger().is_full() {
            self.full_since = None;
            return BATCH;
        }
        self.full_since.get_or_insert_with(Instant::now);
        if self.shared.wait(Instant::now() + FULL, |ledger| ledger.has_room()) { BATCH } else { 1 }
    }

    /// Polls once and takes in what comes.
    pub fn poll(&mut self, timeout: Duration, most: usize) {
        self.shared.pulse.turn();
        let mut out_of_range = Vec::new();
        let mut filtering = std::mem::take(&mut self.filtering);
        let mut came = false;
        {
            let batch = self.consumer.poll(timeout, most, &mut self.rebalancer);
            if !batch.is_empty() {
                let mut ledger = self.shared.ledger();
                let _ = batch.for_each(true, |event| {
                    match event {
                        Event::Record(record) => {
                            came = true;
                            if filtering.lets_through(&record) {
                                ledger.receive(record);
                            } else {
                                ledger.pass(&record);
                            }
                        }
                        Event::End { topic, partition, offset } => {
                            came = true;
                            ledger.reach_end(topic, partition, offset);
                        }
                        Event::Error { topic, partition, offset, code, reason } => match code {
                            Code::AutoOffsetReset => {
                                self.shared
                                    .log
                                    .verbose(1, format_args!("{topic}[{partition}]@{offset}: {reason}"));
                                let cut = errors::truncated_at(reason);
                                out_of_range.push((Arc::<str>::from(topic), partition, offset, cut));
                            }
                            _ => self.report(topic, partition, code, reason),
                        },
                    }
                    Ok::<(), std::convert::Infallible>(())
                });
            }
        }
        self.came = came;
        self.filtering = filtering;
        if came {
            self.busy_at = self.rebalancer.clock.now();
            self.shared.wake();
            self.watch.hear();
        }
        if self.shared.stopping().is_some() {
            // Nothing is read any more.
            return;
        }
        for (topic, partition, offset, cut) in out_of_range {
            self.settle_start(&topic, partition, offset, cut);
        }
    }

    /// An error that the consumer's queue held.
    fn report(&self, topic: &str, partition: i32, code: Code, reason: &str) {
        let place = if partition < 0 { topic.to_owned() } else { format!("{topic}[{partition}]") };
        match code {
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::InconsistentGroupProtocol => {
                let hint = if code == Code::InconsistentGroupProtocol {
                    " (the group's members share partitions in another way: try --assignor range)"
                } else {
                    ""
                };
                self.shared.stop(Stop::Failed(format!("{reason}{hint}")));
            }
            Code::Fatal | Code::FencedInstanceId => {
                self.shared.stop(Stop::of_fatal(reason));
            }
            _ => self.shared.log.verbose(1, format_args!("{place}: {reason}")),
        }
    }

    /// Stores what can be committed, pauses and resumes.
    pub fn settle(&mut self) {
        rebalance::store(self.consumer, &self.shared);
        let long_full = self.full_since.is_some_and(|since| since.elapsed() >= PAUSE_AFTER);
        self.shared.count_filtered();
        let (pause, resume) = self.shared.ledger().flow(long_full);
        let mut outcomes = Vec::new();
        if !pause.is_empty() {
            outcomes.push(self.consumer.pause(&partitions(pause.iter().map(|(name, _)| name))));
        }
        for ((topic, partition), next) in &pause {
            let Some(next) = *next else { continue };
            let outcome = match self.consumer.seek(topic, *partition, next, self.rebalancer.timeout) {
                // Retention took what was to be fetched, and the client gave it up.
                Err(Code::State) => self.consumer.restart(topic, *partition, next),
                outcome => outcome,
            };
            match outcome {
                // `InvalidArgument`: the partition has left meanwhile.
                Ok(()) | Err(Code::InvalidArgument) => {}
                // What was dropped would never come again, and be taken for a hole.
                Err(code) => {
                    let place = format!("{topic}[{partition}]@{next}");
                    self.shared.stop(Stop::Failed(format!("{place}: read on from there: {code}")));
                }
            }
        }
        if !resume.is_empty() {
            outcomes.push(self.consumer.resume(&partitions(&resume)));
        }
        for code in outcomes.into_iter().filter_map(Result::err) {
            self.shared.log.verbose(1, format_args!("pause or resume: {code}"));
        }
    }

    /// Whether all that was asked for is done.
    fn check_end(&mut self) {
        let (complete, idle, assigned) = {
            let mut ledger = self.shared.ledger();
            ledger.reach_time(self.rebalancer.clock.now_ms());
            (ledger.is_complete(), ledger.is_idle(), ledger.has_partitions())
        };
        let now = self.rebalancer.clock.now();
        if !idle {
            self.busy_at = now;
        }
        if complete {
            return self.shared.stop(Stop::Complete);
        }
        if !assigned && self.watch.causes.lacks_group_protocol() {
            return self.shared.stop(Stop::Failed(errors::UNSUPPORTED.to_owned()));
        }
        let is_in_reach = self.watch.away_since().is_none();
        let joining = &mut self.rebalancer.joining;
        let joins = is_in_reach && !self.subscription.is_empty();
        if joining.is_worth_a_note(now, joins) {
            self.shared.log.note(membership::JOINING);
        }
        let Some(joined) = joining.joined_since() else { return };
        let ends =
            self.has_end || self.idle.is_some_and(|limit| now.saturating_duration_since(joined) >= limit);
        if !assigned && ends && joining.is_left_out(now) {
            self.shared.log.note(membership::LEFT_OUT);
            return self.shared.stop(Stop::Complete);
        }
        if let Some(limit) = self.idle
            && assigned
            && self.watch.away_since().is_none()
            && now.saturating_duration_since(self.busy_at.max(joined)) >= limit
        {
            self.shared.stop(Stop::Complete);
        }
    }

    /// Takes note of where the partitions end, which is what lag is counted from. A fetch says so,
    /// but nothing is fetched from what is paused, and just there the lag grows: those are asked for.
    fn look_at_ends(&mut self) {
        let now = self.rebalancer.clock.now();
        if now.saturating_duration_since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        let (assigned, paused) = {
            let ledger = self.shared.ledger();
            (ledger.assigned(), ledger.paused())
        };
        for name in &assigned {
            if let Some(high) = self.consumer.seen_end(&name.0, name.1) {
                self.shared.ledger().see_end(name, high);
            }
        }
        for _ in 0..paused.len() {
            let took = self.rebalancer.clock.now().saturating_duration_since(now);
            let left = LOOKING.saturating_sub(took);
            if left.is_zero() || self.watch.away_since().is_some() {
                return;
            }
            let name = &paused[self.asked_paused % paused.len()];
            self.asked_paused += 1;
            if let Ok((_, high)) = self.consumer.watermarks(&name.0, name.1, left) {
                self.shared.ledger().see_end(name, high);
            }
        }
    }

    /// Follows topics that come and go; ends a worker whose topic was deleted.
    fn check_topics(&mut self) {
        if self.watch.away_since().is_some() {
            return;
        }
        let (now, was_empty) = (self.rebalancer.clock.now(), self.subscription.is_empty());
        if let Err(gone) = self.subscription.watch(self.consumer, &self.watch.causes, now) {
            self.shared.stop(Stop::Failed(gone.to_string()));
        }
        if was_empty && !self.subscription.is_empty() {
            self.rebalancer.joining.begin(now);
        }
    }

    /// Notes an outage and partitions that are silent, looks whether it is over, gives up where that
    /// is asked for.
    fn check_contact(&mut self) {
        let now = self.rebalancer.clock.now();
        let (log, causes, brokers) = (self.shared.log, &self.watch.causes, &self.brokers);
        match self.watch.step(now) {
            Step::Wait => {}
            Step::Ask(patience) => {
                let topic = self.shared.ledger().assigned().first().map(|(topic, _)| Arc::clone(topic));
                if self.consumer.metadata(topic.as_deref(), patience).is_ok() {
                    self.watch.hear();
                }
            }
            Step::Note(lasts) => log.note(contact::waiting(brokers, lasts, causes.last().as_deref())),
            Step::GiveUp(lasts) => {
                let why = contact::stalled(brokers, lasts, causes.last().as_deref());
                self.shared.stop(Stop::Failed(why));
            }
        }
        if self.watch.away_since().is_some() {
            return self.silence.forget();
        }
        if self.came {
            return;
        }
        let behind = self.shared.ledger().behind();
        match self.silence.look(now, behind) {
            Hush::Wait => {}
            Hush::Note(partitions, lasts) => {
                log.note(silence::silent(&partitions, lasts, causes.last().as_deref()));
            }
            Hush::GiveUp(partitions, lasts) => {
                let why = silence::stalled_at(&partitions, lasts, causes.last().as_deref());
                self.shared.stop(Stop::Failed(why));
            }
        }
    }
}
