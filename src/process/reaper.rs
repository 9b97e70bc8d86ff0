//! The children that kq did not start: it gets them as PID 1 of a container, and as a subreaper.
//!
//! What a command leaves behind loses its parent, and the kernel gives it to kq. Without someone who waits for
//! them, such processes stay zombies once they end, until the system has no more numbers and no command can be
//! started. So kq waits for each of them, by its number alone: its own children are waited for by who started
//! them, and the leaders of process groups stay zombies until their group is gone.
//!
//! What left its command's session may be a daemon that others share. It is left alone while the worker runs, and
//! ended with it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, waitid};

use super::children;
use super::guard::{self, Guard};
use super::tree::{Links, Refused, Seen};
use crate::lock::Lock;
use crate::threads;

/// The time between two looks while commands start and end.
const BUSY: Duration = Duration::from_millis(100);
/// The same after a look that found something to reap: where commands leave much behind, zombies are most of what
/// counts against a limit of processes.
const EAGER: Duration = Duration::from_millis(10);
/// The time between two looks while no command starts or ends, and the longest between two whole ones: a whole one
/// costs about as much as a command.
const IDLE: Duration = Duration::from_secs(1);

/// Reaps what kq adopts, for as long as kq runs. Clones share one.
#[derive(Clone)]
pub(crate) struct Reaper {
    inner: Arc<Inner>,
}

struct Inner {
    adopted: Lock<Adopted>,
    /// Children from before the start, of a shell that became kq by exec: they are reaped and never signalled.
    inherited: HashSet<Seen>,
    guard: Option<Arc<Guard>>,
}

#[derive(Default)]
struct Adopted {
    alive: HashSet<Seen>,
    /// Those that may not be signalled, and were named.
    refused: HashSet<Seen>,
}

/// Makes kq the parent of whatever its descendants leave behind, as far as the system can do that.
fn become_subreaper() {
    #[cfg(target_os = "linux")]
    // It fails before Linux 3.4 only; the processes then go to PID 1.
    let _ = rustix::process::set_child_subreaper(Some(getpid()));
}

impl Reaper {
    /// Makes kq a subreaper and starts to reap. The guard is told what is adopted.
    pub(crate) fn start(guard: Arc<Guard>) -> anyhow::Result<Self> {
        become_subreaper();
        Self::new(Some(guard)).run()
    }

    /// Starts to reap, where this is PID 1: it gets the orphans of the whole container.
    pub(crate) fn start_if_first() -> anyhow::Result<()> {
        if getpid() == Pid::INIT { Self::new(None).run().map(drop) } else { Ok(()) }
    }

    fn new(guard: Option<Arc<Guard>>) -> Self {
        let inherited = children::foreign(&listed()).into_iter().collect();
        Self { inner: Arc::new(Inner { adopted: Lock::default(), inherited, guard }) }
    }

    fn run(self) -> anyhow::Result<Self> {
        let reaper = self.clone();
        threads::start("reaper", move || {
            let mut looked: Option<Instant> = None;
            loop {
                let seen = children::changes();
                let is_due = looked.is_none_or(|looked| looked.elapsed() >= IDLE);
                let mut has_reaped = false;
                if is_due || is_anything_new() {
                    looked = Some(Instant::now());
                    has_reaped = reaper.look();
                }
                if has_reaped {
                    std::thread::sleep(EAGER);
                } else {
                    std::thread::sleep(BUSY);
                    children::await_change(seen, IDLE);
                }
            }
        })?;
        Ok(self)
    }

    /// Reaps what has ended, and takes note of what lives. Says whether something was reaped.
    fn look(&self) -> bool {
        let Inner { adopted, guard, .. } = &*self.inner;
        let foreign = children::foreign(&listed());
        let mut adopted = adopted.lock();
        let is_adopted = |process: &Seen| adopted.alive.contains(process) || self.is_of_a_command(*process);
        let mut alive: HashSet<Seen> = foreign.iter().copied().filter(is_adopted).collect();
        if let Some(guard) = guard {
            // Before anything else, which takes its time: kq may be killed at any moment.
            alive.difference(&adopted.alive).for_each(|process| guard.watch_process(*process));
        }
        adopted.alive.extend(&alive);
        let mut has_reaped = false;
        for process in foreign.into_iter().filter(|process| reap(process.pid)) {
            has_reaped = true;
            alive.remove(&process);
        }
        if let Some(guard) = guard {
            adopted.alive.difference(&alive).for_each(|process| guard.forget_process(*process));
        }
        adopted.alive = alive;
        has_reaped
    }

    /// Whether a command left this behind. Where kq has other children too, they also leave some.
    fn is_of_a_command(&self, process: Seen) -> bool {
        let Inner { inherited, guard, .. } = &*self.inner;
        let is_marked = || guard.as_ref().is_some_and(|guard| guard::has_mark(process.pid, guard.mark()));
        !inherited.contains(&process) && (inherited.is_empty() || is_marked())
    }

    /// Looks whether something is left that can be ended.
    pub(crate) fn has_adopted(&self) -> bool {
        self.look();
        let adopted = self.inner.adopted.lock();
        adopted.alive.iter().any(|process| !adopted.refused.contains(process))
    }

    /// Sends a signal to all that was adopted by the last look, and to what that started. Gives those that may not
    /// be signalled, each once.
    pub(crate) fn signal_adopted(&self, signal: Signal) -> Vec<Refused> {
        let mut adopted = self.inner.adopted.lock();
        let below = Links::now().descendants(adopted.alive.iter().map(|process| process.pid));
        let all = adopted.alive.iter().copied().chain(below.into_iter().map(|(process, _)| process));
        let refused: Vec<Refused> = all.filter_map(|process| process.signal(signal).err()).collect();
        refused.into_iter().filter(|refused| adopted.refused.insert(refused.process)).collect()
    }
}

/// Whether the first thread has a child that kq did not start: the kernel gives orphans to that one.
fn is_anything_new() -> bool {
    !children::foreign(&Links::now().children_of_first_thread(getpid().as_raw_pid())).is_empty()
}

/// The children of this process.
fn listed() -> Vec<i32> {
    Links::now().children(getpid().as_raw_pid())
}

/// Takes the status of a child that has ended. False where it lives.
fn reap(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return true };
    // An error is that it is no child any more.
    !matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None))
}
