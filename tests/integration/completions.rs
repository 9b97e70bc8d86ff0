//! The committed completions and man pages agree with the flags: compared here, rewritten by `KQ_BLESS=1`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap_complete::Shell;

/// Set to 1, the tests write the files instead of comparing them.
const BLESS: &str = "KQ_BLESS";
const COMMAND: &str = "KQ_BLESS=1 cargo test --test integration completions::";

fn command() -> clap::Command {
    kq::command_line()
}

/// The path under the repository's root.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Demands that the committed file holds this, or writes it where that is asked for.
#[track_caller]
fn committed(name: &str, expected: &[u8]) {
    let path = path(name);
    if std::env::var_os(BLESS).is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("make the folder");
        std::fs::write(&path, expected).unwrap_or_else(|e| panic!("write {name}: {e}"));
        return;
    }
    let held = std::fs::read(&path).unwrap_or_else(|e| panic!("read {name}: {e}; `{COMMAND}` writes it"));
    let at = held.split(|&b| b == b'\n').zip(expected.split(|&b| b == b'\n')).position(|(a, b)| a != b);
    assert!(
        held == expected,
        "{name} is not what the flags say (first at line {}): `{COMMAND}` rewrites it",
        at.map_or_else(|| "after the last".to_owned(), |at| (at + 1).to_string())
    );
}

fn completion(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command(), "kq", &mut text);
    text
}

#[test]
fn bash_completion_is_up_to_date() {
    committed("completions/kq.bash", &completion(Shell::Bash));
}

#[test]
fn zsh_completion_is_up_to_date() {
    committed("completions/_kq", &completion(Shell::Zsh));
}

#[test]
fn fish_completion_is_up_to_date() {
    committed("completions/kq.fish", &completion(Shell::Fish));
}

#[test]
fn man_pages_are_up_to_date_and_each_command_has_one() {
    let mut root = without_help(command());
    root.build();
    let mut pages = Vec::new();
    write_pages(&root, &mut pages);
    let there = std::fs::read_dir(path("man")).expect("man is there");
    let mut there: Vec<_> =
        there.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    there.sort();
    pages.sort();
    assert_eq!(there, pages, "man holds a page for each command and nothing else");
}

/// The command without its `help`, and so those below it: `help` has no page to name.
fn without_help(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = command.disable_help_subcommand(true);
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, without_help))
}

/// The argument with its aliases in its help, as `--help` has them and the manual's generator does not.
fn with_aliases(arg: clap::Arg) -> clap::Arg {
    let long = arg.get_visible_aliases().unwrap_or_default().into_iter().map(|alias| format!("--{alias}"));
    let short =
        arg.get_visible_short_aliases().unwrap_or_default().into_iter().map(|alias| format!("-{alias}"));
    let aliases: Vec<String> = short.chain(long).collect();
    match arg.get_help() {
        Some(help) if !aliases.is_empty() => {
            let plural = if aliases.len() == 1 { "" } else { "es" };
            let help = format!("{help} [alias{plural}: {}]", aliases.join(", "));
            arg.help(help)
        }
        _ => arg,
    }
}

/// The page of this command and of those below it; their names go to `pages`.
fn write_pages(command: &clap::Command, pages: &mut Vec<String>) {
    let name = format!("{}.1", command.get_display_name().unwrap_or_else(|| command.get_name()));
    committed(&format!("man/{name}"), &page(command).expect("render a page"));
    pages.push(name);
    let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
    below.for_each(|below| write_pages(below, pages));
}

fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    // Left out of the short help, they belong in the manual.
    let whole = command.clone().mut_args(|arg| with_aliases(arg.hide_short_help(false)));
    let usage = whole.clone().render_usage().to_string();
    let page = clap_mangen::Man::new(whole)
        .date("")
        .manual("kq")
        .source(format!("kq {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    // The usage line; a list of every flag would hide the arguments.
    let usage = usage.trim_start_matches("Usage:").trim().replace('\\', "\\e").replace('-', "\\-");
    writeln!(text, ".SH SYNOPSIS\n{usage}")?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let mut extra = Vec::new();
    page.render_extra_section(&mut extra)?;
    // Examples, which are indented, keep their lines; the width breaks the others.
    let mut keeps = false;
    let extra = String::from_utf8_lossy(&extra).into_owned();
    for (above, line) in std::iter::once("").chain(extra.lines()).zip(extra.lines()) {
        if line == "Examples:" {
            continue;
        }
        if keeps != line.starts_with("  ") {
            keeps = !keeps;
            writeln!(text, "{}", if keeps { ".nf" } else { ".fi" })?;
        }
        let line = if line == ".SH EXTRA" { ".SH EXAMPLES" } else { line };
        match line.strip_suffix(':').filter(|heading| above.is_empty() && is_heading(heading)) {
            Some(heading) => {
                let upper = |word: &str| {
                    if word.starts_with("\\-") { word.to_owned() } else { word.to_uppercase() }
                };
                let words: Vec<String> = heading.split(' ').map(upper).collect();
                writeln!(text, ".SH \"{}\"", words.join(" "))?;
            }
            None => writeln!(text, "{}", if line.is_empty() { ".PP" } else { line })?,
        }
    }
    Ok(text)
}

/// Whether a line that ends with a colon is the heading of a section: it is short, and no sentence.
fn is_heading(line: &str) -> bool {
    line.len() < 40 && line.starts_with(char::is_alphabetic) && !line.contains([',', '.', ':', '('])
}

#[test]
fn bash_accepts_its_completion_and_offers_the_subcommands() {
    let script = r#"
        set -eu
        source "$1"
        COMP_WORDS=(kq to) COMP_CWORD=1
        _kq kq to kq
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let own = tempfile::NamedTempFile::new().expect("make a file");
    std::fs::write(own.path(), completion(Shell::Bash)).expect("write the completion");
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", script, "bash"])
        .arg(own.path())
        .output()
        .expect("run bash");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "topic\n", "{said}");
}
