//! Waiting for a condition outside of this process, with a limit.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

/// The time between two checks.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a pipe is full; this is its end for writing.
pub fn is_full(pipe: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::OUT)];
    matches!(rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
}

/// Checks until the condition is true; fails, naming `what`, when `limit` has passed.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, limit, || holds().then_some(()));
}

/// Checks until there is a value, and returns it; fails, naming `what`, when `limit` has passed.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(PAUSE);
    }
}
