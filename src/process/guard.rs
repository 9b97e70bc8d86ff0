//! The orphan guard: a small child that kills the commands when kq dies without doing it.
//!
//! The kernel's parent-death signal would need a hook between fork and exec, and
//! with it every spawn copies the page tables (50 ms at 1 GiB of heap). So one
//! child, this same binary, holds the read end of a pipe and is told which
//! process groups live, and which processes that left them kq has adopted. When the pipe ends, it kills
//! them, however kq was killed; and those that kq had no time to report, by the mark in their environment.

use std::collections::HashSet;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::children::{self, Own};
use super::tree::{Links, Seen};

/// The hidden first argument that makes kq a guard; the second is the mark.
pub(crate) const ARGUMENT: &str = super::GUARD;
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
    _child: (Child, Own),
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
        let mut command = Command::new(program);
        command
            .arg0("kq")
            .args([ARGUMENT, &mark])
            // A worker that is the command of another must not lose its guard to the other's.
            .env_remove(MARK)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of the terminal's signals, which are meant for kq.
            .process_group(0);
        let (mut child, own) = children::start(|| command.spawn(), |child| child.id() as i32)
            .context("start the orphan guard")?;
        let pipe = child.stdin.take().context("the orphan guard's pipe")?;
        Ok(Self { pipe, _child: (child, own), mark })
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

    /// A process that is in none of these groups lives from now on.
    pub(crate) fn watch_process(&self, process: Seen) {
        self.tell_of(process.pid, process.started);
    }

    /// Such a process is gone.
    pub(crate) fn forget_process(&self, process: Seen) {
        self.tell_of(-process.pid, process.started);
    }

    fn tell(&self, word: i32) {
        self.write(&word.to_ne_bytes());
    }

    fn tell_of(&self, word: i32, started: u64) {
        let mut words = [0; 16];
        words[..4].copy_from_slice(&PROCESS.to_ne_bytes());
        words[4..8].copy_from_slice(&word.to_ne_bytes());
        words[8..].copy_from_slice(&started.to_ne_bytes());
        self.write(&words);
    }

    /// A guard that died can't be told anything; kq goes on without one. So few bytes get into a pipe whole.
    fn write(&self, words: &[u8]) {
        let _ = (&self.pipe).write_all(words);
    }
}

/// The word before one of a process, whose start follows in 8 bytes.
const PROCESS: i32 = 0;

/// What is to be killed once kq is gone.
#[derive(Debug, Default, PartialEq, Eq)]
struct Live {
    groups: HashSet<i32>,
    processes: HashSet<Seen>,
}

/// Is the guard: reads what lives until the pipe ends. The words are process group ids, 4 bytes each; a negative
/// one takes it back.
fn watch(mut pipe: impl Read) -> io::Result<Live> {
    let mut live = Live::default();
    while let Some(word) = word(&mut pipe)? {
        match i32::from_ne_bytes(word) {
            PROCESS => {
                let (Some(word), Some(started)) = (self::word(&mut pipe)?, self::word(&mut pipe)?) else {
                    break;
                };
                let (pid, started) = (i32::from_ne_bytes(word), u64::from_ne_bytes(started));
                if pid > 1 {
                    live.processes.insert(Seen { pid, started });
                } else {
                    live.processes.remove(&Seen { pid: pid.wrapping_neg(), started });
                }
            }
            group if group > 1 => _ = live.groups.insert(group),
            group => _ = live.groups.remove(&group.wrapping_neg()),
        }
    }
    Ok(live)
}

/// The next bytes; `None` at the end, and where it comes within them.
fn word<const N: usize>(pipe: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut word = [0; N];
    match pipe.read_exact(&mut word) {
        Ok(()) => Ok(Some(word)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

impl Live {
    /// Kills all of it, and what these processes started.
    fn kill(&self) {
        let is_there = |process: &&Seen| Seen::now(process.pid).as_ref() == Some(process);
        let processes: Vec<Seen> = self.processes.iter().filter(is_there).copied().collect();
        let roots = self.groups.iter().copied().chain(processes.iter().map(|process| process.pid));
        // Before any of them ends, which gives its children another parent.
        let below = Links::now().descendants(roots);
        for group in self.groups.iter().copied().filter_map(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        for process in processes.into_iter().chain(below.into_iter().map(|(seen, _)| seen)) {
            // Nobody is left who could be told that it may not be signalled.
            let _ = process.signal(Signal::KILL);
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
    live.kill();
    let Some(mark) = std::env::args().nth(2) else { return Ok(()) };
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        for process in marked(&mark) {
            let _ = process.signal(Signal::KILL);
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

/// The processes with the mark in their environment; none where there is no `/proc`.
fn marked(mark: &str) -> HashSet<Seen> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let marked = all.filter(|pid| has_mark(*pid, mark)).filter_map(Seen::now);
    // Asked again: the number may have become another's before it was seen which process has it.
    marked.filter(|process| has_mark(process.pid, mark)).collect()
}

/// Whether a process has the mark in its environment.
pub(super) fn has_mark(pid: i32, mark: &str) -> bool {
    let variable = format!("{MARK}={mark}");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes())
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

    fn groups(bytes: &[u8]) -> HashSet<i32> {
        let live = watch(bytes).unwrap();
        assert_eq!(live.processes, HashSet::new());
        live.groups
    }

    fn words(words: &[i32]) -> Vec<u8> {
        words.iter().copied().flat_map(i32::to_ne_bytes).collect()
    }

    #[test]
    fn what_was_not_taken_back_is_left_over() {
        assert_eq!(groups(&words(&[7, 8, -7, 9, -5])), HashSet::from([8, 9]));
    }

    #[test]
    fn a_word_cut_short_ends_the_reading() {
        assert_eq!(groups(&words(&[7])[..3]), HashSet::new());
        assert_eq!(groups(&words(&[8, PROCESS, 9, 1])), HashSet::from([8]));
    }

    #[test]
    fn nothing_but_real_groups_is_ever_watched() {
        assert_eq!(groups(&words(&[1, i32::MIN])), HashSet::new());
        assert_eq!(groups(&words(&[PROCESS, 1, 5, 5, PROCESS, i32::MIN, 5, 5])), HashSet::new());
    }

    #[test]
    fn the_guard_is_told_of_groups_and_of_processes() {
        let mut reader = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pipe = reader.stdin.take().unwrap();
        let (child, own) = children::start(|| Ok(reader), |child| child.id() as i32).unwrap();
        let guard = Guard { pipe, _child: (child, own), mark: String::new() };
        let [first, second] = [(70, 1 << 40), (71, 2)].map(|(pid, started)| Seen { pid, started });
        guard.watch(7);
        guard.watch_process(first);
        guard.watch(8);
        guard.watch_process(second);
        guard.forget(7);
        guard.forget_process(first);
        // Another process had the number before.
        guard.forget_process(Seen { started: 1, ..second });
        let Guard { pipe, _child: (mut child, _own), .. } = guard;
        drop(pipe);
        let live = watch(child.stdout.take().unwrap()).unwrap();
        assert_eq!(live, Live { groups: HashSet::from([8]), processes: HashSet::from([second]) });
        child.wait().unwrap();
    }

    #[test]
    fn a_process_is_found_by_its_mark_and_by_no_other() {
        let mut child = Command::new("setsid").args(["sleep", "60"]).env(MARK, "test-1").spawn().unwrap();
        // The environment is empty for a moment whenever a program takes the place of another: here first setsid,
        // then sleep.
        let name = format!("/proc/{}/comm", child.id());
        let is_begun =
            || std::fs::read(&name).is_ok_and(|name| name == b"sleep\n") && !marked("test-1").is_empty();
        let start = std::time::Instant::now();
        while !is_begun() && start.elapsed().as_secs() < 30 {
            std::thread::yield_now();
        }
        assert_eq!(marked("test-1"), HashSet::from([Seen::now(child.id() as i32).unwrap()]));
        assert_eq!(marked("test"), HashSet::new());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(marked("test-1"), HashSet::new());
    }
}
