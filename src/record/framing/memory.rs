//! Where a framer keeps its bytes: on the heap, or, for a long frame, in pages of their own. Pure: no clock, no IO.

use std::ops::{Deref, DerefMut};

use memmap2::{MmapMut, MmapOptions};

/// Up to this size the bytes are on the heap.
pub(super) const LONG: usize = 1 << 20;

/// Memory of which more was used is freed when its content is small again.
const KEPT: usize = 4 << 20;

/// Up to this much address space is reserved at once, so that a frame is never copied. One that may be
/// longer begins with [`FIRST`]: address space may be limited (ulimit -v).
const RESERVED: usize = 256 << 20;
const FIRST: usize = 64 << 20;

/// All of it is initialised.
pub(super) enum Memory {
    Heap(Vec<u8>),
    /// Reserved address space: a page costs memory once it is written to, and all of it is given back
    /// at once. A heap would copy a long frame several times while it grows, and keep what is freed.
    Pages {
        pages: MmapMut,
        /// Behind it nothing was written.
        used: usize,
    },
}

impl Memory {
    pub(super) fn new() -> Self {
        Self::Heap(Vec::new())
    }

    /// Whether so much was used that it is not kept for a small content.
    pub(super) fn is_large(&self) -> bool {
        match self {
            Self::Heap(heap) => heap.len() > KEPT,
            Self::Pages { used, .. } => *used > KEPT,
        }
    }

    /// The room from `end` on, at least `min` bytes, which must be there. In pages it is no more than
    /// that, so that a read does not use all that is reserved.
    pub(super) fn room(&mut self, end: usize, min: usize) -> &mut [u8] {
        match self {
            Self::Heap(heap) => &mut heap[end..],
            Self::Pages { pages, used } => {
                *used = (*used).max(end + min);
                &mut pages[end..end + min]
            }
        }
    }

    /// Makes it at least `needed` bytes, and keeps the first `live` of them. `most` is the size that is
    /// never exceeded.
    pub(super) fn grow(&mut self, live: usize, needed: usize, most: usize) {
        let mut larger = match self {
            Self::Heap(heap) if needed <= LONG => {
                let length = needed.max(heap.len() * 2).min(LONG);
                heap.reserve_exact(length - heap.len());
                return heap.resize(length, 0);
            }
            _ => Self::large(needed, most),
        };
        larger.room(0, live)[..live].copy_from_slice(&self[..live]);
        *self = larger;
    }

    /// Goes back to the heap with the bytes of this range.
    pub(super) fn shrink(&mut self, content: std::ops::Range<usize>) {
        let mut heap = vec![0; LONG.max(content.len())];
        heap[..content.len()].copy_from_slice(&self[content]);
        *self = Self::Heap(heap);
    }

    fn large(needed: usize, most: usize) -> Self {
        let enough = match (most <= RESERVED, needed <= FIRST) {
            (true, _) => most,
            (false, true) => FIRST,
            (false, false) => needed.saturating_mul(4).min(most),
        };
        let reserved = MmapOptions::new().len(enough.max(needed)).no_reserve_swap().map_anon();
        match reserved {
            Ok(pages) => Self::Pages { pages, used: 0 },
            // The heap has no more either, unless what it freed is enough.
            Err(_) => Self::Heap(vec![0; needed + needed / 8]),
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(heap) => heap,
            Self::Pages { pages, .. } => pages,
        }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(heap) => heap,
            Self::Pages { pages, .. } => pages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_reserved_than_a_frame_can_need_and_what_was_read_stays() {
        let mut memory = Memory::new();
        memory.grow(0, 300_000, usize::MAX);
        memory[..3].copy_from_slice(b"abc");
        memory.grow(3, LONG, usize::MAX);
        assert!(matches!(memory, Memory::Heap(_)) && memory.len() == LONG);
        for (needed, most, expected) in [
            (LONG + 1, 23 << 20, 23 << 20),
            (24 << 20, 23 << 20, 24 << 20),
            (30 << 20, RESERVED, RESERVED),
            (30 << 20, usize::MAX, FIRST),
            (FIRST + 1, RESERVED + 1, RESERVED + 1),
            (FIRST + 1, usize::MAX, FIRST * 4 + 4),
        ] {
            memory.grow(3, needed, most);
            assert_eq!((memory.len(), &memory[..3]), (expected, b"abc".as_slice()));
            assert!(!memory.is_large());
        }
        memory.room(KEPT, 1);
        assert!(memory.is_large());
        memory.shrink(1..3);
        assert_eq!((memory.len(), &memory[..2]), (LONG, b"bc".as_slice()));
        assert!(!memory.is_large());
    }
}
