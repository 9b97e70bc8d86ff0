//! What `kq dev` does not have: a client that wants it ends at once, and stderr says once what to do.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaErrorCode as Code;
use rustix::process::Signal;

use crate::dev::Standing;
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs two clients of one name one after the other; what the broker said about the name.
fn said_to_two(act: impl Fn(&mut ClientConfig)) -> Vec<String> {
    let tmp = tempfile::tempdir().expect("folder");
    let standing = Standing::start(tmp.path(), &["--topic", "t:1"]);
    for _ in 0..2 {
        act(standing.config().set("client.id", "mine"));
    }
    let (_, said) = standing.end(Signal::TERM);
    said.lines().filter(|line| line.contains("client \"mine\"")).map(str::to_owned).collect()
}

fn first_error(consumer: &BaseConsumer, wanted: Code) {
    wait_until("the client ends with its error", PATIENCE, || {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Err(KafkaError::MessageConsumptionFatal(code) | KafkaError::MessageConsumption(code))) => {
                code == wanted
            }
            Some(other) => panic!("{:?}", other.map(|_| "a record")),
            None => false,
        }
    });
}

#[test]
fn a_member_of_a_kip_848_group_ends_at_once() {
    let said = said_to_two(|config| {
        let consumer: BaseConsumer =
            config.set("group.id", "g").set("group.protocol", "consumer").create().expect("consumer");
        consumer.subscribe(&["t"]).expect("subscribe");
        first_error(&consumer, Code::UnsupportedVersion);
    });
    assert!(said.len() == 1 && said[0].contains("leave group.protocol=classic"), "{said:?}");
}

#[test]
fn a_login_is_refused_by_its_own_code() {
    let said = said_to_two(|config| {
        for (key, value) in [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
            ("group.id", "g"),
        ] {
            config.set(key, value);
        }
        let consumer: BaseConsumer = config.create().expect("consumer");
        consumer.subscribe(&["t"]).expect("subscribe");
        first_error(&consumer, Code::AllBrokersDown);
    });
    assert!(said.len() == 1 && said[0].contains("leave out the sasl.* settings"), "{said:?}");
}

#[test]
fn a_transaction_is_refused_and_the_broker_says_why() {
    let said = said_to_two(|config| {
        let producer: BaseProducer = config.set("transactional.id", "x").create().expect("producer");
        let refused = producer.init_transactions(PATIENCE);
        assert!(matches!(refused, Err(KafkaError::Transaction(_))), "{refused:?}");
    });
    assert!(said.len() == 1 && said[0].contains("leave out transactional.id"), "{said:?}");
}
