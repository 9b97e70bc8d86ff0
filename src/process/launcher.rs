//! Starts children that differ in a few variables only, by `posix_spawn`, and tells that they ended.
//!
//! `std::process::Command` copies the whole environment into a map for each child; here what all
//! of them share is made once.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, waitid, waitpid};

use super::Program;
use super::children::{self, Own};
use super::looking::Seen;
use crate::descriptors::OwnDescriptors;

/// Variables set (`Some`) or taken out (`None`) for a child.
pub(crate) type Variables = Vec<(OsString, Option<OsString>)>;

/// A program, its arguments, and the environment that all of its children share.
pub(crate) struct Launcher {
    program: Program,
    /// The same, as its file is now.
    seen: Seen,
    variables: Variables,
    /// `NAME=value`.
    environment: Vec<CString>,
    attributes: PosixSpawnAttr,
    own: OwnDescriptors,
}

/// A child that was started: it is to be [reaped](reap).
#[derive(Debug)]
pub(crate) struct Child {
    pub pid: Pid,
    /// Dropped once it is reaped.
    pub own: Own,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

impl Launcher {
    /// Children get this process's environment as it is now, with `variables` set and taken out, and
    /// its file descriptors but for its `own`.
    ///
    /// An error is one of a NUL within a word or a variable.
    pub(crate) fn new(program: Program, variables: Variables, own: OwnDescriptors) -> io::Result<Self> {
        let changed: HashSet<&OsStr> = variables.iter().map(|(name, _)| name.as_os_str()).collect();
        let inherited = std::env::vars_os().filter(|(name, _)| !changed.contains(name.as_os_str()));
        let mut environment: Vec<CString> =
            inherited.map(|(name, value)| entry(&name, &value)).collect::<io::Result<_>>()?;
        append(&variables, &mut environment)?;
        let seen = Seen::new(program.clone())?;
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
        attributes.set_sigmask(&SigSet::empty())?;
        // This process ignores PIPE, as Rust's runtime does, and may have been started ignoring TERM: a command must
        // not. HUP and INT it gets as kq found them: where they were ignored, kq has left that so.
        attributes.set_sigdefault(&SigSet::from_iter([Signal::SIGPIPE, Signal::SIGTERM]))?;
        Ok(Self { program, seen, variables, environment, attributes, own })
    }

    /// What is started, as it was found at first.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Starts a child with these variables too, in a process group of its own; its outputs are pipes.
    /// Their names must have been taken out for all children.
    ///
    /// An error is one of the system, or of a NUL within a variable.
    pub(crate) fn spawn(&self, variables: &Variables, stdin: BorrowedFd<'_>) -> io::Result<Child> {
        let mut own = Vec::with_capacity(variables.len());
        append(variables, &mut own)?;
        let environment: Vec<&CStr> = self.environment.iter().chain(&own).map(CString::as_c_str).collect();
        let (stdout, child_stdout) = io::pipe()?;
        let (stderr, child_stderr) = io::pipe()?;
        let mut actions = PosixSpawnFileActions::init()?;
        // Exec closes all of ours but these three.
        self.own.close_on_exec();
        for (from, to) in
            [(stdin.as_raw_fd(), 0), (child_stdout.as_raw_fd(), 1), (child_stderr.as_raw_fd(), 2)]
        {
            actions.add_dup2(from, to)?;
        }
        let exec = self.seen.now()?;
        let spawn = || {
            posix_spawn(exec.path.as_c_str(), &actions, &self.attributes, &exec.args, &environment)
                .map_err(|e| self.seen.explain(e.into()))
        };
        let (pid, own) = children::start(spawn, |pid| pid.as_raw())?;
        let pid = Pid::from_raw(pid.as_raw()).ok_or_else(|| io::Error::other("a child without a pid"))?;
        Ok(Child { pid, own, stdout: stdout.into(), stderr: stderr.into() })
    }

    /// The same child as a [`Command`], with all three pipes. An error says why its program can't be run.
    pub(crate) fn command(&self) -> io::Result<Command> {
        let exec = self.seen.now()?;
        self.own.close_on_exec();
        let mut command = Command::new(&exec.program.path);
        command.args(&exec.program.args).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ok(command)
    }

    /// Why it could not be started, in the words that tell most.
    pub(crate) fn explain(&self, e: io::Error) -> io::Error {
        self.seen.explain(e)
    }
}

/// Waits for a child to end, and gives its number back to the system.
pub(crate) fn reap(pid: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Tells that a child has ended, and leaves it to be reaped.
pub(crate) struct Exit {
    pid: Pid,
    /// Readable from then on. Linux has it since 5.3.
    pub fd: Option<OwnedFd>,
}

impl Exit {
    /// Of a child that is not reaped yet.
    pub(crate) fn of(pid: Pid) -> Self {
        #[cfg(target_os = "linux")]
        let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok();
        #[cfg(not(target_os = "linux"))]
        let fd = None;
        Self { pid, fd }
    }

    /// Whether it has.
    pub(crate) fn has_come(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error would be that there is no such child: it will not be waited for in vain.
        !matches!(waitid(WaitId::Pid(self.pid), look), Ok(None))
    }
}

fn entry(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut entry = OsString::with_capacity(name.len() + value.len() + 2);
    entry.push(name);
    entry.push("=");
    entry.push(value);
    Ok(CString::new(entry.into_vec())?)
}

/// Appends those that are set.
fn append(variables: &Variables, to: &mut Vec<CString>) -> io::Result<()> {
    for (name, value) in variables {
        if let Some(value) = value {
            to.push(entry(name, value)?);
        }
    }
    Ok(())
}
