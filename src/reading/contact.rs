//! Questions to a cluster that may be out of reach for a while.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::terminal::notes::Log;

/// Between the beginnings of two questions.
const BETWEEN: Duration = Duration::from_millis(200);
/// What is waited for is said after so long: what is away for less is not worth a note …
pub const FIRST_NOTE: Duration = Duration::from_secs(5);
/// … and then again each time.
pub const NOTES: Duration = Duration::from_secs(10);

/// Asks until there is an answer, an error that is more than an outage, or nothing more to hope for:
/// `limit` has passed, or `is_over`. Says what it waits for.
pub fn ride_out<T, E: Display>(
    log: Log,
    limit: Duration,
    is_over: impl Fn() -> bool,
    is_outage: impl Fn(&E) -> bool,
    question: impl Fn() -> Result<T, E>,
) -> Result<T, E> {
    let began = Instant::now();
    let mut noted_at = FIRST_NOTE;
    loop {
        let asked = Instant::now();
        match question() {
            Err(e) if is_outage(&e) && !is_over() && began.elapsed() < limit => {
                let waited = began.elapsed();
                if waited >= noted_at {
                    noted_at = waited + NOTES;
                    log.note(format_args!("waiting since {} s: {e:#}", waited.as_secs()));
                }
                sleep(BETWEEN.saturating_sub(asked.elapsed()));
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_question_is_asked_again_while_the_cluster_is_out_of_reach() {
        let asked = |error: &'static str, answers_at, is_over: bool, limit| {
            let times = Cell::new(0);
            let question = || {
                times.set(times.get() + 1);
                if times.get() == answers_at { Ok(()) } else { Err(error) }
            };
            let outcome = ride_out(Log::default(), limit, || is_over, |error| *error == "lost", question);
            (times.get(), outcome)
        };
        let long = Duration::from_mins(1);
        assert_eq!(asked("lost", 3, false, long), (3, Ok(())));
        assert_eq!(asked("lost", 3, true, long), (1, Err("lost")), "it is to end");
        assert_eq!(asked("lost", 3, false, Duration::ZERO), (1, Err("lost")), "it lasts for too long");
        assert_eq!(asked("refused", 3, false, long), (1, Err("refused")));
    }
}
