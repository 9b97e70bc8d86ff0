//! librdkafka's properties: their names, those that only kq sets, and the nearest right name.
//! A [`Catalogue`] asks the library itself.

use std::fmt;
use std::io::{self, Write};

use anyhow::{anyhow, bail};

use super::jaas::{JAAS, login};
use super::pem;
use crate::terminal::table::{Gap, table};

/// name, client, values, alias of, whether Java has it: see the file's first line. The linked library
/// offers no list of its names that safe code could reach.
const TABLE: &str = include_str!("properties.tsv");

/// Properties that the promises of a command depend on, and what to use instead.
const RESERVED: &[(&str, &str)] = &[
    ("group.id", "use -g/--group of `kq consume` and `kq worker`, or KQ_GROUP"),
    ("group.protocol", "use --group-protocol of `kq consume` and `kq worker`"),
    ("enable.auto.commit", "kq commits what was written or finished, and only with a group"),
    ("enable.auto.offset.store", "kq commits what was written or finished, and only with a group"),
    ("enable.partition.eof", "use `kq consume --until end` (or -e)"),
    ("transactional.id", "kq writes no transactions"),
    ("delivery.report.only.error", "kq counts every delivery report; use --report to see them"),
    ("auto.offset.reset", "kq reports records that were deleted; use --from, and --reset for a group"),
    (
        "topic.blacklist",
        "patterns of topics are kq's own: use --exclude-topic of `kq consume` and `kq worker`",
    ),
    ("allow.auto.create.topics", "`kq topic create` creates topics, and `kq produce` without --no-create"),
];

/// Java's properties that kq has and librdkafka does not: a store is read by kq.
const OWN: &[&str] = &["ssl.truststore.location", "ssl.truststore.password"];

/// What only the client library knows about its properties.
pub(crate) trait Catalogue {
    /// Why it refuses a property, if it does.
    fn refusal(&self, name: &str, value: &str) -> Option<Refusal>;

    /// The default value of a property.
    fn default_of(&self, name: &str) -> Option<String>;

    /// The version of the library.
    fn version(&self) -> String;
}

/// Why the client library refuses a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has no property of this name.
    Unknown,
    /// It refuses the value, for this reason in its words.
    Value(String),
}

/// A librdkafka property under its canonical name, with a value that librdkafka accepts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub name: String,
    pub value: String,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if is_secret(&self.name) { "***" } else { &self.value };
        write!(f, "{}={value}", self.name)
    }
}

impl Property {
    /// Reads `name=value` of `-X` and `KQ_X`; a login as Java writes it is two properties.
    pub(crate) fn parse_given(
        text: &str,
        origin: &str,
        catalogue: &dyn Catalogue,
    ) -> anyhow::Result<Vec<Self>> {
        match text.split_once('=') {
            Some((name, value)) if name.trim() == JAAS => login(value)
                .map_err(|e| anyhow!("{origin} {JAAS}: {e}"))?
                .into_iter()
                .map(|(name, value)| Self::parse(&format!("{name}={value}"), origin, catalogue))
                .collect(),
            _ => Ok(vec![Self::parse(text, origin, catalogue)?]),
        }
    }

    /// Reads `name=value` and checks it with the catalogue. `origin` is where it was given
    /// (`-X`, `KQ_X`); an error shows a value only where it can't be a secret.
    pub(crate) fn parse(text: &str, origin: &str, catalogue: &dyn Catalogue) -> anyhow::Result<Self> {
        let property = text.split_once('=').map(|(name, value)| (name.trim(), value));
        let Some((mut name, value)) = property.filter(|(name, _)| leading_name(name) == *name) else {
            // What follows the name may be a password.
            bail!("{origin} `{}…`: write name=value (`-X list` prints the names)", leading_name(text.trim()));
        };
        // kcat's spelling of a topic's property, which librdkafka accepts too.
        if let Some(bare) = name.strip_prefix("topic.")
            && !is_listed(name)
            && is_listed(bare)
        {
            name = bare;
        }
        if let Some(instead) = reserved(name) {
            bail!("{origin} `{name}` is set by kq only: {instead}");
        }
        if OWN.contains(&name) {
            return Ok(Self { name: name.to_owned(), value: value.to_owned() });
        }
        let in_lines = is_pem(name).then(|| pem::in_lines(value));
        let value = in_lines.as_deref().unwrap_or(value);
        match catalogue.refusal(name, value) {
            None => Ok(Self { name: canonical(name).to_owned(), value: value.to_owned() }),
            Some(Refusal::Unknown) => Err(unknown(name, origin)),
            Some(Refusal::Value(_)) if is_secret(name) => {
                bail!("{origin} {name}: librdkafka refuses the value (not shown, it is a secret)")
            }
            Some(Refusal::Value(why)) => bail!("{origin} {name}={value}: {}", refused_value(name, &why)),
        }
    }
}

/// The part of a text that may be a property's name.
fn leading_name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    &text[..end.unwrap_or(text.len())]
}

/// What to use instead of a property that only kq sets.
pub(crate) fn reserved(name: &str) -> Option<&'static str> {
    RESERVED.iter().find(|(reserved, _)| *reserved == canonical(name)).map(|(_, instead)| *instead)
}

/// Whether there is a property of this name: librdkafka's, in kcat's spelling too, or one of kq's own.
pub(crate) fn is_known(name: &str) -> bool {
    OWN.contains(&name) || is_listed(name) || is_kcats(name)
}

/// Whether librdkafka has a property of this name, or kcat, and Java's clients have none.
pub(super) fn is_only_librdkafkas(name: &str) -> bool {
    row(name).is_some_and(|row| !row.is_javas) || is_kcats(name)
}

/// Whether it is kcat's spelling of a topic's property.
fn is_kcats(name: &str) -> bool {
    name.strip_prefix("topic.").is_some_and(is_listed)
}

fn refused_value(name: &str, why: &str) -> String {
    // The value may be right, but not supported by this build: "… not available at build time".
    let of_build = why.contains(" build");
    match row(name).map(|row| row.values) {
        Some(values) if !of_build && values.contains(['|', '.']) => {
            format!("{name} takes {}", values.replace('|', ", "))
        }
        _ => why.to_owned(),
    }
}

fn unknown(name: &str, origin: &str) -> anyhow::Error {
    match nearest(name) {
        Some(near) => anyhow!("{origin} `{name}`: librdkafka has no such property; did you mean `{near}`?"),
        None => {
            anyhow!("{origin} `{name}`: librdkafka has no such property (`kq -X list` prints those it has)")
        }
    }
}

/// The listed name that is most like `name`, if one is like it.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace(['_', '-'], ".");
    let likeness = |row: &Row| strsim::damerau_levenshtein(&name, row.name);
    let near = rows().min_by_key(likeness)?;
    (likeness(&near) <= name.len().div_ceil(3)).then_some(near.name)
}

/// librdkafka's own name of a property, for which others are aliases: two settings
/// of one property need the same name, so that the later one wins.
pub(crate) fn canonical(name: &str) -> &str {
    row(name).and_then(|row| row.alias_of).unwrap_or(name)
}

/// The name that users know for a property, where that is not the canonical one.
pub(crate) fn familiar(name: &str) -> &str {
    match name {
        "metadata.broker.list" => "bootstrap.servers",
        "request.required.acks" => "acks",
        "queue.buffering.max.ms" => "linger.ms",
        name => name,
    }
}

/// Whether a property's value is PEM text.
pub(super) fn is_pem(name: &str) -> bool {
    matches!(name, "ssl.ca.pem" | "ssl.certificate.pem" | "ssl.key.pem")
}

/// Whether a property's value must never be shown.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "key.pem", "assertion", "oauthbearer.config", "jaas"]
        .iter()
        .any(|part| name.contains(part))
}

/// Prints every property of the linked librdkafka with its default and the values it takes.
pub(crate) fn write_list(catalogue: &dyn Catalogue, out: &mut dyn Write) -> io::Result<()> {
    let row = |row: Row| {
        let default = catalogue.default_of(row.name).unwrap_or_default();
        let values = row.alias_of.map_or_else(|| row.values.to_owned(), |name| format!("same as {name}"));
        let default = if default.is_empty() { default } else { format!(" (default {default})") };
        format!("{}\t{}\t{values}{default}", row.name, row.client)
    };
    let table = table(Gap::Narrow, "PROPERTY\tCLIENT\tVALUES", rows().map(row)).map_err(io::Error::other)?;
    out.write_all(&table)?;
    let version = catalogue.version();
    writeln!(
        out,
        "\nWhat each does: https://github.com/confluentinc/librdkafka/blob/v{version}/CONFIGURATION.md"
    )?;
    out.flush()
}

/// One property of the table.
struct Row {
    name: &'static str,
    client: &'static str,
    values: &'static str,
    alias_of: Option<&'static str>,
    is_javas: bool,
}

fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t');
        Some(Row {
            name: fields.next()?,
            client: fields.next()?,
            values: fields.next()?,
            alias_of: fields.next().filter(|name| !name.is_empty()),
            is_javas: fields.next() == Some("java"),
        })
    })
}

fn row(name: &str) -> Option<Row> {
    rows().find(|row| row.name == name)
}

/// The values that a property takes, as the list has them.
#[cfg(test)]
pub(super) fn values(name: &str) -> Option<&'static str> {
    row(name).map(|row| row.values)
}

/// The names in the list.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    rows().map(|row| row.name)
}

fn is_listed(name: &str) -> bool {
    row(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Table;

    fn error(text: &str) -> String {
        Property::parse(text, "-X", &Table).unwrap_err().to_string()
    }

    #[test]
    fn a_typo_draws_the_nearest_right_name() {
        assert!(error("fetch.wait.max.sm=1").contains("`fetch.wait.max.ms`"));
        assert!(error("Linger_MS=1").contains("`linger.ms`"));
        assert!(error("zzz=1").contains("-X list"));
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_right() {
        let e = error("compression.codec=lzma");
        assert!(e.contains("compression.codec=lzma") && e.contains("snappy"), "{e}");
        assert!(error("fetch.wait.max.ms=soon").contains("fetch.wait.max.ms=soon"));
        assert!(error("acks=most").contains("acks takes all, -1..1000"));
    }

    #[test]
    fn reserved_properties_name_the_flag_to_use() {
        assert!(error("group.id=g").contains("--group"));
        assert!(error("enable.partition.eof=true").contains("--until end"));
        for (name, _) in RESERVED {
            assert!(error(&format!("{name}=true")).contains("is set by kq only"), "{name}");
        }
    }

    #[test]
    fn an_error_never_shows_a_value_of_an_unknown_name() {
        assert!(!error("sasl.pasword=hunter2").contains("hunter2"));
        for text in [
            "sasl.password hunter2",
            "sasl.password:hunter2",
            "sasl.password:hunter2=",
            "sasl.password: hunter2=x",
        ] {
            let error = error(text);
            assert!(
                error.contains("`sasl.password…`: write name=value") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_login_as_java_writes_it_is_user_and_password() {
        let text = r#"sasl.jaas.config=org.x.PlainLoginModule required username="u" password="hunter2";"#;
        let given = Property::parse_given(text, "-X", &Table).unwrap();
        let given: Vec<_> = given.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        assert_eq!(given, [("sasl.username", "u"), ("sasl.password", "hunter2")]);
        for text in [text.replace("username", "user"), text.replace("PlainLogin", "OtherLogin")] {
            let error = Property::parse_given(&text, "KQ_X", &Table).unwrap_err().to_string();
            assert!(error.starts_with("KQ_X sasl.jaas.config: ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn aliases_meet_under_one_name() {
        assert_eq!(Property::parse("linger.ms=1", "-X", &Table).unwrap().name, "queue.buffering.max.ms");
        assert_eq!(canonical("bootstrap.servers"), canonical("metadata.broker.list"));
        for row in rows() {
            assert_eq!(canonical(familiar(row.name)), canonical(row.name));
            assert!(row.alias_of.is_none_or(is_listed), "{}", row.name);
        }
    }

    #[test]
    fn kcat_spelling_of_topic_properties_is_understood() {
        let p = Property::parse("topic.request.required.acks=1", "-X", &Table).unwrap();
        assert_eq!(p.name, "request.required.acks");
    }

    #[test]
    fn debug_output_masks_secrets() {
        let p = Property::parse("sasl.password=hunter2", "-X", &Table).unwrap();
        assert_eq!(format!("{p:?}"), "sasl.password=***");
    }
}
