//! How a record is written to stdout: kcat's format strings, compiled once. Pure: no clock, no IO.

mod tokens;

use anyhow::{Result, bail};
use jiff::fmt::temporal::DateTimePrinter;

use crate::record::RecordRef;
use crate::record::bytes::{append_base64, append_hex, append_integer};
use crate::record::escape::escape;
use tokens::{Coding, Field};

pub(crate) use tokens::{TOKENS, table};

/// Milliseconds always, so that lines stay aligned: `2023-11-14T22:13:20.000Z`.
const TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// A format string, compiled. Appending a record with it allocates nothing, except
/// when `out` must grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
    null: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key(Coding),
    KeyLength,
    Value(Coding),
    ValueLength,
    ValueLengthBinary,
    Timestamp,
    Time,
    Headers,
    Header(Box<[u8]>, Coding),
}

impl Template {
    /// Compiles a format string: the tokens of [`TOKENS`].
    ///
    /// Between them is text with the escapes of [`crate::record::escape::unescape`].
    /// The error for an unknown token names it and its place, and lists the known ones.
    pub(crate) fn parse(format: &str) -> Result<Self> {
        let mut template = Self { parts: Vec::new(), null: None };
        let mut at = 0;
        while let Some(found) = format[at..].find(['%', '\\']) {
            template.text(&format.as_bytes()[at..at + found]);
            at += found;
            let rest = &format[at..];
            at += if rest.starts_with('\\') {
                let (byte, length) = escape(rest).map_err(|e| e.context(place(format, at)))?;
                template.text(&[byte]);
                length
            } else {
                let (part, length) = token(rest).map_err(|e| e.context(place(format, at)))?;
                match part {
                    Part::Literal(text) => template.text(&text),
                    part => template.parts.push(part),
                }
                length
            };
        }
        template.text(&format.as_bytes()[at..]);
        Ok(template)
    }

    /// The value and the delimiter; with a key delimiter, the key and that delimiter
    /// before them. `null` is written for a null key or value; otherwise nothing is.
    pub(crate) fn plain(key: Option<&[u8]>, delimiter: &[u8], null: Option<&[u8]>) -> Self {
        let mut template = Self { parts: Vec::new(), null: null.map(Into::into) };
        if let Some(key_delimiter) = key {
            template.parts.push(Part::Key(Coding::Plain));
            template.text(key_delimiter);
        }
        template.parts.push(Part::Value(Coding::Plain));
        template.text(delimiter);
        template
    }

    /// Shows a null key, value or header as this token, in every coding. kcat's `-Z`
    /// shows empty ones as NULL too; here null is not empty.
    #[must_use]
    pub(crate) fn with_null(mut self, token: &[u8]) -> Self {
        self.null = Some(token.into());
        self
    }

    /// Whether a record's headers are used: otherwise the caller need not fetch them.
    pub(crate) fn needs_headers(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Headers | Part::Header(..)))
    }

    fn text(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(Part::Literal(text)) => text.extend_from_slice(bytes),
            _ => self.parts.push(Part::Literal(bytes.to_vec())),
        }
    }

    /// Appends the record in this format.
    pub(crate) fn append(&self, record: &RecordRef<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Topic => out.extend_from_slice(record.topic.as_bytes()),
                Part::Partition => append_integer(record.partition.into(), out),
                Part::Offset => append_integer(record.offset, out),
                Part::Key(coding) => self.bytes(record.key, *coding, out),
                Part::KeyLength => append_integer(length(record.key), out),
                Part::Value(coding) => self.bytes(record.value, *coding, out),
                Part::ValueLength => append_integer(length(record.value), out),
                Part::ValueLengthBinary => {
                    out.extend_from_slice(&(length(record.value) as i32).to_be_bytes());
                }
                Part::Timestamp => append_integer(record.timestamp.millis().unwrap_or(-1), out),
                Part::Time => append_time(record.timestamp.millis(), out),
                Part::Headers => append_headers(record, out),
                Part::Header(name, coding) => {
                    let last = record.headers.iter().rfind(|header| *header.name == **name);
                    self.bytes(last.and_then(|header| header.value), *coding, out);
                }
            }
        }
    }

    fn bytes(&self, bytes: Option<&[u8]>, coding: Coding, out: &mut Vec<u8>) {
        match (bytes, coding) {
            (None, _) => out.extend_from_slice(self.null.as_deref().unwrap_or_default()),
            (Some(bytes), Coding::Plain) => out.extend_from_slice(bytes),
            (Some(bytes), Coding::Hex) => append_hex(bytes, out),
            (Some(bytes), Coding::Base64) => append_base64(bytes, out),
        }
    }
}

/// Says where in a format an error is, counted in characters from 1.
fn place(format: &str, at: usize) -> String {
    format!("format {format:?}, character {}", format[..at].chars().count() + 1)
}

/// The token that `s` begins with, and its length. `%%` is a literal.
fn token(s: &str) -> Result<(Part, usize)> {
    let Some(letter) = s[1..].chars().next() else {
        bail!("a % at the end is not a token: %% is a percent sign; the tokens are {}", tokens::list());
    };
    if letter == '{' {
        let Some(end) = s.find('}') else {
            bail!("%{{ without its }}: the tokens are {}", tokens::list());
        };
        return Ok((named(&s[2..end])?, end + 1));
    }
    match TOKENS.iter().find(|token| token.letters.contains(letter)) {
        Some(token) => Ok((part(token.field, Coding::Plain, ""), 2)),
        None => bail!("unknown token %{letter}: the tokens are {}", tokens::list()),
    }
}

/// The token of `%{name}`.
fn named(name: &str) -> Result<Part> {
    let split =
        |text| str::rsplit_once(text, ':').and_then(|(text, name)| Some((text, Coding::named(name)?)));
    let known = if let Some(header) = name.strip_prefix("header:").filter(|header| !header.is_empty()) {
        // A header's name may contain a colon itself.
        let (header, coding) = split(header).unwrap_or((header, Coding::Plain));
        Some(part(Field::Header, coding, header))
    } else {
        let (name, coding) = split(name).unwrap_or((name, Coding::Plain));
        let token = TOKENS.iter().find(|token| token.name == Some(name));
        let token = token.filter(|token| coding == Coding::Plain || token.field.is_bytes());
        token.map(|token| part(token.field, coding, ""))
    };
    match known {
        Some(part) => Ok(part),
        None => bail!("unknown token %{{{name}}}: the tokens are {}", tokens::list()),
    }
}

/// A token's part of a format; `header` is the name of [`Field::Header`].
fn part(field: Field, coding: Coding, header: &str) -> Part {
    match field {
        Field::Topic => Part::Topic,
        Field::Partition => Part::Partition,
        Field::Offset => Part::Offset,
        Field::Key => Part::Key(coding),
        Field::Value => Part::Value(coding),
        Field::KeyLength => Part::KeyLength,
        Field::ValueLength => Part::ValueLength,
        Field::ValueLengthBinary => Part::ValueLengthBinary,
        Field::Timestamp => Part::Timestamp,
        Field::Time => Part::Time,
        Field::Headers => Part::Headers,
        Field::Header => Part::Header(header.as_bytes().into(), coding),
        Field::Percent => Part::Literal(b"%".to_vec()),
    }
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

/// Appends a time in RFC 3339; before its year 0, or at the end of its year 9999 (jiff
/// supports times up to a day before it, because of time zones), the milliseconds.
fn append_time(millis: Option<i64>, out: &mut Vec<u8>) {
    let Some(millis) = millis else { return };
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) if millis >= YEAR_0 => {
            let before = out.len();
            if TIME.print_timestamp(&time, WriteBytes(out)).is_err() {
                out.truncate(before);
            }
        }
        _ => append_integer(millis, out),
    }
}

const YEAR_0: i64 = -62_167_219_200_000;

/// Lets jiff write text into bytes.
struct WriteBytes<'a>(&'a mut Vec<u8>);

impl jiff::fmt::Write for WriteBytes<'_> {
    fn write_str(&mut self, s: &str) -> std::result::Result<(), jiff::Error> {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}

fn append_headers(record: &RecordRef<'_>, out: &mut Vec<u8>) {
    for (i, header) in record.headers.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(header.name);
        out.push(b'=');
        out.extend_from_slice(header.value.unwrap_or(b"NULL"));
    }
}

#[cfg(test)]
mod tests;
