//! Points in time as people write them. Pure: no clock, no IO.

use anyhow::{Context as _, Result, bail};

/// 2001-01-01T00:00:00Z in milliseconds: a number that is less was probably meant as seconds, which are
/// less until the year 32971.
pub(crate) const EARLY: i64 = 978_307_200_000;

/// A time in milliseconds since the epoch: a whole number of them (`ms` after it is needed only before
/// 2001), of seconds with `s` after it, RFC 3339, or a date with or without a time of day, in UTC.
pub(crate) fn parse(s: &str) -> Result<i64> {
    if let Some(seconds) = s.strip_suffix('s').and_then(whole) {
        let ms = seconds.ok().and_then(|seconds| seconds.checked_mul(1000));
        return ms.with_context(|| format!("{s} is more seconds than a time can have"));
    }
    if let Some(ms) = s.strip_suffix("ms").and_then(whole) {
        return ms.with_context(|| format!("{s} is more milliseconds than a time can have"));
    }
    if let Some(ms) = whole(s) {
        let ms = ms.with_context(|| format!("{s} is more milliseconds than a time can have"))?;
        // 0 is the same time in both units.
        if ms > 0 && ms < EARLY {
            let (as_seconds, as_ms) = (shown(ms.saturating_mul(1000)), shown(ms));
            bail!("{s} is ambiguous: {s}s is seconds, {as_seconds}; {s}ms is milliseconds, {as_ms}");
        }
        return Ok(ms);
    }
    // Without an offset, a zone in brackets would be ignored without a message.
    if !s.contains('[') {
        if let Ok(time) = s.parse::<jiff::Timestamp>() {
            return Ok(time.as_millisecond());
        }
        // A date alone is its midnight.
        if let Ok(time) = s.parse::<jiff::civil::DateTime>() {
            return Ok(time.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond());
        }
    }
    bail!(
        "{s:?} is not a time: give epoch milliseconds, seconds as 1714564800s, or as 2024-05-01, 2024-05-01T12:30:00 (UTC) or 2024-05-01T12:30:00+02:00"
    )
}

/// The number that the digits are; `None` where there is anything else, or nothing.
fn whole(digits: &str) -> Option<Result<i64, std::num::ParseIntError>> {
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse())
}

/// A time as RFC 3339, in UTC; as milliseconds where it is out of the range of that.
pub(crate) fn shown(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |time| time.to_string())
}

/// A time for a log: RFC 3339 in UTC, always with three digits after the second.
pub(crate) fn stamp(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_that_is_too_large_is_reported_in_its_unit() {
        for (text, unit) in [
            ("9223372036854775808", "milliseconds"),
            ("9223372036854775808ms", "milliseconds"),
            ("9223372036854776s", "seconds"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("{text} is more {unit} than a time can have"));
        }
        assert_eq!(parse("9223372036854775807").unwrap(), i64::MAX);
    }

    #[test]
    fn a_number_that_may_be_seconds_is_an_error_with_both_readings() {
        let error = parse("1753140491").unwrap_err().to_string();
        assert_eq!(
            error,
            "1753140491 is ambiguous: 1753140491s is seconds, 2025-07-21T23:28:11Z; \
             1753140491ms is milliseconds, 1970-01-21T06:59:00.491Z"
        );
        for early in ["1", "978307199999", "0001753140491"] {
            assert!(parse(early).unwrap_err().to_string().contains("is ambiguous"), "{early}");
        }
        assert_eq!(parse("978307200000").unwrap(), EARLY);
        assert_eq!(parse("0").unwrap(), 0);
    }

    #[test]
    fn a_unit_says_what_a_number_is() {
        assert_eq!(parse("1753140491s").unwrap(), 1_753_140_491_000);
        assert_eq!(parse("1753140491ms").unwrap(), 1_753_140_491);
        assert_eq!(parse("1753140491000ms").unwrap(), 1_753_140_491_000);
        assert_eq!(parse("0ms").unwrap(), 0);
        for bad in ["s", "ms", "1.5s", "-1s", "1 s", "1S", "1m", "1us", "1sms"] {
            assert!(parse(bad).unwrap_err().to_string().contains("is not a time"), "{bad}");
        }
    }

    #[test]
    fn the_times_of_a_log_are_equally_long() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(1_795_865_417_040), "2026-11-28T11:30:17.040Z");
        assert_eq!(stamp(i64::MAX), format!("{} ms", i64::MAX));
    }

    proptest! {
        #[test]
        fn a_time_is_the_same_in_every_form(ms in 0i64..4_000_000_000_000) {
            let time = jiff::Timestamp::from_millisecond(ms).unwrap();
            for form in [format!("{ms}ms"), time.to_string(), time.to_string().replace('Z', "")] {
                prop_assert_eq!(parse(&form).unwrap(), ms, "{}", form);
            }
            prop_assert_eq!(parse(&format!("{}s", ms / 1000)).unwrap(), ms / 1000 * 1000);
            prop_assert_eq!(parse(&ms.to_string()).ok(), (ms == 0 || ms >= EARLY).then_some(ms));
        }
    }
}
