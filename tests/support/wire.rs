//! Requests in bytes, for what no client shows: the words of a broker's answer, and operations that clients lack.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);
/// What a broker says that does not lead a partition, or does not know it yet.
const ELSEWHERE: [i16; 2] = [6, 3];

/// A string with a length of two bytes.
pub fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("short").to_be_bytes()[..], text.as_bytes()].concat()
}

/// Sends one request to a broker; what comes back behind the correlation id.
#[track_caller]
pub fn ask(broker: &str, key: i16, version: i16, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(broker).expect("connect to the broker");
    stream.set_read_timeout(Some(PATIENCE)).expect("set a time limit");
    // Correlation id 7, no client id.
    let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7, 0xff, 0xff]].concat();
    let size = u32::try_from(head.len() + body.len()).expect("short").to_be_bytes();
    stream.write_all(&[&size[..], &head, body].concat()).expect("ask");
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("an answer");
    let mut bytes = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut bytes).expect("a whole answer");
    Answer { bytes, at: 4 }
}

/// The bytes of an answer, read field by field.
pub struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    #[track_caller]
    pub fn skip(&mut self, count: usize) -> &[u8] {
        self.at += count;
        &self.bytes[self.at - count..self.at]
    }

    #[track_caller]
    pub fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.skip(2).try_into().expect("two bytes"))
    }

    #[track_caller]
    pub fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.skip(4).try_into().expect("four bytes"))
    }

    /// A string; none for null.
    #[track_caller]
    pub fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()).ok()?;
        Some(String::from_utf8(self.skip(length).to_vec()).expect("UTF-8"))
    }
}

/// What a broker says to a batch: its error, those of single records, and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Produced {
    pub error: i16,
    pub records: Vec<(i32, Option<String>)>,
    pub sentence: Option<String>,
}

/// Sends one batch to partition 0 of a topic with Produce v8, to the one of `brokers` that leads it.
#[track_caller]
pub fn produce(brokers: &str, topic: &str, batch: &[u8]) -> Produced {
    let size = u32::try_from(batch.len()).expect("short").to_be_bytes();
    // No transaction, all replicas, 30 s, one topic, its partition 0.
    let body = [&[0xff, 0xff, 0xff, 0xff, 0, 0, 0x75, 0x30, 0, 0, 0, 1][..], &text(topic), &[0, 0, 0, 1]];
    let body = [&body.concat()[..], &[0; 4], &size, batch].concat();
    wait_for("a leader takes the batch", PATIENCE, || {
        brokers.split(',').find_map(|broker| {
            let mut answer = ask(broker, 0, 8, &body);
            assert_eq!((answer.i32(), answer.text().as_deref(), answer.i32()), (1, Some(topic), 1));
            answer.skip(4);
            let error = answer.i16();
            // Base offset, time, start of the log.
            answer.skip(24);
            let count = answer.i32();
            let records = (0..count).map(|_| (answer.i32(), answer.text())).collect();
            let sentence = answer.text();
            (!ELSEWHERE.contains(&error)).then_some(Produced { error, records, sentence })
        })
    })
}

/// A batch of records with these keys and the value `v`, all at `time`.
pub fn batch(keys: &[Option<&[u8]>], time: i64) -> Vec<u8> {
    let count = i32::try_from(keys.len()).expect("few");
    let mut records = Vec::new();
    for (i, key) in keys.iter().enumerate() {
        // Lengths below 64 are one byte, twice the number; -1 is 1.
        let key_length = key.map_or(1, |key| 2 * u8::try_from(key.len()).expect("a short key"));
        let offset = 2 * u8::try_from(i).expect("few");
        let record = [&[0, 0, offset, key_length][..], key.unwrap_or_default(), &[2, b'v', 0]].concat();
        records.push(2 * u8::try_from(record.len()).expect("short"));
        records.extend(record);
    }
    // No attributes, the last offset, both times, no producer.
    let covered = [
        &[0, 0][..],
        &(count - 1).to_be_bytes(),
        &time.to_be_bytes(),
        &time.to_be_bytes(),
        &[0xff; 14],
        &count.to_be_bytes(),
        &records,
    ];
    let covered = covered.concat();
    let size = u32::try_from(9 + covered.len()).expect("short").to_be_bytes();
    let crc = crc32c::crc32c(&covered).to_be_bytes();
    [&[0; 8][..], &size, &[0, 0, 0, 0, 2], &crc, &covered].concat()
}
