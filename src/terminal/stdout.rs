//! stdout in a pipe: buffered while records come, flushed when none waits, and watched for a reader that closes it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::descriptors::{stdout_was_closed, write_all};
use crate::stderr;

/// Bytes that are gathered before they are written while records keep coming.
const CHUNK: usize = 256 * 1024;
/// The size of one write to a pipe or terminal: a reader that does not take this in the time for closing
/// counts as one that does not read.
const PIECE: usize = 16 * 1024;

/// stdout with a buffer of its own. It writes only when the caller asks, so that a
/// commit can wait for the flush before it.
pub(crate) struct Output {
    file: File,
    buffer: Vec<u8>,
    terminal: bool,
    /// The size of one write.
    piece: usize,
    writes: Writes,
}

/// Whether a write is under way, for another thread to see. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes(Arc<AtomicU64>);

/// How often [`Writes::await_hang`] looks.
const LOOK: Duration = Duration::from_millis(50);

impl Writes {
    /// Called before and after each write: the number is odd while one is under way.
    fn turn(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns once a single write has not ended for so long.
    pub(crate) fn await_hang(&self, limit: Duration) {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let now = self.0.load(Ordering::Relaxed);
            if now != seen || now.is_multiple_of(2) {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() >= limit {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Output {
    /// This process's stdout.
    pub(crate) fn stdout() -> anyhow::Result<Self> {
        is_there()?;
        let stdout = io::stdout();
        let file = File::from(stdout.as_fd().try_clone_to_owned().context("open stdout")?);
        let buffer = Vec::with_capacity(CHUNK + 64 * 1024);
        let has_reader = !file.metadata().is_ok_and(|metadata| metadata.is_file());
        let piece = if has_reader { PIECE } else { usize::MAX };
        Ok(Self { file, buffer, terminal: stdout.is_terminal(), piece, writes: Writes::default() })
    }

    /// A file in the place of stdout.
    #[cfg(test)]
    pub(crate) fn to_file(file: File) -> Self {
        Self { file, buffer: Vec::new(), terminal: false, piece: usize::MAX, writes: Writes::default() }
    }

    /// Shows whether a write hangs.
    pub(crate) fn writes(&self) -> Writes {
        self.writes.clone()
    }

    /// Whether stdout is a terminal: control bytes are escaped then.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Where to append; call [`Output::relieve`] after each record.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the buffer out if it is large enough; returns whether it did, so that the buffer is empty.
    pub(crate) fn relieve(&mut self) -> io::Result<bool> {
        if self.buffer.len() < CHUNK {
            return Ok(false);
        }
        self.flush()?;
        Ok(true)
    }

    /// Writes out all that was appended. After an error nothing counts as written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            stderr::flush();
            for piece in self.buffer.chunks(self.piece) {
                self.writes.turn();
                let outcome = write_all(&self.file, piece);
                self.writes.turn();
                outcome?;
            }
            self.buffer.clear();
            if self.buffer.capacity() > 8 * CHUNK {
                self.buffer.shrink_to(2 * CHUNK);
            }
        }
        Ok(())
    }

    /// Whether the reader at the other end has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        is_closed(&self.file)
    }
}

/// Whether the reader at the other end of a pipe or socket has closed it, checked without writing.
pub(crate) fn is_closed(stdout: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // A pipe reports ERR, a socket HUP.
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// An error if this process was started without a stdout. All output would be lost without a message then:
/// Rust's runtime opens `/dev/null` in its place.
pub(crate) fn is_there() -> anyhow::Result<()> {
    ensure!(!stdout_was_closed(), "stdout is closed: nothing was done (>/dev/null discards what is printed)");
    Ok(())
}

/// A line of a listing or an answer to stdout, for commands that print little.
pub(crate) fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    is_there()?;
    stderr::flush();
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()).context("write stdout")
}
