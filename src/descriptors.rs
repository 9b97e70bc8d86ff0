//! File descriptors: which were closed at the start, which a command inherits, and how all bytes get into one; and
//! which signals are ignored, since only unsafe code can ask for that.
//!
//! A command gets the descriptors that kq was started with, and none of kq's own. exec does not close
//! librdkafka's pipes, and each broker thread opens one when it starts.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime wait until this descriptor is readable, which nothing else reads.
pub(crate) fn await_readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: it owns the descriptor, which so stays open, and the same, until it is deregistered.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Marks the file descriptors in this range so that exec closes them. Where the kernel can't do that
/// (before Linux 5.11, and other systems) a command inherits them, and does not use them.
fn close_on_exec(range: &RangeInclusive<u32>) {
    #[cfg(target_os = "linux")]
    // SAFETY: numbers only; what is open stays so.
    unsafe {
        use nix::libc;
        libc::syscall(libc::SYS_close_range, *range.start(), *range.end(), libc::CLOSE_RANGE_CLOEXEC);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = range;
}

/// Whether stdin and stdout were closed when this process began.
static STDIN_WAS_CLOSED: AtomicBool = AtomicBool::new(false);
static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before `main`: Rust's runtime opens /dev/null in place of a standard descriptor that is closed
/// (`std::sys::pal::unix::init`), and after that the two can't be distinguished.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static NOTE_CLOSED: extern "C" fn() = note_closed;

extern "C" fn note_closed() {
    unsafe extern "C" {
        fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    }
    const F_GETFD: c_int = 1;
    for (descriptor, was_closed) in [(0, &STDIN_WAS_CLOSED), (1, &STDOUT_WAS_CLOSED)] {
        // SAFETY: F_GETFD reads a flag of the descriptor and no memory; for a closed one it fails.
        let flags = unsafe { fcntl(descriptor, F_GETFD) };
        was_closed.store(flags < 0, Ordering::Relaxed);
    }
}

/// Whether stdin was closed when this process began, as by `<&-`: reading it then gives nothing.
pub(crate) fn stdin_was_closed() -> bool {
    STDIN_WAS_CLOSED.load(Ordering::Relaxed)
}

/// Whether stdout was closed when this process began, as by `>&-`: what is written to it is then lost.
pub(crate) fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}

/// Whether this process ignores a signal: from its start, as `nohup` and a shell's `trap '' HUP` arrange, or since.
pub(crate) fn ignores(signal: c_int) -> bool {
    use nix::libc;
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call changes nothing; it fills in the present one, which is plain numbers
    // and valid where all of them are zero.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Writes all of it, without a buffer and without a lock. Another process may have made the shared descriptor
/// non-blocking: then this waits until it is writable.
pub(crate) fn write_all(to: &(impl AsFd + ?Sized), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to.as_fd(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::AGAIN) => {
                // A signal ends this wait early; the loop then tries again.
                let _ = poll(&mut [PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT)], None);
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The descriptors that kq itself opens: all numbers that were not open when it started.
#[derive(Clone, Debug)]
pub(crate) struct OwnDescriptors(Vec<RangeInclusive<u32>>);

impl OwnDescriptors {
    /// All numbers that are not open now; none where the system does not say. Call it before the first client
    /// is created.
    pub(crate) fn from_now_on() -> Self {
        let Ok(folder) = fs::read_dir("/proc/self/fd") else { return Self(Vec::new()) };
        let numbers = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(gaps(numbers.filter(|&number| !is_closed_by_exec(number))))
    }

    /// Marks all of them that are open now so that exec closes them.
    pub(crate) fn close_on_exec(&self) {
        self.0.iter().for_each(close_on_exec);
    }
}

fn is_closed_by_exec(number: u32) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    // A number that is not there any more was that of the folder itself.
    flags.is_none_or(|flags| flags & nix::libc::O_CLOEXEC as u32 != 0)
}

/// The ranges of numbers from 3 on that contain none of these.
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
    fn the_runtime_of_rust_ignores_pipe_and_nothing_else() {
        assert!(ignores(nix::libc::SIGPIPE));
        assert!(!ignores(nix::libc::SIGUSR1));
    }

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
