//! The progress bar of a produce, on a terminal's stderr only.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::input::Input;
use crate::log::Log;

/// What takes less than this needs no bar, which would only flash.
const PATIENCE: Duration = Duration::from_millis(300);

/// A bar with bytes and ETA where the inputs have sizes, else a spinner with the rate.
pub struct Progress {
    bar: ProgressBar,
    /// When the bar comes to be seen; none once it is, or where it never shall be.
    shows_at: Cell<Option<Instant>>,
}

impl Progress {
    /// Shows nothing unless stderr is a terminal and notes are wanted.
    pub fn new(inputs: &[Input], log: Log) -> Self {
        if log.is_quiet() || !io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), shows_at: Cell::new(None) };
        }
        // A person who types the records needs no bar between the lines.
        let typed = inputs.iter().any(|input| input.name == "stdin") && io::stdin().is_terminal();
        if typed {
            return Self { bar: ProgressBar::hidden(), shows_at: Cell::new(None) };
        }
        let total = inputs.iter().map(Input::size).sum::<Option<u64>>().filter(|total| *total > 0);
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()),
                "{bar:30} {percent:>3}% {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ETA {eta} {msg}",
            ),
            None => (
                ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
                "{spinner} {decimal_bytes} {decimal_bytes_per_sec} {elapsed} {msg}",
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, shows_at: Cell::new(Some(Instant::now() + PATIENCE)) }
    }

    /// So many bytes more were read.
    pub fn read(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.show_when_due();
    }

    /// So many records were acknowledged up to now.
    pub fn delivered(&self, records: u64) {
        self.show_when_due();
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} records", indicatif::HumanCount(records)));
        }
    }

    fn show_when_due(&self) {
        if self.shows_at.get().is_some_and(|at| Instant::now() >= at) {
            self.shows_at.set(None);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    /// Runs `f`, which writes to stderr, while the bar is out of the way.
    pub fn aside(&self, f: impl FnOnce()) {
        self.bar.suspend(f);
    }

    /// Takes the bar away: the summary follows.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
