//! Brokers that are killed or stopped. These cases run alone: no other case could pass meanwhile.

use std::time::{Duration, Instant};

use super::brokers::Brokers;
use super::lab::{Case, LONG, ONE_SHOT, create, running_of, sized};
use super::watch::{client, committed};
use crate::support::{Cluster, Output, Running, wait_for, wait_until};

/// What is done to a broker.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Kill,
    Stop,
}

/// Which broker it is done to.
#[derive(Clone, Copy)]
struct Role {
    leader: bool,
    coordinator: bool,
}

/// How long one broker is away: longer than it takes the cluster to notice.
fn away() -> Duration {
    Duration::from_secs(sized(12, 60))
}

/// A send is given up sooner than by default, and the next one follows.
const GIVES_UP: [&str; 2] = ["-X", "message.timeout.ms=10000"];

/// Takes one broker away for a while, with a producer and a worker going on. Gives the values that
/// were sent, and what the worker said.
fn one_broker(
    name: &'static str,
    fault: Fault,
    role: Role,
    start: impl Fn(&Case) -> Running,
) -> (Vec<u64>, Output) {
    let mut brokers = Brokers::get();
    let cluster = Cluster::get();
    let (mut topic, mut group) = (cluster.topic("fault"), cluster.topic("group"));
    // Each broker leads one of its partitions.
    create(&cluster, &topic, 3, &[]);
    let mut partitions = 3;
    let victim = brokers.coordinator(&group);
    if !role.coordinator {
        group = another(&cluster, |group| brokers.coordinator(group) != victim);
    }
    if !role.leader {
        partitions = 1;
        topic = another(&cluster, |topic| {
            create(&cluster, topic, 1, &[]);
            brokers.leader(topic, 0) != victim
        });
    }
    let mut case = Case::of(name, "goes on; nothing lost, order kept", cluster, topic, partitions, group);
    case.send(100, 20);
    let worker = start(&case);
    case.wait_for_more(20);
    match fault {
        Fault::Kill => brokers.kill(victim),
        Fault::Stop => brokers.stop(victim),
    }
    let since = Instant::now();
    while since.elapsed() < away() {
        case.send(20, 20);
        std::thread::sleep(Duration::from_millis(500));
    }
    brokers.heal();
    case.send(50, 20);
    case.wait_for_all();
    case.wait_for_no_lag();
    let output = case.end(worker);
    let sent = values(&case.cluster, &case.topic);
    case.pass(0, &format!("away {} s", away().as_secs()));
    (sent, output)
}

/// The numbers that lie in a topic, in their order.
fn values(cluster: &Cluster, topic: &str) -> Vec<u64> {
    let records = cluster.kcat(["-C", "-t", topic, "-e", "-q", "-f", "%s\n"]).run().success();
    let number = |line: &str| line.parse().unwrap_or_else(|_| panic!("not a number: {line:?}"));
    let mut values: Vec<u64> = records.text().lines().map(number).collect();
    values.sort_unstable();
    values
}

/// Demands that each of the values came out, and once, but for sends that were given up and made again.
#[track_caller]
fn came_out(sent: &[u64], mut outputs: Vec<u64>, worker: &Output) {
    let again = worker.stderr.matches("trying again").count();
    let all = outputs.len();
    outputs.dedup();
    assert_eq!(outputs, sent, "each output once\n{worker}");
    assert!(all <= sent.len() + again, "{all} outputs of {}, {again} sent again\n{worker}", sent.len());
}

/// The handler, which prints the value, too.
fn printing() -> String {
    format!("{ONE_SHOT}printf %s \"$v\"")
}

/// A name that will do.
fn another(cluster: &Cluster, mut will_do: impl FnMut(&str) -> bool) -> String {
    let mut names = (0..100).map(|_| cluster.topic("fault"));
    names.find(|name| will_do(name)).expect("a name that will do")
}

fn one_shot(case: &Case) -> Running {
    case.one_shot(&["-j", "4"]).env("PAUSE", "0.02").spawn()
}

fn persistent(case: &Case) -> Running {
    case.persistent(&["-j", "2"]).env("PAUSE", "0.01").spawn()
}

#[test]
fn leader_and_coordinator_killed() {
    let role = Role { leader: true, coordinator: true };
    one_broker("leader and coordinator killed", Fault::Kill, role, one_shot);
}

#[test]
#[ignore = "a minute: tests/kafka/run faults"]
fn leader_and_coordinator_stopped() {
    let role = Role { leader: true, coordinator: true };
    one_broker("leader and coordinator stopped (SIGSTOP), persistent", Fault::Stop, role, persistent);
}

#[test]
#[ignore = "a minute: tests/kafka/run faults"]
fn leader_killed() {
    one_broker("leader killed", Fault::Kill, Role { leader: true, coordinator: false }, one_shot);
}

#[test]
#[ignore = "a minute: tests/kafka/run faults"]
fn leader_stopped() {
    one_broker("leader stopped", Fault::Stop, Role { leader: true, coordinator: false }, one_shot);
}

#[test]
#[ignore = "a minute: tests/kafka/run faults"]
fn coordinator_killed() {
    one_broker("coordinator killed", Fault::Kill, Role { leader: false, coordinator: true }, one_shot);
}

#[test]
#[ignore = "a minute: tests/kafka/run faults"]
fn coordinator_stopped() {
    one_broker("coordinator stopped", Fault::Stop, Role { leader: false, coordinator: true }, one_shot);
}

#[test]
#[ignore = "a minute: tests/kafka/run faults"]
fn a_leader_of_the_output_killed() {
    let role = Role { leader: true, coordinator: true };
    let cluster = Cluster::get();
    let outputs = cluster.topic("output");
    // Each broker leads one of its partitions, too.
    create(&cluster, &outputs, 3, &[]);
    let name = "--output-topic, leader and coordinator killed";
    let (sent, worker) = one_broker(name, Fault::Kill, role, |case| {
        let flags = ["-j", "4", "--output-topic", &outputs, "--shell", &printing()];
        case.worker(&flags).env("PAUSE", "0.02").spawn()
    });
    came_out(&sent, values(&cluster, &outputs), &worker);
}

#[test]
#[ignore = "half a minute: tests/kafka/run faults"]
fn a_worker_starts_while_a_leader_hangs() {
    let mut brokers = Brokers::get();
    let name = "a worker starts while a leader hangs";
    let mut case = Case::new(name, "begins, now or later; nothing lost", 3, &[]);
    case.send(100, 20);
    let coordinator = brokers.coordinator(&case.group);
    let victim = (0..3).map(|partition| brokers.leader(&case.topic, partition));
    let victim = victim.into_iter().find(|broker| *broker != coordinator).expect("a broker of three");
    brokers.stop(victim);
    let worker = one_shot(&case);
    case.wait_for_all();
    brokers.heal();
    case.end(worker);
    case.pass(0, "");
}

/// TERM while all brokers are away and handlers run: ends within `--shutdown-timeout` and a second.
fn all_away(name: &'static str, fault: Fault) {
    let mut brokers = Brokers::get();
    let mut case = Case::new(name, "ends within --shutdown-timeout + 1 s", 3, &[]);
    case.send(300, 60);
    let flags = ["-j", "4", "--shutdown-timeout", "7s"];
    // Some handlers end in time to be drained, and their commits go nowhere.
    let worker = case.one_shot(&flags).env("PAUSE", "0.3").spawn();
    case.wait_for_more(10);
    for broker in 1..=3 {
        match fault {
            Fault::Kill => brokers.kill(broker),
            Fault::Stop => brokers.stop(broker),
        }
    }
    // Until what was fetched is worked off or the client has noticed: both ways of ending are tried.
    std::thread::sleep(Duration::from_secs(case.random.below(8)));
    worker.terminate();
    let told = Instant::now();
    let output = worker.wait();
    let took = told.elapsed();
    assert!(took <= Duration::from_secs(8), "TERM, and {took:?} later it ended\n{output}");
    assert!([0, 1, 75].contains(&output.code()), "{output}");
    case.leaves_nothing_running();
    // None of it need have been committed.
    let uncommitted = case.handled();
    brokers.heal();
    case.one_shot(&["-j", "4", "-e"]).run().success();
    let seen = format!("status {} after {:.1} s", output.code(), took.as_secs_f64());
    case.pass(uncommitted, &seen);
}

#[test]
#[ignore = "a minute: tests/kafka/run faults"]
fn all_stopped_then_term() {
    all_away("all brokers stopped, then TERM", Fault::Stop);
}

#[test]
#[ignore = "brokers restart: tests/kafka/run faults"]
fn all_killed_then_term() {
    all_away("all brokers killed, then TERM", Fault::Kill);
}

#[test]
fn dead_letters_wait_until_enough_copies_are_in_sync() {
    let mut brokers = Brokers::get();
    let mut case = Case::new("the DLQ can't be written (min ISR)", "never committed past; then sent", 1, &[]);
    let dlq = case.dlq(&["min.insync.replicas=3"]);
    case.send(30, 1);
    stop_a_copy(&mut brokers, &case, &dlq);
    let script = ONE_SHOT.replacen("read -r v\n", "read -r v\n[ $v != 10 ] || exit 9\n", 1);
    let flags = ["-j", "4", "--retries", "0", "--dlq", &dlq];
    let worker = case.worker(&flags).args(GIVES_UP).args(["--shell", &script]).spawn();
    worker.wait_for_stderr("trying again");
    assert_eq!(case.handled(), 10, "its lane is held");
    assert!(running_of(&case.group).is_empty());
    brokers.heal();
    case.wait_for_no_lag();
    case.end(worker);
    assert_eq!(case.dead(), [(0, 10)]);
    case.pass(0, "");
}

#[test]
#[ignore = "half a minute: tests/kafka/run faults"]
fn outputs_wait_until_enough_copies_are_in_sync() {
    let mut brokers = Brokers::get();
    let name = "--output-topic can't be written (min ISR)";
    let mut case = Case::new(name, "nothing committed; then all of it sent", 1, &[]);
    let outputs = case.cluster.topic("output");
    create(&case.cluster, &outputs, 1, &["min.insync.replicas=3"]);
    case.send(30, 30);
    stop_a_copy(&mut brokers, &case, &outputs);
    let flags = ["-j", "4", "--output-topic", &outputs, "--shell", &printing()];
    let worker = case.worker(&flags).args(GIVES_UP).spawn();
    worker.wait_for_stderr("trying again");
    assert!((1..=4).contains(&case.handled()), "{} handled by 4 jobs", case.handled());
    let client = client(case.cluster.brokers(), &case.group);
    let committed = wait_for("the group's offsets", LONG, || committed(&client, &case.topic, 1));
    assert!(
        committed.values().all(|offset| *offset == 0),
        "committed before an output was acknowledged: {committed:?}"
    );
    brokers.heal();
    case.wait_for_no_lag();
    let worker = case.end(worker);
    came_out(&values(&case.cluster, &case.topic), values(&case.cluster, &outputs), &worker);
    case.pass(0, "");
}

#[test]
#[ignore = "brokers restart: tests/kafka/run faults"]
fn a_log_that_an_unclean_election_cut_is_read_from_where_it_was_cut() {
    let mut brokers = Brokers::get();
    let case = of_two_copies("an unclean election cuts the log", "said; all that is there is handled");
    send(&case, 0..90);
    let worker =
        case.worker(&["-j", "1", "--shell", "echo $KQ_RECORD_OFFSET:$(cat)"]).limit(3 * LONG).spawn();
    worker.wait_for_stdout("89:89");
    let (leader, other) = leave_one_copy(&mut brokers, &case);
    // These are in the leader's log alone.
    send(&case, 90..100);
    worker.wait_for_stdout("99:99");
    let client = client(case.cluster.brokers(), &case.group);
    wait_until("all of it is committed", LONG, || {
        committed(&client, &case.topic, 1).is_some_and(|offsets| offsets.get(&0) == Some(&100))
    });
    elect_the_other(&mut brokers, &case, leader, other);
    // More than were lost, so that the group's offset lies within the log again.
    send(&case, 200..215);
    worker.wait_for_stdout("104:214");
    brokers.heal();
    case.wait_for_no_lag();
    worker.terminate();
    let output = worker.wait();
    has_what_replaced_the_cut(&output);
    let output = output.stderr_has("its log was cut at 90");
    case.pass_unjudged(&format!("status {}; 15 of 15 that replaced what was cut", output.code()));
}

#[test]
#[ignore = "brokers restart: tests/kafka/run faults"]
fn records_in_the_place_of_done_ones_run_after_a_cut_above_the_commit() {
    let mut brokers = Brokers::get();
    let case = of_two_copies("a log is cut above the commit", "what replaced done records runs");
    let script = "[ $KQ_RECORD_OFFSET != 5 ] || [ -e $GO ] || exit 75; echo $KQ_RECORD_OFFSET:$(cat)";
    let go = case.log().with_extension("go");
    let start = || {
        let flags = ["-j", "1", "--on-failure", "retry", "--backoff", "100ms", "--shell", script];
        case.worker(&flags).env("GO", &go).limit(3 * LONG).spawn()
    };
    send(&case, 0..90);
    let worker = start();
    worker.wait_for_stdout("89:89");
    let (leader, other) = leave_one_copy(&mut brokers, &case);
    // These are in the leader's log alone.
    send(&case, 90..100);
    worker.wait_for_stdout("99:99");
    case.end(worker).stderr_lacks("will run again");
    elect_the_other(&mut brokers, &case, leader, other);
    send(&case, 200..215);
    std::fs::write(&go, "").expect("let the open record be done");
    let worker = start();
    worker.wait_for_stdout("104:214");
    worker.wait_for_stdout("5:5");
    brokers.heal();
    case.wait_for_no_lag();
    let output = case.end(worker).stderr_has("kq: 16 done, 84 already done");
    has_what_replaced_the_cut(&output);
    case.pass_unjudged("15 of 15 that replaced what was done; 84 not again");
}

/// A case on one partition with two copies, of which any may become the leader, whatever it lacks.
fn of_two_copies(name: &'static str, required: &'static str) -> Case {
    let cluster = Cluster::get();
    let (topic, group) = (cluster.topic("fault"), cluster.topic("group"));
    let unclean =
        ["--rf", "2", "--config", "unclean.leader.election.enable=true", "--config", "min.insync.replicas=1"];
    cluster.kq(["topic", "create", &topic, "-p", "1"]).args(unclean).limit(LONG).run().success();
    Case::of(name, required, cluster, topic, 1, group)
}

/// Sends these numbers to the case's topic.
fn send(case: &Case, numbers: std::ops::Range<u32>) {
    let lines: String = numbers.map(|n| format!("{n}\n")).collect();
    case.cluster.kq(["produce", &case.topic]).stdin(lines).limit(LONG).run().success();
}

/// Kills the copy that does not lead, and gives the ids of the leader and of that other one: what is sent from here on
/// is in the leader's log alone.
fn leave_one_copy(brokers: &mut Brokers, case: &Case) -> (i32, i32) {
    let leader = brokers.leader(&case.topic, 0);
    let copies = replicas(&case.cluster, &case.topic);
    let other = copies.into_iter().find(|id| *id != leader).expect("another copy");
    brokers.kill(other);
    wait_until("one copy is in sync", LONG, || in_sync(&case.cluster, &case.topic) == Some(1));
    (leader, other)
}

/// Puts the copy that lacks records in the leader's place.
fn elect_the_other(brokers: &mut Brokers, case: &Case, leader: i32, other: i32) {
    brokers.kill(leader);
    brokers.start(other);
    wait_until("the other leads", 2 * LONG, || brokers.leader(&case.topic, 0) == other);
}

/// Demands the records 200 to 214 at the offsets from 90 on.
fn has_what_replaced_the_cut(output: &Output) {
    for n in 0..15 {
        let line = format!("{}:{}", 90 + n, 200 + n);
        assert!(output.lines().contains(&line.as_str()), "{line} is missing\n{output}");
    }
}

/// The brokers that hold partition 0 of a topic.
fn replicas(cluster: &Cluster, topic: &str) -> Vec<i32> {
    let described = cluster.kq(["topic", "describe", topic, "--json"]).run().success();
    let described: serde_json::Value = serde_json::from_str(described.text()).expect("JSON");
    let replicas = described["partitions"][0]["replicas"].as_array().expect("an array");
    replicas.iter().map(|id| id.as_i64().expect("a number") as i32).collect()
}

/// Stops a broker that neither leads nor coordinates, and waits until `topic` lacks its copy.
fn stop_a_copy(brokers: &mut Brokers, case: &Case, topic: &str) {
    let other = [1, 2, 3].into_iter().find(|broker| {
        *broker != brokers.leader(&case.topic, 0) && *broker != brokers.coordinator(&case.group)
    });
    brokers.stop(other.expect("a broker that neither leads nor coordinates"));
    wait_until("a copy is out of sync", LONG, || {
        in_sync(&case.cluster, topic).is_some_and(|copies| copies < 3)
    });
}

/// How many copies of partition 0 of a topic are in sync; `None` where no broker answers.
fn in_sync(cluster: &Cluster, topic: &str) -> Option<usize> {
    let metadata = cluster.kcat(["-L", "-t", topic]).run().success();
    metadata.text().lines().find_map(|line| Some(line.split_once("isrs: ")?.1.split(',').count()))
}
