//! Stops, kills and moves while a record is open: what is done past it runs no second time.

use std::path::PathBuf;

use super::lab::{Case, LONG, ONE_SHOT, sized};
use crate::support::{Kq, Running, wait_until};

/// More than there are records: hardly two have one key, so that none waits for the open one.
const KEYS: u64 = 1 << 40;
/// The open record fails soon again.
const FLAGS: [&str; 6] = ["-j", "4", "--on-failure", "retry", "--backoff", "50ms..200ms"];
/// A rebalance is noticed soon.
const QUICK: [&str; 2] = ["-X", "heartbeat.interval.ms=300"];
/// A member that died is thrown out after this.
const SESSION: [&str; 4] = ["-X", "session.timeout.ms=2000", "-X", "heartbeat.interval.ms=300"];

/// The file without which the first record is not done.
fn go(case: &Case) -> PathBuf {
    case.log().with_extension("go")
}

/// A worker whose first record is not done before [`go`].
fn held_up(case: &Case, flags: &[&str]) -> Kq {
    let script = ONE_SHOT.replacen("read -r v\n", "read -r v\n[ $v != 0 ] || [ -e $GO ] || exit 75\n", 1);
    case.worker(&FLAGS).args(flags).args(["--shell", &script]).env("GO", go(case))
}

/// Sends some more, and waits until all but the first record are handled; `sent` is how many that were.
fn send(case: &mut Case, sent: &mut usize, records: u64) {
    case.send(records, KEYS);
    *sent += records as usize;
    wait_until("all but the open record are handled", 2 * LONG, || case.handled() >= *sent - 1);
}

/// Lets the open record be done, and all of it be committed.
fn finish(case: &Case, worker: Running) {
    std::fs::write(go(case), "").expect("let it be done");
    case.wait_for_all();
    case.wait_for_no_lag();
    case.end(worker);
}

/// A worker ends and the next one begins, again and again.
fn restart(mut case: Case, flags: &[&str]) {
    let (mut sent, rounds) = (0, sized(3, 10));
    for _ in 0..rounds {
        let worker = held_up(&case, flags).spawn();
        send(&mut case, &mut sent, 100);
        case.end(worker).stderr_lacks("will run again");
    }
    let worker = held_up(&case, flags).spawn();
    finish(&case, worker);
    case.pass(0, &format!("{rounds} restarts"));
}

#[test]
fn restarts_with_an_open_record_repeat_nothing() {
    restart(Case::new("restarts with an open record", "no duplicate", 2, &[]), &QUICK);
}

#[test]
fn restarts_with_an_open_record_repeat_nothing_with_the_brokers_protocol() {
    let case = Case::new("the same, --group-protocol consumer", "no duplicate", 2, &[]);
    restart(case, &["--group-protocol", "consumer"]);
}

#[test]
fn partitions_that_move_take_what_is_done_along() {
    let mut case = Case::new("rolling restarts of two, an open record", "no duplicate", 4, &[]);
    let (mut sent, rounds) = (0, sized(2, 8));
    let mut worker = held_up(&case, &QUICK).spawn();
    for _ in 0..rounds {
        send(&mut case, &mut sent, 60);
        let next = held_up(&case, &QUICK).spawn();
        next.wait_for_stderr("assigned:");
        send(&mut case, &mut sent, 60);
        case.end(std::mem::replace(&mut worker, next)).stderr_lacks("will run again");
    }
    finish(&case, worker);
    case.pass(0, &format!("{rounds} rounds"));
}

#[test]
fn a_kill_with_an_open_record_repeats_what_came_since_the_last_commit() {
    let mut case = Case::new("kill -9 with an open record", "duplicates of the last second", 1, &[]);
    let (mut sent, mut allowed, kills) = (0, 0, sized(3, 12));
    for _ in 0..kills {
        let worker = held_up(&case, &SESSION).spawn();
        send(&mut case, &mut sent, 100);
        std::thread::sleep(std::time::Duration::from_millis(case.random.below(1500)));
        worker.kill();
        allowed += case.uncommitted() + 4;
        // What runs again is handled twice, and counts as sent here.
        case.leaves_nothing_running();
        sent = sent.max(case.handled() + 1);
    }
    let worker = held_up(&case, &SESSION).spawn();
    finish(&case, worker);
    case.pass(allowed, &format!("{kills} kills"));
}
