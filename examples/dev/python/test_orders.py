"""Run it as: pytest"""
import subprocess

import pytest
from confluent_kafka import Consumer, Producer


@pytest.fixture(scope="session")
def brokers():
    with subprocess.Popen(["kq", "dev", "--port", "0", "--quiet"], stdout=subprocess.PIPE, text=True) as broker:
        yield broker.stdout.readline().strip()
        broker.terminate()


def test_an_order_arrives(brokers):
    producer = Producer({"bootstrap.servers": brokers})
    producer.produce("orders", b'{"id":1}')
    assert producer.flush(10) == 0

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe(["orders"])
    record = consumer.poll(10)
    assert record is not None and record.value() == b'{"id":1}'
    consumer.close()
