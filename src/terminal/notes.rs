//! Lines for people on stderr: notes, warnings and, with `-v`, what kq does.

use std::fmt::Display;
use std::fs::File;
use std::os::fd::AsFd as _;

use crate::terminal::live::Live;
use crate::terminal::writer::{self, Writer};

/// Where notes go and how many of them: a plain value that is passed down.
///
/// `-q` hides notes, never errors; each `-v` shows one level more
/// (1: what kq does, 2: librdkafka's own log lines, 3: its debug contexts).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Log {
    level: i8,
    live: Option<&'static Live>,
    writer: Option<&'static Writer>,
}

impl Log {
    /// A log that is quiet (`-q`), normal, or `verbose` levels deep.
    pub(crate) fn new(quiet: bool, verbose: u8) -> Self {
        let level = if quiet { -1 } else { verbose.min(100) as i8 };
        Self { level, live: None, writer: None }
    }

    /// The same log, with a live line at the bottom of stderr where that is a terminal and notes
    /// are wanted. Made once a process: the line lives as long as that does.
    #[must_use]
    pub(crate) fn with_live_line(self) -> Self {
        let live = (!self.is_quiet()).then(Live::on_stderr).flatten();
        Self { live: live.map(|live| &*Box::leak(Box::new(live))), ..self }
    }

    /// The same log, written by a thread of its own: a stderr that is not read blocks only the commands
    /// whose lines are passed on. Notes are dropped then, and counted. Made once in a process, which
    /// flushes it at its end.
    #[must_use]
    pub(crate) fn with_writer(self) -> Self {
        let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() else { return self };
        let writer: &'static Writer = Box::leak(Box::new(Writer::new(File::from(stderr), self.live)));
        let thread = std::thread::Builder::new().name("log".into()).spawn(|| writer.serve());
        Self { writer: thread.ok().map(|_| writer), ..self }
    }

    /// The same log, written to a file in the place of stderr; read it after a [`Log::flush`].
    #[cfg(test)]
    #[must_use]
    pub(crate) fn to_file(self, file: File) -> Self {
        let writer: &'static Writer = Box::leak(Box::new(Writer::new(file, None)));
        std::thread::spawn(|| writer.serve());
        Self { writer: Some(writer), ..self }
    }

    /// Waits until all lines so far are written, while stderr is read; returns whether it is.
    pub(crate) fn flush(self) -> bool {
        self.writer.is_none_or(Writer::flush)
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
        self.line(message);
    }

    /// Something a person should know: hidden by `-q`.
    pub(crate) fn note(self, message: impl Display) {
        if self.level >= 0 {
            self.line(message);
        }
    }

    /// A line that a command of the user wrote to its stderr, byte for byte.
    pub(crate) fn passed_on(self, bytes: &[u8]) {
        let line = [bytes, b"\n"].concat();
        let Some(writer) = self.writer else { return self.write(line) };
        if tokio::runtime::Handle::try_current().is_ok() && !writer.has_room() {
            // The other tasks continue meanwhile.
            return tokio::task::block_in_place(|| writer.send(line));
        }
        writer.send(line);
    }

    /// Something that only `-v` (1), `-vv` (2) or `-vvv` (3) shows.
    pub(crate) fn verbose(self, level: u8, message: impl Display) {
        if self.shows(level) {
            self.line(message);
        }
    }

    fn line(self, message: impl Display) {
        self.write(format!("kq: {message}\n").into_bytes());
    }

    /// One whole line in one write, so that lines of several threads never mix.
    /// An error is ignored: where stderr is closed, no reader misses the line.
    fn write(self, line: Vec<u8>) {
        match self.writer {
            Some(writer) => writer.offer(line),
            None => _ = writer::write(std::io::stderr().lock(), self.live, &line),
        }
    }
}
