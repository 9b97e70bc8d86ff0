//! `kq produce` at its limits: records that are too large, rates, counts, reports, pipes, signals.

use std::time::{Duration, Instant};

use crate::support::{Cluster, INT, Kq, values, wait_until};

#[test]
fn a_value_larger_than_the_whole_queue_fails_alone() {
    let cluster = Cluster::get();
    let topic = cluster.create("huge", 1);
    let lines = format!("before\n{}\nafter\n", "x".repeat(26_000_000));
    let out = cluster.kq(["produce", &topic, "-z", "none"]).stdin(lines).run().status(1);
    out.stderr_has("kq: 1 record failed: stdin:2: larger than the topic takes");
    assert_eq!(values(&cluster, &topic), "before\nafter\n");
}

#[test]
fn what_can_be_no_record_is_let_go_of_while_it_is_read() {
    let cluster = Cluster::get();
    let topic = cluster.create("endless", 1);
    let lines = format!("before\n{}\nafter\n{}", "x".repeat(3_000_000), "y".repeat(3_000_000));
    let limit = ["-X", "message.max.bytes=2000", "--on-invalid"];
    let kq = |on_invalid: &str| {
        cluster.kq(["produce", &topic]).args(limit).arg(on_invalid).stdin(&lines).run().status(1)
    };
    kq("skip")
        .stderr_has("kq: stdin:2: not sent: longer than any record can be (2000 bytes, by message.max.bytes)")
        .stderr_has("kq: 2 records invalid and not sent, the first: stdin:2:");
    assert_eq!(values(&cluster, &topic), "before\nafter\n");
    kq("stop").stderr_has("stopped at stdin:2");
    assert_eq!(values(&cluster, &topic), "before\nafter\nbefore\n");
}

#[test]
fn a_large_record_is_held_twice_at_most() {
    let cluster = Cluster::get();
    let topic = cluster.topic("large");
    let limit = "max.message.bytes=100000000";
    cluster.kq(["topic", "create", &topic, "--partitions", "1", "--config", limit]).run().success();
    let mut running = cluster.kq(["produce", &topic, "--report", "json"]).stdin_open().spawn();
    // Not compressible, so that the compressed batch is as large as the record.
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b' ' + (state >> 40) as u8 % 95
    };
    let piece: Vec<u8> = (0..1_000_000).map(|_| next()).collect();
    for _ in 0..60 {
        running.write(&piece);
    }
    running.write("\n");
    running.wait_for_stdout("\"line\":1,");
    let peak = running.peak_rss_kib();
    running.close_stdin();
    running.wait().success();
    assert!(peak < (2 * 60_000_000 + (64 << 20)) >> 10, "{peak} KiB");
}

#[test]
fn a_record_that_the_topic_refuses_for_sure_is_not_held() {
    let cluster = Cluster::get();
    let topic = cluster.create("sure", 1);
    for codec in ["none", "snappy"] {
        let mut running = cluster.kq(["produce", &topic, "-z", codec]).stdin_open().spawn();
        running.write("before\n");
        let piece = "x".repeat(1_000_000);
        for _ in 0..200 {
            running.write(&piece);
        }
        running.write("\nafter\n");
        running.wait_for_stderr("stdin:2: larger than the topic takes (its max.message.bytes)");
        let peak = running.peak_rss_kib();
        running.close_stdin();
        running.wait().status(1).stderr_has("2 records acknowledged");
        assert!(peak < 80 << 10, "{codec}: {peak} KiB");
    }
    assert_eq!(values(&cluster, &topic), "before\nafter\nbefore\nafter\n");
}

#[test]
fn what_may_fit_is_held_up_to_a_limit_that_can_be_raised() {
    let cluster = Cluster::get();
    let topic = cluster.create("may-fit", 1);
    let line = "x".repeat(70_000_000);
    let kq =
        |extra: &[&str]| cluster.kq(["produce", &topic, "-z", "zstd"]).args(extra).stdin(line.clone()).run();
    kq(&[]).status(1).stderr_has("stdin:1: longer than 67109632 bytes").stderr_has("-X message.max.bytes=");
    kq(&["-X", "message.max.bytes=100000000"]).success();
}

#[test]
fn keys_and_headers_count_for_the_memory_too() {
    let cluster = Cluster::get();
    let topic = cluster.create("heavy", 1);
    let header = format!("h={}", "k".repeat(5000));
    let mut running = cluster.kq(["produce", &topic, "-H", &header]).stdin_open().spawn();
    running.write("v\n".repeat(40_000));
    wait_until("all of it to arrive", Duration::from_secs(40), || {
        let offsets = ["-Q", "-t", &format!("{topic}:0:-1")];
        cluster.kcat(offsets).run().success().text().contains("offset 40000")
    });
    let peak = running.peak_rss_kib();
    running.close_stdin();
    running.wait().success();
    assert!(peak < 100 << 10, "{peak} KiB");
}

#[test]
fn a_failure_is_told_while_more_is_read() {
    let cluster = Cluster::get();
    let topic = cluster.create("early", 1);
    let mut running = cluster.kq(["produce", &topic, "-z", "none"]).stdin_open().spawn();
    running.write(format!("{}\n", "x".repeat(1_500_000)));
    running.wait_for_stderr("stdin:1: larger than the topic takes");
    running.close_stdin();
    running.wait().status(1).stderr_has("1 record failed: stdin:1:");
}

#[test]
fn a_topic_or_partition_of_one_record_says_nothing_about_the_others() {
    let cluster = Cluster::get();
    let topic = cluster.create("own", 2);
    let other = |name: &str, partition: u32| {
        format!("{{\"topic\":\"{name}\",\"partition\":{partition},\"value\":\"v\"}}\n")
    };
    let mut running =
        cluster.kq(["produce", &topic, "-J", "--topic-from-record", "--keep-partition"]).stdin_open().spawn();
    running.write(other(&topic, 9) + &other("bad name", 0));
    running
        .wait_for_stderr(&format!("stdin:1: topic {topic} has no partition 9 (`kq topic describe {topic}`"));
    running.wait_for_stderr("stdin:2: `bad name` can't be a topic's name: it holds ' '");
    running.write(other(&topic, 1).repeat(3));
    running.close_stdin();
    running
        .wait()
        .status(1)
        .stderr_has("3 records acknowledged")
        .stderr_has("2 records failed, the first: stdin:1: topic ");

    let missing = cluster.topic("missing");
    cluster
        .kq(["produce", &topic, "-J", "--topic-from-record", "--no-create"])
        .stdin(other(&missing, 0))
        .run()
        .status(1)
        .stderr_has(&format!(
            "stdin:1: topic {missing} does not exist; `kq topic create {missing}` creates it, `kq topic list` shows those that exist\n"
        ));
    cluster
        .kq(["produce", "-J", "--topic-from-record"])
        .stdin(other(&topic, 0))
        .run()
        .status(2)
        .stderr_has("--topic-from-record: for records without a topic of their own: no topic: name it");
}

#[test]
fn a_report_whose_reader_stops_reading_delays_no_record() {
    let cluster = Cluster::get();
    let topic = cluster.create("reader", 1);
    let line = format!("seq 100000 | kq produce {topic} --report json | head -n 1");
    let out = cluster.program("sh", ["-c", &line]).run().success().stderr_has("100,000 records acknowledged");
    assert_eq!(out.text().lines().count(), 1);
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let cluster = Cluster::get();
    let topic = cluster.create("full", 1);
    let line = format!("seq 3 | kq produce {topic} --report json >/dev/full");
    cluster
        .program("sh", ["-c", &line])
        .run()
        .status(2)
        .stderr_has("kq: write the report to stdout: No space left on device");
}

#[test]
fn a_topic_that_is_a_file_draws_a_hint_unless_it_was_named_as_one() {
    let cluster = Cluster::get();
    let topic = cluster.create("hint", 1);
    for (args, is_hint) in
        [(vec![&*topic], true), (vec![&topic, "b"], true), (vec!["-t", &topic, "b"], false)]
    {
        let kq = cluster.kq(["produce"]).args(&args).stdin("");
        kq.file(&topic, "1\n");
        kq.file("b", "2\n");
        let said = kq.run().success().stderr;
        assert_eq!(said.contains(&format!("topic {topic} is also a file here")), is_hint, "{args:?}: {said}");
    }
}

#[test]
fn no_topic_is_made_with_the_name_of_a_file_unless_it_was_named_as_one() {
    let cluster = Cluster::get();
    let topic = cluster.topic("forgotten");
    let produce = |args: &[&str]| {
        let kq = cluster.kq(["produce"]).args(args).stdin("0\n");
        kq.file(&topic, "1\n");
        kq.run()
    };
    produce(&[&topic])
        .status(2)
        .stderr_has(&format!("topic {topic} does not exist; `kq topic create {topic}` creates it"))
        .stderr_has(&format!("it is a file here: name the topic first, as in `kq produce TOPIC {topic}`"))
        .stderr_lacks("is also a file");
    cluster.kq(["topic", "describe", &topic]).run().status(2).stderr_has("does not exist");
    produce(&["-t", &topic, &topic]).success();
    assert_eq!(values(&cluster, &topic), "1\n");
}

#[test]
fn a_rate_is_kept_after_an_idle_time_and_by_the_first_signal() {
    let cluster = Cluster::get();
    let topic = cluster.create("rate", 1);
    // kcat's -e does not end while records keep coming.
    let count = || cluster.kq(["consume", &topic, "-e"]).run().success().lines().len();
    let mut running = cluster.kq(["produce", &topic, "--rate", "20"]).stdin_open().spawn();
    running.write("first\n");
    wait_until("the first record", Duration::from_secs(20), || count() == 1);
    // Enough for twenty records, if they were made up for.
    cluster.kq(["consume", &topic, "--idle", "1s"]).run().success().stdout("first\n");
    let since = Instant::now();
    running.write("more\n".repeat(20_000));
    wait_until("the second record", Duration::from_secs(20), || count() > 1);
    running.signal(INT);
    running.wait().status(130).stderr_has("stopped by signal 2 after stdin:");
    let sent = count();
    let allowed = 1 + 20 * (since.elapsed().as_millis() as usize) / 1000 + 5;
    assert!(sent <= allowed, "{sent} records, {allowed} are the rate's: idle time was made up for");
}

#[test]
fn no_record_is_a_count_too() {
    let cluster = Cluster::get();
    let topic = cluster.create("none", 1);
    for shape in [&[][..], &["-k", "-x"]] {
        let out = cluster.kq(["produce", &topic, "-c", "0"]).args(shape).stdin("1\n2\n").run().success();
        out.stderr_has("0 records acknowledged");
    }
    assert_eq!(values(&cluster, &topic), "");
}

#[test]
fn without_an_acknowledgement_none_is_claimed() {
    let cluster = Cluster::get();
    let topic = cluster.create("acks", 1);
    let out = cluster.kq(["produce", &topic, "--acks", "0", "--report", "json"]).stdin("1\n").run().success();
    let out = out.stderr_has("kq: 1 record sent, not acknowledged (acks 0)").stderr_has("one may be lost");
    let report =
        format!("{{\"file\":\"stdin\",\"line\":1,\"topic\":\"{topic}\",\"partition\":0,\"offset\":null}}\n");
    assert_eq!(out.text(), report);
    cluster
        .kq(["produce", &topic, "--acks", "-1"])
        .stdin("2\n")
        .run()
        .success()
        .stderr_has("1 record acknowledged");
}

#[test]
fn a_signal_ends_a_wait_for_a_broker_or_for_a_pipes_writer() {
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = silent.local_addr().expect("an address").to_string();
    let running = Kq::new(["produce", "t", "-b", &address, "--timeout", "60s"]).stdin("1\n").spawn();
    running.wait_for_stderr("trying for");
    running.signal(INT);
    running.wait().status(130).stderr_has("stopped by signal 2 before anything was done");

    let cluster = Cluster::get();
    let topic = cluster.create("fifo", 1);
    let kq = cluster.kq(["produce", &topic, "a", "pipe"]);
    kq.file("a", "1\n");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        kq.dir().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("make a pipe");
    let running = kq.spawn();
    wait_until("the file's record", Duration::from_secs(20), || values(&cluster, &topic) == "1\n");
    running.signal(INT);
    running.wait().status(130).stderr_has("stopped by signal 2");
}

#[test]
fn rates_that_are_none_are_refused() {
    for rate in ["0", "-1", "1e-20", "1e300", "nan", "inf", "x"] {
        Kq::new(["produce", "t", &format!("--rate={rate}")])
            .stdin("")
            .run()
            .status(2)
            .stderr_has("records a second");
    }
}
