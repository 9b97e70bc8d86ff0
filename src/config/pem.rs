//! Keys and certificates as PEM text: put into the lines that OpenSSL demands, or made from DER.
//! Pure: no clock, no IO.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The characters of a line of base64 (RFC 7468, section 2).
const WIDTH: usize = 64;

/// The text with each PEM block in lines of its own, which OpenSSL demands and Java does not.
///
/// All white space within a block may be missing or be another one, such as blanks where the lines ended;
/// `\n` and `\r` as two characters are white space too. Text outside of the blocks is dropped. A text in
/// which no whole block is found is returned as it is.
pub(super) fn in_lines(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(block) = Block::first(rest) {
        block.write(&mut out);
        rest = block.rest;
    }
    if out.is_empty() { text.to_owned() } else { out }
}

/// Whether the last block of the text has no end yet.
pub(super) fn is_open(text: &str) -> bool {
    text.rfind(BEGIN).is_some_and(|begin| !text[begin..].contains(END))
}

/// How many blocks begin in this text.
pub(super) fn count(text: &str) -> usize {
    text.matches(BEGIN).count()
}

/// Whether a block begins in this text.
pub(super) fn begins(text: &str) -> bool {
    text.contains(BEGIN)
}

/// Whether a text begins with a block.
pub(super) fn begins_with(text: &str) -> bool {
    text.trim_start().starts_with(BEGIN)
}

/// A block of PEM text with these bytes; `label` is `CERTIFICATE` or the like.
pub(super) fn from_der(label: &str, der: &[u8]) -> String {
    let mut out = String::new();
    write(&mut out, label, &[], &STANDARD.encode(der));
    out
}

/// A block as it was found.
struct Block<'t> {
    label: &'t str,
    body: &'t str,
    /// What stands behind the block.
    rest: &'t str,
}

impl<'t> Block<'t> {
    /// The first block of a text that has an end of the same label.
    fn first(text: &'t str) -> Option<Self> {
        let mut rest = text;
        loop {
            let (_, after) = rest.split_once(BEGIN)?;
            rest = after;
            let Some((label, body)) = after.split_once(DASHES) else { continue };
            let Some((body, end)) = body.split_once(END) else { continue };
            if let Some(rest) = end.strip_prefix(label).and_then(|end| end.strip_prefix(DASHES))
                && !body.contains(BEGIN)
            {
                return Some(Self { label, body, rest });
            }
        }
    }

    fn write(&self, out: &mut String) {
        let body = self.body.replace("\\n", " ").replace("\\r", " ").replace('\\', " ");
        let mut headers = Vec::new();
        let mut base64 = String::new();
        let mut words = body.split_whitespace();
        while let Some(word) = words.next() {
            // base64 has no colon: this is a header of an encrypted key, `Proc-Type: 4,ENCRYPTED`.
            match word.strip_suffix(':') {
                Some(name) => headers.push(format!("{name}: {}", words.next().unwrap_or_default())),
                None if word.contains(':') => headers.push(word.replacen(':', ": ", 1)),
                None => base64.push_str(word),
            }
        }
        write(out, self.label, &headers, &base64);
    }
}

fn write(out: &mut String, label: &str, headers: &[String], base64: &str) {
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!("{BEGIN}{label}{DASHES}"));
    for header in headers {
        line(header);
    }
    if !headers.is_empty() {
        line("");
    }
    let mut rest = base64;
    while !rest.is_empty() {
        // Any text may stand here; it is cut between characters.
        let end = rest.char_indices().nth(WIDTH).map_or(rest.len(), |(at, _)| at);
        line(&rest[..end]);
        rest = &rest[end..];
    }
    line(&format!("{END}{label}{DASHES}"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHAIN: &str = include_str!("../../tests/fixtures/tls/client.pem");
    const TRADITIONAL: &str = include_str!("../../tests/fixtures/tls/traditional.key");

    #[test]
    fn what_is_in_lines_stays_as_it_is() {
        assert_eq!(in_lines(CHAIN), CHAIN);
        assert_eq!(in_lines(TRADITIONAL), TRADITIONAL);
        assert_eq!(in_lines("no PEM"), "no PEM");
    }

    #[test]
    fn text_around_the_blocks_is_dropped() {
        assert_eq!(in_lines(&format!("subject=/CN=x\n{CHAIN}\nissuer=/CN=y")), CHAIN);
    }

    #[test]
    fn a_block_without_its_end_is_open() {
        let open = CHAIN.trim_end().strip_suffix("-----END CERTIFICATE-----").unwrap();
        assert!(is_open(open) && !is_open(CHAIN) && !is_open("x"));
        assert_eq!(in_lines(&open[open.rfind(BEGIN).unwrap()..]), &open[open.rfind(BEGIN).unwrap()..]);
    }

    proptest! {
        #[test]
        fn any_white_space_may_stand_where_the_lines_end(
            pem in prop_oneof![Just(CHAIN), Just(TRADITIONAL)],
            spaces in prop::collection::vec(r"[ \t]{0,3}(\r\n|\n| |\\n|\\r\\n|\\\n)[ \t]{0,3}", 40),
        ) {
            let text: String = pem.lines().zip(spaces.iter().cycle()).map(|(line, space)| format!("{line}{space}")).collect();
            prop_assert_eq!(in_lines(&text), pem);
        }

        #[test]
        fn white_space_within_base64_does_not_count(at in prop::collection::vec(0..1100_usize, 0..9)) {
            let mut text = CHAIN.to_owned();
            for at in at {
                let at = text.len().min(at);
                let in_body = |at: usize| !text[..at].rsplit('\n').next().unwrap().starts_with('-')
                    && !text[at..].starts_with('-');
                if in_body(at) {
                    text.insert(at, ' ');
                }
            }
            prop_assert_eq!(in_lines(&text), CHAIN);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), likely in "((-----BEGIN |-----END )?[A:é \n]{0,3}(-----)?){0,9}") {
            let _ = (in_lines(&text), in_lines(&likely));
        }

        #[test]
        fn der_is_written_in_lines(der in prop::collection::vec(any::<u8>(), 0..200)) {
            let pem = from_der("PRIVATE KEY", &der);
            prop_assert_eq!(in_lines(&pem), &*pem);
            prop_assert!(pem.lines().all(|line| line.len() <= WIDTH));
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            prop_assert_eq!(STANDARD.decode(body).unwrap(), der);
        }
    }
}
