//! What a record that was not acknowledged means for its request: a status, and whether a retry duplicates.
//! Pure: no clock, no IO.

use hyper::StatusCode;

use super::problem::Fate;
use crate::kafka::client::Persistence;
use crate::kafka::code::Code;

/// Why a record is not acknowledged. In ascending order: of several, the last decides the status of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// 422: the cluster refuses this record.
    Refused,
    /// 413: it is above a limit of its topic.
    TooLarge,
    /// 503: it was not sent, or not written; a retry may be taken.
    Unavailable,
    /// 502: the cluster refuses kq, whatever the record.
    RefusesKq,
    /// 504: it may be there.
    Unknown,
}

impl Fault {
    /// What an error of the client means.
    pub(crate) fn of(code: Code, persistence: Persistence) -> Self {
        match code {
            // The broker looked at it, and wrote none of its batch.
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Self::TooLarge,
            Code::InvalidRecord | Code::InvalidTimestamp | Code::InvalidMessageSize | Code::BadMessage => {
                Self::Refused
            }
            _ if persistence == Persistence::Possibly => Self::Unknown,
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::InvalidTopic
            | Code::PolicyViolation
            | Code::InvalidRequiredAcks
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedCompressionType => Self::RefusesKq,
            _ => Self::Unavailable,
        }
    }

    /// The status of a request of which this is the worst fault.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::RefusesKq => StatusCode::BAD_GATEWAY,
            Self::Unknown => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The short name that programs compare, and the same for people.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Refused => ("record_refused", "the cluster refuses the record"),
            Self::TooLarge => ("record_too_large", "record too large"),
            Self::Unavailable => ("unavailable", "not sent"),
            Self::RefusesKq => ("cluster_refuses", "the cluster refuses kq"),
            Self::Unknown => ("not_acknowledged", "not acknowledged in time"),
        }
    }

    /// Whether the record may be there.
    pub(crate) fn fate(self) -> Fate {
        if self == Self::Unknown { Fate::Unknown } else { Fate::NotSent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_there_is_unknown_and_what_is_not_says_who_must_act() {
        for (code, persistence, status) in [
            (Code::MessageTimedOut, Persistence::Possibly, 504),
            (Code::PurgeInflight, Persistence::Possibly, 504),
            (Code::NotEnoughReplicasAfterAppend, Persistence::Possibly, 504),
            (Code::TopicAuthorizationFailed, Persistence::Possibly, 504),
            (Code::MessageTimedOut, Persistence::Not, 503),
            (Code::QueueFull, Persistence::Not, 503),
            (Code::NotEnoughReplicas, Persistence::Not, 503),
            (Code::LeaderNotAvailable, Persistence::Not, 503),
            (Code::PurgeQueue, Persistence::Not, 503),
            (Code::TopicAuthorizationFailed, Persistence::Not, 502),
            (Code::UnknownTopic, Persistence::Not, 502),
            (Code::UnknownTopicOrPartition, Persistence::Not, 502),
            (Code::MessageSizeTooLarge, Persistence::Not, 413),
            (Code::MessageSizeTooLarge, Persistence::Possibly, 413),
            (Code::InvalidRecord, Persistence::Not, 422),
        ] {
            let fault = Fault::of(code, persistence);
            assert_eq!(fault.status().as_u16(), status, "{code:?} {persistence:?}");
            assert_eq!(fault.fate() == Fate::Unknown, status == 504, "{code:?} {persistence:?}");
        }
    }

    #[test]
    fn of_several_faults_the_one_that_says_most_about_a_retry_decides() {
        let order = [Fault::Unknown, Fault::RefusesKq, Fault::Unavailable, Fault::TooLarge, Fault::Refused];
        assert!(order.is_sorted_by(|worse, better| worse > better));
        assert_eq!(order.map(|fault| fault.status().as_u16()), [504, 502, 503, 413, 422]);
    }
}
