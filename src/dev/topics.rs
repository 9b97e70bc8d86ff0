//! Topics and their partitions: which exist, with which configuration, in which folder.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::code::{self, Code};
use super::configs::{self, Defaults};
use super::files;
use super::log::PartitionLog;
use super::log::config::LogConfig;
use super::log::open::OpenFiles;
use crate::lock::{Lock, SharedLock};

mod partition;

pub(crate) use partition::Partition;

/// The most partitions that a topic may have, and all topics together.
pub(crate) const MAX_PARTITIONS: usize = 10_000;

/// One topic.
pub(crate) struct Topic {
    pub name: String,
    /// Another topic of this name, later, has another one.
    pub id: Uuid,
    state: SharedLock<TopicState>,
}

struct TopicState {
    partitions: Vec<Arc<Partition>>,
    configs: BTreeMap<String, String>,
    log_config: LogConfig,
}

impl Topic {
    fn read<T>(&self, look: impl FnOnce(&TopicState) -> T) -> T {
        look(&self.state.read())
    }

    /// How many partitions there are.
    pub(crate) fn partition_count(&self) -> usize {
        self.read(|state| state.partitions.len())
    }

    /// All partitions, by index.
    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.read(|state| state.partitions.clone())
    }

    /// What the configuration says about the logs.
    pub(crate) fn log_config(&self) -> LogConfig {
        self.read(|state| state.log_config)
    }

    /// The configuration that was set for this topic.
    pub(crate) fn configs(&self) -> BTreeMap<String, String> {
        self.read(|state| state.configs.clone())
    }
}

/// A topic in the file that lists them.
#[derive(Serialize, Deserialize)]
struct Listed {
    name: String,
    /// None in a list of an earlier version: the topic gets one.
    #[serde(default)]
    id: Option<String>,
    partitions: usize,
    #[serde(default)]
    configs: BTreeMap<String, String>,
}

/// An error code and the words for a person.
pub(crate) type Refused = (Code, String);

/// All topics of the broker.
pub(crate) struct Topics {
    folder: PathBuf,
    files: Arc<OpenFiles>,
    pub defaults: Defaults,
    by_name: SharedLock<BTreeMap<String, Arc<Topic>>>,
    /// Partitions of all topics together.
    total: AtomicUsize,
    /// Held while topics change, so that the file and the memory agree.
    changing: Lock<()>,
}

impl Topics {
    /// Opens the topics in `folder`; `repaired` is called for each log that had to be cut.
    pub(crate) fn open(
        folder: &Path,
        defaults: Defaults,
        mut repaired: impl FnMut(String),
    ) -> io::Result<Self> {
        let listed: Vec<Listed> = match std::fs::read(folder.join("topics.json")) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        std::fs::create_dir_all(folder.join("topics"))?;
        let files = OpenFiles::new(files::of_logs());
        let mut by_name = BTreeMap::new();
        let mut lacks_id = false;
        for listed in listed {
            let mut partitions = Vec::new();
            for index in 0..listed.partitions {
                let place = partition_folder(folder, &listed.name, index);
                let (log, lost) = PartitionLog::open(place, &files)?;
                if let Some(lost) = lost {
                    repaired(format!("{}[{index}]: {lost}", listed.name));
                }
                partitions.push(Partition::new(log));
            }
            let config = configs::for_log(&listed.configs, &defaults);
            let state =
                SharedLock::new(TopicState { partitions, configs: listed.configs, log_config: config });
            let id = listed.id.and_then(|id| Uuid::parse_str(&id).ok());
            lacks_id |= id.is_none();
            let id = id.unwrap_or_else(Uuid::new_v4);
            by_name.insert(listed.name.clone(), Arc::new(Topic { name: listed.name, id, state }));
        }
        let this = Self {
            folder: folder.to_owned(),
            files,
            defaults,
            total: AtomicUsize::new(by_name.values().map(|topic| topic.partition_count()).sum()),
            by_name: SharedLock::new(by_name),
            changing: Lock::new(()),
        };
        if lacks_id {
            this.save()?;
        }
        Ok(this)
    }

    /// The topic of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.read().get(name).cloned()
    }

    /// One partition of a topic.
    pub(crate) fn partition(&self, name: &str, index: i32) -> Option<(Arc<Topic>, Arc<Partition>)> {
        let topic = self.find(name)?;
        let partition = topic.read(|state| state.partitions.get(usize::try_from(index).ok()?).cloned())?;
        Some((topic, partition))
    }

    /// All topics, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().values().cloned().collect()
    }

    /// The topics by their ids.
    pub(crate) fn by_id(&self) -> HashMap<Uuid, Arc<Topic>> {
        self.all().into_iter().map(|topic| (topic.id, topic)).collect()
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether a topic could be created.
    pub(crate) fn check_new(
        &self,
        name: &str,
        partitions: i32,
        own: &BTreeMap<String, String>,
    ) -> Result<(), Refused> {
        self.count_of_new(name, partitions, own).map(|_| ())
    }

    /// The number of a new topic's partitions.
    fn count_of_new(
        &self,
        name: &str,
        partitions: i32,
        own: &BTreeMap<String, String>,
    ) -> Result<usize, Refused> {
        check_name(name)?;
        if let Some(other) = self.colliding(name) {
            return Err(if other == name {
                (code::TOPIC_ALREADY_EXISTS, format!("Topic '{name}' already exists."))
            } else {
                let why = format!("Topic '{name}' collides with existing topic: {other}");
                (code::INVALID_TOPIC_EXCEPTION, why)
            });
        }
        let count = check_count(partitions, self.total())?;
        for (key, value) in own {
            configs::check(key, value).map_err(|why| (code::INVALID_CONFIG, why))?;
        }
        Ok(count)
    }

    /// The topic of this name, or one that differs in `.` and `_` only: the names of Kafka's metrics do
    /// not distinguish the two.
    fn colliding(&self, name: &str) -> Option<String> {
        let topics = self.by_name.read();
        if topics.contains_key(name) || !name.contains(['.', '_']) {
            return topics.contains_key(name).then(|| name.to_owned());
        }
        let unified = |c: u8| if c == b'.' { b'_' } else { c };
        let same = |other: &str| other.bytes().map(unified).eq(name.bytes().map(unified));
        topics.keys().find(|other| other.len() == name.len() && same(other)).cloned()
    }

    /// Creates a topic. It can be used when this returns.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        own: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, Refused> {
        let made = self.create_all([(name, partitions, own)]);
        made.into_iter().next().unwrap_or_else(|| Err(storage(&io::ErrorKind::Other.into())))
    }

    /// Creates topics, each from its name, number of partitions and configuration. The file that
    /// lists them is written once.
    pub(crate) fn create_all<'a>(
        &self,
        new: impl IntoIterator<Item = (&'a str, i32, BTreeMap<String, String>)>,
    ) -> Vec<Result<Arc<Topic>, Refused>> {
        let _changing = self.changing.lock();
        let made: Vec<_> =
            new.into_iter().map(|(name, partitions, own)| self.make(name, partitions, own)).collect();
        if made.iter().all(Result::is_err) {
            return made;
        }
        match self.save() {
            Ok(()) => made,
            Err(e) => made.into_iter().map(|made| made.and_then(|topic| self.unmake(&topic, &e))).collect(),
        }
    }

    fn make(
        &self,
        name: &str,
        partitions: i32,
        own: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, Refused> {
        let count = self.count_of_new(name, partitions, &own)?;
        let opened: io::Result<Vec<_>> = (0..count).map(|index| self.new_partition(name, index)).collect();
        let config = configs::for_log(&own, &self.defaults);
        let state = SharedLock::new(TopicState {
            partitions: opened.map_err(|e| storage(&e))?,
            configs: own,
            log_config: config,
        });
        let topic = Arc::new(Topic { name: name.to_owned(), id: Uuid::new_v4(), state });
        self.by_name.write().insert(name.to_owned(), Arc::clone(&topic));
        self.total.fetch_add(count, Ordering::Relaxed);
        Ok(topic)
    }

    /// Removes a topic again that could not be written to the list.
    fn unmake(&self, topic: &Topic, e: &io::Error) -> Result<Arc<Topic>, Refused> {
        self.remove(topic);
        Err(storage(e))
    }

    fn remove(&self, topic: &Topic) {
        self.by_name.write().remove(&topic.name);
        // Others may still hold the partitions, and a new topic may get their folders.
        topic.partitions().iter().for_each(|partition| partition.log().delete());
        self.total.fetch_sub(topic.partition_count(), Ordering::Relaxed);
    }

    fn new_partition(&self, name: &str, index: usize) -> io::Result<Arc<Partition>> {
        let folder = partition_folder(&self.folder, name, index);
        // Left by a creation or a deletion that was interrupted.
        match std::fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let (log, _) = PartitionLog::open(folder, &self.files)?;
        Ok(Partition::new(log))
    }

    /// Adds partitions, up to `count` in all.
    pub(crate) fn grow(&self, name: &str, count: i32, only_check: bool) -> Result<(), Refused> {
        let _changing = self.changing.lock();
        let topic = self.existing(name)?;
        let there = topic.partition_count();
        let count = check_count(count, self.total() - there)?;
        if count <= there {
            return Err((
                code::INVALID_PARTITIONS,
                format!("Topic {name} currently has {there} partitions, {count} would not be an increase."),
            ));
        }
        if only_check {
            return Ok(());
        }
        let more: io::Result<Vec<_>> = (there..count).map(|index| self.new_partition(name, index)).collect();
        let more = more.map_err(|e| storage(&e))?;
        self.total.fetch_add(more.len(), Ordering::Relaxed);
        topic.state.write().partitions.extend(more);
        self.save().map_err(|e| storage(&e))
    }

    /// Sets the whole configuration of a topic.
    pub(crate) fn configure(
        &self,
        name: &str,
        own: BTreeMap<String, String>,
        only_check: bool,
    ) -> Result<(), Refused> {
        let _changing = self.changing.lock();
        let topic = self.existing(name)?;
        for (key, value) in &own {
            configs::check(key, value).map_err(|why| (code::INVALID_CONFIG, why))?;
        }
        if only_check {
            return Ok(());
        }
        {
            let mut state = topic.state.write();
            state.log_config = configs::for_log(&own, &self.defaults);
            state.configs = own;
        }
        self.save().map_err(|e| storage(&e))
    }

    /// Deletes a topic and its records.
    pub(crate) fn delete(&self, name: &str) -> Result<(), Refused> {
        let _changing = self.changing.lock();
        let topic = self.existing(name)?;
        self.remove(&topic);
        self.save().map_err(|e| storage(&e))?;
        for partition in topic.partitions() {
            let folder = partition.log().folder().to_owned();
            partition.grew();
            std::fs::remove_dir_all(folder).map_err(|e| storage(&e))?;
        }
        Ok(())
    }

    fn existing(&self, name: &str) -> Result<Arc<Topic>, Refused> {
        let missing = || (code::UNKNOWN_TOPIC_OR_PARTITION, format!("There is no topic {name}."));
        self.find(name).ok_or_else(missing)
    }

    /// Deletes what retention no longer keeps, in every topic; gives the errors.
    pub(crate) fn retain(&self, now_ms: i64) -> Vec<String> {
        let mut failed = Vec::new();
        for topic in self.all() {
            let config = topic.log_config();
            if config.retention_bytes.is_none() && config.retention_ms.is_none() {
                continue;
            }
            for (index, partition) in topic.partitions().iter().enumerate() {
                if let Err(e) = partition.log().retain(&config, now_ms) {
                    failed.push(format!("{}[{index}]: delete old records: {e}", topic.name));
                }
            }
        }
        failed
    }

    fn save(&self) -> io::Result<()> {
        let listed: Vec<Listed> = self
            .all()
            .iter()
            .map(|topic| Listed {
                name: topic.name.clone(),
                id: Some(topic.id.to_string()),
                partitions: topic.partition_count(),
                configs: topic.configs(),
            })
            .collect();
        let next = self.folder.join("topics.json.new");
        std::fs::write(&next, serde_json::to_vec_pretty(&listed)?)?;
        std::fs::rename(&next, self.folder.join("topics.json"))
    }
}

/// Whether a topic may have so many partitions, where others have `total`.
fn check_count(partitions: i32, total: usize) -> Result<usize, Refused> {
    let count = usize::try_from(partitions).unwrap_or(0);
    if count == 0 {
        return Err((code::INVALID_PARTITIONS, "Number of partitions must be larger than 0.".into()));
    }
    if total + count > MAX_PARTITIONS {
        let why = format!("kq dev holds {MAX_PARTITIONS} partitions in all; {total} are there.");
        return Err((code::INVALID_PARTITIONS, why));
    }
    Ok(count)
}

fn storage(e: &io::Error) -> Refused {
    (code::KAFKA_STORAGE_ERROR, format!("{e}"))
}

fn partition_folder(folder: &Path, name: &str, index: usize) -> PathBuf {
    folder.join("topics").join(format!("{name}-{index}"))
}

/// Kafka's rule for topic names.
pub(crate) fn check_name(name: &str) -> Result<(), Refused> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let why = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => "'.' or '..' is not allowed".to_owned(),
        _ if name.len() > 249 => format!("the length of '{name}' is longer than the max allowed length 249"),
        _ if !name.chars().all(legal) => format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ),
        _ => return Ok(()),
    };
    Err((code::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {why}")))
}

#[cfg(test)]
mod tests;
