"""This node's membership: reads the cluster, judges, takes over, hands over. An owner module.

A loop: whatever nobody was told of is found by the next look. What others tell (a newer version, a
broken line) only makes the next look come sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from perdure.actors.errors import CommitUnknown, NodeFenced, Retryable, StoreUnavailable
from perdure.actors.identity import ActorRef
from perdure.actors.ports import Env, Fence
from perdure.placement.balance import moves
from perdure.placement.detector import Detector
from perdure.placement.membership import (
    ClusterView,
    Membership,
    NodeRecord,
    NodeState,
)
from perdure.placement.ports import HandOver, IsAlive, MembershipStore, Peers
from perdure.placement.router import Router

_SLOTS_AT_ONCE = 64
_INSTANT = 0.001
"""A wait too short to be worth one, in seconds."""

NODE = ActorRef("node", "")
"""The node itself: told without a body, it looks at the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    app_id: str
    lease_seconds: float = 5.0
    poll_seconds: float = 1.0
    """How often the rows are read without a reason."""
    glance_seconds: float = 0.2
    """How often it is looked whether the processes of other nodes on this machine still run."""


class Vacating(Protocol):
    """What the agent needs of the host."""

    async def vacate(self, slots: Iterable[int]) -> None: ...

    def drop_strangers(self) -> None: ...


@dataclass(frozen=True, slots=True)
class AgentParts:
    """The collaborators of an agent."""

    store: MembershipStore
    env: Env
    router: Router
    peers: Peers
    host: Vacating
    is_alive: IsAlive
    wrote_at: Callable[[], float]
    """When this node's last heartbeat was written, by the loop's clock."""


class Agent:
    """Owned by one stay of the node in the cluster; everything happens inside `run`."""

    def __init__(self, parts: AgentParts, fence: Fence, config: AgentConfig) -> None:
        self._store = parts.store
        self._env = parts.env
        self._router = parts.router
        self._peers = parts.peers
        self._host = parts.host
        self._is_alive = parts.is_alive
        self._wrote_at = parts.wrote_at
        self._fence = fence
        self._config = config
        self.detector = Detector(config.lease_seconds)
        self._wanted = asyncio.Event()
        self._looked = asyncio.Event()
        self._draining = False
        self.on_gained: Callable[[], None] = lambda: None
        """Told when this node owns slots that it did not own before."""
        self.on_view: Callable[[ClusterView], None] = lambda view: None
        """Told of each new view, after it is in use."""

    def refresh(self) -> None:
        """Look at the rows soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Look again and again, until cancelled. Raises `NodeFenced`."""
        while True:
            self._wanted.clear()
            try:
                await self._look()
            except NodeFenced:
                raise
            except Retryable as error:
                self._env.log.info(
                    "the cluster's rows cannot be read at present",
                    extra={"event": "cluster_unread", "reason": str(error)},
                )
            await self._rest()

    async def drain(self) -> None:
        """Give all slots to others, as far as there are others. Raises `NodeFenced`, `Retryable`.

        `run` must be running.
        """
        self._draining = True
        await self._store.begin_drain(self._fence)
        self.tell_others()
        while True:
            view = self._router.view
            if view.version and not self._own_slots(view):
                return
            if not view.up(self._config.app_id) and self._knows_itself_draining(view):
                return
            self._looked.clear()
            self.refresh()
            await self._looked.wait()

    def tell_others(self) -> None:
        """The rows have changed: others had better look."""
        for node in self._router.view.present():
            if node.membership != self._self:
                self._router.tell_node(node, NODE)

    # ---- one look

    @property
    def _self(self) -> Membership:
        return Membership(self._fence.node_id, self._fence.generation)

    async def _look(self) -> None:
        view = await self._store.read_cluster()
        now = asyncio.get_running_loop().time()
        if view.node(self._self) is None:
            raise NodeFenced(
                f"node {self._fence.node_id!r} is no longer a member under generation "
                f"{self._fence.generation}"
            )
        self.adopt(view)
        changed = False
        for dead in self._dead(view, now):
            changed = await self._take_over(dead) or changed
        if self._has_unowned(view):
            changed = await self._store.take_over(self._fence, None, self._env.now_us()) or changed
        changed = await self._hand_over(view) or changed
        if changed:
            self.adopt(await self._store.read_cluster())
            self.tell_others()
        self._looked.set()

    def adopt(self, view: ClusterView) -> None:
        """Use this view from now on, if it says anything new."""
        if view.version <= self._router.view.version:
            return
        before = self._router.owned_slots
        self._peers.adopt([node for node in view.present() if node.membership != self._self])
        self._router.adopt(view)
        self._host.drop_strangers()
        if any(before.get(slot) != epoch for slot, epoch in self._router.owned_slots.items()):
            self.on_gained()
        self.on_view(view)

    def _dead(self, view: ClusterView, now: float) -> list[NodeRecord]:
        """Those that are silent for too long, and those whose process is gone for certain."""
        others = [node for node in view.present() if node.membership != self._self]
        silent = self.detector.look(now, self._wrote_at(), others)
        gone = [node for node in others if not self._is_alive(node.identity)]
        return [*gone, *(node for node in silent if node not in gone)]

    async def _take_over(self, dead: NodeRecord) -> bool:
        if not await self._store.take_over(self._fence, dead, self._env.now_us()):
            return False  # Somebody else was faster, or it has shown a sign of life.
        self._env.log.warning(
            "a node is dead; its work goes on elsewhere",
            extra={
                "event": "node_taken_over",
                "node_id": dead.node_id,
                "generation": dead.generation,
                "pid": dead.identity.pid,
            },
        )
        return True

    def _has_unowned(self, view: ClusterView) -> bool:
        table = view.table(self._config.app_id)
        if table is None or self._draining:
            return False
        present = {node.membership for node in view.present()}
        return any(Membership(o.node_id, o.generation) not in present for o in table.owners)

    # ---- giving slots away

    def _own_slots(self, view: ClusterView) -> dict[int, int]:
        table = view.table(self._config.app_id)
        return {} if table is None else table.owned_by(*self._self)

    def _knows_itself_draining(self, view: ClusterView) -> bool:
        node = view.node(self._self)
        return node is not None and node.state is NodeState.DRAINING

    async def _hand_over(self, view: ClusterView) -> bool:
        """Give others the slots that are theirs by the balance; True if any was given."""
        own = self._own_slots(view)
        table = view.table(self._config.app_id)
        if table is None or not own:
            return False
        stays = [Membership(owner.node_id, owner.generation) for owner in table.owners]
        up = [node.membership for node in view.up(self._config.app_id)]
        wanted = sorted((slot, to) for slot, to in moves(stays, up).items() if slot in own)
        given = [HandOver(slot, own[slot], to) for slot, to in wanted[:_SLOTS_AT_ONCE]]
        if not given:
            return False
        if len(wanted) > len(given):
            self.refresh()
        slots = [one.slot for one in given]
        self._router.give_away(slots)
        await self._host.vacate(slots)
        count = 0
        with contextlib.suppress(StoreUnavailable, CommitUnknown):
            count = await self._store.hand_over(self._fence, given)
        # Whatever has become of the slots: by the rows they are served here from now on, or not.
        while True:
            try:
                now = await self._store.read_cluster()
                break
            except StoreUnavailable:
                await asyncio.sleep(0.1)
        self.adopt(now)
        self._router.give_away(())
        if any(slot in self._router.owned_slots for slot in slots):
            self.on_gained()  # They stay after all, and what was live in them is gone.
        return count > 0

    # ---- between two looks

    async def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._config.poll_seconds
        others = [n.identity for n in self._router.view.present() if n.membership != self._self]
        while (left := until - loop.time()) > _INSTANT and not self._wanted.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._config.glance_seconds, left)):
                    await self._wanted.wait()
            if not all(map(self._is_alive, others)):
                return

    def __repr__(self) -> str:
        return f"<Agent {self._fence.node_id} generation={self._fence.generation}>"
