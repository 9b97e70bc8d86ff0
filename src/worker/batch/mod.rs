//! `--batch`: many records to one command. How large a batch is, how one that fails is halved, the bytes that the
//! command reads and those that it prints. Pure: no clock, no IO.
//!
//! A batch holds records of one partition in the order of their offsets. Its command is all-or-nothing, or it
//! bears a second run: a batch that fails is run again in halves, down to the record that makes it fail.

pub(super) mod input;
pub(super) mod output;
pub(super) mod parts;

use std::fmt;
use std::time::Duration;

use crate::record::{Place, Record};

/// How much goes to one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batching {
    /// Records, at most.
    pub records: usize,
    /// Bytes of keys, values and headers, at most; a record that has more goes alone.
    pub bytes: usize,
    /// How long the oldest record of a batch waits for others.
    pub wait: Duration,
}

/// Where the records of a batch are, from the first to the last; shown as `orders[3]@10..19`.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPlace<'a> {
    first: Place<'a>,
    last: i64,
}

/// Where the records of a batch are.
pub(super) fn place<'a>(first: &'a Record, last: &Record) -> BatchPlace<'a> {
    BatchPlace { first: first.place(), last: last.offset }
}

impl fmt::Display for BatchPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first.offset {
            write!(f, "..{}", self.last)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_batch_names_its_first_and_last_offset() {
        let at = |offset| Record { topic: "orders".into(), offset, ..Record::default() };
        assert_eq!(place(&at(10), &at(19)).to_string(), "orders[0]@10..19");
        assert_eq!(place(&at(10), &at(10)).to_string(), "orders[0]@10");
    }
}
