//! The log of one partition: segments, offsets, retention, recovery.

pub(crate) mod batch;
pub(crate) mod checked;
pub(crate) mod config;
mod faults;
pub(crate) mod open;
pub(crate) mod producers;
mod records;
pub(crate) mod refusal;
mod segment;
pub(crate) mod times;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use segment::Slice;

use self::config::LogConfig;
use batch::Header;
use checked::Checked;
use open::OpenFiles;
use producers::{Producers, Sequence, Verdict};
use refusal::{Faults, Refusal};
use segment::{Segment, Stretch};

use super::code;

/// File that holds the log start offset where records were deleted.
const START_FILE: &str = "log-start-offset";

/// Where an append went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub base_offset: i64,
    /// -1 unless the topic uses the broker's clock.
    pub log_append_time: i64,
}

/// What a read found.
#[derive(Debug)]
pub(crate) struct Read {
    /// None at the end of the log, and if the first batch is larger than the limit of the read.
    pub slice: Option<Slice>,
    /// Whether there is more than the slice has: a later segment, or a batch that was too large.
    pub more: bool,
}

/// The log of one partition. Every record in it is committed: the end is the high watermark.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    folder: PathBuf,
    files: Arc<OpenFiles>,
    segments: Vec<Segment>,
    start: i64,
    end: i64,
    producers: Producers,
    /// Its topic is deleted: the folder may be that of another topic of the same name.
    is_deleted: bool,
}

impl PartitionLog {
    /// Opens the log in `folder`, which is created if it does not exist. The second result says what
    /// had to be removed to get a log of whole batches.
    pub(crate) fn open(folder: PathBuf, all: &Arc<OpenFiles>) -> io::Result<(Self, Option<String>)> {
        std::fs::create_dir_all(&folder)?;
        let mut files = Vec::new();
        for file in std::fs::read_dir(&folder)? {
            let path = file?.path();
            let base =
                path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse::<i64>().ok());
            if let Some(base) = base {
                files.push((base, path));
            }
        }
        files.sort();
        let mut this = Self {
            folder,
            files: Arc::clone(all),
            segments: Vec::new(),
            start: 0,
            end: 0,
            producers: Producers::default(),
            is_deleted: false,
        };
        let mut lost = None;
        let newest = files.len().saturating_sub(1);
        for (i, (base, path)) in files.into_iter().enumerate() {
            if !this.segments.is_empty() && base != this.end {
                // Only a damaged earlier segment leaves a gap; what follows the gap can't be served.
                let aside = path.with_extension("log.unreadable");
                std::fs::rename(&path, &aside)?;
                lost.get_or_insert_with(|| format!("records from offset {} to {base} are damaged", this.end));
                continue;
            }
            this.end = base;
            let (segment, cut) = Segment::open(path, base, all, i == newest, |header| {
                this.producers.appended(sequence(header), header.base_offset);
                this.end = header.last_offset() + 1;
            })?;
            this.segments.push(segment);
            if cut > 0 {
                lost = Some(format!("{cut} bytes after offset {} were no whole batch: cut off", this.end));
            }
        }
        let kept = std::fs::read_to_string(this.folder.join(START_FILE)).ok();
        let kept = kept.and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or(0);
        let first = this.segments.first().map_or(0, |segment| segment.base_offset);
        this.start = kept.max(first);
        // All records were deleted and the last segment is lost: offsets must never go back.
        if this.end < this.start {
            for segment in this.segments.drain(..) {
                segment.remove()?;
            }
            this.end = this.start;
            this.segments.push(Segment::create(&this.folder, this.end, all)?);
        }
        Ok((this, lost))
    }

    /// Offset of the first record that can be read.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// Offset of the next record; the high watermark.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// The highest producer id that wrote here, -1 for none.
    pub(crate) fn highest_producer_id(&self) -> i64 {
        self.producers.highest_id()
    }

    /// The idempotent producers that wrote here.
    pub(crate) fn active_producers(&self) -> Vec<producers::Active> {
        self.producers.active()
    }

    /// Appends the one batch that a producer sent. A batch that the log has already is acknowledged
    /// with its old offset and not stored again.
    pub(crate) fn append(
        &mut self,
        Checked { mut header, bytes }: Checked<'_>,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<Appended, Refusal> {
        if self.is_deleted {
            let why = "the topic is deleted".into();
            return Err(Refusal { code: code::UNKNOWN_TOPIC_OR_PARTITION, why, faults: Faults::default() });
        }
        let log_append_time = if config.log_append_time { now_ms } else { -1 };
        match self.producers.judge(sequence(&header)) {
            Verdict::New => {}
            Verdict::Duplicate(base_offset) => return Ok(Appended { base_offset, log_append_time }),
            Verdict::Refused(code) => {
                let why = format!(
                    "producer {} epoch {} sequence {}",
                    header.producer_id, header.producer_epoch, header.base_sequence
                );
                return Err(Refusal { code, why, faults: Faults::default() });
            }
        }
        let stamped;
        let bytes = if config.log_append_time {
            let mut copy = bytes.to_vec();
            batch::stamp_log_append_time(&mut copy, now_ms);
            header = Header::parse(&copy).unwrap_or(header);
            stamped = copy;
            &stamped[..]
        } else {
            bytes
        };
        let base_offset = self.end;
        self.write(&header, bytes, config, now_ms).map_err(|e| Refusal {
            code: code::KAFKA_STORAGE_ERROR,
            why: format!("write {}: {e}", self.folder.display()),
            faults: Faults::default(),
        })?;
        self.end = base_offset + i64::from(header.last_offset_delta) + 1;
        self.producers.appended(sequence(&header), base_offset);
        Ok(Appended { base_offset, log_append_time })
    }

    fn write(&mut self, header: &Header, bytes: &[u8], config: &LogConfig, now_ms: i64) -> io::Result<()> {
        let full = self
            .segments
            .last()
            .is_none_or(|active| active.size > 0 && active.size + bytes.len() as u64 > config.segment_bytes);
        if full {
            self.segments.push(Segment::create(&self.folder, self.end, &self.files)?);
        }
        let end = self.end;
        self.segments.last_mut().map_or(Ok(()), |active| active.append(header, bytes, end, now_ms))
    }

    /// The batches from `offset` on, of one segment. None if the offset is out of range.
    pub(crate) fn read(&self, offset: i64, max_bytes: u64, whole_first: bool) -> io::Result<Option<Read>> {
        self.check_there()?;
        if offset < self.start || offset > self.end {
            return Ok(None);
        }
        // Most fetches wait at the end of the log: they read nothing, not even a header.
        if offset == self.end {
            return Ok(Some(Read { slice: None, more: false }));
        }
        let after = self.segments.partition_point(|segment| segment.base_offset <= offset);
        for (i, segment) in self.segments.iter().enumerate().skip(after.saturating_sub(1)) {
            if let Some(slice) = segment.read(offset, max_bytes, whole_first)? {
                let more = slice.len == 0 || self.segments.get(i + 1).is_some_and(|next| next.size > 0);
                return Ok(Some(Read { slice: Some(slice).filter(|slice| slice.len > 0), more }));
            }
        }
        Ok(Some(Read { slice: None, more: false }))
    }

    /// The first run from `offset` on that may have a record of `time` or later, and the offset after it.
    pub(crate) fn stretch(&self, time: i64, offset: i64) -> Option<(Stretch, i64)> {
        let after = self.segments.partition_point(|segment| segment.base_offset <= offset);
        let first = after.saturating_sub(1);
        let ahead = self.segments.iter().enumerate().skip(first);
        let mut ahead = ahead.filter(|(_, segment)| segment.max_timestamp >= time);
        let (i, stretch) = ahead.find_map(|(i, segment)| Some((i, segment.stretch(time, offset)?)))?;
        let behind = || self.segments.get(i + 1).map_or(self.end, |segment| segment.base_offset);
        let next = stretch.next.unwrap_or_else(behind);
        Some((stretch, next))
    }

    /// The latest time in the runs after the one that holds `offset`.
    pub(crate) fn latest_time_behind(&self, offset: i64) -> i64 {
        self.segments.iter().map(|segment| segment.latest_time_behind(offset)).max().unwrap_or(-1)
    }

    /// Deletes the records before `offset`, which lies between start and end.
    pub(crate) fn delete_before(&mut self, offset: i64) -> io::Result<()> {
        self.check_there()?;
        if offset <= self.start {
            return Ok(());
        }
        let next = self.folder.join("log-start-offset.new");
        std::fs::write(&next, offset.to_string())?;
        std::fs::rename(&next, self.folder.join(START_FILE))?;
        self.start = offset;
        while self.segments.get(1).is_some_and(|second| second.base_offset <= self.start) {
            self.segments.remove(0).remove()?;
        }
        Ok(())
    }

    /// Deletes the oldest segments that the configuration no longer keeps.
    pub(crate) fn retain(&mut self, config: &LogConfig, now_ms: i64) -> io::Result<()> {
        if self.is_deleted {
            return Ok(());
        }
        let expired = |segment: &Segment| {
            config
                .retention_ms
                .is_some_and(|ms| segment.size > 0 && now_ms.saturating_sub(segment.latest_ms()) > ms)
        };
        if self.segments.last().is_some_and(expired) {
            self.segments.push(Segment::create(&self.folder, self.end, &self.files)?);
        }
        let mut total: u64 = self.segments.iter().map(|segment| segment.size).sum();
        let mut start = self.start;
        for pair in self.segments.windows(2) {
            let too_many = config.retention_bytes.is_some_and(|bytes| total - pair[0].size >= bytes);
            if !too_many && !expired(&pair[0]) {
                break;
            }
            total -= pair[0].size;
            start = pair[1].base_offset;
        }
        self.delete_before(start)
    }

    /// Bytes on disk.
    pub(crate) fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Ends the use of the folder, which can be removed then. Readers that hold a slice can still
    /// read it; all else is refused.
    pub(crate) fn delete(&mut self) {
        self.is_deleted = true;
        self.segments.drain(..).for_each(|segment| segment.keep_for_readers());
    }

    /// Whether its topic is deleted.
    pub(crate) fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    fn check_there(&self) -> io::Result<()> {
        if self.is_deleted { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
    }

    /// The folder with the files of the log.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn sequence(header: &Header) -> Sequence {
    Sequence {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        first: header.base_sequence,
        last_offset_delta: header.last_offset_delta,
        timestamp: header.max_timestamp,
    }
}

#[cfg(test)]
mod tests;
