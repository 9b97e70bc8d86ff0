//! `kq dev` as a process: its command's status, its folder, its port, kills and restarts.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(20);

/// `kq` in an environment of its own, temporary folders under `tmp`.
fn kq(tmp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kq"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TMPDIR", tmp);
    command
}

fn around(tmp: &Path, script: &str) -> Output {
    kq(tmp).args(["dev", "--", "sh", "-c", script]).output().expect("run kq dev")
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("read").next().is_none()
}

/// A `kq dev` without a command, and where it listens.
pub(crate) struct Standing {
    child: Child,
    pub(crate) brokers: String,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Standing {
    pub(crate) fn start(tmp: &Path, args: &[&str]) -> Self {
        Self::started_by(kq(tmp), args)
    }

    /// The same where so many files may be open.
    pub(crate) fn with_file_limit(tmp: &Path, limit: u32, args: &[&str]) -> Self {
        Self::after(tmp, &format!("ulimit -n {limit}"), args)
    }

    /// The same after this line of a shell.
    pub(crate) fn after(tmp: &Path, line: &str, args: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{line}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_kq")]);
        shell.env("TMPDIR", tmp);
        Self::started_by(shell, args)
    }

    fn started_by(mut command: Command, args: &[&str]) -> Self {
        let mut child = command
            .args(["dev", "--port", "0"])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start kq dev");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let mut brokers = String::new();
        let mut line = String::new();
        while brokers.is_empty() && stderr.read_line(&mut line).expect("read") > 0 {
            if let Some((_, rest)) = line.split_once("listens on ") {
                rest.split(';').next().unwrap_or_default().clone_into(&mut brokers);
            }
            line.clear();
        }
        assert!(!brokers.is_empty(), "it said where it listens");
        Self { child, brokers, stderr }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("pid");
        rustix::process::kill_process(pid, signal).expect("kill");
    }

    /// Ends it with a signal; its status and what it said meanwhile.
    pub(crate) fn end(mut self, signal: rustix::process::Signal) -> (Option<i32>, String) {
        self.signal(signal);
        let status = self.child.wait().expect("wait");
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("read");
        (status.code(), said)
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn produce(&self, topic: &str, values: std::ops::Range<u32>) {
        let producer: BaseProducer =
            self.config().set("enable.idempotence", "true").create().expect("producer");
        for value in values {
            let value = value.to_string();
            let record = BaseRecord::<(), _>::to(topic).payload(&value).partition(0);
            producer.send(record).map_err(|(e, _)| e).expect("send");
        }
        producer.flush(PATIENCE).expect("all acknowledged");
    }

    /// Memory that its process has in use, in bytes.
    fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    /// CPU that its process has used, in clock ticks.
    fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("stat");
        let fields = stat.rsplit(')').next().expect("fields").split_whitespace();
        fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
    }

    fn watermarks(&self, topic: &str) -> (i64, i64) {
        let consumer: BaseConsumer = self.config().create().expect("consumer");
        consumer.fetch_watermarks(topic, 0, PATIENCE).expect("watermarks")
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_commands_own_status_is_passed_through_and_nothing_is_left() {
    let tmp = tempfile::tempdir().expect("folder");
    assert_eq!(around(tmp.path(), "exit 7").status.code(), Some(7));
    assert_eq!(around(tmp.path(), "kill -9 $$").status.code(), Some(137));
    assert_eq!(around(tmp.path(), "test -n \"$KQ_BROKERS\"").status.code(), Some(0));
    let missing = kq(tmp.path()).args(["dev", "--", "no-such-command"]).output().expect("run");
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no-such-command"));
    assert!(is_empty(tmp.path()));
}

#[test]
fn the_command_is_not_led_to_another_cluster() {
    let tmp = tempfile::tempdir().expect("folder");
    let mut command = kq(tmp.path());
    for (name, value) in [
        ("KQ_BROKERS", "elsewhere:1"),
        ("KQ_X", "bootstrap.servers=elsewhere:1"),
        ("KQ_CONFIG_FILE", "/no/such/file"),
        ("KQ_TLS", "1"),
        ("KQ_TLS_CA", "/no/such/ca.pem"),
        ("KQ_SASL_MECHANISM", "PLAIN"),
        ("KQ_TOPIC", "foo"),
        ("KQ_GROUP", "g"),
    ] {
        command.env(name, value);
    }
    let kq = env!("CARGO_BIN_EXE_kq");
    let script =
        format!("echo a | {kq} produce && {kq} consume -e && env | grep -c -e ^KQ_TOPIC -e ^KQ_GROUP");
    let output = command.args(["dev", "--", "sh", "-c", &script]).output().expect("run kq dev");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\n2\n", "{output:?}");
}

#[test]
fn a_term_reaches_the_command_and_the_folder_is_gone() {
    let tmp = tempfile::tempdir().expect("folder");
    let mut child = kq(tmp.path())
        .args(["dev", "--", "sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("read");
    assert_eq!(line, "up\n");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("pid")).expect("pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
    assert_eq!(child.wait().expect("wait").code(), Some(9));
    assert!(is_empty(tmp.path()));
}

/// Runs `kq dev -- sh -c SCRIPT` in the foreground of a terminal, and shows kq's process and the
/// terminal to `act` when the script has printed `$PPID`. The script's status.
fn in_a_terminal(
    script: &str,
    act: impl FnOnce(rustix::process::Pid, &mut dyn std::io::Write),
) -> Option<i32> {
    let tmp = tempfile::tempdir().expect("folder");
    let dev = format!("exec {} -q dev -- sh -c '{script}'", env!("CARGO_BIN_EXE_kq"));
    let mut terminal = Command::new("script")
        .args(["-qec", &dev, "/dev/null"])
        .env("TMPDIR", tmp.path())
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of util-linux");
    let mut line = String::new();
    let mut stdout = BufReader::new(terminal.stdout.take().expect("stdout"));
    stdout.read_line(&mut line).expect("read");
    let pid = line.trim().parse().ok().and_then(rustix::process::Pid::from_raw).expect(&line);
    let mut stdin = terminal.stdin.take().expect("stdin");
    act(pid, &mut stdin);
    let status = terminal.wait().expect("wait");
    assert!(is_empty(tmp.path()));
    status.code()
}

#[test]
fn an_int_of_another_program_reaches_the_command_in_a_terminals_foreground() {
    let script = r#"trap "exit 9" INT; echo $PPID; while :; do sleep 0.05; done"#;
    let status = in_a_terminal(script, |kq, _| {
        rustix::process::kill_process(kq, rustix::process::Signal::INT).expect("kill");
    });
    assert_eq!(status, Some(9));
}

#[test]
fn ctrl_c_reaches_the_command_once() {
    // Another one would come within the half second.
    let script = r#"n=0; trap "n=\$((n+1))" INT; echo $PPID; while [ $n = 0 ]; do sleep 0.05; done; sleep 0.5; exit $n"#;
    let status = in_a_terminal(script, |_, terminal| terminal.write_all(b"\x03").expect("Ctrl-C"));
    assert_eq!(status, Some(1));
}

#[test]
fn the_command_keeps_the_callers_limit_of_files() {
    let tmp = tempfile::tempdir().expect("folder");
    let kq_dev =
        format!("ulimit -Sn 77; exec {} dev --topic t:200 -- sh -c 'ulimit -Sn'", env!("CARGO_BIN_EXE_kq"));
    let output = Command::new("sh").args(["-c", &kq_dev]).env("TMPDIR", tmp.path()).output().expect("run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "77\n", "{output:?}");
}

#[test]
fn a_program_reads_the_address_from_stdout() {
    let tmp = tempfile::tempdir().expect("folder");
    let mut child = kq(tmp.path())
        .args(["dev", "--port", "0", "-q"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start kq dev");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("read");
    let connected = TcpStream::connect(line.trim_end());
    child.kill().expect("kill");
    child.wait().expect("wait");
    connected.expect(&line);
}

#[test]
fn int_and_term_end_a_standing_broker_with_0_and_leave_nothing() {
    let tmp = tempfile::tempdir().expect("folder");
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let (status, said) = Standing::start(tmp.path(), &[]).end(signal);
        assert_eq!(status, Some(0));
        assert!(said.contains("try: "), "{said}");
        assert!(is_empty(tmp.path()));
    }
}

#[test]
fn a_killed_brokers_folder_goes_with_the_next_one() {
    let tmp = tempfile::tempdir().expect("folder");
    Standing::start(tmp.path(), &[]).end(rustix::process::Signal::KILL);
    assert!(!is_empty(tmp.path()));
    assert_eq!(around(tmp.path(), ":").status.code(), Some(0));
    assert!(is_empty(tmp.path()));
}

#[test]
fn a_port_in_use_and_a_folder_in_use_say_so() {
    let tmp = tempfile::tempdir().expect("folder");
    let data = tmp.path().join("data");
    let data = data.to_str().expect("text");
    let standing = Standing::start(tmp.path(), &["--data", data]);
    let port = standing.brokers.rsplit(':').next().expect("port").to_owned();
    let second = kq(tmp.path()).args(["dev", "--port", &port]).output().expect("run");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("port {port} is in use")) && said.contains("--port"), "{said}");
    let second = kq(tmp.path()).args(["dev", "--port", "0", "--data", data]).output().expect("run");
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another kq dev"));
}

#[test]
fn what_can_be_no_broker_is_refused_at_the_start() {
    let tmp = tempfile::tempdir().expect("folder");
    let file = tmp.path().join("file");
    std::fs::write(&file, "mine").expect("write");
    let file = file.to_str().expect("text");
    for (args, why) in [
        (["--port", "1", "--listen", "127.0.0.1:2"], "two ports"),
        (["--port", "0", "--data", file], "is a file"),
        (["--port", "0", "--topic", ":3"], "needs a name"),
        (["--port", "0", "--topic", "a:20000"], "10000 in all"),
    ] {
        let output = kq(tmp.path()).arg("dev").args(args).output().expect("run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(std::fs::read(file).expect("read"), b"mine");
}

#[test]
fn records_and_offsets_survive_kill_9_with_data() {
    let tmp = tempfile::tempdir().expect("folder");
    let data = tmp.path().join("data");
    let args = ["--data", data.to_str().expect("text"), "--topic", "t:1"];
    let group = |standing: &Standing| -> BaseConsumer {
        standing.config().set("group.id", "g").create().expect("consumer")
    };
    let place = || {
        let mut places = TopicPartitionList::new();
        places.add_partition("t", 0);
        places
    };
    let mut total = 0;
    for round in 0..3 {
        let standing = Standing::start(tmp.path(), &args);
        assert_eq!(standing.watermarks("t"), (0, i64::from(total)), "round {round}");
        let consumer = group(&standing);
        let committed = consumer.committed_offsets(place(), PATIENCE).expect("offsets");
        let expected = if total == 0 { Offset::Invalid } else { Offset::Offset(i64::from(total)) };
        assert_eq!(committed.elements()[0].offset(), expected, "round {round}");
        standing.produce("t", total..total + 500);
        total += 500;
        let mut commit = place();
        commit.set_partition_offset("t", 0, Offset::Offset(i64::from(total))).expect("set");
        consumer.commit(&commit, rdkafka::consumer::CommitMode::Sync).expect("commit");
        standing.end(rustix::process::Signal::KILL);
    }
}

#[test]
fn hostile_bytes_close_their_own_connection_and_nothing_else() {
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &["--topic", "t:1"]);
    let hostile: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x00, 0xff, 1, 2, 3],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff; 64],
        &[0, 0, 0, 8, 0, 99, 0, 0, 0, 0, 0, 1],
        // Metadata v0 whose array claims 2,147,483,647 topics.
        &[0, 0, 0, 14, 0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
    ];
    for bytes in hostile {
        let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.write_all(bytes).expect("write");
        let mut answer = Vec::new();
        // Closed by the broker: an end or a reset, but no answer.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{bytes:?}");
    }
    for _ in 0..10_000 {
        drop(TcpStream::connect(&standing.brokers).expect("connect"));
    }
    standing.produce("t", 0..10);
    assert_eq!(standing.watermarks("t"), (0, 10));
    let (status, said) = standing.end(rustix::process::Signal::TERM);
    assert_eq!(status, Some(0));
    assert_eq!(said.matches("connection closed").count(), 6, "{said}");
}

/// An `ApiVersions` v0 request without a client id, and its correlation id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// Reads one answer whole, without its size.
fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut size = [0; 4];
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.read_exact(&mut size).expect("an answer");
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).expect("all of the answer");
    answer
}

/// Reads one answer whole, and checks that it is the one to [`API_VERSIONS`].
fn read_api_versions(stream: &mut TcpStream) {
    let answer = read_answer(stream);
    // The correlation id, and no error.
    assert_eq!(answer[..6], [0, 0, 0, 7, 0, 0]);
}

#[test]
fn ten_thousand_connections_are_held_and_cost_little() {
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &["--topic", "t:1"]);
    // Each end of a connection is a file of its process, and other tests have files in this one, too.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let allowed = limit.maximum.map_or(12_000, |most| most.min(12_000));
    let raised = rustix::process::Rlimit { current: Some(allowed), maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("raise the limit of files");
    let count = usize::try_from(allowed).expect("small").saturating_sub(2_000);
    assert!(count >= 1_000, "a limit of {allowed} files is too low for this test");
    let before = standing.resident();
    let mut held: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
            stream.write_all(&API_VERSIONS).expect("ask");
            stream
        })
        .collect();
    held.iter_mut().for_each(read_api_versions);
    let each = (standing.resident() - before) / count;
    assert!(each < 8 << 10, "{each} bytes for each of {count} idle connections");
    standing.produce("t", 0..10);
    assert_eq!(standing.watermarks("t"), (0, 10));
    // They are alive, not only open.
    let last = held.last_mut().expect("one");
    last.write_all(&API_VERSIONS).expect("ask again");
    read_api_versions(last);
}

#[test]
fn without_file_descriptors_it_waits_for_one_and_does_not_spin() {
    let tmp = tempfile::tempdir().expect("folder");
    let limit = rustix::process::Rlimit { current: Some(60), maximum: Some(60) };
    let standing = Standing::start(tmp.path(), &["--topic", "t:1"]);
    standing.produce("t", 0..10);
    let pid = rustix::process::Pid::from_raw(i32::try_from(standing.child.id()).expect("pid"));
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).expect("lower its limit");
    let connect = || {
        let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
        stream.write_all(&API_VERSIONS).expect("ask");
        stream
    };
    let mut held: Vec<TcpStream> = (0..80).map(|_| connect()).collect();
    held.iter_mut().take(20).for_each(read_api_versions);
    // The last one is in the queue: no answer, and no end.
    let last = held.last_mut().expect("one");
    last.set_read_timeout(Some(Duration::from_millis(500))).expect("timeout");
    let before = standing.cpu_ticks();
    let waited = last.read(&mut [0; 1]).expect_err("no answer");
    assert_eq!(waited.kind(), std::io::ErrorKind::WouldBlock);
    let ticks = standing.cpu_ticks() - before;
    assert!(ticks <= 10, "{ticks} ticks of CPU (10 ms each) in half a second of waiting");
    // Those that were served leave, and those that waited get their answers.
    let waiting = held.split_off(40);
    drop(held);
    for mut stream in waiting {
        read_api_versions(&mut stream);
    }
    standing.produce("t", 10..20);
    assert_eq!(standing.watermarks("t"), (0, 20));
    let (status, said) = standing.end(rustix::process::Signal::TERM);
    assert_eq!(status, Some(0), "{said}");
    // At once, and then one in ten seconds.
    assert!((1..=3).contains(&said.matches("Too many open files").count()), "{said}");
}

#[test]
fn readers_that_never_read_cost_little_and_do_not_stop_the_others() {
    const READERS: usize = 300;
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &["--topic", "t:1"]);
    let producer: BaseProducer = standing.config().create().expect("producer");
    let value = vec![b'x'; 500_000];
    for _ in 0..20 {
        producer.send(BaseRecord::<(), _>::to("t").payload(&value)).map_err(|(e, _)| e).expect("send");
    }
    producer.flush(PATIENCE).expect("all acknowledged");
    // Fetch v4: replica -1, wait 0 ms, at least 1 byte, at most 10 MB, of t[0] from 0.
    let mut fetch: Vec<u8> =
        [&[0, 1, 0, 4, 0, 0, 0, 7, 0xff, 0xff][..], &[0xff; 4], &[0; 4], &[0, 0, 0, 1]].concat();
    fetch.extend(10_000_000u32.to_be_bytes());
    fetch.extend([0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0]);
    fetch.extend(0u64.to_be_bytes());
    fetch.extend(10_000_000u32.to_be_bytes());
    let request = [&u32::try_from(fetch.len()).expect("short").to_be_bytes()[..], &fetch].concat();
    let before = standing.resident();
    let mut readers: Vec<TcpStream> = (0..READERS)
        .map(|_| {
            let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
            // Asked again and again, and no answer is ever taken.
            stream.write_all(&request.repeat(20)).expect("ask");
            stream
        })
        .collect();
    // Each has an answer under way before memory is looked at.
    for reader in &mut readers {
        reader.set_read_timeout(Some(PATIENCE)).expect("timeout");
        assert!(reader.peek(&mut [0; 4]).expect("an answer begins") > 0);
    }
    standing.produce("other", 0..10);
    assert_eq!(standing.watermarks("other"), (0, 10));
    let each = standing.resident().saturating_sub(before) / READERS;
    assert!(each < 64 << 10, "{each} bytes for each reader");
    // One that reads after all finds its answer whole: ten million bytes of it.
    let mut size = [0; 4];
    readers[0].read_exact(&mut size).expect("the size");
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    readers[0].read_exact(&mut answer).expect("the answer");
    assert!(answer.len() > 9_000_000 && answer.ends_with(&value[..1000]), "{} bytes", answer.len());
}

/// A request: its length, key, version, correlation id 7, no client id, and its body.
fn request(key: i16, version: i16, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let size = i32::try_from(10 + body.len()).expect("short");
    let head =
        [&size.to_be_bytes()[..], &key.to_be_bytes(), &version.to_be_bytes(), &[0, 0, 0, 7, 0xff, 0xff]];
    [&head.concat()[..], &body].concat()
}

/// A string of the protocol.
fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("short").to_be_bytes()[..], text.as_bytes()].concat()
}

/// A Fetch v7 that waits up to five minutes for a record of t[0], and is so large: by names that it forgets.
fn waiting_fetch(size: usize) -> Vec<u8> {
    let asked = [&[0xff; 4][..], &300_000_u32.to_be_bytes(), &[0, 0, 0, 1, 0, 1, 0, 0, 0], &[0; 8]].concat();
    let place = [&[0, 0, 0, 1][..], &text("t"), &[0, 0, 0, 1], &[0; 20], &[0, 1, 0, 0]].concat();
    let forgotten = [&text(&"f".repeat(30_000))[..], &[0; 4]].concat().repeat(size / 30_000);
    let count = u32::try_from(size / 30_000).expect("few").to_be_bytes();
    request(1, 7, &[&asked, &place, &count, &forgotten])
}

#[test]
fn large_answers_that_are_not_read_take_bounded_memory() {
    const GROUPS: u32 = 60;
    const READERS: usize = 12;
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &[]);
    let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
    let mut ask = |request: &[u8]| {
        stream.write_all(request).expect("ask");
        read_answer(&mut stream)
    };
    let mut names = GROUPS.to_be_bytes().to_vec();
    for n in 0..GROUPS {
        // A stable group of one member that brings a megabyte. JoinGroup v3, SyncGroup v0.
        let group = text(&format!("g{n}"));
        let times = 1_800_000_u32.to_be_bytes().repeat(2);
        let size = 1_000_000_u32.to_be_bytes();
        let protocol = [&[0, 0, 0, 1][..], &text("range"), &size, &vec![b'm'; 1_000_000]].concat();
        let joined = ask(&request(11, 3, &[&group, &times, &text(""), &text("consumer"), &protocol]));
        // Behind correlation id, throttle time, error, generation and "range" is the leader's id, its own.
        let length = usize::from(joined[21]) << 8 | usize::from(joined[22]);
        let member = &joined[21..23 + length];
        let assignment = [&[0, 0, 0, 1][..], member, &[0; 4]].concat();
        let synced = ask(&request(14, 0, &[&group, &joined[10..14], member, &assignment]));
        assert_eq!(synced[4..6], [0, 0], "no error");
        names.extend(group);
    }
    // Each asks for all of it, 60 MB, and reads nothing.
    let describe = request(15, 0, &[&names]);
    let mut begun = Vec::new();
    for _ in 0..READERS {
        let mut reader = TcpStream::connect(&standing.brokers).expect("connect");
        reader.write_all(&describe).expect("ask");
        reader.set_read_timeout(Some(PATIENCE)).expect("timeout");
        if reader.peek(&mut [0; 4]).is_ok_and(|n| n > 0) {
            begun.push(reader);
        }
    }
    assert!((1..READERS).contains(&begun.len()), "{} of {READERS} have an answer", begun.len());
    let resident = standing.resident();
    assert!(resident < 500 << 20, "{resident} bytes for {} answers", begun.len());
    assert!(read_answer(&mut begun[0]).len() > 60_000_000);
}

#[test]
fn a_connection_that_ends_while_its_request_waits_is_let_go() {
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &["--topic", "t:1"]);
    let files = || std::fs::read_dir(format!("/proc/{}/fd", standing.child.id())).expect("fd").count();
    let before = files();
    let mut waiting: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(&standing.brokers).expect("connect")).collect();
    for stream in &mut waiting {
        // The answer to the first says that the second was read, or is about to be.
        stream.write_all(&[&API_VERSIONS[..], &waiting_fetch(0)].concat()).expect("ask");
        read_api_versions(stream);
    }
    assert!(files() >= before + 50);
    drop(waiting);
    wait_until("its files are closed", PATIENCE, || files() <= before);
}

#[test]
fn requests_that_wait_take_nothing_of_what_large_frames_share() {
    // Together more than the 256 MiB that frames may take at once.
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &["--topic", "t:1"]);
    let large = waiting_fetch(7_500_000);
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream.write_all(&large).expect("no client is kept waiting");
        waiting.push(stream);
    }
    let mut answer = [0; 4];
    standing.produce("t", 0..1);
    for mut stream in waiting {
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.read_exact(&mut answer).expect("all of them were taken and waited");
    }
}

#[test]
fn the_first_byte_of_a_next_frame_keeps_no_large_one() {
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &["--topic", "t:1"]);
    let before = standing.resident();
    // Produce v3 with acks=1 of 20 MB that are no batch: refused, and all read.
    let records = vec![0; 20_000_000];
    let size = u32::try_from(records.len()).expect("short").to_be_bytes();
    let place =
        [&[0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1][..], &text("t"), &[0, 0, 0, 1, 0, 0, 0, 0]].concat();
    let produce = request(0, 3, &[&place, &size, &records]);
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
        stream.write_all(&[&produce[..], &[0]].concat()).expect("ask");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.read_exact(&mut [0; 4]).expect("an answer");
        held.push(stream);
    }
    let more = standing.resident().saturating_sub(before);
    assert!(more < 100 << 20, "{more} bytes for ten connections");
}

#[test]
fn a_half_closed_connection_gets_its_answer_and_ends() {
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &[]);
    let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
    stream.write_all(&API_VERSIONS).expect("ask");
    stream.shutdown(std::net::Shutdown::Write).expect("close one half");
    read_api_versions(&mut stream);
    assert_eq!(stream.read(&mut [0; 1]).expect("the end"), 0);
}

#[test]
fn retention_deletes_the_oldest_records() {
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &["--topic", "t:1", "--retention-bytes", "100000"]);
    let mut next = 0;
    wait_until("the oldest records are deleted", PATIENCE, || {
        standing.produce("t", next..next + 5000);
        next += 5000;
        standing.watermarks("t").0 > 0
    });
    assert_eq!(standing.watermarks("t").1, i64::from(next));
}
