"use strict";
// A worker process: registers, says READY, and works until its standard input ends.

const { WorkflowRuntime } = require("./sdk");
const { register } = require("./flows");

async function main() {
  const runtime = new WorkflowRuntime();
  register(runtime);
  await runtime.start();
  process.stdout.write("READY\n");
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

main();
