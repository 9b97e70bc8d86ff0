//! The type of a body, from `Content-Type`. Pure: no clock, no IO.

use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, StatusCode};

use super::{Kind, cloudevents, v2};
use crate::record::json::short;
use crate::serve::problem::Problem;
use crate::serve::settings::Topic;

/// The types that every topic takes, as `Accept-Post` lists them.
const TYPES: [&str; 7] = [
    "application/json",
    "application/x-ndjson",
    "application/vnd.kq.record+json",
    "application/cloudevents+json",
    "application/vnd.kafka.json.v2+json",
    "application/vnd.kafka.binary.v2+json",
    "application/vnd.kafka.text.v2+json",
];

const FORM: &str = "application/x-www-form-urlencoded";

/// Types of which only those that are listed are taken: others are another version, or another format.
const FAMILIES: [&str; 3] = ["application/vnd.kafka", "application/vnd.kq", "application/cloudevents"];

/// Whether a type is of one of the [`FAMILIES`].
fn is_of_family(essence: &str) -> bool {
    let after = FAMILIES.iter().find_map(|family| essence.strip_prefix(family));
    after.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '+', '-']))
}

/// What `Accept-Post` says (Linked Data Platform 1.0, 7.1): the types that this topic takes.
pub(crate) fn accept_post(topic: &Topic) -> String {
    let form = topic.form.then_some(FORM);
    let any = topic.any.then_some("*/*");
    TYPES.into_iter().chain(form).chain(any).collect::<Vec<_>>().join(", ")
}

/// What a request's body is, by its headers alone: known before the body is read. A type that is not taken
/// is 415, an event without some of its attributes 400.
pub(crate) fn kind(headers: &HeaderMap, topic: &Topic) -> Result<Kind, Problem> {
    let refused = |detail: String| Problem {
        header: Some((HeaderName::from_static("accept-post"), accept_post(topic))),
        ..Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "unsupported media type",
            detail,
        )
    };
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let given = types.next().map(|value| String::from_utf8_lossy(value.as_bytes()));
    if types.next().is_some() {
        return Err(Problem::bad_request("more than one Content-Type"));
    }
    let media = given.as_deref().map(MediaType::read).unwrap_or_default();
    let event = cloudevents::mode(&media.essence, headers)?;
    let kind = match media.essence.as_str() {
        // Its data may be of any type, in any charset.
        _ if event == Some(cloudevents::Mode::Binary) => return Ok(Kind::Event(cloudevents::Mode::Binary)),
        _ if event == Some(cloudevents::Mode::Structured) => Kind::Event(cloudevents::Mode::Structured),
        "application/json" => Kind::Json,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Kind::Lines,
        "application/vnd.kq.record+json" => Kind::Records,
        FORM if topic.form => Kind::Form,
        essence => match v2::format(essence) {
            Some(format) => Kind::V2(format),
            None if is_of_family(essence) => {
                return Err(refused(format!("Content-Type {:?} is not taken", short(essence))));
            }
            None if essence.starts_with("application/") && essence.ends_with("+json") => Kind::Json,
            None if topic.any => return Ok(Kind::Raw),
            None if essence == FORM => {
                // What curl -d sends by itself: most often JSON was meant.
                return Err(refused(format!(
                    "Content-Type {FORM} is taken with --form only: send application/json for JSON"
                )));
            }
            None if essence.is_empty() => {
                return Err(refused("no Content-Type: send application/json for one record".into()));
            }
            None => return Err(refused(format!("Content-Type {:?} is not taken", short(essence)))),
        },
    };
    match media.charset {
        Some(charset) if !["utf-8", "utf8"].contains(&charset.as_str()) => {
            Err(refused(format!("charset {:?} is not taken: send UTF-8", short(&charset))))
        }
        _ => Ok(kind),
    }
}

/// A `Content-Type`, in lower case (RFC 9110, 8.3.1).
#[derive(Debug, Default, PartialEq, Eq)]
struct MediaType {
    /// `type/subtype`; empty where there is none.
    essence: String,
    charset: Option<String>,
}

impl MediaType {
    /// Reads the header. Parameters other than the charset say nothing here.
    fn read(text: &str) -> Self {
        let (mut is_quoted, mut is_escaped) = (false, false);
        let mut parts = text.split(|c| {
            let was_escaped = is_escaped;
            is_escaped = is_quoted && c == '\\' && !was_escaped;
            is_quoted ^= c == '"' && !was_escaped;
            c == ';' && !is_quoted
        });
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"').to_ascii_lowercase();
            (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then_some(value)
        });
        Self { essence, charset }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(content_type: &str, topic: &Topic) -> Result<Kind, Problem> {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(content_type)
            && !content_type.is_empty()
        {
            headers.insert(CONTENT_TYPE, value);
        }
        kind(&headers, topic)
    }

    fn closed() -> Topic {
        Topic::default()
    }

    fn any() -> Topic {
        Topic { any: true, ..Topic::default() }
    }

    fn form() -> Topic {
        Topic { form: true, ..Topic::default() }
    }

    #[test]
    fn a_type_says_what_a_body_is_and_its_parameters_do_not() {
        for (text, kind) in [
            ("application/json", Kind::Json),
            ("Application/JSON ; charset=UTF-8", Kind::Json),
            ("application/json;charset=\"utf-8\"", Kind::Json),
            ("application/json; charset=", Kind::Json),
            ("application/json; version=2; q=\"a;charset=latin1\"", Kind::Json),
            ("application/json; q=\"\\\";charset=latin1\"", Kind::Json),
            ("application/vnd.github+json", Kind::Json),
            ("application/vnd.kafkaesque+json", Kind::Json),
            ("application/vnd.kqed.v1+json", Kind::Json),
            ("application/x-ndjson", Kind::Lines),
            ("application/ndjson", Kind::Lines),
            ("application/jsonl; charset=utf8", Kind::Lines),
            ("application/vnd.kq.record+json", Kind::Records),
            ("application/vnd.kafka.json.v2+json", Kind::V2(v2::Format::Json)),
            ("application/vnd.kafka.binary.v2+json", Kind::V2(v2::Format::Binary)),
            ("application/cloudevents+json", Kind::Event(cloudevents::Mode::Structured)),
        ] {
            for topic in [closed(), any(), form()] {
                assert_eq!(of(text, &topic), Ok(kind), "{text}");
            }
        }
    }

    #[test]
    fn a_type_that_is_not_taken_is_415_with_those_that_are() {
        for (text, part) in [
            ("", "no Content-Type: send application/json"),
            ("text/plain", "\"text/plain\" is not taken"),
            ("text/json", "is not taken"),
            ("application/octet-stream", "is not taken"),
            ("application/json, application/json", "is not taken"),
            ("application/x-www-form-urlencoded", "with --form only: send application/json for JSON"),
            ("model/gltf+json", "is not taken"),
            ("application/json; charset=utf-16", "charset \"utf-16\" is not taken: send UTF-8"),
            ("application/x-ndjson; charset=\"ISO-8859-1\"", "charset \"iso-8859-1\""),
        ] {
            let problem = of(text, &closed()).unwrap_err();
            assert_eq!(problem.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{text}");
            assert!(problem.detail.contains(part), "{text}: {}", problem.detail);
            let (name, types) = problem.header.unwrap();
            assert_eq!(name.as_str(), "accept-post");
            assert!(types.starts_with("application/json, application/x-ndjson") && !types.contains("*/*"));
        }
        // Of these families only what is listed is taken, also where any type is.
        for text in [
            "application/vnd.kafka.avro.v2+json",
            "application/vnd.kafka.json.v1+json",
            "application/vnd.kafka+json",
            "application/vnd.kafka.v2+json",
            "application/vnd.kq.other+json",
            "application/cloudevents-batch+json",
            "application/cloudevents+avro",
        ] {
            let refused = of(text, &any()).map_err(|problem| problem.status);
            assert_eq!(refused, Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{text}");
        }
    }

    #[test]
    fn a_topic_of_any_type_takes_bytes_and_one_of_forms_takes_forms() {
        for text in
            ["", "text/plain", "text/plain; charset=latin1", "image/png", "application/x-www-form-urlencoded"]
        {
            assert_eq!(of(text, &any()), Ok(Kind::Raw), "{text}");
        }
        assert_eq!(of("application/x-www-form-urlencoded", &form()), Ok(Kind::Form));
        let both = Topic { any: true, ..form() };
        assert_eq!(of("application/x-www-form-urlencoded", &both), Ok(Kind::Form));
        assert!(accept_post(&both).ends_with("application/x-www-form-urlencoded, */*"));
    }

    #[test]
    fn two_types_are_no_type() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert_eq!(kind(&headers, &any()).unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    proptest! {
        #[test]
        fn no_header_panics_and_a_refusal_is_short(bytes in prop::collection::vec(prop_oneof![32u8..127, 128u8..], 0..600)) {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(&bytes).unwrap());
            if let Err(problem) = kind(&headers, &closed()) {
                prop_assert!(problem.detail.len() < 1200, "{}", problem.detail);
            }
        }
    }
}
