//! The environment as kq reads it: `KQ_*` variables, where an empty one counts as unset.

use anyhow::bail;

use super::properties::{Catalogue, Property};
use crate::named::Named as _;
use crate::stderr::LogFormat;

/// How kq looks a variable up: injected, so that precedence is tested without a
/// process-wide environment.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// This process's own environment. Bytes that are not UTF-8 become U+FFFD, so that the
/// value is an error where it is used, and does not count as unset.
pub(crate) fn process(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Where a setting came from; later ones outrank earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A variable that is not kq's own, such as `SSL_CERT_FILE`.
    System,
    /// `-F`, or the file of `KQ_CONFIG_FILE`.
    File,
    /// A `KQ_*` variable of the connection.
    Env,
    /// `KQ_X`.
    EnvX,
    /// A flag.
    Flag,
    /// `-X`.
    X,
}

/// A setting as the user gave it.
#[derive(Clone)]
pub(super) struct Given {
    pub value: String,
    pub source: Source,
    /// The flag or the variable, for error messages.
    pub name: &'static str,
}

/// Reads one setting: the flag if it was given, else the variable if it is not empty.
/// A flag that was given as empty is an error: most likely a variable that was not set.
pub(super) fn pick(
    env: Lookup<'_>,
    flag: Option<&str>,
    flag_name: &'static str,
    variable: &'static str,
) -> anyhow::Result<Option<Given>> {
    if let Some(value) = flag {
        if value.is_empty() {
            bail!("{flag_name} is empty (give a value, or leave the flag out)");
        }
        return Ok(Some(Given { value: value.to_owned(), source: Source::Flag, name: flag_name }));
    }
    Ok(env(variable).filter(|value| !value.is_empty()).map(|value| Given {
        value,
        source: Source::Env,
        name: variable,
    }))
}

/// A variable that turns something on or off: `1 true yes on` or `0 false no off`, in any letter case.
pub(super) fn switch(env: Lookup<'_>, variable: &'static str) -> anyhow::Result<Option<bool>> {
    let Some(value) = env(variable).filter(|value| !value.is_empty()) else { return Ok(None) };
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(Some(true)),
        "0" | "false" | "no" | "off" => Ok(Some(false)),
        _ => bail!("{variable}={value} is neither yes nor no (write 1 or 0, true or false)"),
    }
}

/// `--log-format`, else `KQ_LOG_FORMAT`.
pub(crate) fn log_format(flag: Option<LogFormat>, env: Lookup<'_>) -> anyhow::Result<LogFormat> {
    let Some(value) = env("KQ_LOG_FORMAT").filter(|value| !value.is_empty()) else {
        return Ok(flag.unwrap_or_default());
    };
    match flag.or_else(|| LogFormat::named(&value)) {
        Some(format) => Ok(format),
        None => bail!("KQ_LOG_FORMAT={value} is no form of a log (write text or json)"),
    }
}

/// Splits `KQ_X` into its properties: only at a comma that `name=` follows, since
/// values may hold commas. `\,` is a comma that never splits.
pub(super) fn split_x(text: &str, catalogue: &dyn Catalogue) -> anyhow::Result<Vec<Property>> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let part = parts.last_mut().expect("there is one from the start");
        match c {
            '\\' if rest.starts_with(',') => {
                part.push(',');
                rest = &rest[1..];
            }
            ',' if rest.is_empty() || starts_property(rest) => parts.push(String::new()),
            _ => part.push(c),
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    let properties: Vec<_> =
        parts.map(|part| Property::parse_given(part, "KQ_X", catalogue)).collect::<anyhow::Result<_>>()?;
    Ok(properties.into_iter().flatten().collect())
}

/// Whether text begins with a property's name and `=`.
fn starts_property(text: &str) -> bool {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')));
    end.is_some_and(|end| end > 0 && text[end..].starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Table;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        split_x(text, &Table).unwrap().into_iter().map(|p| (p.name, p.value)).collect()
    }

    #[test]
    fn a_comma_inside_a_value_does_not_split() {
        assert_eq!(
            pairs("debug=broker,topic,client.id=me"),
            [("debug".into(), "broker,topic".into()), ("client.id".into(), "me".into())]
        );
    }

    #[test]
    fn an_escaped_comma_never_splits() {
        assert_eq!(pairs(r"client.id=a\,linger.ms=5"), [("client.id".into(), "a,linger.ms=5".into())]);
    }

    #[test]
    fn stray_commas_are_nothing() {
        assert_eq!(pairs("client.id=a,"), [("client.id".into(), "a".into())]);
        assert!(pairs("").is_empty());
    }

    #[test]
    fn a_switch_that_is_neither_yes_nor_no_is_named() {
        let env = |name: &str| (name == "KQ_TLS").then(|| "perhaps".to_owned());
        assert!(switch(&env, "KQ_TLS").unwrap_err().to_string().contains("KQ_TLS=perhaps"));
    }

    #[test]
    fn the_form_of_the_log_is_that_of_the_flag_else_that_of_the_variable() {
        let with = |value: &str, flag| log_format(flag, &|_| Some(value.to_owned()));
        assert_eq!(with("json", None).unwrap(), LogFormat::Json);
        assert_eq!(with("json", Some(LogFormat::Text)).unwrap(), LogFormat::Text);
        assert_eq!(with("", None).unwrap(), LogFormat::Text);
        assert_eq!(with("xml", Some(LogFormat::Json)).unwrap(), LogFormat::Json);
        let error = with("xml", None).unwrap_err().to_string();
        assert!(LogFormat::ALL.iter().all(|format| error.contains(format.name())), "{error}");
    }

    proptest! {
        #[test]
        fn what_was_joined_with_escaped_commas_splits_back(
            values in proptest::collection::vec("[a-z,=\\\\.]{0,12}[a-z,=]", 0..4),
        ) {
            let names = ["client.id", "client.rack", "group.instance.id", "sasl.username"];
            let properties: Vec<(String, String)> =
                names.iter().zip(&values).map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
            let joined: Vec<String> =
                properties.iter().map(|(n, v)| format!("{n}={}", v.replace(',', "\\,"))).collect();
            prop_assert_eq!(pairs(&joined.join(",")), properties);
        }
    }
}
