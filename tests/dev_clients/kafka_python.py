"""kafka-python, all of it Python, against the broker in KQ_BROKERS or the first argument.

    kq dev -- python3 tests/dev_clients/kafka_python.py
"""
import os
import subprocess
import sys
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic, OffsetSpec

BROKERS = sys.argv[1] if len(sys.argv) > 1 else os.environ["KQ_BROKERS"]
# The others need packages of their own.
CODECS = [None, "gzip"]
SESSION = 1.5
PATIENCE = 30


def expect(what, expected, seen):
    if expected != seen:
        sys.exit(f"{what}: expected {expected!r}, saw {seen!r}")


def produce(topic, values, codec=None, partition=None):
    producer = KafkaProducer(bootstrap_servers=BROKERS, compression_type=codec, max_request_size=5_000_000)
    sent = [producer.send(topic, value=value.encode(), key=str(n).encode(), headers=[("h", b"1")], partition=partition)
            for n, value in enumerate(values)]
    for record in sent:
        record.get(PATIENCE)
    producer.close()


def member(topic, group):
    consumer = KafkaConsumer(bootstrap_servers=BROKERS, group_id=group, auto_offset_reset="earliest",
                             session_timeout_ms=int(1000 * SESSION), heartbeat_interval_ms=300,
                             enable_auto_commit=False)
    consumer.subscribe([topic])
    return consumer


def read(consumer, until, poll_ms=1000 * PATIENCE):
    """The records read until the condition on them holds.

    A poll returns with the first records. A new member's must outlast its joins: this client first
    joins without knowing the topic's partitions, joins again once it does, and loses for good what
    it is assigned if the poll ends meanwhile.
    """
    records, deadline = [], time.monotonic() + PATIENCE
    while not until(records):
        if time.monotonic() > deadline:
            sys.exit(f"after {PATIENCE} s: {len(records)} records, {len(consumer.assignment())} partitions assigned")
        for found in consumer.poll(timeout_ms=poll_ms).values():
            records += found
    return records


def settle(consumer, partitions):
    """Until the consumer has as many partitions as that."""
    read(consumer, lambda _: len(consumer.assignment()) in partitions, poll_ms=100)


def values(records):
    return sorted(record.value.decode() for record in records)


def main():
    topic = group = f"kafka-python-{os.getpid()}"
    admin = KafkaAdminClient(bootstrap_servers=BROKERS)
    admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])
    expect("partitions", 3, len(admin.describe_topics([topic])[0]["partitions"]))

    sent = [f"{codec}-{n}" for codec in CODECS for n in range(200)]
    for codec in CODECS:
        produce(topic, [value for value in sent if value.startswith(str(codec))], codec)
    one = member(topic, group)
    expect("what one member reads", sorted(sent), values(read(one, lambda records: len(records) >= len(sent))))
    one.commit()

    # A second one takes a part, is killed, and its part comes back.
    two = subprocess.Popen([sys.executable, __file__, BROKERS, topic, group])
    try:
        settle(one, (1, 2))
        deadline = time.monotonic() + PATIENCE
        while (described := admin.describe_groups([group])[group])["group_state"] != "Stable":
            expect("the group settles", True, time.monotonic() < deadline)
            one.poll(timeout_ms=100)
        expect("members", 2, len(described["members"]))
    finally:
        two.kill()
        two.wait()
    killed = time.monotonic()
    settle(one, (3,))
    took = time.monotonic() - killed
    # Its session, and a rebalance, for which a busy machine gets seconds.
    expect(f"replaced in {took:.1f} s, within its session and 5 s", True, took < SESSION + 5)
    after = [f"after-{n}" for n in range(3)]
    for partition in range(3):
        produce(topic, [after[partition]], partition=partition)
    expect("what came after the kill", after, values(read(one, lambda records: len(records) >= 3)))
    one.commit()
    one.close()
    offsets = admin.list_group_offsets({group: None})[group]
    expect("sum of the committed offsets", len(sent) + 3, sum(place.offset for place in offsets.values()))

    # A new member gets what is new, and nothing twice.
    new = [f"new-{n}" for n in range(10)]
    produce(topic, new)
    again = member(topic, group)
    expect("what a new member reads", new, values(read(again, lambda records: len(records) >= 10)))
    again.close()

    # Batches larger than a partition's share of an answer: this client ends with an error on a part of one.
    large = ["x" * 1_000_000] * 4
    for partition in range(2):
        produce(topic, large[:2], partition=partition)
    places = [TopicPartition(topic, partition) for partition in range(2)]
    wide = KafkaConsumer(bootstrap_servers=BROKERS, max_partition_fetch_bytes=1000, auto_offset_reset="earliest")
    wide.assign(places)
    found = read(wide, lambda records: sum(len(record.value) > 1000 for record in records) >= 4)
    expect("large records", large, [value for value in values(found) if len(value) > 1000])
    wide.close()

    listed = [listed["group_id"] for listed in admin.list_groups()]
    expect("the group is listed", True, group in listed)
    ends = admin.list_partition_offsets({TopicPartition(topic, p): OffsetSpec.LATEST for p in range(3)})
    expect("records by latest offsets", len(sent) + 13 + 4, sum(end.offset for end in ends.values()))
    admin.delete_groups([group])
    admin.delete_topics([topic])
    deadline = time.monotonic() + PATIENCE
    while topic in admin.list_topics():
        expect("the topic goes", True, time.monotonic() < deadline)
        time.sleep(0.1)
    print(f"kafka-python {kafka.__version__}: all, the killed member replaced in {took:.1f} s")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        # The member that is killed.
        killed = member(*sys.argv[2:])
        while True:
            killed.poll(timeout_ms=1000 * PATIENCE)
    main()
