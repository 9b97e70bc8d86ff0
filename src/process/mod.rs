//! A child process: its group, its input, its captured output, its time-out, TERM then KILL.
//!
//! Spawning stays on `posix_spawn` (facts: 1.5 ms against 50 ms with 1 GiB of
//! heap): an absolute program, a process group and variables; no hook, no
//! uid or gid, and PATH is left alone.

pub mod groups;
pub mod guard;
pub mod launcher;
pub mod program;

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

pub use groups::{Group, Groups, Owners};
pub use launcher::{Launcher, Variables};
pub use program::Program;

/// How long the pipes of a command that ended may stay open in somebody else's hands.
pub const PIPES_AFTER_END: Duration = Duration::from_millis(200);
/// What one command may print to stdout, since it is held until the command ends.
pub const MAX_OUTPUT: usize = 64 << 20;
/// How much of the end of stderr is kept.
pub const STDERR_TAIL: usize = 4096;
/// What a pipe holds by default, and what it holds at most where the user is not privileged.
const PIPE: usize = 64 << 10;
const MAX_PIPE: usize = 1 << 20;
/// A line of stderr is passed on in pieces of this size at most.
const STDERR_LINE: usize = 8192;
/// Read at once.
const READ: usize = 8192;
/// How often is looked whether a child has ended, where the kernel has nothing that tells.
const LOOK: Duration = Duration::from_millis(5);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exit(i32),
    Signal(i32),
    /// It outlived its time-out, however it ended then: many programs end with 0 on TERM.
    Timeout,
    /// It was told to end by [`Groups::terminate`], and then did.
    Told,
    /// It printed more than [`MAX_OUTPUT`].
    TooMuchOutput,
}

/// A child that ended, and what it printed.
#[derive(Debug)]
pub struct Finished {
    pub ending: Ending,
    pub stdout: Vec<u8>,
    /// The last [`STDERR_TAIL`] bytes.
    pub stderr: Vec<u8>,
}

/// What is heard of a child while it runs.
#[derive(Debug)]
pub enum News<'a> {
    /// A line of its stderr, without the newline.
    Stderr(&'a [u8]),
    /// It has been running for so long: [`Limits::slow`], and each time again.
    StillRunning(Duration),
}

/// How long a child may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub timeout: Option<Duration>,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// After so long it is told of as slow.
    pub slow: Duration,
}

/// Whose a child is.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    /// What [`Groups::terminate`] and [`Groups::kill`] select by.
    pub id: u64,
    /// Asked once they know the child: one that is not wanted any more is killed at once.
    pub wants_it: &'a dyn Fn() -> bool,
}

/// Runs a child to its end, on this thread: writes `input` and reads both outputs at the same
/// time, since any of the three pipes can be what it waits for. Lines of stderr
/// are told of as they come. What it leaves behind in its group is killed.
///
/// An input of up to a mebibyte is in the pipe before the child starts: were this
/// process killed later, the child would take what it got for the whole.
///
/// An error is one of spawning; a broken stdin is none, the status decides.
pub fn run(
    launcher: &Launcher,
    variables: &Variables,
    input: &[u8],
    limits: Limits,
    groups: &Groups,
    owner: Owner<'_>,
    mut tell: impl FnMut(News<'_>),
) -> io::Result<Finished> {
    let (stdin, writer, rest) = filled_pipe(input)?;
    // With nothing left to write the input ends here.
    let writer = (!rest.is_empty()).then_some(writer);
    let child = launcher.spawn(variables, &stdin)?;
    // A child that reads no more is noticed without it.
    drop(stdin);
    let group = groups.add(child.pid.as_raw_pid(), owner.id);
    if !(owner.wants_it)() {
        group.kill();
    }
    let mut pipes = Pipes {
        writer,
        rest,
        stdout: Some(child.stdout),
        stderr: Some(child.stderr),
        printed: Vec::new(),
        said: Lines::default(),
    };
    let exit = Exit::of(child.pid);
    let started = Instant::now();
    let mut due = Due {
        // TERM, then KILL.
        end: limits.timeout.map(|timeout| started + timeout),
        slow: started + limits.slow,
        exited: None,
    };
    let (mut timed_out, mut killed, mut too_much) = (false, false, false);
    loop {
        let wait = due.next().saturating_duration_since(Instant::now());
        if pipes.turn(due.exited.is_none().then_some(&exit), wait, &mut tell) && due.exited.is_none() {
            // What the child wrote is in the pipes by now; whoever else holds them gets a moment.
            due.exited = Some(Instant::now() + PIPES_AFTER_END);
        }
        if due.exited.is_some() && pipes.are_at_their_end() {
            break;
        }
        if pipes.printed.len() > MAX_OUTPUT && !too_much {
            too_much = true;
            pipes.stdout = None;
            group.kill();
        }
        let now = Instant::now();
        if let Some(until) = due.exited {
            if now < until {
                continue;
            }
            if killed {
                // Killing the group closes the pipes, unless somebody left the group with one.
                break;
            }
            killed = true;
            group.kill();
            due.exited = Some(now + PIPES_AFTER_END);
            continue;
        }
        if due.end.is_some_and(|end| now >= end) {
            if timed_out {
                group.kill();
                due.end = None;
            } else {
                timed_out = true;
                group.terminate();
                due.end = Some(now + limits.grace);
            }
        }
        if now >= due.slow {
            tell(News::StillRunning(due.slow - started));
            due.slow += limits.slow;
        }
    }
    let told = group.was_told();
    // Before the leader is reaped, which frees the number of the group for another.
    group.kill();
    drop(group);
    let status = launcher::reap(child.pid)?;
    let Pipes { printed, mut said, .. } = pipes;
    said.finish(|line| tell(News::Stderr(line)));
    let ending = if too_much {
        Ending::TooMuchOutput
    } else if told {
        Ending::Told
    } else if timed_out {
        Ending::Timeout
    } else {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ending::Exit(code),
            (None, signal) => Ending::Signal(signal.unwrap_or(0)),
        }
    };
    Ok(Finished { ending, stdout: printed, stderr: said.tail })
}

/// When a running child is looked at next, though nothing comes of it.
struct Due {
    end: Option<Instant>,
    slow: Instant,
    /// It has ended: how long its pipes may stay open.
    exited: Option<Instant>,
}

impl Due {
    fn next(&self) -> Instant {
        self.exited.unwrap_or_else(|| self.end.map_or(self.slow, |end| end.min(self.slow)))
    }
}

/// Tells that a child has ended, and leaves it to be reaped.
struct Exit {
    pid: Pid,
    /// Readable from then on. Linux has it since 5.3.
    fd: Option<OwnedFd>,
}

impl Exit {
    fn of(pid: Pid) -> Self {
        #[cfg(target_os = "linux")]
        let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok();
        #[cfg(not(target_os = "linux"))]
        let fd = None;
        Self { pid, fd }
    }

    fn has_come(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error would be that there is no such child: it will not be waited for in vain.
        !matches!(waitid(WaitId::Pid(self.pid), look), Ok(None))
    }
}

/// Our ends of a child's pipes; `None` once they are of no more use.
struct Pipes<'a> {
    writer: Option<PipeWriter>,
    /// Not written yet.
    rest: &'a [u8],
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    printed: Vec<u8>,
    said: Lines,
}

impl Pipes<'_> {
    /// Whether the child's outputs are. What it did not read is nobody's any more.
    fn are_at_their_end(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Waits until a pipe can be moved on or the child has ended, and does it. True where it has ended.
    fn turn(&mut self, exit: Option<&Exit>, wait: Duration, tell: &mut impl FnMut(News<'_>)) -> bool {
        let exit_fd = exit.and_then(|exit| exit.fd.as_ref());
        let wait = if exit.is_some() && exit_fd.is_none() { wait.min(LOOK) } else { wait };
        let ready = {
            let sources = [
                (self.writer.as_ref().map(AsFd::as_fd), PollFlags::OUT),
                (self.stdout.as_ref().map(AsFd::as_fd), PollFlags::IN),
                (self.stderr.as_ref().map(AsFd::as_fd), PollFlags::IN),
                (exit_fd.map(AsFd::as_fd), PollFlags::IN),
            ];
            let mut places = [usize::MAX; 4];
            let mut fds = Vec::with_capacity(4);
            for (place, (fd, flags)) in places.iter_mut().zip(sources) {
                if let Some(fd) = fd {
                    *place = fds.len();
                    fds.push(PollFd::from_borrowed_fd(fd, flags));
                }
            }
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            // A signal ends the waiting early, which is harmless.
            let _ = poll(&mut fds, Some(&wait));
            places.map(|place| fds.get(place).map_or(PollFlags::empty(), PollFd::revents))
        };
        if !ready[0].is_empty() {
            self.feed();
        }
        if !ready[1].is_empty() {
            let printed = &mut self.printed;
            drain(&mut self.stdout, ready[1], printed, |printed| printed.len() <= MAX_OUTPUT);
        }
        if !ready[2].is_empty() {
            let mut buffer = Vec::new();
            drain(&mut self.stderr, ready[2], &mut buffer, |buffer| {
                self.said.push(buffer, |line| tell(News::Stderr(line)));
                buffer.clear();
                true
            });
        }
        !ready[3].is_empty() || (exit_fd.is_none() && exit.is_some_and(Exit::has_come))
    }

    /// Writes what the pipe takes.
    fn feed(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        match writer.write(self.rest) {
            Ok(written) => self.rest = &self.rest[written..],
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
            // Nobody reads it.
            Err(_) => self.rest = &[],
        }
        if self.rest.is_empty() {
            self.writer = None;
        }
    }
}

/// Reads what is there onto the end of `to`, and to the end where the other side has gone;
/// `more` says after each piece whether to go on.
fn drain(
    from: &mut Option<OwnedFd>,
    ready: PollFlags,
    to: &mut Vec<u8>,
    mut more: impl FnMut(&mut Vec<u8>) -> bool,
) {
    while let Some(fd) = from {
        to.reserve(READ);
        match rustix::io::read(&*fd, spare_capacity(to)) {
            Ok(0) => *from = None,
            Ok(_) if !more(to) || !ready.contains(PollFlags::HUP) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => *from = None,
        }
    }
}

/// A pipe that holds `input`, and what is left to write where that is too much for a pipe.
fn filled_pipe(input: &[u8]) -> io::Result<(PipeReader, PipeWriter, &[u8])> {
    let (reader, mut writer) = io::pipe()?;
    // More than the default of 64 KiB may be refused: the rest is written while the child runs.
    #[cfg(target_os = "linux")]
    if input.len() > PIPE {
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, input.len().min(MAX_PIPE));
    }
    rustix::io::ioctl_fionbio(&writer, true)?;
    let mut rest = input;
    while !rest.is_empty() {
        match writer.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok((reader, writer, rest))
}

/// Cuts a stream into lines, hands each over, and keeps the end of it.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// The last [`STDERR_TAIL`] bytes of the stream.
    pub tail: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(STDERR_TAIL);
        self.tail.drain(..excess);
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= STDERR_LINE {
                self.hand_over(&mut each);
            }
        }
    }

    /// The stream ended: a last line without a newline is a line.
    pub fn finish(&mut self, each: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.hand_over(each);
        }
    }

    fn hand_over(&mut self, mut each: impl FnMut(&[u8])) {
        each(self.partial.strip_suffix(b"\n").unwrap_or(&self.partial));
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;

    const SLOW: Duration = Duration::from_mins(1);
    const OWNER: Owner<'_> = Owner { id: 0, wants_it: &|| true };

    fn sh(script: &str, input: &[u8], limit: Option<u64>) -> (Finished, Vec<String>) {
        let mut lines = Vec::new();
        let limits = Limits {
            timeout: limit.map(Duration::from_millis),
            grace: Duration::from_millis(100),
            slow: SLOW,
        };
        let program = Program::shell(OsStr::new(script));
        let launcher = Launcher::new(program, Variables::new()).unwrap();
        let finished = run(&launcher, &Variables::new(), input, limits, &Groups::default(), OWNER, |news| {
            if let News::Stderr(line) = news {
                lines.push(String::from_utf8_lossy(line).into_owned());
            }
        })
        .unwrap();
        (finished, lines)
    }

    #[test]
    fn input_goes_in_and_output_comes_out_whole() {
        let input = vec![b'x'; 5_000_000];
        let (finished, _) = sh("cat", &input, None);
        assert_eq!(finished.ending, Ending::Exit(0));
        assert!(finished.stdout == input);
    }

    #[test]
    fn an_input_is_whole_before_the_child_starts_and_the_rest_of_a_huge_one_follows() {
        for (length, fits) in [(0, true), (7, true), (PIPE, true), (1_000_000, true), (3_000_000, false)] {
            let input = vec![b'x'; length];
            let (mut reader, writer, rest) = filled_pipe(&input).unwrap();
            assert_eq!(rest.is_empty(), fits, "{length}");
            // As the death of this process would.
            drop(writer);
            let mut read = Vec::new();
            io::Read::read_to_end(&mut reader, &mut read).unwrap();
            assert_eq!(read.len() + rest.len(), length);
        }
    }

    #[test]
    fn an_unread_input_is_no_error() {
        let (finished, _) = sh("exit 0", &vec![b'x'; 10_000_000], None);
        assert_eq!(finished.ending, Ending::Exit(0));
    }

    #[test]
    fn stderr_comes_line_by_line_and_its_end_is_kept() {
        let (finished, lines) = sh("echo one >&2; printf two >&2; exit 7", b"", None);
        assert_eq!(finished.ending, Ending::Exit(7));
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(finished.stderr, b"one\ntwo");
    }

    #[test]
    fn a_child_that_takes_too_long_is_told_then_killed() {
        let (finished, _) = sh("exec sleep 60", b"", Some(50));
        assert_eq!(finished.ending, Ending::Timeout);
        let (finished, _) = sh("trap '' TERM; while :; do sleep 1; done", b"", Some(50));
        assert_eq!(finished.ending, Ending::Timeout);
        let (finished, _) = sh("trap 'exit 0' TERM; while :; do sleep 0.01; done", b"", Some(50));
        assert_eq!(finished.ending, Ending::Timeout, "a status says nothing of work that was broken off");
    }

    #[test]
    fn a_child_that_nobody_wants_any_more_is_killed_at_once() {
        let program = Program::shell(OsStr::new("exec sleep 60"));
        let limits = Limits { timeout: None, grace: Duration::ZERO, slow: SLOW };
        let owner = Owner { id: 0, wants_it: &|| false };
        let launcher = Launcher::new(program, Variables::new()).unwrap();
        let groups = Groups::default();
        let finished = run(&launcher, &Variables::new(), b"", limits, &groups, owner, |_| {}).unwrap();
        assert_eq!(finished.ending, Ending::Signal(9));
    }

    #[test]
    fn a_grandchild_that_holds_the_pipes_is_killed_and_not_waited_for() {
        let (finished, _) = sh("sleep 600 & echo $!", b"", None);
        assert_eq!(finished.ending, Ending::Exit(0));
        let pid: i32 = String::from_utf8(finished.stdout).unwrap().trim().parse().unwrap();
        // It dies when it is scheduled again, and stays a zombie until its new parent reaps it.
        let start = Instant::now();
        loop {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z") || state.contains(") X") {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "the grandchild still runs");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn death_by_a_signal_is_told_from_an_exit() {
        let (finished, _) = sh("kill -9 $$", b"", None);
        assert_eq!(finished.ending, Ending::Signal(9));
    }

    #[test]
    fn after_the_end_of_all_nothing_new_lives() {
        let groups = Groups::default();
        groups.kill_all();
        let program = Program::shell(OsStr::new("sleep 60"));
        let limits = Limits { timeout: None, grace: Duration::ZERO, slow: SLOW };
        let launcher = Launcher::new(program, Variables::new()).unwrap();
        let finished = run(&launcher, &Variables::new(), b"", limits, &groups, OWNER, |_| {}).unwrap();
        assert_eq!(finished.ending, Ending::Signal(9));
        assert!(groups.is_empty());
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_the_stream_is_cut(
            text in "[ab\n]{0,60}",
            cuts in prop::collection::vec(0..60usize, 0..6),
        ) {
            let mut seen = Vec::new();
            let mut lines = Lines::default();
            let mut each = |line: &[u8]| seen.push(String::from_utf8(line.to_vec()).unwrap());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            for pair in cuts.windows(2) {
                lines.push(&text.as_bytes()[pair[0]..pair[1]], &mut each);
            }
            lines.finish(&mut each);
            prop_assert_eq!(&lines.tail, text.as_bytes());
            prop_assert_eq!(seen, text.lines().map(str::to_owned).collect::<Vec<_>>());
        }
    }
}
