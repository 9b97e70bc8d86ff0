//! A broker whose `offset.metadata.max.bytes` is lower than Kafka's default. Started by tests/kafka/run.

use crate::cluster;
use crate::support::numbers;

#[test]
fn a_worker_commits_its_offsets_without_metadata_and_says_so_once() {
    let cluster = cluster();
    let topic = cluster.topic("low-metadata");
    cluster.kq(["topic", "create", &topic, "--partitions", "1"]).run().success();
    cluster.kq(["produce", &topic]).stdin(numbers(0, 1500)).run().success();
    // Every other record of the first half is open: its bitmap does not fit into a hundred bytes.
    let handler = "import json, sys
for line in sys.stdin:
    record = json.loads(line)
    is_open = record['offset'] % 2 == 1 and record['offset'] < 1000
    answer = {'retry_ms': 60000} if is_open else {'ok': True}
    print(json.dumps({'id': record['id'], **answer}), flush=True)
";
    let worker = |flags: &[&str]| {
        let worker = cluster.kq(["worker", &topic, "-j", "1", "--persistent", "-v"]).args(flags);
        worker.args(["--on-failure", "retry", "--window", "64", "--", "python3", "-c", handler]).spawn()
    };
    let first = worker(&[]);
    first.wait_for_stderr("offset.metadata.max.bytes");
    first.wait_for_stderr(&format!("{topic}[0]@1499: done"));
    first.terminate();
    let output = first.wait().success().stderr_has("999 done records will run again");
    assert_eq!(output.stderr.matches("offset.metadata.max.bytes").count(), 1, "{output}");
    // A worker that is told only when its partitions go: the offset arrives all the same.
    let second = worker(&["--commit-interval", "1m"]);
    second.wait_for_stderr(&format!("{topic}[0]@1499: done"));
    second.terminate();
    second.wait().success().stderr_has("999 done records will run again");
    let rest = cluster.kq(["worker", &topic, "-e", "-j", "1", "--", "true"]).run();
    rest.success().stderr_has("kq: 1499 done in");
}
