//! The dead letter of a record: what it keeps, and the headers that say why. Pure: no clock, no IO.

use std::sync::Arc;

use super::policy::Ended;
use super::tally::FailureReason;
use crate::named::Named as _;
use crate::record::{OwnedHeader, Record};
use crate::sending::outbox::Letter;

/// Why and when a record was given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure<'a> {
    pub group: &'a str,
    pub attempts: u32,
    pub ended: &'a Ended,
    /// The end of the last attempt's stderr.
    pub stderr: &'a [u8],
    /// RFC 3339.
    pub failed_at: &'a str,
}

const PREFIX: &str = "kq.dlq.";
/// The header that says when a record failed.
pub(super) const FAILED_AT: &str = "kq.dlq.failed-at";
/// Where a record that was dead-lettered before comes from stays under this.
const ORIGIN: &str = "kq.dlq.origin-";
/// The headers that name where a record comes from.
const PLACE: [&str; 4] = ["topic", "partition", "offset", "timestamp"];

/// The letter: key, value (null stays null), timestamp and headers of the record
/// in order, then text headers about the failure. Where the record carries those
/// of an earlier failure already, they are replaced, and its first origin is kept.
pub(super) fn letter(topic: &Arc<str>, record: &Record, failure: Failure<'_>) -> Letter {
    let is_ours = |name: &[u8]| name.starts_with(PREFIX.as_bytes());
    let mut headers: Vec<OwnedHeader> =
        record.headers.iter().filter(|(name, _)| !is_ours(name)).cloned().collect();
    for place in PLACE {
        let held = |name: String| record.headers.iter().find(|(n, _)| *n == name.as_bytes());
        let first = held(format!("{ORIGIN}{place}")).or_else(|| held(format!("{PREFIX}{place}")));
        if let Some((_, value)) = first {
            headers.push((format!("{ORIGIN}{place}").into_bytes(), value.clone()));
        }
    }
    let mut add =
        |name: &str, value: Vec<u8>| headers.push((format!("{PREFIX}{name}").into_bytes(), Some(value)));
    add("topic", record.topic.as_bytes().to_vec());
    add("partition", record.partition.to_string().into());
    add("offset", record.offset.to_string().into());
    if let Some(ms) = record.timestamp.millis() {
        add("timestamp", ms.to_string().into());
    }
    add("group", failure.group.into());
    add("attempts", failure.attempts.to_string().into());
    add("reason", FailureReason::of(failure.ended).name().into());
    match failure.ended {
        Ended::Exit(code) => add("exit-code", code.to_string().into()),
        Ended::Signal(signal) => add("signal", signal.to_string().into()),
        _ => {}
    }
    add("stderr", failure.stderr.to_vec());
    add("failed-at", failure.failed_at.into());
    Letter {
        topic: Arc::clone(topic),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
        timestamp: record.timestamp.millis(),
    }
}

/// Takes the longest of our headers out, for a letter that was too large.
pub(super) fn without_stderr(mut letter: Letter) -> Letter {
    letter.headers.retain(|(name, _)| name != b"kq.dlq.stderr");
    letter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp;

    fn failure(ended: &Ended) -> Failure<'_> {
        Failure { group: "g", attempts: 4, ended, stderr: b"boom\n", failed_at: "2024-01-01T00:00:00Z" }
    }

    fn text(letter: &Letter, name: &str) -> Option<String> {
        let (_, value) = letter.headers.iter().find(|(n, _)| n == name.as_bytes())?;
        Some(String::from_utf8(value.clone()?).unwrap())
    }

    fn record(headers: Vec<OwnedHeader>) -> Record {
        Record {
            topic: "orders".into(),
            partition: 2,
            offset: 7,
            timestamp: Timestamp::Create(5),
            key: Some(vec![0, 255]),
            value: None,
            headers,
        }
    }

    #[test]
    fn a_letter_keeps_the_record_and_says_why() {
        let own = vec![(b"a".to_vec(), None), (b"a".to_vec(), Some(b"2".to_vec()))];
        let letter = letter(&"dead".into(), &record(own.clone()), failure(&Ended::Exit(3)));
        assert_eq!(&*letter.topic, "dead");
        assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(&[0, 255][..]), None));
        assert_eq!(letter.timestamp, Some(5));
        assert_eq!(letter.headers[..2], own);
        for (name, value) in [
            ("topic", "orders"),
            ("partition", "2"),
            ("offset", "7"),
            ("timestamp", "5"),
            ("group", "g"),
            ("attempts", "4"),
            ("reason", "exit"),
            ("exit-code", "3"),
            ("stderr", "boom\n"),
            ("failed-at", "2024-01-01T00:00:00Z"),
        ] {
            assert_eq!(text(&letter, &format!("kq.dlq.{name}")).as_deref(), Some(value), "{name}");
        }
        assert_eq!(text(&letter, "kq.dlq.origin-topic"), None);
    }

    #[test]
    fn a_letter_of_a_letter_keeps_the_first_origin() {
        let dead: Arc<str> = "dead".into();
        let first = letter(&dead, &record(vec![]), failure(&Ended::Signal(9)));
        let again = Record { topic: dead.clone(), partition: 0, offset: 99, ..record(first.headers) };
        let second = letter(&"deader".into(), &again, failure(&Ended::Timeout));
        let again = Record { topic: "deader".into(), offset: 100, ..record(second.headers) };
        let third = letter(&"deadest".into(), &again, failure(&Ended::Timeout));
        assert_eq!(text(&third, "kq.dlq.topic").as_deref(), Some("deader"));
        assert_eq!(text(&third, "kq.dlq.offset").as_deref(), Some("100"));
        assert_eq!(text(&third, "kq.dlq.origin-topic").as_deref(), Some("orders"));
        assert_eq!(text(&third, "kq.dlq.origin-offset").as_deref(), Some("7"));
        assert_eq!(text(&third, "kq.dlq.signal"), None);
        let topics = third.headers.iter().filter(|(name, _)| name == b"kq.dlq.topic").count();
        assert_eq!(topics, 1);
    }

    #[test]
    fn a_letter_too_large_goes_without_its_stderr() {
        let letter = without_stderr(letter(&"dead".into(), &record(vec![]), failure(&Ended::Timeout)));
        assert_eq!(text(&letter, "kq.dlq.stderr"), None);
        assert_eq!(text(&letter, "kq.dlq.reason").as_deref(), Some("timeout"));
    }
}
