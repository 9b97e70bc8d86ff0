"""Requests of clients of Confluent's REST Proxy v2, of Karapace and of Strimzi's bridge: answers and records.

    kq dev -- python3 tests/serve_clients/v2.py

Needs Python alone. The cases of Karapace's own tests of publishing (those without a schema registry) are in it, with
the statuses that kq has for them. KQ names the binary (target/debug/kq).
"""

import base64
import json
import random

from serving import post, records, serving

RANDOM = random.Random(2)
TYPE = "application/vnd.kafka.{}.v2+json"


def encoded(data):
    return base64.b64encode(data).decode()


def check(address):
    """Sends all that is taken; returns what must be there, by place: key, value and headers."""
    expected = {}

    def published(kind, given, path="/topics/v2", **want):
        """Posts the records and checks the answer. `want` is the key, value and headers of the records, as lists."""
        body = json.dumps({"records": given}, separators=(", ", " : "), ensure_ascii=RANDOM.random() < 0.5)
        status, answer = post(address, path, body.encode(), {"Content-Type": TYPE.format(kind)})
        assert status == 200, (given, answer)
        assert set(answer) == {"offsets", "key_schema_id", "value_schema_id"}, answer
        assert answer["key_schema_id"] is None and answer["value_schema_id"] is None, answer
        assert len(answer["offsets"]) == len(given), answer
        for index, offset in enumerate(answer["offsets"]):
            assert set(offset) == {"partition", "offset", "error_code", "error"}, offset
            assert isinstance(offset["partition"], int) and isinstance(offset["offset"], int), offset
            assert offset["error_code"] is None and offset["error"] is None, offset
            named = given[index].get("partition")
            assert named is None or offset["partition"] == named, (given, offset)
            assert "/partitions/" not in path or path.endswith(f"/{offset['partition']}"), (path, offset)
            of = {name: values[index] for name, values in want.items()}
            expected[offset["partition"], offset["offset"]] = of.get("key"), of["value"], of.get("headers", [])
        return answer

    # Karapace's test_publish.
    for path in ("/topics/v2", "/topics/v2/partitions/0"):
        published("json", [{"value": {"foo": "bar"}}], path, value=[b'{"foo" : "bar"}'])
        published("binary", [{"value": "Zm9vCg=="}], path, value=[b"foo\n"])
    # What Confluent's documentation shows.
    published("json", [{"key": "k", "value": "v"}, {"value": 7, "partition": 1}], key=[b'"k"', None], value=[b'"v"', b"7"])
    # Values that Karapace makes empty, and tombstones, which Strimzi makes text.
    falsy = [0, False, "", {}, [], None]
    published(
        "json",
        [{"key": {"id": n}, "value": value} for n, value in enumerate(falsy)],
        key=[b'{"id" : %d}' % n for n in range(len(falsy))],
        value=[b"0", b"false", b'""', b"{}", b"[]", None],
    )
    published("binary", [{"key": "YQ==", "value": None}, {"key": "Yg=="}, {"value": ""}], key=[b"a", b"b", None], value=[None, None, b""])
    # Strimzi's text, headers and time.
    published(
        "text",
        [{"key": "k", "value": "no quotes \u00fc\n", "headers": [{"key": "a", "value": encoded(b"\x00\xff")}, {"key": "a", "value": None}], "timestamp": 1600000000000}],
        key=[b"k"],
        value=["no quotes \u00fc\n".encode()],
        headers=[[("a", b"\x00\xff"), ("a", None)]],
    )
    # Karapace's test_publish_random_partitioning, bounded: a record without a key goes to any partition.
    seen = {published("json", [{"value": n}], value=[b"%d" % n])["offsets"][0]["partition"] for n in range(60)}
    assert len(seen) >= 2, seen
    for size in (1, 10, 500):
        data = [RANDOM.randbytes(RANDOM.randrange(200)) for _ in range(size)]
        published("binary", [{"key": encoded(some[:3]), "value": encoded(some)} for some in data], key=[some[:3] for some in data], value=data)
    return expected


def refusals(address):
    """Requests that are refused, with nothing sent."""
    count = 0
    # Karapace's test_publish_malformed_requests, and more of the kind.
    for path in ("/topics/v2", "/topics/v2/partitions/0"):
        for kind, body in [
            ("json", {"records": []}),
            ("json", {"foo": "bar"}),
            ("json", {"records": [{"valur": {"foo": "bar"}}]}),
            ("json", {"records": [{"value": 1}, {"valur": 1}]}),
            ("json", {"value_schema": "{}", "records": [{"value": 1}]}),
            ("binary", {"records": [{"value": "not base64"}]}),
            ("binary", {"records": "should be an array"}),
            ("binary", {"records": ["object with value"]}),
            ("binary", {"records": [{"value": {"a": 1}}]}),
            ("text", {"records": [{"value": {"a": 1}}]}),
            ("json", {"records": [{"value": 1, "partition": 99}]}),
        ]:
            status, answer = post(address, path, json.dumps(body), {"Content-Type": TYPE.format(kind)})
            assert status == 400 and answer["error_code"] == 42201 and answer["message"], (body, status, answer)
            count += 1
    kinds = {"Content-Type": TYPE.format("json")}
    one = json.dumps({"records": [{"value": 1}]})
    for path in ("/topics/not-served", "/topics/not-served/partitions/0"):
        status, answer = post(address, path, one, kinds)
        assert (status, answer["error_code"]) == (404, 40401), (status, answer)
        count += 1
    # Karapace's test_request_body_too_large.
    status, answer = post(address, "/topics/v2", json.dumps({"records": [{"value": 1_048_576 * "a"}]}), kinds)
    assert (status, answer["error_code"]) == (413, 41301), (status, answer)
    # Types of a registry, other versions, none.
    for kind in ("application/vnd.kafka.avro.v2+json", "application/vnd.kafka.json.v1+json", "application/vnd.kafka.v2+json", "bar/baz"):
        status, answer = post(address, "/topics/v2", one, {"Content-Type": kind})
        assert status == 415, (kind, status, answer)
        count += 1
    return count + 1


def main():
    with serving("v2") as address:
        expected = check(address)
        refused = refusals(address)
    found = {place: (record["key"], record["value"], record["headers"]) for place, record in records("v2").items()}
    assert found == expected, [(place, found.get(place), expected.get(place)) for place in found.keys() | expected.keys() if found.get(place) != expected.get(place)]
    print(f"{len(expected)} records of v2 envelopes as sent, {refused} requests refused")


main()
