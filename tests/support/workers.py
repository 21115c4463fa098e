"""A worker without a process: the test takes its items, and answers them when and as it likes.

It comes in by the same door as the gRPC edge: the pool of a node.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from perdure.runtime.config import NodeConfig
from perdure.runtime.node import App, Node
from perdure.runtime.storage.opening import MEMORY
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.executor import ContinuedAsNew
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.capacity import Capacity
from perdure.runtime.workflow.workers.stream import Item
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork

PATIENCE = 15.0
"""Seconds after which a test gives up."""


@asynccontextmanager
async def serving_workers(
    app: App = None, *, http: bool = False, **settings: Any
) -> AsyncIterator[Node]:
    """A node for workers, in memory."""
    chosen: dict[str, Any] = {
        "port": 0,
        "grpc_port": 0,
        "drain_seconds": 0.2,
        "store": Path(MEMORY),
    } | settings
    async with Node(app, config=NodeConfig(**chosen), http=http) as node:
        yield node


class Given:
    """One item in the worker's hands."""

    def __init__(self, worker: Worker, item: Item) -> None:
        self.worker = worker
        self.item = item

    @property
    def turn(self) -> TurnWork:
        assert isinstance(self.item.work, TurnWork)
        return self.item.work

    @property
    def activity(self) -> RunActivity:
        assert isinstance(self.item.work, RunActivity)
        return self.item.work

    @property
    def work(self) -> TurnWork | RunActivity:
        return self.item.work

    @property
    def past(self) -> list[h.Turn]:
        """The steps that have been decided."""
        return [step.turn for step in self.turn.past[: self.turn.past_count]]

    @property
    def news(self) -> list[str]:
        """The kinds of the events that are to be seen, events of clients by their names."""
        return [
            event.name if isinstance(event, h.EventRaised) else type(event).__name__
            for event in self.turn.incoming
        ]

    def decision(self, *outgoing: h.Outgoing, **more: Any) -> TurnDecided:
        work = self.turn
        fields = {
            "key": work.key,
            "execution": work.execution,
            "after": work.after,
            "covers": work.covers,
            "began_us": work.floor_us + 1,
            "outgoing": outgoing,
        }
        return TurnDecided(**{**fields, **more})

    def decide(self, *outgoing: h.Outgoing, **more: Any) -> None:
        """Answer a turn: these commands, or what else a decision may say."""
        self.worker.pool.answer(self.item, self.decision(*outgoing, **more))

    def end(self, output: Any = None) -> None:
        """Answer a turn: the run has completed."""
        self.decide(completed(output))

    def again(self, input: Any = None, *carried: h.EventRaised, **more: Any) -> None:
        """Answer a turn: the run is to begin anew."""
        self.decide(continued=ContinuedAsNew(json.dumps(input), carried), **more)

    def complete(self, result: Any = None) -> None:
        """Answer an activity."""
        task_id = self.activity.task_id
        self.worker.pool.answer(self.item, h.TaskCompleted(task_id, json.dumps(result)))

    def lack(self) -> None:
        """Answer that the worker has no such code."""
        failure = h.Failure("NotRegistered", f"{self.worker.stream.name} has no {self.work.name}")
        if isinstance(self.work, RunActivity):
            outcome: TurnDecided | h.TaskFailed = h.TaskFailed(self.work.task_id, failure)
        else:
            outcome = self.decision(h.ExecutionCompleted(h.Status.FAILED, None, failure))
        self.worker.pool.lack(self.item, outcome)

    def refuse(self) -> None:
        self.worker.pool.refuse(self.item)


class Worker:
    """Connected from the moment it is made."""

    def __init__(self, node: Node, name: str = "worker", **capacity: Any) -> None:
        self.pool = node.engine.pool
        self.stream = self.pool.connect(Capacity(**capacity), name)

    async def next(self) -> Given:
        """The next item that it is given. Raises `WorkerGone` if the stream ends instead."""
        async with asyncio.timeout(PATIENCE):
            return Given(self, await self.stream.next())

    async def turn(self, *outgoing: h.Outgoing, **more: Any) -> TurnWork:
        """Take the next turn, and decide it."""
        given = await self.next()
        given.decide(*outgoing, **more)
        return given.turn

    async def activity(self, result: Any = None) -> RunActivity:
        """Take the next activity, and complete it."""
        given = await self.next()
        given.complete(result)
        return given.activity

    def leave(self) -> None:
        """Drop the stream, with all that it has in hand."""
        self.pool.disconnect(self.stream)


def call(task_id: int, name: str = "pay", input: Any = None) -> h.TaskScheduled:
    """An activity, asked for."""
    return h.TaskScheduled(task_id, name, json.dumps(input), f"e-{task_id}")


def completed(output: Any = None) -> h.ExecutionCompleted:
    """The run has completed, asked for."""
    return h.ExecutionCompleted(h.Status.COMPLETED, json.dumps(output))
