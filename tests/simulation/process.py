"""A simulated operating system process that runs one engine. An owner module.

Starts, drains, dies at any moment, is stopped and continued; a supervisor starts the next one. The
engine inside is the product's own, on the product's own store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from perdure.actors.errors import Retryable
from perdure.placement.errors import ClusterOccupied, NodeIdTaken
from perdure.placement.membership import NodeIdentity
from perdure.runtime.engine import Engine, EngineConfig, EngineSeams
from perdure.runtime.storage.sqlite import SqliteStore
from perdure.runtime.workflow.registry import Registry
from tests.simulation.sim_env import SimEnv
from tests.simulation.sim_store import Disk, SimRunner
from tests.simulation.world import World, WorldLog

FATAL = frozenset({"turn_failed"})
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
        self.connections: dict[int, Killed] = {}
        """What is to be told if the process dies, by call."""

    @property
    def latest_us(self) -> int:
        return self.env.latest_us

    @property
    def is_running(self) -> bool:
        return self.loop.alive and not self.has_ended

    @property
    def is_ready(self) -> bool:
        return self.is_running and self.engine is not None and self.engine.started.is_set()

    def start(self) -> None:
        identity = NodeIdentity(
            node_id=self.name,
            incarnation=self.incarnation,
            app_id="sim",
            address="",
            pid=self.number,
            started=self.number,
            boot_id="boot",
            hosted_types=("workflow", "activity"),
        )
        store = SqliteStore(SimRunner(self.machine.disk, self), "sim")
        seams = EngineSeams(
            store=store, env=self.env, identity=identity, is_alive=self.machine.is_alive
        )
        self.engine = Engine(self.machine.registry, seams, self.machine.config)
        self.loop.create_task(self._main(self.engine))

    async def _main(self, engine: Engine) -> None:
        try:
            await engine.run()
        except (Retryable, ClusterOccupied, NodeIdTaken) as error:
            self.outcome = error
        except Exception as error:
            raise self.world.violated(f"the engine broke: {error!r}") from error
        finally:
            if self.loop.alive:
                self._end("ended " + type(self.outcome).__name__)

    def _end(self, why: str) -> None:
        self.has_ended = True
        self.world.log("END", self.loop.name, why)
        connections, self.connections = self.connections, {}
        for told in connections.values():
            told()
        # Its last callbacks run; then nothing of it is left.
        self.world.after(0.0, self.machine.ended, self)

    def kill(self, why: str) -> None:
        """kill -9."""
        if self.loop.alive:
            self.world.log("KILL", self.loop.name, why)
            self.loop.kill()
            self._end("killed")

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """The coroutine of a management call, as its handler in this process runs it."""
        assert self.engine is not None
        return getattr(self.engine.service, method)(*args, **options)


class Machine:
    """One disk and the processes on it, with a supervisor that starts what has ended."""

    def __init__(self, world: World, disk: Disk, registry: Registry, config: EngineConfig) -> None:
        self.world = world
        self.disk = disk
        self.registry = registry
        self.config = config
        self.log_level = logging.INFO if world.keep_log else logging.WARNING
        self.processes: list[SimProcess] = []
        self.current: SimProcess | None = None
        self.is_blind = False
        """The next join takes every other process for dead, as across containers without care."""
        self.restarts = True

    def start(self) -> None:
        number = len(self.processes) + 1
        self.current = process = SimProcess(self, "n1", number)
        self.processes.append(process)
        self.world.log("START", process.loop.name)
        process.start()

    def usurp(self) -> None:
        """Start a second process while the first is alive, and blind to it."""
        self.is_blind = True
        self.start()

    def is_alive(self, identity: NodeIdentity) -> bool:
        if self.is_blind:
            self.is_blind = False
            return False
        return any(p.incarnation == identity.incarnation and p.is_running for p in self.processes)

    def ended(self, process: SimProcess) -> None:
        process.loop.kill()
        if process is not self.current:
            return
        others = [other for other in self.processes if other.is_running]
        if others:
            self.current = others[-1]  # It came too early: the one before still works.
        else:
            delay = self.world.rng.choice((0.05, 0.3, 2.0))
            self.world.after(delay, self._restart)

    def _restart(self) -> None:
        assert self.current is not None
        if self.restarts and not self.current.is_running:
            self.start()

    def stop_current(self) -> None:
        """SIGTERM: drain."""
        process = self.current
        if process is not None and process.is_ready and process.engine is not None:
            self.world.log("STOP", process.loop.name)
            process.engine.stop()

    def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT some time later."""
        process = self.current
        if process is not None and process.is_running:
            self.world.log("FREEZE", process.loop.name, seconds)
            process.loop.freeze()
            self.world.after(seconds, process.loop.thaw)
