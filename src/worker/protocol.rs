//! The lines that kq and a persistent command speak. Pure: no clock, no IO.
//!
//! kq writes a record in its JSON form with `"id"` and `"attempt"` in front, one a
//! line. The command answers in any order, one a line:
//! `{"id":7,"ok":true,"out":["…"]}`, `{"id":7,"retry_ms":500}`, `{"id":7,"fail":"why"}`.

use std::io::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::record::RecordRef;
use crate::record::json::append_json;

/// Appends the line that hands a record over.
pub(super) fn append_request(id: u64, attempt: u32, record: &RecordRef<'_>, out: &mut Vec<u8>) {
    let _ = write!(out, "{{\"id\":{id},\"attempt\":{attempt},");
    let start = out.len();
    append_json(record, out);
    // The record's own opening brace.
    out.remove(start);
    out.push(b'\n');
}

/// Appends the line of a record whose command reads it alone: nothing is answered.
pub(super) fn append_record(record: &RecordRef<'_>, out: &mut Vec<u8>) {
    append_json(record, out);
    out.push(b'\n');
}

/// What a command said of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// `None` where it has none, or one that is no number.
    pub id: Option<u64>,
    pub verdict: Verdict,
}

/// What becomes of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done, with this as its output: see [`append_printed`].
    Ok(Value),
    /// Again, not before this.
    Retry(Duration),
    /// It can't be handled.
    Fail(String),
    /// It names the record, and says nothing of it that can be understood.
    Invalid(String),
}

/// The keys of an answer.
const KEYS: [&str; 5] = ["id", "ok", "out", "retry_ms", "fail"];

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Value,
    ok: Option<bool>,
    #[serde(default)]
    out: Value,
    retry_ms: Option<u64>,
    fail: Option<String>,
}

/// An object that may name a record.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    id: Value,
}

/// The number that an id is: many languages make a string or a fraction of it on the way.
fn number(id: &Value) -> Option<u64> {
    match id {
        Value::Number(id) => id.as_u64().or_else(|| id.as_f64().and_then(whole)),
        Value::String(id) => id.parse().ok().or_else(|| id.parse().ok().and_then(whole)),
        _ => None,
    }
}

/// A number without a fraction.
fn whole(number: f64) -> Option<u64> {
    // Up to here an f64 has each whole number.
    let is_whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
    is_whole.then_some(number as u64)
}

/// Reads a line of a command's stdout; `None` where it is no JSON object.
pub(super) fn parse_answer(line: &[u8]) -> Option<Answer> {
    if !line.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Line { id, ok, out, retry_ms, fail } = match serde_json::from_slice(line) {
        Ok(line) => line,
        Err(e) => {
            let Named { id } = serde_json::from_slice(line).ok()?;
            return Some(Answer { id: number(&id), verdict: Verdict::Invalid(e.to_string()) });
        }
    };
    let verdict = match (ok, retry_ms, fail) {
        (Some(true), None, None) => Verdict::Ok(out),
        (None | Some(false), Some(ms), None) => Verdict::Retry(Duration::from_millis(ms)),
        (None | Some(false), None, Some(why)) => Verdict::Fail(why),
        (Some(false), None, None) => Verdict::Fail("not ok".into()),
        _ => Verdict::Invalid("it takes one of \"ok\":true, \"retry_ms\", \"fail\"".into()),
    };
    Some(Answer { id: number(&id), verdict })
}

/// Whether a line is an object with some of the keys of an answer and no others: it is meant as one, whatever its id.
pub(super) fn is_meant_as_answer(line: &[u8]) -> bool {
    let object = serde_json::from_slice::<Map<String, Value>>(line);
    object.is_ok_and(|object| !object.is_empty() && object.keys().all(|key| KEYS.contains(&key.as_str())))
}

/// Appends what `out` of an answer prints: a list is several lines, null is none, all else is one. A string
/// is printed as it is, any other value as JSON, each with a newline.
pub(super) fn append_printed(out: &Value, printed: &mut Vec<u8>) {
    let mut print = |value: &Value| {
        match value {
            Value::String(text) => printed.extend_from_slice(text.as_bytes()),
            value => printed.extend_from_slice(value.to_string().as_bytes()),
        }
        printed.push(b'\n');
    };
    match out {
        Value::Null => {}
        Value::Array(lines) => lines.iter().for_each(print),
        line => print(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::record::json::parse_json;
    use proptest::prelude::*;

    fn verdict(line: &str) -> Option<Verdict> {
        parse_answer(line.as_bytes()).map(|answer| answer.verdict)
    }

    fn printed(out: &str) -> String {
        let line = format!(r#"{{"id":7,"ok":true,"out":{out}}}"#);
        let Some(Verdict::Ok(out)) = verdict(&line) else { panic!("{line}") };
        let mut printed = Vec::new();
        append_printed(&out, &mut printed);
        String::from_utf8(printed).unwrap()
    }

    #[test]
    fn the_three_answers_are_understood() {
        assert_eq!(
            parse_answer(br#"{"id":7,"ok":true}"#),
            Some(Answer { id: Some(7), verdict: Verdict::Ok(Value::Null) })
        );
        assert_eq!(
            parse_answer(br#" {"ok":true,"out":["a"],"id":7}"#),
            Some(Answer { id: Some(7), verdict: Verdict::Ok(vec!["a"].into()) })
        );
        assert_eq!(verdict(r#"{"id":7,"retry_ms":500}"#), Some(Verdict::Retry(Duration::from_millis(500))));
        assert_eq!(verdict(r#"{"id":7,"fail":"why"}"#), Some(Verdict::Fail("why".into())));
        assert_eq!(verdict(r#"{"id":7,"ok":false}"#), Some(Verdict::Fail("not ok".into())));
    }

    #[test]
    fn a_line_that_is_no_object_is_none() {
        for line in ["starting up", "", "{", r#"{"id":7,"ok":true"#, "[7]", "7", r#"{"id":7}{"id":8}"#] {
            assert_eq!(verdict(line), None, "{line}");
            assert!(!is_meant_as_answer(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn an_id_may_be_a_string_or_a_fraction_without_one() {
        let id = |id: &str| parse_answer(format!(r#"{{"id":{id},"ok":true}}"#).as_bytes()).unwrap().id;
        for seven in ["7", "\"7\"", "7.0", "\"7.0\"", "7e0"] {
            assert_eq!(id(seven), Some(7), "{seven}");
        }
        assert_eq!(id("18446744073709551615"), Some(u64::MAX));
        for none in
            ["null", "-7", "7.5", "\"\"", "\"seven\"", "true", "[7]", "{\"id\":7}", "1e300", "\"inf\""]
        {
            assert_eq!(id(none), None, "{none}");
        }
        assert_eq!(parse_answer(br#"{"ok":true}"#).unwrap().id, None);
    }

    #[test]
    fn an_object_of_an_answers_keys_alone_is_meant_as_one() {
        for line in [
            r#"{"id":99,"ok":true}"#,
            r#"{"ok":"yes"}"#,
            r#"{"id":null}"#,
            r#" {"fail":1,"out":{"level":2}}"#,
        ] {
            assert!(is_meant_as_answer(line.as_bytes()), "{line}");
        }
        for line in ["{}", r#"{"id":7,"level":"info"}"#, r#"{"message":"ok"}"#, r#"{"ok":true,"OK":true}"#] {
            assert!(!is_meant_as_answer(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn an_output_may_be_one_line_by_itself() {
        for (out, lines) in [
            (r#""a""#, "a\n"),
            ("[]", ""),
            ("null", ""),
            (r#"{"b":1}"#, "{\"b\":1}\n"),
            ("7", "7\n"),
            (r#"["a",{"b":1}]"#, "a\n{\"b\":1}\n"),
        ] {
            assert_eq!(printed(out), lines, "{out}");
        }
    }

    #[test]
    fn a_bad_answer_that_names_a_record_says_what_is_wrong() {
        for (line, part) in [
            (r#"{"id":7}"#, "it takes one of"),
            (r#"{"id":7,"ok":true,"fail":"both"}"#, "it takes one of"),
            (r#"{"id":7,"retry_ms":1.5}"#, "1.5"),
            (r#"{"id":7,"ok":"yes"}"#, "boolean"),
            (r#"{"id":7,"fail":{"code":3}}"#, "string"),
        ] {
            let Some(Answer { id: Some(7), verdict: Verdict::Invalid(why) }) = parse_answer(line.as_bytes())
            else {
                panic!("{line}")
            };
            assert!(why.contains(part), "{line}: {why}");
        }
    }

    proptest! {
        #[test]
        fn a_request_is_one_line_with_the_whole_record(
            id in any::<u64>(),
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let record = Record { topic: "t".into(), key: key.clone(), value: value.clone(), ..Record::default() };
            let mut line = Vec::new();
            record.with_ref(|record| append_request(id, 2, &record, &mut line));
            prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
            let object: Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(object["id"].as_u64(), Some(id));
            prop_assert_eq!(object["attempt"].as_u64(), Some(2));
            let read = parse_json(&line).unwrap();
            prop_assert_eq!((read.key.as_deref(), read.value.as_deref()), (key.as_deref(), value.as_deref()));
        }
    }
}
