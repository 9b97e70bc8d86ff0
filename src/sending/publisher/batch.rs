//! The records of one request until the result of each is known. Pure: no clock, no IO.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::kafka::client::Persistence;
use crate::kafka::code::Code;
use crate::lock::Lock;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As many replicas have it as `acks` asks for.
    Acknowledged { partition: i32, offset: i64 },
    /// It is not known to be there; `persistence` says whether it may be.
    Failed { code: Code, persistence: Persistence },
}

impl Outcome {
    /// A record that was not sent.
    pub(crate) fn not_sent(code: Code) -> Self {
        Self::Failed { code, persistence: Persistence::Not }
    }
}

/// The records of one request. The delivery thread fills it, a [`Published`] waits for it.
#[derive(Debug)]
pub(super) struct Batch {
    /// The topic's place in the publisher's list.
    pub(super) topic: usize,
    inner: Lock<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// In the order of the records; `None` while it is not known.
    outcomes: Vec<Option<Outcome>>,
    /// How many are not known, and one more while the sender queues them.
    open: usize,
    waker: Option<Waker>,
}

/// What is left to do after a change of a batch.
#[must_use]
#[derive(Debug)]
pub(super) enum Change {
    /// Some results are still missing.
    Open,
    /// It is complete: who waits for it is to be woken.
    Complete(Option<Waker>),
}

impl Batch {
    /// So many records, which are about to be queued: [`Batch::queued`] says that they are.
    pub(super) fn new(topic: usize, records: usize) -> Self {
        let inner = Inner { outcomes: vec![None; records], open: records + 1, waker: None };
        Self { topic, inner: Lock::new(inner) }
    }

    /// A batch of which nothing was sent, for one reason.
    pub(super) fn refused(topic: usize, records: usize, code: Code) -> Self {
        let outcomes = vec![Some(Outcome::not_sent(code)); records];
        Self { topic, inner: Lock::new(Inner { outcomes, open: 0, waker: None }) }
    }

    /// The result of one record; `None` where it has one already.
    pub(super) fn settle(&self, index: usize, outcome: Outcome) -> Option<Change> {
        let mut inner = self.inner.lock();
        match inner.outcomes.get_mut(index) {
            Some(empty @ None) => *empty = Some(outcome),
            _ => return None,
        }
        Some(inner.close_one())
    }

    /// The sender has queued all records, but those that are settled already.
    pub(super) fn queued(&self) -> Change {
        self.inner.lock().close_one()
    }

    /// Gives the same outcome to every record that has none, and tells how many they were.
    pub(super) fn settle_rest(&self, outcome: Outcome) -> (usize, Change) {
        let mut inner = self.inner.lock();
        let mut settled = 0;
        let mut change = Change::Open;
        for index in 0..inner.outcomes.len() {
            if inner.outcomes[index].is_none() {
                inner.outcomes[index] = Some(outcome);
                change = inner.close_one();
                settled += 1;
            }
        }
        (settled, change)
    }
}

impl Inner {
    fn close_one(&mut self) -> Change {
        self.open -= 1;
        if self.open == 0 { Change::Complete(self.waker.take()) } else { Change::Open }
    }
}

/// Records that were handed to the producer: resolves once the result of each is known, in their order.
#[must_use = "the records are sent, and their outcomes are lost"]
#[derive(Debug)]
pub(crate) struct Published(pub(super) Arc<Batch>);

impl Future for Published {
    type Output = Vec<Outcome>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<Outcome>> {
        let mut inner = self.0.inner.lock();
        if inner.open == 0 {
            return Poll::Ready(std::mem::take(&mut inner.outcomes).into_iter().flatten().collect());
        }
        match &mut inner.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
