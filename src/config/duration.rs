//! Durations as people write them: `10s`, `1m30s`, `500ms`, `0.5`, `10`. Pure: no clock, no IO.

use std::time::Duration;

use crate::offset::FOR_EVER;

/// Parses a duration: a number with a unit (`ms`, `s`, `m`, `h`, `d`, and sums of
/// them, as `1m30s`), or a bare number, which is seconds and may have a fraction.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && let Ok(seconds) = text.parse::<f64>()
    {
        return Duration::try_from_secs_f64(seconds).map(|d| d.min(FOR_EVER)).map_err(|e| e.to_string());
    }
    humantime::parse_duration(text)
        .map(|duration| duration.min(FOR_EVER))
        .map_err(|_| format!("`{text}` is no duration (write `10s`, `500ms`, `2m`, or seconds as `10`)"))
}

/// A duration in the form that [`parse`] reads, exact to the millisecond.
pub fn format(duration: Duration) -> String {
    match (duration.as_millis(), duration.subsec_millis()) {
        (_, 0) => format!("{}s", duration.as_secs()),
        (ms, _) => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bare_number_is_seconds() {
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("0.25"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn units_and_sums_are_read() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn what_is_no_duration_is_named() {
        for text in ["", "soon", "-1", "1 fortnight", "inf", "NaN", "1e400"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("soon").unwrap_err().contains("`soon`"));
    }

    proptest! {
        #[test]
        fn format_and_parse_are_inverses(ms in 0u64..10_000_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
