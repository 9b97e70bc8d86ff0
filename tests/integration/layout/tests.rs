//! The rules of the layout on made-up sources: each finds what breaks it, and nothing else.

use super::check;
use super::source::Source;

/// The violations of made-up files, as `rule file:line`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<_> =
        files.iter().map(|(file, text)| Source::new(file, &format!("//! It owns this.\n{text}"))).collect();
    let violations = check(&sources);
    let mut found: Vec<_> = violations.iter().map(|v| format!("{} {}:{}", v.rule, v.file, v.line)).collect();
    found.sort();
    found
}

#[test]
fn a_circle_is_found_on_each_of_its_edges() {
    let three = [
        ("src/kafka/a.rs", "use super::b::{self, B};\n"),
        ("src/kafka/b.rs", "\nfn f() { crate::kafka::c::f() }\n"),
        ("src/kafka/c.rs", "use crate::{clock, kafka::a::{f as g, h}};\n"),
        ("src/kafka/d.rs", "use super::a;\n"),
        ("src/clock/mod.rs", ""),
        ("src/kafka/mod.rs", "mod a;\nmod b;"),
    ];
    assert_eq!(
        found(&three),
        ["circle src/kafka/a.rs:2", "circle src/kafka/b.rs:3", "circle src/kafka/c.rs:2"]
    );
}

#[test]
fn a_name_that_use_gives_a_module_leads_to_its_files() {
    let named = [
        ("src/kafka/a.rs", "use super::deep as d;\nfn f() { d::b::f() }\n"),
        ("src/kafka/deep/mod.rs", "pub mod b;\n"),
        ("src/kafka/deep/b.rs", "mod inner { use super::super::super::a::f; }\n"),
    ];
    assert_eq!(found(&named), ["circle src/kafka/a.rs:3", "circle src/kafka/deep/b.rs:2"]);
}

#[test]
fn a_child_that_goes_back_to_its_parent_is_no_circle() {
    let family = [
        ("src/kafka/mod.rs", "mod child;\nuse child::Child;\n"),
        ("src/kafka/child.rs", "use super::Parent;\nuse crate::kafka::Other;\n"),
    ];
    assert_eq!(found(&family), [""; 0]);
    let through = [
        ("src/kafka/mod.rs", "mod child;\nfn f() { child::f() }\n"),
        ("src/kafka/child.rs", "use super::other::f;\n"),
        ("src/kafka/other.rs", "use super::child::g;\n"),
    ];
    assert_eq!(found(&through), ["circle src/kafka/child.rs:2", "circle src/kafka/other.rs:2"]);
}

#[test]
fn a_use_of_what_is_above_or_beside_is_found() {
    let files = [
        ("src/lib.rs", "mod cli;\nmod kafka;\nfn f() { cli::f(); worker::f() }\n"),
        ("src/cli/mod.rs", "use crate::commands::f;\n"),
        ("src/commands/mod.rs", "use crate::cli;\n"),
        ("src/worker/mod.rs", "use crate::kafka;\nuse crate::consume::f;\n"),
        ("src/consume/mod.rs", "use crate::cli::f;\n"),
        ("src/kafka/mod.rs", "use crate::new::f;\n"),
        ("src/new.rs", ""),
    ];
    let orders: Vec<_> = found(&files).into_iter().filter(|line| line.starts_with("layers")).collect();
    assert_eq!(
        orders,
        [
            "layers src/cli/mod.rs:2",
            "layers src/consume/mod.rs:2",
            "layers src/kafka/mod.rs:2",
            "layers src/worker/mod.rs:3"
        ]
    );
}

#[test]
fn each_outside_crate_is_found_outside_its_place() {
    let text = "use clap::Args;\n#[derive(rdkafka::X)]\nfn f() { unsafe { f() } }\n";
    let at = |file: &'static str| found(&[(file, text)]);
    assert_eq!(
        at("src/worker/a.rs"),
        ["clap src/worker/a.rs:2", "rdkafka src/worker/a.rs:3", "unsafe src/worker/a.rs:4"]
    );
    assert_eq!(at("src/config/flags.rs"), ["rdkafka src/config/flags.rs:3", "unsafe src/config/flags.rs:4"]);
    assert_eq!(at("src/kafka/ffi/a.rs"), ["clap src/kafka/ffi/a.rs:2"]);
    assert_eq!(at("src/descriptors.rs"), ["clap src/descriptors.rs:2", "rdkafka src/descriptors.rs:3"]);
}

#[test]
fn a_child_that_is_not_entered_as_kqs_own_is_found() {
    let text = "use std::process::{Child, Command};\nuse nix::spawn::posix_spawn;\nuse clap::Command;\n";
    let rule = "children src/commands/a.rs";
    assert_eq!(found(&[("src/commands/a.rs", text)]), [2, 3].map(|line| format!("{rule}:{line}")));
    let entered = format!("{text}use crate::process::children;\n");
    assert_eq!(found(&[("src/commands/a.rs", &entered)]), [""; 0]);
}

#[test]
fn a_clock_or_io_is_found_in_a_pure_file_alone() {
    let text = "use std::{fs::read, env};\nfn f() { Instant::now(); }\nfn g() { println!(); stdin(); }\n";
    let pure = format!("//! Pure: no clock, no IO.\n{text}");
    assert_eq!(found(&[("src/record/a.rs", text)]), [""; 0]);
    let rule = "pure src/record/a.rs";
    assert_eq!(found(&[("src/record/a.rs", &pure)]), [3, 3, 4, 5, 5].map(|line| format!("{rule}:{line}")));
}

#[test]
fn comments_strings_and_tests_count_for_nothing() {
    let text = r##"
        // use clap::Args;
        /* unsafe /* rdkafka */ unsafe */
        const A: &str = "unsafe \" unsafe";
        const B: &str = r#"unsafe " unsafe"#;
        const C: [char; 2] = ['"', '\''];
        fn f<'a>(a: &'a str) {}
        #[cfg(test)]
        use clap::{Parser, Args};
        #[cfg(test)]
        mod tests {
            fn f() { unsafe { f() } }
        }
        use clap::Args;
    "##;
    assert_eq!(found(&[("src/kafka/a.rs", text)]), ["clap src/kafka/a.rs:15"]);
}

#[test]
fn a_file_that_does_not_say_what_it_owns_is_found() {
    let violations = check(&[Source::new("src/clock/a.rs", "use std::fmt;\n//! It owns this.\n")]);
    assert_eq!(violations[0].rule, "first line");
}

#[test]
fn a_file_that_is_too_long_is_found_unless_all_of_it_is_tests() {
    let text = "\n".repeat(450);
    assert_eq!(found(&[("src/clock/a.rs", &text)]), ["length src/clock/a.rs:451"]);
    assert_eq!(found(&[("src/clock/a.rs", &text[1..])]), [""; 0]);
    assert_eq!(found(&[("src/clock/tests.rs", &text)]), [""; 0]);
}
