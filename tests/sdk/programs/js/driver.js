"use strict";
// Runs scenarios through the SDK's own client: node driver.js all | NAME… | -
// `-` stands for the lines on standard input: the name of a step, and a JSON list of arguments.
// One JSON line about each: {"scenario", "ok", "got", "error"}.

const readline = require("node:readline");

const { DaprWorkflowClient, WorkflowRuntimeStatus } = require("./sdk");

const WAIT_SECONDS = 20;
const FAR = new Date("2200-01-01T00:00:00Z");
const STATES = ["PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "TERMINATED", "UNKNOWN"];
const STRANGE_IDS = ["a|b@c:d", "with space/and%2Fslash?#", "größe-日本", "x".repeat(200)];
const PHRASES = [
  "no such instance exists",
  "orchestration has not yet completed",
  "workflow is stalled",
  "already exists",
];

const client = new DaprWorkflowClient();

async function finished(id) {
  return await client.waitForWorkflowCompletion(id, true, WAIT_SECONDS);
}

async function ended(id) {
  const state = await finished(id);
  return [WorkflowRuntimeStatus[state.runtimeStatus], state.serializedOutput ?? null];
}

async function result(name, input, id) {
  await client.scheduleNewWorkflow(name, input, id);
  return await ended(id);
}

async function failure(name, input, id) {
  await client.scheduleNewWorkflow(name, input, id);
  const state = await finished(id);
  const details = state.workflowFailureDetails;
  return [
    WorkflowRuntimeStatus[state.runtimeStatus],
    details.getErrorType(),
    details.getErrorMessage(),
    Boolean(details.getStackTrace()),
  ];
}

async function status(id) {
  const state = await client.getWorkflowState(id, true);
  return state === undefined ? "UNKNOWN" : WorkflowRuntimeStatus[state.runtimeStatus];
}

async function until(reached) {
  const deadline = Date.now() + WAIT_SECONDS * 1000;
  while (!(await reached())) {
    if (Date.now() > deadline) {
      throw new Error(`it has not come to pass within ${WAIT_SECONDS} seconds`);
    }
    await new Promise((done) => setTimeout(done, 10));
  }
}

async function becomes(id, wanted) {
  await until(async () => (await status(id)) === wanted);
}

async function refusal(act) {
  try {
    await act();
  } catch (error) {
    const text = String(error.details ?? error.message);
    return PHRASES.find((phrase) => text.includes(phrase)) ?? text;
  }
  return null;
}

async function instance(purpose, state) {
  const id = `${purpose}-${state}`;
  if (state === "UNKNOWN") {
    return id;
  }
  await client.scheduleNewWorkflow("wait", undefined, id, state === "PENDING" ? FAR : undefined);
  if (state === "SUSPENDED") {
    await client.suspendWorkflow(id);
  } else if (state === "COMPLETED") {
    await client.raiseEvent(id, "go", "well");
  } else if (state === "FAILED") {
    await client.raiseEvent(id, "go", "badly");
  } else if (state === "TERMINATED") {
    await client.terminateWorkflow(id, "first");
  }
  await becomes(id, state);
  return id;
}

async function inEveryState(purpose, act, settled = status) {
  const found = {};
  for (const state of STATES) {
    const id = await instance(purpose, state);
    const refused = await refusal(() => act(id));
    found[state] = [refused, await settled(id, state)];
  }
  return found;
}

async function beginAgain(id, keep) {
  await client.scheduleNewWorkflow("beginAgain", { round: 1, keep }, id);
  await client.raiseEvent(id, "extra", "old");
  await client.raiseEvent(id, "go");
}

const scenarios = {
  chaining: () => result("chain", 1, "chaining"),
  fan_out_100: () => result("fanOut", 100, "fan-out"),
  children_three_deep: () => result("nest", 3, "children"),
  identity: () => result("identify", undefined, "identity"),
  result_of_nothing: () => result("getNothing", undefined, "nothing"),
  timer: () => result("sleep", 0.05, "timer"),
  timer_before_the_event: () => result("race", undefined, "race-timer"),
  continue_as_new_30_times: () => result("countUp", 1, "count-up"),
  failure_of_an_activity: () => failure("activityRaises", "boom", "fails-activity"),
  failure_of_an_activity_caught: () => result("activityRaisesAndIsCaught", "boom", "fails-caught"),
  failure_of_a_workflow: () => failure("raises", "wrong", "fails-workflow"),
  failure_of_a_child_caught: () => result("childRaisesAndIsCaught", "wrong", "fails-child"),
  unregistered_activity: () => failure("callsNobody", undefined, "no-activity"),
  unregistered_workflow: () => failure("nobody", undefined, "no-workflow"),

  many_at_once: async () => {
    // More than the worker takes at a time (10) and queues (100); it drops the rest without a word.
    const ids = Array.from({ length: 150 }, (_, number) => `many-${number}`);
    await Promise.all(ids.map((id) => client.scheduleNewWorkflow("chain", 1, id)));
    const found = await Promise.all(ids.map(ended));
    return [...new Set(found.map((one) => one.join(" ")))];
  },

  long_payload: async () => {
    await client.scheduleNewWorkflow("passOn", "x".repeat(2 ** 20), "long");
    const state = await finished("long");
    const output = state.serializedOutput;
    return [
      WorkflowRuntimeStatus[state.runtimeStatus],
      output.length,
      output === state.serializedInput,
    ];
  },

  strange_ids: async () => {
    const found = {};
    for (const id of STRANGE_IDS) {
      found[id] = await result("nest", 2, id);
      found[id].push(await client.purgeWorkflow(id), await status(id));
    }
    return found;
  },

  delayed_start: async () => {
    const began = Date.now();
    await client.scheduleNewWorkflow("nest", 1, "delayed", new Date(began + 500));
    const before = await status("delayed");
    const found = await ended("delayed");
    return [before, ...found, Date.now() - began >= 450];
  },

  events_before_the_wait: async () => {
    await client.scheduleNewWorkflow("collect", 3, "buffered");
    for (const letter of "abc") {
      await client.raiseEvent("buffered", "letter", letter);
    }
    await client.raiseEvent("buffered", "go");
    return await ended("buffered");
  },

  events_for_two_waiters: async () => {
    await client.scheduleNewWorkflow("twoWaiters", undefined, "two-waiters");
    for (const letter of "ab") {
      await client.raiseEvent("two-waiters", "letter", letter);
    }
    return await ended("two-waiters");
  },

  events_in_any_case: async () => {
    await client.scheduleNewWorkflow("echoEvent", "GoNow", "case");
    await client.raiseEvent("case", "gOnOW", { a: [1, null, "ü"] });
    return await ended("case");
  },

  continue_as_new_keeps_events: async () => {
    await client.scheduleNewWorkflow("addUp", { seen: 0, total: 0 }, "add-up");
    for (let number = 1; number <= 31; number++) {
      await client.raiseEvent("add-up", "tick", number);
    }
    return await ended("add-up");
  },

  continue_as_new_with_kept_events: async () => {
    await beginAgain("again-keep", true);
    return await ended("again-keep");
  },

  continue_as_new_without_kept_events: async () => {
    await beginAgain("again-lose", false);
    await until(async () => {
      const state = await client.getWorkflowState("again-lose", true);
      return state.customStatus === "second round" || state.customStatus === '"second round"';
    });
    await client.raiseEvent("again-lose", "extra", "new");
    return await ended("again-lose");
  },

  custom_status: async () => {
    await client.scheduleNewWorkflow("report", undefined, "custom");
    await until(async () => (await client.getWorkflowState("custom", true)).customStatus);
    const half = (await client.getWorkflowState("custom", true)).customStatus;
    await client.raiseEvent("custom", "go");
    const done = (await finished("custom")).customStatus;
    const bare = await client.getWorkflowState("custom", false);
    return [half, done, bare.customStatus ?? null, bare.serializedOutput ?? null];
  },

  suspend: () => inEveryState("pause", (id) => client.suspendWorkflow(id)),
  resume: () => inEveryState("resume", (id) => client.resumeWorkflow(id)),

  terminate: async () => {
    const found = await inEveryState("terminate", (id) =>
      client.terminateWorkflow(id, { by: "hand" }),
    );
    const outputs = [];
    for (const state of ["PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "TERMINATED"]) {
      outputs.push((await client.getWorkflowState(`terminate-${state}`, true)).serializedOutput);
    }
    return [found, outputs];
  },

  purge: async () => {
    const purged = {};
    const found = await inEveryState("purge", async (id) => {
      purged[id] = await client.purgeWorkflow(id);
    });
    for (const state of STATES) {
      found[state].push(purged[`purge-${state}`] ?? null);
    }
    return found;
  },

  raise_event: async () => {
    const settled = async (id, state) => {
      if (state === "RUNNING") {
        await finished(id);
      }
      return await status(id);
    };
    const found = await inEveryState("raise", (id) => client.raiseEvent(id, "go", "late"), settled);
    await client.resumeWorkflow("raise-SUSPENDED");
    return [found, await ended("raise-SUSPENDED")];
  },

  schedule_again: () =>
    inEveryState(
      "schedule",
      (id) => client.scheduleNewWorkflow("wait", undefined, id),
      async (id, state) => {
        if (["COMPLETED", "FAILED", "TERMINATED", "UNKNOWN"].includes(state)) {
          await client.waitForWorkflowStart(id, false, WAIT_SECONDS);
        }
        return await status(id);
      },
    ),

  pause_twice_and_resume_twice: async () => {
    const id = await instance("twice", "RUNNING");
    await client.suspendWorkflow(id);
    await client.suspendWorkflow(id);
    await client.resumeWorkflow(id);
    await client.resumeWorkflow(id);
    await client.suspendWorkflow(id);
    await client.raiseEvent(id, "go", "well");
    await client.suspendWorkflow(id);
    await client.resumeWorkflow(id);
    return await ended(id);
  },

  waits_with_a_timeout: async () => {
    const id = await instance("wait", "RUNNING");
    try {
      await client.waitForWorkflowCompletion(id, true, 0.3);
    } catch (error) {
      return error.constructor.name;
    }
    return "no timeout";
  },
};

// For tests that break something meanwhile.
const steps = {
  start: (name, id, input) => client.scheduleNewWorkflow(name, input, id),
  start_many: async (name, prefix, count, input) => {
    for (let number = 0; number < count; number++) {
      await client.scheduleNewWorkflow(name, input, `${prefix}-${number}`);
    }
    return count;
  },
  end: (id) => ended(id),
  end_many: async (prefix, count) => {
    const found = [];
    for (let number = 0; number < count; number++) {
      found.push(await ended(`${prefix}-${number}`));
    }
    return found;
  },
  status_of: (id) => status(id),
  raise_go: (id) => client.raiseEvent(id, "go", "on"),
};

async function runOne(name, act, args = []) {
  const line = { scenario: name, ok: true, got: null, error: null };
  const began = Date.now();
  try {
    line.got = (await act(...args)) ?? null;
  } catch (error) {
    console.error(error.stack);
    Object.assign(line, { ok: false, error: `${error.constructor.name}: ${error.message}` });
  }
  line.seconds = (Date.now() - began) / 1000;
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main(names) {
  for (const name of names) {
    if (name === "-") {
      for await (const line of readline.createInterface({ input: process.stdin })) {
        const [step, args] = line.split(/ (.*)/);
        await runOne(step, steps[step], JSON.parse(args));
      }
      continue;
    }
    for (const one of name === "all" ? Object.keys(scenarios) : [name]) {
      await runOne(one, scenarios[one]);
    }
  }
  // Its calls that have not been answered would keep the process alive.
  process.exit(0);
}

main(process.argv.slice(2));
