//! What one line of stderr says, and its forms: for people, with a time in front, as JSON. Pure: no clock, no IO.

use serde::Serialize;

use super::place::{self, Named};
use crate::clock::time;

/// How much a line matters, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Something went wrong: shown even with `-q`.
    Error,
    /// Something a person should know.
    Info,
    /// What kq does, with `-v`.
    Debug,
    /// What librdkafka does, with `-vv`.
    Trace,
    /// A line that a command of the user wrote.
    Command,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
            Self::Command => "command",
        }
    }
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// `kq: message`
    #[default]
    Text,
    /// `2026-11-28T11:30:17.042Z kq: message`
    Timed,
    /// One JSON object.
    Json,
}

/// One line for stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub level: Level,
    pub message: String,
    /// So many further lines like this one are not written.
    pub repeated: Option<Repeated>,
    /// What wrote a line of [`Level::Command`]: the command of this record, or this process.
    source: Option<String>,
}

/// Lines that were counted and not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    pub times: u64,
    /// The time in which they came, in seconds.
    pub seconds: u64,
}

/// A line as JSON: these names are documented.
#[derive(Serialize)]
struct Object<'a> {
    time: String,
    level: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<u64>,
}

impl Line {
    /// A line of kq.
    pub(crate) fn new(level: Level, message: impl Into<String>) -> Self {
        Self { level, message: message.into(), repeated: None, source: None }
    }

    /// The same message, which came so many times more.
    pub(super) fn repeated(level: Level, message: String, repeated: Repeated) -> Self {
        Self { level, message, repeated: Some(repeated), source: None }
    }

    /// A line of a command's stderr, of which only JSON needs text.
    fn of_command(source: &str, said: &[u8]) -> Self {
        let message = String::from_utf8_lossy(said).into_owned();
        Self { level: Level::Command, message, repeated: None, source: Some(source.to_owned()) }
    }

    /// The bytes of the line, with its newline. `now` is the time in milliseconds since the epoch.
    pub(crate) fn bytes(&self, form: Form, now: i64) -> Vec<u8> {
        let Self { message, repeated, .. } = self;
        if form == Form::Json {
            return self.json(now);
        }
        let time = if form == Form::Timed { format!("{} ", time::stamp(now)) } else { String::new() };
        let more =
            repeated.map(|Repeated { times, seconds }| format!(" ({times} more like this in {seconds} s)"));
        format!("{time}kq: {message}{}\n", more.unwrap_or_default()).into_bytes()
    }

    fn json(&self, now: i64) -> Vec<u8> {
        let source = self.source.as_deref();
        let (place, is_record) = match source {
            Some(source) => place::of_source(source).unzip(),
            None => (place::of_message(&self.message), Some(true)),
        };
        let is_record = is_record == Some(true);
        let object = Object {
            time: time::stamp(now),
            level: self.level.name(),
            message: &self.message,
            topic: place.map(|Named { topic, .. }| topic),
            partition: place.map(|Named { partition, .. }| partition),
            offset: place.and_then(|Named { offset, .. }| offset),
            source: source.filter(|_| !is_record),
            repeated: self.repeated.map(|repeated| repeated.times),
        };
        let mut bytes = serde_json::to_vec(&object).expect("text and numbers");
        bytes.push(b'\n');
        bytes
    }
}

/// A line that a command wrote to its stderr, after the record's place or the command's name. No time stands
/// before it: the command may write one itself.
pub(crate) fn passed_on(source: &str, said: &[u8], form: Form, now: i64) -> Vec<u8> {
    if form == Form::Json {
        return Line::of_command(source, said).json(now);
    }
    [source.as_bytes(), b": ", said, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_795_865_417_042;

    fn text(line: &Line, form: Form) -> String {
        String::from_utf8(line.bytes(form, NOW)).unwrap()
    }

    fn object(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_line_has_three_forms() {
        let line = Line::new(Level::Info, "orders[0]@17: exit 1, to \"dlq\"");
        assert_eq!(text(&line, Form::Text), "kq: orders[0]@17: exit 1, to \"dlq\"\n");
        assert_eq!(
            text(&line, Form::Timed),
            "2026-11-28T11:30:17.042Z kq: orders[0]@17: exit 1, to \"dlq\"\n"
        );
        assert_eq!(
            text(&line, Form::Json),
            "{\"time\":\"2026-11-28T11:30:17.042Z\",\"level\":\"info\",\
             \"message\":\"orders[0]@17: exit 1, to \\\"dlq\\\"\",\"topic\":\"orders\",\"partition\":0,\"offset\":17}\n"
        );
    }

    #[test]
    fn lines_that_were_counted_are_said_in_words_and_as_a_number() {
        let repeated = Repeated { times: 12, seconds: 10 };
        let line = Line::repeated(Level::Error, "no room".into(), repeated);
        assert_eq!(text(&line, Form::Text), "kq: no room (12 more like this in 10 s)\n");
        let object = object(&line.bytes(Form::Json, NOW));
        assert_eq!((&object["message"], &object["repeated"]), (&json!("no room"), &json!(12)));
    }

    #[test]
    fn a_line_of_a_command_is_passed_on_as_it_is_or_named_in_json() {
        for form in [Form::Text, Form::Timed] {
            assert_eq!(passed_on("t[0]@7", b"caf\xe9 \x1b[1m", form, NOW), b"t[0]@7: caf\xe9 \x1b[1m\n");
        }
        let of_record = object(&passed_on("t[0]@7", b"see x[9]: caf\xe9", Form::Json, NOW));
        assert_eq!(
            of_record,
            json!({"time": "2026-11-28T11:30:17.042Z", "level": "command", "message": "see x[9]: caf\u{fffd}",
                   "topic": "t", "partition": 0, "offset": 7})
        );
        let of_process = object(&passed_on("handler.py[pid 7]", b"ready", Form::Json, NOW));
        assert_eq!(
            (&of_process["source"], &of_process["topic"]),
            (&json!("handler.py[pid 7]"), &Value::Null)
        );
    }

    #[test]
    fn a_line_of_a_command_that_has_many_records_names_all_of_them_and_the_first() {
        let of_batch = object(&passed_on("t[0]@7..9", b"x", Form::Json, NOW));
        assert_eq!(
            (&of_batch["topic"], &of_batch["offset"], &of_batch["source"]),
            (&json!("t"), &json!(7), &json!("t[0]@7..9"))
        );
    }

    proptest! {
        #[test]
        fn any_message_is_one_line_of_json(message in "\\PC{0,20}[\\n\\r\\t\"\\\\\\x00\\x1b\u{2028}]{0,4}\\PC{0,20}") {
            let bytes = Line::new(Level::Error, message.clone()).bytes(Form::Json, NOW);
            prop_assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1));
            prop_assert_eq!(&object(&bytes)["message"], &json!(message));
        }

        #[test]
        fn any_line_of_a_command_is_one_line_of_json(said in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytes = passed_on("t[0]@7", &said, Form::Json, NOW);
            prop_assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1));
            prop_assert!(object(&bytes)["message"].is_string());
        }
    }
}
