//! `--rate`: when the next records may be sent. Pure: no clock, no IO.

use std::time::{Duration, Instant};

/// How much of an unused allowance may be used later, at once: what a slow turn left.
const BURST: Duration = Duration::from_millis(50);

/// How many records may be sent, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Records a second.
    rate: f64,
    /// When the next record may go.
    due: Instant,
}

impl Pace {
    /// At most `rate` records a second, the first of them at once.
    pub(super) fn new(rate: f64, now: Instant) -> Self {
        Self { rate, due: now }
    }

    /// How many of `wanted` records may be sent now, at least one; an error is the time until one may.
    pub(super) fn allowance(&self, wanted: usize, now: Instant) -> Result<usize, Duration> {
        let early = self.due.saturating_duration_since(now);
        if !early.is_zero() {
            return Err(early);
        }
        let late = now.saturating_duration_since(self.due).min(BURST);
        Ok(wanted.min((late.as_secs_f64() * self.rate) as usize + 1))
    }

    /// Counts records that were sent. An unused allowance does not add up: there is no burst after an
    /// idle hour.
    pub(super) fn count(&mut self, sent: u64, now: Instant) {
        let late = now.checked_sub(BURST).unwrap_or(self.due);
        self.due = self.due.max(late) + Duration::from_secs_f64(sent as f64 / self.rate);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends as many as it may for so long, looking again after each wait; gives how many.
    fn send_for(pace: &mut Pace, start: Instant, time: Duration) -> u64 {
        let (mut now, mut sent) = (start, 0);
        while now < start + time {
            match pace.allowance(1000, now) {
                Ok(count) => {
                    pace.count(count as u64, now);
                    sent += count as u64;
                }
                Err(wait) => now += wait,
            }
        }
        sent
    }

    #[test]
    fn the_first_record_goes_at_once_and_the_next_when_it_is_due() {
        let now = Instant::now();
        let mut pace = Pace::new(10.0, now);
        assert_eq!(pace.allowance(5, now), Ok(1));
        pace.count(1, now);
        assert_eq!(pace.allowance(5, now), Err(Duration::from_millis(100)));
        assert_eq!(pace.allowance(5, now + Duration::from_millis(100)), Ok(1));
    }

    #[test]
    fn an_idle_hour_allows_no_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(1000.0, start);
        let later = start + Duration::from_hours(1);
        assert_eq!(pace.allowance(100_000, later), Ok(51));
        let sent = send_for(&mut pace, later, Duration::from_secs(1));
        assert!((1000..=1051).contains(&sent), "{sent}");
    }

    proptest! {
        #[test]
        fn a_rate_is_kept(rate in 0.5f64..1e4, ms in 1u64..1_000) {
            let start = Instant::now();
            let time = Duration::from_millis(ms);
            let sent = send_for(&mut Pace::new(rate, start), start, time) as f64;
            let due = time.as_secs_f64() * rate;
            // The time between two records is whole nanoseconds.
            let most = due * 1.001 + 1.0 + rate * BURST.as_secs_f64();
            prop_assert!(sent <= most && sent >= due * 0.999 - 1.0, "{sent} of {due}");
        }
    }
}
