//! Which partition takes the records that have no key. Pure: no clock, no IO.

/// Unkeyed records that go to one partition before the next one's turn, as Java's sticky
/// partitioner does: one look-up and one queue for all of them.
pub(super) const STICKY: usize = 1000;

/// The partitions in turn.
#[derive(Debug)]
pub(super) struct Turns<'a> {
    /// Those that have a leader; never empty.
    partitions: &'a [i32],
    /// Counts the turns; its remainder is the index of the partition whose turn it is.
    turn: usize,
    /// Records since the turn began.
    taken: usize,
}

impl<'a> Turns<'a> {
    /// `start` chooses the first partition: where it differs from run to run, many short runs fill all
    /// partitions.
    pub(super) fn new(partitions: &'a [i32], start: usize) -> Self {
        Self { partitions, turn: start % partitions.len().max(1), taken: 0 }
    }

    /// The next partition's turn, so that a slow input fills all of them, too.
    pub(super) fn advance(&mut self) {
        self.turn += 1;
        self.taken = 0;
    }

    /// The partition of `count` records that go together.
    pub(super) fn take(&mut self, count: usize) -> i32 {
        if self.taken + count > STICKY {
            self.advance();
        }
        self.taken += count;
        self.partitions[self.turn % self.partitions.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_takes_a_thousand_records_before_the_next_one_does() {
        let mut turns = Turns::new(&[3, 5], 4);
        let taken: Vec<i32> = (0..=2 * STICKY).map(|_| turns.take(1)).collect();
        let expected = [[3; STICKY], [5; STICKY]].concat();
        assert_eq!(taken[..2 * STICKY], expected);
        assert_eq!(taken[2 * STICKY], 3);
    }

    #[test]
    fn records_that_go_together_stay_together() {
        let mut turns = Turns::new(&[0, 1, 2], 0);
        assert_eq!([600, 600, 400, 1].map(|count| turns.take(count)), [0, 1, 1, 2]);
        turns.advance();
        assert_eq!(turns.take(1), 0);
    }
}
