//! A file of tokens: who may publish, and to which topics. Pure: no clock, no IO.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use openssl::sha::sha256;

/// A shorter token could be guessed.
const SHORTEST: usize = 16;

/// The tokens of a file: only their SHA-256 is kept.
#[derive(Debug)]
pub(super) struct Tokens(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    name: Option<Arc<str>>,
    hash: [u8; 32],
    /// `None`: for all topics.
    topics: Option<Vec<String>>,
    line: usize,
}

/// What a request's token is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none.
    Missing,
    /// It is in no line of the file, or `Authorization` is not one that kq reads.
    Unknown,
    /// It is for other topics.
    Elsewhere,
    /// With the name of its line, where that has one.
    Allowed(Option<Arc<str>>),
}

impl Tokens {
    /// Reads lines `TOKEN` or `NAME TOKEN [TOPIC,…]`. Empty lines and those that begin with `#` count for nothing.
    ///
    /// An error names the line and never shows its token.
    pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let entry = Entry::parse(line, text).with_context(|| format!("line {line}"))?;
            let Some(entry) = entry else { continue };
            if let Some(same) = entries.iter().find(|other| other.hash == entry.hash) {
                bail!("line {line}: the same token as in line {}", same.line);
            }
            entries.push(entry);
        }
        if entries.is_empty() {
            bail!("no token: each line is TOKEN, or NAME TOKEN [TOPIC,…]");
        }
        Ok(Self(entries))
    }

    /// Whether a token may publish to a topic. All lines are compared, each in constant time.
    fn find(&self, token: &[u8], topic: Option<&str>) -> Found {
        let hash = sha256(token);
        let mut found = Found::Unknown;
        for entry in &self.0 {
            if openssl::memcmp::eq(&entry.hash, &hash) {
                found =
                    if entry.is_for(topic) { Found::Allowed(entry.name.clone()) } else { Found::Elsewhere };
            }
        }
        found
    }

    /// The same for the token in a request's `Authorization`. Without a topic, a token for any topic is enough.
    pub(super) fn of_request(&self, headers: &HeaderMap, topic: Option<&str>) -> Found {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Found::Missing,
            (Some(value), None) => {
                token(value.as_bytes()).map_or(Found::Unknown, |token| self.find(&token, topic))
            }
            (Some(_), Some(_)) => Found::Unknown,
        }
    }

    /// Whether some token may publish to a topic.
    pub(super) fn is_for(&self, topic: &str) -> bool {
        self.0.iter().any(|entry| entry.is_for(Some(topic)))
    }
}

impl Entry {
    fn parse(line: usize, text: &[u8]) -> anyhow::Result<Option<Self>> {
        // An editor of another system may begin a file with a byte order mark.
        let text = if line == 1 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
        let text = std::str::from_utf8(text).ok().context("not UTF-8")?;
        if text.trim_start().starts_with('#') {
            return Ok(None);
        }
        let words: Vec<_> = text.split_whitespace().collect();
        let (name, token, topics) = match words[..] {
            [] => return Ok(None),
            [token] => (None, token, None),
            [name, token] => (Some(name), token, None),
            [name, token, topics] => (Some(name), token, Some(topics)),
            _ => {
                bail!("{} words, where TOKEN or NAME TOKEN [TOPIC,…] is read", words.len())
            }
        };
        if let Some(other) = token.chars().find(|c| !c.is_ascii_graphic()) {
            bail!("the token contains U+{:04X}: a token is of visible ASCII characters", u32::from(other));
        }
        if token.len() < SHORTEST {
            bail!("the token has {} characters, and needs {SHORTEST}: fewer could be guessed", token.len());
        }
        if name.is_some_and(|name| name.chars().any(char::is_control)) {
            bail!("the name contains a control character");
        }
        let topics = topics.map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>());
        if topics.iter().flatten().any(String::is_empty) {
            bail!("a topic without a name in the list TOPIC,…");
        }
        Ok(Some(Self { name: name.map(Arc::from), hash: sha256(token.as_bytes()), topics, line }))
    }

    fn is_for(&self, topic: Option<&str>) -> bool {
        let (Some(topics), Some(topic)) = (&self.topics, topic) else { return true };
        topics.iter().any(|other| other == topic)
    }
}

/// The token of an `Authorization`: `Bearer TOKEN` (RFC 6750), or the password of `Basic` (RFC 7617).
fn token(authorization: &[u8]) -> Option<Cow<'_, [u8]>> {
    let space = authorization.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = authorization.split_at(space);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(Cow::Borrowed(rest));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(Cow::Owned(pair[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "# who may publish\n\n0123456789abcdef\nshop shop-token-0000001 orders,refunds\r\n\
                        \tadmin  admin-token-000001\nshop shop-token-0000002 orders";

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |value: &&str| (AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        values.iter().map(value).collect()
    }

    fn found(values: &[&str], topic: &str) -> Found {
        Tokens::parse(FILE.as_bytes()).unwrap().of_request(&headers(values), Some(topic))
    }

    fn allowed(name: &str) -> Found {
        Found::Allowed(Some(name.into()))
    }

    #[test]
    fn a_token_is_for_all_topics_or_for_those_of_its_line() {
        assert_eq!(found(&["Bearer 0123456789abcdef"], "other"), Found::Allowed(None));
        assert_eq!(found(&["Bearer admin-token-000001"], "other"), allowed("admin"));
        assert_eq!(found(&["Bearer shop-token-0000001"], "refunds"), allowed("shop"));
        assert_eq!(found(&["Bearer shop-token-0000002"], "orders"), allowed("shop"));
        assert_eq!(found(&["Bearer shop-token-0000002"], "refunds"), Found::Elsewhere);
        assert_eq!(found(&["Bearer shop-token-0000002"], "order"), Found::Elsewhere);
        let tokens = Tokens::parse(b"shop shop-token-0000001 orders").unwrap();
        assert!(tokens.is_for("orders") && !tokens.is_for("other"));
        let request = headers(&["Bearer shop-token-0000001"]);
        assert_eq!(tokens.of_request(&request, None), allowed("shop"), "a token for any topic");
    }

    #[test]
    fn a_request_shows_its_token_as_bearer_or_as_the_password_of_basic() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for right in [
            "Bearer admin-token-000001",
            "bearer   admin-token-000001 ",
            &basic("anyone:admin-token-000001"),
            &basic(":admin-token-000001").replace("Basic", "BASIC"),
        ] {
            assert_eq!(found(&[right], "orders"), allowed("admin"), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "admin-token-000001",
            "Token admin-token-000001",
            "Bearer admin-token-00000",
            "Bearer admin-token-0000011",
            "Bearer Admin-token-000001",
            "Bearer \"admin-token-000001\"",
            "Bearer admin-token-000001 admin-token-000001",
            "Basic admin-token-000001",
            &basic("admin-token-000001"),
            &basic("admin-token-000001:"),
            &basic("a:b:admin-token-000001"),
        ] {
            assert_eq!(found(&[wrong], "orders"), Found::Unknown, "{wrong}");
        }
        assert_eq!(found(&[], "orders"), Found::Missing);
        let twice = ["Bearer admin-token-000001", "Bearer admin-token-000001"];
        assert_eq!(found(&twice, "orders"), Found::Unknown, "which one counts is not known");
    }

    #[test]
    fn a_password_may_contain_colons() {
        let tokens = Tokens::parse(b"a:b:c:d:e:f:g:h:i").unwrap();
        let request = headers(&[&format!("Basic {}", STANDARD.encode("me:a:b:c:d:e:f:g:h:i"))]);
        assert_eq!(tokens.of_request(&request, None), Found::Allowed(None));
    }

    #[test]
    fn an_error_of_the_file_names_the_line_and_not_the_token() {
        let error = |file: &[u8]| format!("{:#}", Tokens::parse(file).unwrap_err());
        for (file, said) in [
            (&b"\n# x\nshort-secret"[..], "line 3: the token has 12 characters, and needs 16"),
            (b"good-secret-000001\nme secret-000", "line 2: the token has 10 characters"),
            (b"me secret-00000000001 a b", "line 1: 4 words"),
            (b"me secret-00000000001 a,,b", "line 1: a topic without a name"),
            (b"me secret-00000000001 a,", "line 1: a topic without a name"),
            (b"secret-00000000001\nme secret-00000000001 a", "line 2: the same token as in line 1"),
            ("secret-0000000000ä".as_bytes(), "line 1: the token contains U+00E4"),
            (b"ok-secret-00000000\n\xff\xfesecret-0000000000", "line 2: not UTF-8"),
            (b"a\x07b secret-0000000000", "line 1: the name contains a control character"),
            (b"", "no token"),
            (b"# nothing\n\n", "no token"),
        ] {
            let got = error(file);
            assert!(got.starts_with(said), "{got}");
            assert!(!got.contains("secret"), "{got}");
        }
    }

    #[test]
    fn a_token_is_not_in_debug_output() {
        let tokens = Tokens::parse(b"me secret-00000000001").unwrap();
        assert!(!format!("{tokens:?}").contains("secret"));
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_first_token() {
        let tokens = Tokens::parse(b"\xef\xbb\xbf0123456789abcdef\r\n").unwrap();
        assert_eq!(tokens.find(b"0123456789abcdef", None), Found::Allowed(None));
    }

    proptest! {
        #[test]
        fn each_token_of_a_file_is_found_and_no_other(
            tokens in proptest::collection::hash_set("[!-\"$-~]{16,40}", 1..8),
            other in "[!-~]{0,40}",
        ) {
            let file: Vec<_> = tokens.iter().enumerate().map(|(i, token)| format!("n{i} {token}")).collect();
            let parsed = Tokens::parse(file.join("\n").as_bytes()).unwrap();
            for (i, token) in tokens.iter().enumerate() {
                let request = headers(&[&format!("Bearer {token}")]);
                prop_assert_eq!(parsed.of_request(&request, Some("t")), allowed(&format!("n{i}")));
            }
            let is_known = tokens.contains(&other);
            prop_assert_eq!(parsed.find(other.as_bytes(), None) != Found::Unknown, is_known);
        }

        #[test]
        fn no_file_and_no_header_makes_it_fail(file: Vec<u8>, header in "[ -~\u{80}-\u{ff}]{0,60}") {
            let _ = Tokens::parse(&file);
            let value = HeaderValue::from_bytes(header.as_bytes()).unwrap();
            let _ = token(value.as_bytes());
        }
    }
}
