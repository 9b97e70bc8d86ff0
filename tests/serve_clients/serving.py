"""A `kq serve` for a test, and what it published. KQ names the binary, KQ_BROKERS the broker."""

import base64
import contextlib
import http.client
import json
import os
import subprocess

KQ = os.environ.get("KQ", "target/debug/kq")


@contextlib.contextmanager
def serving(topic, *flags):
    """The address of a kq serve that publishes to this topic, until the block ends."""
    command = [KQ, "serve", topic, "--listen", "127.0.0.1:0", "--quiet", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serve:
        try:
            address = serve.stdout.readline().strip()
            assert address, "kq serve did not start"
            yield address
        finally:
            serve.terminate()
    assert serve.returncode == 0, serve.returncode


def post(address, path, body, headers):
    """The status and the JSON of the answer."""
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content)


def header(field):
    """The bytes of a header's value as kq writes them in JSON."""
    if field is None:
        return None
    return field.encode() if isinstance(field, str) else base64.b64decode(field["base64"])


def records(topic):
    """All records of the topic, by partition and offset: key, value and headers in bytes."""
    consume = [KQ, "consume", topic, "-e", "--quiet", "-J"]
    lines = subprocess.run(consume, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout.splitlines()
    found = {}
    for record in map(json.loads, lines):
        for name in ("key", "value"):
            if f"{name}_base64" in record:
                record[name] = base64.b64decode(record[f"{name}_base64"])
            elif record[name] is not None:
                record[name] = record[name].encode()
        record["headers"] = [(name, header(value)) for name, value in record["headers"]]
        found[record["partition"], record["offset"]] = record
    return found
