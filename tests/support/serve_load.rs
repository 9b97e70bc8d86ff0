//! Clients that post numbered records to `kq serve` until they are told to end, and the judge of what they were answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::serve::{Answer, Call, Connection, JSON, Stored};
use super::wait::wait_until;

/// The most requests of one client: a load has an end, whatever a test waits for.
const MOST: usize = 100_000;
/// Between two requests of a client that was refused, or found nobody.
const PAUSE: Duration = Duration::from_millis(20);

/// Clients on threads of their own, each with a connection that it keeps.
pub struct Load {
    ends: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<Sent>>>,
}

/// One request of the load: its body is `{"id":ID}`, and no other one has this number.
#[derive(Debug)]
pub struct Sent {
    pub id: usize,
    /// `None`: the connection ended before a whole answer was there.
    pub answer: Option<Answer>,
}

/// What the requests of a load came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub accepted: usize,
    /// By status.
    pub refused: HashMap<u16, usize>,
    pub unanswered: usize,
}

impl Load {
    /// So many clients of `kq serve` at this address, which post to the topic.
    pub fn start(address: &str, topic: &str, clients: usize) -> Self {
        let (ends, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |client: usize| {
            let (address, topic) = (address.to_owned(), topic.to_owned());
            let (ends, accepted) = (Arc::clone(&ends), Arc::clone(&accepted));
            std::thread::spawn(move || run(client * MOST, &address, &topic, &ends, &accepted))
        };
        let clients = (0..clients).map(client).collect();
        Self { ends, accepted, clients }
    }

    /// Waits until so many more requests were answered with 200.
    #[track_caller]
    pub fn wait_for(&self, more: usize) {
        let goal = self.accepted() + more;
        wait_until(&format!("{more} more answers of 200"), Duration::from_mins(1), || {
            self.accepted() >= goal
        });
    }

    /// How many requests were answered with 200 so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Lets each client end after the answer that it waits for, and gives all that was sent.
    #[track_caller]
    pub fn end(self) -> Vec<Sent> {
        self.ends.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("a client of the load")).collect()
    }
}

/// One client.
fn run(first: usize, address: &str, topic: &str, ends: &AtomicBool, accepted: &AtomicUsize) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut kept = None;
    while !ends.load(Ordering::Relaxed) && sent.len() < MOST {
        let Some(mut connection) = kept.take().or_else(|| Connection::attempt(address).ok()) else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let id = first + sent.len();
        let call = Call::post(topic).of_type(JSON).body(format!("{{\"id\":{id}}}"));
        let answer = connection.try_write(call.bytes()).and_then(|()| connection.try_answer(false)).ok();
        match &answer {
            Some(answer) if answer.status == 200 => {
                accepted.fetch_add(1, Ordering::Relaxed);
                kept = (!answer.closes()).then_some(connection);
            }
            Some(answer) => {
                std::thread::sleep(PAUSE);
                kept = (!answer.closes()).then_some(connection);
            }
            None => {}
        }
        sent.push(Sent { id, answer });
    }
    sent
}

/// Demands that the answers tell the truth about the topic: a 200 is there, once and at its place; what `not_sent`
/// was said of is not there; of the rest each is there once or not at all.
#[track_caller]
pub fn judge(sent: &[Sent], stored: &[Stored]) -> Tally {
    let mut there: HashMap<usize, Vec<(i64, i64)>> = HashMap::new();
    for record in stored {
        let value: serde_json::Value = serde_json::from_str(record.text()).expect("JSON");
        let id = value["id"].as_u64().expect("a number") as usize;
        there.entry(id).or_default().push((record.partition.into(), record.offset));
    }
    let mut tally = Tally::default();
    for Sent { id, answer } in sent {
        let places = there.remove(id).unwrap_or_default();
        assert!(places.len() <= 1, "record {id} is at {places:?}, and was answered with {answer:?}");
        let Some(answer) = answer else {
            tally.unanswered += 1;
            continue;
        };
        if answer.status == 200 {
            tally.accepted += 1;
            let answer = answer.json();
            let number = |name: &str| answer[name].as_i64().expect("a number");
            assert_eq!(places, [(number("partition"), number("offset"))], "record {id}: {answer}");
        } else {
            *tally.refused.entry(answer.status).or_default() += 1;
            match answer.json()["outcome"].as_str() {
                Some("not_sent") => assert!(places.is_empty(), "record {id} is at {places:?}: {answer:?}"),
                Some("unknown") => {}
                other => panic!("record {id}: the outcome {other:?} of one record: {answer:?}"),
            }
        }
    }
    assert!(there.is_empty(), "records that nobody sent: {there:?}");
    tally
}
