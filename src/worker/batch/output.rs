//! What the command of a batch printed, as records for `--output-topic`. Pure: no clock, no IO.

use std::borrow::Cow;
use std::sync::Arc;

use crate::record::json::parse_json;
use crate::record::shape::keepable;
use crate::sending::outbox::Letter;

/// A record for each line, to this topic; the topic, partition and offset in a line do not count. An error
/// names the line.
pub(in crate::worker) fn letters(topic: &Arc<str>, printed: &[u8]) -> Result<Vec<Letter>, String> {
    if printed.is_empty() {
        return Ok(Vec::new());
    }
    let body = printed.strip_suffix(b"\n").unwrap_or(printed);
    let lines = body.split(|&byte| byte == b'\n').enumerate();
    lines.map(|(at, line)| letter(topic, line).map_err(|why| why_not(at + 1, &why))).collect()
}

fn why_not(line: usize, why: &str) -> String {
    format!(
        "line {line} of its output is no record, as --output-topic takes it with --batch (the form of `kq consume -J`): {why}"
    )
}

fn letter(topic: &Arc<str>, line: &[u8]) -> Result<Letter, String> {
    let record = parse_json(line).map_err(|e| format!("{e:#}"))?;
    let timestamp = record.timestamp.map(keepable).transpose().map_err(|e| format!("{e:#}"))?;
    Ok(Letter {
        topic: Arc::clone(topic),
        key: record.key.map(Cow::into_owned),
        value: record.value.map(Cow::into_owned),
        headers: record.headers,
        timestamp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_record_for_the_topic() {
        let printed = b"{\"topic\":\"in\",\"partition\":3,\"offset\":1,\"key\":\"k\",\"value\":\"v\",\"timestamp\":5,\"headers\":[[\"h\",null]]}\n{\"value\":null}";
        let letters = letters(&"out".into(), printed).unwrap();
        assert_eq!(letters.len(), 2);
        let Letter { topic, key, value, headers, timestamp } = &letters[0];
        assert_eq!((&**topic, key.as_deref(), value.as_deref()), ("out", Some(&b"k"[..]), Some(&b"v"[..])));
        assert_eq!((headers.as_slice(), *timestamp), (&[(b"h".to_vec(), None)][..], Some(5)));
        assert_eq!((&letters[1].key, &letters[1].value, letters[1].timestamp), (&None, &None, None));
    }

    #[test]
    fn nothing_printed_is_nothing_sent() {
        assert_eq!(letters(&"out".into(), b"").unwrap().len(), 0);
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        for (printed, part) in [
            (&b"{\"value\":\"v\"}\nhello\n"[..], "line 2 "),
            (b"\n", "line 1 of its output is no record"),
            (b"{\"key\":\"k\"}", "value"),
            (b"{\"value\":\"v\",\"timestamp\":0}", "timestamp"),
        ] {
            let why = letters(&"out".into(), printed).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
