"""Events that the CloudEvents SDK for Python sends by HTTP; its Kafka binding reads the same events from the topic.

    kq dev -- python tests/serve_clients/events.py

Needs cloudevents from PyPI. KQ names the binary (target/debug/kq).
"""

import datetime
import importlib.metadata
import itertools

from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent

from serving import post, records, serving

TIME = datetime.datetime(2018, 4, 5, 3, 56, 24, 123456, tzinfo=datetime.timezone.utc)
ATTRIBUTES = [
    {},
    {"time": TIME, "subject": "caf\u00e9 \u20ac \U0001f600 100% \"quoted\" \\ a,b;c"},
    {"dataschema": "https://example.com/schema?a=b#c", "myextension1": " spaces "},
    {"partitionkey": "customer \u00fc 7", "time": TIME},
]
DATA = [
    ("application/json", {"message": "Hello World! \u20ac"}),
    ("application/vnd.order+json; charset=utf-8", {"a": [1, 2.5, None, {"b": True}]}),
    ("text/plain", "text \u00fc\nof two lines"),
    ("application/octet-stream", bytes(range(256))),
]


def main():
    sent = []
    with serving("events", "--key-from", "ce:partitionkey", "--key-optional") as address:
        for number, (more, (kind, data), mode) in enumerate(itertools.product(ATTRIBUTES, DATA, ("binary", "structured"))):
            must = {"id": f"{number}-\u00e9", "source": "/kq/tests?a=b c", "type": "com.example.order", "specversion": "1.0"}
            event = CloudEvent(must | {"datacontenttype": kind} | more, data)
            convert = http.to_binary_event if mode == "binary" else http.to_structured_event
            message = convert(event)
            status, answer = post(address, "/topics/events", message.body, message.headers)
            assert status == 200, (mode, event.get_attributes(), answer)
            sent.append((event, mode, (answer["partition"], answer["offset"])))

    found = records("events")
    assert len(found) == len(sent), (len(found), len(sent))
    for event, mode, place in sent:
        record = found[place]
        headers = dict(record["headers"])
        assert len(headers) == len(record["headers"]), record
        assert headers["content-type"].startswith(b"application/cloudevents+json") == (mode == "structured"), record
        partition_key = event.get_extension("partitionkey")
        assert record["key"] == (partition_key and partition_key.encode()), record
        message = kafka.KafkaMessage(headers=headers, key=record["key"], value=record["value"])
        got = kafka.from_kafka_event(message)
        # A header has no types: an event with data that the SDK gives as text is the same event.
        assert got.get_attributes() == event.get_attributes(), (mode, got.get_attributes(), event.get_attributes())
        assert got.get_data() == event.get_data(), (mode, got.get_data(), event.get_data())
        # And what this SDK would have sent to Kafka itself.
        own = (kafka.to_binary_event if mode == "binary" else kafka.to_structured_event)(event)
        assert own.value == record["value"], (own.value, record["value"])
        if mode == "binary":
            assert own.headers == headers, (own.headers, headers)
    print(f"{len(sent)} events in both modes as sent (cloudevents {importlib.metadata.version('cloudevents')})")


main()
