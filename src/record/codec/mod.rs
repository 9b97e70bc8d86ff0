//! Values that were compressed one by one: the codecs, and decompression within a bound. Pure: no clock, no IO.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use anyhow::{Context as _, Result};

/// Opens a stream in Snappy's framing format: the stream identifier chunk (`framing_format.txt`, 4.1).
const SNAPPY_FRAMED: &[u8] = b"\xff\x06\x00\x00sNaPpY";
/// Opens what Java's `SnappyOutputStream` writes (xerial snappy-java), before two 32-bit versions.
const SNAPPY_XERIAL: &[u8] = b"\x82SNAPPY\x00";
const XERIAL_HEADER: usize = 16;

/// How a value was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// The framing format, Java's xerial stream, or a raw block.
    Snappy,
    Gzip,
    Zstd,
    /// The LZ4 frame format.
    Lz4,
}

impl Codec {
    /// Every codec, in the order of help and errors.
    pub(crate) const ALL: [Self; 4] = [Self::Snappy, Self::Gzip, Self::Zstd, Self::Lz4];

    /// The codecs that a value can be compressed with: `--value-codec`.
    pub(crate) const COMPRESSES: [Self; 1] = [Self::Snappy];

    /// The name in flags and in the header `content-encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// Other names in the header `content-encoding`.
    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Snappy => &["x-snappy", "x-snappy-framed"],
            Self::Gzip => &["x-gzip"],
            Self::Zstd | Self::Lz4 => &[],
        }
    }

    /// The codec that a coding of `content-encoding` names, in any letter case.
    pub(crate) fn of_coding(coding: &[u8]) -> Option<Self> {
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        Self::ALL.into_iter().find(|codec| is(codec.name()) || codec.aliases().iter().any(|name| is(name)))
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|codec| codec.name() == s);
        known.with_context(|| format!("unknown codec {s:?}: give {}", one_of(Self::ALL.map(Self::name))))
    }
}

/// Names in a sentence: `a, b or c`.
pub(crate) fn one_of(names: impl IntoIterator<Item = &'static str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        names => names.concat(),
    }
}

/// Why a value was not decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It decompresses to more than this bound.
    TooLarge(usize),
    /// It is not the codec's format, and why.
    Corrupt(String),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self::Corrupt(e.to_string())
    }
}

impl From<snap::Error> for Failure {
    fn from(e: snap::Error) -> Self {
        Self::Corrupt(e.to_string())
    }
}

/// Decompresses a value that begins like framed or like Java's xerial Snappy; `None` for any other value.
/// The first bytes can be misleading: then the failure is [`Failure::Corrupt`].
pub(crate) fn decompress_by_magic(
    value: &[u8],
    max: usize,
    out: &mut Vec<u8>,
) -> Option<Result<(), Failure>> {
    if value.starts_with(SNAPPY_FRAMED) {
        Some(decompress_snappy_framed(value, max, out))
    } else if value.starts_with(SNAPPY_XERIAL) {
        Some(decompress_snappy_xerial(value, max, out))
    } else {
        None
    }
}

impl Codec {
    /// Decompresses a value into `out`, which is cleared first. `out` never gets more than `max + 1`
    /// bytes, and is not made large only because a length field says so.
    pub(crate) fn decompress(self, value: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
        match self {
            Self::Snappy => decompress_snappy(value, max, out),
            Self::Gzip => read_bounded(flate2::bufread::MultiGzDecoder::new(value), max, out),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(value)?;
                // A frame's header asks for its window: allowed is what the bound needs, and at
                // least the 8 MiB that every decoder should support (RFC 8878, 3.1.1.1.2).
                let window = max.checked_next_power_of_two().map_or(27, usize::ilog2).clamp(23, 27);
                decoder.window_log_max(window)?;
                read_bounded(decoder, max, out)
            }
            Self::Lz4 => decompress_lz4(value, max, out),
        }
    }
}

/// Reads to the end, or fails at the first byte beyond `max`.
fn read_bounded(reader: impl Read, max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    out.clear();
    append_bounded(reader, max, out)
}

fn append_bounded(reader: impl Read, max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    reader.take(((max - out.len()) as u64).saturating_add(1)).read_to_end(out)?;
    if out.len() > max { Err(Failure::TooLarge(max)) } else { Ok(()) }
}

/// The framing format, else Java's, else a raw block, which has no magic. A raw block
/// may begin like a magic, so raw is tried last even after a magic.
fn decompress_snappy(value: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let by_magic = if value.starts_with(SNAPPY_FRAMED) {
        decompress_snappy_framed(value, max, out)
    } else if value.starts_with(SNAPPY_XERIAL) {
        decompress_snappy_xerial(value, max, out)
    } else {
        out.clear();
        return append_snappy_block(value, max, out);
    };
    by_magic.or_else(|e| {
        out.clear();
        if matches!(e, Failure::Corrupt(_)) && append_snappy_block(value, max, out).is_ok() {
            return Ok(());
        }
        Err(e)
    })
}

fn decompress_snappy_framed(value: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    read_bounded(snap::read::FrameDecoder::new(value), max, out)
}

/// After the header, blocks that each follow their length (32 bits, big-endian).
fn decompress_snappy_xerial(value: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let truncated = || Failure::Corrupt("the xerial stream is truncated".into());
    out.clear();
    let mut rest = value.get(XERIAL_HEADER..).ok_or_else(truncated)?;
    while !rest.is_empty() {
        // Streams that were appended to one another each have a header.
        if rest.starts_with(SNAPPY_XERIAL) {
            rest = rest.get(XERIAL_HEADER..).ok_or_else(truncated)?;
            continue;
        }
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        let block = after.get(..u32::from_be_bytes(*length) as usize).ok_or_else(truncated)?;
        rest = &after[block.len()..];
        append_snappy_block(block, max, out)?;
    }
    Ok(())
}

/// Appends the content of one raw block, so that `out` stays within `max` bytes.
fn append_snappy_block(block: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let length = snap::raw::decompress_len(block)?;
    // Three bytes copy 64 at the most (`format_description.txt`, 2.2), so a larger
    // length is wrong; this is found before memory is allocated for it.
    if length > block.len().saturating_mul(22) {
        return Err(Failure::Corrupt(format!(
            "a Snappy block of {} bytes can't hold the {length} that it claims",
            block.len()
        )));
    }
    if length > max - out.len() {
        return Err(Failure::TooLarge(max));
    }
    let before = out.len();
    out.resize(before + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[before..])?;
    out.truncate(before + written);
    Ok(())
}

/// Opens an LZ4 frame of the legacy format, which has no end mark (`lz4_Frame_format.md`).
const LZ4_LEGACY: &[u8] = b"\x02\x21\x4c\x18";

/// One LZ4 frame after another, to the value's end. The decoder accepts an input that
/// ends between two blocks as complete, so a read beyond the end is noted.
fn decompress_lz4(value: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    out.clear();
    let mut input = Input { rest: value, starved: false };
    while !input.rest.is_empty() {
        let legacy = input.rest.starts_with(LZ4_LEGACY);
        append_bounded(lz4_flex::frame::FrameDecoder::new(&mut input), max, out)?;
        if input.starved && !legacy {
            return Err(Failure::Corrupt("the LZ4 frame is truncated".into()));
        }
    }
    Ok(())
}

/// A slice that remembers whether more than all of it was asked for.
struct Input<'a> {
    rest: &'a [u8],
    starved: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.rest.read(buffer)?;
        self.starved |= n < buffer.len();
        Ok(n)
    }
}

/// Compresses a value for `--value-codec snappy`, whose header is
/// `content-encoding: snappy`.
///
/// It is a raw block and not a framed stream: that is the meaning of
/// `content-encoding: snappy` for those who set it (Prometheus' remote write,
/// OpenTelemetry, which calls the framed form `x-snappy-framed`), and the one-call
/// functions of the Snappy libraries read it (`snappy.Decode` in Go,
/// `Snappy.uncompress` in Java, `snappy.uncompress` in Python). Kafka's batches have
/// a checksum already.
///
/// # Panics
/// For 4 GiB or more, which no record can hold.
pub(crate) fn snappy_block(value: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(value).expect("a record's value is shorter than 4 GiB")
}

#[cfg(test)]
pub(crate) mod tests;
