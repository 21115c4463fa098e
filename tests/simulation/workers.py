"""Simulated worker processes: they connect to nodes, take work, answer it, and go. An owner module.

A worker has an event loop of its own and a line to one node at a time. What the node's end of the
line does is what the gRPC edge does there: it takes items from the pool, and brings answers to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.activities.context import ActivityContext
from perdure.runtime.workflow.failure import failure_of
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.workers.capacity import Capacity
from tests.simulation.far import Asked, decide
from tests.simulation.line import Line, LineWeather, Order, Outcome, Stay
from tests.simulation.process import Machine, SimProcess
from tests.simulation.programs import Activities
from tests.simulation.world import NodeLoop, World

_SILENT = logging.Logger("worker", logging.CRITICAL)


@dataclass(slots=True)
class Manners:
    """How badly workers behave at present. Probabilities are per item."""

    slow_turn: float = 0.0
    """Takes its time, as long as after which another worker gets the turn."""
    mute: float = 0.0
    """Takes a turn and never answers."""
    twice: float = 0.0
    """Says it again, later, to whomever it is connected to by then."""
    refuse: float = 0.0
    """Would not do it."""
    insists: bool = False
    """Says it again, a few times, if nobody has confirmed that it was heard."""


class SimWorker:
    """One worker process, from its start to its end."""

    def __init__(self, force: Workforce, name: str, loop: NodeLoop, capacity: Capacity) -> None:
        self._force = force
        self.world = force.world
        self.name = name
        self.loop = loop
        self.capacity = capacity
        self.line: Line | None = None
        self._histories: dict[tuple[str, int], list[h.Turn]] = {}
        """What it was sent on this line."""
        self._group: asyncio.TaskGroup | None = None
        self._place = ""
        """Where it was connected last."""

    async def run(self) -> None:
        """Connect to one node after the other, for ever."""
        rng = self.world.rng
        async with asyncio.TaskGroup() as self._group:
            while True:
                ready = self._force.machine.ready
                if ready:
                    self._histories.clear()
                    line = self.line = self._force.connect(self, self._choice(ready))
                    await line.closed
                    self.line = None
                await asyncio.sleep(rng.choice((0.02, 0.2, 1.0)))

    def _choice(self, ready: Sequence[SimProcess]) -> SimProcess:
        if self._force.are_loyal:
            for process in ready:
                if process.name == self._place:
                    return process
        process = self.world.rng.choice(ready)
        self._place = process.name
        return process

    def kill(self) -> None:
        """kill -9; mostly the system tells the node."""
        if self.line is not None:
            self.line.drop(self._force.noticed())
        self.loop.kill()

    def move(self) -> None:
        """Leave a node, whatever it has asked for, for another one perhaps."""
        line = self.line
        if line is not None and not line.closed.done():
            line.drop(self._force.noticed())
            line.close()

    # ---- work

    def take(self, order: Order) -> None:
        assert self._group is not None
        what = order.what
        steps = self._past(what) if isinstance(what, Asked) else ()
        self._group.create_task(self._do(order, steps))

    def _past(self, asked: Asked) -> list[h.Turn]:
        """All steps of a turn, with those that the node has left out."""
        run = (asked.instance_id, asked.execution)
        if not self.capacity.keeps_history:
            assert not asked.known
            return list(asked.steps)
        had = self._histories.get(run, [])
        if asked.known > len(had):
            text = f"{self.loop.name} is to know {asked.known} steps of {run}, has {len(had)}"
            raise self.world.violated(text)
        past = self._histories[run] = [*had[: asked.known], *asked.steps]
        return past

    async def _do(self, order: Order, steps: Sequence[h.Turn]) -> None:
        world, manners, what = self.world, self._force.manners, order.what
        rng, is_turn = world.rng, isinstance(order.what, Asked)
        if rng.random() < manners.refuse:
            self._answer(order.token, is_turn, None)
            return
        outcome: Outcome
        if isinstance(what, Asked):
            if rng.random() < manners.mute:
                return
            if rng.random() < manners.slow_turn:
                await asyncio.sleep(self._force.turn_seconds * rng.uniform(0.5, 1.5))
            elif rng.random() < 0.5:
                await asyncio.sleep(rng.choice((0.001, 0.02, 0.2)))
            try:
                outcome = decide(what, steps)
            except Exception as error:
                text = f"I8: {self.loop.name} cannot decide {what.instance_id}: {error!r}"
                raise world.violated(text) from error
        else:
            outcome = await self._run(what)
        self._answer(order.token, is_turn, outcome)
        if rng.random() < manners.twice:
            await asyncio.sleep(rng.choice((0.0, 0.005, 0.02, 0.1, 2.0)))
            self._answer(order.token, is_turn, outcome)

    async def _run(self, message: RunActivity) -> h.TaskCompleted | h.TaskFailed:
        task_id = message.task_id
        context = ActivityContext(message, _SILENT)
        try:
            order = msgspec.json.decode(message.input or "null")
            result = await self._force.activities.work(context, order)
        except Exception as error:
            return h.TaskFailed(task_id, failure_of(error))
        return h.TaskCompleted(task_id, msgspec.json.encode(result).decode())

    def _answer(self, token: str, is_turn: bool, outcome: Outcome | None, tries: int = 4) -> None:
        """A call of its own, to whatever node the worker is connected to."""
        line = self.line
        if line is None:
            self._insist(token, is_turn, outcome, tries)
            return
        delay = self.world.rng.uniform(0.0002, 0.004) * self._force.weather.slowness
        self.world.after(delay, self._arrive, line, token, is_turn, outcome, tries)

    def _arrive(
        self, line: Line, token: str, is_turn: bool, outcome: Outcome | None, tries: int
    ) -> None:
        if not line.answered(token, is_turn, outcome):
            self._insist(token, is_turn, outcome, tries)

    def _insist(self, token: str, is_turn: bool, outcome: Outcome | None, tries: int) -> None:
        if self._force.manners.insists and tries > 1:
            again = self.world.rng.choice((0.05, 0.5, 2.0))
            self.world.after(again, self._say_again, token, is_turn, outcome, tries - 1)

    def _say_again(self, token: str, is_turn: bool, outcome: Outcome | None, tries: int) -> None:
        if self.loop.alive:
            self._answer(token, is_turn, outcome, tries)


@dataclass(slots=True)
class Workforce:
    """All workers, and who starts the next one in place of one that has ended."""

    world: World
    machine: Machine
    activities: Activities
    turn_seconds: float
    manners: Manners = field(default_factory=Manners)
    weather: LineWeather = field(default_factory=LineWeather)
    are_loyal: bool = False
    """They come back to the node that they were at, if they can."""
    workers: dict[str, SimWorker] = field(default_factory=dict)
    stays: list[Stay] = field(default_factory=list)
    _capacities: dict[str, Capacity] = field(default_factory=dict)
    _started: int = 0

    def add(self, name: str, capacity: Capacity) -> None:
        """One more worker."""
        self._capacities[name] = capacity
        self._start(name)

    def _start(self, name: str) -> None:
        self._started += 1
        loop = self.world.loop(f"{name}.{self._started}")
        worker = self.workers[name] = SimWorker(self, name, loop, self._capacities[name])
        self.world.log("WORKER", loop.name)
        loop.create_task(worker.run())

    def connect(self, worker: SimWorker, node: SimProcess) -> Line:
        line = Line(worker, node, len(self.stays), self.weather)
        self.stays.append(line.stay)
        self.world.after(self.world.rng.uniform(0.001, 0.01), line.arrive)
        return line

    def noticed(self) -> float:
        """Until a node finds out that a worker has gone."""
        rng = self.world.rng
        return 3.0 if rng.random() < 0.1 else rng.uniform(0.0, 0.01)

    # ---- faults

    def kill_one(self) -> None:
        worker = self._one()
        if worker is not None:
            self.world.log("KILL", worker.loop.name)
            worker.kill()
            self.world.after(self.world.rng.choice((0.05, 0.5, 3.0)), self._start, worker.name)

    def _one(self) -> SimWorker | None:
        living = [worker for worker in self.workers.values() if worker.loop.alive]
        return self.world.rng.choice(living) if living else None

    def move_one(self) -> None:
        worker = self._one()
        if worker is not None:
            self.world.log("MOVE", worker.loop.name)
            worker.loop.call_soon(worker.move)

    def tear_one(self) -> None:
        """A line that breaks without a sign."""
        worker, rng = self._one(), self.world.rng
        if worker is not None and worker.line is not None:
            lost = rng.choice(("items", "answers", "both"))
            self.world.log("TEAR", worker.loop.name, lost)
            worker.line.tear(lost, rng.choice((0.5, 2.0, 8.0)), rng.choice((0.01, 2.0, 8.0)))

    def freeze_one(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT some time later."""
        worker = self._one()
        if worker is not None and not worker.loop.frozen:
            loop = worker.loop
            self.world.log("FREEZE", loop.name, seconds)
            loop.freeze()
            self.world.after(seconds, loop.thaw)
