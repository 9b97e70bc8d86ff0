//! `--delay`: how long a record still waits before its command runs. Pure: no clock, no IO.

use std::time::Duration;

use super::dead_letter::FAILED_AT;
use crate::record::RecordRef;

/// Each record waits for so long after its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delay(pub Duration);

impl Delay {
    /// How much of the wait is left for a record that is received at `now_ms` (ms since the epoch); `None`
    /// where it may run at once.
    ///
    /// The wait begins when the record failed, where it is a dead letter: that keeps its first timestamp.
    /// Of another record it begins at its timestamp. A time in the future does not count.
    pub(super) fn left(self, record: &RecordRef<'_>, now_ms: i64) -> Option<Duration> {
        let since = failed_at(record).or(record.timestamp.millis()).map_or(now_ms, |time| time.min(now_ms));
        let passed = Duration::from_millis(now_ms.saturating_sub(since).try_into().unwrap_or(u64::MAX));
        self.0.checked_sub(passed).filter(|left| !left.is_zero())
    }
}

/// When a dead letter failed, in ms since the epoch, as its header says.
fn failed_at(record: &RecordRef<'_>) -> Option<i64> {
    let header = record.headers.iter().rfind(|header| header.name == FAILED_AT.as_bytes())?;
    let time: jiff::Timestamp = std::str::from_utf8(header.value?).ok()?.parse().ok()?;
    Some(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Header, Timestamp};
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000_000;
    const MINUTE: Delay = Delay(Duration::from_mins(1));

    /// What is left of a minute for a record with this timestamp and these failures, in ms.
    fn left(timestamp: Option<i64>, failed: &[&str]) -> u128 {
        let headers: Vec<Header<'_>> = failed
            .iter()
            .map(|time| Header { name: FAILED_AT.as_bytes(), value: Some(time.as_bytes()) })
            .collect();
        let timestamp = timestamp.map_or(Timestamp::None, Timestamp::Create);
        let record = RecordRef {
            topic: "t",
            partition: 0,
            offset: 0,
            leader_epoch: None,
            timestamp,
            key: None,
            value: None,
            headers: &headers,
        };
        MINUTE.left(&record, NOW).map_or(0, |left| left.as_millis())
    }

    #[test]
    fn a_record_waits_from_its_timestamp_on() {
        assert_eq!(left(Some(NOW), &[]), 60_000);
        assert_eq!(left(Some(NOW - 20_500), &[]), 39_500);
        assert_eq!(left(Some(NOW - 60_000), &[]), 0);
        assert_eq!(left(Some(0), &[]), 0);
    }

    #[test]
    fn a_time_in_the_future_and_none_at_all_count_as_now() {
        assert_eq!(left(Some(i64::MAX), &[]), 60_000);
        assert_eq!(left(None, &[]), 60_000);
        assert_eq!(left(Some(0), &["9000-01-01T00:00:00Z"]), 60_000);
    }

    #[test]
    fn a_dead_letter_waits_from_its_last_failure_on() {
        // 1_700_000_000 is 2023-11-14T22:13:20Z.
        assert_eq!(left(Some(0), &["2023-11-14T22:13:20.000Z"]), 60_000);
        assert_eq!(left(Some(NOW), &["2023-11-14T22:12:50.000Z"]), 30_000);
        assert_eq!(left(Some(NOW), &["2023-11-14T22:13:20.000Z", "2023-11-14T22:12:30.000Z"]), 10_000);
        assert_eq!(left(Some(NOW - 1000), &["yesterday"]), 59_000, "what is no time says nothing");
    }

    proptest! {
        #[test]
        fn no_record_waits_longer_than_the_delay(timestamp in any::<i64>(), now in 0..i64::MAX, delay in any::<u64>()) {
            let delay = Duration::from_millis(delay);
            let timestamp = Timestamp::Create(timestamp);
            let record = RecordRef { topic: "t", partition: 0, offset: 0, leader_epoch: None, timestamp, key: None, value: None, headers: &[] };
            let left = Delay(delay).left(&record, now).unwrap_or_default();
            prop_assert!(left <= delay);
        }
    }
}
