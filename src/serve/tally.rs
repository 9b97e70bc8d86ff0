//! What the endpoint did, in numbers: counted from any thread, exported as metrics. The labels are bounded by the
//! command line.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use hyper::StatusCode;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use super::fault::Fault;
use super::problem::Fate;
use crate::named::Named;
use crate::sending::publisher::Outcome;

/// The statuses that answers have; another one would be counted as the last.
pub(super) const CODES: [u16; 16] =
    [200, 204, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 502, 503, 504, 500];

/// What became of a record. The names are those of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordResult {
    Acknowledged,
    /// The cluster refuses it.
    Refused,
    /// It is not there.
    NotSent,
    /// It may be there.
    Unknown,
}

impl Named for RecordResult {
    const ALL: &'static [Self] = &[Self::Acknowledged, Self::Refused, Self::NotSent, Self::Unknown];

    fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

impl RecordResult {
    /// What this outcome counts as.
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Acknowledged { .. } => Self::Acknowledged,
            Outcome::Failed { code, persistence } => match Fault::of(*code, *persistence) {
                Fault::Refused | Fault::TooLarge => Self::Refused,
                fault if fault.fate() == Fate::Unknown => Self::Unknown,
                _ => Self::NotSent,
            },
        }
    }
}

/// Why a request was turned away that nothing is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// `--max-pending` is used up.
    Pending,
    /// `--rate` is used up.
    Rate,
    /// No broker is in reach.
    Outage,
    /// The endpoint ends.
    Ending,
    /// The client's queue is full.
    Queue,
}

impl Named for Rejection {
    const ALL: &'static [Self] = &[Self::Pending, Self::Rate, Self::Outage, Self::Ending, Self::Queue];

    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Rate => "rate",
            Self::Outage => "outage",
            Self::Ending => "ending",
            Self::Queue => "queue",
        }
    }
}

/// The numbers of one topic, or of requests for none.
#[derive(Debug)]
pub(super) struct TopicTally {
    /// In the order of [`CODES`].
    pub requests: [AtomicU64; CODES.len()],
    /// In the order of [`RecordResult::ALL`].
    pub records: [AtomicU64; 4],
    pub body_bytes: AtomicU64,
    pub request_seconds: Histogram,
    pub acknowledge_seconds: Histogram,
}

impl Default for TopicTally {
    fn default() -> Self {
        // 0.5 ms to 16 s.
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        Self {
            requests: Default::default(),
            records: Default::default(),
            body_bytes: AtomicU64::default(),
            request_seconds: seconds(),
            acknowledge_seconds: seconds(),
        }
    }
}

/// The numbers of an endpoint.
#[derive(Debug)]
pub(super) struct Tally {
    topics: Vec<TopicTally>,
    nothing: TopicTally,
    rejected: [AtomicU64; Rejection::ALL.len()],
    in_flight: AtomicUsize,
}

impl Tally {
    pub(super) fn new(topics: usize) -> Self {
        Self {
            topics: (0..topics).map(|_| TopicTally::default()).collect(),
            nothing: TopicTally::default(),
            rejected: Default::default(),
            in_flight: AtomicUsize::default(),
        }
    }

    /// The numbers of a topic; `None`: of paths that are none.
    pub(super) fn of(&self, topic: Option<usize>) -> &TopicTally {
        topic.and_then(|topic| self.topics.get(topic)).unwrap_or(&self.nothing)
    }

    /// A request was answered.
    pub(super) fn answered(&self, topic: Option<usize>, status: StatusCode, lasted: Duration) {
        let at = CODES.iter().position(|code| *code == status.as_u16()).unwrap_or(CODES.len() - 1);
        let tally = self.of(topic);
        tally.requests[at].fetch_add(1, Relaxed);
        tally.request_seconds.observe(lasted.as_secs_f64());
    }

    /// The records of a request have their outcomes.
    pub(super) fn settled(&self, topic: usize, outcomes: &[Outcome], lasted: Duration) {
        let tally = self.of(Some(topic));
        tally.acknowledge_seconds.observe(lasted.as_secs_f64());
        for (at, result) in RecordResult::ALL.iter().enumerate() {
            let count = outcomes.iter().filter(|outcome| RecordResult::of(outcome) == *result).count();
            if count > 0 {
                tally.records[at].fetch_add(count as u64, Relaxed);
            }
        }
    }

    pub(super) fn rejected(&self, why: Rejection) {
        if let Some(at) = Rejection::ALL.iter().position(|other| *other == why) {
            self.rejected[at].fetch_add(1, Relaxed);
        }
    }

    /// How often each reason turned a request away.
    pub(super) fn rejections(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Rejection::ALL.iter().zip(&self.rejected).map(|(why, count)| (why.name(), count.load(Relaxed)))
    }

    /// A request is being answered, until what is returned is dropped.
    pub(super) fn begins(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(&self.in_flight)
    }

    /// Requests that are being answered.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }
}

/// A request that is being answered.
pub(super) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
