//! Equal lines within a time: the first is written, the others are counted. Pure: no clock, no IO.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::line::{Level, Line, Repeated};

/// Equal lines within this time are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Lines that are remembered: more than that are written as they come.
const MOST: usize = 256;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Write,
    /// It is the first of its window that is not written: [`Repeats::due`] changed.
    CountFirst,
    Count,
}

/// The lines of the last [`WINDOW`].
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: HashMap<(Level, String), Seen>,
    /// When the next count is to be told.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When the line, or the count of those like it, was written.
    since: Instant,
    more: u64,
}

impl Repeats {
    /// Decides on a line that comes now.
    pub(super) fn take(&mut self, line: &Line, now: Instant) -> Fate {
        // What one asks for with -v is wanted in full, and in order; the lines of a command are not kq's.
        if !matches!(line.level, Level::Error | Level::Info) {
            return Fate::Write;
        }
        let key = (line.level, line.message.clone());
        if let Some(seen) = self.seen.get_mut(&key) {
            if seen.more == 0 && seen.is_over(now) {
                seen.since = now;
                return Fate::Write;
            }
            seen.more += 1;
            if seen.more > 1 {
                return Fate::Count;
            }
            let due = seen.since + WINDOW;
            self.due = Some(self.due.map_or(due, |other| other.min(due)));
            return Fate::CountFirst;
        }
        if self.seen.len() >= MOST {
            self.seen.retain(|_, seen| seen.more > 0 || !seen.is_over(now));
        }
        if self.seen.len() < MOST {
            self.seen.insert(key, Seen { since: now, more: 0 });
        }
        Fate::Write
    }

    /// When the next count is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The counts whose time is over: a window with a count is followed by another one.
    pub(super) fn tell(&mut self, now: Instant) -> Vec<Line> {
        self.tell_those(now, |seen| seen.is_over(now))
    }

    /// All counts, at the end.
    pub(super) fn tell_all(&mut self, now: Instant) -> Vec<Line> {
        self.tell_those(now, |_| true)
    }

    fn tell_those(&mut self, now: Instant, is_due: impl Fn(&Seen) -> bool) -> Vec<Line> {
        let due = self.seen.iter_mut().filter(|(_, seen)| seen.more > 0 && is_due(seen));
        let mut told: Vec<(Instant, Line)> = due
            .map(|((level, message), seen)| {
                let Seen { since, more: times } = std::mem::replace(seen, Seen { since: now, more: 0 });
                let seconds = now.saturating_duration_since(since).as_secs_f64().round().max(1.0) as u64;
                (since, Line::repeated(*level, message.clone(), Repeated { times, seconds }))
            })
            .collect();
        told.sort_by_key(|(since, _)| *since);
        let counted = self.seen.values().filter(|seen| seen.more > 0);
        self.due = counted.map(|seen| seen.since + WINDOW).min();
        told.into_iter().map(|(_, line)| line).collect()
    }
}

impl Seen {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(text: &str) -> Line {
        Line::new(Level::Info, text)
    }

    fn told(lines: Vec<Line>) -> Vec<(String, Repeated)> {
        lines.into_iter().map(|line| (line.message, line.repeated.expect("a count"))).collect()
    }

    #[test]
    fn an_equal_line_is_counted_and_the_count_is_due_at_the_end_of_its_window() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut repeats = Repeats::default();
        assert_eq!(repeats.take(&note("a"), start), Fate::Write);
        assert_eq!(repeats.due(), None);
        assert_eq!(repeats.take(&note("a"), at(100)), Fate::CountFirst);
        assert_eq!(repeats.take(&note("b"), at(200)), Fate::Write);
        assert_eq!(repeats.take(&note("a"), at(9_999)), Fate::Count);
        assert_eq!(repeats.due(), Some(at(10_000)));
        assert_eq!(repeats.tell(at(9_999)), []);
        assert_eq!(told(repeats.tell(at(10_000))), [("a".into(), Repeated { times: 2, seconds: 10 })]);
        assert_eq!(repeats.due(), None);
        // The count is itself a line like it.
        assert_eq!(repeats.take(&note("a"), at(19_999)), Fate::CountFirst);
        assert_eq!(told(repeats.tell(at(20_001))), [("a".into(), Repeated { times: 1, seconds: 10 })]);
    }

    #[test]
    fn a_line_that_comes_again_after_its_window_is_written() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        assert_eq!(repeats.take(&note("a"), start), Fate::Write);
        assert_eq!(repeats.take(&note("a"), start + WINDOW), Fate::Write);
        assert_eq!(repeats.take(&note("a"), start + WINDOW), Fate::CountFirst);
    }

    #[test]
    fn at_the_end_all_counts_are_told_in_the_order_of_their_first_lines() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        for (n, text) in ["c", "a", "b"].iter().enumerate() {
            for _ in 0..=n {
                let _ = repeats.take(&note(text), start + Duration::from_millis(n as u64));
            }
        }
        let seconds = 1;
        let expected =
            [("a".into(), Repeated { times: 1, seconds }), ("b".into(), Repeated { times: 2, seconds })];
        assert_eq!(told(repeats.tell_all(start + Duration::from_millis(50))), expected);
        assert_eq!(repeats.tell_all(start + WINDOW), []);
    }

    #[test]
    fn an_error_and_a_note_are_not_equal_and_what_v_shows_is_never_counted() {
        let now = Instant::now();
        let mut repeats = Repeats::default();
        for level in [Level::Error, Level::Info] {
            assert_eq!(repeats.take(&Line::new(level, "a"), now), Fate::Write);
        }
        for level in [Level::Debug, Level::Trace, Level::Command] {
            for _ in 0..2 {
                assert_eq!(repeats.take(&Line::new(level, "a"), now), Fate::Write);
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_makes_room_once_its_time_is_over() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        for n in 0..MOST + 10 {
            assert_eq!(repeats.take(&note(&n.to_string()), start), Fate::Write);
        }
        assert_eq!(repeats.seen.len(), MOST);
        assert_eq!(repeats.take(&note("new"), start), Fate::Write);
        assert_eq!(repeats.take(&note("new"), start), Fate::Write);
        assert_eq!(repeats.take(&note("new"), start + WINDOW), Fate::Write);
        assert_eq!(repeats.take(&note("new"), start + WINDOW), Fate::CountFirst);
    }

    proptest! {
        #[test]
        fn every_line_is_written_or_counted_once(
            lines in prop::collection::vec((0..4u8, 0..4_000u64, any::<bool>()), 0..200),
        ) {
            let mut repeats = Repeats::default();
            let mut now = Instant::now();
            let (mut written, mut counted) = (0u64, 0u64);
            let mut count = |lines: Vec<Line>| {
                counted += lines.iter().map(|line| line.repeated.expect("a count").times).sum::<u64>();
            };
            for (text, passes, tells) in &lines {
                now += Duration::from_millis(*passes);
                written += u64::from(repeats.take(&note(&text.to_string()), now) == Fate::Write);
                if *tells {
                    count(repeats.tell(now));
                }
            }
            count(repeats.tell_all(now));
            prop_assert_eq!(written + counted, lines.len() as u64);
        }
    }
}
