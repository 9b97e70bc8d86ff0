//! A batch that a producer sent, checked before the lock of its log is taken. Pure: no clock, no IO.

use super::batch::{self, Header};
use super::config::LogConfig;
use super::refusal::Refusal;
use super::{faults, records};

/// Bytes that the batches of one request may be decompressed to, to look at their records.
pub(crate) const BUDGET: u64 = records::MAX_DECODED;

/// A batch that can be appended.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    pub(super) header: Header,
    pub(super) bytes: &'a [u8],
}

impl<'a> Checked<'a> {
    /// Checks the one batch that a producer sent for a partition; what is decompressed for that is
    /// subtracted from `budget`. It may take long: no lock should be held.
    pub(crate) fn new(
        bytes: &'a [u8],
        config: &LogConfig,
        version: i16,
        now_ms: i64,
        budget: &mut u64,
    ) -> Result<Self, Refusal> {
        let header = batch::check(bytes, config.max_message_bytes, version)?;
        faults::check(&header, bytes, config, now_ms, budget)?;
        Ok(Self { header, bytes })
    }
}
