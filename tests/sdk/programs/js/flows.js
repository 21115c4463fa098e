"use strict";
// The workflows and activities that the scenarios run.

const fs = require("node:fs");

// ---- activities

const activities = {
  addOne: async (_ctx, number) => number + 1,
  square: (_ctx, number) => number * number,
  echo: (_ctx, value) => value,
  nothing: () => undefined,
  fail: (_ctx, text) => {
    throw new RangeError(text);
  },
  // Notes that it runs, and in which process; then waits for leave to go on.
  hold: async (_ctx, paths) => {
    fs.appendFileSync(paths.mark, `${process.pid}\n`);
    const deadline = Date.now() + 60_000;
    while (!fs.existsSync(paths.until) && Date.now() < deadline) {
      await new Promise((done) => setTimeout(done, 10));
    }
    return process.pid;
  },
  whoami: (ctx) => [ctx.getWorkflowInstanceId(), ctx.getWorkflowActivityId()],
};

// ---- workflows

const workflows = {
  chain: async function* (ctx, number) {
    const found = [];
    for (let step = 0; step < 3; step++) {
      number = yield ctx.callActivity("addOne", number);
      found.push(number);
    }
    return found;
  },

  fanOut: async function* (ctx, count) {
    const tasks = [];
    for (let number = 1; number <= count; number++) {
      tasks.push(ctx.callActivity("square", number));
    }
    const squares = yield ctx.whenAll(tasks);
    return squares.reduce((sum, square) => sum + square, 0);
  },

  nest: async function* (ctx, depth) {
    if (depth === 1) {
      return [ctx.getWorkflowInstanceId()];
    }
    const below = yield ctx.callChildWorkflow("nest", depth - 1);
    return [ctx.getWorkflowInstanceId(), ...below];
  },

  identify: async function* (ctx) {
    return yield ctx.callActivity("whoami");
  },

  getNothing: async function* (ctx) {
    const found = yield ctx.callActivity("nothing");
    return found === undefined ? "undefined" : found;
  },

  collect: async function* (ctx, count) {
    yield ctx.waitForExternalEvent("go");
    const letters = [];
    for (let number = 0; number < count; number++) {
      letters.push(yield ctx.waitForExternalEvent("letter"));
    }
    return letters;
  },

  twoWaiters: async function* (ctx) {
    const waiters = [ctx.waitForExternalEvent("letter"), ctx.waitForExternalEvent("letter")];
    return yield ctx.whenAll(waiters);
  },

  echoEvent: async function* (ctx, name) {
    return yield ctx.waitForExternalEvent(name);
  },

  race: async function* (ctx) {
    const event = ctx.waitForExternalEvent("signal");
    const timer = ctx.createTimer(0.05);
    const winner = yield ctx.whenAny([event, timer]);
    return winner === timer ? "timer" : "event";
  },

  sleep: async function* (ctx, seconds) {
    const began = ctx.getCurrentUtcDateTime().getTime();
    yield ctx.createTimer(seconds);
    // It counts in whole milliseconds.
    return ctx.getCurrentUtcDateTime().getTime() - began >= seconds * 1000 - 1;
  },

  countUp: async function* (ctx, number) {
    if (number === 31) {
      return number;
    }
    number = yield ctx.callActivity("addOne", number);
    ctx.continueAsNew(number, false);
  },

  addUp: async function* (ctx, soFar) {
    const found = yield ctx.waitForExternalEvent("tick");
    soFar = { seen: soFar.seen + 1, total: soFar.total + found };
    if (soFar.seen === 31) {
      return soFar.total;
    }
    ctx.continueAsNew(soFar, true);
  },

  beginAgain: async function* (ctx, of) {
    if (of.round === 1) {
      yield ctx.waitForExternalEvent("go");
      ctx.continueAsNew({ ...of, round: 2 }, of.keep);
      return;
    }
    ctx.setCustomStatus("second round");
    return yield ctx.waitForExternalEvent("extra");
  },

  report: async function* (ctx) {
    ctx.setCustomStatus("half");
    yield ctx.waitForExternalEvent("go");
    ctx.setCustomStatus("done");
    return 1;
  },

  wait: async function* (ctx) {
    const how = yield ctx.waitForExternalEvent("go");
    if (how === "badly") {
      throw new RangeError(how);
    }
    return how;
  },

  raises: async function* (_ctx, text) {
    throw new TypeError(text);
  },

  activityRaises: async function* (ctx, text) {
    yield ctx.callActivity("fail", text);
  },

  activityRaisesAndIsCaught: async function* (ctx, text) {
    try {
      yield ctx.callActivity("fail", text);
    } catch (error) {
      return told(error);
    }
  },

  childRaisesAndIsCaught: async function* (ctx, text) {
    try {
      yield ctx.callChildWorkflow("raises", text);
    } catch (error) {
      return told(error);
    }
  },

  callsNobody: async function* (ctx) {
    yield ctx.callActivity("nobody");
  },

  held: async function* (ctx, paths) {
    const process = yield ctx.callActivity("hold", paths);
    const number = yield ctx.callActivity("addOne", 1);
    return [process, number];
  },

  passOn: async function* (ctx, value) {
    return yield ctx.callActivity("echo", value);
  },
};

function told(error) {
  return [error.constructor.name, error.details.errorType, error.details.message];
}

function register(runtime) {
  for (const [name, workflow] of Object.entries(workflows)) {
    runtime.registerWorkflowWithName(name, workflow);
  }
  for (const [name, activity] of Object.entries(activities)) {
    runtime.registerActivityWithName(name, activity);
  }
}

module.exports = { register };
