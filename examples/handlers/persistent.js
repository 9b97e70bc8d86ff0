#!/usr/bin/env node
// A persistent handler: kq worker orders --persistent -- ./persistent.js
//
// Records are handled at the same time and answered in any order: kq pairs answers by id.
"use strict";
const readline = require("node:readline");

async function handle(record) {
  if (record.value === "bad") throw new Error("a bad value");
  return record.value.toUpperCase();
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
