//! Topic names: which one is meant, and whether it is legal. No network.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{anyhow, bail};

/// The longest topic name that Kafka accepts, in bytes.
const MAX_LEN: usize = 249;

/// The one topic that a command works on: its positional, else `-t`, else `KQ_TOPIC`.
///
/// A name that Kafka would refuse is refused here, and so is a positional beside
/// `-t`: the command takes one topic.
pub(crate) fn one(positional: Option<&str>, flag: Option<&str>, env: Option<&str>) -> anyhow::Result<String> {
    let name = match (positional, flag) {
        (Some(name), Some(flag)) => {
            bail!("two topics: the argument `{name}` and -t `{flag}` (give one of them)")
        }
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => env.ok_or_else(missing)?,
    };
    check(name)?;
    Ok(name.to_owned())
}

/// The topics that a command works on: all its positionals and every `-t`, else `KQ_TOPIC`.
pub(crate) fn several(
    positional: &[String],
    flags: &[String],
    env: Option<&str>,
) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in positional.iter().chain(flags) {
        check(name)?;
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if names.is_empty() {
        names.push(one(None, None, env)?);
    }
    Ok(names)
}

/// The usage error of a command that was given no topic.
pub(crate) fn missing() -> anyhow::Error {
    anyhow!("no topic: name it as the argument or with -t TOPIC, or set KQ_TOPIC")
}

/// Refuses a name that no Kafka cluster accepts.
pub(crate) fn check(name: &str) -> anyhow::Result<()> {
    if name.is_empty() {
        bail!("the topic's name is empty: name it as the argument or with -t TOPIC, or set KQ_TOPIC");
    }
    let Some(flaw) = flaw(name) else { return Ok(()) };
    match file_hint(name) {
        Some(hint) => bail!("`{name}` can't be a topic's name; {hint}"),
        None => bail!("{flaw}"),
    }
}

/// Why Kafka refuses a topic's name (its `Topic.validate`), if it does. A name has up to
/// 249 of `a-z A-Z 0-9 . _ -`, and is neither `.` nor `..`.
pub(crate) fn flaw(name: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Some("a topic's name can't be empty".into());
    }
    if name == "." || name == ".." {
        return Some(format!("`{name}` can't be a topic's name"));
    }
    if name.len() > MAX_LEN {
        return Some(format!(
            "a topic's name of {} bytes is too long: Kafka allows up to {MAX_LEN}",
            name.len()
        ));
    }
    let c = name.chars().find(|&c| !legal(c))?;
    Some(format!(
        "`{name}` can't be a topic's name: it holds {c:?} (letters, digits, `.`, `_` and `-` are legal)"
    ))
}

/// The hint where a TOPIC is also the name of a file: most likely the topic, or what stands before a
/// command, was forgotten.
pub(crate) fn file_hint(name: &str) -> Option<String> {
    let metadata = Path::new(name).metadata().ok().filter(Metadata::is_file)?;
    Some(if metadata.permissions().mode() & 0o111 == 0 {
        format!("it is a file here: name the topic first, as in `kq produce TOPIC {name}`")
    } else {
        format!("it is a program here: a command stands after `--`, as in `kq worker TOPIC -- {name}`")
    })
}

/// The message of every command about a topic that the cluster does not have.
pub(crate) fn absent(name: &str) -> String {
    format!(
        "topic {name} does not exist; `kq topic create {name}` creates it, `kq topic list` shows those that exist"
    )
}

/// The end of an error about a topic that does not exist, where a file of that name does.
pub(crate) fn or_a_file(name: &str) -> String {
    file_hint(name).map_or_else(String::new, |hint| format!("; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_argument_or_the_flag_ranks_above_the_environment() {
        assert_eq!(one(Some("a"), None, Some("e")).unwrap(), "a");
        assert_eq!(one(None, Some("f"), Some("e")).unwrap(), "f");
        assert_eq!(one(None, None, Some("e")).unwrap(), "e");
        assert!(one(Some("a"), Some("f"), None).unwrap_err().to_string().contains("two topics"));
    }

    #[test]
    fn no_topic_names_both_ways_to_give_one() {
        let e = one(None, None, None).unwrap_err().to_string();
        assert!(e.contains("argument") && e.contains("KQ_TOPIC") && e.contains("-t"), "{e}");
    }

    #[test]
    fn several_topics_keep_their_order_and_lose_repeats() {
        let names = several(&["b".into(), "a".into()], &["b".into()], Some("e")).unwrap();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(several(&[], &[], Some("e")).unwrap(), ["e"]);
    }

    #[test]
    fn an_illegal_character_is_named() {
        let e = check("a topic").unwrap_err().to_string();
        assert!(e.contains("' '"), "{e}");
        assert!(check("..").is_err());
        assert!(check(&"x".repeat(250)).is_err());
        assert!(check(&"x".repeat(249)).is_ok());
    }

    #[test]
    fn a_name_that_is_a_file_or_a_program_draws_what_was_probably_meant() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().to_str().unwrap();
        let hint = || file_hint(name).unwrap();
        assert!(hint().contains(&format!("`kq produce TOPIC {name}`")), "{}", hint());
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(hint().contains(&format!("`kq worker TOPIC -- {name}`")), "{}", hint());
        assert!(check(name).unwrap_err().to_string().ends_with(&hint()));
        assert_eq!(file_hint("/"), None);
        assert_eq!(or_a_file("no such file"), "");
    }

    proptest! {
        #[test]
        fn legal_names_pass_and_others_do_not(name in "\\PC{0,12}") {
            let legal = !name.is_empty()
                && name != "." && name != ".."
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            prop_assert_eq!(check(&name).is_ok(), legal);
        }
    }
}
