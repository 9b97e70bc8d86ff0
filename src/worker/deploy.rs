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

/// Since when the command can't be run, for the whole worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deploy {
    since: Option<Instant>,
}

impl Deploy {
    /// An attempt found that the command can't be run. `may_wait`: it has worked before.
    pub(super) fn cannot_run(&mut self, may_wait: bool, now: Instant) -> Verdict {
        if !may_wait {
            return Verdict::Broken;
        }
        let is_first = self.since.is_none();
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= DEPLOY {
            Verdict::Broken
        } else {
            Verdict::Wait { is_first }
        }
    }

    /// An attempt that began at `began` ran, however it ended. Gives how long the command could not be
    /// run, where this is the first that could: one that ran before says nothing.
    pub(super) fn ran(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        let since = self.since.take_if(|since| began >= *since)?;
        Some(now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Verdict = Verdict::Wait { is_first: false };

    #[test]
    fn a_command_that_never_worked_is_broken_at_once() {
        assert_eq!(Deploy::default().cannot_run(false, Instant::now()), Verdict::Broken);
    }

    #[test]
    fn one_that_worked_is_waited_for_and_no_longer_than_half_a_minute() {
        let (mut deploy, start) = (Deploy::default(), Instant::now());
        assert_eq!(deploy.cannot_run(true, start), Verdict::Wait { is_first: true });
        assert_eq!(deploy.cannot_run(true, start + DEPLOY / 2), WAIT);
        assert_eq!(deploy.cannot_run(true, start + DEPLOY), Verdict::Broken);
    }

    #[test]
    fn the_time_begins_again_once_it_has_run() {
        let (mut deploy, before) = (Deploy::default(), Instant::now());
        let start = before + DEPLOY;
        deploy.cannot_run(true, start);
        let later = start + DEPLOY / 2;
        assert_eq!(deploy.ran(before, later), None, "it was started before");
        assert_eq!(deploy.ran(later, later), Some(DEPLOY / 2));
        assert_eq!(deploy.ran(later, later), None);
        assert_eq!(deploy.cannot_run(true, start + DEPLOY), Verdict::Wait { is_first: true });
    }
}
