//! The open files of all logs: those in use last stay open, up to a limit.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use crate::lock::Lock;

/// The open files of all logs of a broker.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    most: usize,
    held: Lock<Held>,
}

/// Each file by its number, and the numbers by last use.
#[derive(Debug, Default)]
struct Held {
    files: HashMap<u64, (Arc<File>, u64)>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
    next: u64,
}

impl Held {
    fn find(&mut self, number: u64) -> Option<Arc<File>> {
        self.uses += 1;
        let (file, used) = self.files.get_mut(&number)?;
        self.by_use.remove(used);
        *used = self.uses;
        self.by_use.insert(*used, number);
        Some(Arc::clone(file))
    }

    fn add(&mut self, number: u64, file: &Arc<File>) {
        self.uses += 1;
        self.files.insert(number, (Arc::clone(file), self.uses));
        self.by_use.insert(self.uses, number);
    }

    fn remove(&mut self, number: u64) {
        if let Some((_, used)) = self.files.remove(&number) {
            self.by_use.remove(&used);
        }
    }

    /// Closes those that were not used for longest, until `most` are left. A file that is being read
    /// is closed when that has ended.
    fn shrink_to(&mut self, most: usize) {
        while self.files.len() > most
            && let Some((_, number)) = self.by_use.pop_first()
        {
            self.files.remove(&number);
        }
    }
}

impl OpenFiles {
    /// At most so many files are kept open.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), held: Lock::default() })
    }

    /// How many are open.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.held.lock().files.len()
    }
}

/// One file of a log, which is opened when it is used.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    number: u64,
    all: Arc<OpenFiles>,
    name: Lock<Name>,
}

/// Whether a file can be opened by its name.
#[derive(Debug, Default)]
enum Name {
    #[default]
    Its,
    /// The name is gone, or that of another file. The file is held open for those that read it.
    Gone(Option<Arc<File>>),
}

impl LogFile {
    /// A file that exists.
    pub(super) fn existing(path: PathBuf, all: &Arc<OpenFiles>) -> Arc<Self> {
        let number = {
            let mut held = all.held.lock();
            held.next += 1;
            held.next
        };
        Arc::new(Self { path, number, all: Arc::clone(all), name: Lock::default() })
    }

    /// A new empty file.
    pub(super) fn create(path: PathBuf, all: &Arc<OpenFiles>) -> io::Result<Arc<Self>> {
        let this = Self::existing(path, all);
        // A file that a killed process left under this name was never acknowledged.
        this.open_with(OpenOptions::new().create(true))?.set_len(0)?;
        Ok(this)
    }

    /// The open file, to read and to append. It stays open for as long as the result is held.
    pub(crate) fn open(&self) -> io::Result<Arc<File>> {
        // Locked while it is opened: another file may get the name as soon as this one is removed.
        match &*self.name.lock() {
            Name::Its => self.open_by_name(),
            Name::Gone(Some(file)) => Ok(Arc::clone(file)),
            Name::Gone(None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open_by_name(&self) -> io::Result<Arc<File>> {
        if let Some(file) = self.all.held.lock().find(self.number) {
            return Ok(file);
        }
        self.open_with(&mut OpenOptions::new())
    }

    fn open_with(&self, options: &mut OpenOptions) -> io::Result<Arc<File>> {
        options.read(true).append(true);
        let opened = options.open(&self.path).or_else(|e| {
            let is_limit =
                [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).map(Some).contains(&e.raw_os_error());
            if !is_limit {
                return Err(e);
            }
            // Connections need more than was planned: a log can do with one file.
            self.all.held.lock().shrink_to(0);
            options.open(&self.path)
        });
        let file = Arc::new(opened?);
        let mut held = self.all.held.lock();
        held.remove(self.number);
        held.add(self.number, &file);
        held.shrink_to(self.all.most);
        Ok(file)
    }

    /// Keeps the file open if there is a reader, because its name will be gone. If it can't be opened,
    /// the reader fails: that stops no deletion.
    pub(super) fn keep_for_readers(self: &Arc<Self>) {
        let mut name = self.name.lock();
        if matches!(*name, Name::Its) {
            let is_read = Arc::strong_count(self) > 1;
            *name = Name::Gone(is_read.then(|| self.open_by_name().ok()).flatten());
        }
    }

    /// Removes the file; readers that hold this can still read it.
    pub(super) fn remove(self: &Arc<Self>) -> io::Result<()> {
        self.keep_for_readers();
        std::fs::remove_file(&self.path)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.all.held.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn only_the_files_that_were_used_last_stay_open() {
        let folder = tempfile::tempdir().expect("folder");
        let all = OpenFiles::new(2);
        let create = |name: &str| LogFile::create(folder.path().join(name), &all).expect("create");
        let files = ["a", "b", "c"].map(create);
        assert_eq!(all.count(), 2);
        for (n, file) in files.iter().enumerate() {
            write!(&*file.open().expect("open"), "{n}").expect("write");
        }
        let is_open = |file: &Arc<LogFile>| all.held.lock().files.contains_key(&file.number);
        assert_eq!(files.each_ref().map(is_open), [false, true, true]);
        files[1].open().expect("open");
        files[0].open().expect("open");
        assert_eq!(files.each_ref().map(is_open), [true, true, false]);
        for (n, file) in files.iter().enumerate() {
            let mut byte = [0];
            file.open().expect("open").read_exact_at(&mut byte, 0).expect("read");
            assert_eq!(byte, [b'0' + n as u8], "what was appended is there");
        }
        drop(files);
        assert_eq!(all.count(), 0);
    }

    #[test]
    fn a_removed_file_is_read_by_those_that_hold_it_and_closed_then() {
        let folder = tempfile::tempdir().expect("folder");
        let all = OpenFiles::new(1);
        let file = LogFile::create(folder.path().join("a"), &all).expect("create");
        write!(&*file.open().expect("open"), "x").expect("write");
        let _other = LogFile::create(folder.path().join("b"), &all).expect("create");
        let reader = Arc::clone(&file);
        file.remove().expect("remove");
        drop(file);
        let mut byte = [0];
        let _other = LogFile::create(folder.path().join("c"), &all).expect("create");
        reader.open().expect("open").read_exact_at(&mut byte, 0).expect("read");
        assert_eq!(byte, *b"x");
        // Another file of the same name, and one that could not be held.
        let file = LogFile::create(folder.path().join("a"), &all).expect("create");
        reader.open().expect("open").read_exact_at(&mut byte, 0).expect("read");
        std::fs::rename(folder.path().join("a"), folder.path().join("d")).expect("rename");
        all.held.lock().shrink_to(0);
        let unlucky = Arc::clone(&file);
        file.keep_for_readers();
        std::fs::rename(folder.path().join("d"), folder.path().join("a")).expect("rename");
        assert!(unlucky.open().is_err());
    }
}
