//! Durations as people write them: `10s`, `1m30s`, `500ms`, `0.5`, `10`. Pure: no clock, no IO.

use std::time::Duration;

/// The longest duration: in practice without a limit, and a time plus this one is still a valid time.
pub(crate) const FOR_EVER: Duration = Duration::from_hours(100 * 366 * 24);

/// Parses a duration: a number with a unit (`ms`, `s`, `m`, `h`, `d`, and sums of
/// them, as `1m30s`), or a bare number, which is seconds, as with timeout(1) and sleep(1), and may
/// have a fraction. A longer one than [`FOR_EVER`] becomes [`FOR_EVER`].
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is not a duration: write 10s, 500ms, 1h30m, or seconds as 10");
    let parsed = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    } else {
        humantime::parse_duration(text).ok()
    };
    parsed.map(|duration| duration.min(FOR_EVER)).ok_or_else(wrong)
}

/// A duration in the form that [`parse`] reads, exact to the millisecond.
pub(crate) fn format(duration: Duration) -> String {
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
        assert_eq!(parse(" 1h 30m "), Ok(Duration::from_mins(90)));
    }

    #[test]
    fn the_longest_can_still_be_added_to_a_time() {
        for long in ["10000000000000000000s", "10000000000000000000", "500000000000y"] {
            assert!(std::time::Instant::now().checked_add(parse(long).unwrap()).is_some(), "{long}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_duration_is_named() {
        let wrong = ["", "soon", "-1", "-1s", "1 fortnight", "inf", "NaN", "1e0", "1e400", "1.2.3", "."];
        for text in wrong.into_iter().chain(["10 parsecs", "99999999999999999999999999"]) {
            assert!(parse(text).unwrap_err().contains("500ms"), "{text}");
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
