"""One seed, from the drawing of its faults to the last check. An owner module.

A swarm: every seed draws its own subset of the faults and of the workload, its own limits of the
engine and its own habits of the clients. Faults come for some simulated seconds, then all heals,
and everything must come to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from perdure.actors.committer import CommitterConfig
from perdure.actors.errors import Refused, Retryable
from perdure.actors.host import HostConfig
from perdure.actors.recovery import RecoveryConfig
from perdure.actors.reminders import RemindersConfig
from perdure.runtime.engine import EngineConfig
from perdure.runtime.workflow.activity_actor import ActivityConfig
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.surroundings import WorkflowConfig
from tests.simulation.client import Client, Unreachable
from tests.simulation.final import check_everything
from tests.simulation.model import Author
from tests.simulation.oracles import Oracle
from tests.simulation.process import Machine
from tests.simulation.programs import Activities, Journal, registry_of
from tests.simulation.sim_store import Disk, Trouble
from tests.simulation.story import Habits, Story
from tests.simulation.world import Violation, World

PATIENCE = 240.0
"""Simulated seconds after the last fault in which everything must have come to its end."""

ACTIVITIES = Activities()
REGISTRY = registry_of(ACTIVITIES)

FAULTS = (
    "kill",
    "crash",
    "freeze",
    "stop",
    "usurp",
    "busy",
    "slow",
    "full",
    "unknown",
    "read_error",
    "clock",
    "net",
    "echo",
    "storm",
)


@dataclass(slots=True)
class Outcome:
    """How a seed went."""

    seed: int
    violation: str | None
    digest: str
    simulated: float
    commits: int
    steps: int
    faults: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)


class Scenario:
    """The parts of one simulated world."""

    def __init__(self, seed: int, *, keep_log: bool = False) -> None:
        self.world = world = World(seed, keep_log=keep_log)
        rng = world.rng
        self.faults = tuple(f for f in FAULTS if rng.random() < 0.35)
        if rng.random() < 0.08:
            self.faults = ()
        self.duration = rng.uniform(4.0, 16.0)
        self.oracle = Oracle(world)
        self.disk = Disk(world, self.oracle)
        self.oracle.attach(self.disk.connection)
        self.machine = Machine(world, self.disk, REGISTRY, _limits(rng))
        self.client = Client(world, self.machine, self.oracle.shadow)
        self.oracle.shadow.may_stall = self.machine.config.workflows.unclean_deaths_max < 100
        self.habits = _habits(rng)
        self.journal = Journal(lambda: world.now, lambda: world.acting)
        self.stories = self._telling = rng.randint(2, 9)
        self.is_done = False
        self._furthest = 0.0

    def run(self) -> Outcome:
        """Live through it. Never raises."""
        world, violation = self.world, None
        ACTIVITIES.journal = self.journal
        world.log("SEED", world.seed, self.faults, self.machine.config, self.habits)
        try:
            self.machine.start()
            self._plan_faults()
            self.client.loop.create_task(self._clients())
            world.run(self.duration + PATIENCE, lambda: self.is_done)
            if not self.is_done:
                raise world.violated(f"I14: not done after {PATIENCE} s: {self._stuck()}")
            check_everything(self.oracle.shadow, self.disk, self.journal, REGISTRY)
        except Violation as found:
            violation = str(world.violation or found)
        finally:
            world.close()
            self.disk.close()
        return Outcome(
            world.seed,
            violation,
            world.digest(),
            world.now,
            self.disk.commits,
            world.steps,
            self.faults,
            world.lines,
        )

    def _stuck(self) -> list[str]:
        lives = self.oracle.shadow.current.values()
        return [f"{it.instance_id} {it.status.name}" for it in lives if not it.status.is_terminal]

    # ---- the clients

    async def _clients(self) -> None:
        try:
            await self._main()
        except Exception as error:
            raise self.world.violated(f"a client met what no client should: {error!r}") from error

    async def _main(self) -> None:
        author = Author(random.Random(self.world.rng.getrandbits(64)))
        async with asyncio.TaskGroup() as group:
            for number in range(self.stories):
                story = Story(self.client, author, self.habits, f"i{number}")
                group.create_task(self._later(story))
            operator = group.create_task(self._operate())
            await asyncio.sleep(0)
            while self._telling or self.world.now < self.duration or not self._is_quiet():
                await self.client.pause(0.3)
            operator.cancel()
        await self._drain()
        self.is_done = True

    async def _later(self, story: Story) -> None:
        await asyncio.sleep(self.world.rng.uniform(0.0, self.duration * 0.7))
        await story.tell()
        self._telling -= 1

    async def _operate(self) -> None:
        """Somebody looks after instances that were set aside."""
        while True:
            await self.client.pause(1.0)
            for life in list(self.oracle.shadow.current.values()):
                if life.status is Status.STALLED:
                    with contextlib.suppress(Unreachable, Retryable, Refused):
                        await self.client.request("resume", life.instance_id)

    def _is_quiet(self) -> bool:
        """What nobody waits for is over too: detached instances, forgotten activities."""
        shadow = self.oracle.shadow
        if shadow.inbox or any(not it.status.is_terminal for it in shadow.current.values()):
            return False
        found = self.disk.connection.execute("SELECT count(*) FROM workflows WHERE has_work = 1")
        return bool(found.fetchone()[0] == 0)

    async def _drain(self) -> None:
        """The last process goes as it should."""
        while self.machine.current is None or not self.machine.current.is_ready:
            await self.client.pause(0.1)
        self.machine.restarts = False
        process = self.machine.current
        while process.is_running:
            self.machine.stop_current()
            await self.client.pause(0.2)
        if process.outcome is not None:
            raise self.world.violated(f"the last process ended with {process.outcome!r}")

    # ---- the faults

    def _plan_faults(self) -> None:
        rng, trouble = self.world.rng, self.disk.trouble
        machine = self.machine
        if "kill" in self.faults:
            self._at_times(rng.randint(1, 5), self._kill)
        if "stop" in self.faults:
            self._at_times(rng.randint(1, 3), machine.stop_current)
        if "freeze" in self.faults:
            seconds = rng.choice((0.5, 3.0, 9.0))
            self._at_times(rng.randint(1, 3), lambda: machine.freeze(seconds))
        if "usurp" in self.faults:
            self._at_times(rng.randint(1, 2), machine.usurp)
            self.client.meets_outdated = True
        if "clock" in self.faults:
            self._at_times(rng.randint(1, 3), self._set_clock)
        if "net" in self.faults:
            self.client.slowness = rng.choice((20.0, 300.0))
        if "storm" in self.faults:
            trouble.unknown = 0.3
            trouble.crash, trouble.read_error = rng.choice(((0.03, 0.0), (0.0, 0.15), (0.0, 0.0)))
        if "echo" in self.faults:
            self.client.echoes = 0.4
        if "busy" in self.faults:
            self._for_a_while(lambda on: setattr(trouble, "busy", 0.4 if on else 0.0))
        if "slow" in self.faults:
            factor = rng.choice((10.0, 200.0))
            self._for_a_while(lambda on: setattr(trouble, "slow", factor if on else 1.0))
        if "full" in self.faults:
            self._for_a_while(lambda on: setattr(trouble, "is_full", on))
        if "unknown" in self.faults:
            share = rng.choice((0.05, 0.3))
            self._for_a_while(lambda on: setattr(trouble, "unknown", share if on else 0.0))
        if "crash" in self.faults:
            share = rng.choice((0.02, 0.1))
            self._for_a_while(lambda on: setattr(trouble, "crash", share if on else 0.0))
        if "read_error" in self.faults:
            self._for_a_while(lambda on: setattr(trouble, "read_error", 0.3 if on else 0.0))
        self.world.at(self.duration, self._heal)

    def _at_times(self, count: int, happen: Callable[[], object]) -> None:
        for _ in range(count):
            self.world.at(self.world.rng.uniform(0.0, self.duration * 0.95), happen)

    def _for_a_while(self, switch: Callable[[bool], object]) -> None:
        rng = self.world.rng
        for _ in range(rng.randint(1, 3)):
            begin = rng.uniform(0.0, self.duration * 0.9)
            self.world.at(begin, switch, True)
            self.world.at(begin + rng.choice((0.2, 1.0, 4.0)), switch, False)

    def _kill(self) -> None:
        process = self.machine.current
        if process is not None and process.is_running:
            process.kill("by fate")

    def _set_clock(self) -> None:
        step = self.world.rng.choice((-3600.0, -2.0, -0.5, 0.5, 5.0, 3600.0))
        self.world.wall_offset += step
        self._furthest = max(self._furthest, self.world.wall_offset)
        self.world.log("CLOCK", step)

    def _heal(self) -> None:
        self.world.log("HEAL")
        self.disk.trouble = Trouble()
        self.client.slowness = 1.0
        self.client.echoes = 0.0
        # A timer that was set while the clock was wrong falls due when the clock gets there.
        self.world.wall_offset = self._furthest


def _limits(rng: random.Random) -> EngineConfig:
    """Small limits make rare things frequent."""
    return EngineConfig(
        slots=4,
        keys_block=rng.choice((20, 100_000)),
        drain_seconds=rng.choice((0.2, 2.0)),
        host=HostConfig(
            mailbox_limit=rng.choice((4, 1000)),
            live_actors_max=rng.choice((2, 4096)),
            idle_seconds=rng.choice((0.4, 60.0)),
            turn_messages_max=rng.choice((1, 3, 256)),
        ),
        committer=CommitterConfig(batch_units=rng.choice((1, 4, 256))),
        reminders=RemindersConfig(
            horizon_seconds=rng.choice((1.0, 60.0)),
            scan_limit=rng.choice((2, 2000)),
            outstanding_max=rng.choice((2, 1000)),
        ),
        recovery=RecoveryConfig(scan_seconds=rng.choice((1.0, 10.0)), batch=rng.choice((2, 500))),
        activities=ActivityConfig(concurrency=rng.choice((1, 3, 1000))),
        workflows=WorkflowConfig(unclean_deaths_max=rng.choice((1, 1000, 1000))),
    )


def _habits(rng: random.Random) -> Habits:
    def some(share: float) -> float:
        return share if rng.random() < 0.4 else 0.0

    return Habits(
        suspend=some(0.5),
        terminate=some(0.3),
        purge=some(0.7),
        reuse=some(0.5),
        delay=some(0.4),
        noise=some(0.3),
        query=some(0.3),
    )


def run_seed(seed: int, *, keep_log: bool = False) -> Outcome:
    """One seed, from its beginning to its end."""
    return Scenario(seed, keep_log=keep_log).run()


def replay_command(seed: int) -> str:
    """What to type to see a seed again."""
    version = sys.version.partition(" ")[0]
    return f"python -m tests.simulation --seeds 1 --first {seed} --log   (Python {version})"
