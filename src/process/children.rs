//! The children that kq started itself and waits for: what [reaps](super::reaper) the others leaves these alone.
//!
//! The system lists a child before the call that started it has returned its number. So each start is announced,
//! and who finds an unknown child waits until all starts from before that are over. No lock is held meanwhile: a
//! program on a file system that hangs delays only its own start.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::time::{Duration, Instant};

use super::tree::Seen;
use crate::lock::{Condition, Lock};

static TABLE: Lock<Option<Table>> = Lock::new(None);
/// The table changed.
static CHANGED: Condition = Condition::new();
/// How long is waited for starts to be over. Those that hang are waited for another time.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Table {
    /// By pid: how often it was entered. A number is given out again once its process was waited for, which may
    /// be a moment before that leaves the table.
    pids: HashMap<i32, usize>,
    /// Starts that are not over, by their numbers.
    starting: BTreeSet<u64>,
    /// The number of the next start.
    next: u64,
    /// Children that were entered and that left.
    changes: u64,
    is_awaited: bool,
}

impl Table {
    fn with<T>(act: impl FnOnce(&mut Self) -> T) -> T {
        act(TABLE.lock().get_or_insert_default())
    }

    fn begin(&mut self) -> u64 {
        let start = self.next;
        self.next += 1;
        self.starting.insert(start);
        start
    }

    fn end(&mut self, start: u64, pid: Option<i32>) {
        self.starting.remove(&start);
        if let Some(pid) = pid {
            *self.pids.entry(pid).or_default() += 1;
        }
        self.change();
    }

    fn leave(&mut self, pid: i32) {
        if let Some(count) = self.pids.get_mut(&pid) {
            *count -= 1;
            if *count == 0 {
                self.pids.remove(&pid);
            }
        }
        self.change();
    }

    fn change(&mut self) {
        self.changes += 1;
        // A notification is a call to the system, which each command would make twice.
        if std::mem::take(&mut self.is_awaited) {
            CHANGED.notify_all();
        }
    }

    /// Whether a start with a lower number is not over.
    fn is_starting_before(&self, start: u64) -> bool {
        self.starting.first().is_some_and(|first| *first < start)
    }
}

/// A child of kq's own: drop it once the child was waited for.
#[derive(Debug)]
pub(crate) struct Own {
    pid: i32,
}

/// Starts a child: whatever kq starts, it starts by this. `pid` is asked for the number of what was started.
pub(crate) fn start<T>(
    spawn: impl FnOnce() -> io::Result<T>,
    pid: impl FnOnce(&T) -> i32,
) -> io::Result<(T, Own)> {
    let start = Table::with(Table::begin);
    let spawned = spawn().map(|child| {
        let pid = pid(&child);
        (child, pid)
    });
    let entered = spawned.as_ref().ok().map(|(_, pid)| *pid);
    Table::with(|table| table.end(start, entered));
    spawned.map(|(child, pid)| (child, Own { pid }))
}

impl Drop for Own {
    fn drop(&mut self) {
        Table::with(|table| table.leave(self.pid));
    }
}

/// Those of these children, which were listed just now, that kq did not start; none where a start hangs.
pub(super) fn foreign(listed: &[i32]) -> Vec<Seen> {
    let unknown = |table: &Table, pids: &mut dyn Iterator<Item = i32>| -> Vec<i32> {
        pids.filter(|pid| !table.pids.contains_key(pid)).collect()
    };
    let (suspects, next) = Table::with(|table| (unknown(table, &mut listed.iter().copied()), table.next));
    // Mostly there are none.
    let suspects: Vec<Seen> = suspects.into_iter().filter_map(Seen::now).collect();
    if suspects.is_empty() || !await_table(PATIENCE, |table| !table.is_starting_before(next)) {
        return Vec::new();
    }
    let unknown = Table::with(|table| unknown(table, &mut suspects.iter().map(|suspect| suspect.pid)));
    let is_unknown = |suspect: &Seen| unknown.contains(&suspect.pid);
    // A child of kq's own may have left the table since it was listed. Then it has been waited for, and is gone.
    suspects
        .into_iter()
        .filter(is_unknown)
        .filter(|suspect| Seen::now(suspect.pid) == Some(*suspect))
        .collect()
}

/// How many children were entered and left so far.
pub(super) fn changes() -> u64 {
    Table::with(|table| table.changes)
}

/// Waits until there are more changes than `seen`, for this long at most.
pub(super) fn await_change(seen: u64, timeout: Duration) {
    await_table(timeout, |table| table.changes != seen);
}

/// Waits until this holds, for so long at most. Says whether it does.
fn await_table(timeout: Duration, holds: impl Fn(&Table) -> bool) -> bool {
    let until = Instant::now() + timeout;
    let mut locked = TABLE.lock();
    loop {
        let table = locked.get_or_insert_default();
        if holds(table) {
            return true;
        }
        table.is_awaited = true;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        locked = CHANGED.wait_for(locked, left);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::process::{Child, Command};
    use std::sync::mpsc;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    fn pid(child: &Child) -> i32 {
        child.id() as i32
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn is_foreign(pid: i32) -> bool {
        foreign(&[pid]).iter().any(|seen| seen.pid == pid)
    }

    #[test]
    fn what_was_not_started_here_is_foreign_and_what_was_is_not() {
        let other = sleeper();
        let (own, entry) = start(|| Ok(sleeper()), pid).unwrap();
        assert!(is_foreign(pid(&other)));
        assert!(!is_foreign(pid(&own)));
        let number = pid(&own);
        end(own);
        drop(entry);
        assert!(!is_foreign(number), "it is gone");
        end(other);
    }

    #[test]
    fn a_number_that_is_entered_twice_stays_until_both_have_left() {
        let child = sleeper();
        let [first, second] = [(); 2].map(|()| start(|| Ok(()), |()| pid(&child)).unwrap().1);
        drop(first);
        assert!(!is_foreign(pid(&child)));
        drop(second);
        assert!(is_foreign(pid(&child)));
        end(child);
    }

    #[test]
    fn a_start_that_failed_is_over() {
        let child = sleeper();
        assert!(start(|| Err::<(), _>(io::ErrorKind::NotFound.into()), |()| pid(&child)).is_err());
        assert!(is_foreign(pid(&child)));
        end(child);
    }

    #[test]
    fn a_child_that_is_being_started_is_not_taken_for_a_foreign_one() {
        let (sender, started) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let starting = scope.spawn(move || {
                let spawn = || {
                    let child = sleeper();
                    sender.send(pid(&child)).unwrap();
                    may_go.recv().unwrap();
                    Ok(child)
                };
                start(spawn, pid).unwrap()
            });
            let number = started.recv().unwrap();
            let looking = scope.spawn(move || is_foreign(number));
            // Whichever comes first.
            go.send(()).unwrap();
            assert!(!looking.join().unwrap());
            let (child, _own) = starting.join().unwrap();
            end(child);
        });
    }

    #[test]
    fn a_change_ends_the_waiting() {
        let seen = changes();
        let entry = start(|| Ok(()), |()| -1).unwrap().1;
        await_change(seen, Duration::from_mins(10));
        drop(entry);
    }
}
