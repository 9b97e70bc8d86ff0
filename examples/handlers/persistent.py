#!/usr/bin/env python3
"""A persistent handler: kq worker orders --persistent -- ./persistent.py

Reads one record a line, answers with its id. Anything else that is printed to
stdout goes to kq's stderr, so a stray print does no harm.
"""
import json
import sys


def handle(record):
    """Does the work. An exception is a failure for good; raise Retry to see the record again."""
    if record["value"] == "bad":
        raise ValueError("a bad value")
    return record["value"].upper()


class Retry(Exception):
    """The record is to come again after so many milliseconds."""

    def __init__(self, ms):
        super().__init__()
        self.ms = ms


for line in sys.stdin.buffer:
    record = json.loads(line)
    try:
        answer = {"id": record["id"], "ok": True, "out": [handle(record)]}
    except Retry as again:
        answer = {"id": record["id"], "retry_ms": again.ms}
    except Exception as error:
        answer = {"id": record["id"], "fail": str(error)}
    print(json.dumps(answer), flush=True)
