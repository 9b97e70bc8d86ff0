"""Kafka Streams counts words that kq produces; its store comes back from the changelog topic.

    kq dev -- env KAFKA_JARS=DIR CLASSES=DIR python3 tests/dev_clients/streams.py

The first DIR holds the jars of kafka-streams and what it depends on, the second streams/Count.java, compiled.
"""
import collections
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile

from program import Program, expect, kq

BROKERS = sys.argv[1] if len(sys.argv) > 1 else os.environ["KQ_BROKERS"]
os.environ["KQ_BROKERS"] = BROKERS
JARS = os.environ["KAFKA_JARS"]
FIRST = ["kafka", "streams", "kafka", "counts", "kafka", "streams"] * 50
LATER = ["kafka", "again", "streams"] * 20


def counts(topic):
    """Each word's counts as they came: of one word all are in one partition."""
    found = collections.defaultdict(list)
    for line in kq("consume", topic, "-e", "-f", "%k=%s\n"):
        word, count = line.split("=")
        found[word].append(int(count))
    return found


def counted(words):
    return {word: list(range(1, count + 1)) for word, count in collections.Counter(words).items()}


def main():
    application = f"streams-{os.getpid()}"
    words, results = f"{application}-words", f"{application}-results"
    for topic in [words, results]:
        kq("topic", "create", topic, "--partitions", "2")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)

        def run(sent):
            """Runs the application until it has counted all words that were ever sent; what it said."""
            log = scratch / f"log-{len(sent)}"
            with Program(log, f"{JARS}/*:{os.environ['CLASSES']}", "Count",
                         BROKERS, application, words, results, scratch / "state") as program:
                program.wait_for(f"all {len(sent)} words are counted",
                                 lambda: sum(map(len, counts(results).values())) >= len(sent) or None)
                program.end(signal.SIGTERM)
            expect("each word's counts", counted(sent), dict(counts(results)))
            return program.said()

        kq("produce", words, records="\n".join(FIRST))
        run(FIRST)
        # The machine is gone, and its folder: what was counted is in the changelog topic only.
        shutil.rmtree(scratch / "state")
        kq("produce", words, records="\n".join(LATER))
        said = run(FIRST + LATER)
    restored = sum(map(int, re.findall(rf"^restored (\d+) from {application}-counts-changelog", said, re.M)))
    expect("words that came back from the changelog topic, at least", True, restored >= len(set(FIRST)))
    version = next(pathlib.Path(JARS).glob("kafka-streams-[0-9]*.jar")).stem
    print(f"{version}: counts went on with {restored} records of the changelog topic, the state folder being gone")


main()
