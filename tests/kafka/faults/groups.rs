//! Members that come, go, are fenced, or share partitions in another way.

use std::time::Duration;

use super::lab::{Case, LONG, running_of, sized};
use crate::support::{Running, wait_until};

/// A rebalance is noticed soon.
const QUICK: [&str; 2] = ["-X", "heartbeat.interval.ms=300"];

/// Sends, in parts, while a second worker joins and leaves so many times.
fn come_and_go(case: &mut Case, times: usize, start: impl Fn(&Case) -> Running) {
    let first = start(case);
    first.wait_for_stderr("assigned:");
    for _ in 0..times {
        case.send(60, 20);
        let second = start(case);
        second.wait_for_stderr("assigned:");
        case.send(60, 20);
        case.end(second);
    }
    case.wait_for_all();
    case.end(first);
}

#[test]
fn a_revoke_during_short_handlers_repeats_nothing() {
    let mut case = Case::new("revoke during a short handler, --order partition", "no duplicate", 4, &[]);
    come_and_go(&mut case, 2, |case| {
        let flags = [&QUICK[..], &["-j", "4", "--order", "partition"]].concat();
        case.one_shot(&flags).env("PAUSE", "0.1").spawn()
    });
    case.pass(0, "");
}

#[test]
fn a_revoke_during_a_long_handler_waits_for_it() {
    let mut case = Case::new("revoke during a long handler, within --drain", "no duplicate", 2, &[]);
    let start = |case: &Case| case.one_shot(&[&QUICK[..], &["-j", "8"]].concat()).env("PAUSE", "3").spawn();
    // Hardly two of one key: none waits, and nothing is done ahead of it.
    case.send(10, 1_000_000);
    let first = start(&case);
    wait_until("handlers run", LONG, || running_of(&case.group).len() >= 4);
    let second = start(&case);
    second.wait_for_stderr("assigned:");
    case.wait_for_all();
    case.end(second);
    case.end(first);
    case.pass(0, "");
}

#[test]
fn a_handler_longer_than_the_drain_is_ended_and_its_record_runs_elsewhere() {
    let mut case = Case::new("revoke during a handler longer than --drain", "TERM; nothing lost", 2, &[]);
    let flags = [&QUICK[..], &["-j", "8", "--drain", "500ms", "-X", "session.timeout.ms=6000"]].concat();
    // Enough that both partitions have some.
    case.send(24, 24);
    let first = case.one_shot(&flags).env("PAUSE", "60").spawn();
    wait_until("handlers run", LONG, || running_of(&case.group).len() >= 2);
    let second = case.one_shot(&flags).spawn();
    second.wait_for_stderr("assigned:");
    case.wait_for_more(1);
    first.kill();
    case.wait_for_all();
    case.end(second);
    case.pass(0, "");
}

#[test]
fn a_persistent_handler_longer_than_the_drain_is_ended() {
    let mut case = Case::new("the same, persistent", "TERM; nothing lost; what runs may repeat", 2, &[]);
    let flags = [&QUICK[..], &["-j", "1", "--window", "2", "--drain", "500ms"]].concat();
    case.send(20, 20);
    let first = case.persistent(&flags).env("PAUSE", "8").spawn();
    wait_until("the handler runs", LONG, || !running_of(&case.group).is_empty());
    let second = case.persistent(&flags).spawn();
    second.wait_for_stderr("assigned:");
    case.wait_for_more(3);
    first.terminate();
    case.wait_for_all();
    // Something may be given up on the way out, too.
    first.wait();
    case.end(second);
    case.pass(2 * 2, "");
}

#[test]
fn one_partition_goes_back_and_forth() {
    let mut case = Case::new("rapid revoke and assign of one partition", "no duplicate", 2, &[]);
    let times = sized(5, 15);
    come_and_go(&mut case, times, |case| {
        let flags = [&QUICK[..], &["-j", "4", "--max-span", "10"]].concat();
        case.one_shot(&flags).env("PAUSE", "0.02").spawn()
    });
    // One key waits while others go on: what was done ahead of it goes along with the partition.
    case.pass(0, &format!("{times} times"));
}

#[test]
fn one_partition_goes_back_and_forth_between_persistent_workers() {
    let mut case = Case::new("the same, persistent, --order partition", "no duplicate", 2, &[]);
    let times = sized(4, 10);
    come_and_go(&mut case, times, |case| {
        let flags = [&QUICK[..], &["-j", "2", "--order", "partition"]].concat();
        case.persistent(&flags).env("PAUSE", "0.005").spawn()
    });
    case.pass(0, &format!("{times} times"));
}

#[test]
fn a_fenced_static_member_ends_with_76_and_kills_what_it_ran() {
    let mut case = Case::new("fenced static member", "status 76, handlers killed", 2, &[]);
    case.send(40, 20);
    let flags = [&QUICK[..], &["-j", "4", "--instance-id", "the-one"]].concat();
    let first = case.one_shot(&flags).env("PAUSE", "30").spawn();
    wait_until("handlers run", LONG, || running_of(&case.group).len() >= 2);
    let second = case.one_shot(&flags).spawn();
    first.wait().status(76);
    case.wait_for_all();
    case.end(second);
    case.pass(0, "76");
}

#[test]
fn a_member_that_speaks_range_only() {
    let mut case = Case::new(
        "a member that speaks range only",
        "named where it can't join; with --assignor range no duplicate",
        4,
        &[],
    );
    // kcat's balanced consumer offers range and roundrobin.
    let other = case.cluster.kcat(["-X", "session.timeout.ms=2000", "-G", &case.group, &case.topic]);
    let other = other.limit(LONG).spawn();
    other.wait_for_stderr("assigned:");
    let refused = case.one_shot(&QUICK).limit(Duration::from_mins(1)).run().status(2);
    refused.stderr_has("--assignor range");
    other.kill();
    come_and_go(&mut case, 2, |case| {
        let flags = [&QUICK[..], &["-j", "4", "--assignor", "range", "--order", "partition"]].concat();
        case.one_shot(&flags).env("PAUSE", "0.02").spawn()
    });
    case.pass(0, "refused with a hint");
}
