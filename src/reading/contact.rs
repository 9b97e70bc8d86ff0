//! An outage: when to ask again, when to note it, when to give up, and the sentences. The clock is injected.

use std::fmt;
use std::time::{Duration, Instant};

use crate::clock::source::Clock;
use crate::kafka::errors::{Causes, Fault};
use crate::terminal::notes::Log;

/// Between the beginnings of two questions that nothing else is done beside.
const BETWEEN: Duration = Duration::from_millis(200);
/// How long the first question of several may take.
const FIRST_QUESTION: Duration = Duration::from_millis(1500);
/// The last one before a note or the limit may be short.
const SHORTEST_QUESTION: Duration = Duration::from_millis(100);
/// The first note of an outage comes after this time: a shorter one is not worth a note …
pub(crate) const FIRST_NOTE: Duration = Duration::from_secs(5);
/// … and then again each time.
pub(crate) const NOTES: Duration = Duration::from_secs(10);
/// So often is asked whether the brokers are back: an idle topic gives no sign of it.
const ASK: Duration = Duration::from_secs(2);
/// How long the first question waits: librdkafka never says that brokers are back, so what it
/// reported may be of the past …
const FIRST_ANSWER: Duration = Duration::from_millis(200);
/// … and how long each further one.
const ANSWER: Duration = Duration::from_secs(1);
/// The note once the brokers are back, if an outage was noted.
pub(crate) const OVER: &str = "the cluster answers again";

/// When a note of an outage is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notes {
    next: Duration,
    is_written: bool,
}

impl Default for Notes {
    fn default() -> Self {
        Self::first_after(FIRST_NOTE)
    }
}

impl Notes {
    /// The first note is due after this time.
    pub(super) fn first_after(next: Duration) -> Self {
        Self { next, is_written: false }
    }

    /// It is known what is wrong: a note is worth no wait but that of the fault.
    pub(crate) fn hasten(&mut self, fault: &Fault) {
        if !self.is_written {
            self.next = self.next.min(fault.patience);
        }
    }

    /// How long until the next note is due, after this time.
    fn left(self, waited: Duration) -> Duration {
        self.next.saturating_sub(waited)
    }

    /// Whether a note is due now, after this time.
    pub(crate) fn are_due(&mut self, waited: Duration) -> bool {
        let is_due = waited >= self.next;
        if is_due {
            self.next = waited + NOTES;
            self.is_written = true;
        }
        is_due
    }
}

/// What to do about an outage now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Wait,
    /// Ask the cluster for anything, and wait this long for the answer.
    Ask(Duration),
    /// Note that it has lasted for this time.
    Note(Duration),
    /// End: it has lasted for this time, which is too long.
    GiveUp(Duration),
}

/// Whether the brokers are in reach, and since when they are not.
#[derive(Debug, Default)]
pub(crate) struct Contact {
    /// How long an outage may last; `None`: without a limit.
    limit: Option<Duration>,
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    /// When was asked last.
    asked: Option<Instant>,
    is_certain: bool,
    notes: Notes,
}

impl Contact {
    /// In reach; an outage may last for so long.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, outage: None }
    }

    /// Since when no broker is in reach, if that is so.
    pub(crate) fn lost_since(&self) -> Option<Instant> {
        self.outage.as_ref().map(|outage| outage.since)
    }

    /// Whether no broker is in reach.
    pub(crate) fn is_lost(&self) -> bool {
        self.outage.is_some()
    }

    /// The client found every broker away, or the one that counts, since then.
    pub(crate) fn lose(&mut self, since: Instant) {
        let new = Outage { since, asked: None, is_certain: false, notes: Notes::default() };
        let outage = self.outage.get_or_insert(new);
        outage.since = outage.since.min(since);
    }

    /// The same of a broker with this fault, which took its time to show; it was heard of last at `heard`.
    pub(crate) fn lose_by(&mut self, fault: &Fault, heard: Instant, now: Instant) {
        self.lose(now.checked_sub(fault.hidden).map_or(heard, |since| since.max(heard)));
    }

    /// A broker answered: a record came, the end of a partition, or the answer to a question.
    pub(crate) fn answer(&mut self) -> Answered {
        match self.outage.take() {
            None => Answered::AsBefore,
            Some(outage) if !outage.is_certain && !outage.notes.is_written => Answered::AsBefore,
            Some(outage) if outage.notes.is_written => Answered::Again,
            Some(_) => Answered::Soon,
        }
    }

    /// It is known what is wrong: the note of it comes sooner.
    pub(crate) fn hasten(&mut self, fault: &Fault) {
        if let Some(outage) = &mut self.outage {
            outage.notes.hasten(fault);
        }
    }

    /// What to do now. After a question that had no answer, it is to be asked for again.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        let Some(outage) = &mut self.outage else { return Step::Wait };
        let lasts = now.saturating_duration_since(outage.since);
        let Some(asked) = outage.asked else {
            outage.asked = Some(now);
            return Step::Ask(FIRST_ANSWER);
        };
        if self.limit.is_some_and(|limit| lasts >= limit) {
            return Step::GiveUp(lasts);
        }
        if now.saturating_duration_since(asked) >= ASK {
            (outage.asked, outage.is_certain) = (Some(now), true);
            return Step::Ask(ANSWER);
        }
        if outage.notes.are_due(lasts) { Step::Note(lasts) } else { Step::Wait }
    }
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// There was no outage: the first question was answered at once, if one was asked.
    AsBefore,
    /// The outage was over before it was noted.
    Soon,
    /// The outage is over: see [`OVER`].
    Again,
}

/// The note that brokers are away: these, or those that the cluster advertises.
pub(crate) fn waiting(brokers: &str, lasts: Duration, causes: &Causes) -> String {
    let seconds = lasts.as_secs();
    match causes.advertised() {
        Some(Fault { sentence, .. }) => format!("waiting since {seconds} s: {sentence}"),
        None => format!("waiting for {brokers} since {seconds} s: {}", cause(causes)),
    }
}

/// The error that brokers were away for too long.
pub(crate) fn stalled(brokers: &str, lasts: Duration, causes: &Causes) -> String {
    let seconds = lasts.as_secs();
    if let Some(Fault { sentence, .. }) = causes.advertised() {
        return format!("stalled: no contact for {seconds} s (--stall-timeout): {sentence}");
    }
    let cause = cause(causes);
    format!("stalled: no contact to {brokers} for {seconds} s (--stall-timeout): {cause}")
}

fn cause(causes: &Causes) -> String {
    causes.last().unwrap_or_else(|| "no answer".to_owned())
}

/// How a question is asked again, and for how long.
pub(crate) struct Riding<'a> {
    pub log: Log,
    pub clock: &'a dyn Clock,
    pub causes: &'a Causes,
    /// How long one question may take. The first ones take less, so that what they wait for can be noted.
    pub timeout: Duration,
    /// How long all of them may take.
    pub limit: Duration,
}

/// Asks until there is an answer, an error that is more than an outage, or nothing more to hope for:
/// the limit has passed, or `is_over`. Notes what it waits for. The question gets the time that it may take.
pub(crate) fn ride_out<T, E: fmt::Display>(
    riding: &Riding<'_>,
    is_over: impl Fn() -> bool,
    is_outage: impl Fn(&E) -> bool,
    question: impl Fn(Duration) -> Result<T, E>,
) -> Result<T, E> {
    let Riding { log, clock, causes, timeout, limit } = *riding;
    let since = |then: Instant| clock.now().saturating_duration_since(then);
    let began = clock.now();
    let (mut notes, mut patience) = (Notes::default(), FIRST_QUESTION);
    loop {
        let asked = clock.now();
        let left = limit.saturating_sub(since(began)).min(notes.left(since(began)));
        match question(patience.min(timeout).min(left.max(SHORTEST_QUESTION))) {
            Err(e) if is_outage(&e) && !is_over() && since(began) < limit => {
                let (waited, fault) = (since(began), causes.advertised());
                if let Some(fault) = &fault {
                    notes.hasten(fault);
                }
                if notes.are_due(waited) {
                    let why = fault.map_or_else(|| format!("{e:#}"), |fault| fault.sentence);
                    log.note(format_args!("waiting since {} s: {why}", waited.as_secs()));
                }
                // An answer may take longer than the time that the question had.
                if since(asked) >= patience {
                    patience = patience.saturating_mul(2);
                }
                clock.sleep(BETWEEN.saturating_sub(since(asked)));
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::source::Manual;
    use crate::kafka::errors::{Code, Membership};

    const TICK: Duration = Duration::from_millis(100);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What is done in an outage of so long, tick by tick, without an answer: at which second what.
    fn steps(limit: Option<Duration>, lasts: Duration) -> Vec<(Duration, Step)> {
        let mut contact = Contact::new(limit);
        let began = Instant::now();
        contact.lose(began);
        let mut steps = Vec::new();
        let mut at = Duration::ZERO;
        while at <= lasts {
            match contact.step(began + at) {
                Step::Wait => at += TICK,
                step => steps.push((at, step)),
            }
            if matches!(steps.last(), Some((_, Step::GiveUp(_)))) {
                break;
            }
        }
        steps
    }

    #[test]
    fn an_outage_is_asked_about_every_two_seconds_and_noted_after_five_then_every_ten() {
        let steps = steps(None, s(26));
        let asked: Vec<_> = steps.iter().filter(|(_, step)| matches!(step, Step::Ask(_))).collect();
        assert_eq!(asked[0], &(s(0), Step::Ask(FIRST_ANSWER)));
        assert_eq!(asked[1..3], [&(s(2), Step::Ask(ANSWER)), &(s(4), Step::Ask(ANSWER))]);
        assert_eq!(asked.len(), 14);
        let noted: Vec<_> = steps.iter().filter(|(_, step)| matches!(step, Step::Note(_))).collect();
        assert_eq!(
            noted,
            [&(s(5), Step::Note(s(5))), &(s(15), Step::Note(s(15))), &(s(25), Step::Note(s(25)))]
        );
    }

    #[test]
    fn it_is_given_up_at_the_limit_and_not_before_a_question_was_asked() {
        assert_eq!(steps(Some(s(1)), s(9)), [(s(0), Step::Ask(FIRST_ANSWER)), (s(1), Step::GiveUp(s(1)))]);
        assert_eq!(steps(Some(s(0)), s(9))[0], (s(0), Step::Ask(FIRST_ANSWER)));
        assert!(matches!(steps(Some(s(60)), s(90)).last(), Some((at, Step::GiveUp(_))) if *at == s(60)));
    }

    #[test]
    fn the_end_of_an_outage_is_noted_where_its_beginning_was() {
        let began = Instant::now();
        let mut contact = Contact::new(None);
        assert_eq!(contact.answer(), Answered::AsBefore);
        assert_eq!(contact.step(began), Step::Wait, "nothing is lost");
        contact.lose(began);
        assert!(contact.is_lost());
        assert_eq!(contact.step(began), Step::Ask(FIRST_ANSWER));
        assert_eq!(contact.answer(), Answered::AsBefore, "it was of the past");
        contact.lose(began);
        assert_eq!(contact.step(began), Step::Ask(FIRST_ANSWER));
        assert_eq!(contact.step(began + s(2)), Step::Ask(ANSWER));
        assert_eq!(contact.answer(), Answered::Soon);
        contact.lose(began);
        contact.lose(began + s(3));
        assert_eq!(contact.lost_since(), Some(began), "it is one outage");
        for (at, step) in
            [(s(0), Step::Ask(FIRST_ANSWER)), (s(6), Step::Ask(ANSWER)), (s(6), Step::Note(s(6)))]
        {
            assert_eq!(contact.step(began + at), step);
        }
        assert_eq!(contact.answer(), Answered::Again);
        assert_eq!(contact.answer(), Answered::AsBefore);
    }

    #[test]
    fn the_sentences_name_the_brokers_the_time_and_the_cause() {
        let causes = Causes::new(Log::default(), "a:1", Membership::None);
        assert_eq!(waiting("a:1", s(5), &causes), "waiting for a:1 since 5 s: no answer");
        causes.error(Code::Resolve, "b:1/7: Failed to resolve 'b:1': Name or service not known");
        let fault = "can't resolve b, which the cluster advertises for broker 7 (advertised.listeners)";
        assert_eq!(waiting("a:1", s(2), &causes), format!("waiting since 2 s: {fault}"));
        assert_eq!(
            stalled("a:1", s(9), &causes),
            format!("stalled: no contact for 9 s (--stall-timeout): {fault}")
        );
        causes.error(Code::BrokerTransportFailure, "a:1/bootstrap: Connect to a failed: Connection refused");
        assert_eq!(
            stalled("a:1", s(60), &causes),
            "stalled: no contact to a:1 for 60 s (--stall-timeout): a:1: connection refused; \
             b:1: the name does not resolve: Name or service not known"
        );
    }

    #[test]
    fn an_advertised_address_that_is_known_to_be_bad_is_noted_soon_and_its_end_too() {
        let fault = |ms| Fault { sentence: String::new(), patience: Duration::from_millis(ms), hidden: s(4) };
        let began = Instant::now();
        let mut contact = Contact::new(None);
        contact.lose(began);
        contact.hasten(&fault(1200));
        assert_eq!(contact.step(began), Step::Ask(FIRST_ANSWER));
        assert_eq!(contact.step(began + s(1)), Step::Wait);
        assert_eq!(contact.step(began + TICK * 12), Step::Note(TICK * 12));
        contact.hasten(&fault(0));
        assert_eq!(contact.step(began + TICK * 13), Step::Wait, "once");
        assert_eq!(contact.answer(), Answered::Again);
        contact.lose_by(&fault(0), began + s(8), began + s(10));
        assert_eq!(contact.lost_since(), Some(began + s(8)), "it was heard of then");
        contact.lose_by(&fault(0), began, began + s(11));
        assert_eq!(contact.lost_since(), Some(began + s(7)));
    }

    proptest! {
        #[test]
        fn nothing_is_given_up_before_its_time(limit in 0..90u64, ticks in prop::collection::vec(0..3000u64, 1..200)) {
            let began = Instant::now();
            let mut contact = Contact::new(Some(s(limit)));
            contact.lose(began);
            let mut at = Duration::ZERO;
            for tick in ticks {
                at += Duration::from_millis(tick);
                let step = contact.step(began + at);
                prop_assert!(!matches!(step, Step::GiveUp(_)) || at >= s(limit));
                prop_assert!(!matches!(step, Step::Note(_)) || at >= FIRST_NOTE);
            }
        }
    }

    #[test]
    fn a_question_is_asked_again_while_the_cluster_is_out_of_reach() {
        let asked = |error: &'static str, answers_at, is_over: bool, limit| {
            let times = Cell::new(0);
            let question = |_| {
                times.set(times.get() + 1);
                if times.get() == answers_at { Ok(()) } else { Err(error) }
            };
            let outcome = ride_out(
                &Riding {
                    log: Log::default(),
                    clock: &Manual::default(),
                    causes: &Causes::default(),
                    timeout: s(1),
                    limit,
                },
                || is_over,
                |error| *error == "lost",
                question,
            );
            (times.get(), outcome)
        };
        let long = Duration::from_mins(1);
        assert_eq!(asked("lost", 3, false, long), (3, Ok(())));
        assert_eq!(asked("lost", 3, true, long), (1, Err("lost")), "it is to end");
        assert_eq!(asked("lost", 3, false, Duration::ZERO), (1, Err("lost")), "it lasts for too long");
        assert_eq!(asked("refused", 3, false, long), (1, Err("refused")));
    }
}
