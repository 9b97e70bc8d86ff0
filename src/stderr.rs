//! Lines to stderr from a thread of its own, so that no other thread blocks where stderr is not read.

mod form;
mod line;
mod place;
mod repeats;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::now_ms;
use crate::descriptors::write_all;
use crate::lock::{Condition, Guard, Lock};
use repeats::{Fate, Repeats};

pub(crate) use form::{LogFormat, Runs};
pub(crate) use line::{Form, Level, Line};

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

/// How this process's lines are written.
static FORM: OnceLock<Form> = OnceLock::new();

/// Settles the form of this process's lines, before the first one.
pub(crate) fn set_form(format: LogFormat, runs: Runs) {
    let journal = std::env::var("JOURNAL_STREAM").ok();
    let _ = FORM.set(form::of_command(format, runs, &io::stderr(), journal.as_deref()));
}

/// Whether this process's lines are for a program: then nothing else may be on stderr.
pub(crate) fn is_json() -> bool {
    FORM.get() == Some(&Form::Json)
}

/// This process's stderr.
pub(crate) fn writer() -> &'static Writer {
    let form = || FORM.get().copied().unwrap_or_default();
    STDERR.get_or_init(|| Writer::start(io::stderr(), form(), Equal::Count))
}

/// Writes the error that ends the process.
pub(crate) fn last_error(message: String) {
    writer().keep(&Line::new(Level::Error, message));
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

/// Says how many lines were counted and not written, for an end that does not [`finish`].
pub(crate) fn tell_counts() {
    if let Some(writer) = STDERR.get() {
        writer.tell_counts();
    }
}

/// Waits until all lines are written: for as long as that takes, until [`hurry`] bounds the wait. False where
/// some are not written.
pub(crate) fn finish() -> bool {
    tell_counts();
    STDERR.get().is_none_or(|writer| writer.wait_until_written(Waits::UntilHurried))
}

/// What becomes of equal lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Equal {
    /// Those of the last seconds are counted.
    Count,
    /// Each is written: for a test that moves the clock by which they are said.
    #[cfg(test)]
    Write,
}

/// Writes one whole line past what else is on the terminal.
type Past = Box<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// The queue of lines for stderr, and the thread that writes them.
pub(crate) struct Writer {
    to: Box<dyn AsFd + Send + Sync>,
    form: Form,
    equal: Equal,
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
    repeats: Repeats,
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

    fn pop(&mut self, form: Form) -> Option<Vec<u8>> {
        if self.has_room() {
            self.tell_dropped(form);
            let now = Instant::now();
            if self.repeats.due().is_some_and(|due| now >= due) {
                let counts = self.repeats.tell(now);
                self.push_all(&counts, form);
            }
        }
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }

    /// Says how many lines were dropped, after the lines that were queued before those.
    fn tell_dropped(&mut self, form: Form) {
        if self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            let line = Line::new(Level::Error, format!("{count} lines left out: stderr was not read"));
            self.push(line.bytes(form, now_ms()));
        }
    }

    fn push_all(&mut self, lines: &[Line], form: Form) {
        for line in lines {
            self.push(line.bytes(form, now_ms()));
        }
    }

    /// Whether the line that is being written is not taken.
    fn is_stuck(&self) -> bool {
        self.writing.is_some_and(|since| since.elapsed() >= READ_IN)
    }
}

impl Writer {
    /// A writer to this descriptor, with its thread. Both live as long as the process.
    pub(crate) fn start(to: impl AsFd + Send + Sync + 'static, form: Form, equal: Equal) -> &'static Self {
        let writer: &'static Self = Box::leak(Box::new(Self {
            to: Box::new(to),
            form,
            equal,
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
            let Some(line) = queue.pop(self.form) else {
                queue = match queue.repeats.due() {
                    Some(due) => self.wait(queue, due),
                    None => self.changed.wait(queue),
                };
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

    /// Takes a line of kq that is dropped, and counted, while stderr is not read. One that equals a line of the
    /// last seconds is counted too, and not written.
    pub(crate) fn say(&self, line: &Line) {
        let fate = match self.equal {
            Equal::Count => self.queue.lock().repeats.take(line, Instant::now()),
            #[cfg(test)]
            Equal::Write => Fate::Write,
        };
        match fate {
            Fate::Write => self.offer(line.bytes(self.form, now_ms())),
            // The thread wakes when the count is due.
            Fate::CountFirst => self.changed.notify_all(),
            Fate::Count => {}
        }
    }

    /// Takes a line of a command, after the place of its record or the name of its process, once there is room
    /// for it: see [`Writer::send`].
    pub(crate) fn pass_on(&self, source: &str, said: &[u8]) {
        self.send(line::passed_on(source, said, self.form, now_ms()));
    }

    fn offer(&self, line: Vec<u8>) {
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
    fn send(&self, line: Vec<u8>) {
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

    /// Takes one of the few last lines of a command, with room or without: it is never dropped, and never counted
    /// with others like it.
    pub(crate) fn keep(&self, line: &Line) {
        self.tell_counts();
        let mut queue = self.queue.lock();
        queue.tell_dropped(self.form);
        self.push(queue, line.bytes(self.form, now_ms()));
    }

    /// Says how many lines were counted and not written, with room or without.
    fn tell_counts(&self) {
        let counts = self.queue.lock().repeats.tell_all(Instant::now());
        for line in counts {
            self.push(self.queue.lock(), line.bytes(self.form, now_ms()));
        }
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
            queue.tell_dropped(self.form);
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
mod tests;
