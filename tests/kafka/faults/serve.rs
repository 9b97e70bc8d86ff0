//! `kq serve` while brokers are killed or stopped, or lack a copy. These cases run alone, as those of `outages`.

use std::time::{Duration, Instant};

use super::brokers::Brokers;
use super::lab::{LONG, create, row, sized};
use crate::support::serve::{Serve, stored, wait_for_status};
use crate::support::serve_load::{Load, Tally, judge};
use crate::support::{Cluster, wait_until};

/// What is done to the leader of a partition.
#[derive(Clone, Copy)]
enum Fault {
    Kill,
    Stop,
}

/// Takes the leader of a partition away under load, for longer than the cluster needs to notice.
fn leader_away(name: &str, fault: Fault) {
    let began = Instant::now();
    let mut brokers = Brokers::get();
    let cluster = Cluster::get();
    let topic = cluster.topic("fault");
    // Each broker leads one of its partitions.
    create(&cluster, &topic, 3, &[]);
    let serve = Serve::start(&cluster, [&topic]);
    let load = Load::start(serve.address(), &topic, 8);
    load.wait_for(300);
    let victim = brokers.leader(&topic, 0);
    match fault {
        Fault::Kill => brokers.kill(victim),
        Fault::Stop => brokers.stop(victim),
    }
    std::thread::sleep(Duration::from_secs(sized(12, 60)));
    load.wait_for(100);
    brokers.heal();
    load.wait_for(300);
    let sent = load.end();
    serve.end();
    let tally = judge(&sent, &stored(&cluster, &topic));
    // A broker that is back may not know the topic at first: 502, and nothing was sent.
    assert!(tally.refused.keys().all(|status| [502, 503, 504].contains(status)), "{tally:?}");
    for answer in sent.iter().filter_map(|sent| sent.answer.as_ref()).filter(|answer| answer.status == 502) {
        assert_eq!(answer.json()["outcome"], "not_sent", "{answer:?}");
    }
    assert_eq!(tally.unanswered, 0, "{tally:?}");
    pass(name, "no 200 lost, nothing twice", &tally, began);
}

/// A line of the table.
fn pass(name: &str, required: &str, tally: &Tally, began: Instant) {
    let mut refused: Vec<_> = tally.refused.iter().collect();
    refused.sort();
    let refused: String = refused.iter().map(|(status, count)| format!(", {count} of {status}")).collect();
    row(name, required, &format!("{} of 200{refused}", tally.accepted), "0 of 0", began);
}

#[test]
fn serve_leader_killed() {
    leader_away("serve: leader killed", Fault::Kill);
}

#[test]
#[ignore = "a minute: tests/kafka/run faults"]
fn serve_leader_stopped() {
    leader_away("serve: leader stopped (SIGSTOP)", Fault::Stop);
}

#[test]
#[ignore = "a minute, where the stopped broker was the controller: tests/kafka/run faults"]
fn serve_without_enough_copies_in_sync_sends_nothing() {
    let began = Instant::now();
    let mut brokers = Brokers::get();
    let cluster = Cluster::get();
    let topic = cluster.topic("fault");
    create(&cluster, &topic, 1, &["min.insync.replicas=3"]);
    let serve = Serve::start(&cluster, [topic.as_str(), "--delivery-timeout", "3s"]);
    // Three copies take a moment at first. What is unknown then may be there as well.
    let mut unknown = 0;
    wait_for_status(
        "a first record",
        200,
        || serve.json(&topic, "{\"id\":900000000}"),
        |answer| unknown += usize::from(answer.status == 504),
    );
    let before = unknown;
    let leader = brokers.leader(&topic, 0);
    let other = (1..=3).find(|broker| *broker != leader).expect("another broker");
    brokers.stop(other);
    wait_until("a copy is out of sync", 3 * LONG, || {
        brokers.in_sync(&topic).is_some_and(|copies| copies < 3)
    });
    // The leader refuses what comes before it writes anything. What it wrote before it knew of the lost copy stays
    // there, and is unknown.
    for n in 1..4 {
        let answer = serve.json(&topic, format!("{{\"id\":{}}}", 900_000_000 + n));
        if answer.status == 504 {
            answer.refused(504, "unknown");
            unknown += 1;
        } else {
            answer.refused(503, "not_sent");
        }
    }
    let load = Load::start(serve.address(), &topic, 4);
    std::thread::sleep(Duration::from_secs(4));
    brokers.heal();
    load.wait_for(100);
    let sent = load.end();
    serve.end();
    let stored = stored(&cluster, &topic);
    let (by_hand, of_load): (Vec<_>, Vec<_>) =
        stored.into_iter().partition(|record| record.text().starts_with("{\"id\":90000000"));
    assert!((1..=1 + unknown).contains(&by_hand.len()), "{unknown} unknown: {by_hand:?}");
    assert!(unknown - before < 3, "all of them");
    let tally = judge(&sent, &of_load);
    pass("serve: min ISR lost", "503 or 504, then 200", &tally, began);
}
