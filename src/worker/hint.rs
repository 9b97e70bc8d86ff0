//! A note on a command that would miss a value: a shell's `while read` leaves out a last line without a newline.

mod tokens;
mod unread;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::process::Program;

/// So much of a script is looked at.
const LOOKED_AT: u64 = 64 << 10;
/// Shells whose `read` is meant.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ksh", "zsh", "ash", "mksh"];

/// What to say of a command that gets values without a newline, if it loses them.
pub(crate) fn of(program: &Program) -> Option<String> {
    let Script { name, text } = script(program)?;
    unread::leaves_out_the_last_line(&text).then(|| {
        format!(
            "{name}: its `while read` leaves out a last line without a newline, and no newline ends a value: give \
             -D '\\n', or write `while read -r line || [ -n \"$line\" ]` (-D '' hides this note)"
        )
    })
}

/// A shell's commands.
struct Script {
    /// The file, in an error's words.
    name: String,
    text: String,
}

/// The shell's commands that a program runs: a string, or the start of a script.
fn script(program: &Program) -> Option<Script> {
    let words: Vec<&OsStr> =
        std::iter::once(program.path.as_os_str()).chain(program.args.iter().map(AsRef::as_ref)).collect();
    let of_file = |path: &Path| Some(Script { name: path.display().to_string(), text: start(path)? });
    // It may stand behind another program, such as `env` or `timeout`.
    if let Some(at) = words.iter().position(|word| is_shell(Path::new(word))) {
        return match operand(&words[at + 1..])? {
            Operand::Commands(text) => {
                Some(Script { name: "the command".to_owned(), text: text.to_string_lossy().into_owned() })
            }
            Operand::File(path) => of_file(path),
        };
    }
    of_file(&program.path)
        .filter(|script| interpreter(&script.text).is_some_and(|name| is_shell(Path::new(name))))
}

fn is_shell(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| SHELLS.contains(&name))
}

/// What a shell runs.
#[derive(Debug, PartialEq, Eq)]
enum Operand<'a> {
    Commands(&'a OsStr),
    File(&'a Path),
}

/// What a shell runs with these arguments; `None` where it reads its commands from stdin.
fn operand<'a>(arguments: &[&'a OsStr]) -> Option<Operand<'a>> {
    let (mut is_text, mut rest) = (false, arguments.iter());
    while let Some(argument) = rest.next() {
        let argument: &'a OsStr = argument;
        let text = argument.to_str().unwrap_or_default();
        let flags = text.strip_prefix(['-', '+']).filter(|flags| !flags.is_empty());
        match flags {
            None if is_text => return Some(Operand::Commands(argument)),
            None => return Some(Operand::File(Path::new(argument))),
            Some("-") => {
                let next: &'a OsStr = rest.next()?;
                return Some(if is_text { Operand::Commands(next) } else { Operand::File(Path::new(next)) });
            }
            // --rcfile FILE, --init-file FILE
            Some(long) if long.starts_with('-') => {
                if long.ends_with("file") {
                    rest.next();
                }
            }
            Some(flags) => {
                is_text |= text.starts_with('-') && flags.contains('c');
                // Of -o and -O, the next argument is the name of an option.
                if flags.ends_with(['o', 'O']) {
                    rest.next();
                }
            }
        }
    }
    None
}

/// The start of a file that can be read, as text.
fn start(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LOOKED_AT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The program of a script's first line, behind `env` and its options too.
fn interpreter(script: &str) -> Option<&str> {
    let mut words = script.strip_prefix("#!")?.lines().next()?.split_whitespace();
    let first = words.next()?;
    let is_wrapper = Path::new(first).file_name().is_some_and(|name| name == "env" || name == "busybox");
    if !is_wrapper {
        return Some(first);
    }
    words.find(|word| !word.starts_with('-') && !word.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    const LOSES: &str = "while read -r line; do echo \"$line\"; done";

    fn note(command: &[&str], dir: &Path) -> Option<String> {
        let command: Vec<OsString> = command.iter().map(Into::into).collect();
        let program = Program::resolve(&command, Some(OsStr::new("/usr/bin:/bin")), dir).expect("a program");
        of(&program)
    }

    fn write(dir: &Path, name: &str, text: &str) -> String {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("write a script");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        path.to_str().expect("a path").to_owned()
    }

    #[test]
    fn a_string_for_a_shell_is_looked_at_wherever_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        for command in [
            &[LOSES][..],
            &["sh", "-c", LOSES],
            &["/bin/sh", "-ec", LOSES, "name"],
            &["bash", "-euo", "pipefail", "-c", LOSES],
            &["bash", "--norc", "-c", "--", LOSES],
            &["env", "A=1", "sh", "-c", LOSES],
        ] {
            let note = note(command, dir.path()).unwrap_or_else(|| panic!("{command:?}"));
            assert!(note.contains("-D '\\n'") && note.contains("|| [ -n \"$line\" ]"), "{note}");
        }
        assert_eq!(note(&["cat"], dir.path()), None);
        assert_eq!(note(&["echo", LOSES], dir.path()), None);
        assert_eq!(note(&["sh", "-s"], dir.path()), None);
    }

    #[test]
    fn a_script_is_looked_at_where_a_shell_runs_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for first in
            ["#!/bin/sh", "#!/bin/bash -e", "#! /usr/bin/env bash", "#!/usr/bin/env -S bash -e", "", "# no"]
        {
            let path = write(dir, "handler", &format!("{first}\n{LOSES}\n"));
            assert!(note(&[&path], dir).is_some(), "{first}");
            assert!(note(&["sh", "-e", &path, "x"], dir).is_some(), "{first}");
        }
        let python = write(dir, "python", &format!("#!/usr/bin/env python3\n{LOSES}\n"));
        if Path::new("/usr/bin/env").exists() {
            assert_eq!(note(&[&python], dir), None);
        }
        let late = write(dir, "late", &format!("#!/bin/sh\n{}\n{LOSES}\n", "# padding\n".repeat(7000)));
        assert_eq!(note(&[&late], dir), None);
        assert!(interpreter("#!/bin/busybox sh\n").is_some_and(|name| is_shell(Path::new(name))));
        assert_eq!(interpreter("#!"), None);
    }

    #[test]
    fn a_note_names_the_script_and_not_a_string() {
        let of_string = of(&Program::shell(OsStr::new("while read line\ndo echo $line\ndone"))).unwrap();
        assert!(of_string.starts_with("the command: "), "{of_string}");
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), "handler", LOSES);
        assert!(note(&["sh", &path], dir.path()).unwrap().starts_with(&format!("{path}: ")));
    }
}
