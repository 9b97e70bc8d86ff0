//! Committed offsets: in memory, and in one append-only file that survives a kill.
//!
//! A line of the file is the CRC-32C of the JSON as eight hexadecimal digits, a space, and a
//! [`Change`] as JSON. The first line with a wrong CRC ends the file: the process was killed while it
//! wrote that line, and the commit was not acknowledged.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A topic and a partition of it.
pub(crate) type Place = (String, i32);

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    /// The next record to read.
    pub offset: i64,
    /// Leader epoch of the record before it, -1 where unknown.
    pub epoch: i32,
    pub metadata: String,
}

/// The offsets of one group.
pub(crate) type GroupOffsets = BTreeMap<Place, Committed>;

/// A line of the file.
#[derive(Serialize, Deserialize, Debug)]
struct Change {
    group: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    set: Vec<(String, i32, Committed)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unset: Vec<Place>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

/// The offsets of all groups.
#[derive(Debug)]
pub(crate) struct Offsets {
    groups: BTreeMap<String, GroupOffsets>,
    /// Bytes of memory that they hold.
    bytes: usize,
    path: PathBuf,
    file: File,
    /// Bytes in the file now, and after it was last compacted.
    size: u64,
    compact_size: u64,
}

/// Below this size the file is not compacted while the broker runs.
const COMPACT_FROM: u64 = 8 << 20;

impl Offsets {
    /// Reads the file at `path`, or creates it, and compacts it.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let mut groups = BTreeMap::new();
        let mut held = 0;
        match std::fs::read(&path) {
            Ok(bytes) => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let Some(change) = parse(line) else { break };
                    apply(&mut groups, &mut held, change);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let (file, size) = compact(&path, &groups)?;
        Ok(Self { groups, bytes: held, path, file, size, compact_size: size })
    }

    /// The offsets of a group; none if nothing is committed.
    pub(crate) fn of(&self, group: &str) -> Option<&GroupOffsets> {
        self.groups.get(group)
    }

    /// Bytes of memory that all offsets hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All groups that have offsets.
    pub(crate) fn groups(&self) -> impl ExactSizeIterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Sets offsets. They are in the file when this returns.
    pub(crate) fn commit(&mut self, group: &str, set: Vec<(String, i32, Committed)>) -> io::Result<()> {
        if set.is_empty() {
            return Ok(());
        }
        self.change(Change { group: group.to_owned(), set, unset: Vec::new(), removed: false })
    }

    /// Forgets offsets of one group.
    pub(crate) fn forget(&mut self, group: &str, unset: Vec<Place>) -> io::Result<()> {
        self.change(Change { group: group.to_owned(), set: Vec::new(), unset, removed: false })
    }

    /// Forgets a group.
    pub(crate) fn remove(&mut self, group: &str) -> io::Result<()> {
        let change = Change { group: group.to_owned(), set: Vec::new(), unset: Vec::new(), removed: true };
        self.change(change)
    }

    /// Forgets the offsets of a topic that was deleted, in every group.
    pub(crate) fn forget_topic(&mut self, topic: &str) -> io::Result<()> {
        let mut found = Vec::new();
        for (group, offsets) in &self.groups {
            let places: Vec<Place> = offsets.keys().filter(|place| place.0 == topic).cloned().collect();
            if !places.is_empty() {
                found.push((group.clone(), places));
            }
        }
        for (group, places) in found {
            self.forget(&group, places)?;
        }
        Ok(())
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        let line = line(&change)?;
        if let Err(e) = self.file.write_all(&line) {
            self.file.set_len(self.size)?;
            return Err(e);
        }
        self.size += line.len() as u64;
        apply(&mut self.groups, &mut self.bytes, change);
        if self.size > COMPACT_FROM && self.size > self.compact_size.saturating_mul(4) {
            (self.file, self.size) = compact(&self.path, &self.groups)?;
            self.compact_size = self.size;
        }
        Ok(())
    }
}

fn apply(groups: &mut BTreeMap<String, GroupOffsets>, held: &mut usize, change: Change) {
    let size = |topic: &str, committed: &Committed| {
        size_of::<(Place, Committed)>() + topic.len() + committed.metadata.len()
    };
    if change.removed {
        let gone = groups.remove(&change.group).unwrap_or_default();
        *held -= gone.iter().map(|((topic, _), committed)| size(topic, committed)).sum::<usize>();
        return;
    }
    let offsets = groups.entry(change.group).or_default();
    for (topic, partition, committed) in change.set {
        *held += size(&topic, &committed);
        let place = (topic, partition);
        if let Some(old) = offsets.get(&place) {
            *held -= size(&place.0, old);
        }
        offsets.insert(place, committed);
    }
    for place in &change.unset {
        if let Some(old) = offsets.remove(place) {
            *held -= size(&place.0, &old);
        }
    }
}

fn line(change: &Change) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(change)?;
    Ok(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())).into_bytes())
}

fn parse(line: &[u8]) -> Option<Change> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (crc, json) = text.split_once(' ')?;
    let holds = u32::from_str_radix(crc, 16).ok()? == crc32c::crc32c(json.as_bytes());
    if holds { serde_json::from_str(json).ok() } else { None }
}

fn compact(path: &PathBuf, groups: &BTreeMap<String, GroupOffsets>) -> io::Result<(File, u64)> {
    let next = path.with_extension("new");
    let mut bytes = Vec::new();
    for (group, offsets) in groups {
        let set =
            offsets.iter().map(|((topic, partition), c)| (topic.clone(), *partition, c.clone())).collect();
        bytes.extend(line(&Change { group: group.clone(), set, unset: Vec::new(), removed: false })?);
    }
    std::fs::write(&next, &bytes)?;
    std::fs::rename(&next, path)?;
    let file = OpenOptions::new().append(true).open(path)?;
    Ok((file, bytes.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Committed {
        Committed { offset, epoch: 0, metadata: "m".into() }
    }

    #[test]
    fn offsets_are_there_after_a_restart_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("offsets");
        let mut offsets = Offsets::open(path.clone()).expect("open");
        offsets.commit("g", vec![("t".into(), 0, at(5)), ("u".into(), 1, at(6))]).expect("commit");
        offsets.commit("g", vec![("t".into(), 0, at(7))]).expect("commit");
        offsets.commit("h", vec![("t".into(), 0, at(1))]).expect("commit");
        offsets.forget_topic("u").expect("forget");
        offsets.remove("h").expect("remove");
        let mut bytes = std::fs::read(&path).expect("read");
        bytes.extend_from_slice(b"00000000 {\"group\":\"g\",\"set\":[[\"t\",0,{\"off");
        std::fs::write(&path, bytes).expect("write");
        let held = offsets.bytes();
        let mut offsets = Offsets::open(path).expect("open");
        assert!(held > 0 && held == offsets.bytes());
        assert_eq!(offsets.groups().collect::<Vec<_>>(), ["g"]);
        assert_eq!(offsets.of("g").expect("g"), &BTreeMap::from([(("t".to_owned(), 0), at(7))]));
        offsets.remove("g").expect("remove");
        assert_eq!(offsets.bytes(), 0);
    }
}
