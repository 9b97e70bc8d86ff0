//! What a group has committed, looked at again and again while a case runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::oracle::Sample;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// A client that asks for one group's offsets.
pub(super) fn client(brokers: &str, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group).set("log_level", "0");
    config.create().expect("make a client")
}

/// The lag, by partition; `None` where nothing is committed or no broker answers.
pub(super) fn lag(client: &BaseConsumer, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let second = Duration::from_secs(1);
    let Some(committed) = committed(client, topic, partitions) else { return Vec::new() };
    let of = |partition: i32| {
        let (_, high) = client.fetch_watermarks(topic, partition, second).ok()?;
        // Nothing was ever there: nothing needs a commit.
        committed.get(&partition).map(|offset| high - offset).or_else(|| (high == 0).then_some(0))
    };
    (0..partitions).map(of).collect()
}

/// The group's committed offsets; `None` where no broker answers.
pub(super) fn committed(client: &BaseConsumer, topic: &str, partitions: i32) -> Option<BTreeMap<i32, i64>> {
    let second = Duration::from_secs(1);
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, partitions - 1);
    let answer = client.committed_offsets(asked, second).ok()?;
    let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset()
    {
        Offset::Offset(offset) => Some((element.partition(), offset)),
        _ => None,
    };
    Some(answer.elements().iter().filter_map(offset).collect())
}

/// Looks at the committed offsets again and again, from a thread of its own.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Sample>>>,
    /// When how many lines had been appended.
    history: Arc<Mutex<Vec<(Instant, usize)>>>,
}

impl Watch {
    pub(super) fn start(brokers: &str, topic: &str, partitions: i32, group: &str, log: PathBuf) -> Self {
        let (stop, history) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (stopped, times, topic) = (Arc::clone(&stop), Arc::clone(&history), topic.to_owned());
        let client = client(brokers, group);
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            loop {
                // Before the look: the last one comes after everything else.
                let is_last = stopped.load(Ordering::Acquire);
                let committed = committed(&client, &topic, partitions);
                // The effect comes before the commit, so it is counted after it.
                let handled = count_lines(&log);
                times.lock().expect("lock the history").push((Instant::now(), handled));
                samples.extend(committed.map(|committed| Sample { committed, handled }));
                if is_last {
                    return samples;
                }
                std::thread::sleep(LOOK);
            }
        });
        Self { stop, thread: Some(thread), history }
    }

    /// How many lines had been appended so long ago.
    pub(super) fn handled_before(&self, ago: Duration) -> usize {
        let history = self.history.lock().expect("lock the history");
        history.iter().rev().find(|(at, _)| at.elapsed() >= ago).map_or(0, |(_, lines)| *lines)
    }

    /// Takes a last look and gives all of them.
    pub(super) fn finish(&mut self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().map(|thread| thread.join().expect("the watch has ended")).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// How many lines handlers have appended so far.
pub(super) fn count_lines(log: &Path) -> usize {
    std::fs::read(log).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}
