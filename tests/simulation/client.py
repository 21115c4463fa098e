"""A client with an unreliable line to the node: asks, loses answers, asks again. An owner module.

Runs on an event loop of its own, so that it survives whatever happens to the node.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from perdure.actors.errors import Refused, Retryable
from perdure.runtime.workflow.errors import InstanceStalled
from tests.simulation.process import Machine, SimProcess
from tests.simulation.shadow import Shadow
from tests.simulation.world import World


class Unreachable(Exception):
    """No answer: it may have been done or not."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the service, on its way."""

    number: int
    answer: asyncio.Future[Any]
    method: str
    target: str
    args: tuple[Any, ...]
    options: dict[str, Any]


class Client:
    """Everybody who calls the node. `request` may be used by any task on `loop`."""

    def __init__(self, world: World, machine: Machine, shadow: Shadow) -> None:
        self.world = world
        self.loop = world.loop("client")
        self.slowness = 1.0
        self.echoes = 0.0
        """How often a request with an idempotency key arrives twice."""
        self._machine = machine
        self.shadow = shadow
        self._requests = 0
        self._under_way: dict[str, set[int]] = {}

    async def insist(self, method: str, instance_id: str, *args: Any, **options: Any) -> Any:
        """Ask until there is an answer. Raises `Refused`."""
        while True:
            try:
                return await self.request(method, instance_id, *args, **options)
            except (Unreachable, Retryable, InstanceStalled) as error:
                if isinstance(error, InstanceStalled):
                    await self._unstall(instance_id)
                await asyncio.sleep(self.world.rng.uniform(0.05, 0.8))

    async def _unstall(self, instance_id: str) -> None:
        """What an operator does when an instance was set aside."""
        try:
            await self.request("resume", instance_id)
        except (Unreachable, Retryable, Refused):
            await asyncio.sleep(0.1)

    async def request(self, method: str, target: str, *args: Any, **options: Any) -> Any:
        """Ask once. Raises `Unreachable`, or what the service raised."""
        ready = self._machine.ready
        if not ready:
            await asyncio.sleep(0.05)
            raise Unreachable
        process = self.world.rng.choice(ready)
        self._requests += 1
        answer: asyncio.Future[Any] = self.loop.create_future()
        asked = Request(self._requests, answer, method, target, args, options)
        self._under_way.setdefault(target, set()).add(asked.number)
        self.world.after(self._delay(), self._arrive, process, asked)
        if self.world.rng.random() < self.echoes and "idempotency_key" in options:
            self._echo(process, asked)
        try:
            async with asyncio.timeout(4.0):
                return await answer
        except TimeoutError:
            raise Unreachable from None

    def _echo(self, process: SimProcess, asked: Request) -> None:
        """The network delivers it a second time, some time later; nobody waits for that answer."""
        self._requests += 1
        lost: asyncio.Future[Any] = self.loop.create_future()
        lost.cancel()
        again = replace(asked, number=self._requests, answer=lost)
        self._under_way[asked.target].add(again.number)
        self.world.after(self.world.rng.uniform(0.0, 2.0), self._arrive, process, again)

    async def settled(self, target: str) -> None:
        """Wait until nothing that was asked of `target` can happen any more."""
        while self._under_way.get(target) or self._machine.network.under_way[target]:
            await self.pause(0.1)

    def family_of(self, instance_id: str) -> set[int]:
        """The keys of an instance and of all that descends from it, as far as it exists."""
        life = self.shadow.current.get(instance_id)
        family = set() if life is None else {life.key}
        for key, other in self.shadow.by_key.items():  # Parents come before their children.
            started = other.run.started if other.runs else None
            if started is not None and started.parent is not None and started.parent.key in family:
                family.add(key)
        return family

    def survivors_of(self, family: set[int]) -> list[str]:
        """Which of them are still there."""
        lives = [self.shadow.by_key[key] for key in sorted(family)]
        return [life.instance_id for life in lives if not life.is_gone]

    async def pause(self, seconds: float) -> None:
        """Let others go on; nothing here is worth an event of its own."""
        await asyncio.sleep(seconds)

    def _delay(self) -> float:
        return self.world.rng.uniform(0.0003, 0.004) * self.slowness

    def _arrive(self, process: SimProcess, asked: Request) -> None:
        def hung_up() -> None:
            self._under_way[asked.target].discard(asked.number)
            self.world.after(self._delay(), _answer, asked.answer, None, Unreachable())

        if not process.is_ready:
            hung_up()
            return
        process.connections[asked.number] = hung_up
        process.loop.create_task(self._handle(process, asked))

    async def _handle(self, process: SimProcess, asked: Request) -> None:
        """Runs in the node's process."""
        result: Any = None
        error: Exception | None = None
        method, target = asked.method, asked.target
        purges = self.shadow.purges.get(target, 0)
        try:
            if method == "start":
                result = await process.call(
                    "start", *asked.args, instance_id=target, **asked.options
                )
            else:
                result = await process.call(method, target, *asked.args, **asked.options)
        except (Refused, Retryable) as raised:
            error = raised
        else:
            self._acknowledged(asked, purges, result)
        if process.connections.pop(asked.number, None) is None:
            return
        self.world.log("ANSWER", method, target, type(error).__name__ if error else "ok")
        self._under_way[target].discard(asked.number)
        self.world.after(self._delay(), _answer, asked.answer, result, error)

    def _acknowledged(self, asked: Request, purges: int, result: Any) -> None:
        """The answer leaves the process: what it says must be durable by now (I15)."""
        method, target, options = asked.method, asked.target, asked.options
        shadow = self.shadow
        life = shadow.current.get(target)
        purged = shadow.purges.get(target, 0) > purges
        key = options.get("idempotency_key")
        request = None if key is None else f"key:{key}"
        is_true = True
        match method:
            case "start":
                is_true = purged or (
                    life is not None and (request is None or request in life.requests)
                )
            case "raise_event":
                is_true = purged or (
                    life is not None
                    and (
                        request is None
                        or life.status.is_terminal
                        or life.has_seen(request)
                        or (target, f"event:{request}") in shadow.inbox
                    )
                )
            case "terminate":
                is_true = purged or (life is not None and life.status.is_terminal)
            case "purge":
                is_true = purged
            case "rerun":
                made = shadow.current.get(result)
                is_true = made is not None and made.source == target
        if not is_true:
            raise self.world.violated(f"I15: {method} of '{target}' acknowledged, but not durable")


def _answer(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
