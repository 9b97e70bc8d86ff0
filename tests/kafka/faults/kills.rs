//! `kill -9` of kq at random times, and a restart: nothing lost, little repeated, nothing left running.

use std::time::Duration;

use super::lab::{Case, sized};
use crate::support::Running;

/// How often the worker does not live long enough to hand out a record.
const AT_ONCE: u64 = 5;

/// Kills one of `members` workers and starts it again, so many times. `jobs` bounds what runs in one.
fn kill(mut case: Case, members: usize, kills: u64, jobs: usize, start: impl Fn(&Case, usize) -> Running) {
    let mut allowed = 0;
    case.send(200, 40);
    let mut workers: Vec<Running> = (0..members).map(|member| start(&case, member)).collect();
    for _ in 0..kills {
        case.send(60, 40);
        if case.random.below(AT_ONCE) > 0 {
            case.wait_for_more(1);
        }
        // The time itself is what is tried.
        std::thread::sleep(Duration::from_millis(case.random.below(1200)));
        let member = case.random.below(members as u64) as usize;
        workers.remove(member).kill();
        // Counted when nothing of it can be appended any more but by others.
        allowed += case.uncommitted() + jobs;
        if members == 1 {
            case.leaves_nothing_running();
        }
        workers.insert(member, start(&case, member));
    }
    case.wait_for_all();
    case.wait_for_no_lag();
    for worker in workers {
        case.end(worker);
    }
    case.pass(allowed, &format!("{kills} kills"));
}

/// A member that died is thrown out after this.
const SESSION: [&str; 4] = ["-X", "session.timeout.ms=2000", "-X", "heartbeat.interval.ms=300"];

#[test]
fn of_a_static_member() {
    let case = Case::new(
        "kill -9, one process a record, static member",
        "nothing lost, order kept, no orphan",
        2,
        &[],
    );
    kill(case, 1, sized(4, 20), 4, |case, _| {
        let flags = [&SESSION[..], &["-j", "4", "--instance-id", "the-one"]].concat();
        case.one_shot(&flags).env("PAUSE", "0.02").spawn()
    });
}

#[test]
fn of_a_persistent_worker() {
    let case =
        Case::new("kill -9, persistent, dynamic member", "nothing lost, order kept, no orphan", 2, &[]);
    kill(case, 1, sized(3, 15), 2 * 8, |case, _| {
        let flags = [&SESSION[..], &["-j", "2", "--window", "8"]].concat();
        case.persistent(&flags).env("PAUSE", "0.01").spawn()
    });
}

#[test]
fn of_a_worker_in_batches() {
    let case = Case::new("kill -9, batches", "nothing lost, order kept, no orphan", 2, &[]);
    kill(case, 1, sized(3, 15), 2 * 20, |case, _| {
        let flags = [&SESSION[..], &["-j", "2", "--batch", "20"]].concat();
        case.batches(&flags).env("PAUSE", "0.05").spawn()
    });
}

#[test]
fn of_one_of_two_workers_in_batches() {
    let case = Case::new("kill -9, batches, one of two workers", "nothing lost, order kept", 4, &[]);
    kill(case, 2, sized(2, 15), 4 * 20, |case, _| {
        let flags = [&SESSION[..], &["-j", "4", "--batch", "20"]].concat();
        case.batches(&flags).env("PAUSE", "0.05").spawn()
    });
}

#[test]
fn of_one_of_two_workers() {
    let case = Case::new("kill -9, one of two workers", "nothing lost, order kept", 4, &[]);
    kill(case, 2, sized(3, 15), 4, |case, _| {
        let flags = [&SESSION[..], &["-j", "4"]].concat();
        case.one_shot(&flags).env("PAUSE", "0.02").spawn()
    });
}
