//! `kq dev` where the system gives it little: few open files, and errors that repeat.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;

use crate::dev::Standing;

const PATIENCE: Duration = Duration::from_mins(1);
const PARTITIONS: i32 = 200;

/// Reads `rounds` records of each partition.
fn read_all(standing: &Standing, rounds: usize) {
    let consumer: BaseConsumer = standing.config().set("group.id", "none").create().expect("consumer");
    let mut places = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        places.add_partition_offset("t", partition, Offset::Beginning).expect("place");
    }
    consumer.assign(&places).expect("assign");
    let mut counts = vec![0; PARTITIONS as usize];
    let deadline = Instant::now() + PATIENCE;
    while counts.iter().any(|count| *count < rounds) {
        assert!(Instant::now() < deadline, "{counts:?}");
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            counts[message.expect("a record").partition() as usize] += 1;
        }
    }
}

#[test]
fn many_partitions_are_written_and_read_with_few_open_files() {
    const LIMIT: u32 = 80;
    let tmp = tempfile::tempdir().expect("folder");
    let data = tmp.path().join("data");
    let topic = format!("t:{PARTITIONS}");
    let args = ["--data", data.to_str().expect("text"), "--topic", &topic];
    for round in 1..3 {
        let standing = Standing::with_file_limit(tmp.path(), LIMIT, &args);
        let producer: BaseProducer = standing.config().create().expect("producer");
        for partition in 0..PARTITIONS {
            let record = BaseRecord::<(), _>::to("t").partition(partition).payload("v");
            producer.send(record).map_err(|(e, _)| e).expect("send");
        }
        producer.flush(PATIENCE).expect("acknowledged");
        read_all(&standing, round);
        let (status, said) = standing.end(Signal::TERM);
        assert_eq!(status, Some(0));
        assert!(!said.contains("Too many open files"), "{said}");
    }
}

#[test]
fn a_disk_that_is_full_is_said_once_and_then_counted() {
    let tmp = tempfile::tempdir().expect("folder");
    // No file may grow beyond 4 KiB: to write more fails, and does not end the process.
    let standing = Standing::after(tmp.path(), "trap '' XFSZ; ulimit -f 8", &["--topic", "t:1"]);
    let mut config = standing.config();
    for (key, value) in
        [("retry.backoff.ms", "1"), ("retry.backoff.max.ms", "1"), ("message.timeout.ms", "5000")]
    {
        config.set(key, value);
    }
    let producer: BaseProducer = config.create().expect("producer");
    let large = "x".repeat(10_000);
    producer.send(BaseRecord::<(), _>::to("t").payload(&large)).map_err(|(e, _)| e).expect("send");
    producer.flush(PATIENCE).expect("reported");
    let (_, said) = standing.end(Signal::TERM);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("File too large")).collect();
    // They are equal: all but the first are counted.
    assert!((2..10).contains(&lines.len()), "{said}");
    assert!(lines[0].contains("t[0]: write ") && lines[1].contains(" more like this in "), "{said}");
}

#[test]
fn malformed_frames_that_repeat_are_counted_and_not_each_said() {
    const FRAMES: usize = 500;
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &[]);
    for _ in 0..FRAMES {
        let mut stream = TcpStream::connect(&standing.brokers).expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("write");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        // Closed by the broker: it has seen it.
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    }
    let (_, said) = standing.end(Signal::TERM);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("an HTTP request")).collect();
    assert!((11..100).contains(&lines.len()), "{said}");
    let counted =
        lines.iter().filter_map(|line| line.split_once("(and ")?.1.split(' ').next()?.parse::<usize>().ok());
    assert_eq!(lines.len() + counted.sum::<usize>(), FRAMES, "{said}");
}
