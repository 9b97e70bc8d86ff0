//! From a record to bytes on stdout: filters, decoding, the format. No IO of its own.

use crate::record::RecordRef;
use crate::record::decode::{Decoder, Scratch};
use crate::record::escape::{escape_for_terminal, escape_json_for_terminal};
use crate::record::filter::Filter;
use crate::record::format::Template;
use crate::record::json::append_json;

/// What is made of each record.
pub(crate) struct Settings {
    pub look: Look,
    pub decoder: Decoder,
    pub filter: Filter,
    pub reader: Reader,
}

/// How a record looks.
pub(crate) enum Look {
    /// One JSON object a line.
    Json,
    Template(Template),
}

/// Who reads the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A program, which gets every byte.
    Program,
    /// A person at a terminal: control bytes are escaped.
    Terminal,
}

/// Makes bytes of records.
pub(crate) struct Sink {
    settings: Settings,
    scratch: Scratch,
    line: Vec<u8>,
}

/// What became of a record that was appended, or not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Appended,
    Filtered,
    /// Appended as it came: its header says that it is compressed, it could not be decompressed, and why.
    Undecoded(String),
}

impl Sink {
    /// A sink for these settings.
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, scratch: Scratch::default(), line: Vec::new() }
    }

    /// Whether records must come with their headers.
    pub(crate) fn needs_headers(&self) -> bool {
        let Settings { look, decoder, filter, .. } = &self.settings;
        let look = match look {
            Look::Json => true,
            Look::Template(template) => template.needs_headers(),
        };
        look || decoder.needs_headers() || filter.needs_headers()
    }

    /// Appends the record to `out`, if the filter lets it through.
    pub(crate) fn append(&mut self, record: &RecordRef<'_>, out: &mut Vec<u8>) -> Outcome {
        let Settings { look, decoder, filter, reader } = &self.settings;
        if !filter.takes_record(record) {
            return Outcome::Filtered;
        }
        let decoded = decoder.decode(record, &mut self.scratch);
        if !filter.takes_value(decoded.value) {
            return Outcome::Filtered;
        }
        let headers = decoded.form.headers(record.headers);
        let record = RecordRef { value: decoded.value, headers: &headers, ..*record };
        self.line.clear();
        match (look, reader) {
            (Look::Json, Reader::Program) => append_json(&record, out),
            (Look::Template(template), Reader::Program) => template.append(&record, out),
            (Look::Json, Reader::Terminal) => {
                append_json(&record, &mut self.line);
                escape_json_for_terminal(&self.line, out);
            }
            (Look::Template(template), Reader::Terminal) => {
                template.append(&record, &mut self.line);
                escape_for_terminal(&self.line, out);
            }
        }
        if matches!(look, Look::Json) {
            out.push(b'\n');
        }
        decoded.failure.map_or(Outcome::Appended, Outcome::Undecoded)
    }
}
