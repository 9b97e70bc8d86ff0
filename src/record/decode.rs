//! Values that were compressed one by one: which codec, the decompressed value, and the headers to keep. Pure: no clock, no IO.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use anyhow::Context as _;

use crate::record::codec::{self, Codec, Failure, one_of};
use crate::record::{Header, OwnedHeader, Record, RecordRef};

/// The header that names the codec of a value that was compressed by itself.
pub(crate) const CONTENT_ENCODING: &[u8] = b"content-encoding";

/// The default of `--max-decoded`: the largest size of a decompressed value, in bytes.
pub(crate) const MAX_DECODED: usize = 64 << 20;

/// The most codings of one value that are removed: a header can name any number of them, and each
/// one costs memory and time up to the bound on the size.
const MOST_CODINGS: usize = 8;

/// Compressions in HTTP's registry that kq does not support.
const FOREIGN: [&str; 3] = ["br", "deflate", "compress"];

/// How many characters of an unknown coding are shown.
const LONGEST_NAME: usize = 40;

/// What to decompress: `--decode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Decode {
    /// By the header `content-encoding`, or by first bytes that are unmistakable.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// This codec, once, for every value.
    Named(Codec),
}

impl Decode {
    /// Every way to decode, in the order of help and errors.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Auto, Self::None].into_iter().chain(Codec::ALL.map(Self::Named))
    }

    /// The name in `--decode`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Named(codec) => codec.name(),
        }
    }
}

impl fmt::Display for Decode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Decode {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> anyhow::Result<Self> {
        let known = Self::all().find(|decode| decode.name() == s);
        known.with_context(|| {
            format!("unknown way to decode {s:?}: give {}", one_of(Self::all().map(Self::name)))
        })
    }
}

/// Decompresses values within a bound.
///
/// With [`Decode::Auto`], the headers `content-encoding` decide. All of them, each
/// a list with commas, are one list of codings in the order in which they were
/// applied (RFC 9110, 8.4); they are removed from the last to the first. Names
/// are those of [`Codec`] and its aliases, in any letter case; `identity` and empty
/// elements are skipped. A list that names a compression and anything else that
/// is unknown can't be removed, not even in part. A list of only unknown names,
/// such as a charset, says nothing about compression: then, and where there is no
/// list, the magic bytes of framed or of Java's xerial Snappy decide. Magics of two
/// or four bytes (gzip, zstd, LZ4) prove nothing about a value of any bytes, so they
/// are not checked.
///
/// A wrong guess from the magic is not a failure. A wrong header, a wrong named
/// codec, or a value that is larger than the bound after any step is one. An empty
/// value, which no codec writes, is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decoder {
    pub decode: Decode,
    /// The most bytes that a value may have, after each step.
    pub max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { decode: Decode::default(), max: MAX_DECODED }
    }
}

/// Buffers that are reused for each value.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    value: Vec<u8>,
    /// The value between two steps.
    step: Vec<u8>,
}

/// A record's value, as it is passed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    /// The decompressed value, or the value of the record, unchanged.
    pub value: Option<&'a [u8]>,
    pub form: Form,
    /// Why a value that should be decompressed is unchanged. The caller counts it.
    pub failure: Option<String>,
}

/// Whether a value was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    AsItCame,
    Decompressed,
}

impl Form {
    /// Whether a header of this name is right for a value of this form: the header that says
    /// "compressed" is removed with the compression.
    pub(crate) fn keeps(self, name: &[u8]) -> bool {
        self == Self::AsItCame || name != CONTENT_ENCODING
    }

    /// The headers that are right for a value of this form.
    pub(crate) fn headers<'a>(self, headers: &'a [Header<'a>]) -> Cow<'a, [Header<'a>]> {
        if headers.iter().all(|header| self.keeps(header.name)) {
            return headers.into();
        }
        headers.iter().filter(|header| self.keeps(header.name)).copied().collect()
    }

    /// The same for headers that own their bytes.
    pub(crate) fn owned_headers(self, headers: &[OwnedHeader]) -> impl Iterator<Item = &OwnedHeader> + Clone {
        headers.iter().filter(move |(name, _)| self.keeps(name))
    }
}

impl Decoder {
    /// Whether the headers of records are needed.
    pub(crate) fn needs_headers(&self) -> bool {
        self.decode == Decode::Auto
    }

    /// Decodes the value of a record.
    pub(crate) fn decode<'a>(&self, record: &RecordRef<'a>, scratch: &'a mut Scratch) -> Decoded<'a> {
        let headers = record.headers.iter().map(|header| (header.name, header.value));
        self.decode_value(record.value, headers, scratch)
    }

    /// Decodes the value of a record that owns its bytes.
    pub(crate) fn decode_owned<'a>(&self, record: &'a Record, scratch: &'a mut Scratch) -> Decoded<'a> {
        let headers = record.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
        self.decode_value(record.value.as_deref(), headers, scratch)
    }

    fn decode_value<'a, 'h>(
        &self,
        value: Option<&'a [u8]>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
        scratch: &'a mut Scratch,
    ) -> Decoded<'a> {
        let as_it_came = |failure| Decoded { value, form: Form::AsItCame, failure };
        let Some(bytes) = value.filter(|value| !value.is_empty()) else { return as_it_came(None) };
        let mut codings = Codings::new();
        let said_by = match self.decode {
            Decode::None => return as_it_came(None),
            Decode::Named(codec) => {
                codings.add(codec);
                "--decode"
            }
            Decode::Auto => {
                for list in headers.filter(|(name, _)| *name == CONTENT_ENCODING).filter_map(|(_, list)| list)
                {
                    list.split(|byte| *byte == b',').for_each(|coding| codings.read(coding.trim_ascii()));
                }
                "header content-encoding"
            }
        };
        let outcome = match codings.said() {
            Said::Codecs(codecs) => remove(codecs, bytes, self.max, scratch)
                .map_err(|(codec, failure)| Some(reason(said_by, codec, failure))),
            Said::Identity => Err(None),
            Said::Nothing => match codec::decompress_by_magic(bytes, self.max, &mut scratch.value) {
                Some(Ok(())) => Ok(scratch.value.as_slice()),
                Some(Err(too_large @ Failure::TooLarge(_))) => {
                    Err(Some(reason("its magic", Codec::Snappy, too_large)))
                }
                None | Some(Err(Failure::Corrupt(_))) => Err(None),
            },
            Said::Unknown(name) => Err(Some(format!("{said_by} says {name}, which kq can't decompress"))),
            Said::TooMany => Err(Some(format!(
                "{said_by} says {} codecs, and kq removes {MOST_CODINGS} at most",
                codings.count
            ))),
        };
        match outcome {
            Ok(value) => Decoded { value: Some(value), form: Form::Decompressed, failure: None },
            Err(failure) => as_it_came(failure),
        }
    }
}

/// Removes the codecs from the last to the first.
fn remove<'a>(
    codecs: &[Codec],
    value: &[u8],
    max: usize,
    scratch: &'a mut Scratch,
) -> Result<&'a [u8], (Codec, Failure)> {
    let Scratch { value: out, step } = scratch;
    for (i, codec) in codecs.iter().rev().enumerate() {
        if i == 0 {
            codec.decompress(value, max, out).map_err(|e| (*codec, e))?;
            continue;
        }
        std::mem::swap(out, step);
        out.clear();
        // Some codecs write nothing for an empty value.
        if !step.is_empty() {
            codec.decompress(step, max, out).map_err(|e| (*codec, e))?;
        }
    }
    Ok(out)
}

fn reason(said_by: &str, codec: Codec, failure: Failure) -> String {
    match failure {
        Failure::TooLarge(max) => {
            format!("{codec} decodes to more than {max} bytes; --max-decoded allows more")
        }
        Failure::Corrupt(why) => format!("{said_by} says {codec}, but: {why}"),
    }
}

/// The codings of one value in the order in which they were applied, as they are read.
struct Codings {
    codecs: [Codec; MOST_CODINGS],
    /// How many codecs were read, including those for which the array has no room.
    count: usize,
    has_identity: bool,
    /// A compression in HTTP's registry that kq does not support.
    foreign: Option<&'static str>,
    /// The first coding that is not one of these, such as a charset, which some producers put there.
    unknown: Option<String>,
}

/// What a list of codings means.
enum Said<'a> {
    /// Nothing about compression.
    Nothing,
    /// The value is not compressed.
    Identity,
    /// These were applied, in this order.
    Codecs(&'a [Codec]),
    TooMany,
    /// There is compression, with a coding that kq can't remove.
    Unknown(&'a str),
}

impl Codings {
    fn new() -> Self {
        let codecs = [Codec::Snappy; MOST_CODINGS];
        Self { codecs, count: 0, has_identity: false, foreign: None, unknown: None }
    }

    fn add(&mut self, codec: Codec) {
        if let Some(next) = self.codecs.get_mut(self.count) {
            *next = codec;
        }
        self.count += 1;
    }

    /// Reads one element of a list.
    fn read(&mut self, coding: &[u8]) {
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        if let Some(codec) = Codec::of_coding(coding) {
            self.add(codec);
        } else if is("identity") {
            self.has_identity = true;
        } else if let Some(name) = FOREIGN.into_iter().find(|name| is(name)) {
            self.foreign = Some(name);
        } else if !coding.is_empty() && self.unknown.is_none() {
            let name: String = String::from_utf8_lossy(coding).chars().take(LONGEST_NAME).collect();
            self.unknown = Some(name.escape_debug().to_string());
        }
    }

    fn said(&self) -> Said<'_> {
        match (self.foreign, self.unknown.as_deref()) {
            (Some(name), _) => Said::Unknown(name),
            (None, Some(name)) if self.count > 0 => Said::Unknown(name),
            (None, None) if self.count > 0 => match self.codecs.get(..self.count) {
                Some(codecs) => Said::Codecs(codecs),
                None => Said::TooMany,
            },
            (None, None) if self.has_identity => Said::Identity,
            _ => Said::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
