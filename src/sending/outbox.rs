//! Sends single records to Kafka, and gives each sender the result of its record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::kafka::client::{Observer, ProducerClient, TopicClient as _};
use crate::kafka::code::Code;
use crate::kafka::ffi::Producer;
use crate::record::{Header, Outgoing, OwnedHeader};
use crate::sending::settings::Acks;
use crate::sending::{client, properties};
use crate::threads;

/// A record to send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letter {
    pub topic: Arc<str>,
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<OwnedHeader>,
    /// Milliseconds since the epoch; `None`: now.
    pub timestamp: Option<i64>,
}

type Reply = oneshot::Sender<Result<(), Code>>;

/// The sending end: cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox {
    letters: mpsc::Sender<(Letter, Reply)>,
}

impl Outbox {
    /// Starts a producer to these topics on a thread of its own, which ends when the last sender is gone.
    pub(crate) fn start(
        config: &Config,
        observer: Arc<dyn Observer>,
        topics: &[&str],
    ) -> anyhow::Result<Self> {
        let config = config.clone();
        let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
        let (letters, inbox) = mpsc::channel(256);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        // A producer stays on the thread that polls it.
        threads::start("outbox", move || match connect(&config, &observer, &topics) {
            Ok(producer) => {
                let _ = ready.send(Ok(()));
                serve(&producer, inbox);
            }
            Err(e) => _ = ready.send(Err(e)),
        })?;
        started.recv().context("the outbox thread ended")?.context("start a producer")?;
        Ok(Self { letters })
    }

    /// Sends one letter and waits until the cluster has acknowledged it.
    pub(crate) async fn send(&self, letter: Letter) -> Result<(), Code> {
        self.post(letter).await.outcome().await
    }

    /// Sends one letter, and does not wait for its answer: letters of one sender keep their order.
    pub(crate) async fn post(&self, letter: Letter) -> Posted {
        let (reply, answer) = oneshot::channel();
        // Without a thread that takes it, the reply is dropped, which is an answer too.
        let _ = self.letters.send((letter, reply)).await;
        Posted(answer)
    }
}

/// A letter that was posted.
pub(crate) struct Posted(oneshot::Receiver<Result<(), Code>>);

impl Posted {
    /// Waits until the cluster has acknowledged it.
    pub(crate) async fn outcome(self) -> Result<(), Code> {
        self.0.await.unwrap_or(Err(Code::PurgeQueue))
    }
}

/// A producer whose batches fit each of these topics: one above a topic's limit is refused with all
/// that is in it.
fn connect(config: &Config, observer: &Arc<dyn Observer>, topics: &[String]) -> anyhow::Result<Producer> {
    let client = config.client(&properties::letters());
    if let Some(doubt) = client.get("acks").and_then(|acks| Acks::of(acks).doubt()) {
        config.log.note(format_args!("--dlq, --output-topic: {doubt}"));
    }
    let producer = Producer::new(&client, Arc::clone(observer))?;
    let Some(limit) = client::smallest_batch(&producer, &client, config, topics) else {
        return Ok(producer);
    };
    let client = config.client(&properties::with_batch_size(&properties::letters(), &limit));
    Producer::new(&client, Arc::clone(observer))
}

fn serve<P: ProducerClient>(producer: &P, mut inbox: mpsc::Receiver<(Letter, Reply)>) {
    let mut topics: HashMap<Arc<str>, P::Topic<'_>> = HashMap::new();
    let mut waiting: HashMap<u64, Reply> = HashMap::new();
    let mut tag = 0;
    loop {
        // With nothing on its way there is nothing to poll for.
        let next = if waiting.is_empty() {
            match inbox.blocking_recv() {
                Some(next) => Some(next),
                None => return,
            }
        } else {
            inbox.try_recv().ok()
        };
        let Some((letter, reply)) = next else {
            poll(producer, &mut waiting, Duration::from_millis(2));
            continue;
        };
        tag += 1;
        if !topics.contains_key(&letter.topic)
            && let Ok(topic) = producer.topic(&letter.topic)
        {
            topics.insert(Arc::clone(&letter.topic), topic);
        }
        let Some(topic) = topics.get(&letter.topic) else {
            let _ = reply.send(Err(Code::InvalidTopic));
            continue;
        };
        let headers: Vec<Header<'_>> =
            letter.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
        let outgoing = Outgoing {
            partition: None,
            key: letter.key.as_deref(),
            value: letter.value.as_deref(),
            headers: &headers,
            timestamp: letter.timestamp,
            tag,
        };
        let give_up = Instant::now() + Duration::from_secs(30);
        let sent = loop {
            match topic.send(&outgoing) {
                Err(Code::QueueFull) if Instant::now() < give_up => {
                    poll(producer, &mut waiting, Duration::from_millis(10));
                }
                other => break other,
            }
        };
        match sent {
            Ok(()) => _ = waiting.insert(tag, reply),
            Err(code) => _ = reply.send(Err(code)),
        }
    }
}

fn poll(producer: &impl ProducerClient, waiting: &mut HashMap<u64, Reply>, timeout: Duration) {
    producer.poll(timeout, &mut |delivery| {
        if let Some(reply) = waiting.remove(&delivery.tag) {
            let _ = reply.send(delivery.error.map_or(Ok(()), Err));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::fake::{Cluster, Serving};

    /// Sends a letter for each topic and value, and gives the result of each.
    fn send<const N: usize>(cluster: &Cluster, letters: [(&str, &str); N]) -> [Result<(), Code>; N] {
        let (sender, inbox) = mpsc::channel(8);
        let answers = letters.map(|(topic, value)| {
            let (reply, answer) = oneshot::channel();
            let letter = Letter { topic: topic.into(), value: Some(value.into()), ..Letter::default() };
            sender.blocking_send((letter, reply)).unwrap();
            answer
        });
        drop(sender);
        serve(&cluster.producer(), inbox);
        answers.map(|mut answer| answer.try_recv().unwrap())
    }

    #[test]
    fn each_letter_is_answered_with_its_result() {
        let cluster = Cluster::new().with_topic("dead", 1);
        cluster.set_room(1);
        cluster.deliver([Ok(()), Err(Code::MessageSizeTooLarge)]);
        let answers = send(&cluster, [("dead", "a"), ("dead", "b"), ("dead", "c")]);
        assert_eq!(answers, [Ok(()), Err(Code::MessageSizeTooLarge), Ok(())]);
        assert_eq!(cluster.values("dead", 0), ["a", "c"]);
    }

    #[test]
    fn reports_in_any_order_reach_the_senders_of_their_letters() {
        let cluster = Cluster::new().with_topic("dead", 1);
        cluster.deliver([Ok(()), Err(Code::MessageTimedOut), Ok(())]);
        cluster.serve([Serving::Backwards]);
        let answers = send(&cluster, [("dead", "a"), ("dead", "b"), ("dead", "c")]);
        assert_eq!(answers, [Ok(()), Err(Code::MessageTimedOut), Ok(())]);
        assert_eq!(cluster.values("dead", 0), ["c", "a"]);
    }

    #[test]
    fn a_topic_that_can_not_be_fails_its_own_letters_alone() {
        let cluster = Cluster::new().with_topic("dead", 1);
        let answers = send(&cluster, [("a\0b", "a"), ("missing", "b"), ("dead", "c")]);
        assert_eq!(answers, [Err(Code::InvalidTopic), Err(Code::UnknownTopicOrPartition), Ok(())]);
    }

    #[test]
    fn letters_in_flight_are_answered_after_the_last_sender_is_gone() {
        let cluster = Cluster::new().with_topic("dead", 1);
        cluster.serve([Serving::Nothing, Serving::Nothing, Serving::Nothing]);
        assert_eq!(send(&cluster, [("dead", "a")]), [Ok(())]);
        assert_eq!(cluster.calls_of("poll").len(), 4);
    }

    #[test]
    fn a_letter_to_an_outbox_that_ended_is_purged() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (letters, inbox) = mpsc::channel(1);
        let outbox = Outbox { letters };
        drop(inbox);
        assert_eq!(runtime.block_on(outbox.send(Letter::default())), Err(Code::PurgeQueue));
        // The thread took the letter and ended without an answer.
        let (letters, mut inbox) = mpsc::channel(1);
        let outbox = Outbox { letters };
        let (answer, ()) = runtime.block_on(async {
            tokio::join!(outbox.send(Letter::default()), async { drop(inbox.recv().await) })
        });
        assert_eq!(answer, Err(Code::PurgeQueue));
    }
}
