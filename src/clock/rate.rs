//! `--rate`: how many commands may start in a time, as a token bucket. Pure: time is passed in, no IO.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// The units of time, as a rate names them.
const UNITS: [(&str, Duration); 4] = [
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_mins(1)),
    ("h", Duration::from_hours(1)),
    ("d", Duration::from_hours(24)),
];

/// What was not used is kept for so long: timers are not exact, and a thread may wake up late.
const SAVED: Duration = Duration::from_millis(100);

/// So many starts in each unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// From one start to the next; never zero.
    interval: Duration,
}

impl FromStr for Rate {
    type Err = anyhow::Error;

    /// `10/s`, `90/m`, `1000/h`, `5000/d`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            format!(
                "bad rate {text:?}: give a number for each second, minute, hour or day, as in 10/s, 90/m, 1000/h"
            )
        };
        let (count, unit) = text.trim().split_once('/').with_context(wrong)?;
        let count: u32 = count.trim().parse().with_context(wrong)?;
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
        let (_, per) = unit.with_context(wrong)?;
        ensure!(count > 0, "bad rate {text:?}: give at least 1, or a longer time, as in 1/m");
        let interval = *per / count;
        ensure!(!interval.is_zero(), "bad rate {text:?}: it is too high to be a limit: leave it out");
        Ok(Self { interval })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one every {:?}", self.interval)
    }
}

/// The starts that are left: a bucket that gets a token every interval, and holds those of a tenth of a
/// second, or one. So in any time there are at most as many starts as the rate says, and the bucket's content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    interval: Duration,
    /// How far [`Bucket::full_at`] may lie ahead while a start is still free.
    ahead: Duration,
    /// When the bucket is full again; `None`: it never was used.
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(Rate { interval }: Rate) -> Self {
        Self { interval, ahead: SAVED.saturating_sub(interval), full_at: None }
    }

    /// When the next start is free; `None`: at once, since none was before.
    pub(crate) fn free_at(&self) -> Option<Instant> {
        self.full_at.map(|full_at| full_at.checked_sub(self.ahead).unwrap_or(full_at))
    }

    /// Whether a start is free.
    pub(crate) fn is_free(&self, now: Instant) -> bool {
        self.free_at().is_none_or(|free_at| free_at <= now)
    }

    /// A command starts.
    pub(crate) fn take(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_has_a_number_and_a_unit() {
        for (text, ms) in
            [("10/s", 100), (" 120 / m ", 500), ("1/s", 1000), ("1800/h", 2000), ("1/d", 86_400_000)]
        {
            assert_eq!(rate(text).interval, Duration::from_millis(ms), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_rate_is_named() {
        for text in ["", "10", "10/", "/s", "ten/s", "-1/s", "1.5/s", "10/ms", "10 per s"] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains("10/s, 90/m, 1000/h"), "{text}: {error}");
        }
        assert!("0/s".parse::<Rate>().unwrap_err().to_string().contains("at least 1"));
        assert!("4000000000/s".parse::<Rate>().unwrap_err().to_string().contains("leave it out"));
    }

    #[test]
    fn a_low_rate_saves_nothing_and_a_high_one_a_tenth_of_a_second() {
        for (text, burst) in [("1/m", 1), ("5/s", 1), ("10/s", 1), ("100/s", 10), ("5000/s", 500)] {
            let (mut bucket, now) = (Bucket::new(rate(text)), Instant::now());
            let mut started = 0;
            while bucket.is_free(now) {
                bucket.take(now);
                started += 1;
            }
            assert_eq!(started, burst, "{text}");
        }
    }

    #[test]
    fn the_next_start_is_free_when_it_was_said_to_be() {
        let (mut bucket, now) = (Bucket::new(rate("4/s")), Instant::now());
        assert_eq!(bucket.free_at(), None);
        bucket.take(now);
        let free_at = bucket.free_at().unwrap();
        assert_eq!(free_at, now + Duration::from_millis(250));
        assert!(!bucket.is_free(now + Duration::from_millis(249)) && bucket.is_free(free_at));
    }

    proptest! {
        #[test]
        fn in_no_time_are_there_more_starts_than_the_rate_and_what_is_saved(
            count in 1..2000u32,
            steps in prop::collection::vec(0..50_000u64, 1..300),
        ) {
            let (mut bucket, begin) = (Bucket::new(rate(&format!("{count}/s"))), Instant::now());
            let mut now = begin;
            let mut starts = Vec::new();
            for step in steps {
                now += Duration::from_micros(step);
                for _ in 0..3 {
                    if bucket.is_free(now) {
                        bucket.take(now);
                        starts.push(now);
                    }
                }
            }
            let most = |time: Duration| f64::from(count) * (time.as_secs_f64() + 0.1) + 1.001;
            for (i, first) in starts.iter().enumerate() {
                for (n, last) in starts[i..].iter().enumerate() {
                    prop_assert!((n + 1) as f64 <= most(*last - *first), "{} in {:?}", n + 1, *last - *first);
                }
            }
        }

        #[test]
        fn who_comes_when_a_start_is_free_reaches_the_rate(count in 1..100_000u32) {
            let (mut bucket, begin) = (Bucket::new(rate(&format!("{count}/s"))), Instant::now());
            let (mut now, mut started) = (begin, 0u32);
            while started < count.min(2000) {
                now = now.max(bucket.free_at().unwrap_or(now));
                bucket.take(now);
                started += 1;
            }
            prop_assert!(now - begin <= Duration::from_secs(1));
        }
    }
}
