//! The tokens of a format: the one table that the parser, its errors and the help use. Pure: no clock, no IO.

use std::fmt::Write as _;

/// One thing that a format can show.
#[derive(Debug)]
pub(crate) struct Token {
    /// Each of these after a `%`.
    pub letters: &'static str,
    /// The name between `%{` and `}`.
    pub name: Option<&'static str>,
    /// What it shows, in a line of the help.
    pub meaning: &'static str,
    pub(super) field: Field,
}

/// What a token shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    KeyLength,
    ValueLength,
    ValueLengthBinary,
    Timestamp,
    Time,
    Headers,
    /// The name of the header follows the token's own.
    Header,
    Percent,
}

impl Field {
    /// Whether the token shows bytes, and can do so in another [`Coding`].
    pub(super) fn is_bytes(self) -> bool {
        matches!(self, Self::Key | Self::Value | Self::Header)
    }
}

/// How bytes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Hex,
    Base64,
}

impl Coding {
    /// The coding after a token's name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "hex" => Some(Self::Hex),
            "base64" => Some(Self::Base64),
            _ => None,
        }
    }
}

const fn token(
    letters: &'static str,
    name: Option<&'static str>,
    field: Field,
    meaning: &'static str,
) -> Token {
    Token { letters, name, meaning, field }
}

/// Every token, in the order of the help.
pub(crate) const TOKENS: [Token; 13] = [
    token("t", Some("topic"), Field::Topic, "topic"),
    token("p", Some("partition"), Field::Partition, "partition"),
    token("o", Some("offset"), Field::Offset, "offset"),
    token("k", Some("key"), Field::Key, "key; nothing for null (NULL with -Z)"),
    token("sv", Some("value"), Field::Value, "value; nothing for null (NULL with -Z)"),
    token("K", None, Field::KeyLength, "length of the key in bytes; -1 for null"),
    token("S", None, Field::ValueLength, "length of the value in bytes; -1 for null"),
    token("R", None, Field::ValueLengthBinary, "the same as a big-endian 32-bit integer in binary"),
    token("T", Some("timestamp"), Field::Timestamp, "milliseconds since 1970; -1 for none"),
    token("", Some("time"), Field::Time, "the same in RFC 3339, UTC; nothing for none"),
    token("h", Some("headers"), Field::Headers, "headers as name=value,name=NULL"),
    token("", Some("header:NAME"), Field::Header, "value of the last header NAME; nothing for none"),
    token("%", None, Field::Percent, "a percent sign"),
];

/// What is true for all tokens that show bytes.
const CODINGS: &str =
    "%{key}, %{value} and %{header:NAME} take :hex or :base64 before the }, as in %{key:hex}";

/// Every token, for an error.
pub(super) fn list() -> String {
    let mut list = String::new();
    for letter in TOKENS.iter().flat_map(|token| token.letters.chars()) {
        let _ = write!(list, "%{letter} ");
    }
    list.push_str("and");
    for name in TOKENS.iter().filter_map(|token| token.name) {
        let _ = write!(list, " %{{{name}}}");
    }
    list + "; " + CODINGS
}

/// The table of tokens with their meanings, for the help: lines of up to 80 columns.
pub(crate) fn table() -> String {
    let mut table = String::new();
    for token in &TOKENS {
        let letters: Vec<String> = token.letters.chars().map(|letter| format!("%{letter}")).collect();
        let name = token.name.map(|name| format!("%{{{name}}}")).unwrap_or_default();
        let _ = writeln!(table, "  {:5}  {name:14}  {}", letters.join(" "), token.meaning);
    }
    table + CODINGS + "."
}
