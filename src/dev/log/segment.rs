//! One file of a partition's log: append-only batches and a sparse index in memory.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::batch::{self, HEADER, Header};
use super::open::{LogFile, OpenFiles};

/// Bytes between two entries of the index.
const STRIDE: u64 = 64 * 1024;
/// Bytes that are read at once to walk headers.
const SCAN: usize = 64 * 1024;

/// The start of a run of batches, and the latest time in it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    position: u64,
    max_timestamp: i64,
}

/// One file of batches; its name is the offset of the first.
#[derive(Debug)]
pub(super) struct Segment {
    pub base_offset: i64,
    /// Bytes of whole batches in the file.
    pub size: u64,
    /// Latest time of a record, milliseconds since the epoch, -1 for none.
    pub max_timestamp: i64,
    /// When a batch was last appended, milliseconds since the epoch.
    appended_ms: i64,
    file: Arc<LogFile>,
    index: Vec<Entry>,
    /// The file may have bytes after `size`: a part of a batch that could not be cut off.
    is_torn: bool,
}

/// A run of bytes of a segment, which can be read after the segment is deleted, too.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub file: Arc<LogFile>,
    pub position: u64,
    pub len: u64,
}

/// A run of batches between two entries of the index.
#[derive(Debug)]
pub(crate) struct Stretch {
    slice: Slice,
    /// Offset at which the next run begins, none at the end of the segment.
    pub next: Option<i64>,
}

impl Stretch {
    /// Calls `stop` with header and bytes of each `wanted` batch until it returns something.
    pub(crate) fn look<T>(
        &self,
        mut wanted: impl FnMut(&Header) -> bool,
        mut stop: impl FnMut(&Header, &[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let Slice { file, position, len } = &self.slice;
        let file = &file.open()?;
        let end = position + len;
        let mut scan = Scan::new(file, *position, end);
        let mut body = Vec::new();
        while let Some((position, header)) = scan.next()? {
            if !wanted(&header) {
                continue;
            }
            body.resize(header.size.min((end - position) as usize), 0);
            file.read_exact_at(&mut body, position)?;
            let found = stop(&header, &body);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

impl Segment {
    fn new(base_offset: i64, appended_ms: i64, file: Arc<LogFile>) -> Self {
        Self { base_offset, size: 0, max_timestamp: -1, appended_ms, file, index: Vec::new(), is_torn: false }
    }

    /// The latest time of a record, or the time of the last append if no record has a time.
    pub(super) fn latest_ms(&self) -> i64 {
        if self.max_timestamp >= 0 { self.max_timestamp } else { self.appended_ms }
    }

    /// Creates an empty segment in `folder`.
    pub(super) fn create(folder: &Path, base_offset: i64, files: &Arc<OpenFiles>) -> io::Result<Self> {
        let file = LogFile::create(folder.join(format!("{base_offset:020}.log")), files)?;
        Ok(Self::new(base_offset, 0, file))
    }

    /// Opens a segment and calls `seen` with the header of each of its batches.
    ///
    /// What follows the last whole batch is cut off: the second result is the number of those bytes.
    /// `check_crc` reads the records too, not only the headers.
    pub(super) fn open(
        path: PathBuf,
        base_offset: i64,
        files: &Arc<OpenFiles>,
        check_crc: bool,
        mut seen: impl FnMut(&Header),
    ) -> io::Result<(Self, u64)> {
        let this = LogFile::existing(path, files);
        let file = this.open()?;
        let metadata = file.metadata()?;
        let length = metadata.len();
        let since = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut this = Self::new(base_offset, since.as_millis() as i64, this);
        let mut scan = Scan::new(&file, 0, length);
        let mut next = base_offset;
        let mut body = Vec::new();
        let mut entries = Index::default();
        while let Some((position, header)) = scan.next()? {
            if !header.is_plausible()
                || header.base_offset != next
                || position + header.size as u64 > length
                || (check_crc && !whole(&file, position, &header, &mut body)?)
            {
                break;
            }
            entries.add(&header, position);
            seen(&header);
            next = header.last_offset() + 1;
            this.size = position + header.size as u64;
            this.max_timestamp = this.max_timestamp.max(header.max_timestamp);
        }
        this.index = entries.0;
        if this.size < length {
            file.set_len(this.size)?;
        }
        let cut = length - this.size;
        Ok((this, cut))
    }

    /// Appends one batch under `base_offset`, with leader epoch 0. After a failure the file is as
    /// before.
    pub(super) fn append(
        &mut self,
        header: &Header,
        batch: &[u8],
        base_offset: i64,
        now_ms: i64,
    ) -> io::Result<()> {
        let mut prefix = [0; 16];
        prefix[..8].copy_from_slice(&base_offset.to_be_bytes());
        prefix[8..12].copy_from_slice(batch.get(8..12).ok_or(io::ErrorKind::InvalidInput)?);
        let rest = batch.get(16..).ok_or(io::ErrorKind::InvalidInput)?;
        let file = self.file.open()?;
        // What is appended goes to the end of the file, wherever that is.
        if self.is_torn {
            file.set_len(self.size)?;
        }
        self.is_torn = true;
        if let Err(e) = write_both(&file, &prefix, rest) {
            file.set_len(self.size)?;
            self.is_torn = false;
            return Err(e);
        }
        self.is_torn = false;
        let mut entries = Index(std::mem::take(&mut self.index));
        entries.add(&Header { base_offset, ..*header }, self.size);
        self.index = entries.0;
        self.size += batch.len() as u64;
        self.appended_ms = now_ms;
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        Ok(())
    }

    /// The run that begins with the batch that holds `offset`, or the first batch after it.
    /// At most `max_bytes`. If the first batch is larger: the whole batch if `whole_first` is set, else
    /// nothing (a run of no bytes), because a reader can't use a part of a batch.
    pub(super) fn read(&self, offset: i64, max_bytes: u64, whole_first: bool) -> io::Result<Option<Slice>> {
        let after = self.index.partition_point(|entry| entry.offset <= offset);
        let from = self.index.get(after.saturating_sub(1)).map_or(0, |entry| entry.position);
        let file = self.file.open()?;
        let mut scan = Scan::new(&file, from, self.size);
        while let Some((position, header)) = scan.next()? {
            if header.last_offset() < offset {
                continue;
            }
            let first = header.size as u64;
            let wanted = match first > max_bytes {
                true if whole_first => first,
                true => 0,
                false => max_bytes,
            };
            let len = wanted.min(self.size - position);
            return Ok(Some(Slice { file: Arc::clone(&self.file), position, len }));
        }
        Ok(None)
    }

    /// The first run, from the batch that holds `offset` on, that may have a record of `time` or later.
    pub(super) fn stretch(&self, time: i64, offset: i64) -> Option<Stretch> {
        let after = self.index.partition_point(|entry| entry.offset <= offset);
        let first = after.saturating_sub(1);
        let ahead = self.index.get(first..)?;
        let at = first + ahead.iter().position(|entry| entry.max_timestamp >= time)?;
        let (entry, next) = (self.index.get(at)?, self.index.get(at + 1));
        let end = next.map_or(self.size, |next| next.position);
        let file = Arc::clone(&self.file);
        let slice = Slice { file, position: entry.position, len: end - entry.position };
        Some(Stretch { slice, next: next.map(|next| next.offset) })
    }

    /// The latest time in the runs after the one that holds `offset`.
    pub(super) fn latest_time_behind(&self, offset: i64) -> i64 {
        let behind = self.index.partition_point(|entry| entry.offset <= offset);
        self.index.iter().skip(behind).map(|entry| entry.max_timestamp).max().unwrap_or(-1)
    }

    /// Empties the file without the segment's knowledge.
    #[cfg(test)]
    pub(super) fn lose_file(&self) {
        self.file.open().and_then(|file| file.set_len(0)).expect("truncate");
    }

    /// Leaves a part of a batch in the file, which could not be cut off.
    #[cfg(test)]
    pub(super) fn tear(&mut self) {
        self.file.open().and_then(|file| write_both(&file, b"torn", b"")).expect("write");
        self.is_torn = true;
    }

    /// Removes the file; readers that hold a slice can still read it.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.file.remove()
    }

    /// The folder of the file will be removed: readers that hold a slice can still read it.
    pub(super) fn keep_for_readers(&self) {
        self.file.keep_for_readers();
    }
}

/// Whether the batch at `position` has the CRC of its header.
fn whole(file: &File, position: u64, header: &Header, body: &mut Vec<u8>) -> io::Result<bool> {
    body.resize(header.size, 0);
    file.read_exact_at(body, position)?;
    Ok(batch::crc_holds(body, header))
}

fn write_both(mut file: &File, head: &[u8], rest: &[u8]) -> io::Result<()> {
    let total = head.len() + rest.len();
    let mut done = 0;
    while done < total {
        let at = done.min(head.len());
        let slices = [IoSlice::new(&head[at..]), IoSlice::new(&rest[done - at..])];
        match file.write_vectored(&slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The sparse index while it grows.
#[derive(Default)]
struct Index(Vec<Entry>);

impl Index {
    fn add(&mut self, header: &Header, position: u64) {
        match self.0.last_mut() {
            Some(last) if position - last.position < STRIDE => {
                last.max_timestamp = last.max_timestamp.max(header.max_timestamp);
            }
            _ => self.0.push(Entry {
                offset: header.base_offset,
                position,
                max_timestamp: header.max_timestamp,
            }),
        }
    }
}

/// Walks the headers of a file, from one position to another.
struct Scan<'a> {
    file: &'a File,
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'a> Scan<'a> {
    fn new(file: &'a File, from: u64, end: u64) -> Self {
        Self { file, next: from, end, buffer: Vec::new(), buffer_at: from }
    }

    /// Position and header of the next batch; none at the end, or if less than a header is left.
    fn next(&mut self) -> io::Result<Option<(u64, Header)>> {
        let position = self.next;
        if position + HEADER as u64 > self.end {
            return Ok(None);
        }
        let held = self.buffer_at + self.buffer.len() as u64;
        if position < self.buffer_at || position + HEADER as u64 > held {
            self.buffer.resize(SCAN.min((self.end - position) as usize), 0);
            self.file.read_exact_at(&mut self.buffer, position)?;
            self.buffer_at = position;
        }
        let header = Header::parse(&self.buffer[(position - self.buffer_at) as usize..]);
        let Some(header) = header else { return Ok(None) };
        self.next = position + header.size.max(HEADER) as u64;
        Ok(Some((position, header)))
    }
}
