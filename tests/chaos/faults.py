"""What happens to a cluster in a round: seeded, one after the other, each of a kind."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import aiohttp

from tests.chaos.nodes import LEASE_SECONDS, SLEPT, Cluster, NodeFailed
from tests.chaos.verdict import ENDED, Problem

_HOLD = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
db.execute("ROLLBACK")
"""


@dataclass
class Faults:
    """Does damage to the cluster, and sees to it that all nodes are there again afterwards."""

    cluster: Cluster
    random: Random
    tell: Callable[[str], None]
    done: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    async def run(self, count: int, only: Sequence[str] = ()) -> None:
        """So many faults by chance; or these, in this order, again and again."""
        kinds = self._kinds()
        weights = [weight for weight, _ in kinds.values()]
        for number in range(count):
            await asyncio.sleep(self.random.uniform(0.1, 1.5))
            (name,) = self.random.choices([*kinds], weights)
            if only:
                name = only[number % len(only)]
            _, act = kinds[name]
            self.done[name] += 1
            began = time.monotonic()
            try:
                about = await act()
                self.tell(f"{name} {about} ({time.monotonic() - began:.1f} s)")
            except NodeFailed as error:
                self.problems.append(Problem(ENDED, f"{name}: {error}"))
            await self.restore()

    def _kinds(self) -> dict[str, tuple[int, Callable[[], Awaitable[str]]]]:
        """What there is, by name, and how often."""
        return {
            "kill": (4, self._kill),
            "kill-two": (2, lambda: self._kill_many(2)),
            "kill-all": (1, lambda: self._kill_many(3)),
            "kill-at-start": (1, self._kill_at_start),
            "freeze": (4, self._freeze),
            "freeze-all": (1, self._freeze_all),
            "freeze-and-kill": (1, self._freeze_one_and_kill_another),
            "drain": (3, self._drain),
            "drain-over-http": (1, self._drain_over_http),
            "drain-and-freeze": (1, self._drain_and_freeze),
            "drain-and-kill": (1, self._drain_one_and_kill_another),
            "kill-worker": (3, self._kill_worker),
            "lock": (2, self._lock_the_store),
            "lock-and-kill": (1, self._lock_the_store_and_kill),
        }

    async def restore(self) -> None:
        """Start again whatever does not run, and take note of what has ended by itself."""
        for name in self.cluster.names:
            process = self.cluster.current[name]
            if process.lives:
                continue
            if not process.faults:
                code = process.handle.returncode
                text = f"{process.log.name} ended by itself, code {code}:\n{process.tail()}"
                self.problems.append(Problem(ENDED, text))
            try:
                await self.cluster.start(name)
            except NodeFailed as error:
                self.problems.append(Problem(ENDED, str(error)))

    # ---- the kinds

    def _some(self, count: int) -> list[str]:
        return self.random.sample(self.cluster.names, count)

    async def _kill(self) -> str:
        (name,) = self._some(1)
        await self.cluster.kill(name)
        await self._start_again([name])
        return name

    async def _kill_worker(self) -> str:
        name = self.random.choice(list(self.cluster.workers))
        await self.cluster.kill_worker(name)
        await asyncio.sleep(self.random.uniform(0.0, 1.0))
        await self.cluster.employ(name)
        return f"of {name}"

    async def _kill_many(self, count: int) -> str:
        names = self._some(count)
        for name in names:
            self.cluster.strike(name)
        for name in names:
            await self.cluster.kill(name)
        await self._start_again(names)
        return " ".join(names)

    async def _start_again(self, names: list[str]) -> None:
        """At once or after a while, at the same time or one after the other."""
        await asyncio.sleep(self.random.choice([0.0, 0.0, self.random.uniform(0.2, 3.0)]))
        if self.random.random() < 0.5:
            await asyncio.gather(*(self.cluster.start(name) for name in names))
        else:
            for name in names:
                await self.cluster.start(name)

    async def _freeze(self) -> str:
        (name,) = self._some(1)
        seconds = self.random.uniform(0.5, 3 * LEASE_SECONDS)
        await self.cluster.freeze(name, seconds)
        return f"{name} for {seconds:.1f} s"

    async def _freeze_one_and_kill_another(self) -> str:
        frozen, killed = self._some(2)
        seconds = self.random.uniform(0.5, 3 * LEASE_SECONDS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.cluster.freeze(frozen, seconds))
            await asyncio.sleep(self.random.uniform(0, seconds))
            await self.cluster.kill(killed)
        await self.cluster.start(killed)
        return f"{frozen} for {seconds:.1f} s, {killed}"

    async def _freeze_all(self) -> str:
        """As a suspended laptop: those who wake up first must not take the others for dead."""
        times = {name: LEASE_SECONDS + self.random.uniform(0, 0.5) for name in self.cluster.names}
        await asyncio.gather(
            *(self.cluster.freeze(name, seconds, SLEPT) for name, seconds in times.items())
        )
        return " ".join(f"{name} for {seconds:.1f} s" for name, seconds in times.items())

    async def _kill_at_start(self) -> str:
        """Whatever it has come to, the next start has to cope with it."""
        (name,) = self._some(1)
        seconds = self.random.uniform(0.2, 2.0)
        await self.cluster.kill(name)
        await self.cluster.spawn(name)
        await asyncio.sleep(seconds)
        await self.cluster.kill(name)
        await self.cluster.start(name)
        return f"{name} after {seconds:.1f} s"

    async def _drain(self) -> str:
        (name,) = self._some(1)
        await self.cluster.drain(name)
        await self._start_again([name])
        return name

    async def _drain_over_http(self) -> str:
        """One node is asked to have another one drained."""
        asked, drained = self._some(2)
        process = self.cluster.current[drained]
        url = f"{self.cluster.url(asked)}/v1.0/cluster/nodes/{drained}/drain"
        self.cluster.told_to_drain(drained)
        async with aiohttp.ClientSession() as session, session.post(url) as response:
            if response.status >= 300:
                raise NodeFailed(f"{asked} does not drain {drained}: {await response.text()}")
        await self.cluster.ended(drained)
        assert not process.lives
        await self._start_again([drained])
        return f"{drained} by {asked}"

    async def _drain_and_freeze(self) -> str:
        """It is stopped in the middle of handing over."""
        (name,) = self._some(1)
        seconds = self.random.uniform(0.5, 2 * LEASE_SECONDS)
        draining = self.cluster.drain(name)
        freezing = self._later(0.3, lambda: self.cluster.freeze(name, seconds))
        await asyncio.gather(draining, freezing)
        await self._start_again([name])
        return f"{name} for {seconds:.1f} s"

    async def _drain_one_and_kill_another(self) -> str:
        """Maybe the one that is just being given what the other one had."""
        drained, killed = self._some(2)
        killing = self._later(0.3, lambda: self.cluster.kill(killed))
        await asyncio.gather(self.cluster.drain(drained), killing)
        await self._start_again([drained, killed])
        return f"{drained}, {killed}"

    async def _later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """After so many seconds at most."""
        await asyncio.sleep(self.random.uniform(0, seconds))
        await act()

    async def _lock_the_store_and_kill(self) -> str:
        """The others can see that it is dead, but not write it down."""
        (name,) = self._some(1)
        killing = self._later(1.0, lambda: self.cluster.kill(name))
        about, _ = await asyncio.gather(self._lock_the_store(), killing)
        await self._start_again([name])
        return f"{about}, {name}"

    async def _lock_the_store(self) -> str:
        """A process from outside writes, and takes its time."""
        seconds = self.random.uniform(0.5, 2 * LEASE_SECONDS)
        holder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _HOLD, str(self.cluster.store), str(seconds)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            code = await asyncio.wait_for(holder.wait(), seconds + 60)
        finally:
            if holder.returncode is None:
                holder.kill()
                await holder.wait()
        return f"for {seconds:.1f} s" if code == 0 else "did not get it"
