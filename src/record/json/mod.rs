//! The JSON record, written and read: nothing is lost between the two. Pure: no clock, no IO.

mod fields;
mod headers;
mod parse;
pub(crate) mod parts;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;

use crate::record::OwnedHeader;

pub(crate) use parse::parse_json;
pub(crate) use write::{append_json, append_string};

/// Characters of a reason: it may quote the text, which may be large.
const REASON: usize = 240;

/// A reason in one line, cut if it is long.
pub(crate) fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(REASON).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// A record that was read from JSON, for a producer. Key and value are those of the text, unless it has escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonRecord<'a> {
    pub topic: Option<String>,
    /// Never negative.
    pub partition: Option<i32>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// `None` is null, which is not empty.
    pub key: Option<Cow<'a, [u8]>>,
    /// `None` is a tombstone, which is not empty.
    pub value: Option<Cow<'a, [u8]>>,
    /// In the record's order, duplicates too.
    pub headers: Vec<OwnedHeader>,
}
