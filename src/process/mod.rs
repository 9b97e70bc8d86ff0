//! A child process: its group, its input, its captured output, its time-out, TERM then KILL.
//!
//! Spawning stays on `posix_spawn` (facts: 1.5 ms against 50 ms with 1 GiB of
//! heap): an absolute program, `process_group(0)` and variables; no hook, no
//! uid or gid, and PATH is left alone.

pub mod groups;
pub mod guard;
pub mod program;

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::{Instant, sleep_until, timeout};

pub use groups::{Group, Groups};
pub use program::Program;

/// How long the pipes of a command that ended may stay open in somebody else's hands.
const PIPES_AFTER_END: Duration = Duration::from_millis(200);
/// What one command may print to stdout, since it is held until the command ends.
pub const MAX_OUTPUT: usize = 64 << 20;
/// How much of the end of stderr is kept.
pub const STDERR_TAIL: usize = 4096;
/// What a pipe holds by default, and what it holds at most where the user is not privileged.
const PIPE: usize = 64 << 10;
const MAX_PIPE: usize = 1 << 20;
/// A line of stderr is passed on in pieces of this size at most.
const STDERR_LINE: usize = 8192;

/// Variables set (`Some`) or taken out (`None`) for a child.
pub type Variables = Vec<(OsString, Option<OsString>)>;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exit(i32),
    Signal(i32),
    /// It outlived its time-out.
    Timeout,
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

/// How long a child may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub timeout: Option<Duration>,
    /// Between TERM and KILL.
    pub grace: Duration,
}

/// A command ready to spawn, in a process group of its own, with all three pipes.
pub fn command(program: &Program, variables: &[&Variables]) -> Command {
    let mut command = Command::new(&program.path);
    command.args(&program.args).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, value) in variables.iter().copied().flatten() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Runs a child to its end: writes `input` and reads both outputs at the same
/// time, since any of the three pipes can be what it waits for. Lines of stderr
/// go to `on_stderr` as they come. What it leaves behind in its group is killed.
///
/// An input of up to a mebibyte is in the pipe before the child starts: were this
/// process killed later, the child would take what it got for the whole.
///
/// An error is one of spawning; a broken stdin is none, the status decides.
pub async fn run(
    mut command: Command,
    input: &[u8],
    limits: Limits,
    groups: &Groups,
    owner: u64,
    on_stderr: impl FnMut(&[u8]),
) -> io::Result<Finished> {
    let (stdin, writer, rest) = filled_pipe(input)?;
    // With nothing left to write the input ends here.
    let writer = (!rest.is_empty()).then_some(writer);
    let mut child = command.stdin(stdin).spawn()?;
    let group = groups.add(child.id().map_or(0, |pid| pid as i32), owner);
    // It holds the reading end of stdin: a child that reads no more is noticed without it.
    drop(command);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut printed, mut said) = (Vec::new(), Lines::new(on_stderr));
    let mut too_much = false;
    let mut timed_out = false;
    let status = {
        let pipes = async {
            let feed = async {
                if let Some(writer) = writer
                    && let Ok(mut stdin) = pipe::Sender::from_owned_fd(writer.into())
                {
                    let _ = stdin.write_all(rest).await;
                }
            };
            let collect = async {
                if let Some(stdout) = stdout {
                    too_much = !read_to_limit(stdout, &mut printed).await;
                    if too_much {
                        group.kill();
                    }
                }
            };
            let pass_on = async {
                if let Some(mut stderr) = stderr {
                    let mut buffer = [0; 4096];
                    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                        said.push(&buffer[..n]);
                    }
                }
            };
            tokio::join!(feed, collect, pass_on);
        };
        tokio::pin!(pipes);
        let mut pipes_done = false;
        let mut next_step = limits.timeout.map(|timeout| Instant::now() + timeout);
        let status: ExitStatus = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = &mut pipes, if !pipes_done => pipes_done = true,
                () = sleep_until(next_step.unwrap_or_else(Instant::now)), if next_step.is_some() => {
                    if timed_out {
                        group.kill();
                        next_step = None;
                    } else {
                        timed_out = true;
                        group.terminate();
                        next_step = Some(Instant::now() + limits.grace);
                    }
                }
            }
        };
        // What the child wrote is in the pipes by now; whoever else holds them gets a moment.
        let finished_in_time = pipes_done || timeout(PIPES_AFTER_END, &mut pipes).await.is_ok();
        group.kill();
        if !finished_in_time {
            // Killing the group closed the pipes, unless somebody left the group with one.
            let _ = timeout(PIPES_AFTER_END, &mut pipes).await;
        }
        status
    };
    drop(group);
    said.finish();
    let stderr = said.tail;
    let ending = if too_much {
        Ending::TooMuchOutput
    } else if timed_out && !status.success() {
        Ending::Timeout
    } else {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exit(code),
            (None, signal) => Ending::Signal(signal.unwrap_or(0)),
        }
    };
    Ok(Finished { ending, stdout: printed, stderr })
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

/// Reads to the end. False where there is more than [`MAX_OUTPUT`].
async fn read_to_limit(mut from: impl AsyncRead + Unpin, to: &mut Vec<u8>) -> bool {
    while let Ok(1..) = from.read_buf(to).await {
        if to.len() > MAX_OUTPUT {
            return false;
        }
    }
    true
}

/// Cuts a stream into lines, hands each over, and keeps the end of it.
pub struct Lines<F> {
    each: F,
    partial: Vec<u8>,
    /// The last [`STDERR_TAIL`] bytes of the stream.
    pub tail: Vec<u8>,
}

impl<F: FnMut(&[u8])> Lines<F> {
    pub fn new(each: F) -> Self {
        Self { each, partial: Vec::new(), tail: Vec::new() }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(STDERR_TAIL);
        self.tail.drain(..excess);
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= STDERR_LINE {
                self.hand_over();
            }
        }
    }

    /// The stream ended: a last line without a newline is a line.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        (self.each)(self.partial.strip_suffix(b"\n").unwrap_or(&self.partial));
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;

    async fn sh(script: &str, input: &[u8], limit: Option<u64>) -> (Finished, Vec<String>) {
        let mut lines = Vec::new();
        let limits = Limits { timeout: limit.map(Duration::from_millis), grace: Duration::from_millis(100) };
        let program = Program::shell(OsStr::new(script));
        let finished = run(command(&program, &[]), input, limits, &Groups::default(), 0, |line| {
            lines.push(String::from_utf8_lossy(line).into_owned());
        })
        .await
        .unwrap();
        (finished, lines)
    }

    #[tokio::test]
    async fn input_goes_in_and_output_comes_out_whole() {
        let input = vec![b'x'; 5_000_000];
        let (finished, _) = sh("cat", &input, None).await;
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

    #[tokio::test]
    async fn an_unread_input_is_no_error() {
        let (finished, _) = sh("exit 0", &vec![b'x'; 10_000_000], None).await;
        assert_eq!(finished.ending, Ending::Exit(0));
    }

    #[tokio::test]
    async fn stderr_comes_line_by_line_and_its_end_is_kept() {
        let (finished, lines) = sh("echo one >&2; printf two >&2; exit 7", b"", None).await;
        assert_eq!(finished.ending, Ending::Exit(7));
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(finished.stderr, b"one\ntwo");
    }

    #[tokio::test]
    async fn a_child_that_takes_too_long_is_told_then_killed() {
        let (finished, _) = sh("exec sleep 60", b"", Some(50)).await;
        assert_eq!(finished.ending, Ending::Timeout);
        let (finished, _) = sh("trap '' TERM; while :; do sleep 1; done", b"", Some(50)).await;
        assert_eq!(finished.ending, Ending::Timeout);
    }

    #[tokio::test]
    async fn a_grandchild_that_holds_the_pipes_is_killed_and_not_waited_for() {
        let (finished, _) = sh("sleep 600 & echo $!", b"", None).await;
        assert_eq!(finished.ending, Ending::Exit(0));
        let pid: i32 = String::from_utf8(finished.stdout).unwrap().trim().parse().unwrap();
        // It dies when it is scheduled again, and stays a zombie until its new parent reaps it.
        let gone = async {
            loop {
                let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                if state.is_empty() || state.contains(") Z") || state.contains(") X") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.expect("the grandchild still runs");
    }

    #[tokio::test]
    async fn death_by_a_signal_is_told_from_an_exit() {
        let (finished, _) = sh("kill -9 $$", b"", None).await;
        assert_eq!(finished.ending, Ending::Signal(9));
    }

    #[tokio::test]
    async fn after_the_end_of_all_nothing_new_lives() {
        let groups = Groups::default();
        groups.kill_all();
        let program = Program::shell(OsStr::new("sleep 60"));
        let limits = Limits { timeout: None, grace: Duration::ZERO };
        let finished = run(command(&program, &[]), b"", limits, &groups, 0, |_| {}).await.unwrap();
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
            let mut lines = Lines::new(|line: &[u8]| seen.push(String::from_utf8(line.to_vec()).unwrap()));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            for pair in cuts.windows(2) {
                lines.push(&text.as_bytes()[pair[0]..pair[1]]);
            }
            lines.finish();
            prop_assert_eq!(&lines.tail, text.as_bytes());
            drop(lines);
            prop_assert_eq!(seen, text.lines().map(str::to_owned).collect::<Vec<_>>());
        }
    }
}
