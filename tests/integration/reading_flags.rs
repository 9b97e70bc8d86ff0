//! The flags of reading mean the same in each command that reads.

use crate::support::Cluster;

#[test]
fn the_end_is_the_same_flag_in_consume_and_worker() {
    let cluster = Cluster::get();
    let topic = cluster.create("ends", 1);
    cluster.kq(["produce", &topic]).stdin("a\nb\n").run().success();
    for flag in ["-e", "--end"] {
        cluster.kq(["consume", &topic, flag]).run().success().stdout("a\nb\n");
    }
    for flag in ["-e", "--end", "--exit-at-end"] {
        let group = format!("{topic}{flag}");
        cluster.kq(["worker", &topic, "-g", &group, flag, "-j1", "--", "cat"]).run().success().stdout("ab");
    }
    let help = cluster.kq(["worker", "--help"]).run().success();
    help.demand("the alias is hidden", |out| !out.text().contains("exit-at-end"));
}

#[test]
fn the_filters_of_consume_choose_the_records_that_a_worker_runs_for() {
    let cluster = Cluster::get();
    let topic = cluster.create("filters", 1);
    let records = [
        r#"{"key":"a","value":"one","headers":[["kind","x"]]}"#,
        r#"{"key":"b","value":"two","headers":[["kind","x"]]}"#,
        r#"{"key":"a","value":"three","headers":[["kind","y"]]}"#,
        r#"{"key":"a","value":null}"#,
    ];
    cluster.kq(["produce", &topic, "-J"]).stdin(records.join("\n")).run().success();
    for (flags, values) in [
        (&["--grep", "^t"][..], "two,three,"),
        (&["--where-key", "a"], "one,three,,"),
        (&["--where-header", "kind=x"], "one,two,"),
        (&["--where-header", "kind=x", "--where-key", "b", "--grep", "w"], "two,"),
        (&["--grep", "nothing"], ""),
    ] {
        cluster.kq(["consume", &topic, "-e", "-D", ","]).args(flags).run().success().stdout(values);
        let group = format!("{topic}.{}", flags.concat().replace(|c: char| !c.is_alphanumeric(), "."));
        let worker = cluster.kq(["worker", &topic, "-g", &group, "-e", "-j1"]).args(flags);
        let out = worker.args(["--", "sh", "-c", "cat; printf ,"]).run().success().stdout(values);
        let (done, filtered) = (values.matches(',').count(), 4 - values.matches(',').count());
        out.stderr_has(&format!("{done} done, {filtered} filtered in"));
        // What was filtered is committed: nothing is left for the group.
        let again = cluster.kq(["worker", &topic, "-g", &group, "-e", "--", "cat"]).run().success();
        again.stdout("").stderr_has("0 done in");
    }
    let wrong = cluster.kq(["worker", &topic, "--where-header", "kind", "--", "cat"]).run();
    wrong.status(2).stderr_has("--where-header kind: write NAME=VALUE");
}

#[test]
fn a_filtered_record_does_not_count_for_the_number_of_records() {
    let cluster = Cluster::get();
    let topic = cluster.create("counted", 1);
    cluster.kq(["produce", &topic]).stdin("a1\nb1\nb2\na2\na3\n").run().success();
    let group = cluster.topic("group");
    let worker = cluster.kq(["worker", &topic, "-g", &group, "-n", "2", "-j1", "--grep", "^a", "--", "cat"]);
    worker.run().success().stdout("a1a2").stderr_has("2 done, 2 filtered in");
}

#[test]
fn a_pattern_sees_what_the_command_gets_and_a_bound_holds_for_both() {
    let cluster = Cluster::get();
    let topic = cluster.create("compressed", 1);
    let value = "hello ".repeat(100);
    cluster.kq(["produce", &topic, "--value-codec", "snappy"]).stdin(&value).run().success();
    let worker = |group: &str, flags: &[&str]| {
        let group = format!("{topic}.{group}");
        let worker = cluster.kq(["worker", &topic, "-e", "-g", &group]).args(flags);
        worker.args(["--", "wc", "-c"]).run()
    };
    worker("found", &["--grep", "(hello ){100}"]).success().stdout_has("600");
    worker("not", &["--grep", "(hello ){100}", "--decode", "none"])
        .success()
        .stdout("")
        .stderr_has("1 filtered");
    worker("bound", &["--max-decoded", "100"]).status(1).stderr_has("1 not decoded");
    for isolation in ["read-committed", "read-uncommitted"] {
        worker(isolation, &["--isolation", isolation]).success().stdout_has("600");
    }
}
