//! Which records of transactions a reader sees. Pure: no clock, no IO.

use crate::named::Named;

/// `--isolation`: which records of transactions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Those of committed transactions, up to the first that is still open.
    ReadCommitted,
    /// All, whatever becomes of their transaction.
    ReadUncommitted,
}

impl Named for Isolation {
    const ALL: &'static [Self] = &[Self::ReadCommitted, Self::ReadUncommitted];

    fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read-committed",
            Self::ReadUncommitted => "read-uncommitted",
        }
    }
}

impl Isolation {
    /// The value of the client's `isolation.level`.
    pub(crate) fn level(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}
