//! Sizes in flags: `4MiB`. Pure: no clock, no IO.

/// The units, longest name first where one ends with another.
const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads a number of bytes, from 1 on: `4MiB`, `500KB`, or a plain number. The unit is in any letter case.
pub(super) fn parse(text: &str) -> Result<usize, String> {
    let bad = || format!("bad size {text:?}: give bytes, as in 4MiB, 500KB or 65536");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return Err(bad()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)?;
    usize::try_from(bytes).ok().filter(|bytes| *bytes > 0).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_a_unit_or_without() {
        for (text, bytes) in
            [("4MiB", 4 << 20), ("500kb", 500_000), ("65536", 65536), ("1 GiB", 1 << 30), ("7B", 7)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "MiB", "4 bananas", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(parse(text).unwrap_err().contains("4MiB"), "{text}");
        }
    }
}
