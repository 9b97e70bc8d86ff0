//! Escapes: those in delimiters and formats, and those that protect a terminal. Pure: no clock, no IO.

use anyhow::{Result, bail};

use crate::record::bytes::append_hex;

/// Replaces the escapes of a delimiter or a format: `\n`, `\t`, `\r`, `\\`, `\0`,
/// `\xH` and `\xHH` (hexadecimal), and as in kcat and C an octal `\0NNN`.
/// The error names an unknown escape.
pub(crate) fn unescape(s: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, length) = escape(&rest[at..])?;
        out.push(byte);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// The byte that the escape at the start of `s` stands for, and the escape's length.
pub(crate) fn escape(s: &str) -> Result<(u8, usize)> {
    let bytes = s.as_bytes();
    let byte = match bytes.get(1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'\\') => b'\\',
        Some(b'0') => return Ok(number(bytes, 2, 3, 8).unwrap_or((0, 2))),
        Some(b'x') => {
            let Some(found) = number(bytes, 2, 2, 16) else {
                let shown: String = s.chars().take(4).collect();
                bail!("bad escape {shown:?}: \\x takes one or two hexadecimal digits, as in \\x1f");
            };
            return Ok(found);
        }
        Some(_) => {
            let other: String = s.chars().take(2).collect();
            bail!(r"unknown escape {other}: known are \n \t \r \0 \\ and \xNN; write a backslash as \\");
        }
        None => bail!(r"a backslash at the end escapes nothing: write a backslash as \\"),
    };
    Ok((byte, 2))
}

/// Up to `most` digits from `from` on, as long as the number fits in a byte, and the end of the digits.
fn number(bytes: &[u8], from: usize, most: usize, radix: u32) -> Option<(u8, usize)> {
    let mut value = None;
    let mut end = from;
    while end < from + most {
        let Some(digit) = bytes.get(end).and_then(|b| char::from(*b).to_digit(radix)) else { break };
        let Ok(next) = u8::try_from(u32::from(value.unwrap_or(0u8)) * radix + digit) else { break };
        value = Some(next);
        end += 1;
    }
    value.map(|value| (value, end))
}

/// Appends bytes so that they can't control a terminal: printable UTF-8, newline
/// and tab do not change; other control bytes and bytes that are not UTF-8 become `\xNN`;
/// C1 controls, line separators, and characters that change the direction of text or
/// hide it become `\u{…}`. It is for people, and can't be parsed: a backslash is not escaped.
pub(crate) fn escape_for_terminal(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut copied = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| !is_plain(*c)) {
            out.extend_from_slice(&text.as_bytes()[copied..at]);
            copied = at + c.len_utf8();
            if c.is_ascii() {
                append_byte_escape(c as u8, out);
            } else {
                out.extend_from_slice(format!("\\u{{{:x}}}", u32::from(c)).as_bytes());
            }
        }
        out.extend_from_slice(&text.as_bytes()[copied..]);
        for byte in chunk.invalid() {
            append_byte_escape(*byte, out);
        }
    }
}

/// The same for JSON, which stays valid: a character that can't be shown is always inside a string.
pub(crate) fn escape_json_for_terminal(json: &[u8], out: &mut Vec<u8>) {
    for chunk in json.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_plain(c) {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
        for byte in chunk.invalid() {
            append_byte_escape(*byte, out);
        }
    }
}

fn append_byte_escape(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\x");
    append_hex(&[byte], out);
}

/// Whether a character can be shown unchanged.
fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' | '\n' | '\t' => true,
        c if c.is_control() => false,
        // Marks and overrides of direction (UAX #9), separators, tags, the byte order mark.
        '\u{61c}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_those_of_kcat_and_c() {
        let cases: [(&str, &[u8]); 12] = [
            ("", b""),
            ("plain é", "plain é".as_bytes()),
            (r"\n\t\r\\", b"\n\t\r\\"),
            (r"\x54!\x45\x53T", b"T!EST"),
            (r"\x30", b"0"),
            (r"\xfFf", b"\xfff"),
            (r"\x1g", b"\x01g"),
            (r"\0", b"\0"),
            (r"a\0b", b"a\0b"),
            (r"\033[1m", b"\x1b[1m"),
            (r"\0101", b"A"),
            (r"\0777", b"\x3f7"),
        ];
        for (escaped, bytes) in cases {
            assert_eq!(unescape(escaped).unwrap(), bytes, "{escaped}");
        }
    }

    #[test]
    fn a_bad_escape_is_named() {
        for (escaped, named) in
            [(r"a\q", r"\q"), (r"\xZZ", r"\\xZZ"), (r"\x", r"\\x"), ("\\", "at the end"), (r"\é", r"\é")]
        {
            let error = unescape(escaped).unwrap_err().to_string();
            assert!(error.contains(named), "{escaped}: {error}");
        }
    }

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape_for_terminal(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_gets_text_and_no_commands() {
        assert_eq!(escaped("plain é 漢 🦀\n\tnext".as_bytes()), "plain é 漢 🦀\n\tnext");
        assert_eq!(escaped(b"\x1b[31m\x07\0\r\x7f"), r"\x1b[31m\x07\x00\x0d\x7f");
        assert_eq!(escaped(b"a\xffb\xc3"), r"a\xffb\xc3");
        assert_eq!(escaped("\u{9b}31m".as_bytes()), r"\u{9b}31m");
        assert_eq!(escaped("\u{202e}x\u{2066}\u{feff}".as_bytes()), r"\u{202e}x\u{2066}\u{feff}");
    }

    proptest! {
        #[test]
        fn unescape_never_panics_and_reverses_hexadecimal(bytes in any::<Vec<u8>>(), s in any::<String>()) {
            let _ = unescape(&s);
            let escaped = bytes.iter().fold(String::new(), |escaped, b| escaped + &format!("\\x{b:02x}"));
            prop_assert_eq!(unescape(&escaped).unwrap(), bytes);
        }

        #[test]
        fn nothing_for_a_terminal_holds_a_control_byte(bytes in any::<Vec<u8>>(), s in any::<String>()) {
            for bytes in [bytes.as_slice(), s.as_bytes()] {
                prop_assert!(escaped(bytes).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            }
        }

        #[test]
        fn json_for_a_terminal_is_the_same_json_without_a_control_character(
            text in prop_oneof![any::<String>(), "[\\x00-\\x9f\u{200e}\u{202e}\u{e0041}a]{0,20}"],
        ) {
            let json = serde_json::to_string(&text).unwrap();
            let mut shown = Vec::new();
            escape_json_for_terminal(json.as_bytes(), &mut shown);
            let shown = String::from_utf8(shown).unwrap();
            prop_assert!(shown.chars().all(is_plain), "{shown:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
