//! The members of a JSON object and the elements of an array, as slices of the text, which keep each byte. Pure: no clock, no IO.
//!
//! `serde_json`'s `RawValue` would cut them too. But its feature changes how every `Value` is read: an object with
//! one certain name is then replaced by the JSON within its string, so a body could show a schema another value
//! than the one that is sent.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The body as JSON text, or why it is none.
pub(crate) fn json(body: &[u8]) -> Result<Text<'_>, String> {
    let text = std::str::from_utf8(body)
        .map_err(|e| format!("not JSON: byte {} is not UTF-8", e.valid_up_to() + 1))?;
    if text.trim_ascii().is_empty() {
        return Err("not JSON: it is empty".into());
    }
    // Read without recursion, so that no depth overflows the stack.
    serde_json::from_str::<IgnoredAny>(text).map_err(|e| {
        // serde_json counts lines within the text, from 1.
        let what = e.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        let line = if e.line() > 1 { format!("line {}, ", e.line()) } else { String::new() };
        format!("not JSON: {what} ({line}column {})", e.column())
    })?;
    Ok(Text(text.trim_ascii()))
}

/// One JSON value as it stands in a text that was checked: no white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    pub(crate) fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The members of an object, in their order; a name may come twice. `None`: it is no object.
    pub(crate) fn members(self) -> Option<impl Iterator<Item = (Cow<'a, str>, Text<'a>)>> {
        let mut rest = self.0.strip_prefix('{')?;
        Some(std::iter::from_fn(move || {
            let name = next(&mut rest)?;
            let value = next(&mut rest)?;
            // A name with half of a surrogate pair stays as it is written: no caller looks for such a name.
            Some((name.string().unwrap_or(Cow::Borrowed(name.0)), value))
        }))
    }

    /// The elements of an array. `None`: it is no array.
    pub(crate) fn elements(self) -> Option<impl Iterator<Item = Text<'a>>> {
        let mut rest = self.0.strip_prefix('[')?;
        Some(std::iter::from_fn(move || next(&mut rest)))
    }

    /// What a string stands for: a slice, unless it has escapes. `None`: no string, or half of a surrogate pair in it.
    pub(crate) fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// What kind of value it is, for an error.
    pub(crate) fn kind(self) -> &'static str {
        match self.0.as_bytes().first() {
            Some(b'"') => "a string",
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }
}

/// Takes the next value behind white space and separators. `None` at the end of the object or array.
fn next<'a>(rest: &mut &'a str) -> Option<Text<'a>> {
    let start = rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
    let length = length(start.as_bytes());
    let (value, after) = start.split_at_checked(length)?;
    *rest = after;
    (!value.is_empty()).then_some(Text(value))
}

/// How many bytes the value has that begins here; 0 where none does.
fn length(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'"') => string_length(bytes),
        Some(b'{' | b'[') => nested_length(bytes),
        _ => bytes
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b']' | b'}'))
            .unwrap_or(bytes.len()),
    }
}

fn nested_length(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string_length(&bytes[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    at
}

/// The same for a string, its quotes included.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// JSON of all kinds, nested.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\[\\]{}\",:\\\\ ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn parts_are_what_a_parser_makes_of_them(value in value(), pretty in any::<bool>()) {
            let text =
                if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let spaced = format!(" \n{text}\r\n");
            let text = json(spaced.as_bytes()).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(text.as_str()).unwrap(), &value);
            match value {
                Value::Array(expected) => {
                    let parts = text.elements().unwrap();
                    let parts: Vec<Value> = parts.map(|p| serde_json::from_str(p.as_str()).unwrap()).collect();
                    prop_assert_eq!(parts, expected);
                }
                Value::Object(expected) => {
                    let parts = text.members().unwrap().map(|(name, part)| {
                        (name.into_owned(), serde_json::from_str::<Value>(part.as_str()).unwrap())
                    });
                    prop_assert_eq!(parts.collect::<serde_json::Map<_, _>>(), expected);
                }
                Value::String(expected) => prop_assert_eq!(text.string().unwrap(), expected),
                _ => prop_assert!(text.members().is_none() && text.elements().is_none() && text.string().is_none()),
            }
        }

        #[test]
        fn no_body_panics(body in any::<Vec<u8>>(), near in "[\\[\\]{}\",:\\\\ a0]{0,12}") {
            for body in [body.as_slice(), near.as_bytes()] {
                if let Ok(text) = json(body) {
                    let _ = text.members().map(Iterator::count);
                    let _ = text.elements().map(Iterator::count);
                }
            }
        }
    }

    #[test]
    fn parts_keep_the_bytes_that_a_writer_would_change() {
        let text = json(br#" { "a" : 1.00e2 , "a":[ 1,2 ] ,"b":{ "x" : "\u00e9" } } "#).unwrap();
        let parts: Vec<_> = text.members().unwrap().map(|(name, part)| (name, part.as_str())).collect();
        assert_eq!(
            parts,
            [("a".into(), "1.00e2"), ("a".into(), "[ 1,2 ]"), ("b".into(), r#"{ "x" : "\u00e9" }"#)]
        );
    }

    #[test]
    fn a_name_that_is_no_text_does_not_end_the_members() {
        let text = json(br#"{"\ud800":1,"b":2}"#).unwrap();
        let names: Vec<_> = text.members().unwrap().map(|(name, _)| name).collect();
        assert_eq!(names, [r#""\ud800""#, "b"]);
    }

    #[test]
    fn an_object_that_serde_json_keeps_for_itself_is_one_like_any_other() {
        let text = br#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#;
        let value: Value = serde_json::from_slice(text).unwrap();
        assert!(value.get("a").is_none(), "the feature raw_value is on: {value}");
    }
}
