"""The task hub's methods for workers: items go out on a stream, answers come in. An edge module."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace

from grpc import StatusCode

from perdure.actors.ports import Env
from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.decisions import Malformed, activity_outcome, decision_of
from perdure.runtime.rpc.dialect import Dialect, WorkerTraits, traits_of
from perdure.runtime.rpc.filters import check_filters
from perdure.runtime.rpc.methods import Caller, Methods, Streaming, Unary
from perdure.runtime.rpc.propagated import largest_call
from perdure.runtime.rpc.statuses import RpcRefused
from perdure.runtime.rpc.unregistered import lacks_activity, lacks_workflow
from perdure.runtime.rpc.work_items import encode_activity, encode_ping, encode_turn
from perdure.runtime.workflow.codec import CorruptHistory
from perdure.runtime.workflow.history import Failure, TaskFailed
from perdure.runtime.workflow.messages import RunActivity, Undeliverable
from perdure.runtime.workflow.workers.capacity import Capacity
from perdure.runtime.workflow.workers.numbers import action_id
from perdure.runtime.workflow.workers.pool import WorkerPool
from perdure.runtime.workflow.workers.reach import Reach, Sent
from perdure.runtime.workflow.workers.stream import Item, WorkerGone, WorkerStream
from perdure.runtime.workflow.workers.work import TurnDecided, TurnWork

_PART_OF_MESSAGE = 0.95
"""So much of the largest message a turn, or an activity, may take."""

_KINDS_MAX = 100
"""Kinds of workers that something is remembered of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    dialect: Dialect | None = None
    """That of all workers; None to see it by what each of them says."""
    app_id: str = ""
    """The app of this node, and so of its workers."""
    message_bytes_max: int = 4 << 20
    ping_seconds: float = 30.0


class _Pings:
    """Keeps a stream from looking dead, until cancelled.

    One timer for the stream, not one for each item: busy streams send thousands.
    """

    def __init__(self, stream: WorkerStream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds
        self._next = asyncio.get_running_loop().call_later(seconds, self._ping)

    def _ping(self) -> None:
        self._stream.put_ping()
        self._next = asyncio.get_running_loop().call_later(self._seconds, self._ping)

    def cancel(self) -> None:
        self._next.cancel()


class WorkerMethods:
    """Has no state but what is known of the workers at the other ends."""

    def __init__(
        self,
        pool: WorkerPool,
        env: Env,
        config: WorkerConfig,
        hosted: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._pool = pool
        self._env = env
        self._config = config
        self._hosted = hosted
        """The names that nodes of the app have the code of."""
        self._traits: dict[WorkerStream, WorkerTraits] = {}
        self._sent: dict[WorkerStream, Sent] = {}
        self._reaches: dict[tuple[str, WorkerTraits], Reach] = {}
        """By what workers say of themselves, the names of their code aside."""

    def table(self) -> Methods:
        decision = Unary(pb.WorkflowResponse, self.complete_turn, is_large=True)
        return {
            "GetWorkItems": Streaming(pb.GetWorkItemsRequest, self.work_items),
            "CompleteOrchestratorTask": decision,
            "CompleteWorkflowTask": decision,
            "CompleteActivityTask": Unary(pb.ActivityResponse, self.complete_activity),
            "AbandonTaskOrchestratorWorkItem": Unary(
                pb.AbandonOrchestrationTaskRequest, self.abandon
            ),
            "AbandonTaskActivityWorkItem": Unary(pb.AbandonOrchestrationTaskRequest, self.abandon),
        }

    def decides(self, peer: str, instance_id: str) -> bool:
        """Whether a peer is a worker that decides the next turn of an instance."""
        item = self._pool.find("", is_turn=True, instance_id=instance_id, task_id=0)
        return item is not None and item.stream.name == peer

    # ---- out

    async def work_items(
        self, request: pb.GetWorkItemsRequest, caller: Caller
    ) -> AsyncIterator[bytes]:
        """What the worker is to do, for as long as it stays."""
        agent, peer = caller.metadata.get("user-agent", ""), caller.peer
        told = traits_of(request, agent, self._config.dialect)
        traits = replace(told, app_id=self._config.app_id)
        self._check(request, peer)
        reach = self._reach_of(agent, traits)
        stream = self._pool.connect(_capacity(traits, reach), peer)
        self._traits[stream] = traits
        sent = self._sent[stream] = Sent(reach)
        self._env.log.info(
            "a worker has connected",
            extra={
                "event": "worker_connected",
                "peer": peer,
                "dialect": str(traits.dialect),
            },
        )
        pings = None if traits.ping_field is None else _Pings(stream, self._config.ping_seconds)
        try:
            while True:
                item = await stream.next_or_ping()
                frame = self._frame(item, traits)
                if frame is not None:
                    if item is not None and self._env.log.isEnabledFor(logging.DEBUG):
                        self._tell_sent(item, peer)
                    yield frame
        except WorkerGone:
            self._check(request, peer)  # A node with code that it has announced may have come.
            return  # This node sends it nothing more.
        except (asyncio.CancelledError, GeneratorExit):
            # Before what it had is given to others, and perhaps to itself.
            self._broke_off(sent, reach, peer)
            raise
        finally:
            if pings is not None:
                pings.cancel()
            self._pool.disconnect(stream)
            del self._traits[stream], self._sent[stream]
            self._env.log.info("a worker has gone", extra={"event": "worker_gone", "peer": peer})

    def _tell_sent(self, item: Item, peer: str) -> None:
        self._env.log.debug(
            "a worker is given a turn" if item.is_turn else "a worker is given an activity",
            extra={
                "event": "work_sent",
                "instance_id": item.work.instance_id,
                "code": item.work.name,
                "peer": peer,
            },
        )

    def _reach_of(self, agent: str, traits: WorkerTraits) -> Reach:
        kind = (agent, replace(traits, turn_names=None, activity_names=None))
        if kind not in self._reaches and len(self._reaches) >= _KINDS_MAX:
            del self._reaches[next(iter(self._reaches))]
        return self._reaches.setdefault(kind, Reach(_loop_time))

    def _broke_off(self, sent: Sent, reach: Reach, peer: str) -> None:
        before = reach.bytes_max
        sent.broke_off()
        if before is None and reach.bytes_max is not None:
            self._env.log.warning(
                "workers end their streams at large items; they are not sent such any more",
                extra={"event": "worker_narrow", "peer": peer, "bytes": reach.bytes_max},
            )

    def _check(self, request: pb.GetWorkItemsRequest, peer: str) -> None:
        try:
            check_filters(request, self._hosted())
        except RpcRefused as refused:
            self._env.log.warning(
                "a worker was refused",
                extra={"event": "worker_refused", "peer": peer, "reason": str(refused)},
            )
            raise

    def _frame(self, item: Item | None, traits: WorkerTraits) -> bytes | None:
        if item is None:
            assert traits.ping_field is not None
            return encode_ping(traits.ping_field)
        try:
            if isinstance(item.work, RunActivity):
                return self._activity_frame(item, item.work, traits)
            return self._turn_frame(item, item.work, traits)
        except CorruptHistory as error:
            # Of the history that came with the call. It must not end the stream, again and again.
            self._refuse(item, f"{type(error).__name__}: {error}")
            return None

    def _activity_frame(
        self, item: Item, message: RunActivity, traits: WorkerTraits
    ) -> bytes | None:
        frame = encode_activity(message, item.token, traits)
        what = _of_activity(message.name, message.task_id)
        return frame if self._may_go(item, what, len(frame)) else None

    def _may_go(self, item: Item, what: str, size: int) -> bool:
        """Whether its worker may be sent an item; if not, it is seen to here.

        A worker that gets more than it takes ends its stream, and so would the next one.
        """
        too_large = self._too_large(what, size)
        if too_large is None:
            if item.stream.receives(size):
                self._sent[item.stream].sent(item.token, size)
                return True
            if self._pool.pass_on(item, size):
                return False
            too_large = (
                f"{what} payload size {size} bytes is more than the connected workers receive: "
                "they end their streams at it; use workers that receive more (Dapr 1.19, or a "
                "larger limit of their gRPC client), then resume, or purge it with force"
            )
        if isinstance(item.work, TurnWork):
            self._pool.answer(item, _stalled(item, item.work, too_large))
        else:
            called = item.work.key_of_call
            self._pool.answer(item, Undeliverable(*called, too_large))
        return False

    def _refuse(self, item: Item, why: str) -> None:
        """What no worker can ever be sent: an activity fails, a turn stalls its instance."""
        if isinstance(item.work, TurnWork):
            self._pool.answer(item, _stalled(item, item.work, why))
        else:
            failure = Failure("PayloadError", why, non_retryable=True)
            self._pool.answer(item, TaskFailed(item.work.task_id, failure))

    def _too_large(self, what: str, size: int) -> str | None:
        """Why something is not sent, if it might be too much for a worker (spec 2.13)."""
        limit = self._config.message_bytes_max
        if size <= _PART_OF_MESSAGE * limit:
            return None
        return (
            f"{what} payload size {size} bytes exceeds 95% of max gRPC body size "
            f"{limit} bytes; increase --max-body-size and restart to resume"
        )

    def _turn_frame(self, item: Item, work: TurnWork, traits: WorkerTraits) -> bytes | None:
        item.began_us = max(self._env.now_us(), work.floor_us)
        stream = item.stream
        cached = stream.known_events(work)
        frame, count = encode_turn(work, item.began_us, item.token, traits, cached)
        if not self._may_go(item, "Workflow", len(frame)):
            return None
        stream.remember(work, count)
        return frame

    # ---- in

    async def complete_turn(self, request: pb.WorkflowResponse, caller: Caller) -> pb.Empty:
        """A decision. One that nobody waits for any more changes nothing."""
        item = self._pool.find(
            request.completionToken, is_turn=True, instance_id=request.instanceId, task_id=0
        )
        if item is None:
            return pb.Empty()
        self._sent[item.stream].answered(item.token)
        assert isinstance(item.work, TurnWork)
        dialect = self._traits[item.stream].dialect
        try:
            own_app = self._config.app_id
            decided = decision_of(request, item.work, item.began_us, dialect, own_app=own_app)
        except Malformed as error:
            self._pool.refuse(item)
            raise RpcRefused(StatusCode.INVALID_ARGUMENT, str(error)) from error
        if lacks_workflow(item.work.name, request, decided):
            self._pool.lack(item, decided)
            return pb.Empty()
        # Before it is written: with a larger limit, the same turn is decided once more.
        largest = largest_call(item.work, decided)
        if largest is not None:
            name, task_id, size = largest
            too_large = self._too_large(_of_activity(name, task_id), size)
            if too_large is not None:
                decided = _stalled(item, item.work, too_large)
        self._pool.answer(item, decided)
        return pb.Empty()

    async def complete_activity(self, request: pb.ActivityResponse, caller: Caller) -> pb.Empty:
        item = self._pool.find(
            request.completionToken,
            is_turn=False,
            instance_id=request.instanceId,
            task_id=request.taskId,
        )
        if item is not None:
            self._sent[item.stream].answered(item.token)
            assert isinstance(item.work, RunActivity)
            outcome = activity_outcome(request, item.work.task_id)
            lacks = lacks_activity(item.work.name, outcome)
            (self._pool.lack if lacks else self._pool.answer)(item, outcome)
        return pb.Empty()

    async def abandon(
        self, request: pb.AbandonOrchestrationTaskRequest, caller: Caller
    ) -> pb.Empty:
        """The worker will not do it: it is offered again, later."""
        for is_turn in (True, False):
            item = self._pool.find(
                request.completionToken or "-", is_turn=is_turn, instance_id="", task_id=0
            )
            if item is not None:
                self._sent[item.stream].answered(item.token)
                self._pool.refuse(item)
        return pb.Empty()


def _stalled(item: Item, work: TurnWork, text: str) -> TurnDecided:
    return TurnDecided(
        work.key, work.execution, work.after, work.covers, item.began_us, stalled=text
    )


def _of_activity(name: str, task_id: int) -> str:
    return f"activity '{name}::{action_id(task_id)}'"


def _capacity(traits: WorkerTraits, reach: Reach) -> Capacity:
    given = {"turns": traits.turns_max, "activities": traits.activities_max}
    return Capacity(
        **{name: count for name, count in given.items() if count is not None},
        turn_names=traits.turn_names,
        activity_names=traits.activity_names,
        keeps_history=traits.stateful_history,
        receives=reach.receives,
    )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
