//! Lines for people on stderr: notes, warnings and, with `-v`, what kq does.

use std::fmt::Display;
#[cfg(test)]
use std::fs::File;

use crate::descriptors::write_all;
use crate::stderr::{self, Level, Line, Writer};
use crate::terminal::live::Live;

/// Where notes go and how many of them: a plain value that is passed down.
///
/// `-q` hides notes, never errors; each `-v` shows one level more
/// (1: what kq does, 2: librdkafka's own log lines, 3: its debug contexts).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Log {
    level: i8,
    live: Option<&'static Live>,
    /// What stands in the place of stderr.
    writer: Option<&'static Writer>,
    unread: Unread,
}

/// What becomes of a line while stderr is not read.
#[derive(Clone, Copy, Debug, Default)]
enum Unread {
    /// It is dropped, and counted.
    #[default]
    Drop,
    Keep,
}

impl Log {
    /// A log that is quiet (`-q`), normal, or `verbose` levels deep.
    pub(crate) fn new(quiet: bool, verbose: u8) -> Self {
        let level = if quiet { -1 } else { verbose.min(100) as i8 };
        Self { level, ..Self::default() }
    }

    /// The same log, with a live line at the bottom of stderr where that is a terminal and notes
    /// are wanted. Made once a process: the line lives as long as that does.
    #[must_use]
    pub(crate) fn with_live_line(self) -> Self {
        let wanted = !self.is_quiet() && !stderr::is_json();
        let Some(live) = wanted.then(Live::on_stderr).flatten() else { return self };
        let live: &'static Live = Box::leak(Box::new(live));
        self.writer().write_past(Box::new(|line| live.line(|| write_all(&std::io::stderr(), line))));
        Self { live: Some(live), ..self }
    }

    /// The same log for the last lines of a command, of which there are few: none is dropped.
    #[must_use]
    pub(crate) fn of_the_end(self) -> Self {
        Self { unread: Unread::Keep, ..self }
    }

    /// The same log, written to a file in the place of stderr; read it after a [`Log::flush`].
    #[cfg(test)]
    #[must_use]
    pub(crate) fn to_file(self, file: File) -> Self {
        Self { writer: Some(Writer::start(file, stderr::Form::Text, stderr::Equal::Write)), ..self }
    }

    fn writer(self) -> &'static Writer {
        self.writer.unwrap_or_else(stderr::writer)
    }

    /// Waits until all lines so far are written, while stderr is read; returns whether it is.
    pub(crate) fn flush(self) -> bool {
        self.writer().flush()
    }

    /// The live line, where there is one.
    pub(crate) fn live(self) -> Option<&'static Live> {
        self.live
    }

    /// Whether notes are hidden.
    pub(crate) fn is_quiet(self) -> bool {
        self.level < 0
    }

    /// Whether lines of this level are shown.
    pub(crate) fn shows(self, level: u8) -> bool {
        self.level >= level as i8
    }

    /// Something that went wrong for a part of the input: shown even with `-q`.
    pub(crate) fn error(self, message: impl Display) {
        self.line(Level::Error, message);
    }

    /// Something a person should know: hidden by `-q`.
    pub(crate) fn note(self, message: impl Display) {
        if self.level >= 0 {
            self.line(Level::Info, message);
        }
    }

    /// A line that a command of the user wrote to its stderr, byte for byte, after `source`: the place of its
    /// record, or the name of a process that has many.
    pub(crate) fn passed_on(self, source: impl Display, said: &[u8]) {
        let (writer, source) = (self.writer(), source.to_string());
        if tokio::runtime::Handle::try_current().is_ok() && !writer.has_room() {
            // The other tasks continue meanwhile.
            return tokio::task::block_in_place(|| writer.pass_on(&source, said));
        }
        writer.pass_on(&source, said);
    }

    /// Something that only `-v` (1), `-vv` (2) or `-vvv` (3) shows.
    pub(crate) fn verbose(self, level: u8, message: impl Display) {
        if self.shows(level) {
            self.line(if level > 1 { Level::Trace } else { Level::Debug }, message);
        }
    }

    /// One whole line. Its message names the place that it is about first, as `topic[partition]@offset`.
    fn line(self, level: Level, message: impl Display) {
        let line = Line::new(level, message.to_string());
        match self.unread {
            Unread::Drop => self.writer().say(&line),
            Unread::Keep => self.writer().keep(&line),
        }
    }
}
