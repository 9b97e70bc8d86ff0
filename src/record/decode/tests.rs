//! What says how a value was compressed, in any spelling of it, and what is left of the headers.

use proptest::prelude::*;

use super::*;
use crate::record::Timestamp;
use crate::record::codec::snappy_block;
use crate::record::codec::tests::{forms, framed, gzip, lz4, xerial, zstd};

const BOUND: usize = 1 << 16;
const TEXT: &[u8] = b"a value, a value, and the same value once more";

#[derive(Debug, PartialEq)]
enum Outcome {
    AsIs,
    Decompressed(Vec<u8>),
    Failed(String),
}

/// A record of this value with a header `content-encoding` for each of these.
fn with_record<T>(lists: &[&str], value: Option<&[u8]>, f: impl FnOnce(&RecordRef<'_>) -> T) -> T {
    let mut headers = vec![Header { name: b"a", value: Some(b"gzip") }];
    headers.extend(lists.iter().map(|list| Header { name: CONTENT_ENCODING, value: Some(list.as_bytes()) }));
    headers.push(Header { name: b"b", value: None });
    let timestamp = Timestamp::None;
    f(&RecordRef {
        topic: "t",
        partition: 0,
        offset: 0,
        leader_epoch: None,
        timestamp,
        key: None,
        value,
        headers: &headers,
    })
}

/// What becomes of the value; its headers are checked here.
fn outcome(decode: Decode, lists: &[&str], value: &[u8]) -> Outcome {
    let settings = Decoder { decode, max: BOUND };
    with_record(lists, Some(value), |record| {
        let mut scratch = Scratch { value: b"left from before".to_vec(), step: b"and this".to_vec() };
        let decoded = settings.decode(record, &mut scratch);
        let headers = decoded.form.headers(record.headers);
        let names: Vec<_> = headers.iter().map(|header| header.name).collect();
        let outcome = match decoded.form {
            Form::Decompressed => {
                assert_eq!(names, [b"a", b"b"]);
                assert_eq!(decoded.failure, None);
                Outcome::Decompressed(decoded.value.unwrap().to_vec())
            }
            Form::AsItCame => {
                assert_eq!(*headers, *record.headers);
                assert_eq!(decoded.value, Some(value));
                decoded.failure.map_or(Outcome::AsIs, Outcome::Failed)
            }
        };
        for held in [&scratch.value, &scratch.step] {
            assert!(held.len() <= BOUND + 1 && held.capacity() <= 4 * BOUND, "{}", held.capacity());
        }
        outcome
    })
}

fn auto(lists: &[&str], value: &[u8]) -> Outcome {
    outcome(Decode::Auto, lists, value)
}

#[track_caller]
fn failure(decode: Decode, lists: &[&str], value: &[u8]) -> String {
    match outcome(decode, lists, value) {
        Outcome::Failed(why) => why,
        other => panic!("not a failure: {other:?}"),
    }
}

fn text() -> Outcome {
    Outcome::Decompressed(TEXT.to_vec())
}

#[test]
fn the_header_says_which_codec_it_is() {
    for (codec, value) in forms(TEXT) {
        assert_eq!(auto(&[codec.name()], &value), text(), "{codec}");
        assert_eq!(auto(&[&codec.name().to_uppercase()], &value), text(), "{codec}");
    }
    assert_eq!(auto(&[" x-snappy-framed "], &framed(TEXT)), text());
    assert_eq!(auto(&["X-GZip"], &gzip(TEXT)), text());
}

#[test]
fn without_a_header_only_the_long_magics_of_snappy_count() {
    for lists in [&[][..], &["utf-8"], &[""], &["utf-8, latin1"], &["utf-8", "identity"]] {
        assert_eq!(auto(lists, &framed(TEXT)), text());
        assert_eq!(auto(lists, &xerial(TEXT, 10)), text());
        for value in [snappy_block(TEXT), gzip(TEXT), zstd(TEXT), lz4(TEXT), TEXT.to_vec()] {
            assert_eq!(auto(lists, &value), Outcome::AsIs);
        }
    }
}

#[test]
fn identity_and_none_decompress_nothing() {
    assert_eq!(auto(&["identity"], &framed(TEXT)), Outcome::AsIs);
    assert_eq!(auto(&["identity,Identity", ","], &framed(TEXT)), Outcome::AsIs);
    assert_eq!(outcome(Decode::None, &["snappy"], &framed(TEXT)), Outcome::AsIs);
    assert_eq!(outcome(Decode::None, &["snappy, gzip"], &gzip(TEXT)), Outcome::AsIs);
}

#[test]
fn a_list_of_codings_is_removed_from_the_last_to_the_first() {
    let twice = gzip(&snappy_block(TEXT));
    for lists in [
        &["snappy, gzip"][..],
        &["snappy,x-gzip"],
        &["snappy", "gzip"],
        &["identity, snappy", "", "GZIP ,identity"],
        &[",snappy ,, gzip,"],
    ] {
        assert_eq!(auto(lists, &twice), text(), "{lists:?}");
    }
    assert!(failure(Decode::Auto, &["gzip, snappy"], &twice).contains("says snappy"));
    // A named codec is one codec, whatever the headers say.
    let inner = Outcome::Decompressed(snappy_block(TEXT));
    assert_eq!(outcome(Decode::Named(Codec::Gzip), &["snappy", "gzip"], &twice), inner);
}

#[test]
fn a_list_that_is_not_understood_as_a_whole_leaves_the_value_as_it_came() {
    let value = gzip(TEXT);
    for (lists, name) in [
        (&["br"][..], "br"),
        (&["BR, gzip"], "br"),
        (&["identity", "deflate"], "deflate"),
        (&["gzip, utf-8"], "utf-8"),
        (&["utf-8", "identity", "gzip"], "utf-8"),
        (&["\x1b[31m, gzip"], "\\u{1b}[31m"),
    ] {
        let why = failure(Decode::Auto, lists, &value);
        assert_eq!(why, format!("header content-encoding says {name}, which kq can't decompress"));
    }
    // The last coding can be removed, and the one below it can't.
    assert!(failure(Decode::Auto, &["zstd, gzip"], &value).contains("says zstd, but"));
}

#[test]
fn so_many_codings_are_removed_and_not_one_more() {
    let (mut value, mut list) = (TEXT.to_vec(), Vec::new());
    for _ in 0..MOST_CODINGS {
        (value, list) = (gzip(&value), [list, vec!["gzip"]].concat());
    }
    assert_eq!(auto(&list, &value), text());
    list.push("gzip");
    let why = failure(Decode::Auto, &[&list.join(",")], &gzip(&value));
    assert!(why.ends_with("says 9 codecs, and kq removes 8 at most"), "{why}");
}

#[test]
fn no_value_and_an_empty_one_are_as_they_are() {
    assert_eq!(auto(&["gzip"], b""), Outcome::AsIs);
    assert_eq!(outcome(Decode::Named(Codec::Snappy), &[], b""), Outcome::AsIs);
    with_record(&["gzip"], None, |tombstone| {
        let mut scratch = Scratch::default();
        let decoded = Decoder::default().decode(tombstone, &mut scratch);
        assert_eq!(decoded, Decoded { value: None, form: Form::AsItCame, failure: None });
    });
}

#[test]
fn a_named_codec_needs_no_header_and_ranks_above_it() {
    for (codec, value) in forms(TEXT) {
        let named = Decode::Named(codec);
        assert_eq!(outcome(named, &[], &value), text(), "{codec}");
        assert_eq!(outcome(named, &["br"], &value), text(), "{codec}");
    }
}

#[test]
fn a_magic_that_led_astray_is_no_failure_and_a_header_that_did_is_one() {
    for magic in [b"\xff\x06\x00\x00sNaPpY".as_slice(), b"\x82SNAPPY\x00"] {
        let value = [magic, b"\0\0\0\x01 is how this text begins"].concat();
        assert_eq!(auto(&[], &value), Outcome::AsIs);
        let why = failure(Decode::Auto, &["snappy"], &value);
        assert!(why.contains("header content-encoding says snappy, but: "), "{why}");
        assert!(failure(Decode::Named(Codec::Snappy), &[], &value).contains("--decode says snappy"));
    }
    for codec in Codec::ALL {
        assert!(failure(Decode::Auto, &[codec.name()], TEXT).contains(codec.name()));
    }
}

#[test]
fn every_step_is_bounded() {
    let bomb = vec![0; BOUND + 1];
    // Truly Snappy, and too large: not astray.
    assert!(failure(Decode::Auto, &[], &framed(&bomb)).contains("--max-decoded"));
    // A large value between small ones, the last of the steps, and the first.
    for (list, value) in
        [("gzip, snappy", snappy_block(&gzip(&bomb))), ("zstd, gzip", gzip(&vec![7; BOUND + 1]))]
    {
        let why = failure(Decode::Auto, &[list], &value);
        assert!(why.contains(&format!("more than {BOUND} bytes; --max-decoded")), "{list}: {why}");
    }
    let fits = vec![0; BOUND];
    assert_eq!(auto(&["gzip, zstd"], &zstd(&gzip(&fits))), Outcome::Decompressed(fits));
}

#[test]
fn a_record_that_owns_its_bytes_is_decoded_the_same_way() {
    let header = |name: &[u8], value: &[u8]| (name.to_vec(), Some(value.to_vec()));
    let headers =
        vec![header(CONTENT_ENCODING, b"snappy"), header(b"a", b"1"), header(CONTENT_ENCODING, b"gzip")];
    let record = Record { value: Some(gzip(&snappy_block(TEXT))), headers, ..Record::default() };
    let mut scratch = Scratch::default();
    let decoded = Decoder::default().decode_owned(&record, &mut scratch);
    assert_eq!((decoded.value, decoded.form), (Some(TEXT), Form::Decompressed));
    let left: Vec<_> = decoded.form.owned_headers(&record.headers).cloned().collect();
    assert_eq!(left, [header(b"a", b"1")]);
    assert_eq!(Form::AsItCame.owned_headers(&record.headers).count(), 3);
}

#[test]
fn headers_that_all_hold_are_lent_and_not_copied() {
    with_record(&[], Some(TEXT), |record| {
        assert!(matches!(Form::Decompressed.headers(record.headers), Cow::Borrowed(_)));
        assert!(matches!(Form::AsItCame.headers(record.headers), Cow::Borrowed(_)));
    });
}

#[test]
fn ways_to_decode_are_read_as_they_are_written() {
    for decode in Decode::all() {
        assert_eq!(decode.to_string().parse::<Decode>().unwrap(), decode);
    }
    let error = "brotli".parse::<Decode>().unwrap_err().to_string();
    assert!(error.contains("auto, none, snappy, gzip, zstd or lz4"), "{error}");
}

/// One form of a codec: its place in [`forms`], and a name for it.
type Coding = (usize, &'static str);

fn coding() -> impl Strategy<Value = Coding> {
    prop::sample::select(vec![
        (0, "x-snappy-framed"),
        (1, "snappy"),
        (2, "snappy"),
        (2, "X-Snappy"),
        (3, "gzip"),
        (3, "x-gzip"),
        (4, "zstd"),
        (5, "LZ4"),
    ])
}

fn encoded(codings: &[Coding], value: &[u8]) -> Vec<u8> {
    codings.iter().fold(value.to_vec(), |value, (which, _)| forms(&value).swap_remove(*which).1)
}

proptest! {
    #[test]
    fn any_stack_of_codings_in_any_split_of_the_list_gives_back_the_value(
        value in prop_oneof![any::<Vec<u8>>(), "[ab]{0,4000}".prop_map(String::into_bytes)],
        codings in prop::collection::vec(coding(), 0..=4),
        // What stands after each coding: another header, or a comma and what adds nothing.
        between in prop::collection::vec(prop::sample::select(vec!["", ",", ", ", " ,identity,, "]), 4),
    ) {
        let compressed = encoded(&codings, &value);
        let mut lists = vec![String::new()];
        for ((_, name), between) in codings.iter().zip(&between) {
            let list = lists.last_mut().unwrap();
            list.push_str(name);
            list.push_str(between);
            if between.is_empty() {
                lists.push(String::new());
            }
        }
        let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
        let found = auto(&lists, &compressed);
        // With no codec, a magic may decide; and some codecs write nothing at all for nothing.
        if codings.is_empty() || compressed.is_empty() {
            prop_assert!(!matches!(found, Outcome::Failed(_)));
        } else {
            prop_assert_eq!(found, Outcome::Decompressed(value));
        }
    }

    #[test]
    fn garbage_never_panics_and_a_failure_leaves_every_byte(
        value in any::<Vec<u8>>(),
        lists in prop::collection::vec("(gzip|snappy|zstd|lz4|br|utf-8|identity|,| |\\PC){0,12}", 0..4),
        decode in prop::sample::select(Decode::all().collect::<Vec<_>>()),
        prefix in prop::sample::select(vec![&b""[..], b"\xff\x06\x00\x00sNaPpY", b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"]),
    ) {
        let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
        // That nothing is lost is asserted where the outcome is made.
        outcome(decode, &lists, &[prefix, &value].concat());
    }

    #[test]
    fn a_damaged_stack_never_panics(
        codings in prop::collection::vec(coding(), 1..=4),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut value = encoded(&codings, TEXT);
        let at = at.index(value.len());
        value[at] = byte;
        let names: Vec<&str> = codings.iter().map(|(_, name)| *name).collect();
        auto(&[&names.join(",")], &value);
    }
}
