//! File descriptors that commands inherit: those that kq was started with, and none of its own.
//!
//! librdkafka's pipes are not closed by exec, and a broker's thread makes one whenever it starts.

use std::fs;
use std::ops::RangeInclusive;

use crate::kafka::ffi;

/// What is between and beyond the descriptors that kq was started with.
#[derive(Clone, Debug)]
pub struct Own(Vec<RangeInclusive<u32>>);

impl Own {
    /// Whatever is not open now; nothing where that can't be told. To be asked before the first client is made.
    pub fn from_now_on() -> Self {
        let Ok(folder) = fs::read_dir("/proc/self/fd") else { return Self(Vec::new()) };
        let numbers = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(gaps(numbers.filter(|&number| !is_closed_by_exec(number))))
    }

    /// Has exec close all of them, as they are now.
    pub fn close_on_exec(&self) {
        self.0.iter().for_each(ffi::close_on_exec);
    }
}

fn is_closed_by_exec(number: u32) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    // What is gone by now was the folder's own.
    flags.is_none_or(|flags| flags & nix::libc::O_CLOEXEC as u32 != 0)
}

/// The ranges from 3 on that hold none of these.
fn gaps(kept: impl Iterator<Item = u32>) -> Vec<RangeInclusive<u32>> {
    let mut kept: Vec<u32> = kept.filter(|&number| number > 2).collect();
    kept.sort_unstable();
    kept.dedup();
    let starts = std::iter::once(3).chain(kept.iter().map(|number| number + 1));
    let ends = kept.iter().map(|number| number - 1).chain(std::iter::once(u32::MAX));
    starts.zip(ends).map(|(start, end)| start..=end).filter(|range| !range.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_any_it_is_all_from_three_on() {
        assert_eq!(gaps([0, 1, 2].into_iter()), [3..=u32::MAX]);
        assert_eq!(gaps([3, 5].into_iter()), [4..=4, 6..=u32::MAX]);
    }

    proptest! {
        #[test]
        fn each_number_is_kept_or_in_one_range(kept in prop::collection::vec(0..20u32, 0..10), number in 3..30u32) {
            let ranges = gaps(kept.iter().copied());
            let found = ranges.iter().filter(|range| range.contains(&number)).count();
            prop_assert_eq!(found, usize::from(!kept.contains(&number)));
        }
    }
}
