//! The publisher with librdkafka.

use std::ffi::OsString;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::cli;
use crate::kafka::code::Code;
use crate::kafka::properties::Librdkafka as Catalogue;
use crate::sending::settings::Missing;

const QUEUE: Queue = Queue { bytes: 1 << 20, records: 10 };

fn config(brokers: &str, extra: &[&str]) -> Config {
    let line = ["kq", "produce", "orders", "-b", brokers, "--timeout", "1s"];
    let line = line.iter().chain(extra).map(OsString::from);
    let cli = cli::parse(line).unwrap();
    Config::resolve_with(&cli.connection, &|_| None, &Catalogue).unwrap()
}

fn settings() -> Settings {
    Settings {
        compression: None,
        partitioner: None,
        delivery_timeout: None,
        acks: None,
        idempotence: None,
        missing: Missing::Create,
    }
}

#[test]
fn a_publisher_that_does_not_wait_for_all_replicas_is_refused() {
    let config = config("127.0.0.1:1", &["-X", "acks=1", "-X", "enable.idempotence=false"]);
    let e = Publisher::start(&config, &settings(), QUEUE, &["orders".into()]).err().unwrap().to_string();
    assert!(e.contains("leave acks out"), "{e}");
}

#[test]
fn a_publisher_is_shared_by_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Publisher>();
    sent::<Published>();
}

/// A publisher to the topic `orders` of a cluster that nobody can reach. Its threads are this one.
fn unreachable(extra: &[&str]) -> Core<Librdkafka> {
    let factory = Librdkafka {
        config: config("127.0.0.1:1", extra),
        settings: settings(),
        queue: Queue { bytes: 1 << 20, records: 10 },
    };
    let topics = vec![Topic::new("orders".into())];
    let (producer, signals) = factory.make(None).unwrap();
    let client = Client::new(producer, signals, &topics, 0).unwrap();
    Core::new(factory, topics, client, 1_000_000, true, 0)
}

/// Lets the delivery thread turn until this is there.
fn turn_until<T>(core: &Core<Librdkafka>, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "it does not come");
        core.turn(Duration::from_millis(20));
    }
}

fn results(published: &mut Published) -> Option<Vec<Outcome>> {
    match Pin::new(published).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcomes) => Some(outcomes),
        Poll::Pending => None,
    }
}

fn draft(value: &'static str) -> Draft {
    Draft { value: Some(Bytes::from_static(value.as_bytes())), ..Draft::default() }
}

#[test]
fn a_record_that_no_broker_ever_got_times_out_as_not_sent_and_the_cluster_is_away() {
    let core = unreachable(&["-X", "message.timeout.ms=300"]);
    let mut published = core.publish(0, &[draft("a"), draft("b")]);
    let outcomes = turn_until(&core, || results(&mut published));
    assert_eq!(outcomes, [Outcome::not_sent(Code::MessageTimedOut); 2]);
    turn_until(&core, || matches!(core.reach(Instant::now()), Reach::Away(_)).then_some(()));
    let cause = core.with_client(|client| client.signals.causes().last());
    assert!(cause.is_some_and(|cause| cause.contains("127.0.0.1:1")));
}

#[test]
fn an_unusable_client_gives_up_what_it_has_and_another_one_takes_its_place() {
    let core = unreachable(&[]);
    for generation in 1..=3 {
        let mut open = core.publish(0, &[draft("a")]);
        core.with_client(|client| client.producer.make_unusable());
        assert_eq!(turn_until(&core, || results(&mut open)), [Outcome::not_sent(Code::Fatal)]);
        assert_eq!(core.with_client(|client| client.generation), generation);
    }
    core.with_client(|client| client.producer.make_unusable());
    let reason = turn_until(&core, || match core.reach(Instant::now()) {
        Reach::Fatal(reason) => Some(reason),
        _ => None,
    });
    assert!(reason.contains("a test"), "{reason}");
    let refused = results(&mut core.publish(0, &[draft("b")]));
    assert_eq!(refused, Some(vec![Outcome::not_sent(Code::Fatal)]));
}

#[test]
fn what_does_not_fit_into_the_queue_of_the_client_is_not_sent() {
    let core = unreachable(&["-X", "queue.buffering.max.messages=3", "-X", "queue.buffering.max.kbytes=1"]);
    let full = Outcome::not_sent(Code::QueueFull);
    let mut first = core.publish(0, &[draft("a"), draft("b")]);
    assert_eq!(results(&mut core.publish(0, &[draft("c"), draft("d")])), Some(vec![full; 2]));
    let large = Draft { value: Some(vec![b'x'; 1020].into()), ..Draft::default() };
    let long = Draft { value: Some(vec![b'x'; 1023].into()), ..Draft::default() };
    assert_eq!(results(&mut core.publish(0, &[long])), Some(vec![full]));
    let mut third = core.publish(0, &[large]);
    assert_eq!(results(&mut third), None);
    assert_eq!(results(&mut core.publish(0, &[draft("e")])), Some(vec![full]));
    assert_eq!((results(&mut first), core.open()), (None, 3));
}

/// A loop of 64 requests in flight for two seconds, each of one record of 136 bytes: what it prints is for people.
///
/// `KQ_BROKERS=127.0.0.1:9092 cargo test --lib publisher::tests::throughput -- --ignored --nocapture`
#[test]
#[ignore = "it measures, and takes a broker"]
#[expect(clippy::print_stdout, reason = "people read it")]
fn throughput() {
    let brokers = std::env::var("KQ_BROKERS").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let began = Instant::now();
    let publisher =
        Publisher::start(&config(&brokers, &[]), &settings(), QUEUE, &["throughput".into()]).unwrap();
    println!("started in {:?}: {:?}", began.elapsed(), publisher.state());
    let body = Bytes::from(vec![b'x'; 136]);
    for (in_flight, records) in [(1, 1), (64, 1), (64, 100)] {
        let (began, cpu) = (Instant::now(), cpu());
        let drafts: Arc<[Draft]> =
            (0..records).map(|_| Draft { value: Some(body.clone()), ..Draft::default() }).collect();
        let sent: usize = runtime.block_on(async {
            let tasks: Vec<_> = (0..in_flight)
                .map(|_| {
                    let (publisher, drafts) = (publisher.clone(), Arc::clone(&drafts));
                    tokio::spawn(async move {
                        let mut sent = 0;
                        while began.elapsed() < Duration::from_secs(2) {
                            let outcomes = publisher.publish(0, &drafts).await;
                            assert!(outcomes.iter().all(|o| matches!(o, Outcome::Acknowledged { .. })));
                            sent += outcomes.len();
                        }
                        sent
                    })
                })
                .collect();
            let mut sent = 0;
            for task in tasks {
                sent += task.await.unwrap();
            }
            sent
        });
        let (time, cpu) = (began.elapsed(), self::cpu().saturating_sub(cpu));
        println!(
            "{in_flight} requests of {records}: {:.0} records/s, {:?} of CPU a record",
            sent as f64 / time.as_secs_f64(),
            cpu / sent as u32
        );
    }
    assert_eq!(runtime.block_on(publisher.drain(Duration::from_secs(1))), 0);
}

/// The CPU time of this process, to a hundredth of a second: see the manual's `proc_pid_stat(5)`.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = |place: usize| fields.split(' ').nth(place - 3).unwrap().parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(14) + ticks(15)))
}
