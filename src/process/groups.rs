//! The process groups of the commands that run: terminated or killed from any thread.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process_group};

use super::guard::Guard;
use crate::lock::{self, Lock};

/// The live process groups. Clones share one set.
#[derive(Clone, Default)]
pub(crate) struct Groups {
    inner: Arc<Lock<Inner>>,
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
    owner: Owner,
    /// TERM or KILL was sent through [`Groups`].
    is_signalled: bool,
}

/// Whose a process group is: of an assignment epoch, or of several.
enum Owner {
    One(u64),
    Shared(Owners),
}

impl Owner {
    fn is(&self, selected: &impl Fn(u64) -> bool) -> bool {
        match self {
            Self::One(owner) => selected(*owner),
            Self::Shared(owners) => owners.lock().keys().any(|owner| selected(*owner)),
        }
    }
}

/// Whose records a persistent process has at the moment, and how many of each. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Owners(Arc<Lock<HashMap<u64, usize>>>);

impl Owners {
    fn lock(&self) -> lock::Guard<'_, HashMap<u64, usize>> {
        self.0.lock()
    }

    /// The process gets something of each of these.
    pub(crate) fn add(&self, owners: impl IntoIterator<Item = u64>) {
        let mut held = self.lock();
        for owner in owners {
            *held.entry(owner).or_default() += 1;
        }
    }

    /// It is done with something of each of these.
    pub(crate) fn remove(&self, owners: impl IntoIterator<Item = u64>) {
        let mut held = self.lock();
        for owner in owners {
            if let Entry::Occupied(mut count) = held.entry(owner) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}

/// A live process group, known to [`Groups`] until this is dropped.
pub(crate) struct Group {
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
    pub(crate) fn guarded(guard: Guard) -> Self {
        let groups = Self::default();
        groups.lock().guard = Some(guard);
        groups
    }

    fn lock(&self) -> lock::Guard<'_, Inner> {
        self.inner.lock()
    }

    /// Takes note of a new process group. `owner` is what [`Groups::terminate`] and
    /// [`Groups::kill`] select by.
    pub(crate) fn add(&self, pid: i32, owner: u64) -> Group {
        self.insert(pid, Owner::One(owner))
    }

    /// The same for a process whose owners change: it is selected by any that it has at the time.
    pub(crate) fn add_shared(&self, pid: i32, owners: &Owners) -> Group {
        self.insert(pid, Owner::Shared(owners.clone()))
    }

    fn insert(&self, pid: i32, owner: Owner) -> Group {
        let mut inner = self.lock();
        inner.live.insert(pid, Member { owner, is_signalled: false });
        if let Some(guard) = &inner.guard {
            guard.watch(pid);
        }
        if inner.closed {
            signal(pid, Signal::KILL);
        }
        Group { groups: self.clone(), pid }
    }

    /// Sends TERM, once each, to the groups whose owner is selected.
    pub(crate) fn terminate(&self, selected: impl Fn(u64) -> bool) {
        for (pid, member) in &mut self.lock().live {
            if member.owner.is(&selected) && !std::mem::replace(&mut member.is_signalled, true) {
                signal(*pid, Signal::TERM);
            }
        }
    }

    /// Sends KILL to the groups whose owner is selected.
    pub(crate) fn kill(&self, selected: impl Fn(u64) -> bool) {
        for (pid, member) in &mut self.lock().live {
            if member.owner.is(&selected) {
                member.is_signalled = true;
                signal(*pid, Signal::KILL);
            }
        }
    }

    /// Kills everything, now and whatever is added later.
    pub(crate) fn kill_all(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        for (pid, member) in &mut inner.live {
            member.is_signalled = true;
            signal(*pid, Signal::KILL);
        }
    }

    fn was_signalled(&self, pid: i32) -> bool {
        self.lock().live.get(&pid).is_some_and(|member| member.is_signalled)
    }

    /// How many groups are live.
    pub(crate) fn len(&self) -> usize {
        self.lock().live.len()
    }

    /// Whether none is live.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Group {
    /// Sends TERM to the group.
    pub(crate) fn terminate(&self) {
        signal(self.pid, Signal::TERM);
    }

    /// Whether [`Groups`] sent it TERM or KILL: then its end is not its own doing.
    pub(crate) fn was_signalled(&self) -> bool {
        self.groups.was_signalled(self.pid)
    }

    /// Sends KILL to the group: also to what its leader left behind.
    pub(crate) fn kill(&self) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").process_group(0).spawn().unwrap()
    }

    #[test]
    fn a_process_that_stays_is_reached_by_what_it_works_at_then() {
        let groups = Groups::default();
        let owners = Owners::default();
        let mut child = sleeper();
        let group = groups.add_shared(child.id() as i32, &owners);
        owners.add([1, 2, 2]);
        owners.remove([1, 2]);
        groups.kill(|owner| owner == 1);
        assert!(!group.was_signalled());
        groups.terminate(|owner| owner == 2);
        assert!(group.was_signalled());
        assert_eq!(child.wait().unwrap().signal(), Some(15));
    }

    #[test]
    fn the_end_of_all_reaches_an_idle_process_too() {
        let groups = Groups::default();
        let mut child = sleeper();
        let _group = groups.add_shared(child.id() as i32, &Owners::default());
        groups.kill_all();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
