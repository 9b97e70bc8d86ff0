//! Our ends of a child's pipes: its input is written and both outputs are read as they move.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::launcher::Exit;
use super::{MAX_OUTPUT, News, STDERR_TAIL};

/// What a pipe holds by default, and what it holds at most where the user is not privileged.
const PIPE: usize = 64 << 10;
const MAX_PIPE: usize = 1 << 20;
/// A line of stderr is passed on in pieces of this size at most.
const STDERR_LINE: usize = 8192;
/// Read at once.
const READ: usize = 8192;
/// How often is looked whether a child has ended, where the kernel has nothing that tells.
const LOOK: Duration = Duration::from_millis(5);

/// Our ends of a child's pipes; `None` once they are closed.
pub(super) struct Pipes<'a> {
    pub writer: Option<PipeWriter>,
    /// Not written yet.
    pub rest: &'a [u8],
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub printed: Vec<u8>,
    pub said: Lines,
}

impl Pipes<'_> {
    /// Whether the child's outputs are. Input that it did not read is dropped.
    pub(super) fn are_at_their_end(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Waits until a pipe can be moved on or the child has ended, and does it. True where it has ended.
    pub(super) fn turn(
        &mut self,
        exit: Option<&Exit>,
        wait: Duration,
        hear: &mut impl FnMut(News<'_>),
    ) -> bool {
        let exit_fd = exit.and_then(|exit| exit.fd.as_ref());
        let wait = if exit.is_some() && exit_fd.is_none() { wait.min(LOOK) } else { wait };
        let ready = {
            let sources = [
                (self.writer.as_ref().map(AsFd::as_fd), PollFlags::OUT),
                (self.stdout.as_ref().map(AsFd::as_fd), PollFlags::IN),
                (self.stderr.as_ref().map(AsFd::as_fd), PollFlags::IN),
                (exit_fd.map(AsFd::as_fd), PollFlags::IN),
            ];
            let mut places = [usize::MAX; 4];
            let mut fds = Vec::with_capacity(4);
            for (place, (fd, flags)) in places.iter_mut().zip(sources) {
                if let Some(fd) = fd {
                    *place = fds.len();
                    fds.push(PollFd::from_borrowed_fd(fd, flags));
                }
            }
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            // A signal ends the waiting early, which is harmless.
            let _ = poll(&mut fds, Some(&wait));
            places.map(|place| fds.get(place).map_or(PollFlags::empty(), PollFd::revents))
        };
        if !ready[0].is_empty() {
            self.feed();
        }
        if !ready[1].is_empty() {
            let printed = &mut self.printed;
            drain(&mut self.stdout, ready[1], printed, |printed| printed.len() <= MAX_OUTPUT);
        }
        if !ready[2].is_empty() {
            let mut buffer = Vec::new();
            drain(&mut self.stderr, ready[2], &mut buffer, |buffer| {
                self.said.push(buffer, |line| hear(News::Stderr(line)));
                buffer.clear();
                true
            });
        }
        !ready[3].is_empty() || (exit_fd.is_none() && exit.is_some_and(Exit::has_come))
    }

    /// Writes what the pipe takes.
    fn feed(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        match writer.write(self.rest) {
            Ok(written) => self.rest = &self.rest[written..],
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
            // Nobody reads it.
            Err(_) => self.rest = &[],
        }
        if self.rest.is_empty() {
            self.writer = None;
        }
    }
}

/// Reads what is there onto the end of `to`, and to the end where the other side has gone;
/// `more` says after each piece whether to go on.
fn drain(
    from: &mut Option<OwnedFd>,
    ready: PollFlags,
    to: &mut Vec<u8>,
    mut more: impl FnMut(&mut Vec<u8>) -> bool,
) {
    while let Some(fd) = from {
        to.reserve(READ);
        match rustix::io::read(&*fd, spare_capacity(to)) {
            Ok(0) => *from = None,
            Ok(_) if !more(to) || !ready.contains(PollFlags::HUP) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => *from = None,
        }
    }
}

/// A pipe that holds `input`, and what is left to write where that is too much for a pipe.
pub(super) fn filled_pipe(input: &[u8]) -> io::Result<(PipeReader, PipeWriter, &[u8])> {
    let (reader, mut writer) = io::pipe()?;
    // More than the default of 64 KiB may be refused: the rest is written while the child runs.
    #[cfg(target_os = "linux")]
    if input.len() > PIPE {
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, input.len().min(MAX_PIPE));
    }
    rustix::io::ioctl_fionbio(&writer, true)?;
    let mut rest = input;
    while !rest.is_empty() {
        match writer.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok((reader, writer, rest))
}

/// Cuts a stream into lines, hands each over, and keeps the end of it.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// The last [`STDERR_TAIL`] bytes of the stream.
    pub tail: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(STDERR_TAIL);
        self.tail.drain(..excess);
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= STDERR_LINE {
                self.hand_over(&mut each);
            }
        }
    }

    /// The stream ended: a last line without a newline is a line.
    pub(crate) fn finish(&mut self, each: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.hand_over(each);
        }
    }

    fn hand_over(&mut self, mut each: impl FnMut(&[u8])) {
        each(self.partial.strip_suffix(b"\n").unwrap_or(&self.partial));
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_input_is_whole_before_the_child_starts_and_the_rest_of_a_huge_one_follows() {
        for (length, fits) in [(0, true), (7, true), (PIPE, true), (1_000_000, true), (3_000_000, false)] {
            let input = vec![b'x'; length];
            let (mut reader, writer, rest) = filled_pipe(&input).unwrap();
            assert_eq!(rest.is_empty(), fits, "{length}");
            // As the death of this process would.
            drop(writer);
            let mut read = Vec::new();
            io::Read::read_to_end(&mut reader, &mut read).unwrap();
            assert_eq!(read.len() + rest.len(), length);
        }
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_the_stream_is_cut(
            text in "[ab\n]{0,60}",
            cuts in prop::collection::vec(0..60usize, 0..6),
        ) {
            let mut seen = Vec::new();
            let mut lines = Lines::default();
            let mut each = |line: &[u8]| seen.push(String::from_utf8(line.to_vec()).unwrap());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            for pair in cuts.windows(2) {
                lines.push(&text.as_bytes()[pair[0]..pair[1]], &mut each);
            }
            lines.finish(&mut each);
            prop_assert_eq!(&lines.tail, text.as_bytes());
            prop_assert_eq!(seen, text.lines().map(str::to_owned).collect::<Vec<_>>());
        }
    }
}
