//! One run of the real binary (or of another program beside it), in an environment that holds nothing else.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Once, PoisonError, RwLock};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT};
use tempfile::TempDir;

use super::output::Output;
use super::running::Running;

/// How long a run may take before it is killed and the test fails.
const LIMIT: Duration = Duration::from_mins(1);

/// Held while a script is written, and shared while a process is started. Between its start and its
/// exec, a child has every open file of this process: of another test's script too, which then can't
/// be run (`ETXTBSY`).
static SCRIPTS: RwLock<()> = RwLock::new(());

/// A command line about to be run: `kq` unless [`Kq::program`] names another.
///
/// Its environment holds PATH (kq's own folder first), HOME, TMPDIR and LANG;
/// its working directory is a new temporary folder. stdin is empty unless given.
pub struct Kq {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Arc<TempDir>,
    cwd: Option<PathBuf>,
    stdin: Stdin,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    limit: Duration,
}

/// What a run reads.
enum Stdin {
    Bytes(Vec<u8>),
    /// A pipe that stays open until the test closes it.
    Open,
    From(Stdio),
}

impl Kq {
    /// `kq ARGS…`.
    pub fn new<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::program(env!("CARGO_BIN_EXE_kq"), args)
    }

    /// Another program in the same clean environment: `sh`, `kcat`, …
    pub fn program<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Self {
        let dir = tempfile::Builder::new().prefix("kq-test-").tempdir().expect("make a temporary folder");
        std::fs::create_dir(dir.path().join("tmp")).expect("make TMPDIR");
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: Arc::new(dir),
            cwd: None,
            stdin: Stdin::Bytes(Vec::new()),
            stdout: None,
            stderr: None,
            limit: LIMIT,
        }
        .args(args)
    }

    /// More arguments after those already there.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// One more argument.
    pub fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// One environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The bytes that it reads; then the end of the input.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = Stdin::Bytes(bytes.as_ref().to_owned());
        self
    }

    /// stdin is a pipe that stays open: write with [`Running::write`], end with [`Running::close_stdin`].
    pub fn stdin_open(mut self) -> Self {
        self.stdin = Stdin::Open;
        self
    }

    /// stdin is this: a file, the end of a pipe.
    pub fn stdin_from(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Stdin::From(stdin.into());
        self
    }

    /// stdout goes here and is not captured: a file, `/dev/full`, a pipe of [`std::io::pipe`].
    pub fn stdout_to(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// stderr goes here and is not captured.
    pub fn stderr_to(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Another working directory than the new temporary folder.
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Another time limit than a minute.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Writes a file into the working directory and gives its absolute path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
        path
    }

    /// Writes an executable file into the working directory and gives its absolute path.
    pub fn script(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let _alone = SCRIPTS.write().unwrap_or_else(PoisonError::into_inner);
        let path = self.file(name, content);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("make it executable");
        path
    }

    /// The working directory.
    pub fn dir(&self) -> &Path {
        self.cwd.as_deref().unwrap_or(self.dir.path())
    }

    /// Runs it to its end. A run over its limit is killed and fails the test, with everything it printed.
    #[track_caller]
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it and gives the handle of the process that runs.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", path())
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.dir.path().join("tmp"))
            .env("LANG", "C.UTF-8")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir());
        let (stdin, input) = match self.stdin {
            Stdin::Bytes(bytes) if bytes.is_empty() => (Stdio::null(), None),
            Stdin::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Stdin::Open => (Stdio::piped(), None),
            Stdin::From(stdin) => (stdin, None),
        };
        command
            .stdin(stdin)
            .stdout(self.stdout.unwrap_or_else(Stdio::piped))
            .stderr(self.stderr.unwrap_or_else(Stdio::piped));
        let line = command_line(&self.env, &self.program, &self.args);
        do_not_pass_ignored_signals_on();
        let started = {
            let _no_script_is_written = SCRIPTS.read().unwrap_or_else(PoisonError::into_inner);
            command.spawn()
        };
        let child = started.unwrap_or_else(|e| panic!("can't start `{line}`: {e}"));
        // The command holds the ends of pipes that a test may have given: without them a reader sees the end.
        drop(command);
        Running::new(child, line, input, self.limit, self.dir)
    }
}

/// What is started here has the default of INT and HUP, also where the tests ignore them, as in the background of a
/// shell: kq would leave them ignored. A signal that a process handles is the default again in what it starts.
fn do_not_pass_ignored_signals_on() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored =
            ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).expect("a mask of signals"));
        for signal in [SIGHUP, SIGINT] {
            if ignored & (1 << (signal - 1)) != 0 {
                signal_hook::flag::register(signal, Arc::default()).expect("handle a signal");
            }
        }
    });
}

/// PATH for runs: kq's own folder, then this process's PATH.
fn path() -> OsString {
    let own = Path::new(env!("CARGO_BIN_EXE_kq")).parent().expect("kq lies in a folder").to_owned();
    let rest = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&rest))).expect("PATH joins")
}

/// The command line as a person would type it, for failure messages.
fn command_line(env: &[(OsString, OsString)], program: &OsStr, args: &[OsString]) -> String {
    let program = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
    let env = env.iter().map(|(name, value)| format!("{}={}", name.to_string_lossy(), quoted(value)));
    let args = args.iter().map(|arg| quoted(arg));
    env.chain([program]).chain(args).collect::<Vec<_>>().join(" ")
}

/// The argument, quoted where a shell would need it.
fn quoted(arg: &OsStr) -> String {
    let text = arg.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
