//! Files that are read again when they change: tokens, secrets, certificates.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};

use crate::lock::{Lock, SharedLock};

/// The files are looked at once in this time, at most.
const EVERY: Duration = Duration::from_secs(1);
/// A file that changed this shortly before it was read may change again without another time of change:
/// file systems count time in steps.
const UNSETTLED: Duration = Duration::from_secs(2);
/// A larger file is not one of tokens or certificates.
const LARGEST: u64 = 16 << 20;

/// What a file says, or some files together: read again after they have changed. A bad change is told and the
/// content before it stays.
///
/// A file that was replaced is a change too, such as Kubernetes' links to a folder of secrets. A file that is not
/// a regular one, such as a shell's `<(command)`, is read once.
pub(crate) struct Watched<T> {
    paths: Vec<PathBuf>,
    parse: Box<Parse<T>>,
    content: SharedLock<Arc<T>>,
    /// From which the next look is counted.
    opened: Instant,
    /// Milliseconds from `opened` to the next look.
    next: AtomicU64,
    look: Lock<Look>,
}

/// From the bytes of each file to what they say.
type Parse<T> = dyn Fn(&[Vec<u8>]) -> Result<T> + Send + Sync;

/// What the last look saw.
struct Look {
    /// Of each file; `None` where it must be read again at the next look.
    stamps: Option<Vec<Stamp>>,
    /// A hash of the bytes of the last look, or of its error.
    seen: u64,
    /// Of several files that don't fit together: told at the next look, since they are not all written at once.
    pending: bool,
}

/// What differs after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change of the content, and of the inode.
    modified: (i64, i64),
    changed: (i64, i64),
    is_regular: bool,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            is_regular: metadata.is_file(),
        }
    }

    /// Whether a further change would be seen.
    fn is_settled(&self, now: SystemTime) -> bool {
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(self.changed.0.try_into().unwrap_or(0));
        changed + UNSETTLED < since_epoch
    }
}

impl<T> Watched<T> {
    /// Reads a file. An error says which file, and why.
    pub(crate) fn open(
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Self> {
        let named = path.to_owned();
        Self::open_all(vec![path.to_owned()], move |files| {
            parse(files.first().map_or(&[], Vec::as_slice)).with_context(|| named.display().to_string())
        })
    }

    /// Reads files that make sense together, such as a certificate and its key. The errors of `parse` name the
    /// file.
    pub(crate) fn open_all(
        paths: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Self> {
        let (stamps, files) = read_all(&paths)?;
        let content = parse(&files)?;
        let look = Look { seen: hash(&files), stamps: settled(stamps), pending: false };
        Ok(Self {
            paths,
            parse: Box::new(parse),
            content: SharedLock::new(Arc::new(content)),
            opened: Instant::now(),
            next: AtomicU64::new(in_ms(EVERY)),
            look: Lock::new(look),
        })
    }

    /// The content as it is now: the files are looked at once a second at most. `note` is told of a bad change,
    /// once for each.
    pub(crate) fn get(&self, note: impl FnOnce(anyhow::Error)) -> Arc<T> {
        self.get_at(self.opened.elapsed(), note)
    }

    /// The same at a time since it was opened.
    fn get_at(&self, now: Duration, note: impl FnOnce(anyhow::Error)) -> Arc<T> {
        let now = in_ms(now);
        if self.next.load(Ordering::Relaxed) <= now
            // Who comes while another looks takes the content that is there.
            && let Some(mut look) = self.look.try_lock()
            && self.next.load(Ordering::Relaxed) <= now
        {
            self.next.store(now + in_ms(EVERY), Ordering::Relaxed);
            if let Err(e) = self.look(&mut look) {
                note(e);
            }
        }
        Arc::clone(&self.content.read())
    }

    /// Reads the files again if they have changed. An error is one that was not told yet.
    fn look(&self, look: &mut Look) -> Result<()> {
        if let Some(stamps) = &look.stamps
            && (stamps.iter().any(|stamp| !stamp.is_regular) || self.are(stamps))
            && !look.pending
        {
            return Ok(());
        }
        let (stamps, files) = match read_all(&self.paths) {
            Ok(read) => read,
            Err(e) => {
                look.stamps = None;
                return look.tell(hash(&format!("{e:#}")), e, self.paths.len());
            }
        };
        look.stamps = settled(stamps);
        let seen = hash(&files);
        if seen == look.seen && !look.pending {
            return Ok(());
        }
        match (self.parse)(&files) {
            Ok(content) => {
                look.seen = seen;
                look.pending = false;
                *self.content.write() = Arc::new(content);
                Ok(())
            }
            Err(e) => look.tell(seen, e, self.paths.len()),
        }
    }

    /// Whether the files still have these stamps.
    fn are(&self, stamps: &[Stamp]) -> bool {
        self.paths
            .iter()
            .zip(stamps)
            .all(|(path, stamp)| std::fs::metadata(path).is_ok_and(|metadata| Stamp::of(&metadata) == *stamp))
    }
}

impl Look {
    /// An error is told once: of several files at the second look that finds it.
    fn tell(&mut self, seen: u64, e: anyhow::Error, files: usize) -> Result<()> {
        let is_new = self.seen != seen;
        self.seen = seen;
        if is_new && files > 1 {
            self.pending = true;
            return Ok(());
        }
        let untold = is_new || self.pending;
        self.pending = false;
        if untold { Err(e) } else { Ok(()) }
    }
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The stamps, if all files have been as they are for long enough.
fn settled(stamps: Vec<Stamp>) -> Option<Vec<Stamp>> {
    let now = SystemTime::now();
    let all = stamps.iter().all(|stamp| stamp.is_settled(now));
    // What can be read once is never read again.
    (all || stamps.iter().any(|stamp| !stamp.is_regular)).then_some(stamps)
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn read_all(paths: &[PathBuf]) -> Result<(Vec<Stamp>, Vec<Vec<u8>>)> {
    let mut read = (Vec::new(), Vec::new());
    for path in paths {
        let (stamp, bytes) = self::read(path).with_context(|| path.display().to_string())?;
        read.0.push(stamp);
        read.1.push(bytes);
    }
    Ok(read)
}

fn read(path: &Path) -> Result<(Stamp, Vec<u8>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    ensure!(!metadata.is_dir(), "it is a folder, not a file");
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= LARGEST, "it is larger than {} MiB", LARGEST >> 20);
    Ok((Stamp::of(&metadata), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn number(bytes: &[u8]) -> Result<u32> {
        Ok(std::str::from_utf8(bytes)?.trim().parse()?)
    }

    /// Gets the content at a second, and what was told.
    fn at<T: Copy>(watched: &Watched<T>, second: u64) -> (T, Option<String>) {
        let mut told = None;
        let content = watched.get_at(Duration::from_secs(second), |e| told = Some(format!("{e:#}")));
        (*content, told)
    }

    #[test]
    fn a_changed_file_is_read_after_a_second_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        fs::write(&path, "1").unwrap();
        let watched = Watched::open(&path, number).unwrap();
        fs::write(&path, "2").unwrap();
        let early = watched.get_at(Duration::from_millis(999), |_| panic!("nothing is wrong"));
        assert_eq!(*early, 1);
        assert_eq!(at(&watched, 1), (2, None));
        // The same size, and perhaps the same time of change: file systems count in steps.
        fs::write(&path, "3").unwrap();
        assert_eq!(*watched.get_at(Duration::from_millis(1999), |_| {}), 2);
        assert_eq!(at(&watched, 2), (3, None));
    }

    #[test]
    fn a_bad_file_is_told_once_and_the_content_before_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        fs::write(&path, "1").unwrap();
        let watched = Watched::open(&path, number).unwrap();
        fs::write(&path, "one").unwrap();
        let (content, told) = at(&watched, 1);
        assert_eq!(content, 1);
        let told = told.unwrap();
        assert!(told.contains(path.to_str().unwrap()) && told.contains("invalid digit"), "{told}");
        assert_eq!(at(&watched, 2), (1, None));
        fs::write(&path, "two").unwrap();
        assert!(at(&watched, 3).1.is_some());
        fs::remove_file(&path).unwrap();
        let told = at(&watched, 4).1.unwrap();
        assert!(told.contains("No such file"), "{told}");
        assert_eq!(at(&watched, 5), (1, None));
        fs::write(&path, "4").unwrap();
        assert_eq!(at(&watched, 6), (4, None));
    }

    #[test]
    fn a_file_that_comes_back_as_it_was_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        fs::write(&path, "1").unwrap();
        let watched = Watched::open(&path, number).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(at(&watched, 1).1.is_some());
        fs::write(&path, "1").unwrap();
        assert_eq!(at(&watched, 2), (1, None));
        fs::remove_file(&path).unwrap();
        assert!(at(&watched, 3).1.is_some(), "a second removal is told too");
    }

    #[test]
    fn a_link_to_another_folder_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("a", "1"), ("b", "2")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("n"), content).unwrap();
        }
        let current = folder.path().join("current");
        std::os::unix::fs::symlink("a", &current).unwrap();
        let watched = Watched::open(&current.join("n"), number).unwrap();
        assert_eq!(at(&watched, 1), (1, None));
        std::os::unix::fs::symlink("b", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &current).unwrap();
        assert_eq!(at(&watched, 2), (2, None));
    }

    #[test]
    fn files_that_fit_together_again_within_a_second_are_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let both = |one: &str, other: &str| {
            fs::write(&paths[0], one).unwrap();
            fs::write(&paths[1], other).unwrap();
        };
        both("1", "1");
        let watched = Watched::open_all(paths.to_vec(), |files| {
            ensure!(files[0] == files[1], "they differ");
            number(&files[0])
        });
        let watched = watched.unwrap();
        both("2", "1");
        assert_eq!(at(&watched, 1), (1, None));
        both("2", "2");
        assert_eq!(at(&watched, 2), (2, None));
        both("3", "2");
        assert_eq!(at(&watched, 3), (2, None));
        assert_eq!(at(&watched, 4), (2, Some("they differ".into())));
        assert_eq!(at(&watched, 5), (2, None));
    }

    #[test]
    fn a_pipe_is_read_once() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b"7").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let watched = Watched::open(Path::new(&path), number).unwrap();
        assert_eq!(at(&watched, 9), (7, None));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("none"), folder.path().to_owned()] {
            let e = Watched::open(&path, number).err().map(|e| format!("{e:#}")).unwrap();
            assert!(e.contains(path.to_str().unwrap()), "{e}");
        }
    }
}
