//! When to try again: exponential backoff with equal jitter. Pure: no clock, no IO, the RNG injected.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::clock::duration;

/// A retry schedule, after "Exponential Backoff And Jitter" (AWS Architecture
/// Blog): the ceiling of attempt n is `first * 2^n`, at most `max`, and the
/// delay is half of it and a random part of the other half ("equal jitter"). So many clients that
/// fail at the same time do not retry at the same time, and no row of retries is over in a moment:
/// what a command needs has time to start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// A schedule whose ceilings go from `first` to `max`. A `max` below `first` counts as `first`.
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max: max.max(first) }
    }

    /// The longest delay of all.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// The longest delay before retry `attempt`, where 0 is the first retry.
    pub(crate) fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// The delay before retry `attempt`, where 0 is the first retry. `random`
    /// gives a number from 0 up to 1; a number outside is clamped to that range.
    pub(crate) fn delay(&self, attempt: u32, random: impl FnOnce() -> f64) -> Duration {
        let random = random();
        let share = if random.is_nan() { 1.0 } else { 0.5 + random.clamp(0.0, 1.0) / 2.0 };
        let ceiling = self.ceiling(attempt);
        Duration::try_from_secs_f64(ceiling.as_secs_f64() * share).map_or(ceiling, |delay| delay.min(ceiling))
    }
}

impl FromStr for Backoff {
    type Err = anyhow::Error;

    /// `1s..1m`, or one duration for a ceiling that does not grow.
    fn from_str(s: &str) -> Result<Self> {
        let duration = |text| duration::parse(text).map_err(anyhow::Error::msg);
        let example = || format!("bad backoff {s:?}: give FIRST..MAX, as in 1s..1m");
        let (first, max) = s.split_once("..").unwrap_or((s, s));
        let first = duration(first).with_context(example)?;
        let max = duration(max).with_context(example)?;
        ensure!(first <= max, "bad backoff {s:?}: {first:?} is more than {max:?}; the smaller comes first");
        Ok(Self { first, max })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..{:?}", self.first, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backoff(s: &str) -> Backoff {
        s.parse().unwrap()
    }

    #[test]
    fn ceilings_double_up_to_the_greatest() {
        let ceilings: Vec<_> = (0..8).map(|n| backoff("500ms..30s").ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn half_of_the_ceiling_is_fixed_and_the_random_number_is_the_share_of_the_rest() {
        let backoff = backoff("1s..8s");
        assert_eq!(backoff.delay(1, || 0.0), Duration::from_secs(1));
        assert_eq!(backoff.delay(1, || 0.5), Duration::from_millis(1500));
        assert_eq!(backoff.delay(9, || 0.25), Duration::from_secs(5));
    }

    #[test]
    fn the_default_of_five_retries_outlasts_a_restart() {
        let in_all = |random: f64| (0..5).map(|n| backoff("1s..1m").delay(n, || random)).sum::<Duration>();
        assert_eq!((in_all(0.0), in_all(1.0)), (Duration::from_millis(15_500), Duration::from_secs(31)));
    }

    #[test]
    fn one_duration_does_not_grow() {
        assert_eq!(backoff("2s").ceiling(0), backoff("2s").ceiling(20));
        assert_eq!(backoff("0").delay(3, || 0.9), Duration::ZERO);
    }

    #[test]
    fn bounds_the_wrong_way_round_or_unreadable_are_errors() {
        for bad in ["30s..500ms", "", "..", "1s..", "..1s", "1s..2s..3s", "fast"] {
            let error = format!("{:#}", bad.parse::<Backoff>().unwrap_err());
            assert!(error.contains("bad backoff"), "{bad}: {error}");
        }
    }

    #[test]
    fn it_is_shown_as_it_is_read() {
        assert_eq!(backoff("500ms..30s").to_string(), "500ms..30s");
    }

    proptest! {
        #[test]
        fn a_delay_never_passes_its_ceiling_nor_a_ceiling_the_bounds(
            first in 0u64..1 << 50, more in 0u64..1 << 50, attempt: u32, random in any::<f64>()
        ) {
            let (first, max) = (Duration::from_micros(first), Duration::from_micros(first + more));
            let backoff = Backoff::new(first, max);
            let ceiling = backoff.ceiling(attempt);
            prop_assert!(first <= ceiling && ceiling <= max);
            prop_assert!(ceiling <= backoff.ceiling(attempt.saturating_add(1)));
            let delay = backoff.delay(attempt, || random);
            prop_assert!(delay <= ceiling);
            // Seconds as a float: exact to a microsecond and a share of it.
            prop_assert!(delay.as_secs_f64() >= ceiling.as_secs_f64() / 2.0 * 0.999_999 - 1e-6);
        }
    }
}
