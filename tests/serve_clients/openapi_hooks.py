"""Types that schemathesis does not know: text as it is."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/vnd.kq.record+json")
def text(_context, value):
    # The examples are lines; what it makes up is any JSON, in one line.
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")
