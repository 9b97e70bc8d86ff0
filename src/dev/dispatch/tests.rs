//! Every request in every version is answered; nothing that comes in ends the process.

use std::net::Ipv4Addr;

use super::*;
use crate::dev::shape::tests::generate;
use crate::dev::{Settings, configs};
use crate::log::Log;
use proptest::prelude::*;

struct Fixture {
    broker: Arc<Broker>,
    client: Client,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("folder");
    let settings =
        Settings { partitions: 2, auto_create: true, strict: false, defaults: configs::Defaults::default() };
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
                answered = answer(&self.broker, &self.client, Bytes::from(frame)) => answered,
                () = coordinator => unreachable!("it runs for ever"),
                // A fetch, or a member that waits for others, may wait for long: that is no error.
                () = tokio::time::sleep(std::time::Duration::from_millis(5)) => Ok((Reply::Nothing, String::new())),
            }
        });
        Ok(match answered?.0 {
            Reply::Nothing => None,
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

fn frame(api: &Api, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(api.key.to_be_bytes());
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn every_request_of_the_table_is_decoded_and_answered_in_every_version(
        seed in proptest::collection::vec(any::<u8>(), 1..100),
    ) {
        let fixture = fixture();
        for api in shape::APIS {
            for version in api.min..=api.max {
                let body = generate(api, version, &seed);
                let answered = fixture.ask(frame(api, version, &body));
                let answered = answered.map_err(|e| TestCaseError::fail(format!("{} v{version}: {e}", api.name)))?;
                if let Some(reply) = answered {
                    let correlation = 77_i32.to_be_bytes();
                    prop_assert_eq!(&reply[4..8], &correlation[..], "{} v{}", api.name, version);
                } else {
                    prop_assert!(["Produce", "Fetch", "JoinGroup", "SyncGroup"].contains(&api.name), "{}", api.name);
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
    let api = shape::find(18).expect("ApiVersions");
    let reply = fixture.ask(frame(api, 4, &[1, 1, 0])).expect("answered").expect("a reply");
    assert_eq!(reply[8..10], 35_i16.to_be_bytes());
    let count = i32::from_be_bytes(reply[10..14].try_into().expect("four"));
    assert_eq!(count as usize, shape::APIS.len());
    assert_eq!(reply.len(), 14 + 6 * shape::APIS.len());
}

#[test]
fn what_the_broker_does_not_have_is_refused_by_name() {
    let fixture = fixture();
    let mut heartbeat = frame(shape::find(12).expect("Heartbeat"), 0, &[]);
    heartbeat[..2].copy_from_slice(&68_i16.to_be_bytes());
    assert!(fixture.ask(heartbeat).is_err_and(|e| e.contains("api key 68")));
}
