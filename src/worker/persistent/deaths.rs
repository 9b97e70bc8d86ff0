//! Tells a command that is broken from records that kill it. Pure: no clock, no IO.

use std::collections::HashSet;

use crate::worker::ledger::Ticket;

/// So many deaths in a row without an answer between them: the command is broken.
pub(super) const MOST: usize = 5;

/// The deaths of a command's processes since its last answer.
///
/// A record that was alone in flight is guilty of the death, and counts once however often it is
/// tried. A death with several in flight has no guilty record until one of them is alone.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    guilty: HashSet<Ticket>,
    unexplained: usize,
}

impl Deaths {
    /// A process died with this one record in flight.
    pub(super) fn of(&mut self, ticket: Ticket) {
        self.unexplained = 0;
        self.guilty.insert(ticket);
    }

    /// A process died with several in flight.
    pub(super) fn unexplained(&mut self) {
        self.unexplained += 1;
    }

    /// An answer came: the command works.
    pub(super) fn forget(&mut self) {
        if self.count() > 0 {
            *self = Self::default();
        }
    }

    /// How many count.
    pub(super) fn count(&self) -> usize {
        self.guilty.len() + self.unexplained
    }

    /// Whether the command is broken.
    pub(super) fn are_too_many(&self) -> bool {
        self.count() >= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(offset: i64) -> Ticket {
        Ticket { epoch: 1, offset }
    }

    #[test]
    fn a_record_that_kills_again_and_again_counts_once() {
        let mut deaths = Deaths::default();
        for _ in 0..100 {
            deaths.unexplained();
            deaths.of(ticket(7));
            deaths.of(ticket(8));
        }
        assert!(!deaths.are_too_many());
    }

    #[test]
    fn five_records_that_kill_with_no_answer_between_mean_a_broken_command() {
        let mut deaths = Deaths::default();
        deaths.unexplained();
        (0..4).for_each(|offset| deaths.of(ticket(offset)));
        assert!(!deaths.are_too_many());
        deaths.of(ticket(4));
        assert!(deaths.are_too_many());
        deaths.forget();
        assert_eq!(deaths.count(), 0);
    }

    #[test]
    fn deaths_that_no_record_explains_count_each() {
        let mut deaths = Deaths::default();
        (0..MOST).for_each(|_| deaths.unexplained());
        assert!(deaths.are_too_many());
    }
}
