//! stdout as a good citizen of the pipe: buffered while busy, flushed when idle, watched for its reader.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::descriptors::stdout_was_closed;

/// Bytes that are gathered before they are written while records keep coming.
const CHUNK: usize = 256 * 1024;
/// Written at once to what has a reader: one that is slower than this in the time for closing stands still.
const PIECE: usize = 16 * 1024;

/// stdout with a buffer of its own: nothing is written behind the caller's back,
/// so that what is committed can wait for what is flushed.
pub struct Output {
    file: File,
    buffer: Vec<u8>,
    terminal: bool,
    /// Written at once.
    piece: usize,
    writes: Writes,
}

/// Whether a write is under way, for another thread to see. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Writes(Arc<AtomicU64>);

/// How often [`Writes::await_hang`] looks.
const LOOK: Duration = Duration::from_millis(50);

impl Writes {
    /// Odd while one is.
    fn turn(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns once a single write has not ended for so long.
    pub fn await_hang(&self, limit: Duration) {
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
    pub fn stdout() -> anyhow::Result<Self> {
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
    pub fn to_file(file: File) -> Self {
        Self { file, buffer: Vec::new(), terminal: false, piece: usize::MAX, writes: Writes::default() }
    }

    /// What tells that a write hangs.
    pub fn writes(&self) -> Writes {
        self.writes.clone()
    }

    /// Whether a person looks at it: control bytes are escaped then.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Where to append; call [`Output::relieve`] after each record.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes out if enough has gathered; says whether it did, and so nothing is held back.
    pub fn relieve(&mut self) -> io::Result<bool> {
        if self.buffer.len() < CHUNK {
            return Ok(false);
        }
        self.flush()?;
        Ok(true)
    }

    /// Writes out all that was appended. After an error nothing counts as written.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
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

    /// Whether the reader at the other end is gone.
    pub fn is_closed(&self) -> bool {
        is_closed(&self.file)
    }
}

/// Whether the reader at the other end of a pipe or socket is gone, asked without writing.
pub fn is_closed(stdout: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // A pipe says the one, a socket the other.
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// That this process was started with a stdout. Without one, what is written goes nowhere in silence:
/// Rust's runtime puts `/dev/null` there.
pub fn is_there() -> anyhow::Result<()> {
    ensure!(
        !stdout_was_closed(),
        "stdout is closed: nothing was done (>/dev/null throws away what is printed)"
    );
    Ok(())
}

/// Writes all of it, and waits where stdout, which is shared with whoever made it so, does not block.
pub fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                // A signal ends the waiting early, which is harmless.
                let _ = poll(&mut [PollFd::new(file, PollFlags::OUT)], None);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A line of a listing or an answer to stdout, for commands that print little.
pub fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    is_there()?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()).context("write stdout")
}
