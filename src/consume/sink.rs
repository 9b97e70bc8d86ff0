//! From a record to bytes on stdout: filters, decoding, the format. No IO of its own.

use anyhow::{Context as _, bail};

use crate::cli::consume::Args;
use crate::record::RecordRef;
use crate::record::decode::{Decode, Decoder, Scratch};
use crate::record::escape::{escape_for_terminal, escape_json_for_terminal, unescape};
use crate::record::format::Template;
use crate::record::json::append_json;

/// What the flags make of each record.
pub struct Sink {
    look: Look,
    decoder: Decoder,
    grep: Option<regex::bytes::Regex>,
    where_key: Option<Vec<u8>>,
    where_header: Vec<(Vec<u8>, Vec<u8>)>,
    terminal: bool,
    scratch: Scratch,
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
    /// Appended as it came: it is said to be compressed and could not be decompressed, and why.
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
            decoder: Decoder {
                decode: args.decode.unwrap_or(if args.json { Decode::None } else { Decode::Auto }),
                max: args.max_decoded,
            },
            look,
            grep: args.grep.clone(),
            where_key: args.where_key.as_ref().map(|key| key.as_bytes().to_vec()),
            where_header,
            terminal,
            scratch: Scratch::default(),
            line: Vec::new(),
        })
    }

    /// Whether records must come with their headers.
    pub fn needs_headers(&self) -> bool {
        let look = match &self.look {
            Look::Json => true,
            Look::Template(template) => template.needs_headers(),
        };
        look || self.decoder.needs_headers() || !self.where_header.is_empty()
    }

    /// Appends the record to `out`, if the filters let it through.
    pub fn append(&mut self, record: &RecordRef<'_>, out: &mut Vec<u8>) -> Fate {
        if !self.lets_through(record) {
            return Fate::Filtered;
        }
        let decoded = self.decoder.decode(record, &mut self.scratch);
        if let Some(pattern) = &self.grep
            && !decoded.value.is_some_and(|value| pattern.is_match(value))
        {
            return Fate::Filtered;
        }
        let headers = decoded.form.headers(record.headers);
        let record = RecordRef { value: decoded.value, headers: &headers, ..*record };
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
        decoded.failure.map_or(Fate::Appended, Fate::Undecoded)
    }

    fn lets_through(&self, record: &RecordRef<'_>) -> bool {
        self.where_key.as_ref().is_none_or(|key| record.key == Some(key))
            && self
                .where_header
                .iter()
                .all(|(name, value)| record.headers.iter().any(|h| h.name == name && h.value == Some(value)))
    }
}
