//! A configuration file: from lines of librdkafka, kcat or Java to librdkafka's properties. Pure: no clock, no IO.

use anyhow::{anyhow, bail};

use super::jaas::{JAAS, login};
use super::lines::{Dialect, Entry, entries};
use super::pem;
use super::properties::{self, Catalogue, Property};

/// What a file asks for.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub properties: Vec<Property>,
    /// The names that are not used, with the reason.
    pub unused: Vec<String>,
    /// How it was read, where another reading was possible.
    pub reading: Option<String>,
}

/// Java's names of properties that have another name in librdkafka, and the same values.
const TWINS: &[(&str, &str)] = &[
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.request.size", "message.max.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
];

/// Reads a file's text; `path` is for errors, and for whose file it is.
///
/// Lines are `name=value` or `name: value`, `#` and `!` begin comments. In a file of Java a backslash at
/// the end of a line joins the next to it, and `\\ \= \: \n \t \uXXXX` are escapes (any other backslash
/// is kept where librdkafka has the name too, and removed where only Java has it). In a file of librdkafka
/// or kcat ([`Dialect::of`]) a backslash is itself, except at the end of a line of `sasl.jaas.config`. An empty value counts as not given.
///
/// A name that librdkafka does not have, and that has no twin, is not used, and is reported. It is an
/// error where it begins with `ssl.`, `sasl.` or `security.`: a connection must not be less safe than
/// the file says.
pub(crate) fn parse(text: &str, path: &str, catalogue: &dyn Catalogue) -> anyhow::Result<File> {
    refuse_other_kinds(text, path)?;
    let dialect = Dialect::of(text, path);
    let entries = entries(text, dialect);
    let reading = reading(&entries, dialect, text);
    match used(&entries, path, catalogue) {
        Ok(file) => Ok(File { reading, ..file }),
        // The other reading may be the right one.
        Err(e) => Err(match reading {
            Some(reading) => anyhow!("{e:#} ({path}: {reading})"),
            None => e,
        }),
    }
}

/// What the entries of a file ask for.
fn used(entries: &[Entry], path: &str, catalogue: &dyn Catalogue) -> anyhow::Result<File> {
    let mut file = File::default();
    for entry in entries {
        let origin = format!("{path}:{}", entry.line);
        if entry.name == ASSIGNOR && !entry.value.is_empty() {
            // Java's values are names of classes; kq has a flag for it.
            file.unused.push(format!("{ASSIGNOR} (use --assignor)"));
            continue;
        }
        for (name, value) in mapped(entry, entries, &origin)? {
            if let Some(instead) = properties::reserved(name) {
                file.unused.push(format!("{name} ({instead})"));
            } else if properties::is_known(name) {
                file.properties.push(Property::parse(&format!("{name}={value}"), &origin, catalogue)?);
            } else if ["ssl.", "sasl.", "security."]
                .iter()
                .any(|part| name.to_ascii_lowercase().starts_with(part))
            {
                bail!(
                    "{origin} {name}: librdkafka has no such property, and kq knows no equivalent; \
                     remove it if the connection is safe without it"
                );
            } else {
                file.unused.push(name.to_owned());
            }
        }
    }
    Ok(file)
}

const ASSIGNOR: &str = "partition.assignment.strategy";

/// What an entry is in librdkafka's properties: none, one or two; `entries` are those of the whole file.
fn mapped<'e>(entry: &'e Entry, entries: &[Entry], origin: &str) -> anyhow::Result<Vec<(&'e str, String)>> {
    let Entry { name, value: text, .. } = entry;
    let value = |name: &str| entries.iter().rfind(|e| e.name == name).map(|e| e.value.as_str());
    let is = |name: &str, kind: &str| value(name).is_some_and(|given| given.eq_ignore_ascii_case(kind));
    Ok(match name.as_str() {
        "ssl.endpoint.identification.algorithm" if text.is_empty() => vec![(name, "none".into())],
        _ if text.is_empty() => Vec::new(),
        "ssl.truststore.type" | "ssl.keystore.type" => Vec::new(),
        "ssl.truststore.location" if is("ssl.truststore.type", "PEM") => {
            vec![("ssl.ca.location", text.clone())]
        }
        "ssl.keystore.location" if is("ssl.keystore.type", "PEM") => {
            vec![("ssl.certificate.location", text.clone()), ("ssl.key.location", text.clone())]
        }
        JAAS => login(text).map_err(|e| anyhow!("{origin} {name}: {e}"))?,
        "buffer.memory" => match text.parse::<u64>() {
            Ok(bytes) => vec![("queue.buffering.max.kbytes", (bytes / 1024).max(1).to_string())],
            Err(_) => bail!("{origin} {name}={text}: give a number of bytes"),
        },
        _ => match TWINS.iter().find(|(java, _)| java == name) {
            Some((_, twin)) => vec![(twin, text.clone())],
            None => vec![(name, text.clone())],
        },
    })
}

/// What an entry of a file of librdkafka with names of Java says about its backslashes.
fn reading(entries: &[Entry], dialect: Dialect, text: &str) -> Option<String> {
    let is_javas = |name: &str| {
        name == JAAS || name.starts_with("ssl.truststore.") || TWINS.iter().any(|(java, _)| *java == name)
    };
    let java = entries.iter().find(|entry| is_javas(&entry.name))?;
    let other = entries.iter().find(|entry| properties::is_only_librdkafkas(&entry.name))?;
    (dialect == Dialect::Librdkafka && text.contains('\\')).then(|| {
        format!(
            "it has names of librdkafka ({}) and of Java ({}): every backslash in it is taken as a character",
            other.name, java.name
        )
    })
}

/// Refuses a file of another kind that belongs to a connection too; read as lines it would be names that
/// are not used.
fn refuse_other_kinds(text: &str, path: &str) -> anyhow::Result<()> {
    let code = |line: &&str| !line.is_empty() && !line.starts_with(['#', '!', '/', '*']);
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(code);
    let first = lines.next().unwrap_or_default();
    let name = first.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(first.len());
    if pem::begins_with(first) {
        bail!(
            "{path} is a PEM file and not one of properties: give it with --tls-ca, or with --tls-cert and --tls-key"
        );
    }
    let is_name = name > 0 && !properties::is_known(&first[..name]);
    let rest = first[name..].trim_start();
    let opens = |line: &str| line.starts_with('{');
    if is_name && (opens(rest) || rest.is_empty() && lines.next().is_some_and(opens)) {
        bail!(
            "{path} is a JAAS file (java.security.auth.login.config) and not one of properties: \
             give its login as the property sasl.jaas.config, or with --sasl-mechanism, --sasl-username \
             and --sasl-password-file"
        );
    }
    // The head of a section (`[default]`), as Python's configparser demands, says nothing.
    let is_section = first.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|inside| {
        inside.starts_with(|c: char| c.is_ascii_alphabetic())
            && inside.bytes().all(|b| b.is_ascii_alphanumeric() || b"._- ".contains(&b))
    });
    if first.starts_with(['{', '[', '<']) && !is_section {
        bail!("{path} is not a file of properties: a line is name=value");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::fake::Table;

    fn given(text: &str) -> Vec<(String, String)> {
        let file = parse(text, "f", &Table).unwrap();
        assert!(file.unused.is_empty(), "{:?}", file.unused);
        file.properties.into_iter().map(|p| (p.name, p.value)).collect()
    }

    fn error(text: &str) -> String {
        format!("{:#}", parse(text, "f", &Table).unwrap_err())
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_file_of_librdkafka_or_kcat_is_taken_as_it_is() {
        let text = "bootstrap.servers=a:1,b:2\nsecurity.protocol=SASL_SSL\nsasl.mechanisms=PLAIN\nsasl.password=p=q\ntopic.acks=1\n";
        let expected = [
            ("metadata.broker.list", "a:1,b:2"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.password", "p=q"),
            ("request.required.acks", "1"),
        ];
        let given: Vec<_> = given(text);
        for (name, value) in expected {
            let name = properties::canonical(name);
            assert!(given.contains(&(name.to_owned(), value.to_owned())), "{name} in {given:?}");
        }
    }

    #[test]
    fn a_file_of_java_is_mapped_and_the_rest_is_reported() {
        let text = "bootstrap.servers=a:1\nkey.serializer=org.example.S\nfetch.max.wait.ms=100\nbuffer.memory=33554432\n\
            group.id=g\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n  \
            username=\"u\" \\\n  password=\"p\\\\\"w; x\";\nssl.truststore.type=PEM\nssl.truststore.location=/ca.pem\n\
            ssl.keystore.type=PEM\nssl.keystore.location=/me.pem\nssl.endpoint.identification.algorithm=\n\
            partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor\n";
        let file = parse(text, "f", &Table).unwrap();
        let given: Vec<(String, String)> = file.properties.into_iter().map(|p| (p.name, p.value)).collect();
        for pair in owned(&[
            ("fetch.wait.max.ms", "100"),
            ("queue.buffering.max.kbytes", "32768"),
            ("sasl.username", "u"),
            ("sasl.password", "p\"w; x"),
            ("ssl.ca.location", "/ca.pem"),
            ("ssl.certificate.location", "/me.pem"),
            ("ssl.key.location", "/me.pem"),
            ("ssl.endpoint.identification.algorithm", "none"),
        ]) {
            assert!(given.contains(&pair), "{pair:?} in {given:?}");
        }
        assert_eq!(file.unused.len(), 3, "{:?}", file.unused);
        assert!(file.unused.contains(&"key.serializer".to_owned()));
        assert!(file.unused.iter().any(|u| u.starts_with("group.id (use -g/--group")), "{:?}", file.unused);
    }

    #[test]
    fn what_concerns_safety_and_can_not_be_mapped_is_an_error() {
        for (text, part) in [
            ("ssl.enabled.protocols=TLSv1.3", "f:1 ssl.enabled.protocols"),
            ("security.providers=x", "f:1 security.providers"),
            ("SSL.ca.location=/ca.pem", "f:1 SSL.ca.location"),
            ("Security.Protocol=SSL", "f:1 Security.Protocol"),
            ("sasl.login.class=x", "f:1 sasl.login.class"),
            ("sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required;", "Krb5LoginModule"),
            ("sasl.jaas.config=a.PlainLoginModule required username=\"u\";", "without password"),
            ("security.protocol=TLS", "f:1 security.protocol=TLS"),
            ("linger.ms=soon", "f:1 linger.ms=soon"),
        ] {
            let error = error(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(
            !error("sasl.jaas.config=a.PlainLoginModule required password=\"hunter2\";").contains("hunter2")
        );
    }

    #[test]
    fn a_java_login_may_have_its_quotes_escaped_or_none() {
        let login = owned(&[("sasl.username", "u"), ("sasl.password", "p")]);
        for options in
            [r#"username=\"u\" password=\"p\""#, "username = u password = p", "username='u' password='p'"]
        {
            let value = format!("a.PlainLoginModule required {options};");
            assert_eq!(given(&format!("sasl.jaas.config={value}")), login);
            assert_eq!(given(&format!("sasl.jaas.config=\"{value}\"")), login);
        }
    }

    #[test]
    fn pem_text_may_stand_on_one_line_as_java_takes_it() {
        const CHAIN: &str = include_str!("../../tests/fixtures/tls/client.pem");
        const KEY: &str = include_str!("../../tests/fixtures/tls/client.key");
        for (java, twin, pem) in [
            ("ssl.truststore.certificates", "ssl.ca.pem", CHAIN),
            ("ssl.keystore.certificate.chain", "ssl.certificate.pem", CHAIN),
            ("ssl.keystore.key", "ssl.key.pem", KEY),
        ] {
            for name in [java, twin] {
                for end in [" ", "\\\n", " \\\r\n  ", "\\n", "\n", "\r\n"] {
                    let text = format!("{name}={}\nclient.id=me\n", pem.replace('\n', end));
                    assert_eq!(given(&text), owned(&[(twin, pem), ("client.id", "me")]), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_backslash_is_what_it_is_to_whom_the_file_belongs() {
        let password =
            |text: &str| given(text).into_iter().find(|(name, _)| name == "sasl.password").unwrap().1;
        assert_eq!(password("sasl.username=u\nsasl.password=ab\\tcd\n"), "ab\\tcd");
        let jaas =
            "sasl.jaas.config=a.PlainLoginModule required \\\n username=\"u\" password=\"ab\\u00e9\";\n";
        assert_eq!(password(jaas), "abé");
        assert_eq!(given("ssl.key.password=ab\\tcd\n"), owned(&[("ssl.key.password", "ab\tcd")]));
        let kcats = parse("ssl.key.password=ab\\tcd\n", "/etc/kcat.conf", &Table).unwrap();
        assert_eq!(kcats.properties[0].value, "ab\\tcd");
        assert_eq!(kcats.reading, None);
        let both = parse("debug=all\nfetch.max.wait.ms=1\nclient.id=a\\tb\n", "f", &Table).unwrap();
        assert!(both.reading.unwrap().contains("librdkafka (debug) and of Java (fetch.max.wait.ms)"));
        let wrong = error("debug=all\nfetch.max.wait.ms=1\nlinger.ms=\\u0031\n");
        assert!(wrong.starts_with("f:3 linger.ms=\\u0031"), "{wrong}");
        assert!(wrong.contains("(f: it has names of librdkafka (debug) and of Java"), "{wrong}");
    }

    #[test]
    fn a_login_of_java_over_several_lines_may_stand_beside_a_name_of_librdkafka() {
        let text = "ssl.ca.location=/ca.pem\nsasl.jaas.config=a.PlainLoginModule required \\\n  username=\"u\" \\\n  \
            password=\"p\";\n";
        let expected = [("ssl.ca.location", "/ca.pem"), ("sasl.username", "u"), ("sasl.password", "p")];
        assert_eq!(given(text), owned(&expected));
    }

    #[test]
    fn a_file_of_another_kind_is_refused_with_what_to_use_instead() {
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"hunter2\";";
        for (text, part) in [
            (format!("KafkaClient {{\n  {module}\n}};\n"), "f is a JAAS file"),
            (
                format!("// login\n\nKafkaClient\n{{ {module} }};"),
                "sasl.jaas.config, or with --sasl-mechanism",
            ),
            (format!("Client{{{module}}};"), "f is a JAAS file"),
            ("-----BEGIN CERTIFICATE-----\nMII\n".to_owned(), "f is a PEM file"),
            ("{\"bootstrap.servers\": \"a\"}".to_owned(), "a line is name=value"),
            ("<xml/>".to_owned(), "a line is name=value"),
        ] {
            let error = error(&text);
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(given("client.id {x}"), owned(&[("client.id", "{x}")]));
    }

    #[test]
    fn the_head_of_a_section_is_passed_over() {
        let text = "[default]\nclient.id=me\n\n[my-consumer]\nacks=1\n";
        assert_eq!(given(text), owned(&[("client.id", "me"), ("request.required.acks", "1")]));
        for other in ["[{\"client.id\": \"me\"}]", "[1]", "[]", "[a"] {
            assert!(error(other).contains("a line is name=value"), "{other}");
        }
    }

    #[test]
    fn an_empty_value_is_not_given() {
        assert_eq!(given("ssl.key.password=\nclient.id=me\n"), owned(&[("client.id", "me")]));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), likely in "((ssl|sasl|acks|a)[.=: \\\\\\nu0-9\"#!x]{0,12}){0,6}") {
            for text in [text, likely] {
                let _ = parse(&text, "f", &Table);
            }
        }
    }
}
