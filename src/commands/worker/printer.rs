//! The commands' stdout on kq's own: each piece whole, a record done only after its piece is out.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use super::shared::{Shared, Stop};
use crate::live::Live;

/// kq's stdout, for one piece at a time. It knows no buffer: a record waits for its piece.
pub struct Printer {
    /// `None` once a write failed.
    stdout: Mutex<Option<File>>,
    live: Option<&'static Live>,
    shared: Arc<Shared>,
}

impl Printer {
    /// A printer that tells this worker of the first piece that can't be written.
    pub fn start(shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned().context("open stdout")?;
        Ok(Self {
            stdout: Mutex::new(Some(File::from(stdout))),
            live: shared.log.live().filter(|live| live.holds_stdout()),
            shared: Arc::clone(shared),
        })
    }

    /// Writes one piece; true once it is out. It waits as long as whoever reads stdout does.
    pub fn print(&self, piece: &[u8]) -> bool {
        let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = stdout.as_mut() else { return false };
        let outcome = match self.live {
            None => file.write_all(piece),
            // A terminal: past the live line.
            Some(live) => live.past(!piece.ends_with(b"\n"), || file.write_all(piece)),
        };
        if let Err(e) = outcome {
            self.shared.stop(stop_for(&e));
            *stdout = None;
        }
        stdout.is_some()
    }
}

/// Whether whoever read stdout has gone: what no write would tell while nothing is written.
pub fn stdout_is_closed() -> bool {
    let stdout = io::stdout();
    let mut fds = [rustix::event::PollFd::new(&stdout, rustix::event::PollFlags::empty())];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(1..))
        && fds[0].revents().contains(rustix::event::PollFlags::ERR)
}

/// What a failed write to stdout means for the worker.
fn stop_for(e: &io::Error) -> Stop {
    if e.kind() == io::ErrorKind::BrokenPipe {
        return Stop::Closed;
    }
    Stop::Failed(format!("write to stdout: {e} (the records whose output was not written are not committed)"))
}
