//! The allocator's settings, which only unsafe code can reach.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay` of mimalloc 2: for how many milliseconds memory that was freed stays with the process.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    #[cfg(test)]
    fn mi_option_get(option: c_int) -> c_long;
}

/// Gives memory back to the system as soon as it is free. The allocator waits by default, and looks only when the
/// thread that had the memory asks for more. A server of many threads, each of which has had a long body, would so hold
/// several times what it needs.
pub(crate) fn give_back_at_once() {
    // SAFETY: numbers only; the allocator takes them at any time, from any thread.
    unsafe { mi_option_set(PURGE_DELAY, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: numbers only.
        let get = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 10, "its default");
        give_back_at_once();
        assert_eq!(get(), 0);
    }
}
