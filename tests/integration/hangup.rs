//! Signals that kq was started to ignore, by `nohup` above all: it goes on when its terminal closes.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Cluster, Running, lines, runs, topic_with, wait_for, wait_until};

/// What a wait is given at most.
const LONG: Duration = Duration::from_mins(1);

/// A shell on a terminal, and the terminal's other end: closing that hangs up.
struct Terminal {
    master: OwnedFd,
    shell: Running,
}

impl Terminal {
    /// Runs a line in the background of a new terminal. `$!` is what it waits for.
    fn run(cluster: &Cluster, line: &str) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("open the terminal");
        let name = ptsname(&master, Vec::new()).expect("the terminal's name");
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())).to_owned();
        let slave = OpenOptions::new().read(true).write(true).open(path).expect("open the terminal");
        let line = format!("{line} & echo $! >pid; wait");
        let shell = cluster.program("setsid", ["--ctty", "sh", "-c", &line]).stdin_from(slave).spawn();
        Self { master, shell }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.shell.dir().join(name)
    }

    /// Closes the terminal, and waits for the end of its shell. Gives the process that ran in the background, which
    /// is ended when this is dropped.
    fn hang_up(self) -> Survivor {
        let pid = wait_for("the pid", LONG, || lines(&self.file("pid")).pop());
        let dir = self.shell.dir().to_owned();
        let Self { master, shell } = self;
        drop(master);
        let shell = shell.wait().status(128 + Signal::HUP.as_raw());
        Survivor { pid, dir, _shell: shell }
    }
}

struct Survivor {
    pid: String,
    dir: std::path::PathBuf,
    _shell: crate::support::Output,
}

impl Survivor {
    fn terminate(&self) {
        if let Some(pid) = self.pid.parse().ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }

    /// TERM ends it.
    #[track_caller]
    fn ends(self) {
        assert!(runs(&self.pid), "it goes on");
        self.terminate();
        wait_until("TERM ends it", LONG, || !runs(&self.pid));
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        self.terminate();
    }
}

#[test]
fn a_worker_outlives_its_terminal_with_nohup() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "nohup", 1, "a\n");
    let line = format!("nohup kq worker {topic} -v -- sh -c 'cat >>got; echo >>got' >out 2>err");
    let terminal = Terminal::run(&cluster, &line);
    let (got, err) = (terminal.file("got"), terminal.file("err"));
    wait_until("the first record", LONG, || lines(&got) == ["a"]);
    let survivor = terminal.hang_up();
    cluster.kq(["produce", &topic]).stdin("b\n").run().success();
    wait_until("the next record", LONG, || lines(&got) == ["a", "b"]);
    // A shell without job control has its background jobs ignore INT.
    let said = "kq: HUP and INT are ignored, as when kq was started; TERM stops it";
    assert!(lines(&err).iter().any(|line| line.ends_with(said)), "{:?}", lines(&err));
    survivor.ends();
}

#[test]
fn a_consumer_outlives_its_terminal_with_nohup() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "nohup", 1, "a\n");
    let terminal = Terminal::run(&cluster, &format!("nohup kq consume {topic} >got 2>err"));
    let got = terminal.file("got");
    wait_until("the first record", LONG, || lines(&got) == ["a"]);
    let survivor = terminal.hang_up();
    cluster.kq(["produce", &topic]).stdin("b\n").run().success();
    wait_until("the next record", LONG, || lines(&got) == ["a", "b"]);
    survivor.ends();
}

#[test]
fn a_producer_outlives_its_terminal_with_nohup() {
    let cluster = Cluster::get();
    let topic = cluster.create("nohup", 1);
    let terminal = Terminal::run(&cluster, &format!("mkfifo in; nohup kq produce {topic} <in >out 2>err"));
    let fifo = terminal.file("in");
    wait_until("its input", LONG, || fifo.exists());
    let mut input = File::options().write(true).open(&fifo).expect("open its input");
    std::io::Write::write_all(&mut input, b"a\n").expect("write a line");
    let consumed = |count: &str| cluster.kq(["consume", &topic, "-n", count]).run().success();
    consumed("1").stdout("a\n");
    let survivor = terminal.hang_up();
    std::io::Write::write_all(&mut input, b"b\n").expect("write a line");
    consumed("2").stdout("a\nb\n");
    drop(input);
    wait_until("the end of its input ends it", LONG, || !runs(&survivor.pid));
    let err = lines(&survivor.dir.join("err"));
    assert!(err.iter().any(|line| line.contains("2 ")), "{err:?}");
}

#[test]
fn a_broker_outlives_its_terminal_with_nohup() {
    let cluster = Cluster::embedded();
    let terminal = Terminal::run(&cluster, "nohup kq dev --port 0 >out 2>err");
    let out = terminal.file("out");
    let address = wait_for("its address", LONG, || lines(&out).pop());
    let survivor = terminal.hang_up();
    cluster.kq(["topic", "create", "t", "-b", &address]).run().success();
    survivor.ends();
}

/// The signals that a process ignores, by their masks in its own words.
fn mask(signals: &[i32]) -> u64 {
    signals.iter().map(|signal| 1 << (signal - 1)).sum()
}

#[test]
fn commands_get_the_signals_as_kq_found_them() {
    let cluster = Cluster::get();
    let topic = topic_with(&cluster, "ignored", 1, "a\n");
    let inherited = {
        let status = std::fs::read_to_string("/proc/self/status").expect("the status of this process");
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("what it ignores");
        u64::from_str_radix(ignored.trim(), 16).expect("a mask") & mask(&[1, 2])
    };
    let command = "grep SigIgn /proc/$$/status | tr -d '[:space:]' >>ignored; echo >>ignored";
    let answer = format!("{command}; read line; echo '{{\"id\":1,\"ok\":true}}'");
    for (trap, ignored) in [("", inherited), ("trap '' HUP INT TERM; ", mask(&[1, 2]) | inherited)] {
        for (mode, command) in [("", command), ("--persistent", &answer)] {
            let group = cluster.topic("group");
            let line = format!("{trap}exec kq worker {topic} -g {group} -e {mode} -- \"$COMMAND\"");
            let run = cluster.program("sh", ["-c", &line]).env("COMMAND", command);
            let ended = run.run().success();
            let seen = lines(&ended.dir().join("ignored"));
            let [line] = &seen[..] else { panic!("one run of the command: {seen:?}\n{ended}") };
            let seen = u64::from_str_radix(line.trim_start_matches("SigIgn:"), 16).expect("a mask");
            // HUP, INT, PIPE, TERM.
            assert_eq!(seen & mask(&[1, 2, 13, 15]), ignored, "{ended}");
        }
    }
}
