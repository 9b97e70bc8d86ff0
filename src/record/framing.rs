//! Bytes to frames: delimiters, escapes, the key's delimiter, the tail at the end. Pure: no clock, no IO.

use std::ops::Range;

use anyhow::{Result, bail};
use memchr::{memchr, memchr_iter, memmem};

/// Above this size the buffer grows by an eighth and not twofold, so that one
/// large frame costs its own length of memory and a little more.
const GROW_GENTLY_ABOVE: usize = 1 << 20;

/// A buffer larger than this is given back once what it holds is small again.
const SHRINK_ABOVE: usize = 4 << 20;

/// Cuts a stream of bytes into frames at a delimiter of one or more bytes.
///
/// The caller reads into [`Framer::space`], says how much came with
/// [`Framer::advance`], takes frames until there is none, and reads again.
/// At the end of the input [`Framer::finish`] gives the tail. Frames are
/// borrowed from the buffer, so nothing is copied or allocated per frame, and
/// every byte is searched once, however long a frame is. Bytes in are bytes
/// out: a carriage return before a newline stays.
///
/// Memory is bounded by the longest frame; who reads input that may hold no
/// delimiter at all compares [`Framer::buffered`] with its own limit, and lets
/// go of a frame that is too long with [`Framer::discard`].
pub struct Framer {
    delimiter: Delimiter,
    /// All of it is initialised: bytes `start..end` are input, the rest is room.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// No delimiter begins in `start..scanned`.
    scanned: usize,
    /// What comes up to the next delimiter belongs to a frame that was let go of.
    discarding: bool,
}

enum Delimiter {
    /// Nothing delimits: the whole input is one frame.
    Never,
    Byte(u8),
    Bytes(Box<memmem::Finder<'static>>),
}

impl Delimiter {
    fn len(&self) -> usize {
        match self {
            Self::Never => 0,
            Self::Byte(_) => 1,
            Self::Bytes(finder) => finder.needle().len(),
        }
    }

    fn find(&self, haystack: &[u8]) -> Option<usize> {
        match self {
            Self::Never => None,
            Self::Byte(byte) => memchr(*byte, haystack),
            Self::Bytes(finder) => finder.find(haystack),
        }
    }
}

impl Framer {
    /// A framer for this delimiter. With an empty one nothing is ever cut:
    /// [`Framer::finish`] gives the whole input.
    pub fn new(delimiter: &[u8]) -> Self {
        let delimiter = match delimiter {
            [] => Delimiter::Never,
            [byte] => Delimiter::Byte(*byte),
            bytes => Delimiter::Bytes(Box::new(memmem::Finder::new(bytes).into_owned())),
        };
        Self { delimiter, buffer: Vec::new(), start: 0, end: 0, scanned: 0, discarding: false }
    }

    /// Room for at least `min` bytes of input, after which [`Framer::advance`] is due.
    /// Ranges that [`Framer::take_frames`] gave end their life here.
    pub fn space(&mut self, min: usize) -> &mut [u8] {
        let live = self.end - self.start;
        if self.buffer.len() > SHRINK_ABOVE && (live + min).saturating_mul(8) < self.buffer.len() {
            let mut smaller = vec![0; (live + min).max(SHRINK_ABOVE / 4)];
            smaller[..live].copy_from_slice(&self.buffer[self.start..self.end]);
            self.buffer = smaller;
            self.moved_to_front(live);
        } else if live == 0 {
            self.moved_to_front(0);
        }
        if self.buffer.len() - self.end < min {
            // Moving costs at most what was consumed before; where it does not
            // make enough room, growth pays for it.
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.moved_to_front(live);
            }
            let needed = live + min;
            // Half of the buffer free after a move, or moves would be frequent.
            let wanted = if self.buffer.len() < GROW_GENTLY_ABOVE { needed.max(live * 2) } else { needed };
            if self.buffer.len() < wanted {
                let step = if wanted < GROW_GENTLY_ABOVE { wanted } else { self.buffer.len() / 8 };
                self.buffer.reserve_exact((wanted - self.buffer.len()).max(step));
                self.buffer.resize(self.buffer.capacity(), 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    fn moved_to_front(&mut self, live: usize) {
        self.scanned -= self.start;
        self.start = 0;
        self.end = live;
    }

    /// Takes in the first `n` bytes that were written to [`Framer::space`].
    ///
    /// # Panics
    /// If there was no room for `n` bytes.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.buffer.len() - self.end, "advanced past the space");
        self.end += n;
    }

    /// The next whole frame, without its delimiter. `None` is no failure: read more.
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        let range = self.next_range()?;
        Some(&self.buffer[range])
    }

    /// Lets go of the frame that is not whole yet: what was read of it, and what comes of it up to
    /// its delimiter or the end of the input. False where it was let go of before.
    pub fn discard(&mut self) -> bool {
        // The last bytes may be the first of a delimiter.
        self.start = self.scanned;
        !std::mem::replace(&mut self.discarding, true)
    }

    /// The next whole frame as a range of [`Framer::buffer`], valid until the
    /// next [`Framer::space`].
    pub fn next_range(&mut self) -> Option<Range<usize>> {
        if self.discarding {
            self.next_discarded()?;
        }
        self.cut()
    }

    fn cut(&mut self) -> Option<Range<usize>> {
        if let Some(found) = self.delimiter.find(&self.buffer[self.scanned..self.end]) {
            let at = self.scanned + found;
            let frame = self.start..at;
            self.start = at + self.delimiter.len();
            self.scanned = self.start;
            return Some(frame);
        }
        // A delimiter may have come in part.
        let partial = self.delimiter.len().saturating_sub(1);
        self.scanned = self.scanned.max(self.end.saturating_sub(partial)).max(self.start);
        None
    }

    /// Appends the ranges of up to `max` whole frames to `out` and says how many.
    /// They index [`Framer::buffer`] and are valid until the next [`Framer::space`].
    pub fn take_frames(&mut self, max: usize, out: &mut Vec<Range<usize>>) -> usize {
        let before = out.len();
        if max == 0 || (self.discarding && self.next_discarded().is_none()) {
            return 0;
        }
        let Delimiter::Byte(byte) = self.delimiter else {
            while out.len() - before < max {
                let Some(range) = self.next_range() else { break };
                out.push(range);
            }
            return out.len() - before;
        };
        let base = self.scanned;
        let mut start = self.start;
        for found in memchr_iter(byte, &self.buffer[base..self.end]) {
            let at = base + found;
            out.push(start..at);
            start = at + 1;
            if out.len() - before == max {
                self.start = start;
                self.scanned = start;
                return max;
            }
        }
        self.start = start;
        self.scanned = self.end;
        out.len() - before
    }

    /// Passes the end of a frame that was let go of, where it has come.
    fn next_discarded(&mut self) -> Option<()> {
        self.cut()?;
        self.discarding = false;
        Some(())
    }

    /// What the ranges of [`Framer::take_frames`] index.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// At the end of the input, once [`Framer::next_frame`] gives `None`: the tail
    /// that no delimiter ended, if there is one. An input that ends in a delimiter has
    /// no extra empty frame. The framer is then ready for another input.
    pub fn finish(&mut self) -> Option<&[u8]> {
        let range = self.finish_range()?;
        Some(&self.buffer[range])
    }

    /// [`Framer::finish`] as a range of [`Framer::buffer`].
    pub fn finish_range(&mut self) -> Option<Range<usize>> {
        let tail = self.start..self.end;
        self.start = self.end;
        self.scanned = self.end;
        let discarded = std::mem::take(&mut self.discarding);
        (!tail.is_empty() && !discarded).then_some(tail)
    }

    /// How many bytes are held that no call has given out: after `next_frame`
    /// gave `None`, those of an incomplete frame.
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }
}

/// Splits `key<delimiter>value` at the first delimiter. `None` where there is
/// none, or where the delimiter is empty.
pub fn split_key<'a>(frame: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = match delimiter {
        [] => None,
        [byte] => memchr(*byte, frame),
        bytes => memmem::find(frame, bytes),
    }?;
    Some((&frame[..at], &frame[at + delimiter.len()..]))
}

/// Undoes the escapes of a delimiter or a format: `\n`, `\t`, `\r`, `\\`, `\0`,
/// `\xH` and `\xHH` (hexadecimal), and as in kcat and C an octal `\0NNN`.
/// The error names the escape that is none of these.
pub fn unescape(s: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, length) = escape(&rest[at..])?;
        out.push(byte);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// The byte that the escape at the start of `s` stands for, and the escape's length.
pub(crate) fn escape(s: &str) -> Result<(u8, usize)> {
    let bytes = s.as_bytes();
    let byte = match bytes.get(1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'\\') => b'\\',
        Some(b'0') => return Ok(number(bytes, 2, 3, 8).unwrap_or((0, 2))),
        Some(b'x') => {
            let Some(found) = number(bytes, 2, 2, 16) else {
                let shown: String = s.chars().take(4).collect();
                bail!("bad escape {shown:?}: \\x takes one or two hexadecimal digits, as in \\x1f");
            };
            return Ok(found);
        }
        Some(_) => {
            let other: String = s.chars().take(2).collect();
            bail!(r"unknown escape {other}: known are \n \t \r \0 \\ and \xNN; a backslash is \\");
        }
        None => bail!(r"a backslash at the end escapes nothing: a backslash is \\"),
    };
    Ok((byte, 2))
}

/// Up to `most` digits from `from` on, as long as the number fits a byte, with where they end.
fn number(bytes: &[u8], from: usize, most: usize, radix: u32) -> Option<(u8, usize)> {
    let mut value = None;
    let mut end = from;
    while end < from + most {
        let Some(digit) = bytes.get(end).and_then(|b| char::from(*b).to_digit(radix)) else { break };
        let Ok(next) = u8::try_from(u32::from(value.unwrap_or(0u8)) * radix + digit) else { break };
        value = Some(next);
        end += 1;
    }
    value.map(|value| (value, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    fn a_long_frame_costs_little_more_than_its_length_and_is_given_back() {
        let mut framer = Framer::new(b"\n");
        let length = 32 << 20;
        let mut sent = 0;
        while sent < length {
            let room = framer.space(64 << 10);
            let n = room.len().min(length - sent);
            room[..n].fill(b'x');
            framer.advance(n);
            sent += n;
            assert!(framer.next_frame().is_none());
        }
        assert_eq!(framer.buffered(), length);
        assert!(framer.buffer().len() < length / 8 * 10, "{} for {length}", framer.buffer().len());
        framer.space(1)[0] = b'\n';
        framer.advance(1);
        assert_eq!(framer.next_frame().map(<[u8]>::len), Some(length));
        framer.space(1);
        assert!(framer.buffer().len() <= SHRINK_ABOVE);
    }

    #[test]
    fn escapes_are_those_of_kcat_and_c() {
        let cases: [(&str, &[u8]); 12] = [
            ("", b""),
            ("plain é", "plain é".as_bytes()),
            (r"\n\t\r\\", b"\n\t\r\\"),
            (r"\x54!\x45\x53T", b"T!EST"),
            (r"\x30", b"0"),
            (r"\xfFf", b"\xfff"),
            (r"\x1g", b"\x01g"),
            (r"\0", b"\0"),
            (r"a\0b", b"a\0b"),
            (r"\033[1m", b"\x1b[1m"),
            (r"\0101", b"A"),
            (r"\0777", b"\x3f7"),
        ];
        for (escaped, bytes) in cases {
            assert_eq!(unescape(escaped).unwrap(), bytes, "{escaped}");
        }
    }

    #[test]
    fn a_bad_escape_is_named() {
        for (escaped, named) in
            [(r"a\q", r"\q"), (r"\xZZ", r"\\xZZ"), (r"\x", r"\\x"), ("\\", "at the end"), (r"\é", r"\é")]
        {
            let error = unescape(escaped).unwrap_err().to_string();
            assert!(error.contains(named), "{escaped}: {error}");
        }
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
        fn unescape_never_panics_and_undoes_hexadecimal(bytes in any::<Vec<u8>>(), s in any::<String>()) {
            let _ = unescape(&s);
            let escaped = bytes.iter().fold(String::new(), |escaped, b| escaped + &format!("\\x{b:02x}"));
            prop_assert_eq!(unescape(&escaped).unwrap(), bytes);
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
}
