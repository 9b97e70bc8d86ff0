//! Where records come from: stdin and files, opened, watched and read in chunks.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::descriptors::stdin_was_closed;
use crate::threads;

/// An input and what to call it in errors.
pub(crate) struct Input {
    /// `stdin`, or the path as it was given.
    pub name: String,
    path: Option<PathBuf>,
}

/// The result of one read of an input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// So many bytes were read.
    Bytes(usize),
    /// Nothing came within the time.
    Idle,
    End,
}

impl Input {
    /// The inputs named on the command line; no name at all is stdin.
    /// Each file is checked before any record is sent, so that a wrong path costs nothing.
    pub(crate) fn all(files: &[PathBuf]) -> anyhow::Result<Vec<Self>> {
        if files.is_empty() {
            return Ok(vec![Self::stdin()?]);
        }
        if files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
            bail!("`-` (stdin) can be read once only");
        }
        files.iter().map(|file| Self::named(file)).collect()
    }

    fn stdin() -> anyhow::Result<Self> {
        // Rust's runtime puts /dev/null there, which would be an empty input.
        ensure!(!stdin_was_closed(), "stdin is closed: nothing was sent (</dev/null is an empty input)");
        let this = Self { name: "stdin".into(), path: None };
        refuse_directory(&this.name, this.metadata().is_ok_and(|metadata| metadata.is_dir()))?;
        Ok(this)
    }

    fn named(file: &Path) -> anyhow::Result<Self> {
        if file.as_os_str() == "-" {
            return Self::stdin();
        }
        let name = file.display().to_string();
        let metadata = std::fs::metadata(file).with_context(|| format!("read {name}: nothing was sent"))?;
        refuse_directory(&name, metadata.is_dir())?;
        if metadata.is_file() {
            File::open(file).with_context(|| format!("read {name}: nothing was sent"))?;
        }
        Ok(Self { name, path: Some(file.to_owned()) })
    }

    /// Its size in bytes, where it is a file that has one.
    pub(crate) fn size(&self) -> Option<u64> {
        self.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len())
    }

    fn metadata(&self) -> io::Result<Metadata> {
        match &self.path {
            Some(path) => std::fs::metadata(path),
            None => File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata(),
        }
    }

    /// Starts to open it for reading. A named pipe waits for its writer, on a thread of its own.
    pub(crate) fn open(&self) -> Opening {
        let (result, opened) = mpsc::sync_channel(1);
        match &self.path {
            None => {
                let stdin = io::stdin().as_fd().try_clone_to_owned().context("open stdin");
                let _ = result.send(stdin.map(File::from));
            }
            Some(path) => {
                let (path, name) = (path.clone(), self.name.clone());
                let open = move || File::open(path).with_context(|| format!("read {name}"));
                if self.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
                    let waiting = result.clone();
                    let started = threads::start("input", move || _ = waiting.send(open()));
                    if let Err(e) = started {
                        let _ = result.send(Err(e.context(format!("read {}", self.name))));
                    }
                } else {
                    let _ = result.send(open());
                }
            }
        }
        Opening { opened }
    }
}

/// An input that is being opened.
pub(crate) struct Opening {
    opened: mpsc::Receiver<anyhow::Result<File>>,
}

impl Opening {
    /// The open input, or why it can't be opened; `None` where that takes longer than `wait`.
    pub(crate) fn wait(&mut self, wait: Duration) -> Option<anyhow::Result<Reader>> {
        match self.opened.recv_timeout(wait) {
            Ok(opened) => Some(opened.map(|file| Reader { file })),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Some(Err(anyhow::anyhow!("the input was not opened")))
            }
        }
    }
}

fn refuse_directory(name: &str, is_directory: bool) -> anyhow::Result<()> {
    if is_directory {
        bail!("read {name}: it is a directory; name the files in it (nothing was sent)");
    }
    Ok(())
}

/// An open input.
pub(crate) struct Reader {
    file: File,
}

impl Reader {
    /// Reads the available bytes into `space`, waiting up to `wait` for the first.
    pub(crate) fn read(&mut self, space: &mut [u8], wait: Duration) -> io::Result<Chunk> {
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Chunk::Idle),
            Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
        match self.file.read(space) {
            Ok(0) => Ok(Chunk::End),
            Ok(n) => Ok(Chunk::Bytes(n)),
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                Ok(Chunk::Idle)
            }
            Err(e) => Err(e),
        }
    }
}
