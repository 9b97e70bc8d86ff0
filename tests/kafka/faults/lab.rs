//! One case of the lab: its topic, its group, what was sent, what was done, and its line in the table.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::oracle::{Evidence, Handled, Place, Sent};
use super::watch::{LOOK, Watch, client, count_lines, lag};
use crate::support::{Cluster, Kq, Output, Running, wait_until};

/// The limit of a wait: long, since a slow machine is not a failure.
pub(super) const LONG: Duration = Duration::from_mins(1);
/// What was handled this long before a kill may not be committed yet: long metadata is sent once a second, the kill
/// itself takes 0.1 to 0.5 s, and on a busy machine a commit is answered late.
const UNCOMMITTED: Duration = Duration::from_secs(3);

/// Appends what it did to `$LOG`; `$PAUSE` seconds a record.
pub(super) const ONE_SHOT: &str = r#"read -r v
[ -z "$PAUSE" ] || sleep "$PAUSE"
echo "$KQ_RECORD_PARTITION $KQ_RECORD_OFFSET $KQ_RECORD_ATTEMPT $v $KQ_RECORD_KEY" >>"$LOG"
"#;

/// The same as a process that stays.
const PERSISTENT: &str = r#"
import json, os, sys, time
log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
pause = float(os.environ.get("PAUSE") or 0)
for line in sys.stdin:
    r = json.loads(line)
    time.sleep(pause)
    os.write(log, f"{r['partition']} {r['offset']} {r['attempt']} {r['value']} {r['key']}\n".encode())
    print(json.dumps({"id": r["id"], "ok": True}), flush=True)
"#;

/// The same for a batch, which it appends in one piece; it fails for a batch with one of `$POISON`.
const BATCH: &str = r#"
import json, os, sys, time
log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
rows = [json.loads(line) for line in sys.stdin]
assert len(rows) == int(os.environ["KQ_BATCH_RECORDS"])
time.sleep(float(os.environ.get("PAUSE") or 0))
poison = os.environ.get("POISON", "").split()
if any(r["value"] in poison for r in rows):
    sys.exit(1)
attempt = os.environ["KQ_RECORD_ATTEMPT"]
os.write(log, "".join(f"{r['partition']} {r['offset']} {attempt} {r['value']} {r['key']}\n" for r in rows).encode())
"#;

/// Whether all of the list was asked for, at full length; else the quick part.
pub(super) fn is_whole() -> bool {
    std::env::var("KQ_FAULTS").is_ok_and(|which| which == "all")
}

/// One of two sizes.
pub(super) fn sized<T>(quick: T, whole: T) -> T {
    if is_whole() { whole } else { quick }
}

/// `SplitMix64`: numbers that a seed gives again.
pub(super) struct Random(u64);

impl Random {
    /// From `KQ_FAULTS_SEED`, else the clock; each case has its own row of numbers.
    fn of(case: &str) -> Self {
        let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = match std::env::var("KQ_FAULTS_SEED") {
            Ok(seed) if !seed.is_empty() => seed.parse().expect("KQ_FAULTS_SEED is a number"),
            _ => clock().expect("a clock after 1970").as_secs(),
        };
        Self(case.bytes().fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())))
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A case that runs. Dropped before [`Case::pass`], it has failed.
pub(super) struct Case {
    pub cluster: Cluster,
    pub topic: String,
    pub group: String,
    pub random: Random,
    name: &'static str,
    required: &'static str,
    partitions: i32,
    dlq: Option<String>,
    dir: TempDir,
    sequence: u64,
    watch: Watch,
    began: Instant,
    passed: bool,
}

impl Case {
    /// Makes the topic, with `config` as `name=value`, and begins to watch the group's commits.
    #[track_caller]
    pub(super) fn new(name: &'static str, required: &'static str, partitions: u32, config: &[&str]) -> Self {
        let cluster = Cluster::get();
        assert!(
            !cluster.is_embedded(),
            "KQ_TEST_BROKERS is not set to Apache Kafka: run tests/kafka/run faults"
        );
        let (topic, group) = (cluster.topic("fault"), cluster.topic("group"));
        create(&cluster, &topic, partitions, config);
        Self::of(name, required, cluster, topic, partitions, group)
    }

    /// The same with a topic that is there, and a group of this name.
    pub(super) fn of(
        name: &'static str,
        required: &'static str,
        cluster: Cluster,
        topic: String,
        partitions: u32,
        group: String,
    ) -> Self {
        let partitions = partitions as i32;
        let dir = tempfile::Builder::new().prefix("kq-fault-").tempdir().expect("make a folder");
        let watch = Watch::start(cluster.brokers(), &topic, partitions, &group, dir.path().join("log"));
        let random = Random::of(name);
        Self {
            cluster,
            topic,
            group,
            random,
            name,
            required,
            partitions,
            dlq: None,
            dir,
            sequence: 0,
            watch,
            began: Instant::now(),
            passed: false,
        }
    }

    /// Makes a topic for dead letters, whose records count as resolved.
    #[track_caller]
    pub(super) fn dlq(&mut self, config: &[&str]) -> String {
        let dlq = self.cluster.topic("dead");
        create(&self.cluster, &dlq, 1, config);
        self.dlq = Some(dlq.clone());
        dlq
    }

    /// Sends so many more records, under `keys` keys.
    #[track_caller]
    pub(super) fn send(&mut self, records: u64, keys: u64) {
        let mut lines = String::new();
        for _ in 0..records {
            let key = self.random.below(keys);
            let _ = writeln!(lines, "k{key}:{}", self.sequence);
            self.sequence += 1;
        }
        self.cluster.kq(["produce", &self.topic, "-K", ":"]).stdin(lines).limit(LONG).run().success();
    }

    /// A worker of this case's group, whose handlers append to its file.
    pub(super) fn worker(&self, flags: &[&str]) -> Kq {
        self.cluster
            .kq(["worker", &self.topic, "-g", &self.group, "-v"])
            .args(flags)
            .env("LOG", self.log())
            .limit(4 * LONG)
    }

    /// A worker with the one-shot handler.
    pub(super) fn one_shot(&self, flags: &[&str]) -> Kq {
        self.worker(flags).args(["--shell", ONE_SHOT])
    }

    /// A worker with the persistent handler.
    pub(super) fn persistent(&self, flags: &[&str]) -> Kq {
        let script = self.dir.path().join("handler.py");
        std::fs::write(&script, PERSISTENT).expect("write the handler");
        self.worker(flags).args(["--persistent", "--", python()]).arg(script)
    }

    /// A worker with the handler for batches.
    pub(super) fn batches(&self, flags: &[&str]) -> Kq {
        let script = self.dir.path().join("batch.py");
        std::fs::write(&script, BATCH).expect("write the handler");
        self.worker(flags).args(["--", python()]).arg(script)
    }

    /// The file that handlers append to.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// How many lines handlers have appended.
    pub(super) fn handled(&self) -> usize {
        count_lines(&self.log())
    }

    /// Waits until so many lines were appended since the call.
    #[track_caller]
    pub(super) fn wait_for_more(&self, lines: usize) {
        let goal = self.handled() + lines;
        wait_until(&format!("{}: {lines} more lines", self.name), LONG, || self.handled() >= goal);
    }

    /// Waits until every record that was sent has been handled at least once.
    #[track_caller]
    pub(super) fn wait_for_all(&self) {
        let done = || {
            let mut lines: Vec<u64> = read_log(&self.log()).iter().map(|line| line.sequence).collect();
            lines.sort_unstable();
            lines.dedup();
            lines.len() as u64 >= self.sequence
        };
        wait_until(&format!("{}: {} records handled", self.name, self.sequence), LONG, done);
    }

    /// Lines appended so shortly ago that they may not be committed: what a kill now may repeat.
    pub(super) fn uncommitted(&self) -> usize {
        self.handled() - self.watch.handled_before(UNCOMMITTED)
    }

    /// Waits until the group has committed all there is.
    #[track_caller]
    pub(super) fn wait_for_no_lag(&self) {
        self.wait_for_no_lag_within(LONG);
    }

    /// The same, which may take so long.
    #[track_caller]
    pub(super) fn wait_for_no_lag_within(&self, limit: Duration) {
        let client = client(self.cluster.brokers(), &self.group);
        let mut lags = Vec::new();
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            lags = lag(&client, &self.topic, self.partitions);
            if !lags.is_empty() && lags.iter().all(|lag| *lag == Some(0)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        panic!("{}: by partition the lag is {lags:?}", self.name);
    }

    /// Tells it to end, and demands that it ends well.
    #[track_caller]
    #[expect(clippy::unused_self, reason = "a worker belongs to a case")]
    pub(super) fn end(&self, worker: Running) -> Output {
        worker.terminate();
        worker.wait().success()
    }

    /// The records that lie in the dead letters, as they say themselves.
    #[track_caller]
    pub(super) fn dead(&self) -> Vec<Place> {
        let Some(dlq) = &self.dlq else { return Vec::new() };
        let letters = self.cluster.kcat(["-C", "-t", dlq, "-e", "-q", "-f", "%h\n"]).run().success();
        let number = |line: &str, name: &str| {
            let value = line.split(',').find_map(|header| header.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse::<i64>().ok())
        };
        let place =
            |line: &str| Some((number(line, "kq.dlq.partition")? as i32, number(line, "kq.dlq.offset")?));
        letters.text().lines().filter_map(place).collect()
    }

    /// What lies in the topic.
    #[track_caller]
    pub(super) fn sent(&self) -> Vec<Sent> {
        let args = ["-C", "-t", &self.topic, "-e", "-q", "-f", "%p %o %s %k\n"];
        let output = self.cluster.kcat(args).run().success();
        let sent = |line: &str| {
            let mut words = line.splitn(4, ' ');
            Some(Sent {
                place: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
                sequence: words.next()?.parse().ok()?,
                key: words.next()?.to_owned(),
            })
        };
        let line = |line| sent(line).unwrap_or_else(|| panic!("not a record of the lab: {line:?}"));
        output.text().lines().map(line).collect()
    }

    /// The end of a case: nothing is behind, nothing runs, the oracle finds no
    /// flaw. `seen` goes into the table; `allowed` bounds the duplicates.
    #[track_caller]
    pub(super) fn pass(self, allowed: usize, seen: &str) {
        let sent = self.sent();
        assert_eq!(sent.len() as u64, self.sequence, "{}: as many records as were sent", self.name);
        self.pass_with(sent, allowed, seen);
    }

    /// The same where other records lie there than were sent by [`Case::send`].
    #[track_caller]
    pub(super) fn pass_with(mut self, sent: Vec<Sent>, allowed: usize, seen: &str) {
        self.wait_for_no_lag();
        self.leaves_nothing_running();
        let evidence = Evidence {
            sent,
            dead: self.dead(),
            samples: self.watch.finish(),
            handled: read_log(&self.log()),
            allowed,
        };
        assert!(evidence.samples.iter().any(|sample| !sample.committed.is_empty()), "no commit was seen");
        let report = evidence.judge().unwrap_or_else(|flaws| {
            let shown: Vec<String> = flaws.iter().take(20).map(ToString::to_string).collect();
            panic!("{}: {} flaws:\n{}", self.name, flaws.len(), shown.join("\n"))
        });
        let dead = if report.dead > 0 { format!(", {} dead-lettered", report.dead) } else { String::new() };
        let comma = if seen.is_empty() { "" } else { "; " };
        let seen = format!("{} of {} handled{dead}{comma}{seen}", report.handled, report.sent);
        self.passed = true;
        self.row(&seen, &format!("{} of {allowed}", report.duplicates));
    }

    /// The end of a case that judged for itself, since the log went back and commits with it.
    pub(super) fn pass_unjudged(mut self, seen: &str) {
        self.leaves_nothing_running();
        self.watch.finish();
        self.passed = true;
        self.row(seen, "-");
    }

    /// Demands that no command of this case's group is left.
    #[track_caller]
    pub(super) fn leaves_nothing_running(&self) {
        wait_until(&format!("{}: no command is left", self.name), Duration::from_secs(10), || {
            running_of(&self.group).is_empty()
        });
    }

    /// Writes this case's line of the table.
    fn row(&self, seen: &str, duplicates: &str) {
        row(self.name, self.required, seen, duplicates, self.began);
    }
}

/// Writes a line of the table, where one is asked for.
pub(super) fn row(name: &str, required: &str, seen: &str, duplicates: &str, began: Instant) {
    let Some(table) = std::env::var_os("KQ_FAULTS_TABLE") else { return };
    let seconds = began.elapsed().as_secs();
    let line = format!("{name}\t{required}\t{seen}\t{duplicates}\t{seconds}\n");
    let file = std::fs::OpenOptions::new().append(true).create(true).open(&table);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("write the table");
}

impl Drop for Case {
    fn drop(&mut self) {
        if !self.passed {
            self.row("FAILED", "-");
        }
    }
}

/// Makes a topic of as many replicas as there are brokers.
#[track_caller]
pub(super) fn create(cluster: &Cluster, topic: &str, partitions: u32, config: &[&str]) {
    let partitions = partitions.to_string();
    let config = config.iter().flat_map(|pair| ["--config", pair]);
    cluster.kq(["topic", "create", topic, "-p", &partitions]).args(config).limit(LONG).run().success();
}

/// The lines that handlers appended, in their order.
#[track_caller]
pub(super) fn read_log(log: &Path) -> Vec<Handled> {
    let handled = |line: &str| {
        let mut words = line.splitn(5, ' ');
        Some(Handled {
            place: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            attempt: words.next()?.parse().ok()?,
            sequence: words.next()?.parse().ok()?,
            key: words.next()?.to_owned(),
        })
    };
    let bytes = std::fs::read(log).unwrap_or_default();
    // A line that is being appended has no end yet.
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
    let line = |line| handled(line).unwrap_or_else(|| panic!("not a handler's line: {line:?}"));
    text.lines().map(line).collect()
}

/// The processes that kq started for this group, by what it put into their environment.
pub(super) fn running_of(group: &str) -> Vec<u32> {
    let mark = format!("KQ_RECORD_GROUP={group}\0");
    let is_ours = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    let all = std::fs::read_dir("/proc").expect("read /proc");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(is_ours).collect()
}

/// The interpreter itself: a version manager's shim costs more than a handler's life.
fn python() -> &'static str {
    static PATH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    PATH.get_or_init(|| {
        let home = std::env::var("HOME").unwrap_or_default();
        let asked = Kq::program("python3", ["-c", "import sys; print(sys.executable)"]).env("HOME", home);
        asked.run().success().text().trim().to_owned()
    })
}
