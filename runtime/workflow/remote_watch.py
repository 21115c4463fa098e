"""Waiting for instances that other nodes own. An owner module.

Who waits tells the owner so, then looks once more, and then waits for news; the owner tells the
node whenever the instance has changed. News is a hint to look: lost ones cost a moment, because who
waits looks by itself now and then, and says again that it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgpack

from perdure.actors.errors import Retryable
from perdure.actors.identity import ActorRef
from perdure.placement.membership import Membership, NodeRecord
from perdure.placement.router import Router
from perdure.placement.wire import NotUnderstood
from perdure.runtime.workflow.history import Status
from perdure.runtime.workflow.records import Instance
from perdure.runtime.workflow.watchers import Look, Watched, Watchers

WATCH = ActorRef("watch", "")
LOOK_SECONDS = 2.0
"""How long who waits trusts that it would have been told."""
_KEPT_SECONDS = 4 * LOOK_SECONDS
_ASK_SECONDS = 1.0
_STATUSES = frozenset(map(int, Status))
"""A newer release may have others."""


class RemoteWatches:
    """Implements `StatelessTarget` for watching; registered with the router under `WATCH`."""

    def __init__(self, router: Router, watchers: Watchers) -> None:
        self._router = router
        self._watchers = watchers
        self._abroad: dict[tuple[str, Membership], _Abroad] = {}
        router.serve(WATCH.type, self)

    async def subscribe(self, watched: Watched) -> bool:
        """Have its owner tell of every change, for some seconds. True if that is another node.

        If the owner cannot be asked now, nothing is told: looking from time to time has to do.
        """
        app_id, instance_id = (None, watched) if isinstance(watched, str) else watched
        if app_id is None and self._router.owned(instance_id) is not None:
            return False
        node = self._router.owner_of(instance_id, app_id)
        if node is not None and self._router.is_self(node):
            return False
        own = self._router.own_membership
        if node is not None and own is not None:
            body = _pack("watch", instance_id, *own)
            with contextlib.suppress(Retryable):
                await self._router.ask(node, WATCH.type, body, _ASK_SECONDS)
        return True

    # ---- from other nodes

    def receive(self, ref: ActorRef, message: object) -> None:
        raise AssertionError(f"no actor sends to watchers: {message!r}")

    def asked(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        verb, instance_id, *rest = _unpack(body)
        if verb in ("news", "news of"):
            status, is_gone, *of_app = rest
            is_known = not is_gone and status in _STATUSES
            watched = (of_app[0], instance_id) if of_app else instance_id
            self._watchers.tell(watched, Look(Status(status) if is_known else None))
            return
        node_id, generation = rest
        node = self._router.view.node(Membership(node_id, generation))
        if node is not None:
            self._keep(instance_id, node)
        answer(b"")

    def _keep(self, instance_id: str, node: NodeRecord) -> None:
        key = (instance_id, node.membership)
        there = self._abroad.get(key)
        if there is None:
            there = self._abroad[key] = _Abroad(self._router, instance_id, node)
            self._watchers.add(instance_id, there)
        else:
            there.expiry.cancel()
        loop = asyncio.get_running_loop()
        there.expiry = loop.call_later(_KEPT_SECONDS, self._forget, key)

    def _forget(self, key: tuple[str, Membership]) -> None:
        there = self._abroad.pop(key, None)
        if there is not None:
            self._watchers.remove(key[0], there)

    def close(self) -> None:
        """Tell nobody any more."""
        for key in list(self._abroad):
            self._abroad[key].expiry.cancel()
            self._forget(key)


class _Abroad:
    """Somebody on another node who waits for an instance of this one."""

    expiry: asyncio.TimerHandle

    def __init__(self, router: Router, instance_id: str, node: NodeRecord) -> None:
        self._router = router
        self._instance_id = instance_id
        self._node = node

    def tell(self, news: Instance | None) -> None:
        status = 0 if news is None else int(news.status)
        told = (self._instance_id, status, news is None)
        own_app = self._router.app_id
        is_of_app = self._node.app_id == own_app
        body = _pack("news", *told) if is_of_app else _pack("news of", *told, own_app)
        self._router.tell_node(self._node, WATCH, body)


def _pack(*fields: Any) -> bytes:
    packed: bytes = msgpack.packb(fields)
    return packed


def _unpack(body: bytes) -> Any:
    try:
        found = msgpack.unpackb(body, use_list=False, max_map_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise NotUnderstood(f"a message about watching cannot be read: {error}") from error
    kinds = {
        "watch": (str, str, str, int),
        "news": (str, str, int, bool),
        "news of": (str, str, int, bool, str),  # For who is of another app.
    }
    form = kinds.get(found[0]) if isinstance(found, tuple) and found else None
    if form is None or len(found) != len(form) or not all(map(isinstance, found, form)):
        raise NotUnderstood("a message about watching has another form")
    return found
