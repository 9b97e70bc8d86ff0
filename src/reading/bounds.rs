//! Where to start and where to stop: the grammar of --from, --until and partitions. Pure: no clock (now is injected), no IO.

use anyhow::{Context as _, Result, bail, ensure};

use crate::clock::time;

/// The most partitions that one list may name: more than a cluster holds, less than hurts.
pub(crate) const MAX_PARTITIONS: usize = 1_000_000;

/// Where reading starts, for each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The first record that is still there.
    Beginning,
    /// After the last record.
    End,
    /// This offset.
    Offset(i64),
    /// This many offsets before the end; never negative.
    Relative(i64),
    /// The first record whose timestamp is this one or later, in milliseconds since the epoch.
    Time(i64),
    /// The group's committed offset.
    Stored,
}

/// Where reading stops, for each partition; exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "`--until end` is the word of the flag")]
pub(crate) enum End {
    /// The end as it was when the partition was first assigned.
    End,
    /// This offset, which is not read.
    Offset(i64),
    /// The first record whose timestamp is this one or later, in milliseconds since the epoch.
    Time(i64),
}

/// What one `-o` says, since kcat's starts (`s@`) and stops (`e@`) share the flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Start(Start),
    End(End),
}

const FROM_FORMS: &str = "beginning, end, stored, OFFSET, -N (before the end), @TIME or -DURATION; \
    TIME is epoch milliseconds, seconds as 1714564800s, RFC 3339, or a date in UTC; DURATION is as 90s, 1h30m, 2d";
const UNTIL_FORMS: &str = "end, OFFSET, @TIME or -DURATION; \
    TIME is epoch milliseconds, seconds as 1714564800s, RFC 3339, or a date in UTC; DURATION is as 90s, 1h30m, 2d";

/// Where to start: `beginning` (`earliest`), `end` (`latest`), `stored`, `OFFSET`,
/// `-N` from the end, `@TIME` or kcat's `s@TIME`, or `-DURATION` before `now_ms`
/// (milliseconds since the epoch).
pub(crate) fn parse_from(s: &str, now_ms: i64) -> Result<Start> {
    let wrong = || format!("bad start {s:?}: give {FROM_FORMS}");
    Ok(match s {
        "beginning" | "earliest" => Start::Beginning,
        "end" | "latest" => Start::End,
        "stored" => Start::Stored,
        _ => {
            if s.starts_with("e@") {
                bail!("{s:?} is an end and no start: give it to --until, as {:?}", &s[1..]);
            }
            if let Some(time) = s.strip_prefix('@').or_else(|| s.strip_prefix("s@")) {
                Start::Time(at(time, &format!("bad start {s:?}"), wrong)?)
            } else if let Some(back) = s.strip_prefix('-') {
                match digits(back) {
                    Some(n) => Start::Relative(n.with_context(wrong)?),
                    None => Start::Time(before(now_ms, back).with_context(wrong)?),
                }
            } else {
                ensure!(
                    time::parse(s).is_err() || digits(s).is_some(),
                    "bad start {s:?}: a time has an @ before it: @{s}"
                );
                Start::Offset(digits(s).with_context(wrong)?.with_context(wrong)?)
            }
        }
    })
}

/// Where to stop: `end` (`latest`), `OFFSET`, `@TIME` or kcat's `e@TIME`, or
/// `-DURATION` before `now_ms` (milliseconds since the epoch).
pub(crate) fn parse_until(s: &str, now_ms: i64) -> Result<End> {
    let wrong = || format!("bad end {s:?}: give {UNTIL_FORMS}");
    if matches!(s, "end" | "latest") {
        return Ok(End::End);
    }
    if s.starts_with("s@") {
        bail!("{s:?} is a start and no end: give it to --from, as {:?}", &s[1..]);
    }
    if let Some(time) = s.strip_prefix('@').or_else(|| s.strip_prefix("e@")) {
        return Ok(End::Time(at(time, &format!("bad end {s:?}"), wrong)?));
    }
    if let Some(back) = s.strip_prefix('-') {
        ensure!(digits(back).is_none(), "bad end {s:?}: an end counts from no end; give {UNTIL_FORMS}");
        return Ok(End::Time(before(now_ms, back).with_context(wrong)?));
    }
    ensure!(time::parse(s).is_err() || digits(s).is_some(), "bad end {s:?}: a time has an @ before it: @{s}");
    Ok(End::Offset(digits(s).with_context(wrong)?.with_context(wrong)?))
}

/// What kcat's `-o` says: `e@TIME` is where to stop, all else where to start.
pub(crate) fn parse_bound(s: &str, now_ms: i64) -> Result<Bound> {
    if s.starts_with("e@") {
        parse_until(s, now_ms).map(Bound::End)
    } else {
        parse_from(s, now_ms).map(Bound::Start)
    }
}

/// A list of partitions and ranges of them, as `0,2-5`: sorted, each once, at
/// most [`MAX_PARTITIONS`].
pub(crate) fn parse_partitions(s: &str) -> Result<Vec<i32>> {
    let mut all = Vec::new();
    for part in s.split(',').map(str::trim) {
        let one = |number: &str| -> Result<i32> {
            number.trim().parse::<u32>().ok().and_then(|n| i32::try_from(n).ok()).with_context(|| {
                format!("bad partition {part:?} in {s:?}: give numbers and ranges, as in 0,2-5")
            })
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (one(first)?, one(last)?),
            None => (one(part)?, one(part)?),
        };
        ensure!(first <= last, "bad range {part:?} in {s:?}: the smaller partition comes first");
        let count = (last - first) as usize + 1;
        ensure!(
            count <= MAX_PARTITIONS - all.len(),
            "too many partitions in {s:?}: at most {MAX_PARTITIONS} can be named"
        );
        all.extend(first..=last);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The time that follows the sign. Where it is a number, its form is right, and the error says what is wrong
/// with it alone.
fn at(time: &str, what: &str, wrong: impl Fn() -> String) -> Result<i64> {
    let is_number = digits(time).is_some();
    time::parse(time).with_context(|| if is_number { what.to_owned() } else { wrong() })
}

/// `None` if `s` is not all digits; an error if it is more than an offset can be.
fn digits(s: &str) -> Option<Result<i64>> {
    (!s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()))
        .then(|| s.parse().with_context(|| format!("{s} is more than an offset can be")))
}

/// The time that lies this duration before now, never before the epoch.
fn before(now_ms: i64, duration: &str) -> Result<i64> {
    let back = humantime::parse_duration(duration)?;
    let back = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
    Ok(now_ms.saturating_sub(back).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2024-05-01T12:00:00Z
    const NOW: i64 = 1_714_564_800_000;
    const HOUR: i64 = 3_600_000;

    #[test]
    fn every_start_is_understood() {
        let cases = [
            ("beginning", Start::Beginning),
            ("earliest", Start::Beginning),
            ("end", Start::End),
            ("latest", Start::End),
            ("stored", Start::Stored),
            ("0", Start::Offset(0)),
            ("9223372036854775807", Start::Offset(i64::MAX)),
            ("-10", Start::Relative(10)),
            ("-0", Start::Relative(0)),
            ("@1714564800000", Start::Time(NOW)),
            ("s@1714564800000", Start::Time(NOW)),
            ("@1714564800s", Start::Time(NOW)),
            ("@1714564800000ms", Start::Time(NOW)),
            ("@0", Start::Time(0)),
            ("@2024-05-01T12:00:00Z", Start::Time(NOW)),
            ("@2024-05-01T14:00:00+02:00", Start::Time(NOW)),
            ("@2024-05-01 12:00:00.250Z", Start::Time(NOW + 250)),
            ("@2024-05-01", Start::Time(NOW - 12 * HOUR)),
            ("@2024-05-01T11:00", Start::Time(NOW - HOUR)),
            ("@2024-05-01 11:30:00", Start::Time(NOW - HOUR / 2)),
            ("-1h", Start::Time(NOW - HOUR)),
            ("-1h30m", Start::Time(NOW - HOUR * 3 / 2)),
            ("-30m", Start::Time(NOW - HOUR / 2)),
            ("-90000y", Start::Time(0)),
        ];
        for (s, from) in cases {
            assert_eq!(parse_from(s, NOW).unwrap(), from, "{s}");
            assert_eq!(parse_bound(s, NOW).unwrap(), Bound::Start(from), "{s}");
        }
    }

    #[test]
    fn every_end_is_understood() {
        let cases = [
            ("end", End::End),
            ("latest", End::End),
            ("42", End::Offset(42)),
            ("@1714564800000", End::Time(NOW)),
            ("e@1714564800000", End::Time(NOW)),
            ("@1714564800s", End::Time(NOW)),
            ("@2024-05-01T12:00:00Z", End::Time(NOW)),
            ("-1h", End::Time(NOW - HOUR)),
        ];
        for (s, until) in cases {
            assert_eq!(parse_until(s, NOW).unwrap(), until, "{s}");
        }
        assert_eq!(parse_bound("e@5ms", NOW).unwrap(), Bound::End(End::Time(5)));
    }

    #[test]
    fn what_is_no_offset_is_an_error_that_says_what_is() {
        for bad in [
            "",
            "-",
            "@",
            "start",
            "Beginning",
            "1.5",
            "+5",
            "-1x",
            "--1",
            "9223372036854775808",
            "-99999999999999999999",
            "@tomorrow",
            "@2024-13-01",
            "@2024-05-01T12:00:00[Europe/Berlin]",
            "-1h30",
            " 5",
            "@-5",
            "١",
        ] {
            for error in [parse_from(bad, NOW).map(|_| ()), parse_until(bad, NOW).map(|_| ())] {
                let error = format!("{:#}", error.unwrap_err());
                assert!(error.contains(&format!("{bad:?}")) && error.contains("@TIME"), "{bad}: {error}");
            }
        }
    }

    #[test]
    fn a_number_that_may_be_seconds_draws_both_readings_and_no_list_of_forms() {
        let error = |e: anyhow::Error| format!("{e:#}");
        let start = error(parse_bound("s@1714564800", NOW).unwrap_err());
        assert!(start.starts_with("bad start \"s@1714564800\": 1714564800 is ambiguous: "), "{start}");
        let end = error(parse_until("@1714564800", NOW).unwrap_err());
        assert!(end.starts_with("bad end \"@1714564800\": 1714564800 is ambiguous: "), "{end}");
    }

    #[test]
    fn a_time_without_its_sign_is_an_error_that_names_the_sign() {
        for time in ["2024-01-01", "2024-05-01T12:30:00+02:00", "1714564800s"] {
            assert!(parse_from(time, NOW).unwrap_err().to_string().ends_with(&format!("@{time}")));
            assert!(parse_until(time, NOW).unwrap_err().to_string().ends_with(&format!("@{time}")));
        }
    }

    #[test]
    fn a_start_given_as_an_end_names_the_right_flag() {
        assert!(parse_from("e@5", NOW).unwrap_err().to_string().contains("--until"));
        assert!(parse_until("s@5", NOW).unwrap_err().to_string().contains("--from"));
        assert!(parse_until("-5", NOW).unwrap_err().to_string().contains("an end"));
    }

    #[test]
    fn partitions_are_sorted_and_each_once() {
        assert_eq!(parse_partitions("0,2-5").unwrap(), [0, 2, 3, 4, 5]);
        assert_eq!(parse_partitions("5, 1 ,3-4,4-5").unwrap(), [1, 3, 4, 5]);
        assert_eq!(parse_partitions("7-7").unwrap(), [7]);
        assert_eq!(parse_partitions("2147483647").unwrap(), [i32::MAX]);
    }

    #[test]
    fn bad_partitions_are_named() {
        for bad in [
            "",
            "a",
            "1,",
            ",1",
            "-1",
            "1-",
            "5-2",
            "1-2-3",
            "2147483648",
            "0-2000000000",
            "0-999999,0-999999",
            "+1x",
        ] {
            let error = parse_partitions(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(s in any::<String>(), now: i64) {
            let _ = (parse_from(&s, now), parse_until(&s, now), parse_bound(&s, now));
            let _ = parse_partitions(&s);
        }

        #[test]
        fn no_input_that_looks_right_panics(s in "[-@se0-9.,:TZ hmdy+]{0,24}", now: i64) {
            let _ = (parse_from(&s, now), parse_until(&s, now), parse_bound(&s, now));
            let _ = parse_partitions(&s);
        }

        #[test]
        fn a_list_of_partitions_holds_what_it_names(mut partitions in prop::collection::vec(0i32..10_000, 1..50)) {
            let list: Vec<_> = partitions.iter().map(i32::to_string).collect();
            let parsed = parse_partitions(&list.join(",")).unwrap();
            partitions.sort_unstable();
            partitions.dedup();
            prop_assert_eq!(parsed, partitions);
        }
    }
}
