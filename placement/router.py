"""Messages to wherever their actor lives. An owner module: it holds the current view.

The callers name an actor, never a node. What belongs to a slot of this node's is served by the
local host; the rest goes over `Peers`. Whoever owns the slot may change at any time, so a call that
finds nobody there looks again, until its deadline. INVARIANT: every message may be told twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from perdure.actors.errors import Fault, NodeFenced, NodeStopping, NotOwner, Refused, Retryable
from perdure.actors.identity import ActorRef, slot_of
from perdure.actors.messages import Delivery
from perdure.actors.ports import Env, Fence
from perdure.actors.unit_of_work import Outgoing
from perdure.placement import wire
from perdure.placement.errors import NodeUnreachable
from perdure.placement.membership import ClusterView, Membership, NodeRecord
from perdure.placement.ports import Answer, LocalHost, MessageCodec, Peers

_INSTANT = 0.001
_PAUSE_SECONDS = 0.02
_PAUSE_SECONDS_MAX = 0.5


class StatelessTarget(Protocol):
    """Receives the messages of a type of actors without durable state, in place of a host."""

    def receive(self, ref: ActorRef, message: object) -> None:
        """A message of an actor on this node."""
        ...

    def asked(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        """A request of another node, for this node itself. Raises `Fault` if it is unreadable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterConfig:
    app_id: str
    call_seconds: float = 15.0
    """How long a call may look for the owner of its actor, and wait for the answer."""


@dataclass(frozen=True, slots=True)
class RouterParts:
    """The collaborators of a router."""

    env: Env
    peers: Peers
    codec: MessageCodec
    refresh: Callable[[], None]
    """Asks for a newer view; the one in use has turned out to be old."""


class Router:
    """Owns the reference to the current view, which is swapped whole.

    Lives as long as the process: memberships come and go below it (`open`, `shut`), and without one
    it still finds the way to other nodes.
    """

    def __init__(self, parts: RouterParts, config: RouterConfig) -> None:
        self._env = parts.env
        self._peers = parts.peers
        self._codec = parts.codec
        self._refresh = parts.refresh
        self._config = config
        self._host: LocalHost | None = None
        self._fence: Fence | None = None
        self._incarnation: str | None = None
        """Of this process, from its first membership on."""
        self._view = ClusterView()
        self._owned: dict[int, int] = {}
        self._slots = 0
        self._given: frozenset[int] = frozenset()
        self._changed = asyncio.Event()
        self._stateless: dict[str, StatelessTarget] = {}
        self.on_foreign_call: Callable[[object], None] = lambda message: None
        """Told of each message of another node that a local actor has taken and answered."""
        self.calls_local = 0
        self.calls_forwarded = 0

    # ---- wiring and changes

    def serve(self, type_name: str, target: StatelessTarget) -> None:
        """Hand the messages for actors of this type to `target`."""
        self._stateless[type_name] = target

    def open(self, host: LocalHost, fence: Fence) -> None:
        """This node is a member: `host` has the actors of the slots that `fence` owns."""
        self._host, self._fence = host, fence
        self._incarnation = fence.incarnation
        self._own()

    def shut(self) -> None:
        """This node's membership is over: it owns nothing."""
        self._host = self._fence = None
        self._given = frozenset()  # Of a hand-over that the end has cut short.
        self._own()

    def adopt(self, view: ClusterView) -> None:
        """Route by this view from now on. The caller sees to it that views come in order."""
        self._view = view
        self._own()

    def give_away(self, slots: Iterable[int]) -> None:
        """These slots are on their way to other nodes: they are not served here any more."""
        self._given = frozenset(slots)
        self._own()

    def _own(self) -> None:
        table = self._view.table(self._config.app_id)
        fence = self._fence
        self._slots = 0 if table is None else table.slots
        self._owned = {}
        if table is not None and fence is not None:
            owned = table.owned_by(fence.node_id, fence.generation)
            self._owned = {slot: owned[slot] for slot in owned if slot not in self._given}
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # ---- who owns what

    @property
    def app_id(self) -> str:
        """The app of this node."""
        return self._config.app_id

    @property
    def view(self) -> ClusterView:
        return self._view

    @property
    def owned_slots(self) -> dict[int, int]:
        """The slots that this node serves, with their epochs."""
        return self._owned

    def owned(self, actor_id: str) -> tuple[int, int] | None:
        """(slot, epoch) of an actor id if this node owns its slot, else None."""
        if not self._owned:
            return None
        slot = slot_of(actor_id, self._slots)
        epoch = self._owned.get(slot)
        return None if epoch is None else (slot, epoch)

    def owner_of(self, actor_id: str, app_id: str | None = None) -> NodeRecord | None:
        """The member that owns an actor's slot by the current view, None if nobody does."""
        table = self._view.table(app_id or self._config.app_id)
        if table is None:
            return None
        owner = table.owner_of(actor_id)
        return self._view.node(Membership(owner.node_id, owner.generation))

    @property
    def own_membership(self) -> Membership | None:
        """This node's present stay in the cluster; None while it has none."""
        fence = self._fence
        return None if fence is None else Membership(fence.node_id, fence.generation)

    def is_self(self, node: NodeRecord) -> bool:
        fence = self._fence
        return fence is not None and node.membership == (fence.node_id, fence.generation)

    # ---- calls

    async def call(
        self,
        ref: ActorRef,
        message: object,
        *,
        is_new: bool = False,
        app_id: str | None = None,
        seconds: float | None = None,
    ) -> Any:
        """Send a message and wait for the answer, which comes after the commit of its turn.

        `is_new`: nothing is stored of the actor, because its id has just been made. `app_id`: of
        another app than this node's. `seconds`: how long to try at most.

        Raises what the actor answered with, `MailboxFull` if it has too much to do, and another
        `Retryable` if its owner could not be found, or did not answer, in time.
        """
        own_app, is_repeat = app_id is None or app_id == self._config.app_id, False
        if own_app and self.owned(ref.id) is not None and self._host is not None:
            # The usual case comes first, and costs nothing.
            self.calls_local += 1
            try:
                return await self._host.call(ref, message, is_new=is_new)
            except NotOwner:
                pass
            except NodeFenced:
                is_repeat = True  # Its last commit may stand, and nobody was told.
        deadline = asyncio.get_running_loop().time() + (
            self._config.call_seconds if seconds is None else seconds
        )
        app_id = app_id or self._config.app_id
        return await self._search(app_id, ref, message, deadline, is_repeat=is_repeat)

    async def _search(
        self, app_id: str, ref: ActorRef, message: object, deadline: float, *, is_repeat: bool
    ) -> Any:
        """Ask whoever owns the actor, again and again as owners change."""
        loop = asyncio.get_running_loop()
        pause, body = _PAUSE_SECONDS, b""
        trouble: Retryable = NotOwner(f"no node that can be reached owns {ref}")
        while True:
            changed = self._changed
            try:
                if app_id == self._config.app_id and self.owned(ref.id) and self._host is not None:
                    self.calls_local += 1
                    return await self._host.call(ref, message, is_repeat=is_repeat)
                node = self.owner_of(ref.id, app_id)
                if node is None:
                    self._refresh()
                elif node.identity.incarnation != self._incarnation:
                    # Not this process, nor a stay of it that is over while the view is still old.
                    body = body or self._codec.encode(message)
                    request = wire.Request(app_id, ref, body, is_repeat)
                    return await self._forward(node, request, max(deadline - loop.time(), 0.001))
            except (NodeUnreachable, NodeFenced) as error:
                trouble, is_repeat = error, True
                self._refresh()
            except NotOwner as error:
                trouble = error
                self._refresh()
            left = deadline - loop.time()
            if left <= _INSTANT:
                raise trouble
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, left)):
                    await changed.wait()
            pause = min(2 * pause, _PAUSE_SECONDS_MAX)

    async def _forward(self, node: NodeRecord, request: wire.Request, seconds: float) -> Any:
        answer = await self._peers.call(node, wire.encode_request(request), seconds)
        reply = _understood(answer, node)
        if reply.kind == wire.MOVED:
            raise NotOwner(f"node {node.node_id!r} does not own {request.ref} any more")
        if reply.kind == wire.FAILED:
            raise NodeUnreachable(f"node {node.node_id!r} cannot read it: {_text(reply)}")
        self.calls_forwarded += 1
        result = self._codec.decode_answer(reply.body)
        if isinstance(result, (NodeStopping, NodeFenced)):
            # What it was writing at that moment may stand.
            raise NodeUnreachable(f"node {node.node_id!r} gives up its work: {result}")
        if isinstance(result, Exception):
            raise result
        return result

    async def ask(self, node: NodeRecord, type_name: str, body: bytes, seconds: float) -> bytes:
        """Ask a node itself, not an actor. Raises `NodeUnreachable` or `MailboxFull`."""
        request = wire.Request(node.app_id, ActorRef(type_name, ""), body)
        answer = await self._peers.call(node, wire.encode_request(request), seconds)
        reply = _understood(answer, node)
        if reply.kind != wire.ANSWERED:
            raise NodeUnreachable(f"node {node.node_id!r} cannot answer: {_text(reply)}")
        return reply.body

    # ---- tells

    def tell(self, ref: ActorRef, message: object) -> None:
        """Send without waiting. A message that cannot be taken now is left to recovery."""
        target = self._stateless.get(ref.type)
        if target is not None:
            target.receive(ref, message)
            return
        self._offer(ref, Delivery(message))

    def hint(self, outgoing: Outgoing) -> None:
        """Tell an actor that a durable message for it was committed."""
        ref, app_id = outgoing.target, outgoing.app_id or self._config.app_id
        if app_id == self._config.app_id and self.owned(ref.id) is not None:
            self._offer(ref, Delivery(outgoing.message, None, outgoing.message_id))
            return
        node = self.owner_of(ref.id, app_id)
        if node is not None and not self.is_self(node):
            # No state goes with it: the row is the truth, and may be gone when this arrives.
            self.tell_node(node, ref)

    def tell_node(self, node: NodeRecord, ref: ActorRef, body: bytes = b"") -> None:
        """Send to a node without waiting."""
        self._peers.tell(node, wire.encode_request(wire.Request(node.app_id, ref, body)))

    def _offer(self, ref: ActorRef, delivery: Delivery) -> None:
        if self._host is None:
            return
        try:
            self._host.deliver(ref, delivery)
        except Retryable as error:
            self._env.log.debug(
                "a message is left to recovery",
                extra={"event": "message_deferred", "actor": str(ref), "reason": str(error)},
            )

    # ---- from other nodes

    def received(self, data: bytes, answer: Answer | None) -> None:
        """`placement.ports.Receive`: whatever another node sends. Never raises for bad data."""
        try:
            request = wire.decode_request(data)
            target = self._stateless.get(request.ref.type)
            if target is not None:
                target.asked(request.body, _answering(answer))
            elif answer is None:
                self._look(request.ref)
            else:
                self._serve(request, answer)
        except Fault as error:  # Of this module's `wire`, or of the codec.
            self._env.log.warning(
                "another node sent what this one cannot read",
                extra={"event": "peer_not_understood", "reason": str(error)},
            )
            if answer is not None:
                answer(wire.encode_reply(wire.Reply(wire.FAILED, str(error).encode())))

    def _look(self, ref: ActorRef) -> None:
        if self._host is None:
            return
        with contextlib.suppress(Retryable, Refused):  # Recovery finds what it was about.
            self._host.look(ref)

    def _serve(self, request: wire.Request, answer: Answer) -> None:
        ref = request.ref
        mine = request.app_id == self._config.app_id and self.owned(ref.id) is not None
        if self._host is None or not mine:
            self._moved(answer)
            return
        message = self._codec.decode(request.body)
        try:
            future = self._host.call(ref, message, is_repeat=request.is_repeat)
        except NotOwner:
            self._moved(answer)
        except (Retryable, Refused) as error:
            self._reply(answer, error)
        else:
            future.add_done_callback(lambda done: self._served(message, done, answer))

    def _served(self, message: object, done: asyncio.Future[Any], answer: Answer) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, NotOwner):
            self._moved(answer)
            return
        if error is None:
            self.on_foreign_call(message)
        assert error is None or isinstance(error, Exception)
        self._reply(answer, done.result() if error is None else error)

    def _moved(self, answer: Answer) -> None:
        version = str(self._view.version).encode()
        answer(wire.encode_reply(wire.Reply(wire.MOVED, version)))

    def _reply(self, answer: Answer, result: object) -> None:
        body = self._codec.encode_answer(result)
        answer(wire.encode_reply(wire.Reply(wire.ANSWERED, body)))

    def __repr__(self) -> str:
        return f"<Router view={self._view.version} owns={len(self._owned)}>"


def _answering(answer: Answer | None) -> Callable[[bytes], None]:
    if answer is None:
        return lambda body: None
    return lambda body: answer(wire.encode_reply(wire.Reply(wire.ANSWERED, body)))


def _text(reply: wire.Reply) -> str:
    return reply.body.decode(errors="replace")


def _understood(data: bytes, node: NodeRecord) -> wire.Reply:
    try:
        return wire.decode_reply(data)
    except wire.NotUnderstood as error:
        raise NodeUnreachable(f"node {node.node_id!r} gave no usable answer: {error}") from error
