//! The lines `name=value` of a configuration file, as Java or as librdkafka and kcat write them.
//! Pure: no clock, no IO.

use super::jaas::JAAS;
use super::pem;
use super::properties;

/// A line `name=value` of the file, and its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub line: usize,
    pub name: String,
    pub value: String,
}

/// Whose rules a file keeps to: they differ in what a backslash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// It begins an escape, and at the end of a line it joins the next to it.
    Java,
    /// It is a character like any other, except at the end of a line of `sasl.jaas.config`: only Java has
    /// that property, and writes it over several lines.
    Librdkafka,
}

impl Dialect {
    /// The dialect of a text: librdkafka's where a name in it is one that only librdkafka has, or the
    /// file is kcat's own.
    pub(super) fn of(text: &str, path: &str) -> Self {
        let is_kcats = path.rsplit('/').next() == Some("kcat.conf");
        let only_librdkafka = |entry: &Entry| properties::is_only_librdkafkas(&entry.name);
        if is_kcats || entries(text, Self::Librdkafka).iter().any(only_librdkafka) {
            Self::Librdkafka
        } else {
            Self::Java
        }
    }
}

/// The entries of a text, in their order.
///
/// `name=value` or `name: value`; `#` and `!` begin comments. PEM text may go on over the next lines until
/// its end, in both dialects.
pub(super) fn entries(text: &str, dialect: Dialect) -> Vec<Entry> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        let joins = dialect == Dialect::Java || entry(line, number, dialect).name == JAAS;
        while joins && ends_open(&whole) {
            whole.pop();
            let Some((next, _)) = lines.next() else { break };
            whole.push_str(next.trim_start());
        }
        if pem::begins(&whole) {
            while let Some((next, _)) =
                lines.next_if(|(next, _)| pem::is_open(&whole) || pem::begins_with(next))
            {
                whole.push('\n');
                whole.push_str(next);
            }
        }
        entries.push(entry(&whole, number, dialect));
    }
    entries
}

/// The name and the value of a whole line.
fn entry(whole: &str, line: usize, dialect: Dialect) -> Entry {
    let mut escaped = false;
    let end = whole.find(|c: char| {
        let ends = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        escaped = dialect == Dialect::Java && c == '\\' && !escaped;
        ends
    });
    let (name, rest) = whole.split_at(end.unwrap_or(whole.len()));
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    let rest = rest.trim_start();
    let mut value = rest.trim_end().to_owned();
    if dialect == Dialect::Librdkafka {
        return Entry { line, name: name.to_owned(), value };
    }
    if ends_open(&value) && value.len() < rest.len() {
        // The blank after it was escaped.
        value.push(' ');
    }
    let name = unescape(name, Unknown::Keep);
    let unknown = if properties::is_known(&name) { Unknown::Keep } else { Unknown::Remove };
    let value = unescape(&value, unknown);
    Entry { line, name, value }
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

    const CHAIN: &str = include_str!("../../tests/fixtures/tls/client.pem");

    fn read(text: &str, dialect: Dialect) -> Vec<(String, String)> {
        entries(text, dialect).into_iter().map(|e| (e.name, e.value)).collect()
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text, Dialect::Java)
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
    fn a_file_is_librdkafkas_where_a_name_is() {
        for (text, path, dialect) in [
            (
                "bootstrap.servers=a\nsecurity.protocol=SSL\nsasl.mechanism=PLAIN\n",
                "client.properties",
                Dialect::Java,
            ),
            ("sasl.jaas.config=x\nssl.truststore.location=y\nkey.serializer=z\n", "f", Dialect::Java),
            ("client.id=a\n", "/home/me/.config/kcat.conf", Dialect::Librdkafka),
            ("sasl.mechanism=PLAIN\nsasl.username=u\n", "f", Dialect::Librdkafka),
            ("client.id=a\\\ndebug=all\n", "f", Dialect::Librdkafka),
            ("topic.acks=1\n", "f", Dialect::Librdkafka),
            ("# sasl.username=u\nclient.id=debug\n", "f", Dialect::Java),
        ] {
            assert_eq!(Dialect::of(text, path), dialect, "{text}");
        }
    }

    #[test]
    fn a_backslash_of_librdkafka_is_a_character() {
        let text = "sasl.password=ab\\tcd\\\nclient.id = a\\u00e9\\\\ \nc:\\x";
        let expected = [("sasl.password", "ab\\tcd\\"), ("client.id", "a\\u00e9\\\\"), ("c", "\\x")];
        assert_eq!(read(text, Dialect::Librdkafka), owned(&expected));
    }

    #[test]
    fn a_login_of_java_goes_on_over_the_lines_beside_names_of_librdkafka() {
        let text = "ssl.ca.location=C:\\x\\\nsasl.jaas.config = a.PlainLoginModule required \\\r\n  \
            username=\"u\" \\\n  password=\"p\";\nc=1\n";
        let login = r#"a.PlainLoginModule required username="u" password="p";"#;
        let expected = [("ssl.ca.location", "C:\\x\\"), (JAAS, login), ("c", "1")];
        assert_eq!(read(text, Dialect::Librdkafka), owned(&expected));
    }

    #[test]
    fn pem_text_goes_on_over_the_lines_until_its_end() {
        let text = format!("a=1\nssl.ca.pem={CHAIN}b=2\nssl.key.pem=-----BEGIN X-----\nrest");
        for dialect in [Dialect::Java, Dialect::Librdkafka] {
            let expected = owned(&[
                ("a", "1"),
                ("ssl.ca.pem", CHAIN.trim_end()),
                ("b", "2"),
                ("ssl.key.pem", "-----BEGIN X-----\nrest"),
            ]);
            assert_eq!(read(&text, dialect), expected);
        }
    }

    proptest! {
        #[test]
        fn any_value_of_librdkafka_comes_back(values in prop::collection::vec(r"[!-~é]([ -~é]{0,20}[!-~é])?", 1..6)) {
            let text: String = values.iter().enumerate().map(|(i, v)| format!("n{i}={v}\n")).collect();
            let expected: Vec<_> = values.iter().enumerate().map(|(i, v)| (format!("n{i}"), v.clone())).collect();
            // Only a value that begins like the end of the name is ambiguous.
            prop_assume!(!values.iter().any(|v| v.starts_with(['=', ':'])));
            prop_assert_eq!(read(&text, Dialect::Librdkafka), expected);
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
