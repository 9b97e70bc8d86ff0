//! Whether a request may publish to a topic, by what is configured for it and what it shows. Pure: no clock, no IO.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::WWW_AUTHENTICATE;

use super::tokens::Found;
use crate::serve::problem::Problem;

/// What is configured for a topic: any one of it is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub token: bool,
    pub signature: bool,
    /// A client certificate counts alone: there is no file of tokens.
    pub certificate: bool,
}

impl Asked {
    /// Whether anyone may publish.
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What a request shows before its body is read.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// [`Found::Missing`] where no token is asked for.
    pub token: Found,
    /// A header of a signature that the topic asks for. It is checked over the body later, and must be right.
    pub signature: bool,
    pub certificate: bool,
}

/// What lets a request in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The topic is open.
    Open,
    /// With the token's name, where it has one.
    Token(Option<Arc<str>>),
    /// Once its signature is found right.
    Signature,
    Certificate,
}

impl Access {
    /// Whether a browser shows this by itself, for any page that sends a request.
    pub(super) fn is_ambient(&self) -> bool {
        matches!(self, Self::Open | Self::Certificate)
    }
}

/// Decides on a request for `topic`; `signature` is what a sender of it signs with, for the error.
pub(super) fn decide(topic: &str, asked: Asked, shown: Shown, signature: &str) -> Result<Access, Problem> {
    if asked.is_nothing() {
        return Ok(Access::Open);
    }
    match shown.token {
        Found::Allowed(name) => return Ok(Access::Token(name)),
        _ if shown.signature => return Ok(Access::Signature),
        _ if asked.certificate && shown.certificate => return Ok(Access::Certificate),
        _ if !asked.token => {}
        Found::Elsewhere => {
            return Err(forbidden("forbidden", format!("the token is not for topic {topic}")));
        }
        Found::Unknown => return Err(unauthorized("the token in Authorization is not known".to_owned())),
        Found::Missing if asked.signature => {
            return Err(unauthorized(format!(
                "the request has neither a token nor a signature ({signature})"
            )));
        }
        Found::Missing => {
            return Err(unauthorized(
                "the request has no token: send Authorization: Bearer TOKEN".to_owned(),
            ));
        }
    }
    Err(if asked.signature {
        bad_signature(format!("the request has no signature ({signature})"))
    } else {
        forbidden("forbidden", "the connection has no client certificate")
    })
}

/// 401: RFC 9110 asks for the challenge.
pub(super) fn unauthorized(detail: String) -> Problem {
    Problem {
        header: Some((WWW_AUTHENTICATE, "Bearer".to_owned())),
        ..Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "unauthorized", detail)
    }
}

/// 403: nothing that the sender could add lets it in.
pub(super) fn forbidden(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, code, "forbidden", detail)
}

/// 403: what is signed is not what came, or not by whom it must be, or too old.
pub(super) fn bad_signature(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "bad_signature", "bad signature", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "X-Hub-Signature-256";

    /// Each combination, as letters: `t`oken, `s`ignature, `c`ertificate.
    fn of(asked: &str, token: Found, shown: &str) -> Result<Access, (u16, String, bool)> {
        let has = |text: &str, letter: char| text.contains(letter);
        let asked =
            Asked { token: has(asked, 't'), signature: has(asked, 's'), certificate: has(asked, 'c') };
        let shown = Shown { token, signature: has(shown, 's'), certificate: has(shown, 'c') };
        decide("orders", asked, shown, HEADER).map_err(|problem| {
            assert_eq!(problem.fate, crate::serve::problem::Fate::NotSent);
            let challenge = problem.header.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            let has_challenge = challenge == Some(("www-authenticate", "Bearer"));
            (problem.status.as_u16(), format!("{}: {}", problem.code, problem.detail), has_challenge)
        })
    }

    fn named() -> Found {
        Found::Allowed(Some("shop".into()))
    }

    #[test]
    fn a_topic_of_which_nothing_is_asked_is_open() {
        assert_eq!(of("", Found::Missing, ""), Ok(Access::Open));
    }

    #[test]
    fn any_one_of_what_is_asked_is_enough() {
        let token = || Ok(Access::Token(Some("shop".into())));
        assert_eq!(of("t", named(), ""), token());
        assert_eq!(of("ts", named(), ""), token());
        assert_eq!(of("ts", named(), "s"), token());
        assert_eq!(of("ts", Found::Missing, "s"), Ok(Access::Signature));
        assert_eq!(of("ts", Found::Unknown, "s"), Ok(Access::Signature));
        assert_eq!(of("ts", Found::Elsewhere, "s"), Ok(Access::Signature));
        assert_eq!(of("s", Found::Missing, "s"), Ok(Access::Signature));
        assert_eq!(of("c", Found::Missing, "c"), Ok(Access::Certificate));
        assert_eq!(of("sc", Found::Missing, "c"), Ok(Access::Certificate));
    }

    #[test]
    fn a_missing_or_unknown_token_is_401_with_a_challenge() {
        for asked in ["t", "ts"] {
            for (token, said) in
                [(Found::Missing, "the request has n"), (Found::Unknown, "the token in Author")]
            {
                // A certificate does not count where there is a file of tokens.
                let (status, text, has_challenge) = of(asked, token, "c").unwrap_err();
                assert_eq!((status, has_challenge), (401, true), "{text}");
                assert!(text.starts_with(&format!("unauthorized: {said}")), "{text}");
            }
        }
        assert!(of("ts", Found::Missing, "").unwrap_err().1.contains(HEADER));
    }

    #[test]
    fn a_token_for_another_topic_is_403() {
        let expected = (403, "forbidden: the token is not for topic orders".to_owned(), false);
        assert_eq!(of("t", Found::Elsewhere, "c"), Err(expected.clone()));
        assert_eq!(of("ts", Found::Elsewhere, ""), Err(expected));
    }

    #[test]
    fn where_no_token_is_asked_for_a_missing_signature_or_certificate_is_403() {
        let expected = "bad_signature: the request has no signature (X-Hub-Signature-256)";
        assert_eq!(of("s", Found::Missing, "c"), Err((403, expected.to_owned(), false)));
        assert_eq!(of("sc", Found::Missing, ""), Err((403, expected.to_owned(), false)));
        let expected = "forbidden: the connection has no client certificate";
        assert_eq!(of("c", Found::Missing, ""), Err((403, expected.to_owned(), false)));
    }

    #[test]
    fn a_browser_shows_a_certificate_by_itself_and_not_a_token() {
        assert!(Access::Open.is_ambient() && Access::Certificate.is_ambient());
        assert!(!Access::Token(None).is_ambient() && !Access::Signature.is_ambient());
    }
}
