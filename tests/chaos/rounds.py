"""One round: a cluster, its users, a row of faults, and a judgement."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp

from tests.chaos import journal
from tests.chaos.checker import Checker
from tests.chaos.customers import Customers, Unanswered
from tests.chaos.faults import Faults
from tests.chaos.model import Case, plan
from tests.chaos.nodes import Cluster, NodeFailed
from tests.chaos.verdict import ENDED, STUCK, Problem, Tally

SETTLE_SECONDS = 60.0
"""All that was accepted must have ended so long after the last fault, on a busy machine too."""
_OPEN = "/v1.0/workflows/dapr?status=RUNNING,PENDING,SUSPENDED,STALLED&limit=20&counts=true"


@dataclass(frozen=True)
class Size:
    cases: int = 400
    faults: int = 5
    only: tuple[str, ...] = ()
    """The names of the faults, if they are not left to chance."""

    @property
    def seconds(self) -> float:
        """Over which the cases are started: about as long as the faults take."""
        return 3.5 * self.faults


async def run(seed: int, size: Size, tell: Callable[[str], None]) -> tuple[Tally, Path | None]:
    """One round; its directory stays if anything was wrong, and is returned then."""
    place = Path(tempfile.mkdtemp(prefix=f"perdure-chaos-{seed}-"))
    tally = Tally()
    try:
        await _round(seed, size, place, tally, tell)
    except NodeFailed as error:
        tally.problems.append(Problem(ENDED, str(error)))
    finally:
        if not tally.problems:
            shutil.rmtree(place)
    if not tally.problems:
        return tally, None
    lines = [f"{problem.kind}: {problem.text}" for problem in tally.problems]
    (place / "problems").write_text("\n".join(lines) + "\n")
    return tally, place


async def _round(
    seed: int, size: Size, place: Path, tally: Tally, tell: Callable[[str], None]
) -> None:
    random = Random(seed)
    cases = plan(size.cases, random)
    cluster = Cluster(place, _settings(random))
    connector = aiohttp.TCPConnector(limit=0)
    async with cluster, aiohttp.ClientSession(connector=connector) as session:
        tell(f"seed {seed}: {' '.join(f'{k}={v}' for k, v in cluster.settings.items())}")
        await asyncio.gather(*(cluster.start(name) for name in cluster.names))
        await asyncio.gather(*(cluster.employ(name) for name in cluster.names[:2]))
        customers = Customers(session, cluster.urls, Random(seed))
        faults = Faults(cluster, random, tell)
        async with asyncio.TaskGroup() as group:
            group.create_task(customers.serve(cases, size.seconds))
            await customers.reached(size.cases // 20)
            await faults.run(size.faults, size.only)
        calm_since = time.monotonic()
        tally.problems += await _settled(customers)
        tally.settled_after = time.monotonic() - calm_since
        tally.slowest = customers.slowest
        await _judge(cluster, customers, cases, tally)
        tally.problems += customers.problems + faults.problems
        tally.faults += faults.done
        tally.problems += await _stop(cluster)
    _judge_traces(cluster, cases, tally)


def _settings(random: Random) -> dict[str, str]:
    """Nodes with much and with little room for activities; the latter give them to others."""
    settings = {"PERDURE_ACTIVITY_CONCURRENCY": random.choice(["4", "16", "100"])}
    if random.random() < 0.5:
        settings["PERDURE_KILL_STUCK_WRITER"] = "true"
    return settings


async def _settled(customers: Customers) -> list[Problem]:
    """Wait until no workflow is under way."""
    give_up_at = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            reply = await customers.ask("GET", _OPEN)
        except Unanswered as error:
            return [Problem(STUCK, str(error))]
        if reply.status == 200 and not sum(reply.fields["counts"].values()):
            return []
        if time.monotonic() > give_up_at:
            return [Problem(STUCK, f"after {SETTLE_SECONDS:g} s: {reply.fields.get('counts')}")]
        await asyncio.sleep(0.1)


async def _judge(
    cluster: Cluster, customers: Customers, cases: Sequence[Case], tally: Tally
) -> None:
    nodes = {
        name: Customers(customers.session, [cluster.url(name)], Random(0)) for name in cluster.names
    }
    checker = Checker(nodes, customers.acknowledged, customers.purged)
    await checker.check(cases)
    tally.cases = len(cases)
    tally.problems += checker.problems


async def _stop(cluster: Cluster) -> list[Problem]:
    """All at once, as a machine is shut down."""
    problems = []
    for name in cluster.names:
        if not cluster.current[name].lives:
            process = cluster.current[name]
            problems.append(Problem(ENDED, f"{process.log.name} has ended:\n{process.tail()}"))
    for ending in await asyncio.gather(
        *(cluster.drain(name) for name in cluster.names if cluster.current[name].lives),
        return_exceptions=True,
    ):
        if isinstance(ending, NodeFailed):
            problems.append(Problem(ENDED, f"at the end: {ending}"))
        elif ending is not None:
            raise ending
    return problems


def _judge_traces(cluster: Cluster, cases: Sequence[Case], tally: Tally) -> None:
    """By the journal of the activities and the logs of the nodes."""
    cluster.blame_nodes()
    runs = journal.read(cluster.place / "journal")
    tally.calls = len(runs)
    tally.problems += journal.check_calls(cases, runs)
    tally.repeats, unexplained = journal.check_repeats(runs, cluster.processes)
    tally.take_overs, untrue = journal.check_take_overs(cluster.processes)
    tally.problems += unexplained + untrue
    for process in cluster.processes:
        if "Traceback" in process.said():
            text = f"{process.log.name} has logged an unexpected error"
            tally.problems.append(Problem(ENDED, text))
