//! The layout of `src/` keeps its order: no circles, one way down, and each outside crate in its place.

mod source;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use source::{Module, Source};

/// From the top down. A module uses those of the lines below it, and none beside it.
const LAYERS: [&[&str]; 8] = [
    &["cli", "commands"],
    &["produce", "consume", "worker", "serve", "dev"],
    &["reading", "sending"],
    &["http"],
    &["kafka"],
    &["config"],
    &["record", "terminal", "process"],
    &["clock", "descriptors", "exit", "lock", "memory", "named", "shutdown", "stderr", "threads", "watched"],
];

/// The exceptions: what a module may use beside it or above it, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("commands", "cli", "a command turns the flags of its subcommand into settings"),
    ("shutdown", "descriptors", "which signals were ignored at the start"),
    ("shutdown", "exit", "the signal that stopped kq decides its exit status"),
    ("shutdown", "stderr", "the second signal's last words"),
    ("shutdown", "threads", "the thread of the signals"),
    ("threads", "lock", "what holds threads until all are there"),
    ("exit", "stderr", "the error that ends kq"),
    ("stderr", "clock", "the time of a line"),
    ("stderr", "named", "the values of --log-format"),
    ("stderr", "descriptors", "how all bytes of a line get into stderr"),
    ("stderr", "lock", "the queue of lines"),
    ("watched", "lock", "the content that is replaced"),
];

/// The rules that a file still breaks, by rule and file. An entry that is no longer true is an error.
const DEBT: &[(&str, &str)] = &[];

/// The most lines of a file: a longer one is split, by idea.
const LONGEST: usize = 450;

/// A rule that a line breaks.
#[derive(Debug)]
struct Violation {
    rule: &'static str,
    file: String,
    line: usize,
    what: String,
}

impl Violation {
    fn new(rule: &'static str, source: &Source, line: usize, what: impl Into<String>) -> Self {
        Self { rule, file: source.file.clone(), line, what: what.into() }
    }
}

#[test]
fn every_source_file_keeps_to_the_layout() {
    let violations = check(&read("src"));
    let broken: BTreeSet<_> =
        violations.iter().map(|violation| (violation.rule, violation.file.as_str())).collect();
    let debt: BTreeSet<_> = DEBT.iter().copied().collect();
    let new = violations.iter().filter(|violation| !debt.contains(&(violation.rule, &violation.file)));
    let mut said: Vec<_> =
        new.map(|Violation { rule, file, line, what }| format!("{file}:{line}: {rule}: {what}")).collect();
    let paid = debt.difference(&broken);
    said.extend(
        paid.map(|(rule, file)| format!("{file} keeps the rule {rule:?} now: delete its entry in DEBT")),
    );
    assert!(said.is_empty(), "\n{}\n(the rules are in {})", said.join("\n"), file!());
}

/// All Rust files under this folder of the repository.
fn read(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("read a folder of src") {
            let path = entry.expect("read a folder of src").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(root).expect("it is in the repository");
                let text = std::fs::read_to_string(&path).expect("read a source file");
                sources.push(Source::new(file.to_str().expect("a name that is text"), &text));
            }
        }
    }
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(sources.len() > 100, "only {} files in {folder}", sources.len());
    sources
}

/// All rules on all files.
fn check(sources: &[Source]) -> Vec<Violation> {
    let edges = edges(sources);
    let mut violations = circles(sources, &edges);
    violations.extend(edges.iter().filter_map(|edge| out_of_order(sources, edge)));
    for source in sources {
        violations.extend(begins_without_its_line(source));
        violations.extend(unsafe_code(source));
        if !source.is_tests() {
            violations.extend(outside_crates(source));
            violations.extend(impure(source));
            violations.extend(unknown_children(source));
            violations.extend(too_long(source));
        }
    }
    violations
}

/// One file names another in a path, first on this line.
struct Edge {
    from: usize,
    to: usize,
    line: usize,
}

/// Who uses whom. A file that uses the module around it is no edge: it is a part of that.
fn edges(sources: &[Source]) -> Vec<Edge> {
    // The binary is a crate of its own.
    let files: BTreeMap<Module, usize> = (0..)
        .zip(sources)
        .filter(|(_, s)| s.file != "src/main.rs")
        .map(|(at, s)| (s.module.clone(), at))
        .collect();
    let modules: BTreeSet<Module> = files.keys().cloned().chain([Module::new()]).collect();
    let mut edges: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (from, source) in sources.iter().enumerate().filter(|(_, source)| !source.is_tests()) {
        for (module, line) in source.uses(&modules) {
            if let Some(&to) = files.get(&module)
                && !source.module.starts_with(&module)
            {
                edges.entry((from, to)).or_insert(line);
            }
        }
    }
    edges.into_iter().map(|((from, to), line)| Edge { from, to, line }).collect()
}

/// Each edge from which a way leads back.
fn circles(sources: &[Source], edges: &[Edge]) -> Vec<Violation> {
    let name = |at: usize| sources[at].file.trim_start_matches("src/");
    edges
        .iter()
        .filter_map(|edge| {
            let back = way(edges, edge.to, edge.from)?;
            let files: Vec<_> = back.into_iter().map(name).collect();
            let what = format!("it uses {}", files.join(", which uses "));
            Some(Violation::new("circle", &sources[edge.from], edge.line, what))
        })
        .collect()
}

/// The shortest way from one file to another, both included.
fn way(edges: &[Edge], from: usize, to: usize) -> Option<Vec<usize>> {
    let mut ways = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while !ways.is_empty() {
        if let Some(found) = ways.iter().find(|way| way.last() == Some(&to)) {
            return Some(found.clone());
        }
        let mut longer = Vec::new();
        for way in &ways {
            for edge in edges.iter().filter(|edge| way.last() == Some(&edge.from)) {
                if seen.insert(edge.to) {
                    longer.push([&way[..], &[edge.to]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// A use of what is not below.
fn out_of_order(sources: &[Source], edge: &Edge) -> Option<Violation> {
    let (source, target) = (&sources[edge.from], &sources[edge.to]);
    let (from, to) = (source.module.first()?, target.module.first()?);
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    if from == to || EXCEPTIONS.iter().any(|(user, used, _)| user == from && used == to) {
        return None;
    }
    let what = match (layer(from), layer(to)) {
        (Some(from), Some(to)) if from < to => return None,
        (None, _) => format!("{from} has no place in LAYERS"),
        (_, None) => format!("{to} has no place in LAYERS"),
        (Some(one), Some(other)) if one == other => format!("{from} uses {to}, which is beside it"),
        _ => format!("{from} uses {to}, which is above it"),
    };
    Some(Violation::new("layers", source, edge.line, what))
}

/// clap and rdkafka where they do not belong.
fn outside_crates(source: &Source) -> Vec<Violation> {
    let is_in = |folders: &[&str]| source.module.first().is_some_and(|m| folders.contains(&m.as_str()));
    // clap's errors are printed in exit.
    let clap_belongs = is_in(&["cli", "commands", "exit"]) || source.file == "src/config/flags.rs";
    let mut violations = Vec::new();
    for token in &source.tokens {
        let line = token.line;
        match token.text.as_str() {
            "clap" if !clap_belongs => {
                violations.push(Violation::new("clap", source, line, "clap outside cli/ and commands/"));
            }
            "rdkafka" | "rdkafka_sys" if !is_in(&["kafka"]) => {
                violations.push(Violation::new("rdkafka", source, line, "rdkafka outside kafka/"));
            }
            _ => {}
        }
    }
    violations
}

/// `unsafe` where it does not belong.
fn unsafe_code(source: &Source) -> Vec<Violation> {
    let belongs = source.file.starts_with("src/kafka/ffi")
        || ["src/descriptors.rs", "src/memory.rs"].contains(&source.file.as_str());
    let found = source.tokens.iter().filter(|token| token.text == "unsafe" && !belongs);
    found
        .map(|token| {
            Violation::new(
                "unsafe",
                source,
                token.line,
                "unsafe outside kafka/ffi, descriptors.rs and memory.rs",
            )
        })
        .collect()
}

/// A child process that kq may take for one that it adopted: it would take its status.
fn unknown_children(source: &Source) -> Vec<Violation> {
    if source.tokens.iter().any(|token| token.text == "children") {
        return Vec::new();
    }
    let starts = |segments: &[String]| {
        let end: Vec<&str> = segments.iter().rev().take(2).map(String::as_str).collect();
        matches!(end[..], ["Command", "process"] | ["posix_spawn", "spawn"])
    };
    let found = source.paths().into_iter().filter(|path| starts(&path.segments));
    let what = "a process that is not started by process::children";
    found.map(|path| Violation::new("children", source, path.line, what)).collect()
}

/// A clock or IO in a file that says that it has none.
fn impure(source: &Source) -> Vec<Violation> {
    const PATHS: [&[&str]; 9] = [
        &["Instant", "now"],
        &["SystemTime", "now"],
        &["thread", "sleep"],
        &["std", "env"],
        &["std", "fs"],
        &["net", "TcpListener"],
        &["net", "TcpStream"],
        &["net", "ToSocketAddrs"],
        &["net", "UdpSocket"],
    ];
    if !source.docs.contains("Pure:") {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let mut found = |line: usize, what: &str| {
        violations.push(Violation::new("pure", source, line, format!("{what} in a file that says \"Pure\"")));
    };
    for path in source.paths() {
        let holds = |part: &&&[&str]| path.segments.windows(part.len()).any(|window| window == **part);
        if let Some(part) = PATHS.iter().find(holds) {
            found(path.line, &part.join("::"));
        }
    }
    for (at, token) in source.tokens.iter().enumerate() {
        match (token.text.as_str(), source.text(at + 1)) {
            ("print" | "println" | "eprint" | "eprintln", "!") | ("stdin" | "stdout" | "stderr", "(") => {
                found(token.line, &token.text);
            }
            _ => {}
        }
    }
    violations
}

/// A file that has become too long.
fn too_long(source: &Source) -> Option<Violation> {
    let what = || format!("it has {} lines, and {LONGEST} are the most", source.lines);
    (source.lines > LONGEST).then(|| Violation::new("length", source, LONGEST + 1, what()))
}

/// The first line says what the file owns.
fn begins_without_its_line(source: &Source) -> Option<Violation> {
    let says = source.docs.lines().next().is_some_and(|line| !line.trim().is_empty());
    (!says)
        .then(|| Violation::new("first line", source, 1, "it does not open with a `//!` line: what it owns"))
}
