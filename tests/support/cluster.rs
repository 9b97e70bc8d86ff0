//! A cluster to test against: the embedded broker, or Apache Kafka where `KQ_TEST_BROKERS` names one.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::kq::Kq;
use super::running::Running;

/// Names a running cluster that the tests use instead of the embedded broker.
const BROKERS: &str = "KQ_TEST_BROKERS";
/// How long a broker may live: longer than any test.
const LIFE: Duration = Duration::from_mins(10);

/// A cluster that lives as long as this value (a named one outlives it).
pub struct Cluster {
    brokers: String,
    embedded: Option<Embedded>,
}

/// `kq dev` as this test started it, and how to start it again.
struct Embedded {
    broker: Option<Running>,
    args: Vec<OsString>,
}

impl Cluster {
    /// The cluster of `KQ_TEST_BROKERS` where it is set, else an embedded broker of this test's own.
    pub fn get() -> Self {
        match std::env::var(BROKERS) {
            Ok(brokers) if !brokers.is_empty() => Self { brokers, embedded: None },
            _ => Self::embedded(),
        }
    }

    /// An embedded broker of this test's own, even if the environment names a cluster.
    #[track_caller]
    pub fn embedded() -> Self {
        Self::embedded_with(&[] as &[&str])
    }

    /// An embedded broker with its data in `dir`, so that it can be restarted.
    #[track_caller]
    pub fn embedded_in(dir: &Path) -> Self {
        Self::embedded_with(&[OsStr::new("--data"), dir.as_os_str()])
    }

    /// An embedded broker with further arguments of `kq dev`.
    #[track_caller]
    pub fn embedded_with(args: &[impl AsRef<OsStr>]) -> Self {
        let args: Vec<_> = args.iter().map(|arg| arg.as_ref().to_owned()).collect();
        let (broker, brokers) = start(&args, "0");
        Self { brokers, embedded: Some(Embedded { broker: Some(broker), args }) }
    }

    /// Whether this is the embedded broker.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// The bootstrap brokers, `host:port,…`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// How many brokers there are: the largest replication factor.
    pub fn nodes(&self) -> usize {
        self.brokers.split(',').count()
    }

    /// `kq ARGS…` with `KQ_BROKERS` set to this cluster.
    pub fn kq<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Kq {
        Kq::new(args).env("KQ_BROKERS", &self.brokers)
    }

    /// Another program with `KQ_BROKERS` set to this cluster, kq being on its PATH.
    pub fn program<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>) -> Kq {
        Kq::program(program, args).env("KQ_BROKERS", &self.brokers)
    }

    /// `kcat -b BROKERS ARGS…`.
    pub fn kcat<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Kq {
        Kq::program("kcat", ["-b", self.brokers.as_str()]).args(args)
    }

    /// A new name for a topic or a group.
    #[expect(clippy::unused_self, reason = "a name belongs to a cluster")]
    pub fn topic(&self, hint: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{hint}-{}-{now:x}-{count}", std::process::id())
    }

    /// Creates a topic of this many partitions under a new name, and returns the name.
    #[track_caller]
    pub fn create(&self, hint: &str, partitions: u32) -> String {
        let topic = self.topic(hint);
        let partitions = partitions.to_string();
        self.kq(["topic", "create", &topic, "--partitions", &partitions]).run().success();
        topic
    }

    /// Deletes the records of a partition below an offset, as retention does.
    #[track_caller]
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut config = ClientConfig::new();
        let admin: AdminClient<DefaultClientContext> =
            config.set("bootstrap.servers", &self.brokers).create().expect("make an admin client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("make a runtime");
        let deleted =
            runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).expect("delete records");
        deleted.elements().iter().for_each(|element| element.error().expect("delete records"));
    }

    /// The embedded broker's process.
    #[track_caller]
    pub fn broker(&self) -> &Running {
        let embedded = self.embedded.as_ref().expect("an embedded broker");
        embedded.broker.as_ref().expect("the broker runs")
    }

    /// Ends the embedded broker with KILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.take().kill();
    }

    /// Ends the embedded broker with TERM and demands that it ends well.
    #[track_caller]
    pub fn stop(&mut self) {
        let broker = self.take();
        broker.terminate();
        broker.wait().success();
    }

    /// Starts the embedded broker again, on the same port and with the same arguments.
    #[track_caller]
    pub fn start(&mut self) {
        let port = self.brokers.rsplit_once(':').expect("host:port").1.to_owned();
        let embedded = self.embedded.as_mut().expect("an embedded broker");
        assert!(embedded.broker.is_none(), "the broker runs already");
        embedded.broker = Some(start(&embedded.args, &port).0);
    }

    #[track_caller]
    fn take(&mut self) -> Running {
        let embedded = self.embedded.as_mut().expect("an embedded broker");
        embedded.broker.take().expect("the broker runs")
    }
}

/// Starts `kq dev` on the port and reads its address from what it says when it listens.
#[track_caller]
fn start(args: &[OsString], port: &str) -> (Running, String) {
    let broker = Kq::new(["dev", "--port", port]).args(args).limit(LIFE).spawn();
    let line = broker.wait_for_stderr("127.0.0.1:");
    let from = line.find("127.0.0.1:").expect("it was found");
    let address: String =
        line[from..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    let address = address.trim_end_matches(['.', ':']).to_owned();
    (broker, address)
}
