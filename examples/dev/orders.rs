//! Run it as: kq dev -- cargo test
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

#[test]
fn an_order_arrives() {
    let brokers = std::env::var("KQ_BROKERS").expect("kq dev sets KQ_BROKERS");
    let wait = Duration::from_secs(10);
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    producer.send(BaseRecord::<(), _>::to("orders").payload(r#"{"id":1}"#)).unwrap();
    producer.flush(wait).unwrap();

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("group.id", "test")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&["orders"]).unwrap();
    let record = consumer.iter().next().expect("a record").unwrap();
    assert_eq!(record.payload(), Some(&br#"{"id":1}"#[..]));
}
