//! `kq consume` against a broker: bounds, groups, formats, and what is committed.

use std::time::Duration;

use crate::support::{Cluster, Kq, topic_with};

/// A topic of one partition that holds these lines.
fn holding(cluster: &Cluster, hint: &str, lines: &str) -> String {
    topic_with(cluster, hint, 1, lines)
}

/// The numbers from 1 to `n`, a line each.
fn numbers(n: usize) -> String {
    (1..=n).map(|i| format!("{i}\n")).collect()
}

#[test]
fn the_line_of_the_readme_works_word_for_word() {
    let cluster = Cluster::get();
    cluster.kq(["produce", "foo"]).stdin("hello\n").run().success();
    let running = cluster.program("sh", ["-c", "exec kq consume foo --group g"]).spawn();
    // On a shared cluster the group may have read it already: a fresh record comes for sure.
    cluster.kq(["produce", "foo"]).stdin("word for word\n").run().success();
    running.wait_for_stdout("word for word");
    running.terminate();
    running.wait().success();
}

#[test]
fn all_that_is_there_and_then_the_end() {
    let cluster = Cluster::get();
    let topic = cluster.create("end", 4);
    cluster.kq(["produce", &topic]).stdin(numbers(5000)).run().success();
    let out = cluster.kq(["consume", &topic, "-e"]).run().success();
    let mut seen: Vec<usize> = out.lines().iter().map(|l| l.parse().expect("a number")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=5000).collect::<Vec<_>>());
}

#[test]
fn an_empty_topic_ends_at_once() {
    let cluster = Cluster::get();
    let topic = cluster.create("none", 3);
    cluster.kq(["consume", &topic, "-e"]).run().success().stdout("");
    cluster.kq(["consume", &topic, "-e", "-g", &topic]).run().success().stdout("");
}

#[test]
fn starts_and_ends_are_exact() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "bounds", &numbers(10));
    let read = |args: &[&str]| {
        let out = cluster.kq(["consume", &topic]).args(args).run().success();
        out.text().replace('\n', " ")
    };
    assert_eq!(read(&["-o", "3", "-e"]), "4 5 6 7 8 9 10 ");
    assert_eq!(read(&["-o", "-2", "-e"]), "9 10 ");
    assert_eq!(read(&["-o", "-99", "-e"]), "1 2 3 4 5 6 7 8 9 10 ");
    assert_eq!(read(&["-o", "end", "-e"]), "");
    assert_eq!(read(&["--until", "4"]), "1 2 3 4 ");
    assert_eq!(read(&["-o", "2", "--until", "5"]), "3 4 5 ");
    assert_eq!(read(&["-n", "3"]), "1 2 3 ");
    assert_eq!(read(&["-n", "0"]), "");
    assert_eq!(read(&["-c", "1", "-o", "7"]), "8 ");
    assert_eq!(read(&["--idle", "300ms"]), "1 2 3 4 5 6 7 8 9 10 ");
}

#[test]
fn times_bound_it_too() {
    let cluster = Cluster::get();
    let topic = cluster.create("times", 1);
    for (time, value) in [(1000, "a"), (2000, "b"), (3000, "c"), (4000, "d")] {
        let time = format!("{time}ms");
        cluster.kq(["produce", &topic, "--timestamp", &time]).stdin(value).run().success();
    }
    let read = |args: &[&str]| {
        let out = cluster.kq(["consume", &topic]).args(args).run().success();
        out.text().replace('\n', " ")
    };
    assert_eq!(read(&["-o", "@2s", "-e"]), "b c d ");
    assert_eq!(read(&["-o", "@2001ms", "--until", "@4s"]), "c ");
    assert_eq!(read(&["-o", "s@2000ms", "-o", "e@4000ms"]), "b c ");
    assert_eq!(read(&["-o", "@1970-01-01T00:00:03Z", "-e"]), "c d ");
    assert_eq!(read(&["-o", "-1h", "-e"]), "");
    cluster
        .kq(["consume", &topic, "-o", "@1753140491"])
        .run()
        .status(2)
        .stderr_has("1753140491s is seconds, 2025-07-21T23:28:11Z; 1753140491ms is milliseconds, 1970-01-21");
}

#[test]
fn chosen_partitions_only() {
    let cluster = Cluster::get();
    let topic = cluster.create("chosen", 3);
    for p in ["0", "1", "2"] {
        cluster.kq(["produce", &topic, "-p", p]).stdin(p).run().success();
    }
    cluster.kq(["consume", &topic, "-p", "1", "-e"]).run().success().stdout("1\n");
    let out = cluster.kq(["consume", &topic, "-p", "0,2", "-e", "-f", "%p\\n"]).run().success();
    let mut lines = out.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["0", "2"]);
    cluster.kq(["consume", &topic, "-p", "3", "-e"]).run().status(2).stderr_has("no partition 3");
}

#[test]
fn topics_by_a_regular_expression() {
    let cluster = Cluster::get();
    let a = holding(&cluster, "re-a", "a\n");
    let b = holding(&cluster, "re-b", "b\n");
    let pattern = format!("^({a}|{b})$");
    let out = cluster.kq(["consume", &pattern, "-e"]).run().success();
    let mut lines = out.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["a", "b"]);
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "group", &numbers(10));
    let group = cluster.topic("g");
    let read = |args: &[&str]| {
        cluster.kq(["consume", &topic, "-g", &group]).args(args).run().success().text().replace('\n', " ")
    };
    assert_eq!(read(&["-n", "3"]), "1 2 3 ");
    assert_eq!(read(&["-n", "2"]), "4 5 ");
    // A start counts only where nothing is committed.
    assert_eq!(read(&["-o", "beginning", "-e"]), "6 7 8 9 10 ");
    assert_eq!(read(&["-e"]), "");
}

#[test]
fn a_reset_group_starts_where_it_is_told_and_commits_go_on_from_there() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "reset", &numbers(5));
    let group = topic.clone();
    let read = |args: &[&str]| {
        let out = cluster.kq(["consume", &topic, "-g", &group, "-e"]).args(args).run().success();
        out.text().replace('\n', " ")
    };
    assert_eq!(read(&["--reset", "-o", "3"]), "4 5 ", "a group that is not there yet");
    assert_eq!(read(&["-o", "beginning"]), "", "what is committed counts");
    assert_eq!(read(&["--reset", "--from", "beginning"]), "1 2 3 4 5 ");
    assert_eq!(read(&["--reset", "-o", "-2"]), "4 5 ");
    assert_eq!(read(&["--reset", "-o", "-1h"]), "1 2 3 4 5 ");
    assert_eq!(read(&["--reset", "-o", "@4102444800000"]), "", "nothing is as late");
    assert_eq!(read(&["--reset", "-o", "99"]), "", "beyond the end is the end");
    assert_eq!(read(&["--reset", "-o", "1", "-n", "2"]), "2 3 ");
    assert_eq!(read(&["-o", "beginning"]), "4 5 ");
    assert_eq!(read(&["--reset", "-o", "end"]), "");
    cluster.kq(["produce", &topic]).stdin("6\n").run().success();
    assert_eq!(read(&[]), "6 ");
}

#[test]
fn a_group_with_members_is_not_reset() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "held", &numbers(3));
    let reset = || cluster.kq(["consume", &topic, "-g", &topic, "--reset", "-o", "beginning", "-e"]);
    let member = cluster.kq(["consume", &topic, "-g", &topic]).spawn();
    member.wait_for_stdout("3");
    reset().run().status(2).stdout("").stderr(&format!(
        "kq: --reset: group {topic} has 1 member, and only a group without any can be reset; \
         stop them first (one that was killed counts until its session ends), or use another group\n"
    ));
    member.terminate();
    member.wait().success();
    reset().run().success().stdout("1\n2\n3\n").stderr(&format!("kq: group {topic} was reset in {topic}\n"));
}

#[test]
fn a_group_follows_commits_on_term_and_leaves() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "follow", &numbers(3));
    let group = cluster.topic("g");
    let running = cluster.kq(["consume", &topic, "-g", &group]).spawn();
    running.wait_until_stdout("three lines", |out| out == numbers(3).as_bytes());
    running.terminate();
    // No stop condition was given, so a signal is a normal end.
    running.wait().success();
    cluster.kq(["produce", &topic]).stdin("4\n").run().success();
    cluster.kq(["consume", &topic, "-g", &group, "-e"]).run().success().stdout("4\n");
}

#[test]
fn a_second_member_takes_its_share_and_nothing_is_lost_or_read_twice() {
    let cluster = Cluster::get();
    let topic = cluster.create("share", 4);
    let group = cluster.topic("g");
    let first = cluster.kq(["-v", "consume", &topic, "-g", &group]).spawn();
    first.wait_for_stderr("assigned:");
    for p in ["0", "1", "2", "3"] {
        cluster.kq(["produce", &topic, "-p", p]).stdin(format!("{p}a\n")).run().success();
    }
    first.wait_until_stdout("four lines", |out| out.iter().filter(|b| **b == b'\n').count() == 4);
    let second = cluster.kq(["-v", "consume", &topic, "-g", &group]).spawn();
    second.wait_for_stderr(&format!("{topic}["));
    for p in ["0", "1", "2", "3"] {
        cluster.kq(["produce", &topic, "-p", p]).stdin(format!("{p}b\n")).run().success();
    }
    let count = |out: &[u8]| out.iter().filter(|b| **b == b'\n').count();
    crate::support::wait_until("all eight lines", Duration::from_secs(30), || {
        count(&first.stdout_so_far()) + count(&second.stdout_so_far()) >= 8
    });
    second.terminate();
    let second = second.wait().success();
    first.terminate();
    let first = first.wait().success();
    assert!(!second.lines().is_empty(), "the second member read nothing: {second}");
    let mut all = [first.lines(), second.lines()].concat();
    all.sort_unstable();
    assert_eq!(all, ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"]);
    cluster.kq(["consume", &topic, "-g", &group, "-e"]).run().success().stdout("");
}

#[test]
fn an_end_of_partition_before_a_rebalance_skips_no_record() {
    // librdkafka's batch call counts an end of partition as a record; see src/kafka/ffi/.
    let cluster = Cluster::get();
    let topic = cluster.create("eof", 2);
    let group = cluster.topic("g");
    let first = cluster.kq(["-v", "consume", &topic, "-g", &group, "-n", "4"]).spawn();
    first.wait_for_stderr("assigned:");
    let second = cluster.kq(["-v", "consume", &topic, "-g", &group, "-n", "100"]).spawn();
    second.wait_for_stderr(&format!("{topic}["));
    second.terminate();
    second.wait().status(143);
    for p in ["0", "1", "0", "1"] {
        cluster.kq(["produce", &topic, "-p", p]).stdin("x\n").run().success();
    }
    first.wait().success().stdout("x\nx\nx\nx\n").stderr_lacks("gone").stderr_lacks("beyond");
}

#[test]
fn the_protocol_that_the_embedded_broker_lacks_is_an_error_that_says_so() {
    let cluster = Cluster::embedded();
    let topic = cluster.create("protocol", 1);
    let new = ["--group-protocol", "consumer"];
    for command in [vec!["consume", &topic, "-g", "g"], vec!["worker", &topic, "-g", "g"]] {
        let worker = command[0] == "worker";
        let run = |more: &[&str]| {
            let run = cluster.kq(&command).args(new).args(more);
            if worker { run.args(["--", "cat"]) } else { run }.run().status(2)
        };
        run(&[]).stderr_has("do not speak --group-protocol consumer").stderr_has("Apache Kafka 4.0");
        for (name, value) in [
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "100"),
            ("partition.assignment.strategy", "range"),
        ] {
            let property = format!("{name}={value}");
            run(&["-X", &property])
                .stderr_has(&format!("-X {name} does not go with --group-protocol consumer"));
        }
        run(&["--assignor", "range"]).stderr_has("--assignor does not go with --group-protocol consumer");
        run(&["-X", "group.protocol=classic"]).stderr_has("use --group-protocol");
    }
}

#[test]
fn members_that_come_and_go_under_range_cost_no_record() {
    // A poll may serve a revoke and an assignment before it returns the partition's next record.
    let cluster = Cluster::get();
    let topic = cluster.create("range", 2);
    let group = cluster.topic("g");
    let member = || {
        let args = ["-v", "consume", &topic, "-g", &group, "--assignor", "range"];
        cluster.kq(args).args(["-X", "heartbeat.interval.ms=200"]).spawn()
    };
    let first = member();
    first.wait_for_stderr("assigned:");
    let producer = cluster.kq(["produce", &topic, "-q", "--rate", "400"]).stdin(numbers(2000)).spawn();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let second = member();
        second.wait_for_stderr(&format!("assigned: {topic}"));
        second.terminate();
        seen.extend(second.wait().success().stdout);
    }
    producer.wait().success();
    cluster.kq(["produce", &topic, "-q"]).stdin("last\n").run().success();
    first.wait_for_stdout("last");
    first.terminate();
    seen.extend(first.wait().success().stdout);
    seen.extend(cluster.kq(["consume", &topic, "-g", &group, "-e"]).run().success().stdout);
    let text = String::from_utf8(seen).expect("text");
    let seen: std::collections::HashSet<&str> = text.lines().collect();
    let missing: Vec<usize> = (1..=2000).filter(|n| !seen.contains(n.to_string().as_str())).collect();
    assert!(missing.is_empty(), "never read: {missing:?}");
}

#[test]
fn formats_of_kcat_and_the_json_record() {
    let cluster = Cluster::get();
    let topic = cluster.create("format", 1);
    cluster
        .kq(["produce", &topic, "-k", "k", "-H", "h=1", "-H", "n", "--timestamp", "1700000000000"])
        .stdin("v\n")
        .run()
        .success();
    let read = |args: &[&str]| cluster.kq(["consume", &topic, "-e"]).args(args).run().success().stdout;
    assert_eq!(
        read(&["-f", "%t %p %o %k %K %s %S %T %h %%\\n"]),
        format!("{topic} 0 0 k 1 v 1 1700000000000 h=1,n=NULL %\n").as_bytes()
    );
    assert_eq!(
        read(&["-f", "%{time} %{key:hex} %{value:base64} %{header:h}\\n"]),
        b"2023-11-14T22:13:20.000Z 6b dg== 1\n"
    );
    assert_eq!(
        read(&["-J"]),
        format!(
            "{{\"topic\":\"{topic}\",\"partition\":0,\"offset\":0,\"timestamp\":1700000000000,\"key\":\"k\",\"value\":\"v\",\"headers\":[[\"h\",\"1\"],[\"n\",null]]}}\n"
        )
        .as_bytes()
    );
    assert_eq!(read(&["--with-key"]), b"k\tv\n");
    assert_eq!(read(&["-K", "=", "-0"]), b"k=v\0");
    assert_eq!(read(&["-D", ""]), b"v");
}

#[test]
fn copying_through_json_loses_nothing() {
    let cluster = Cluster::get();
    let from = cluster.create("from", 1);
    let to = cluster.create("to", 1);
    let records = concat!(
        "{\"key\":null,\"value\":\"\",\"timestamp\":1}\n",
        "{\"key\":\"\",\"value\":null,\"timestamp\":2}\n",
        "{\"key_base64\":\"/wA=\",\"value_base64\":\"gIGC\",\"timestamp\":3,\"headers\":[[\"a\",\"1\"],[\"a\",null],[\"b\",{\"base64\":\"/w==\"}],[\"\",\"\"]]}\n",
        "{\"value\":\"tab\\tnewline\\nquote\\\"\\u0000\",\"timestamp\":4}\n",
    );
    cluster.kq(["produce", &from, "-J"]).stdin(records).run().success();
    let all =
        |topic: &str| cluster.kq(["consume", topic, "-e", "-J"]).run().success().text().replace(topic, "T");
    let copy = format!("kq consume {from} -e -J | kq produce {to} -J");
    cluster.program("sh", ["-c", &copy]).run().success();
    assert_eq!(all(&from), all(&to));
    assert_eq!(all(&to).lines().count(), 4);
    let kcat = |topic: &str| {
        let out = cluster.kcat(["-C", "-e", "-q", "-t", topic, "-f", "%K|%k|%S|%s|%T|%h\\n"]).run().success();
        out.stdout
    };
    assert_eq!(kcat(&from), kcat(&to));
}

#[test]
fn a_closed_stdout_ends_it_quietly_even_while_the_topic_is_idle() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "closed", &numbers(3));
    let line = format!("kq consume {topic} | head -1; exit ${{PIPESTATUS[0]}}");
    cluster.program("bash", ["-c", &line]).run().success().stdout("1\n").stderr("");
}

#[test]
fn what_a_closed_stdout_did_not_take_is_not_committed() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "unread", &numbers(200_000));
    let group = cluster.topic("g");
    let line = format!("kq consume {topic} -g {group} | head -1");
    cluster.program("bash", ["-c", &line]).run().success().stdout("1\n");
    let rest = cluster.kq(["consume", &topic, "-g", &group, "-e"]).run().success();
    let first: usize = rest.lines().first().expect("a line").parse().expect("a number");
    // A pipe contains 64 KiB that were not read; the records that did not fit into it must come again.
    assert!(first < 30_000, "committed up to {first} of 200000, while only a pipeful could be written");
}

#[test]
fn a_full_disk_is_an_error_and_commits_nothing() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "full", &numbers(10));
    let group = cluster.topic("g");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("open /dev/full");
    cluster
        .kq(["consume", &topic, "-g", &group, "-e"])
        .stdout_to(full)
        .run()
        .status(2)
        .stderr_has("write stdout")
        .stderr_has("No space left");
    cluster.kq(["consume", &topic, "-g", &group, "-e"]).run().success().stdout(numbers(10));
}

#[test]
fn a_signal_before_the_stop_condition_says_where_it_was() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "stopped", &numbers(3));
    let group = cluster.topic("g");
    for flags in [&[][..], &["-g", &group]] {
        let running = cluster.kq(["consume", &topic, "-n", "10"]).args(flags).spawn();
        running.wait_until_stdout("three lines", |out| out == numbers(3).as_bytes());
        running.terminate();
        running.wait().status(143).stderr_has(&format!("after 3 records; last: {topic}[0]@2"));
    }
}

#[test]
fn a_group_that_starts_at_the_end_reads_on_from_there_in_the_next_run() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "from-end", &numbers(3));
    let group = cluster.topic("g");
    let run = || cluster.kq(["consume", &topic, "-g", &group, "--from", "end", "-e"]).run().success();
    run().stdout("");
    cluster.kq(["produce", &topic]).stdin("between\n").run().success();
    run().stdout("between\n");
}

#[test]
fn filters_let_through_what_matches() {
    let cluster = Cluster::get();
    let topic = cluster.create("filter", 1);
    cluster.kq(["produce", &topic, "-K", ":", "-H", "kind=a"]).stdin("x:apple\ny:pear\n").run().success();
    cluster.kq(["produce", &topic, "-K", ":", "-H", "kind=b"]).stdin("x:plum\n").run().success();
    let read = |args: &[&str]| cluster.kq(["consume", &topic, "-e"]).args(args).run().success().stdout;
    assert_eq!(read(&["--grep", "^p"]), b"pear\nplum\n");
    assert_eq!(read(&["--where-key", "x"]), b"apple\nplum\n");
    assert_eq!(read(&["--where-header", "kind=a", "--where-key", "x"]), b"apple\n");
    // A filter counts written records.
    assert_eq!(read(&["--grep", "^p", "-n", "2"]), b"pear\nplum\n");
}

#[test]
fn a_value_of_a_flag_may_begin_with_a_hyphen() {
    let cluster = Cluster::get();
    let topic = cluster.create("hyphens", 1);
    cluster.kq(["produce", &topic, "-H", "-a=b", "-k", "-x"]).stdin("-v\n").run().success();
    cluster.kq(["produce", &topic]).stdin("w\n").run().success();
    let read = |args: &[&str]| cluster.kq(["consume", &topic, "-e"]).args(args).run().success().stdout;
    assert_eq!(read(&["-f", "-%s\n"]), b"--v\n-w\n");
    assert_eq!(read(&["-K", "->"]), b"-x->-v\n->w\n");
    assert_eq!(read(&["-D", "--\n"]), b"-v--\nw--\n");
    assert_eq!(read(&["--grep", "-[a-z]"]), b"-v\n");
    assert_eq!(read(&["--where-key", "-x"]), b"-v\n");
    assert_eq!(read(&["--where-header", "-a=b"]), b"-v\n");
}

#[test]
fn compressed_values_are_decompressed_and_failures_are_counted() {
    let cluster = Cluster::get();
    let topic = cluster.create("undo", 1);
    let text = "some text, some text, some text";
    let mut framed = snap::write::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut framed, text.as_bytes()).expect("write to memory");
    let framed = framed.into_inner().expect("flush to memory");
    cluster.kq(["produce", &topic, "--whole"]).stdin(&framed).run().success();
    cluster.kq(["consume", &topic, "-e"]).run().success().stdout(format!("{text}\n"));
    cluster.kq(["consume", &topic, "-e", "--decode", "none", "-D", ""]).run().success().stdout(&framed);
    cluster.kq(["produce", &topic, "-H", "content-encoding=gzip"]).stdin("no gzip\n").run().success();
    cluster
        .kq(["consume", &topic, "-e", "-o", "-1"])
        .run()
        .status(1)
        .stdout("no gzip\n")
        .stderr_has(&format!("{topic}[0]@1"));
    cluster.kq(["produce", &topic, "-H", "content-encoding=snappy, gzip"]).stdin("twice\n").run().success();
    cluster
        .kq(["consume", &topic, "-e", "-o", "-1"])
        .run()
        .status(1)
        .stdout("twice\n")
        .stderr_has(&format!("{topic}[0]@2: written as it came"))
        .stderr_has("header content-encoding says gzip, but: ");
}

#[test]
fn a_decompression_bomb_is_written_as_it_came() {
    let cluster = Cluster::get();
    let topic = cluster.create("bomb", 1);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![0; 65 << 20]).expect("write to memory");
    let bomb = bomb.finish().expect("flush to memory");
    let header = ["-H", "content-encoding=gzip"];
    cluster.kq(["produce", &topic, "--whole"]).args(header).stdin(&bomb).run().success();
    let consume = || cluster.kq(["consume", &topic, "-e", "-D", ""]);
    consume().run().status(1).stdout(&bomb).stderr(&format!(
        "kq: {topic}[0]@0: written as it came, since its value can't be decompressed: \
         gzip decodes to more than 67108864 bytes; --max-decoded allows more\n"
    ));
    let all = consume().args(["--max-decoded", "68157440"]).run().success();
    assert_eq!(all.stdout.len(), 65 << 20);
}

#[test]
fn a_missing_topic_is_an_error_and_is_not_created() {
    let cluster = Cluster::get();
    let topic = cluster.topic("nosuch");
    cluster.kq(["consume", &topic, "-e"]).run().status(2).stderr_has("does not exist");
    cluster.kq(["topic", "list"]).run().success().demand("no such topic", |out| !out.text().contains(&topic));
}

#[test]
fn wrong_flags_say_what_is_wrong() {
    let kq = |args: &[&str]| Kq::new(args).run().status(2);
    kq(&["consume"]).stderr_has("KQ_TOPIC");
    kq(&["consume", "t", "-o", "yesterday"]).stderr_has("yesterday");
    kq(&["consume", "t", "-f", "%q"]).stderr_has("%q");
    kq(&["consume", "t", "-p", "1-"]).stderr_has("-p");
    kq(&["consume", "t", "--grep", "("]).stderr_has("--grep");
    kq(&["consume", "t", "-g", ""]).stderr_has("--group is empty");
    kq(&["consume", "t", "-g", "g", "--reset"])
        .stderr_has("--reset: say where the group must start: --from ");
    kq(&["consume", "t", "-g", "g", "--reset", "-o", "e@5ms"]).stderr_has("--reset: say where");
    kq(&["consume", "t", "--reset", "-o", "end"]).stderr_has("--reset: name the group");
    kq(&["consume", "t", "-g", "g", "-p", "0"]).stderr_has("--partition");
}

#[test]
fn what_kq_sets_by_default_yields_to_a_variable_and_a_file_but_not_what_a_flag_says() {
    let cluster = Cluster::get();
    let topic = cluster.create("ranks", 1);
    let run = |args: &[&str]| {
        let kq = cluster.kq(["consume", &topic, "-e", "-F", "f"]).args(args);
        kq.file("f", "queued.min.messages=78\nfetch.max.wait.ms=76\n");
        kq.env("KQ_X", "debug=conf,fetch.wait.max.ms=77,isolation.level=read_uncommitted").run().success()
    };
    run(&[])
        .stderr_has("fetch.wait.max.ms = 77")
        .stderr_has("queued.min.messages = 78")
        .stderr_has("isolation.level = read_uncommitted");
    run(&["--isolation", "read-committed"]).stderr_lacks("isolation.level = read_uncommitted");
}

#[test]
fn a_stdout_that_was_closed_at_the_start_takes_nothing_and_nothing_is_committed() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "closed", "a\nb\n");
    for line in [
        format!("kq consume {topic} -g consumers -e >&-"),
        format!("kq worker {topic} -g workers -e -- cat >&-"),
        "kq topic list >&-".to_owned(),
    ] {
        cluster
            .program("sh", ["-c", &line])
            .run()
            .status(2)
            .stderr_has("kq: stdout is closed: nothing was done");
    }
    for group in ["consumers", "workers"] {
        cluster.kq(["consume", &topic, "-g", group, "-e"]).run().success().stdout("a\nb\n");
    }
}
