// Requests that the vendors' own JavaScript signs: kq serve takes each, and refuses it when one byte is changed.
// Their bodies are the examples of GitHub's events that Octokit collects.
//
//     kq dev -- node tests/serve_clients/signatures/check.mjs
//
// Needs @octokit/webhooks-methods, @octokit/webhooks-examples, stripe and standardwebhooks from npm, in node_modules
// beside this file or above it. KQ names the binary (target/debug/kq).

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import events from "@octokit/webhooks-examples" with { type: "json" };
import { sign } from "@octokit/webhooks-methods";
import standardwebhooks from "standardwebhooks";
import Stripe from "stripe";

const kq = process.env.KQ ?? "target/debug/kq";
const secrets = {
  github: "It's a Secret to Everybody",
  stripe: "whsec_of_a_stripe_endpoint",
  standard: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
};
const stripe = new Stripe("sk_test_of_nobody");
const webhook = new standardwebhooks.Webhook(secrets.standard);
const signers = {
  github: async (body) => ({ "x-hub-signature-256": await sign(secrets.github, body) }),
  stripe: async (payload) => ({
    "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload, secret: secrets.stripe }),
  }),
  standard: async (body) => {
    const [id, now] = [`msg_${Math.random().toString(36).slice(2)}`, new Date()];
    return {
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(now / 1000)),
      "webhook-signature": webhook.sign(id, now, body),
    };
  },
};

/** The same text but for one character, so that another byte is sent. */
function changed(text) {
  const at = Math.floor(Math.random() * text.length);
  const other = text[at] === "x" ? "y" : "x";
  return text.slice(0, at) + other + text.slice(at + 1);
}

async function post(address, topic, body, headers) {
  const answer = await fetch(`http://${address}/topics/${topic}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });
  return { status: answer.status, content: await answer.json() };
}

const folder = mkdtempSync(join(tmpdir(), "kq-signatures-"));
const flags = Object.entries(secrets).flatMap(([topic, secret]) => {
  writeFileSync(join(folder, topic), `${secret}\n`, { mode: 0o600 });
  return ["--webhook", `${topic}=${topic}:${join(folder, topic)}`];
});
const topics = Object.keys(secrets);
const serve = spawn(kq, ["serve", ...topics, "--listen", "127.0.0.1:0", "--quiet", ...flags], {
  stdio: ["ignore", "pipe", "inherit"],
});
const ended = once(serve, "exit");
const taken = { github: [], stripe: [], standard: [] };
let refused = 0;
try {
  const [address] = await Promise.race([
    once(createInterface({ input: serve.stdout }), "line"),
    ended.then(([code]) => assert.fail(`kq serve ended with ${code}`)),
  ]);
  const bodies = events.flatMap(({ examples }) => examples.map((example) => JSON.stringify(example)));
  assert.ok(bodies.length > 100, `only ${bodies.length} examples`);
  for (const topic of topics) {
    // All of GitHub's with GitHub's way; every tenth with the others.
    for (const body of topic === "github" ? bodies : bodies.filter((_, i) => i % 10 === 0)) {
      const headers = await signers[topic](body);
      const right = await post(address, topic, body, headers);
      assert.equal(right.status, 200, `${topic}: ${JSON.stringify(right)}`);
      taken[topic].push(body);
      const [name] = Object.keys(headers).filter((name) => name.endsWith("signature") || name.includes("hub"));
      const others = [
        [changed(body), headers],
        [`${body} `, headers],
        [body, { ...headers, [name]: changed(headers[name]) }],
        [body, {}],
      ];
      for (const [other, with_] of others) {
        if (other === body && with_[name] === headers[name]) continue;
        const { status, content } = await post(address, topic, other, with_);
        assert.deepEqual([status, content.code, content.outcome], [403, "bad_signature", "not_sent"], topic);
        refused += 1;
      }
    }
  }
} finally {
  serve.kill("SIGTERM");
  const [code] = await ended;
  rmSync(folder, { recursive: true });
  assert.equal(code, 0, "kq serve");
}
for (const topic of topics) {
  const flags = ["consume", topic, "-e", "--quiet", "-f", "%s\n"];
  const got = execFileSync(kq, flags, { encoding: "utf8", maxBuffer: 1 << 28 }).split("\n").slice(0, -1);
  assert.deepEqual(got.sort(), taken[topic].sort(), topic);
}
const count = Object.values(taken).flat().length;
console.log(`${count} signed requests taken, ${refused} changed ones refused (octokit, stripe, standardwebhooks)`);
