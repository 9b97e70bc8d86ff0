#!/usr/bin/env python3
"""A persistent handler: kq worker orders --persistent -- ./persistent.py

Reads one record a line, answers with its id. Anything else that is printed to
stdout goes to kq's stderr, so a stray print is safe. `kq worker --help` has the protocol.
"""
import base64
import json
import os
import sys
import time

# An answer waits for others so long at most: writing each by itself costs more than finding it.
TOGETHER_SECONDS = 0.002


def handle(record):
    """Does the work. An exception is a failure for good; raise Retry to see the record again."""
    value = value_of(record)
    if value is None:
        return "deleted"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if value == "bad":
        raise ValueError("a bad value")
    return value.upper()


def value_of(record):
    """The value: text, bytes where it is not UTF-8, None where the record is a tombstone."""
    if "value_base64" in record:
        return base64.b64decode(record["value_base64"])
    return record["value"]


class Retry(Exception):
    """The record is to come again after so many milliseconds."""

    def __init__(self, ms):
        super().__init__()
        self.ms = ms


def answer(record):
    try:
        return {"id": record["id"], "ok": True, "out": [handle(record)]}
    except Retry as again:
        return {"id": record["id"], "retry_ms": again.ms}
    except Exception as error:
        return {"id": record["id"], "fail": str(error)}


partial = b""
while chunk := os.read(sys.stdin.fileno(), 1 << 16):
    *lines, partial = (partial + chunk).split(b"\n")
    answers, since = [], time.monotonic()
    for line in lines:
        answers.append(json.dumps(answer(json.loads(line))) + "\n")
        if line is lines[-1] or time.monotonic() - since > TOGETHER_SECONDS:
            sys.stdout.write("".join(answers))
            sys.stdout.flush()
            answers, since = [], time.monotonic()
