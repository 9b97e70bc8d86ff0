//! Exit statuses, and the only place that prints a final error or ends the process.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::stderr;

/// How a command ended. [`STATUSES`] says what each status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: all that was asked for is done.
    Done,
    /// 1: some records failed, or a worker stopped by policy.
    Failed,
    /// 2: usage, configuration, connection, authorisation, missing topic, stalled, stdout unwritable.
    Usage,
    /// 75: ended with work abandoned.
    Abandoned,
    /// 76: fenced, or a fatal client error.
    Fenced,
    /// 78: the worker's command can't be run.
    CannotRun,
    /// 128+n: ended by signal n before all was done, after draining.
    Signal(i32),
    /// The status of the command that `kq dev -- COMMAND` ran.
    Command(u8),
}

impl Exit {
    /// The number that the parent process sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Abandoned => 75,
            Self::Fenced => 76,
            Self::CannotRun => 78,
            Self::Signal(n) => (128 + n) as u8,
            Self::Command(code) => code,
        }
    }
}

/// An exit status in the words of help and README.
#[derive(Debug)]
pub(crate) struct Status {
    /// The number, or `128+n`.
    pub code: &'static str,
    /// What it means, in the words of the help.
    pub name: &'static str,
    /// The same at length: the row of README's table, which a test compares.
    #[cfg_attr(not(test), expect(dead_code, reason = "only README shows it"))]
    pub meaning: &'static str,
}

/// The one table of exit statuses. [`Exit::Command`] is not in it: it passes on another program's status.
pub(crate) const STATUSES: [Status; 7] = [
    Status {
        code: "0",
        name: "all done",
        meaning: "all that was asked for is done: acknowledged, or written out; or a signal stopped a command \
                  without a stop condition, and it drained",
    },
    Status {
        code: "1",
        name: "some records failed",
        meaning: "some records failed: bad lines, undelivered, lost to retention, or a worker that stopped by policy",
    },
    Status {
        code: "2",
        name: "usage, configuration or connection",
        meaning: "usage, configuration, connection, authorisation, missing topic, stalled, stdout that can't be \
                  written",
    },
    Status {
        code: "75",
        name: "work abandoned",
        meaning: "the worker ended with commands abandoned, or `kq serve` with records not acknowledged",
    },
    Status { code: "76", name: "fenced", meaning: "fenced, or a fatal client error" },
    Status {
        code: "78",
        name: "the worker's command can't be run",
        meaning: "the worker's command can't be run",
    },
    Status {
        code: "128+n",
        name: "ended by signal n",
        meaning: "ended by signal n before all that was asked for was done, after draining; stderr says where",
    },
];

/// The statuses in a sentence, for the help.
pub(crate) fn sentence() -> String {
    let names = STATUSES.iter().map(|status| format!("{} {}", status.code, status.name));
    format!("Exit status: {}.", names.collect::<Vec<_>>().join(", "))
}

/// An error that ends kq with a status other than 2, which is what a plain error means.
#[derive(Debug)]
struct Ending {
    exit: Exit,
    cause: anyhow::Error,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.cause)
    }
}

impl std::error::Error for Ending {}

/// Gives an error the exit status that it ends kq with.
pub(crate) fn with(exit: Exit, cause: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(Ending { exit, cause })
}

/// The status that an error ends with.
pub(crate) fn of_error(e: &anyhow::Error) -> Exit {
    e.downcast_ref::<Ending>().map_or(Exit::Usage, |ending| ending.exit)
}

/// The first signal's number, 0 while there was none.
static STOPPED_BY: AtomicI32 = AtomicI32::new(0);

/// A signal asked to stop: from now on the end does not wait for a stderr that is not read.
pub(crate) fn hurry(signal: i32) {
    let _ = STOPPED_BY.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
    stderr::hurry();
}

/// Whether a second signal is ending the process.
static SECOND_CAME: AtomicBool = AtomicBool::new(false);

/// A second signal ends the process: what it does first, such as killing a command, must not look like a normal
/// end of the work, with another status.
pub(crate) fn leave_to_second_signal() {
    SECOND_CAME.store(true, Ordering::SeqCst);
}

/// Prints an error, once, and ends the process with the outcome's status. It waits until stderr has taken all
/// lines; a signal that comes during that wait ends it, and decides the status.
pub(crate) fn end(outcome: anyhow::Result<Exit>) -> ! {
    let knew_of = STOPPED_BY.load(Ordering::SeqCst);
    let exit = outcome.unwrap_or_else(|e| {
        if is_broken_pipe(&e) {
            return Exit::Done;
        }
        stderr::last_error(format!("{e:#}"));
        of_error(&e)
    });
    let is_told = stderr::finish();
    while SECOND_CAME.load(Ordering::SeqCst) {
        std::thread::park();
    }
    match STOPPED_BY.load(Ordering::SeqCst) {
        signal if !is_told && signal != knew_of => at_once(Exit::Signal(signal)),
        _ => at_once(exit),
    }
}

/// Whether a closed stdout is anywhere in the error's chain: a normal end in a pipe.
pub(crate) fn is_broken_pipe(e: &anyhow::Error) -> bool {
    let here = |e: &anyhow::Error| {
        e.chain()
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|io| io.kind() == io::ErrorKind::BrokenPipe)
    };
    here(e) || e.downcast_ref::<Ending>().is_some_and(|ending| here(&ending.cause))
}

/// Ends the process now: no destructors, no exit handlers.
///
/// With them, the end would not be bounded in time: the Kafka client's Drop waits for brokers that are
/// not reachable. And OpenSSL's exit handler would free memory that librdkafka's threads still use. No lock is
/// taken: a thread that writes to a stdout that is not read holds that of stdout.
pub(crate) fn at_once(exit: Exit) -> ! {
    signal_hook::low_level::exit(i32::from(exit.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_the_table() {
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Abandoned,
            Exit::Fenced,
            Exit::CannotRun,
            Exit::Signal(2),
            Exit::Signal(15),
            Exit::Command(7),
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 75, 76, 78, 130, 143, 7]);
    }

    const README: &str = include_str!("../README.md");

    #[test]
    fn the_table_has_every_status_and_the_readme_has_the_table() {
        let exits = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Abandoned, Exit::Fenced, Exit::CannotRun];
        let codes = exits.map(|exit| exit.code().to_string());
        assert!(
            STATUSES.iter().map(|status| status.code).eq(codes.iter().map(String::as_str).chain(["128+n"]))
        );
        let rows = STATUSES.map(|status| format!("| {} | {} |\n", status.code, status.meaning)).concat();
        let table = format!("| status | meaning |\n|---|---|\n{rows}");
        assert!(README.contains(&table), "README's table of statuses is to be:\n{table}");
    }

    #[test]
    fn the_readme_says_what_each_status_means_for_a_worker() {
        let (_, table) = README.split_once("| status of kq |").expect("the table of a worker's statuses");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let mut codes: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).map(str::trim).collect();
        codes.dedup();
        assert!(codes.iter().copied().eq(STATUSES.iter().map(|status| status.code)), "{codes:?}");
    }

    #[test]
    fn a_broken_pipe_is_found_under_context() {
        let e = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("write stdout");
        assert!(is_broken_pipe(&e));
        assert!(is_broken_pipe(&with(Exit::Failed, e)));
        assert!(!is_broken_pipe(&anyhow::anyhow!("no pipe here")));
    }
}
