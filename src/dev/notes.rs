//! What the broker says on stderr: each kind of line has a bound, however often its cause occurs.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::lock::Lock;
use crate::terminal::notes::Log;

/// The time that a bound is for.
const WINDOW: Duration = Duration::from_secs(10);
/// What one client lacks is said again after this long.
const AGAIN: Duration = Duration::from_mins(1);
/// Clients that are remembered; the bound of the kind is enough for more.
const MAX_CLIENTS: usize = 1000;

/// A kind of line. Lines of one kind share a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A connection that can't be taken.
    Connection,
    /// A connection that is closed because of what came in.
    Malformed,
    /// A file that can't be read or written.
    Storage,
    /// A topic that can't be created on first use.
    Topic,
    /// Replicas that are asked for, and not kept.
    Replicas,
    /// Compaction that is asked for, and not done.
    Compaction,
    /// What a client wants and this broker does not have.
    Lacking,
}

impl Kind {
    /// Lines in a [`WINDOW`] that are written as they come.
    fn first(self) -> u32 {
        if self == Self::Connection { 1 } else { 10 }
    }
}

/// Who reads a line: `-q` hides notes, never errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Note,
}

/// stderr, as all parts of the broker share it.
pub(crate) struct Notes {
    log: Log,
    bounds: Lock<HashMap<Kind, Bound>>,
    told: Lock<HashMap<(&'static str, String), Instant>>,
}

impl Notes {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, bounds: Lock::default(), told: Lock::default() }
    }

    /// Something that went wrong; shown even with `-q`.
    pub(crate) fn error(&self, kind: Kind, line: impl Display) {
        self.say(kind, Level::Error, line);
    }

    /// Something a person should know.
    pub(crate) fn note(&self, kind: Kind, line: impl Display) {
        self.say(kind, Level::Note, line);
    }

    /// `client` asks for something that the broker does not have. One line a client and a minute: it asks
    /// again and again.
    pub(crate) fn lacks(&self, client: &str, lack: &'static str) {
        {
            let now = Instant::now();
            let mut told = self.told.lock();
            if told.len() >= MAX_CLIENTS {
                told.retain(|_, at| now.duration_since(*at) < AGAIN);
            }
            let key = (lack, client.to_owned());
            if told.get(&key).is_some_and(|at| now.duration_since(*at) < AGAIN) {
                return;
            }
            if told.len() < MAX_CLIENTS {
                told.insert(key, now);
            }
        }
        self.error(Kind::Lacking, format_args!("client {client:?} {lack}"));
    }

    /// A line of `-v`, which has no bound.
    pub(crate) fn verbose(&self, line: impl Display) {
        self.log.verbose(1, line);
    }

    /// Whether [`Notes::verbose`] writes anything.
    pub(crate) fn is_verbose(&self) -> bool {
        self.log.shows(1)
    }

    /// Says what was left out, where it is time to.
    pub(crate) fn tick(&self) {
        let now = Instant::now();
        self.summarise(|bound| bound.is_over(now));
    }

    /// Says what was left out so far.
    pub(crate) fn end(&self) {
        self.summarise(|_| true);
    }

    fn summarise(&self, due: impl Fn(&Bound) -> bool) {
        self.bounds.lock().retain(|_, bound| {
            if !due(bound) {
                return true;
            }
            if let Some((level, line)) = bound.next_window() {
                self.write(level, line);
                return true;
            }
            false
        });
    }

    fn say(&self, kind: Kind, level: Level, line: impl Display) {
        if level == Level::Note && self.log.is_quiet() {
            return;
        }
        let line = line.to_string();
        let mut bounds = self.bounds.lock();
        let bound = bounds.entry(kind).or_insert_with(|| Bound::new(kind.first(), Instant::now()));
        if bound.takes(&line) {
            drop(bounds);
            self.write(level, line);
        } else {
            bound.leave_out(level, line);
        }
    }

    fn write(&self, level: Level, line: impl Display) {
        match level {
            Level::Error => self.log.error(line),
            Level::Note => self.log.note(line),
        }
    }
}

/// The bound of one kind: so many different lines, then one line a window that counts the others.
struct Bound {
    left: u32,
    /// The line that was written last: those that equal it are counted by the log.
    written: Option<String>,
    since: Instant,
    left_out: u64,
    last: Option<(Level, String)>,
}

impl Bound {
    fn new(left: u32, now: Instant) -> Self {
        Self { left, written: None, since: now, left_out: 0, last: None }
    }

    fn takes(&mut self, line: &str) -> bool {
        if self.written.as_deref() == Some(line) {
            return true;
        }
        let takes = self.left > 0;
        if takes {
            self.left -= 1;
            self.written = Some(line.to_owned());
        }
        takes
    }

    fn leave_out(&mut self, level: Level, line: String) {
        self.left_out += 1;
        // One of them is enough as an example: the others cost no memory.
        self.last.get_or_insert((level, line));
    }

    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= WINDOW
    }

    /// Begins the next window. None if nothing was left out in this one: the bound can be forgotten.
    fn next_window(&mut self) -> Option<(Level, String)> {
        let (level, line) = self.last.take()?;
        let more = std::mem::take(&mut self.left_out) - 1;
        self.since += WINDOW;
        self.left = 0;
        let line = if more > 0 { format!("{line} (and {more} more lines like this one)") } else { line };
        Some((level, line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _};

    /// What is written by `say`.
    fn said(say: impl FnOnce(&Notes)) -> String {
        let mut file = tempfile::tempfile().expect("file");
        let log = Log::new(false, 0).to_file(file.try_clone().expect("file"));
        say(&Notes::new(log));
        assert!(log.flush());
        let mut said = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut said)).expect("read");
        said
    }

    #[test]
    fn a_line_that_repeats_is_written_a_few_times_and_then_counted() {
        let said = said(|notes| {
            for n in 0..1000 {
                notes.error(Kind::Storage, format_args!("write t[0]: {n}"));
            }
            notes.error(Kind::Malformed, "another kind");
            notes.tick();
            notes.end();
        });
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 12, "{said}");
        assert_eq!(lines[9..11], ["kq: write t[0]: 9", "kq: another kind"]);
        assert_eq!(lines[11], "kq: write t[0]: 10 (and 989 more lines like this one)");
    }

    #[test]
    fn a_window_with_lines_left_out_is_followed_by_one_that_counts_and_a_quiet_one_by_a_fresh_start() {
        let start = Instant::now();
        let mut bound = Bound::new(1, start);
        assert!(bound.takes("a") && !bound.takes("b") && bound.takes("a"));
        bound.leave_out(Level::Note, "b".into());
        assert!(!bound.is_over(start + WINDOW / 2) && bound.is_over(start + WINDOW));
        assert_eq!(bound.next_window(), Some((Level::Note, "b".into())));
        assert!(!bound.is_over(start + WINDOW) && !bound.takes("b"));
        assert_eq!(bound.next_window(), None);
    }

    #[test]
    fn what_a_client_lacks_is_said_once_for_each_client_and_thing() {
        let said = said(|notes| {
            for _ in 0..100 {
                notes.lacks("a", "wants this");
                notes.lacks("b", "wants this");
                notes.lacks("a", "wants that");
            }
        });
        assert_eq!(
            said,
            "kq: client \"a\" wants this\nkq: client \"b\" wants this\nkq: client \"a\" wants that\n"
        );
    }
}
