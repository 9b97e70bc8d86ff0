//! What a request is refused with, and what became of its records. Pure: no clock, no IO.

use hyper::StatusCode;

/// Whether a retry of a request may send a record twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing was sent: a retry duplicates nothing.
    NotSent,
    /// Some records were acknowledged, others not.
    Partial,
    /// A record may be there.
    Unknown,
}

impl Fate {
    /// The word for it in answers: `outcome`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Partial => "partial",
            Self::Unknown => "unknown",
        }
    }
}

/// What is wrong with one record of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Which record of the request, from 0.
    pub index: usize,
    pub detail: String,
}

/// Why a request is refused: `application/problem+json` (RFC 9457) is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub status: StatusCode,
    /// A short name that programs compare: `invalid_record`.
    pub code: &'static str,
    /// The same for people, without anything of this request: "invalid record".
    pub title: &'static str,
    /// What is wrong with this request, in a sentence. Values in it are shortened.
    pub detail: String,
    pub fate: Fate,
    /// At most [`MOST_ERRORS`].
    pub errors: Vec<Wrong>,
    /// Seconds, for `Retry-After`.
    pub retry_after: Option<u32>,
    /// A header that this status asks for: `Allow`, `Accept-Post`, `WWW-Authenticate`.
    pub header: Option<(hyper::header::HeaderName, String)>,
    /// Whether the connection is closed after the answer.
    pub closes: bool,
}

/// How many wrong records an answer names.
pub(crate) const MOST_ERRORS: usize = 100;

impl Problem {
    /// A request of which nothing was sent.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            fate: Fate::NotSent,
            errors: Vec::new(),
            retry_after: None,
            header: None,
            closes: false,
        }
    }

    /// 400: the request itself is malformed.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "bad request", detail)
    }

    /// 400: a record is not what it must be. The first is in the detail, all are in the list.
    pub(crate) fn invalid_records(errors: Vec<Wrong>) -> Self {
        let detail = errors.first().map(|wrong| wrong.detail.clone()).unwrap_or_default();
        let errors = errors.into_iter().take(MOST_ERRORS).collect();
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "invalid_record", "invalid record", detail) }
    }
}
