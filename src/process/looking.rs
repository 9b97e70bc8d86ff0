//! A program as exec takes it, looked at again when its file has changed: a deploy may put another one there.

use std::ffi::CString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use rustix::io::Errno;

use super::Program;
use crate::lock::Lock;

/// What exec takes.
#[derive(Debug)]
pub(super) struct Exec {
    pub program: Program,
    pub path: CString,
    /// With the program's path as the first.
    pub args: Vec<CString>,
}

impl Exec {
    /// An error is one of a NUL within a word.
    fn new(program: Program) -> io::Result<Self> {
        let path = CString::new(program.path.as_os_str().as_bytes())?;
        let args = program.args.iter().map(|word| Ok(CString::new(word.as_bytes())?));
        let args = std::iter::once(Ok(path.clone())).chain(args).collect::<io::Result<_>>()?;
        Ok(Self { program, path, args })
    }
}

/// Which file it was, and in what state: a change of its content, its owner or its mode changes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([i64; 5]);

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self([file.dev() as i64, file.ino() as i64, file.size() as i64, file.ctime(), file.ctime_nsec()])
    }
}

/// A program, as it was when it was looked at last.
#[derive(Debug)]
pub(super) struct Seen(Lock<(Option<Stamp>, Arc<Exec>)>);

impl Seen {
    /// A program that was found just now.
    pub(super) fn new(program: Program) -> io::Result<Self> {
        let exec = Exec::new(program)?;
        Ok(Self(Lock::new((stamp(&exec.program), Arc::new(exec)))))
    }

    /// The program as it is now. An error says why it can't be run.
    pub(super) fn now(&self) -> io::Result<Arc<Exec>> {
        let mut seen = self.0.lock();
        let stamp = stamp(&seen.1.program);
        if stamp.is_none() || stamp != seen.0 {
            if seen.1.program.file().is_none() {
                return Ok(Arc::clone(&seen.1));
            }
            let program = seen.1.program.again().map_err(|e| io::Error::other(format!("{e:#}")))?;
            let exec = Exec::new(program)?;
            *seen = (self::stamp(&exec.program), Arc::new(exec));
        }
        Ok(Arc::clone(&seen.1))
    }

    /// Why it could not be started, where looking at it again tells more: the kernel does not say that it is
    /// the interpreter of the first line which is missing.
    pub(super) fn explain(&self, e: io::Error) -> io::Error {
        if Errno::from_io_error(&e) != Some(Errno::NOENT) {
            return e;
        }
        let again = self.0.lock().1.program.again();
        again.err().map_or(e, |why| io::Error::other(format!("{why:#}")))
    }
}

fn stamp(program: &Program) -> Option<Stamp> {
    program.file()?.metadata().ok().map(|file| Stamp::of(&file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn write(path: &Path, content: &str) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn what_was_replaced_is_run_as_what_it_is_now() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handler");
        write(&path, "cat\n");
        let program = Program::resolve(&[OsString::from("./handler")], None, dir.path()).unwrap();
        let seen = Seen::new(program).unwrap();
        assert_eq!(seen.now().unwrap().program.path, Path::new("/bin/sh"));
        assert!(Arc::ptr_eq(&seen.now().unwrap(), &seen.now().unwrap()), "it is looked at once");
        write(&path, "#!/bin/sh\ncat\n");
        assert_eq!(seen.now().unwrap().program.path, dir.path().join("./handler"));
        fs::remove_file(&path).unwrap();
        assert!(seen.now().unwrap_err().to_string().contains("No such file"));
        write(&path, "#!/no/such/sh\n");
        let why = seen.now().unwrap_err().to_string();
        assert!(why.contains("its first line names /no/such/sh, which does not exist"), "{why}");
        write(&path, "cat\n");
        assert_eq!(seen.now().unwrap().program.path, Path::new("/bin/sh"));
    }

    #[test]
    fn an_interpreter_that_has_gone_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (handler, interpreter) = (dir.path().join("handler"), dir.path().join("sh"));
        write(&interpreter, "#!/bin/sh\n");
        write(&handler, &format!("#!{}\n", interpreter.display()));
        let program = Program::resolve(&[handler.clone().into()], None, dir.path()).unwrap();
        let seen = Seen::new(program).unwrap();
        fs::remove_file(&interpreter).unwrap();
        assert!(seen.now().is_ok(), "its own file has not changed");
        let why = seen.explain(Errno::NOENT.into()).to_string();
        assert!(why.contains("which does not exist"), "{why}");
        assert_eq!(seen.explain(Errno::ACCESS.into()).kind(), io::ErrorKind::PermissionDenied);
    }
}
