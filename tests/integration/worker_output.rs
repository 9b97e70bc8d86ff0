//! Where a command's output goes: which statuses send it, and what goes along.

use std::path::Path;

use crate::support::{Cluster, Kq};

/// A worker that handles the records up to now, sends what its command prints, and ends.
fn sends(cluster: &Cluster, topic: &str, output: &str, flags: &[&str], script: &str) -> Kq {
    let worker = cluster.kq(["worker", topic, "-e", "--output-topic", output]);
    worker.args(flags).args(["--backoff", "1ms..1ms", "--", "sh", "-c", script])
}

#[test]
fn output_is_sent_where_the_status_means_success() {
    let cluster = Cluster::get();
    let (topic, output) = (cluster.create("map", 1), cluster.create("output", 1));
    cluster.kq(["produce", &topic]).stdin("a\n").run().success();
    let read = || cluster.kq(["consume", &output, "-e"]).run().success();
    sends(&cluster, &topic, &output, &["-g", "skip", "--exit-map", "0=skip"], "cat").run().success();
    sends(&cluster, &topic, &output, &["-g", "fail", "--exit-map", "0=fail"], "cat").run().status(1);
    let retry = ["-g", "retry", "--exit-map", "0=retry", "--retries", "1"];
    sends(&cluster, &topic, &output, &retry, "cat").run().status(1);
    read().stdout("");
    sends(&cluster, &topic, &output, &["-g", "ok", "--exit-map", "3=ok"], "cat; exit 3").run().success();
    read().stdout("a\n");
}

#[test]
fn with_a_newline_at_the_end_of_its_input_cat_sends_each_value_as_it_was() {
    let cluster = Cluster::get();
    let (topic, output) = (cluster.create("bytes", 1), cluster.create("output", 1));
    let records = "{\"value\":\"a\"}\n{\"value\":\"a\\n\"}\n{\"value\":\"\"}\n{\"value\":\"\\n\\n\"}\n\
                   {\"value\":null}\n{\"value_base64\":\"/wAK\"}\n";
    cluster.kq(["produce", &topic, "-J"]).stdin(records).run().success();
    let values = |topic: &str| {
        let form = ["-e", "-f", "%S %s;"];
        cluster.kq(["consume", topic]).args(form).run().success().stdout
    };
    sends(&cluster, &topic, &output, &["-D", "\\n", "-j", "1", "--order", "partition"], "cat")
        .run()
        .success();
    assert_eq!(values(&output), values(&topic));
}

#[test]
fn a_value_that_was_decompressed_loses_its_content_encoding() {
    let cluster = Cluster::get();
    let (topic, output) = (cluster.create("packed", 1), cluster.create("output", 1));
    let produce = |flags: &[&str]| {
        cluster.kq(["produce", &topic, "-H", "h=v"]).args(flags).stdin("value\n").run().success()
    };
    produce(&["--value-codec", "snappy"]);
    let script = "echo $KQ_RECORD_HEADERS >&2; cat";
    let worker = || sends(&cluster, &topic, &output, &["--copy-headers"], script);
    worker().run().success().stderr_has(r#"@0: [["h","v"]]"#);
    cluster
        .kq(["consume", &output, "-e", "--decode", "none", "-f", "%h %s\\n"])
        .run()
        .success()
        .stdout("h=v value\n");
    // One that was not decompressed keeps its header.
    produce(&["-H", "content-encoding=unheard"]);
    worker().run().success().stderr_has(r#"["content-encoding","unheard"]"#);
}

#[test]
fn a_stdout_that_does_not_block_is_waited_for() {
    let cluster = Cluster::get();
    let topic = cluster.create("nonblocking", 1);
    let line = "x".repeat(500_000);
    cluster.kq(["produce", &topic]).stdin(format!("{line}\n")).run().success();
    for command in ["worker -g g -e nonblocking -- cat", "consume -e nonblocking"] {
        let args = command.split(' ').map(|arg| if arg == "nonblocking" { topic.as_str() } else { arg });
        let (mut reader, writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let kq = cluster.kq(args).stdout_to(writer).spawn();
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
        kq.wait().success();
        assert_eq!(read.trim_ascii_end().len(), line.len(), "{command}");
    }
}

/// Bytes on disk of a topic's one partition, in the folder of an embedded broker.
fn stored(data: &Path, topic: &str) -> u64 {
    let log = data.join("topics").join(format!("{topic}-0")).join("00000000000000000000.log");
    std::fs::metadata(log).expect("the log of a partition").len()
}

#[test]
fn what_a_worker_sends_is_compressed_as_what_produce_sends_is() {
    let data = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::embedded_in(data.path());
    let [topic, output, dead] = ["in", "output", "dead"].map(|hint| cluster.create(hint, 1));
    let line = "x".repeat(200_000);
    cluster.kq(["produce", &topic]).stdin(format!("{line}\n")).run().success();
    sends(&cluster, &topic, &output, &["-g", "output"], "cat").run().success();
    let gives_up = ["worker", &topic, "-g", "dead", "-e", "--retries", "0", "--dlq", &dead];
    cluster.kq(gives_up).args(["--", "false"]).run().success();
    let produced = stored(data.path(), &topic);
    assert!(produced < 20_000, "{produced}");
    for (topic, more) in [(output, 0), (dead, 1000)] {
        let size = stored(data.path(), &topic);
        assert!(size <= produced + more, "{topic}: {size} bytes, {produced} by produce");
    }
}

#[test]
fn acks_that_promise_less_are_named() {
    let cluster = Cluster::get();
    let (topic, output) = (cluster.create("map", 1), cluster.create("output", 1));
    sends(&cluster, &topic, &output, &["-g", "g", "-X", "acks=0"], "cat")
        .run()
        .success()
        .stderr_has("--dlq, --output-topic: acks 0: no broker confirms a record, and one may be lost");
}

#[test]
fn output_that_its_topic_refuses_says_why() {
    let cluster = Cluster::get();
    let (topic, output) = (cluster.create("keyless", 1), cluster.topic("compacted"));
    let compacted = ["--config", "cleanup.policy=compact"];
    cluster.kq(["topic", "create", &output, "--partitions", "1"]).args(compacted).run().success();
    cluster.kq(["produce", &topic]).stdin("a\n").run().success();
    let flags = ["-g", "refused", "--shutdown-timeout", "1s"];
    let worker = sends(&cluster, &topic, &output, &flags, "cat").spawn();
    worker.wait_for_stderr("one without a key in a compacted topic (cleanup.policy)");
    worker.terminate();
    worker.wait().status(75).stderr_lacks("validate record");
    sends(&cluster, &topic, &cluster.create("output", 1), &flags, "cat").run().success().stderr_has("1 done");
}
