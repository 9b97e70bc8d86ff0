//! The handlers: one module for each family of requests, one function a request.

pub(crate) mod admin;
pub(crate) mod configs;
pub(crate) mod fetch;
pub(crate) mod groups;
pub(crate) mod lacking;
pub(crate) mod members;
pub(crate) mod metadata;
pub(crate) mod offsets;
pub(crate) mod produce;
pub(crate) mod producers;
pub(crate) mod replicas;
pub(crate) mod security;

use std::collections::BTreeSet;

use kafka_protocol::protocol::StrBytes;

/// The largest answer, in bytes of memory.
const MAX_ANSWER: usize = 64 << 20;

/// The bytes that are left for an answer. A few bytes of a request can ask for thousands: an answer
/// without a bound of its own is counted while it is built.
struct Room(usize);

impl Room {
    fn new() -> Self {
        Self(MAX_ANSWER)
    }

    /// Takes this many bytes; if they are not left, the whole request is refused.
    fn take(&mut self, bytes: usize) -> anyhow::Result<()> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or_else(|| anyhow::anyhow!("its answer would be larger than {MAX_ANSWER} bytes"))?;
        Ok(())
    }
}

/// Each item once, at its first place: a thing that is named twice is answered once.
fn once<T, K: Ord>(all: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> impl Iterator<Item = T> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(move |one| seen.insert(key(one)))
}

/// A string as the wire has it.
fn text(s: impl Into<String>) -> StrBytes {
    StrBytes::from_string(s.into())
}

/// A string, for a field that can be null.
#[expect(clippy::unnecessary_wraps, reason = "the wire's type is optional")]
fn message(s: impl Into<String>) -> Option<StrBytes> {
    Some(text(s))
}
