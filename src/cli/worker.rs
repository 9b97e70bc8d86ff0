//! Flags of `kq worker`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::cli::reading::{ExclusionArgs, GroupArgs};
use crate::cli::selection::{DecodeArgs, FilterArgs};
use crate::cli::{sizes, values};
use crate::clock::backoff::Backoff;
use crate::clock::rate::Rate;
use crate::clock::{duration, now_ms};
use crate::http::address::Address;
use crate::reading::bounds::{self, End, Start};
use crate::worker::{ExitMap, OnFailure, OnOutage, Order, Stdin};

/// Run a command for each record
///
/// Runs COMMAND for each record, with the record's value on its stdin, and commits the record once it
/// is done. The value comes as it is, without a newline at its end. -D '\n' adds one, which `while read`
/// of a shell needs; --stdin json gives the whole record.
///
/// Guarantee: at least once. A record's offset is committed only after its command has succeeded,
/// or the cluster has acknowledged its dead letter, or --on-failure skip has skipped it. What is done
/// past a record that is not done is kept in the commit's metadata: it counts as already done after a
/// stop or a rebalance. After a crash, what was done since the last commit (--commit-interval) runs
/// again. So COMMAND must give the same result when it runs twice for a record; KQ_RECORD_ID is the
/// same in both runs.
///
/// COMMAND runs directly. A single argument that holds white space or a shell metacharacter and
/// is no existing file runs under `sh -c`, as does --shell STRING; a script without `#!` runs
/// under /bin/sh. Its stdout is written in one piece when it ends. Its stderr goes line by line to
/// kq's stderr, each line after topic[partition]@offset. Processes that it leaves in its process
/// group are killed when it ends.
///
/// The record is in its environment: KQ_RECORD_TOPIC, _PARTITION, _OFFSET, _TIMESTAMP (ms), _KEY
/// (where it is text), _KEY_BASE64, _KEY_NULL, _VALUE_NULL (1 for a tombstone), _HEADERS (JSON),
/// _ID (topic/partition/offset), _ATTEMPT, _MAX_ATTEMPTS, _GROUP; _TRUNCATED=1 where one was too
/// long to pass. KQ_BROKERS and the rest of the connection are set too, so that it can call kq.
/// KQ_WORKER_MARK is set so that commands which still run after kq was killed can be found and
/// killed: do not change it.
///
/// Its exit status decides: 0 the record is done; 65 or 100 it can never be done (--on-failure at
/// once); 78, 126 or 127 the command itself is broken: kq stops with 78, but tries again for 30 s where
/// it has worked before, as at a deploy. After any other status,
/// a signal or a time-out the record is tried again, --retries times, then --on-failure decides.
/// The status of a command that kq terminated (TERM) does not count: after a time-out its record
/// has failed, otherwise its record runs again.
///
/// For a record that --grep, --where-key or --where-header does not let through, no command runs: it
/// counts as filtered, not for -n, and is committed in its turn.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{PROTOCOL}"))]
pub(crate) struct Args {
    /// The topics (or KQ_TOPIC); `^orders-.*` is a regular expression
    #[arg(value_name = "TOPIC")]
    pub topics: Vec<String>,

    /// A topic; repeatable
    #[arg(short = 't', long = "topic", value_name = "TOPIC")]
    pub topic_flags: Vec<String>,

    #[command(flatten)]
    pub exclusion: ExclusionArgs,

    /// The command to run for each record, and its arguments
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "shell", conflicts_with = "shell")]
    pub command: Vec<OsString>,

    /// Run STRING under `sh -c` for each record, instead of a COMMAND
    #[arg(long, value_name = "STRING")]
    pub shell: Option<OsString>,

    /// The consumer group (or KQ_GROUP) [default: kq-worker-TOPIC]
    #[arg(short, long, value_name = "GROUP", help_heading = "Reading")]
    pub group: Option<String>,

    /// Where the group has committed nothing yet: beginning, end, OFFSET, -N (before the end), @TIME, -DURATION
    #[arg(short = 'o', long, value_name = "WHERE", default_value = "beginning", allow_hyphen_values = true, value_parser = from, help_heading = "Reading")]
    pub from: Start,

    /// With --from: the whole group starts there, whatever it has committed; refused where it has members
    #[arg(long, requires = "from", help_heading = "Reading")]
    pub reset: bool,

    /// End there (exclusive): end (as it is when a partition is assigned), OFFSET, @TIME
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true, value_parser = until, help_heading = "Reading")]
    pub until: Option<End>,

    /// End at the end, as it is when a partition is first assigned
    #[arg(short, long, alias = "exit-at-end", conflicts_with = "until", help_heading = "Reading")]
    pub end: bool,

    /// End after COUNT records are done, one way or another
    #[arg(short = 'n', long, visible_short_alias = 'c', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Reading")]
    pub count: Option<u64>,

    /// End when nothing came and nothing ran for this long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Reading")]
    pub idle: Option<Duration>,

    /// Static membership: a member with this name keeps its partitions over a short restart
    #[arg(long, value_name = "NAME", help_heading = "Reading")]
    pub instance_id: Option<String>,

    /// How often what is done is committed (a second where much is done past an open record), 10ms to 1m: after kq
    /// was killed, what was done since runs again
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = commit_interval, help_heading = "Reading")]
    pub commit_interval: Duration,

    #[command(flatten)]
    pub decoding: DecodeArgs,

    #[command(flatten)]
    pub filter: FilterArgs,

    #[command(flatten)]
    pub sharing: GroupArgs,

    /// Commands that run at the same time; 16 to 64 for those that wait on a network [default: cores]
    #[arg(short, long, value_name = "N", value_parser = at_least_one, help_heading = "Running")]
    pub jobs: Option<NonZeroUsize>,

    /// Which records wait for each other
    #[arg(long, value_name = "ORDER", default_value = "key", value_parser = values::order(), help_heading = "Running")]
    pub order: Order,

    /// A command that takes longer is terminated (TERM), then killed, with all that it started; its record has failed
    #[arg(long, value_name = "DURATION", value_parser = positive, help_heading = "Running")]
    pub command_timeout: Option<Duration>,

    /// Start so many commands at most in each second, minute, hour or day (10/s, 90/m, 1000/h, 5000/d), retries
    /// included. With --persistent: hand out so many records
    #[arg(long, value_name = "N/UNIT", help_heading = "Running")]
    pub rate: Option<Rate>,

    /// Run each record this long after its timestamp, and a dead letter this long after it failed. Both
    /// count from now where they are in the future. Records of one key keep their order
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Running")]
    pub delay: Option<Duration>,

    /// How far a partition may be read ahead of its oldest record that is not done
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Running")]
    pub max_span: u64,

    /// Write this string after each value on a command's stdin, as in `-D '\n'`; nothing after a tombstone, but with
    /// --batch, where a null value is an empty one. May contain \n \t \0 \xNN [default: nothing]
    #[arg(
        short = 'D',
        long,
        value_name = "STR",
        allow_hyphen_values = true,
        conflicts_with = "persistent",
        help_heading = "Running"
    )]
    pub delimiter: Option<String>,

    /// What a command reads: the record's value, or the whole record in a line of JSON, as `kq consume -J` writes
    /// it, with the value decompressed [default: value; with --batch json, but with -D value]
    #[arg(long, value_name = "FORM", value_parser = values::one_of::<Stdin>(), conflicts_with = "persistent", help_heading = "Running")]
    pub stdin: Option<Stdin>,

    /// The commands keep running and answer record after record, as JSON lines: see "The protocol of
    /// --persistent" in --help
    #[arg(long, help_heading = "Running")]
    pub persistent: bool,

    /// With --persistent: records in flight in each process
    #[arg(long, value_name = "W", default_value = "64", value_parser = at_least_one, requires = "persistent", help_heading = "Running")]
    pub window: NonZeroUsize,

    /// With --persistent: what the first answer of each process may take besides --command-timeout
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse, requires = "persistent", help_heading = "Running")]
    pub start_timeout: Duration,

    /// Up to N records of one partition to one command, in offset order: lines of JSON, or values with -D. COMMAND
    /// must be all-or-nothing, or bear a second run of what it has done (see below)
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Running")]
    pub batch: Option<NonZeroUsize>,

    /// With --batch: how long a batch that is not full waits for more records
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration::parse, requires = "batch", help_heading = "Running")]
    pub batch_wait: Duration,

    /// With --batch: the keys, values and headers of a batch have so many bytes at most; a larger record goes alone
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = sizes::parse, requires = "batch", help_heading = "Running")]
    pub batch_bytes: usize,

    /// Send what a command printed, once it succeeded, to this topic, under the record's key and without one
    /// newline at its end. Where it printed nothing, nothing is sent, except for an empty value. With
    /// --persistent: the "out" of its answers
    #[arg(long, value_name = "TOPIC", help_heading = "Running")]
    pub output_topic: Option<String>,

    /// With --output-topic: each line is a record
    #[arg(long, requires = "output_topic", help_heading = "Running")]
    pub output_lines: bool,

    /// With --output-topic: the record's headers are sent too
    #[arg(long, requires = "output_topic", help_heading = "Running")]
    pub copy_headers: bool,

    /// Pass passwords in the command's environment too (KQ_SASL_PASSWORD, KQ_TLS_KEY_PASSWORD). The private
    /// key of a key store or of ssl.key.pem is passed in KQ_X: that of a key store is not encrypted there
    #[arg(long, help_heading = "Running")]
    pub pass_credentials: bool,

    /// Further attempts after the first
    #[arg(long, value_name = "N", default_value = "5", help_heading = "Failing")]
    pub retries: u32,

    /// Instead of --retries: a record is tried for so long from its first attempt on
    #[arg(long, value_name = "DURATION", value_parser = positive, conflicts_with = "retries", help_heading = "Failing")]
    pub retry_for: Option<Duration>,

    /// The wait before a retry: half of FIRST to FIRST, doubled each time, at most MAX
    #[arg(long, value_name = "FIRST..MAX", default_value = "1s..1m", help_heading = "Failing")]
    pub backoff: Backoff,

    /// What exit statuses mean instead: ok, retry, fail, skip, stop
    #[arg(long, value_name = "STATUS=MEANING,…", help_heading = "Failing")]
    pub exit_map: Option<ExitMap>,

    /// What becomes of a record that failed for good [default: dlq with --dlq, else stop]
    #[arg(long, value_name = "WHAT", value_parser = values::on_failure(), help_heading = "Failing")]
    pub on_failure: Option<OnFailure>,

    /// Send records that failed for good to this topic, with headers that say why
    #[arg(long, value_name = "TOPIC", help_heading = "Failing")]
    pub dlq: Option<String>,

    /// So many records that failed for good with no success between them are an outage of what the command
    /// needs; 0 is never. Records that can never be done (65, 100, "fail") do not count
    #[arg(long, value_name = "N", default_value = "20", help_heading = "Failing")]
    pub max_consecutive_failures: u32,

    /// What follows on such an outage [default: pause; stop with -n, -e, --until or --idle]
    #[arg(long, value_name = "WHAT", value_parser = values::on_outage(), help_heading = "Failing")]
    pub on_outage: Option<OnOutage>,

    /// Serve /metrics (Prometheus), /livez and /readyz there; `:9100` is all of this machine's addresses
    #[arg(long, value_name = "[HOST]:PORT", help_heading = "Seeing it work")]
    pub metrics: Option<Address>,

    /// When partitions move to another member: how long their commands may still run
    #[arg(long, value_name = "DURATION", default_value = "18s", value_parser = duration::parse, help_heading = "Ending")]
    pub drain: Duration,

    /// How long ending may take in all, on TERM, INT or HUP (INT and HUP unless they were ignored before, as by nohup)
    #[arg(long, value_name = "DURATION", default_value = "28s", value_parser = positive, help_heading = "Ending")]
    pub shutdown_timeout: Duration,

    /// With -n, -e, --until or --idle: give up after so long without contact to the cluster
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = positive, help_heading = "Ending")]
    pub stall_timeout: Duration,
}

fn from(text: &str) -> anyhow::Result<Start> {
    bounds::parse_from(text, now_ms())
}

fn until(text: &str) -> anyhow::Result<End> {
    bounds::parse_until(text, now_ms())
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "give a number from 1 on".into())
}

fn positive(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text)?;
    if duration.is_zero() { Err("give more than 0".into()) } else { Ok(duration) }
}

fn commit_interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    if interval.is_zero() {
        return Err("with 0 the client would never commit: give 10ms to 1m".into());
    }
    let range = Duration::from_millis(10)..=Duration::from_mins(1);
    if range.contains(&interval) { Ok(interval) } else { Err("give 10ms to 1m".into()) }
}

// A paragraph is one line, which the terminal's width breaks; an example has 80 columns at most.
const EXAMPLES: &str = "\
Examples:
  kq worker foo -- ./handler.sh
  kq worker foo -j16 --dlq foo.dlq -- curl -fsS --data-binary @- localhost:8080
  kq worker foo -- 'jq -r .name | tee -a names.txt'
  kq worker foo -D '\\n' -- 'while read -r line; do echo \"$line\"; done'
  kq worker foo --stdin json -- jq -r '.key + \" \" + .value'
  kq worker foo -g once -e -- ./handler.sh         what is there now, then end
  kq worker foo -j 4 --persistent -- ./handler.py  a line: 1 µs, a process: 1 ms
  kq worker foo --batch 1000 -- ./load.sh          1,000 records a command
  kq worker foo.dlq -g again -e --output-topic foo --copy-headers -D '\\n' -- cat
  kq worker foo --batch 500 --batch-bytes 1MiB --commit-interval 1s -- ./load.sh
  kq worker foo --retry-for 10m --on-outage stop --dlq foo.dlq -- ./handler.sh
  kq worker '^foo' -g g --exclude-topic '\\.dlq$' -- ./handler.sh
  kq worker foo.retry --delay 10m --rate 5/s --dlq foo.dlq -- ./handler.sh
  kq worker foo --metrics :9100 -- ./handler.sh    /metrics, /livez, /readyz
  kq worker foo --log-format json -- ./handler.sh  an object a line on stderr
  kq worker foo --exit-map 3=skip --on-failure retry -- ./handler.sh

WHERE, TIME and DURATION are explained in `kq consume --help`. A time is a position in each partition: reading \
follows the offsets from there, whatever the timestamps of the records are.

--batch: a command gets up to N records of one partition on stdin, which is a file that holds all of them: each a line, the JSON of `kq consume -J`. KQ_BATCH_RECORDS, KQ_BATCH_TOPIC, KQ_BATCH_PARTITION, KQ_BATCH_FIRST_OFFSET and KQ_BATCH_LAST_OFFSET describe them; of KQ_RECORD_* there are _GROUP and _ATTEMPT (the highest). Status 0: all of them are done. 75 or 111: all of them are tried again, and have spent an attempt. After any other status that means a failure, a signal or a time-out the batch runs again in halves, down to the record that fails alone; it alone spends retries and is dead-lettered, and later records of its key wait for it. So what a failed command has done of a batch is done again: let it do all or nothing (a transaction), or let a second run do no harm (an upsert by topic, partition and offset). But for --order none, one batch of a partition runs at a time. With --output-topic, a line of output is a record, in the form of its input.

Exit status: 0 a signal stopped it and all commands finished, the stop condition was reached, or the reader of \
stdout has gone; 1 a record failed for good and --on-failure is stop, too many failed in a row with --on-outage \
stop, records were lost to retention, or the last commit failed (records that were done since the commit before run \
again); 2 usage, connection, missing topic; 75 commands still ran \
when the time to end was up; 76 fenced; 78 the command can't be run; 128+n signal n came before the stop \
condition.";

/// What a handler must know that stays. The manual has it from here.
const PROTOCOL: &str = "\
The protocol of --persistent:

-j processes keep running. kq writes one record a line to the stdin of each: the JSON of `kq consume -J` with \
\"id\" and \"attempt\" in front. A value that is not UTF-8 is in \"value_base64\" instead of \"value\", and the \
value of a tombstone is null; so are the key, with \"key_base64\", and the headers:
  {\"id\":7,\"attempt\":1,\"topic\":\"t\",…,\"key\":\"k\",\"value\":\"text\",…}
  {\"id\":8,\"attempt\":1,\"topic\":\"t\",…,\"key\":null,\"value_base64\":\"/wA=\",…}
  {\"id\":9,\"attempt\":1,\"topic\":\"t\",…,\"key\":\"k\",\"value\":null,…}

The process answers each record with one line on its stdout, in any order, and flushes each line (jq --unbuffered, \
python3 -u, fflush): done, to be tried again after so many ms, or failed for good:
  {\"id\":7,\"ok\":true,\"out\":[\"printed by kq\"]}
  {\"id\":8,\"retry_ms\":500}
  {\"id\":9,\"fail\":\"why\"}

\"out\" may be left out. kq prints it: a list is several lines; a string is printed as it is, any other value as \
JSON. With --output-topic \"out\" is a string, an object, or a list of these. A string is a value, under the key \
of the answered record; with --output-lines each of its lines is. An object is a record: it has \"value\" or \"value_base64\", and may have \"key\" or \
\"key_base64\", \"headers\" and \"timestamp\".

An \"id\" may come back as \"7\" or 7.0. A bad answer fails its record. An object that has no other keys than \
those of an answer, and an \"id\" that the process was not sent, or none, fails the oldest record that the process \
has. A second answer for a record is ignored. Any other line goes to stderr as what the command says.

Records of one key go to one process. At most --window records are in flight in each. --command-timeout counts \
from the answer before. The first answer of a process has --start-timeout besides; once a process has answered, \
another has three times as long as that took, at least 5 s and at most --start-timeout.

When a process dies, the records that it had are sent again one at a time: only the record that kills it spends \
retries; five such records in a row, with no answer between them, stop the worker with 78, or pause it where the command has worked before \
(--on-outage). A process is \
terminated (TERM, then KILL) when a record takes too long, when it closes its stdin or stdout, and when it still \
has records of a partition that is revoked.

At the end of the worker (-e, -n, --until, --idle, a signal), once nothing more is to be sent and no answer came for a second, kq ends the process's \
stdin. The process answers what it has, then ends. For a record that is tried again after that, a process is \
started again.";
