//! Each codec's round trip, and hostile values.

use std::io::Write as _;

use super::*;
use proptest::prelude::*;

const BOUND: usize = 1 << 16;

pub(crate) fn framed(value: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(value).unwrap();
    encoder.into_inner().unwrap()
}

/// What Java's `SnappyOutputStream` writes, in blocks of this size.
pub(crate) fn xerial(value: &[u8], block: usize) -> Vec<u8> {
    let mut out = [SNAPPY_XERIAL, &1i32.to_be_bytes(), &1i32.to_be_bytes()].concat();
    for block in value.chunks(block) {
        let block = snappy_block(block);
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    out
}

pub(crate) fn gzip(value: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(value).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn lz4(value: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(value).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(value: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(value, 1).unwrap()
}

/// Each codec with every form of it.
pub(crate) fn forms(value: &[u8]) -> Vec<(Codec, Vec<u8>)> {
    vec![
        (Codec::Snappy, framed(value)),
        (Codec::Snappy, xerial(value, 1000)),
        (Codec::Snappy, snappy_block(value)),
        (Codec::Gzip, gzip(value)),
        (Codec::Zstd, zstd(value)),
        (Codec::Lz4, lz4(value)),
    ]
}

/// What the codec makes of the value, with memory that was used before.
fn decompressed(codec: Codec, value: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut out = b"left from before".to_vec();
    let outcome = codec.decompress(value, BOUND, &mut out);
    assert!(out.len() <= BOUND + 1 && out.capacity() <= 4 * BOUND, "{}", out.capacity());
    outcome.map(|()| out)
}

const TEXT: &[u8] = b"a value, a value, and the same value once more";

#[test]
fn streams_that_follow_one_another_are_one_value() {
    let twice = Ok(TEXT.repeat(2));
    for (codec, value) in [
        (Codec::Gzip, gzip(TEXT)),
        (Codec::Zstd, zstd(TEXT)),
        (Codec::Lz4, lz4(TEXT)),
        (Codec::Snappy, xerial(TEXT, 9)),
    ] {
        assert_eq!(decompressed(codec, &value.repeat(2)), twice, "{codec}");
    }
}

#[test]
fn rubbish_after_a_stream_is_a_failure() {
    for (codec, value) in forms(TEXT) {
        let value = [&value, b"rubbish".as_slice()].concat();
        assert!(matches!(decompressed(codec, &value), Err(Failure::Corrupt(_))), "{codec}");
    }
}

#[test]
fn a_bomb_is_refused_at_the_bound_and_a_value_of_exactly_the_bound_is_not() {
    let fits = vec![0; BOUND];
    for (codec, value) in forms(&fits) {
        assert_eq!(decompressed(codec, &value), Ok(fits.clone()), "{codec}");
    }
    for length in [BOUND + 1, 8 << 20] {
        for (codec, value) in forms(&vec![0; length]) {
            assert_eq!(decompressed(codec, &value), Err(Failure::TooLarge(BOUND)), "{codec}");
        }
    }
}

#[test]
fn a_length_that_a_block_cannot_hold_is_a_lie_found_before_it_is_believed() {
    // A varint that says almost 4 GiB, and nothing behind it.
    let lie = b"\xff\xff\xff\xff\x0f\x00a";
    let mut out = Vec::new();
    let outcome = Codec::Snappy.decompress(lie, usize::MAX - 1, &mut out);
    assert!(matches!(&outcome, Err(Failure::Corrupt(why)) if why.contains("claims")), "{outcome:?}");
    assert_eq!(out.capacity(), 0);
}

#[test]
fn names_are_read_as_they_are_written() {
    for codec in Codec::ALL {
        assert_eq!(codec.to_string().parse::<Codec>().unwrap(), codec);
    }
    let error = "brotli".parse::<Codec>().unwrap_err().to_string();
    assert!(error.contains("snappy, gzip, zstd or lz4"), "{error}");
}

#[test]
fn a_truncated_value_is_never_taken_for_the_whole() {
    for (codec, value) in forms(TEXT) {
        for cut in 1..value.len() {
            let found = decompressed(codec, &value[..cut]);
            // Framed and Java's Snappy end where a chunk ends, so the header alone is a whole one.
            let header_alone = (value.starts_with(SNAPPY_FRAMED) && cut == SNAPPY_FRAMED.len())
                || (value.starts_with(SNAPPY_XERIAL) && cut == XERIAL_HEADER);
            if header_alone {
                assert_eq!(found, Ok(Vec::new()));
            } else {
                assert!(
                    matches!(found, Err(Failure::Corrupt(_))),
                    "{codec} cut at {cut} of {}: {found:?}",
                    value.len()
                );
            }
        }
    }
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

proptest! {
    #[test]
    fn every_codec_gives_back_what_was_compressed(
        value in prop_oneof![any::<Vec<u8>>(), "[ab]{0,4000}".prop_map(String::into_bytes)],
    ) {
        // Some write nothing at all for nothing.
        for (codec, compressed) in forms(&value).into_iter().filter(|(_, compressed)| !compressed.is_empty()) {
            prop_assert_eq!(decompressed(codec, &compressed), Ok(value.clone()));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_nor_pass_the_bound(value in any::<Vec<u8>>(), codec in codecs()) {
        for prefix in [b"".as_slice(), SNAPPY_FRAMED, SNAPPY_XERIAL, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"] {
            let value = [prefix, &value].concat();
            let _ = decompressed(codec, &value);
            let _ = decompress_by_magic(&value, BOUND, &mut Vec::new());
        }
    }

    #[test]
    fn a_damaged_value_never_panics(which in 0usize..6, at: prop::sample::Index, byte: u8) {
        let (codec, mut value) = forms(TEXT).swap_remove(which);
        let at = at.index(value.len());
        value[at] = byte;
        let _ = decompressed(codec, &value);
    }
}
