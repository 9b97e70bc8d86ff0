"""aiokafka against the broker in KQ_BROKERS or the first argument.

    kq dev -- python3 tests/dev_clients/aiokafka_.py
"""
import asyncio
import os
import sys
import time

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import UnknownError

BROKERS = sys.argv[1] if len(sys.argv) > 1 else os.environ["KQ_BROKERS"]
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]
SESSION = 1.5
PATIENCE = 30


def expect(what, expected, seen):
    if expected != seen:
        sys.exit(f"{what}: expected {expected!r}, saw {seen!r}")


async def produce(topic, values, codec=None):
    producer = AIOKafkaProducer(bootstrap_servers=BROKERS, compression_type=codec, enable_idempotence=True)
    async with producer:
        sent = [await producer.send(topic, value.encode(), key=str(n).encode(), headers=[("h", b"1"), ("h", b"")])
                for n, value in enumerate(values)]
        await asyncio.wait_for(asyncio.gather(*sent), PATIENCE)


async def member(topic):
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=BROKERS, group_id=topic, auto_offset_reset="earliest",
                                enable_auto_commit=False, session_timeout_ms=int(1000 * SESSION),
                                heartbeat_interval_ms=300, rebalance_timeout_ms=5000)
    await consumer.start()
    return consumer


async def read(consumer, until):
    """The records read until the condition on them holds."""
    records, deadline = [], time.monotonic() + PATIENCE
    while not until(records):
        if time.monotonic() > deadline:
            sys.exit(f"after {PATIENCE} s: {len(records)} records, {len(consumer.assignment())} partitions assigned")
        for found in (await consumer.getmany(timeout_ms=100)).values():
            records.extend(found)
    return records


def values(records):
    return sorted(record.value.decode() for record in records)


async def wait_for_policy(admin, topic, policy):
    """Waits until the topic is described with this policy: Apache Kafka needs a moment to tell its brokers."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": None})
    deadline = time.monotonic() + PATIENCE
    while True:
        [described] = await admin.describe_configs([resource])
        # Error, its words, type and name of the resource, then the entries: name and value first.
        [(error, _, _, _, entries)] = described.resources
        seen = (error, [entry[:2] for entry in entries])
        if seen == (0, [("cleanup.policy", policy)]):
            return
        if time.monotonic() > deadline:
            sys.exit(f"the policy of {topic}: expected {policy}, saw {seen}")
        await asyncio.sleep(0.1)


async def on_compacted_topics(admin, topic):
    new = NewTopic(topic, 1, 1, topic_configs={"cleanup.policy": "compact"})
    await admin.create_topics([new])
    await wait_for_policy(admin, topic, "compact")
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": "delete,compact"})
    await admin.alter_configs([resource])
    await wait_for_policy(admin, topic, "delete,compact")
    async with AIOKafkaProducer(bootstrap_servers=BROKERS) as producer:
        await producer.send_and_wait(topic, b"v", key=b"k")
        await producer.send_and_wait(topic, None, key=b"k")
        try:
            await producer.send_and_wait(topic, b"no key")
            sys.exit("a record without a key was taken by a compacted topic")
        except UnknownError:
            pass  # It does not know INVALID_RECORD.


async def main():
    topic = f"aiokafka-{os.getpid()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKERS)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 3, 1)])
    await on_compacted_topics(admin, f"{topic}-compacted")

    sent = [f"{codec}-{n}" for codec in CODECS for n in range(200)]
    for codec in CODECS:
        await produce(topic, [value for value in sent if value.startswith(str(codec))], codec)
    one = await member(topic)
    got = await read(one, lambda records: len(records) >= len(sent))
    expect("values of all codecs", sorted(sent), values(got))
    expect("headers", (("h", b"1"), ("h", b"")), got[0].headers)
    await one.commit()

    # A second member takes a part, and is killed: nothing tells the broker.
    two = await asyncio.create_subprocess_exec(sys.executable, __file__, BROKERS, topic)
    try:
        await read(one, lambda _: 0 < len(one.assignment()) < 3)
    finally:
        two.kill()
        await two.wait()
    killed = time.monotonic()
    await read(one, lambda _: len(one.assignment()) == 3)
    took = time.monotonic() - killed
    # Its session, and a rebalance, for which a busy machine gets seconds.
    expect(f"replaced in {took:.1f} s, within its session and 5 s", True, took < SESSION + 5)
    await one.stop()

    # A new member gets what is new, and nothing twice.
    new = [f"new-{n}" for n in range(10)]
    await produce(topic, new)
    again = await member(topic)
    expect("what a new member reads", new, values(await read(again, lambda records: len(records) >= 10)))
    await again.commit()
    await again.stop()

    groups = await admin.list_consumer_groups()
    expect("the group is listed", True, topic in [group for group, _ in groups])
    offsets = await admin.list_consumer_group_offsets(topic)
    committed = sum(offsets[TopicPartition(topic, p)].offset for p in range(3))
    expect("sum of the committed offsets", len(sent) + 10, committed)
    await admin.delete_topics([topic, f"{topic}-compacted"])
    deadline = time.monotonic() + PATIENCE
    while [name for name in await admin.list_topics() if name.startswith(topic)]:
        expect("the topics go", True, time.monotonic() < deadline)
        await asyncio.sleep(0.1)
    await admin.close()
    print(f"aiokafka {aiokafka.__version__}: all, the killed member replaced in {took:.1f} s; compacted topics")


async def killed_member(topic):
    consumer = await member(topic)
    while True:
        await consumer.getmany(timeout_ms=100)


if len(sys.argv) > 2:
    asyncio.run(killed_member(sys.argv[2]))
else:
    asyncio.run(main())
