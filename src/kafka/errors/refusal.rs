//! The words for a refused request: kq's own where it has better ones, then the broker's. Pure: no clock, no IO.

use crate::kafka::client::Refusal;
use crate::kafka::code::Code;

use super::{description, own_words};

/// Why a request was refused.
pub(crate) fn refusal_words(refusal: &Refusal) -> String {
    let Some(own) = own_words(refusal.code) else {
        let description = description(refusal.code);
        return match broker_words(refusal) {
            Some(reason) => format!("{description}: {reason}"),
            None => description,
        };
    };
    if says_all(refusal.code) { own } else { with_broker_words(&own, refusal) }
}

/// kq's own sentence for a refusal, and the broker's.
pub(crate) fn with_broker_words(own: &str, refusal: &Refusal) -> String {
    match broker_words(refusal) {
        Some(reason) => format!("{own}; the broker says: {reason}"),
        None => own.to_owned(),
    }
}

/// What the broker says, on one line; `None` where that is nothing, or the description of the code, which
/// librdkafka puts in the place of nothing.
pub(crate) fn broker_words(refusal: &Refusal) -> Option<String> {
    let reason = refusal.reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = reason.trim_start_matches("Broker: ").to_owned();
    let bare = |text: &str| text.trim_end_matches('.').to_lowercase();
    (!reason.is_empty() && bare(&reason) != bare(&description(refusal.code))).then_some(reason)
}

/// Whether the broker's words for a code say less than kq's own.
fn says_all(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::TopicAlreadyExists
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: Code, reason: &str) -> Refusal {
        Refusal { code, reason: reason.to_owned() }
    }

    #[test]
    fn the_brokers_words_follow_the_description_or_the_sentence_of_the_code() {
        for (code, reason, expected) in [
            (
                Code::InvalidTopic,
                "Topic 'a_b' collides with existing topic: a.b",
                "Invalid topic: Topic 'a_b' collides with existing topic: a.b",
            ),
            (Code::InvalidTopic, " two\n lines ", "Invalid topic: two lines"),
            // librdkafka's words where the broker has none.
            (Code::InvalidTopic, "Broker: Invalid topic", "Invalid topic"),
            (Code::InvalidTopic, "Invalid topic.", "Invalid topic"),
            (Code::InvalidTopic, "", "Invalid topic"),
            (Code::UnknownTopicOrPartition, "This server does not host this.", "the topic does not exist"),
        ] {
            assert_eq!(refusal_words(&refusal(code, reason)), expected);
        }
        let words = refusal_words(&refusal(Code::RequestTimedOut, "The node is busy."));
        assert!(words.ends_with("(give --timeout more); the broker says: The node is busy."), "{words}");
    }
}
