//! Whether a value is JSON, or valid against a JSON Schema, and if not, why. Pure: no clock, no IO.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow, bail};
use jsonschema::PatternOptions;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::record::json::short;

/// What a value must be to be sent.
#[derive(Debug)]
pub(crate) enum Validator {
    /// One JSON text (RFC 8259) in UTF-8 that other parsers can hold: half of a surrogate pair and a number
    /// beyond a double's range are refused, as I-JSON (RFC 7493) advises, since some parsers refuse these
    /// and others replace them. It is nested to any depth; a name may be in an object twice.
    Json,
    /// JSON that a JSON Schema accepts, its formats included. Text that is nested deeper than 127 is refused.
    Schema(Box<jsonschema::Validator>),
}

impl Validator {
    /// The validator of a JSON Schema, by the draft that its `$schema` names, else by 2020-12.
    /// The schema may refer to itself and to the meta-schemas, but to no other document.
    ///
    /// A pattern may have look-around and back-references: then a value can make it take long, up to a bound
    /// at which the value is refused.
    pub(crate) fn schema(text: &[u8]) -> anyhow::Result<Self> {
        let schema = parse_schema(text)?;
        built(&schema, PatternOptions::fancy_regex()).map_err(|(what, at)| anyhow!("{what}{at}"))
    }

    /// The same for values that anyone may send: the time of each pattern is linear in the length of the
    /// string. A schema with a pattern that cannot be matched so is an error.
    pub(crate) fn linear_schema(text: &[u8]) -> anyhow::Result<Self> {
        let schema = parse_schema(text)?;
        built(&schema, PatternOptions::regex()).map_err(|(what, at)| {
            if built(&schema, PatternOptions::fancy_regex()).is_err() {
                return anyhow!("{what}{at}");
            }
            anyhow!(
                "a pattern has look-around or a back-reference, which takes too long on some values that a client may \
                 send; write it without{at}"
            )
        })
    }

    /// The formats that a schema names and that are not checked, since its draft does not define them.
    pub(crate) fn unknown_formats(text: &[u8]) -> Vec<String> {
        let schema: Value = serde_json::from_slice(text).unwrap_or_default();
        let mut named = BTreeSet::new();
        collect_formats(&schema, &mut named);
        let draft = schema.get("$schema");
        let is_known = |format: &str| {
            let mut probe = serde_json::json!({ "format": format });
            if let Some(draft) = draft {
                probe["$schema"] = draft.clone();
            }
            let options = jsonschema::options().should_validate_formats(true);
            options.should_ignore_unknown_formats(false).build(&probe).is_ok()
        };
        named.into_iter().filter(|format| !is_known(format)).map(short).collect()
    }

    /// Why the value is not valid, in one line.
    pub(crate) fn check(&self, value: &[u8]) -> Result<(), String> {
        let Ok(text) = std::str::from_utf8(value) else {
            let at = value.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
            return Err(format!("not JSON: byte {} is not UTF-8", at + 1));
        };
        if text.trim_ascii().is_empty() {
            return Err("not JSON: it is empty".into());
        }
        if text.starts_with('\u{feff}') {
            return Err("not JSON: it begins with a byte order mark".into());
        }
        let not_json = |e: serde_json::Error| {
            // The caller names the value's place; serde_json counts lines within the value, from 1.
            let what = e.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            let line = if e.line() > 1 { format!("line {}, ", e.line()) } else { String::new() };
            format!("not JSON: {what} ({line}column {})", e.column())
        };
        match self {
            // Read without recursion, so that no depth overflows the stack.
            Self::Json => {
                serde_json::from_str::<IgnoredAny>(text).map_err(not_json)?;
                portable(text)
                    .map_err(|(what, at)| format!("not JSON that every parser reads: {what} (byte {at})"))
            }
            Self::Schema(validator) => {
                let instance: Value = match serde_json::from_str(text) {
                    Ok(instance) => instance,
                    Err(e) => return Self::Json.check(value).and(Err(not_json(e))),
                };
                validator.validate(&instance).map_err(|e| {
                    let at = e.instance_path().as_str();
                    let at = if at.is_empty() { String::new() } else { format!(" (at {})", short(at)) };
                    format!("against the schema: {}{at}", short(&e.to_string()))
                })
            }
        }
    }
}

/// A schema as JSON.
fn parse_schema(text: &[u8]) -> anyhow::Result<Value> {
    let schema: Value = serde_json::from_slice(text).context("not JSON")?;
    if !schema.is_object() && !schema.is_boolean() {
        bail!("a schema is an object");
    }
    Ok(schema)
}

/// The validator with this engine for patterns; else what is wrong, and where in the schema.
fn built<E>(schema: &Value, patterns: PatternOptions<E>) -> Result<Validator, (String, String)> {
    // With this base, a relative reference reaches the retriever, whose error says what to do.
    let options = jsonschema::options().with_base_uri("schema:///").with_retriever(Alone);
    // By the newer drafts, a format is a remark and no assertion.
    let options = options.should_validate_formats(true).with_pattern_options(patterns);
    let validator = options.build(schema).map_err(|e| {
        let at = e.instance_path().as_str();
        let at = if at.is_empty() { String::new() } else { format!(" (at {at} of the schema)") };
        (short(&e.to_string()), at)
    })?;
    Ok(Validator::Schema(Box::new(validator)))
}

/// Whether a text that keeps to JSON's grammar has no number beyond a double's range and no half of a
/// surrogate pair; else which of them, and its first byte, from 1.
fn portable(text: &str) -> Result<(), (&'static str, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = portable_string(bytes, at + 1)?,
            b'-' | b'0'..=b'9' => {
                let is_more = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let length = bytes[at..].iter().take_while(is_more).count();
                // A shorter one without an exponent is in the range.
                let number = &text[at..at + length];
                let may_exceed = length > 300 || number.contains(['e', 'E']);
                if may_exceed && number.parse::<f64>().is_ok_and(f64::is_infinite) {
                    return Err(("a number out of range", at + 1));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// The same for the string whose content begins here; gives where it ends.
fn portable_string(bytes: &[u8], mut at: usize) -> Result<usize, (&'static str, usize)> {
    // The code unit of an escape at this place.
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    loop {
        let next = at + memchr::memchr2(b'"', b'\\', &bytes[at..]).unwrap_or(bytes.len() - at);
        at = match (bytes.get(next), unit(next)) {
            (Some(b'\\'), Some(0xD800..=0xDBFF)) if matches!(unit(next + 6), Some(0xDC00..=0xDFFF)) => {
                next + 12
            }
            (Some(b'\\'), Some(0xD800..=0xDFFF)) => return Err(("half of a surrogate pair", next + 1)),
            (Some(b'\\'), _) => next + 2,
            _ => return Ok(next + 1),
        };
    }
}

/// Adds the values of `format` in a schema, but for those in values that it only compares with or shows.
fn collect_formats<'a>(schema: &'a Value, found: &mut BTreeSet<&'a str>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| collect_formats(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("format", Value::String(format)) => _ = found.insert(format),
                    ("const" | "enum" | "default" | "examples", _) => {}
                    _ => collect_formats(value, found),
                }
            }
        }
        _ => {}
    }
}

/// Fetches nothing: a schema is one document.
struct Alone;

impl jsonschema::Retrieve for Alone {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let uri = uri.as_str();
        let uri = uri.strip_prefix("schema:///").unwrap_or(uri);
        Err(format!("kq reads no other document than the schema; put {uri} under its $defs").into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schema(text: &str) -> Validator {
        Validator::schema(text.as_bytes()).unwrap()
    }

    #[test]
    fn one_json_text_is_valid_and_nothing_else() {
        for valid in [
            "1",
            " null ",
            "\"a\"",
            "[]",
            "{\"a\":1,\"a\":2}",
            "\r\n[1,\n2]\r",
            "1e308",
            r#""\ud834\udd1e\\u""#,
        ] {
            assert_eq!(Validator::Json.check(valid.as_bytes()), Ok(()), "{valid}");
        }
        for (invalid, reason) in [
            ("", "not JSON: it is empty"),
            ("  ", "not JSON: it is empty"),
            ("{\"a\":}", "not JSON: expected value (column 6)"),
            ("1 2", "not JSON: trailing characters (column 3)"),
            ("{\"a\":1", "not JSON: EOF while parsing an object (column 6)"),
            ("[1,\n2,]", "not JSON: expected value (line 2, column 3)"),
            ("\u{feff}1", "not JSON: it begins with a byte order mark"),
            ("01", "not JSON: invalid number (column 2)"),
            ("[0,-1e999]", "not JSON that every parser reads: a number out of range (byte 4)"),
            (r#"{"a":"\ud800"}"#, "not JSON that every parser reads: half of a surrogate pair (byte 7)"),
            ("NaN", "not JSON: expected value (column 1)"),
            (
                "\"\t\"",
                "not JSON: control character (\\u0000-\\u001F) found while parsing a string (column 1)",
            ),
        ] {
            assert_eq!(Validator::Json.check(invalid.as_bytes()).unwrap_err(), reason, "{invalid}");
        }
        assert_eq!(Validator::Json.check(b"\"a\xff\"").unwrap_err(), "not JSON: byte 3 is not UTF-8");
    }

    #[test]
    fn no_depth_overflows_the_stack() {
        let deep = [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat();
        assert_eq!(Validator::Json.check(&deep), Ok(()));
        assert!(Validator::Json.check(&deep[1..]).is_err());
        let recursive = schema(r##"{"items":{"$ref":"#"}}"##);
        assert!(recursive.check(&deep).unwrap_err().contains("recursion limit"));
        let within = [b"[".repeat(127), b"]".repeat(127)].concat();
        assert_eq!(recursive.check(&within), Ok(()));
    }

    #[test]
    fn a_schema_says_what_is_wrong_and_where() {
        let validator = schema(
            r##"{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},
                "tags":{"items":{"$ref":"#/$defs/tag"}}},"$defs":{"tag":{"type":"string","maxLength":3}}}"##,
        );
        assert_eq!(validator.check(br#"{"id":1,"tags":["a"],"more":null}"#), Ok(()));
        for (value, reason) in [
            ("{}", "against the schema: \"id\" is a required property"),
            ("[]", "against the schema: [] is not of type \"object\""),
            (r#"{"id":"x"}"#, "against the schema: \"x\" is not of type \"integer\" (at /id)"),
            (
                r#"{"id":1,"tags":["a","long"]}"#,
                "against the schema: \"long\" is longer than 3 characters (at /tags/1)",
            ),
            ("{", "not JSON: EOF while parsing an object (column 1)"),
        ] {
            assert_eq!(validator.check(value.as_bytes()).unwrap_err(), reason, "{value}");
        }
    }

    #[test]
    fn a_format_is_checked_in_every_draft_and_one_that_is_not_known_is_named() {
        for draft in ["", r#""$schema":"http://json-schema.org/draft-07/schema#","#] {
            let text = format!(
                r#"{{{draft}"properties":{{"at":{{"format":"date-time"}},"format":{{"format":"email"}},
                    "n":{{"format":"int32"}}}},"examples":[{{"format":"pdf"}}]}}"#
            );
            let validator = schema(&text);
            assert_eq!(validator.check(br#"{"at":"2024-05-01T12:30:00Z","format":"a@b.c","n":1}"#), Ok(()));
            let reason = validator.check(br#"{"at":"yesterday"}"#).unwrap_err();
            assert_eq!(reason, "against the schema: \"yesterday\" is not a \"date-time\" (at /at)");
            assert_eq!(Validator::unknown_formats(text.as_bytes()), ["int32"]);
        }
        let uuid = r#"{"$schema":"http://json-schema.org/draft-07/schema#","format":"uuid"}"#;
        assert_eq!(Validator::unknown_formats(uuid.as_bytes()), ["uuid"]);
        assert!(Validator::unknown_formats(br#"{"format":"uuid"}"#).is_empty());
    }

    #[test]
    fn a_large_value_is_not_repeated_whole() {
        let value = format!("\"{}\"", "x".repeat(100_000));
        let reason = schema(r#"{"type":"integer"}"#).check(value.as_bytes()).unwrap_err();
        assert!(reason.len() < 1000 && reason.contains('…'), "{reason}");
    }

    #[test]
    fn a_bad_schema_is_an_error_that_says_why() {
        for (text, part) in [
            ("{", "not JSON"),
            ("[]", "a schema is an object"),
            (r#"{"type":"text"}"#, "(at /type of the schema)"),
            (r#"{"minLength":-1}"#, "/minLength"),
            (r#"{"pattern":"("}"#, "regex"),
            (r##"{"$ref":"#/$defs/none"}"##, "/$defs/none"),
            (r#"{"$ref":"other.json"}"#, "put other.json under its $defs"),
            (r#"{"$ref":"https://example.com/s.json"}"#, "https://example.com/s.json"),
            (r#"{"$ref":"file:///etc/passwd"}"#, "file:///etc/passwd"),
            (r#"{"$schema":"https://example.com/draft"}"#, "https://example.com/draft"),
        ] {
            let error = format!("{:#}", Validator::schema(text.as_bytes()).unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_matched_in_linear_time_is_refused_where_anyone_may_send() {
        let linear = |text: &str| Validator::linear_schema(text.as_bytes());
        for text in [
            r#"{"properties":{"a":{"pattern":"^(?!x).*a$"}}}"#,
            r#"{"patternProperties":{"^(a|b)\\1$":{}}}"#,
            r#"{"$defs":{"d":{"pattern":"(?<=a)b"}},"properties":{"a":{"$ref":"\u0023/$defs/d"}}}"#,
        ] {
            let error = linear(text).unwrap_err().to_string();
            assert!(error.contains("look-around") && error.contains("of the schema)"), "{text}: {error}");
            assert!(Validator::schema(text.as_bytes()).is_ok(), "{text}");
        }
        for (text, part) in
            [("{", "not JSON"), (r#"{"pattern":"("}"#, "regex"), ("[]", "a schema is an object")]
        {
            let error = format!("{:#}", linear(text).unwrap_err());
            assert!(error.contains(part) && !error.contains("look-around"), "{text}: {error}");
        }
        // By back-tracking, this takes 2^n steps.
        let validator = linear(r#"{"pattern":"^(a+)+$"}"#).unwrap();
        assert_eq!(validator.check(format!("\"{}\"", "a".repeat(100_000)).as_bytes()), Ok(()));
        let reason = validator.check(format!("\"{}!\"", "a".repeat(100_000)).as_bytes()).unwrap_err();
        assert!(reason.starts_with("against the schema: "), "{reason}");
    }

    #[test]
    fn a_schema_that_only_refers_to_itself_takes_everything_and_ends() {
        for text in [
            r##"{"$ref":"#"}"##,
            r##"{"allOf":[{"$ref":"#"}]}"##,
            r##"{"anyOf":[{"$ref":"#"}]}"##,
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
        ] {
            let _ = Validator::schema(text.as_bytes()).map(|v| v.check(b"1"));
        }
    }

    /// Any JSON value.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_reason_is_one_short_line(bytes in any::<Vec<u8>>()) {
            let demanding = schema(r#"{"type":"object","properties":{"a":{"pattern":"^x+$"}},"required":["a"]}"#);
            for validator in [Validator::Json, demanding] {
                if let Err(reason) = validator.check(&bytes) {
                    prop_assert!(reason.len() < 1000 && !reason.contains('\n'), "{}", reason);
                }
            }
        }

        #[test]
        fn what_looks_like_json_does_not_panic_either(text in r#"[\[\]{}",:0-9eE.+\-\\utrfalsn \n]{0,40}"#) {
            let json = Validator::Json.check(text.as_bytes());
            // An empty schema asks for JSON and no more.
            prop_assert_eq!(schema("{}").check(text.as_bytes()), json);
        }

        #[test]
        fn json_and_a_schema_that_takes_everything_say_the_same(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(r"\ud83d".to_owned()), Just(r"\udE00".to_owned()), Just(r"\u0041".to_owned()),
                    Just(r"\\".to_owned()), Just(r#"\""#.to_owned()), "[a-z🦀]",
                ],
                0..6,
            ),
            number in "-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,3})?",
        ) {
            let text = format!("{{\"{0}\":[\"{0}\",{number}]}}", parts.concat());
            let json = Validator::Json.check(text.as_bytes());
            prop_assert_eq!(&json, &schema("true").check(text.as_bytes()), "{}", text);
        }

        #[test]
        fn every_json_is_valid_and_no_beginning_of_an_array_is(value in json()) {
            let text = serde_json::to_vec(&[value]).unwrap();
            prop_assert_eq!(Validator::Json.check(&text), Ok(()));
            prop_assert_eq!(schema("{}").check(&text), Ok(()));
            for end in 0..text.len() {
                prop_assert!(Validator::Json.check(&text[..end]).is_err());
            }
        }
    }
}
