"""confluent-kafka against the broker in KQ_BROKERS or the first argument.

    kq dev -- python3 tests/dev_clients/python.py
"""
import os
import subprocess
import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec)

BROKERS = sys.argv[1] if len(sys.argv) > 1 else os.environ["KQ_BROKERS"]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
SESSION = 1.5
PATIENCE = 30


def expect(what, expected, seen):
    if expected != seen:
        sys.exit(f"{what}: expected {expected!r}, saw {seen!r}")


def produce(topic, values, codec="none", **where):
    producer = Producer({"bootstrap.servers": BROKERS, "compression.type": codec, "enable.idempotence": True})
    failed = []
    for n, value in enumerate(values):
        producer.produce(topic, key=str(n), value=value, headers=[("h", None), ("h", b"1")],
                         on_delivery=lambda error, _: error and failed.append(error), **where)
    expect("records not acknowledged", 0, producer.flush(PATIENCE))
    expect("errors of delivery", [], failed)


def member(topic, group):
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": group, "auto.offset.reset": "earliest",
                         "session.timeout.ms": int(1000 * SESSION), "heartbeat.interval.ms": 300,
                         "enable.auto.commit": False, "partition.assignment.strategy": "cooperative-sticky"})
    consumer.subscribe([topic])
    return consumer


def read(consumer, until):
    """The records read until the condition on them holds."""
    records, deadline = [], time.monotonic() + PATIENCE
    while not until(records):
        if time.monotonic() > deadline:
            sys.exit(f"after {PATIENCE} s: {len(records)} records, {len(consumer.assignment())} partitions assigned")
        record = consumer.poll(0.1)
        if record is not None:
            expect("error of a record", None, record.error())
            records.append(record)
    return records


def values(records):
    return sorted(record.value().decode() for record in records)


def main():
    topic = group = f"python-{os.getpid()}"
    admin = AdminClient({"bootstrap.servers": BROKERS})
    admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])[topic].result(PATIENCE)
    expect("partitions", 3, len(admin.list_topics(topic, PATIENCE).topics[topic].partitions))

    sent = [f"{codec}-{n}" for codec in CODECS for n in range(200)]
    for codec in CODECS:
        produce(topic, [value for value in sent if value.startswith(codec)], codec)
    one = member(topic, group)
    got = read(one, lambda records: len(records) >= len(sent))
    expect("values of all codecs", sorted(sent), values(got))
    expect("headers", [("h", None), ("h", b"1")], got[0].headers())
    one.commit(asynchronous=False)

    # A second member takes a part, and is killed: nothing tells the broker.
    two = subprocess.Popen([sys.executable, __file__, BROKERS, topic, group])
    try:
        read(one, lambda _: 0 < len(one.assignment()) < 3)
        described = admin.describe_consumer_groups([group])[group].result(PATIENCE)
        expect("members", 2, len(described.members))
    finally:
        two.kill()
        two.wait()
    killed = time.monotonic()
    read(one, lambda _: len(one.assignment()) == 3)
    took = time.monotonic() - killed
    # Its session, and a rebalance, for which a busy machine gets seconds.
    expect(f"replaced in {took:.1f} s, within its session and 5 s", True, took < SESSION + 5)
    after = [f"after-{n}" for n in range(3)]
    for partition in range(3):
        produce(topic, [after[partition]], partition=partition)
    expect("what came after the kill", after, values(read(one, lambda records: len(records) >= 3)))
    one.commit(asynchronous=False)
    one.close()
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(PATIENCE)
    expect("sum of the committed offsets", len(sent) + 3, sum(place.offset for place in offsets.topic_partitions))

    # A new member gets what is new, and nothing twice.
    new = [f"new-{n}" for n in range(10)]
    produce(topic, new)
    again = member(topic, group)
    expect("what a new member reads", new, values(read(again, lambda records: len(records) >= 10)))
    again.close()

    listed = [g.group_id for g in admin.list_consumer_groups().result(PATIENCE).valid]
    expect("the group is listed", True, group in listed)
    ends = admin.list_offsets({TopicPartition(topic, p): OffsetSpec.latest() for p in range(3)})
    expect("records by latest offsets", len(sent) + 13, sum(end.result(PATIENCE).offset for end in ends.values()))
    resource = ConfigResource("topic", topic, incremental_configs=[
        ConfigEntry("retention.ms", "1000000", incremental_operation=AlterConfigOpType.SET)])
    admin.incremental_alter_configs([resource])[resource].result(PATIENCE)
    resource = ConfigResource("topic", topic)
    configs = admin.describe_configs([resource])[resource].result(PATIENCE)
    expect("retention.ms", "1000000", configs["retention.ms"].value)
    place = TopicPartition(topic, 0, 10)
    expect("low watermark", 10, admin.delete_records([place])[place].result(PATIENCE).low_watermark)
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(PATIENCE)
    expect("more partitions", 5, len(admin.list_topics(topic, PATIENCE).topics[topic].partitions))
    if admin.describe_cluster().result(PATIENCE).cluster_id == "kq-dev":
        try:
            Producer({"bootstrap.servers": BROKERS, "transactional.id": "x"}).init_transactions(5)
            sys.exit("a transaction was accepted")
        except confluent_kafka.KafkaException:
            pass
    admin.delete_consumer_groups([group])[group].result(PATIENCE)
    admin.delete_topics([topic])[topic].result(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while topic in admin.list_topics(timeout=PATIENCE).topics:
        expect("the topic goes", True, time.monotonic() < deadline)
        time.sleep(0.1)
    print(f"confluent-kafka {confluent_kafka.version()}, librdkafka {confluent_kafka.libversion()[0]}: "
          f"all, the killed member replaced in {took:.1f} s")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        # The member that is killed.
        killed = member(*sys.argv[2:])
        while True:
            killed.poll(0.1)
    main()
