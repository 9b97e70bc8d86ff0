//! From what became of a request's records to its answer. Pure: no clock, no IO.

use std::fmt::Write as _;

use hyper::StatusCode;
use serde::Serialize;

use super::fault::Fault;
use super::media::v2;
use super::problem::{Fate, MOST_ERRORS, Problem, Wrong};
use crate::kafka::code::Code;
use crate::kafka::errors::words;
use crate::sending::publisher::Outcome;

/// Whether an answer names each record of a request that had many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The request is one record by its type.
    One,
    Each,
    /// `?report=summary`
    Summary,
}

/// Seconds until a request that nothing is wrong with may be sent again; `spread` is from 0 to below 1, so that
/// clients do not come back together.
pub(crate) fn soon(spread: f64) -> u32 {
    1 + (spread.clamp(0.0, 0.999) * 5.0) as u32
}

/// Seconds until somebody may have given kq what it lacks.
pub(crate) const OPERATOR: u32 = 30;

/// What a request's records came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All are acknowledged.
    Acknowledged,
    /// At least one is not. `reason` says why without numbers of this request, for notes.
    Failed { problem: Problem, reason: String },
}

/// What the outcomes of a request's records come to. `limit` is the topic's `max.message.bytes`, where it is known.
pub(crate) fn verdict(outcomes: &[Outcome], topic: &str, limit: Option<usize>, spread: f64) -> Verdict {
    let failed = || {
        outcomes.iter().enumerate().filter_map(|(index, outcome)| match outcome {
            Outcome::Acknowledged { .. } => None,
            Outcome::Failed { code, persistence } => Some((index, *code, Fault::of(*code, *persistence))),
        })
    };
    // Of equal ones the first: it is the one that is named.
    let worst = failed().rev_max();
    let Some((index, code, fault)) = worst else { return Verdict::Acknowledged };
    let count = failed().count();
    let said = sentence(code, fault, topic, limit);
    let detail = match outcomes.len() {
        1 => said.clone(),
        all => format!("{count} of {all} records are not acknowledged; record {}: {said}", index + 1),
    };
    let errors = if outcomes.len() == 1 {
        Vec::new()
    } else {
        let wrong = |(index, code, fault)| Wrong { index, detail: sentence(code, fault, topic, limit) };
        failed().take(MOST_ERRORS).map(wrong).collect()
    };
    let (name, title) = fault.names();
    let is_unknown = failed().any(|(.., fault)| fault.fate() == Fate::Unknown);
    let problem = Problem {
        fate: match () {
            () if count < outcomes.len() => Fate::Partial,
            () if is_unknown => Fate::Unknown,
            () => Fate::NotSent,
        },
        errors,
        retry_after: match fault {
            Fault::Unavailable => Some(soon(spread)),
            Fault::RefusesKq => Some(OPERATOR),
            Fault::Refused | Fault::TooLarge | Fault::Unknown => None,
        },
        ..Problem::new(fault.status(), name, title, detail)
    };
    Verdict::Failed { problem, reason: said }
}

/// The greatest of an iterator by a key; of equal ones the first.
trait RevMax: Iterator<Item = (usize, Code, Fault)> + Sized {
    fn rev_max(self) -> Option<(usize, Code, Fault)> {
        self.reduce(|worst, next| if next.2 > worst.2 { next } else { worst })
    }
}

impl<I: Iterator<Item = (usize, Code, Fault)>> RevMax for I {}

/// What is wrong with one record.
fn sentence(code: Code, fault: Fault, topic: &str, limit: Option<usize>) -> String {
    match fault {
        Fault::TooLarge => match limit {
            Some(limit) => format!("above max.message.bytes of topic {topic}, {limit} bytes"),
            None => format!("above max.message.bytes of topic {topic}"),
        },
        Fault::Unknown if code == Code::MessageTimedOut => {
            "not acknowledged within --delivery-timeout, and it may be there".to_owned()
        }
        Fault::Unknown if code == Code::PurgeInflight => {
            "not acknowledged before the end of this process, and it may be there".to_owned()
        }
        Fault::Unknown => format!("not acknowledged in time, and it may be there: {}", words(code)),
        Fault::Unavailable if code == Code::MessageTimedOut => {
            "not sent in time: the partition's leader was not reached".to_owned()
        }
        Fault::Unavailable if code == Code::QueueFull => {
            "not sent: too many records wait for the cluster".to_owned()
        }
        Fault::RefusesKq => format!("topic {topic}: {}", words(code)),
        Fault::Unavailable | Fault::Refused => words(code),
    }
}

/// The body of the answer to a request whose records are all acknowledged.
pub(crate) fn acknowledged(topic: &str, outcomes: &[Outcome], report: Report) -> String {
    // A topic's name needs no escape.
    let mut body = String::with_capacity(64 + if report == Report::Each { outcomes.len() * 32 } else { 0 });
    let places = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Acknowledged { partition, offset } => Some((partition, offset)),
        Outcome::Failed { .. } => None,
    });
    let _ = write!(body, r#"{{"topic":"{topic}","#);
    match (report, places.clone().next()) {
        (Report::One, Some((partition, offset))) => {
            let _ = write!(body, r#""partition":{partition},"offset":{offset}}}"#);
        }
        (Report::Each, _) => {
            let _ = write!(body, r#""acknowledged":{},"records":["#, outcomes.len());
            for (n, (partition, offset)) in places.enumerate() {
                let comma = if n > 0 { "," } else { "" };
                let _ = write!(body, r#"{comma}{{"partition":{partition},"offset":{offset}}}"#);
            }
            body.push_str("]}");
        }
        _ => {
            let _ = write!(body, r#""acknowledged":{}}}"#, outcomes.len());
        }
    }
    body
}

/// `application/problem+json`, RFC 9457, with kq's own members.
#[derive(Serialize)]
struct Shown<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ShownWrong<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<ShownRecord>>,
}

#[derive(Serialize)]
struct ShownWrong<'a> {
    index: usize,
    detail: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownRecord {
    There { partition: i32, offset: i64 },
    Missing { error: String, outcome: &'static str },
}

/// The body of the answer to a request that is refused, or whose records are not all acknowledged: then `outcomes`
/// has one for each.
pub(crate) fn refused(problem: &Problem, outcomes: &[Outcome], report: Report) -> Vec<u8> {
    let is_partial = problem.fate == Fate::Partial;
    let count = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Acknowledged { .. })).count();
    let record = |outcome: &Outcome| match outcome {
        Outcome::Acknowledged { partition, offset } => {
            ShownRecord::There { partition: *partition, offset: *offset }
        }
        Outcome::Failed { code, persistence } => {
            let fault = Fault::of(*code, *persistence);
            ShownRecord::Missing { error: fault.names().0.to_owned(), outcome: fault.fate().name() }
        }
    };
    let shown = Shown {
        title: problem.title,
        status: problem.status.as_u16(),
        code: problem.code,
        detail: &problem.detail,
        outcome: problem.fate.name(),
        errors: problem
            .errors
            .iter()
            .map(|wrong| ShownWrong { index: wrong.index, detail: &wrong.detail })
            .collect(),
        acknowledged: is_partial.then_some(count),
        records: (is_partial && report != Report::Summary).then(|| outcomes.iter().map(record).collect()),
    };
    // Strings and numbers: there is nothing in it that can't be written.
    serde_json::to_vec(&shown).unwrap_or_default()
}

/// The body of an answer in Confluent's form, whatever its status.
pub(crate) fn of_v2(outcomes: &[Outcome]) -> Vec<u8> {
    let whys: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Acknowledged { .. } => String::new(),
            Outcome::Failed { code, .. } => words(*code),
        })
        .collect();
    v2::answer(outcomes.iter().zip(&whys).map(|(outcome, why)| match outcome {
        Outcome::Acknowledged { partition, offset } => {
            v2::Report::Acknowledged { partition: *partition, offset: *offset }
        }
        Outcome::Failed { code, persistence } => {
            v2::Report::Failed { status: Fault::of(*code, *persistence).status(), why }
        }
    }))
}

/// 503 for a request of which nothing was read or sent, and why.
pub(crate) fn not_now(code: &'static str, detail: impl Into<String>, spread: f64) -> Problem {
    Problem {
        retry_after: Some(soon(spread)),
        ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, "not sent", detail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::kafka::client::Persistence;

    fn there(offset: i64) -> Outcome {
        Outcome::Acknowledged { partition: 2, offset }
    }

    fn failed(code: Code, persistence: Persistence) -> Outcome {
        Outcome::Failed { code, persistence }
    }

    fn problem(outcomes: &[Outcome]) -> Problem {
        match verdict(outcomes, "t", Some(1000), 0.5) {
            Verdict::Failed { problem, .. } => problem,
            Verdict::Acknowledged => panic!("all are acknowledged"),
        }
    }

    fn body(outcomes: &[Outcome], report: Report) -> Value {
        serde_json::from_slice(&refused(&problem(outcomes), outcomes, report)).unwrap()
    }

    #[test]
    fn an_acknowledged_request_says_where_its_records_are() {
        let one: Value = serde_json::from_str(&acknowledged("t", &[there(7)], Report::One)).unwrap();
        assert_eq!(one, json!({"topic": "t", "partition": 2, "offset": 7}));
        let both = [there(7), there(8)];
        let each: Value = serde_json::from_str(&acknowledged("t", &both, Report::Each)).unwrap();
        let records = json!([{"partition": 2, "offset": 7}, {"partition": 2, "offset": 8}]);
        assert_eq!(each, json!({"topic": "t", "acknowledged": 2, "records": records}));
        let summary: Value = serde_json::from_str(&acknowledged("t", &both, Report::Summary)).unwrap();
        assert_eq!(summary, json!({"topic": "t", "acknowledged": 2}));
    }

    #[test]
    fn a_record_that_failed_alone_is_the_answer() {
        let outcomes = [failed(Code::MessageSizeTooLarge, Persistence::Not)];
        assert_eq!(
            body(&outcomes, Report::One),
            json!({
                "title": "record too large", "status": 413, "code": "record_too_large",
                "detail": "above max.message.bytes of topic t, 1000 bytes", "outcome": "not_sent",
            })
        );
        assert_eq!(problem(&outcomes).retry_after, None);
        assert_eq!(problem(&[failed(Code::QueueFull, Persistence::Not)]).retry_after, Some(3));
        assert_eq!(problem(&[failed(Code::UnknownTopic, Persistence::Not)]).retry_after, Some(OPERATOR));
    }

    #[test]
    fn where_some_are_acknowledged_each_is_named_and_the_worst_decides() {
        let outcomes = [
            failed(Code::QueueFull, Persistence::Not),
            there(3),
            failed(Code::MessageTimedOut, Persistence::Possibly),
        ];
        let body = body(&outcomes, Report::Each);
        assert_eq!((&body["status"], &body["outcome"]), (&json!(504), &json!("partial")));
        assert_eq!(body["acknowledged"], 1);
        assert_eq!(
            body["records"],
            json!([
                {"error": "unavailable", "outcome": "not_sent"},
                {"partition": 2, "offset": 3},
                {"error": "not_acknowledged", "outcome": "unknown"},
            ])
        );
        assert_eq!(body["errors"][1]["index"], 2);
        assert!(body["detail"].as_str().unwrap().starts_with("2 of 3 records"), "{body}");
        let summary = super::refused(&problem(&outcomes), &outcomes, Report::Summary);
        let summary: Value = serde_json::from_slice(&summary).unwrap();
        assert_eq!((&summary["acknowledged"], summary.get("records")), (&json!(1), None));
    }

    #[test]
    fn a_retry_is_spread_over_one_to_five_seconds() {
        assert_eq!((soon(0.0), soon(0.5), soon(0.9999), soon(1.0)), (1, 3, 5, 5));
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        let code = prop::sample::select(vec![
            Code::MessageTimedOut,
            Code::QueueFull,
            Code::UnknownTopic,
            Code::MessageSizeTooLarge,
            Code::InvalidRecord,
        ]);
        prop_oneof![
            (0..9i64).prop_map(there),
            (code, any::<bool>()).prop_map(|(code, not)| {
                failed(code, if not { Persistence::Not } else { Persistence::Possibly })
            }),
        ]
    }

    proptest! {
        #[test]
        fn an_answer_never_says_more_than_the_outcomes(outcomes in prop::collection::vec(outcome(), 1..130)) {
            let faults: Vec<Fault> = outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Acknowledged { .. } => None,
                Outcome::Failed { code, persistence } => Some(Fault::of(*code, *persistence)),
            }).collect();
            let Verdict::Failed { problem, .. } = verdict(&outcomes, "t", None, 0.0) else {
                prop_assert!(faults.is_empty());
                return Ok(());
            };
            prop_assert_eq!(problem.status, faults.iter().max().unwrap().status());
            let may_be_there = faults.contains(&Fault::Unknown);
            match problem.fate {
                Fate::NotSent => prop_assert!(faults.len() == outcomes.len() && !may_be_there),
                Fate::Unknown => prop_assert!(faults.len() == outcomes.len() && may_be_there),
                Fate::Partial => prop_assert!(faults.len() < outcomes.len()),
            }
            prop_assert!(problem.errors.len() <= MOST_ERRORS);
            let body: Value = serde_json::from_slice(&refused(&problem, &outcomes, Report::Each)).unwrap();
            if let Some(records) = body.get("records") {
                let there = records.as_array().unwrap().iter().filter(|record| record.get("offset").is_some());
                prop_assert_eq!(there.count(), outcomes.len() - faults.len());
            }
        }
    }
}
