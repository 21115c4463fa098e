"""How a node becomes a member. An edge module: one operation of the store, tried with patience."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from perdure.actors.ports import Env
from perdure.placement.errors import NodeIdTaken
from perdure.placement.membership import NodeIdentity, NodeRecord
from perdure.placement.ports import IsAlive, Joined, MembershipStore, Secret


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who wants to join, and on which terms."""

    identity: NodeIdentity
    slots: int
    is_alive: IsAlive
    secret: str | None
    lease_seconds: float


async def join(store: MembershipStore, env: Env, applicant: Applicant) -> Joined:
    """Become a member. Raises `NodeIdTaken`, `ClusterSecretWrong` or `Retryable`.

    A node of the same id may be there that is stopped, or that cannot be seen from here (another
    container): it is given one lease to show a sign of life.
    """
    try:
        return await _join(store, env, applicant, None)
    except NodeIdTaken:
        twin = await _twin(store, applicant.identity)
        if twin is None:
            return await _join(store, env, applicant, None)
        if not await _is_silent(store, twin, applicant.lease_seconds):
            if await _twin(store, applicant.identity) is not None:
                raise
            twin = None  # It has left meanwhile.
    return await _join(store, env, applicant, twin)


async def _join(
    store: MembershipStore, env: Env, applicant: Applicant, dead: NodeRecord | None
) -> Joined:
    return await store.join(
        applicant.identity,
        applicant.slots,
        applicant.is_alive,
        env.now_us(),
        presumed_dead=dead,
        secret=Secret(applicant.secret, f"{env.new_id()}{env.new_id()}"),
    )


async def _twin(store: MembershipStore, identity: NodeIdentity) -> NodeRecord | None:
    for node in (await store.read_cluster()).present():
        if node.node_id == identity.node_id:
            return node
    return None


async def _is_silent(store: MembershipStore, twin: NodeRecord, lease_seconds: float) -> bool:
    """Whether the heartbeat of a member stands still for a whole lease."""
    for _ in range(10):
        await asyncio.sleep(lease_seconds / 10)
        if twin not in (await store.read_cluster()).nodes:
            return False
    return True
