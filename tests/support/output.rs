//! How a run ended, with checks that print all of it when they fail.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

/// How many bytes of a stream a failure prints, from its end.
const SHOWN: usize = 8 * 1024;

/// What a run left: its status, what it wrote, and its working directory until this is dropped.
pub struct Output {
    /// The command line, for messages.
    pub line: String,
    /// The status the parent saw.
    pub status: ExitStatus,
    /// Everything it wrote to stdout, byte for byte (empty where [`super::Kq::stdout_to`] took it).
    pub stdout: Vec<u8>,
    /// Everything it wrote to stderr.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
    pub(super) dir: Arc<TempDir>,
}

impl Output {
    /// The working directory of the run.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The exit status, or 128+n as a shell has it where a signal ended the process.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// stdout as text; fails where it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_else(|e| panic!("stdout is not UTF-8: {e}\n{self}"))
    }

    /// stdout's lines.
    #[track_caller]
    pub fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }

    /// Demands status 0.
    #[track_caller]
    pub fn success(self) -> Self {
        self.status(0)
    }

    /// Demands this status.
    #[track_caller]
    pub fn status(self, code: i32) -> Self {
        assert!(self.code() == code, "expected status {code}\n{self}");
        self
    }

    /// Demands exactly these bytes on stdout.
    #[track_caller]
    pub fn stdout(self, expected: impl AsRef<[u8]>) -> Self {
        let expected = expected.as_ref();
        assert!(
            self.stdout == expected,
            "expected stdout ({} bytes):\n{}\n{self}",
            expected.len(),
            shown(expected)
        );
        self
    }

    /// Demands that stdout holds this text.
    #[track_caller]
    pub fn stdout_has(self, part: &str) -> Self {
        let held = String::from_utf8_lossy(&self.stdout).contains(part);
        assert!(held, "expected stdout to hold {part:?}\n{self}");
        self
    }

    /// Demands exactly this text on stderr.
    #[track_caller]
    pub fn stderr(self, expected: &str) -> Self {
        assert!(self.stderr == expected, "expected stderr:\n{expected}\n{self}");
        self
    }

    /// Demands that stderr holds this text.
    #[track_caller]
    pub fn stderr_has(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "expected stderr to hold {part:?}\n{self}");
        self
    }

    /// Demands that stderr does not hold this text.
    #[track_caller]
    pub fn stderr_lacks(self, part: &str) -> Self {
        assert!(!self.stderr.contains(part), "expected stderr not to hold {part:?}\n{self}");
        self
    }

    /// Demands what the closure says; `what` names it in the failure.
    #[track_caller]
    pub fn demand(self, what: &str, holds: impl FnOnce(&Self) -> bool) -> Self {
        assert!(holds(&self), "expected {what}\n{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(
            f,
            &self.line,
            &format!("{} after {:.1?}", self.status, self.took),
            &self.stdout,
            &self.stderr,
        )
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The one form in which a run is printed, ended or not.
pub(super) fn describe(
    f: &mut dyn fmt::Write,
    line: &str,
    status: &str,
    stdout: &[u8],
    stderr: &str,
) -> fmt::Result {
    let bytes = stdout.len();
    let (stdout, stderr) = (shown(stdout), shown(stderr.as_bytes()));
    write!(
        f,
        "===== {line}\nstatus: {status}\n----- stdout ({bytes} bytes):\n{stdout}\n----- stderr:\n{stderr}\n====="
    )
}

/// Bytes for a person: text as it is, the rest escaped, the end of what is long.
fn shown(bytes: &[u8]) -> String {
    let cut = bytes.len().saturating_sub(SHOWN);
    let text = match std::str::from_utf8(&bytes[cut..]) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes[cut..].escape_ascii().to_string(),
    };
    if cut == 0 { text } else { format!("[… {cut} bytes before]\n{text}") }
}
