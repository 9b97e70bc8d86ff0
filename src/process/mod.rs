//! A child process: its group, its input, its captured output, its time-out, TERM then KILL.
//!
//! Spawning stays on `posix_spawn` (facts: 1.5 ms against 50 ms with 1 GiB of
//! heap): an absolute program, a process group and variables; no hook, no
//! uid or gid, and PATH is left alone.

pub(crate) mod children;
pub(crate) mod groups;
pub(crate) mod guard;
pub(crate) mod input;
pub(crate) mod launcher;
mod looking;
mod pipes;
pub(crate) mod program;
pub(crate) mod reaper;
mod tree;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

pub(crate) use groups::{Group, Groups, Owners};
pub(crate) use launcher::{Launcher, Variables};
pub(crate) use pipes::Lines;
pub(crate) use program::Program;
pub(crate) use reaper::Reaper;

use rustix::process::Pid;

use launcher::Exit;
use pipes::{Pipes, filled_pipe};

/// How long the pipes of a command that ended may stay open in another process.
pub(crate) const PIPES_AFTER_END: Duration = Duration::from_millis(200);
/// What one command may print to stdout, since it is held until the command ends.
pub(crate) const MAX_OUTPUT: usize = 64 << 20;
/// How much of the end of stderr is kept.
pub(crate) const STDERR_TAIL: usize = 4096;

/// The first argument of the orphan guard.
const GUARD: &str = "__guard";

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Exit(i32),
    Signal(i32),
    /// It outlived its time-out, however it ended then: many programs end with 0 on TERM.
    Timeout,
    /// [`Groups::terminate`] or [`Groups::kill`] ended it.
    Terminated,
    /// It printed more than [`MAX_OUTPUT`].
    TooMuchOutput,
}

/// A child that ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub ending: Ending,
    pub stdout: Vec<u8>,
    /// The last [`STDERR_TAIL`] bytes.
    pub stderr: Vec<u8>,
}

/// What is heard of a child while it runs.
#[derive(Debug)]
pub(crate) enum News<'a> {
    /// A line of its stderr, without the newline.
    Stderr(&'a [u8]),
    /// It has been running for so long: [`TimeLimits::slow`], and each time again.
    StillRunning(Duration),
}

/// How long a child may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimits {
    pub timeout: Option<Duration>,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// After so long it is noted as slow.
    pub slow: Duration,
}

/// Whose a child is.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    /// What [`Groups::terminate`] and [`Groups::kill`] select by.
    pub id: u64,
    /// Asked once they know the child: one that is not wanted any more is killed at once.
    pub wants_it: &'a dyn Fn() -> bool,
}

/// What a child reads.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// These bytes, from a pipe.
    Bytes(&'a [u8]),
    /// This file, from its position on.
    File(BorrowedFd<'a>),
}

/// What a child is started for: its own variables, its input, and whose it is.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub variables: &'a Variables,
    pub input: Input<'a>,
    pub owner: Owner<'a>,
}

/// Runs a child to its end, on this thread: writes the input and reads both outputs at the same
/// time, since any of the three pipes can be what it waits for. Lines of stderr
/// are passed on as they come. What it leaves behind in its group is killed.
///
/// An input of up to a mebibyte is in the pipe before the child starts: if this
/// process were killed later, the child would take a part for the whole.
///
/// An error is one of spawning; a broken stdin is none, the status decides.
pub(crate) fn run(
    launcher: &Launcher,
    task: Task<'_>,
    limits: TimeLimits,
    groups: &Groups,
    mut hear: impl FnMut(News<'_>),
) -> io::Result<Finished> {
    let Task { variables, input, owner } = task;
    let (child, writer, rest) = match input {
        Input::Bytes(bytes) => {
            let (stdin, writer, rest) = filled_pipe(bytes)?;
            // With nothing left to write the input ends here.
            let writer = (!rest.is_empty()).then_some(writer);
            // A child that reads no more is noticed without our copy of its stdin, which is dropped here.
            (launcher.spawn(variables, stdin.as_fd())?, writer, rest)
        }
        Input::File(file) => (launcher.spawn(variables, file)?, None, &[][..]),
    };
    let group = groups.add(child.pid.as_raw_pid(), owner.id);
    if !(owner.wants_it)() {
        group.kill();
    }
    let started = Instant::now();
    let mut supervision = Supervision {
        pipes: Pipes {
            writer,
            rest,
            stdout: Some(child.stdout),
            stderr: Some(child.stderr),
            printed: Vec::new(),
            said: Lines::default(),
        },
        group,
        limits,
        stage: Stage::Running,
        term_due: limits.timeout.map(|timeout| started + timeout),
        kill_due: None,
        slow_due: started + limits.slow,
        started,
        forced: None,
    };
    supervision.run(&Exit::of(child.pid), &mut hear);
    let finished = supervision.reap(child.pid, &mut hear);
    // Only now that its status was taken.
    drop(child.own);
    finished
}

/// How far a child has come.
#[derive(Clone, Copy)]
enum Stage {
    Running,
    /// It has ended: so long its pipes may stay open in the hands of others.
    Exited {
        until: Instant,
    },
    /// Its group was killed, which closes the pipes, unless a process left the group with one.
    Killed {
        until: Instant,
    },
}

/// Why a child was ended by force.
#[derive(Clone, Copy)]
enum Forced {
    Timeout,
    TooMuchOutput,
}

/// One child that runs, and when it is looked at next though nothing comes of it.
struct Supervision<'a> {
    pipes: Pipes<'a>,
    group: Group,
    limits: TimeLimits,
    started: Instant,
    stage: Stage,
    term_due: Option<Instant>,
    kill_due: Option<Instant>,
    slow_due: Instant,
    forced: Option<Forced>,
}

impl Supervision<'_> {
    /// Moves the pipes on until the child has ended and they are at their end.
    fn run(&mut self, exit: &Exit, hear: &mut impl FnMut(News<'_>)) {
        loop {
            let wait = self.next_due().saturating_duration_since(Instant::now());
            let exit = matches!(self.stage, Stage::Running).then_some(exit);
            if self.pipes.turn(exit, wait, hear) && exit.is_some() {
                // What the child wrote is in the pipes by now; other holders of them get a moment.
                self.stage = Stage::Exited { until: Instant::now() + PIPES_AFTER_END };
            }
            if !matches!(self.stage, Stage::Running) && self.pipes.are_at_their_end() {
                return;
            }
            self.limit_output();
            let now = Instant::now();
            match self.stage {
                Stage::Running => {
                    self.press(now);
                    self.note_slow(now, hear);
                }
                Stage::Exited { until } if now >= until => {
                    self.group.sweep();
                    self.stage = Stage::Killed { until: now + PIPES_AFTER_END };
                }
                Stage::Killed { until } if now >= until => return,
                Stage::Exited { .. } | Stage::Killed { .. } => {}
            }
        }
    }

    fn next_due(&self) -> Instant {
        match self.stage {
            Stage::Exited { until } | Stage::Killed { until } => until,
            Stage::Running => {
                self.term_due.into_iter().chain(self.kill_due).fold(self.slow_due, Instant::min)
            }
        }
    }

    /// Kills a child that printed too much.
    fn limit_output(&mut self) {
        if self.pipes.printed.len() > MAX_OUTPUT && !matches!(self.forced, Some(Forced::TooMuchOutput)) {
            self.forced = Some(Forced::TooMuchOutput);
            self.pipes.stdout = None;
            self.group.kill();
        }
    }

    /// The next step towards the end of a child that takes too long: TERM, then KILL.
    fn press(&mut self, now: Instant) {
        if self.term_due.take_if(|due| now >= *due).is_some() {
            self.forced = self.forced.or(Some(Forced::Timeout));
            self.group.terminate();
            self.kill_due = Some(now + self.limits.grace);
        } else if self.kill_due.take_if(|due| now >= *due).is_some() {
            self.group.kill();
        }
    }

    fn note_slow(&mut self, now: Instant, hear: &mut impl FnMut(News<'_>)) {
        if now >= self.slow_due {
            hear(News::StillRunning(self.slow_due - self.started));
            self.slow_due += self.limits.slow;
        }
    }

    /// Takes the status of a child that has ended.
    fn reap(self, pid: Pid, hear: &mut impl FnMut(News<'_>)) -> io::Result<Finished> {
        let is_signalled = self.group.was_signalled();
        // Before the leader is reaped, which frees the number of the group for another.
        self.group.sweep();
        drop(self.group);
        let status = launcher::reap(pid)?;
        let Pipes { printed, mut said, .. } = self.pipes;
        said.finish(|line| hear(News::Stderr(line)));
        let ending = match self.forced {
            Some(Forced::TooMuchOutput) => Ending::TooMuchOutput,
            _ if is_signalled => Ending::Terminated,
            Some(Forced::Timeout) => Ending::Timeout,
            None => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ending::Exit(code),
                (None, signal) => Ending::Signal(signal.unwrap_or(0)),
            },
        };
        Ok(Finished { ending, stdout: printed, stderr: said.tail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::OwnDescriptors;
    use std::ffi::OsStr;

    const SLOW: Duration = Duration::from_mins(1);
    const OWNER: Owner<'_> = Owner { id: 0, wants_it: &|| true };

    fn task<'a>(input: &'a [u8], owner: Owner<'a>) -> Task<'a> {
        Task { variables: const { &Variables::new() }, input: Input::Bytes(input), owner }
    }

    fn sh(script: &str, input: &[u8], limit: Option<u64>) -> (Finished, Vec<String>) {
        let mut lines = Vec::new();
        let limits = TimeLimits {
            timeout: limit.map(Duration::from_millis),
            grace: Duration::from_millis(100),
            slow: SLOW,
        };
        let program = Program::shell(OsStr::new(script));
        let launcher = Launcher::new(program, Variables::new(), OwnDescriptors::from_now_on()).unwrap();
        let finished = run(&launcher, task(input, OWNER), limits, &Groups::default(), |news| {
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
    fn a_child_that_takes_too_long_is_terminated_then_killed() {
        let (finished, _) = sh("exec sleep 60", b"", Some(50));
        assert_eq!(finished.ending, Ending::Timeout);
        let (finished, _) = sh("trap '' TERM; while :; do sleep 1; done", b"", Some(50));
        assert_eq!(finished.ending, Ending::Timeout);
        let (finished, _) = sh("trap 'exit 0' TERM; while :; do sleep 0.01; done", b"", Some(50));
        assert_eq!(finished.ending, Ending::Timeout, "a status says nothing of work that was broken off");
    }

    #[test]
    fn a_child_that_is_not_wanted_any_more_is_killed_at_once() {
        let program = Program::shell(OsStr::new("exec sleep 60"));
        let limits = TimeLimits { timeout: None, grace: Duration::ZERO, slow: SLOW };
        let owner = Owner { id: 0, wants_it: &|| false };
        let launcher = Launcher::new(program, Variables::new(), OwnDescriptors::from_now_on()).unwrap();
        let groups = Groups::default();
        let finished = run(&launcher, task(b"", owner), limits, &groups, |_| {}).unwrap();
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
        let limits = TimeLimits { timeout: None, grace: Duration::ZERO, slow: SLOW };
        let launcher = Launcher::new(program, Variables::new(), OwnDescriptors::from_now_on()).unwrap();
        let finished = run(&launcher, task(b"", OWNER), limits, &groups, |_| {}).unwrap();
        assert_eq!(finished.ending, Ending::Signal(9));
        assert!(groups.is_empty());
    }
}
