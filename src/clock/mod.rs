//! Time: durations and points in time as people write them, when to try again, and what time it is.

pub(crate) mod backoff;
pub(crate) mod duration;
pub(crate) mod rate;
pub(crate) mod source;
pub(crate) mod time;

/// The time now, in milliseconds since the epoch; 0 where the system's clock is before it.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// A number from 0 up to 1, for a backoff: from the randomness that the standard library seeds its maps with.
pub(crate) fn random() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let bits = std::hash::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
