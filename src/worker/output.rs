//! `--output-topic`: what the commands print, as records. And how a record is sent until it is acknowledged.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::completion::Printed;
use super::dead_letter;
use super::output_records::{OutputRecord, of_answer, values};
use super::shared::{Shared, StopReason};
use crate::clock::backoff::Backoff;
use crate::clock::random;
use crate::kafka::errors::{Code, words};
use crate::record::{OwnedHeader, Record};
use crate::sending::outbox::{Letter, Outbox};

/// The topic that gets the commands' output, and what of it becomes a record.
#[derive(Clone)]
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
        let values = values(record, printed, self.lines).into_iter();
        let letters = values.map(|value| Letter {
            topic: Arc::clone(&self.topic),
            key: record.key.clone(),
            value,
            headers: if self.copy_headers { headers.clone().cloned().collect() } else { vec![] },
            timestamp: None,
        });
        self.deliver(record, letters, backoff, shared).await
    }

    /// The letters that `out` of an answer becomes; `headers` are those that are copied.
    pub(super) fn letters_of_answer<'a>(
        &self,
        record: &Record,
        headers: &(impl Iterator<Item = &'a OwnedHeader> + Clone),
        out: &Value,
    ) -> Result<Vec<Letter>, String> {
        let records = of_answer(record, out, self.lines, &self.topic)?.into_iter();
        let letter = |OutputRecord { key, value, headers: own, timestamp }| Letter {
            topic: Arc::clone(&self.topic),
            key,
            value,
            headers: own.unwrap_or_else(|| headers.clone().cloned().collect()),
            timestamp,
        };
        Ok(records.map(letter).collect())
    }

    /// Sends a record's output, and waits until all of it is acknowledged.
    pub(super) async fn deliver(
        &self,
        record: &Record,
        letters: impl IntoIterator<Item = Letter>,
        backoff: Backoff,
        shared: &Shared,
    ) -> Printed {
        for letter in letters {
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
