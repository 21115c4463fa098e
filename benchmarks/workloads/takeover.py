"""How soon does another node go on with the work of one that is killed, and of one that is frozen?

Two nodes. All instances belong to one of them, and each is held up there in the middle of its work:
a third in a running activity, a third by a timer, a third by an event. Then that node is ended by
`kill -9`, which shows on its own machine, or stopped by SIGSTOP, which only shows by its lease; at
once, the other node is told to let activities end, and all events are raised by way of it. An
instance has gone on when its next step is done there. A frozen node is let go in the end, and must
not do any harm. An instance that is lost, or has not come to what it should, is an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.app import HELD, LET_GO, WENT_ON, Holder
from benchmarks.cluster import Cluster
from benchmarks.measuring import Usage, closed_loop, percentile
from benchmarks.node_process import NodeProcess, all_completed
from benchmarks.options import Options
from benchmarks.result import Result
from perdure import Node
from perdure.runtime.workflow.history import Status

LEASE_KILLED, LEASE_FROZEN = 5.0, 2.0
"""Seconds. The first is the default, and so long that it cannot be what finds a killed node."""
START_IN_FLIGHT = 100
DUE_SECONDS = 3.0
"""From the first timer to the point at which all are due: time to start them all."""
AHEAD_SECONDS = 0.2
"""How long before that point the node is struck."""
GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TakeOver:
    """One of them, told by the node that took over."""

    began: Mapping[Holder, float]
    """From when on instances could go on, on the clock that all processes share: the blow, but
    for timers not before they were due."""
    holders: Sequence[Holder]
    """Of each instance, by its number."""
    times: Sequence[float]
    """When steps were done, in that order."""
    numbers: Sequence[int]
    """By which instances, at each of the times."""
    used: Usage

    @property
    def repeated(self) -> int:
        """Steps that were done more than once."""
        return len(self.numbers) - len(set(self.numbers))

    def check(self) -> None:
        """Raises `AssertionError` if any instance has not gone on where it should."""
        missing = sorted(set(range(len(self.holders))) - set(self.numbers))
        if missing:
            raise AssertionError(
                f"{len(missing)} of {len(self.holders)} instances have not gone on at the node "
                f"that took over, such as number {missing[0]}, held by {self.holders[missing[0]]}"
            )

    def waits_ms(self, *holders: Holder) -> list[float]:
        """How long each instance took to go on; of all, or of those that were held by these."""
        first: dict[int, float] = {}
        for number, at in zip(self.numbers, self.times, strict=True):
            first.setdefault(number, at)
        return [
            (first[number] - self.began[holder]) * 1000
            for number, holder in enumerate(self.holders)
            if not holders or holder in holders
        ]


# ---- in the process of a node


async def hold_up(node: Node, count: int) -> dict[str, Any]:
    """Start instances of this node's own, as many of each kind, and wait until each is held up.

    Their ids, in the order of their numbers, and when the timers are due.
    """
    ids = [""] * (3 * count)

    async def start(number: int, holder: Holder, due: float = 0.0) -> None:
        held = {"number": number, "holder": holder, "due_us": round(due * 1e6)}
        ids[number] = await node.service.start("held_up", json.dumps(held))

    await closed_loop(lambda n: start(n, Holder.ACTIVITY), count, START_IN_FLIGHT)
    await closed_loop(lambda n: start(n + count, Holder.EVENT), count, START_IN_FLIGHT)
    due = _now_seconds() + DUE_SECONDS
    await closed_loop(lambda n: start(n + 2 * count, Holder.TIMER, due), count, START_IN_FLIGHT)
    await HELD.reach(count)
    left = due - _now_seconds()
    if left < AHEAD_SECONDS:
        raise AssertionError("this machine is too busy: the timers fell due while they were made")
    foreign = [each for each in ids if node.engine.router.owned(each) is None]
    if foreign:
        raise AssertionError(f"{len(foreign)} instances belong to the other node")
    return {"ids": ids, "due": time.perf_counter() + left, "generation": _generation(node)}


async def go_on_with(node: Node, ids: list[str], events: list[str]) -> dict[str, Any]:
    """Let activities end, raise the events, and wait until all instances are completed."""
    LET_GO.set()

    async def wake(number: int) -> None:
        await node.service.raise_event(events[number], "go on")

    with contextlib.suppress(TimeoutError):  # What is lost by then is found by `check`.
        async with asyncio.timeout(GIVE_UP_SECONDS):
            await closed_loop(wake, len(events), len(events))
            await all_completed(node, len(ids))
    return {"times": WENT_ON.times, "numbers": WENT_ON.numbers}


async def come_to(node: Node, generation: int) -> int:
    """Let go of what was held up here under a generation that is over, and join again.

    How many steps were done here.
    """
    LET_GO.set()
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            if _generation(node) > generation:
                return len(WENT_ON)
            await asyncio.sleep(0.02)


async def check(node: Node, ids: list[str]) -> None:
    """Raises `AssertionError` if any instance has not come to its own number."""
    wrong = []
    for number, instance_id in enumerate(ids):
        row = (await node.service.get(instance_id)).row
        if row.status is not Status.COMPLETED or row.output != str(number):
            wrong.append(row)
    if wrong:
        raise AssertionError(f"{len(wrong)} of {len(ids)} instances are lost, such as {wrong[0]}")


def _generation(node: Node) -> int:
    own = node.engine.router.own_membership
    return 0 if own is None else own.generation


def _now_seconds() -> float:
    """The wall clock, in which timers are due."""
    return time.time_ns() / 1e9


# ---- in the process that measures


async def measure(options: Options) -> Result:
    count = options.size(200, 100)
    killed: list[TakeOver] = []
    frozen: list[TakeOver] = []
    for number in range(options.size(3, 1)):
        killed.append(await _take_over(options, f"killed-{number}", count, LEASE_KILLED))
        frozen.append(
            await _take_over(options, f"frozen-{number}", count, LEASE_FROZEN, is_frozen=True)
        )
    waits = [wait for each in killed for wait in each.waits_ms()]
    of_frozen = _figures("frozen", frozen)
    return Result(
        workload="takeover",
        unit="instances",
        rates=[3 * count / max(each.waits_ms()) * 1000 for each in killed],
        p50_ms=percentile(waits, 0.5),
        p99_ms=percentile(waits, 0.99),
        load=f"two nodes; {3 * count} instances of one of them, held up by an activity, a timer or "
        "an event, when it is killed or frozen",
        latency_of="kill -9 of their node to the next step of an instance",
        cpu_ms=median(each.used.cpu_seconds / (3 * count) * 1000 for each in killed),
        transactions=median(each.used.transactions / (3 * count) for each in killed),
        figures={
            "instances": 3 * count,
            **_figures("killed", killed),
            "killed_lease_seconds": LEASE_KILLED,
            **of_frozen,
            "frozen_lease_seconds": LEASE_FROZEN,
            "frozen_last_after_lease_ms": of_frozen["frozen_last_ms"] - LEASE_FROZEN * 1000,
            "repeated_steps": sum(each.repeated for each in (*killed, *frozen)),
            "lost": 0,  # Any that is ends the measurement.
        },
    )


def _figures(name: str, rounds: Sequence[TakeOver]) -> dict[str, float]:
    """Those of the median round, for each figure by itself."""
    of_all = [each.waits_ms() for each in rounds]
    figures = {
        f"{name}_first_ms": median(map(min, of_all)),
        f"{name}_last_ms": median(map(max, of_all)),
    }
    for holder in Holder:
        figures[f"{name}_{holder}_last_ms"] = median(max(each.waits_ms(holder)) for each in rounds)
    return figures


async def _take_over(
    options: Options, name: str, count: int, lease: float, *, is_frozen: bool = False
) -> TakeOver:
    settings = {
        "lease_seconds": lease,
        # All of one node's activities run there, and none is given to the other.
        "activity_concurrency": 3 * count,
        # One that is frozen while it writes would keep everybody from writing.
        "kill_stuck_writer": True,
    }
    async with Cluster(options, f"takeover-{name}", 2, settings=settings) as cluster:
        struck, other = cluster.nodes
        held = await struck.ask(f"{__name__}.hold_up", count=count)
        ids: list[str] = held["ids"]
        before = await other.usage()
        await asyncio.sleep(held["due"] - AHEAD_SECONDS - time.perf_counter())
        struck_at = time.perf_counter()
        if is_frozen:
            struck.freeze()
        else:
            await struck.kill()
        events = ids[count : 2 * count]
        told = await other.ask(f"{__name__}.go_on_with", ids=ids, events=events)
        used = await other.usage() - before
        if is_frozen and struck.lives:
            await _thaw(cluster, struck, held["generation"])
        await other.ask(f"{__name__}.check", ids=ids)
    began = {holder: struck_at for holder in Holder}
    began[Holder.TIMER] = max(struck_at, held["due"])
    kinds = (Holder.ACTIVITY, Holder.EVENT, Holder.TIMER)
    holders = [holder for holder in kinds for _ in range(count)]
    found = TakeOver(began, holders, told["times"], told["numbers"], used)
    found.check()
    return found


async def _thaw(cluster: Cluster, struck: NodeProcess, generation: int) -> None:
    """Let a frozen node go on, and see that all it does is join again."""
    struck.thaw()
    steps = await struck.ask(f"{__name__}.come_to", generation=generation)
    if steps:
        raise AssertionError(f"the node that was frozen has done {steps} steps of what was taken")
    await cluster.become_balanced()
