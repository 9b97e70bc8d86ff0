//! The command that a broker runs around: its environment, its signals, its status.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use super::files::Files;
use crate::exit::{self, Exit};
use crate::process::children::{self, Own};
use crate::shutdown::Shutdown;

/// A command that runs, with the broker's address in its environment.
pub(crate) struct Running {
    program: OsString,
    child: Child,
    _own: Own,
    pub pid: Option<Pid>,
}

impl Running {
    /// Starts the command. The broker must serve nothing before: the limit of open files is low for a
    /// moment, and no file may be opened then.
    pub(crate) fn start(
        program: &OsStr,
        rest: &[OsString],
        brokers: &str,
        files: &Files,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(rest).env("KQ_BROKERS", brokers);
        if let Some(path) = path_with_kq() {
            command.env("PATH", path);
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_another_cluster(name)) {
            command.env_remove(name);
        }
        let pid = |child: &Child| child.id().map_or(0, |pid| pid as i32);
        let (child, own) = children::start(|| files.as_found(|| command.spawn()), pid).map_err(|e| {
            let code = if e.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            let cause = anyhow::Error::new(e).context(format!("run {}", program.display()));
            exit::with(Exit::Command(code), cause)
        })?;
        let pid = Pid::from_raw(pid(&child));
        Ok(Self { program: program.to_owned(), child, _own: own, pid })
    }

    /// Waits until the command ends; forwards a signal to it.
    pub(crate) async fn wait(mut self, shutdown: &Shutdown) -> anyhow::Result<Exit> {
        let status = tokio::select! {
            status = self.child.wait() => status,
            signal = shutdown.requested() => {
                forward(signal, shutdown, self.pid);
                self.child.wait().await
            }
        };
        let status = status.with_context(|| format!("wait for {}", self.program.display()))?;
        Ok(Exit::Command(code(status)))
    }
}

/// Whether a variable describes the connection to another cluster: with it the command would connect
/// there, or could not connect to this broker.
fn is_of_another_cluster(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    [&b"KQ_X"[..], b"KQ_CONFIG_FILE"].contains(&name)
        || [&b"KQ_TLS"[..], b"KQ_SASL_"].iter().any(|begin| name.starts_with(begin))
}

/// Forwards a signal, unless it was Ctrl-C: the terminal has sent that to the command already.
fn forward(signal: i32, shutdown: &Shutdown, pid: Option<Pid>) {
    let from_terminal = signal == signal_hook::consts::SIGINT && shutdown.came_from_the_kernel();
    if let (Some(pid), Some(signal), false) = (pid, Signal::from_named_raw(signal), from_terminal) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The status of the command as a shell reports it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// A PATH that begins with this program's folder; none if a `kq` is on PATH already.
fn path_with_kq() -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("kq").is_file()) {
        return None;
    }
    let here = std::env::current_exe().ok()?.parent().map(Path::to_owned)?;
    let folders: Vec<PathBuf> = std::iter::once(here).chain(std::env::split_paths(&path)).collect();
    std::env::join_paths(folders).ok()
}
