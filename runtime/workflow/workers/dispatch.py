"""Which worker decides each turn. An owner module.

A worker of this node has it first, then one of a node that has room. What no worker can take on
waits here. Every turn stands here at most once, however often it is told, until its decision has
been taken; and one that is lost, with its worker or with a node, is given to another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from perdure.actors.gate import Gate, Limits
from perdure.actors.identity import ActorRef
from perdure.placement.errors import MessageTooLarge
from perdure.placement.membership import ClusterView, Membership, NodeRecord
from perdure.runtime.workflow.activities.inquiry import TROUBLE
from perdure.runtime.workflow.workers import wire
from perdure.runtime.workflow.workers.deliveries import Deliveries
from perdure.runtime.workflow.workers.dispatching import (
    Turn,
    TurnDispatchConfig,
    TurnDispatchParts,
)
from perdure.runtime.workflow.workers.lookout import (
    WORKFLOW_NAME,
    Lookout,
    Names,
    code_of,
    rivals,
)
from perdure.runtime.workflow.workers.rooms import TurnRooms
from perdure.runtime.workflow.workers.stream import Item, Outcome, code_for
from perdure.runtime.workflow.workers.work import TURN, TurnDecided, TurnWork

_TARGET = ActorRef(TURN, "")


class TurnDispatch:
    """Owned by one stay of the node in the cluster. Its tasks run inside `run`."""

    def __init__(self, parts: TurnDispatchParts, config: TurnDispatchConfig) -> None:
        self._router = parts.router
        self._pool = parts.pool
        self._env = parts.env
        self._config = config
        self._turns: dict[str, Turn] = {}
        self._given: dict[tuple[int, int, int], Turn] = {}
        """Those in the hands of other nodes."""
        self._waiting: dict[str, dict[str, Turn]] = {}
        """By the name of the workflow, in the order of asking."""
        self._rooms = TurnRooms()
        self._lackings_told = parts.pool.lackings
        self._gate = Gate()
        """Counts the turns that are out at workers, here and on other nodes."""
        self._told: tuple[int, int, Names] | None = None
        self._also_wanted = parts.also_wanted
        self._gained = parts.gained
        self.lookout = Lookout(
            lambda: parts.pool.streams,
            self._wanted,
            parts.env.log,
            config.missing_seconds,
            may_return=lambda name: parts.pool.may_return(code_of(name)),
        )
        self.deliveries = Deliveries(parts.router)
        self._group: asyncio.TaskGroup | None = None
        self._loop = asyncio.get_running_loop()
        self.given = 0
        """Turns given to other nodes."""

    # ---- from workflows of this node

    def receive(self, ref: ActorRef, message: object) -> None:
        """An instance wants its next turn decided; or (None) nothing any more."""
        there = self._turns.get(ref.id)
        if message is None:
            if there is not None and there.is_waiting:
                self._forget(there)
            return
        assert isinstance(message, TurnWork)
        if there is not None and wire.id_of(there.work) == wire.id_of(message):
            if there.is_waiting:
                there.work = message  # With what has come since.
            return
        if there is not None:
            self._forget(there)
        turn = self._turns[ref.id] = Turn(message, self._loop.time())
        self._place(turn)

    def works_for(self, ref: ActorRef) -> bool:
        """Whether the turn that an instance waits for is in hand."""
        return ref.id in self._turns

    @property
    def workers(self) -> int:
        """How many workers are connected, to any node of the app as far as is known."""
        return len(self._pool.streams) + self._rooms.workers

    def _wanted(self) -> Iterable[str]:
        return [*(f"{WORKFLOW_NAME}{name}" for name in self._waiting), *self._also_wanted()]

    def _forget(self, turn: Turn) -> None:
        instance_id = turn.work.instance_id
        if self._turns.get(instance_id) is turn:
            del self._turns[instance_id]
        self._given.pop(wire.id_of(turn.work)[1:], None)
        self._unqueue(turn)
        self._uncount(turn)

    def _unqueue(self, turn: Turn) -> None:
        line = self._waiting.get(turn.work.name)
        if line is not None and line.get(turn.work.instance_id) is turn:
            del line[turn.work.instance_id]
            if not line:
                del self._waiting[turn.work.name]

    def _uncount(self, turn: Turn) -> None:
        """It is not out any more: another one may be."""
        if turn.is_counted:
            turn.is_counted = False
            self._gate.leave(turn.work.name)
            if not self._gate.is_open:
                self._loop.call_soon(self.fill)

    def limit(self, limits: Limits) -> None:
        """How many turns of this node's instances may be out at a time from now on."""
        self._gate.set(limits)
        self.fill()

    # ---- where to

    def _place(self, turn: Turn) -> None:
        if not self._try(turn):
            self._waiting.setdefault(turn.work.name, {})[turn.work.instance_id] = turn

    def _try(self, turn: Turn) -> bool:
        """Put it into somebody's hands; False if there is nobody at this moment."""
        turn.since = self._loop.time()
        if not self._gate.admits(turn.work.name):
            return False
        turn.item = self._offer(turn.work, partial(self._ended, turn))
        if turn.item is not None:
            self._count(turn)
            return True
        if turn.problem is not None:
            return self._stay(turn)
        node = self._roomiest(turn.work.name)
        if node is None or self._group is None:
            return False
        self._count(turn)
        self._rooms.took(node.membership)
        turn.node = node.membership
        self._given[wire.id_of(turn.work)[1:]] = turn
        self.given += 1
        self._group.create_task(self._send(node, turn))
        return True

    def _offer(self, work: TurnWork, ended: Callable[[Outcome | None], None]) -> Item | None:
        """To a worker of this node that may have its code; to any if nobody of the app has it."""
        item = self._pool.offer_turn(work, ended)
        if item is None and self._is_in_vain(work.name):
            item = self._pool.offer_turn(work, ended, in_vain=True)
        return item

    def _is_in_vain(self, workflow: str) -> bool:
        return self.lookout.in_vain(f"{WORKFLOW_NAME}{workflow}")

    def _count(self, turn: Turn) -> None:
        self._gate.enter(turn.work.name)
        turn.is_counted = True

    def _roomiest(self, workflow: str) -> NodeRecord | None:
        name = f"{WORKFLOW_NAME}{workflow}"
        for membership in self._rooms.with_room(workflow):
            node = self._router.view.node(membership)
            if node is not None and self.lookout.takes(membership, name):
                return node
        return None

    def fill(self) -> None:
        """Somebody may have room: give out what waits."""
        for line in list(self._waiting.values()):
            # Not over a copy: there may be thousands, and room for one.
            while line and self._try(turn := next(iter(line.values()))):
                self._unqueue(turn)

    def _place_again(self, turn: Turn) -> None:
        """It was lost on its way, or its worker was."""
        turn.item = turn.node = None
        self._uncount(turn)
        self._given.pop(wire.id_of(turn.work)[1:], None)
        if self._turns.get(turn.work.instance_id) is turn:
            self._place(turn)

    async def _send(self, node: NodeRecord, turn: Turn) -> None:
        own = self._router.own_membership
        answer = None
        if own is not None:
            body = wire.encode_decide(own, turn.work)
            try:
                answer = await self._router.ask(node, TURN, body, self._config.ask_seconds)
            except MessageTooLarge as error:
                turn.problem = str(error)
            except TROUBLE:
                pass  # Should it have come through after all, both decide alike.
        if answer != wire.TAKEN and turn.node == node.membership:
            if turn.problem is not None:
                self._rooms.unasked(node.membership)
            elif answer is None:
                self._rooms.silent(node.membership)
            else:
                self._rooms.refused(node.membership, turn.work.name)
            self._place_again(turn)

    def _stay(self, turn: Turn) -> bool:
        """It is too large for other nodes: it waits for a worker here, or stalls if there is none.

        False if it waits.
        """
        work = turn.work
        if self._group is None or self._pool.may_have(code_for(work)):
            return False
        turn.is_answered = True
        text = (
            f"Workflow payload size exceeds what nodes send to each other ({turn.problem}): "
            "connect a worker to the node of the instance, or increase --max-body-size and restart "
            "to resume"
        )
        decided = TurnDecided(*wire.id_of(work)[1:], work.covers, work.floor_us, stalled=text)
        taken = partial(self._forget, turn)
        self.deliveries.begin(self._group, work.instance_id, decided, taken)
        return True

    # ---- answers

    def _ended(self, turn: Turn, outcome: Outcome | None) -> None:
        """A worker of this node has decided, or is gone, or would not."""
        item, turn.item = turn.item, None
        self._uncount(turn)
        outcome = self._what_counts(item, outcome)
        if outcome is None:
            if self._group is None:
                return
            if item is not None and item.is_refused:
                # Not at once: whoever would not have it may be the least busy one.
                self._loop.call_later(self._config.again_seconds, self._place_again, turn)
            else:
                self._place_again(turn)
            return
        assert isinstance(outcome, TurnDecided)
        turn.is_answered = True
        if self._group is not None:
            taken = partial(self._forget, turn)
            self.deliveries.begin(self._group, turn.work.instance_id, outcome, taken)

    def _what_counts(self, item: Item | None, outcome: Outcome | None) -> Outcome | None:
        """What a worker answers that lacks the code does, if nobody has it."""
        if item is None or item.lacked is None or not self._is_in_vain(item.work.name):
            return outcome
        return item.lacked

    def answered(self, message: object) -> None:
        """A message of another node was taken by a workflow of this one."""
        if not isinstance(message, TurnDecided):
            return
        turn = self._given.get((message.key, message.execution, message.after))
        if turn is not None:
            self._forget(turn)

    # ---- from other nodes

    def asked(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        """Another node's dispatcher wants something. Raises `NotUnderstood`."""
        verb, arguments = wire.decode(body)
        if verb == wire.DECIDE:
            giver, work = arguments
            item = self._offer(
                work, lambda outcome: self._foreign_ended(giver, work, item, outcome)
            )
            self._told = None  # It thinks that there is so much less.
            answer(wire.NOT_TAKEN if item is None else wire.TAKEN)
        elif verb == wire.BACK:
            turn = self._turns.get(arguments.instance_id)
            if turn is not None and wire.id_of(turn.work) == arguments and turn.node is not None:
                self._place_again(turn)
        else:
            node, room, workers, names = arguments
            if self._router.view.node(node) is not None:
                if self._rooms.told(node, room, workers):
                    self._gained()
                self.lookout.told(node, names)
                self.fill()

    def _foreign_ended(
        self, giver: Membership, work: TurnWork, item: Item | None, outcome: Outcome | None
    ) -> None:
        outcome = self._what_counts(item, outcome)
        if outcome is not None and self._group is not None:
            assert isinstance(outcome, TurnDecided)
            self.deliveries.begin(self._group, work.instance_id, outcome)
            return
        if item is not None and item.is_refused:
            self._loop.call_later(self._config.again_seconds, self._give_back, giver, work)
        else:
            self._give_back(giver, work)

    def _give_back(self, giver: Membership, work: TurnWork) -> None:
        node = self._router.view.node(giver)
        if node is not None:
            self._router.tell_node(node, _TARGET, wire.encode_back(work))

    # ---- life

    async def run(self) -> None:
        """Give out, deliver and tell, until cancelled."""
        self._pool.listen(self._workers_changed)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self.fill()
                told_at = self._loop.time()
                while True:
                    if self._loop.time() - told_at >= self._config.repeat_seconds:
                        self._told, told_at = None, self._loop.time()
                    self._tell_room()
                    self.lookout.look(self._loop.time())
                    self._look_at_late_ones()
                    await asyncio.sleep(self._config.room_seconds)
        finally:
            self._group = None
            self._pool.unlisten(self._workers_changed)

    def on_view(self, view: ClusterView) -> None:
        """The cluster has changed."""
        present = {node.membership for node in view.present(self._config.app_id)}
        self._rooms.keep(present)
        self.lookout.keep(present)
        self._told = None
        for turn in list(self._turns.values()):
            if self._router.owned(turn.work.instance_id) is None:
                self._forget(turn)  # It has another owner, who asks for it.
            elif turn.node is not None and turn.node not in present:
                self._place_again(turn)
        for stream in rivals(self._pool.streams, view.present(self._config.app_id)):
            self._pool.part_with(stream)
        self.fill()  # Whoever had the code may be gone.

    def _workers_changed(self) -> None:
        if self._pool.lackings != self._lackings_told:
            self._lackings_told = self._pool.lackings
            self._tell_room()  # Before anything comes back to a node that does not know.
        self.fill()

    def _tell_room(self) -> None:
        found = (self._pool.room(is_turn=True), len(self._pool.streams), self.lookout.own())
        if found == self._told:
            return
        self._told = found
        own = self._router.own_membership
        if own is None:
            return
        body = wire.encode_room(own, *found)
        for node in self._router.view.present(self._config.app_id):
            if not self._router.is_self(node):
                self._router.tell_node(node, _TARGET, body)

    def _look_at_late_ones(self) -> None:
        """A worker, or a node, that hangs keeps its turn no longer, whosever it is."""
        before = self._loop.time() - self._config.turn_seconds
        for item in self._pool.turns_since(before):
            assert isinstance(item.work, TurnWork)
            self._tell_late(item.work, item.stream.name)
            turn = self._turns.get(item.work.instance_id)
            self._pool.withdraw(item)
            if turn is not None and turn.item is item:
                self._place_again(turn)
        given = [turn for turn in self._given.values() if turn.since < before]
        for turn in given:
            self._tell_late(turn.work, "")
            self._place_again(turn)

    def _tell_late(self, work: TurnWork, worker: str) -> None:
        self._env.log.warning(
            "a worker has not decided a turn in time; another one gets it",
            extra={
                "event": "turn_late",
                "instance_id": work.instance_id,
                "workflow": work.name,
                "worker": worker,
            },
        )

    def __repr__(self) -> str:
        return f"<TurnDispatch turns={len(self._turns)} {self._pool!r}>"
