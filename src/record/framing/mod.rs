//! From bytes to frames: delimiters, the key's delimiter, a last frame without one. Pure: no clock, no IO.

mod memory;

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};

use memory::{LONG, Memory};

/// Cuts a stream of bytes into frames at a delimiter of one or more bytes.
///
/// The caller reads into [`Framer::space`], reports how many bytes it read with
/// [`Framer::advance`], takes frames until there are no more, and reads again.
/// At the end of the input [`Framer::finish`] returns the tail. Frames are
/// borrowed from the buffer, so nothing is copied or allocated for a frame, and
/// every byte is searched once, also in a long frame. Bytes are not changed: a
/// carriage return before a newline stays.
///
/// Memory is bounded by the longest frame, which is held once. A caller whose input may
/// contain no delimiter at all compares [`Framer::buffered`] with its own limit, and drops
/// a frame that is too long with [`Framer::discard`]. After a long frame was taken,
/// [`Framer::release`] frees its memory.
pub(crate) struct Framer {
    delimiter: Delimiter,
    /// Bytes `start..end` are input, the rest is room.
    buffer: Memory,
    start: usize,
    end: usize,
    /// No delimiter begins in `start..scanned`.
    scanned: usize,
    /// The bytes up to the next delimiter belong to a frame that was dropped.
    discarding: bool,
    /// A frame that is longer than this is dropped by the caller.
    longest: usize,
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
    pub(crate) fn new(delimiter: &[u8]) -> Self {
        let delimiter = match delimiter {
            [] => Delimiter::Never,
            [byte] => Delimiter::Byte(*byte),
            bytes => Delimiter::Bytes(Box::new(memmem::Finder::new(bytes).into_owned())),
        };
        Self {
            delimiter,
            buffer: Memory::new(),
            start: 0,
            end: 0,
            scanned: 0,
            discarding: false,
            longest: usize::MAX,
        }
    }

    /// The length above which the caller drops a frame: no more is reserved for one.
    pub(crate) fn set_longest(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// Room for at least `min` bytes of input; call [`Framer::advance`] after writing to it.
    /// Ranges from [`Framer::take_frames`] are not valid after this call.
    pub(crate) fn space(&mut self, min: usize) -> &mut [u8] {
        self.release();
        let live = self.buffered();
        let is_short = self.buffer.len() - self.end < min;
        // A move copies at most as many bytes as were consumed before it.
        if self.start > 0 && (live == 0 || is_short || self.start >= live.max(LONG)) {
            self.buffer.copy_within(self.start..self.end, 0);
            self.moved_to_front(live);
        }
        if self.buffer.len() - self.end < min {
            self.buffer.grow(live, live + min, self.longest.saturating_add(min));
        }
        self.buffer.room(self.end, min)
    }

    /// Frees the memory that a long frame took, once that was taken or dropped. Ranges from
    /// [`Framer::take_frames`] are not valid after this call.
    pub(crate) fn release(&mut self) {
        let live = self.buffered();
        if self.buffer.is_large() && live <= LONG / 2 {
            self.buffer.shrink(self.start..self.end);
            self.moved_to_front(live);
        }
    }

    fn moved_to_front(&mut self, live: usize) {
        self.scanned -= self.start;
        self.start = 0;
        self.end = live;
    }

    /// Adds the first `n` bytes that were written to [`Framer::space`].
    ///
    /// # Panics
    /// If there was no room for `n` bytes.
    pub(crate) fn advance(&mut self, n: usize) {
        assert!(n <= self.buffer.len() - self.end, "advanced past the space");
        self.end += n;
    }

    #[cfg(test)]
    /// The next whole frame, without its delimiter. `None` means: read more.
    pub(crate) fn next_frame(&mut self) -> Option<&[u8]> {
        let range = self.next_range()?;
        Some(&self.buffer[range])
    }

    /// Drops the frame that is not whole yet: the bytes that were read, and those that follow up to
    /// its delimiter or the end of the input. False where it was dropped before.
    pub(crate) fn discard(&mut self) -> bool {
        // The last bytes may be the first of a delimiter.
        self.start = self.scanned;
        !std::mem::replace(&mut self.discarding, true)
    }

    /// The next whole frame as a range of [`Framer::buffer`], valid until the
    /// next [`Framer::space`].
    pub(crate) fn next_range(&mut self) -> Option<Range<usize>> {
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
        // The last bytes may be the first part of a delimiter.
        let partial = self.delimiter.len().saturating_sub(1);
        self.scanned = self.scanned.max(self.end.saturating_sub(partial)).max(self.start);
        None
    }

    /// Appends the ranges of up to `max` whole frames to `out` and says how many.
    /// They index [`Framer::buffer`] and are valid until the next [`Framer::space`].
    pub(crate) fn take_frames(&mut self, max: usize, out: &mut Vec<Range<usize>>) -> usize {
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

    /// Skips to the end of a frame that was dropped, if that end was read.
    fn next_discarded(&mut self) -> Option<()> {
        if self.cut().is_none() {
            self.start = self.scanned;
            return None;
        }
        self.discarding = false;
        Some(())
    }

    /// What the ranges of [`Framer::take_frames`] index.
    pub(crate) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// At the end of the input, after [`Framer::next_frame`] returned `None`: the last
    /// frame, if no delimiter ended it. An input that ends in a delimiter has no extra
    /// empty frame. The framer is then ready for another input.
    pub(crate) fn finish(&mut self) -> Option<&[u8]> {
        let range = self.finish_range()?;
        Some(&self.buffer[range])
    }

    /// [`Framer::finish`] as a range of [`Framer::buffer`].
    pub(crate) fn finish_range(&mut self) -> Option<Range<usize>> {
        let tail = self.start..self.end;
        self.start = self.end;
        self.scanned = self.end;
        let discarded = std::mem::take(&mut self.discarding);
        (!tail.is_empty() && !discarded).then_some(tail)
    }

    /// How many bytes of the buffer were not returned yet: after `next_frame`
    /// returned `None`, those of an incomplete frame.
    pub(crate) fn buffered(&self) -> usize {
        self.end - self.start
    }
}

/// Splits `key<delimiter>value` at the first delimiter. `None` where there is
/// none, or where the delimiter is empty.
pub(crate) fn split_key<'a>(frame: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = match delimiter {
        [] => None,
        [byte] => memchr(*byte, frame),
        bytes => memmem::find(frame, bytes),
    }?;
    Some((&frame[..at], &frame[at + delimiter.len()..]))
}

#[cfg(test)]
mod tests;
