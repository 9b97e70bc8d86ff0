//! The orphan guard: a small child that kills the commands when kq dies without doing it.
//!
//! The kernel's parent-death signal would need a hook between fork and exec, and
//! with it every spawn copies the page tables (50 ms at 1 GiB of heap). So one
//! child, this same binary, holds the read end of a pipe and is told which
//! process groups live. When the pipe ends, it kills them, however kq was killed;
//! and those that kq had no time to report, by the mark in their environment.

use std::collections::HashSet;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

/// The hidden first argument that makes kq a guard; the second is the mark.
pub(crate) const ARGUMENT: &str = "__guard";
/// The variable that holds the mark in a command's environment.
pub(crate) const MARK: &str = "KQ_WORKER_MARK";
/// A command may be between fork and exec when kq dies, and have no mark yet: how often the guard looks,
/// and how long it waits between.
const LOOKS: usize = 6;
const PAUSE: Duration = Duration::from_millis(50);

/// The writing end: reports process groups to the guard. Dropping it ends the guard,
/// which then kills what it still watches.
#[derive(Debug)]
pub(crate) struct Guard {
    pipe: ChildStdin,
    // Held so that its pid is not reused; it ends when the pipe does.
    _child: Child,
    mark: String,
}

impl Guard {
    /// Starts the guard.
    pub(crate) fn start() -> anyhow::Result<Self> {
        // The running binary, even where its file was replaced.
        let itself = std::path::Path::new("/proc/self/exe");
        let program =
            if itself.exists() { itself.to_owned() } else { std::env::current_exe().context("find kq")? };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mark = format!("{}-{now:x}", std::process::id());
        let mut child = Command::new(program)
            .arg0("kq")
            .args([ARGUMENT, &mark])
            // A worker that is the command of another must not lose its guard to the other's.
            .env_remove(MARK)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of the terminal's signals, which are meant for kq.
            .process_group(0)
            .spawn()
            .context("start the orphan guard")?;
        let pipe = child.stdin.take().context("the orphan guard's pipe")?;
        Ok(Self { pipe, _child: child, mark })
    }

    /// What the environment of every command must hold as [`MARK`].
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// A process group lives from now on.
    pub(crate) fn watch(&self, group: i32) {
        self.tell(group);
    }

    /// A process group is gone.
    pub(crate) fn forget(&self, group: i32) {
        self.tell(-group);
    }

    /// A guard that died can't be told anything; kq goes on without one.
    fn tell(&self, word: i32) {
        let _ = (&self.pipe).write_all(&word.to_ne_bytes());
    }
}

/// Is the guard: reads what lives until the pipe ends, then kills it.
/// The words are process group ids, 4 bytes each; a negative one takes it back.
pub(crate) fn watch(mut pipe: impl Read) -> io::Result<HashSet<i32>> {
    let mut live = HashSet::new();
    let mut word = [0; 4];
    loop {
        match pipe.read_exact(&mut word) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(live),
            Err(e) => return Err(e),
        }
        match i32::from_ne_bytes(word) {
            group if group > 1 => _ = live.insert(group),
            group => _ = live.remove(&group.wrapping_neg()),
        }
    }
}

/// The guard's whole life, as the hidden subcommand runs it.
pub(crate) fn main() -> anyhow::Result<()> {
    // It must outlive a signal to every process of a session or container: only the pipe ends it.
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, std::sync::Arc::default()).context("ignore signals")?;
    }
    let pipe = io::stdin().as_fd().try_clone_to_owned().context("open the pipe")?;
    let pipe = Retrying(Gathering(std::fs::File::from(pipe)));
    let live = watch(io::BufReader::with_capacity(64 << 10, pipe)).context("read the pipe")?;
    for group in live.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let Some(mark) = std::env::args().nth(2) else { return Ok(()) };
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        for group in marked(&mark) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    Ok(())
}

/// Lets words gather in the pipe before it reads on, unless the pipe has ended: a guard that woke up
/// for each command that starts and ends would take processor time from them.
struct Gathering(std::fs::File);

/// How long words may gather; a pipe holds 16,000.
const GATHER: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

impl Read for Gathering {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Without requested events, poll still reports the end.
        poll(&mut [PollFd::new(&self.0, PollFlags::empty())], Some(&GATHER))?;
        self.0.read(buffer)
    }
}

/// The process groups of this session (one that left it did so to keep running) with the mark in their environment;
/// none where there is no `/proc`.
fn marked(mark: &str) -> HashSet<Pid> {
    let variable = format!("{MARK}={mark}");
    let is_marked = |process: &Path| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let own = group_and_session(Path::new("/proc/self"));
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let groups = all.filter(|process| is_marked(process)).filter_map(|process| {
        let (group, session) = group_and_session(&process)?;
        own.is_some_and(|(_, own)| own == session).then_some(group)
    });
    groups.filter(|&group| group > 1).filter_map(Pid::from_raw).collect()
}

/// A process's group and session. The call for the session (rustix 1.1) can't represent one from outside of
/// the container, which is 0.
fn group_and_session(process: &Path) -> Option<(i32, i32)> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    // After the name, which may hold anything: state, parent, group, session.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Reads on when a signal interrupts a read.
struct Retrying<R>(R);

impl<R: Read> Read for Retrying<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_back_is_left_over() {
        let words: Vec<u8> = [7, 8, -7, 9, -5].into_iter().flat_map(i32::to_ne_bytes).collect();
        assert_eq!(watch(&words[..]).unwrap(), HashSet::from([8, 9]));
    }

    #[test]
    fn a_word_cut_short_ends_the_reading() {
        assert_eq!(watch(&7i32.to_ne_bytes()[..3]).unwrap(), HashSet::new());
    }

    #[test]
    fn a_group_is_found_by_its_mark_and_by_no_other() {
        let mut child = Command::new("sleep").arg("60").env(MARK, "test-1").process_group(0).spawn().unwrap();
        let group = Pid::from_child(&child);
        // The kernel lets a parent go on before the environment of the child's new program is in place.
        let start = std::time::Instant::now();
        while marked("test-1").is_empty() && start.elapsed().as_secs() < 30 {
            std::thread::yield_now();
        }
        assert_eq!(marked("test-1"), HashSet::from([group]));
        assert_eq!(marked("test"), HashSet::new());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(marked("test-1"), HashSet::new());
    }

    #[test]
    fn nothing_but_real_groups_is_ever_watched() {
        let words: Vec<u8> = [0, 1, i32::MIN].into_iter().flat_map(i32::to_ne_bytes).collect();
        assert_eq!(watch(&words[..]).unwrap(), HashSet::new());
    }
}
