//! What a worker's command reads on its stdin, what ends it, and the note on a shell's loop that would miss it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Cluster, Kq, once, topic_with};

/// Prints in hexadecimal what it reads, in one line.
const HEX: &str = "od -An -v -tx1 | tr -d ' \n'; echo";

/// What the note says.
const NOTE: &str = "`while read` leaves out a last line without a newline";

/// A loop that needs a newline at the end of the last line.
const LOOP: &str = "while IFS= read -r line; do echo \"<$line>\"; done";

/// A topic of one partition with these records, in kq's JSON form.
fn topic_of(cluster: &Cluster, records: &[Value]) -> String {
    let topic = cluster.create("stdin", 1);
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    cluster.kq(["produce", &topic, "-J"]).stdin(lines).run().success();
    topic
}

/// A worker of one job in a group of its own.
fn worker(cluster: &Cluster, topic: &str, flags: &[&str], script: &str) -> Kq {
    let group = cluster.topic("g");
    once(cluster, topic, &[&["-j1", "-g", &group], flags].concat(), &["sh", "-c", script])
}

#[test]
fn a_delimiter_ends_each_value_and_a_tombstone_stays_empty() {
    let cluster = Cluster::get();
    let records = [
        json!({"value": "a"}),
        json!({"value": "b\n"}),
        json!({"value": ""}),
        json!({"value": null, "key": "k"}),
    ];
    let topic = topic_of(&cluster, &records);
    for (flags, expected) in [
        (&[][..], "61\n620a\n\n\n"),
        (&["-D", "\\n"], "610a\n620a0a\n0a\n\n"),
        (&["-D\\0"], "6100\n620a00\n00\n\n"),
        (&["--delimiter=-\\x2d"], "612d2d\n620a2d2d\n2d2d\n\n"),
        (&["-D", ""], "61\n620a\n\n\n"),
        (&["--stdin", "value", "-D", "\n"], "610a\n620a0a\n0a\n\n"),
    ] {
        worker(&cluster, &topic, flags, HEX).run().success().stdout(expected);
    }
    let null = "cat; echo \"$KQ_RECORD_VALUE_NULL\"";
    worker(&cluster, &topic, &["-D", ";"], null).run().success().stdout("a;\nb\n;\n;\n1\n");
}

#[test]
fn the_delimiter_comes_after_the_decompressed_value_and_after_a_long_one() {
    let cluster = Cluster::get();
    let topic = cluster.create("long", 1);
    let long = "x".repeat(3 << 20);
    for value in ["hello", &long] {
        cluster.kq(["produce", &topic, "--value-codec", "snappy", "--whole"]).stdin(value).run().success();
    }
    let ends = worker(&cluster, &topic, &["-D", "!\\n"], "tee copy | tail -c 3 | tr -d '\\n'; wc -c < copy");
    ends.run().success().stdout(format!("o!7\nx!{}\n", long.len() + 2));
}

#[test]
fn a_command_reads_the_whole_record_as_json() {
    let cluster = Cluster::get();
    let records = [
        json!({"key": "k", "value": "a\nb", "headers": [["h", "v"], ["h", null]], "timestamp": 1_700_000_000_000_i64}),
        json!({"key": null, "value_base64": STANDARD.encode(b"\xff\0")}),
        json!({"key": "gone", "value": null}),
    ];
    let topic = topic_of(&cluster, &records);
    cluster.kq(["produce", &topic, "--value-codec", "snappy"]).stdin("packed\n").run().success();
    let ended = worker(&cluster, &topic, &["--stdin", "json"], "tee copy; wc -l < copy").run().success();
    let printed: Vec<&str> = ended.text().lines().collect();
    assert_eq!(printed.len(), 8, "each is one line: {ended}");
    assert!(printed.iter().skip(1).step_by(2).all(|count| count.trim() == "1"), "{ended}");
    let read: Vec<Value> =
        printed.iter().step_by(2).map(|line| serde_json::from_str(line).expect("an object")).collect();
    for (offset, (read, sent)) in read.iter().zip(&records).enumerate() {
        assert_eq!((&read["topic"], &read["offset"]), (&json!(topic), &json!(offset)), "{read}");
        for (name, value) in sent.as_object().expect("an object") {
            assert_eq!(&read[name], value, "{read}");
        }
    }
    // Decompressed, and without the header that said how: as with --persistent.
    assert_eq!((&read[3]["value"], &read[3]["headers"]), (&json!("packed"), &json!([])));
    assert_eq!(read[0].get("id"), None);
    // What it reads can be produced again.
    let copy = cluster.create("copy", 1);
    let produce = format!("kq produce {copy} -J -q");
    worker(&cluster, &topic, &["--stdin", "json"], &produce).run().success();
    let both = [&copy, &topic].map(|topic| {
        let format = "%k %s %T\n";
        cluster.kq(["consume", topic, "-e", "-o", "0", "-n", "3", "-f", format]).run().success().stdout
    });
    assert_eq!(both[0], both[1]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let cluster = Cluster::get();
    for (flags, part) in [
        (&["--stdin", "json", "-D", "\\n"][..], "--stdin json ends each record with a newline"),
        (&["--persistent", "-D", "\\n"], "cannot be used with"),
        (&["--persistent", "--stdin", "json"], "cannot be used with"),
        (&["-D", "\\q"], "-D: unknown escape \\q"),
        (&["--stdin", "xml"], "[possible values: value, json]"),
    ] {
        let kq = cluster.kq(["worker", "stdin"]).args(flags).args(["--", "cat"]);
        kq.run().status(2).stderr_has(part);
    }
}

#[test]
fn a_loop_that_needs_a_newline_is_named_and_gets_it_with_a_delimiter() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "loop", 1, "a\nb\n");
    let ended = worker(&cluster, &topic, &[], LOOP).run().success().stdout("");
    ended.stderr_has(NOTE).stderr_has("-D '\\n'").stderr_has("|| [ -n \"$line\" ]");
    worker(&cluster, &topic, &["-D", "\\n"], LOOP).run().success().stdout("<a>\n<b>\n").stderr_lacks(NOTE);
    let right = LOOP.replace("read -r line", "read -r line || [ -n \"$line\" ]");
    worker(&cluster, &topic, &[], &right).run().success().stdout("<a>\n<b>\n").stderr_lacks(NOTE);
}

#[test]
fn the_note_comes_for_a_string_and_a_script_and_not_where_a_flag_settles_it() {
    let cluster = Cluster::get();
    // It is said before anything else is tried.
    let run = |kq: Kq| kq.env("KQ_BROKERS", "127.0.0.1:1").env("KQ_TIMEOUT", "200ms").run().status(2);
    let worker = || Kq::new(["worker", "stdin", "-g", "g"]);
    run(worker().args(["--", LOOP])).stderr_has(NOTE);
    run(worker().args(["--shell", LOOP])).stderr_has(NOTE);
    let script = |start: &str| {
        let kq = worker();
        let path = kq.script("handler", format!("{start}{LOOP}\n"));
        kq.arg("--").arg(path)
    };
    for start in ["#!/bin/sh\n", "", "#!/bin/sh\n# a comment\nset -eu\n"] {
        run(script(start)).stderr_has(NOTE).stderr_has("/handler: ");
    }
    run(script("#!/usr/bin/env awk -f\n")).stderr_lacks(NOTE);
    for flags in [&["-D", "\\n"][..], &["-D", ""], &["--persistent"], &["--stdin", "json"], &["-q"]] {
        run(worker().args(flags).args(["--", LOOP])).stderr_lacks(NOTE);
    }
    for other in
        ["cat | while read -r line; do :; done", "while read -r line; do :; done < /etc/hostname", "cat"]
    {
        run(worker().args(["--", other])).stderr_lacks(NOTE);
    }
    drop(cluster);
}

#[test]
fn the_example_that_reads_lines_gets_the_last_one() {
    let cluster = Cluster::get();
    let topic =
        topic_of(&cluster, &[json!({"value": "a\nb"}), json!({"value": ""}), json!({"value": "c\n\n"})]);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/handlers/lines.sh");
    let lines = [(0, 1, "a"), (0, 2, "b"), (2, 1, "c"), (2, 2, "")];
    let expected = lines.map(|(offset, number, line)| format!("{topic}/0/{offset} line {number}: {line}\n"));
    once(&cluster, &topic, &["-j1"], &[example]).run().success().stdout(expected.concat()).stderr_lacks(NOTE);
}

#[test]
fn the_examples_lose_no_last_line() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/handlers");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("read the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            seen += 1;
            let kq =
                Kq::new(["worker", "t", "-b", "127.0.0.1:1", "--timeout", "200ms", "--", "sh"]).arg(&path);
            kq.run().status(2).stderr_lacks(NOTE);
        }
    }
    assert!(seen > 1, "scripts in {folder}");
}
