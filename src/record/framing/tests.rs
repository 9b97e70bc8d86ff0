//! Frames from chunks of any size, and memory that a long frame costs.

use proptest::prelude::*;

use super::*;

/// Feeds the chunks through a framer and collects its frames; with `batch`, so many at a time.
fn frames(delimiter: &[u8], chunks: &[&[u8]], batch: Option<usize>) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(delimiter);
    let mut found = Vec::new();
    let mut ranges = Vec::new();
    for chunk in chunks {
        framer.space(chunk.len())[..chunk.len()].copy_from_slice(chunk);
        framer.advance(chunk.len());
        match batch {
            None => {
                while let Some(frame) = framer.next_frame() {
                    found.push(frame.to_vec());
                }
            }
            Some(most) => loop {
                ranges.clear();
                let taken = framer.take_frames(most, &mut ranges);
                assert_eq!(taken, ranges.len());
                found.extend(ranges.iter().map(|range| framer.buffer()[range.clone()].to_vec()));
                if taken < most {
                    break;
                }
            },
        }
    }
    found.extend(framer.finish().map(<[u8]>::to_vec));
    assert_eq!(framer.buffered(), 0);
    assert_eq!(framer.finish(), None);
    found
}

fn lines(input: &str) -> Vec<String> {
    frames(b"\n", &[input.as_bytes()], None).into_iter().map(|f| String::from_utf8(f).unwrap()).collect()
}

#[test]
fn a_last_line_without_a_newline_is_a_frame_and_a_newline_at_the_end_adds_none() {
    assert_eq!(lines("a\nb"), ["a", "b"]);
    assert_eq!(lines("a\nb\n"), ["a", "b"]);
    assert_eq!(lines("a\n\n"), ["a", ""]);
    assert_eq!(lines("\n"), [""]);
    assert!(lines("").is_empty());
}

#[test]
fn a_carriage_return_stays() {
    assert_eq!(lines("a\r\nb\r\n"), ["a\r", "b\r"]);
}

#[test]
fn an_empty_delimiter_never_cuts() {
    assert_eq!(frames(b"", &[b"a\nb", b"\0c"], None), [b"a\nb\0c"]);
    assert_eq!(frames(b"", &[b"a\nb", b"\0c"], Some(1)), [b"a\nb\0c"]);
}

#[test]
fn a_partial_delimiter_at_the_end_belongs_to_the_tail() {
    assert_eq!(frames(b"--", &[b"a-", b"-b-"], None), [b"a".to_vec(), b"b-".to_vec()]);
}

#[test]
fn the_next_input_begins_afresh() {
    let mut framer = Framer::new(b"\n");
    for input in [b"one".as_slice(), b"two\n", b"three"] {
        framer.space(input.len())[..input.len()].copy_from_slice(input);
        framer.advance(input.len());
        let frame = framer.next_frame().map(<[u8]>::to_vec);
        let frame = frame.or_else(|| framer.finish().map(<[u8]>::to_vec)).unwrap();
        assert_eq!(frame, input.strip_suffix(b"\n").unwrap_or(input));
    }
}

#[test]
fn a_long_frame_is_not_copied_while_it_grows_and_its_memory_is_given_back() {
    let mut framer = Framer::new(b"\n");
    let length = 32 << 20;
    framer.set_longest(length);
    let mut sent = 0;
    let mut places = std::collections::BTreeSet::new();
    while sent < length {
        let room = framer.space(64 << 10);
        let n = room.len().min(length - sent);
        room[..n].fill(b'x');
        framer.advance(n);
        sent += n;
        assert!(framer.next_frame().is_none());
        if sent > LONG {
            places.insert(framer.buffer().as_ptr());
        }
    }
    assert_eq!((framer.buffered(), places.len()), (length, 1));
    assert_eq!(framer.buffer().len(), length + (64 << 10));
    framer.space(3)[..3].copy_from_slice(b"\nab");
    framer.advance(3);
    assert_eq!(framer.next_frame().map(<[u8]>::len), Some(length));
    framer.release();
    assert_eq!(framer.buffer().len(), LONG);
    assert_eq!(framer.finish(), Some(b"ab".as_slice()));
}

#[test]
fn a_frame_that_is_dropped_holds_no_memory_while_the_rest_of_it_comes() {
    let mut framer = Framer::new(b"--");
    for chunk in [b"aaa".as_slice(), b"bbb-", b"ccc", b"ddd-", b"-e--"] {
        framer.space(chunk.len())[..chunk.len()].copy_from_slice(chunk);
        framer.advance(chunk.len());
        match framer.next_frame() {
            Some(frame) => assert_eq!(frame, b"e"),
            None => _ = framer.discard(),
        }
        assert!(framer.buffered() <= 1, "{}", framer.buffered());
    }
    assert_eq!(framer.next_frame(), None);
    assert_eq!(framer.finish(), None);
}

#[test]
fn a_key_is_split_off_at_the_first_delimiter() {
    assert_eq!(split_key(b"k:v:w", b":"), Some((b"k".as_slice(), b"v:w".as_slice())));
    assert_eq!(split_key(b":v", b":"), Some((b"".as_slice(), b"v".as_slice())));
    assert_eq!(split_key(b"k=>", b"=>"), Some((b"k".as_slice(), b"".as_slice())));
    assert_eq!(split_key(b"kv", b":"), None);
    assert_eq!(split_key(b"kv", b""), None);
}

/// Input of few letters, so that delimiters of the same letters occur and overlap, in chunks.
fn chunked() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<u8>>)> {
    let letters = || prop::sample::select(b"ab\n".to_vec());
    (
        prop::collection::vec(letters(), 1..4),
        prop::collection::vec(prop::collection::vec(letters(), 0..40), 0..12),
    )
}

proptest! {
    #[test]
    fn frames_joined_by_the_delimiter_are_the_input((delimiter, chunks) in chunked()) {
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let input = chunks.concat();
        let found = frames(&delimiter, &chunks, None);
        let joined = found.join(delimiter.as_slice());
        prop_assert!(joined == input || [joined, delimiter.clone()].concat() == input);
        // A delimiter is cut at wherever it is first complete.
        for frame in &found {
            prop_assert!(memmem::find(frame, &delimiter).is_none());
        }
    }

    #[test]
    fn neither_chunks_nor_batches_change_the_frames((delimiter, chunks) in chunked(), most in 1usize..5) {
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let whole = frames(&delimiter, &[&chunks.concat()], None);
        prop_assert_eq!(&frames(&delimiter, &chunks, None), &whole);
        prop_assert_eq!(&frames(&delimiter, &chunks, Some(most)), &whole);
    }

    #[test]
    fn a_frame_that_is_let_go_of_is_missing_and_no_other(
        (delimiter, chunks) in chunked(),
        (limit, most) in (0usize..20, 1usize..5),
    ) {
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let mut framer = Framer::new(&delimiter);
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for chunk in &chunks {
            framer.space(chunk.len())[..chunk.len()].copy_from_slice(chunk);
            framer.advance(chunk.len());
            loop {
                let mut ranges = Vec::new();
                let taken = framer.take_frames(most, &mut ranges);
                found.extend(ranges.iter().map(|range| framer.buffer()[range.clone()].to_vec()));
                if taken < most {
                    break;
                }
            }
            if framer.buffered() > limit && framer.discard() {
                gone.push(found.len() + gone.len());
            }
        }
        found.extend(framer.finish().map(<[u8]>::to_vec));
        let whole = frames(&delimiter, &[&chunks.concat()], None);
        let left: Vec<_> =
            whole.into_iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, f)| f).collect();
        prop_assert_eq!(found, left);
    }

    #[test]
    fn frames_left_in_the_buffer_survive_a_growing_space(sizes in prop::collection::vec(0usize..9000, 1..12)) {
        // One frame is taken for each that is fed, so that moves and growth meet unread frames.
        let mut framer = Framer::new(b"\n");
        let frame = |i: usize| vec![b'a' + i as u8; sizes[i]];
        let mut next = 0;
        for i in 0..sizes.len() {
            let bytes = [frame(i), b"\n".to_vec()].concat();
            framer.space(bytes.len())[..bytes.len()].copy_from_slice(&bytes);
            framer.advance(bytes.len());
            if i % 2 == 0 {
                let taken = framer.next_frame().map(<[u8]>::to_vec);
                prop_assert_eq!(taken, Some(frame(next)));
                next += 1;
            }
        }
        while let Some(taken) = framer.next_frame() {
            prop_assert_eq!(taken, frame(next));
            next += 1;
        }
        prop_assert_eq!(next, sizes.len());
    }

    #[test]
    fn a_split_key_and_value_make_the_frame_again(frame in any::<Vec<u8>>(), delimiter in prop::collection::vec(any::<u8>(), 1..3)) {
        match split_key(&frame, &delimiter) {
            Some((key, value)) => {
                prop_assert_eq!([key, &delimiter, value].concat(), frame);
            }
            None => prop_assert!(memmem::find(&frame, &delimiter).is_none()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn long_frames_among_short_ones_stay_what_they_are(
        lengths in prop::collection::vec(prop_oneof![0usize..2000, LONG - 9..LONG * 5], 1..6),
        chunk in 100_000usize..700_000,
        longest in prop_oneof![Just(usize::MAX), Just(LONG * 5)],
    ) {
        let expected: Vec<Vec<u8>> =
            lengths.iter().enumerate().map(|(i, &length)| vec![b'a' + i as u8; length]).collect();
        let input = [expected.join(b"\n".as_slice()), b"\n".to_vec()].concat();
        let mut framer = Framer::new(b"\n");
        framer.set_longest(longest);
        let (mut found, mut ranges) = (Vec::new(), Vec::new());
        for bytes in input.chunks(chunk) {
            framer.space(bytes.len())[..bytes.len()].copy_from_slice(bytes);
            framer.advance(bytes.len());
            ranges.clear();
            framer.take_frames(usize::MAX, &mut ranges);
            found.extend(ranges.iter().map(|range| framer.buffer()[range.clone()].to_vec()));
            framer.release();
        }
        prop_assert!(found == expected);
        prop_assert_eq!(framer.finish(), None);
    }
}
