//! Threads where the system may have no more of them: it is an error in words, and never a panic.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::thread::Builder;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::lock::Lock;

/// The stack of a thread that only has to be there.
const STACK: usize = 64 << 10;
/// How long a thread that was waited for may still count for the system.
const GONE: Duration = Duration::from_millis(100);

/// What a person can do where there are no more threads.
pub(crate) const NO_MORE: &str =
    "no more threads can be started: raise the limit (ulimit -u, pids.max of the cgroup)";

/// Starts a thread that nobody waits for.
pub(crate) fn start(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    Builder::new().name(name.into()).spawn(run).map(drop).map_err(|e| refused(&e))
}

/// The error of a thread that could not be started.
pub(crate) fn refused(e: &io::Error) -> anyhow::Error {
    anyhow!("{NO_MORE}: {e}")
}

/// An error where the system has not got so many threads now. It starts them all and lets them end again: code
/// that can't be told that a thread is missing, which hangs or ends the process then, is called after that.
pub(crate) fn ensure(count: usize) -> anyhow::Result<()> {
    let before = alive();
    let gate = Lock::new(());
    let started = std::thread::scope(|scope| {
        let closed = gate.lock();
        let mut threads = Vec::with_capacity(count);
        let all = (0..count).try_for_each(|_| {
            let thread = Builder::new().stack_size(STACK).spawn_scoped(scope, || drop(gate.lock()))?;
            threads.push(thread);
            Ok(())
        });
        drop(closed);
        for thread in threads {
            let _ = thread.join();
        }
        all
    });
    // Such a thread counts for a moment longer than it can be joined.
    let until = Instant::now() + GONE;
    while before.is_some() && alive() > before && Instant::now() < until {
        std::thread::yield_now();
    }
    started.map_err(|e| refused(&e))
}

/// How many threads this process has, where the system shows it.
fn alive() -> Option<u64> {
    std::fs::metadata("/proc/self/task").ok().map(|tasks| tasks.nlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_threads_can_always_be_had() {
        ensure(8).unwrap();
        ensure(0).unwrap();
    }

    #[test]
    fn a_thread_that_cannot_be_started_is_an_error_with_what_to_do() {
        let e = refused(&io::Error::from_raw_os_error(rustix::io::Errno::AGAIN.raw_os_error()));
        assert!(e.to_string().contains("ulimit -u") && e.to_string().contains("pids.max"), "{e}");
    }
}
