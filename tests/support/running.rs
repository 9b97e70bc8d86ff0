//! A process that runs: read it while it runs, signal it, wait for it with a limit; never left behind.

use std::io::{Read, Write as _};
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use tempfile::TempDir;

use super::output::{Output, describe};
use super::wait::wait_until;

/// Signals by number, for [`Running::signal`].
pub const INT: i32 = 2;
pub const TERM: i32 = 15;
pub const CONT: i32 = 18;
pub const STOP: i32 = 19;

/// How long the pipes of an ended process may still be held open by its descendants.
const PIPES_AFTER_END: Duration = Duration::from_secs(5);

/// Whether a process of this pid runs; a zombie does not.
pub fn runs(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z") && !state.contains(") X")
}

/// A process that was started by [`super::Kq::spawn`]. Dropped, it is killed.
pub struct Running {
    child: Child,
    line: String,
    stdin: Option<ChildStdin>,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
    started: Instant,
    limit: Duration,
    dir: Arc<TempDir>,
}

/// What one stream has given so far, and whether it has ended.
#[derive(Default)]
struct Stream {
    read: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

impl Running {
    pub(super) fn new(
        mut child: Child,
        line: String,
        input: Option<Vec<u8>>,
        limit: Duration,
        dir: Arc<TempDir>,
    ) -> Self {
        let stdout = child.stdout.take().map_or_else(Stream::ended, Stream::of);
        let stderr = child.stderr.take().map_or_else(Stream::ended, Stream::of);
        let mut stdin = child.stdin.take();
        if let Some((bytes, mut pipe)) = input.and_then(|bytes| Some((bytes, stdin.take()?))) {
            // A program may stop reading early; its status tells, and not the broken pipe here.
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        Self { child, line, stdin, stdout, stderr, started: Instant::now(), limit, dir }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The working directory of the run.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Writes to its stdin (opened by [`super::Kq::stdin_open`]).
    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        if let Err(e) = stdin.write_all(bytes.as_ref()).and_then(|()| stdin.flush()) {
            panic!("write to its stdin: {e}\n{}", self.so_far("running"));
        }
    }

    /// Ends its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal, 15 for TERM.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        let signal = Signal::from_named_raw(signal).expect("a signal's number");
        if let Err(e) = rustix::process::kill_process(self.as_pid(), signal) {
            panic!("send signal {signal:?}: {e}\n{}", self.so_far("not there"));
        }
    }

    /// STOP, and waits until none of its threads runs any more.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(STOP);
        let stands = |task: std::io::Result<std::fs::DirEntry>| {
            let stat =
                std::fs::read_to_string(task.expect("a thread").path().join("stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") T ")
        };
        wait_until("all threads stand still", Duration::from_secs(10), || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads");
            tasks.into_iter().all(stands)
        });
    }

    /// TERM.
    #[track_caller]
    pub fn terminate(&self) {
        self.signal(Signal::TERM.as_raw());
    }

    /// KILL, and waits for its end.
    #[track_caller]
    pub fn kill(mut self) -> Output {
        self.child.kill().expect("kill it");
        self.wait()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for a whole line of stdout that holds `part`, and gives it without its newline.
    #[track_caller]
    pub fn wait_for_stdout(&self, part: &str) -> String {
        self.wait_for(&self.stdout, "stdout", part)
    }

    /// Waits for a whole line of stderr that holds `part`, and gives it without its newline, and without the time
    /// that is before the lines of a command that runs on.
    #[track_caller]
    pub fn wait_for_stderr(&self, part: &str) -> String {
        let line = self.wait_for(&self.stderr, "stderr", part);
        match line.split_once(' ') {
            Some((time, rest)) if rest.starts_with("kq: ") && time.ends_with('Z') => rest.to_owned(),
            _ => line,
        }
    }

    /// Waits until all of stdout so far satisfies the condition; `what` names it in the failure.
    #[track_caller]
    pub fn wait_until_stdout(&self, what: &str, holds: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let found = self.stdout.wait(self.deadline(), |bytes, _| holds(bytes).then(|| bytes.to_owned()));
        found.unwrap_or_else(|| panic!("expected on stdout: {what}\n{}", self.so_far("running or ended")))
    }

    /// Everything on stdout so far.
    pub fn stdout_so_far(&self) -> Vec<u8> {
        self.stdout.bytes()
    }

    /// Everything on stderr so far.
    pub fn stderr_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes()).into_owned()
    }

    /// The largest resident set so far, in KiB (Linux: `VmHWM` of the process).
    #[track_caller]
    pub fn peak_rss_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The same without the pages of the program's own file, which are many in a build for debugging.
    #[track_caller]
    pub fn peak_memory_kib(&self) -> u64 {
        self.memory("VmHWM:") - self.memory("RssFile:")
    }

    /// A line of its status, in KiB.
    #[track_caller]
    fn memory(&self, name: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("read its status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// Waits for its end. Over its limit it is killed, and the test fails with everything it printed.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        self.stdin = None;
        if !self.ends_before(self.deadline()) {
            let so_far = self.so_far("still running, killed");
            panic!("over the limit of {:?}\n{so_far}", self.limit);
        }
        let status = self.child.wait().expect("collect its status");
        let took = self.started.elapsed();
        let deadline = Instant::now() + PIPES_AFTER_END;
        let whole = |stream: &Stream| stream.wait(deadline, |bytes, ended| ended.then(|| bytes.to_owned()));
        let (Some(stdout), Some(stderr)) = (whole(&self.stdout), whole(&self.stderr)) else {
            panic!("it ended ({status}), and something it started holds its pipes\n{}", self.so_far("ended"));
        };
        Output {
            line: std::mem::take(&mut self.line),
            status,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            took,
            dir: Arc::clone(&self.dir),
        }
    }

    #[track_caller]
    fn wait_for(&self, stream: &Stream, name: &str, part: &str) -> String {
        let mut ended_without = false;
        let line = stream.wait(self.deadline(), |bytes, ended| {
            let whole = bytes.split_inclusive(|&b| b == b'\n').filter(|line| ended || line.ends_with(b"\n"));
            let mut lines = whole.map(|line| String::from_utf8_lossy(line).trim_end_matches('\n').to_owned());
            let found = lines.find(|line| line.contains(part));
            ended_without = ended && found.is_none();
            (ended || found.is_some()).then_some(found)
        });
        line.flatten().unwrap_or_else(|| {
            let when = if ended_without { "before it closed the stream" } else { "within the limit" };
            panic!("expected a line of {name} with {part:?} {when}\n{}", self.so_far("running or ended"))
        })
    }

    fn deadline(&self) -> Instant {
        self.started + self.limit
    }

    fn as_pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).expect("a process id")
    }

    /// Waits on the process's descriptor, so that nothing is polled.
    fn ends_before(&mut self, deadline: Instant) -> bool {
        if !self.is_running() {
            return true;
        }
        let fd = rustix::process::pidfd_open(self.as_pid(), PidfdFlags::empty()).expect("open its pidfd");
        loop {
            if !self.is_running() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            // An interrupted wait is repeated.
            let _ = rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout));
        }
    }

    fn so_far(&self, status: &str) -> String {
        let mut text = String::new();
        let status = format!("{status}, {:.1?} after its start", self.started.elapsed());
        let _ = describe(&mut text, &self.line, &status, &self.stdout.bytes(), &self.stderr_so_far());
        text
    }
}

#[expect(clippy::print_stderr, reason = "it goes with what the harness shows of a test that failed")]
impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            // A test that fails here was waiting for the end of what the program said.
            let said = self.stderr_so_far();
            let start = said.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
            eprintln!("stderr of {}, {} bytes, at the end:\n{}", self.line, said.len(), &said[start..]);
        }
    }
}

impl Stream {
    /// Reads a pipe to its end, on a thread of its own.
    fn of(mut pipe: impl Read + Send + 'static) -> Arc<Self> {
        let stream = Arc::new(Self::default());
        let filled = Arc::clone(&stream);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = match pipe.read(&mut buffer) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Ok(n) => n,
                    Err(_) => 0,
                };
                let mut state = filled.read.lock().expect("lock a stream");
                state.0.extend_from_slice(&buffer[..read]);
                state.1 = read == 0;
                filled.more.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        stream
    }

    /// A stream that is not captured.
    fn ended() -> Arc<Self> {
        Arc::new(Self { read: Mutex::new((Vec::new(), true)), more: Condvar::new() })
    }

    fn bytes(&self) -> Vec<u8> {
        self.read.lock().expect("lock a stream").0.clone()
    }

    /// Waits until `find` gives something for what was read so far and whether it ended.
    fn wait<T>(&self, deadline: Instant, mut find: impl FnMut(&[u8], bool) -> Option<T>) -> Option<T> {
        let mut state = self.read.lock().expect("lock a stream");
        loop {
            if let Some(found) = find(&state.0, state.1) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.1 {
                return None;
            }
            state = self.more.wait_timeout(state, left).expect("wait for a stream").0;
        }
    }
}
