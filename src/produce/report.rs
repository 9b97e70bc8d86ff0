//! `--report json`: a line on stdout for each acknowledged record.

use std::io::{self, ErrorKind, Write as _};

use super::input::Input;
use super::settings::Report;
use super::tally::Place;
use crate::kafka::client::Delivery;
use crate::record::json;
use crate::terminal::stdout::Output;

/// Writes the report, if one is wanted, until its reader leaves.
pub(super) struct Reporter<'a> {
    /// `None`: no report is wanted, or its reader left.
    output: Option<Output>,
    inputs: &'a [Input],
    error: Option<io::Error>,
}

impl<'a> Reporter<'a> {
    /// The report that the settings ask for; an error where stdout is closed.
    pub(super) fn new(report: Option<Report>, inputs: &'a [Input]) -> anyhow::Result<Self> {
        let output = report.map(|Report::Json| Output::stdout()).transpose()?;
        Ok(Self { output, inputs, error: None })
    }

    /// Reports a record that was acknowledged.
    pub(super) fn acknowledged(&mut self, delivery: Delivery<'_>) {
        if let Some(output) = &mut self.output {
            append(output.buffer(), self.inputs, delivery);
        }
    }

    /// Writes the report out. False where that failed. A reader that left is no failure: the records are
    /// still sent.
    pub(super) fn flush(&mut self) -> bool {
        if let Some(output) = &mut self.output
            && let Err(e) = output.flush()
        {
            self.output = None;
            self.error = (e.kind() != ErrorKind::BrokenPipe).then_some(e);
            return self.error.is_none();
        }
        true
    }

    /// Why the report could not be written.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
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
