//! Which program a command line means: found once, at the start, as a shell would.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

/// A program by its absolute path, and its arguments.
///
/// Absolute, since a search at each spawn costs, and since a PATH that is set
/// in the child's environment takes the slow way of spawning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub path: PathBuf,
    pub args: Vec<OsString>,
    /// The command as the user gave it, for errors.
    pub shown: String,
    origin: Option<Origin>,
}

/// Where a program was found, so that it can be looked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    command: Vec<OsString>,
    search: Option<OsString>,
    cwd: PathBuf,
    /// The file itself: that of a script where the shell runs it.
    file: PathBuf,
}

const SHELL: &str = "/bin/sh";

impl Program {
    /// A string for the shell: `sh -c STRING`.
    pub(crate) fn shell(script: &OsStr) -> Self {
        Self {
            path: SHELL.into(),
            args: vec!["-c".into(), script.to_owned()],
            shown: script.to_string_lossy().into_owned(),
            origin: None,
        }
    }

    /// A command and its arguments, run directly. A single word that holds white
    /// space or a shell metacharacter and is no existing file goes to the shell;
    /// a script without `#!` runs under `/bin/sh`.
    ///
    /// `search` is the value of PATH, `cwd` the folder that a relative path starts from.
    pub(crate) fn resolve(command: &[OsString], search: Option<&OsStr>, cwd: &Path) -> anyhow::Result<Self> {
        let Some((name, args)) = command.split_first() else { bail!("no command given") };
        ensure!(!name.to_string_lossy().trim().is_empty(), "the command is empty");
        if args.is_empty() && needs_shell(name) && !cwd.join(name).exists() {
            return Ok(Self::shell(name));
        }
        Self::find(command, search, cwd)
    }

    /// The file that was looked at to find out how it is run; `None` for a line for the shell.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.origin.as_ref().map(|origin| origin.file.as_path())
    }

    /// The same command, as it is found now: its file may be another one, and run in another way.
    pub(crate) fn again(&self) -> anyhow::Result<Self> {
        match &self.origin {
            Some(Origin { command, search, cwd, .. }) => Self::find(command, search.as_deref(), cwd),
            None => Ok(self.clone()),
        }
    }

    fn find(command: &[OsString], search: Option<&OsStr>, cwd: &Path) -> anyhow::Result<Self> {
        let Some((name, args)) = command.split_first() else { bail!("no command given") };
        let shown = command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let path = find(name, search, cwd).map_err(|e| {
            if needs_shell(name) && !args.is_empty() {
                e.context("a line for the shell stands alone after `--`, kq's own flags before it")
            } else {
                e
            }
        })?;
        let start = start(&path)?;
        if let Some(interpreter) = interpreter(start.as_deref()) {
            let name = name.to_string_lossy();
            ensure!(
                !interpreter.as_os_str().as_bytes().ends_with(b"\r"),
                "command {name}: its lines end as on Windows, so that no {:?} is found to run it \
                 (sed -i 's/\\r$//' {name})",
                interpreter.display()
            );
            ensure!(
                cwd.join(interpreter).exists(),
                "command {name}: its first line names {}, which does not exist",
                interpreter.display()
            );
        }
        let origin = Some(Origin {
            command: command.to_vec(),
            search: search.map(OsStr::to_owned),
            cwd: cwd.to_owned(),
            file: path.clone(),
        });
        if is_bare_script(start.as_deref()) {
            let args = std::iter::once(path.into_os_string()).chain(args.iter().cloned()).collect();
            return Ok(Self { path: SHELL.into(), args, shown, origin });
        }
        Ok(Self { path, args: args.to_vec(), shown, origin })
    }
}

/// Whether a shell would read more than a plain name in this word.
fn needs_shell(word: &OsStr) -> bool {
    word.as_bytes().iter().any(|b| b.is_ascii_whitespace() || b"|&;<>()$`\\\"'*?[]#~=%{}!".contains(b))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn find(name: &OsStr, search: Option<&OsStr>, cwd: &Path) -> anyhow::Result<PathBuf> {
    let shown = name.to_string_lossy();
    if name.as_bytes().contains(&b'/') {
        let path = cwd.join(name);
        let metadata = path.metadata().with_context(|| format!("command {shown}"))?;
        ensure!(!metadata.is_dir(), "command {shown}: it is a directory");
        ensure!(is_executable(&path), "command {shown}: it is not executable (chmod +x {shown})");
        return Ok(path);
    }
    let search = search.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    if let Some(found) =
        std::env::split_paths(search).map(|dir| cwd.join(dir).join(name)).find(|path| is_executable(path))
    {
        return Ok(found);
    }
    if cwd.join(name).is_file() {
        bail!("command {shown}: not found in PATH; for the file in this folder write ./{shown}");
    }
    bail!("command {shown}: not found in PATH");
}

/// A file's first bytes; `None` where it can be executed and not read, which the kernel may still do.
fn start(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let Ok(file) = std::fs::File::open(path) else { return Ok(None) };
    let mut start = Vec::new();
    file.take(256).read_to_end(&mut start).with_context(|| format!("read {}", path.display()))?;
    Ok(Some(start))
}

/// The program that a script's first line names, which the kernel would look for in vain without
/// saying that it is that one, and not the script, which is missing.
fn interpreter(start: Option<&[u8]>) -> Option<&Path> {
    let line = start?.strip_prefix(b"#!")?;
    // A line without an end may be cut off.
    let line = line[..line.iter().position(|&b| b == b'\n')?].trim_ascii_start();
    let name = line.split(|b| matches!(b, b' ' | b'\t')).next()?;
    (!name.is_empty()).then(|| Path::new(OsStr::from_bytes(name)))
}

/// Whether a file is text without `#!`, which the kernel refuses and a shell runs.
fn is_bare_script(start: Option<&[u8]>) -> bool {
    start.is_some_and(|start| {
        !start.starts_with(b"#!") && !start.starts_with(b"\x7fELF") && !start.contains(&0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, content: &[u8], mode: u32) {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn resolve(dir: &Path, command: &[&str]) -> anyhow::Result<Program> {
        let command: Vec<OsString> = command.iter().map(Into::into).collect();
        Program::resolve(&command, Some(OsStr::new("/usr/bin:/bin")), dir)
    }

    #[test]
    fn a_name_is_found_in_the_path_and_becomes_absolute() {
        let dir = tempfile::tempdir().unwrap();
        let program = resolve(dir.path(), &["cat", "-n"]).unwrap();
        assert!(program.path.is_absolute() && program.path.ends_with("cat"));
        assert_eq!(program.args, ["-n"]);
    }

    #[test]
    fn a_relative_path_starts_from_the_working_folder() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "h.sh", b"#!/bin/sh\n", 0o755);
        assert_eq!(resolve(dir.path(), &["./h.sh"]).unwrap().path, dir.path().join("./h.sh"));
    }

    #[test]
    fn a_single_word_with_shell_syntax_goes_to_the_shell() {
        let dir = tempfile::tempdir().unwrap();
        let program = resolve(dir.path(), &["cat | wc -c"]).unwrap();
        assert_eq!(program.path, Path::new("/bin/sh"));
        assert_eq!(program.args, ["-c", "cat | wc -c"]);
    }

    #[test]
    fn an_existing_file_with_a_space_in_its_name_runs_directly() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "my handler", b"#!/bin/sh\n", 0o755);
        assert_eq!(resolve(dir.path(), &["./my handler"]).unwrap().path, dir.path().join("./my handler"));
    }

    #[test]
    fn several_words_are_never_a_shells_business() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(resolve(dir.path(), &["echo", "a | b"]).unwrap().args, ["a | b"]);
    }

    #[test]
    fn a_line_for_the_shell_with_more_words_behind_it_is_told_to_stand_alone() {
        let dir = tempfile::tempdir().unwrap();
        let error = format!("{:#}", resolve(dir.path(), &["cat | wc -c", "--retries", "0"]).unwrap_err());
        assert!(error.contains("stands alone after `--`"), "{error}");
    }

    #[test]
    fn a_script_without_a_first_line_runs_under_sh() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "bare", b"cat >/dev/null\n", 0o755);
        let program = resolve(dir.path(), &["./bare", "x"]).unwrap();
        assert_eq!(program.path, Path::new("/bin/sh"));
        assert_eq!(program.args, [dir.path().join("./bare").into_os_string(), "x".into()]);
    }

    #[test]
    fn a_program_that_changed_is_found_again_and_never_taken_for_a_line_of_the_shell() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "my handler", b"cat\n", 0o755);
        let program = resolve(dir.path(), &["./my handler"]).unwrap();
        assert_eq!(program.path, Path::new("/bin/sh"));
        assert_eq!(program.file(), Some(&*dir.path().join("./my handler")));
        file(dir.path(), "my handler", b"#!/bin/sh\n", 0o755);
        assert_eq!(program.again().unwrap().path, dir.path().join("./my handler"));
        std::fs::remove_file(dir.path().join("my handler")).unwrap();
        assert!(format!("{:#}", program.again().unwrap_err()).contains("No such file"));
        let line = resolve(dir.path(), &["cat | wc -c"]).unwrap();
        assert_eq!((line.file(), line.again().unwrap()), (None, line.clone()));
    }

    #[test]
    fn what_cannot_be_run_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "plain", b"#!/bin/sh\n", 0o644);
        file(dir.path(), "windows", b"#!/bin/sh\r\ncat\r\n", 0o755);
        file(dir.path(), "stray", b"#! /no/such/python -u\n", 0o755);
        for (command, part) in [
            ("./plain", "chmod +x ./plain"),
            ("./nothing", "No such file"),
            ("no-such-command", "not found in PATH"),
            ("plain", "write ./plain"),
            ("./", "directory"),
            ("./windows", r#"end as on Windows, so that no "/bin/sh\r" is found"#),
            ("./stray", "its first line names /no/such/python, which does not exist"),
            ("", "empty"),
        ] {
            let error = format!("{:#}", resolve(dir.path(), &[command]).unwrap_err());
            assert!(error.contains(part), "{command}: {error}");
        }
    }
}
