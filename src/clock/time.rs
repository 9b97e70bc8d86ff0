//! Points in time as people write them. Pure: no clock, no IO.

use anyhow::{Context as _, Result, bail};

/// A time in milliseconds since the epoch: a whole number of them, RFC 3339, or
/// a date with or without a time of day, in UTC.
pub(crate) fn parse(s: &str) -> Result<i64> {
    if s.bytes().all(|b| b.is_ascii_digit()) && !s.is_empty() {
        return s.parse().with_context(|| format!("{s} is more milliseconds than a time can have"));
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
        "{s:?} is not a time: give epoch milliseconds, or as 2024-05-01, 2024-05-01T12:30:00 (UTC) or 2024-05-01T12:30:00+02:00"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_that_is_too_large_is_reported_as_milliseconds() {
        let time = parse("9223372036854775808").unwrap_err().to_string();
        assert_eq!(time, "9223372036854775808 is more milliseconds than a time can have");
        assert_eq!(parse("9223372036854775807").unwrap(), i64::MAX);
    }

    proptest! {
        #[test]
        fn a_time_is_the_same_in_every_form(ms in 0i64..4_000_000_000_000) {
            let time = jiff::Timestamp::from_millisecond(ms).unwrap();
            for form in [ms.to_string(), time.to_string(), time.to_string().replace('Z', "")] {
                prop_assert_eq!(parse(&form).unwrap(), ms, "{}", form);
            }
        }
    }
}
