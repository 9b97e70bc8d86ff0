//! Lines to stderr from a thread of its own, so that no other thread blocks where stderr is not read.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use crate::lock::{Condition, Guard, Lock};
use crate::terminal::live::Live;

/// How much may wait to be written.
const LINES: usize = 1024;
const BYTES: usize = 256 << 10;
/// A line that can be dropped waits for room while no write has taken so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// The limit of a write at the end: after a longer one, stderr counts as not read.
const READ_IN: Duration = Duration::from_millis(200);

/// The queue of lines for stderr. Its creator starts the thread that runs [`Writer::serve`].
pub(super) struct Writer {
    stderr: File,
    live: Option<&'static Live>,
    queue: Lock<Queue>,
    changed: Condition,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines for which there was no room.
    dropped: u64,
    /// A line is being written since then.
    writing: Option<Instant>,
    /// Lines taken and lines written, from the start on.
    taken: u64,
    written: u64,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl Queue {
    fn has_room(&self) -> bool {
        self.lines.len() < LINES && self.bytes < BYTES
    }

    fn push(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.taken += 1;
        self.lines.push_back(line);
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        if self.dropped > 0 && self.has_room() {
            // It stands after the lines that were queued before the dropped ones.
            let count = std::mem::take(&mut self.dropped);
            self.push(format!("kq: {count} lines left out: stderr was not read\n").into_bytes());
        }
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }
}

impl Writer {
    /// A writer to stderr, past this live line.
    pub(super) fn new(stderr: File, live: Option<&'static Live>) -> Self {
        Self { stderr, live, queue: Lock::default(), changed: Condition::default() }
    }

    fn queue(&self) -> Guard<'_, Queue> {
        self.queue.lock()
    }

    fn wait<'a>(&self, queue: Guard<'a, Queue>, until: Instant) -> Guard<'a, Queue> {
        let left = until.saturating_duration_since(Instant::now());
        self.changed.wait_for(queue, left)
    }

    /// Writes lines for as long as the process lives.
    pub(super) fn serve(&self) -> ! {
        let mut queue = self.queue();
        loop {
            let Some(line) = queue.pop() else {
                queue = self.changed.wait(queue);
                continue;
            };
            queue.writing = Some(Instant::now());
            drop(queue);
            // Where stderr is closed, no reader misses the line.
            let _ = write(&self.stderr, self.live, &line);
            queue = self.queue();
            queue.writing = None;
            queue.written += 1;
            self.changed.notify_all();
        }
    }

    /// Takes a line that is dropped, and counted, while stderr is not read.
    pub(super) fn offer(&self, line: Vec<u8>) {
        let mut queue = self.queue();
        while !queue.has_room() {
            let deadline = queue.writing.unwrap_or_else(Instant::now) + PATIENCE;
            if Instant::now() >= deadline {
                queue.dropped += 1;
                return;
            }
            queue = self.wait(queue, deadline);
        }
        self.push(queue, line);
    }

    /// Takes a line once there is room for it.
    pub(super) fn send(&self, line: Vec<u8>) {
        let mut queue = self.queue();
        while !queue.has_room() {
            queue = self.changed.wait(queue);
        }
        self.push(queue, line);
    }

    /// Whether a line would be taken at once.
    pub(super) fn has_room(&self) -> bool {
        self.queue().has_room()
    }

    fn push(&self, mut queue: Guard<'_, Queue>, line: Vec<u8>) {
        let was_empty = queue.lines.is_empty();
        queue.push(line);
        drop(queue);
        if was_empty {
            self.changed.notify_all();
        }
    }

    /// Waits until all lines that were taken so far are written; false where stderr is not read.
    pub(super) fn flush(&self) -> bool {
        let began = Instant::now();
        let mut queue = self.queue();
        let taken = queue.taken;
        while queue.written < taken {
            let deadline = queue.writing.map_or(began + PATIENCE, |since| since + READ_IN);
            if Instant::now() >= deadline.min(began + PATIENCE) {
                return false;
            }
            queue = self.wait(queue, deadline.min(began + PATIENCE));
        }
        true
    }
}

/// One whole line in one write, past the live line where there is one.
pub(super) fn write(mut to: impl io::Write, live: Option<&Live>, text: &[u8]) -> io::Result<()> {
    match live {
        None => to.write_all(text),
        Some(live) => live.line(|| to.write_all(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::os::fd::OwnedFd;

    #[test]
    fn lines_that_are_not_read_are_dropped_and_counted_and_the_rest_keeps_its_order() {
        let (reader, stderr) = io::pipe().unwrap();
        let writer: &Writer = Box::leak(Box::new(Writer::new(OwnedFd::from(stderr).into(), None)));
        std::thread::spawn(|| writer.serve());
        writer.send(b"0\n".to_vec());
        assert!(writer.flush());
        let long = "x".repeat(1000);
        let mut sent = 0;
        while writer.queue().dropped < 3 {
            sent += 1;
            writer.offer(format!("{sent} {long}\n").into_bytes());
        }
        assert!(!writer.flush());
        let lines = BufReader::new(reader).lines().map(Result::unwrap);
        let read: Vec<String> = lines.take(sent - 3 + 2).collect();
        let numbers: Vec<usize> =
            read[..sent - 2].iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..=sent - 3).collect::<Vec<_>>());
        assert_eq!(read.last().unwrap(), "kq: 3 lines left out: stderr was not read");
    }
}
