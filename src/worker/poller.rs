//! The polling thread: owns the consumer, polls without end, never waits for a command.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::delay::Delay;
use super::filtering::Filtering;
use super::observer::Watch;
use super::rebalance::Rebalancer;
use super::shared::{Shared, StopReason};
use super::subscription::Subscription;
use super::trouble;
use crate::kafka::client::{ConsumerClient, Event, Events as _};
use crate::kafka::errors::{self, Code};
use crate::reading::contact::{self, Step};
use crate::reading::membership;
use crate::reading::reach::{self, Whom};
use crate::reading::silence::{self, Hush, Silence};
use crate::record::TopicPartition;
use crate::terminal::stdout;
use crate::threads;

/// How long one poll waits: what bounds how late anything is noticed here.
const POLL: Duration = Duration::from_millis(100);
/// Records taken from the client at once.
const BATCH: usize = 500;
/// While the queues are full, the client is asked only so often …
const FULL: Duration = Duration::from_millis(50);
/// … and after so long everything is paused: a pause throws the prefetch away.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// How long the coordinator is given to answer, where a join takes long.
const GLANCE: Duration = Duration::from_millis(500);
/// Where partitions end is looked at so often …
const LOOK: Duration = Duration::from_secs(1);
/// … and takes so long at most.
const LOOKING: Duration = Duration::from_millis(100);

/// What ends the polling besides a signal, and whom it polls.
pub(super) struct PollLimits {
    /// Ends when nothing came and nothing ran for so long.
    pub idle: Option<Duration>,
    /// Gives up after so long without anything from a partition.
    pub stall: Option<Duration>,
    /// The cluster, for notes.
    pub brokers: String,
    /// Whether an end of all partitions ends the worker.
    pub has_end: bool,
}

/// The polling thread's own state.
pub(super) struct Poller<'a, C> {
    pub consumer: &'a C,
    pub rebalancer: Rebalancer<'a, C>,
    pub shared: Arc<Shared>,
    pub watch: Arc<Watch>,
    /// Which records the command runs for.
    pub(super) filtering: Filtering,
    /// How long records wait before their commands run.
    pub(super) delay: Option<Delay>,
    pub(super) subscription: Subscription,
    limits: PollLimits,
    silence: Silence<TopicPartition>,
    busy_at: Instant,
    /// When anything came last.
    heard: Instant,
    full_since: Option<Instant>,
    /// Whether the last poll brought anything.
    came: bool,
    looked: Instant,
    /// How many paused partitions were asked about: each has its turn.
    asked_paused: usize,
    trouble: trouble::Notes,
}

/// A partition whose next offset is not in its log, where it was to be read, and where the log was cut.
type OutOfRange = (TopicPartition, i64, Option<i64>);

impl<'a, C: ConsumerClient> Poller<'a, C> {
    /// Polls the rebalancer's consumer, which has subscribed already.
    pub(super) fn new(
        rebalancer: Rebalancer<'a, C>,
        watch: Arc<Watch>,
        filtering: Filtering,
        subscription: Subscription,
        limits: PollLimits,
    ) -> Self {
        let now = rebalancer.clock.now();
        Self {
            consumer: rebalancer.consumer,
            shared: Arc::clone(&rebalancer.shared),
            rebalancer,
            watch,
            filtering,
            delay: None,
            subscription,
            silence: Silence::new(limits.stall),
            limits,
            busy_at: now,
            heard: now,
            full_since: None,
            came: false,
            looked: now,
            asked_paused: 0,
            trouble: trouble::Notes::default(),
        }
    }

    /// Polls until there is a reason to stop.
    pub(super) fn run(&mut self) -> StopReason {
        loop {
            self.rebalancer.look_for_a_signal();
            if let Some(stop) = self.shared.stopping() {
                return stop;
            }
            let most = self.room();
            // What was done meanwhile is committed in time.
            let wait = POLL.min(self.rebalancer.committer.interval() / 2);
            self.poll(if most == BATCH { wait } else { Duration::ZERO }, most);
            self.update_client();
            self.check_end();
            self.check_contact();
            self.check_topics();
            self.look_at_ends();
            self.trouble.look(self.rebalancer.clock.now(), &self.shared);
            // No write would tell while nothing is written.
            if stdout::is_closed(&io::stdout()) {
                self.shared.stop(StopReason::Closed);
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
    pub(super) fn poll(&mut self, timeout: Duration, most: usize) {
        self.shared.pulse.turn();
        let out_of_range = self.take_in(timeout, most);
        if self.came {
            self.busy_at = self.rebalancer.clock.now();
            self.heard = self.busy_at;
            self.shared.wake();
            self.watch.hear();
        }
        // After a stop nothing is read.
        if self.shared.stopping().is_none() {
            for (partition, offset, cut) in out_of_range {
                self.go_on_in_range(&partition, offset, cut);
            }
        }
    }

    /// Takes the events of one poll into the ledger. Gives the partitions that can't be read where they were.
    fn take_in(&mut self, timeout: Duration, most: usize) -> Vec<OutOfRange> {
        self.came = false;
        let mut out_of_range = Vec::new();
        let batch = self.consumer.poll(timeout, most, &mut self.rebalancer);
        if batch.is_empty() {
            return out_of_range;
        }
        let (shared, filtering, came) = (&self.shared, &mut self.filtering, &mut self.came);
        let delay =
            self.delay.map(|delay| (delay, self.rebalancer.clock.now(), self.rebalancer.clock.now_ms()));
        shared.ledger().see_time(Instant::now());
        // What starts commands waits for the ledger: it is held for all records at once only where each takes
        // next to no time.
        let mut held = if filtering.looks_at_values() { None } else { Some(shared.ledger()) };
        let _ = batch.for_each(true, |event| {
            let passes = match &event {
                Event::Record(record) => filtering.lets_through(record),
                Event::End { .. } | Event::Error { .. } => true,
            };
            let mut briefly;
            let ledger = if let Some(held) = &mut held {
                held
            } else {
                briefly = shared.ledger();
                &mut briefly
            };
            match event {
                Event::Record(record) => {
                    *came = true;
                    let left =
                        delay.and_then(|(delay, now, now_ms)| Some(now + delay.left(&record, now_ms)?));
                    if !passes {
                        ledger.pass(&record);
                    } else if let Some(due) = left {
                        ledger.receive_delayed(record, due);
                    } else {
                        ledger.receive(record);
                    }
                }
                Event::End { topic, partition, offset } => {
                    *came = true;
                    ledger.reach_end(topic, partition, offset);
                }
                Event::Error { topic, partition, offset, code: Code::AutoOffsetReset, reason } => {
                    let name = TopicPartition::new(topic, partition);
                    shared.log.verbose(1, format_args!("{}: {reason}", name.at(offset)));
                    out_of_range.push((name, offset, errors::truncated_at(reason)));
                }
                Event::Error { topic, partition, code, reason, .. } => {
                    report(shared, topic, partition, code, reason);
                }
            }
            Ok::<(), std::convert::Infallible>(())
        });
        out_of_range
    }

    /// Brings the client in line with the ledger: stores what can be committed, pauses and resumes.
    pub(super) fn update_client(&mut self) {
        let now = self.rebalancer.clock.now();
        self.rebalancer.committer.step(self.consumer, &self.shared, now);
        self.shared.count_passed();
        let is_long_full = self.full_since.is_some_and(|since| since.elapsed() >= PAUSE_AFTER);
        let (pause, resume) = {
            let mut ledger = self.shared.ledger();
            if self.delay.is_some() {
                ledger.look_ahead(self.rebalancer.clock.now());
            }
            ledger.flow(is_long_full)
        };
        if !pause.is_empty() {
            let partitions: Vec<_> = pause.iter().map(|(name, _)| name.clone()).collect();
            self.note_failure(self.consumer.pause(&partitions));
        }
        for (name, next) in &pause {
            if let Some(next) = *next {
                self.read_again(name, next);
            }
        }
        if !resume.is_empty() {
            self.note_failure(self.consumer.resume(&resume));
        }
    }

    fn note_failure(&self, outcome: Result<(), Code>) {
        if let Err(code) = outcome {
            self.shared.log.verbose(1, format_args!("pause or resume: {code}"));
        }
    }

    /// Has the client deliver a paused partition from this offset again: what it had delivered was dropped.
    fn read_again(&self, name: &TopicPartition, next: i64) {
        let (topic, partition) = (&name.topic, name.partition);
        let outcome = match self.consumer.seek(topic, partition, next, self.rebalancer.timeout) {
            // Retention took what was to be fetched, and the client gave it up.
            Err(Code::State) => self.consumer.restart(topic, partition, next),
            outcome => outcome,
        };
        match outcome {
            // `InvalidArgument`: the partition was revoked meanwhile.
            Ok(()) | Err(Code::InvalidArgument) => {}
            // What was dropped would never come again, and would count as a gap between offsets.
            Err(code) => {
                let place = name.at(next);
                self.shared.stop(StopReason::Failed(format!("{place}: read on from there: {code}")));
            }
        }
    }

    /// Whether all that was asked for is done.
    fn check_end(&mut self) {
        let now = self.rebalancer.clock.now();
        let is_quiet =
            self.limits.idle.is_some_and(|limit| now.saturating_duration_since(self.heard) >= limit);
        let (complete, idle, assigned) = {
            let mut ledger = self.shared.ledger();
            if ledger.note_quiet(is_quiet) {
                self.shared.wake();
            }
            if ledger.reach_time(self.rebalancer.clock.now_ms()) {
                // A batch of it waits for nothing more.
                self.shared.wake();
            }
            // What the brokers still have, and can't send for now, is no idleness.
            let is_idle = ledger.is_idle() && ledger.behind().is_empty();
            (ledger.is_complete(), is_idle, ledger.has_partitions())
        };
        if !idle {
            self.busy_at = now;
        }
        if complete {
            return self.shared.stop(StopReason::Complete);
        }
        if self.watch.causes.lacks_threads() {
            return self.shared.stop(StopReason::Failed(threads::NO_MORE.to_owned()));
        }
        if !assigned && self.watch.causes.lacks_group_protocol() {
            return self.shared.stop(StopReason::Failed(errors::UNSUPPORTED.to_owned()));
        }
        let is_in_reach = self.watch.away_since().is_none();
        let joining = &mut self.rebalancer.joining;
        let joins = is_in_reach && !self.subscription.is_empty();
        if joining.is_worth_a_note(now, joins) {
            if reach::answers(self.consumer, &self.subscription.waits_for(), GLANCE) {
                self.shared.log.note(membership::JOINING);
            } else {
                self.watch.lose(joining.began());
            }
        }
        let Some(joined) = joining.joined_since() else { return };
        let waited = now.saturating_duration_since(joined);
        let ends = self.limits.has_end || self.limits.idle.is_some_and(|limit| waited >= limit);
        if !assigned && ends && joining.is_left_out(now) {
            self.shared.log.note(membership::LEFT_OUT);
            return self.shared.stop(StopReason::Complete);
        }
        if let Some(limit) = self.limits.idle
            && assigned
            && self.watch.away_since().is_none()
            && now.saturating_duration_since(self.busy_at.max(joined)) >= limit
        {
            self.shared.stop(StopReason::Complete);
        }
    }

    /// Takes note of where the partitions end, which is what lag is counted from. A fetch says so,
    /// but nothing is fetched from a paused partition, and there the lag grows: the cluster is asked.
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
            if let Some(high) = self.consumer.seen_end(&name.topic, name.partition) {
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
            if let Ok((_, high)) = self.consumer.watermarks(&name.topic, name.partition, left) {
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
            self.shared.stop(StopReason::Failed(gone.to_string()));
        }
        if was_empty && !self.subscription.is_empty() {
            self.rebalancer.joining.begin(now);
        }
    }

    /// Notes an outage and partitions that are silent, looks whether it is over, gives up where that
    /// is asked for.
    fn check_contact(&mut self) {
        let now = self.rebalancer.clock.now();
        let (log, causes, brokers) = (self.shared.log, &self.watch.causes, &self.limits.brokers);
        let fault = causes.advertised();
        if let Some(fault) = &fault {
            // Who waits for the group's coordinator waits for one broker, whatever the others do.
            let waits_for_one = !self.subscription.is_empty() && !self.shared.ledger().has_partitions();
            if waits_for_one || self.watch.away_since().is_some() {
                self.watch.lose_by(fault, self.heard.max(self.rebalancer.joining.began()), now);
            }
        }
        match self.watch.step(now) {
            Step::Wait => {}
            Step::Ask(patience) => {
                let read = self.shared.ledger().assigned().into_iter().next();
                let whom = match read {
                    Some(partition) => Whom::LeaderOf(partition),
                    None => self.subscription.waits_for(),
                };
                if reach::is_back(self.consumer, causes, &whom, patience) {
                    self.watch.hear();
                }
            }
            Step::Note(lasts) => log.note(contact::waiting(brokers, lasts, causes)),
            Step::GiveUp(lasts) => {
                self.shared.stop(StopReason::Failed(contact::stalled(brokers, lasts, causes)));
            }
        }
        if self.watch.away_since().is_some() {
            return self.silence.forget();
        }
        if self.came {
            return;
        }
        let behind = self.shared.ledger().behind();
        match self.silence.look(now, behind, fault.as_ref()) {
            Hush::Wait => {}
            Hush::Note(partitions, lasts) => {
                log.note(silence::silent(&partitions, lasts, causes.last().as_deref()));
            }
            Hush::GiveUp(partitions, lasts) => {
                let why = silence::stalled_at(&partitions, lasts, causes.last().as_deref());
                self.shared.stop(StopReason::Failed(why));
            }
        }
    }
}

/// An error that the consumer's queue held.
fn report(shared: &Shared, topic: &str, partition: i32, code: Code, reason: &str) {
    let place = if partition < 0 { topic.to_owned() } else { format!("{topic}[{partition}]") };
    match code {
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::InconsistentGroupProtocol => {
            let hint = if code == Code::InconsistentGroupProtocol {
                " (the group's members share partitions in another way: try --assignor range)"
            } else {
                ""
            };
            shared.stop(StopReason::Failed(format!("{reason}{hint}")));
        }
        Code::Fatal | Code::FencedInstanceId => {
            shared.stop(StopReason::of_fatal(reason));
        }
        _ => shared.log.verbose(1, format_args!("{place}: {reason}")),
    }
}
