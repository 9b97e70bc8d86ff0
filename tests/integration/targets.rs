//! The names of tests and files in scripts and texts: each exists, and none is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The crates of tests, each a folder under tests/.
const CRATES: [&str; 2] = ["integration", "kafka"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("read {file}: {e}"))
}

/// All files under a folder, those in its folders too.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("read a folder").map(|entry| entry.expect("read a folder").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// All that the pattern's first group finds.
fn all<'a>(pattern: &str, text: &'a str) -> BTreeSet<&'a str> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).map(|found| found.get(1).expect("a group").as_str()).collect()
}

/// The names of the Rust files in a folder, without `main`.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).expect("read a folder");
    let paths = entries.map(|entry| entry.expect("read a folder").path());
    let rust = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let names = rust.map(|path| path.file_stem().expect("a name").to_str().expect("text").to_owned());
    names.filter(|name| name != "main").collect()
}

/// The modules that a crate of tests declares.
fn modules(name: &str) -> BTreeSet<String> {
    let main = text(&format!("tests/{name}/main.rs"));
    all("(?m)^mod ([a-z_]+);", &main).into_iter().map(str::to_owned).collect()
}

#[test]
fn no_test_is_a_crate_of_its_own_and_no_file_is_left_out() {
    assert_eq!(names("tests"), BTreeSet::new(), "each would link librdkafka and OpenSSL once more");
    for name in CRATES {
        let left: Vec<_> = names(&format!("tests/{name}")).difference(&modules(name)).cloned().collect();
        assert!(left.is_empty(), "tests/{name}/main.rs lacks {left:?}");
    }
}

#[test]
fn every_module_that_needs_apache_kafka_is_run() {
    let run = text("tests/kafka/run");
    let named = all(r"\bkafka(?:::| )([a-z_]+)\b", &run);
    let named: BTreeSet<_> = named.into_iter().map(str::to_owned).collect();
    let with_tests = modules("kafka").into_iter().filter(|module| {
        let folder = root().join("tests/kafka").join(module);
        let sources = if folder.is_dir() { files(&folder) } else { vec![folder.with_extension("rs")] };
        sources.iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("#[test]")))
    });
    let with_tests: BTreeSet<_> = with_tests.filter(|module| module != "support").collect();
    assert_eq!(named, with_tests, "tests/kafka/run names the one, tests/kafka/main.rs has the other");
}

#[test]
fn every_test_that_a_command_names_is_there() {
    let cargo = text("Cargo.toml");
    let targets = all(r#"(?m)^\[\[test\]\]\nname = "([a-z_]+)""#, &cargo);
    assert!(CRATES.iter().all(|name| targets.contains(name)), "{targets:?}");
    let named =
        Regex::new(r"--test[ =]([a-z_]+)(?: ([a-z_]+)::)?|\btests ([a-z_]+) ([a-z_]+)::").expect("a pattern");
    let mut found = 0;
    let folders = [".ci", "tests", "examples", "bench"].map(|folder| files(&root().join(folder)));
    for file in folders
        .concat()
        .into_iter()
        .chain(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)))
    {
        // A file that is not text names no test.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for names in named.captures_iter(&text) {
            let group =
                |one: usize, other: usize| names.get(one).or(names.get(other)).map(|name| name.as_str());
            let target = group(1, 3).expect("a target");
            assert!(targets.contains(target), "{}: there is no test target {target}", file.display());
            if let Some(module) = group(2, 4) {
                assert!(modules(target).contains(module), "{}: {target} has no {module}", file.display());
            }
            found += 1;
        }
    }
    assert!(found > 5, "only {found} were found");
}

#[test]
fn every_path_that_contributing_names_is_there() {
    let contributing = text("CONTRIBUTING.md");
    let paths = all(r"`((?:src|tests|bench|\.ci|completions|man)/[^` ]*)[` ]", &contributing);
    assert!(paths.len() > 30, "{paths:?}");
    let missing: Vec<_> = paths.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
