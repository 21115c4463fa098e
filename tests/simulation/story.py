"""What clients do with one instance id, and what they must see. An owner module."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any

from perdure.actors.errors import Refused, Retryable
from perdure.runtime.workflow.errors import (
    ChildNotFinished,
    InstanceExists,
    InstanceNotFound,
    InstanceStalled,
    NotCompleted,
)
from perdure.runtime.workflow.history import TERMINAL, Status
from perdure.runtime.workflow.records import ListQuery
from perdure.runtime.workflow.views import WorkflowView
from tests.simulation.client import Client, Unreachable
from tests.simulation.model import Author, Case, matches
from tests.simulation.reruns import Reruns
from tests.simulation.world import Violation


@dataclass(slots=True)
class Habits:
    """How likely the clients of this seed do what."""

    suspend: float = 0.0
    terminate: float = 0.0
    purge: float = 0.0
    reuse: float = 0.0
    delay: float = 0.0
    noise: float = 0.0
    query: float = 0.0
    rerun: float = 0.0


class Story:
    """One instance id and its lives, one after the other."""

    def __init__(
        self, client: Client, author: Author, habits: Habits, instance_id: str, reruns: Reruns
    ) -> None:
        self.client = client
        self.reruns = reruns
        self.world = client.world
        self.author = author
        self.habits = habits
        self.instance_id = instance_id
        self.is_terminated = False
        self.lives = 0

    @property
    def _rng(self) -> random.Random:
        return self.world.rng

    async def tell(self) -> None:
        """All lives; ends when the last one is over and was found right."""
        for life in range(4):
            self.lives = life + 1
            case, key = self.author.case(), f"{self.instance_id}-{life}"
            await self._live(case, key)
            await self.client.settled(self.instance_id)
            if self.habits.rerun and self._rng.random() < self.habits.rerun:
                await self._run_again(case, key, 0)
            if self._rng.random() < self.habits.purge:
                await self._purge()
            if self._rng.random() >= self.habits.reuse:
                return

    async def _live(self, case: Case, key: str) -> None:
        self.is_terminated = False
        await self._start(case, key)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._raise_events(case, key))
            if self._rng.random() < self.habits.suspend:
                group.create_task(self._suspend_and_resume())
            if self._rng.random() < self.habits.terminate:
                group.create_task(self._terminate())
            if self._rng.random() < self.habits.query:
                group.create_task(self._look_around())
            if self.habits.rerun and self._rng.random() < self.habits.rerun:
                group.create_task(self._run_again_too_early(case, key))
        view = await self._end()
        self._judge(case, view)
        again: WorkflowView = await self.client.insist("get", self.instance_id)
        if again.row.status != view.row.status or again.row.output != view.row.output:
            raise self._wrong(f"I9: it was {view.row} and is {again.row}")

    # ---- run again

    async def _run_again(self, case: Case, key: str, depth: int) -> None:
        """From some of its events, and what comes of it from one of that one's."""
        await self.reruns.of_a_child(self.instance_id)
        for _ in range(self._rng.randint(1, 3)):
            found = await self.reruns.of(self.instance_id)
            if found is None:
                continue
            made, wanted = found
            await self._again(made)._go_on(case, key, depth, is_other=wanted.overwrite_input)

    async def _run_again_too_early(self, case: Case, key: str) -> None:
        await asyncio.sleep(self._rng.choice((0.01, 0.3, 2.0)))
        made = await self.reruns.too_early(self.instance_id)
        if made is not None:
            await self._again(made)._go_on(case, key, 1, is_other=False)

    def _again(self, made: str) -> Story:
        return Story(self.client, self.author, self.habits, made, self.reruns)

    async def _go_on(self, case: Case, key: str, depth: int, *, is_other: bool) -> None:
        """The life of an instance that begins with the past of another one."""
        rng = self._rng
        async with asyncio.TaskGroup() as group:
            # Told once more, under the same keys: the past has seen some of them.
            group.create_task(self._raise_events(case, key))
            if rng.random() < self.habits.suspend:
                group.create_task(self._suspend_and_resume())
            if rng.random() < self.habits.terminate:
                group.create_task(self._terminate())
        view = await self._end()
        if not is_other:
            self._judge(case, view, is_again=True)
        await self.client.settled(self.instance_id)
        if not is_other and depth < 2 and rng.random() < 0.3:
            await self._run_again(case, key, depth + 1)
        if rng.random() < self.habits.purge and await self._purge():
            await self.reruns.of_nothing(self.instance_id)

    async def _start(self, case: Case, key: str) -> None:
        rng, attempts = self._rng, 0
        options: dict[str, Any] = {}
        if case.events or rng.random() < 0.6:
            options["idempotency_key"] = key
        if rng.random() < self.habits.delay:
            options["start_at_us"] = self.world.wall_us() + rng.choice((-5, 200_000, 3_000_000))
        text = json.dumps([case.program, case.rounds, []])
        self.world.log("CASE", self.instance_id, case.style, text)
        while True:
            try:
                await self.client.request("start", self.instance_id, case.style, text, **options)
                return
            except ChildNotFinished:
                pass  # Of the life before; it will finish.
            except (InstanceExists, InstanceStalled):
                if not attempts:
                    raise self._wrong("I1: it was finished, and a new start is refused") from None
                if not options.get("idempotency_key"):
                    return  # An earlier attempt had come through.
                raise self._wrong("the same start, told again, is refused") from None
            except (Unreachable, Retryable):
                attempts += 1
                if not options.get("idempotency_key"):
                    # One that is thought lost would start a further run, once this one is over.
                    await self.client.settled(self.instance_id)
            await asyncio.sleep(rng.uniform(0.05, 0.8))

    async def _raise_events(self, case: Case, key: str) -> None:
        rng = self._rng
        for number, (name, data) in enumerate(case.events):
            if rng.random() < 0.7:
                await asyncio.sleep(rng.choice((0.005, 0.1, 1.0)))
            if rng.random() < self.habits.noise:
                await self.client.insist("raise_event", self.instance_id, "noise", '"noise"')
            await self.client.insist(
                "raise_event",
                self.instance_id,
                name,
                json.dumps(data),
                idempotency_key=f"{key}-{number}",
            )

    async def _suspend_and_resume(self) -> None:
        await asyncio.sleep(self._rng.choice((0.01, 0.3, 2.0)))
        await self.client.insist("suspend", self.instance_id, "because")
        await asyncio.sleep(self._rng.choice((0.0, 0.5, 4.0)))
        # One that was thought lost must not come after the resume.
        await self.client.settled(self.instance_id)
        await self.client.insist("resume", self.instance_id)

    async def _terminate(self) -> None:
        await asyncio.sleep(self._rng.choice((0.0, 0.05, 0.5, 2.0)))
        self.is_terminated = True
        recursive = self._rng.random() < 0.7
        await self.client.insist("terminate", self.instance_id, '"enough"', recursive=recursive)

    async def _look_around(self) -> None:
        for _ in range(3):
            await asyncio.sleep(self._rng.uniform(0.1, 2.0))
            await self.client.insist("page", ListQuery(limit=3))  # type: ignore[arg-type]
            await self.client.insist("history", self.instance_id)

    async def _end(self) -> WorkflowView:
        """Wait until it is over."""
        while True:
            view: WorkflowView = await self.client.insist("wait", self.instance_id, timeout=3.0)
            if view.row.status in TERMINAL:
                return view
            if view.row.status in (Status.STALLED, Status.SUSPENDED):
                # One that is run again may have been suspended just then.
                await self.client.insist("resume", self.instance_id)
            await asyncio.sleep(self._rng.uniform(0.05, 0.5))

    def _judge(self, case: Case, view: WorkflowView, *, is_again: bool = False) -> None:
        row = view.row
        if row.status is Status.TERMINATED and self.is_terminated:
            if row.output != '"enough"':
                raise self._wrong(f"terminated with output {row.output}")
            return
        wanted = Status.FAILED if case.fails else Status.COMPLETED
        if row.status is not wanted:
            raise self._wrong(f"I1: it is {row.status!r} instead of {wanted!r}: {row.failure}")
        if not case.fails:
            found = json.loads(row.output or "null")
            if not matches(case.expected, found, is_again=is_again):
                raise self._wrong(f"I1: its result is {found} instead of {case.expected}")
        if case.status not in ("*", row.custom_status):
            raise self._wrong(f"its custom status is {row.custom_status}, not {case.status}")

    async def _purge(self) -> bool:
        """Whether it is gone; it is not if a child still runs."""
        # A child whose start is still on its way has no row yet, and may appear afterwards.
        family = self.client.family_of(self.instance_id)
        try:
            await self.client.insist("purge", self.instance_id)
        except InstanceNotFound:
            pass  # An attempt before had come through.
        except NotCompleted:
            return False
        await self.client.settled(self.instance_id)
        try:
            await self.client.insist("get", self.instance_id)
        except InstanceNotFound:
            left = self.client.survivors_of(family)
            if left:
                raise self._wrong(f"I11: {left} survive the purge") from None
            return True
        except Refused as error:
            raise self._wrong(f"a purged instance answers {error!r}") from None
        raise self._wrong("I11: it is there after its purge")

    def _wrong(self, what: str) -> Violation:
        return self.world.violated(f"'{self.instance_id}' (life {self.lives}): {what}")
