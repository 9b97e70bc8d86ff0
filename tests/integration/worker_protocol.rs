//! The protocol of `kq worker --persistent`: which id an answer has, what its output becomes, how a process starts and ends.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Cluster, Kq};

/// What a wait is given at most.
const LONG: Duration = Duration::from_secs(45);

fn topic_with(cluster: &Cluster, hint: &str, lines: &str) -> String {
    crate::support::topic_with(cluster, hint, 1, lines)
}

/// A worker of one process that stays, which runs this script.
fn worker(cluster: &Cluster, topic: &str, flags: &[&str], script: &str) -> Kq {
    let kq = cluster.kq(["worker", topic, "--persistent", "-j", "1", "--backoff", "1ms"]);
    kq.args(flags).args(["--", "sh", "-c", script]).limit(LONG)
}

/// The same, which handles the records up to now and ends.
fn once(cluster: &Cluster, topic: &str, flags: &[&str], script: &str) -> Kq {
    worker(cluster, topic, &[&["-e"], flags].concat(), script)
}

/// A handler that notes its start and runs `script` for each record, which sees `$line` and `$id`.
fn each(script: &str) -> String {
    format!("echo >> starts; while IFS= read -r line; do id=${{line#*:}}; id=${{id%%,*}}\n{script}\ndone")
}

/// Answers that a record is done.
const OK: &str = r#"echo "{\"id\":$id,\"ok\":true}""#;

/// A handler whose answers stay in its buffer until its input ends.
const BUFFERED: &str = r#"echo >> starts; answers=
while IFS= read -r line; do
    id=${line#*:}; id=${id%%,*}; echo "got $id" >&2; answers="$answers{\"id\":$id,\"ok\":true}
"
done
printf %s "$answers""#;

fn starts(dir: &Path) -> usize {
    fs::read_to_string(dir.join("starts")).unwrap_or_default().lines().count()
}

#[test]
fn an_id_that_became_a_string_or_a_fraction_counts() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "ids", "a\nb\n");
    for (group, id) in [("string", r#"\"$id\""#), ("fraction", "$id.0")] {
        let script = each(&format!(r#"echo "{{\"id\":{id},\"ok\":true}}""#));
        once(&cluster, &topic, &["-g", group], &script).run().success().stderr_has("2 done");
    }
}

#[test]
fn an_answer_with_an_id_of_no_record_fails_the_oldest_and_the_process_stays() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "strange", "a\nb\nc\n");
    for (group, answer) in [
        ("other", r#"{\"id\":99,\"ok\":true}"#),
        ("none", r#"{\"ok\":true}"#),
        ("name", r#"{\"id\":\"orders/0/1\",\"ok\":true}"#),
    ] {
        let script = each(&format!(r#"case $line in *'"offset":1,'*) echo "{answer}";; *) {OK};; esac"#));
        let ended = once(&cluster, &topic, &["-g", group, "--on-failure", "skip"], &script).run().success();
        let ended = ended.stderr_has("@1: not understood: ").stderr_has("none that this process was sent");
        assert_eq!(starts(ended.stderr_has("2 done, 1 skipped").dir()), 1, "{group}");
    }
}

#[test]
fn an_object_with_other_keys_is_what_a_command_says() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "logs", "a\n");
    let script = each(&format!(
        r#"echo '{{"id":99,"level":"info"}}'; echo '{{}}'; {OK}; echo "{{\"id\":$id,\"ms\":3}}""#
    ));
    let ended = once(&cluster, &topic, &[], &script).run().success().stderr_has("1 done");
    let ended = ended.stderr_has("]: {\"id\":99,\"level\":\"info\"}\n").stderr_has("]: {}\n");
    ended.stderr_has("]: {\"id\":1,\"ms\":3}\n").stderr_lacks("a second time");
}

#[test]
fn an_answer_that_comes_twice_counts_once_and_is_noted() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "twice", "a\nb\nc\n");
    // The second answers come before the last record is answered, and after.
    let script = each(&format!("{OK}; {OK}; {OK}"));
    let ended = once(&cluster, &topic, &[], &script).run().success().stderr_has("kq: 3 done");
    let ended = ended.stderr_has("id 1 is answered a second time: that answer is ignored");
    assert_eq!(ended.stderr.matches("a second time").count(), 1, "once of a process: {ended}");
}

#[test]
fn a_handler_that_answers_when_its_input_ends_is_not_waited_for_in_vain() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "buffered", "a\nb\nc\n");
    for (group, until, done) in [
        ("end", &["-e"][..], "3 done"),
        ("count", &["-n", "2"], "2 done"),
        ("idle", &["--idle", "2s"], "3 done"),
    ] {
        let flags = [&["-g", group], until].concat();
        worker(&cluster, &topic, &flags, BUFFERED).run().success().stderr_has(done);
    }
    let worker = worker(&cluster, &topic, &["-g", "signal"], BUFFERED).spawn();
    worker.wait_for_stderr("got 3");
    worker.terminate();
    worker.wait().success().stderr_has("kq: 3 done");
}

#[test]
fn a_retry_after_the_end_of_the_input_starts_a_process_again() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "again", "a\nb\n");
    let script = format!(
        "[ -e again ] || {{ touch again; echo >> starts; read -r a; read -r b
        cat >&2; echo '{{\"id\":1,\"retry_ms\":1}}'; echo '{{\"id\":2,\"ok\":true}}'; exit; }}\n{BUFFERED}"
    );
    let ended = once(&cluster, &topic, &[], &script).run().success().stderr_has("2 done, 1 failed attempt");
    assert_eq!(starts(ended.dir()), 2, "{ended}");
}

#[test]
fn a_process_that_stays_though_its_input_ended_holds_back_no_retry() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "stays", "a\nb\n");
    let script = format!(
        "[ -e again ] || {{ touch again; read -r a; read -r b; cat >&2
        echo '{{\"id\":1,\"retry_ms\":1}}'; echo '{{\"id\":2,\"ok\":true}}'; exec sleep 600; }}\n{}",
        each(OK)
    );
    once(&cluster, &topic, &[], &script).run().success().stderr_has("2 done, 1 failed attempt");
}

#[test]
fn a_handler_that_leaves_its_records_when_its_input_ends_gets_them_again() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "leaves", "a\nb\nc\n");
    // The first waits for the end of its input and leaves. The others answer once nothing came for two
    // seconds, and leave too if their input has ended before.
    let script = r#"echo >> starts; [ -e left ] || { touch left; cat > all; exit 0; }
    ids=
    while :; do
        IFS= read -t 2 -r line; status=$?
        if [ $status = 0 ]; then id=${line#*:}; ids="$ids ${id%%,*}"
        elif [ $status = 1 ]; then exit 0
        else for id in $ids; do echo "{\"id\":$id,\"ok\":true}"; done; ids=
        fi
    done"#;
    let flags =
        ["worker", &topic, "-e", "--persistent", "-j", "1", "--retries", "0", "--", "bash", "-c", script];
    let ended = cluster.kq(flags).limit(LONG).run().success();
    let ended = ended.stderr_has("kq: 3 done").stderr_lacks("failed attempt");
    assert_eq!(starts(ended.dir()), 2, "{ended}");
}

#[test]
fn the_first_answer_of_a_process_may_take_longer_and_no_other() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "starts", "a\nstuck\n");
    let script = format!("sleep 2; {}", each(&format!("case $line in *stuck*) exec sleep 600;; esac; {OK}")));
    let flags = ["--command-timeout", "500ms", "--start-timeout", "30s", "--window", "1"];
    let ended =
        once(&cluster, &topic, &[&flags[..], &["--retries", "0", "--on-failure", "skip"]].concat(), &script);
    let ended = ended.run().success().stderr_has("1 done, 1 skipped");
    assert_eq!(ended.stderr.matches("no answer after").count(), 1, "{ended}");
}

#[test]
fn a_handler_that_never_answers_is_asked_whether_it_flushes() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "unflushed", "a\nb\nc\nd\n");
    let flags = ["-j", "2", "--start-timeout", "0s"];
    let silent = cluster.kq(["worker", &topic, "--persistent"]).args(flags).limit(LONG);
    let silent = silent.args(["--", "sh", "-c", "cat >&2"]).spawn();
    silent.wait_for_stderr("records in hand: does it flush after each line?");
    silent.terminate();
    let ended = silent.wait().success();
    assert_eq!(ended.stderr.matches("does it flush").count(), 1, "{ended}");
    // One that is terminated before is asked too.
    let flags = ["-g", "late", "--start-timeout", "0s", "--command-timeout", "1s", "--retries", "0"];
    once(&cluster, &topic, &flags, "exec sleep 600")
        .run()
        .status(1)
        .stderr_has("(does it flush after each line?)");
}

/// What a topic has, as `key=value [headers]` a line.
fn sent(cluster: &Cluster, topic: &str) -> Vec<String> {
    let read = cluster.kq(["consume", topic, "-e", "-f", "%k=%s [%h]\\n"]).run().success();
    read.lines().iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn out_is_sent_to_a_topic_as_strings_lists_and_records() {
    let cluster = Cluster::get();
    let (topic, output) = (cluster.create("map", 1), cluster.create("output", 1));
    let records = "a\tstring\na\tlist\na\tobject\na\tnothing\na\tempty\n";
    cluster.kq(["produce", &topic, "-K", "\\t", "-H", "h=1"]).stdin(records).run().success();
    let script = each(
        r#"case $line in
        *string*) out='"one\n"';;
        *list*) out='["two",{"value_base64":"dGhyZWU=","key":"b"}]';;
        *object*) out='{"value":"four","key":null,"headers":[["own",null]],"topic":"TOPIC"}';;
        *nothing*) out=null;;
        *empty*) out='{"value":""}';;
        esac
        printf '{"id":%d,"ok":true,"out":%s}\n' "$id" "$out""#,
    )
    .replace("TOPIC", &topic);
    let flags = ["--window", "1", "--output-topic", &output];
    let run = |more: &[&str]| once(&cluster, &topic, &[&flags[..], more].concat(), &script).run().success();
    run(&["-g", "plain"]).stdout("").stderr_has("5 done");
    let plain = sent(&cluster, &output);
    assert_eq!(plain, ["a=one", " []", "a=two []", "b=three []", "=four [own=NULL]", "a= []"], "{plain:?}");
    let copied = cluster.create("copied", 1);
    let flags = ["--window", "1", "--output-topic", &copied, "--copy-headers", "--output-lines"];
    once(&cluster, &topic, &flags, &script).run().success();
    let copied = sent(&cluster, &copied);
    assert_eq!(
        copied,
        ["a=one [h=1]", "a=two [h=1]", "b=three [h=1]", "=four [own=NULL]", "a= [h=1]"],
        "{copied:?}"
    );
}

#[test]
fn an_out_that_is_no_record_fails_its_own() {
    let cluster = Cluster::get();
    let (topic, output) = (topic_with(&cluster, "bad-out", "a\nb\nc\n"), cluster.create("output", 1));
    let script = each(
        r#"case $line in
        *'"offset":0,'*) out='{"key":"no value"}';;
        *'"offset":1,'*) out=7;;
        *) out='"good"';;
        esac
        echo "{\"id\":$id,\"ok\":true,\"out\":$out}""#,
    );
    let flags = ["--output-topic", &output, "--on-failure", "skip"];
    let ended = once(&cluster, &topic, &flags, &script).run().success().stderr_has("1 done, 2 skipped");
    ended.stderr_has("@0: not understood: a record in \"out\": ").stderr_has("it is a number");
    cluster.kq(["consume", &output, "-e"]).run().success().stdout("good\n");
    // Printed, an object is what it is.
    let printed = once(&cluster, &topic, &["-g", "printed", "--window", "1"], &script).run().success();
    printed.stdout("{\"key\":\"no value\"}\n7\ngood\n");
}

#[test]
fn a_record_is_done_once_its_output_is_acknowledged() {
    let cluster = Cluster::get();
    let (topic, output) = (topic_with(&cluster, "keyless", "a\n"), cluster.topic("compacted"));
    let compacted = ["--config", "cleanup.policy=compact"];
    cluster.kq(["topic", "create", &output, "--partitions", "1"]).args(compacted).run().success();
    let script = each(r#"echo "{\"id\":$id,\"ok\":true,\"out\":\"x\"}""#);
    // Time to leave the group: the next run would wait for the session of a member that is gone.
    let flags = ["--output-topic", &output, "--shutdown-timeout", "6s", "-X", "session.timeout.ms=6000"];
    let refused = worker(&cluster, &topic, &flags, &script).spawn();
    refused.wait_for_stderr("one without a key in a compacted topic (cleanup.policy)");
    refused.terminate();
    refused.wait().status(75).stderr_has("0 done");
    let output = cluster.create("output", 1);
    once(&cluster, &topic, &["--output-topic", &output], &script).run().success().stderr_has("1 done");
    cluster.kq(["consume", &output, "-e"]).run().success().stdout("x\n");
}

#[test]
fn outputs_of_one_key_are_in_its_order() {
    let cluster = Cluster::get();
    let (topic, output) = (cluster.create("ordered", 2), cluster.create("output", 1));
    let records: String = (0..400).map(|n| format!("{}:{n:03}\n", n % 7)).collect();
    cluster.kq(["produce", &topic, "-K", ":"]).stdin(records).run().success();
    let script = each(
        r#"v=${line#*'"value":"'}; v=${v%%'"'*}; echo "{\"id\":$id,\"ok\":true,\"out\":[\"$v\",\"$v+\"]}""#,
    );
    let flags = ["worker", &topic, "-e", "--persistent", "-j", "3", "--output-topic", &output];
    cluster.kq(flags).args(["--", "sh", "-c", &script]).limit(LONG).run().success().stderr_has("400 done");
    let sent = sent(&cluster, &output);
    assert_eq!(sent.len(), 800);
    for key in 0..7 {
        let of_key: Vec<_> = sent.iter().filter(|line| line.starts_with(&format!("{key}="))).collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
}

#[test]
fn a_command_that_prints_a_line_sends_it_without_its_newline() {
    let cluster = Cluster::get();
    let (topic, output) = (topic_with(&cluster, "line", "a\n"), cluster.create("output", 1));
    let flags = ["worker", &topic, "-e", "--output-topic", &output, "--", "sh", "-c", "echo one; echo two"];
    cluster.kq(flags).run().success();
    cluster.kq(["consume", &output, "-e", "-f", "[%s]"]).run().success().stdout("[one\ntwo]");
}

#[test]
fn the_help_and_the_manual_have_a_section_on_the_protocol() {
    let help = Kq::new(["worker", "--help"]).run().success();
    let text = help.text();
    let (_, section) = text.split_once("The protocol of --persistent:\n").expect("a section of its own");
    for part in ["value_base64", "null", "retry_ms", "fail", "flush", "--start-timeout"] {
        assert!(section.contains(part), "{part}: {section}");
    }
    Kq::new(["worker", "-h"]).run().success().stdout_has("--persistent");
}

/// The examples handle text, bytes that are no text, and null.
#[test]
#[ignore = "needs python3, node, go and jq: cargo test --test integration worker_protocol:: -- --ignored"]
fn the_examples_that_stay_tell_bytes_and_null_from_text() {
    let cluster = Cluster::get();
    let topic = cluster.create("examples", 1);
    let records = r#"{"value":"a"}
{"value":null}
{"value":"bad"}
{"value_base64":"/wBh"}
{"value":""}
"#;
    cluster.kq(["produce", &topic, "-J"]).stdin(records).run().success();
    let example = |name: &str| format!("{}/examples/handlers/{name}", env!("CARGO_MANIFEST_DIR"));
    let go = tempfile::tempdir().unwrap();
    let binary = go.path().join("handler").display().to_string();
    Kq::program("go", ["build", "-o", &binary, &example("persistent.go")])
        .env("HOME", go.path())
        .limit(Duration::from_mins(3))
        .run()
        .success();
    for command in [
        vec!["python3".to_owned(), example("persistent.py")],
        vec!["node".into(), example("persistent.js")],
        vec![binary],
    ] {
        let group = cluster.topic("group");
        let flags = [
            "-e",
            "--persistent",
            "-j",
            "1",
            "--order",
            "partition",
            "--on-failure",
            "skip",
            "-g",
            &group,
            "--",
        ];
        let ended = cluster.kq(["worker", &topic]).args(flags).args(&command).limit(LONG).run().success();
        ended.stdout("A\ndeleted\n3 bytes\n\n").stderr_has("failed: a bad value");
    }
    // jq holds its answers back until its input ends.
    let jq = ["--", "jq", "-c", "{id, ok: true, out: .value}"];
    let flags = ["-e", "--persistent", "-j", "1", "-g", &cluster.topic("jq")].map(str::to_owned);
    let ended = cluster.kq(["worker", &topic]).args(flags).args(jq).limit(LONG).run().success();
    ended.stdout("a\nbad\n\n").stderr_has("5 done");
}
