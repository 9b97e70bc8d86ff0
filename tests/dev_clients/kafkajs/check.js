// KafkaJS against the broker in KQ_BROKERS or the first argument.
//   kq dev -- node tests/dev_clients/kafkajs/check.js     (NODE_PATH has kafkajs and kafkajs-snappy)
const { spawn } = require("child_process");
const assert = require("assert");
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require("kafkajs");

CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");

const brokers = (process.argv[2] || process.env.KQ_BROKERS).split(",");
const SESSION = 1500;
const PATIENCE = 30000;
const kafka = new Kafka({ clientId: "kafkajs", brokers, logLevel: logLevel.NOTHING });

async function until(what, holds) {
  const deadline = Date.now() + PATIENCE;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${PATIENCE} ms`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

// A member that keeps what it reads, and the partitions that it has.
async function member(topic, groupId) {
  // It sends heartbeats between its fetches: these must be shorter than the session.
  const consumer = kafka.consumer({
    groupId, sessionTimeout: SESSION, heartbeatInterval: 300, rebalanceTimeout: 5000, maxWaitTimeInMs: 200,
  });
  const found = { consumer, records: [], partitions: [] };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    found.partitions = payload.memberAssignment[topic] || [];
  });
  consumer.on(consumer.events.REBALANCING, () => (found.partitions = []));
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void found.records.push(message) });
  return found;
}

const values = (records) => records.map((record) => record.value.toString()).sort();

async function main() {
  const topic = `kafkajs-${process.pid}`;
  const compacted = `${topic}-compacted`;
  const admin = kafka.admin();
  await admin.connect();
  const configEntries = [{ name: "cleanup.policy", value: "compact" }];
  await admin.createTopics({
    topics: [
      { topic, numPartitions: 3, replicationFactor: 1 },
      { topic: compacted, numPartitions: 1, replicationFactor: 1, configEntries },
    ],
  });
  // Apache Kafka needs a moment to tell its brokers.
  const policy = async () => {
    const asked = { type: ConfigResourceTypes.TOPIC, name: compacted, configNames: ["cleanup.policy"] };
    const described = await admin.describeConfigs({ resources: [asked], includeSynonyms: false });
    return described.resources[0].configEntries[0]?.configValue;
  };
  await until("the policy is compact", async () => (await policy()) === "compact");
  await admin.alterConfigs({
    resources: [{
      type: ConfigResourceTypes.TOPIC,
      name: compacted,
      configEntries: [{ name: "cleanup.policy", value: "compact,delete" }],
    }],
  });
  await until("the policy is compact,delete", async () => (await policy()) === "compact,delete");

  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  await producer.send({ topic: compacted, messages: [{ key: "k", value: "v" }, { key: "k", value: null }] });
  const plain = kafka.producer({ retry: { retries: 0 } });
  await plain.connect();
  const noKey = plain.send({ topic: compacted, messages: [{ value: "no key" }] });
  await assert.rejects(noKey, (error) => error.type === "INVALID_RECORD" || error.cause?.type === "INVALID_RECORD");
  await plain.disconnect();
  assert.strictEqual((await admin.fetchTopicOffsets(compacted))[0].high, "2");

  const sent = [];
  for (const codec of ["None", "GZIP", "Snappy"]) {
    const messages = [...Array(200).keys()].map((n) => ({
      key: `${n}`, value: `${codec}-${n}`, headers: { h: "1", several: ["a", "b"] },
    }));
    await producer.send({ topic, compression: CompressionTypes[codec], messages });
    sent.push(...messages.map((message) => message.value));
  }
  const one = await member(topic, topic);
  await until("all records", () => one.records.length >= sent.length);
  assert.deepStrictEqual(values(one.records), sent.sort());
  const { h, several } = one.records[0].headers;
  assert.deepStrictEqual([h.toString(), several.map(String)], ["1", ["a", "b"]]);

  // A second member takes a part, and is killed: nothing tells the broker.
  const two = spawn(process.execPath, [__filename, brokers.join(","), topic], { stdio: "inherit" });
  const ended = new Promise((done) => two.on("exit", done));
  try {
    await until("they share", () => one.partitions.length > 0 && one.partitions.length < 3);
    assert.strictEqual((await admin.describeGroups([topic])).groups[0].members.length, 2);
  } finally {
    two.kill("SIGKILL");
    await ended;
  }
  const killed = Date.now();
  await until("one has all partitions again", () => one.partitions.length === 3);
  const took = (Date.now() - killed) / 1000;
  // Its session, and a rebalance, for which a busy machine gets seconds.
  assert(took < SESSION / 1000 + 5, `the killed member was replaced in ${took} s`);
  await one.consumer.disconnect();

  // What was read is committed: a new member gets what is new, and no more.
  const more = [...Array(10).keys()].map((n) => ({ value: `more-${n}` }));
  await producer.send({ topic, messages: more });
  const again = await member(topic, topic);
  await until("what is new", () => again.records.length >= more.length);
  assert.deepStrictEqual(values(again.records), more.map((message) => message.value).sort());
  await again.consumer.disconnect();
  const [{ partitions }] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
  const committed = partitions.reduce((sum, place) => sum + Number(place.offset), 0);
  assert.strictEqual(committed, sent.length + more.length);

  await producer.disconnect();
  assert((await admin.listGroups()).groups.some((group) => group.groupId === topic));
  await admin.deleteGroups([topic]);
  await admin.deleteTopics({ topics: [topic, compacted] });
  await until("the topics are gone", async () => !(await admin.listTopics()).some((name) => name.startsWith(topic)));
  await admin.disconnect();
  const version = require("kafkajs/package.json").version;
  console.log(`KafkaJS ${version}: none, gzip, snappy; the killed member replaced in ${took.toFixed(1)} s; compacted topics`);
}

// The member that is killed runs until then.
(process.argv[3] ? member(process.argv[3], process.argv[3]) : main()).catch((error) => {
  console.error(error);
  process.exit(1);
});
