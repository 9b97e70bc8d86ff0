//! The progress bar of a produce, on a terminal's stderr only.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::input::Input;
use crate::lock::Lock;
use crate::stderr;
use crate::terminal::notes::Log;

/// A run that takes less than this shows no bar, which would only flash.
const PATIENCE: Duration = Duration::from_millis(300);

/// Columns from which all of a line has room, and the bar some of them.
const WIDE: u16 = 72;

/// Between two pictures of a bar with nothing new but the time.
const PAUSE: Duration = Duration::from_millis(100);

/// Pictures a second, at most.
const HZ: u8 = 20;

/// A bar with bytes and ETA where the inputs have sizes, else a spinner with the rate.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Whether the inputs have sizes.
    sized: bool,
    /// Whether the line was last made for a terminal that has room for all of it.
    is_wide: Cell<Option<bool>>,
    /// When the bar appears; `None` once it is visible, or where it never appears.
    shows_at: Cell<Option<Instant>>,
    /// When it was drawn last with its message.
    drawn: Cell<Option<Instant>>,
}

impl Progress {
    /// Shows nothing unless stderr is a terminal and notes are wanted.
    pub(super) fn new(inputs: &[Input], log: Log) -> Self {
        // A bar would disturb a person who types the records.
        let typed = inputs.iter().any(|input| input.name == "stdin") && io::stdin().is_terminal();
        let never = log.is_quiet() || stderr::is_json() || !io::stderr().is_terminal() || typed;
        let total = if never { None } else { inputs.iter().map(Input::size).sum::<Option<u64>>() };
        let total = total.filter(|total| *total > 0);
        Self {
            bar: ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()),
            sized: total.is_some(),
            is_wide: Cell::new(None),
            drawn: Cell::new(None),
            shows_at: Cell::new((!never).then(|| Instant::now() + PATIENCE)),
        }
    }

    /// The records up to this byte of the inputs are queued, and so many were acknowledged.
    pub(super) fn update(&self, position: u64, acknowledged: u64) {
        if self.shows_at.get().is_some_and(|at| Instant::now() >= at) {
            self.shows_at.set(None);
            self.fit(columns());
            self.bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(Screen::default()), HZ));
        }
        self.bar.set_position(position);
        if !self.bar.is_hidden() && self.drawn.get().is_none_or(|drawn| drawn.elapsed() >= PAUSE) {
            self.drawn.set(Some(Instant::now()));
            self.fit(columns());
            self.bar.set_message(format!("{} records", indicatif::HumanCount(acknowledged)));
            self.bar.tick();
        }
    }

    /// Makes the line fit a terminal whose size may have changed: a line that wraps is not erased.
    fn fit(&self, columns: u16) {
        let is_wide = columns >= WIDE;
        if self.is_wide.replace(Some(is_wide)) != Some(is_wide)
            && let Ok(style) = ProgressStyle::with_template(template(self.sized, is_wide))
        {
            self.bar.set_style(style);
        }
    }

    /// Runs `f`, which writes to stderr, while the bar is out of the way.
    pub(super) fn aside(&self, f: impl FnOnce()) {
        self.bar.suspend(f);
    }

    /// Removes the bar: the summary follows.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The terminal of the bar. A picture waits for no one: a terminal that was stopped (^S) misses some.
#[derive(Debug, Default)]
struct Screen {
    picture: Lock<Vec<u8>>,
}

impl Screen {
    /// Appends the control sequence that moves the cursor so far.
    fn step(&self, n: usize, direction: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.write_str(&format!("\x1b[{n}{direction}")) }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        columns()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.step(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.step(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.step(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.step(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.write_str("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.picture.lock().extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let picture = std::mem::take(&mut *self.picture.lock());
        if !picture.is_empty() {
            stderr::writer().draw(picture);
        }
        Ok(())
    }
}

/// What a line shows. The wide element takes what the others leave of the columns.
fn template(sized: bool, is_wide: bool) -> &'static str {
    match (sized, is_wide) {
        (true, true) => {
            "{wide_bar} {percent:>3}% {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ETA {eta} {msg}"
        }
        (true, false) => "{percent:>3}% {wide_msg}",
        (false, true) => "{spinner} {decimal_bytes} {decimal_bytes_per_sec} {elapsed} {wide_msg}",
        (false, false) => "{spinner} {wide_msg}",
    }
}

/// Columns of the terminal that stderr is; one that does not say has 80.
fn columns() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.ok().map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(80)
}
