//! README.md, word for word: each console block is run, and the four lines.

use std::time::Duration;

use crate::support::{Cluster, Kq, Running, wait_until};

const README: &str = include_str!("../../README.md");

/// How the README starts the program from a clone; the tests have it on their PATH already.
const FROM_A_CLONE: &str = "cargo run --release -- ";

/// One command of a console block, and the stdout that the block shows under it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// The README's line of the command.
    line: usize,
    command: String,
    stdout: String,
}

/// The lines of each fenced block whose info string is this, with the number of its first line.
fn blocks<'a>(text: &'a str, info: &str) -> Vec<(usize, Vec<&'a str>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(found) = line.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        if found == info {
            blocks.push((at + 2, block));
        }
    }
    blocks
}

/// The commands of a block: `$ command`, `> its further lines`, then what it prints.
fn steps(first: usize, block: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, text) in (first..).zip(block) {
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step { line, command: command.to_owned(), stdout: String::new() });
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("README.md:{line}: output before a command"));
        match text.strip_prefix("> ") {
            Some(more) if step.stdout.is_empty() => step.command.extend(["\n", more]),
            _ => step.stdout.extend([text, "\n"]),
        }
    }
    steps
}

#[test]
fn a_block_is_read_as_commands_and_their_output() {
    let text = "x\n```console\n$ one \\\n>   two\nout\n\n$ three\n```\n```sh\nfour\n```\n";
    let blocks = blocks(text, "console");
    assert_eq!(blocks.len(), 1);
    let step =
        |line, command: &str, stdout: &str| Step { line, command: command.into(), stdout: stdout.into() };
    assert_eq!(steps(blocks[0].0, &blocks[0].1), [step(3, "one \\\n  two", "out\n\n"), step(7, "three", "")]);
}

/// Runs the blocks with this info string, each command in the same folder and on the same cluster.
fn run(info: &str, at_least: usize) {
    let cluster = Cluster::embedded();
    let home = tempfile::tempdir().expect("make a folder");
    let mut wrong = Vec::new();
    let mut count = 0;
    for (first, block) in blocks(README, info) {
        for step in steps(first, &block) {
            count += 1;
            let command = step.command.replace(FROM_A_CLONE, "kq ");
            let run = cluster.program("bash", ["-c", &command]).current_dir(home.path());
            let output = run.limit(Duration::from_mins(1)).run();
            if output.code() != 0 || output.stdout != step.stdout.as_bytes() {
                wrong.push(format!("README.md:{} shows\n{}but it was\n{output}", step.line, step.stdout));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count >= at_least, "only {count} commands were found");
}

#[test]
fn every_console_block_prints_what_the_readme_shows() {
    run("console", 20);
}

#[test]
#[ignore = "needs curl, jq and openssl: .ci/run examples"]
fn the_blocks_that_send_requests_print_what_the_readme_shows() {
    run("console curl jq openssl", 5);
}

#[test]
fn the_four_lines_work_word_for_word() {
    let four = blocks(README, "sh four-lines");
    let [(_, lines)] = &four[..] else { panic!("the README has one block of the four lines") };
    assert_eq!(
        lines[..],
        [
            "KQ_TOPIC=foo kq topic create --partitions 4 --rf 2",
            "cat data.jsonl | kq produce foo",
            "kq consume foo --group g",
            "kq worker foo -- ./handler.sh",
        ]
    );
    let cluster = Cluster::embedded();
    let home = tempfile::tempdir().expect("make a folder");
    let data = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";
    std::fs::write(home.path().join("data.jsonl"), data).expect("write the data");
    let handler = Kq::program("true", [] as [&str; 0]).current_dir(home.path());
    handler.script("handler.sh", "#!/bin/sh\nprintf '%s\\n' \"$(cat)\" >>handled\n");
    // exec: the signal is for kq and not for the shell before it.
    let shell = |line: &str| {
        let line = line.strip_prefix("kq ").map_or_else(|| line.to_owned(), |rest| format!("exec kq {rest}"));
        cluster.program("sh", ["-c", &line]).current_dir(home.path())
    };

    shell(lines[0]).run().success();
    shell(lines[1]).run().success();
    let consume = shell(lines[2]).spawn();
    let got = consume.wait_until_stdout("three records", |bytes| bytes.len() >= data.len());
    assert_eq!(sorted(&String::from_utf8(got).expect("text")), sorted(data));
    ends_well(consume);
    let worker = shell(lines[3]).spawn();
    let seen = || std::fs::read_to_string(home.path().join("handled")).unwrap_or_default();
    wait_until("three records handled", Duration::from_secs(30), || seen().len() >= data.len());
    ends_well(worker);
    assert_eq!(sorted(&seen()), sorted(data));
}

/// A signal stops a command that follows a topic, with status 0.
#[track_caller]
fn ends_well(running: Running) {
    running.terminate();
    running.wait().success();
}

/// Lines without their order: the topic has four partitions.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_test_command_of_the_readme_is_the_one_that_ci_runs() {
    let ci = include_str!("../../.ci/run");
    assert!(
        blocks(README, "sh").iter().any(|(_, lines)| lines == &["cargo test"]),
        "the README says `cargo test`"
    );
    assert!(ci.lines().any(|line| line == "  cargo test"), ".ci/run runs `cargo test`");
}

/// The README's examples of `kq dev` in a user's tests, by the info string of their block.
const DEV: [(&str, &str); 4] = [
    ("sh", include_str!("../../examples/dev/orders.sh")),
    ("rust", include_str!("../../examples/dev/orders.rs")),
    ("python", include_str!("../../examples/dev/python/test_orders.py")),
    ("go", include_str!("../../examples/dev/go/orders_test.go")),
];

/// A command in the repository, with this `kq` on the PATH and the caller's environment otherwise.
fn in_repository(command: &str, folder: &str) -> std::process::Output {
    let kq = std::path::Path::new(env!("CARGO_BIN_EXE_kq")).parent().expect("a folder");
    let path = std::env::var("PATH").expect("PATH");
    std::process::Command::new("sh")
        .args(["-euc", command])
        .current_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .env("PATH", format!("{}:{path}", kq.display()))
        .output()
        .expect("run sh")
}

#[track_caller]
fn passes(command: &str, folder: &str, sign: &str) {
    let output = in_repository(command, folder);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command}: {}\n{said}", output.status);
    assert!(said.contains(sign), "{command} did not say {sign:?}\n{said}");
}

#[test]
fn the_examples_of_kq_dev_are_the_files() {
    for (info, file) in DEV {
        let shown = blocks(README, info).iter().any(|(_, lines)| lines.iter().copied().eq(file.lines()));
        assert!(shown, "the README's {info} example is not its file's text");
    }
}

#[test]
fn the_shell_and_rust_examples_of_kq_dev_pass() {
    passes("kq dev --topic orders:1 -- ./orders.sh", "examples/dev", "");
    // cargo says where the tests' own build is: no second one is made.
    passes("kq dev -- \"${CARGO:-cargo}\" test --test example_orders", ".", "1 passed");
}

#[test]
#[ignore = "needs Python's venv and pip, and Go: .ci/run examples"]
fn the_python_and_go_examples_of_kq_dev_pass() {
    let venv = "test -x target/venv/bin/pytest && target/venv/bin/python -c 'import confluent_kafka' || {
        python3 -m venv target/venv
        target/venv/bin/pip install --quiet pytest confluent-kafka
    }";
    passes(venv, ".", "");
    passes("target/venv/bin/pytest -p no:cacheprovider examples/dev/python", ".", "1 passed");
    passes("go test ./...", "examples/dev/go", "ok");
}
