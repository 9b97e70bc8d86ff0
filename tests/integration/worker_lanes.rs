//! Records that hold back their own lane only: what is stuck stops nothing else.

use std::time::Duration;

use super::worker_seeing::{address, scrape};
use crate::support::{Cluster, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_key_that_is_retried_for_ever_stops_no_other_partition() {
    let cluster = Cluster::get();
    let topic = cluster.create("hot", 2);
    let produce = |partition: &str, key: &str, lines: String| {
        cluster.kq(["produce", &topic, "-p", partition, "-k", key]).stdin(lines).run().success();
    };
    produce("0", "hot", "x\n".repeat(20_000));
    let flags = ["worker", &topic, "-j", "2", "--metrics", "127.0.0.1:0", "--backoff", "100ms..200ms"];
    let script = "[ $KQ_RECORD_PARTITION = 1 ] && cat";
    let worker = cluster.kq(flags).args(["--on-failure", "retry", "--", "sh", "-c", script]).spawn();
    let address = address(&worker);
    wait_until("a queue that can take no more of the key", LONG, || {
        scrape(&address)["kq_worker_queued_records"] >= 4000.0
    });
    for round in 1..4 {
        produce("1", "cool", "y\n".repeat(50));
        worker.wait_until_stdout("the other partition's records", |out| out.len() == 50 * round);
    }
    worker.terminate();
    worker.wait().success();
}
