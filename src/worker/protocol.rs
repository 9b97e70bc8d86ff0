//! The lines that kq and a persistent command speak. Pure: no clock, no IO.
//!
//! kq writes a record in its JSON form with `"id"` and `"attempt"` in front, one a
//! line. The command answers in any order, one a line:
//! `{"id":7,"ok":true,"out":["…"]}`, `{"id":7,"retry_ms":500}`, `{"id":7,"fail":"why"}`.

use std::io::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

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

/// What a command said of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub id: u64,
    pub verdict: Verdict,
}

/// What becomes of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done; what it prints, whole lines.
    Ok(Vec<u8>),
    /// Again, not before this.
    Retry(Duration),
    /// It can't be handled.
    Fail(String),
    /// It names the record, and says nothing of it that can be understood.
    Invalid(String),
}

#[derive(Deserialize)]
struct Line {
    id: u64,
    ok: Option<bool>,
    #[serde(default)]
    out: Value,
    retry_ms: Option<u64>,
    fail: Option<String>,
}

/// An object that names a record.
#[derive(Deserialize)]
struct Named {
    id: u64,
}

/// Reads a line of a command's stdout; `None` where it is no answer.
///
/// `out` is a list of lines, or one line by itself; null is none. A string is printed as it is, any
/// other value as JSON, each with a newline.
pub(super) fn parse_answer(line: &[u8]) -> Option<Answer> {
    if !line.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Line { id, ok, out, retry_ms, fail } = match serde_json::from_slice(line) {
        Ok(line) => line,
        Err(e) => {
            let Named { id } = serde_json::from_slice(line).ok()?;
            return Some(Answer { id, verdict: Verdict::Invalid(e.to_string()) });
        }
    };
    let verdict = match (ok, retry_ms, fail) {
        (Some(true), None, None) => Verdict::Ok(printed(out)),
        (None | Some(false), Some(ms), None) => Verdict::Retry(Duration::from_millis(ms)),
        (None | Some(false), None, Some(why)) => Verdict::Fail(why),
        (Some(false), None, None) => Verdict::Fail("not ok".into()),
        _ => Verdict::Invalid("it takes one of \"ok\":true, \"retry_ms\", \"fail\"".into()),
    };
    Some(Answer { id, verdict })
}

fn printed(out: Value) -> Vec<u8> {
    let mut printed = Vec::new();
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
        line => print(&line),
    }
    printed
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

    #[test]
    fn the_three_answers_are_understood() {
        assert_eq!(
            parse_answer(br#"{"id":7,"ok":true}"#),
            Some(Answer { id: 7, verdict: Verdict::Ok(vec![]) })
        );
        assert_eq!(
            verdict(r#" {"ok":true,"out":["a",{"b":1}],"id":7}"#),
            Some(Verdict::Ok(b"a\n{\"b\":1}\n".to_vec()))
        );
        assert_eq!(verdict(r#"{"id":7,"retry_ms":500}"#), Some(Verdict::Retry(Duration::from_millis(500))));
        assert_eq!(verdict(r#"{"id":7,"fail":"why"}"#), Some(Verdict::Fail("why".into())));
        assert_eq!(verdict(r#"{"id":7,"ok":false}"#), Some(Verdict::Fail("not ok".into())));
    }

    #[test]
    fn a_line_that_is_no_answer_is_none() {
        for line in ["starting up", "", "{", "{}", r#"{"id":"7","ok":true}"#, r#"{"id":7,"ok":true"#, "[7]"] {
            assert_eq!(verdict(line), None, "{line}");
        }
    }

    #[test]
    fn an_output_may_be_one_line_by_itself() {
        for (out, printed) in
            [(r#""a""#, "a\n"), ("[]", ""), ("null", ""), (r#"{"b":1}"#, "{\"b\":1}\n"), ("7", "7\n")]
        {
            let line = format!(r#"{{"id":7,"ok":true,"out":{out}}}"#);
            assert_eq!(verdict(&line), Some(Verdict::Ok(printed.into())), "{line}");
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
            let Some(Answer { id: 7, verdict: Verdict::Invalid(why) }) = parse_answer(line.as_bytes()) else {
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
