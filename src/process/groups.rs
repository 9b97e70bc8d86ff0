//! The process groups of the commands that run: told to end, or killed, from any thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use super::guard::Guard;

/// The live process groups. Clones share one set.
#[derive(Clone, Default)]
pub struct Groups {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// By the leader's pid, which is the group's id.
    live: HashMap<i32, Member>,
    /// Everything is to die: what is added later dies at once.
    closed: bool,
    guard: Option<Guard>,
}

struct Member {
    /// Whose it is: an assignment epoch, or 0.
    owner: u64,
    told: bool,
}

/// A live process group, known to [`Groups`] until this is dropped.
pub struct Group {
    groups: Groups,
    pid: i32,
}

/// Sends a signal to a process group; one that is gone is no error.
fn signal(group: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(group) {
        let _ = kill_process_group(pid, signal);
    }
}

impl Groups {
    /// A set whose members `guard` kills should this process die.
    pub fn guarded(guard: Guard) -> Self {
        let groups = Self::default();
        groups.lock().guard = Some(guard);
        groups
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a new process group. `owner` is what [`Groups::terminate`] and
    /// [`Groups::kill`] select by.
    pub fn add(&self, pid: i32, owner: u64) -> Group {
        let mut inner = self.lock();
        inner.live.insert(pid, Member { owner, told: false });
        if let Some(guard) = &inner.guard {
            guard.watch(pid);
        }
        if inner.closed {
            signal(pid, Signal::KILL);
        }
        Group { groups: self.clone(), pid }
    }

    /// Sends TERM, once each, to the groups whose owner is selected.
    pub fn terminate(&self, selected: impl Fn(u64) -> bool) {
        for (pid, member) in &mut self.lock().live {
            if selected(member.owner) && !std::mem::replace(&mut member.told, true) {
                signal(*pid, Signal::TERM);
            }
        }
    }

    /// Sends KILL to the groups whose owner is selected.
    pub fn kill(&self, selected: impl Fn(u64) -> bool) {
        for (pid, member) in &self.lock().live {
            if selected(member.owner) {
                signal(*pid, Signal::KILL);
            }
        }
    }

    /// Kills everything, now and whatever is added later.
    pub fn kill_all(&self) {
        self.lock().closed = true;
        self.kill(|_| true);
    }

    /// How many groups are live.
    pub fn len(&self) -> usize {
        self.lock().live.len()
    }

    /// Whether none is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Group {
    /// Sends TERM to the group.
    pub fn terminate(&self) {
        signal(self.pid, Signal::TERM);
    }

    /// Sends KILL to the group: also to what its leader left behind.
    pub fn kill(&self) {
        signal(self.pid, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut inner = self.groups.lock();
        inner.live.remove(&self.pid);
        if let Some(guard) = &inner.guard {
            guard.forget(self.pid);
        }
    }
}
