"""Kafka Connect, distributed: a connector made over REST goes on where it was when its worker starts again.

    kq dev -- env KAFKA_JARS=DIR python3 tests/dev_clients/connect.py

DIR holds the jars of connect-runtime and connect-file and what they depend on.
"""
import json
import os
import pathlib
import re
import signal
import sys
import tempfile
import urllib.error
import urllib.request

from program import Program, expect, kq

BROKERS = sys.argv[1] if len(sys.argv) > 1 else os.environ["KQ_BROKERS"]
os.environ["KQ_BROKERS"] = BROKERS
JARS = pathlib.Path(os.environ["KAFKA_JARS"])
NAME = f"connect-{os.getpid()}"

# A worker alone does not wait for others to come back. The address of its REST server is in its log.
WORKER = f"""
bootstrap.servers={BROKERS}
group.id={NAME}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
config.storage.topic={NAME}-configs
config.storage.replication.factor=1
offset.storage.topic={NAME}-offsets
offset.storage.replication.factor=1
offset.storage.partitions=2
status.storage.topic={NAME}-status
status.storage.replication.factor=1
status.storage.partitions=2
offset.flush.interval.ms=500
scheduled.rebalance.max.delay.ms=0
session.timeout.ms=6000
heartbeat.interval.ms=500
plugin.discovery=SERVICE_LOAD
listeners=http://127.0.0.1:0
"""
LOGGING = """
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.rest.name = org.apache.kafka.connect.runtime.rest.RestServer
logger.rest.level = info
"""


def request(address, path, body=None):
    """What the worker answers; none while it is not ready."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        # Not there yet, or the worker is about to rebalance.
        if error.code in (404, 409, 503):
            return None
        sys.exit(f"{path}: {error}: {error.read().decode()}")
    except urllib.error.URLError:
        return None


def address(worker):
    found = re.search(r"REST server listening at (http://[\d.:]+)/", worker.said())
    return found and found[1]


def is_running(status):
    states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])] if status else []
    return states == ["RUNNING", "RUNNING"]


def lines():
    return kq("consume", NAME, "-e")


def main():
    kq("topic", "create", NAME, "--partitions", "1")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "worker.properties").write_text(WORKER)
        (scratch / "log4j2.properties").write_text(LOGGING)
        source = scratch / "source"
        sent = []

        def start(log):
            return Program(scratch / log, f"{JARS}/*", "org.apache.kafka.connect.cli.ConnectDistributed",
                           scratch / "worker.properties", logging=scratch / "log4j2.properties")

        def append(*more):
            sent.extend(more)
            with open(source, "a") as file:
                file.writelines(line + "\n" for line in more)

        def arrived(worker):
            worker.wait_for(f"{len(sent)} lines arrive", lambda: len(lines()) >= len(sent) or None)
            expect("the lines of the file", sent, lines())

        append("one", "two", "three")
        with start("first") as worker:
            rest = worker.wait_for("the worker listens", lambda: address(worker))
            config = {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
                      "tasks.max": "1", "file": str(source), "topic": NAME}
            worker.wait_for("the connector is made",
                            lambda: request(rest, "/connectors", {"name": NAME, "config": config}))
            arrived(worker)
            append("four")
            arrived(worker)
            worker.end(signal.SIGTERM)
        append("five", "six")
        # Connector and place come from the topics: nothing is made again, no line comes twice.
        with start("second") as worker:
            rest = worker.wait_for("the worker listens again", lambda: address(worker))
            worker.wait_for("the connector runs again",
                            lambda: is_running(request(rest, f"/connectors/{NAME}/status")) or None)
            arrived(worker)
            append("seven")
            arrived(worker)
            worker.end(signal.SIGTERM)
    version = next(JARS.glob("connect-runtime-*.jar")).stem
    print(f"{version}, distributed: connector and offsets kept over a restart of the worker")


main()
