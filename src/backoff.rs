//! When to try again: exponential backoff with full jitter. Pure: no clock, no IO, the RNG injected.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::offset::parse_duration;

/// A retry schedule, after "Exponential Backoff And Jitter" (AWS Architecture
/// Blog): the ceiling of attempt n is `first * 2^n`, at most `max`, and the
/// delay is drawn evenly from zero to it ("full jitter"), so that many who fail
/// together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// A schedule whose ceilings go from `first` to `max`. A `max` below `first` counts as `first`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max: max.max(first) }
    }

    /// The longest delay before retry `attempt`, where 0 is the first retry.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// The delay before retry `attempt`, where 0 is the first retry. `random`
    /// gives a number from 0 up to 1; what is outside is brought into it.
    pub fn delay(&self, attempt: u32, random: impl FnOnce() -> f64) -> Duration {
        let random = random();
        let share = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
        let ceiling = self.ceiling(attempt);
        Duration::try_from_secs_f64(ceiling.as_secs_f64() * share).map_or(ceiling, |delay| delay.min(ceiling))
    }
}

impl FromStr for Backoff {
    type Err = anyhow::Error;

    /// `500ms..30s`, or one duration for a ceiling that does not grow.
    fn from_str(s: &str) -> Result<Self> {
        let example = || format!("bad backoff {s:?}: give FIRST..MAX, as in 500ms..30s");
        let (first, max) = s.split_once("..").unwrap_or((s, s));
        let first = parse_duration(first).with_context(example)?;
        let max = parse_duration(max).with_context(example)?;
        ensure!(first <= max, "bad backoff {s:?}: {first:?} is more than {max:?}; the smaller comes first");
        Ok(Self { first, max })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..{:?}", self.first, self.max)
    }
}
