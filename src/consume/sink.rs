//! From a record to bytes on stdout: filters, decoding, the format. No IO of its own.

use anyhow::{Context as _, bail};

use crate::cli::consume::Args;
use crate::record::codec::{self, CONTENT_ENCODING, Decode, Decoded};
use crate::record::escape::{escape_for_terminal, escape_json_for_terminal, unescape};
use crate::record::format::Template;
use crate::record::json::append_json;
use crate::record::{Header, RecordRef};

/// What the flags make of each record.
pub struct Sink {
    look: Look,
    decode: Decode,
    max_decoded: usize,
    grep: Option<regex::bytes::Regex>,
    where_key: Option<Vec<u8>>,
    where_header: Vec<(Vec<u8>, Vec<u8>)>,
    terminal: bool,
    decoded: Vec<u8>,
    line: Vec<u8>,
}

enum Look {
    Json,
    Template(Template),
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Appended,
    Filtered,
    /// Appended as it came: it is said to be compressed and could not be undone, and why.
    Undecoded(String),
}

impl Sink {
    /// `terminal`: a person looks at the output, so control bytes are escaped.
    pub fn new(args: &Args, terminal: bool) -> anyhow::Result<Self> {
        let look = if args.json {
            Look::Json
        } else if let Some(format) = &args.format {
            let template = Template::parse(format).context("-f")?;
            Look::Template(if args.print_null { template.with_null(b"NULL") } else { template })
        } else {
            let delimiter = match &args.delimiter {
                Some(text) => unescape(text).context("-D")?,
                None if args.nul => vec![0],
                None => vec![b'\n'],
            };
            let key = match &args.key_delimiter {
                Some(text) => Some(unescape(text).context("-K")?),
                None => args.with_key.then(|| vec![b'\t']),
            };
            Look::Template(Template::plain(
                key.as_deref(),
                &delimiter,
                args.print_null.then_some(&b"NULL"[..]),
            ))
        };
        let where_header = args
            .where_header
            .iter()
            .map(|text| match text.split_once('=') {
                Some((name, value)) if !name.is_empty() => {
                    Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                }
                _ => bail!("--where-header {text}: write NAME=VALUE"),
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            decode: args.decode.unwrap_or(if args.json { Decode::None } else { Decode::Auto }),
            look,
            max_decoded: args.max_decoded,
            grep: args.grep.clone(),
            where_key: args.where_key.as_ref().map(|key| key.as_bytes().to_vec()),
            where_header,
            terminal,
            decoded: Vec::new(),
            line: Vec::new(),
        })
    }

    /// Whether records must come with their headers.
    pub fn needs_headers(&self) -> bool {
        let look = match &self.look {
            Look::Json => true,
            Look::Template(template) => template.needs_headers(),
        };
        look || self.decode == Decode::Auto || !self.where_header.is_empty()
    }

    /// Appends the record to `out`, if the filters let it through.
    pub fn append(&mut self, record: &RecordRef<'_>, out: &mut Vec<u8>) -> Fate {
        if !self.lets_through(record) {
            return Fate::Filtered;
        }
        let mut record = *record;
        let mut fate = Fate::Appended;
        let rest: Vec<Header<'_>>;
        if let (Some(value), true) = (record.value, self.decode != Decode::None) {
            let encoding =
                record.headers.iter().rev().find(|h| h.name == CONTENT_ENCODING).and_then(|h| h.value);
            match codec::undo(self.decode, encoding, value, self.max_decoded, &mut self.decoded) {
                Decoded::AsIs => {}
                Decoded::Undone(value) => {
                    record.value = Some(value);
                    // What says "compressed" must not outlive the compression.
                    if encoding.is_some() && matches!(self.look, Look::Json) {
                        rest =
                            record.headers.iter().filter(|h| h.name != CONTENT_ENCODING).copied().collect();
                        record.headers = &rest;
                    }
                }
                Decoded::Failed(why) => fate = Fate::Undecoded(why),
            }
        }
        if let Some(pattern) = &self.grep
            && !record.value.is_some_and(|value| pattern.is_match(value))
        {
            return Fate::Filtered;
        }
        match &self.look {
            Look::Json if self.terminal => {
                self.line.clear();
                append_json(&record, &mut self.line);
                escape_json_for_terminal(&self.line, out);
                out.push(b'\n');
            }
            Look::Json => {
                append_json(&record, out);
                out.push(b'\n');
            }
            Look::Template(template) if self.terminal => {
                self.line.clear();
                template.append(&record, &mut self.line);
                escape_for_terminal(&self.line, out);
            }
            Look::Template(template) => template.append(&record, out),
        }
        fate
    }

    fn lets_through(&self, record: &RecordRef<'_>) -> bool {
        self.where_key.as_ref().is_none_or(|key| record.key == Some(key))
            && self
                .where_header
                .iter()
                .all(|(name, value)| record.headers.iter().any(|h| h.name == name && h.value == Some(value)))
    }
}
