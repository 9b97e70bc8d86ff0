//! Which form the lines of this process have: what `--log-format` asks for, and where stderr leads.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use rustix::fs::fstat;

use super::line::Form;
use crate::named::Named;

/// `--log-format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Named for LogFormat {
    const ALL: &'static [Self] = &[Self::Text, Self::Json];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// How long a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Until it has done what was asked for: a person or a script reads at once what it says.
    Once,
    /// Until it is stopped: what it says is read later, in a log.
    On,
}

/// The form of the lines that a command writes to `stderr`. `journal` is the value of `JOURNAL_STREAM`, which
/// systemd sets to the device and inode of the socket that leads to the journal: the journal has the time of
/// each line already.
pub(super) fn of_command(
    format: LogFormat,
    runs: Runs,
    stderr: &(impl AsFd + IsTerminal),
    journal: Option<&str>,
) -> Form {
    match (format, runs) {
        (LogFormat::Json, _) => Form::Json,
        (LogFormat::Text, Runs::On) if !stderr.is_terminal() && !is_journal(stderr, journal) => Form::Timed,
        (LogFormat::Text, _) => Form::Text,
    }
}

fn is_journal(stderr: &impl AsFd, journal: Option<&str>) -> bool {
    let Some(journal) = journal else { return false };
    fstat(stderr).is_ok_and(|stat| journal == format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_have_a_time_where_a_command_that_runs_on_writes_to_a_file() {
        let form =
            |format: LogFormat, runs: Runs| of_command(format, runs, &tempfile::tempfile().unwrap(), None);
        assert_eq!(form(LogFormat::Text, Runs::On), Form::Timed);
        assert_eq!(form(LogFormat::Text, Runs::Once), Form::Text);
        for runs in [Runs::On, Runs::Once] {
            assert_eq!(form(LogFormat::Json, runs), Form::Json);
        }
    }

    #[test]
    fn the_journal_is_the_socket_that_its_variable_names() {
        let (socket, _) = UnixStream::pair().unwrap();
        let socket = OwnedFd::from(socket);
        let stat = fstat(&socket).unwrap();
        let form = |journal: &str| of_command(LogFormat::Text, Runs::On, &socket, Some(journal));
        assert_eq!(form(&format!("{}:{}", stat.st_dev, stat.st_ino)), Form::Text);
        for other in [
            String::new(),
            "journal".to_owned(),
            format!("{}:{}", stat.st_dev, stat.st_ino + 1),
            format!("{}:{}", stat.st_dev + 1, stat.st_ino),
            format!("{}:{}x", stat.st_dev, stat.st_ino),
        ] {
            assert_eq!(form(&other), Form::Timed, "{other}");
        }
    }
}
