"""Requests that the vendors' own Python code signs: kq serve takes each, and refuses it when one byte is changed.

    kq dev -- python tests/serve_clients/signatures.py

Needs standardwebhooks, svix and stripe from PyPI. KQ names the binary (target/debug/kq).
"""

import datetime
import http.client
import json
import os
import random
import subprocess
import tempfile
import time

import standardwebhooks
import stripe
import svix

KQ = os.environ.get("KQ", "target/debug/kq")
RANDOM = random.Random(13)
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STRIPE = "whsec_of_a_stripe_endpoint"

BODIES = [
    b"{}",
    b'{"test": 2432232314}',
    b'{\r\n  "text": "\\ud83d\\ude00 \xc3\xa4\xe2\x82\xac",\t"n": 1.50e+2}\n',
    json.dumps({"id": "evt_1", "object": "event", "data": {"object": {"amount": 2000}}}).encode(),
    json.dumps(["x" * 100_000]).encode(),
]


def of_standard(webhook, prefix):
    def headers(body, sent):
        at = datetime.datetime.fromtimestamp(sent, tz=datetime.timezone.utc)
        message = f"msg_{RANDOM.randrange(10**12)}"
        return {
            f"{prefix}-id": message,
            f"{prefix}-timestamp": str(int(sent)),
            f"{prefix}-signature": webhook.sign(message, at, body.decode()),
        }

    return headers


def of_stripe(body, sent):
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), STRIPE, timestamp=int(sent))
    return {"Stripe-Signature": header}


# Topic, the secret that kq knows, and what signs.
SENDERS = [
    ("standard", STANDARD, "webhook", of_standard(standardwebhooks.Webhook(STANDARD), "webhook")),
    ("standard", STANDARD, "svix", of_standard(svix.Webhook(STANDARD), "svix")),
    ("stripe", STRIPE, "stripe", of_stripe),
]


def post(address, topic, body, headers):
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("POST", f"/topics/{topic}", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content)


def changed(data):
    """The same bytes but for one, which is another ASCII character where it was one."""
    at = RANDOM.randrange(len(data))
    new = data[at] ^ 1 if data[at] > 32 else data[at] + 1
    return data[:at] + bytes([new]) + data[at + 1 :]


def refused(answer, status, code, what):
    got, problem = answer
    assert (got, problem["code"], problem["outcome"]) == (status, code, "not_sent"), (what, answer)


def check(address):
    """Sends all bodies, and returns what kq took, by topic."""
    taken = {"standard": [], "stripe": []}
    checks = 0
    for topic, _, name, sign in SENDERS:
        for body in BODIES:
            now = time.time()
            headers = sign(body, now)
            answer = post(address, topic, body, headers)
            assert answer[0] == 200, (name, body[:80], answer)
            taken[topic].append(body)
            for _ in range(20):
                refused(post(address, topic, changed(body), headers), 403, "bad_signature", (name, "body"))
            for header in headers:
                # A changed time may be stale or no number: it is refused for that.
                other = headers | {header: changed(headers[header].encode()).decode()}
                refused(post(address, topic, body, other), 403, "bad_signature", (name, header))
            for sent in (now - 310, now + 310):
                refused(post(address, topic, body, sign(body, sent)), 403, "bad_signature", (name, "time"))
            gzip = headers | {"Content-Encoding": "gzip"}
            refused(post(address, topic, body, gzip), 415, "signed_encoding", (name, "encoding"))
            refused(post(address, topic, body, {}), 403, "bad_signature", (name, "nothing"))
            checks += 25 + len(headers)
    return taken, checks


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = [KQ, "serve", "standard", "stripe", "--listen", "127.0.0.1:0", "--quiet"]
        for topic, secret in {topic: secret for topic, secret, _, _ in SENDERS}.items():
            path = os.path.join(folder, topic)
            with open(path, "w", encoding="ascii") as file:
                # As in a rotation: the new one first.
                file.write(f"whsec_AAAA\n{secret}\n")
            command += ["--webhook", f"{topic}={topic}:{path}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serve:
            try:
                taken, checks = check(serve.stdout.readline().strip())
            finally:
                serve.terminate()
        assert serve.returncode == 0, serve.returncode
    for topic, bodies in taken.items():
        consume = [KQ, "consume", topic, "-e", "--quiet", "-f", "%{value:hex}\\n"]
        got = subprocess.run(consume, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        assert sorted(got) == sorted(body.hex() for body in bodies), topic
    versions = f"standardwebhooks, svix, stripe {stripe.VERSION}"
    print(f"{sum(map(len, taken.values()))} signed requests taken, {checks} changed ones refused ({versions})")


main()
