#!/usr/bin/env node
// A persistent handler: kq worker orders --persistent -- ./persistent.js
//
// Records are handled at the same time and answered in any order: kq pairs answers by id.
// `kq worker --help` has the protocol.
"use strict";
const readline = require("node:readline");

async function handle(record) {
  const value = valueOf(record);
  if (value === null) return "deleted";
  if (Buffer.isBuffer(value)) return `${value.length} bytes`;
  if (value === "bad") throw new Error("a bad value");
  return value.toUpperCase();
}

// The value: a string, a Buffer where it is not UTF-8, null where the record is a tombstone.
function valueOf(record) {
  return "value_base64" in record ? Buffer.from(record.value_base64, "base64") : record.value;
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const record = JSON.parse(line);
  let answer;
  try {
    answer = { id: record.id, ok: true, out: [await handle(record)] };
  } catch (error) {
    answer = { id: record.id, fail: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
