//! Tells an outage of what the commands need from single bad records, and paces what is tried while it
//! lasts. Pure: time is passed in, no IO.
//!
//! The state is the process's: it survives rebalances.

use std::time::{Duration, Instant};

use super::job::Ticket;
use crate::clock::backoff::Backoff;
use crate::named::Named;

/// `--on-outage`: what follows when too many records failed for good in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnOutage {
    /// One record at a time is tried until one succeeds.
    Pause,
    /// The worker stops.
    Stop,
}

impl Named for OnOutage {
    const ALL: &'static [Self] = &[Self::Pause, Self::Stop];

    fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Stop => "stop",
        }
    }
}

/// Why no further attempt at a record follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// Its attempts are spent: what the command needs may be away.
    Exhausted,
    /// The command says that it can never be done: bad data is no outage.
    BadData,
}

/// What becomes of a record that failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What `--on-failure` says.
    Policy,
    /// It is kept, with the attempts that it had.
    Keep,
    /// The same, and it is the one that begins the pause.
    Pause,
    /// The worker stops over it.
    Stop,
}

/// How a pause stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub lasts: Duration,
    /// Attempts that have failed since it began, one at a time.
    pub failed_probes: u32,
}

/// Counts records that failed for good in a row, and holds the pause that follows.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    /// `--max-consecutive-failures`; 0 never pauses nor stops.
    limit: u32,
    backoff: Backoff,
    then: OnOutage,
    in_a_row: u32,
    has_succeeded: bool,
    pause: Option<Pause>,
    /// The record that `--on-failure` was left to last in a pause: its dead letter may be under way for long,
    /// also when that is over.
    given_up: Option<Ticket>,
    /// Pauses that have begun.
    pauses: u64,
    /// Of those that are over.
    paused: Duration,
}

#[derive(Clone, Debug)]
struct Pause {
    since: Instant,
    next_probe: Instant,
    failed_probes: u32,
    /// Those that are under way, the youngest last.
    probes: Vec<Probe>,
    /// Whether the last probe was at a record that had not failed before.
    was_fresh: bool,
    /// When a record was given up last, at first when the pause began.
    gave_up: Instant,
}

/// A record that is tried while the worker is paused.
#[derive(Clone, Copy, Debug)]
struct Probe {
    ticket: Ticket,
    since: Instant,
}

impl Default for Outage {
    /// One that never comes.
    fn default() -> Self {
        Self::new(0, Backoff::new(Duration::ZERO, Duration::ZERO), OnOutage::Stop)
    }
}

impl Outage {
    /// An outage is `limit` records that failed for good in a row; 0 is never. `backoff` is between probes.
    pub(crate) fn new(limit: u32, backoff: Backoff, then: OnOutage) -> Self {
        Self {
            limit,
            backoff,
            then,
            in_a_row: 0,
            has_succeeded: false,
            pause: None,
            given_up: None,
            pauses: 0,
            paused: Duration::ZERO,
        }
    }

    /// A record is done. Gives how long the pause lasted that this ends.
    pub(crate) fn succeeded(&mut self, now: Instant) -> Option<Duration> {
        self.has_succeeded = true;
        self.in_a_row = 0;
        let lasted = now.saturating_duration_since(self.pause.take()?.since);
        self.paused += lasted;
        Some(lasted)
    }

    /// Whether a record was ever done by this process.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.has_succeeded
    }

    /// A record failed for good. `random` is from 0 up to 1.
    pub(crate) fn failed_for_good(
        &mut self,
        ticket: Ticket,
        why: GivenUp,
        now: Instant,
        random: f64,
    ) -> Fate {
        let longest = self.backoff.max();
        if let Some(pause) = &mut self.pause {
            let is_due = now.saturating_duration_since(pause.gave_up) >= longest;
            let Some(at) = pause.probe(ticket).filter(|_| is_due) else { return Fate::Keep };
            // It is no probe any more: what it waits for now is the dead letters' topic.
            pause.probes.remove(at);
            (pause.gave_up, self.given_up) = (now, Some(ticket));
            return Fate::Policy;
        }
        if why == GivenUp::BadData {
            return Fate::Policy;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.limit == 0 || self.in_a_row < self.limit {
            return Fate::Policy;
        }
        if self.then == OnOutage::Stop {
            return Fate::Stop;
        }
        self.begin(now, random);
        Fate::Pause
    }

    /// The processes of a persistent command end again and again. True where that is an outage, which is
    /// waited for: the command has worked before.
    pub(crate) fn outlives_deaths(&mut self, now: Instant, random: f64) -> Option<Fate> {
        if !self.has_succeeded || self.limit == 0 || self.then == OnOutage::Stop {
            return None;
        }
        if self.pause.is_some() {
            return Some(Fate::Keep);
        }
        self.begin(now, random);
        Some(Fate::Pause)
    }

    fn begin(&mut self, now: Instant, random: f64) {
        self.pauses += 1;
        self.pause = Some(Pause {
            since: now,
            next_probe: now + self.backoff.delay(0, || random),
            failed_probes: 0,
            probes: Vec::new(),
            was_fresh: false,
            gave_up: now,
        });
    }

    /// The pause that lasts, as a number that no other has.
    pub(crate) fn pause_number(&self) -> Option<u64> {
        self.pause.as_ref().map(|_| self.pauses)
    }

    /// How the pause stands, where there is one.
    pub(crate) fn standing(&self, now: Instant) -> Option<Standing> {
        self.pause.as_ref().map(|pause| Standing {
            lasts: now.saturating_duration_since(pause.since),
            failed_probes: pause.failed_probes,
        })
    }

    /// How long it was paused in all, without the pause that lasts.
    pub(crate) fn paused_before(&self) -> Duration {
        self.paused
    }

    /// Whether this record is, or was, tried as a probe, in the pause that lasts.
    pub(crate) fn is_probe(&self, ticket: Ticket) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.probe(ticket).is_some())
    }

    /// The record that was given up last in a pause.
    pub(crate) fn given_up(&self) -> Option<Ticket> {
        self.given_up
    }

    /// When the next probe may start, where it is paused; `runs` says which records still run.
    ///
    /// A probe that hangs, or whose output can't be sent, holds the others back no longer than the longest
    /// backoff: what the command needs may be there again.
    pub(crate) fn next_probe(&self, runs: impl Fn(Ticket) -> bool) -> Option<Instant> {
        let pause = self.pause.as_ref()?;
        let youngest = pause.probes.iter().rev().find(|probe| runs(probe.ticket));
        let free_at = youngest.map(|probe| probe.since + self.backoff.max());
        Some(pause.next_probe).max(free_at)
    }

    /// Whether the next probe is to be at a record that has not failed yet: every second one is, so
    /// that no bad record hides that the outage is over.
    pub(crate) fn wants_fresh(&self) -> bool {
        self.pause.as_ref().is_none_or(|pause| !pause.was_fresh)
    }

    /// A probe starts; `runs` says which records still run.
    pub(crate) fn probe_started(
        &mut self,
        ticket: Ticket,
        is_fresh: bool,
        now: Instant,
        runs: impl Fn(Ticket) -> bool,
    ) {
        if let Some(pause) = &mut self.pause {
            pause.probes.retain(|probe| probe.ticket != ticket && runs(probe.ticket));
            pause.probes.push(Probe { ticket, since: now });
            pause.was_fresh = is_fresh;
        }
    }

    /// An attempt failed: where that was a probe, the next one waits. `random` is from 0 up to 1.
    pub(crate) fn attempt_failed(&mut self, ticket: Ticket, now: Instant, random: f64) {
        if let Some(pause) = self.pause.as_mut().filter(|pause| pause.probe(ticket).is_some()) {
            pause.failed_probes = pause.failed_probes.saturating_add(1);
            pause.next_probe = now + self.backoff.delay(pause.failed_probes, || random);
        }
    }
}

impl Pause {
    /// Which of the probes this record is.
    fn probe(&self, ticket: Ticket) -> Option<usize> {
        self.probes.iter().position(|probe| probe.ticket == ticket)
    }
}

#[cfg(test)]
mod tests;
