"use strict";
// Labels and parcels: a worker of Dapr's JavaScript SDK, which the orders in Python call.

const { WorkflowRuntime } = require("@dapr/dapr");

const runtime = new WorkflowRuntime();

runtime.registerActivityWithName("print_label", async (_ctx, order) => {
  return `${order.pieces} x ${order.item} for ${order.customer}`;
});

runtime.registerActivityWithName("hand_over", async (_ctx, parcel) => {
  return `[${parcel.label}] handed to the ${parcel.hurry ? "courier" : "post"}`;
});

runtime.registerWorkflowWithName("deliver", async function* (ctx, parcel) {
  yield ctx.createTimer(parcel.hurry ? 0.1 : 1);
  return yield ctx.callActivity("hand_over", parcel);
});

runtime.start();
