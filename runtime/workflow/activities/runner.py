"""Activity executions as actors without state. An owner module: it says what runs when.

An activity actor is addressed as `<instance id>::<task id>`, runs its function once and tells the
workflow actor what came of it. It keeps nothing: until the answer is in the workflow's history, the
workflow tells it again after a crash. So an activity runs at least once, and again only after a
fault. On which node it runs is decided before (`dispatch`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from perdure.actors.gate import Gate, Limits
from perdure.actors.ports import Env
from perdure.runtime.workflow.activities.at_workers import AtWorkers
from perdure.runtime.workflow.activities.functions import Functions
from perdure.runtime.workflow.activities.queue import ActivityQueue, Key, Kind
from perdure.runtime.workflow.activities.rooms import Room, least
from perdure.runtime.workflow.activities.traced import traced
from perdure.runtime.workflow.delivery import until_taken
from perdure.runtime.workflow.messages import Completion, RunActivity, Undeliverable
from perdure.runtime.workflow.registry import Registry
from perdure.runtime.workflow.spans import Tracer
from perdure.runtime.workflow.workers.stream import WorkerGone

Deliver = Callable[[RunActivity, Completion | Undeliverable], Awaitable[object]]
"""Hands the answer to the workflow that called, wherever it is, and waits until that has taken it,
durably. Raises why it has not."""

_RECENT_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityConfig:
    concurrency: int = 100
    """Activities that run at the same time on this node; the others wait their turn."""
    threads: int = 100
    """Of these, plain functions."""
    backlog_max: int = 10_000
    """Activities that wait here for their turn."""
    result_bytes_max: int = 2 << 20
    limits: Limits = field(default_factory=Limits)
    """For all nodes of the app together."""


@dataclass(frozen=True, slots=True)
class RunnerParts:
    """The collaborators of a runner."""

    registry: Registry
    env: Env
    deliver: Deliver
    executor: Executor | None
    may_work: Callable[[], bool]
    """Whether this node may begin anything: not if others may take it for dead."""
    workers: AtWorkers = field(default_factory=AtWorkers)
    tracer: Tracer | None = None


class ActivityRunner:
    """Runs activities inside `run`. `receive` may be called by anyone on the loop."""

    def __init__(self, parts: RunnerParts, config: ActivityConfig) -> None:
        self._registry = parts.registry
        self._functions = Functions(
            parts.registry, parts.env, parts.executor, config.result_bytes_max
        )
        self._deliver = parts.deliver
        self._may_work = parts.may_work
        self._workers = parts.workers
        self._tracer = parts.tracer
        self._config = config
        self._gate = Gate(config.limits)
        self._here = Gate(Limits(config.concurrency))
        """Activities whose code is here."""
        self._threads = Gate(Limits(config.threads))
        self._known: dict[str, set[Key]] = {}
        """What is running, waiting or not answered yet, by instance."""
        self._foreign: set[Key] = set()
        """Those of workflows of other apps, which may have the same instance ids."""
        self._recent: OrderedDict[Key, None] = OrderedDict()
        """What has been answered lately: told once more by a slow line, it must not run again."""
        self._queue = ActivityQueue()
        self._kinds: dict[str, Kind] = {}
        self._loop = asyncio.get_running_loop()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[asyncio.Task[None], RunActivity] = {}
        """Those that run, and those whose answer nobody has taken yet."""
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.is_draining = False
        self.started = 0

    # ---- in

    def receive(self, message: RunActivity) -> bool:
        """Take on an activity; nothing new happens if this very call is known here already.

        False if it cannot be taken on: too many wait already, or this node is to stop.
        """
        key, known = message.key_of_call, self._known.get(message.instance_id)
        if (known is not None and key in known) or key in self._recent:
            return True
        queue, group = self._queue, self._group
        unanswered = len(self._tasks) - self._gate.count
        if self.is_draining or queue.size + unanswered >= self._config.backlog_max:
            return False
        if known is None:
            known = self._known[message.instance_id] = set()
        known.add(key)
        if message.caller_app is not None:
            self._foreign.add(key)
        kind = self._kind_of(message.name)
        is_admitted = self._admits(kind)
        if is_admitted and not queue.size and group is not None and self._may_work():
            self._start(group, message, kind)
            return True
        queue.put(message, kind, self._loop.time())
        if is_admitted:
            self.fill()
        return True

    def _kind_of(self, name: str) -> Kind:
        known = self._kinds.get(name)
        if known is not None:
            return known
        definition = self._registry.activity(name)
        in_thread = definition is not None and not definition.is_async
        at_worker = definition is None and self._workers.are_served
        limited = name if name in self._config.limits.by_name else ""
        kind = Kind(limited, in_thread, at_worker, name if at_worker else "")
        if definition is not None:
            self._kinds[name] = kind
        return kind

    def has_worker(self, name: str) -> bool:
        """Whether a worker that is connected here runs activities of this name."""
        return self._workers.may_run(name)

    def takes_more(self, name: str) -> bool:
        """Whether no more wait here for workers that have a name than these run at a time."""
        waiting = self._queue.count(lambda kind: kind.worker_name == name)
        return self.has_worker(name) and waiting < self._workers.capacity(name)

    def is_at_worker(self, name: str) -> bool:
        """Whether an activity of this name is run by workers."""
        return self._kind_of(name).at_worker

    def room_of(self, messages: Iterable[RunActivity]) -> Room:
        """What room they take."""
        kinds = [self._kind_of(message.name) for message in messages]
        at_workers = sum(kind.at_worker for kind in kinds)
        return Room(len(kinds) - at_workers, sum(k.in_thread for k in kinds), at_workers)

    def knows(self, message: RunActivity) -> bool:
        """Whether this very call of an activity runs or waits here, or is not answered yet."""
        known = self._known.get(message.instance_id)
        return known is not None and message.key_of_call in known

    def known_of(self, instance_id: str, keys: Iterable[Key]) -> list[Key]:
        """Those of `keys` that `knows` is true of, or that were answered lately."""
        known = self._known.get(instance_id, ())
        return [key for key in keys if key in known or key in self._recent]

    def works_for(self, instance_id: str) -> bool:
        """Whether an activity of this workflow instance, of this app, is at hand here."""
        known = self._known.get(instance_id)
        return known is not None and (not self._foreign or not known <= self._foreign)

    @property
    def running(self) -> int:
        return self._gate.count

    @property
    def waiting(self) -> int:
        return self._queue.size

    def names_at_workers(self) -> list[str]:
        """Of activities that wait here for a worker."""
        return [kind.worker_name for kind in self._queue.kinds() if kind.at_worker]

    @property
    def is_full(self) -> bool:
        """Whether so many wait that no more had better be asked for."""
        return self._queue.size > self._config.backlog_max // 2

    @property
    def waited(self) -> float:
        """For how many seconds the oldest one waits."""
        since = self._queue.oldest_since()
        return 0.0 if since is None else self._loop.time() - since

    def limit(self, limits: Limits) -> None:
        """What this node may do at a time from now on, besides its own concurrency."""
        self._gate.set(limits)
        self.fill()

    @property
    def room(self) -> Room:
        """How many more could begin at once."""
        if self.is_draining or not self._may_work():
            return Room(0, 0)
        # What waits for the limit of its own name keeps no other one from beginning.
        waiting = self._queue.count(lambda kind: not kind.at_worker and self._admits(kind))
        in_thread = self._queue.count(lambda kind: kind.in_thread and self._admits(kind))
        # Nor does what waits for those few workers that have its name.
        at_worker = self._queue.count(lambda kind: kind.at_worker and self._admits(kind))
        most = self._gate.room()
        count = max(least(self._here.room() or 0, most) - waiting, 0)
        return Room(
            count,
            min(count, max((self._threads.room() or 0) - in_thread, 0)),
            max(least(self._workers.room - at_worker, most), 0),
        )

    def take_waiting(
        self,
        room: Room,
        is_fit: Callable[[RunActivity], bool],
        by_name: Mapping[str, int] | None = None,
    ) -> list[RunActivity]:
        """Give away some of those that wait, the oldest first, to be run by another node."""
        taken = self._queue.take_some(room, is_fit, by_name)
        for message in taken:
            self._forget(message)
        return taken

    # ---- life

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Run what is received, in `group`, until cancelled.

        What runs then is cancelled too, and not waited for: an activity may take as long over that
        as it likes, and this node has to go on. `group` belongs to whoever can wait.
        """
        self._group = group
        try:
            self.fill()
            await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            for task in self._tasks:
                task.cancel()
            self._workers.close()

    def begin_drain(self) -> None:
        """Start nothing more; what waits is for others to run."""
        self.is_draining = True
        everything = Room(*[self._queue.size] * 3)
        for message in self._queue.take_some(everything, lambda message: True):
            self._forget(message)

    async def drain(self, grace_seconds: float) -> list[str]:
        """Let what runs finish, then cancel it. Returns what was cancelled."""
        self.begin_drain()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._quiet.wait()
        except TimeoutError:
            pass
        left = list(self._tasks.items())
        for task, _ in left:
            task.cancel()
        if left:
            await asyncio.sleep(0)  # Let asynchronous ones see it; a thread cannot be stopped.
        return [f"{message.name} for {message.instance_id}" for _, message in left]

    def fill(self) -> None:
        """Begin what waits, as far as the limits allow."""
        group, queue = self._group, self._queue
        if group is None or not queue.size or not self._may_work():
            return
        while queue.size and self._gate.room() != 0:
            found = queue.take(self._admits)
            if found is None:
                return
            self._start(group, *found)

    def _admits(self, kind: Kind) -> bool:
        if not self._gate.admits(kind.name):
            return False
        if kind.at_worker:
            return self._workers.admits(kind.worker_name)
        return self._here.admits("") and (not kind.in_thread or self._threads.admits(""))

    def _start(self, group: asyncio.TaskGroup, message: RunActivity, kind: Kind) -> None:
        self._gate.enter(kind.name)
        if kind.at_worker:
            self._workers.enter(message)
        else:
            self._here.enter("")
        if kind.in_thread:
            self._threads.enter("")
        self.started += 1
        task = group.create_task(self._execute(message, kind))
        self._tasks[task] = message
        self._quiet.clear()
        task.add_done_callback(self._ended)

    def _leave(self, kind: Kind) -> None:
        self._gate.leave(kind.name)
        if not kind.at_worker:
            self._here.leave("")
        if kind.in_thread:
            self._threads.leave("")
        if not self.is_draining:
            self.fill()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not self._tasks:
            self._quiet.set()

    def _forget(self, message: RunActivity) -> None:
        key, known = message.key_of_call, self._known[message.instance_id]
        known.discard(key)
        self._foreign.discard(key)
        if not known:
            del self._known[message.instance_id]

    # ---- one activity

    async def _execute(self, message: RunActivity, kind: Kind) -> None:
        try:
            run = self._workers.run if kind.at_worker else self._functions.run
            tracer = self._tracer
            event = await (run(message) if tracer is None else traced(tracer, message, run))
        except WorkerGone:
            self._again(message, kind)
            return
        finally:
            # Whether its answer can be delivered is no reason for others to wait.
            self._leave(kind)
        if isinstance(event, Undeliverable):
            # It has not begun: a workflow that asks for it once more must not be told to wait.
            self._forget(message)
            await until_taken(lambda: self._deliver(message, event))
            return
        completion = Completion(message.key, message.execution, event)
        # It stays known until its answer is durable: a workflow that is loaded meanwhile and asks
        # for what has not been answered must not have it run again.
        await until_taken(lambda: self._deliver(message, completion))
        self._recent[message.key_of_call] = None
        if len(self._recent) > _RECENT_MAX:
            self._recent.popitem(last=False)
        self._forget(message)

    def _again(self, message: RunActivity, kind: Kind) -> None:
        """Its worker is gone, or lacks it: another one has it next, or another node."""
        if not self.is_draining and self._workers.may_run(message.name):
            self._queue.put_back(message, kind, self._loop.time())
        else:
            self._forget(message)
            self._workers.returned(message)

    def __repr__(self) -> str:
        return f"<ActivityRunner running={self.running} waiting={self._queue.size}>"
