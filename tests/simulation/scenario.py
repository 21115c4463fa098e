"""One seed, from the drawing of its faults to the last check. An owner module.

A swarm: every seed draws its own cluster, its own subset of the faults and of the workload, its
own limits of the engine and its own habits of the clients. Faults come for some simulated seconds,
then all heals, and everything must come to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from perdure.actors.errors import Refused, Retryable
from perdure.runtime.workflow.history import Status
from tests.simulation.client import Client, Unreachable
from tests.simulation.final import check_everything
from tests.simulation.model import Author
from tests.simulation.network import Network, Weather
from tests.simulation.oracles import Oracle
from tests.simulation.process import Machine
from tests.simulation.programs import Activities, Journal, registry_of
from tests.simulation.progress import to_its_end
from tests.simulation.reruns import Reruns
from tests.simulation.sim_store import Disk, Trouble
from tests.simulation.story import Story
from tests.simulation.swarm import bad_lines, capacities, habits, limits
from tests.simulation.workers import Manners, Workforce
from tests.simulation.world import Violation, World

ACTIVITIES = Activities()
REGISTRY = registry_of(ACTIVITIES)

FAULTS = (
    "kill",
    "crash",
    "freeze",
    "stop",
    "blackout",
    "cut",
    "lag",
    "loss",
    "away",
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
WORKER_FAULTS = (
    "worker_kill",
    "worker_move",
    "worker_freeze",
    "slow_turn",
    "mute",
    "twice",
    "refuse",
)
"""Of seeds with workers."""
LINE_FAULTS = ("worker_tear", "worker_lag", "insist")
"""Of some of these."""


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
        self.calm = self.duration + (10.0 if "away" in self.faults else 0.0)
        """When the last fault is over."""
        self.oracle = Oracle(world)
        self.disk = Disk(world, self.oracle)
        self.oracle.attach(self.disk.connection)
        self.network = Network(world)
        self.has_workers = rng.random() < 0.5
        if self.has_workers and self.faults:
            self.faults += tuple(f for f in WORKER_FAULTS if rng.random() < 0.35)
            self.faults += bad_lines(seed, LINE_FAULTS)
        config = limits(rng, has_workers=self.has_workers)
        self.machine = Machine(world, self.disk, self.network, REGISTRY, config)
        self.workforce = Workforce(world, self.machine, ACTIVITIES, config.tenure.turn_seconds)
        self.machine.sees_processes = rng.random() < 0.5
        self.nodes = rng.choice((1, 2, 3, 3, 3, 4, 5, 7))
        self.client = Client(world, self.machine, self.oracle.shadow)
        workflows = self.machine.config.tenure.workflows
        self.oracle.shadow.may_stall = workflows.unclean_deaths_max < 100
        self.breaks: list[tuple[float, float]] = []
        self.habits = habits(rng, seed)
        self.reruns = Reruns(self.client)
        self.journal = Journal(lambda: world.now, lambda: world.acting)
        self.stories = self._telling = rng.randint(2, 9)
        self.is_done = False
        self._furthest = 0.0

    def run(self) -> Outcome:
        """Live through it. Never raises."""
        world, violation = self.world, None
        ACTIVITIES.journal = self.journal
        world.log("SEED", world.seed, self.nodes, self.faults, self.machine.config, self.habits)
        try:
            self._start_nodes()
            self._plan_faults()
            self.client.loop.create_task(self._clients())
            to_its_end(world, self.oracle.shadow, self.calm, lambda: self.is_done)
            check_everything(
                self.oracle.shadow, self.machine, self.journal, self.breaks, self.workforce.stays
            )
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

    def _start_nodes(self) -> None:
        """Most are there from the beginning, some come later."""
        rng = self.world.rng
        for number in range(1, self.nodes + 1):
            late = number > 1 and rng.random() < 0.3
            when = rng.uniform(0.0, self.duration * 0.8) if late else 0.0
            self.world.at(when, self.machine.add, f"n{number}")
        for number, capacity in enumerate(capacities(rng) if self.has_workers else (), 1):
            late = rng.random() < 0.3
            when = rng.uniform(0.0, self.duration) if late else 0.0
            self.world.at(when, self.workforce.add, f"w{number}", capacity)

    # ---- the clients

    async def _clients(self) -> None:
        try:
            await self._main()
        except Exception as error:
            raise self.world.violated(f"a client met what no client should: {error!r}") from error

    async def _main(self) -> None:
        author = Author(random.Random(self.world.rng.getrandbits(64)), has_workers=self.has_workers)
        async with asyncio.TaskGroup() as group:
            for number in range(self.stories):
                story = Story(self.client, author, self.habits, f"i{number}", self.reruns)
                group.create_task(self._later(story))
            operator = group.create_task(self._operate())
            await asyncio.sleep(0)
            while self._telling or self.world.now < self.calm or not self._is_quiet():
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
            for instance_id in self.reruns.forgotten():
                with contextlib.suppress(Unreachable, Retryable, Refused):
                    await self.client.request("terminate", instance_id, '"forgotten"')

    def _is_quiet(self) -> bool:
        """What nobody waits for is over too: detached instances, forgotten activities."""
        shadow = self.oracle.shadow
        if shadow.inbox or any(not it.status.is_terminal for it in shadow.current.values()):
            return False
        found = self.disk.connection.execute("SELECT count(*) FROM workflows WHERE has_work = 1")
        return bool(found.fetchone()[0] == 0)

    async def _drain(self) -> None:
        """All nodes go as they should, one after the other."""
        machine = self.machine
        while len(machine.ready) < len(machine.places):
            await self.client.pause(0.1)
        for place in machine.places:
            place.restarts = False
            process = place.current
            assert process is not None
            while process.is_running:
                process.stop()
                await self.client.pause(0.2)
            if process.outcome is not None:
                raise self.world.violated(f"{place.name} ended with {process.outcome!r}")

    # ---- the faults

    def _plan_faults(self) -> None:
        rng, trouble = self.world.rng, self.disk.trouble
        if "kill" in self.faults:
            self._at_times(rng.randint(1, 5), self._kill)
        if "stop" in self.faults:
            self._at_times(rng.randint(1, 4), self._stop)
        if "blackout" in self.faults:
            self._at_times(1, self._black_out)
        if "freeze" in self.faults:
            seconds = rng.choice((0.5, 3.0, 9.0))
            self._at_times(rng.randint(1, 3), lambda: self._freeze(seconds))
        self._plan_bad_lines()
        self._plan_bad_workers()
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
        if "away" in self.faults:
            begin = rng.uniform(0.0, self.duration)
            self.world.at(begin, lambda: setattr(trouble, "busy", 1.0))
            self.world.at(begin + 10.0, lambda: setattr(trouble, "busy", 0.0))
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
        self.world.at(self.calm, self._heal)

    def _plan_bad_lines(self) -> None:
        rng, weather = self.world.rng, self.network.weather
        if "cut" in self.faults:
            for _ in range(rng.randint(1, 3)):
                pair = (f"n{rng.randint(1, self.nodes)}", f"n{rng.randint(1, self.nodes)}")
                both = rng.random() < 0.5
                self._bad_lines(partial(self._cut, pair, both))
        if "lag" in self.faults:
            factor = rng.choice((20.0, 300.0))
            self._bad_lines(lambda on: setattr(weather, "slowness", factor if on else 1.0))
        if "loss" in self.faults:
            share = rng.choice((0.05, 0.4))
            self._bad_lines(lambda on: setattr(weather, "loss", share if on else 0.0))
            weather.echo = 0.2

    def _plan_bad_workers(self) -> None:
        rng, force = self.world.rng, self.workforce
        if "worker_kill" in self.faults:
            self._at_times(rng.randint(1, 5), force.kill_one)
        if "worker_move" in self.faults:
            self._at_times(rng.randint(1, 8), force.move_one)
        if "worker_freeze" in self.faults:
            seconds = rng.choice((0.5, 3.0, 9.0))
            self._at_times(rng.randint(1, 3), lambda: force.freeze_one(seconds))
        if "worker_tear" in self.faults:
            self._at_times(rng.randint(1, 8), force.tear_one)
            force.are_loyal = rng.random() < 0.7
        if "worker_lag" in self.faults:
            factor = rng.choice((20.0, 300.0, 2000.0))
            self._for_a_while(lambda on: setattr(force.weather, "slowness", factor if on else 1.0))
        manners = force.manners
        manners.insists = "insist" in self.faults
        for name in ("slow_turn", "mute", "twice", "refuse"):
            if name in self.faults:
                setattr(manners, name, rng.choice((0.05, 0.3)))

    def _bad_lines(self, switch: Callable[[bool], object]) -> None:
        rng = self.world.rng
        begin = rng.uniform(0.0, self.duration * 0.9)
        end = begin + rng.choice((0.5, 3.0, 8.0))
        self.breaks.append((begin, min(end, self.duration)))
        self.world.at(begin, switch, True)
        self.world.at(end, switch, False)

    def _cut(self, pair: tuple[str, str], both: bool, on: bool) -> None:
        cuts = self.network.weather.cuts
        for line in (pair, pair[::-1]) if both else (pair,):
            (cuts.add if on else cuts.discard)(line)
        self.world.log("CUT" if on else "MEND", pair, both)

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
        process = self.machine.one()
        if process is not None:
            process.kill("by fate")

    def _stop(self) -> None:
        process = self.machine.one()
        if process is not None:
            process.stop()

    def _freeze(self, seconds: float) -> None:
        process = self.machine.one()
        if process is not None:
            self.machine.freeze(process, seconds)

    def _black_out(self) -> None:
        """All at once."""
        for process in self.machine.running:
            process.kill("with all others")

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
        self.network.weather = Weather()
        self.workforce.manners = Manners()
        self.workforce.weather.slowness = 1.0
        # A timer that was set while the clock was wrong falls due when the clock gets there.
        self.world.wall_offset = self._furthest


def run_seed(seed: int, *, keep_log: bool = False) -> Outcome:
    """One seed, from its beginning to its end."""
    return Scenario(seed, keep_log=keep_log).run()


def faults_of(seed: int) -> tuple[str, ...]:
    """What a seed draws."""
    scenario = Scenario(seed)
    scenario.world.close()
    scenario.disk.close()
    return scenario.faults


def replay_command(seed: int) -> str:
    """What to type to see a seed again."""
    version = sys.version.partition(" ")[0]
    return f"python -m tests.simulation --seeds 1 --first {seed} --log   (Python {version})"
