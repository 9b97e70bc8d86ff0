//! The publisher over any client: queues records, and gives each request the results of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::batch::{Batch, Outcome, Published};
use super::contact::{Contact, Renewals};
use super::pending::{Pending, Tag};
use super::signals::Signals;
use super::topic::{Held, Topic};
use crate::kafka::client::{Delivery, ProducerClient, TopicClient as _};
use crate::kafka::code::Code;
use crate::lock::{Condition, Lock, SharedLock};
use crate::record::draft::Draft;
use crate::record::{Header, Outgoing};

/// Makes clients.
pub(super) trait Factory {
    type Client: ProducerClient + 'static;

    /// A client whose batches have at most so many bytes; `None`: as configured.
    fn make(&self, batch_size: Option<usize>) -> anyhow::Result<(Self::Client, Arc<Signals>)>;
}

/// A client and what belongs to it. It is never freed, as no client of librdkafka is.
pub(super) struct Client<P: ProducerClient + 'static> {
    pub(super) producer: &'static P,
    pub(super) signals: Arc<Signals>,
    topics: Vec<P::Topic<'static>>,
    /// Which client it is, from 0.
    pub(super) generation: u32,
}

impl<P: ProducerClient + 'static> Client<P> {
    pub(super) fn new(
        producer: P,
        signals: Arc<Signals>,
        topics: &[Topic],
        generation: u32,
    ) -> anyhow::Result<Self> {
        let producer: &'static P = Box::leak(Box::new(producer));
        let topics = topics.iter().map(|topic| producer.topic(&topic.name)).collect::<Result<_, _>>()?;
        Ok(Self { producer, signals, topics, generation })
    }
}

/// A client that gets no more records, and is polled until then.
pub(super) struct Retired<P: ProducerClient + 'static> {
    pub(super) client: Client<P>,
    pub(super) until: Instant,
}

/// Whether records can be sent at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Connected,
    /// No broker answers, since then.
    Away(Instant),
    /// Clients became unusable one after the other, and there is no new one; the client's own reason.
    Fatal(String),
}

/// See [`super::Publisher`].
pub(super) struct Core<F: Factory> {
    pub(super) factory: F,
    pub(super) topics: Vec<Topic>,
    pub(super) current: SharedLock<Client<F::Client>>,
    pub(super) retired: Lock<Vec<Retired<F::Client>>>,
    pub(super) pending: Pending,
    /// Held while a request of several records is queued.
    batches: Lock<()>,
    contact: Lock<Contact>,
    /// Whether [`Core::reach`] is anything but connected: spares each request the locks.
    pub(super) is_troubled: AtomicBool,
    pub(super) renewals: Lock<Renewals>,
    /// The same for a smaller `batch.size`.
    pub(super) fits: Lock<Renewals>,
    pub(super) fatal: Lock<Option<String>>,
    /// `batch.size` of the client now.
    pub(super) batch_size: Lock<usize>,
    /// When the time of the numbers below begins.
    began: Instant,
    /// The last turn of the delivery thread, ms.
    turned: AtomicU64,
    /// When a record was acknowledged last, ms.
    acknowledged: AtomicU64,
    /// Whether the partitioner puts records without a key anywhere.
    random: bool,
    /// Which partition the next batch of records without a key takes.
    turn: AtomicU32,
    /// Wakes the thread that watches.
    pub(super) nudge: Nudge,
    /// Wakes who drains, when nothing is under way.
    idle: tokio::sync::Notify,
    is_draining: AtomicBool,
}

/// Lets a thread wait for something to do.
#[derive(Debug, Default)]
pub(super) struct Nudge {
    is_given: Lock<bool>,
    condition: Condition,
}

impl Nudge {
    pub(super) fn give(&self) {
        *self.is_given.lock() = true;
        self.condition.notify_one();
    }

    /// Waits for it, for this long at most.
    pub(super) fn await_for(&self, time: Duration) {
        let mut is_given = self.is_given.lock();
        if !*is_given {
            is_given = self.condition.wait_for(is_given, time);
        }
        *is_given = false;
    }
}

impl<F: Factory> Core<F> {
    pub(super) fn new(
        factory: F,
        topics: Vec<Topic>,
        client: Client<F::Client>,
        batch_size: usize,
        random: bool,
        seed: u32,
    ) -> Self {
        Self {
            factory,
            topics,
            current: SharedLock::new(client),
            retired: Lock::default(),
            pending: Pending::default(),
            batches: Lock::default(),
            contact: Lock::default(),
            is_troubled: AtomicBool::new(false),
            renewals: Lock::default(),
            fits: Lock::default(),
            fatal: Lock::default(),
            batch_size: Lock::new(batch_size),
            began: Instant::now(),
            turned: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            random,
            turn: AtomicU32::new(seed),
            nudge: Nudge::default(),
            idle: tokio::sync::Notify::new(),
            is_draining: AtomicBool::new(false),
        }
    }

    /// How many records have no result yet.
    pub(super) fn open(&self) -> usize {
        self.pending.records()
    }

    /// Runs `f` with the client that takes records now.
    pub(super) fn with_client<T>(&self, f: impl FnOnce(&Client<F::Client>) -> T) -> T {
        f(&self.current.read())
    }

    /// Whether records can be sent.
    pub(super) fn reach(&self, now: Instant) -> Reach {
        if !self.is_troubled.load(Ordering::Acquire) {
            return Reach::Connected;
        }
        if let Some(reason) = self.fatal.lock().clone() {
            return Reach::Fatal(reason);
        }
        self.contact.lock().away(now).map_or(Reach::Connected, Reach::Away)
    }

    /// When the delivery thread turned last.
    pub(super) fn turned(&self) -> Instant {
        self.began + Duration::from_millis(self.turned.load(Ordering::Acquire))
    }

    /// When a record was acknowledged last; the start, where none was.
    pub(super) fn acknowledged(&self) -> Instant {
        self.began + Duration::from_millis(self.acknowledged.load(Ordering::Acquire))
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_millis() as u64
    }

    /// Changes what is known of the contact.
    pub(super) fn contact<T>(&self, change: impl FnOnce(&mut Contact) -> T) -> T {
        let mut contact = self.contact.lock();
        let result = change(&mut contact);
        let is_troubled = contact.is_doubtful() || self.fatal.lock().is_some();
        self.is_troubled.store(is_troubled, Ordering::Release);
        result
    }

    /// Queues all records of a request, in their order.
    pub(super) fn publish(&self, topic: usize, drafts: &[Draft]) -> Published {
        let refused = |code| Published(Arc::new(Batch::refused(topic, drafts.len(), code)));
        let Some(known) = self.topics.get(topic) else { return refused(Code::UnknownTopic) };
        if drafts.is_empty() {
            return refused(Code::NoError);
        }
        if known.is_gone() {
            return refused(Code::UnknownTopicOrPartition);
        }
        if self.is_troubled.load(Ordering::Acquire) && self.fatal.lock().is_some() {
            return refused(Code::Fatal);
        }
        // Two batches at once could both find the same room.
        let _one = (drafts.len() > 1).then(|| self.batches.lock());
        // Held to the end: a client that is replaced has all that it will ever get.
        let client = self.current.read();
        if drafts.len() > 1 {
            // All or nothing, as far as records that are alone leave the room. Such a one is refused by the client.
            let records = self.open() + drafts.len();
            if !client.producer.has_room(records, drafts.iter().map(size).sum()) {
                return refused(Code::QueueFull);
            }
        }
        let batch = Arc::new(Batch::new(topic, drafts.len()));
        let slot = self.pending.insert(client.generation, &batch, drafts.len());
        self.queue(&client.topics[topic], known, slot, drafts);
        self.pending.queued(slot, &batch);
        Published(batch)
    }

    /// Queues these records; what can't be queued is settled.
    fn queue(
        &self,
        topic: &<F::Client as ProducerClient>::Topic<'static>,
        known: &Topic,
        slot: u32,
        drafts: &[Draft],
    ) {
        let fail = |tag, code| self.pending.settle(tag, |_| Outcome::not_sent(code));
        // Records without a key go together, as with Java's sticky partitioner: they keep their order, and share
        // a batch.
        let together = (self.random && drafts.len() > 1)
            .then(|| known.partition(self.turn.fetch_add(1, Ordering::Relaxed)))
            .flatten();
        let mut headers: Vec<Header<'_>> = Vec::new();
        let mut index = 0;
        while let Some(draft) = drafts.get(index) {
            if let Some(partition) = together {
                let run = drafts[index..].iter().take_while(|draft| is_bare(draft)).count();
                if run > 1 {
                    let values = (index..index + run).map(|at| {
                        (drafts[at].value.as_deref().unwrap_or_default(), Tag::new(slot, at).number())
                    });
                    let done =
                        topic.send_values(partition, values, &mut |tag, code| fail(Tag::of(tag), code));
                    for at in index + done..index + run {
                        fail(Tag::new(slot, at), Code::QueueFull);
                    }
                    index += run;
                    continue;
                }
            }
            headers.clear();
            headers
                .extend(draft.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }));
            let tag = Tag::new(slot, index);
            let sent = topic.send(&Outgoing {
                partition: draft.partition.or(if draft.key.is_none() { together } else { None }),
                key: draft.key.as_deref(),
                value: draft.value.as_deref(),
                headers: &headers,
                timestamp: draft.timestamp,
                tag: tag.number(),
            });
            if let Err(code) = sent {
                fail(tag, code);
            }
            index += 1;
        }
    }

    /// One turn of the delivery thread: hands results to their requests, for up to `timeout`.
    pub(super) fn turn(&self, timeout: Duration) {
        let producer = self.with_client(|client| client.producer);
        let has_retired = !self.retired.lock().is_empty();
        let timeout = if has_retired { timeout.min(Duration::from_millis(10)) } else { timeout };
        let is_heard = self.poll(producer, timeout);
        self.after(is_heard, Instant::now());
    }

    /// What follows from the reports of a turn that ended now. `is_heard`: a record was acknowledged.
    fn after(&self, is_heard: bool, now: Instant) {
        self.turned.store(self.ms(now), Ordering::Release);
        if is_heard {
            self.acknowledged.store(self.ms(now), Ordering::Release);
            self.with_client(|client| client.signals.acknowledged());
            if self.is_troubled.load(Ordering::Acquire) {
                self.contact(Contact::heard);
            }
        }
        if self.with_client(|client| client.signals.take_all_down()) {
            self.contact(|contact| contact.down(now));
            self.nudge.give();
        }
        self.poll_retired(now);
        if self.fatal.lock().is_none()
            && let Some(reason) = self.with_client(|client| client.signals.fatal())
        {
            self.replace_unusable(reason, now);
        }
        if self.is_draining.load(Ordering::Acquire) && self.pending.records() == 0 {
            self.idle.notify_waiters();
        }
    }

    /// Serves the reports of one client, and tells whether a broker acknowledged a record.
    pub(super) fn poll(&self, producer: &F::Client, timeout: Duration) -> bool {
        let mut is_heard = false;
        producer.poll(timeout, &mut |delivery| {
            is_heard |= delivery.error.is_none();
            if delivery.error == Some(Code::MessageSizeTooLarge) {
                return self.hold(&delivery);
            }
            self.pending.settle(Tag::of(delivery.tag), |topic| self.outcome(topic, &delivery));
        });
        is_heard
    }

    /// Waits until each record has a result or the time is over; gives how many have none.
    pub(super) async fn drain(&self, limit: Duration) -> usize {
        self.is_draining.store(true, Ordering::Release);
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let idle = self.idle.notified();
            let open = self.open();
            if open == 0 || tokio::time::timeout_at(deadline, idle).await.is_err() {
                return self.open();
            }
        }
    }

    /// A record was refused for its size: the limit is asked for, which the answer tells.
    fn hold(&self, delivery: &Delivery<'_>) {
        let tag = Tag::of(delivery.tag);
        let Some(topic) = self.pending.topic(tag) else { return };
        let size = delivery.bytes + delivery.header_bytes;
        self.topics[topic].hold(Held { tag, size, persistence: delivery.persistence });
        self.nudge.give();
    }

    /// What a report comes to.
    fn outcome(&self, topic: usize, delivery: &Delivery<'_>) -> Outcome {
        let Some(code) = delivery.error else {
            return Outcome::Acknowledged { partition: delivery.partition, offset: delivery.offset };
        };
        let topic = &self.topics[topic];
        let code = match code {
            // Only a client that is unusable is purged.
            Code::PurgeQueue | Code::PurgeInflight => Code::Fatal,
            code => topic.cause(code, delivery),
        };
        if topic.wants_look() {
            self.nudge.give();
        }
        Outcome::Failed { code, persistence: delivery.persistence }
    }
}

/// Bytes of a record, as the client counts them.
fn size(draft: &Draft) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = draft.headers.iter().map(|(name, value)| name.len() + length(value.as_deref()));
    length(draft.key.as_deref()) + length(draft.value.as_deref()) + headers.sum::<usize>()
}

/// Whether it is a value and nothing else.
fn is_bare(draft: &Draft) -> bool {
    let Draft { partition, key, value, headers, timestamp } = draft;
    partition.is_none() && key.is_none() && value.is_some() && headers.is_empty() && timestamp.is_none()
}

#[cfg(test)]
mod tests;
