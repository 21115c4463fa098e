"""Those who use the cluster: they ask any node, and go to another one when it does not answer.

They speak plain HTTP, so that nothing of the product stands between the cluster and the judgement.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import aiohttp

from tests.chaos.model import Case
from tests.chaos.verdict import LOST, STUCK, WRONG, Problem

PATIENCE_SECONDS = 90.0
"""A request that nobody answers for so long counts as stuck."""
ATTEMPT_SECONDS = 4.0
_AT_ONCE = 24
_BASE = "/v1.0/workflows/dapr"


@dataclass(frozen=True)
class Reply:
    status: int
    fields: Mapping[str, Any]
    unanswered: int = 0
    """Attempts before this one of which nobody knows what has become."""


class Unanswered(Exception):
    """No node has answered in all that time."""


class Unexpected(Exception):
    """A node has answered what must not be answered."""


@dataclass
class Customers:
    """Start all cases, and do to each what its kind asks for. What they find wrong is kept."""

    session: aiohttp.ClientSession
    urls: Sequence[str]
    random: Random
    problems: list[Problem] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    """Instances whose start was answered with 202."""
    purged: set[str] = field(default_factory=set)
    slowest: float = 0.0
    """Seconds that the slowest request has taken, with all its attempts."""
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, cases: Sequence[Case], over_seconds: float) -> None:
        """All cases, started over so many seconds."""
        limit = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for case in cases:
                await limit.acquire()
                group.create_task(self._serve(case, limit))
                await asyncio.sleep(over_seconds / len(cases))

    async def reached(self, count: int) -> None:
        """Wait until so many starts have been acknowledged."""
        async with self.progress:
            await self.progress.wait_for(lambda: len(self.acknowledged) >= count)

    async def _serve(self, case: Case, limit: asyncio.Semaphore) -> None:
        try:
            await self._drive(case)
        except Unanswered as error:
            self.problems.append(Problem(STUCK, f"{case.instance_id}: {error}"))
        except Unexpected as error:
            self.problems.append(Problem(WRONG, f"{case.instance_id}: {error}"))
        finally:
            limit.release()

    async def _drive(self, case: Case) -> None:
        instance_id = case.instance_id
        path = f"{_BASE}/{case.kind}/start?instanceID={instance_id}"
        started = await self._must(202, path, case.input, f"start {instance_id}")
        async with self.progress:
            self.acknowledged.add(instance_id)
            self.progress.notify_all()
        if (await self.ask("GET", f"{_BASE}/{instance_id}")).status == 404:
            self.problems.append(Problem(LOST, f"{instance_id}: not found after its 202"))
        paused = await self._pause(case) if case.kind == "paused" else None
        for data in case.events:
            await self._must(
                202, f"{_BASE}/{instance_id}/raiseEvent/{case.event_name}", data, f"raise {data}"
            )
        if paused is not None:
            await self._must(202, f"{_BASE}/{instance_id}/resume")
            if paused.unanswered:
                await self._until_ended(case, resume=True)
        elif case.kind == "endless":
            await asyncio.sleep(self.random.uniform(0, 1))
            await self._must(202, f"{_BASE}/{instance_id}/terminate", {"output": '"enough"'})
        elif case.kind == "purged" and not started.unanswered:
            # An attempt that a frozen node still has would start it anew after the purge, with
            # which its idempotency key goes as well.
            await self._purge(case)

    async def _pause(self, case: Case) -> Reply:
        """After the answer every node says so."""
        await asyncio.sleep(self.random.uniform(0, 0.8))
        paused = await self._must(202, f"{_BASE}/{case.instance_id}/pause")
        reply = await self.ask("GET", f"{_BASE}/{case.instance_id}")
        if reply.fields.get("runtimeStatus") != "SUSPENDED":
            raise Unexpected(f"paused, and then it is {reply.fields}")
        return paused

    async def _until_ended(self, case: Case, *, resume: bool = False) -> None:
        """`resume`: a pause that a frozen node still has may come late; it has no key."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        path = f"{_BASE}/{case.instance_id}"
        while (reply := await self.ask("GET", path)).fields.get("runtimeStatus") != "COMPLETED":
            if reply.status != 200 or time.monotonic() > give_up_at:
                raise Unanswered(f"does not complete: {reply}")
            if resume and reply.fields["runtimeStatus"] == "SUSPENDED":
                await self._must(202, f"{path}/resume")
            await asyncio.sleep(0.3)

    async def _purge(self, case: Case) -> None:
        await self._until_ended(case)
        path = f"{_BASE}/{case.instance_id}"
        reply = await self.ask("POST", f"{path}/purge")
        if reply.status not in (202, 404):  # The second if the first answer was lost.
            raise Unexpected(f"purge: {reply}")
        self.purged.add(case.instance_id)

    async def _must(
        self, status: int, path: str, body: Any = None, key: str | None = None
    ) -> Reply:
        reply = await self.ask("POST", path, body, key)
        if reply.status != status:
            raise Unexpected(f"{path}: {reply}")
        return reply

    # ---- one request

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> Reply:
        """Ask one node after the other until one has an answer. Raises `Unanswered`."""
        began = time.monotonic()
        give_up_at = began + PATIENCE_SECONDS
        first = self.random.randrange(len(self.urls))
        attempt, unanswered, last = 0, 0, ""
        while time.monotonic() < give_up_at:
            url = self.urls[(first + attempt) % len(self.urls)]
            attempt += 1
            try:
                reply, pause = await self._attempt(method, url + path, body, key)
            except (aiohttp.ClientError, TimeoutError) as error:
                unanswered += not isinstance(error, aiohttp.ClientConnectorError)
                last = f"{url}: {error!r}"
                await asyncio.sleep(0.1)
                continue
            if pause is None:
                self.slowest = max(self.slowest, time.monotonic() - began)
                return replace(reply, unanswered=unanswered)
            unanswered += reply.status == 503  # It may have happened, or may yet.
            last = f"{url}: {reply}"
            await asyncio.sleep(pause)
        raise Unanswered(f"{method} {path} in {PATIENCE_SECONDS:g} s, at last {last}")

    async def _attempt(
        self, method: str, url: str, body: Any, key: str | None
    ) -> tuple[Reply, float | None]:
        """The answer, and how long to wait before trying again, if it asks for that."""
        async with self.session.request(
            method,
            url,
            data=None if body is None else json.dumps(body),
            headers={} if key is None else {"Idempotency-Key": key},
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
        ) as response:
            text = await response.text()
            reply = Reply(response.status, json.loads(text) if text else {})
            if response.status in (429, 503):
                return reply, float(response.headers.get("Retry-After", "1"))
            return reply, None
