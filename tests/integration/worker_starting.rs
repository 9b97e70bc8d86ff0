//! Commands that can't be started: for now, for good, or with so much in their environment.

use std::fs;
use std::path::Path;

use crate::support::Cluster;

#[test]
fn a_command_that_cannot_be_started_for_now_is_tried_again_and_spends_no_attempt() {
    let cluster = Cluster::get();
    let topic = cluster.create("busy", 1);
    cluster.kq(["produce", &topic]).stdin("a\nb\n").run().success();
    let worker = cluster.kq(["worker", &topic, "-e", "--retries", "0", "--", "./handler"]);
    let handler = worker.script("handler", "#!/bin/sh\necho $KQ_RECORD_ATTEMPT\n");
    // ETXTBSY: who deploys a command writes to it for a moment.
    let written = fs::File::options().append(true).open(&handler).unwrap();
    let worker = worker.spawn();
    worker.wait_for_stderr("its file is being written, so it is tried again");
    drop(written);
    worker.wait().success().stdout("1\n1\n");
}

#[test]
fn a_record_whose_variables_are_too_much_for_exec_goes_without_the_long_ones() {
    let cluster = Cluster::get();
    let topic = cluster.create("big", 1);
    let header = format!("h={}", "x".repeat(60_000));
    cluster.kq(["produce", &topic, "-k", &"k".repeat(20_000), "-H", &header]).stdin("a\n").run().success();
    let script =
        "echo ${KQ_RECORD_TRUNCATED-whole} ${KQ_RECORD_KEY-none} ${KQ_RECORD_HEADERS-none} $KQ_RECORD_ID";
    let line = format!("ulimit -s 1024; exec kq worker {topic} -e -- sh -c '{script}'");
    let worker = cluster.program("sh", ["-c", &line]);
    // A quarter of the stack's limit is what exec takes in all.
    let ran = ["PADDING", "MORE"].into_iter().fold(worker, |run, name| run.env(name, "p".repeat(90_000)));
    ran.run().success().stdout(format!("1 none none {topic}/0/0\n"));
}

#[test]
fn a_pattern_is_a_regular_expression_of_kqs_own() {
    let cluster = Cluster::get();
    let name = cluster.create("pattern", 1);
    let pattern = format!(r"^{name}\d*$");
    cluster.kq(["produce", &name]).stdin("a\n").run().success();
    cluster.kq(["worker", &pattern, "-g", "g", "-e", "--", "cat"]).run().success().stdout("a");
}

#[test]
fn a_blank_command_is_refused() {
    let cluster = Cluster::get();
    let topic = cluster.create("blank", 1);
    for command in [["--shell", " "], ["--", ""]] {
        cluster.kq(["worker", &topic]).args(command).run().status(78).stderr_has("is empty");
    }
}

#[test]
fn ca_certificates_that_are_too_long_for_a_variable_are_left_out_with_a_note() {
    let cluster = Cluster::get();
    let topic = cluster.create("long_ca", 1);
    cluster.kq(["produce", &topic]).stdin("a\nb\n").run().success();
    let names = r#"echo "$KQ_X" | grep -o "^ssl\.[a-z.]*=\|,ssl\.[a-z.]*=""#;
    let worker =
        cluster.kq(["worker", &topic, "-e", "--pass-credentials", "-F", "f", "--", "sh", "-c", names]);
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name);
        fs::read_to_string(path).unwrap()
    };
    let properties = format!(
        "security.protocol=PLAINTEXT\nssl.ca.pem={}\nssl.certificate.pem={}\nssl.key.pem={}\n",
        fixture("ca.pem").repeat(100),
        fixture("client.pem"),
        fixture("client.key")
    );
    worker.file("f", properties);
    let run = worker.run().success().stdout("ssl.certificate.pem=\n,ssl.key.pem=\n".repeat(2));
    assert_eq!(run.stderr.matches("the CA certificates are too long").count(), 1, "{}", run.stderr);
}

/// A copy of the page tables costs 50 ms where kq holds a gibibyte, and a hook between fork and exec,
/// another user or a PATH of the command's own would each bring it.
#[test]
#[ignore = "needs strace: cargo test --test integration worker_starting:: -- --ignored"]
fn no_command_starts_with_a_copy_of_this_process() {
    let cluster = Cluster::get();
    let topic = cluster.create("traced", 1);
    cluster.kq(["produce", &topic]).stdin("a\nb\nc\n").run().success();
    for (group, flags, commands) in
        [("each", &["--pass-credentials"][..], 3), ("stays", &["--persistent", "-j", "1"], 1)]
    {
        let traced = ["-f", "-qq", "-e", "trace=process", "-e", "signal=none", env!("CARGO_BIN_EXE_kq")];
        let worker = ["worker", &topic, "-e", "-q", "-g", group];
        // An answer of --persistent, too.
        let handler = ["--", "sed", "-u", r#"s/^{"id":\([0-9]*\).*/{"id":\1,"ok":true}/"#];
        let run = cluster.program("strace", [&traced[..], &worker, flags, &handler].concat()).run().success();
        let starts = |line: &&str| {
            ["clone", "fork(", "vfork("].iter().any(|call| line.contains(call))
                && !line.contains("CLONE_THREAD")
                && !line.contains(" resumed>")
        };
        let started: Vec<&str> = run.stderr.lines().filter(starts).collect();
        // And the orphan guard.
        assert_eq!(started.len(), commands + 1, "{started:#?}");
        for line in started {
            assert!(line.contains("CLONE_VM|CLONE_VFORK") || line.contains("vfork("), "{line}");
        }
    }
}

#[test]
fn a_command_gets_the_file_descriptors_that_kq_was_started_with_and_none_of_its_own() {
    let cluster = Cluster::get();
    let topic = cluster.create("descriptors", 1);
    cluster.kq(["produce", &topic]).stdin("a\n").run().success();
    let answer = r#"read -r line; line=${line#*:}; echo "{\"id\":${line%%,*},\"ok\":true}""#;
    for (group, flags, rest) in [("once", "", "cat"), ("stays", "--persistent", answer)] {
        let list = "ls /proc/self/fd >&7";
        let worker = format!("kq worker {topic} -e -q -g {group} {flags} -- sh -c '{list}; {rest}'");
        let line = format!("exec 7>expected; sh -c '{list}; :'; exec 7>listed; exec {worker}");
        let ended = cluster.program("bash", ["-c", &line]).run().success();
        let read = |name: &str| fs::read_to_string(ended.dir().join(name)).unwrap();
        assert_eq!(read("listed"), read("expected"), "{group}");
        assert!(read("expected").contains("7\n"));
    }
}
