//! Lines to stderr from a thread of its own, so that no other thread blocks where stderr is not read.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::descriptors::write_all;
use crate::lock::{Condition, Guard, Lock};

/// How much may wait to be written.
const LINES: usize = 1024;
const BYTES: usize = 256 << 10;
/// A line that can be dropped waits for room while no write has taken so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// The limit of a write at the end: after a longer one, stderr counts as not read.
const READ_IN: Duration = Duration::from_millis(200);

/// This process's stderr, from the first line on.
static STDERR: OnceLock<&'static Writer> = OnceLock::new();
/// Whether the process is to end soon.
static HURRIED: AtomicBool = AtomicBool::new(false);

/// This process's stderr.
pub(crate) fn writer() -> &'static Writer {
    STDERR.get_or_init(|| Writer::start(io::stderr()))
}

/// Waits, for a moment at most, until the lines so far are written: they stand before what follows on stdout.
pub(crate) fn flush() {
    if let Some(writer) = STDERR.get() {
        writer.flush();
    }
}

/// From now on nobody waits for a stderr that is not read.
pub(crate) fn hurry() {
    HURRIED.store(true, Ordering::SeqCst);
    if let Some(writer) = STDERR.get() {
        // With the lock, no thread is between its look at the flag and its wait.
        let _queue = writer.queue.lock();
        writer.changed.notify_all();
    }
}

/// Waits until all lines are written: for as long as that takes, until [`hurry`] bounds the wait. False where
/// some are not written.
pub(crate) fn finish() -> bool {
    STDERR.get().is_none_or(|writer| writer.wait_until_written(Waits::UntilHurried))
}

/// Writes one whole line past what else is on the terminal.
type Past = Box<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// The queue of lines for stderr, and the thread that writes them.
pub(crate) struct Writer {
    to: Box<dyn AsFd + Send + Sync>,
    past: OnceLock<Past>,
    queue: Lock<Queue>,
    changed: Condition,
    /// Whether there is a thread: at a limit of the system there may be none.
    has_thread: OnceLock<bool>,
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

/// How long the written lines are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Briefly,
    UntilHurried,
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
        if self.has_room() {
            self.tell_dropped();
        }
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }

    /// Says how many lines were dropped, after the lines that were queued before those.
    fn tell_dropped(&mut self) {
        if self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            self.push(format!("kq: {count} lines left out: stderr was not read\n").into_bytes());
        }
    }

    /// Whether the line that is being written is not taken.
    fn is_stuck(&self) -> bool {
        self.writing.is_some_and(|since| since.elapsed() >= READ_IN)
    }
}

impl Writer {
    /// A writer to this descriptor, with its thread. Both live as long as the process.
    pub(crate) fn start(to: impl AsFd + Send + Sync + 'static) -> &'static Self {
        let writer: &'static Self = Box::leak(Box::new(Self {
            to: Box::new(to),
            past: OnceLock::new(),
            queue: Lock::default(),
            changed: Condition::default(),
            has_thread: OnceLock::new(),
        }));
        let thread = std::thread::Builder::new().name("stderr".into()).spawn(|| writer.serve());
        let _ = writer.has_thread.set(thread.is_ok());
        writer
    }

    /// From now on `past` writes the lines.
    pub(crate) fn write_past(&self, past: Past) {
        let _ = self.past.set(past);
    }

    fn wait<'a>(&self, queue: Guard<'a, Queue>, until: Instant) -> Guard<'a, Queue> {
        let left = until.saturating_duration_since(Instant::now());
        self.changed.wait_for(queue, left)
    }

    /// Writes lines for as long as the process lives.
    fn serve(&self) -> ! {
        let mut queue = self.queue.lock();
        loop {
            let Some(line) = queue.pop() else {
                queue = self.changed.wait(queue);
                continue;
            };
            queue.writing = Some(Instant::now());
            drop(queue);
            self.write(&line);
            queue = self.queue.lock();
            queue.writing = None;
            queue.written += 1;
            self.changed.notify_all();
        }
    }

    /// One whole line in one write, so that lines of several programs never mix.
    fn write(&self, line: &[u8]) {
        // Where stderr is closed, no reader misses the line.
        let _ = match self.past.get() {
            Some(past) => past(line),
            None => write_all(&*self.to, line),
        };
    }

    /// Takes a line that is dropped, and counted, while stderr is not read.
    pub(crate) fn offer(&self, line: Vec<u8>) {
        let mut queue = self.queue.lock();
        while !queue.has_room() {
            let deadline = queue.writing.unwrap_or_else(Instant::now) + PATIENCE;
            if HURRIED.load(Ordering::SeqCst) || Instant::now() >= deadline {
                queue.dropped += 1;
                return;
            }
            queue = self.wait(queue, deadline);
        }
        self.push(queue, line);
    }

    /// Takes a line once there is room for it. After a [`hurry`] it is dropped, and counted, while stderr is not
    /// read.
    pub(crate) fn send(&self, line: Vec<u8>) {
        let mut queue = self.queue.lock();
        while !queue.has_room() {
            if !HURRIED.load(Ordering::SeqCst) {
                queue = self.changed.wait(queue);
                continue;
            }
            if queue.is_stuck() {
                queue.dropped += 1;
                return;
            }
            queue = self.wait(queue, Instant::now() + READ_IN);
        }
        self.push(queue, line);
    }

    /// Takes one of the few last lines of a command, with room or without: it is never dropped.
    pub(crate) fn keep(&self, line: Vec<u8>) {
        let mut queue = self.queue.lock();
        queue.tell_dropped();
        self.push(queue, line);
    }

    /// Takes a picture that the next one replaces: it is left out while stderr is not read.
    pub(crate) fn draw(&self, picture: Vec<u8>) {
        let queue = self.queue.lock();
        if queue.has_room() && !queue.is_stuck() {
            self.push(queue, picture);
        }
    }

    /// Whether a line would be taken at once.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.lock().has_room()
    }

    fn push(&self, mut queue: Guard<'_, Queue>, line: Vec<u8>) {
        if self.has_thread.get() == Some(&false) {
            drop(queue);
            if self.is_writable() {
                self.write(&line);
            }
            return;
        }
        let was_empty = queue.lines.is_empty();
        queue.push(line);
        drop(queue);
        if was_empty {
            self.changed.notify_all();
        }
    }

    /// Whether stderr takes something within the time that a line waits for room.
    fn is_writable(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.to.as_fd(), PollFlags::OUT)];
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&patience)), Ok(1..))
    }

    /// Waits until all lines that were taken so far are written; false where stderr is not read.
    pub(crate) fn flush(&self) -> bool {
        self.wait_until_written(Waits::Briefly)
    }

    fn wait_until_written(&self, waits: Waits) -> bool {
        let mut bounded_since = None;
        let mut queue = self.queue.lock();
        if waits == Waits::UntilHurried {
            queue.tell_dropped();
        }
        let taken = queue.taken;
        while queue.written < taken {
            if waits == Waits::UntilHurried && !HURRIED.load(Ordering::SeqCst) {
                queue = self.changed.wait(queue);
                continue;
            }
            let latest = *bounded_since.get_or_insert_with(Instant::now) + PATIENCE;
            if queue.is_stuck() || Instant::now() >= latest {
                return false;
            }
            // A write that begins meanwhile wakes nobody.
            queue = self.wait(queue, latest.min(Instant::now() + READ_IN));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};

    #[test]
    fn lines_that_are_not_read_are_dropped_and_counted_and_the_rest_keeps_its_order() {
        let (reader, stderr) = io::pipe().unwrap();
        let writer = Writer::start(stderr);
        writer.send(b"0\n".to_vec());
        assert!(writer.flush());
        let long = "x".repeat(1000);
        let mut sent = 0;
        while writer.queue.lock().dropped < 3 {
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

    /// A writer that had to drop lines, the end that is to be read, and how many lines it dropped.
    fn overfull() -> (io::PipeReader, &'static Writer, u64) {
        let (reader, stderr) = io::pipe().unwrap();
        let writer = Writer::start(stderr);
        writer.draw(vec![b'x'; 1 << 20]);
        while writer.queue.lock().writing.is_none() {
            std::thread::yield_now();
        }
        writer.draw(vec![b'y'; BYTES]);
        while writer.queue.lock().dropped < 3 {
            writer.offer(b"more\n".to_vec());
        }
        let dropped = writer.queue.lock().dropped;
        (reader, writer, dropped)
    }

    #[test]
    fn a_last_line_is_taken_without_room_and_the_end_waits_for_it() {
        let (reader, writer, dropped) = overfull();
        writer.keep(b"kq: why\n".to_vec());
        let end = std::thread::spawn(|| writer.wait_until_written(Waits::UntilHurried));
        let lines = BufReader::new(reader).lines().map(Result::unwrap);
        let last: Vec<String> = lines.skip_while(|line| !line.contains("left out")).take(2).collect();
        let count = format!("{dropped} lines left out: stderr was not read");
        assert!(last[0].ends_with(&count) && last[1] == "kq: why", "{last:?}");
        assert!(end.join().unwrap());
    }

    #[test]
    fn the_end_waits_for_the_count_of_the_lines_that_are_left_out() {
        let (mut reader, writer, _) = overfull();
        let end = std::thread::spawn(|| {
            let is_told = writer.wait_until_written(Waits::UntilHurried);
            let queue = writer.queue.lock();
            (is_told, queue.dropped, queue.taken, queue.written)
        });
        while writer.queue.lock().dropped > 0 {
            std::thread::yield_now();
        }
        std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        assert_eq!(end.join().unwrap(), (true, 0, 3, 3));
    }

    #[test]
    fn a_picture_is_left_out_while_the_one_before_is_not_taken() {
        let (reader, stderr) = io::pipe().unwrap();
        let writer = Writer::start(stderr);
        writer.draw(vec![b'x'; 1 << 20]);
        while !writer.queue.lock().is_stuck() {
            std::thread::yield_now();
        }
        writer.draw(b"y".to_vec());
        assert_eq!(writer.queue.lock().taken, 1);
        drop(reader);
    }
}
