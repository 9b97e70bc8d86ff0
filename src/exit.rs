//! Exit statuses, and the only place that prints a final error or ends the process.

use std::fmt;
use std::io::{self, Write as _};

/// How a command ended: the one table of exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all that was asked for is done.
    Done,
    /// 1: some records failed, or a worker gave up by policy.
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
    pub fn code(self) -> u8 {
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
pub fn with(exit: Exit, cause: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(Ending { exit, cause })
}

/// Ends the process with the outcome's status where nobody reads stderr: an error that is printed
/// there would wait for ever.
pub fn unheard(outcome: &anyhow::Result<Exit>) -> ! {
    at_once(match outcome {
        Ok(exit) => *exit,
        Err(e) => of_error(e),
    })
}

fn of_error(e: &anyhow::Error) -> Exit {
    e.downcast_ref::<Ending>().map_or(Exit::Usage, |ending| ending.exit)
}

/// Prints an error, once, and ends the process with the outcome's status.
pub fn end(outcome: anyhow::Result<Exit>) -> ! {
    let exit = outcome.unwrap_or_else(|e| {
        if is_broken_pipe(&e) {
            return Exit::Done;
        }
        let _ = writeln!(io::stderr(), "kq: {e:#}");
        of_error(&e)
    });
    at_once(exit)
}

/// Whether a closed stdout is anywhere in the error's chain: a normal end in a pipe.
pub fn is_broken_pipe(e: &anyhow::Error) -> bool {
    let here = |e: &anyhow::Error| {
        e.chain()
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|io| io.kind() == io::ErrorKind::BrokenPipe)
    };
    here(e) || e.downcast_ref::<Ending>().is_some_and(|ending| here(&ending.cause))
}

/// Ends the process now: no destructors, no exit handlers.
///
/// Neither would end in bounded time: the Kafka client's Drop waits for brokers that are away,
/// and OpenSSL's exit handler would free what librdkafka's threads still use.
pub fn at_once(exit: Exit) -> ! {
    let _ = io::stdout().flush();
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

    #[test]
    fn a_broken_pipe_is_found_under_context() {
        let e = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("write stdout");
        assert!(is_broken_pipe(&e));
        assert!(is_broken_pipe(&with(Exit::Failed, e)));
        assert!(!is_broken_pipe(&anyhow::anyhow!("no pipe here")));
    }
}
