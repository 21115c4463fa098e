"use strict";
// The SDK of the project that the test installed: SDK_PROJECT is its folder.

const { createRequire } = require("node:module");
const path = require("node:path");

// Its logger writes to standard output, which is for our own lines.
for (const level of ["log", "info", "warn", "error", "debug"]) {
  console[level] = (...words) => process.stderr.write(`${level}: ${words.join(" ")}\n`);
}

module.exports = createRequire(path.join(process.env.SDK_PROJECT, "package.json"))("@dapr/dapr");
