//! What follows when a command failed: the status table and `--exit-map`. Pure: no clock, no IO.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::ledger::GivenUp;
use crate::named::Named;

/// How one run of the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It exited with this status.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It ran longer than `--command-timeout`.
    Timeout,
    /// kq terminated it, since its partition is revoked or the worker ends: whatever its status.
    Terminated,
    /// It could not be started for now: the machine lacks something. No attempt is spent.
    NotStarted(String),
    /// It could not be started: not found, not executable, no such interpreter.
    CannotRun(String),
    /// The same, since its file is being written, which ends by itself.
    BeingWritten(String),
    /// A persistent command said that this record can't be handled, or broke the protocol over it.
    Protocol(String),
    /// A persistent command asked for the record again, or ended without an answer and with status 0.
    Again(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "status {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::Timeout => write!(f, "timed out"),
            Self::Terminated => write!(f, "terminated"),
            Self::CannotRun(why) | Self::BeingWritten(why) => write!(f, "can't be run: {why}"),
            Self::NotStarted(why) => write!(f, "can't be started: {why}"),
            Self::Protocol(why) | Self::Again(why) => write!(f, "{why}"),
        }
    }
}

/// What an end of the command means for its record, by the table and the map alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Resolved.
    Ok,
    /// Try again while there are retries left.
    Retry,
    /// No retry will help: straight to `--on-failure`.
    Permanent,
    /// Resolved without success, by the user's word.
    Skip,
    /// The command itself is broken: stop, commit nothing of this record.
    Broken,
}

impl FromStr for Meaning {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Ok(match s {
            "ok" => Self::Ok,
            "retry" => Self::Retry,
            "fail" => Self::Permanent,
            "skip" => Self::Skip,
            "stop" => Self::Broken,
            _ => return Err(format!("{s:?} is none of ok, retry, fail, skip, stop")),
        })
    }
}

/// `--exit-map 3=skip,4=retry`: statuses that mean something else than the table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExitMap(BTreeMap<u8, Meaning>);

impl FromStr for ExitMap {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let mut map = BTreeMap::new();
        for pair in s.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (code, meaning) =
                pair.split_once('=').ok_or_else(|| format!("{pair:?} is not STATUS=MEANING, as 3=skip"))?;
            let code: u8 = code.trim().parse().map_err(|_| format!("{code:?} is no exit status (0-255)"))?;
            if map.insert(code, meaning.trim().parse()?).is_some() {
                return Err(format!("status {code} is named twice"));
            }
        }
        if map.is_empty() {
            return Err("no STATUS=MEANING in it, as 3=skip".into());
        }
        Ok(Self(map))
    }
}

/// `--on-failure`: what becomes of a record whose command failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Stop the worker; the record stays uncommitted.
    Stop,
    /// Continue; the record is committed as if it had succeeded.
    Skip,
    /// Try again without end, with the longest backoff.
    Retry,
    /// Send it to the dead letters, then continue.
    Dlq,
}

impl Named for OnFailure {
    const ALL: &'static [Self] = &[Self::Stop, Self::Skip, Self::Retry, Self::Dlq];

    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Skip => "skip",
            Self::Retry => "retry",
            Self::Dlq => "dlq",
        }
    }
}

/// What is done next with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Done with it: commit.
    Resolved,
    /// Done with it without success, as asked: commit.
    Skipped,
    /// Run it again after the backoff.
    Retry,
    /// Send it to the dead letters, then commit.
    DeadLetter,
    /// Stop the worker; the record stays uncommitted.
    Stop,
    /// Stop the worker with 78: the command can't do its work at all.
    Broken,
}

/// How long a record is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retries {
    /// So many attempts after the first.
    Count(u32),
    /// For so long from its first attempt on.
    For(Duration),
}

impl Retries {
    /// Whether the attempt numbered `attempt`, `tried_for` after the first began, is the last.
    fn are_spent(self, attempt: u32, tried_for: Duration) -> bool {
        match self {
            Self::Count(count) => attempt > count,
            Self::For(limit) => tried_for >= limit,
        }
    }

    /// The wait before the next attempt: the last one is not later than asked for. Where attempts go on after that,
    /// by `--on-failure retry`, it is the backoff again.
    pub(super) fn wait(self, delay: Duration, tried_for: Duration) -> Duration {
        match self {
            Self::For(limit) if tried_for < limit => delay.min(limit.saturating_sub(tried_for)),
            Self::For(_) | Self::Count(_) => delay,
        }
    }
}

/// The failure policy of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub exit_map: ExitMap,
    pub retries: Retries,
    pub on_failure: OnFailure,
}

impl Policy {
    /// What an end means: the exit map first, then the table.
    pub(crate) fn meaning(&self, ended: &Ended) -> Meaning {
        match ended {
            Ended::Exit(code) => {
                let mapped = u8::try_from(*code).ok().and_then(|code| self.exit_map.0.get(&code));
                mapped.copied().unwrap_or(match code {
                    0 => Meaning::Ok,
                    // EX_DATAERR of sysexits.h; 100 is qmail's permanent failure.
                    65 | 100 => Meaning::Permanent,
                    // EX_CONFIG of sysexits.h; 126 and 127 are the shell's not executable, not found.
                    78 | 126 | 127 => Meaning::Broken,
                    // EX_TEMPFAIL (75), qmail's temporary failure (111), and every other status.
                    _ => Meaning::Retry,
                })
            }
            Ended::Signal(_)
            | Ended::Timeout
            | Ended::Terminated
            | Ended::NotStarted(_)
            | Ended::Again(_) => Meaning::Retry,
            Ended::Protocol(_) => Meaning::Permanent,
            Ended::CannotRun(_) | Ended::BeingWritten(_) => Meaning::Broken,
        }
    }

    /// Whether the exit map, and not the table, says what an end means.
    pub(super) fn is_mapped(&self, ended: &Ended) -> bool {
        let Ended::Exit(code) = ended else { return false };
        u8::try_from(*code).is_ok_and(|code| self.exit_map.0.contains_key(&code))
    }

    /// Whether an end says that the command itself is broken, by the table: it may be a deploy.
    pub(super) fn cannot_run(&self, ended: &Ended) -> bool {
        self.meaning(ended) == Meaning::Broken && !self.is_mapped(ended)
    }

    /// Why no further attempt follows on an end; `None` where `--exit-map` says to skip it.
    pub(super) fn given_up(&self, ended: &Ended) -> Option<GivenUp> {
        match self.meaning(ended) {
            Meaning::Skip => None,
            Meaning::Permanent => Some(GivenUp::BadData),
            Meaning::Ok | Meaning::Retry | Meaning::Broken => Some(GivenUp::Exhausted),
        }
    }

    /// Whether the records do not cause an end: the same batch is tried again later, and not in halves.
    pub(crate) fn is_temporary(&self, ended: &Ended) -> bool {
        match ended {
            Ended::Exit(code) => {
                let mapped = u8::try_from(*code).ok().and_then(|code| self.exit_map.0.get(&code));
                // EX_TEMPFAIL of sysexits.h; 111 is qmail's temporary failure.
                mapped.map_or(matches!(code, 75 | 111), |meaning| *meaning == Meaning::Retry)
            }
            Ended::Terminated | Ended::NotStarted(_) | Ended::Again(_) => true,
            Ended::Signal(_)
            | Ended::Timeout
            | Ended::CannotRun(_)
            | Ended::BeingWritten(_)
            | Ended::Protocol(_) => false,
        }
    }

    /// Why an end that means [`Meaning::Broken`] does, and what a person can do about it.
    pub(crate) fn why_broken(&self, ended: &Ended) -> &'static str {
        match ended {
            Ended::Exit(_) if self.is_mapped(ended) => {
                "--exit-map says stop: it is not committed, and the next start tries it again"
            }
            Ended::Exit(_) => {
                "that status says that the command itself is broken: it is not committed, and the next start \
                 tries it again (--exit-map reads it otherwise, as in 127=retry)"
            }
            _ => "it is not committed: the next start tries it again",
        }
    }

    /// What to do after the attempt numbered `attempt` (from 1) ended, `tried_for` after the first began.
    pub(crate) fn next(&self, ended: &Ended, attempt: u32, tried_for: Duration) -> Next {
        match self.meaning(ended) {
            Meaning::Ok => Next::Resolved,
            Meaning::Skip => Next::Skipped,
            Meaning::Broken => Next::Broken,
            Meaning::Retry if !self.retries.are_spent(attempt, tried_for) => Next::Retry,
            Meaning::Retry | Meaning::Permanent => match self.on_failure {
                OnFailure::Stop => Next::Stop,
                OnFailure::Skip => Next::Skipped,
                OnFailure::Retry => Next::Retry,
                OnFailure::Dlq => Next::DeadLetter,
            },
        }
    }

    /// Whether failures go to a topic for dead letters.
    pub(crate) fn needs_dead_letters(&self) -> bool {
        self.on_failure == OnFailure::Dlq
    }

    /// How many attempts a record gets; `None` where that is without end, or a matter of time.
    pub(crate) fn max_attempts(&self) -> Option<u64> {
        match self.retries {
            Retries::Count(count) if self.on_failure != OnFailure::Retry => Some(u64::from(count) + 1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(on_failure: OnFailure, map: &str) -> Policy {
        let exit_map = if map.is_empty() { ExitMap::default() } else { map.parse().unwrap() };
        Policy { exit_map, retries: Retries::Count(3), on_failure }
    }

    #[test]
    fn the_status_table_holds() {
        let policy = policy(OnFailure::Stop, "");
        let meaning = |code| policy.meaning(&Ended::Exit(code));
        assert_eq!(meaning(0), Meaning::Ok);
        assert_eq!([75, 111, 1, 2, 64, 255].map(meaning), [Meaning::Retry; 6]);
        assert_eq!([65, 100].map(meaning), [Meaning::Permanent; 2]);
        assert_eq!([78, 126, 127].map(meaning), [Meaning::Broken; 3]);
        assert_eq!(policy.meaning(&Ended::Signal(9)), Meaning::Retry);
        assert_eq!(policy.meaning(&Ended::Timeout), Meaning::Retry);
        assert_eq!(policy.meaning(&Ended::CannotRun(String::new())), Meaning::Broken);
    }

    #[test]
    fn the_exit_map_ranks_above_the_table() {
        let policy = policy(OnFailure::Stop, "3=skip, 65=retry,127=ok,9=fail,0=stop");
        let meaning = |code| policy.meaning(&Ended::Exit(code));
        assert_eq!(
            [3, 65, 127, 9, 0, 1].map(meaning),
            [Meaning::Skip, Meaning::Retry, Meaning::Ok, Meaning::Permanent, Meaning::Broken, Meaning::Retry]
        );
    }

    #[test]
    fn a_bad_exit_map_says_what_is_wrong() {
        for (map, part) in
            [("3", "STATUS=MEANING"), ("x=skip", "\"x\""), ("256=skip", "256"), ("3=go", "\"go\"")]
        {
            assert!(map.parse::<ExitMap>().unwrap_err().contains(part), "{map}");
        }
        assert!("3=skip,3=retry".parse::<ExitMap>().unwrap_err().contains("twice"));
        assert!("".parse::<ExitMap>().is_err());
    }

    #[test]
    fn a_permanent_failure_spends_no_retry() {
        assert_eq!(policy(OnFailure::Dlq, "").next(&Ended::Exit(65), 1, Duration::ZERO), Next::DeadLetter);
        assert_eq!(policy(OnFailure::Dlq, "").next(&Ended::Exit(127), 1, Duration::ZERO), Next::Broken);
    }

    #[test]
    fn a_temporary_end_is_one_that_no_record_causes() {
        let policy = policy(OnFailure::Dlq, "4=retry,111=fail");
        let is_temporary = |code| policy.is_temporary(&Ended::Exit(code));
        assert_eq!([75, 111, 4, 1, 65].map(is_temporary), [true, false, true, false, false]);
        assert!(policy.is_temporary(&Ended::NotStarted(String::new())));
        assert!(!policy.is_temporary(&Ended::Timeout) && !policy.is_temporary(&Ended::Signal(9)));
    }

    #[test]
    fn a_record_is_tried_for_as_long_as_asked_for_and_its_last_attempt_is_not_later() {
        let minute = Duration::from_mins(1);
        let policy = Policy { retries: Retries::For(minute), ..policy(OnFailure::Dlq, "") };
        let next = |tried_for| policy.next(&Ended::Exit(1), 99, tried_for);
        assert_eq!(next(Duration::from_secs(59)), Next::Retry);
        assert_eq!(next(minute), Next::DeadLetter);
        assert_eq!(policy.max_attempts(), None);
        assert_eq!(policy.retries.wait(minute, Duration::from_secs(50)), Duration::from_secs(10));
        assert_eq!(policy.retries.wait(minute, minute), minute, "--on-failure retry goes on");
        assert_eq!(Retries::Count(1).wait(minute, Duration::from_secs(50)), minute);
    }

    #[test]
    fn what_may_be_a_deploy_is_what_the_table_calls_broken() {
        let policy = policy(OnFailure::Dlq, "78=stop,126=retry");
        let of = |code| policy.cannot_run(&Ended::Exit(code));
        assert_eq!([78, 126, 127, 1].map(of), [false, false, true, false]);
        assert!(policy.cannot_run(&Ended::BeingWritten(String::new())));
    }

    proptest! {
        #[test]
        fn a_record_gets_exactly_one_attempt_more_than_retries(retries in 0..20u32, code in 1..64i32) {
            let policy = Policy { retries: Retries::Count(retries), ..policy(OnFailure::Dlq, "") };
            let next = |n| policy.next(&Ended::Exit(code), n, Duration::ZERO);
            let attempts = (1..=100u32).find(|&n| next(n) != Next::Retry);
            prop_assert_eq!(attempts.map(u64::from), policy.max_attempts());
        }

        #[test]
        fn retry_for_ever_never_gives_up(attempt in 1..u32::MAX, code in 1..64i32) {
            prop_assert_eq!(policy(OnFailure::Retry, "").next(&Ended::Exit(code), attempt, Duration::MAX), Next::Retry);
        }
    }
}
