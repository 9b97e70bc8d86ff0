//! The handlers: one module for each family of requests, one function a request.

pub mod admin;
pub mod configs;
pub mod fetch;
pub mod groups;
pub mod members;
pub mod metadata;
pub mod offsets;
pub mod produce;

use std::collections::BTreeSet;

use kafka_protocol::protocol::StrBytes;

/// The largest answer that is made, in bytes of memory.
const MAX_ANSWER: usize = 64 << 20;

/// What is left for an answer. A few bytes of a request can ask for thousands: what has no bound of
/// its own is counted while it is made.
struct Room(usize);

impl Room {
    fn new() -> Self {
        Self(MAX_ANSWER)
    }

    /// Takes so many bytes; where they are not left, the request is refused as a whole.
    fn take(&mut self, bytes: usize) -> anyhow::Result<()> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or_else(|| anyhow::anyhow!("its answer would be larger than {MAX_ANSWER} bytes"))?;
        Ok(())
    }
}

/// Each once, where it first stands: who names the same thing twice is answered once.
fn once<T, K: Ord>(all: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> impl Iterator<Item = T> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(move |one| seen.insert(key(one)))
}

/// A string as the wire has it.
fn text(s: impl Into<String>) -> StrBytes {
    StrBytes::from_string(s.into())
}

/// A string, where the wire could have null.
#[expect(clippy::unnecessary_wraps, reason = "the wire's type is optional")]
fn message(s: impl Into<String>) -> Option<StrBytes> {
    Some(text(s))
}
