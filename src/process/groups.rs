//! The process groups of the commands that run, and what left them: terminated or killed from any thread.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};

use super::guard::Guard;
use super::reaper::Reaper;
use super::tree::{Links, Refused, Seen, Stat};
use crate::lock::{self, Lock};

/// What is done about a process that may not be signalled.
type OnRefused = Arc<dyn Fn(&Refused) + Send + Sync>;

/// The live process groups. Clones share one set.
#[derive(Clone, Default)]
pub(crate) struct Groups {
    inner: Arc<Lock<Inner>>,
    on_refused: Option<OnRefused>,
    /// What knows the processes that commands left behind.
    reaper: Option<Reaper>,
}

#[derive(Default)]
struct Inner {
    /// By the leader's pid, which is the group's id.
    live: HashMap<i32, Member>,
    /// Everything is to die: what is added later dies at once.
    closed: bool,
    guard: Option<Arc<Guard>>,
}

struct Member {
    owner: Owner,
    /// TERM or KILL was sent through [`Groups`].
    is_signalled: bool,
    /// Processes that the command started and that are not in its group, from when it was last signalled.
    strays: Vec<Seen>,
    /// Those that may not be signalled, and were named.
    refused: Vec<Seen>,
}

impl Member {
    fn new(owner: Owner) -> Self {
        Self { owner, is_signalled: false, strays: Vec::new(), refused: Vec::new() }
    }

    /// Sends a signal to the command's group, and to what it started and is not in there. Gives those that may not
    /// be signalled, each once.
    fn signal(&mut self, leader: i32, links: &Links, signal: Signal) -> Vec<Refused> {
        // Before the leader is signalled: its end gives its children another parent.
        let strays = self.strays.iter().filter(|stray| Seen::now(stray.pid).as_ref() == Some(stray));
        let below = links.descendants(std::iter::once(leader).chain(strays.map(|stray| stray.pid)));
        let (inside, outside): (Vec<_>, Vec<_>) =
            below.into_iter().partition(|(_, stat)| stat.group == leader);
        let new =
            outside.into_iter().map(|(process, _)| process).filter(|process| !self.strays.contains(process));
        let new: Vec<Seen> = new.collect();
        self.strays.extend(new);
        let of_leader = Stat::of(leader).map(|stat| (stat.seen(leader), stat));
        signal_group(leader, signal);
        let inside = of_leader.into_iter().chain(inside).filter_map(|(process, stat)| refusal(process, stat));
        let outside = self.strays.iter().filter_map(|stray| stray.signal(signal).err());
        let refused: Vec<Refused> = inside.chain(outside).collect();
        refused
            .into_iter()
            .filter(|refused| {
                let is_new = !self.refused.contains(&refused.process);
                self.refused.push(refused.process);
                is_new
            })
            .collect()
    }

    /// Kills what is left of a command whose leader has ended. Processes are not looked for: that would cost each
    /// command more than its start.
    fn sweep(&self, leader: i32) {
        signal_group(leader, Signal::KILL);
        for stray in &self.strays {
            let _ = stray.signal(Signal::KILL);
        }
    }
}

/// That a process may not be signalled, which a signal to its whole group does not tell.
fn refusal(process: Seen, stat: Stat) -> Option<Refused> {
    match test_kill_process(Pid::from_raw(process.pid)?) {
        Err(e @ Errno::PERM) => Some(Refused { process, name: stat.name, why: e.into() }),
        _ => None,
    }
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
fn signal_group(group: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(group) {
        let _ = kill_process_group(pid, signal);
    }
}

impl Groups {
    /// A set whose members `guard` kills should this process die; `on_refused` is told of each process that may not
    /// be signalled.
    pub(crate) fn guarded(
        guard: Arc<Guard>,
        reaper: Reaper,
        on_refused: impl Fn(&Refused) + Send + Sync + 'static,
    ) -> Self {
        let inner = Inner { guard: Some(guard), ..Inner::default() };
        Self {
            inner: Arc::new(Lock::new(inner)),
            on_refused: Some(Arc::new(on_refused)),
            reaper: Some(reaper),
        }
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
        inner.live.insert(pid, Member::new(owner));
        if let Some(guard) = &inner.guard {
            guard.watch(pid);
        }
        if inner.closed {
            signal_group(pid, Signal::KILL);
        }
        Group { groups: self.clone(), pid }
    }

    /// Sends TERM, once each, to the commands whose owner is selected.
    pub(crate) fn terminate(&self, selected: impl Fn(u64) -> bool) {
        self.signal(Signal::TERM, |member| {
            member.owner.is(&selected) && !std::mem::replace(&mut member.is_signalled, true)
        });
    }

    /// Sends KILL to the commands whose owner is selected.
    pub(crate) fn kill(&self, selected: impl Fn(u64) -> bool) {
        self.signal(Signal::KILL, |member| {
            let is_selected = member.owner.is(&selected);
            member.is_signalled |= is_selected;
            is_selected
        });
    }

    /// Kills all commands, now and whatever is added later.
    pub(crate) fn kill_all(&self) {
        self.lock().closed = true;
        self.signal(Signal::KILL, |member| {
            member.is_signalled = true;
            true
        });
    }

    fn signal(&self, signal: Signal, mut selected: impl FnMut(&mut Member) -> bool) {
        let mut refused = Vec::new();
        {
            let mut inner = self.lock();
            let mut selected: Vec<_> = inner
                .live
                .iter_mut()
                .filter_map(|(pid, member)| selected(member).then_some((*pid, member)))
                .collect();
            if selected.is_empty() {
                return;
            }
            let links = Links::now();
            for (pid, member) in &mut selected {
                refused.extend(member.signal(*pid, &links, signal));
            }
        }
        self.tell(&refused);
    }

    fn tell(&self, refused: &[Refused]) {
        if let Some(on_refused) = &self.on_refused {
            for refused in refused {
                on_refused(refused);
            }
        }
    }

    /// Whether processes live that commands left behind, and that may be signalled.
    pub(crate) fn has_adopted(&self) -> bool {
        self.reaper.as_ref().is_some_and(Reaper::has_adopted)
    }

    /// Sends TERM to what commands left behind.
    pub(crate) fn terminate_adopted(&self) {
        self.signal_adopted(Signal::TERM);
    }

    /// Sends KILL to what commands left behind.
    pub(crate) fn kill_adopted(&self) {
        self.signal_adopted(Signal::KILL);
    }

    fn signal_adopted(&self, signal: Signal) {
        if let Some(reaper) = &self.reaper {
            self.tell(&reaper.signal_adopted(signal));
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
    /// Sends TERM to the command.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends KILL to the command.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let refused = self
            .groups
            .lock()
            .live
            .get_mut(&self.pid)
            .map(|member| member.signal(self.pid, &Links::now(), signal));
        self.groups.tell(&refused.unwrap_or_default());
    }

    /// Kills what its leader, which has ended, left behind in its group; and where it was ended by a signal, what it
    /// had started besides that.
    pub(crate) fn sweep(&self) {
        if let Some(member) = self.groups.lock().live.get(&self.pid) {
            member.sweep(self.pid);
        }
    }

    /// Whether [`Groups`] sent it TERM or KILL: then its end is not its own doing.
    pub(crate) fn was_signalled(&self) -> bool {
        self.groups.was_signalled(self.pid)
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
