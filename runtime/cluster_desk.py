"""Answers for this node, and asks the others: status and drain. An owner module."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from perdure.actors.errors import Retryable
from perdure.placement.agent import NODE
from perdure.placement.membership import NodeRecord
from perdure.placement.wire import NotUnderstood
from perdure.runtime.api.ports import ClusterStatus, NodeNotFound
from perdure.runtime.cluster_facts import DRAIN, STATUS, decode_words, encode_words, facts_of
from perdure.runtime.engine import Engine

_PATIENCE_SECONDS = 1.0


class ClusterDesk:
    """Implements `StatelessTarget` for what nodes ask of each other."""

    def __init__(
        self,
        engine: Engine,
        log: logging.Logger,
        lease_seconds: float,
        request_shutdown: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._log = log
        self._lease_seconds = lease_seconds
        self._request_shutdown = request_shutdown
        engine.serve_node(self)

    # ---- asked by other nodes

    def receive(self, ref: object, message: object) -> None:
        raise AssertionError(f"no actor sends to a node: {message!r}")

    def asked(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        if not body:
            self._engine.refresh()
        elif body == STATUS:
            answer(encode_words(self._own_words()))
        elif body == DRAIN:
            self._drain()
            answer(b"")
        else:
            raise NotUnderstood(f"a request of unknown kind {body[:20]!r}")

    def _drain(self) -> None:
        self._log.info(
            "this node was asked to hand over its work and end", extra={"event": "drain_asked"}
        )
        self._request_shutdown()

    def _own_words(self) -> dict[str, Any]:
        tenure = self._engine.tenure
        return {
            "activations": tenure.host.live,
            "running": tenure.activities.running,
            "waiting": tenure.activities.waiting,
            "lease_age": round(tenure.committer.lease_age, 3),
        }

    # ---- asked by people

    async def status(self) -> ClusterStatus:
        """Every present node, each with what it says of itself, if it says so in time."""
        engine = self._engine
        view = await engine.read_cluster()
        nodes = view.present()
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._words_of(node)) for node in nodes]
        facts = [
            facts_of(node, view, words.result(), is_self=engine.router.is_self(node))
            for node, words in zip(nodes, asking, strict=True)
        ]
        return ClusterStatus(
            cluster_id=None if engine.joined is None else engine.joined.cluster_id,
            version=view.version,
            lease_seconds=self._lease_seconds,
            nodes=tuple(facts),
            missing_workers=engine.missing_workers(),
        )

    async def _words_of(self, node: NodeRecord) -> dict[str, Any]:
        if self._engine.router.is_self(node):
            return self._own_words()
        try:
            answer = await self._engine.router.ask(node, NODE.type, STATUS, _PATIENCE_SECONDS)
            return decode_words(answer)
        except (Retryable, NotUnderstood):
            return {}

    async def drain(self, node_id: str) -> None:
        """Have a node hand over its work and end. Raises `NodeNotFound`, `NodeUnreachable`."""
        for node in (await self._engine.read_cluster()).present():
            if node.node_id == node_id:
                break
        else:
            raise NodeNotFound(node_id)
        if self._engine.router.is_self(node):
            self._drain()
        else:
            await self._engine.router.ask(node, NODE.type, DRAIN, 5 * _PATIENCE_SECONDS)
