//! The attributes of a `CloudEvent`: names, values, and how headers encode them. Pure: no clock, no IO.
//!
//! Source: cloudevents/spec.md ("Context attributes", "Type system"), http-protocol-binding.md 3.1.3.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// These must be there, and not be empty.
pub(super) const NAMES_THAT_MUST_BE: [&str; 4] = ["specversion", "id", "source", "type"];

/// Attributes whose value is a string and not empty.
const TEXTS: [&str; 8] =
    ["specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time"];

/// Whether an attribute's value is a string and not empty.
pub(super) fn is_text(name: &str) -> bool {
    TEXTS.contains(&name)
}

/// Whether this can be the name of an attribute.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The value, if the attribute of this name can have it.
pub(super) fn checked(name: &str, value: String) -> Result<String, String> {
    if let Some(c) = value.chars().find(|c| c.is_control() || is_noncharacter(*c)) {
        return Err(format!("U+{:04X} is not allowed in an attribute", u32::from(c)));
    }
    match name {
        _ if value.is_empty() && is_text(name) => Err("is empty".into()),
        "specversion" if value != "1.0" => Err("is not 1.0, which is what this endpoint takes".into()),
        "time" if !is_time(&value) => Err("is not a time by RFC 3339, such as 2018-04-05T17:31:00Z".into()),
        _ => Ok(value),
    }
}

/// RFC 3339: a date and a time with seconds and an offset. The parser takes more than that.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    let has_offset = text.ends_with(['Z', 'z'])
        || (bytes.len() >= 25 && matches!(bytes[bytes.len() - 6], b'+' | b'-') && has(bytes.len() - 3, b':'));
    let has_time = matches!(bytes.get(10), Some(b'T' | b't')) && has(13, b':') && has(16, b':');
    has_time && has_offset && !text.contains(['[', ',']) && text.parse::<jiff::Timestamp>().is_ok()
}

/// Code points that Unicode keeps for a program's own use.
fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE
}

/// The value of a header: double quotes and backslashes are undone (older senders), then one round of percent-decoding.
///
/// A percent sign without two hexadecimal digits stays, as these senders mean it. What is not UTF-8 is an error.
pub(super) fn decoded(header: &[u8]) -> Result<String, String> {
    let unquoted = unquoted(header.trim_ascii())?;
    let bytes: Vec<u8> = percent_encoding::percent_decode(&unquoted).collect();
    String::from_utf8(bytes).map_err(|_| "not UTF-8 after percent-decoding".into())
}

/// The content of a quoted string (RFC 9110, 5.6.4); a value without quotes around it as it is.
fn unquoted(value: &[u8]) -> Result<Vec<u8>, String> {
    let Some(mut rest) = value.strip_prefix(b"\"") else { return Ok(value.to_vec()) };
    let mut content = Vec::with_capacity(rest.len());
    loop {
        match rest {
            [b'"'] => return Ok(content),
            [b'"', ..] => return Err("text behind the closing quote".into()),
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                content.push(*byte);
                rest = tail;
            }
            [] => return Err("a quote that does not end".into()),
        }
    }
}

/// What base64 with padding stands for.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the binding says: space, double quote, percent and all that is not printable ASCII is encoded.
    fn encoded(text: &str) -> String {
        let encode = |byte: u8| match byte {
            b' ' | b'"' | b'%' => format!("%{byte:02X}"),
            0x21..=0x7E => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(encode).collect()
    }

    proptest! {
        #[test]
        fn what_a_sender_encodes_arrives(text in any::<String>(), lower in any::<bool>()) {
            let mut header = encoded(&text);
            if lower {
                header = header.replace("%E2", "%e2").replace("%C3", "%c3").replace("%F0", "%f0");
            }
            prop_assert_eq!(decoded(header.as_bytes()).unwrap(), text);
        }

        #[test]
        fn all_may_be_encoded(text in any::<String>()) {
            let header: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decoded(header.as_bytes()).unwrap(), text);
        }

        #[test]
        fn quotes_are_undone_before_escapes(text in "[ -~]{0,20}") {
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let once: Vec<u8> = percent_encoding::percent_decode(text.as_bytes()).collect();
            prop_assert_eq!(decoded(quoted.as_bytes()).ok(), String::from_utf8(once).ok());
        }

        #[test]
        fn no_header_panics_and_what_is_read_is_utf8_that_was_there(header in any::<Vec<u8>>()) {
            if let Ok(text) = decoded(&header) {
                prop_assert!(text.len() <= header.len());
            }
        }
    }

    #[test]
    fn the_example_of_the_binding() {
        let value = decoded(b"Euro%20%E2%82%AC%20%F0%9F%98%80").unwrap();
        assert_eq!(value, "Euro \u{20AC} \u{1F600}");
        assert_eq!(decoded(b"Euro%20%e2%82%ac").unwrap(), "Euro \u{20AC}");
        assert_eq!(decoded(b"%41%2520").unwrap(), "A%20", "one round");
        assert_eq!(decoded("\u{20AC}".as_bytes()).unwrap(), "\u{20AC}");
        assert_eq!(decoded(br#""a \"b\" \\ %22""#).unwrap(), r#"a "b" \ ""#);
        assert_eq!(decoded(b"100% of a%2").unwrap(), "100% of a%2");
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        for wrong in [&b"%C0%A0"[..], b"%FF", b"%ED%A0%80", b"%E2%82", b"\xFF", b"\"a", b"\"a\"b", b"\"a\\\""]
        {
            assert!(decoded(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn values_keep_to_the_types_of_the_specification() {
        let check = |name: &str, value: &str| checked(name, value.to_owned()).is_ok();
        for (name, value) in [
            ("specversion", "1.0"),
            ("time", "2018-04-05T03:56:24Z"),
            ("time", "2018-04-05T03:56:24.123456789+02:00"),
            ("myextension", ""),
            ("subject", "\u{1F600}"),
        ] {
            assert!(check(name, value), "{name} {value}");
        }
        for (name, value) in [
            ("specversion", "0.3"),
            ("specversion", "1.1"),
            ("time", "2018-04-05"),
            ("time", "2018-04-05 03:56:24Z"),
            ("time", "yesterday"),
            ("id", ""),
            ("subject", ""),
            ("myextension", "a\u{0}"),
            ("myextension", "a\u{9F}"),
            ("myextension", "a\u{FFFE}"),
        ] {
            assert!(!check(name, value), "{name} {value:?}");
        }
        assert!(is_name("abc123") && !is_name("") && !is_name("a-b") && !is_name("A"));
    }
}
