//! The other integration tests depend on these: limits, streams, a clean environment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::support::Kq;

/// The message that a failed check fails with.
fn failure(check: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("the check should have failed");
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn a_run_sees_a_clean_environment_and_its_own_folder() {
    let output =
        Kq::program("sh", ["-c", "env | cut -d= -f1 | sort; pwd"]).env("KQ_TOPIC", "t").run().success();
    let own = output.dir().canonicalize().expect("the folder is there");
    let own = own.to_str().expect("a path in UTF-8").to_owned();
    // PWD and the like are the shell's own.
    let mine = |name: &&str| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name);
    let lines: Vec<_> = output.lines().into_iter().filter(mine).collect();
    assert_eq!(lines, ["HOME", "KQ_TOPIC", "LANG", "PATH", "TMPDIR", own.as_str()]);
}

#[test]
fn kq_is_on_the_path_of_what_a_test_runs() {
    let expected = format!("kq {}\n", env!("CARGO_PKG_VERSION"));
    let output = Kq::program("sh", ["-c", "kq --version | head -1"]).run().success();
    assert!(output.text().starts_with(expected.trim_end()), "{output}");
}

#[test]
fn a_run_over_its_limit_is_killed_and_shows_what_it_printed() {
    let slow =
        Kq::program("sh", ["-c", "echo out; echo err >&2; exec sleep 60"]).limit(Duration::from_secs(1));
    let message = failure(|| drop(slow.run()));
    for part in ["over the limit", "sleep 60", "out\n", "err\n"] {
        assert!(message.contains(part), "{part:?} is missing: {message}");
    }
}

#[test]
fn a_failed_check_shows_arguments_status_stdout_and_stderr() {
    let message = failure(|| {
        Kq::program("sh", ["-c", "echo out; echo err >&2; exit 3"]).run().success();
    });
    for part in ["expected status 0", "sh -c 'echo out", "exit status: 3", "out\n", "err\n"] {
        assert!(message.contains(part), "{part:?} is missing: {message}");
    }
}

#[test]
fn a_running_process_is_read_written_and_signalled() {
    let mut cat = Kq::program("cat", [] as [&str; 0]).stdin_open().spawn();
    cat.write("one\ntwo\n");
    assert_eq!(cat.wait_for_stdout("tw"), "two");
    cat.terminate();
    let output = cat.wait();
    assert_eq!(output.code(), 128 + 15, "{output}");
    assert_eq!(output.stdout, b"one\ntwo\n");
}

#[test]
fn a_dropped_process_is_gone() {
    let sleep = Kq::program("sleep", ["60"]).spawn();
    let pid = rustix::process::Pid::from_raw(sleep.pid() as i32).expect("a process id");
    drop(sleep);
    assert!(rustix::process::test_kill_process(pid).is_err());
}

#[test]
fn a_line_that_never_comes_is_a_failure_and_not_a_wait() {
    let message = failure(|| {
        Kq::program("echo", ["other"]).spawn().wait_for_stdout("this");
    });
    assert!(
        message.contains("expected a line of stdout with \"this\" before it closed the stream"),
        "{message}"
    );
    assert!(message.contains("other"), "{message}");
}

#[test]
fn input_larger_than_a_pipe_comes_through() {
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    Kq::program("cat", [] as [&str; 0]).stdin(&bytes).run().success().stdout(&bytes);
}
