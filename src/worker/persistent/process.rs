//! One process of a persistent command: its pipes, what it says, and how it is ended.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use std::{fmt, io};

use rustix::process::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, Interest};
use tokio::net::unix::pipe::Sender;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::Surroundings;
use super::backlog::Handover;
use super::exit::Exit;
use crate::process::children::{self, Own};
use crate::process::{Group, Lines, Owners, PIPES_AFTER_END, Program};
use crate::record::RecordRef;
use crate::record::decode::Scratch;
use crate::terminal::notes::Log;
use crate::worker::policy::Ended;
use crate::worker::protocol;

/// A line of its stdout that is longer is no answer, and is not held.
pub(super) const LONGEST_LINE: usize = 64 << 20;
/// How much may wait to be written to a process before it is given no more.
const UNWRITTEN: usize = 1 << 20;

/// How far the end of a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Working,
    /// It closed a pipe: it is terminated at this time, unless it has ended by itself.
    EndAwaited {
        at: Instant,
        closed: Pipe,
    },
    /// TERM was sent: KILL follows at this time.
    Terminated {
        kill_at: Instant,
    },
    Killed,
}

/// A pipe that a process closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipe {
    /// It reads no more.
    Stdin,
    /// It writes no more answers.
    Stdout,
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
        })
    }
}

/// A process that runs.
pub(super) struct Process {
    /// Until it is reaped. It is dropped before `child` is, which reaps it.
    group: Option<Group>,
    /// Whether it was signalled from outside, as it was known when it was reaped.
    was_signalled: bool,
    child: Child,
    exit: Exit,
    _own: Own,
    stdin: Option<Sender>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// What is to be written to it.
    unwritten: Vec<u8>,
    /// It gets no more records: stdin is closed once all is written.
    is_last_input: bool,
    is_repeat_noted: bool,
    /// What it wrote to stdout, from the start of a line.
    unread: Vec<u8>,
    /// So much of it holds no newline.
    searched: usize,
    /// What was just read of its stderr.
    heard: Vec<u8>,
    said: Lines,
    pub phase: Phase,
    /// Why it was terminated over a record.
    pub reason: Option<Ended>,
    /// Between TERM and KILL.
    grace: Duration,
    /// `handler.py[4711]`: what its own output is passed on under.
    pub name: String,
    log: Log,
}

/// What a process did, from [`Process::turn`].
pub(super) enum Event {
    /// It has ended, and is to be [finished](Process::finish) and [reaped](Process::reap).
    Ended,
    /// It wrote to stdout: see [`Process::take_lines`].
    Wrote,
    /// Something else that moves it on.
    Moved,
    Closed(Pipe),
}

impl Process {
    /// Starts one, whose records belong to `owners`.
    pub(super) fn spawn(around: &Surroundings, owners: &Owners) -> io::Result<Self> {
        let runner = &around.runner;
        let mut command = Command::from(runner.launcher.command()?);
        let pid = |child: &Child| child.id().map_or(0, |pid| pid as i32);
        let spawn = || command.kill_on_drop(true).spawn().map_err(|e| runner.launcher.explain(e));
        let (mut child, own) = children::start(spawn, pid)?;
        let pid = pid(&child);
        let group = around.shared.groups.add_shared(pid, owners);
        let number = Pid::from_raw(pid).ok_or_else(|| io::Error::other("a process without a number"))?;
        Ok(Self {
            group: Some(group),
            was_signalled: false,
            exit: Exit::of(number),
            stdin: child.stdin.take().map(to_sender).transpose()?,
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            _own: own,
            unwritten: Vec::new(),
            is_last_input: false,
            is_repeat_noted: false,
            // As much as a pipe holds: what is read at once.
            unread: Vec::with_capacity(64 << 10),
            searched: 0,
            heard: Vec::with_capacity(4096),
            said: Lines::default(),
            phase: Phase::Working,
            reason: None,
            grace: runner.limits.grace,
            // Not `name[1234]`, which is how a partition is written.
            name: format!("{}[pid {pid}]", name(runner.launcher.program())),
            log: around.shared.log,
        })
    }

    /// Whether it may be given another record.
    pub(super) fn takes_more(&self) -> bool {
        self.phase == Phase::Working
            && self.stdin.is_some()
            && !self.is_last_input
            && self.unwritten.len() < UNWRITTEN
    }

    /// Hands a record over: it is written as the process reads.
    pub(super) fn send(&mut self, handover: &Handover, around: &Surroundings) {
        let Handover { id, ticket, attempt, record } = handover;
        let mut scratch = Scratch::default();
        let decoded = around.runner.decoded(*ticket, record, &mut scratch, &around.shared);
        record.with_ref(|shown| {
            let headers = decoded.form.headers(shown.headers);
            let shown = RecordRef { value: decoded.value, headers: &headers, ..shown };
            protocol::append_request(*id, *attempt, &shown, &mut self.unwritten);
        });
    }

    /// Ends its input after what it was given: it answers that, and ends.
    pub(super) fn end_input(&mut self) {
        self.is_last_input = true;
        if self.unwritten.is_empty() {
            self.stdin = None;
        }
    }

    /// Whether kq has ended its input.
    pub(super) fn is_input_ended(&self) -> bool {
        self.is_last_input
    }

    /// Ends its input: a command ends when that does.
    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
        self.unwritten.clear();
    }

    /// Sends TERM for this reason; KILL follows after the grace.
    pub(super) fn terminate(&mut self, reason: Ended) {
        self.reason = Some(reason);
        if let Some(group) = &self.group {
            group.terminate();
        }
        self.was_terminated();
    }

    /// TERM was sent to it through [`Groups`](crate::process::Groups).
    pub(super) fn was_terminated(&mut self) {
        if matches!(self.phase, Phase::Working | Phase::EndAwaited { .. }) {
            self.phase = Phase::Terminated { kill_at: Instant::now() + self.grace };
        }
    }

    /// It closed a pipe: it gets no more records, and some time to end by itself. It may still answer
    /// the records that it has, each within the grace, unless it closed its stdout.
    pub(super) fn await_end(&mut self, closed: Pipe) {
        if matches!(self.phase, Phase::Working | Phase::EndAwaited { .. }) {
            let within = match closed {
                Pipe::Stdin => self.grace,
                Pipe::Stdout => PIPES_AFTER_END,
            };
            self.phase = Phase::EndAwaited { at: Instant::now() + within, closed };
        }
    }

    /// It answered: one whose end is awaited gets the grace again.
    pub(super) fn answered(&mut self) {
        if let Phase::EndAwaited { at, .. } = &mut self.phase {
            *at = Instant::now() + self.grace;
        }
    }

    /// When [`Process::press`] is due.
    pub(super) fn end_due(&self) -> Option<Instant> {
        match self.phase {
            Phase::EndAwaited { at: due, .. } | Phase::Terminated { kill_at: due } => Some(due),
            Phase::Working | Phase::Killed => None,
        }
    }

    /// The next step towards its end: TERM, then KILL.
    pub(super) fn press(&mut self) {
        match self.phase {
            Phase::EndAwaited { closed, .. } => {
                self.terminate(Ended::Again(format!("it closed its {closed}")));
            }
            Phase::Terminated { .. } => {
                if let Some(group) = &self.group {
                    group.kill();
                }
                self.phase = Phase::Killed;
            }
            Phase::Working | Phase::Killed => {}
        }
    }

    /// Waits until its pipes can be moved on or it has ended, and does it. Nothing is lost where this is dropped.
    pub(super) async fn turn(&mut self) -> Event {
        tokio::select! {
            () = self.exit.come() => Event::Ended,
            written = write(self.stdin.as_ref(), &self.unwritten), if !self.unwritten.is_empty() => {
                if let Ok(n) = written {
                    self.unwritten.drain(..n);
                    if self.is_last_input {
                        self.end_input();
                    }
                    return Event::Moved;
                }
                self.close_stdin();
                Event::Closed(Pipe::Stdin)
            }
            // All its records are in the pipe already: no write would fail.
            () = closed(self.stdin.as_ref()), if self.stdin.is_some() && self.unwritten.is_empty() => {
                self.close_stdin();
                Event::Closed(Pipe::Stdin)
            }
            read = read(self.stdout.as_mut(), &mut self.unread), if self.stdout.is_some() => {
                if matches!(read, Ok(0) | Err(_)) {
                    self.stdout = None;
                    return Event::Closed(Pipe::Stdout);
                }
                Event::Wrote
            }
            read = read(self.stderr.as_mut(), &mut self.heard), if self.stderr.is_some() => {
                if matches!(read, Ok(0) | Err(_)) {
                    self.stderr = None;
                }
                self.said.push(&self.heard, |line| pass_on(self.log, &self.name, line));
                self.heard.clear();
                Event::Moved
            }
        }
    }

    /// Hands over each whole line of what was read. False where a line is too long to be held: its
    /// stdout is read no more.
    pub(super) fn take_lines(&mut self, mut each: impl FnMut(&[u8])) -> bool {
        let (mut start, mut from) = (0, self.searched);
        while let Some(length) = memchr::memchr(b'\n', &self.unread[from..]) {
            each(&self.unread[start..from + length]);
            start = from + length + 1;
            from = start;
        }
        self.unread.drain(..start);
        self.searched = self.unread.len();
        if self.searched <= LONGEST_LINE {
            return true;
        }
        (self.unread, self.searched, self.stdout) = (Vec::new(), 0, None);
        false
    }

    /// Says that it answered a record again, once of each process.
    pub(super) fn note_repeated(&mut self, id: u64) {
        if !std::mem::replace(&mut self.is_repeat_noted, true) {
            let name = &self.name;
            self.log.note(format_args!("{name}: id {id} is answered a second time: that answer is ignored"));
        }
    }

    /// Passes on a line that is its own output.
    pub(super) fn pass_on(&self, line: &[u8]) {
        pass_on(self.log, &self.name, line);
    }

    /// It has ended: reads what it wrote before, and kills what it left behind. Gives the end of its stderr.
    ///
    /// It is not reaped yet, so no other process has its number, which is that of the group that is killed.
    pub(super) async fn finish(&mut self) -> Vec<u8> {
        let Self { stdout, stderr, unread, heard, said, log, name, .. } = self;
        let rest_of_stdout = async {
            if let Some(stdout) = stdout {
                let _ = stdout.read_to_end(unread).await;
            }
        };
        let rest_of_stderr = async {
            while let Ok(1..) = read(stderr.as_mut(), heard).await {
                said.push(heard, |line| pass_on(*log, name, line));
                heard.clear();
            }
        };
        // Another process that holds them gets a moment.
        let _ = tokio::join!(
            tokio::time::timeout(PIPES_AFTER_END, rest_of_stdout),
            tokio::time::timeout(PIPES_AFTER_END, rest_of_stderr),
        );
        if let Some(group) = &self.group {
            group.sweep();
        }
        if self.unread.last().is_some_and(|&last| last != b'\n') {
            // A last line without a newline is a line.
            self.unread.push(b'\n');
        }
        let mut said = std::mem::take(&mut self.said);
        said.finish(|line| self.pass_on(line));
        said.tail
    }

    /// Gives its number back to the system, once nothing signals it any more. Gives how it ended.
    pub(super) async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.was_signalled = self.was_signalled();
        self.group = None;
        self.child.wait().await
    }

    /// Whether it was sent TERM or KILL through [`Groups`](crate::process::Groups).
    pub(super) fn was_signalled(&self) -> bool {
        self.group.as_ref().map_or(self.was_signalled, Group::was_signalled)
    }
}

/// Passes a line on under a process's name.
fn pass_on(log: Log, name: &str, line: &[u8]) {
    log.passed_on(name, line);
}

/// The program's name alone: that of the script where the shell reads one.
fn name(program: &Program) -> String {
    let script = program.args.first().filter(|arg| *arg != "-c" && program.path == Path::new("/bin/sh"));
    let path = script.map_or(program.path.as_path(), Path::new);
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The same pipe, which can be asked whether its reader has gone.
fn to_sender(stdin: ChildStdin) -> io::Result<Sender> {
    Sender::from_owned_fd(stdin.into_owned_fd()?)
}

/// Waits until the reader of the pipe has gone.
async fn closed(stdin: Option<&Sender>) {
    if let Some(stdin) = stdin {
        let _ = stdin.ready(Interest::ERROR).await;
    }
}

/// Writes some of the bytes; without a pipe they are gone.
async fn write(stdin: Option<&Sender>, bytes: &[u8]) -> io::Result<usize> {
    let Some(stdin) = stdin else { return Err(io::ErrorKind::BrokenPipe.into()) };
    loop {
        stdin.writable().await?;
        match stdin.try_write(bytes) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
}

/// Reads some bytes onto the end of `to`; without a pipe there are none.
async fn read(pipe: Option<&mut (impl AsyncRead + Unpin)>, to: &mut Vec<u8>) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read_buf(to).await,
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{OsStr, OsString};

    #[test]
    fn a_process_is_named_by_its_program_or_its_script() {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("my handler");
        std::fs::write(&bare, "cat\n").unwrap();
        std::fs::set_permissions(&bare, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let resolve = |command: &[&OsStr]| {
            let command: Vec<OsString> = command.iter().map(Into::into).collect();
            Program::resolve(&command, Some(OsStr::new("/usr/bin:/bin")), dir.path()).unwrap()
        };
        assert_eq!(name(&Program::shell(OsStr::new("while read line\ndo echo\ndone"))), "sh");
        assert_eq!(name(&resolve(&["cat".as_ref(), "-n".as_ref()])), "cat");
        assert_eq!(name(&resolve(&[bare.as_ref(), "x".as_ref()])), "my handler");
    }
}
