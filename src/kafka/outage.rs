//! Questions to a cluster that may be out of reach for a while.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between the beginnings of two questions.
const BETWEEN: Duration = Duration::from_millis(200);

/// Asks until there is an answer, an error that is more than an outage, or nothing more to hope for:
/// `limit` has passed, or `is_over`.
pub fn ride_out<T, E>(
    limit: Duration,
    is_over: impl Fn() -> bool,
    is_outage: impl Fn(&E) -> bool,
    question: impl Fn() -> Result<T, E>,
) -> Result<T, E> {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        match question() {
            Err(e) if is_outage(&e) && !is_over() && began.elapsed() < limit => {
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
            let outcome = ride_out(limit, || is_over, |error| *error == "lost", question);
            (times.get(), outcome)
        };
        let long = Duration::from_mins(1);
        assert_eq!(asked("lost", 3, false, long), (3, Ok(())));
        assert_eq!(asked("lost", 3, true, long), (1, Err("lost")), "it is to end");
        assert_eq!(asked("lost", 3, false, Duration::ZERO), (1, Err("lost")), "it lasts for too long");
        assert_eq!(asked("refused", 3, false, long), (1, Err("refused")));
    }
}
