//! A status line at the bottom of a terminal's stderr, and how other output is written without damage to it.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use console::Term;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::lock::Lock;

/// How long the end of the line waits for the terminal.
const MOMENT: Duration = Duration::from_millis(50);

/// The line at the bottom of a terminal. Every other write to that terminal goes through
/// [`Live::past`], so that the line is neither broken nor left behind.
pub(crate) struct Live {
    term: Term,
    /// Whether stdout is that terminal too.
    holds_stdout: bool,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    shown: bool,
    /// The cursor is behind an unfinished line of output: showing the live line would
    /// damage that line, and removing the live line would erase it.
    open: bool,
    /// The line is never shown again.
    ended: bool,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl Live {
    /// A line on stderr, where that is a terminal that can move its cursor.
    pub(crate) fn on_stderr() -> Option<Self> {
        let term = Term::stderr();
        let moves = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
        (term.is_term() && moves).then(|| Self {
            term,
            holds_stdout: io::stdout().is_terminal(),
            state: Lock::default(),
        })
    }

    /// Whether what goes to stdout must go through [`Live::past`].
    pub(crate) fn holds_stdout(&self) -> bool {
        self.holds_stdout
    }

    /// Shows this text, cut to the terminal's width. Does nothing while another thread writes, and
    /// while a line of output is unfinished.
    pub(crate) fn show(&self, text: &str) {
        let Some(mut state) = self.state.try_lock() else { return };
        if state.open || state.ended || !Self::can_write() {
            return;
        }
        let width = usize::from(self.term.size().1).saturating_sub(1);
        // One write: a line that is written in two parts would flicker.
        let _ = self.term.write_str(&format!("\r\x1b[2K{}", console::truncate_str(text, width, "…")));
        state.shown = true;
    }

    /// Hides the line and runs `write`, which writes to the terminal; `open` says
    /// whether it leaves the cursor behind an unfinished line.
    pub(crate) fn past<T>(&self, open: bool, write: impl FnOnce() -> T) -> T {
        let mut state = self.state.lock();
        self.hide(&mut state);
        let outcome = write();
        state.open = open;
        outcome
    }

    /// Hides the live line, ends an unfinished line of output, and runs `write`, which writes a whole
    /// line to the terminal.
    pub(crate) fn line(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock();
        self.hide(&mut state);
        if std::mem::take(&mut state.open) {
            self.term.write_line("")?;
        }
        write()
    }

    /// Removes the line for good. Another thread may hold the terminal, perhaps without end: the wait
    /// for it is short.
    pub(crate) fn end(&self) {
        let until = Instant::now() + MOMENT;
        while Self::can_write() && Instant::now() < until {
            if let Some(mut state) = self.state.try_lock() {
                self.hide(&mut state);
                state.ended = true;
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the terminal accepts output now: one that was stopped (^S) does not.
    fn can_write() -> bool {
        let stderr = io::stderr();
        let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&now)), Ok(1..)) && fds[0].revents().contains(PollFlags::OUT)
    }

    fn hide(&self, state: &mut State) {
        if std::mem::take(&mut state.shown) {
            let _ = self.term.clear_line();
        }
    }
}
