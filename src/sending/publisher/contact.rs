//! Whether the cluster is in reach, and how often a client may be replaced. Pure: time is passed in, no IO.

use std::time::{Duration, Instant};

/// After so long without a broker the cluster is away.
pub(super) const AWAY_AFTER: Duration = Duration::from_secs(1);

/// Questions without an answer, one after the other, that make the cluster count as away: one alone may have gone
/// to the only broker that hangs.
const SILENT: u32 = 2;

/// What was heard of the cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contact {
    /// Since when nothing was heard; `None`: the last that was heard is good.
    lost: Option<Instant>,
    /// Questions without an answer since then.
    silent: u32,
    /// The client says that every broker is down.
    all_down: bool,
}

impl Contact {
    /// A broker answered.
    pub(super) fn heard(&mut self) {
        *self = Self::default();
    }

    /// The client found every broker down.
    pub(super) fn down(&mut self, now: Instant) {
        self.all_down = true;
        self.lost.get_or_insert(now);
    }

    /// A question that was asked at `asked` had no answer.
    pub(super) fn unanswered(&mut self, asked: Instant) {
        self.silent += 1;
        self.lost.get_or_insert(asked);
    }

    /// Whether something is wrong, if only for a moment.
    pub(super) fn is_doubtful(&self) -> bool {
        self.lost.is_some()
    }

    /// Since when the cluster is away.
    pub(super) fn away(&self, now: Instant) -> Option<Instant> {
        let is_certain = self.all_down || self.silent >= SILENT;
        self.lost.filter(|&lost| is_certain && now.saturating_duration_since(lost) >= AWAY_AFTER)
    }
}

/// How often a client may be replaced.
#[derive(Clone, Debug, Default)]
pub(super) struct Renewals {
    /// When it was, in the last [`Renewals::TIME`].
    times: Vec<Instant>,
}

impl Renewals {
    const MOST: usize = 3;
    const TIME: Duration = Duration::from_mins(1);

    /// Whether the client may be replaced now, which counts.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.times.retain(|&time| now.saturating_duration_since(time) < Self::TIME);
        let may = self.times.len() < Self::MOST;
        if may {
            self.times.push(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_cluster_is_away_a_second_after_the_client_found_every_broker_down() {
        let (mut contact, began) = (Contact::default(), Instant::now());
        contact.down(began);
        contact.down(began + 900 * MS);
        assert!(contact.is_doubtful());
        assert_eq!(contact.away(began + 999 * MS), None);
        assert_eq!(contact.away(began + 1000 * MS), Some(began));
        contact.heard();
        assert!(!contact.is_doubtful());
        assert_eq!(contact.away(began + 2000 * MS), None);
    }

    #[test]
    fn one_question_without_an_answer_is_not_enough() {
        let (mut contact, began) = (Contact::default(), Instant::now());
        contact.unanswered(began);
        assert_eq!(contact.away(began + 5000 * MS), None);
        contact.unanswered(began + 500 * MS);
        assert_eq!(contact.away(began + 1000 * MS), Some(began));
    }

    #[test]
    fn an_answer_between_two_silences_begins_anew() {
        let (mut contact, began) = (Contact::default(), Instant::now());
        contact.unanswered(began);
        contact.heard();
        contact.unanswered(began + 1000 * MS);
        assert_eq!(contact.away(began + 3000 * MS), None);
    }

    #[test]
    fn a_client_is_replaced_three_times_in_any_minute() {
        let (mut renewals, began) = (Renewals::default(), Instant::now());
        let may: Vec<bool> =
            [0, 10, 20, 30, 59, 60, 61, 70].map(|s| renewals.take(began + Duration::from_secs(s))).into();
        assert_eq!(may, [true, true, true, false, false, true, false, true]);
    }
}
