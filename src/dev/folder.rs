//! The data folder: locked while a broker uses it; a temporary one leaves no trace.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rustix::fs::OFlags;

const LOCK: &str = ".lock";
const TEMPORARY: &str = "kq-dev-";
/// The prefix of a temporary folder that is not locked yet.
const NEW: &str = ".kq-dev-new-";

/// A folder that this process alone uses.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    is_temporary: bool,
    /// The lock lives as long as this file is open, and ends with the process.
    _lock: File,
}

impl Folder {
    /// Opens the folder that the user named; creates it if it does not exist.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if path.exists() && !path.is_dir() {
            anyhow::bail!("{} is a file, and the data folder must be a folder", path.display());
        }
        std::fs::create_dir_all(path).with_context(|| format!("make the data folder {}", path.display()))?;
        let lock = lock_options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .with_context(|| format!("open the data folder {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), is_temporary: false, _lock: lock }),
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "the data folder {} is in use by another kq dev; stop it, or name another folder with --data",
                path.display()
            ),
            Err(TryLockError::Error(e)) => {
                Err(e).with_context(|| format!("lock the data folder {}", path.display()))
            }
        }
    }

    /// Creates a temporary folder under `parent`, and removes those of brokers that were killed.
    pub(crate) fn temporary(parent: &Path) -> anyhow::Result<Self> {
        remove_leftovers(parent);
        let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let name = format!("{}-{:x}", std::process::id(), nanos);
        let new = parent.join(format!("{NEW}{name}"));
        let context = || format!("make a temporary folder in {}", parent.display());
        std::fs::create_dir(&new).with_context(context)?;
        let lock = File::create(new.join(LOCK)).with_context(context)?;
        lock.try_lock().with_context(context)?;
        // It is renamed only when it is locked: the search for leftovers looks for the new name.
        let path = parent.join(format!("{TEMPORARY}{name}"));
        std::fs::rename(&new, &path).with_context(context)?;
        Ok(Self { path, is_temporary: true, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is removed when this value is dropped.
    pub(crate) fn is_temporary(&self) -> bool {
        self.is_temporary
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the temporary folders that no running broker holds.
fn remove_leftovers(parent: &Path) {
    let Ok(found) = std::fs::read_dir(parent) else { return };
    for path in found.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_dead = if is_temporary(name) {
            match lock_options().read(true).open(path.join(LOCK)) {
                Ok(lock) => lock.metadata().is_ok_and(|lock| lock.is_file()) && lock.try_lock().is_ok(),
                // Its removal was interrupted by a KILL, or is still going on.
                Err(e) => e.kind() == std::io::ErrorKind::NotFound && is_old(&path),
            }
        } else {
            name.starts_with(NEW) && is_old(&path)
        };
        if is_dead {
            // A folder of another user can't be removed, which is no error.
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Whether a folder's name is one that [`Folder::temporary`] gives: the process and a time.
fn is_temporary(name: &str) -> bool {
    let parts = name.strip_prefix(TEMPORARY).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(process, time)| {
        !process.is_empty()
            && process.bytes().all(|c| c.is_ascii_digit())
            && !time.is_empty()
            && time.bytes().all(|c| c.is_ascii_hexdigit())
    })
}

/// If the lock is a named pipe, opening it must not wait for a writer.
fn lock_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed());
    options
}

fn is_old(path: &Path) -> bool {
    let age = path.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_by_one_broker_at_a_time() {
        let parent = tempfile::tempdir().expect("folder");
        let path = parent.path().join("data");
        let first = Folder::open(&path).expect("open");
        assert!(Folder::open(&path).is_err_and(|e| e.to_string().contains("in use")));
        drop(first);
        Folder::open(&path).expect("free again");
    }

    #[test]
    fn a_file_is_no_data_folder() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let refused = Folder::open(file.path()).map(|_| ()).map_err(|e| e.to_string());
        assert!(refused.is_err_and(|e| e.contains("is a file")));
    }

    #[test]
    fn a_temporary_folder_goes_and_a_dead_brokers_goes_with_the_next() {
        let parent = tempfile::tempdir().expect("folder");
        let dead = parent.path().join("kq-dev-1-dead");
        std::fs::create_dir_all(dead.join("topics")).expect("make");
        File::create(dead.join(LOCK)).expect("make");
        let removed_in_part = parent.path().join("kq-dev-1-bad");
        let others = ["kq-dev-notes", "kq-dev-1-pipe", "kq-dev-1-abc"].map(|name| parent.path().join(name));
        for path in others.iter().chain([&removed_in_part]) {
            std::fs::create_dir(path).expect("make");
        }
        // The pipe has no writer: opening it like a file would never return.
        let pipe = others[2].join(LOCK);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("pipe");
        for path in others.iter().chain([&removed_in_part]) {
            let old = SystemTime::now() - Duration::from_hours(2);
            File::open(path).and_then(|folder| folder.set_modified(old)).expect("make old");
        }
        assert!(Folder::open(&others[2]).is_err());
        let living = Folder::temporary(parent.path()).expect("make");
        assert!(!dead.exists());
        assert!(others.iter().all(|path| path.exists()), "what is not ours stays");
        assert!(!removed_in_part.exists());
        for path in others {
            std::fs::remove_dir_all(path).expect("remove");
        }
        let other = Folder::temporary(parent.path()).expect("make");
        assert!(living.path().exists() && other.path().exists());
        drop((living, other));
        assert_eq!(std::fs::read_dir(parent.path()).expect("read").count(), 0);
    }
}
