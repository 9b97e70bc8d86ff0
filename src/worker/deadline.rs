//! How the time for ending is divided between its stages. Pure but for the clock that it is compared with.

use std::time::{Duration, Instant};

/// The stages of the end, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Commands that run may finish.
    Drain,
    /// TERM was sent to those that still run.
    Terminate,
    /// KILL was sent to those that still run.
    Kill,
    /// What is done is stored and committed.
    Commit,
    /// The group is left.
    Close,
}

impl Stage {
    /// How many of [`PARTS`] are over when this stage is.
    fn parts(self) -> u32 {
        match self {
            Self::Drain => 18,
            Self::Terminate => 22,
            Self::Kill => 23,
            Self::Commit => 25,
            Self::Close => PARTS,
        }
    }
}

/// The time for ending has so many parts: with the default of 28 s a part is a second.
const PARTS: u32 = 28;

/// The time for an ending that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    since: Instant,
    limit: Duration,
}

impl Deadline {
    /// For an ending that began then and may take so long.
    pub(super) fn new(since: Instant, limit: Duration) -> Self {
        Self { since, limit }
    }

    /// This many parts of the time.
    pub(super) fn parts(self, parts: u32) -> Duration {
        self.limit / PARTS * parts
    }

    /// How much of the time is left until this stage must be over.
    pub(super) fn left(self, stage: Stage) -> Duration {
        self.left_at(stage, Instant::now())
    }

    /// Whether this stage must be over.
    pub(super) fn is_up(self, stage: Stage) -> bool {
        self.left(stage).is_zero()
    }

    fn left_at(self, stage: Stage, now: Instant) -> Duration {
        self.parts(stage.parts()).saturating_sub(now.saturating_duration_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_second_of_the_default() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let deadline = Deadline::new(start, second * 28);
        let stages = [Stage::Drain, Stage::Terminate, Stage::Kill, Stage::Commit, Stage::Close];
        let seconds = stages.map(|stage| deadline.left_at(stage, start).as_secs());
        assert_eq!(seconds, [18, 22, 23, 25, 28]);
        assert!(deadline.left_at(Stage::Drain, start + second * 18).is_zero());
        assert_eq!(deadline.left_at(Stage::Terminate, start + second * 18), second * 4);
    }

    #[test]
    fn a_short_limit_is_divided_alike() {
        let deadline = Deadline::new(Instant::now(), Duration::from_millis(280));
        assert_eq!(deadline.parts(2), Duration::from_millis(20));
    }
}
