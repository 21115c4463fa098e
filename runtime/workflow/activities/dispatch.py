"""On which node each activity runs. An owner module.

Here first, as long as this node gets to it in good time; then wherever there is room. An activity
that was told before is not told again before every other node has said that it is not at it: the
death of one node must not have the work of the living done twice. What is placed elsewhere stays in
mind until its answer has come, and is placed anew if that node is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import filterfalse

from perdure.actors.gate import Limits
from perdure.actors.identity import ActorRef
from perdure.placement.membership import ClusterView, NodeRecord, NodeState
from perdure.runtime.workflow.activities import wire
from perdure.runtime.workflow.activities.dispatching import DispatchConfig, DispatchParts
from perdure.runtime.workflow.activities.inquiry import TROUBLE, Inquiry
from perdure.runtime.workflow.activities.ledger import ActivityLedger, Held, Phase
from perdure.runtime.workflow.activities.rooms import Room, Rooms
from perdure.runtime.workflow.activities.shares import share_of
from perdure.runtime.workflow.messages import (
    ACTIVITY,
    WORKFLOW,
    Completion,
    RunActivity,
    Undeliverable,
)

_TARGET = ActorRef(ACTIVITY, "")
_AT_ONCE = 200
"""Instances that are asked for at a time."""


class ActivityDispatch:
    """Owned by one stay of the node in the cluster. Its tasks run inside `run`."""

    def __init__(self, parts: DispatchParts, config: DispatchConfig) -> None:
        self._router = parts.router
        self._runner = parts.runner
        self._has_code = parts.has_code
        self._look_again = parts.look_again
        self._parts = parts
        self._config = config
        self._inquiry = Inquiry(parts.router, config.ask_seconds, config.patience_seconds)
        self._held = ActivityLedger()
        self._dropped: dict[str, None] = {}
        """Instances of which something could not be taken on."""
        self._rooms = Rooms()
        self._told_room: Room | None = None
        self._own_limits = Limits()
        self._to_seek: list[RunActivity] = []
        self._group: asyncio.TaskGroup | None = None
        self._spreading: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.sent = 0
        """Activities given to other nodes."""

    # ---- from workflows of this node

    def receive(self, ref: ActorRef, message: object) -> None:
        """A workflow of this node wants an activity run."""
        assert isinstance(message, RunActivity)
        if self._group is None or (len(self._held) and message.key_of_call in self._held):
            return
        if not message.again and message.app_id is None and self._has_code(message.name):
            self._run_here(message)  # Without a look at the others: nearly all go this way.
            return
        if self._runner.knows(message):
            return
        if not message.again or not self._others(message):
            self._place(message)
            return
        self._held.hold(message, Phase.SOUGHT)
        self._to_seek.append(message)
        if len(self._to_seek) == 1:
            self._group.create_task(self._seek())

    def works_for(self, ref: ActorRef) -> bool:
        """Whether somebody is at the activities that a workflow instance waits for.

        Then at all of them: they were received together, or by its last activation.
        """
        if ref.id in self._dropped:
            return False
        return self._held.works_for(ref.id) or self._runner.works_for(ref.id)

    def answered(self, message: object) -> None:
        """A message of another node was taken by a workflow of this one."""
        if not isinstance(message, Completion | Undeliverable):
            return
        held = self._held.get(message.key_of_call)
        if held is None:
            return
        self._held.release(held)
        if held.node is not None:
            self._rooms.ended(held.node, self._runner.room_of([held.message]))
            self._spread_soon()

    # ---- where to

    def _place(self, message: RunActivity, until: float | None = None) -> None:
        """Give it to a node that has its code; `until` then, one that had it may come back."""
        if message.app_id is None and self._has_code(message.name):
            self._run_here(message)
            return
        others = self._others(message, NodeState.UP)
        name = f"activity:{message.name}"
        hosts = [node for node in others if name in node.identity.hosted_types]
        if message.app_id is None and not hosts and self._runner.is_at_worker(message.name):
            self._place_at_worker(message, others)
        elif message.app_id is None and not hosts:
            if until is None:
                ending = any(name in n.identity.hosted_types for n in self._others(message))
                until = self._patience() if ending or message.again else 0.0
            if self._loop.time() < until:
                self._held.hold(message, Phase.HOMELESS, until=until)
            else:
                self._run_here(message)  # It fails there: nobody has its code.
        elif hosts or others:
            # Of another app that lacks the name any node can say so.
            chosen = max(hosts or others, key=lambda n: (self._rooms.of(n.membership), n.node_id))
            self._give(chosen, [message])
        else:
            self._held.hold(message, Phase.HOMELESS)

    def _place_at_worker(self, message: RunActivity, others: list[NodeRecord]) -> None:
        """To a worker of this node, else of one that has some; else it waits here for one."""
        roomy = [
            node
            for node in others
            if self._rooms.at_workers(node.membership, message.name) > 0
            and self._parts.has_worker(node.membership, message.name)
        ]
        if self._runner.has_worker(message.name) or not roomy:
            self._run_here(message)
        else:
            chosen = max(roomy, key=lambda n: (self._rooms.of(n.membership).at_workers, n.node_id))
            self._give(chosen, [message])

    def returned(self, message: RunActivity) -> None:
        """The runner has taken it on, and its workers have gone."""
        if message.caller_app is None and self._router.owned(message.instance_id) is not None:
            self._place(message)
            return
        giver = self._router.owner_of(message.instance_id, message.caller_app)
        if giver is not None:
            self._router.tell_node(giver, _TARGET, wire.encode_back(message))

    def _patience(self) -> float:
        return self._loop.time() + self._config.patience_seconds

    def _run_here(self, message: RunActivity) -> None:
        if self._runner.receive(message):
            self._spread_soon()
        else:
            self._dropped[message.instance_id] = None

    def _others(self, message: RunActivity, state: NodeState | None = None) -> list[NodeRecord]:
        """Other nodes of the app whose code a message wants."""
        app_id = message.app_id or self._config.app_id
        return [
            node
            for node in self._router.view.present(app_id)
            if not self._router.is_self(node) and state in (None, node.state)
        ]

    def _give(self, node: NodeRecord, messages: list[RunActivity]) -> None:
        assert self._group is not None
        if messages and not self._config.may_cross(first := messages[0]):
            # Then it is alone: what waits here for room is not given away.
            self._group.create_task(self._parts.keep(first, self._config))
            return
        membership = node.membership
        for message in messages:
            self._held.hold(message, Phase.SENT, membership)
        self._rooms.took(membership, self._runner.room_of(messages))
        self.sent += len(messages)
        for parcel in wire.parcels(messages):
            self._group.create_task(self._send(node, parcel))

    async def _send(self, node: NodeRecord, messages: list[RunActivity]) -> None:
        """Tell a node until it has said that it has them, is gone, or is silent for too long."""
        until = self._patience()
        delay = 0.05
        while True:
            wanted = [m for m in messages if self._held.find(m, Phase.SENT, node.membership)]
            if not wanted:
                return
            try:
                body = wire.encode_run(wanted)
                answer = await self._router.ask(node, ACTIVITY, body, self._config.ask_seconds)
                taken = wire.decode_answer(answer)
            except TROUBLE:
                if self._loop.time() < until:
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, 2.0)
                    continue
                taken = [False] * len(wanted)  # They are looked for there before they run again.
            for message, is_taken in zip(wanted, taken, strict=False):
                held = self._held.find(message, Phase.SENT, node.membership)
                if held is None:
                    continue
                if is_taken:
                    held.phase = Phase.TAKEN
                else:
                    self._not_taken(node, message)
                    self._drop(held)

    def _not_taken(self, node: NodeRecord, message: RunActivity) -> None:
        if self._runner.is_at_worker(message.name) and message.app_id is None:
            self._rooms.full(node.membership, message.name)
        else:
            self._rooms.refused(node.membership)

    def _drop(self, held: Held) -> None:
        """Have its workflow ask for it once more, when there is room."""
        self._held.release(held)
        self._dropped[held.message.instance_id] = None

    # ---- spreading what waits

    def _spread_soon(self) -> None:
        if self._spreading is None and self._runner.waiting and self._group is not None:
            self._spreading = self._loop.call_later(self._config.spread_seconds, self._spread)

    def _spread(self) -> None:
        """Give what has waited for too long to nodes that have room."""
        self._spreading = None
        if self._group is None:
            return
        if self._runner.waited < self._config.spread_seconds:
            self._spread_soon()
            return
        others = filterfalse(self._router.is_self, self._up())
        for node in sorted(others, key=lambda n: (-self._rooms.of(n.membership).total, n.node_id)):
            room = self._rooms.of(node.membership)
            if room.total <= 0 and room.at_workers <= 0:
                continue
            spare = self._held.spare(node.membership, self._limits_of(node).by_name)
            is_fit = self._fit_for(node)
            self._give(node, self._runner.take_waiting(room, is_fit, spare))
        # What is left waits for news of room, or of code: that may never come.

    def _fit_for(self, node: NodeRecord) -> Callable[[RunActivity], bool]:
        is_fit = self._parts.fit_for(node, self._config)
        rooms, membership = self._rooms, node.membership
        return lambda message: is_fit(message) and not rooms.is_full(membership, message.name)

    def _limits_of(self, node: NodeRecord) -> Limits:
        """A node's share of what all nodes of the app may do together."""
        return share_of(node, self._up(), self._config.limits)

    def _up(self) -> list[NodeRecord]:
        return self._router.view.up(self._config.app_id)

    # ---- finding who is at it

    async def _seek(self) -> None:
        await asyncio.sleep(0)  # An instance asks for all of its activities one after the other.
        messages, self._to_seek = self._to_seek, []
        nodes = {node.membership: node for m in messages for node in self._others(m)}
        found = await self._inquiry.holders((nodes[node] for node in sorted(nodes)), messages)
        for message in messages:
            held = self._held.find(message, Phase.SOUGHT, None)
            if held is None:
                continue  # Answered meanwhile, or another owner's by now.
            node_found = found.get(message.key_of_call)
            if node_found is not None and self._router.view.node(node_found) is not None:
                held.phase, held.node = Phase.TAKEN, node_found
            else:
                self._held.release(held)
                self._place(message)

    async def _recheck(self, node: NodeRecord) -> None:
        """Whether a node still has what it has taken: its word may have been lost, or its work."""
        for key in await self._inquiry.lost_by(node, self._held.taken_by(node.membership)):
            lost = self._held.get(key)
            if lost is not None and lost.node == node.membership:
                self._drop(lost)

    # ---- from other nodes

    def asked(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        """Another node's dispatcher wants something. Raises `NotUnderstood`."""
        verb, arguments = wire.decode_request(body)
        if verb == wire.RUN:
            taken = [self._may_take(m) and self._runner.receive(m) for m in arguments]
            self._told_room = None  # Whoever has given these thinks that there is so much less.
            answer(wire.encode_answer(taken))
        elif verb == wire.KNOWN:
            known = [self._runner.known_of(id_, keys) for id_, keys in arguments]
            answer(wire.encode_answer([key for keys in known for key in keys]))
        elif verb == wire.BACK:
            held = self._held.get(arguments[1])
            if held is not None and held.node is not None:
                self._held.release(held)
                self._place(held.message)
        else:
            self._rooms.told(*arguments)
            self._spread_soon()

    # ---- life

    async def run(self) -> None:
        """Send, ask and tell, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            next_check = self._loop.time() + self._config.recheck_seconds
            try:
                while True:
                    self._tell_room()
                    self._pick_up()
                    self._spread_soon()
                    if self._loop.time() >= next_check:
                        next_check = self._loop.time() + self._config.recheck_seconds
                        self._told_room = None  # It may not have come through.
                        self._recheck_all()
                    await asyncio.sleep(self._config.room_seconds)
            finally:
                self._group = None
                if self._spreading is not None:
                    self._spreading.cancel()

    def on_view(self, view: ClusterView) -> None:
        """The cluster has changed: place anew what was in the hands of those that are gone."""
        present = {node.membership: node for node in view.present()}
        self._rooms.keep(present)
        self._told_room = None
        for held in self._held.all():
            if self._router.owned(held.message.instance_id) is None:
                self._held.release(held)  # The workflow has another owner, who asks for it.
            elif held.phase is Phase.HOMELESS:
                self._held.release(held)
                self._place(held.message, held.until)
            elif held.node is not None and held.node not in present:
                self._held.release(held)
                self._place(held.message, self._patience())
        self._share_limits()
        self._recheck_all(NodeState.DRAINING)

    def _share_limits(self) -> None:
        for own in filter(self._router.is_self, self._up()):
            self._own_limits = self._limits_of(own)
            self._runner.limit(self._own_limits)
        # What was given to this node and can never begin here now; whoever gave it asks for it.
        everything = Room(*[self._runner.waiting] * 3)
        self._runner.take_waiting(everything, lambda m: not self._ever_runs(m))

    def _ever_runs(self, message: RunActivity) -> bool:
        """Whether this node may run it, now or later. Its own go to others if not."""
        limits = self._own_limits
        if limits.total != 0 and limits.by_name.get(message.name) != 0:
            return True
        return message.caller_app is None and self._router.owned(message.instance_id) is not None

    def _may_take(self, message: RunActivity) -> bool:
        """Whether this node may run it for another one."""
        if self._runner.is_at_worker(message.name):
            return self._runner.takes_more(message.name)
        return self._ever_runs(message)

    def _recheck_all(self, state: NodeState | None = None) -> None:
        if self._group is None:
            return
        for node in self._router.view.present():
            if not self._router.is_self(node) and state in (None, node.state):
                self._group.create_task(self._recheck(node))

    def _tell_room(self) -> None:
        room = self._runner.room
        if room == self._told_room:
            return
        self._told_room = room
        for own in filter(self._router.is_self, self._up()):
            body = wire.encode_room(own.membership, room)
            for node in filterfalse(self._router.is_self, self._up()):
                self._router.tell_node(node, _TARGET, body)

    def _pick_up(self) -> None:
        """Have instances ask again for what was dropped of them, now that there is room."""
        self._runner.fill()
        for message in self._runner.take_waiting(
            Room(0, 0, self._runner.waiting), self._parts.is_stranded
        ):
            self.returned(message)
        for held in self._held.waits_too_long(self._loop.time()):
            self._held.release(held)
            self._place(held.message, held.until)
        if self._dropped and not self._runner.is_full:
            for instance_id in list(self._dropped)[:_AT_ONCE]:
                del self._dropped[instance_id]
                if not self._look_again(ActorRef(WORKFLOW, instance_id)):
                    self._dropped[instance_id] = None  # In the midst of a turn: the next time.

    def __repr__(self) -> str:
        return f"<ActivityDispatch held={len(self._held)} {self._runner!r}>"
