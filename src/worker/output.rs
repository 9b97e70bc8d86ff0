//! `--output-topic`: what the commands print, as records. And how a record is sent until it is acknowledged.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::completion::Printed;
use super::dead_letter;
use super::shared::{Shared, StopReason};
use crate::clock::backoff::Backoff;
use crate::clock::random;
use crate::kafka::errors::{Code, words};
use crate::record::{OwnedHeader, Record};
use crate::sending::outbox::{Letter, Outbox};

/// The topic that gets the commands' stdout, and what of it becomes a record.
pub(super) struct Output {
    pub outbox: Outbox,
    pub topic: Arc<str>,
    /// One record a line instead of one in all.
    pub lines: bool,
    pub copy_headers: bool,
}

impl Output {
    /// Sends what a command printed under its record's key, and waits until all of it is acknowledged.
    pub(super) async fn send(
        &self,
        record: &Record,
        headers: impl Iterator<Item = &OwnedHeader> + Clone,
        printed: Vec<u8>,
        backoff: Backoff,
        shared: &Shared,
    ) -> Printed {
        for value in values(record, printed, self.lines) {
            let letter = Letter {
                topic: Arc::clone(&self.topic),
                key: record.key.clone(),
                value,
                headers: if self.copy_headers { headers.clone().cloned().collect() } else { vec![] },
                timestamp: None,
            };
            if let Err(why) = deliver(&self.outbox, letter, backoff, shared).await {
                shared
                    .stop(StopReason::Policy(format!("{}: its output can't be sent: {why}", record.place())));
                return Printed::Lost;
            }
        }
        Printed::Delivered
    }
}

impl Output {
    /// Sends these letters, in their order, and waits until all of them are acknowledged. `place` is where the
    /// records are that they come from.
    pub(super) async fn send_all(
        &self,
        letters: Vec<Letter>,
        place: &dyn fmt::Display,
        backoff: Backoff,
        shared: &Shared,
    ) -> Printed {
        let mut sent = VecDeque::with_capacity(letters.len());
        for letter in letters {
            sent.push_back((letter.clone(), self.outbox.post(letter).await));
        }
        for (letter, answer) in sent {
            let outcome = match answer.outcome().await {
                Ok(()) => Ok(()),
                // Once more, with all that is done about each error.
                Err(_) => deliver(&self.outbox, letter, backoff, shared).await,
            };
            if let Err(why) = outcome {
                shared.stop(StopReason::Policy(format!("{place}: its output can't be sent: {why}")));
                return Printed::Lost;
            }
        }
        Printed::Delivered
    }
}

/// The values of the records that an output becomes.
fn values(record: &Record, printed: Vec<u8>, lines: bool) -> Vec<Option<Vec<u8>>> {
    if printed.is_empty() {
        // Nothing printed is nothing sent, but an empty record goes on: a tombstone stays one.
        let was_empty = record.value.as_ref().is_none_or(Vec::is_empty);
        return if was_empty { vec![record.value.clone()] } else { vec![] };
    }
    if !lines {
        return vec![Some(printed)];
    }
    let body = printed.strip_suffix(b"\n").unwrap_or(&printed);
    body.split(|&b| b == b'\n').map(|line| Some(line.to_vec())).collect()
}

/// The shortest wait before a letter is sent again.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// Sends a letter until it is acknowledged. Its lane waits, and nothing after its record is committed. An
/// error is one that no repetition helps.
pub(super) async fn deliver(
    outbox: &Outbox,
    mut letter: Letter,
    backoff: Backoff,
    shared: &Shared,
) -> Result<(), String> {
    let mut is_shortened = false;
    for attempt in 0.. {
        match outbox.send(letter.clone()).await {
            Ok(()) => return Ok(()),
            Err(Code::MessageSizeTooLarge) if !is_shortened => {
                is_shortened = true;
                letter = dead_letter::without_stderr(letter);
            }
            Err(Code::MessageSizeTooLarge) => {
                let topic = &letter.topic;
                return Err(format!(
                    "it is larger than {topic} takes (`kq topic alter {topic} --config max.message.bytes=N`)"
                ));
            }
            Err(code @ Code::InvalidTopic) => {
                return Err(format!("{}: {}", letter.topic, words(code)));
            }
            Err(code) => {
                shared.log.error(format_args!("send to {}: {}; trying again", letter.topic, words(code)));
                tokio::time::sleep(backoff.delay(attempt.min(32), random).max(SHORTEST_WAIT)).await;
            }
        }
    }
    unreachable!("the loop ends by returning")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Option<&str>) -> Record {
        Record { value: value.map(|value| value.as_bytes().to_vec()), ..Record::default() }
    }

    fn some(lines: &[&str]) -> Vec<Option<Vec<u8>>> {
        lines.iter().map(|line| Some(line.as_bytes().to_vec())).collect()
    }

    #[test]
    fn an_output_is_one_record_or_one_a_line() {
        let value = record(Some("x"));
        assert_eq!(values(&value, b"a\nb\n".to_vec(), false), some(&["a\nb\n"]));
        assert_eq!(values(&value, b"a\nb\n".to_vec(), true), some(&["a", "b"]));
        assert_eq!(values(&value, b"a\n\nb".to_vec(), true), some(&["a", "", "b"]));
    }

    #[test]
    fn without_an_output_only_an_empty_record_goes_on() {
        assert_eq!(values(&record(Some("x")), vec![], false), []);
        assert_eq!(values(&record(Some("")), vec![], true), some(&[""]));
        assert_eq!(values(&record(None), vec![], true), [None]);
    }
}
