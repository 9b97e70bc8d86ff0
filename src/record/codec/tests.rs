//! Each codec's round trip, what says which one it is, and hostile values.

use std::io::Write as _;

use super::*;
use proptest::prelude::*;

const BOUND: usize = 1 << 16;

fn framed(value: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(value).unwrap();
    encoder.into_inner().unwrap()
}

/// What Java's `SnappyOutputStream` writes, in blocks of this size.
fn xerial(value: &[u8], block: usize) -> Vec<u8> {
    let mut out = [SNAPPY_XERIAL, &1i32.to_be_bytes(), &1i32.to_be_bytes()].concat();
    for block in value.chunks(block) {
        let block = snappy_block(block);
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    out
}

fn gzip(value: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(value).unwrap();
    encoder.finish().unwrap()
}

fn lz4(value: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(value).unwrap();
    encoder.finish().unwrap()
}

fn zstd(value: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(value, 1).unwrap()
}

/// Each codec with every form of it.
fn forms(value: &[u8]) -> Vec<(Codec, Vec<u8>)> {
    vec![
        (Codec::Snappy, framed(value)),
        (Codec::Snappy, xerial(value, 1000)),
        (Codec::Snappy, snappy_block(value)),
        (Codec::Gzip, gzip(value)),
        (Codec::Zstd, zstd(value)),
        (Codec::Lz4, lz4(value)),
    ]
}

#[derive(Debug, PartialEq)]
enum Outcome {
    AsIs,
    Undone(Vec<u8>),
    Failed(String),
}

fn outcome(decode: Decode, header: Option<&str>, value: &[u8]) -> Outcome {
    let mut scratch = b"left from before".to_vec();
    let outcome = match undo(decode, header.map(str::as_bytes), value, BOUND, &mut scratch) {
        Decoded::AsIs => Outcome::AsIs,
        Decoded::Undone(value) => Outcome::Undone(value.to_vec()),
        Decoded::Failed(why) => Outcome::Failed(why),
    };
    assert!(scratch.len() <= BOUND + 1 && scratch.capacity() <= 4 * BOUND, "{}", scratch.capacity());
    outcome
}

fn failure(decode: Decode, header: Option<&str>, value: &[u8]) -> String {
    match outcome(decode, header, value) {
        Outcome::Failed(why) => why,
        other => panic!("not a failure: {other:?}"),
    }
}

const TEXT: &[u8] = b"a value, a value, and the same value once more";

#[test]
fn the_header_says_which_codec_it_is() {
    let undone = Outcome::Undone(TEXT.to_vec());
    for (codec, value) in forms(TEXT) {
        assert_eq!(outcome(Decode::Auto, Some(codec.name()), &value), undone, "{codec}");
        assert_eq!(outcome(Decode::Auto, Some(&codec.name().to_uppercase()), &value), undone, "{codec}");
    }
    assert_eq!(outcome(Decode::Auto, Some(" x-snappy-framed "), &framed(TEXT)), undone);
    assert_eq!(outcome(Decode::Auto, Some("x-gzip"), &gzip(TEXT)), undone);
}

#[test]
fn without_a_header_only_the_long_magics_of_snappy_count() {
    let undone = Outcome::Undone(TEXT.to_vec());
    for header in [None, Some("utf-8"), Some("")] {
        assert_eq!(outcome(Decode::Auto, header, &framed(TEXT)), undone);
        assert_eq!(outcome(Decode::Auto, header, &xerial(TEXT, 10)), undone);
        for value in [snappy_block(TEXT), gzip(TEXT), zstd(TEXT), lz4(TEXT), TEXT.to_vec()] {
            assert_eq!(outcome(Decode::Auto, header, &value), Outcome::AsIs);
        }
    }
}

#[test]
fn identity_and_none_undo_nothing() {
    assert_eq!(outcome(Decode::Auto, Some("identity"), &framed(TEXT)), Outcome::AsIs);
    assert_eq!(outcome(Decode::None, Some("snappy"), &framed(TEXT)), Outcome::AsIs);
}

#[test]
fn a_list_of_codecs_is_a_value_that_can_not_be_undone() {
    let twice = gzip(&snappy_block(TEXT));
    for list in ["snappy, gzip", "snappy,gzip", "gzip,gzip", "br, gzip", "gzip, utf-8", "utf-8,identity, lz4"]
    {
        let why = failure(Decode::Auto, Some(list), &twice);
        assert!(why.starts_with("header content-encoding says more than one codec"), "{list}: {why}");
    }
    assert_eq!(outcome(Decode::None, Some("snappy, gzip"), &twice), Outcome::AsIs);
    assert_eq!(
        outcome(Decode::Named(Codec::Gzip), Some("snappy, gzip"), &twice),
        Outcome::Undone(snappy_block(TEXT))
    );
    // What adds nothing makes no list.
    for list in ["identity, gzip", "gzip,", " , gzip , identity"] {
        assert_eq!(outcome(Decode::Auto, Some(list), &gzip(TEXT)), Outcome::Undone(TEXT.to_vec()), "{list}");
    }
    assert_eq!(outcome(Decode::Auto, Some("identity,identity"), &framed(TEXT)), Outcome::AsIs);
    assert_eq!(outcome(Decode::Auto, Some("utf-8, latin1"), &framed(TEXT)), Outcome::Undone(TEXT.to_vec()));
    assert!(failure(Decode::Auto, Some("identity, br"), TEXT).contains("says br"));
}

#[test]
fn an_empty_value_is_as_it_is() {
    assert_eq!(outcome(Decode::Auto, Some("gzip"), b""), Outcome::AsIs);
    assert_eq!(outcome(Decode::Named(Codec::Snappy), None, b""), Outcome::AsIs);
}

#[test]
fn a_named_codec_needs_no_header_and_ranks_above_it() {
    for (codec, value) in forms(TEXT) {
        let named = Decode::Named(codec);
        assert_eq!(outcome(named, None, &value), Outcome::Undone(TEXT.to_vec()), "{codec}");
        assert_eq!(outcome(named, Some("br"), &value), Outcome::Undone(TEXT.to_vec()), "{codec}");
    }
}

#[test]
fn a_magic_that_led_astray_is_no_failure_and_a_header_that_did_is_one() {
    for magic in [SNAPPY_FRAMED, SNAPPY_XERIAL] {
        let value = [magic, b"\0\0\0\x01 is how this text begins"].concat();
        assert_eq!(outcome(Decode::Auto, None, &value), Outcome::AsIs);
        assert!(
            failure(Decode::Auto, Some("snappy"), &value).contains("header content-encoding says snappy")
        );
        assert!(failure(Decode::Named(Codec::Snappy), None, &value).contains("--decode says snappy"));
    }
    assert!(failure(Decode::Auto, Some("br"), TEXT).contains("says br"));
    for codec in Codec::ALL {
        assert!(failure(Decode::Auto, Some(codec.name()), TEXT).contains(codec.name()));
    }
}

#[test]
fn streams_that_follow_one_another_are_one_value() {
    let twice = Outcome::Undone(TEXT.repeat(2));
    for (codec, value) in [
        (Codec::Gzip, gzip(TEXT)),
        (Codec::Zstd, zstd(TEXT)),
        (Codec::Lz4, lz4(TEXT)),
        (Codec::Snappy, xerial(TEXT, 9)),
    ] {
        assert_eq!(outcome(Decode::Named(codec), None, &value.repeat(2)), twice, "{codec}");
    }
}

#[test]
fn rubbish_after_a_stream_is_a_failure() {
    for (codec, value) in forms(TEXT) {
        failure(Decode::Named(codec), None, &[&value, b"rubbish".as_slice()].concat());
    }
}

#[test]
fn a_bomb_is_refused_at_the_bound_and_a_value_of_exactly_the_bound_is_not() {
    let fits = vec![0; BOUND];
    for (codec, value) in forms(&fits) {
        assert_eq!(outcome(Decode::Named(codec), None, &value), Outcome::Undone(fits.clone()), "{codec}");
    }
    for length in [BOUND + 1, 8 << 20] {
        for (codec, value) in forms(&vec![0; length]) {
            assert!(failure(Decode::Named(codec), None, &value).contains("--max-decoded"), "{codec}");
        }
    }
    // Truly Snappy, and too large: not astray.
    assert!(failure(Decode::Auto, None, &framed(&vec![0; BOUND + 1])).contains("--max-decoded"));
}

#[test]
fn a_length_that_a_block_cannot_hold_is_a_lie_found_before_it_is_believed() {
    // A varint that says almost 4 GiB, and nothing behind it.
    let lie = b"\xff\xff\xff\xff\x0f\x00a";
    let mut scratch = Vec::new();
    let decoded = undo(Decode::Named(Codec::Snappy), None, lie, usize::MAX - 1, &mut scratch);
    assert!(matches!(&decoded, Decoded::Failed(why) if why.contains("claims")), "{decoded:?}");
    assert_eq!(scratch.capacity(), 0);
}

#[test]
fn names_are_read_as_they_are_written() {
    for decode in Decode::all() {
        assert_eq!(decode.to_string().parse::<Decode>().unwrap(), decode);
    }
    for codec in Codec::ALL {
        assert_eq!(codec.to_string().parse::<Codec>().unwrap(), codec);
    }
    assert!(
        "brotli".parse::<Decode>().unwrap_err().to_string().contains("auto, none, snappy, gzip, zstd or lz4")
    );
}

#[test]
fn a_truncated_value_is_never_taken_for_the_whole() {
    for (codec, value) in forms(TEXT) {
        for cut in 1..value.len() {
            let found = outcome(Decode::Named(codec), None, &value[..cut]);
            // Framed and Java's Snappy end where a chunk ends, so the header alone is a whole one.
            let header_alone = (value.starts_with(SNAPPY_FRAMED) && cut == SNAPPY_FRAMED.len())
                || (value.starts_with(SNAPPY_XERIAL) && cut == XERIAL_HEADER);
            if header_alone {
                assert_eq!(found, Outcome::Undone(Vec::new()));
            } else {
                assert!(
                    matches!(found, Outcome::Failed(_)),
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
            prop_assert_eq!(outcome(Decode::Named(codec), None, &compressed), Outcome::Undone(value.clone()));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_nor_pass_the_bound(value in any::<Vec<u8>>(), codec in codecs()) {
        outcome(Decode::Auto, None, &value);
        for prefix in [b"".as_slice(), SNAPPY_FRAMED, SNAPPY_XERIAL, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"] {
            let value = [prefix, &value].concat();
            outcome(Decode::Auto, None, &value);
            outcome(Decode::Named(codec), None, &value);
        }
    }

    #[test]
    fn a_damaged_value_never_panics(which in 0usize..6, at: prop::sample::Index, byte: u8) {
        let (codec, mut value) = forms(TEXT).swap_remove(which);
        let at = at.index(value.len());
        value[at] = byte;
        outcome(Decode::Named(codec), None, &value);
    }
}
