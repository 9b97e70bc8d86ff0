//! `--report json`: a line on stdout for each acknowledged record, from a thread of its own.

use std::io::{self, ErrorKind, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::input::Input;
use super::settings::Report;
use super::tally::Place;
use crate::kafka::client::Delivery;
use crate::lock::{Condition, Lock};
use crate::record::json;
use crate::terminal::stdout::Output;
use crate::threads;

/// Bytes of lines that wait for the reader, until no more records are read.
const MOST: usize = 256 * 1024;
/// What a pipe takes whole or not at all (`PIPE_BUF`): a line that was not taken is known as such.
const WHOLE: usize = 4096;

/// The report, if one is wanted, until its reader leaves. A reader that stands still makes no thread wait but
/// the one that writes.
pub(super) struct Reporter<'a> {
    /// `None`: no report is wanted, or its reader left.
    lines: Option<Arc<Lines>>,
    inputs: &'a [Input],
    /// Lines that are not handed over yet.
    buffer: Vec<u8>,
    /// Lines that were made.
    made: u64,
    error: Option<io::Error>,
}

/// What the reporter and the thread that writes share.
#[derive(Default)]
struct Lines {
    state: Lock<State>,
    changed: Condition,
}

#[derive(Default)]
struct State {
    /// What is to be written next.
    piece: Vec<u8>,
    /// Lines that stdout took.
    taken: u64,
    /// Why nothing more can be written.
    error: Option<io::Error>,
}

impl<'a> Reporter<'a> {
    /// The report that the settings ask for; an error where stdout is closed.
    pub(super) fn new(report: Option<Report>, inputs: &'a [Input]) -> anyhow::Result<Self> {
        let output = report.map(|Report::Json| Output::stdout()).transpose()?;
        Ok(Self {
            lines: output.map(Lines::start).transpose()?,
            inputs,
            buffer: Vec::new(),
            made: 0,
            error: None,
        })
    }

    /// Reports a record that was acknowledged.
    pub(super) fn acknowledged(&mut self, delivery: Delivery<'_>) {
        if self.lines.is_some() {
            append(&mut self.buffer, self.inputs, delivery);
            self.made += 1;
        }
    }

    /// Hands the report over to be written, and does not wait for that. False where writing failed. A reader
    /// that left is no failure: the records are still sent.
    pub(super) fn flush(&mut self) -> bool {
        let Some(lines) = &self.lines else { return true };
        let mut state = lines.state.lock();
        let error = state.error.take();
        if error.is_none() && state.piece.is_empty() && !self.buffer.is_empty() {
            std::mem::swap(&mut state.piece, &mut self.buffer);
            lines.changed.notify_all();
        }
        drop(state);
        let Some(e) = error else { return true };
        (self.lines, self.buffer) = (None, Vec::new());
        self.error = (e.kind() != ErrorKind::BrokenPipe).then_some(e);
        self.error.is_none()
    }

    /// Whether so much waits for the reader that no more records should be read.
    pub(super) fn is_behind(&self) -> bool {
        self.buffer.len() >= MOST
    }

    /// How many lines stdout has not taken yet.
    pub(super) fn untaken(&self) -> u64 {
        self.lines.as_ref().map_or(0, |lines| self.made - lines.state.lock().taken)
    }

    /// Waits for the reader to take something, up to `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        if let Some(lines) = &self.lines {
            let state = lines.state.lock();
            if !state.piece.is_empty() && state.error.is_none() {
                drop(lines.changed.wait_for(state, timeout));
            }
        }
    }

    /// Why the report could not be written.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}

impl Lines {
    /// Starts the thread that writes to stdout. It lives as long as the process, which may end while the thread
    /// waits for a reader.
    fn start(output: Output) -> anyhow::Result<Arc<Self>> {
        let lines: Arc<Self> = Arc::default();
        let shared = Arc::clone(&lines);
        threads::start("report", move || shared.write(output))?;
        Ok(lines)
    }

    fn write(&self, mut output: Output) {
        let mut piece = Vec::new();
        loop {
            let mut state = self.state.lock();
            while state.piece.is_empty() {
                state = self.changed.wait(state);
            }
            // What is there stays, as a sign that it is not written.
            piece.clone_from(&state.piece);
            drop(state);
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let (whole, after) = rest.split_at(end_of_lines(rest));
                output.buffer().extend_from_slice(whole);
                let written = output.flush();
                let mut state = self.state.lock();
                match written {
                    Ok(()) => state.taken += whole.iter().filter(|&&byte| byte == b'\n').count() as u64,
                    Err(e) => state.error = Some(e),
                }
                rest = after;
                if rest.is_empty() || state.error.is_some() {
                    state.piece.clear();
                }
                self.changed.notify_all();
                if state.error.is_some() {
                    return;
                }
            }
        }
    }
}

/// Where the last line ends that is within [`WHOLE`] bytes, or the first line, where that is longer.
fn end_of_lines(bytes: &[u8]) -> usize {
    let is_end = |byte: &u8| *byte == b'\n';
    let within = bytes[..bytes.len().min(WHOLE)].iter().rposition(is_end);
    within.or_else(|| bytes.iter().position(is_end)).map_or(bytes.len(), |end| end + 1)
}

/// `{"file":"stdin","line":1,"topic":"foo","partition":0,"offset":42}` and a newline. The offset is null
/// where the broker did not confirm the record (acks 0).
fn append(out: &mut Vec<u8>, inputs: &[Input], delivery: Delivery<'_>) {
    let place = Place::of(delivery.tag);
    let file = inputs.get(place.input).map_or("", |input| &input.name);
    out.extend_from_slice(b"{\"file\":");
    json::append_string(file.as_bytes(), out);
    let _ = write!(out, r#","line":{},"topic":"#, place.line);
    json::append_string(delivery.topic.name().as_bytes(), out);
    let _ = write!(out, r#","partition":{},"offset":"#, delivery.partition);
    let _ = match delivery.offset {
        offset @ 0.. => writeln!(out, "{offset}}}"),
        _ => writeln!(out, "null}}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_whole_lines_and_no_more_than_it_takes_at_once() {
        let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
        assert_eq!(end_of_lines(&[line(10), line(20)].concat()), 30);
        assert_eq!(end_of_lines(&[line(4000), line(96), line(10)].concat()), 4096);
        assert_eq!(end_of_lines(&[line(4000), line(97)].concat()), 4000);
        assert_eq!(end_of_lines(&[line(9000), line(10)].concat()), 9000);
    }
}
