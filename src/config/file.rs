//! A configuration file: from lines of librdkafka, kcat or Java to librdkafka's properties. Pure: no clock, no IO.

use anyhow::{anyhow, bail};

use super::jaas::{JAAS, login};
use super::properties::{self, Catalogue, Property};

/// What a file asks for.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub properties: Vec<Property>,
    /// The names that are not used, with the reason.
    pub unused: Vec<String>,
}

/// A line `name=value` of the file, and its number.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    line: usize,
    name: String,
    value: String,
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

/// Reads a file's text; `path` is for errors.
///
/// It is read as Java reads it: `name=value` or `name: value`, `#` and `!` begin comments, a
/// backslash at the end of a line joins the next to it, and `\\ \= \: \n \t \uXXXX` are escapes
/// (any other backslash is kept, as in librdkafka, but removed from the value of a name that only
/// Java has). An empty value counts as not given.
///
/// A name that librdkafka does not have, and that has no twin, is not used, and is reported. It is an
/// error where it begins with `ssl.`, `sasl.` or `security.`: a connection must not be less safe than
/// the file says.
pub(crate) fn parse(text: &str, path: &str, catalogue: &dyn Catalogue) -> anyhow::Result<File> {
    let entries = entries(text);
    let mut file = File::default();
    for entry in &entries {
        let origin = format!("{path}:{}", entry.line);
        if entry.name == ASSIGNOR && !entry.value.is_empty() {
            // Java's values are names of classes; kq has a flag for it.
            file.unused.push(format!("{ASSIGNOR} (use --assignor)"));
            continue;
        }
        for (name, value) in mapped(entry, &entries, &origin)? {
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
        "ssl.truststore.location" => bail!(
            "{origin} {name}: only a PEM file can be read (ssl.truststore.type=PEM, or ssl.ca.location); \
             `keytool -exportcert -rfc` converts a JKS or PKCS12 store to one"
        ),
        "ssl.keystore.location" if is("ssl.keystore.type", "PEM") => {
            vec![("ssl.certificate.location", text.clone()), ("ssl.key.location", text.clone())]
        }
        "ssl.keystore.location" if is("ssl.keystore.type", "JKS") => {
            bail!("{origin} {name}: a JKS store can't be read; convert it to a PKCS12 or PEM file")
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

/// The entries of a `.properties` text, in their order.
fn entries(text: &str) -> Vec<Entry> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        while ends_open(&whole) {
            whole.pop();
            let Some((next, _)) = lines.next() else { break };
            whole.push_str(next.trim_start());
        }
        let mut escaped = false;
        let end = whole.find(|c: char| {
            let ends = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
            escaped = c == '\\' && !escaped;
            ends
        });
        let (name, rest) = whole.split_at(end.unwrap_or(whole.len()));
        let rest = rest.trim_start();
        let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
        let rest = rest.trim_start();
        let mut value = rest.trim_end().to_owned();
        if ends_open(&value) && value.len() < rest.len() {
            // The blank after it was escaped.
            value.push(' ');
        }
        let name = unescape(name, Unknown::Keep);
        let unknown = if properties::is_known(&name) { Unknown::Keep } else { Unknown::Remove };
        let value = unescape(&value, unknown);
        entries.push(Entry { line: number, name, value });
    }
    entries
}

/// Whether an odd number of backslashes ends the line: it continues in the next.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// The backslash of an escape that is not known: librdkafka keeps it, Java removes it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Keep,
    Remove,
}

/// Replaces the escapes of a name or a value.
fn unescape(text: &str, unknown: Unknown) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let plain = match chars.next() {
            Some(c @ ('\\' | '=' | ':' | '#' | '!' | ' ')) => Some(c),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => {
                let digits = after.get(1..5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let c = digits.and_then(|d| u32::from_str_radix(d, 16).ok()).and_then(char::from_u32);
                if c.is_some() {
                    chars = after[5..].chars();
                }
                c
            }
            _ => None,
        };
        if let Some(c) = plain {
            out.push(c);
            rest = chars.as_str();
        } else {
            if unknown == Unknown::Keep {
                out.push('\\');
            }
            rest = after;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::fake::Table;

    fn pairs(text: &str) -> Vec<(String, String)> {
        entries(text).into_iter().map(|e| (e.name, e.value)).collect()
    }

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
    fn every_way_to_write_a_property_is_read() {
        let text = "\u{feff}# comment\n! comment\n\na=1\r\n b = 2 \nc: 3\nd 4\ne=\nf\ng=x=y:z\nh=a\\\n   b\\\n c\nlast=1\\";
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d", "4"),
            ("e", ""),
            ("f", ""),
            ("g", "x=y:z"),
            ("h", "abc"),
            ("last", "1"),
        ];
        assert_eq!(pairs(text), owned(&expected));
        assert_eq!(pairs(r"client.id=\\ \n\u00e9\q\u12").pop().unwrap().1, "\\ \né\\q\\u12");
        assert_eq!(pairs(r#"a=\\ \"\u00e9\q"#).pop().unwrap().1, "\\ \"éq");
        assert_eq!(pairs(r"a\=b=c"), owned(&[("a=b", "c")]));
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
            ("a=1\nssl.truststore.location=/a.jks", "f:2 ssl.truststore.location: only a PEM file"),
            ("ssl.keystore.type=JKS\nssl.keystore.location=/a.jks", "f:2 ssl.keystore.location: a JKS"),
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

        #[test]
        fn what_is_escaped_as_java_does_comes_back(values in prop::collection::vec("[ -~é\t\n]{0,20}", 1..6)) {
            let escaped = |value: &str| {
                let mut out = String::new();
                for c in value.chars() {
                    match c {
                        '\n' => out.push_str("\\n"),
                        '\t' => out.push_str("\\t"),
                        ' ' | '\\' | '=' | ':' | '#' | '!' => { out.push('\\'); out.push(c) }
                        c => out.push(c),
                    }
                }
                out
            };
            let text: String =
                values.iter().enumerate().map(|(i, v)| format!("n{i} = {}\n", escaped(v))).collect();
            let expected: Vec<_> = values.iter().enumerate().map(|(i, v)| (format!("n{i}"), v.clone())).collect();
            prop_assert_eq!(pairs(&text), expected);
        }
    }
}
