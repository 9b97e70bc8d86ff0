//! A command that worked and can't be run now is being replaced, mostly: how long that is waited for. Pure:
//! time is passed in, no IO.

use std::time::{Duration, Instant};

/// How long a command that has worked may be one that can't be run.
pub(super) const DEPLOY: Duration = Duration::from_secs(30);

/// What follows when the command can't be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is tried again. The first of them says so.
    Wait { is_first: bool },
    /// It is broken.
    Broken,
}

/// Misses that are so far apart are not of one deploy. Probes of a pause are a minute apart at most, by default.
const APART: Duration = Duration::from_mins(2);

/// Attempts in a row that found that the command can't be run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misses {
    since: Instant,
    last: Instant,
}

impl Misses {
    /// Another one. Gives when the first of them was.
    pub(super) fn count(misses: &mut Option<Self>, now: Instant) -> Instant {
        let one = Self { since: now, last: now };
        let are_over = misses.is_some_and(|misses| now.saturating_duration_since(misses.last) > APART);
        let misses = if are_over { misses.insert(one) } else { misses.get_or_insert(one) };
        misses.last = now;
        misses.since
    }
}

/// Since when the command can't be run, for the whole worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deploy {
    misses: Option<Misses>,
}

impl Deploy {
    /// An attempt found that the command can't be run; `own` is since when each attempt at its record found
    /// that, whatever those at others did. `may_wait`: it has worked before.
    pub(super) fn cannot_run(&mut self, own: Instant, may_wait: bool, now: Instant) -> Verdict {
        if !may_wait {
            return Verdict::Broken;
        }
        let since = Misses::count(&mut self.misses, now);
        if now.saturating_duration_since(since.min(own)) >= DEPLOY {
            Verdict::Broken
        } else {
            Verdict::Wait { is_first: since == now && own == now }
        }
    }

    /// An attempt that began at `began` ran, however it ended. Gives how long the command could not be
    /// run, where this is the first that could: one that ran before says nothing.
    pub(super) fn ran(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        let misses = self.misses.take_if(|misses| began >= misses.since)?;
        Some(now.saturating_duration_since(misses.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Verdict = Verdict::Wait { is_first: false };

    #[test]
    fn a_command_that_never_worked_is_broken_at_once() {
        assert_eq!(Deploy::default().cannot_run(Instant::now(), false, Instant::now()), Verdict::Broken);
    }

    #[test]
    fn one_that_worked_is_waited_for_and_no_longer_than_half_a_minute() {
        let (mut deploy, start) = (Deploy::default(), Instant::now());
        assert_eq!(deploy.cannot_run(start, true, start), Verdict::Wait { is_first: true });
        assert_eq!(deploy.cannot_run(start, true, start + DEPLOY / 2), WAIT);
        assert_eq!(deploy.cannot_run(start, true, start + DEPLOY), Verdict::Broken);
    }

    #[test]
    fn the_time_begins_again_once_it_has_run() {
        let (mut deploy, before) = (Deploy::default(), Instant::now());
        let start = before + DEPLOY;
        deploy.cannot_run(start, true, start);
        let later = start + DEPLOY / 2;
        assert_eq!(deploy.ran(before, later), None, "it was started before");
        assert_eq!(deploy.ran(later, later), Some(DEPLOY / 2));
        assert_eq!(deploy.ran(later, later), None);
        let again = start + DEPLOY;
        assert_eq!(deploy.cannot_run(again, true, again), Verdict::Wait { is_first: true });
    }
}
