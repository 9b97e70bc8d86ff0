//! Every request in every version is answered; nothing that comes in ends the process.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::dev::apis::tests::generate;
use crate::dev::broker::Settings;
use crate::dev::configs;
use crate::dev::groups::messages::Who;
use crate::dev::groups::offsets::Committed;
use crate::dev::log::batch::sample;
use crate::dev::log::checked::{self, Checked};
use crate::dev::log::refusal::LISTED;

use crate::terminal::notes::Log;
use proptest::prelude::*;

struct Fixture {
    broker: Arc<Broker>,
    client: Client,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("folder");
    let settings = Settings {
        partitions: 2,
        auto_create: true,
        strict: false,
        max_metadata: None,
        defaults: configs::Defaults::default(),
    };
    let broker = Broker::open(folder.path(), settings, Log::new(true, 0)).expect("open");
    // Names that generated requests hit.
    for name in ["a", "aa", "bb", "ccc"] {
        broker.ensure_topic(name, Some(2)).expect("topic");
    }
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    Fixture { broker: Arc::new(broker), client: Client { peer: here, local: here }, runtime, _folder: folder }
}

impl Fixture {
    /// The reply's bytes (logs left out), none where there is no reply, or why it was refused.
    fn ask(&self, frame: Vec<u8>) -> Result<Option<Vec<u8>>, String> {
        let answered = self.runtime.block_on(async {
            let coordinator = self.broker.coordinator.run();
            tokio::select! {
                answered = answer(&self.broker, &self.client, Bytes::from(frame), None) => answered,
                () = coordinator => unreachable!("it runs for ever"),
                // A fetch, a member that waits for others, a search by time may take long: that is no error.
                () = tokio::time::sleep(std::time::Duration::from_millis(5)) => Ok((Reply::Nothing, String::new())),
            }
        });
        Ok(match answered?.0 {
            Reply::Nothing | Reply::Close => None,
            Reply::Parts(parts) => {
                let mut out = Vec::new();
                for part in parts {
                    if let Part::Bytes(bytes) = part {
                        out.extend_from_slice(&bytes);
                    }
                }
                Some(out)
            }
        })
    }
}

fn api(key: ApiKey) -> &'static Api {
    apis::find(key as i16).expect("an API of the table")
}

fn frame(api: &Api, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend((api.key as i16).to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(77_i32.to_be_bytes());
    frame.extend(2_i16.to_be_bytes());
    frame.extend(b"me");
    if api.is_flexible(version) {
        frame.push(0);
    }
    frame.extend(body);
    frame
}

/// A body, field by field.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn text(mut self, text: &str) -> Self {
        self.0.extend((text.len() as i16).to_be_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    fn i16(self, n: i16) -> Self {
        self.raw(&n.to_be_bytes())
    }

    fn i32(self, n: i32) -> Self {
        self.raw(&n.to_be_bytes())
    }

    fn i64(self, n: i64) -> Self {
        self.raw(&n.to_be_bytes())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

/// The length of an array in a flexible version, up to two millions.
fn compact_count(count: i32) -> Body {
    let n = count as u32 + 1;
    Body::default().raw(&[n as u8 | 0x80, (n >> 7) as u8 | 0x80, (n >> 14) as u8])
}

impl Fixture {
    /// Appends one batch, which has no producer id.
    fn append(&self, topic: &str, partition: i32, times: &[i64]) -> usize {
        let (topic, partition) = self.broker.topics.partition(topic, partition).expect("a partition");
        let batch = sample(0, times, (-1, -1, -1));
        let config = topic.log_config();
        let checked = Checked::new(&batch, &config, 7, 0, &mut checked::BUDGET.clone()).expect("taken");
        partition.log().append(checked, &config, 0).expect("appended");
        batch.len()
    }

    /// The answer to a request of an API that answers at once, after its correlation id.
    fn answer(&self, key: ApiKey, version: i16, body: &Body) -> Vec<u8> {
        let reply = self.ask(frame(api(key), version, &body.0)).expect("answered").expect("a reply");
        reply[8..].to_vec()
    }
}

#[test]
fn a_fetch_gives_no_part_of_a_batch_for_a_partition_that_is_not_the_first() {
    let fixture = fixture();
    let batch = fixture.append("a", 0, &[1, 2, 3]);
    fixture.append("a", 1, &[1, 2, 3]);
    let fetch = |max: usize| {
        let partition = |body: Body, index| body.i32(index).i64(0).i32(max as i32);
        let body = Body::default().i32(-1).i32(0).i32(1).i32(1 << 20).raw(&[0]);
        let body = body.i32(1).text("a").i32(2);
        fixture.answer(ApiKey::Fetch, 4, &partition(partition(body, 0), 1))
    };
    // The sizes of both record sets: throttle time, one topic "a", two partitions of 30 bytes and their size.
    let sizes = |answer: &[u8]| {
        let size = |at: usize| i32::from_be_bytes(answer[at..at + 4].try_into().expect("four"));
        (size(4 + 4 + 3 + 4 + 26), size(4 + 4 + 3 + 4 + 30 + 26))
    };
    assert_eq!(sizes(&fetch(batch - 1)), (batch as i32, 0));
    assert_eq!(sizes(&fetch(batch)), (batch as i32, batch as i32));
}

#[test]
fn a_fetch_that_names_no_partition_is_answered_at_once() {
    let fixture = fixture();
    // It would wait for a minute.
    let answer =
        fixture.answer(ApiKey::Fetch, 4, &Body::default().i32(-1).i32(60_000).i32(1).i32(1).raw(&[0]).i32(0));
    assert_eq!(answer, [0; 8]);
}

#[test]
fn a_producer_without_acks_whose_records_are_not_taken_is_disconnected() {
    let fixture = fixture();
    let produce = |topic: &str, acks| {
        let batch = sample(0, &[1], (-1, -1, -1));
        let body = Body::default().i16(-1).i16(acks).i32(1000).i32(1).text(topic);
        let body = body.i32(1).i32(0).i32(batch.len() as i32).raw(&batch);
        let frame = frame(api(ApiKey::Produce), 7, &body.0);
        let answered = answer(&fixture.broker, &fixture.client, Bytes::from(frame), None);
        fixture.runtime.block_on(answered).expect("answered").0
    };
    assert!(matches!(produce("a", 0), Reply::Nothing));
    assert!(matches!(produce("gone", 0), Reply::Close));
    assert!(matches!(produce("gone", 1), Reply::Parts(_)));
}

#[test]
fn records_that_are_refused_are_listed_up_to_a_number_for_the_whole_request() {
    const EACH: usize = LISTED - 2000;
    let fixture = fixture();
    let own = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
    fixture.broker.topics.configure("a", own, false).expect("configured");
    let batch = sample(0, &vec![1; EACH], (-1, -1, -1));
    let part = |index| Body::default().i32(index).i32(batch.len() as i32).raw(&batch).0;
    let body = Body::default().i16(-1).i16(1).i32(1000).i32(1).text("a").i32(2).raw(&part(0)).raw(&part(1));
    let answer = fixture.answer(ApiKey::Produce, 8, &body);
    let text = String::from_utf8_lossy(&answer);
    // Three of each are in the sentence about the batch too.
    let listed = |partition: &str| text.matches(&format!("in topic partition {partition}")).count() - 3;
    assert_eq!((listed("a-0"), listed("a-1")), (EACH, LISTED - EACH));
    assert_eq!(text.matches(&format!("due to {EACH} record errors")).count(), 2);
}

#[test]
fn the_batches_of_a_request_are_decompressed_within_one_budget() {
    let fixture = fixture();
    let own = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
    fixture.broker.topics.configure("a", own, false).expect("configured");
    // One record, whose length, attributes, time, offset and key are followed by zeros: 20 MiB.
    let record = [&[0x80, 0x80, 0x80, 0x14, 0, 0, 0, 2, b'k'][..], &vec![0; 20 << 20]].concat();
    let mut batch = sample(0, &[1], (-1, -1, -1));
    batch.truncate(61);
    batch.extend(zstd::encode_all(&record[..record.len() - 5], 1).expect("compressed"));
    batch[22] = 4;
    let size = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&size.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    let part = |index| Body::default().i32(index).i32(batch.len() as i32).raw(&batch).0;
    let body = Body::default().i16(-1).i16(1).i32(1000).i32(1).text("a").i32(2).raw(&part(0)).raw(&part(1));
    let answer = fixture.answer(ApiKey::Produce, 7, &body);
    // One topic "a", two partitions of 30 bytes: index, error, offset, time, start.
    let errors = [15, 45].map(|at| i16::from_be_bytes(answer[at..at + 2].try_into().expect("two")));
    assert_eq!(errors, [code::NONE, code::MESSAGE_TOO_LARGE]);
}

#[test]
fn what_is_named_many_times_is_answered_once() {
    let fixture = fixture();
    let metadata = |times: i32| {
        let body = Body::default().i32(times).raw(&Body::default().text("a").0.repeat(times as usize));
        fixture.answer(ApiKey::Metadata, 1, &body)
    };
    assert_eq!(metadata(1), metadata(10_000));
    let fetch = |times: i32| {
        let topic = Body::default().text("a").i32(1).i32(0).i64(0).i32(100).0;
        let body = Body::default().i32(-1).i32(0).i32(1).i32(100).raw(&[0]).i32(times);
        fixture.answer(ApiKey::Fetch, 4, &body.raw(&topic.repeat(times as usize)))
    };
    assert_eq!(fetch(1), fetch(10_000));
}

#[test]
fn an_answer_many_times_larger_than_its_request_is_refused() {
    let fixture = fixture();
    let topics = |count: i32| {
        // Version 5 answers with all configurations; its lengths are compact.
        let body = (0..count).fold(compact_count(count), |body, n| {
            let name = format!("t{n}");
            body.raw(&[name.len() as u8 + 1]).raw(name.as_bytes()).i32(1).i16(1).raw(&[1, 1, 0])
        });
        fixture.ask(frame(api(ApiKey::CreateTopics), 5, &body.i32(1000).raw(&[1, 0]).0))
    };
    assert!(topics(100).is_ok());
    assert!(topics(40_000).is_err_and(|e| e.contains("larger than")));
    let configs = |times: i32| {
        let resource = Body::default().raw(&[2]).text("a").i32(-1).0;
        let body = Body::default().i32(times).raw(&resource.repeat(times as usize)).raw(&[1]);
        fixture.ask(frame(api(ApiKey::DescribeConfigs), 1, &body.0))
    };
    assert!(configs(100).is_ok());
    assert!(configs(40_000).is_err_and(|e| e.contains("larger than")));
    let committed = Committed { offset: 1, epoch: -1, metadata: "m".repeat(4096) };
    let nobody = Who { generation: -1, ..Who::default() };
    assert_eq!(fixture.broker.coordinator.commit("g", &nobody, vec![("a".into(), 0, committed)]), [0]);
    let offsets = |times: i32| {
        // Each is all topics of the group "g".
        let groups = [2, b'g', 0, 0].repeat(times as usize);
        fixture.ask(frame(api(ApiKey::OffsetFetch), 8, &compact_count(times).raw(&groups).raw(&[0, 0]).0))
    };
    assert!(offsets(100).is_ok());
    assert!(offsets(40_000).is_err_and(|e| e.contains("larger than")));
    // A name of 20,000 bytes, which an answer would repeat for each partition.
    let named = |key, version, before: &[u8], partition: &[u8], times: i32, after: &[u8]| {
        let body =
            Body::default().raw(before).raw(&[2]).raw(&compact_count(20_000).0).raw(&b"n".repeat(20_000));
        let body = body.raw(&compact_count(times).0).raw(&partition.repeat(times as usize)).raw(after);
        fixture.ask(frame(api(key), version, &body.0))
    };
    let producers = |times| named(ApiKey::DescribeProducers, 0, &[], &[0; 4], times, &[0, 0]);
    let reassigned = |times| {
        let time_out = [0; 4];
        named(ApiKey::AlterPartitionReassignments, 0, &time_out, &[0; 6], times, &[0, 0])
    };
    let elected = |times| named(ApiKey::ElectLeaders, 2, &[0], &[0; 4], times, &[0, 0, 0, 0, 0, 0]);
    for ask in [&producers as &dyn Fn(i32) -> _, &reassigned, &elected] {
        assert!(ask(100).is_ok_and(|reply| reply.is_some_and(|reply| reply.len() > 100 * 20_000)));
        assert!(ask(4000).is_err_and(|e| e.contains("larger than")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn every_request_of_the_table_is_decoded_and_answered_in_every_version(
        seed in proptest::collection::vec(any::<u8>(), 1..100),
    ) {
        let fixture = fixture();
        for api in apis::APIS {
            for version in api.min..=api.max {
                let body = generate(api, version, &seed);
                let answered = fixture.ask(frame(api, version, &body));
                let answered = answered.map_err(|e| TestCaseError::fail(format!("{:?} v{version}: {e}", api.key)))?;
                if let Some(reply) = answered {
                    let correlation = 77_i32.to_be_bytes();
                    prop_assert_eq!(&reply[4..8], &correlation[..], "{:?} v{}", api.key, version);
                } else {
                    use ApiKey::{Fetch, JoinGroup, ListOffsets, Produce, SyncGroup};
                    let may_wait = [Produce, Fetch, ListOffsets, JoinGroup, SyncGroup].contains(&api.key);
                    prop_assert!(may_wait, "{:?}", api.key);
                }
            }
        }
    }

    #[test]
    fn random_frames_are_refused_or_answered_and_never_a_panic(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..50),
        key in 0_i16..70,
        version in 0_i16..12,
    ) {
        let fixture = fixture();
        for mut frame in frames {
            let _ = fixture.ask(frame.clone());
            if frame.len() > 10 {
                frame[..2].copy_from_slice(&key.to_be_bytes());
                frame[2..4].copy_from_slice(&version.to_be_bytes());
                frame[8..10].copy_from_slice(&0_i16.to_be_bytes());
                let _ = fixture.ask(frame);
            }
        }
    }
}

#[test]
fn a_newer_api_versions_is_answered_in_the_oldest_form_with_error_35() {
    let fixture = fixture();
    let reply =
        fixture.ask(frame(api(ApiKey::ApiVersions), 5, &[1, 1, 0])).expect("answered").expect("a reply");
    assert_eq!(reply[8..10], 35_i16.to_be_bytes());
    let count = i32::from_be_bytes(reply[10..14].try_into().expect("four"));
    assert_eq!(count as usize, apis::APIS.len());
    assert_eq!(reply.len(), 14 + 6 * apis::APIS.len());
}

#[test]
fn what_the_broker_does_not_have_is_refused_by_name() {
    let fixture = fixture();
    let of = |key: i16| {
        let mut frame = frame(api(ApiKey::Heartbeat), 0, &[]);
        frame[..2].copy_from_slice(&key.to_be_bytes());
        frame
    };
    assert!(fixture.ask(of(24)).is_err_and(|e| e.contains("AddPartitionsToTxn v0")));
    assert!(fixture.ask(of(999)).is_err_and(|e| e.contains("api key 999")));
}
