//! Waiting for a condition of the world outside, with a limit.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a pipe, of which this is the end that is written to, takes nothing more.
pub fn is_full(pipe: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::OUT)];
    matches!(rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
}

/// Looks until the condition holds; fails, naming `what`, when `limit` has passed.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, limit, || holds().then_some(()));
}

/// Looks until there is something, and gives it; fails, naming `what`, when `limit` has passed.
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
