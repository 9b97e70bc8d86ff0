//! The commands' stdout on kq's own: each piece whole, a record done only after its piece is out.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::completion::Printed;
use super::shared::{Shared, StopReason};
use crate::descriptors::write_all;
use crate::lock::Lock;
use crate::terminal::live::Live;

/// kq's stdout, for one piece at a time. It has no buffer: a record waits for its piece.
pub(super) struct Printer {
    /// `None` once a write failed.
    stdout: Lock<Option<File>>,
    live: Option<&'static Live>,
    shared: Arc<Shared>,
}

impl Printer {
    /// A printer that tells this worker of the first piece that can't be written.
    pub(super) fn start(shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned().context("open stdout")?;
        Ok(Self {
            stdout: Lock::new(Some(File::from(stdout))),
            live: shared.log.live().filter(|live| live.holds_stdout()),
            shared: Arc::clone(shared),
        })
    }

    /// Writes one piece. It waits as long as the reader of stdout does.
    pub(super) fn print(&self, piece: &[u8]) -> Printed {
        // The command's stderr comes before its stdout.
        self.shared.log.flush();
        let mut stdout = self.stdout.lock();
        let Some(file) = stdout.as_mut() else { return Printed::Lost };
        let outcome = match self.live {
            None => write_all(file, piece),
            // A terminal: past the live line.
            Some(live) => live.past(!piece.ends_with(b"\n"), || write_all(file, piece)),
        };
        self.note(outcome, &mut stdout)
    }

    /// The same from a task. To move other tasks to another thread for the time is expensive, and done
    /// only where the reader of stdout is behind.
    pub(super) fn print_from_task(&self, piece: &[u8]) -> Printed {
        let free = if self.live.is_none() { self.stdout.try_lock() } else { None };
        let Some(mut stdout) = free else {
            return tokio::task::block_in_place(|| self.print(piece));
        };
        let Some(file) = stdout.as_mut() else { return Printed::Lost };
        let mut rest = piece;
        let outcome = loop {
            // So much never waits where poll says that something can be written: POSIX, pipe(7).
            let next = &rest[..rest.len().min(PIPE_BUF)];
            if next.is_empty() {
                break Ok(());
            }
            if !can_write(file) {
                break tokio::task::block_in_place(|| write_all(file, rest));
            }
            match file.write(next) {
                Ok(written) => rest = &rest[written..],
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(e) => break Err(e),
            }
        };
        self.note(outcome, &mut stdout)
    }

    fn note(&self, outcome: io::Result<()>, stdout: &mut Option<File>) -> Printed {
        if let Err(e) = outcome {
            self.shared.stop(stop_for(&e));
            *stdout = None;
        }
        if stdout.is_some() { Printed::Delivered } else { Printed::Lost }
    }
}

/// What is written to a pipe in one piece.
const PIPE_BUF: usize = 4096;

fn can_write(file: &File) -> bool {
    let mut fds = [PollFd::new(file, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
}

/// What a failed write to stdout means for the worker.
fn stop_for(e: &io::Error) -> StopReason {
    if e.kind() == io::ErrorKind::BrokenPipe {
        return StopReason::Closed;
    }
    StopReason::Failed(format!(
        "write to stdout: {e} (the records whose output was not written are not committed)"
    ))
}
