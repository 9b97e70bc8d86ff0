//! The progress bar of a produce, on a terminal's stderr only.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::input::Input;
use crate::log::Log;

/// A bar with bytes and ETA where the inputs have sizes, else a spinner with the rate.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shows nothing unless stderr is a terminal and notes are wanted.
    pub fn new(inputs: &[Input], log: Log) -> Self {
        if log.is_quiet() || !io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        // A person who types the records needs no bar between the lines.
        let typed = inputs.iter().any(|input| input.name == "stdin") && io::stdin().is_terminal();
        if typed {
            return Self { bar: ProgressBar::hidden() };
        }
        let total = inputs.iter().map(Input::size).sum::<Option<u64>>().filter(|total| *total > 0);
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:30} {percent:>3}% {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ETA {eta} {msg}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {decimal_bytes} {decimal_bytes_per_sec} {elapsed} {msg}",
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// So many bytes more were read.
    pub fn read(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// So many records were acknowledged up to now.
    pub fn delivered(&self, records: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} records", indicatif::HumanCount(records)));
        }
    }

    /// Takes the bar away: the summary follows.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
