//! `kq produce` against a broker: framing, delivery, and an exit status that never lies.

use std::time::Duration;

use crate::support::{Cluster, INT, Kq, TERM, values, wait_until};

/// What the topic holds, as kcat prints it in this format.
fn kcat(cluster: &Cluster, topic: &str, format: &str) -> Vec<u8> {
    cluster.kcat(["-C", "-e", "-q", "-o", "beginning", "-t", topic, "-f", format]).run().success().stdout
}

#[test]
fn the_line_of_the_readme_works_word_for_word() {
    let cluster = Cluster::get();
    let kq = cluster.program("sh", ["-c", "cat data.jsonl | kq produce foo"]);
    kq.file("data.jsonl", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n");
    // The broker makes the topic; on a shared one it may hold records of earlier runs.
    kq.run().success().stderr_has("3 records acknowledged");
    let held = kcat(&cluster, "foo", "%s\n");
    assert!(String::from_utf8(held).expect("text").contains("{\"id\":2}\n"));
}

#[test]
fn lines_of_stdin_are_records_and_the_last_needs_no_newline() {
    let cluster = Cluster::get();
    let topic = cluster.create("lines", 1);
    cluster.kq(["produce", &topic]).stdin("a\n\nb c\r\nlast").run().success().stdout("");
    assert_eq!(values(&cluster, &topic), "a\n\nb c\r\nlast\n");
}

#[test]
fn empty_input_is_no_record_and_no_error() {
    let cluster = Cluster::get();
    let topic = cluster.create("empty", 1);
    cluster.kq(["produce", &topic]).stdin("").run().success().stderr_has("0 records");
    assert_eq!(values(&cluster, &topic), "");
}

#[test]
fn a_stdin_that_is_closed_is_no_empty_input() {
    let cluster = Cluster::get();
    let topic = cluster.create("closed", 1);
    let run = |line: &str| {
        let kq = cluster.program("sh", ["-c", &format!("kq produce {topic} {line}")]);
        kq.file("a", "1\n");
        kq.run()
    };
    for line in ["<&-", "a - <&-"] {
        let closed = "kq: stdin is closed: nothing was sent (</dev/null is an empty input)\n";
        run(line).status(2).stderr(closed);
    }
    run("</dev/null").success().stderr_has("0 records acknowledged");
    run("a <&-").success().stderr_has("1 record acknowledged");
    assert_eq!(values(&cluster, &topic), "1\n");
}

#[test]
fn any_bytes_arrive_as_they_are() {
    let cluster = Cluster::get();
    let topic = cluster.create("bytes", 1);
    let all: Vec<u8> = (0..=255).filter(|&b| b != b'\n').collect();
    cluster.kq(["produce", &topic]).stdin(&all).run().success();
    assert_eq!(kcat(&cluster, &topic, "%s"), all);
}

#[test]
fn files_are_read_in_order_and_a_dash_is_stdin() {
    let cluster = Cluster::get();
    let topic = cluster.create("files", 1);
    let kq = cluster.kq(["produce", &topic, "a", "-", "b"]).stdin("2\n");
    kq.file("a", "1\n");
    kq.file("b", "3");
    kq.run().success();
    assert_eq!(values(&cluster, &topic), "1\n2\n3\n");
}

#[test]
fn with_t_every_positional_is_a_file() {
    let cluster = Cluster::get();
    let topic = cluster.create("flag", 1);
    let kq = cluster.kq(["produce", "-t", &topic, "a", "b"]);
    kq.file("a", "1\n");
    kq.file("b", "2\n");
    kq.run().success();
    assert_eq!(values(&cluster, &topic), "1\n2\n");
}

#[test]
fn delimiters_nul_and_whole_files_frame_records() {
    let cluster = Cluster::get();
    let topic = cluster.create("frames", 1);
    cluster.kq(["produce", &topic, "-D", "\\x7c\\x7c"]).stdin("a||b|c||d").run().success();
    cluster.kq(["produce", &topic, "-0"]).stdin("e\nf\0g\0").run().success();
    let whole = cluster.kq(["produce", &topic, "--whole", "x", "empty"]);
    whole.file("x", "two\nlines\n");
    whole.file("empty", "");
    whole.run().success();
    assert_eq!(kcat(&cluster, &topic, "[%s]"), b"[a][b|c][d][e\nf][g][two\nlines\n][]");
}

#[test]
fn keys_nulls_and_headers_arrive() {
    let cluster = Cluster::get();
    let topic = cluster.create("keys", 1);
    cluster.kq(["produce", &topic, "-K", ":", "-Z"]).stdin("a:1\nb:\n:2\nc:x:y\n").run().success();
    cluster.kq(["produce", &topic, "-k", "k", "--null", "NUL"]).stdin("NUL\nv\n").run().success();
    cluster.kq(["produce", &topic, "-H", "h=1", "-H", "n", "-H", "h="]).stdin("v\n").run().success();
    assert_eq!(
        String::from_utf8(kcat(&cluster, &topic, "%K %k %S %s %h\n")).expect("text"),
        "1 a 1 1 \n1 b -1  \n-1  1 2 \n1 c 3 x:y \n1 k -1  \n1 k 1 v \n-1  1 v h=1,n=NULL,h=\n"
    );
}

#[test]
fn keys_are_found_in_values() {
    let cluster = Cluster::get();
    let topic = cluster.create("keyfrom", 1);
    let lines = "{\"order\":{\"id\":\"a\"},\"n\": 1}\n{\"order\":{\"id\": 2.50}}\n{}\n";
    let keyed = ["produce", &topic, "--key-from", "json:/order/id"];
    cluster
        .kq(keyed)
        .stdin(lines)
        .run()
        .status(1)
        .stderr_has("\nkq: 1 record invalid and not sent: stdin:3: no key: the value has nothing at /order/id, or null (--key-optional lets records be without a key)\n");
    cluster.kq(keyed).args(["--key-optional"]).stdin("{}\nno json\n").run().success();
    // A record that has a key keeps it.
    let records = r#"{"key":"k","value":"{}"}
{"value":"{\"order\":{\"id\":null,\"id\":\"\\u00e9\"}}"}"#;
    cluster.kq(keyed).args(["-J"]).stdin(records).run().success();
    assert_eq!(
        String::from_utf8(kcat(&cluster, &topic, "%K %k %s\n")).expect("text"),
        "1 a {\"order\":{\"id\":\"a\"},\"n\": 1}\n4 2.50 {\"order\":{\"id\": 2.50}}\n-1  {}\n-1  no json\n\
         1 k {}\n2 é {\"order\":{\"id\":null,\"id\":\"\\u00e9\"}}\n"
    );
}

#[test]
fn a_place_of_keys_that_is_none_or_that_is_given_twice_is_a_usage_error() {
    let kq = |flags: &[&str]| {
        Kq::new(["produce", "-b", "localhost:1", "t"]).args(flags).stdin("{}\n").run().status(2)
    };
    kq(&["--key-from", "/id"]).stderr_has("give json:/POINTER, as in json:/order/id");
    kq(&["--key-from", "json:id"]).stderr_has("is not a JSON pointer such as /order/id");
    for flags in [["-k", "k"], ["-K", ":"]] {
        kq(&["--key-from", "json:/id"].into_iter().chain(flags).collect::<Vec<_>>())
            .stderr_has("cannot be used with");
    }
    kq(&["--key-optional"]).stderr_has("--key-delimiter <STR>|--key-from <json:/POINTER>");
}

#[test]
fn a_line_without_its_key_is_named_and_stops_the_reading() {
    let cluster = Cluster::get();
    let topic = cluster.create("nokey", 1);
    cluster
        .kq(["produce", &topic, "-K", ":"])
        .stdin("a:1\nb:2\nbroken\nc:3\n")
        .run()
        .status(1)
        .stderr_has("\nkq: 1 record invalid and not sent: stdin:3: no key delimiter \":\" in it (--key-optional lets records be without a key)\n")
        .stderr_has("\nkq: stopped at stdin:3; nothing after it was read (--on-invalid skip goes on)\n");
    assert_eq!(values(&cluster, &topic), "1\n2\n");
    cluster.kq(["produce", &topic, "-K", ":", "--key-optional"]).stdin("free\n").run().success();
    assert_eq!(values(&cluster, &topic), "1\n2\nfree\n");
}

/// All of stderr but the line of rates.
fn said(output: &crate::support::Output) -> String {
    output.stderr.lines().filter(|line| !line.contains(" acknowledged, ")).map(|l| format!("{l}\n")).collect()
}

#[test]
fn what_is_no_record_is_named_and_passed_over_where_that_is_wanted() {
    let cluster = Cluster::get();
    let topic = cluster.create("skip", 1);
    let out = cluster
        .kq(["produce", &topic, "-K", ":", "--on-invalid", "skip"])
        .stdin("a:1\nno\nb:2\nno\nc:3")
        .run()
        .status(1)
        .stderr_has("3 records acknowledged, 6 B");
    let why = "no key delimiter \":\" in it (--key-optional lets records be without a key)";
    assert_eq!(
        said(&out),
        format!(
            "kq: stdin:2: not sent: {why}\nkq: stdin:4: not sent: {why}\n\
             kq: 2 records invalid and not sent, the first: stdin:2: {why}\n"
        )
    );
    assert_eq!(values(&cluster, &topic), "1\n2\n3\n");
    let out = cluster
        .kq(["produce", &topic, "-J", "--on-invalid", "skip"])
        .stdin("{\"value\":\"4\"}\n{}\n{\"value\":\"5\"}\n")
        .run()
        .status(1);
    assert!(said(&out).starts_with("kq: stdin:2: not sent: not a JSON record: no value"), "{out}");
    assert_eq!(values(&cluster, &topic), "1\n2\n3\n4\n5\n");
}

#[test]
fn values_that_are_no_json_stop_the_reading_and_are_not_sent() {
    let cluster = Cluster::get();
    let topic = cluster.create("json", 1);
    let kq = cluster.kq(["produce", &topic, "--validate", "json", "a", "b"]);
    kq.file("a", "{\"a\":1}\n[2,2]\n");
    kq.file("b", "3\n{\"a\":}\n4\n");
    let out = kq.run().status(1).stderr_has("3 records acknowledged");
    assert_eq!(
        said(&out),
        "kq: 1 record invalid and not sent: b:2: not JSON: expected value (column 6)\n\
         kq: stopped at b:2; nothing after it was read (--on-invalid skip goes on)\n"
    );
    assert_eq!(values(&cluster, &topic), "{\"a\":1}\n[2,2]\n3\n");
}

#[test]
fn a_schema_is_applied_to_each_value_and_not_to_tombstones() {
    let cluster = Cluster::get();
    let topic = cluster.create("schema", 1);
    let schema = r#"{"type":"object","required":["id"],"properties":{"id":{"type":"integer"}}}"#;
    let kq = |input: &str, flags: &[&str]| {
        let kq = cluster.kq(["produce", &topic, "--validate", "s.json", "--on-invalid", "skip"]).args(flags);
        kq.file("s.json", schema);
        kq.stdin(input).run().status(1)
    };
    let out = kq("{\"id\":1}\n{\"id\":\"x\"}\n{}\n", &[]);
    assert_eq!(
        said(&out),
        "kq: stdin:2: not sent: against the schema: \"x\" is not of type \"integer\" (at /id)\n\
         kq: stdin:3: not sent: against the schema: \"id\" is a required property\n\
         kq: 2 records invalid and not sent, the first: \
         stdin:2: against the schema: \"x\" is not of type \"integer\" (at /id)\n"
    );
    // With -J it is the record's value, and with -K what follows the key.
    kq("{\"value\":\"{\\\"id\\\":2}\"}\n{\"value\":null}\n{\"value\":\"{}\"}\n", &["-J"])
        .stderr_has("2 records acknowledged");
    kq("k:{\"id\":3}\nk:\nk:{}\n", &["-K", ":", "-Z"]).stderr_has("2 records acknowledged");
    assert_eq!(
        String::from_utf8(kcat(&cluster, &topic, "%S %s\n")).expect("text"),
        "8 {\"id\":1}\n8 {\"id\":2}\n-1 \n8 {\"id\":3}\n-1 \n"
    );
}

#[test]
fn many_invalid_records_are_counted_and_only_the_first_are_shown() {
    let cluster = Cluster::get();
    let topic = cluster.create("bounded", 1);
    let out = cluster
        .kq(["produce", &topic, "--validate", "json", "--on-invalid", "skip"])
        .stdin("x\n".repeat(5000))
        .run()
        .status(1)
        .stderr_has("\nkq: 5,000 records invalid and not sent, the first: stdin:1: not JSON:");
    assert_eq!(out.stderr.matches(": not sent: ").count(), 10);
    assert_eq!(out.stderr.lines().count(), 13, "{out}");
}

#[test]
fn a_bad_schema_is_found_before_anything_is_sent() {
    let cluster = Cluster::get();
    let topic = cluster.create("badschema", 1);
    for (schema, part) in [
        ("{\"type\":\"what\"}", "can't be used as a JSON Schema"),
        ("{", "not JSON"),
        ("{\"$ref\":\"other.json\"}", "put other.json under its $defs"),
        ("{\"$ref\":\"http://127.0.0.1:1/s.json\"}", "put http://127.0.0.1:1/s.json under its $defs"),
    ] {
        let kq = cluster.kq(["produce", &topic, "--validate", "s.json"]).stdin("{}\n");
        kq.file("s.json", schema);
        kq.run().status(2).stderr_has("--validate s.json").stderr_has(part);
    }
    let kq = cluster.kq(["produce", &topic, "--validate", "missing.json"]).stdin("{}\n");
    kq.run().status(2).stderr_has("--validate missing.json").stderr_has("No such file");
    assert_eq!(values(&cluster, &topic), "");
}

#[test]
fn snappy_is_the_default_and_every_codec_arrives() {
    let cluster = Cluster::get();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd", "zstd:3"] {
        let topic = cluster.create("codec", 1);
        let lines = "the same line again and again\n".repeat(200);
        cluster.kq(["produce", &topic, "-z", codec]).stdin(&lines).run().success();
        assert_eq!(values(&cluster, &topic), lines, "{codec}");
    }
    let help = Kq::new(["produce", "--help"]).run().success();
    assert!(help.text().contains("[default: snappy]"));
}

#[test]
fn keys_go_where_javas_partitioner_puts_them() {
    // murmur2 of "a" … "e" modulo 4, from org.apache.kafka.common.utils.Utils (Kafka 4.1).
    let cluster = Cluster::get();
    let topic = cluster.create("murmur", 4);
    cluster.kq(["produce", &topic, "-K", ":"]).stdin("a:1\nb:1\nc:1\nd:1\ne:1\n").run().success();
    let again = cluster.create("murmur", 4);
    cluster
        .kcat(["-P", "-t", &again, "-K", ":", "-X", "topic.partitioner=murmur2"])
        .stdin("a:1\nb:1\nc:1\nd:1\ne:1\n")
        .run()
        .success();
    let sorted = |topic: &str| {
        let mut lines: Vec<String> = String::from_utf8(kcat(&cluster, topic, "%k %p\n"))
            .expect("text")
            .lines()
            .map(Into::into)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&topic), sorted(&again));
}

#[test]
fn what_no_flag_says_a_variable_or_a_file_may_say() {
    let cluster = Cluster::get();
    let topic = cluster.create("ranks", 1);
    let off = "kq: acks 1: idempotence is off, a retry may duplicate a record\n";
    let kq = |args: &[&str], x: &str| {
        let kq = cluster.kq(["produce", &topic]).args(args).env("KQ_X", x).stdin("a\n");
        kq.file("f", "acks=1\ncompression.type=gzip\n");
        kq.run().success()
    };
    kq(&[], "").stderr_lacks(off);
    kq(&[], "acks=1").stderr_has(off);
    kq(&["-F", "f"], "").stderr_has(off);
    kq(&["-F", "f"], "acks=all").stderr_lacks(off);
    kq(&["--acks", "all"], "acks=1").stderr_lacks(off);
    kq(&["--acks", "all", "-X", "acks=1"], "").stderr_has(off);
    // Without a key and with Java's own partitioner, which has no place for it but one.
    let many = cluster.create("ranks", 4);
    let lines = "a\n".repeat(5000);
    cluster.kq(["produce", &many]).env("KQ_X", "partitioner=murmur2").stdin(&lines).run().success();
    let mut partitions = String::from_utf8(kcat(&cluster, &many, "%p")).expect("text").into_bytes();
    partitions.dedup();
    assert_eq!(partitions.len(), 1);
}

#[test]
fn a_partition_can_be_chosen_and_one_that_is_not_there_fails() {
    let cluster = Cluster::get();
    let topic = cluster.create("part", 3);
    cluster.kq(["produce", &topic, "-p", "2"]).stdin("a\nb\n").run().success();
    assert_eq!(kcat(&cluster, &topic, "%p %s\n"), b"2 a\n2 b\n");
    let missing = cluster.kq(["produce", &topic, "-p", "7"]).stdin("a\n").run();
    missing.status(2).stderr_has(&format!("topic {topic} has no partition 7; it has 3 of them"));
}

#[test]
fn a_record_above_the_brokers_limit_fails_alone() {
    let cluster = Cluster::get();
    let topic = cluster.create("large", 1);
    let large = "x".repeat(3_000_000);
    let lines = format!("{}{large}\n{}", "before\n".repeat(50_000), "after\n".repeat(50_000));
    // Uncompressed, since the broker's limit is on what travels.
    let out = cluster
        .kq(["produce", &topic, "-z", "none"])
        .stdin(lines)
        .run()
        .status(1)
        .stderr_has("100,000 records acknowledged, 550.00 kB");
    assert_eq!(
        said(&out),
        "kq: 1 record failed: stdin:50001: larger than the topic takes (its max.message.bytes)\n"
    );
    let held = values(&cluster, &topic);
    assert_eq!(held, format!("{}{}", "before\n".repeat(50_000), "after\n".repeat(50_000)));
}

#[test]
fn a_topic_with_a_low_limit_takes_all_that_is_under_it_in_order() {
    // A batch takes 14 of them: more would take a busy broker a minute.
    const RECORDS: usize = 20_000;
    let cluster = Cluster::get();
    for codec in ["none", "snappy"] {
        let topic = cluster.topic("low");
        cluster
            .kq(["topic", "create", &topic, "--partitions", "1", "--config", "max.message.bytes=2000"])
            .run()
            .success();
        let line = |n: usize| format!("{n:0135}\n");
        let (first, second): (String, String) =
            ((0..RECORDS / 2).map(line).collect(), (RECORDS / 2..RECORDS).map(line).collect());
        // What can't be compressed, in the middle.
        let mut state = 1u64;
        let large: String = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (state >> 40) as u8 % 90)
        })
        .take(4000)
        .collect();
        let out = cluster
            .kq(["produce", &topic, "-z", codec])
            .stdin(format!("{first}{large}\n{second}"))
            .run()
            .status(1)
            .stderr_has("20,000 records acknowledged, 2.70 MB");
        assert_eq!(
            said(&out),
            "kq: 1 record failed: stdin:10001: larger than the topic takes (its max.message.bytes) (partition 0)\n"
        );
        assert!(values(&cluster, &topic) == first + &second, "the records in their order");
    }
}

#[test]
fn an_input_that_breaks_off_is_named_and_what_came_before_is_delivered() {
    let cluster = Cluster::get();
    let topic = cluster.create("broken", 1);
    // It opens as a file, and nothing can be read at its start.
    let kq = cluster.kq(["produce", &topic, "a", "/proc/self/mem", "b"]);
    kq.file("a", "1\n2\n");
    kq.file("b", "3\n");
    let out = kq.run().status(1).stderr_has("2 records acknowledged, 2 B");
    assert_eq!(
        said(&out),
        "kq: stopped after /proc/self/mem:0; the file after it was not read: read /proc/self/mem: Input/output error (os error 5)\n"
    );
    assert_eq!(values(&cluster, &topic), "1\n2\n");
}

#[test]
fn a_wrong_path_is_found_before_anything_is_sent() {
    let cluster = Cluster::get();
    let topic = cluster.create("paths", 1);
    let kq = cluster.kq(["produce", &topic, "a", "missing"]);
    kq.file("a", "1\n");
    kq.run().status(2).stderr("kq: read missing: nothing was sent: No such file or directory (os error 2)\n");
    let kq = cluster.kq(["produce", &topic, "a", "missing", "b"]);
    kq.file("a", "1\n");
    kq.file("b", "1\n");
    kq.run().status(2).stderr("kq: read missing: nothing was sent: No such file or directory (os error 2)\n");
    let whole =
        |name: &str| format!("kq: read {name}: it is a directory; name the files in it (nothing was sent)\n");
    cluster.kq(["produce", &topic, "."]).run().status(2).stderr(&whole("."));
    let folder = std::fs::File::open("/").expect("a directory");
    cluster.kq(["produce", &topic]).stdin_from(folder).run().status(2).stderr(&whole("stdin"));
    assert_eq!(values(&cluster, &topic), "");
}

#[test]
fn a_missing_topic_is_refused_where_creation_is_not_wanted() {
    let cluster = Cluster::get();
    let topic = cluster.topic("missing");
    cluster
        .kq(["produce", &topic, "--no-create"])
        .stdin("a\n")
        .run()
        .status(2)
        .stderr_has(&format!("kq topic create {topic}"));
}

#[test]
fn a_count_and_a_signal_stop_the_reading_and_deliver_what_was_read() {
    let cluster = Cluster::get();
    let topic = cluster.create("count", 1);
    cluster.kq(["produce", &topic, "-n", "2"]).stdin("1\n2\n3\n").run().success();
    assert_eq!(values(&cluster, &topic), "1\n2\n");
    for (signal, status, expected) in [(TERM, 143, "1\n2\nlive\n"), (INT, 130, "1\n2\nlive\nlive\n")] {
        let mut running = cluster.kq(["produce", &topic]).stdin_open().spawn();
        running.write("live\n");
        wait_until("the record to arrive", Duration::from_secs(20), || values(&cluster, &topic) == expected);
        running.signal(signal);
        running.wait_for_stderr("stopped by signal");
        running.wait().status(status).stderr_has("stdin:1");
    }
}

#[test]
fn idle_input_is_flushed_while_the_pipe_stays_open() {
    let cluster = Cluster::get();
    let topic = cluster.create("live", 1);
    let mut running = cluster.kq(["produce", &topic]).stdin_open().spawn();
    running.write("one\n");
    wait_until("the first record", Duration::from_secs(20), || values(&cluster, &topic) == "one\n");
    running.write("two\n");
    wait_until("the second record", Duration::from_secs(20), || values(&cluster, &topic) == "one\ntwo\n");
    running.close_stdin();
    running.wait().success().stderr_has("2 records acknowledged");
}

#[test]
fn a_report_names_topic_partition_and_offset_of_each_record() {
    let cluster = Cluster::get();
    let topic = cluster.create("report", 1);
    let other = cluster.create("report", 1);
    let line = |line: u32, topic: &str, offset: u32| {
        format!(
            "{{\"file\":\"stdin\",\"line\":{line},\"topic\":\"{topic}\",\"partition\":0,\"offset\":{offset}}}\n"
        )
    };
    let out = cluster.kq(["produce", &topic, "--report", "json"]).stdin("a\nb\n").run().success();
    assert_eq!(out.text(), line(1, &topic, 0) + &line(2, &topic, 1));
    // Where records choose, the lines come in the order of the acknowledgements.
    let records = format!("{{\"topic\":\"{other}\",\"value\":\"a\"}}\n{{\"value\":\"b\"}}\n");
    let kq = cluster.kq(["produce", &topic, "-J", "--topic-from-record", "--report", "json"]);
    let out = kq.stdin(records).run().success();
    let mut lines = out.lines();
    lines.sort_unstable();
    assert_eq!(lines.join("\n") + "\n", line(1, &other, 0) + &line(2, &topic, 2));
}

#[test]
fn values_compressed_by_themselves_have_a_header_and_are_decompressed() {
    let cluster = Cluster::get();
    let topic = cluster.create("valuecodec", 1);
    let line = "again and again ".repeat(50);
    cluster.kq(["produce", &topic, "--value-codec", "snappy"]).stdin(&line).run().success();
    assert_eq!(kcat(&cluster, &topic, "%h"), b"content-encoding=snappy");
    assert!(kcat(&cluster, &topic, "%s").len() < line.len() / 2);
    cluster.kq(["consume", &topic, "-e"]).run().success().stdout(format!("{line}\n"));
}

#[test]
fn wrong_flags_say_what_is_wrong() {
    let kq = |args: &[&str]| Kq::new(args).stdin("").run().status(2);
    kq(&["produce"]).stderr_has("KQ_TOPIC");
    kq(&["produce", "t", "-D", ""]).stderr_has("-D");
    kq(&["produce", "t", "-K", "\\q"]).stderr_has("-K");
    kq(&["produce", "t", "-H", "=v"]).stderr_has("-H");
    kq(&["produce", "t", "--acks", "2"]).stderr_has("--acks");
    kq(&["produce", "t", "-z", "brotli"]).stderr_has("brotli").stderr_has("snappy");
    kq(&["produce", "t", "-z", "gzip:99"]).stderr_has("levels 0 to 9");
    kq(&["produce", "t", "-z", "snappy:1"]).stderr_has("no levels");
    for timeout in ["0", "5ms", "25d"] {
        kq(&["produce", "t", "--delivery-timeout", timeout])
            .stderr_has("--delivery-timeout")
            .stderr_has("give a time from 10ms to 24d");
    }
    kq(&["produce", "t", "--timestamp", "9223372036854775808"])
        .stderr_has("--timestamp: 9223372036854775808 is more milliseconds than a time can have");
    kq(&["produce", "t", "--timestamp", "1753140491"]).stderr_has("--timestamp: 1753140491 is ambiguous");
}
