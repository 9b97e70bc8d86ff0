//! Processes by their parents, as Linux shows them in `/proc`, and signals to exactly the process that was seen.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::GUARD;

/// A process that was seen. Its number may be another's later; when it started tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub pid: i32,
    /// Clock ticks after the system's start.
    pub started: u64,
}

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub name: String,
    pub parent: i32,
    pub group: i32,
    pub started: u64,
}

impl Stat {
    /// Of this process; `None` where there is none, or no `/proc`.
    pub(super) fn of(pid: i32) -> Option<Self> {
        // A name may be anything.
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&stat))
    }

    fn parse(stat: &str) -> Option<Self> {
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        // After the name: the state, the parent, the group, and as the 20th the start.
        let mut fields = after.split_ascii_whitespace().skip(1);
        Some(Self {
            name: name.to_owned(),
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            started: fields.nth(16)?.parse().ok()?,
        })
    }

    pub(super) fn seen(&self, pid: i32) -> Seen {
        Seen { pid, started: self.started }
    }
}

impl Seen {
    /// The process that has this number now.
    pub(super) fn now(pid: i32) -> Option<Self> {
        Some(Stat::of(pid)?.seen(pid))
    }

    /// Sends a signal to this process, and to no other that has its number now. One that is gone is no error. The
    /// guard of a kq that a command is gets none: it ends by itself after that kq, and ends what that left.
    pub(super) fn signal(self, signal: Signal) -> Result<(), Refused> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        // A descriptor stays that of one process, whatever becomes of its number.
        #[cfg(target_os = "linux")]
        let descriptor = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        let Some(stat) = Stat::of(self.pid).filter(|stat| stat.started == self.started) else {
            return Ok(());
        };
        if is_guard(self.pid) {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        let outcome = match descriptor {
            Ok(descriptor) => rustix::process::pidfd_send_signal(descriptor, signal),
            Err(Errno::SRCH) => return Ok(()),
            // Linux has it since 5.3.
            Err(_) => kill_process(pid, signal),
        };
        #[cfg(not(target_os = "linux"))]
        let outcome = kill_process(pid, signal);
        match outcome {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(e) => Err(Refused { process: self, name: stat.name, why: e.into() }),
        }
    }
}

/// Whether a process is the [guard](super::guard) of a kq.
fn is_guard(pid: i32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = words.split(|byte| *byte == 0);
    words.next() == Some(b"kq") && words.next() == Some(GUARD.as_bytes())
}

/// A process that kq may not signal: another user's, as a rule.
#[derive(Debug)]
pub(crate) struct Refused {
    pub process: Seen,
    pub name: String,
    pub why: io::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, name, why, .. } = self;
        write!(f, "process {} ({name}) of a command goes on: it can't be sent a signal: {why}", process.pid)
    }
}

/// Who is whose child.
pub(super) enum Links {
    /// The kernel lists the children of a process.
    Listed,
    /// It does not (`CONFIG_PROC_CHILDREN`): all processes by their parents, as of a moment ago.
    Walked(HashMap<i32, Vec<i32>>),
}

impl Links {
    pub(super) fn now() -> Self {
        if Path::new("/proc/thread-self/children").exists() { Self::Listed } else { Self::walk() }
    }

    fn walk() -> Self {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        for pid in all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if let Some(stat) = Stat::of(pid) {
                children.entry(stat.parent).or_default().push(pid);
            }
        }
        Self::Walked(children)
    }

    /// The children of a process, whichever of its threads started them.
    pub(super) fn children(&self, pid: i32) -> Vec<i32> {
        match self {
            Self::Walked(children) => children.get(&pid).cloned().unwrap_or_default(),
            Self::Listed => {
                let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
                let mut list = Vec::with_capacity(LIST);
                let mut children = Vec::new();
                for thread in threads {
                    append_list(&thread.path(), &mut list, &mut children);
                }
                children
            }
        }
    }

    /// The children that the first thread of a process has; where the kernel lists none, those of all threads.
    pub(super) fn children_of_first_thread(&self, pid: i32) -> Vec<i32> {
        if let Self::Walked(_) = self {
            return self.children(pid);
        }
        let mut children = Vec::new();
        append_list(Path::new(&format!("/proc/{pid}/task/{pid}")), &mut Vec::new(), &mut children);
        children
    }

    /// The children of these processes, their children, and so on, with what is known of each. A parent comes
    /// before its children.
    pub(super) fn descendants(&self, roots: impl IntoIterator<Item = i32>) -> Vec<(Seen, Stat)> {
        let mut known: HashSet<i32> = HashSet::new();
        let mut found = Vec::new();
        let mut next: Vec<i32> = roots.into_iter().flat_map(|root| self.children(root)).collect();
        while !next.is_empty() {
            next.retain(|pid| known.insert(*pid));
            for pid in std::mem::take(&mut next) {
                if let Some(stat) = Stat::of(pid) {
                    found.push((stat.seen(pid), stat));
                    next.extend(self.children(pid));
                }
            }
        }
        found
    }
}

/// Appends the children of a thread; `list` is what its list is read into.
fn append_list(thread: &Path, list: &mut Vec<u8>, children: &mut Vec<i32>) {
    list.clear();
    if read(&thread.join("children"), list).is_ok() {
        let pids = list.split(|byte| *byte == b' ').filter_map(|pid| std::str::from_utf8(pid).ok());
        children.extend(pids.filter_map(|pid| pid.parse::<i32>().ok()));
    }
}

/// What the list of a thread's children takes as a rule.
const LIST: usize = 4096;

/// Reads a file of `/proc` onto the end of `to`, in as few calls as it takes: a thread without children has an empty
/// list, and there are many of those. The standard library asks for the size first, which is 0, and begins with
/// small pieces.
fn read(path: &Path, to: &mut Vec<u8>) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        to.reserve(LIST);
        match rustix::io::read(&file, rustix::buffer::spare_capacity(to)) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::{Child, Command, Stdio};

    /// A shell, its child, and a grandchild in a session of its own.
    fn family() -> (Child, [i32; 2]) {
        let script = "(setsid sleep 60 & echo $!; echo $BASHPID; wait) & wait";
        let mut shell =
            Command::new("bash").args(["-c", script]).stdout(Stdio::piped()).spawn().expect("start bash");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(shell.stdout.take().unwrap()));
        let mut pid = || lines.next().unwrap().unwrap().parse().unwrap();
        let (grandchild, child) = (pid(), pid());
        (shell, [child, grandchild])
    }

    #[test]
    fn both_ways_find_a_grandchild_that_left_its_session() {
        let (mut shell, [child, grandchild]) = family();
        for links in [Links::now(), Links::walk()] {
            let found = links.descendants([shell.id() as i32]);
            let found: Vec<i32> = found.iter().map(|(seen, _)| seen.pid).collect();
            assert_eq!(found, [child, grandchild]);
        }
        // The child waits for the grandchild, so it would be gone after that.
        for pid in [child, grandchild] {
            Seen::now(pid).unwrap().signal(Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
    }

    #[test]
    fn children_are_found_whichever_thread_started_them() {
        // The thread ends: its child is listed with another one then, a moment after the thread was joined.
        let started = std::thread::spawn(|| Command::new("sleep").arg("60").spawn().unwrap());
        let mut child = started.join().unwrap();
        let own = std::process::id() as i32;
        let is_found = || Links::now().children(own).contains(&(child.id() as i32));
        let start = std::time::Instant::now();
        while !is_found() && start.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        assert!(is_found());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_number_that_another_process_has_by_now_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let seen = Seen::now(child.id() as i32).unwrap();
        let other = Seen { started: seen.started + 1, ..seen };
        other.signal(Signal::KILL).unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        seen.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
        // Nobody has the number now.
        seen.signal(Signal::KILL).unwrap();
    }

    #[test]
    fn the_guard_of_another_kq_is_spared() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(GUARD), "echo begun; read line; exit 7\n").unwrap();
        let mut command = Command::new("sh");
        std::os::unix::process::CommandExt::arg0(&mut command, "kq");
        command.arg(GUARD).current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guard = command.spawn().unwrap();
        let mut begun = [0];
        std::io::Read::read_exact(guard.stdout.as_mut().unwrap(), &mut begun).unwrap();
        Seen::now(guard.id() as i32).unwrap().signal(Signal::KILL).unwrap();
        drop(guard.stdin.take());
        assert_eq!(guard.wait().unwrap().code(), Some(7));
    }

    proptest! {
        #[test]
        fn a_stat_is_read_whatever_the_process_is_called(name in ".{0,15}", parent in 0..i32::MAX, group in 0..i32::MAX, started: u64) {
            let before = format!("7 ({name}) S {parent} {group} 3 34816 7 4194304 100 0 0 0 1 2 3 4 20 0 1 0 {started}");
            let stat = format!("{before} 9000000 500 184467440 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0");
            prop_assert_eq!(Stat::parse(&stat), Some(Stat { name, parent, group, started }));
        }
    }
}
