//! Values that were compressed by themselves: one rule about headers for consume and for worker.

use crate::support::{Cluster, Kq};

const TEXT: &str = "some text, some text, and some text again";

fn gzip(value: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, value).expect("write to memory");
    gzip.finish().expect("flush to memory")
}

fn snappy(value: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(value).expect("a short value")
}

/// A topic that holds this value once, with these headers.
fn holding(cluster: &Cluster, hint: &str, headers: &[&str], value: &[u8]) -> String {
    let topic = cluster.create(hint, 1);
    let headers = headers.iter().flat_map(|header| ["-H", header]);
    cluster.kq(["produce", &topic, "--whole"]).args(headers).stdin(value).run().success();
    topic
}

fn consume(cluster: &Cluster, topic: &str, args: &[&str]) -> Kq {
    cluster.kq(["consume", topic, "-e"]).args(args)
}

/// A worker that handles the records up to now in a group of this name, and ends.
fn worker(cluster: &Cluster, topic: &str, group: &str, args: &[&str], script: &str) -> Kq {
    let flags = ["worker", topic, "-e", "-g", group, "--retries", "0"];
    cluster.kq(flags).args(args).args(["--", "sh", "-c", script])
}

const LISTS: [&[&str]; 4] = [
    &["a=1", "content-encoding=snappy, gzip", "b=2"],
    &["content-encoding=snappy", "a=1", "content-encoding=gzip", "b=2"],
    &["content-encoding=identity,Snappy", "a=1", "b=2", "content-encoding= X-GZIP ,"],
    &["a=1", "content-encoding=SNAPPY,,gzip", "b=2", "content-encoding=identity"],
];

#[test]
fn consume_and_worker_remove_a_list_of_codings_and_the_headers_that_name_it() {
    let cluster = Cluster::get();
    for (i, headers) in LISTS.into_iter().enumerate() {
        let topic = holding(&cluster, &format!("list{i}"), headers, &gzip(&snappy(TEXT.as_bytes())));
        consume(&cluster, &topic, &[]).run().success().stdout(format!("{TEXT}\n"));
        consume(&cluster, &topic, &["-f", "%s|%h|%{header:content-encoding}\\n"])
            .run()
            .success()
            .stdout(format!("{TEXT}|a=1,b=2|\n"));
        consume(&cluster, &topic, &["-J", "--decode", "auto"])
            .run()
            .success()
            .demand("the value and no coding", |out| {
                out.text().contains(&format!(r#""value":"{TEXT}","headers":[["a","1"],["b","2"]]}}"#))
            });
        let script = "cat; echo \" $KQ_RECORD_HEADERS\"";
        worker(&cluster, &topic, &topic, &[], script)
            .run()
            .success()
            .stdout(format!("{TEXT} [[\"a\",\"1\"],[\"b\",\"2\"]]\n"));
        let script = "while IFS= read -r line; do id=${line#*:}; id=${id%%,*}
            echo \"$line\" >&2; echo \"{\\\"id\\\":$id,\\\"ok\\\":true}\"; done";
        worker(&cluster, &topic, &format!("{topic}-p"), &["--persistent", "-j1"], script)
            .run()
            .success()
            .stderr_has(&format!(r#""value":"{TEXT}","headers":[["a","1"],["b","2"]]"#));
    }
}

#[test]
fn copied_headers_of_a_command_output_leave_every_coding_out() {
    let cluster = Cluster::get();
    let topic = holding(&cluster, "copied", LISTS[1], &gzip(&snappy(TEXT.as_bytes())));
    let output = cluster.create("copy", 1);
    worker(&cluster, &topic, &topic, &["--output-topic", &output, "--copy-headers"], "cat").run().success();
    consume(&cluster, &output, &["--decode", "none", "-f", "%h %s\\n"])
        .run()
        .success()
        .stdout(format!("a=1,b=2 {TEXT}\n"));
}

#[test]
fn a_list_with_one_coding_that_can_not_be_removed_leaves_the_value_and_its_headers_as_they_came() {
    let cluster = Cluster::get();
    let value = gzip(TEXT.as_bytes());
    for (i, (header, why)) in [
        ("content-encoding=br, gzip", "says br, which kq can't decompress"),
        ("content-encoding=utf-8,gzip", "says utf-8, which kq can't decompress"),
        // gzip could be removed, and zstd below it is none.
        ("content-encoding=zstd,gzip", "says zstd, but: "),
    ]
    .into_iter()
    .enumerate()
    {
        let topic = holding(&cluster, &format!("broken{i}"), &[header], &value);
        let as_it_came = [value.as_slice(), format!("|{header}").as_bytes()].concat();
        consume(&cluster, &topic, &["-f", "%s|%h"]).run().status(1).stdout(as_it_came).stderr_has(why);
        worker(&cluster, &topic, &topic, &[], "cat").run().status(1).stdout(&value).stderr_has(why);
    }
}

#[test]
fn max_decoded_bounds_every_step() {
    let cluster = Cluster::get();
    let large = "x".repeat(10_000);
    let twice = gzip(&gzip(large.as_bytes()));
    let topic = holding(&cluster, "steps", &["content-encoding=gzip, gzip"], &twice);
    let read = |max: &str| consume(&cluster, &topic, &["-D", "", "--max-decoded", max]).run();
    read("10000").success().stdout(&large);
    read("9999").status(1).stdout(&twice).stderr_has("--max-decoded allows more");
}

#[test]
fn a_dead_letter_keeps_the_bytes_and_the_codings_of_its_record() {
    let cluster = Cluster::get();
    let value = gzip(&snappy(TEXT.as_bytes()));
    let topic = holding(&cluster, "dead", LISTS[1], &value);
    let dlq = cluster.create("letters", 1);
    worker(&cluster, &topic, &topic, &["--dlq", &dlq], "exit 65").run().success();
    consume(&cluster, &dlq, &["--decode", "none", "-D", ""]).run().success().stdout(&value);
    consume(&cluster, &dlq, &["--decode", "none", "-f", "%h"])
        .run()
        .success()
        .demand("both codings", |out| {
            out.text().starts_with("content-encoding=snappy,a=1,content-encoding=gzip,b=2,")
        });
    consume(&cluster, &dlq, &["-D", ""]).run().success().stdout(TEXT);
}

#[test]
fn a_value_that_is_compressed_once_more_by_produce_comes_out_as_it_was_at_first() {
    let cluster = Cluster::get();
    let (from, to) = (cluster.create("once", 1), cluster.create("twice", 1));
    cluster.kq(["produce", &from, "--value-codec", "snappy", "-H", "a=1"]).stdin(TEXT).run().success();
    // A copy as it is, compressed once more.
    let copy = consume(&cluster, &from, &["-J"]).run().success();
    cluster.kq(["produce", &to, "-J", "--value-codec", "snappy"]).stdin(copy.stdout).run().success();
    consume(&cluster, &to, &["--decode", "none", "-f", "%h\\n"])
        .run()
        .success()
        .stdout("a=1,content-encoding=snappy,content-encoding=snappy\n");
    consume(&cluster, &to, &["-f", "%s %h\\n"]).run().success().stdout(format!("{TEXT} a=1\n"));
    worker(&cluster, &to, &to, &[], "cat").run().success().stdout(TEXT);

    // The new coding stands after what the record has already.
    let value = base64(&gzip(TEXT.as_bytes()));
    let record = format!(r#"{{"value_base64":"{value}","headers":[["content-encoding","gzip"],["a","1"]]}}"#);
    let other = cluster.create("other", 1);
    cluster.kq(["produce", &other, "-J", "--value-codec", "snappy"]).stdin(record).run().success();
    consume(&cluster, &other, &["--decode", "none", "-f", "%h\\n"])
        .run()
        .success()
        .stdout("content-encoding=gzip,a=1,content-encoding=snappy\n");
    consume(&cluster, &other, &[]).run().success().stdout(format!("{TEXT}\n"));
    worker(&cluster, &other, &other, &[], "cat").run().success().stdout(TEXT);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
