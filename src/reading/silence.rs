//! Partitions that nothing comes from, though they have records: when to note it, when to give up. Pure: no clock, no IO.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::contact::{NOTES, Notes};
use crate::kafka::errors::Fault;

/// Two looks at silent partitions count as one silence if they are no further apart. Between two that are,
/// the reader was busy and did not listen.
const LISTENING: Duration = Duration::from_secs(1);

/// No silence is shorter.
const BRIEF: Duration = Duration::from_secs(1);

/// Partitions that nothing comes from though there is something: one without a leader is no outage
/// of all brokers. Each counts from when it was first behind, its position last changed, or an
/// outage ended; time without a look does not count.
#[derive(Debug)]
pub(crate) struct Silence<K> {
    limit: Option<Duration>,
    looked: Option<Instant>,
    quiet: HashMap<K, (Option<i64>, Duration)>,
    notes: Notes,
}

/// What to do about silent partitions: those that are silent for long, in order, and for how long
/// the longest is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hush<K> {
    Wait,
    Note(Vec<K>, Duration),
    GiveUp(Vec<K>, Duration),
}

impl<K: Clone + Eq + Hash + Ord> Silence<K> {
    /// Nothing is silent; a partition may be for so long.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, looked: None, quiet: HashMap::new(), notes: Self::notes() }
    }

    /// A leader is elected within a few seconds, which is not worth a note.
    fn notes() -> Notes {
        Notes::first_after(NOTES)
    }

    /// Forgets what is known: in an outage nothing comes from anywhere.
    pub(crate) fn forget(&mut self) {
        self.looked = None;
        self.quiet.clear();
        self.notes = Self::notes();
    }

    /// Takes note of the partitions that are behind now, each with the position it was read to.
    /// To be called while nothing comes. `fault`: of an address that the cluster advertises, which makes a
    /// short silence worth a note.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        behind: impl IntoIterator<Item = (K, Option<i64>)>,
        fault: Option<&Fault>,
    ) -> Hush<K> {
        let passed = self.looked.map_or(Duration::ZERO, |looked| now.saturating_duration_since(looked));
        let passed = if passed <= LISTENING { passed } else { Duration::ZERO };
        self.looked = Some(now);
        let before = std::mem::take(&mut self.quiet);
        for (key, position) in behind {
            let quiet = match before.get(&key) {
                Some((before, quiet)) if *before == position => *quiet + passed,
                _ => Duration::ZERO,
            };
            self.quiet.insert(key, (position, quiet));
        }
        let longest = self.quiet.values().map(|(_, quiet)| *quiet).max().unwrap_or_default();
        let long = fault.map_or(NOTES, |fault| fault.patience.max(BRIEF));
        if longest < long {
            self.notes = Self::notes();
        }
        if let Some(fault) = fault {
            self.notes.hasten(&Fault { patience: long, ..fault.clone() });
        }
        if self.limit.is_some_and(|limit| longest >= limit.max(long)) {
            return Hush::GiveUp(self.silent(long), longest);
        }
        if self.notes.are_due(longest) { Hush::Note(self.silent(long), longest) } else { Hush::Wait }
    }

    fn silent(&self, long: Duration) -> Vec<K> {
        let silent = self.quiet.iter().filter(|(_, (_, quiet))| *quiet >= long);
        let mut silent: Vec<K> = silent.map(|(key, _)| key.clone()).collect();
        silent.sort_unstable();
        silent
    }
}

/// How many partitions a sentence names.
const NAMED: usize = 5;

fn named<K: Display>(partitions: &[K]) -> String {
    let names: Vec<String> = partitions.iter().take(NAMED).map(K::to_string).collect();
    let more = partitions.len().saturating_sub(NAMED);
    if more > 0 { format!("{} and {more} more", names.join(" ")) } else { names.join(" ") }
}

/// The note that nothing comes from these partitions.
pub(crate) fn silent<K: Display>(partitions: &[K], lasts: Duration, cause: Option<&str>) -> String {
    let cause = cause.unwrap_or("its leader does not answer");
    format!("nothing from {} since {} s: {cause}", named(partitions), lasts.as_secs())
}

/// The error that nothing came from these partitions for too long.
pub(crate) fn stalled_at<K: Display>(partitions: &[K], lasts: Duration, cause: Option<&str>) -> String {
    let cause = cause.unwrap_or("its leader does not answer");
    let seconds = lasts.as_secs();
    format!("stalled: nothing from {} for {seconds} s (--stall-timeout): {cause}", named(partitions))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Looks every tick, from `from` to `to`; what came of it, but for waiting.
    fn looks(
        silence: &mut Silence<u8>,
        began: Instant,
        (from, to): (u64, u64),
        behind: &[(u8, Option<i64>)],
    ) -> Vec<Hush<u8>> {
        let ticks = (from * 10)..(to * 10);
        let looks = ticks.map(|tick| silence.look(began + TICK * tick as u32, behind.iter().copied(), None));
        looks.filter(|hush| *hush != Hush::Wait).collect()
    }

    #[test]
    fn a_silent_partition_counts_from_when_it_was_behind_and_not_from_before() {
        let mut silence = Silence::new(Some(s(12)));
        let began = Instant::now();
        assert_eq!(looks(&mut silence, began, (0, 30), &[]), [], "all is read: quiet is no silence");
        assert_eq!(looks(&mut silence, began, (30, 39), &[(1, None)]), [], "it came 9 s ago");
        let later = looks(&mut silence, began, (39, 43), &[(1, None)]);
        assert_eq!(later[0], Hush::Note(vec![1], s(10)));
        assert_eq!(later[1], Hush::GiveUp(vec![1], s(12)));
    }

    #[test]
    fn a_partition_that_moves_is_not_silent_and_does_not_hide_one_that_is() {
        let mut silence = Silence::new(None);
        let began = Instant::now();
        let mut said = Vec::new();
        for second in 0..25 {
            said.extend(looks(
                &mut silence,
                began,
                (second, second + 1),
                &[(1, Some(second as i64)), (2, Some(7))],
            ));
        }
        assert_eq!(said, [Hush::Note(vec![2], s(10)), Hush::Note(vec![2], s(20))]);
    }

    #[test]
    fn time_in_which_nobody_listened_and_an_outage_do_not_count() {
        let mut silence = Silence::new(Some(s(12)));
        let began = Instant::now();
        looks(&mut silence, began, (0, 8), &[(1, None)]);
        assert_eq!(looks(&mut silence, began, (60, 61), &[(1, None)]), [], "stdout was full for 52 s");
        silence.forget();
        assert_eq!(looks(&mut silence, began, (61, 70), &[(1, None)]), []);
    }

    #[test]
    fn a_silence_whose_reason_is_known_is_noted_soon_and_given_up_at_the_limit() {
        let mut silence = Silence::new(Some(s(4)));
        let began = Instant::now();
        let fault =
            Fault { sentence: "x".to_owned(), patience: Duration::from_millis(1200), hidden: Duration::ZERO };
        let look = |tick| silence.look(began + TICK * tick, [(1u8, None)], Some(&fault));
        let said: Vec<_> = (0..60).map(look).filter(|hush| *hush != Hush::Wait).collect();
        assert_eq!(said[..2], [Hush::Note(vec![1], TICK * 12), Hush::GiveUp(vec![1], s(4))]);
    }

    #[test]
    fn the_sentences_name_the_first_partitions_the_time_and_the_cause() {
        let all: Vec<u32> = (0..7).collect();
        assert_eq!(
            silent(&all, s(10), None),
            "nothing from 0 1 2 3 4 and 2 more since 10 s: its leader does not answer"
        );
        assert_eq!(stalled_at(&[1], s(9), Some("x")), "stalled: nothing from 1 for 9 s (--stall-timeout): x");
    }
}
