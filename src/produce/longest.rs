//! How long a frame can be: what the topic takes, and what compression and its form save. Pure: no clock, no IO.

use std::fmt;

/// What is held of a frame where nothing says how long its record can be.
pub(super) const HELD: usize = 64 << 20;

/// A frame of up to this size costs so little that the broker is asked.
const SMALL: usize = 1 << 20;

/// What a value that Snappy compresses may have.
const MOST: usize = u32::MAX as usize;

/// How many bytes of a text of JSON a byte of a record may take: `\u0001` is one byte.
pub(crate) const JSON: usize = 6;

/// How many bytes Snappy makes one of at most: a copy of 64 bytes is written as three.
pub(crate) const SNAPPY: usize = 22;

/// The length above which a frame is dropped while it is read, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Longest {
    pub bytes: usize,
    pub reason: Reason,
}

/// Why a longer frame is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The topic refuses its record, however well that is compressed.
    Topic,
    /// The client's own `message.max.bytes`.
    Client,
    /// It is not known whether the topic takes it, and memory is bounded.
    Unknown,
}

/// What decides how long a frame can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    /// The topic's `max.message.bytes`, which holds for a compressed batch; `None`: it is not known.
    pub topic: Option<usize>,
    /// The client's `message.max.bytes`, which holds for a record that is not compressed.
    pub client: usize,
    /// The client's limit was set by the user: so much is held, whatever else is not known.
    pub is_chosen: bool,
    /// The client's `compression.codec`.
    pub codec: &'a str,
    /// A record may go to another topic, with another limit.
    pub any_topic: bool,
    /// How many bytes of a frame a byte of its record may take.
    pub factor: usize,
    /// Bytes of a frame that are in no record: its delimiters.
    pub besides: usize,
}

impl Limits<'_> {
    /// The length that no frame may exceed.
    pub(super) fn longest(self) -> Longest {
        let (record, reason) = match (self.topic.filter(|_| !self.any_topic), saving(self.codec)) {
            (Some(limit), Some(saving)) => (limit.saturating_mul(saving), Reason::Topic),
            _ if self.is_chosen => (self.client, Reason::Client),
            // What is larger than this and compressed by more than 64 is rare.
            (Some(limit), None) => (limit.saturating_mul(64).max(HELD), Reason::Unknown),
            (None, _) => (HELD, Reason::Unknown),
        };
        let (record, reason) =
            if self.client < record { (self.client, Reason::Client) } else { (record, reason) };
        // What is held where nothing is sure is a bound of memory, and so of the frame itself.
        let factor = if reason == Reason::Unknown { 1 } else { self.factor };
        let bytes = record.saturating_mul(factor).saturating_add(self.besides);
        let least = if reason == Reason::Topic { SMALL } else { 0 };
        Longest { bytes: bytes.clamp(least, MOST), reason }
    }
}

/// How many bytes a codec makes one of, at most; `None`: without a bound that would help.
fn saving(codec: &str) -> Option<usize> {
    match codec {
        "none" => Some(1),
        "snappy" => Some(SNAPPY),
        // A byte lengthens a match by up to 255.
        "lz4" => Some(255),
        // Two bits are a match of 258 bytes.
        "gzip" => Some(1032),
        // A block of 128 KiB of one byte takes four.
        _ => None,
    }
}

impl fmt::Display for Longest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        match self.reason {
            Reason::Topic => write!(f, "longer than any record that the topic takes ({bytes} bytes)"),
            Reason::Client => {
                write!(f, "longer than any record can be ({bytes} bytes, by message.max.bytes)")
            }
            Reason::Unknown => write!(
                f,
                "longer than {bytes} bytes, and whether the topic takes it is not known before it is sent: \
                 -X message.max.bytes=BYTES allows more"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::record::codec;

    const DEFAULT: Limits<'_> = Limits {
        topic: Some(1_048_588),
        client: 1_000_000_000,
        is_chosen: false,
        codec: "none",
        any_topic: false,
        factor: 1,
        besides: 0,
    };

    fn longest(limits: Limits<'_>) -> (usize, Reason) {
        let Longest { bytes, reason } = limits.longest();
        (bytes, reason)
    }

    #[test]
    fn a_frame_may_be_as_long_as_the_codec_could_ever_make_fit() {
        for (codec, expected) in [
            ("none", (1_048_588, Reason::Topic)),
            ("snappy", (22 * 1_048_588, Reason::Topic)),
            ("lz4", (255 * 1_048_588, Reason::Topic)),
            ("gzip", (1_000_000_000, Reason::Client)),
            ("zstd", (64 * 1_048_588, Reason::Unknown)),
            ("inherit", (64 * 1_048_588, Reason::Unknown)),
        ] {
            assert_eq!(longest(Limits { codec, ..DEFAULT }), expected, "{codec}");
        }
        assert_eq!(longest(Limits { codec: "zstd", topic: Some(100), ..DEFAULT }), (HELD, Reason::Unknown));
        assert_eq!(longest(Limits { topic: Some(100), ..DEFAULT }), (SMALL, Reason::Topic));
    }

    #[test]
    fn what_is_not_known_is_bounded_unless_the_user_chose_a_limit() {
        let chosen = (1_000_000_000, Reason::Client);
        for unknown in [
            Limits { topic: None, ..DEFAULT },
            Limits { any_topic: true, ..DEFAULT },
            Limits { topic: Some(1), codec: "zstd", ..DEFAULT },
        ] {
            assert_eq!(longest(unknown), (HELD, Reason::Unknown));
            assert_eq!(longest(Limits { is_chosen: true, ..unknown }), chosen);
            let low = Limits { is_chosen: true, client: 2000, ..unknown };
            assert_eq!(longest(low), (2000, Reason::Client));
        }
        let sure = Limits { is_chosen: true, ..DEFAULT };
        assert_eq!(longest(sure), (1_048_588, Reason::Topic));
    }

    #[test]
    fn a_form_that_is_longer_than_its_record_counts() {
        let frame = Limits { factor: JSON, besides: 3, ..DEFAULT };
        assert_eq!(longest(frame).0, 6 * 1_048_588 + 3);
        assert_eq!(longest(Limits { topic: None, ..frame }).0, HELD + 3);
        let most = Limits { topic: Some(usize::MAX), client: usize::MAX, factor: JSON, ..DEFAULT };
        assert_eq!(longest(most).0, MOST);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// What repeats is compressed best.
        #[test]
        fn no_codec_saves_more_than_is_counted_with(
            pattern in prop::collection::vec(any::<u8>(), 1..40),
            length in 1usize..2_000_000,
        ) {
            let text: Vec<u8> = pattern.iter().copied().cycle().take(length).collect();
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(&text).unwrap();
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(&text).unwrap();
            for (codec, compressed) in [
                ("snappy", codec::snappy_block(&text)),
                ("gzip", gzip.finish().unwrap()),
                ("lz4", lz4.finish().unwrap()),
            ] {
                let most = compressed.len() * saving(codec).unwrap();
                prop_assert!(most >= length, "{codec}: {length} became {}", compressed.len());
            }
        }
    }
}
