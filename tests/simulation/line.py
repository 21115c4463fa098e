"""The line of a worker to a node: slow, half open, lost with what is on it. An edge module.

Its stream keeps the order of the items, as TCP does; answers are calls of their own, and may
overtake each other. A line that carries nothing any more in one direction, or in both, is noticed
by either end only after some time; what is sent into it meanwhile is lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.capacity import Capacity
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.stream import Item, WorkerGone
from perdure.runtime.workflow.workers.work import TurnWork
from tests.simulation.far import Answer, Asked, decision
from tests.simulation.process import SimProcess
from tests.simulation.world import NodeLoop

Outcome = Answer | h.TaskCompleted | h.TaskFailed


@dataclass(frozen=True, slots=True)
class Order:
    """One item, on its way to a worker."""

    token: str
    what: Asked | RunActivity


@dataclass(slots=True)
class Stay:
    """For how long a worker was connected to a node: both by the names of their processes."""

    worker: str
    node: str
    since: float
    until: float = float("inf")
    heard: float = 0.0
    """When the worker knew of its end, which may have been stopped meanwhile."""


class End(Protocol):
    """The worker at the other end of a line."""

    loop: NodeLoop
    capacity: Capacity

    def take(self, order: Order) -> None: ...


@dataclass(slots=True)
class LineWeather:
    """What the lines of workers do at present."""

    slowness: float = 1.0


class Line:
    """The connection of a worker to one node. Its methods say at whose end they run."""

    def __init__(self, worker: End, node: SimProcess, number: int, weather: LineWeather) -> None:
        self._worker = worker
        self._weather = weather
        self._carries_items = True
        self._carries_answers = True
        self._node = node
        self._number = number
        self._world = node.world
        self._serving: asyncio.Task[None] | None = None
        self._last = 0.0
        self.stay = Stay(worker.loop.name, node.loop.name, self._world.now)
        self.closed: asyncio.Future[None] = worker.loop.create_future()
        """Of the worker's end."""

    def _delay(self) -> float:
        return self._world.rng.uniform(0.0002, 0.003) * self._weather.slowness

    # ---- the node's end

    def arrive(self) -> None:
        """The node hears of the worker."""
        node = self._node
        if not node.is_ready or not self._worker.loop.alive or self.closed.done():
            self._end_at_worker()
            return
        node.streams[self._number] = self._end_at_worker  # If the node dies.
        self._serving = node.loop.create_task(self._serve())

    async def _serve(self) -> None:
        node, engine = self._node, self._node.engine
        assert engine is not None
        stream = engine.pool.connect(self._worker.capacity, self._worker.loop.name)
        try:
            while True:
                self._send(await stream.next(), engine.pool)
        except WorkerGone:
            pass
        finally:
            if node.loop.alive:
                node.streams.pop(self._number, None)
                engine.pool.disconnect(stream)
                self._end_at_worker()

    def _send(self, item: Item, pool: WorkerPool) -> None:
        work = item.work
        if isinstance(work, TurnWork):
            item.began_us = max(self._node.env.now_us(), work.floor_us)
            known = item.stream.known_events(work)
            steps = [step.turn for step in work.past[: work.past_count]]
            item.stream.remember(work, len(steps))
            order = Order(
                item.token,
                Asked(
                    instance_id=work.instance_id,
                    execution=work.execution,
                    name=work.name,
                    steps=steps[known:],
                    known=known,
                    incoming=work.incoming,
                    began_us=item.began_us,
                ),
            )
        else:
            order = Order(item.token, work)
        # One after the other, as on every stream.
        self._last = max(self._last, self._world.now + self._delay())
        self._world.at(self._last, self._deliver, order)

    def answered(self, token: str, is_turn: bool, outcome: Outcome | None) -> bool:
        """A call of the worker's reaches the node, if it does; None: it would not do it.

        Whether the worker hears that it did.
        """
        node = self._node
        if not (node.is_ready and self._carries_answers):
            return False
        node.loop.call_soon(self._answered, token, is_turn, outcome)
        return self._carries_items and not self.closed.done()

    def _answered(self, token: str, is_turn: bool, outcome: Outcome | None) -> None:
        assert self._node.engine is not None
        pool = self._node.engine.pool
        item = pool.find(token, is_turn=is_turn, instance_id="", task_id=0)
        if item is None:
            return
        if outcome is None:
            pool.refuse(item)
        elif isinstance(outcome, Answer):
            assert isinstance(item.work, TurnWork)
            pool.answer(item, decision(item.work, item.began_us, outcome))
        else:
            pool.answer(item, outcome)

    def drop(self, noticed: float) -> None:
        """The worker has gone, or the line; so much later the node finds out."""
        if not self._carries_answers:
            return  # It finds out when nothing has come for too long.
        self.stay.until = min(self.stay.until, self._world.now + noticed)
        self._world.after(noticed, self._hang_up)

    def _hang_up(self) -> None:
        serving = self._serving
        if serving is not None and self._node.loop.alive:
            self._node.loop.call_soon(serving.cancel)

    # ---- in between

    def tear(self, lost: str, node_notices: float, worker_notices: float) -> None:
        """Nothing gets through any more: no `items`, no `answers`, or neither (`both`)."""
        self._carries_items &= lost == "answers"
        self._carries_answers &= lost == "items"
        self._world.after(node_notices, self._give_up)
        self._world.after(worker_notices, self._closed)

    def _give_up(self) -> None:
        """At the node: whoever is there has not answered for too long."""
        self.stay.until = min(self.stay.until, self._world.now)
        self._hang_up()

    # ---- the worker's end

    def _deliver(self, order: Order) -> None:
        loop = self._worker.loop
        if loop.alive and self._carries_items and not self.closed.done():
            loop.call_soon(self._worker.take, order)

    def _end_at_worker(self) -> None:
        self.stay.until = min(self.stay.until, self._world.now)
        if self._carries_items:
            self._last = max(self._last, self._world.now + self._delay())
            self._world.at(self._last, self._closed)

    def _closed(self) -> None:
        if self._worker.loop.alive and not self.closed.done():
            self._worker.loop.call_soon(self.close)

    def close(self) -> None:
        self.stay.heard = self._world.now
        if not self.closed.done():
            self.closed.set_result(None)
