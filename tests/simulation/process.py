"""Simulated operating system processes that run one engine each. An owner module.

They start, drain, die at any moment, are stopped and continued; a supervisor starts the next one.
The engine inside is the product's own, on the product's own store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from perdure.actors.errors import Retryable
from perdure.placement.errors import NodeIdTaken
from perdure.placement.membership import NodeIdentity
from perdure.placement.ports import Receive
from perdure.runtime.cluster_facts import hosted_by
from perdure.runtime.engine import Engine, EngineConfig, EngineSeams
from perdure.runtime.storage.sqlite import SqliteStore
from perdure.runtime.workflow.registry import Registry
from tests.simulation.network import Network, SimPeers
from tests.simulation.sim_env import SimEnv
from tests.simulation.sim_store import Disk, SimRunner
from tests.simulation.world import World, WorldLog

FATAL = frozenset({"turn_failed", "peer_not_understood"})
"""What the log must never say: no turn of a simulated workflow is the engine's to stumble over."""

Killed = Callable[[], None]


class SimProcess:
    """One process, from its start to its end."""

    def __init__(self, machine: Machine, name: str, number: int) -> None:
        self.machine = machine
        self.world = machine.world
        self.name = name
        self.incarnation = f"inc-{number}"
        self.number = number
        self.loop = self.world.loop(f"{name}.{number}")
        log = logging.Logger(self.loop.name, machine.log_level)
        log.addHandler(WorldLog(self.world, FATAL))
        self.env = SimEnv(self.world, log)
        self.engine: Engine | None = None
        self.outcome: BaseException | None = None
        self.has_ended = False
        self.is_draining = False
        self.connections: dict[int, Killed] = {}
        """Which clients are to be told if the process dies, by call."""
        self.inbound: dict[int, Killed] = {}
        """The same for calls of other nodes."""
        self.streams: dict[int, Killed] = {}
        """The same for workers that are connected."""

    @property
    def latest_us(self) -> int:
        return self.env.latest_us

    @property
    def is_running(self) -> bool:
        return self.loop.alive and not self.has_ended

    @property
    def is_ready(self) -> bool:
        return self.is_running and self.engine is not None and self.engine.started.is_set()

    def receiver(self) -> Receive | None:
        return None if self.engine is None else self.engine.router.received

    def start(self) -> None:
        identity = NodeIdentity(
            node_id=self.name,
            incarnation=self.incarnation,
            app_id="sim",
            address="",
            pid=self.number,
            started=self.number,
            boot_id="boot",
            hosted_types=hosted_by(
                self.machine.registry,
                serves_workers=self.machine.config.tenure.serves_workers,
            ),
            peer_address=self.loop.name,
        )
        store = SqliteStore(SimRunner(self.machine.disk, self), "sim")
        self.machine.network.stations[self.incarnation] = self
        seams = EngineSeams(
            store=store,
            env=self.env,
            is_alive=self.machine.is_alive,
            peers=SimPeers(self.machine.network, self),
        )
        self.loop.create_task(self._main(seams, identity))

    async def _main(self, seams: EngineSeams, identity: NodeIdentity) -> None:
        self.engine = Engine(self.machine.registry, seams, self.machine.config)
        self.engine.serve_node(_Pokes(self.engine))
        try:
            await self.engine.join(identity)
            await self.engine.run()
        except (Retryable, NodeIdTaken) as error:
            self.outcome = error
        except Exception as error:
            raise self.world.violated(f"the engine broke: {error!r}") from error
        finally:
            if self.loop.alive:
                self._end("ended " + type(self.outcome).__name__)

    def _end(self, why: str) -> None:
        self.has_ended = True
        self.world.log("END", self.loop.name, why)
        self.machine.note("end", self)
        for told in (self.connections, self.inbound, self.streams):
            for tell in list(told.values()):
                tell()
            told.clear()
        # Its last callbacks run; then nothing of it is left.
        self.world.after(0.0, self.machine.ended, self)

    def kill(self, why: str) -> None:
        """kill -9."""
        if self.loop.alive:
            self.world.log("KILL", self.loop.name, why)
            self.loop.kill()
            self._end("killed")

    def stop(self) -> None:
        """SIGTERM: hand over, drain, go."""
        if self.is_ready and self.engine is not None and not self.is_draining:
            self.is_draining = True
            self.world.log("STOP", self.loop.name)
            self.loop.call_soon(lambda: self.loop.create_task(self._drain()))

    async def _drain(self) -> None:
        assert self.engine is not None
        await self.engine.hand_over()
        await self.engine.pool.drain(self.machine.config.tenure.drain_seconds)
        self.engine.service.close()
        self.engine.stop()

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """The coroutine of a management call, as its handler in this process runs it."""
        assert self.engine is not None
        return getattr(self.engine.service, method)(*args, **options)


class _Pokes:
    """What nodes tell each other as nodes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def receive(self, ref: object, message: object) -> None:
        raise AssertionError(message)

    def asked(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        self._engine.refresh()


@dataclass(slots=True)
class Place:
    """Where one node runs: the same name again and again, each time as a new process."""

    name: str
    current: SimProcess | None = None
    restarts: bool = True


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happened to a process: `end`, `freeze`, `thaw`."""

    when: float
    what: str
    process: str


@dataclass(slots=True)
class Machine:
    """One disk, the processes on it, and a supervisor that starts what has ended."""

    world: World
    disk: Disk
    network: Network
    registry: Registry
    config: EngineConfig
    sees_processes: bool = True
    """Whether nodes can look whether another's process runs, as on one machine."""
    places: list[Place] = field(default_factory=list)
    processes: list[SimProcess] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)

    @property
    def log_level(self) -> int:
        return logging.INFO if self.world.keep_log else logging.WARNING

    def note(self, what: str, process: SimProcess) -> None:
        self.incidents.append(Incident(self.world.now, what, process.loop.name))

    # ---- starting

    def add(self, name: str) -> None:
        """One more node."""
        place = Place(name)
        self.places.append(place)
        self._start(place)

    def _start(self, place: Place) -> None:
        process = SimProcess(self, place.name, len(self.processes) + 1)
        self.processes.append(process)
        place.current = process
        self.world.log("START", process.loop.name)
        process.start()

    def ended(self, process: SimProcess) -> None:
        process.loop.kill()
        for place in self.places:
            if place.current is process:
                delay = self.world.rng.choice((0.05, 0.3, 2.0))
                self.world.after(delay, self._restart, place)

    def _restart(self, place: Place) -> None:
        assert place.current is not None
        if place.restarts and not place.current.is_running:
            self._start(place)

    # ---- looking

    def is_alive(self, identity: NodeIdentity) -> bool:
        if not self.sees_processes:
            return True
        return self.processes[identity.pid - 1].is_running

    @property
    def running(self) -> list[SimProcess]:
        found = [place.current for place in self.places if place.current is not None]
        return [process for process in found if process.is_running]

    @property
    def ready(self) -> list[SimProcess]:
        return [process for process in self.running if process.is_ready]

    # ---- faults

    def one(self) -> SimProcess | None:
        """Any process that runs."""
        running = self.running
        return self.world.rng.choice(running) if running else None

    def freeze(self, process: SimProcess, seconds: float) -> None:
        """SIGSTOP, and SIGCONT some time later."""
        if process.is_running and not process.loop.frozen:
            self.world.log("FREEZE", process.loop.name, seconds)
            self.note("freeze", process)
            process.loop.freeze()
            self.world.after(seconds, self._thaw, process)

    def _thaw(self, process: SimProcess) -> None:
        self.world.log("THAW", process.loop.name)
        self.note("thaw", process)
        process.loop.thaw()
