//! The way of a request that publishes: who it is, what it is, its body, its records, and what became of them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;

use super::addressing::{self, Named};
use super::answer::{self, Report, Verdict, not_now};
use super::body::{self, Bounds};
use super::budget::Held;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::inflate::{Coding, coding, inflate};
use super::media::{self, Kind};
use super::problem::Problem;
use super::reply::{Form, Reply};
use super::stage::Stage;
use super::tally::Rejection;
use crate::clock;
use crate::kafka::client::Persistence;
use crate::kafka::code::Code;
use crate::record::draft::Draft;
use crate::record::validate::Validator;
use crate::sending::publisher::{Outcome, Published, Reach};

/// A body above this, and one that is compressed, is worked on where other requests need not wait for that. A
/// shorter one takes a few milliseconds at most, and another thread would cost memory of its own.
const LONG: usize = 1 << 20;
/// A record that is not longer is kept until its outcome is known, to be sent again where it was in bad company.
const KEPT: usize = 16 << 10;
/// How often it is sent again, and how late after it was sent first: who sends gives up after some seconds.
const ATTEMPTS: usize = 2;
const AGAIN: Duration = Duration::from_secs(1);

/// A request for a topic, and what is learned of it on the way.
pub(super) struct Asked<'a> {
    pub topic: usize,
    /// The partition that the path names.
    pub partition: Option<i32>,
    pub parts: &'a Parts,
    /// Whether the connection has a client certificate that was verified.
    pub certified: bool,
    /// The name of its token.
    pub who: Option<Arc<str>>,
    /// Bytes of its body that were read.
    pub bytes: usize,
}

impl Endpoint {
    /// Publishes a request's body, and answers it.
    pub(super) async fn publish(self: &Arc<Self>, asked: &mut Asked<'_>, body: Incoming) -> Reply {
        match self.try_publish(asked, body).await {
            Ok(reply) => reply,
            Err(problem) => {
                self.note(Some(asked.topic), problem.status, &problem.detail);
                Reply::refusal(&problem, Form::of(&asked.parts.headers))
            }
        }
    }

    /// A problem is one of which nothing was sent.
    async fn try_publish(self: &Arc<Self>, asked: &mut Asked<'_>, body: Incoming) -> Result<Reply, Problem> {
        let topic = &self.topics[asked.topic];
        let headers = &asked.parts.headers;
        if self.stages.get() >= Stage::Drains {
            return Err(self.ending());
        }
        let pass = self.guard.before_body(asked.topic, headers, asked.certified)?;
        asked.who.clone_from(&pass.who);
        let kind = media::kind(headers, topic)?;
        let coding = coding(headers)?;
        let named = Named::read(asked.parts.uri.query(), headers, asked.partition)?;
        self.check_partition(asked.topic, named.partition)?;
        let bounds = Bounds { bytes: self.limits.body, time: self.limits.body_timeout };
        body::check_length(body.size_hint().exact(), bounds)?;
        self.check_rate()?;
        self.check_reach()?;

        let mut held = self.budget.hold();
        let body = tokio::select! {
            read = body::read(body, bounds, &mut held) => read.inspect_err(|problem| {
                if problem.status == StatusCode::SERVICE_UNAVAILABLE {
                    self.tally.rejected(Rejection::Pending);
                }
            })?,
            () = self.stages.ends() => return Err(self.ending()),
        };
        asked.bytes = body.len();
        self.tally.of(Some(asked.topic)).body_bytes.fetch_add(body.len() as u64, Relaxed);
        self.guard.signature(&pass, headers, &body, SystemTime::now())?;
        // A schema looks at a tree, which takes many times the bytes.
        let long = if matches!(topic.validator, Some(Validator::Schema(_))) { LONG / 16 } else { LONG };
        let is_long = coding.is_some() || body.len() > long;
        let read = || {
            let body = self.inflated(coding, body, &mut held)?;
            let drafts = media::drafts(kind, &body, &named, headers, topic, &self.limits)?;
            // What the request gives to each of its records is in the client's queue once for each.
            if !held.cover(drafts.iter().map(Draft::weight).sum()) {
                self.tally.rejected(Rejection::Pending);
                return Err(body::no_room());
            }
            Ok(drafts)
        };
        let drafts = if is_long {
            // Each takes a thread: with one for each request that waits they would use memory without an end.
            let turn = self.long_turns.acquire().await;
            let drafts = tokio::task::block_in_place(read);
            drop(turn);
            // On with it on a thread that stays: what one allocates that then idles is not freed meanwhile.
            tokio::task::yield_now().await;
            drafts
        } else {
            read()
        }?;
        self.check_partitions(asked.topic, &drafts)?;

        let report = match (kind, named.report) {
            (Kind::Json | Kind::Form | Kind::Raw | Kind::Event(_), _) => Report::One,
            (_, addressing::Report::Summary) => Report::Summary,
            (_, addressing::Report::Records) => Report::Each,
        };
        let count = drafts.len();
        let outcomes = tokio::select! {
            outcomes = self.send(asked.topic, drafts, held) => outcomes,
            // Of none it is known that it is not there.
            () = self.stages.ends() => {
                let code = Code::PurgeInflight;
                vec![Outcome::Failed { code, persistence: Persistence::Possibly }; count]
            }
        };
        Ok(self.settled(asked, &outcomes, report))
    }

    /// Sends the records, and gives what became of them.
    ///
    /// Where the broker refuses one record of a batch, librdkafka says the same of all that were in it, and a batch
    /// has records of many requests. So a record that is alone in its request is sent again if it is refused: then it
    /// is in other company.
    async fn send(self: &Arc<Self>, topic: usize, drafts: Vec<Draft>, mut held: Held) -> Vec<Outcome> {
        let began = Instant::now();
        let kept = match &drafts[..] {
            [draft] if held.take_if(draft.weight(), KEPT) => Some([draft.clone()]),
            _ => None,
        };
        let sent = Sent::new(self, topic, &drafts, held);
        // The client has copied them: from here on what is long is held once.
        drop(drafts);
        let mut outcomes = sent.outcomes().await;
        for _ in 0..ATTEMPTS {
            let may_again = began.elapsed() < AGAIN && is_refused(&outcomes);
            let Some(kept) = kept.as_ref().filter(|_| may_again) else { break };
            let mut held = self.budget.hold();
            if !held.take(kept[0].weight()) {
                break;
            }
            outcomes = Sent::new(self, topic, kept, held).outcomes().await;
        }
        self.tally.settled(topic, &outcomes, began.elapsed());
        outcomes
    }

    /// 503: nothing more is taken.
    fn ending(&self) -> Problem {
        self.tally.rejected(Rejection::Ending);
        Problem { closes: true, ..not_now("ending", "this process is ending", clock::random()) }
    }

    /// The body without its coding. It takes of the budget what it is longer.
    fn inflated(&self, coding: Option<Coding>, body: Bytes, held: &mut Held) -> Result<Bytes, Problem> {
        let Some(coding) = coding else { return Ok(body) };
        let inflated = inflate(coding, &body, self.limits.body)?;
        if inflated.len() > body.len() && !held.take(inflated.len() - body.len()) {
            self.tally.rejected(Rejection::Pending);
            return Err(body::no_room());
        }
        held.keep(inflated.len());
        Ok(inflated)
    }

    /// The answer to a request whose records were sent.
    fn settled(&self, asked: &Asked<'_>, outcomes: &[Outcome], report: Report) -> Reply {
        let topic = &self.topics[asked.topic].name;
        let limit = self.publisher.max_message_bytes(asked.topic);
        let verdict = answer::verdict(outcomes, topic, limit, clock::random());
        let form = Form::of(&asked.parts.headers);
        let reply = match &verdict {
            Verdict::Acknowledged => Reply::acknowledged(topic, form, outcomes, report),
            Verdict::Failed { problem, .. } => Reply::failure(problem, form, outcomes, report),
        };
        if let Verdict::Failed { problem, reason } = &verdict {
            self.note(Some(asked.topic), problem.status, reason);
            let is_full =
                |outcome: &Outcome| matches!(outcome, Outcome::Failed { code: Code::QueueFull, .. });
            if outcomes.iter().all(is_full) {
                self.tally.rejected(Rejection::Queue);
            }
        }
        reply
    }

    /// Refuses a partition that the topic has not.
    fn check_partition(&self, topic: usize, partition: Option<i32>) -> Result<(), Problem> {
        let Some(partition) = partition else { return Ok(()) };
        let all = self.publisher.partitions(topic).all;
        if all.contains(&partition) {
            return Ok(());
        }
        Err(Problem::bad_request(no_partition(partition, &self.topics[topic].name, &all)))
    }

    /// The same for partitions that records name themselves.
    fn check_partitions(&self, topic: usize, drafts: &[Draft]) -> Result<(), Problem> {
        if drafts.iter().all(|draft| draft.partition.is_none()) {
            return Ok(());
        }
        let all = self.publisher.partitions(topic).all;
        let wrong = drafts.iter().enumerate().filter_map(|(index, draft)| {
            let partition = draft.partition.filter(|partition| !all.contains(partition))?;
            let detail = no_partition(partition, &self.topics[topic].name, &all);
            Some(super::problem::Wrong { index, detail })
        });
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(Problem::invalid_records(wrong)) }
    }

    /// 429 where `--rate` is used up.
    fn check_rate(&self) -> Result<(), Problem> {
        let Some(bucket) = &self.rate else { return Ok(()) };
        let now = Instant::now();
        let mut bucket = bucket.lock();
        if bucket.is_free(now) {
            bucket.take(now);
            return Ok(());
        }
        let wait = bucket.free_at().map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now));
        self.tally.rejected(Rejection::Rate);
        Err(Problem {
            retry_after: Some(wait.as_secs() as u32 + 1),
            ..Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "too many requests",
                "more requests than --rate allows",
            )
        })
    }

    /// 503 where no broker is in reach: a record would only wait in the queue.
    fn check_reach(&self) -> Result<(), Problem> {
        let detail = match self.publisher.reach() {
            Reach::Connected => return Ok(()),
            Reach::Away(_) => "no broker of the cluster is in reach",
            Reach::Fatal(_) => "the client can't be used any more, and this process ends",
        };
        self.tally.rejected(Rejection::Outage);
        Err(not_now("unavailable", detail, clock::random()))
    }
}

/// Whether the broker refused the one record, or another one of its batch.
fn is_refused(outcomes: &[Outcome]) -> bool {
    matches!(outcomes, [Outcome::Failed { code, persistence }]
        if Fault::of(*code, *persistence) == Fault::Refused || *code == Code::InvalidDifferentRecord)
}

/// What is wrong with a partition.
fn no_partition(partition: i32, topic: &str, all: &[i32]) -> String {
    let count = all.len();
    let last = count.saturating_sub(1);
    format!("topic {topic} has no partition {partition}: it has {count}, from 0 to {last}")
}

/// The records of a request, until their outcomes are known. Where the request is gone before that, they are still
/// counted, and their bytes are held.
struct Sent<'a> {
    endpoint: &'a Arc<Endpoint>,
    topic: usize,
    began: Instant,
    open: Option<(Published, Held)>,
}

impl<'a> Sent<'a> {
    fn new(endpoint: &'a Arc<Endpoint>, topic: usize, drafts: &[Draft], held: Held) -> Self {
        let began = Instant::now();
        let published = endpoint.publisher.publish(topic, drafts);
        Self { endpoint, topic, began, open: Some((published, held)) }
    }

    async fn outcomes(mut self) -> Vec<Outcome> {
        // Until then `open` keeps it, so that it is not lost where this future is dropped.
        let outcomes = match &mut self.open {
            Some((published, _)) => published.await,
            None => Vec::new(),
        };
        self.open = None;
        outcomes
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let (Some((published, held)), Ok(runtime)) =
            (self.open.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (endpoint, topic, began) = (Arc::clone(self.endpoint), self.topic, self.began);
        runtime.spawn(async move {
            let outcomes = published.await;
            endpoint.tally.settled(topic, &outcomes, began.elapsed());
            drop(held);
        });
    }
}
