//! Time: durations and points in time as people write them, when to try again, and what time it is.

pub mod backoff;
pub mod duration;
pub mod source;
pub mod time;

/// The time now, in milliseconds since the epoch; 0 where the system's clock is before it.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
