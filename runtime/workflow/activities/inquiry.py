"""Asking other nodes which activities they are at. An edge module: it owns no state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from perdure.actors.errors import Refused, Retryable
from perdure.placement.membership import Membership, NodeRecord
from perdure.placement.router import Router
from perdure.placement.wire import NotUnderstood
from perdure.runtime.workflow.activities import wire
from perdure.runtime.workflow.activities.queue import Key
from perdure.runtime.workflow.messages import ACTIVITY, RunActivity

TROUBLE = (Retryable, Refused, NotUnderstood)
"""Of one line or one node: it passes, or the node goes."""

Wanted = Mapping[str, Sequence[Key]]
"""Calls of activities, by instance."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """How nodes are asked."""

    router: Router
    ask_seconds: float
    patience_seconds: float
    """A node that lives but cannot be asked for so long is taken not to be at it."""

    async def known_to(self, node: NodeRecord, wanted: Wanted) -> set[Key]:
        """Which of these one node is at, or has answered lately. Raises one of `TROUBLE`."""
        body = wire.encode_known(wanted)
        return wire.decode_keys(await self.router.ask(node, ACTIVITY, body, self.ask_seconds))

    async def lost_by(self, node: NodeRecord, wanted: Wanted) -> list[Key]:
        """Which of these a node does not know any more; none if it cannot say."""
        try:
            known = await self.known_to(node, wanted) if wanted else set()
        except TROUBLE:
            return []
        return [key for keys in wanted.values() for key in keys if key not in known]

    async def holders(
        self, nodes: Iterable[NodeRecord], messages: Iterable[RunActivity]
    ) -> dict[Key, Membership]:
        """Who is at which of these, once every node has said so, is gone, or is silent."""
        wanted: dict[str, list[Key]] = {}
        for message in messages:
            wanted.setdefault(message.instance_id, []).append(message.key_of_call)
        found: dict[Key, Membership] = {}
        async with asyncio.TaskGroup() as group:
            for node in nodes:
                group.create_task(self._ask(node, wanted, found))
        return found

    async def _ask(self, node: NodeRecord, wanted: Wanted, found: dict[Key, Membership]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience_seconds
        delay = 0.05
        while self.router.view.node(node.membership) is not None:
            try:
                found.update(dict.fromkeys(await self.known_to(node, wanted), node.membership))
                return
            except TROUBLE:
                if loop.time() > until:
                    return
                await asyncio.sleep(delay)
                delay = min(2 * delay, 1.0)
